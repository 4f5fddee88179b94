//! The programs alone, given frames one by one.

use std::net::SocketAddr;

use udptrack::bpf::{Payloads, ReplayedFrame, Settings, Tracker};
use udptrack::clock;
use udptrack::model::{
    Books, Counts, Direction, EndReason, EventKind, Ifindex, Sample, Skip, Status, Timeouts,
    TrafficClass,
};

use crate::common::frames;

/// 2026-01-01 00:00:00 UTC.
const BEGIN_NS: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
const ETHERNET_BYTES: usize = 14;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn counts(packets: u64, bytes: usize) -> Counts {
    Counts {
        packets,
        bytes: bytes as u64,
    }
}

/// A tracker that is given frames, with an interface of each kind.
struct Rig {
    tracker: Tracker,
    ethernet: Ifindex,
    ip: Ifindex,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        clock::begin_replay(BEGIN_NS);
        let mut tracker = Tracker::load(&Settings {
            replay: true,
            grows: true,
            maps: false,
            max_connections: 1024,
            ..settings
        })
        .unwrap();
        let ethernet = tracker.admit_captured("eth0", true).unwrap();
        let ip = tracker.admit_captured("tun0", false).unwrap();
        Self {
            tracker,
            ethernet,
            ip,
        }
    }

    /// Gives what was captured of a frame.
    fn give(
        &mut self,
        ns: u64,
        interface: Ifindex,
        direction: Direction,
        wire: usize,
        data: &[u8],
    ) {
        clock::replay_until(ns);
        let frame = ReplayedFrame {
            ns,
            interface,
            direction,
            wire_bytes: wire.try_into().unwrap(),
            data,
        };
        self.tracker.replay(&frame).unwrap();
    }

    /// A whole frame that was received.
    fn receive(&mut self, ns: u64, frame: &[u8]) {
        self.give(ns, self.ethernet, Direction::Ingress, frame.len(), frame);
    }

    fn books(&self, interface: Ifindex) -> Books {
        let books = self.tracker.books(interface, Direction::Ingress).unwrap();
        assert!(books.balance());
        books
    }

    fn only(&self) -> Sample {
        let [sample] = self.tracker.scan().unwrap()[..] else {
            panic!("one connection")
        };
        sample
    }
}

#[test]
#[ignore = "root"]
fn times_are_those_of_the_frames() {
    let mut rig = Rig::new(Settings {
        new_events: true,
        data_events: true,
        ..Settings::default()
    });
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let (there, back) = (
        frames::with_class(frames::udp(client, server, b"ping"), 0xb9),
        frames::with_class(frames::udp(server, client, b"pong"), 0x28),
    );
    let took = 1_234_567;
    rig.receive(BEGIN_NS + 5, &there);
    rig.receive(BEGIN_NS + 5 + took, &back);
    // Nobody asks meanwhile: a day later, by the machine's clock a moment.
    let later = BEGIN_NS + 86_400 * SECOND;
    rig.receive(later, &there);
    rig.receive(later + took * 2, &back);
    let sample = rig.only();
    assert_eq!(sample.first_ns, BEGIN_NS + 5);
    assert_eq!(sample.first_reply_ns, Some(BEGIN_NS + 5 + took));
    assert_eq!(sample.last_ns, later + took * 2 - took * 2 % 1_000_000);
    assert_eq!(sample.status, Status::Assured);
    let classes = [0xb9, 0x28].map(|class| Some(TrafficClass(class)));
    assert_eq!([sample.orig_class, sample.reply_class], classes);
    let response = sample.response;
    assert_eq!((response.answered, response.lost), (2, 0));
    assert_eq!((response.min_ns, response.max_ns), (took, took * 2));
    let mut events = Vec::new();
    rig.tracker.take_events(&mut events).unwrap();
    let said: Vec<_> = events
        .iter()
        .map(|event| (event.kind, event.time_ns))
        .collect();
    let milliseconds = |ns: u64| ns - ns % 1_000_000;
    assert_eq!(
        said,
        [
            (EventKind::New, BEGIN_NS + 5),
            (EventKind::Data, milliseconds(BEGIN_NS + 5 + took)),
            (EventKind::Data, later),
            (EventKind::Data, milliseconds(later + took * 2)),
        ]
    );
}

/// Neither ids nor pauses: a burst is one request, and its time is a lower bound.
#[test]
#[ignore = "root"]
fn a_burst_without_ids_is_a_lower_bound() {
    const MILLISECOND: u64 = 1_000_000;
    let mut rig = Rig::new(Settings::default());
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:7000"));
    let mut at = |ms: u64, payload: &[u8]| {
        let frame = frames::udp(client, server, payload);
        rig.receive(BEGIN_NS + ms * MILLISECOND, &frame);
    };
    // Who has never been answered is not looked at for long.
    at(0, b"is anybody there");
    for number in 0..5_u8 {
        at(10 + 2 * u64::from(number), &[number; 20]);
    }
    let answer = frames::udp(server, client, b"yes");
    rig.receive(BEGIN_NS + 23 * MILLISECOND, &answer);
    let response = rig.only().response;
    assert_eq!((response.answered, response.lost), (1, 0));
    assert_eq!(response.max_ns, 5 * MILLISECOND);
    assert!(response.is_bound);
}

#[test]
#[ignore = "root"]
fn connections_end_by_the_time_of_the_capture() {
    let mut rig = Rig::new(Settings::default());
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let mut table = rig.tracker.table(Timeouts::default());
    rig.receive(BEGIN_NS, &frames::udp(client, server, b"ping"));
    for (seconds, ends) in [(1, 0), (29, 0), (30, 1), (31, 0)] {
        let now_ns = BEGIN_NS + seconds * SECOND;
        clock::replay_until(now_ns);
        let ended = rig.tracker.tick(&mut table, now_ns).unwrap();
        let reasons: Vec<_> = ended.iter().map(|ended| ended.reason).collect();
        assert_eq!(reasons, vec![EndReason::Idle; ends], "{seconds}");
    }
    // The clock never goes back.
    clock::replay_until(BEGIN_NS);
    assert_eq!(clock::monotonic_ns().unwrap(), BEGIN_NS + 31 * SECOND);
}

/// Each frame, cut at every byte, counts as long as it was; what it is shows as soon as its headers are there.
#[test]
#[ignore = "root"]
fn a_cut_frame_counts_with_its_length_on_the_wire() {
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let (client6, server6) = (
        address("[2001:db8::1]:40000"),
        address("[2001:db8::9]:9000"),
    );
    let four = frames::udp(client, server, &[7; 40]);
    let six = frames::udp(client6, server6, &[7; 40]);
    let tagged = frames::tagged(&four, &[(0x8100, 5)]);
    // By its bytes, the beginning of this packet is that of an Ethernet frame.
    let other = frames::udp(address("8.0.0.1:40000"), address("8.0.0.9:9000"), &[7; 8]);
    let other6 = frames::udp(server6, address("[2001:db8::a]:9000"), &[7; 8]);
    let (ip, ip6) = (&other[ETHERNET_BYTES..], &other6[ETHERNET_BYTES..]);
    let mut rig = Rig::new(Settings::default());
    let (ethernet, tun) = (rig.ethernet, rig.ip);
    for (interface, frame, headers) in [
        (ethernet, &four[..], 14 + 20 + 8),
        (ethernet, &six, 14 + 40 + 8),
        (ethernet, &tagged, 14 + 4 + 20 + 8),
        (tun, ip, 20 + 8),
        (tun, ip6, 40 + 8),
    ] {
        for cut in 0..=frame.len() {
            let before = rig.books(interface);
            rig.give(
                BEGIN_NS,
                interface,
                Direction::Ingress,
                frame.len(),
                &frame[..cut],
            );
            let after = rig.books(interface);
            let one = counts(1, frame.len());
            assert_eq!(after.seen, before.seen + one);
            let is_there = cut >= headers;
            let (tracked, truncated) = if is_there {
                (one, Counts::default())
            } else {
                (Counts::default(), one)
            };
            assert_eq!(
                after.tracked,
                before.tracked + tracked,
                "{cut} of {frame:?}"
            );
            assert_eq!(
                after.skipped_for(Skip::Truncated),
                before.skipped_for(Skip::Truncated) + truncated
            );
        }
    }
}

#[test]
#[ignore = "root"]
fn the_longest_frames_there_are() {
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let mut rig = Rig::new(Settings::default());
    for payload in [3029, 3030, 3031, 4096, 65_507] {
        let frame = frames::udp(client, server, &vec![1; payload]);
        let before = rig.books(rig.ethernet);
        rig.receive(BEGIN_NS, &frame);
        let after = rig.books(rig.ethernet);
        assert_eq!(after.tracked, before.tracked + counts(1, frame.len()));
    }
    // What says that it was longer than UDP can be is still what it was on the wire.
    let frame = frames::udp(client, server, b"x");
    rig.give(BEGIN_NS, rig.ethernet, Direction::Ingress, 1 << 31, &frame);
    assert_eq!(rig.books(rig.ethernet).tracked.packets, 6);
}

/// All payload is read, however fast it comes; of what was cut, what there is.
#[test]
#[ignore = "root"]
fn payloads_have_no_budget() {
    const MESSAGES: usize = 500;
    let mut rig = Rig::new(Settings {
        payloads: Payloads::All,
        dns: true,
        ..Settings::default()
    });
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:53"));
    let query = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[7; 60][..]].concat();
    let frame = frames::udp(client, server, &query);
    for _ in 0..MESSAGES {
        rig.receive(BEGIN_NS, &frame);
    }
    let payloads = rig.tracker.take_payloads().unwrap();
    assert_eq!(payloads.len(), MESSAGES);
    assert!(payloads.iter().all(|payload| *payload.bytes == query[..]));
    assert_eq!(payloads[1].ordinal, 2);
    assert_eq!(rig.tracker.unread_payloads().unwrap(), <_>::default());

    let cut = 42 + 30;
    rig.give(
        BEGIN_NS,
        rig.ethernet,
        Direction::Egress,
        frame.len(),
        &frame[..cut],
    );
    // Another connection, which is no DNS: that its first datagrams are there in part is no loss.
    let other = frames::udp(client, address("192.0.2.9:9000"), &query);
    rig.give(
        BEGIN_NS,
        rig.ethernet,
        Direction::Egress,
        other.len(),
        &other[..cut],
    );
    let payloads = rig.tracker.take_payloads().unwrap();
    let parts: Vec<_> = payloads
        .iter()
        .map(|payload| (payload.bytes.len(), payload.length, payload.is_cut()))
        .collect();
    assert_eq!(parts, [(30, query.len(), true); 2]);
    assert_eq!(payloads[0].direction, Direction::Egress);
    assert_eq!(payloads[0].interface, rig.ethernet);
    let unread = rig.tracker.unread_payloads().unwrap();
    assert_eq!((unread.out_of_reach, unread.dns_over_budget), (0, 0));
    let dns = rig
        .tracker
        .scan()
        .unwrap()
        .into_iter()
        .find_map(|sample| sample.dns);
    assert_eq!(dns.unwrap().queries, MESSAGES as u64 + 1);
}

#[test]
#[ignore = "root"]
fn interfaces_of_the_capture_are_known_by_name() {
    let mut rig = Rig::new(Settings::default());
    assert_eq!(rig.tracker.hooks(), []);
    let long = r"\Device\NPF_{11111111-2222-3333-4444-555555555555}";
    let late = rig.tracker.admit_captured(long, true).unwrap();
    let frame = frames::udp(address("192.0.2.1:1"), address("192.0.2.2:2"), b"x");
    rig.give(BEGIN_NS, late, Direction::Egress, frame.len(), &frame);
    let hooks = rig.tracker.hooks();
    let [hook] = &hooks[..] else {
        panic!("{hooks:?}");
    };
    assert_eq!((&*hook.interface, hook.index), (long, late));
    assert_eq!((hook.direction, hook.ethernet), (Direction::Egress, true));
    let books = rig.tracker.books_of(hook).unwrap();
    assert_eq!(books.tracked, counts(1, frame.len()));
    assert_eq!(rig.only().ifindex, late);
    // Seen elsewhere as well, it is the same packet again.
    rig.receive(BEGIN_NS, &frame);
    let books = rig.books(rig.ethernet);
    assert_eq!(
        books.skipped_for(Skip::OtherInterface),
        counts(1, frame.len())
    );
}
