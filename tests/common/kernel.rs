//! What a process has in the kernel that could outlive it: eBPF links, programs and maps, by their ids.
//!
//! The kernel gives ids in turn, so an id that is gone does not come back during a test.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Pid;
use serde_json::Value;

use super::netns::Netns;
use super::process::Process;
use super::{SOON, TempDir, wait_for};

/// What each run that counts drops says before Linux 5.17.
pub const NO_REASONS: &str = "before Linux 5.17, the kernel gives no reason for drops: udptrack counts only those of IPv4 sockets without room";

/// Whether the running kernel is this version or a later one.
#[must_use]
pub fn is_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says it");
    let mut version = release.split('.').map(|part| part.parse().unwrap_or(0));
    (version.next(), version.next()) >= (Some(major), Some(minor))
}

/// A counter of this namespace's network stack, of both protocols: `Udp NoPorts`.
#[must_use]
pub fn stack(netns: &Netns, group: &str, name: &str) -> u64 {
    let (table, table6) = netns.enter(|| {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("counters")
        };
        (read("snmp") + &read("netstat"), read("snmp6"))
    });
    let mut lines = table.lines();
    let mut sum = 0;
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut both = names.split_whitespace().zip(values.split_whitespace());
        if both
            .next()
            .is_some_and(|(title, _)| title == format!("{group}:"))
        {
            let found = both.find(|(title, _)| *title == name);
            sum += found.map_or(0, |(_, value)| value.parse().expect("a number"));
        }
    }
    let name6 = format!("{group}6{name}");
    let mut lines = table6
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    let found = lines.find(|(title, _)| *title == name6);
    sum + found.map_or(0, |(_, value)| {
        value.trim().parse::<u64>().expect("a number")
    })
}

/// Bytes that wait and datagrams that were dropped, as the kernel lists them: the columns `tx_queue:rx_queue` and `drops`.
#[must_use]
pub fn listed(netns: &Netns, address: SocketAddr) -> (u64, u64) {
    netns.enter(|| listed_by("thread-self", address))
}

/// The same, in the namespace of a process (`/proc/ITS`).
fn listed_by(its: &str, address: SocketAddr) -> (u64, u64) {
    let table = match address {
        SocketAddr::V4(_) => "udp",
        SocketAddr::V6(_) => "udp6",
    };
    let text = fs::read_to_string(format!("/proc/{its}/net/{table}"));
    let text = text.expect("the kernel lists UDP sockets");
    let port = format!(":{:04X}", address.port());
    let mut lines = text.lines().map(|line| line.split_whitespace().collect());
    let line: Vec<&str> = lines
        .find(|words: &Vec<&str>| words[1].ends_with(&port))
        .unwrap_or_else(|| panic!("{address} is not in {text}"));
    let queue = line[4].split_once(':').expect("two queues").1;
    (
        u64::from_str_radix(queue, 16).expect("a number"),
        line[line.len() - 1].parse().expect("a number"),
    )
}

/// Waits until a server has read all that has come to its socket.
pub fn wait_for_reading(server: &Process, address: SocketAddr) {
    let its = server.pid().to_string();
    wait_for("that a server has read what has come", SOON, || {
        (listed_by(&its, address).0 == 0).then_some(())
    });
}

/// Whether TC has links; before, filters of a clsact qdisc do the same.
#[must_use]
pub fn has_tcx() -> bool {
    is_at_least(6, 6)
}

/// How udptrack calls the hook at TC that this kernel has.
#[must_use]
pub fn tc() -> &'static str {
    if has_tcx() { "TC (tcx)" } else { "TC (clsact)" }
}

/// Whether a tracking that sees what is sent can be kept. Says so when it cannot; `tests/kernel.rs` has what comes then.
#[must_use]
pub fn can_keep() -> bool {
    if !has_tcx() {
        println!("SKIPPED: this kernel has no links at TC, so --keep is refused");
    }
    has_tcx()
}

/// Whether XDP takes frames in several buffers.
#[must_use]
pub fn has_frags() -> bool {
    is_at_least(5, 18)
}

/// How many links an interface with both hooks has: what is sent is seen at TC.
#[must_use]
pub fn links(hook: &str) -> usize {
    match (has_tcx(), hook) {
        (true, _) => 2,
        (false, "tc") => 0,
        (false, _) => 1,
    }
}

/// Waits until what `iface` sends is seen, by a filter where links do not tell: that hook is the last one.
pub fn wait_for_egress(netns: &Netns, iface: &str) {
    if has_tcx() {
        return;
    }
    wait_for("the filter for what is sent", SOON, || {
        let filters = Command::new("tc")
            .args(["-n", netns.name(), "filter", "show", "dev", iface, "egress"])
            .output()
            .expect("tc (package iproute2) runs");
        String::from_utf8_lossy(&filters.stdout)
            .contains("udp_track_egres")
            .then_some(())
    });
}

/// Ids of eBPF objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// What attaches programs.
    pub links: BTreeSet<u32>,
    /// Links to tracepoints: of no interface.
    pub tracepoints: BTreeSet<u32>,
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
}

impl Objects {
    /// Those that a process has open now.
    #[must_use]
    pub fn of(pid: Pid) -> Self {
        let mut objects = Self::default();
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
            return objects;
        };
        for file in files.flatten() {
            // A file that is closed meanwhile is none of the process's any more.
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let id = |label: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(label))?;
                line.trim().parse::<u32>().ok()
            };
            // A link names its program, too.
            if let Some(link) = id("link_id:") {
                let is_tracepoint = text.lines().any(|line| line.starts_with("tp_name:"));
                let links = if is_tracepoint {
                    &mut objects.tracepoints
                } else {
                    &mut objects.links
                };
                links.insert(link);
            }
            objects.programs.extend(id("prog_id:"));
            objects.maps.extend(id("map_id:"));
        }
        objects
    }

    /// Waits until none of them is there any more: the kernel frees them a moment after their last user has gone.
    pub fn assert_gone(&self) {
        assert!(!self.programs.is_empty() && !self.maps.is_empty());
        for (kind, ids) in [
            ("link", &self.links),
            ("link", &self.tracepoints),
            ("prog", &self.programs),
            ("map", &self.maps),
        ] {
            for id in ids {
                let what = format!("the end of {kind} {id}");
                wait_for(&what, SOON, || (!exists(kind, *id)).then_some(()));
            }
        }
    }

    /// Panics unless all of them are there.
    pub fn assert_there(&self) {
        for (kind, ids) in [
            ("link", &self.links),
            ("link", &self.tracepoints),
            ("prog", &self.programs),
            ("map", &self.maps),
        ] {
            for id in ids {
                assert!(exists(kind, *id), "{kind} {id}");
            }
        }
    }
}

fn exists(kind: &str, id: u32) -> bool {
    let shown = Command::new("bpftool")
        .args([kind, "show", "id", &id.to_string()])
        .output()
        .expect("bpftool runs");
    let message = String::from_utf8_lossy(&shown.stderr);
    assert!(
        shown.status.success() || message.contains("No such file"),
        "bpftool {kind} show id {id}: {message}"
    );
    shown.status.success()
}

/// What bpftool says in JSON.
pub(super) fn bpftool(arguments: &[&str]) -> Value {
    let shown = Command::new("bpftool").arg("-j").args(arguments).output();
    let shown = shown.expect("bpftool runs");
    assert!(shown.status.success(), "{arguments:?}: {shown:?}");
    serde_json::from_slice(&shown.stdout).expect("bpftool writes JSON")
}

/// The XDP program on an interface: its mode (`ip link`'s number: 1 native, 2 generic) and its id.
#[must_use]
pub fn xdp_program(netns: &Netns, iface: &str) -> Option<(u64, u64)> {
    let links = ip_json(netns, &["link", "show", "dev", iface]);
    let xdp = links[0].get("xdp")?;
    Some((
        xdp["mode"].as_u64().expect("a mode"),
        xdp["prog"]["id"].as_u64().expect("an id"),
    ))
}

/// Whether a udptrack sees what an interface sends.
#[must_use]
pub fn is_tracked(netns: &Netns, iface: &str) -> bool {
    // bpftool does not know links at TC everywhere.
    let mut check = netns.command(env!("CARGO_BIN_EXE_udptrack"));
    let report = Process::run(check.args(["check", "-j", "-i", iface])).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    report["interfaces"][0]["tc_programs"]["egress"][0]["name"] == "udp_track_egres"
}

/// While it lives, the kernel counts how often each program runs.
#[derive(Debug)]
pub struct RunCounts {
    before: String,
}

const STATS_ENABLED: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl RunCounts {
    /// From here on.
    #[must_use]
    pub fn start() -> Self {
        let before = fs::read_to_string(STATS_ENABLED).expect("the kernel has such counts");
        fs::write(STATS_ENABLED, "1").expect("root may ask for such counts");
        Self { before }
    }
}

impl Drop for RunCounts {
    fn drop(&mut self) {
        let _ = fs::write(STATS_ENABLED, &self.before);
    }
}

/// How often a program has run while [`RunCounts`] lived, by its id.
#[must_use]
pub fn run_count(program: u64) -> u64 {
    let shown = bpftool(&["prog", "show", "id", &program.to_string()]);
    shown["run_cnt"].as_u64().unwrap_or(0) // left out while it is 0
}

/// Panics unless the interface is as it was made: no XDP program, no filters, no queueing discipline for them.
pub fn assert_bare(netns: &Netns, iface: &str) {
    assert_eq!(xdp_program(netns, iface), None);
    let disciplines = Command::new("tc")
        .args(["-n", netns.name(), "qdisc", "show", "dev", iface])
        .output()
        .expect("tc (package iproute2) runs");
    let disciplines = String::from_utf8_lossy(&disciplines.stdout);
    assert!(!disciplines.contains("clsact"), "{disciplines}");
}

fn ip_json(netns: &Netns, arguments: &[&str]) -> Value {
    let output = Command::new("ip")
        .args(["-n", netns.name(), "-j", "-d"])
        .args(arguments)
        .output()
        .expect("ip (package iproute2) runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("ip writes JSON")
}

/// An object file with programs that are none of udptrack's: XDP `pass` (section `xdp`), TC `look` (section `tc`).
pub fn foreign_program(directory: &TempDir) -> PathBuf {
    let source = directory.file(
        "foreign.c",
        "__attribute__((section(\"xdp\"), used)) int pass(void *frame) { return 2; /* XDP_PASS */ }\n\
         __attribute__((section(\"tc\"), used)) int look(void *frame) { return -1; /* TC_ACT_UNSPEC */ }\n\
         char terms[] __attribute__((section(\"license\"), used)) = \"GPL\";\n",
    );
    compile(&source, directory)
}

/// Compiles an eBPF program into `directory`; returns the object file.
pub fn compile(source: &Path, directory: &TempDir) -> PathBuf {
    let name = source.file_stem().expect("it is a file");
    let object = directory.path().join(name).with_extension("o");
    Process::run(
        Command::new(env!("UDPTRACK_CLANG"))
            .args([
                "-O2",
                "-g",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-unused-parameter",
            ])
            .args(["-mcpu=v3", "-target", "bpf", "-c"])
            .arg(source)
            .arg("-o")
            .arg(&object),
    );
    object
}
