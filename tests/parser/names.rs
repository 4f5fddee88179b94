//! Which DNS messages reach user space: queries, and whole answers to them, each once, within the budget.
//! Whatever becomes of them, each packet is counted as any other.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use udptrack::bpf::{DnsMessage, Entry, Settings, UnreadDns};
use udptrack::model::Direction;
use udptrack::names::{Message, Names};

use crate::common::frames::{self, Extension};
use crate::rig::{
    EGRESS, ETHERNET, ETHERNET_BYTES, INGRESS, IP_EGRESS, IP_INGRESS, LO, Rig, XDP, address,
    counts, has_frames_in_several_buffers, settings,
};

/// What a CPU reads in a jiffy, of which there are at most a thousand a second.
const BUDGET: u64 = 16;

fn with_names() -> Settings {
    Settings {
        names: true,
        ..settings(1024)
    }
}

/// Client and server.
fn ends() -> [[SocketAddr; 2]; 2] {
    [
        [address("10.88.0.1:40000"), address("10.88.0.2:53")],
        [address("[fd88::1]:40000"), address("[fd88::2]:53")],
    ]
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

impl Rig {
    /// Gives the frames to a program and takes the answers that reached user space. Within the budget: in a jiffy of its own.
    fn read(&mut self, entry: Entry, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        await_budget();
        for frame in frames {
            let counted = self.run(entry, frame);
            assert!(counted.is_ok(), "{entry:?}: {counted:?}");
        }
        let answers = self.take().into_iter();
        answers
            .filter(|message| message.bytes[2] & 0x80 != 0)
            .map(|message| message.bytes.into_vec())
            .collect()
    }

    fn take(&mut self) -> Vec<DnsMessage> {
        self.tracker.take_dns().unwrap()
    }

    fn unread(&self) -> UnreadDns {
        self.tracker.unread_dns().unwrap()
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
fn answers_to_queries_reach_user_space() {
    let mut rig = Rig::with(&with_names());
    assert!(rig.tracker.has_names());
    for ends in ends() {
        for (number, entry) in ETHERNET.into_iter().enumerate() {
            let id = 7 * u16::try_from(number).unwrap();
            let answer = answer(id, 1);
            let frames = [udp(ends, &query(id)), udp(swapped(ends), &answer)];
            assert_eq!(rig.read(entry, &frames), [answer], "{entry:?}");
        }
        for entry in [IP_INGRESS, IP_EGRESS] {
            let answer = answer(8, 2);
            let frames = [udp(ends, &query(8)), udp(swapped(ends), &answer)]
                .map(|frame| frame[ETHERNET_BYTES..].to_vec());
            assert_eq!(rig.read(entry, &frames), [answer], "{entry:?}");
        }
    }
    // The query leaves by one hook, the answer comes in by the other.
    for ends in ends() {
        for (there, back) in [(EGRESS, XDP), (EGRESS, INGRESS), (XDP, EGRESS)] {
            assert_eq!(rig.read(there, &[udp(ends, &query(9))]), [[0; 0]; 0]);
            let answer = answer(9, 3);
            assert_eq!(rig.read(back, &[udp(swapped(ends), &answer)]), [answer]);
        }
    }
    assert_eq!(rig.unread(), UnreadDns::default());
}

/// With what tells their connection from others; but nothing else on that port.
#[test]
#[ignore = "root"]
fn queries_reach_user_space() {
    let mut rig = Rig::with(&with_names());
    let mut connections = HashSet::new();
    for ends in ends() {
        let mut known = None;
        for entry in ETHERNET {
            await_budget();
            for _ in 0..2 {
                rig.run(entry, &udp(ends, &query(1))).unwrap();
                rig.run(entry, &udp(swapped(ends), &answer(1, 1))).unwrap();
            }
            let messages = rig.take();
            let connection = *known.get_or_insert(messages[0].connection);
            let expected =
                [query(1), answer(1, 1), query(1), answer(1, 1)].map(|bytes| DnsMessage {
                    connection,
                    interface: LO,
                    direction: direction(entry),
                    bytes: bytes.into(),
                });
            assert_eq!(messages, expected, "{entry:?}");
            let mut two_questions = query(1);
            two_questions[5] = 2;
            for payload in [
                message(1, 0x2800, 0), // an update
                two_questions,
                query(1)[..11].to_vec(),
                Vec::new(),
            ] {
                rig.run(entry, &udp(ends, &payload)).unwrap();
                assert_eq!(rig.take(), [], "{entry:?}");
            }
            // From port 53 to another.
            rig.run(entry, &udp(swapped(ends), &query(1))).unwrap();
            assert_eq!(rig.take(), [], "{entry:?}");
        }
        assert!(connections.insert(known));
    }
}

#[test]
#[ignore = "root"]
fn whatever_stands_before_the_message() {
    let mut rig = Rig::with(&with_names());
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
    for entry in ETHERNET {
        let frames = [options(v4, &query(1)), options(swapped(v4), &answer)];
        assert_eq!(
            rig.read(entry, &frames),
            std::slice::from_ref(&answer),
            "{entry:?}"
        );
        let frames = [extensions(v6, &query(1)), extensions(swapped(v6), &answer)];
        assert_eq!(
            rig.read(entry, &frames),
            std::slice::from_ref(&answer),
            "{entry:?}"
        );
        for ends in ends() {
            for tags in [&[(0x8100, 5)][..], &[(0x88a8, 6), (0x8100, 7)]] {
                let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer)]
                    .map(|frame| frames::tagged(&frame, tags));
                assert_eq!(
                    rig.read(entry, &frames),
                    std::slice::from_ref(&answer),
                    "{tags:?}"
                );
            }
            // Padding behind the datagram is not of the message.
            let padded = [udp(swapped(ends), &answer), vec![0xee; 30]].concat();
            let frames = [udp(ends, &query(1)), padded];
            assert_eq!(
                rig.read(entry, &frames),
                std::slice::from_ref(&answer),
                "{entry:?}"
            );
        }
    }
}

#[test]
#[ignore = "root"]
fn what_nobody_asked_for_is_not_read() {
    let mut rig = Rig::with(&with_names());
    let nothing: [Vec<u8>; 0] = [];
    for ends in ends() {
        let back = swapped(ends);
        let [client, server] = ends;
        let other_port = SocketAddr::new(client.ip(), client.port() + 1);
        for entry in ETHERNET {
            // No query at all: then the server is who began, and stays so.
            let lonely = SocketAddr::new(client.ip(), 50_000 + entry_number(entry));
            let forged = udp([server, lonely], &answer(1, 66));
            assert_eq!(rig.read(entry, &[forged]), nothing, "{entry:?}");

            let asked = udp(ends, &query(1));
            for forged in [
                // Another id, another port, another server, from the wrong port, and from who asked.
                udp(back, &answer(2, 66)),
                udp([server, other_port], &answer(1, 66)),
                udp([SocketAddr::new(server.ip(), 54), client], &answer(1, 66)),
                udp(ends, &answer(1, 66)),
                // No answer, or none with names.
                udp(back, &query(1)),
                udp(back, &[0; 11]),
                udp(back, &[]),
            ] {
                assert_eq!(rig.read(entry, &[asked.clone(), forged]), nothing);
            }
            // Those that would have been good, but for one thing; the query waits no more after each.
            for flags in [0x8183, 0x8182, 0x8380, 0x8980] {
                let failed = udp(back, &message(3, flags, 1));
                let late = udp(back, &answer(3, 66));
                let frames = [udp(ends, &query(3)), failed, late];
                assert_eq!(rig.read(entry, &frames), nothing, "{flags:#x}");
            }
            let empty = udp(back, &message(4, 0x8180, 0));
            assert_eq!(rig.read(entry, &[udp(ends, &query(4)), empty]), nothing);
            // Each query has one answer.
            let [first, second] = [answer(5, 1), answer(5, 66)];
            let frames = [
                udp(ends, &query(5)),
                udp(back, &first),
                udp(back, &first),
                udp(back, &second),
            ];
            assert_eq!(rig.read(entry, &frames), [first], "{entry:?}");
        }
    }
    assert_eq!(rig.unread(), UnreadDns::default());
}

/// Which direction a message has that passed there.
fn direction(entry: Entry) -> Direction {
    match entry {
        Entry::Tc(direction) => direction,
        _ => Direction::Ingress,
    }
}

fn entry_number(entry: Entry) -> u16 {
    match entry {
        Entry::Xdp => 0,
        Entry::Tc(Direction::Ingress) => 1,
        _ => 2,
    }
}

#[test]
#[ignore = "root"]
fn several_queries_wait_at_a_time() {
    let mut rig = Rig::with(&with_names());
    for ends in ends() {
        // As many as fit: the ninth takes the place of the first.
        let asked: Vec<_> = (0..9).map(|id| udp(ends, &query(id))).collect();
        assert_eq!(rig.read(EGRESS, &asked), [[0; 0]; 0]);
        let answers: Vec<_> = (0..9).rev().map(|id| answer(id, 1)).collect();
        let frames: Vec<_> = answers
            .iter()
            .map(|answer| udp(swapped(ends), answer))
            .collect();
        assert_eq!(rig.read(XDP, &frames), answers[..8]);
    }
}

#[test]
#[ignore = "root"]
fn datagrams_that_are_not_whole_are_not_read() {
    let mut rig = Rig::with(&with_names());
    for ends in ends() {
        let asked = udp(ends, &query(1));
        let whole = udp(swapped(ends), &padded(1, 1200));
        for entry in ETHERNET {
            let mut frames = frames::fragments(&whole, 77, 600);
            frames.insert(0, asked.clone());
            assert_eq!(rig.read(entry, &frames), [[0; 0]; 0], "{entry:?}");
        }
    }
}

#[test]
#[ignore = "root"]
fn long_answers() {
    let mut rig = Rig::with(&with_names());
    for ends in ends() {
        for entry in ETHERNET {
            for bytes in [45, 511, 512, 513, 1400, 3000] {
                let answer = padded(1, bytes);
                let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer)];
                assert_eq!(rig.read(entry, &frames), [answer], "{entry:?} {bytes}");
            }
        }
        if !has_frames_in_several_buffers() {
            continue;
        }
        let before = rig.unread().too_long;
        for (bytes, read) in [(4096, 1), (4097, 0), (9000, 0)] {
            let answer = padded(1, bytes);
            let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer)];
            assert_eq!(rig.read(XDP, &frames), vec![answer; read], "{bytes}");
        }
        assert_eq!(rig.unread().too_long, before + 2);
    }
}

#[test]
#[ignore = "root"]
fn without_names_nothing_is_read() {
    let mut rig = Rig::new(16);
    assert!(!rig.tracker.has_names());
    for ends in ends() {
        for entry in ETHERNET {
            let frames = [udp(ends, &query(1)), udp(swapped(ends), &answer(1, 1))];
            assert_eq!(rig.read(entry, &frames), [[0; 0]; 0]);
        }
    }
    assert_eq!(rig.unread(), UnreadDns::default());
}

/// A flood on port 53 is counted to the last packet, and next to nothing of it is looked at.
#[test]
#[ignore = "root"]
fn the_budget_holds() {
    const PACKETS: u32 = 200_000;
    let mut rig = Rig::with(&Settings {
        new_events: false,
        data_events: false,
        ..with_names()
    });
    for ends in ends() {
        for entry in ETHERNET {
            let frame = udp(swapped(ends), &answer(1, 66));
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
            let over = rig.unread().over_budget - unread.over_budget;
            assert!(over <= u64::from(PACKETS) - BUDGET);
            assert!(over + BUDGET * jiffies >= PACKETS.into(), "{over}");
            assert_eq!(rig.take(), []);
        }
    }
    assert_eq!(rig.unread().lost, 0);
}

/// A ring that nobody empties fills; what does not fit is counted, and the books stay exact.
#[test]
#[ignore = "root"]
fn a_full_ring_costs_names_alone() {
    let mut rig = Rig::with(&Settings {
        new_events: false,
        data_events: false,
        ..with_names()
    });
    let [ends, _] = ends();
    let (asked, answered) = (udp(ends, &query(1)), udp(swapped(ends), &answer(1, 1)));
    let begin = Instant::now();
    let mut pairs = 0;
    while rig.unread().lost < 10 {
        assert!(begin.elapsed() < Duration::from_secs(60));
        for _ in 0..100 {
            rig.tracker.run_frame(EGRESS, &asked, 1).unwrap();
            rig.tracker.run_frame(XDP, &answered, 1).unwrap();
            pairs += 1;
        }
    }
    let tracked = [EGRESS, XDP].map(|entry| rig.books(entry).tracked);
    let expected = [&asked, &answered].map(|frame| counts(pairs as u64, frame.len() * pairs));
    assert_eq!(tracked, expected);
    // A mebibyte of records of 536 bytes, with their headers. Not in turns: the budget leaves some out.
    let taken = rig.take();
    assert_eq!(taken.len(), (1 << 20) / 536);
    for message in taken {
        assert!([query(1), answer(1, 1)].contains(&message.bytes.into_vec()));
    }
}

/// What reached user space names the address; what did not, does not.
#[test]
#[ignore = "root"]
fn addresses_get_their_names() {
    let mut rig = Rig::with(&with_names());
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
    for message in rig.take() {
        names.learn(Message {
            connection: message.connection,
            interface: message.interface,
            direction: message.direction,
            is_local: false,
            bytes: &message.bytes,
        });
    }
    let name = |host: u8| names.host_name([192, 0, 2, host].into());
    assert_eq!(name(1), Some("www.example.org"));
    assert_eq!(name(66), None);
    assert_eq!(rig.books(EGRESS).tracked.packets, 1);
    assert_eq!(rig.books(XDP).tracked.packets, 3);
}
