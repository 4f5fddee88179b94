//! What the running kernel has of all that udptrack can use, and what its verifier says of the programs: printed, for
//! `make test-kernels` to compare kernels. What a kernel lacks must be what its version says, and have its fallback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::Ip;
use common::bpffs::Bpffs;
use common::kernel::{assert_bare, has_frags, has_tcx, is_at_least, tc};
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use serde_json::Value;
use udptrack::bpf::{Payloads, Settings, Tracker, verifier_statistics};
use udptrack::filter::{Filter, Vocabulary};
use udptrack::model::services::Services;

/// What the verifier looks at on each kernel, as `make test-kernels` wrote it.
const DOCUMENT: &str = include_str!("../docs/kernels.md");
/// A program may grow by so many percent before somebody says that it is worth it. The secret key of a run moves it by a few.
const GROWTH_PERCENT: u64 = 15;
/// The verifier gives up at a million; but a start waits for it, half a second for so many. Linux 5.10 needs 119,000 for XDP, 6.18 40,000.
const INSTRUCTIONS_MAX: u64 = 150_000;
/// The same for a kernel that joins fewer of the ways through a filter's tests: with one, 7.3 needs 191,000 for TC, 6.18 65,000.
const INSTRUCTIONS_MAX_FILTERED: u64 = 220_000;

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
        payloads: Payloads::All,
        dns: true,
        filter: Filter::parse(text, vocabulary).unwrap().compile().unwrap(),
        ..Settings::default()
    };
    let captures = Settings {
        frames: Some(0),
        ..all.clone()
    };
    let replay = Settings {
        replay: true,
        grows: true,
        ..all.clone()
    };
    let column = nearest(DOCUMENT, running());
    // While the document is made, nothing is compared with it.
    let before = if std::env::var_os("UDPTRACK_TEST_KERNELS").is_some() {
        BTreeMap::new()
    } else if row(DOCUMENT, "clang")[0] != clang() {
        println!("SKIPPED: docs/kernels.md is of another clang, which makes other programs");
        BTreeMap::new()
    } else {
        numbers(DOCUMENT, column)
    };
    let mut too_large = Vec::new();
    for (name, settings) in [
        ("default", &Settings::default()),
        ("all", &all),
        ("captures", &captures),
        ("replay", &replay),
    ] {
        let statistics = verifier_statistics(settings).unwrap();
        let bound = if settings.filter.is_some() && is_at_least(7, 0) {
            INSTRUCTIONS_MAX_FILTERED
        } else {
            INSTRUCTIONS_MAX
        };
        assert!(statistics.len() >= 4, "{statistics:?}");
        for program in statistics {
            println!(
                "verdict: {name} {} {} {}",
                program.program, program.instructions, program.stack
            );
            // All are told first.
            if program.instructions >= bound {
                too_large.push(format!("{name}: {program:?}"));
            }
            // What this kernel tells of a drop is no other kernel's: another part of these programs is looked at.
            if program.program.starts_with("udp_drops_") && version(column) != running() {
                continue;
            }
            let row = format!("{}, {name}", program.program);
            let Some(before) = before.get(&row) else {
                continue;
            };
            let most = before * (100 + GROWTH_PERCENT) / 100;
            assert!(
                program.instructions <= most,
                "{row}: the verifier looks at {} instructions; docs/kernels.md has {before} for Linux {column}, and {most} \
                 are allowed. Find out what made it grow. If that is worth it: `make test-kernels TESTS=kernel`, and commit \
                 docs/kernels.md",
                program.instructions
            );
        }
    }
    assert!(too_large.is_empty(), "{too_large:?}");
    // A kernel that refuses to copy payload gets programs that do not. That must not hide programs that are too large.
    let whole = Tracker::load(&captures).unwrap();
    assert_eq!(whole.payloads(), Payloads::All);
    assert_eq!(whole.frame_bytes() > 0, captures.frames.is_some());
}

/// The major version of the clang that compiled the programs.
fn clang() -> String {
    let mut clang = Command::new(env!("UDPTRACK_CLANG"));
    let said = Process::run(clang.arg("--version")).stdout;
    let (_, version) = said.split_once("version ").expect("a version");
    version.split('.').next().unwrap().to_owned()
}

/// The cells of a row of the document's tables, without its name.
fn row<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let start = match name {
        "" => "| |".to_owned(),
        name => format!("| {name} |"),
    };
    let row = document.lines().find_map(|line| line.strip_prefix(&start));
    let row = row.unwrap_or_else(|| panic!("docs/kernels.md has no row {name}"));
    row.trim_end_matches('|')
        .split('|')
        .map(str::trim)
        .collect()
}

/// Major and minor version.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn running() -> (u32, u32) {
    version(&std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap())
}

/// The newest kernel of the document that is not newer; before the first of them, the first.
fn nearest(document: &str, running: (u32, u32)) -> &str {
    let mut kernels = row(document, "");
    kernels.sort_by_key(|kernel| version(kernel));
    let older = kernels.iter().rfind(|kernel| version(kernel) <= running);
    older.unwrap_or(&kernels[0])
}

/// What the document has for a kernel, by program and settings.
fn numbers(document: &str, column: &str) -> BTreeMap<String, u64> {
    let at = row(document, "")
        .iter()
        .position(|kernel| *kernel == column);
    let (_, table) = document.split_once("## Instructions").expect("a table");
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        Some((cells[0].to_owned(), cells.get(at? + 1)?.parse().ok()?))
    });
    rows.collect()
}

#[test]
fn the_nearest_kernel_is_not_newer() {
    for (running, kernel) in [
        ("5.4", "5.10"),
        ("5.10", "5.10"),
        ("5.15", "5.10"),
        ("6.2", "6.1"),
        ("6.12", "6.12"),
        ("7.2", "6.18"),
        ("8.0", "7.3"),
    ] {
        assert_eq!(nearest(DOCUMENT, version(running)), kernel, "{running}");
        let numbers = numbers(DOCUMENT, kernel);
        assert!(numbers["udp_track_xdp, all"] > numbers["udp_track_clock, all"]);
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
    feature("clang", &clang());
    let machine = check(&Pair::new());
    for name in ["jit", "names", "drops", "processes", "pins"] {
        assert_eq!(machine[name], true, "{name}");
        feature(name, "yes");
    }
    let tells_reasons = is_at_least(5, 17);
    let says = |finding: &Value| finding["subject"] == "drops" && finding["mark"] == "note";
    let findings = machine["findings"].as_array().expect("findings");
    assert_eq!(findings.iter().any(says), !tells_reasons);
    if !tells_reasons {
        feature("drops", "what IPv4 sockets had no room for");
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
        let why = "--keep needs links for TC: Linux 6.6 or later has them";
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
