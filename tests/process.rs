//! Which process: of senders and of servers that only receive, of sockets that were open before and of those that are
//! gone, in containers, behind links, on loopback; and what must have no name.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::bpffs::Bpffs;
use common::kernel::Objects;
use common::netns::{Injector, Netns, Pair, connect};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::{Ip, SOON, TempDir, both_families_at_once, frames, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

both_families_at_once!(
    dig_and_its_server
    a_server_that_only_receives
    a_socket_of_before
    a_sender_for_a_moment
    both_ends_on_loopback
    forwarded
    a_socket_that_others_inherited
);

/// Hooks that are one link on each kernel: before Linux 6.6 those of TC are none.
const ONE_LINK: [&str; 3] = ["--hook", "xdp", "--no-egress"];

fn start(netns: &Netns) -> Udptrack {
    Udptrack::start(netns, &["-i", netns.iface(), "-j", "-p"])
}

/// What the record of the one connection with this port says beside the counts.
fn own_part(finished: &Finished, event: &str, port: u16) -> Value {
    let mut records: Vec<Value> = finished
        .records()
        .into_iter()
        .filter(|record| record["udptrack"]["event"] == event)
        .filter(|record| record["src_port"] == port || record["dest_port"] == port)
        .collect();
    assert_eq!(records.len(), 1, "{finished:#?}");
    records.remove(0)["udptrack"].take()
}

fn assert_process(process: &Value, command: &str, pid: u32) {
    assert_eq!(process["command"], command, "{process}");
    assert_eq!(process["pid"], pid, "{process}");
    assert_eq!(
        (&process["user"], &process["uid"]),
        (&"root".into(), &0.into())
    );
}

fn pid(process: &Process) -> u32 {
    process.pid().as_raw().unsigned_abs()
}

/// A netcat that waits for a datagram, and prints it.
fn netcat(netns: &Netns, address: SocketAddr) -> Process {
    let mut command = netns.command("nc");
    command.args(["-u", "-n", "-l", &address.ip().to_string()]);
    Process::serve(netns, command.arg(address.port().to_string()), &[address])
}

/// A netcat that sends a datagram and ends.
fn send(netns: &Netns, to: SocketAddr) -> u32 {
    let mut command = netns.command("nc");
    command.args(["-u", "-n", "-q0", &to.ip().to_string()]);
    let mut sender = Process::start(command.arg(to.port().to_string()));
    let pid = pid(&sender);
    sender.write("a line\n");
    sender.close_stdin();
    let _ = sender.wait(SOON).success("nc");
    pid
}

fn wait_for_line(server: &Process) {
    wait_for("the line", SOON, || {
        (server.stdout() == "a line\n").then_some(())
    });
}

fn dig_and_its_server(ip: Ip) {
    let pair = Pair::new();
    let address = pair.b.ip(ip).to_string();
    let directory = TempDir::new("dnsmasq");
    let server = Process::serve(
        &pair.b,
        pair.b
            .command("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
            ])
            .args(["--no-hosts", "--bind-interfaces", "--user=root"])
            .arg("--address=/test/10.1.2.3")
            .arg(format!("--listen-address={address}"))
            .arg(format!("--pid-file={}/pid", directory.path().display())),
        &[pair.b.addr(ip, 53)],
    );
    let udptrack = start(&pair.a);
    let mut command = pair.a.command("dig");
    let dig =
        Process::start(command.args([&format!("@{address}"), "+time=10", "+tries=1", "a.test"]));
    let dig_pid = pid(&dig);
    let answer = dig.wait(SOON).success("dig");
    assert!(answer.stdout.contains("10.1.2.3"), "{}", answer.stdout);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 53);
    assert_process(&own["process"]["originator"], "dig", dig_pid);
    // The server is behind the link, in another namespace of this machine.
    assert_process(&own["process"]["responder"], "dnsmasq", pid(&server));
    assert_eq!(own.get("forwarded"), None);
}

fn a_server_that_only_receives(ip: Ip) {
    let pair = Pair::new();
    let udptrack = start(&pair.b);
    let address = pair.b.addr(ip, 7000);
    let server = netcat(&pair.b, address);
    let sender = send(&pair.a, address);
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 7000);
    assert_eq!(own["status"], "UNREPLIED");
    assert_process(&own["process"]["responder"], "nc", pid(&server));
    assert_process(&own["process"]["originator"], "nc", sender);
}

fn a_socket_of_before(ip: Ip) {
    let pair = Pair::new();
    let address = pair.b.addr(ip, 7000);
    let server = netcat(&pair.b, address);
    let arguments = ["-i", pair.b.iface(), "-j", "-p", "-e", "new,end"];
    let mut udptrack = Udptrack::start(&pair.b, &arguments);
    send(&pair.a, address);
    wait_for_line(&server);
    udptrack.wait_for_line("a new connection", |line| line.contains(r#""event":"new""#));
    let finished = udptrack.stop().success();
    for event in ["new", "end"] {
        let own = own_part(&finished, event, 7000);
        assert_process(&own["process"]["responder"], "nc", pid(&server));
    }
}

/// An unconnected socket, gone as soon as it has sent; its process lives on.
fn a_sender_for_a_moment(ip: Ip) {
    let pair = Pair::new();
    let udptrack = start(&pair.a);
    let socket = pair.a.udp(SocketAddr::new(pair.a.ip(ip), 0));
    let port = socket.local_addr().unwrap().port();
    // Nobody listens there, and the other namespace says so.
    socket.send_to(b"x", pair.b.addr(ip, 9)).unwrap();
    drop(socket);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", port);
    let command = fs::read_to_string("/proc/self/comm").unwrap();
    let process = &own["process"]["originator"];
    assert_process(process, command.trim_end(), std::process::id());
    assert_eq!(own["process"].get("responder"), None);
}

fn both_ends_on_loopback(ip: Ip) {
    let netns = Netns::new("lo");
    let address: SocketAddr = match ip {
        Ip::V4 => "127.0.0.1:7000".parse().unwrap(),
        Ip::V6 => "[::1]:7000".parse().unwrap(),
    };
    let udptrack = Udptrack::start(&netns, &["-i", "lo", "-j", "-p"]);
    let server = netcat(&netns, address);
    let sender = send(&netns, address);
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 7000);
    assert_process(&own["process"]["originator"], "nc", sender);
    assert_process(&own["process"]["responder"], "nc", pid(&server));
}

/// Through a router that itself has a server on port 53, bound to no address: that is asked only when it is asked.
fn forwarded(ip: Ip) {
    let (mut left, mut router, mut right) = (
        Netns::new("left"),
        Netns::new("router"),
        Netns::new("right"),
    );
    connect(&mut left, &mut router, 0, 1500);
    connect(&mut router, &mut right, 1, 1500);
    let (source, destination): (SocketAddr, SocketAddr) = match ip {
        Ip::V4 => (
            "192.0.2.1:4000".parse().unwrap(),
            "198.51.100.1:53".parse().unwrap(),
        ),
        Ip::V6 => (
            "[2001:db8:1::1]:4000".parse().unwrap(),
            "[2001:db8:2::1]:53".parse().unwrap(),
        ),
    };
    router.enter(|| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    });
    let next = right.ports[0].ip(ip);
    router.ip_batch(&format!("route add {} via {next}", destination.ip()));
    let any: SocketAddr = match ip {
        Ip::V4 => "0.0.0.0:53".parse().unwrap(),
        Ip::V6 => "[::]:53".parse().unwrap(),
    };
    let server: UdpSocket = router.udp(any);
    let both = format!("{},{}", router.ports[0].iface, router.ports[1].iface);
    let udptrack = Udptrack::start_on(&router, 2, &["-i", &both, "-j", "-p"]);
    let injector = Injector::new(&left, left.iface());
    let mut frame = frames::udp(source, destination, b"query");
    frame[..6].copy_from_slice(&router.ports[0].mac);
    injector.send(&frame);
    let client = left.udp(left.addr(ip, 4001));
    client.send_to(b"query", router.addr(ip, 53)).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(server.recv(&mut buffer).unwrap(), 5);
    let finished = udptrack.stop().success();
    let passing = own_part(&finished, "end", 4000);
    assert_eq!(passing["forwarded"], true, "{passing}");
    assert_eq!(passing.get("process"), None, "{passing}");
    // It did go on, out of the other interface.
    assert_eq!(finished.stats().skipped["other-interface"].packets, 1);
    let own = own_part(&finished, "end", 4001);
    assert_eq!(
        own["process"]["responder"]["pid"],
        std::process::id(),
        "{own}"
    );
    assert_eq!(own.get("forwarded"), None);
}

/// A child sends over its parent's socket: the parent opened it, and has it still.
fn a_socket_that_others_inherited(ip: Ip) {
    let pair = Pair::new();
    let udptrack = start(&pair.a);
    let address = pair.b.addr(ip, 7000);
    let server = netcat(&pair.b, address);
    let script = format!(
        "exec 3<>/dev/udp/{}/7000 && (echo a line >&3) && read -r _",
        address.ip()
    );
    let parent = Process::start(pair.a.command("bash").args(["-c", &script]));
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 7000);
    assert_process(&own["process"]["originator"], "bash", pid(&parent));
}

/// A control group of version 2, removed on drop.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Self {
        let found = Command::new("findmnt")
            .args(["-n", "-t", "cgroup2", "-o", "TARGET", "--first-only"])
            .output()
            .expect("findmnt (package util-linux) runs");
        let root = String::from_utf8(found.stdout).unwrap();
        assert!(found.status.success(), "no cgroup2 is mounted");
        let path = Path::new(root.trim_end()).join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// A command that moves into the group before it becomes the program.
    fn command(&self, netns: &Netns, program: &[&str]) -> Command {
        let mut command = netns.command("sh");
        command
            .args(["-c", r#"echo $$ >"$0/cgroup.procs" && exec "$@""#])
            .arg(&self.0)
            .args(program);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let start = std::time::Instant::now();
        while let Err(error) = fs::remove_dir(&self.0) {
            // A process that has ended leaves its group a moment later.
            if start.elapsed() > common::patient(SOON) {
                eprintln!("cannot remove {}: {error}", self.0.display());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

#[test]
#[ignore = "root"]
fn a_container() {
    let pair = Pair::new();
    // 64 digits that no other test has: the id of this process and nothing else.
    let id = format!(
        "{:064x}",
        0xabc_0000_0000_u64 + u64::from(std::process::id())
    );
    let id: String = id.chars().rev().collect();
    let cgroup = Cgroup::new(&format!("docker-{id}.scope"));
    let udptrack = start(&pair.b);
    let address = pair.b.addr(Ip::V4, 7000);
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = cgroup.command(&pair.b, &["nc", "-u", "-n", "-l", &host, &port]);
    let server = Process::serve(&pair.b, &mut command, &[address]);
    // This one is gone when it is asked about.
    let mut command = cgroup.command(&pair.a, &["nc", "-u", "-n", "-q0", &host, &port]);
    let mut sender = Process::start(&mut command);
    sender.write("a line\n");
    sender.close_stdin();
    let _ = sender.wait(SOON).success("nc");
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 7000);
    let server_pid = pid(&server);
    drop(server);
    for end in ["originator", "responder"] {
        let process = &own["process"][end];
        assert_eq!(process["command"], "nc", "{own}");
        assert_eq!(process["container"], id[..12], "{own}");
        assert_eq!(process["cgroup"], format!("/docker-{id}.scope"), "{own}");
    }
    assert_eq!(own["process"]["responder"]["pid"], server_pid);
}

#[test]
#[ignore = "root"]
fn a_hostile_name() {
    let pair = Pair::new();
    let directory = TempDir::new("hostile");
    let name = "\u{1b}]0;x\u{7}\u{202e}\"\\nc";
    let program = directory.copy("/usr/bin/nc", name);
    let udptrack = start(&pair.b);
    let address = pair.b.addr(Ip::V4, 7000);
    let mut command = pair.b.command(&program);
    command.args(["-u", "-n", "-l", &address.ip().to_string(), "7000"]);
    let server = Process::serve(&pair.b, &mut command, &[address]);
    send(&pair.a, address);
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let text = finished.stdout.join("\n") + &finished.stderr;
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    let own = own_part(&finished, "end", 7000);
    assert_process(&own["process"]["responder"], name, pid(&server));
}

/// As on a kernel, or in a container, that has no control groups to attach to.
#[test]
#[ignore = "root"]
fn without_control_groups() {
    let pair = Pair::new();
    let mut command = pair.b.command("unshare");
    let script = "while at=$(findmnt -n -t cgroup2 -o TARGET --first-only); do umount -l \"$at\" || exit 9; done\n\
        exec \"$0\" \"$@\"";
    command
        .args([
            "--mount",
            "sh",
            "-c",
            script,
            env!("CARGO_BIN_EXE_udptrack"),
        ])
        .args(["-i", pair.b.iface(), "-j", "-p"]);
    let udptrack = Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1);
    let address = pair.b.addr(Ip::V4, 7000);
    let server = netcat(&pair.b, address);
    send(&pair.a, address);
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let messages = finished.messages();
    let said = messages
        .iter()
        .filter(|line| line.contains("process"))
        .collect::<Vec<_>>();
    assert_eq!(
        said,
        [
            &"udptrack does not name processes that live for less than about a second: no cgroup2 file system is mounted"
        ]
    );
    let own = own_part(&finished, "end", 7000);
    assert_process(&own["process"]["responder"], "nc", pid(&server));
}

#[test]
#[ignore = "root"]
fn nothing_unless_asked_for() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(
        &pair.b,
        &[&["-i", pair.b.iface(), "-j"], &ONE_LINK[..]].concat(),
    );
    let links = udptrack.objects(1);
    let address = pair.b.addr(Ip::V4, 7000);
    let server = netcat(&pair.b, address);
    send(&pair.a, address);
    wait_for_line(&server);
    let finished = udptrack.stop().success();
    let own = own_part(&finished, "end", 7000);
    assert_eq!((own.get("process"), own.get("forwarded")), (None, None));
    links.assert_gone();
}

/// An iterator and a hook on all control groups beside the one on the interface.
#[test]
#[ignore = "root"]
fn nothing_stays_after_a_kill() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let spawn = |arguments: &[&str]| {
        let mut command = bpffs.command_in(&pair.b, env!("CARGO_BIN_EXE_udptrack"));
        Udptrack::spawn_command(command.args(arguments), usize::MAX)
    };
    let arguments = [&["-i", pair.b.iface(), "-j", "-p"], &ONE_LINK[..]].concat();
    let udptrack = spawn(&arguments).until_tracking(1);
    let objects: Objects = udptrack.objects(3);
    udptrack.signal(Signal::SIGKILL);
    assert_eq!(udptrack.wait().code, None);
    // Its tables may be pinned by now: whoever comes next removes them.
    let next = spawn(&["list"]).wait();
    assert_eq!(next.code, Some(1), "{next:?}");
    objects.assert_gone();
}

/// Two runs at once, with hooks on the same control group: both have all names.
#[test]
#[ignore = "root"]
fn two_runs_at_once() {
    let pair = Pair::new();
    let (first, second) = (start(&pair.a), start(&pair.b));
    let address = pair.b.addr(Ip::V4, 7000);
    let server = netcat(&pair.b, address);
    let sender = send(&pair.a, address);
    wait_for_line(&server);
    for udptrack in [first, second] {
        let finished = udptrack.stop().success();
        let own = own_part(&finished, "end", 7000);
        assert_process(&own["process"]["originator"], "nc", sender);
        assert_process(&own["process"]["responder"], "nc", pid(&server));
    }
}
