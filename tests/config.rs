//! The configuration file and the signals that belong to it: what SIGHUP changes and what it leaves, what SIGUSR1 says.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::bpffs::Bpffs;
use common::netns::Pair;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, TempDir};
use nix::sys::signal::Signal;

fn talk(pair: &Pair, port: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, port)),
        pair.b.udp(pair.b.addr(Ip::V4, port - 41_000)),
    )
}

/// Timeouts change at once; what cannot change is named; what is wrong changes nothing. Nothing is lost meanwhile.
#[test]
#[ignore = "root"]
fn sighup_takes_what_can_change() {
    let pair = Pair::new();
    let directory = TempDir::new("config");
    let write = |text: &str| {
        let iface = pair.a.iface();
        directory.file("udptrack.toml", &format!("iface = \"{iface}\"\n{text}"))
    };
    let path = write("output = \"json\"\n");
    let mut udptrack = Udptrack::start(&pair.a, &["--config", path.to_str().unwrap()]);
    let mut talks = [talk(&pair, 45_000), talk(&pair, 45_001)];
    talks[0].turn();

    write("output = \"json\"\nudp-timeout = \"1s\"\nmax-ips = 7\n");
    udptrack.signal(Signal::SIGHUP);
    udptrack.wait_for_message("what cannot change", |line| {
        line == "udptrack: --max-ips cannot change while udptrack runs: restart it for that"
    });
    udptrack.wait_for_message("what changed", |line| {
        line == "udptrack: read the configuration again: --udp-timeout changed"
    });
    udptrack.wait_for_line("the end of the connection", |line| line.contains("IDLE"));

    write("output = \"json\"\nudp-timeout = \"1s\"\nalert = \"buffer > 80%\"\n");
    udptrack.signal(Signal::SIGHUP);
    udptrack.wait_for_message("what it cannot know", |line| {
        line == "udptrack: this run does not look at sockets: restart it for alerts on buffers"
    });

    // What a new start would refuse, in the same words.
    for wrong in [
        "udp-timeout = \"soon\"",
        "filter = \"port 53 and host\"",
        "alert = \"new > many\"",
        "sort = \"rate\"",
    ] {
        write(&format!("output = \"json\"\n{wrong}\n"));
        let mut started = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
        let refused = started.arg("--config").arg(&path).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        let text = String::from_utf8(refused.stderr).unwrap();
        let first = text.lines().next().unwrap();
        udptrack.signal(Signal::SIGHUP);
        udptrack.wait_for_message("what is wrong", |line| line == first);
        udptrack.wait_for_message("that it goes on", |line| line == "Nothing was changed");
    }

    udptrack.signal(Signal::SIGHUP);
    talks[1].turn();
    let finished = udptrack.stop().success();
    assert_eq!(
        finished.connections(),
        talks.iter().map(Talk::entry).collect()
    );
    finished.assert_books();
}

/// Others find the run as before, and it goes on, whether or not it is to be kept.
#[test]
#[ignore = "root"]
fn sighup_leaves_the_pins() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let directory = TempDir::new("config");
    for keep in [&[][..], &["--keep"]] {
        let path = directory.file("udptrack.toml", "udp-timeout = \"30s\"\n");
        let spawn = |arguments: &[&str]| {
            let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
            Udptrack::spawn_command(command.args(arguments), usize::MAX)
        };
        let arguments = [
            "-i",
            pair.a.iface(),
            "-j",
            "--config",
            path.to_str().unwrap(),
        ];
        let mut udptrack = spawn(&[&arguments, keep].concat()).until_tracking(1);
        directory.file("udptrack.toml", "udp-timeout = \"1h\"\n");
        udptrack.signal(Signal::SIGHUP);
        udptrack.wait_for_message("that it was read", |line| line.contains("changed"));
        let mut talk = talk(&pair, 45_000);
        talk.turn();
        let listed = spawn(&["list", "-o", "conntrack"]).wait().success();
        let line = listed.stdout.first().expect("it is listed");
        let left: u64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert!(left > 30, "{line}");
        let _ = udptrack.stop().success();
        if !keep.is_empty() {
            let _ = spawn(&["detach", "-q"]).wait().success();
        }
    }
}

/// SIGUSR1 says what there is so far, and the run goes on.
#[test]
#[ignore = "root"]
fn sigusr1_says_the_summary() {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    let mut talk = talk(&pair, 45_000);
    for turns in 1..=3 {
        talk.turn();
        udptrack.signal(Signal::SIGUSR1);
        let tracked = format!("{} packets", turns * 2);
        udptrack.wait_for_message("what is tracked", |line| {
            line.starts_with("tracked") && line.contains(&tracked)
        });
    }
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), [talk.entry()].into());
    assert!(!finished.stderr.contains("BALANCE"), "{finished:?}");
}

/// Without a file SIGHUP ends the run, under nohup it does not.
#[test]
#[ignore = "root"]
fn nohup_outlives_the_terminal() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    udptrack.signal(Signal::SIGHUP);
    let _ = udptrack.wait().success();

    let mut command = pair.a.command("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_udptrack"))
        .args(["-i", pair.a.iface(), "-j"]);
    let mut udptrack = Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1);
    udptrack.signal(Signal::SIGHUP);
    let mut talk = talk(&pair, 45_000);
    talk.turn();
    udptrack.signal(Signal::SIGUSR1);
    udptrack.wait_for_message("that it goes on", |line| line.starts_with("tracked"));
    assert_eq!(
        udptrack.stop().success().connections(),
        [talk.entry()].into()
    );
}
