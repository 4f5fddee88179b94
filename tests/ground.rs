//! The test ground itself: that namespaces are silent and go away, and that the witness misses nothing. What the other
//! root tests prove rests on this. Needs root, not udptrack.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use common::frames::{self, Extension};
use common::netns::{Injector, Netns, Pair, connect};
use common::process::Process;
use common::reference::Skip;
use common::run::Udptrack;
use common::witness::{Connection, Count, Volume, Witness};
use common::{Ip, SOON, wait_for};

fn count(packets: u64, bytes: u64) -> Count {
    Count { packets, bytes }
}

fn loopback(ip: Ip, port: u16) -> SocketAddr {
    match ip {
        Ip::V4 => SocketAddr::from(([127, 0, 0, 1], port)),
        Ip::V6 => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)),
    }
}

#[test]
#[ignore = "root"]
fn namespaces_go_away_also_after_a_panic() {
    let mut seen = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let pair = Pair::new();
        let mut sleeper = Process::start(pair.a.command("sleep").arg("60"));
        sleeper.assert_running();
        seen.extend([pair.a.path(), pair.b.path()]);
        seen.push(format!("/proc/{}", sleeper.pid()).into());
        assert!(seen.iter().all(|path| path.exists()));
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(seen.len(), 3);
    for path in seen {
        assert!(!path.exists(), "{} is still there", path.display());
    }
}

#[test]
#[ignore = "root"]
fn a_pair_is_silent_but_for_what_is_sent() {
    let pair = Pair::new();
    let witness = Witness::start(&pair.b, pair.b.iface());
    let mut expected = Count::default();
    for ip in [Ip::V4, Ip::V6] {
        let server = pair.b.udp(pair.b.addr(ip, 7));
        let client = pair.a.udp(pair.a.addr(ip, 7000));
        server.set_read_timeout(Some(SOON)).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        let mut buffer = [0; 64];
        client.send_to(b"ping", pair.b.addr(ip, 7)).unwrap();
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from), (4, pair.a.addr(ip, 7000)));
        server.send_to(b"pong!", from).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
        expected.add(usize::try_from(ip.overhead()).unwrap() + 4);
        expected.add(usize::try_from(ip.overhead()).unwrap() + 5);
        // `lo` is up.
        let own = pair.a.udp(loopback(ip, 9));
        own.set_read_timeout(Some(SOON)).unwrap();
        own.send_to(b"self", loopback(ip, 9)).unwrap();
        assert_eq!(own.recv(&mut buffer).unwrap(), 4);
    }
    // Duplicate detection, solicitations and multicast reports come within a second of a link's start, if they come.
    let quiet = Process::start(pair.a.command("sleep").arg("1.5"));
    assert!(quiet.wait(SOON).status.success());
    let account = witness.account();
    assert_eq!(account.seen, expected);
    assert_eq!(account.tracked, expected);
    assert_eq!(account.connections.len(), 2);
}

#[test]
#[ignore = "root"]
fn more_links_and_namespaces_fit_together() {
    let mut pair = Pair::with_mtu(9000);
    let second = pair.add_link();
    let mut third = Netns::new("c");
    connect(&mut pair.b, &mut third, 9, 1500);
    let routes = [
        (&pair.a, &pair.b, second, second),
        (&pair.b, &third, 2, 0),
        (&third, &pair.b, 0, 2),
    ];
    for (from, to, source, destination) in routes {
        for ip in [Ip::V4, Ip::V6] {
            let here = SocketAddr::new(from.ports[source].ip(ip), 1000);
            let there = SocketAddr::new(to.ports[destination].ip(ip), 1001);
            let (sender, receiver) = (from.udp(here), to.udp(there));
            assert!(to.is_bound(there));
            assert!(!to.is_bound(here));
            receiver.set_read_timeout(Some(SOON)).unwrap();
            let length = if destination == second { 8000 } else { 1000 };
            sender.send_to(&vec![1; length], there).unwrap();
            let mut buffer = [0; 9000];
            assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (length, here));
        }
    }
}

#[test]
#[ignore = "root"]
fn the_witness_knows_every_kind_of_frame() {
    let pair = Pair::new();
    let witness = Witness::start(&pair.b, pair.b.iface());
    let injector = Injector::new(&pair.a, pair.a.iface());
    let (a4, b4) = (pair.a.addr(Ip::V4, 1111), pair.b.addr(Ip::V4, 2222));
    let (a6, b6) = (pair.a.addr(Ip::V6, 1111), pair.b.addr(Ip::V6, 2222));
    let plain = frames::udp(a4, b4, &[0; 100]);
    let sent = [
        plain.clone(),
        frames::tagged(&plain, &[(0x8100, 5)]),
        frames::tagged(&plain, &[(0x88a8, 6), (0x8100, 7)]),
        frames::ipv4_with_options(a4, b4, 8, b"options"),
        frames::ipv6_with_extensions(a6, b6, &[Extension::options(60, 2)], b"extension"),
        frames::fragments(&plain, 9, 64).remove(1),
        frames::arp(),
        frames::tcp(a6, b6, b"tcp"),
        plain[..14 + 20].to_vec(),
        frames::tagged(&plain, &[(0x8100, 1); 3]),
    ];
    for frame in &sent {
        injector.send(frame);
    }
    // What the stacks answer to these stands in the capture, too: take what came from a.
    let frames = witness.frames();
    let from_a: Vec<_> = frames
        .iter()
        .filter(|frame| frame[6..12] == pair.a.ports[0].mac)
        .cloned()
        .collect();
    assert_eq!(from_a, sent);
    let account = common::witness::Account::of(from_a.iter().map(Vec::as_slice));
    let volume = |frames: &[usize]| {
        let mut toserver = Count::default();
        for index in frames {
            toserver.add(sent[*index].len());
        }
        Volume {
            toserver,
            toclient: Count::default(),
        }
    };
    let connection = |vlans, source, destination| Connection {
        vlans,
        source,
        destination,
    };
    let expected = [
        (connection([0, 0], a4, b4), volume(&[0, 3])),
        (connection([5, 0], a4, b4), volume(&[1])),
        (connection([6, 7], a4, b4), volume(&[2])),
        (connection([0, 0], a6, b6), volume(&[4])),
    ];
    assert_eq!(account.connections, expected.into());
    let skipped = [
        (Skip::FragmentWithoutHead, count(1, sent[5].len() as u64)),
        (Skip::NotIp, count(1, sent[6].len() as u64)),
        (Skip::NotUdp, count(1, sent[7].len() as u64)),
        (Skip::Truncated, count(1, sent[8].len() as u64)),
        (Skip::TooDeep, count(1, sent[9].len() as u64)),
    ];
    assert_eq!(account.skipped, skipped.into());
}

#[test]
#[ignore = "root"]
fn injected_frames_reach_sockets() {
    let pair = Pair::new();
    let injector = Injector::new(&pair.a, pair.a.iface());
    for ip in [Ip::V4, Ip::V6] {
        let (source, destination) = (pair.a.addr(ip, 1111), pair.b.addr(ip, 2222));
        let receiver = pair.b.udp(destination);
        receiver.set_read_timeout(Some(SOON)).unwrap();
        let payload = [b"whole".to_vec(), vec![3; 2000]];
        injector.send(&frames::udp(source, destination, &payload[0]));
        for part in frames::fragments(&frames::udp(source, destination, &payload[1]), 77, 1000) {
            injector.send(&part);
        }
        for payload in &payload {
            let mut buffer = [0; 4000];
            let (length, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&payload[..], source));
        }
    }
}

#[test]
#[ignore = "root"]
fn programs_leave_their_output_and_are_ended() {
    let netns = Netns::new("p");
    let ended = Process::run(netns.command("cat").arg("/proc/self/net/dev"));
    let interfaces = ended.stdout.lines().count() - 2;
    assert_eq!(interfaces, 1, "only lo: {}", ended.stdout);

    let mut cat = Process::start(&mut netns.command("cat"));
    cat.write("one\n");
    wait_for("the line", SOON, || (cat.stdout() == "one\n").then_some(()));
    cat.write("two\n");
    cat.close_stdin();
    let ended = cat.wait(SOON).success("cat");
    assert_eq!(ended.stdout, "one\ntwo\n");

    let sleeper = Process::start(netns.command("sleep").arg("60"));
    let path = format!("/proc/{}/comm", sleeper.pid());
    wait_for("the program itself under that id", SOON, || {
        (fs::read_to_string(&path).ok()?.trim() == "sleep").then_some(())
    });
    let start = std::time::Instant::now();
    drop(sleeper);
    assert!(!fs::exists(&path).unwrap());
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// It fails the test that waits for it, with what it has said.
#[test]
fn a_program_that_does_not_end_is_told() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; exec sleep 60"]);
    let mut program = Udptrack::spawn_command(&mut command, usize::MAX);
    program.wait_for_line("one", |line| line == "one");
    program.wait_for_message("two", |line| line == "two");
    let limit = Duration::from_millis(1);
    let waited = catch_unwind(AssertUnwindSafe(|| program.wait_within(limit)));
    let said = waited.unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    for part in ["does not end in 1ms", "[\"one\"]", "[\"two\"]"] {
        assert!(said.contains(part), "{said}");
    }
}
