//! `udptrack check`: it says what a run then does, names what is in the way, and changes nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use common::bpffs::Bpffs;
use common::kernel::{assert_bare, foreign_program, is_at_least, tc, xdp_program};
use common::netns::{Netns, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::{SOON, TempDir, at_once, wait_for};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_udptrack");

/// What it said, and its exit code.
struct Checked {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Checked {
    fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("it runs");
        Self {
            code: status.code().expect("it ends by itself"),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        let report: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(report["works"], self.code == 0, "{report}");
        let problems = marked(&report["machine"], "problem").len()
            + interfaces(&report)
                .iter()
                .map(|it| marked(it, "problem").len())
                .sum::<usize>();
        assert_eq!(problems == 0, self.code == 0, "{report}");
        assert_eq!(self.stderr.is_empty(), self.code == 0, "{}", self.stderr);
        report
    }
}

fn check(netns: &Netns, arguments: &[&str]) -> Checked {
    Checked::of(netns.command(PROGRAM).arg("check").args(arguments))
}

fn interfaces(report: &Value) -> &Vec<Value> {
    report["interfaces"].as_array().unwrap()
}

/// The findings of a part with this mark.
fn marked<'a>(part: &'a Value, mark: &str) -> Vec<&'a Value> {
    let findings = part["findings"].as_array().unwrap().iter();
    findings.filter(|it| it["mark"] == mark).collect()
}

/// What is said about a subject: mark and text, with the way out.
fn about(part: &Value, subject: &str) -> Option<(String, String)> {
    let findings = part["findings"].as_array().unwrap();
    let finding = findings.iter().find(|it| it["subject"] == subject)?;
    let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    Some((
        word("mark"),
        format!("{}. {}", word("text"), word("way_out")),
    ))
}

/// The line that a run says when it tracks as was foretold.
fn foretold(interface: &Value) -> String {
    let word = |key: &str| interface[key].as_str();
    let sent = match word("sent") {
        Some(hook) => format!("sent by {hook}"),
        None if interface["loopback"] == true => "which also counts what it sends".to_owned(),
        None => "sent packets are not tracked".to_owned(),
    };
    format!(
        "tracking {}: received by {}, {sent}",
        word("name").unwrap(),
        word("received").unwrap()
    )
}

/// With the same flags, a run says and does what was foretold, on interfaces of each kind.
#[test]
#[ignore = "root"]
fn a_run_does_what_was_foretold() {
    /// The end of a link, which each has for itself.
    const VETH: &str = "";
    const CASES: [(&str, &[&str]); 14] = [
        (VETH, &[]),
        (VETH, &["--hook", "tc"]),
        (VETH, &["--xdp-mode", "native"]),
        (VETH, &["--hook", "xdp", "--xdp-mode", "native"]),
        (VETH, &["--hook", "xdp", "--xdp-mode", "generic"]),
        (VETH, &["--no-egress", "port", "53"]),
        ("lo", &[]),
        ("lo", &["--hook", "xdp"]),
        ("lo", &["--hook", "xdp", "--xdp-mode", "native"]),
        ("tun0", &[]),
        ("tun0", &["--hook", "xdp"]),
        ("tap0", &[]),
        ("any", &["-p"]),
        ("udpt-none", &[]),
    ];
    at_once(CASES, |(interface, flags)| {
        let pair = Pair::new();
        let iface = pair.a.iface();
        pair.a.ip_batch(
            "tuntap add dev tun0 mode tun\nlink set tun0 up\ntuntap add dev tap0 mode tap\nlink set tap0 up",
        );
        let interface = if interface == VETH { iface } else { interface };
        let mut arguments = [&["-i", interface, "-j"], flags].concat();
        let checked = check(&pair.a, &arguments);
        let report = checked.json();
        assert_bare(&pair.a, iface);
        arguments.extend(["--duration", "1ms"]);
        let finished = Udptrack::spawn(&pair.a, &arguments).wait();
        assert_eq!(finished.code, Some(checked.code), "{arguments:?}");
        if checked.code != 0 {
            return;
        }
        let said: Vec<String> = finished
            .messages()
            .into_iter()
            .filter(|line| line.starts_with("tracking "))
            .map(str::to_owned)
            .collect();
        let expected: Vec<String> = interfaces(&report).iter().map(foretold).collect();
        assert_eq!(said, expected, "{arguments:?}");
    });
}

#[test]
#[ignore = "root"]
fn interfaces_are_described() {
    let pair = Pair::with_mtu(1400);
    let iface = pair.a.iface();
    pair.a.ip_batch("tuntap add dev tun0 mode tun");
    let outside = Netns::new("outside");
    let arguments = ["-N", pair.a.name(), "-i", iface, "-i", "lo,tun0", "-j"];
    let report = check(&outside, &arguments).json();
    assert_eq!(report["netns"], pair.a.name());
    let [veth, lo, tun] = [0, 1, 2].map(|at| &interfaces(&report)[at]);
    assert_eq!(veth["name"], iface);
    assert_eq!(
        (&veth["driver"], &veth["mtu"]),
        (&"veth".into(), &1400.into())
    );
    assert_eq!(
        (&veth["ethernet"], &veth["up"]),
        (&true.into(), &true.into())
    );
    assert_eq!(veth["received"], tc());
    assert_eq!(veth["received_else"], Value::Null);
    assert_eq!((&lo["loopback"], &lo["mtu"]), (&true.into(), &65536.into()));
    assert_eq!(
        (&tun["driver"], &tun["ethernet"]),
        (&"tun".into(), &false.into())
    );
    assert_eq!(about(tun, "state").unwrap().0, "note");
    assert_eq!(about(lo, "state"), None);
    let machine = &report["machine"];
    for (key, value) in [("btf", true), ("programs_load", true), ("names", true)] {
        assert_eq!(machine[key], value, "{key}");
    }
    let release = nix::sys::utsname::uname().unwrap();
    assert_eq!(machine["kernel"], release.release().to_str().unwrap());
    assert!(machine["table_bytes"].as_u64().unwrap() > 1 << 20);
}

/// Where native XDP costs others something, TC is taken unasked, and why is said; asked for, it is XDP, and what it costs is said.
#[test]
#[ignore = "root"]
fn what_xdp_costs_others_is_told() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    pair.a.ip_batch("tuntap add dev tap0 mode tap");
    let told = |iface: &str, subject: &str, flags: &[&str]| {
        let arguments = [&["-i", iface, "-j"], flags].concat();
        about(&interfaces(&check(&pair.a, &arguments).json())[0], subject)
    };
    let said = |mark: &str, text: String| Some((mark.to_owned(), text));
    let cut =
        "native XDP makes the other end of a veth cut its large packets, which slows TCP down";
    let received = format!("{}: {cut}. ", tc());
    assert_eq!(told(iface, "received", &[]), said("ok", received));
    assert_eq!(told(iface, "cost", &[]), None);
    let asked_for = ["--hook", "xdp"];
    let cost = format!("{cut}. --hook tc does not");
    assert_eq!(told(iface, "cost", &asked_for), said("note", cost));

    let counted = "counts a large packet of a virtual machine as one, and copies it";
    let received = format!("{}: native XDP {counted}. ", tc());
    assert_eq!(told("tap0", "received", &[]), said("ok", received));
    let (mark, text) = told("tap0", "received", &asked_for).unwrap();
    assert_eq!(mark, "note");
    assert!(
        text.contains("counts may be too low; --hook tc is exact"),
        "{text}"
    );
}

/// Tags that are off before XDP are worth a word only where it is so.
#[test]
#[ignore = "root"]
fn tags_that_are_taken_off_are_told() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let said = |flags: &[&str]| {
        let mut arguments = vec!["-i", iface, "-j"];
        arguments.extend(flags);
        let report = check(&pair.a, &arguments).json();
        let interface = &interfaces(&report)[0];
        let rxvlan = interface["offloads"]["rxvlan"].as_bool().unwrap();
        (rxvlan, about(interface, "VLAN"))
    };
    let (on, told) = said(&["--hook", "xdp"]);
    assert!(on);
    let (mark, text) = told.unwrap();
    assert_eq!(mark, "note");
    let way_out = format!("ethtool -K {iface} rxvlan off, or --hook tc");
    assert!(text.ends_with(&way_out), "{text}");
    assert_eq!(said(&["--hook", "tc"]), (true, None));
    Process::run(
        pair.a
            .command("ethtool")
            .args(["-K", iface, "rxvlan", "off"]),
    );
    assert_eq!(said(&["--hook", "xdp"]), (false, None));
}

/// Others' programs are named, at XDP and at both kinds of TC.
#[test]
#[ignore = "root"]
fn programs_of_others_are_named() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let directory = TempDir::new("foreign");
    let object = foreign_program(&directory);
    let object = object.to_str().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        Process::run(pair.a.command(program).args(arguments));
    };
    run(
        "ip",
        &[
            "link", "set", "dev", iface, "xdpdrv", "obj", object, "sec", "xdp",
        ],
    );
    run("tc", &["qdisc", "add", "dev", iface, "clsact"]);
    run(
        "tc",
        &[
            "filter", "add", "dev", iface, "ingress", "bpf", "da", "obj", object, "sec", "tc",
        ],
    );
    let (_, id) = xdp_program(&pair.a, iface).unwrap();

    let report = check(&pair.a, &["-i", iface, "-j"]).json();
    let interface = &interfaces(&report)[0];
    assert_eq!(interface["xdp_program"]["id"], id);
    assert_eq!(interface["xdp_program"]["name"], "pass");
    assert_eq!(interface["xdp_program"]["mode"], "native");
    assert_eq!(interface["received"], tc());
    let (mark, text) = about(interface, "received").unwrap();
    assert_eq!(mark, "note");
    assert!(
        text.contains(&format!("XDP program named pass (id {id}, native)")),
        "{text}"
    );
    let filter = &interface["tc_programs"]["ingress"][0];
    assert_eq!(filter["hook"], "TC (clsact)", "{filter}");
    assert!(
        filter["name"].as_str().unwrap().contains("foreign.o:[tc]"),
        "{filter}"
    );
    assert_eq!(interface["tc_programs"]["egress"], Value::Array(Vec::new()));

    let checked = check(&pair.a, &["-i", iface, "-j", "--hook", "xdp"]);
    assert_eq!(checked.code, 1);
    let report = checked.json();
    let (mark, text) = about(&interfaces(&report)[0], "received").unwrap();
    assert_eq!(mark, "problem");
    assert!(
        text.contains("named pass")
            && text.ends_with("then udptrack sees the packets that it passes on"),
        "{text}"
    );
    assert_eq!(
        checked.stderr,
        format!("udptrack: a run with these flags will not work: {iface} received\n")
    );
    assert_eq!(xdp_program(&pair.a, iface).unwrap().1, id);
}

/// Another run is one of those others.
#[test]
#[ignore = "root"]
fn another_run_is_seen() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let first = Udptrack::start(&pair.a, &["-i", iface, "-j", "--hook", "xdp"]);
    let report = check(&pair.a, &["-i", iface, "-j"]).json();
    let interface = &interfaces(&report)[0];
    assert_eq!(interface["xdp_program"]["name"], "udp_track_xdp");
    assert_eq!(
        interface["tc_programs"]["egress"][0]["name"],
        "udp_track_egres"
    );
    assert_eq!(interface["tc_programs"]["egress"][0]["hook"], tc());
    let _ = first.stop().success();
}

/// What a run needs open is counted, the soft limit is no limit, and where the hard one is too low, both say so.
#[test]
#[ignore = "root"]
fn open_files_are_counted() {
    let netns = Netns::new("files");
    let lines: Vec<String> = (0..8)
        .map(|n| format!("tuntap add dev d{n} mode tap"))
        .collect();
    netns.ip_batch(&lines.join("\n"));
    let limited = |limit: &str, arguments: &[&str]| {
        let mut command = netns.command("prlimit");
        command.arg(format!("--nofile={limit}"));
        command
            .arg(PROGRAM)
            .args(arguments)
            .args(["-i", "any", "-j"]);
        command
    };
    let run = |limit: &str| {
        let mut command = limited(limit, &["-p", "--duration", "1ms"]);
        Udptrack::spawn_command(&mut command, usize::MAX).wait()
    };
    let checked = Checked::of(&mut limited("64:4096", &["check", "-p"]));
    let machine = &checked.json()["machine"];
    assert_eq!(machine["open_files_limit"], 4096);
    let needed = machine["open_files"].as_u64().unwrap();
    // Two hooks on each, one on lo, and what is always there.
    assert_eq!(needed, 8 * 2 + 1 + 128);
    assert_eq!(about(machine, "open files").unwrap().0, "ok");
    let _ = run("64:4096").success();
    let _ = run(&format!("{needed}:{needed}")).success();

    let less = needed - 1;
    let limit = format!("{less}:{less}");
    let checked = Checked::of(&mut limited(&limit, &["check"]));
    assert_eq!(checked.code, 1);
    let (mark, text) = about(&checked.json()["machine"], "open files").unwrap();
    assert_eq!(mark, "problem");
    let refused = run(&limit).failure(1);
    let said = refused.stderr.trim().strip_prefix("udptrack: ").unwrap();
    assert_eq!(format!("{said}. "), text);
}

/// Wrong alerts, collectors that are not there and addresses that are taken fail a check as they fail a run.
#[test]
#[ignore = "root"]
fn what_a_run_opens_is_tried() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let _taken = pair
        .a
        .enter(|| std::net::TcpListener::bind("127.0.0.1:9817").unwrap());
    for (flags, subject) in [
        (vec!["--alert", "lost >"], None),
        (vec!["--ipfix", "collector.invalid:4739"], Some("ipfix")),
        (vec!["--metrics", "127.0.0.1:9817"], Some("metrics")),
    ] {
        let mut arguments = vec!["-i", iface, "-j"];
        arguments.extend(&flags);
        let checked = check(&pair.a, &arguments);
        arguments.extend(["--duration", "1ms"]);
        let run = Udptrack::spawn(&pair.a, &arguments).wait();
        assert_eq!(run.code, Some(checked.code), "{flags:?}");
        let Some(subject) = subject else {
            assert_eq!(
                (checked.code, checked.stderr.trim()),
                (2, run.stderr.trim())
            );
            assert!(checked.stdout.is_empty());
            continue;
        };
        let (mark, text) = about(&checked.json()["machine"], subject).unwrap();
        assert_eq!(mark, "problem");
        let said = run.stderr.trim().strip_prefix("udptrack: ").unwrap();
        assert_eq!(text, format!("{said}. "));
    }
    let arguments = ["-i", iface, "-j", "--metrics", "127.0.0.1:9818", "--ipfix"];
    let report = check(&pair.a, &[&arguments[..], &["127.0.0.1:4739"]].concat()).json();
    let machine = &report["machine"];
    assert_eq!(
        about(machine, "metrics").unwrap().1,
        "127.0.0.1:9818 is free. "
    );
    assert_eq!(about(machine, "ipfix").unwrap().0, "ok");
    // What waits for a collector takes memory: for each the same.
    let own = |collectors: &[&str]| {
        let flags = collectors.iter().flat_map(|to| ["--ipfix", to]);
        let all: Vec<&str> = ["-i", iface, "-j"].into_iter().chain(flags).collect();
        check(&pair.a, &all).json()["machine"]["own_bytes"]
            .as_u64()
            .unwrap()
    };
    let [none, one, two] = [
        &[][..],
        &["127.0.0.1:4739"],
        &["127.0.0.1:4739", "127.0.0.1:4740"],
    ]
    .map(own);
    assert!(one > none);
    assert_eq!(two - one, one - none);
}

/// What a shaping queue drops was counted as sent.
#[test]
#[ignore = "root"]
fn a_queue_that_shapes_is_told() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let told = |flags: &[&str]| {
        let arguments = [&["-i", iface, "-j"], flags].concat();
        about(&interfaces(&check(&pair.a, &arguments).json())[0], "queue")
    };
    assert_eq!(told(&[]), None);
    let shape = [
        "qdisc", "add", "dev", iface, "root", "tbf", "rate", "1mbit", "burst", "3kb",
    ];
    Process::run(pair.a.command("tc").args(shape).args(["limit", "3000"]));
    let text = format!(
        "sent packets count before the queue (tbf): packets that the queue drops count as sent. \
         tc -s qdisc show dev {iface} shows what it dropped"
    );
    assert_eq!(told(&[]), Some(("note".to_owned(), text)));
    assert_eq!(told(&["--no-egress"]), None);
}

/// Rules that translate addresses are told where several interfaces would see them at work, by check and by a run.
#[test]
#[ignore = "root"]
fn translation_of_addresses_is_told() {
    let pair = Pair::new();
    let told = |interfaces: &str| {
        let report = check(&pair.a, &["-i", interfaces, "-j"]).json();
        about(&report["machine"], "NAT").map(|(mark, _)| mark)
    };
    let nft = |ruleset: &str| {
        Process::run(pair.a.command("nft").arg(ruleset));
    };
    assert_eq!(told("any"), None);
    nft("add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }");
    assert_eq!(told("any"), None);
    nft("add rule ip nat out masquerade");
    assert_eq!(told("any"), Some("note".to_owned()));
    assert_eq!(told(pair.a.iface()), None);
    let arguments = ["-i", "any", "-j", "--duration", "1ms"];
    let said = Udptrack::spawn(&pair.a, &arguments).wait().success();
    assert!(said.stderr.contains("(NAT)"), "{said:?}");
}

/// Where a run takes the place for XDP, others who use it are named.
#[test]
#[ignore = "root"]
fn others_who_use_xdp_are_named() {
    let mut pair = Pair::new();
    pair.add_link();
    let [first, second] = [0, 1].map(|link| pair.a.ports[link].iface.clone());
    let directory = TempDir::new("foreign");
    let object = foreign_program(&directory);
    Process::run(
        pair.a
            .command("ip")
            .args(["link", "set", "dev", &second, "xdpdrv", "obj"])
            .arg(&object)
            .args(["sec", "xdp"]),
    );
    let told = |flags: &[&str]| {
        let arguments = [&["-i", &first, "-j"], flags].concat();
        about(&check(&pair.a, &arguments).json()["machine"], "XDP")
    };
    let (mark, text) = told(&["--hook", "xdp"]).unwrap();
    assert_eq!(mark, "note");
    assert!(text.contains("the loaded program pass"), "{text}");
    assert!(text.ends_with("--hook tc leaves the place free"), "{text}");
    assert_eq!(told(&[]), None);
}

/// Ids of programs, links and maps of udptrack's, of all processes.
fn objects() -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for kind in ["prog", "link", "map"] {
        let output = Command::new("bpftool")
            .args(["-j", kind, "show"])
            .output()
            .unwrap();
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        // What another process lets go of while bpftool looks has an error in place of its id.
        let ids = all
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["id"].as_u64());
        found.extend(ids.map(|id| (kind.to_owned(), id)));
    }
    found
}

/// Nothing is left, nothing was ever attached: no program, link, map, queueing discipline or pin.
#[test]
#[ignore = "root"]
fn nothing_is_changed() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let attached = || {
        let net = Process::run(pair.a.command("bpftool").args(["-j", "net", "show"])).stdout;
        let qdiscs = Process::run(pair.a.command("tc").args(["qdisc", "show"])).stdout;
        (net, qdiscs)
    };
    let before = attached();
    let objects_before = objects();
    // A bpffs of its own, whose files are listed at the end; two are the kernel's.
    let script = format!(
        "mount -t bpf none /sys/fs/bpf && {PROGRAM} check -p -i {iface} -j && find /sys/fs/bpf -mindepth 1 ! -name '*.debug'"
    );
    let checked = Checked::of(pair.a.command("unshare").args([
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
    ]));
    let report = checked.json();
    assert_eq!(report["machine"]["pins"], true);
    assert_eq!(attached(), before);
    assert_bare(&pair.a, iface);
    // The kernel frees them a moment after the process has gone.
    let fresh: BTreeSet<_> = objects().difference(&objects_before).cloned().collect();
    wait_for("the end of what was loaded", SOON, || {
        objects().is_disjoint(&fresh).then_some(())
    });
}

/// A copy where everybody may run it.
fn for_everybody(directory: &TempDir) -> String {
    let program = directory.copy(PROGRAM, "udptrack");
    program.to_str().unwrap().to_owned()
}

fn as_nobody(bpffs: &Bpffs, netns: &Netns, program: &str, rights: &str) -> Command {
    // Older kernels count tables as locked memory, of which a user has little.
    let mut command = if is_at_least(5, 11) {
        bpffs.command_in(netns, "setpriv")
    } else {
        let mut command = bpffs.command_in(netns, "prlimit");
        command.args(["--memlock=unlimited", "setpriv"]);
        command
    };
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([
        &format!("--inh-caps={rights}"),
        &format!("--ambient-caps={rights}"),
        &format!("--bounding-set={rights}"),
        program,
    ]);
    command
}

/// Before Linux 5.11 rights are not enough; with the limit raised they are (`missing_rights_are_named`).
#[test]
#[ignore = "root"]
fn memory_that_may_not_be_locked_is_told() {
    if is_at_least(5, 11) {
        println!("SKIPPED: this kernel does not count tables as locked memory");
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let directory = TempDir::new("nobody");
    let program = for_everybody(&directory);
    let rights = "-all,+bpf,+net_admin,+perfmon";
    let limited = |arguments: &[&str]| {
        let mut command = as_nobody(&bpffs, &pair.a, "prlimit", rights);
        command.args(["--memlock=65536:65536", &program]);
        command.args(arguments).args(["-i", pair.a.iface(), "-j"]);
        command
    };
    let checked = Checked::of(&mut limited(&["check"]));
    assert_eq!(checked.code, 1);
    assert_eq!(checked.json()["machine"]["programs_load"], false);
    assert!(checked.stdout.contains("ulimit -l"), "{}", checked.stdout);
    let run = Udptrack::spawn_command(&mut limited(&["--duration", "1ms"]), usize::MAX);
    let refused = run.wait().failure(1);
    assert!(refused.stderr.contains("ulimit -l"), "{refused:?}");
}

#[test]
#[ignore = "root"]
fn missing_rights_are_named() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    // What a user pins belongs to him: nobody else could pin there.
    let bpffs = Bpffs::new();
    let directory = TempDir::new("nobody");
    let program = for_everybody(&directory);
    for (rights, missing) in [
        ("-all", vec!["cap_bpf", "cap_net_admin", "cap_perfmon"]),
        ("-all,+bpf,+perfmon", vec!["cap_net_admin"]),
        ("-all,+net_admin,+bpf", vec!["cap_perfmon"]),
        ("-all,+bpf,+net_admin,+perfmon", vec![]),
    ] {
        let checked = Checked::of(
            as_nobody(&bpffs, &pair.a, &program, rights).args(["check", "-i", iface, "-j"]),
        );
        assert_eq!(checked.code, i32::from(!missing.is_empty()), "{rights}");
        let report = checked.json();
        let machine = &report["machine"];
        assert_eq!(
            machine["missing_capabilities"],
            Value::from(missing.clone())
        );
        // What can be told is told.
        assert_eq!(
            foretold(&interfaces(&report)[0]),
            format!("tracking {iface}: received by {0}, sent by {0}", tc())
        );
        let mut run = as_nobody(&bpffs, &pair.a, &program, rights);
        run.args(["-i", iface, "-j", "--duration", "1ms"]);
        let finished = Udptrack::spawn_command(&mut run, usize::MAX).wait();
        assert_eq!(finished.code, Some(checked.code), "{rights}");
        let (mark, text) = about(machine, "rights").unwrap();
        if missing.is_empty() {
            assert_eq!(mark, "ok");
            continue;
        }
        assert_eq!(machine["programs_load"], Value::Null);
        assert_eq!(mark, "problem");
        let way_out = format!("sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {program}");
        assert!(
            text.starts_with(&format!("missing: {}. ", missing.join(", "))),
            "{text}"
        );
        assert!(text.ends_with(&way_out), "{text}");
    }
}

/// A container without root has all capabilities, and none that counts.
#[test]
#[ignore = "root"]
fn a_user_namespace_is_told() {
    let netns = Netns::new("user");
    let checked = Checked::of(netns.command("unshare").args([
        "--user",
        "--map-root-user",
        PROGRAM,
        "check",
        "-i",
        "lo",
        "-j",
    ]));
    assert_eq!(checked.code, 1);
    let (mark, text) = about(&checked.json()["machine"], "rights").unwrap();
    assert_eq!(mark, "problem");
    assert!(text.contains("user namespace"), "{text}");
}

/// Without a bpffs tracking works, but cannot be kept; who hides it is named.
#[test]
#[ignore = "root"]
fn a_bpffs_that_is_not_there_is_told() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let without = |flags: &str| {
        let script = format!(
            "mount -t tmpfs none /sys/fs/bpf && exec {PROGRAM} check -i {iface} -j {flags}"
        );
        Checked::of(pair.a.command("unshare").args([
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            &script,
        ]))
    };
    let checked = without("");
    assert_eq!(checked.code, 0);
    let (mark, text) = about(&checked.json()["machine"], "bpffs").unwrap();
    assert_eq!(mark, "note");
    assert!(
        text.contains("mount -t bpf -o mode=0700 bpf /sys/fs/bpf"),
        "{text}"
    );
    let checked = without("--keep");
    assert_eq!(checked.code, 1);
    assert_eq!(
        about(&checked.json()["machine"], "bpffs").unwrap().0,
        "problem"
    );

    let name = pair.a.name();
    let hidden = Checked::of(
        Command::new("ip").args(["netns", "exec", name, PROGRAM, "check", "-i", iface, "-j"]),
    );
    assert_eq!(hidden.code, 0);
    let (mark, text) = about(&hidden.json()["machine"], "bpffs").unwrap();
    assert_eq!(mark, "note");
    assert!(
        text.contains(&format!("hidden by `ip netns exec {name}`")),
        "{text}"
    );
    assert!(text.contains(&format!("udptrack -N {name}")), "{text}");
}

/// The text says the same, a finding in a line; colours are for terminals, or who asks.
#[test]
#[ignore = "root"]
fn the_text_says_the_same() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let report = check(&pair.a, &["-i", iface, "-j"]).json();
    // CSV, as it takes the memory that JSON takes.
    let checked = check(&pair.a, &["-i", iface, "-o", "csv"]);
    assert_eq!((checked.code, &*checked.stderr), (0, ""));
    let mut lines = checked.stdout.lines();
    assert_eq!(lines.next(), Some("this machine"));
    let machine = report["machine"]["findings"].as_array().unwrap();
    let interface = interfaces(&report)[0]["findings"].as_array().unwrap();
    for finding in machine {
        assert_line(lines.next().unwrap(), finding);
    }
    assert_eq!(lines.next(), Some(&*format!("{iface}: veth, MTU 1500, up")));
    for finding in interface {
        assert_line(lines.next().unwrap(), finding);
    }
    assert_eq!(lines.next(), Some("a run with these flags will work"));
    assert_eq!(lines.next(), None);
    assert!(!checked.stdout.contains('\x1b'));
    let colored = check(&pair.a, &["-i", iface, "--color", "always"]).stdout;
    assert!(colored.contains("\x1b[32mok"), "{colored:?}");
}

fn assert_line(line: &str, finding: &Value) {
    let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], word("mark"), "{line}");
    assert!(line.contains(&word("subject")), "{line}");
    // What is left of the memory changes from one check to the next.
    let text = word("text");
    let stays = text
        .split_once("; ")
        .filter(|_| word("subject") == "memory");
    let stays = stays.map_or(&*text, |(stays, _)| stays);
    assert!(line.contains(stays), "{line}");
    assert!(line.ends_with(&word("way_out")), "{line}");
}

/// Without any rights, and on whatever machine: it ends, and tells.
#[test]
fn it_needs_no_rights() {
    let checked = Checked::of(Command::new(PROGRAM).args(["check", "-i", "lo", "-j"]));
    let report = checked.json();
    assert_eq!(interfaces(&report)[0]["name"], "lo");
    assert!(Path::new("/sys/kernel/btf/vmlinux").exists() == (report["machine"]["btf"] == true));
    for wrong in [
        vec!["check", "port", "none"],
        vec!["check", "--hook", "tc", "--xdp-mode", "native"],
    ] {
        assert_eq!(
            Checked::of(Command::new(PROGRAM).args(&wrong)).code,
            2,
            "{wrong:?}"
        );
    }
}
