//! IPFIX beside real collectors: what nfcapd, nfacctd and tshark have is what udptrack itself says, to the packet.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::SocketAddr;

use common::collectors::{Nfacctd, Nfcapd, Ways, said};
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, both_families, wait_for};
use nix::sys::signal::Signal;

both_families!(every_collector_has_every_packet);

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
        "Direction: Egress (1)",
        "Direction: Ingress (0)",
        "Flow Id: ",
        "IfName: veth0a",
        "System Init Time",
        "Ignored Packets: 0",
        "Not Sent Flows: 0",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("Malformed"), "{text}");
    assert!(!text.contains("No template found"), "{text}");
    assert_eq!(finished.connections(), [talk.entry()].into());
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
