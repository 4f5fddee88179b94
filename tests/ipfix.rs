//! IPFIX beside real collectors: what nfcapd, nfacctd and tshark have is what udptrack itself says, to the packet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::collectors::{
    Nfacctd, Nfcapd, Ways, flow_drops, flow_reasons, flow_sources, said, summed, way,
};
use common::generator::{Generator, Pattern, is_possible};
use common::kernel;
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::{Talk, receive_bytes, send_segmented};
use common::{Ip, SOON, TempDir, both_families_at_once, wait_for};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBuf, RcvBufForce},
};

both_families_at_once!(every_collector_has_every_packet);

/// Where collectors listen: on the far side of a second link, which is not tracked.
const PORT: u16 = 4739;

struct Ground {
    pair: Pair,
    link: usize,
}

impl Ground {
    fn new() -> Self {
        let mut pair = Pair::new();
        let link = pair.add_link();
        Self { pair, link }
    }

    fn collector(&self, ip: Ip) -> SocketAddr {
        SocketAddr::new(self.pair.b.ports[self.link].ip(ip), PORT)
    }

    fn udptrack(&self, collector: SocketAddr, flags: &[&str]) -> Udptrack {
        let collector = collector.to_string();
        let mut arguments = vec!["-i", self.pair.a.iface(), "-o", "json"];
        arguments.extend(["--ipfix", &collector]);
        arguments.extend(flags);
        Udptrack::start(&self.pair.a, &arguments)
    }

    fn talk(&self, ip: Ip, port: u16) -> Talk {
        Talk::new(
            self.pair.a.udp(self.pair.a.addr(ip, port)),
            self.pair.b.udp(self.pair.b.addr(ip, port - 41_000)),
        )
    }
}

fn total(ways: &Ways) -> u64 {
    ways.values().map(|count| count.packets).sum()
}

/// Short ones, long ones, one that nobody answers; some end by themselves, others with the run.
fn talks(ground: &Ground, ip: Ip) {
    for port in 0..20 {
        let mut talk = ground.talk(ip, 45_000 + port);
        for _ in 0..=port {
            talk.turn();
            talk.ask(usize::from(port));
        }
    }
    ground.talk(ip, 46_000).ask(1000);
}

fn every_collector_has_every_packet(ip: Ip) {
    let ground = Ground::new();
    let collector = ground.collector(ip);
    for flags in [&["--active-timeout", "1s"][..], &[]] {
        let nfcapd = Nfcapd::start(&ground.pair.b, collector);
        let udptrack = ground.udptrack(collector, flags);
        talks(&ground, ip);
        let finished = udptrack.stop().success();
        finished.assert_books();
        let (ways, log) = nfcapd.stop();
        assert_eq!(ways, said(&finished), "{log}");
        assert!(!finished.stderr.contains("IPFIX"), "{finished:?}");
        assert!(log.contains("Sequence Errors: 0"), "{log}");

        let nfacctd = Nfacctd::start(&ground.pair.b, collector);
        let udptrack = ground.udptrack(collector, flags);
        talks(&ground, ip);
        let finished = udptrack.stop().success();
        let expected = said(&finished);
        assert_eq!(nfacctd.stop(total(&expected)), expected);
    }
}

/// With both directions in one record, nfcapd has both.
#[test]
#[ignore = "root"]
fn biflow_records_have_both_directions() {
    let ground = Ground::new();
    let collector = ground.collector(Ip::V4);
    let nfcapd = Nfcapd::start(&ground.pair.b, collector);
    let udptrack = ground.udptrack(collector, &["--ipfix-biflow"]);
    talks(&ground, Ip::V4);
    talks(&ground, Ip::V6);
    let finished = udptrack.stop().success();
    let (ways, log) = nfcapd.stop();
    assert_eq!(ways, said(&finished), "{log}");
    assert!(log.contains("Sequence Errors: 0"), "{log}");
}

/// A connection that goes on is reported each second, what it did since then; all of it together is what it did.
#[test]
#[ignore = "root"]
fn what_goes_on_is_reported_piece_by_piece() {
    let ground = Ground::new();
    let collector = ground.collector(Ip::V4);
    let nfcapd = Nfcapd::start(&ground.pair.b, collector);
    let mut udptrack = ground.udptrack(
        collector,
        &["--active-timeout", "1s", "-e", "data,end", "-d", "1s"],
    );
    let mut talk = ground.talk(Ip::V4, 45_000);
    for updates in 1..=4 {
        talk.turn();
        udptrack.wait_for_lines("that it goes on", updates, |line| {
            line.contains("\"event\":\"update\"")
        });
    }
    let finished = udptrack.stop().success();
    let directory = nfcapd.directory.path().to_owned();
    let (ways, log) = nfcapd.stop();
    assert!(!directory.exists());
    assert_eq!(ways, said(&finished), "{log}");
    assert!(log.contains("Sequence Errors: 0"), "{log}");
}

/// Takes messages until it is told that there are no more, and none waits.
fn collect(socket: &UdpSocket, heard: &AtomicU64, done: &AtomicBool) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut buffer = [0; 2000];
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                messages.push(buffer[..length].to_vec());
                // Of a message, as many as it may have: what is waited for is known when all are read.
                heard.fetch_add(
                    flow_sources(&buffer[..length]).len() as u64,
                    Ordering::Relaxed,
                );
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if done.load(Ordering::Relaxed) {
                    return messages;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// True when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A hundred thousand connections end within a tick, and as many again with the run: each is told once.
#[test]
#[ignore = "root"]
fn ends_in_bursts_are_all_told() {
    const EACH: u64 = 100_000;
    if !is_possible() {
        return;
    }
    let ground = Ground::new();
    let Pair { a, b, .. } = &ground.pair;
    // The generator's end has the collector, the other one is tracked.
    let collector = SocketAddr::new(a.ports[ground.link].ip(Ip::V4), PORT);
    let socket = a.udp(collector);
    // It keeps up, but on a machine that has other tests to run it may wait for a processor.
    setsockopt(&socket, RcvBufForce, &(4 << 20)).unwrap();
    let (heard, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (messages, finished) = thread::scope(|scope| {
        // Also when a wait is in vain: else that thread is waited for.
        let stop = Done(&done);
        let messages = scope.spawn(|| collect(&socket, &heard, &done));
        let room = (2 * EACH).to_string();
        let collector = collector.to_string();
        let where_to = [
            "-i",
            b.iface(),
            "-o",
            "table",
            "--top",
            "1",
            "--ipfix",
            &collector,
        ];
        let how = [
            "--max-connections",
            &room,
            "--udp-timeout",
            "1s",
            "--hook",
            "xdp",
            "port",
            "7",
        ];
        let udptrack = Udptrack::start(b, &[&where_to[..], &how].concat());
        let to = b.addr(Ip::V4, 7);
        for first in [0, EACH] {
            let pattern = Pattern::Sources { first, count: EACH };
            Generator::new(a, a.iface(), to, pattern, 20).run(EACH);
            if first == 0 {
                wait_for("the ends", SOON * 3, || {
                    (heard.load(Ordering::Relaxed) >= EACH).then_some(())
                });
            }
        }
        let finished = udptrack.stop().success();
        drop(stop);
        (messages.join().unwrap(), finished)
    });
    assert!(
        !finished.stderr.contains("could not be sent"),
        "{finished:?}"
    );
    let told: Vec<SocketAddr> = messages
        .iter()
        .flat_map(|message| flow_sources(message))
        .collect();
    assert_eq!(told.len() as u64, 2 * EACH);
    let pattern = Pattern::sources(2 * EACH);
    let expected: HashSet<_> = (0..2 * EACH)
        .map(|frame| pattern.source(Ip::V4, frame))
        .collect();
    assert!(told.into_iter().collect::<HashSet<_>>() == expected);
}

/// One that goes on is told twice, and that it has ended a third time, without packets: as RFC 7011 has it, with reason 1.
#[test]
#[ignore = "root"]
fn the_end_of_what_was_told_is_told() {
    let ground = Ground::new();
    let socket = ground.pair.b.udp(ground.collector(Ip::V4));
    let (heard, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let messages = thread::scope(|scope| {
        let stop = Done(&done);
        let messages = scope.spawn(|| collect(&socket, &heard, &done));
        let flags = [
            "--active-timeout",
            "1s",
            "--udp-timeout",
            "3s",
            "--stream-timeout",
            "3s",
        ];
        let mut udptrack = ground.udptrack(ground.collector(Ip::V4), &flags);
        let mut talk = ground.talk(Ip::V4, 45_000);
        talk.turn();
        udptrack.wait_for_line("its end", |line| line.contains("\"end_reason\":\"IDLE\""));
        let _ = udptrack.stop().success();
        drop(stop);
        messages.join().unwrap()
    });
    let reasons: Vec<(u64, u8)> = messages
        .iter()
        .flat_map(|message| flow_reasons(message))
        .collect();
    assert_eq!(reasons, [(1, 2), (1, 2), (0, 1), (0, 1)]);
}

/// What the socket had no room for, in the records of the direction that was received: also of one that goes on.
#[test]
#[ignore = "root"]
fn what_the_kernel_drops_is_in_the_records() {
    const SENT: u64 = 300;
    const PAYLOAD: usize = 100;
    let ground = Ground::new();
    let Pair { a, b, .. } = &ground.pair;
    let socket = b.udp(ground.collector(Ip::V4));
    let (heard, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (messages, expected) = thread::scope(|scope| {
        let stop = Done(&done);
        let messages = scope.spawn(|| collect(&socket, &heard, &done));
        let mut udptrack = ground.udptrack(
            ground.collector(Ip::V4),
            &["--active-timeout", "1s", "-e", "data,end", "-d", "1s"],
        );
        let (from, to) = (b.addr(Ip::V4, 5000), a.addr(Ip::V4, 4000));
        let (sender, receiver) = (b.udp(from), a.udp(to));
        setsockopt(&receiver, RcvBuf, &4096).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let (mut buffer, mut read) = ([0; 200], 0);
        let dropped = || kernel::stack(a, "Udp", "RcvbufErrors");
        let mut burst = |bursts: u64| {
            for _ in 0..SENT {
                sender.send_to(&[7; PAYLOAD], to).unwrap();
            }
            wait_for("all of them", SOON, || {
                while receiver.recv(&mut buffer).is_ok() {
                    read += 1;
                }
                (read + dropped() == bursts * SENT).then_some(())
            });
        };
        for updates in 1..=2 {
            burst(updates as u64);
            udptrack.wait_for_lines("that it goes on", updates, |line| {
                line.contains("\"event\":\"update\"")
            });
        }
        burst(3);
        // An answer has lost nothing.
        receiver.send_to(&[7; PAYLOAD], from).unwrap();
        let _ = udptrack.stop().success();
        drop(stop);
        let lost = dropped();
        assert!(lost > 0);
        let expected: Ways = [
            way(from, to, lost, lost * (20 + 8 + PAYLOAD as u64)),
            way(to, from, 0, 0),
        ]
        .into();
        (messages.join().unwrap(), expected)
    });
    let drops = messages.iter().flat_map(|message| flow_drops(message));
    assert_eq!(summed(drops), expected);
    let told = messages.iter().flat_map(|message| flow_drops(message));
    let told = told.filter(|(_, count)| count.packets > 0).count();
    assert!(told >= 2, "{told}");
}

/// Every field, as tshark reads it from the wire.
#[test]
#[ignore = "root"]
fn tshark_reads_every_field() {
    let ground = Ground::new();
    let collector = ground.collector(Ip::V4);
    let listener = ground.pair.b.udp(collector);
    let directory = TempDir::new("tshark");
    let capture = directory.path().join("capture");
    let iface = &ground.pair.b.ports[ground.link].iface;
    let mut tcpdump = ground.pair.b.command("tcpdump");
    tcpdump
        .args(["-U", "--immediate-mode", "-i", iface, "-w"])
        .arg(&capture)
        .arg("udp");
    let tcpdump = Process::start(&mut tcpdump);
    wait_for("tcpdump", SOON, || {
        tcpdump.stderr().contains("listening").then_some(())
    });
    let udptrack = ground.udptrack(collector, &["--ipfix-domain", "77"]);
    let mut talk = ground.talk(Ip::V4, 45_000);
    talk.set_classes([0xb8, 0x28]);
    talk.turn();
    let finished = udptrack.stop().success();
    drop(listener);
    let _ = tcpdump.stop(Signal::SIGINT);
    let mut tshark = std::process::Command::new("tshark");
    tshark
        .arg("-r")
        .arg(&capture)
        .args(["-n", "-V", "-d", "udp.port==4739,cflow"]);
    let text = Process::run(&mut tshark).stdout;
    for wanted in [
        "Observation Domain Id: 77",
        "SrcAddr: 10.88.0.1",
        "DstAddr: 10.88.0.2",
        "SrcPort: 45000",
        "DstPort: 4000",
        "Protocol: UDP (17)",
        "IPVersion: 4",
        "Packets: 1",
        "Octets: 128",
        "Octets: 228",
        "Flow End Reason: Forced end (4)",
        "IP ToS: 0xb8",
        "IP ToS: 0x28",
        "Direction: Egress (1)",
        "Direction: Ingress (0)",
        "Flow Id: ",
        "IfName: veth0a",
        "System Init Time",
        "Ignored Packets: 0",
        "Not Sent Flows: 0",
        "Sampling Packet Interval: 1",
        "Sampling Packet Space: 0",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("Malformed"), "{text}");
    assert!(!text.contains("No template found"), "{text}");
    assert_eq!(finished.connections(), [talk.entry()].into());
}

/// What the first datagram each way asks of routers, from the socket to the collector. The client's are several in one packet of the
/// kernel's.
#[test]
#[ignore = "root"]
fn classes_of_sockets_are_in_the_records() {
    let ground = Ground::new();
    let collector = ground.collector(Ip::V4);
    for flags in [&[][..], &["--ipfix-biflow"]] {
        let nfcapd = Nfcapd::start(&ground.pair.b, collector);
        let udptrack = ground.udptrack(collector, flags);
        for ip in [Ip::V4, Ip::V6] {
            let mut talk = ground.talk(ip, 45_000);
            talk.set_classes([0xb9, 0x28]);
            send_segmented(&talk.client, talk.server.local_addr().unwrap(), 250, 100);
            receive_bytes(&talk.server, 250);
            talk.answer(10);
            talk.set_classes([0, 0]);
            talk.turn();
        }
        let _ = udptrack.stop().success();
        let (mut records, log) = nfcapd.stop_and_dump("%sp,%pkt,%stos,%opkt,%dtos");
        records.sort();
        // Of a record of both directions nfdump keeps the class of its source alone.
        let expected = if flags.is_empty() {
            vec![
                ["4000", "2", "40", "0", "0"],
                ["45000", "4", "185", "0", "0"],
            ]
        } else {
            vec![["45000", "4", "185", "2", "0"]]
        };
        let expected: Vec<_> = expected.into_iter().flat_map(|one| [one, one]).collect();
        assert_eq!(records, expected, "{log}");
    }
}

/// Nobody listens: the run is none the worse for it, and says how many records were lost.
#[test]
#[ignore = "root"]
fn a_collector_that_is_down_disturbs_nothing() {
    let ground = Ground::new();
    let udptrack = ground.udptrack(ground.collector(Ip::V4), &[]);
    talks(&ground, Ip::V4);
    let finished = udptrack.stop().success();
    finished.assert_books();
    let lost = said(&finished).len();
    let message = format!(
        "IPFIX collector {}: {lost} records could not be sent so far: nobody listens there",
        ground.collector(Ip::V4)
    );
    assert!(
        finished.messages().contains(&message.as_str()),
        "{finished:?}"
    );
}

/// One that begins later gets the templates as soon as it is there.
#[test]
#[ignore = "root"]
fn a_collector_that_comes_later_understands() {
    let ground = Ground::new();
    let udptrack = ground.udptrack(ground.collector(Ip::V4), LATER);
    what_comes_later_arrives(&ground, udptrack, "nobody listens", || ());
}

/// So does one to which there is no way at first, as when a machine starts.
#[test]
#[ignore = "root"]
fn a_collector_that_cannot_be_reached_yet_understands() {
    let ground = Ground::new();
    let port = &ground.pair.a.ports[ground.link];
    let route = |verb| {
        let line = format!("route {verb} {}/24 dev {}", port.v4, port.iface);
        ground.pair.a.ip_batch(&line.replace(".1/24", ".0/24"));
    };
    route("del");
    let udptrack = ground.udptrack(ground.collector(Ip::V4), LATER);
    what_comes_later_arrives(&ground, udptrack, "Network is unreachable", || route("add"));
}

const LATER: &[&str] = &["--udp-timeout", "1s"];

/// A connection ends and is lost, then nfcapd begins, and has all of the next one.
fn what_comes_later_arrives(
    ground: &Ground,
    mut udptrack: Udptrack,
    reason: &str,
    mend: impl FnOnce(),
) {
    let mut lost = ground.talk(Ip::V4, 45_000);
    lost.turn();
    udptrack.wait_for_message(reason, |line| line.contains(reason));
    udptrack.wait_for_line("the end of the lost one", |line| line.contains(":4000,"));
    mend();
    let nfcapd = Nfcapd::start(&ground.pair.b, ground.collector(Ip::V4));
    let mut later = ground.talk(Ip::V4, 45_001);
    later.turn();
    udptrack.wait_for_line("the end of the later one", |line| line.contains(":4001,"));
    let finished = udptrack.stop().success();
    let (ways, log) = nfcapd.stop();
    let mut expected = said(&finished);
    expected.retain(|connection, _| {
        [connection.source.port(), connection.destination.port()].contains(&45_001)
    });
    assert_eq!(expected.len(), 2);
    assert_eq!(ways, expected, "{log}");
}
