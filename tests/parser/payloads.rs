//! Which datagrams reach user space: each message of DNS, mDNS and LLMNR, and the first four of each connection, each way; within the
//! budget, whose rest is counted. Whatever becomes of them, each packet is counted as any other.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use udptrack::bpf::{Entry, Payload, Payloads, Settings};
use udptrack::dns::Message;
use udptrack::model::{DnsCounts, EndReason, Expiry, UnreadPayloads};
use udptrack::names::{Names, Passed};

use crate::common::frames::{self, Extension};
use crate::rig::{
    EGRESS, ETHERNET, ETHERNET_BYTES, INGRESS, IP_EGRESS, IP_INGRESS, LO, Rig, XDP, address,
    counts, direction, has_frames_in_several_buffers, settings,
};

/// What a CPU reads of a kind in a jiffy, of which there are at most a thousand a second.
const BUDGET: u32 = 32;
/// How much is read of what is no DNS: so many datagrams of each side, so many bytes of each.
const FIRST: u32 = 4;
const MOST_BYTES: usize = 1400;

fn with(payloads: Payloads) -> Settings {
    Settings {
        payloads,
        ..settings(1024)
    }
}

/// Nobody reads the events of floods.
fn without_events(payloads: Payloads) -> Settings {
    Settings {
        new_events: false,
        data_events: false,
        ..with(payloads)
    }
}

/// Client and server.
fn ends_to(port: u16) -> [[SocketAddr; 2]; 2] {
    let ends = [
        [address("10.88.0.1:40000"), address("10.88.0.2:53")],
        [address("[fd88::1]:40000"), address("[fd88::2]:53")],
    ];
    ends.map(|[client, server]| [client, SocketAddr::new(server.ip(), port)])
}

fn ends() -> [[SocketAddr; 2]; 2] {
    ends_to(53)
}

/// Header and question `www.example.org A`.
fn message(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [id, flags, 1, answers, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(b"\x03www\x07example\x03org\0\0\x01\0\x01");
    message
}

fn query(id: u16) -> Vec<u8> {
    message(id, 0x0100, 0)
}

/// That the name has the address 192.0.2.`host`.
fn answer(id: u16, host: u8) -> Vec<u8> {
    let mut message = message(id, 0x8180, 1);
    message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02");
    message.push(host);
    message
}

/// An answer of so many bytes: what comes after the records is of no use to anybody.
fn padded(id: u16, bytes: usize) -> Vec<u8> {
    let mut message = answer(id, 1);
    message.resize(bytes, 0xee);
    message
}

/// What a test compares of a datagram.
fn said(payload: &Payload) -> (u32, bool, u16, u16, usize, Vec<u8>) {
    (
        payload.ordinal,
        payload.from_originator,
        payload.source_port,
        payload.destination_port,
        payload.length,
        payload.bytes.to_vec(),
    )
}

impl Rig {
    /// Gives the frames to a program and takes what reached user space of them. Within the budget: in a jiffy of its own.
    fn pass(&mut self, entry: Entry, frames: &[Vec<u8>]) -> Vec<Payload> {
        await_budget();
        for frame in frames {
            let counted = self.run(entry, frame);
            assert!(counted.is_ok(), "{entry:?}: {counted:?}");
        }
        let taken = self.take();
        for payload in &taken {
            assert_eq!(
                (payload.interface, payload.direction),
                (LO, direction(entry))
            );
        }
        taken
    }

    /// The same, but for all that is known beside the bytes.
    fn read(&mut self, entry: Entry, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let taken = self.pass(entry, frames).into_iter();
        taken.map(|payload| payload.bytes.into_vec()).collect()
    }

    fn take(&mut self) -> Vec<Payload> {
        self.tracker.take_payloads().unwrap()
    }

    fn unread(&self) -> UnreadPayloads {
        self.tracker.unread_payloads().unwrap()
    }
}

/// Waits for the next jiffy: this clock moves on with each.
fn await_budget() {
    let now = || clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
    let begin = now();
    while now() == begin {}
}

fn udp([from, to]: [SocketAddr; 2], payload: &[u8]) -> Vec<u8> {
    frames::udp(from, to, payload)
}

fn swapped([one, other]: [SocketAddr; 2]) -> [SocketAddr; 2] {
    [other, one]
}

#[test]
#[ignore = "root"]
fn each_dns_message_reaches_user_space() {
    let mut rig = Rig::with(&with(Payloads::Dns));
    assert_eq!(rig.tracker.payloads(), Payloads::Dns);
    let mut connections = HashSet::new();
    for port in [53, 5353, 5355] {
        for ends in ends_to(port) {
            let back = swapped(ends);
            let mut known = None;
            let mut before = 0;
            for entry in ETHERNET {
                // Whoever asked, whatever it says, and what is none.
                let there = [query(1), answer(1, 66), b"short".to_vec(), Vec::new()];
                let frames: Vec<_> = there.iter().map(|payload| udp(ends, payload)).collect();
                let answered = [answer(1, 1), message(1, 0x8183, 0), query(1), answer(2, 66)];
                let answers = answered.iter().map(|payload| udp(back, payload));
                let taken = rig.pass(entry, &[frames, answers.collect()].concat());
                let expected = |payloads: &[Vec<u8>], is_asked: bool| {
                    let [from, to] = if is_asked { ends } else { back }.map(|end| end.port());
                    let each = payloads.iter().zip(before + 1..);
                    let each = each.map(|(bytes, ordinal)| {
                        (ordinal, is_asked, from, to, bytes.len(), bytes.clone())
                    });
                    each.collect::<Vec<_>>()
                };
                let all = [expected(&there, true), expected(&answered, false)].concat();
                assert_eq!(taken.iter().map(said).collect::<Vec<_>>(), all, "{entry:?}");
                let sample = rig.find(ends[0], ends[1]);
                let its = |payload: &Payload| (payload.connection, payload.place);
                assert!(
                    taken
                        .iter()
                        .all(|payload| its(payload) == (sample.id, sample.place))
                );
                assert!(taken.is_sorted_by_key(|payload| payload.ns));
                assert!(taken[0].ns >= sample.first_ns);
                assert_eq!(*known.get_or_insert(sample.id), sample.id);
                before += 4;
            }
            assert!(connections.insert(known));
        }
    }
    // Nothing else.
    for ends in ends_to(54) {
        for entry in ETHERNET {
            assert_eq!(rig.read(entry, &[udp(ends, &query(1))]), [[0; 0]; 0]);
        }
    }
    assert_eq!(rig.unread(), UnreadPayloads::default());
}

/// Up to four each way, and up to 1,400 bytes of each, whatever hook sees them.
#[test]
#[ignore = "root"]
fn the_first_datagrams_reach_user_space() {
    let mut rig = Rig::with(&with(Payloads::All));
    let entries = [XDP, INGRESS, EGRESS, IP_INGRESS, IP_EGRESS];
    for (entry, number) in entries.into_iter().zip(0_u16..) {
        for (sent, port) in (0_u16..7).zip(1000..) {
            for ends in ends_to(port + 100 * number) {
                let back = swapped(ends);
                let bytes = |ordinal: u16, side: u8| vec![side; usize::from(ordinal * 350 - 349)];
                let mut frames = Vec::new();
                let mut expected = Vec::new();
                // The originator sends one more, as it must begin; then they take turns.
                for ordinal in 1..=sent + 1 {
                    for (ends, side) in [(ends, 1_u8), (back, 2)] {
                        if side == 2 && ordinal > sent {
                            continue;
                        }
                        let payload = bytes(ordinal, side);
                        let tags: &[_] = if sent % 2 == 1 { &[(0x8100, 5)] } else { &[] };
                        let mut frame = frames::tagged(&udp(ends, &payload), tags);
                        if matches!(entry, IP_INGRESS | IP_EGRESS) {
                            frame = udp(ends, &payload)[ETHERNET_BYTES..].to_vec();
                        }
                        frames.push(frame);
                        if u32::from(ordinal) <= FIRST {
                            let cut = payload[..payload.len().min(MOST_BYTES)].to_vec();
                            let [from, to] = ends.map(|end| end.port());
                            let ordinal = u32::from(ordinal);
                            expected.push((ordinal, side == 1, from, to, payload.len(), cut));
                        }
                    }
                }
                let taken: Vec<_> = rig.pass(entry, &frames).iter().map(said).collect();
                assert_eq!(taken, expected, "{entry:?} {sent}");
            }
        }
    }
    // The longest that is whole, one byte more, and nothing at all.
    for (entry, port) in ETHERNET.into_iter().zip(3000..) {
        for ends in ends_to(port) {
            for (length, ordinal) in [MOST_BYTES, MOST_BYTES + 1, 0].into_iter().zip(1..) {
                let taken = rig.pass(entry, &[udp(ends, &vec![7; length])]);
                let [payload] = &taken[..] else {
                    panic!("{taken:?}")
                };
                let read = (payload.ordinal, payload.length, payload.bytes.len());
                assert_eq!(read, (ordinal, length, length.min(MOST_BYTES)));
                assert_eq!(payload.is_cut(), length > MOST_BYTES);
            }
        }
    }
    assert_eq!(rig.unread(), UnreadPayloads::default());
}

/// Response times look at packets of their own accord: neither changes what the other sees.
#[test]
#[ignore = "root"]
fn counts_and_response_times_are_the_same() {
    let mut rigs = [Payloads::Off, Payloads::All].map(|payloads| Rig::with(&with(payloads)));
    let [ends, _] = ends_to(4000);
    let samples = rigs.each_mut().map(|rig| {
        for (number, ends) in (0..12_u8).map(|n| (n, if n % 4 == 3 { swapped(ends) } else { ends }))
        {
            rig.run(XDP, &udp(ends, &[number; 20])).unwrap();
        }
        let sample = rig.find(ends[0], ends[1]);
        let response = sample.response;
        (
            sample.orig,
            sample.reply,
            sample.status,
            response.asked(),
            response.answered,
        )
    });
    assert_eq!(samples[0], samples[1]);
}

#[test]
#[ignore = "root"]
fn whatever_stands_before_the_message() {
    let mut rig = Rig::with(&with(Payloads::Dns));
    let [v4, v6] = ends();
    let options = |[from, to]: [SocketAddr; 2], payload: &[u8]| {
        frames::ipv4_with_options(from, to, 40, payload)
    };
    let extensions = |[from, to]: [SocketAddr; 2], payload: &[u8]| {
        let chain = [
            Extension::options(0, 3),
            Extension::authentication(4),
            Extension::options(60, 0),
            Extension::atomic(9),
        ];
        frames::ipv6_with_extensions(from, to, &chain, payload)
    };
    let answer = answer(1, 1);
    let both = [query(1), answer.clone()];
    for entry in ETHERNET {
        let frames = [options(v4, &query(1)), options(swapped(v4), &answer)];
        assert_eq!(rig.read(entry, &frames), both, "{entry:?}");
        let frames = [extensions(v6, &query(1)), extensions(swapped(v6), &answer)];
        assert_eq!(rig.read(entry, &frames), both, "{entry:?}");
        for ends in ends() {
            for tags in [&[(0x8100, 5)][..], &[(0x88a8, 6), (0x8100, 7)]] {
                let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer)]
                    .map(|frame| frames::tagged(&frame, tags));
                assert_eq!(rig.read(entry, &frames), both, "{tags:?}");
            }
            // Padding behind the datagram is not of the message.
            let padded = [udp(swapped(ends), &answer), vec![0xee; 30]].concat();
            let frames = [udp(ends, &query(1)), padded];
            assert_eq!(rig.read(entry, &frames), both, "{entry:?}");
        }
    }
}

/// A first fragment counts as a datagram that was not read.
#[test]
#[ignore = "root"]
fn datagrams_that_are_not_whole_are_not_read() {
    let mut rig = Rig::with(&with(Payloads::All));
    let mut fragmented = 0;
    for port in [53, 4000] {
        for ends in ends_to(port) {
            let whole = udp(ends, &padded(1, 1200));
            for entry in ETHERNET {
                let frames = frames::fragments(&whole, 77, 600);
                assert!(frames.len() > 1);
                assert_eq!(rig.read(entry, &frames), [[0; 0]; 0], "{entry:?}");
                // Of four packets of a side, however many datagrams they were.
                fragmented += u64::from(port == 53 || entry != EGRESS);
                assert_eq!(rig.unread().fragments, fragmented, "{entry:?}");
            }
        }
    }
}

#[test]
#[ignore = "root"]
fn long_answers() {
    let mut rig = Rig::with(&with(Payloads::Dns));
    for ends in ends() {
        for entry in ETHERNET {
            for bytes in [45, 216, 217, 511, 512, 513, 1400, 1401, 3000] {
                let answer = padded(1, bytes);
                let frames = [udp(swapped(ends), &answer)];
                assert_eq!(rig.read(entry, &frames), [answer], "{entry:?} {bytes}");
            }
        }
        if !has_frames_in_several_buffers() {
            continue;
        }
        let before = rig.unread().too_long;
        for (bytes, read) in [(4096, 4096), (4097, MOST_BYTES), (9000, MOST_BYTES)] {
            let answer = padded(1, bytes);
            let taken = rig.pass(XDP, &[udp(swapped(ends), &answer)]);
            let taken: Vec<_> = taken.iter().map(|it| (it.length, &*it.bytes)).collect();
            assert_eq!(taken, [(bytes, &answer[..read])]);
        }
        assert_eq!(rig.unread().too_long, before + 2);
    }
}

#[test]
#[ignore = "root"]
fn where_nobody_wants_it_nothing_is_read() {
    let mut rig = Rig::new(16);
    assert_eq!(rig.tracker.payloads(), Payloads::Off);
    for ends in ends() {
        for entry in ETHERNET {
            let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer(1, 1))];
            assert_eq!(rig.read(entry, &frames), [[0; 0]; 0]);
        }
    }
    assert_eq!(rig.unread(), UnreadPayloads::default());
}

/// Of a flood, what is not read is counted, to the last one.
#[test]
#[ignore = "root"]
fn the_budget_holds() {
    const PACKETS: u32 = 50_000;
    let mut rig = Rig::with(&without_events(Payloads::All));
    for ends in ends() {
        for entry in ETHERNET {
            for payload in [query(1), answer(1, 66)] {
                let frame = udp(ends, &payload);
                let (books, unread) = (rig.books(entry), rig.unread());
                let begin = Instant::now();
                rig.tracker.run_frame(entry, &frame, PACKETS).unwrap();
                // One more jiffy at either end, and as many as there could be between.
                let jiffies = u64::try_from(begin.elapsed().as_millis()).unwrap() + 2;
                let flood = counts(PACKETS.into(), frame.len() * PACKETS as usize);
                let after = rig.books(entry);
                assert!(after.balance());
                assert_eq!(after.seen, books.seen + flood);
                assert_eq!(after.tracked, books.tracked + flood);
                let taken = rig.take().len() as u64;
                let budget = u64::from(BUDGET);
                assert!((budget..=budget * jiffies).contains(&taken), "{taken}");
                let over = rig.unread().dns_over_budget - unread.dns_over_budget;
                assert_eq!(over, u64::from(PACKETS) - taken);
            }
        }
    }
    let unread = UnreadPayloads {
        dns_over_budget: rig.unread().dns_over_budget,
        ..UnreadPayloads::default()
    };
    assert_eq!(rig.unread(), unread);
}

/// What anybody can send takes nothing from those who ask: queries, answers to them, and other connections have budgets of their own.
#[test]
#[ignore = "root"]
fn no_flood_starves_another_kind() {
    const FLOOD: u32 = 3 * BUDGET;
    let mut rig = Rig::with(&without_events(Payloads::All));
    for (round, ends) in (0..10).flat_map(|round| ends().map(|ends| (round, ends))) {
        let [client, server] = ends;
        let fresh = SocketAddr::new(client.ip(), 41_000 + round);
        let other = SocketAddr::new(server.ip(), 4000);
        let asked = udp([fresh, server], &query(round));
        let answered = udp([server, fresh], &answer(round, 1));
        let began = udp([fresh, other], b"begin");
        for entry in ETHERNET {
            // Nobody asked for these.
            let stranger = SocketAddr::new(client.ip(), 50_000);
            let forged = udp([server, stranger], &answer(1, 66));
            let floods = [
                (&forged, [&asked, &answered]),
                (&asked, [&answered, &began]),
            ];
            for (flood, rest) in floods {
                await_budget();
                rig.run_many(entry, flood, FLOOD);
                rig.take();
                for frame in rest {
                    rig.run_many(entry, frame, 1);
                }
                let taken = rig.take();
                let of = |frame: &[u8]| taken.iter().any(|payload| frame.ends_with(&payload.bytes));
                // Of four datagrams, each of three hooks sees the first.
                assert!(rest.iter().all(|frame| of(frame)), "{entry:?} {round}");
            }
        }
    }
}

impl Rig {
    fn run_many(&mut self, entry: Entry, frame: &[u8], times: u32) {
        self.tracker.run_frame(entry, frame, times).unwrap();
    }
}

/// A ring that nobody empties fills; what does not fit is counted, and the books stay exact.
#[test]
#[ignore = "root"]
fn a_full_ring_costs_payloads_alone() {
    let mut rig = Rig::with(&without_events(Payloads::Dns));
    let [ends, _] = ends();
    let (asked, answered) = (udp(ends, &query(1)), udp(swapped(ends), &answer(1, 1)));
    let begin = Instant::now();
    let mut pairs = 0;
    while rig.unread().ring_full < 10 {
        assert!(begin.elapsed() < Duration::from_secs(60));
        for _ in 0..100 {
            rig.run_many(EGRESS, &asked, 1);
            rig.run_many(XDP, &answered, 1);
            pairs += 1;
        }
    }
    let tracked = [EGRESS, XDP].map(|entry| rig.books(entry).tracked);
    let expected = [&asked, &answered].map(|frame| counts(pairs as u64, frame.len() * pairs));
    assert_eq!(tracked, expected);
    // A mebibyte of records of 256 bytes, with their headers. Not in turns: the budget leaves some out.
    let taken = rig.take();
    assert_eq!(taken.len(), (1 << 20) / 264);
    let unread = rig.unread();
    let all = taken.len() as u64 + unread.ring_full + unread.dns_over_budget;
    assert_eq!(all, 2 * pairs as u64);
    for payload in taken {
        assert!([query(1), answer(1, 1)].contains(&payload.bytes.into_vec()));
    }
}

/// What reached user space names the address; what was forged does not.
#[test]
#[ignore = "root"]
fn addresses_get_their_names() {
    let mut rig = Rig::with(&with(Payloads::Dns));
    let mut names = Names::none();
    let [ends, _] = ends();
    let frames = [
        udp(ends, &query(1)),
        udp(swapped(ends), &answer(2, 66)),
        udp(swapped(ends), &answer(1, 1)),
        udp(swapped(ends), &answer(1, 66)),
    ];
    await_budget();
    for (entry, frame) in [EGRESS, XDP, XDP, XDP].into_iter().zip(&frames) {
        rig.run(entry, frame).unwrap();
    }
    for payload in rig.take() {
        let message = Message::read(&payload.bytes);
        names.learn(&Passed {
            connection: payload.connection,
            interface: payload.interface,
            direction: payload.direction,
            from_originator: payload.from_originator,
            is_local: false,
            message: message.as_ref(),
        });
    }
    let name = |host: u8| names.host_name([192, 0, 2, host].into());
    assert_eq!(name(1), Some("www.example.org"));
    assert_eq!(name(66), None);
    assert_eq!(names.tally().unasked, 2);
    assert_eq!(rig.books(EGRESS).tracked.packets, 1);
    assert_eq!(rig.books(XDP).tracked.packets, 3);
}

/// Each message by its header, whatever the budget, hook, family and shape; nothing of who lay there before.
#[test]
#[ignore = "root"]
fn dns_messages_are_counted() {
    const MANY: u32 = 1000;
    for payloads in [Payloads::Off, Payloads::All] {
        let mut rig = Rig::with(&Settings {
            dns: true,
            ..without_events(payloads)
        });
        for (round, port) in (0_u16..).zip([53, 5353, 5355, 53]) {
            for ends in ends_to(port) {
                let back = swapped(ends);
                for (entry, nth) in ETHERNET.into_iter().zip(1..) {
                    rig.run_many(entry, &udp(ends, &query(1)), MANY);
                    for code in 0..16 {
                        let answer = message(1, 0x8180 | code, 0);
                        rig.run_many(entry, &udp(back, &answer), u32::from(code) + 1);
                    }
                    rig.run_many(entry, &udp(back, &message(1, 0x8382, 0)), 2);
                    rig.run_many(entry, &udp(ends, b"short"), 3);
                    // Truncated queries are none that anybody knows; the bit says nothing of them.
                    rig.run_many(entry, &udp(ends, &message(1, 0x0300, 0)), 1);
                    let whole = udp(back, &padded(1, 1200));
                    for fragment in frames::fragments(&whole, 77, 600) {
                        rig.run_many(entry, &fragment, 1);
                    }
                    let expected = DnsCounts {
                        queries: u64::from(MANY) + 1,
                        truncated: 2,
                        rcodes: [2, 2, 5, 4, 5, 6, (7..=16).sum()],
                        unread: 3,
                    };
                    let mut sum = DnsCounts::default();
                    (0..nth).for_each(|_| sum += expected);
                    assert_eq!(
                        rig.find(ends[0], ends[1]).dns,
                        Some(sum),
                        "{entry:?} {round}"
                    );
                }
                // The next one at that place begins anew.
                let sample = rig.find(ends[0], ends[1]);
                let counted = Expiry {
                    place: sample.place,
                    packets: sample.total().packets,
                    reason: EndReason::Idle,
                };
                let ended = rig.tracker.expire(&[counted]).unwrap();
                let [(last, _)] = ended[..] else {
                    panic!("{ended:?}")
                };
                assert_eq!(last.dns, sample.dns);
                rig.take();
            }
        }
        for ends in ends_to(54) {
            rig.run_many(XDP, &udp(ends, &query(1)), 1);
            assert_eq!(rig.find(ends[0], ends[1]).dns, None);
        }
    }
    let mut rig = Rig::with(&without_events(Payloads::Dns));
    let [ends, _] = ends();
    rig.run_many(XDP, &udp(ends, &query(1)), 1);
    assert_eq!(rig.find(ends[0], ends[1]).dns, None);
}
