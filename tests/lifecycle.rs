//! How a run begins and ends: signals, closed pipes, limits of time and count. Whatever the end is, nothing stays
//! attached, and what was counted is told where somebody can still hear it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::bpffs::Bpffs;
use common::kernel::{
    NO_REASONS, assert_bare, has_tcx, is_at_least, links, tc, wait_for_egress, xdp_program,
};
use common::netns::Pair;
use common::run::{Finished, Udptrack};
use common::traffic::Talk;
use common::{Ip, four_ways};
use nix::sys::signal::Signal;

four_ways!(stopped);

fn talk(pair: &Pair, ip: Ip, client: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, client)),
        pair.b.udp(pair.b.addr(ip, 4000)),
    )
}

/// A signal ends the run well: the summary, a record for what is still live, and an exit status of 0.
fn stopped(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let signal = match (ip, hook) {
        (Ip::V4, "xdp") => Signal::SIGINT,
        (Ip::V4, _) => Signal::SIGTERM,
        (Ip::V6, "xdp") => Signal::SIGHUP,
        (Ip::V6, _) => Signal::SIGINT,
    };
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "--hook", hook, "-j"]);
    let objects = udptrack.objects(links(hook));
    objects.assert_there();
    assert_eq!(
        xdp_program(&pair.a, pair.a.iface()).is_some(),
        hook == "xdp"
    );
    let mut talk = talk(&pair, ip, 45_000);
    talk.turn();
    talk.ask(1);
    udptrack.signal(signal);
    let finished = udptrack.wait().success();
    objects.assert_gone();
    assert_bare(&pair.a, pair.a.iface());
    assert_eq!(finished.connections(), [talk.entry()].into());
    let flows = finished.flows();
    assert_eq!(flows[0].end_reason, "STOPPED");
    let stats = finished.assert_books();
    assert_eq!(stats.seen, talk.total());
    let bytes = stats.seen.bytes;
    let summary: Vec<_> = finished
        .stderr
        .lines()
        .skip_while(|line| !line.starts_with("seen"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        summary,
        [
            format!("seen 3 packets {bytes} bytes {bytes} B"),
            format!("tracked 3 packets {bytes} bytes {bytes} B"),
            "skipped 0 packets 0 bytes 0 B".to_owned(),
            "connections: 1 new, 0 ended, 1 live".to_owned(),
            "events lost: 0".to_owned(),
        ]
    );
}

/// As `udptrack | head -1` does.
#[test]
#[ignore = "root"]
fn a_pipe_that_is_closed_after_a_line_ends_the_run() {
    let pair = Pair::new();
    let udptrack = Udptrack::spawn_read(&pair.a, 1, &["-i", pair.a.iface(), "--hook", "xdp"]);
    let objects = udptrack.objects(links("xdp"));
    wait_for_egress(&pair.a, pair.a.iface());
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.ask(1);
    let (connection, _) = talk.entry();
    // A write after the line meets a closed pipe, or the closed pipe is found out before one.
    talk.turn();
    let finished = udptrack.wait().success();
    let new = format!(
        "UDP NEW: {} -> {} (ESTABLISHED)",
        connection.source, connection.destination
    );
    assert_eq!(finished.stdout, [new]);
    objects.assert_gone();
    assert_bare(&pair.a, pair.a.iface());
}

/// Also when there is nothing to write.
#[test]
#[ignore = "root"]
fn a_pipe_that_is_closed_while_idle_ends_the_run() {
    let pair = Pair::new();
    for output in ["trace", "json", "table"] {
        let udptrack = Udptrack::spawn_read(
            &pair.a,
            0,
            &[
                "-i",
                pair.a.iface(),
                "--hook",
                "xdp",
                "-o",
                output,
                "-d",
                "1h",
            ],
        );
        let objects = udptrack.objects(links("xdp"));
        let finished = udptrack.wait().success();
        assert_eq!(finished.stdout, Vec::<String>::new());
        assert!(finished.stderr.contains("\nseen "), "{finished:?}");
        objects.assert_gone();
    }
    // The header of CSV comes at once, so this ends at once.
    let arguments = ["-i", pair.a.iface(), "-o", "csv"];
    let finished = Udptrack::spawn_read(&pair.a, 0, &arguments)
        .wait()
        .success();
    assert!(finished.stderr.contains("\nseen "), "{finished:?}");
    assert_bare(&pair.a, pair.a.iface());
}

#[test]
#[ignore = "root"]
fn nothing_stays_after_a_kill() {
    // Of its own: in that of the machine, others may be listed.
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let spawn = |arguments: &[&str]| {
        let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
        Udptrack::spawn_command(command.args(arguments), usize::MAX)
    };
    for hook in ["xdp", "tc"] {
        let udptrack = spawn(&["-i", pair.a.iface(), "--hook", hook]).until_tracking(1);
        let objects = udptrack.objects(links(hook));
        talk(&pair, Ip::V4, 45_000).turn();
        udptrack.signal(Signal::SIGKILL);
        assert_eq!(udptrack.wait().code, None);
        // Its tables are pinned: whoever comes next removes them.
        let next = spawn(&["list"]).wait();
        assert_eq!(next.code, Some(1), "{next:?}");
        if !has_tcx() {
            // Filters outlive their process; the next run on the interface removes them.
            let next = Udptrack::start(&pair.a, &["-i", pair.a.iface()]);
            let _ = next.stop().success();
        }
        objects.assert_gone();
        assert_bare(&pair.a, pair.a.iface());
    }
    // The interface is as good as new.
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "--hook", "xdp", "-j"]);
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), [talk.entry()].into());
    assert_eq!(finished.assert_books().seen, talk.total());
}

/// `-c` ends a run after so many events, whatever more there are, and the books are whole.
#[test]
#[ignore = "root"]
fn a_count_of_events_ends_the_run() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "--hook", "xdp", "-c", "3"]);
    let objects = udptrack.objects(links("xdp"));
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    talk.turn();
    let (connection, _) = talk.entry();
    let finished = udptrack.wait().success();
    let (client, server) = (connection.source, connection.destination);
    assert_eq!(
        finished.stdout,
        [
            format!("UDP NEW: {client} -> {server} (ESTABLISHED)"),
            format!("UDP DATA: {server} -> {client} (DATA)"),
            format!("UDP DATA: {client} -> {server} (DATA)"),
        ]
    );
    objects.assert_gone();
}

#[test]
#[ignore = "root"]
fn a_count_of_snapshots_ends_the_run() {
    let pair = Pair::new();
    let arguments = [
        "-i",
        pair.a.iface(),
        "-o",
        "table",
        "-d",
        "500ms",
        "-c",
        "3",
    ];
    let start = Instant::now();
    let udptrack = Udptrack::start(&pair.a, &arguments);
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    let finished = udptrack.wait().success();
    assert!(start.elapsed() >= Duration::from_millis(1500));
    let (connection, _) = talk.entry();
    let begins = |line: &&String| line.starts_with("STATUS") || line.starts_with("No UDP");
    assert_eq!(finished.stdout.iter().filter(begins).count(), 3);
    // When the first ones were made there may have been no traffic yet.
    let last = finished.stdout.rsplit(String::is_empty).next();
    let client = connection.source.to_string();
    assert!(
        last.unwrap().iter().any(|line| line.contains(&client)),
        "{finished:#?}"
    );
}

#[test]
#[ignore = "root"]
fn a_duration_ends_the_run() {
    let pair = Pair::new();
    let start = Instant::now();
    let arguments = ["-i", pair.a.iface(), "--hook", "xdp", "-j"];
    let udptrack = Udptrack::start(&pair.a, &[&arguments[..], &["--duration", "2s"]].concat());
    let objects = udptrack.objects(links("xdp"));
    let mut talk = talk(&pair, Ip::V6, 45_000);
    talk.turn();
    let finished = udptrack.wait().success();
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(finished.connections(), [talk.entry()].into());
    assert_eq!(finished.assert_books().seen, talk.total());
    objects.assert_gone();
}

fn of_level(pair: &Pair, level: &[&str]) -> Finished {
    let mut arguments = vec!["-i", pair.a.iface(), "--hook", "xdp", "-j"];
    arguments.extend(level);
    let bpffs = Bpffs::new();
    let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    let udptrack = Udptrack::spawn_command(command.args(&arguments), usize::MAX);
    let objects = udptrack.objects(links("xdp"));
    wait_for_egress(&pair.a, pair.a.iface());
    let mut talk = talk(pair, Ip::V4, 45_000);
    talk.turn();
    let finished = udptrack.stop().success();
    objects.assert_gone();
    assert_eq!(finished.connections(), [talk.entry()].into());
    finished
}

/// `-q` leaves nothing but a warning on standard error, `-v` has more than nothing.
#[test]
#[ignore = "root"]
fn quiet_and_verbose() {
    let pair = Pair::new();
    let plain = of_level(&pair, &[]);
    let verbose = of_level(&pair, &["-v"]);
    let warning = if is_at_least(5, 17) {
        String::new()
    } else {
        format!("udptrack: {NO_REASONS}\n")
    };
    assert_eq!(of_level(&pair, &["-q"]).stderr, warning);
    let iface = pair.a.iface();
    let tracking = format!("tracking {iface}: received by XDP native, sent by {}", tc());
    assert_eq!(plain.messages(), [&tracking]);
    assert_eq!(
        verbose.messages(),
        [
            &*tracking,
            &format!("udptrack list --name {iface} shows it"),
            "names: 0 addresses from 0 DNS answers; refused: 0 malformed, 0 without a query, 0 on the path of their query, 0 with bad names",
            "payloads not read: 0 DNS messages and 0 others over the budget, 0 too long, 0 too fast, 0 in merged packets, \
             0 in fragments, 0 cut in a capture, 0 out of reach"
        ]
    );
    assert!(plain.stderr.contains("\nevents lost: 0"));
    let room = "udptrack: room for 65,536 connections";
    let memory = " MB of kernel memory\n";
    let said = |stderr: &str, more: &str| {
        stderr.contains(&format!("{room}{more}: ")) && stderr.contains(memory)
    };
    assert!(said(&plain.stderr, ""), "{}", plain.stderr);
    let addresses = " and 16,384 addresses of each family";
    assert!(said(&verbose.stderr, addresses), "{}", verbose.stderr);
}

/// All that was counted is told, also when the end comes before the first look at the tables.
#[test]
#[ignore = "root"]
fn traffic_before_the_first_look_is_counted() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    let sockets: Vec<UdpSocket> = (0..64)
        .map(|index| pair.a.udp(pair.a.addr(Ip::V4, 46_000 + index)))
        .collect();
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    let mut expected = Vec::new();
    for socket in sockets {
        let mut talk = Talk::new(socket, server.try_clone().unwrap());
        talk.turn();
        expected.push(talk.entry());
    }
    // At once, before any tick.
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), expected.into_iter().collect());
    assert_eq!(finished.assert_books().seen.packets, 128);
}

/// Once attached, no thread has more rights than it needs, and none can get any.
#[test]
#[ignore = "root"]
fn rights_are_given_up() {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_BPF: u32 = 39;
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface()]);
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    udptrack.wait_for_line("a packet", |line| line.starts_with("UDP NEW"));
    let kept = format!("{:016x}", 1_u64 << CAP_NET_ADMIN | 1 << CAP_BPF);
    let none = format!("{:016x}", 0);
    let mut threads = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", udptrack.pid())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let name = field("Name:");
        // It hears of interfaces, and attaches to none.
        let rights = if name == "interfaces" { &none } else { &kept };
        for (set, value) in [("CapInh:", &none), ("CapPrm:", rights), ("CapEff:", rights)] {
            assert_eq!(&field(set), value, "{name}: {set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Seccomp:"), "2", "a filter of system calls");
        threads.push(name);
    }
    assert!(threads.len() >= 2 && threads.contains(&"interfaces".to_owned()));
    let finished = udptrack.stop().success();
    assert_eq!(finished.stdout.len(), 3);
    assert_bare(&pair.a, pair.a.iface());
}
