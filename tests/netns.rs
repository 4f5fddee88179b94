//! `-N`: tracking in another network namespace than one's own, without leaving one's own files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use common::netns::{Netns, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, both_families_at_once, wait_for};
use nix::sys::signal::Signal;

both_families_at_once!(counts_and_names_of_another_namespace);

/// Started in a namespace without any interface but `lo`.
fn from_outside(outside: &Netns, arguments: &[&str]) -> Udptrack {
    Udptrack::spawn(outside, arguments).until_tracking(1)
}

fn counts_and_names_of_another_namespace(ip: Ip) {
    let pair = Pair::new();
    let outside = Netns::new("outside");
    let path = pair.a.path().display().to_string();
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(ip, 45_000)),
        pair.b.udp(pair.b.addr(ip, 4000)),
    );
    for namespace in [pair.a.name(), &path] {
        let before = talk.total();
        let arguments = ["-N", namespace, "-i", pair.a.iface(), "-j", "-p"];
        let udptrack = from_outside(&outside, &arguments);
        talk.turn();
        talk.ask(1000);
        let sender = send(&pair.a, &pair.b, ip);
        let finished = udptrack.stop().success();
        let stats = finished.assert_books();
        let mut both = stats.tracked;
        both += before;
        // The line that netcat sent.
        both.packets -= 1;
        both.bytes -= ip.overhead() + 7;
        assert_eq!(both, talk.total());
        let records = finished.records();
        let line = records
            .iter()
            .find(|record| record["dest_port"] == 4001)
            .unwrap();
        let process = &line["udptrack"]["process"]["originator"];
        assert_eq!(process["command"], "nc", "{line}");
        assert_eq!(process["pid"], sender, "{line}");
    }
}

/// A netcat in `from` that sends a line and ends.
fn send(from: &Netns, to: &Netns, ip: Ip) -> u32 {
    let receiver = to.udp(to.addr(ip, 4001));
    receiver.set_read_timeout(Some(SOON)).unwrap();
    let mut command = from.command("nc");
    command.args(["-u", "-n", "-q0", &to.ip(ip).to_string(), "4001"]);
    let mut sender = Process::start(&mut command);
    let pid = sender.pid().as_raw().unsigned_abs();
    sender.write("a line\n");
    sender.close_stdin();
    let _ = sender.wait(SOON).success("nc");
    assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 7);
    pid
}

/// Also the default route's interface, and the list of interfaces, are the other namespace's.
#[test]
#[ignore = "root"]
fn interfaces_are_those_of_the_namespace() {
    let pair = Pair::new();
    let outside = Netns::new("outside");
    pair.a
        .ip_batch(&format!("route add default via {}", pair.b.ip(Ip::V4)));
    let finished = Udptrack::spawn(&outside, &["-D", "-N", pair.a.name()]);
    let listed = finished.wait().success().stdout;
    assert!(listed[1].starts_with(pair.a.iface()), "{listed:?}");
    let finished = from_outside(&outside, &["-N", pair.a.name(), "-j", "--hook", "xdp"])
        .stop()
        .success();
    assert_eq!(
        finished.messages(),
        [format!(
            "tracking {}: received by XDP native, sent by {}",
            pair.a.iface(),
            common::kernel::tc()
        )]
    );
}

/// `ip netns exec` gives a namespace files of its own; the resolvers are taken from there, and asked from inside.
#[test]
#[ignore = "root"]
fn resolvers_are_those_of_the_namespace() {
    let pair = Pair::new();
    let outside = Netns::new("outside");
    let resolver = pair.b.udp(pair.b.addr(Ip::V4, 53));
    resolver.set_read_timeout(Some(SOON)).unwrap();
    let directory = TempDir::new("etc");
    let own = directory.path().join(pair.a.name());
    fs::create_dir(&own).unwrap();
    fs::write(
        own.join("resolv.conf"),
        format!("nameserver {}\n", pair.b.ip(Ip::V4)),
    )
    .unwrap();
    // A mount of its own: the machine's files stay as they are.
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/netns && mount --bind {} /etc/netns && \
         exec {} -N {} -i {} -j -e new,end --resolve -q",
        directory.path().display(),
        env!("CARGO_BIN_EXE_udptrack"),
        pair.a.name(),
        pair.a.iface()
    );
    let udptrack = Process::start(outside.command("unshare").args([
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
    ]));
    let addresses: [SocketAddr; 2] = [pair.a.addr(Ip::V4, 45_000), pair.b.addr(Ip::V4, 4000)];
    let mut talk = Talk::new(pair.a.udp(addresses[0]), pair.b.udp(addresses[1]));
    wait_for("a record", SOON, || {
        talk.ask(100);
        (!udptrack.stdout().is_empty()).then_some(())
    });
    let mut bytes = [0; 512];
    let (length, from) = resolver.recv_from(&mut bytes).unwrap();
    let question = String::from_utf8_lossy(&bytes[..length]).into_owned();
    assert!(question.contains("in-addr\u{4}arpa"), "{question:?}");
    assert_eq!(from.ip(), pair.a.ip(Ip::V4));
    let ended = udptrack.stop(Signal::SIGINT);
    assert!(ended.status.success(), "{ended:?}");
}

fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
#[ignore = "root"]
fn what_cannot_be_entered_is_told() {
    let netns = Netns::new("inside");
    let directory = TempDir::new("nobody");
    // Where nobody may run it.
    let program = directory.copy(env!("CARGO_BIN_EXE_udptrack"), "udptrack");
    let unknown = refused(netns.command(&program).args(["-N", "udpt-no-such", "-D"]));
    assert!(
        unknown
            .starts_with("udptrack: there is no network namespace named udpt-no-such: there are ")
            && unknown.contains(netns.name()),
        "{unknown}"
    );
    let pipe = directory.path().join("pipe");
    Process::run(Command::new("mkfifo").arg(&pipe));
    for path in [&pipe, Path::new("/tmp")] {
        let path = path.display().to_string();
        let wrong = refused(netns.command(&program).args(["-N", &path, "-i", "lo"]));
        let expected = format!("udptrack: {path} is not a network namespace: there are ");
        assert!(wrong.starts_with(&expected), "{wrong}");
    }
    let nobody = refused(
        netns
            .command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["-N", netns.name(), "-D"]),
    );
    assert!(
        nobody.contains("cannot enter network namespace") && nobody.contains("CAP_SYS_ADMIN"),
        "{nobody}"
    );
}
