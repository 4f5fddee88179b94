//! Turns raw structs of the kernel programs into types of the model. Pure: no maps, no system calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bpf::read::drops::LostOf;
use crate::bpf::sys::types;
use crate::model::{
    Books, ConnectionId, Counts, DNS_PORTS, DnsCounts, End, Event, EventKind, Heard, Ifindex,
    Place, Response, Role, RoundTrip, Sample, Skip, Status, TrafficClass, Vlans,
};

const _: () = assert!(size_of::<types::udp_track_books>() == 192);
const _: () = assert!(size_of::<types::udp_track_event>() == 80);
const _: () = assert!(types::udp_track_skip::UDP_TRACK_SKIPS.0 as usize == Skip::ALL.len());

const IPV6: u64 = 1 << types::udp_track_tuple_bit::UDP_TRACK_IPV6_BIT.0;
const VLAN_ID: u16 = 0x0fff;

/// How the kernel's jiffies relate to `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct Jiffies {
    /// Nanoseconds of one jiffy.
    pub length_ns: u64,
    /// `CLOCK_MONOTONIC` at jiffy 0, which lies before the boot.
    pub zero_ns: i64,
}

impl Jiffies {
    /// The beginning of a jiffy in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn to_ns(self, jiffies: u64) -> u64 {
        jiffies
            .wrapping_mul(self.length_ns)
            .wrapping_add_signed(self.zero_ns)
    }

    /// The jiffy at a moment of `CLOCK_MONOTONIC`.
    pub fn at(self, ns: u64) -> u64 {
        ns.wrapping_add_signed(self.zero_ns.wrapping_neg()) / self.length_ns.max(1)
    }

    /// The jiffy whose low 32 bits these are, near another one: within 2^31 of them.
    pub fn widen(low: u32, near: u64) -> u64 {
        let ahead = low.wrapping_sub(low_u32(near)).cast_signed();
        near.wrapping_add_signed(ahead.into())
    }

    /// How many jiffies a duration has, rounded up.
    pub fn count(length_ns: u64, duration: std::time::Duration) -> u32 {
        let count = duration.as_nanos().div_ceil(u128::from(length_ns.max(1)));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Both ends of a canonical tuple, lower end first, and its VLANs.
fn decode_tuple(words: [u64; 5]) -> ([SocketAddr; 2], Vlans) {
    if words[0] & IPV6 == 0 {
        decode_ipv4(words[0], words[1])
    } else {
        decode_ipv6(words)
    }
}

fn decode_ipv4(lower: u64, higher: u64) -> ([SocketAddr; 2], Vlans) {
    let end = |word: u64| {
        let address = Ipv4Addr::from(low_u32(word >> 16).to_ne_bytes());
        SocketAddr::new(IpAddr::V4(address), u16::from_be(low_u16(word)))
    };
    let vlans = Vlans {
        outer: low_u16(lower >> 48) & VLAN_ID,
        inner: low_u16(higher >> 48) & VLAN_ID,
    };
    ([end(lower), end(higher)], vlans)
}

fn decode_ipv6(words: [u64; 5]) -> ([SocketAddr; 2], Vlans) {
    let end = |first: u64, second: u64, port: u64| {
        let mut address = [0; 16];
        address[..8].copy_from_slice(&first.to_ne_bytes());
        address[8..].copy_from_slice(&second.to_ne_bytes());
        let port = u16::from_be(low_u16(port));
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from(address)), port)
    };
    let vlans = Vlans {
        outer: low_u16(words[0] >> 32) & VLAN_ID,
        inner: low_u16(words[0] >> 48) & VLAN_ID,
    };
    let lower = end(words[3], words[4], words[0]);
    let higher = end(words[2], words[1], words[0] >> 16);
    ([lower, higher], vlans)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
fn low_u32(word: u64) -> u32 {
    word as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest byte is what is wanted"
)]
pub(in crate::bpf) fn low_u8(word: u64) -> u8 {
    word as u8
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest quarter is what is wanted"
)]
fn low_u16(word: u64) -> u16 {
    word as u16
}

fn counts(raw: types::udp_track_counts) -> Counts {
    Counts {
        packets: raw.packets,
        bytes: raw.bytes,
    }
}

pub(in crate::bpf) fn status(state: u8) -> Option<Status> {
    use types::udp_track_state as raw;
    Some(match raw(u32::from(state)) {
        raw::UDP_TRACK_ESTABLISHED => Status::Unreplied,
        raw::UDP_TRACK_REPLIED => Status::Replied,
        raw::UDP_TRACK_ASSURED => Status::Assured,
        raw::UDP_TRACK_UNREACHABLE => Status::Unreach,
        _ => return None,
    })
}

/// Whether a bit of `udp_track_line.sides` is set.
pub(in crate::bpf) fn has(sides: u8, bit: types::udp_track_sides) -> bool {
    u32::from(sides) & bit.0 != 0
}

/// The side that asks: the originator's.
pub(in crate::bpf) fn asks(sides: u8) -> usize {
    usize::from(has(sides, types::udp_track_sides::UDP_TRACK_ASKS))
}

/// Whether a side has sent.
fn is_seen(sides: u8, side: usize) -> bool {
    u32::from(sides) & types::udp_track_sides::UDP_TRACK_SEEN.0 & 1 << side != 0
}

fn role(sides: u8) -> Role {
    use types::udp_track_sides as raw;
    if has(sides, raw::UDP_TRACK_GUESSED) {
        Role::Guessed
    } else if has(sides, raw::UDP_TRACK_KNOWN) {
        Role::Known
    } else {
        Role::Seen
    }
}

/// Whether the side that asks sent the first packet.
fn began(sides: u8) -> bool {
    use types::udp_track_sides as raw;
    has(sides, raw::UDP_TRACK_ASKS) == has(sides, raw::UDP_TRACK_ORIGIN)
}

/// What was read of a `struct udp_track_line`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct Line {
    /// Of the tuple.
    pub words: [u64; 5],
    /// By the side that sent.
    pub counts: [Counts; 2],
    pub last: u32,
    pub interface: [u16; 2],
    pub state: u8,
    pub unreachable: u8,
    pub sides: u8,
    pub id: u64,
    pub first_ns: u64,
    pub reply_ns: u64,
    pub ttl: [u8; 2],
    /// TOS byte or traffic class.
    pub class: [u8; 2],
}

/// The folds of packets in `udp_track_detail.folded`; the lowest byte is the traffic class of the side's first packet.
pub(in crate::bpf) fn packet_folds(folded: u32) -> u32 {
    folded >> types::udp_track_counted::UDP_TRACK_FOLD_SHIFT.0
}

/// What a word of `udp_track_line.counted` says, with its folds of packets and of bytes.
pub(in crate::bpf) fn counts_of(counted: u64, (packet_folds, byte_folds): (u32, u16)) -> Counts {
    use types::udp_track_counted as bits;
    let shift = bits::UDP_TRACK_PACKET_SHIFT.0;
    let packet_fold = 1 << (bits::UDP_TRACK_PACKET_FOLD_BIT.0 - shift);
    let byte_fold = 1 << bits::UDP_TRACK_BYTE_FOLD_BIT.0;
    Counts {
        packets: (counted >> shift) + u64::from(packet_folds) * packet_fold,
        bytes: (counted & ((1 << shift) - 1)) + u64::from(byte_folds) * byte_fold,
    }
}

/// What is known of a connection beside its line.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct Beside {
    pub response: Response,
    pub lost: LostOf,
    pub heard: Heard,
    pub round_trip: Option<RoundTrip>,
    /// What is counted at its place: of what is no DNS, nothing.
    pub dns: Option<DnsCounts>,
}

/// One connection; `None` where no packet is counted yet. `interface` knows the tracked interface of a slot.
pub(in crate::bpf) fn sample(
    place: Place,
    raw: &Line,
    beside: &Beside,
    last_ns: u64,
    interface: impl Fn(u16) -> Ifindex,
) -> Option<Sample> {
    let status = status(raw.state)?;
    if raw.counts == [Counts::default(); 2] {
        return None;
    }
    let (ends, vlans) = decode_tuple(raw.words);
    let origin = asks(raw.sides);
    let class = |side| is_seen(raw.sides, side).then_some(TrafficClass(raw.class[side]));
    let on = |side: usize| raw.interface[side].checked_sub(1).map(&interface);
    Some(Sample {
        id: ConnectionId(raw.id),
        place,
        // Roles may have swapped before the originator was heard.
        ifindex: on(origin).or_else(|| on(1 - origin)).unwrap_or(Ifindex(0)),
        reply_ifindex: on(1 - origin),
        vlans,
        originator: ends[origin],
        responder: ends[1 - origin],
        orig: raw.counts[origin],
        reply: raw.counts[1 - origin],
        status,
        unreachable: (status == Status::Unreach).then(|| match usize::from(raw.unreachable & 1) {
            side if side == origin => End::Originator,
            _ => End::Responder,
        }),
        first_ns: raw.first_ns,
        last_ns: last_ns.max(raw.first_ns).max(raw.reply_ns),
        first_reply_ns: (raw.reply_ns != 0 && began(raw.sides)).then_some(raw.reply_ns),
        orig_ttl: ttl(raw.ttl[origin]),
        reply_ttl: ttl(raw.ttl[1 - origin]),
        orig_class: class(origin),
        reply_class: class(1 - origin),
        role: role(raw.sides),
        response: beside.response,
        round_trip: beside.round_trip,
        dropped: beside.lost.all,
        reply_dropped: if origin == 0 {
            beside.lost.higher
        } else {
            beside.lost.all.total().since(beside.lost.higher)
        },
        dns: beside
            .dns
            .filter(|_| ends.iter().any(|end| DNS_PORTS.contains(&end.port()))),
        heard: beside.heard,
    })
}

fn ttl(first: u8) -> Option<u8> {
    (first != 0).then_some(first)
}

/// One event; `None` for a record that is not one of ours.
pub(in crate::bpf) fn event(raw: &types::udp_track_event, jiffies: Jiffies) -> Option<Event> {
    use types::udp_track_event_kind as kinds;
    let (kind, time_ns) = match kinds(u32::from(raw.kind)) {
        kinds::UDP_TRACK_NEW => (EventKind::New, raw.time),
        kinds::UDP_TRACK_DATA => (EventKind::Data, jiffies.to_ns(raw.time)),
        _ => return None,
    };
    let (ends, vlans) = decode_tuple(raw.tuple.words);
    let side = usize::from(raw.side & 1);
    Some(Event {
        kind,
        id: ConnectionId(raw.id),
        place: Place(raw.place),
        ifindex: Ifindex(raw.ifindex),
        vlans,
        source: ends[side],
        destination: ends[1 - side],
        counts: Counts {
            packets: u64::from(raw.packets),
            bytes: u64::from(raw.bytes),
        },
        time_ns,
    })
}

/// Where the kernel counts what it skips for a reason.
fn index_of(reason: Skip) -> usize {
    use types::udp_track_skip as raw;
    let index = match reason {
        Skip::NotIp => raw::UDP_TRACK_NOT_IP,
        Skip::NotUdp => raw::UDP_TRACK_NOT_UDP,
        Skip::FragmentWithoutHead => raw::UDP_TRACK_FRAGMENT_WITHOUT_HEAD,
        Skip::Truncated => raw::UDP_TRACK_TRUNCATED,
        Skip::Malformed => raw::UDP_TRACK_MALFORMED,
        Skip::TooDeep => raw::UDP_TRACK_TOO_DEEP,
        Skip::Filtered => raw::UDP_TRACK_FILTERED,
        Skip::OtherInterface => raw::UDP_TRACK_OTHER_INTERFACE,
        Skip::TableFull => raw::UDP_TRACK_TABLE_FULL,
    };
    index.0 as usize
}

/// The books of one hook on one CPU.
pub(in crate::bpf) fn books(raw: &types::udp_track_books) -> Books {
    Books {
        seen: counts(raw.seen),
        tracked: counts(raw.tracked),
        skipped: Skip::ALL.map(|reason| counts(raw.skipped[index_of(reason)])),
    }
}

/// The sum of the books of two slots.
pub(in crate::bpf) fn sum_of_books(
    one: types::udp_track_books,
    other: types::udp_track_books,
) -> types::udp_track_books {
    let sum =
        |one: types::udp_track_counts, other: types::udp_track_counts| types::udp_track_counts {
            packets: one.packets + other.packets,
            bytes: one.bytes + other.bytes,
        };
    let mut books = one;
    books.seen = sum(one.seen, other.seen);
    books.tracked = sum(one.tracked, other.tracked);
    for (skipped, more) in books.skipped.iter_mut().zip(other.skipped) {
        *skipped = sum(*skipped, more);
    }
    books.events_lost += other.events_lost;
    books.frames_lost += other.frames_lost;
    books
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DropClass;

    const JIFFIES: Jiffies = Jiffies {
        length_ns: 4_000_000,
        zero_ns: -1_000_000_000,
    };

    const TUPLE: u64 = 1 << types::udp_track_tuple_bit::UDP_TRACK_TUPLE_BIT.0;

    fn tuple4() -> [u64; 5] {
        let end = |address: [u8; 4], port: u16| {
            u64::from(u32::from_ne_bytes(address)) << 16 | u64::from(port.to_be())
        };
        [
            TUPLE | end([10, 0, 0, 1], 4444) | 100 << 48,
            end([10, 0, 0, 2], 53) | 7 << 48,
            0,
            0,
            0,
        ]
    }

    fn line() -> Line {
        Line {
            words: tuple4(),
            counts: [
                counts_of((1 << 40) + 100, (0, 0)),
                counts_of((2 << 40) + 200, (0, 0)),
            ],
            interface: [0, 3],
            state: 2,
            sides: 2 | 4 | 16,
            first_ns: 10,
            ttl: [64, 0],
            class: [0xb8, 0x28],
            ..Line::default()
        }
    }

    fn decoded(line: &Line) -> Option<Sample> {
        let on = |slot| Ifindex(u32::from(slot) + 100);
        sample(Place(5), line, &Beside::default(), 4_000_000_000, on)
    }

    #[test]
    fn ipv4_tuple_and_vlans() {
        let sample = decoded(&line()).unwrap();
        assert_eq!(sample.originator, "10.0.0.2:53".parse().unwrap());
        assert_eq!(sample.responder, "10.0.0.1:4444".parse().unwrap());
        let vlans = Vlans {
            outer: 100,
            inner: 7,
        };
        assert_eq!(sample.vlans, vlans);
        let counts = |packets, bytes| Counts { packets, bytes };
        assert_eq!(
            (sample.orig, sample.reply),
            (counts(2, 200), counts(1, 100))
        );
        assert_eq!(
            (sample.place, sample.ifindex, sample.reply_ifindex),
            (Place(5), Ifindex(102), None)
        );
        // The roles swap, and nobody has heard the one who asks.
        let swapped = Line {
            sides: 2 | 4,
            ..line()
        };
        let swapped = decoded(&swapped).unwrap();
        assert_eq!(swapped.originator, sample.responder);
        assert_eq!(
            (swapped.ifindex, swapped.reply_ifindex),
            (Ifindex(102), Some(Ifindex(102)))
        );
        assert_eq!(sample.last_ns, 4_000_000_000);
        assert_eq!(sample.first_reply_ns, None);
        assert_eq!((sample.orig_ttl, sample.reply_ttl), (None, Some(64)));
        let class = Some(TrafficClass(0x28));
        assert_eq!((sample.orig_class, sample.reply_class), (class, None));
        assert_eq!((swapped.orig_class, swapped.reply_class), (None, class));
        assert_eq!(sample.status, Status::Unreplied);
    }

    #[test]
    fn losses_are_of_who_sent_them() {
        let counts = |packets| Counts {
            packets,
            bytes: 100 * packets,
        };
        let mut lost = LostOf::default();
        lost.all.add(DropClass::Queue, counts(7));
        lost.higher = counts(3);
        // Who asks is side 1, or side 0.
        for (sides, reply) in [(2 | 4 | 16, 4), (2 | 4, 3)] {
            let line = Line { sides, ..line() };
            let beside = Beside {
                lost,
                ..Beside::default()
            };
            let sample = sample(Place(5), &line, &beside, 4_000_000_000, |_| Ifindex(1)).unwrap();
            assert_eq!(sample.dropped, lost.all);
            assert_eq!(sample.reply_dropped, counts(reply));
        }
    }

    #[test]
    fn folds_add_up() {
        assert_eq!(packet_folds(0x1b8), 1);
        let counted = counts_of((3 << 40) + 500, (1, 2));
        assert_eq!(counted.packets, (1 << 23) + 3);
        assert_eq!(counted.bytes, (2 << 39) + 500);
        let full = counts_of(u64::MAX, (0, 0));
        assert_eq!((full.packets, full.bytes), ((1 << 24) - 1, (1 << 40) - 1));
    }

    #[test]
    fn ipv6_tuple() {
        let address: Ipv6Addr = "fd88::1".parse().unwrap();
        let octets = address.octets();
        let word =
            |range: std::ops::Range<usize>| u64::from_ne_bytes(octets[range].try_into().unwrap());
        let ports = u64::from(53_u16.to_be()) << 16 | u64::from(4444_u16.to_be());
        let words = [
            TUPLE | IPV6 | 5 << 32 | ports,
            0,
            0,
            word(0..8),
            word(8..16),
        ];
        let (ends, vlans) = decode_tuple(words);
        assert_eq!(ends[0], "[fd88::1]:4444".parse().unwrap());
        assert_eq!(ends[1], "[::]:53".parse().unwrap());
        assert_eq!(vlans, Vlans { outer: 5, inner: 0 });
    }

    #[test]
    fn an_exact_time_wins_over_its_jiffy() {
        let mut raw = line();
        raw.reply_ns = 4_003_000_000;
        assert_eq!(decoded(&raw).unwrap().last_ns, 4_003_000_000);
        raw.reply_ns = 3_999_999_999;
        assert_eq!(decoded(&raw).unwrap().last_ns, 4_000_000_000);
    }

    #[test]
    fn what_has_counted_nothing_yet_is_no_connection() {
        let mut raw = line();
        raw.counts = [Counts::default(); 2];
        assert_eq!(decoded(&raw), None);
        assert_eq!(decoded(&Line::default()), None);
    }

    #[test]
    fn jiffies_there_and_back() {
        for jiffies in [250, 251, 1 << 40] {
            assert_eq!(JIFFIES.at(JIFFIES.to_ns(jiffies)), jiffies);
            assert_eq!(JIFFIES.at(JIFFIES.to_ns(jiffies) + 3_999_999), jiffies);
        }
        assert_eq!(JIFFIES.at(0), 250);
    }

    #[test]
    fn low_halves_are_widened_by_difference() {
        let widen = |low, near| Jiffies::widen(low, near);
        assert_eq!(widen(5, 5), 5);
        assert_eq!(widen(3, 0x1_ffff_fff0), 0x2_0000_0003);
        assert_eq!(widen(0xffff_fff0, 0x2_0000_0003), 0x1_ffff_fff0);
        // Up to half of the range behind: 24 days where a second has a thousand jiffies.
        assert_eq!(widen(0x8000_0003, 0x2_0000_0003), 0x1_8000_0003);
        assert_eq!(widen(0x8000_0002, 0x2_0000_0003), 0x2_8000_0002);
    }

    #[test]
    fn an_unknown_event_is_none() {
        let raw = types::udp_track_event {
            kind: 9,
            ..Default::default()
        };
        assert_eq!(event(&raw, JIFFIES), None);
    }

    #[test]
    fn reasons_have_the_kernels_order() {
        use types::udp_track_skip as raw;
        for (reason, index) in [
            (Skip::NotIp, raw::UDP_TRACK_NOT_IP),
            (Skip::NotUdp, raw::UDP_TRACK_NOT_UDP),
            (
                Skip::FragmentWithoutHead,
                raw::UDP_TRACK_FRAGMENT_WITHOUT_HEAD,
            ),
            (Skip::Truncated, raw::UDP_TRACK_TRUNCATED),
            (Skip::Malformed, raw::UDP_TRACK_MALFORMED),
            (Skip::TooDeep, raw::UDP_TRACK_TOO_DEEP),
            (Skip::Filtered, raw::UDP_TRACK_FILTERED),
            (Skip::OtherInterface, raw::UDP_TRACK_OTHER_INTERFACE),
            (Skip::TableFull, raw::UDP_TRACK_TABLE_FULL),
        ] {
            assert_eq!(reason as u32, index.0, "{}", reason.name());
            assert_eq!(Skip::ALL[index.0 as usize], reason);
        }
    }
}
