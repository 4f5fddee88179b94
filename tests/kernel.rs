//! What the running kernel has of all that udptrack can use, and what its verifier says of the programs: printed, for
//! `make test-kernels` to compare kernels. What a kernel lacks must be what its version says, and have its fallback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::Ip;
use common::bpffs::Bpffs;
use common::kernel::{assert_bare, has_frags, has_tcx, tc};
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use serde_json::Value;
use udptrack::bpf::{Settings, verifier_statistics};
use udptrack::filter::{Filter, Vocabulary};
use udptrack::model::services::Services;

/// The verifier gives up at a million; but a start waits for it, half a second for so many. Linux 5.10 needs 119,000 for XDP, 6.18 40,000.
const INSTRUCTIONS_MAX: u64 = 150_000;

#[test]
#[ignore = "root"]
fn the_verifier_has_room_left() {
    let services = Services::default();
    let vocabulary = Vocabulary {
        services: &services,
        user_space: false,
    };
    let text = "vlan 5 or (src net 10.0.0.0/8 and not dst portrange 1000-2000) or host fd88::1";
    let all = Settings {
        new_events: true,
        data_events: true,
        names: true,
        filter: Filter::parse(text, vocabulary).unwrap().compile().unwrap(),
        ..Settings::default()
    };
    for (name, settings) in [("default", &Settings::default()), ("all", &all)] {
        let statistics = verifier_statistics(settings).unwrap();
        assert!(statistics.len() >= 8, "{statistics:?}");
        for program in statistics {
            println!(
                "verdict: {name} {} {} {}",
                program.program, program.instructions, program.stack
            );
            assert!(program.instructions < INSTRUCTIONS_MAX, "{program:?}");
        }
    }
}

fn feature(name: &str, value: &str) {
    println!("feature: {name}: {value}");
}

/// The machine's part of `udptrack check -j`.
fn check(pair: &Pair) -> Value {
    let mut command = pair.b.command(env!("CARGO_BIN_EXE_udptrack"));
    let ended = Process::run(command.args(["check", "-j", "-i", pair.b.iface()]));
    serde_json::from_str::<Value>(&ended.stdout).unwrap()["machine"].take()
}

#[test]
#[ignore = "root"]
fn what_check_says() {
    let machine = check(&Pair::new());
    for name in ["jit", "names", "processes", "pins"] {
        assert_eq!(machine[name], true, "{name}");
        feature(name, "yes");
    }
}

/// Starts on the second namespace of `pair`, lets a datagram pass each way, and gives the hooks that are said.
fn hooks(pair: &Pair) -> String {
    // Asked for, XDP is tried on a veth, too.
    let arguments = ["-i", pair.b.iface(), "-j", "--xdp-mode", "native"];
    let mut udptrack = Udptrack::start(&pair.b, &arguments);
    let said =
        udptrack.wait_for_message("its hooks", |line| line.starts_with("udptrack: tracking"));
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
    );
    talk.turn();
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), [talk.entry()].into());
    let (_, hooks) = said.split_once("received by ").expect("the hooks");
    hooks.to_owned()
}

#[test]
#[ignore = "root"]
fn hooks_at_the_usual_mtu() {
    let said = hooks(&Pair::new());
    assert!(said.starts_with("XDP native"), "{said}");
    feature("received", "XDP native");
    let sent = tc();
    assert!(said.contains(&format!("sent by {sent}")), "{said}");
    feature("sent", sent);
}

/// Frames that need several buffers: XDP takes them from Linux 5.18 on, else TC does.
#[test]
#[ignore = "root"]
fn hooks_at_a_large_mtu() {
    let said = hooks(&Pair::with_mtu(9000));
    let received = if has_frags() {
        "XDP native"
    } else {
        "TC (clsact)"
    };
    assert!(said.starts_with(received), "{said}");
    feature("received at MTU 9000", received);
}

/// `--keep` takes links: before TCX, with what is sent, it is refused with the reason, and nothing stays.
#[test]
#[ignore = "root"]
fn keep_or_why_not() {
    let bpffs = Bpffs::new();
    let pair = Pair::new();
    let arguments = ["-i", pair.a.iface(), "-j", "--keep"];
    let mut check = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    let foretold = check.arg("check").args(arguments).output().unwrap();
    assert_eq!(foretold.status.success(), has_tcx(), "{foretold:?}");
    let command = || bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    let udptrack = Udptrack::spawn_command(command().args(arguments), usize::MAX);
    if has_tcx() {
        let _ = udptrack.until_tracking(1).stop().success();
        assert_eq!(bpffs.instances(), [pair.a.iface()]);
        let _ = Process::run(command().args(["detach", "--name", pair.a.iface()]));
        feature("--keep", "yes");
    } else {
        let refused = udptrack.wait();
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        let why = "--keep needs links, which TC has from Linux 6.6 on";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        // Without what only TC sees, there are links alone.
        let arguments = [&arguments[..], &["--hook", "xdp", "--no-egress"]].concat();
        let udptrack = Udptrack::spawn_command(command().args(&arguments), usize::MAX);
        let _ = udptrack.until_tracking(1).stop().success();
        assert_eq!(bpffs.instances(), [pair.a.iface()]);
        let _ = Process::run(command().args(["detach", "--name", pair.a.iface()]));
        feature("--keep", "with --no-egress alone");
    }
    assert_eq!(bpffs.instances(), [""; 0]);
    assert_bare(&pair.a, pair.a.iface());
}
