//! Raw structs of the kernel programs to what the rest of the program works with. Pure: no maps, no system calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::sys::types;
use crate::connection::{
    Books, ConnectionId, Counts, Event, EventKind, Ifindex, Response, Sample, Skip, Status, Vlans,
};

const _: () = assert!(size_of::<types::udp_track_connection>() == 128);
const _: () = assert!(size_of::<types::udp_track_stats>() == 136);
const _: () = assert!(size_of::<types::udp_track_books>() == 704);
const _: () = assert!(size_of::<types::udp_track_response_line>() == 128);
const _: () = assert!(size_of::<types::udp_track_event>() == 72);
const _: () = assert!(size_of::<types::udp_track_set4>() == 256);
const _: () = assert!(size_of::<types::udp_track_set6>() == 512);
const _: () = assert!(types::udp_track_skip::UDP_TRACK_SKIPS.0 as usize == Skip::ALL.len());

/// `UDP_TRACK_IPV6`, a macro that the skeleton cannot carry.
const IPV6: u64 = 1 << 63;
const VLAN_ID: u16 = 0x0fff;

/// How the kernel's jiffies relate to `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jiffies {
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

    /// How many jiffies a duration has, rounded up.
    pub fn count(length_ns: u64, duration: std::time::Duration) -> u32 {
        let count = duration.as_nanos().div_ceil(u128::from(length_ns.max(1)));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Whether a jiffy of which the low 32 bits are known is not before another. Compares by difference: within 2^31 of them.
pub(super) fn is_later(low: u32, than: u64) -> bool {
    low.wrapping_sub(low_u32(than)).cast_signed() >= 0
}

/// Both ends of a canonical tuple, lower end first, and its VLANs.
fn decode_tuple(tuple: &types::udp_track_tuple) -> ([SocketAddr; 2], Vlans) {
    let words = tuple.words;
    if words[4] & IPV6 == 0 {
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
        outer: low_u16(words[4] >> 32) & VLAN_ID,
        inner: low_u16(words[4] >> 48) & VLAN_ID,
    };
    let lower = end(words[0], words[1], words[4]);
    let higher = end(words[2], words[3], words[4] >> 16);
    ([lower, higher], vlans)
}

#[allow(clippy::cast_possible_truncation)] // the low half is what is wanted
fn low_u32(word: u64) -> u32 {
    word as u32
}

#[allow(clippy::cast_possible_truncation)] // the lowest quarter is what is wanted
fn low_u16(word: u64) -> u16 {
    word as u16
}

fn counts(raw: types::udp_track_counts) -> Counts {
    Counts {
        packets: raw.packets,
        bytes: raw.bytes,
    }
}

fn status(state: u8) -> Option<Status> {
    use types::udp_track_state as raw;
    Some(match raw(u32::from(state)) {
        raw::UDP_TRACK_ESTABLISHED => Status::Unreplied,
        raw::UDP_TRACK_REPLIED => Status::Replied,
        raw::UDP_TRACK_ASSURED => Status::Assured,
        raw::UDP_TRACK_UNREACHABLE => Status::Unreach,
        _ => return None,
    })
}

/// One connection; `None` for an entry that has not counted its first packet yet.
pub(super) fn sample(
    id: u64,
    raw: &types::udp_track_connection,
    responses: &types::udp_track_response,
    jiffies: Jiffies,
) -> Option<Sample> {
    let status = status(raw.state)?;
    let (ends, vlans) = decode_tuple(&raw.tuple);
    let origin = usize::from(raw.origin & 1);
    Some(Sample {
        id: ConnectionId(id),
        ifindex: Ifindex(raw.ifindex),
        vlans,
        originator: ends[origin],
        responder: ends[1 - origin],
        orig: counts(raw.from[origin]),
        reply: counts(raw.from[1 - origin]),
        status,
        first_ns: raw.first_ns,
        last_ns: jiffies.to_ns(raw.last).max(raw.first_ns).max(raw.reply_ns),
        first_reply_ns: (raw.reply_ns != 0).then_some(raw.reply_ns),
        orig_ttl: ttl(raw.ttl[origin]),
        reply_ttl: ttl(raw.ttl[1 - origin]),
        response: response(responses),
    })
}

fn ttl(first: u8) -> Option<u8> {
    (first != 0).then_some(first)
}

pub(super) fn response(raw: &types::udp_track_response) -> Response {
    Response {
        answered: raw.answered,
        sum_ns: raw.sum_ns,
        min_ns: raw.min_ns,
        max_ns: raw.max_ns,
        histogram: raw.histogram,
        waiting: u64::from(raw.waiting_ns != 0),
        waiting_since_ns: (raw.waiting_ns != 0).then_some(raw.waiting_ns),
    }
}

/// One event; `None` for a record that is not one of ours.
pub(super) fn event(raw: &types::udp_track_event, jiffies: Jiffies) -> Option<Event> {
    use types::udp_track_event_kind as kinds;
    let (kind, time_ns) = match kinds(u32::from(raw.kind)) {
        kinds::UDP_TRACK_NEW => (EventKind::New, raw.time),
        kinds::UDP_TRACK_DATA => (EventKind::Data, jiffies.to_ns(raw.time)),
        _ => return None,
    };
    let (ends, vlans) = decode_tuple(&raw.tuple);
    let side = usize::from(raw.side & 1);
    Some(Event {
        kind,
        id: ConnectionId(raw.id),
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

/// The books of one hook on one CPU.
pub(super) fn books(raw: &types::udp_track_books) -> Books {
    Books {
        seen: counts(raw.seen),
        tracked: counts(raw.tracked),
        skipped: raw.skipped.map(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JIFFIES: Jiffies = Jiffies {
        length_ns: 4_000_000,
        zero_ns: -1_000_000_000,
    };

    const NONE: types::udp_track_response = types::udp_track_response {
        waiting_ns: 0,
        answered: 0,
        sum_ns: 0,
        min_ns: 0,
        max_ns: 0,
        histogram: [0; 20],
    };

    fn tuple4() -> types::udp_track_tuple {
        let end = |address: [u8; 4], port: u16| {
            u64::from(u32::from_ne_bytes(address)) << 16 | u64::from(port.to_be())
        };
        types::udp_track_tuple {
            words: [
                end([10, 0, 0, 1], 4444) | 100 << 48,
                end([10, 0, 0, 2], 53) | 7 << 48,
                0,
                0,
                0,
            ],
        }
    }

    fn connection() -> types::udp_track_connection {
        types::udp_track_connection {
            bytes: 300,
            from: [
                types::udp_track_counts {
                    packets: 1,
                    bytes: 100,
                },
                types::udp_track_counts {
                    packets: 2,
                    bytes: 200,
                },
            ],
            tuple: tuple4(),
            first_ns: 10,
            reply_ns: 0,
            first: 260,
            line: 1,
            ttl: [64, 0],
            last: 1250,
            ifindex: 3,
            state: 2,
            life: 1,
            origin: 1,
            seen: 2,
            ..Default::default()
        }
    }

    #[test]
    fn ipv4_tuple_and_vlans() {
        let sample = sample(9, &connection(), &NONE, JIFFIES).unwrap();
        assert_eq!(sample.originator, "10.0.0.2:53".parse().unwrap());
        assert_eq!(sample.responder, "10.0.0.1:4444".parse().unwrap());
        assert_eq!(
            sample.vlans,
            Vlans {
                outer: 100,
                inner: 7
            }
        );
        assert_eq!(
            sample.orig,
            Counts {
                packets: 2,
                bytes: 200
            }
        );
        assert_eq!(
            sample.reply,
            Counts {
                packets: 1,
                bytes: 100
            }
        );
        assert_eq!(sample.last_ns, 4_000_000_000);
        assert_eq!(sample.first_reply_ns, None);
        assert_eq!((sample.orig_ttl, sample.reply_ttl), (None, Some(64)));
        assert_eq!(sample.response, Response::default());
        assert_eq!(sample.status, Status::Unreplied);
    }

    #[test]
    fn ipv6_tuple() {
        let address: Ipv6Addr = "fd88::1".parse().unwrap();
        let octets = address.octets();
        let word =
            |range: std::ops::Range<usize>| u64::from_ne_bytes(octets[range].try_into().unwrap());
        let ports = u64::from(53_u16.to_be()) << 16 | u64::from(4444_u16.to_be());
        let tuple = types::udp_track_tuple {
            words: [word(0..8), word(8..16), 0, 0, IPV6 | 5 << 32 | ports],
        };
        let (ends, vlans) = decode_tuple(&tuple);
        assert_eq!(ends[0], "[fd88::1]:4444".parse().unwrap());
        assert_eq!(ends[1], "[::]:53".parse().unwrap());
        assert_eq!(vlans, Vlans { outer: 5, inner: 0 });
    }

    #[test]
    fn an_exact_time_wins_over_its_jiffy() {
        let mut raw = connection();
        raw.reply_ns = 4_003_000_000;
        assert_eq!(
            sample(9, &raw, &NONE, JIFFIES).unwrap().last_ns,
            4_003_000_000
        );
        raw.last += 1;
        assert_eq!(
            sample(9, &raw, &NONE, JIFFIES).unwrap().last_ns,
            4_004_000_000
        );
    }

    #[test]
    fn an_unborn_entry_is_no_connection() {
        let raw = types::udp_track_connection::default();
        assert_eq!(sample(9, &raw, &NONE, JIFFIES), None);
    }

    #[test]
    fn response_times() {
        let mut responses = NONE;
        responses.waiting_ns = 5;
        responses.answered = 2;
        let response = sample(9, &connection(), &responses, JIFFIES)
            .unwrap()
            .response;
        assert_eq!((response.answered, response.waiting), (2, 1));
        assert_eq!(response.waiting_since_ns, Some(5));
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
    fn low_halves_compare_by_difference() {
        assert!(is_later(5, 5));
        assert!(is_later(5, 4));
        assert!(!is_later(4, 5));
        assert!(is_later(3, 0x1_ffff_fff0));
        assert!(!is_later(0xffff_fff0, 0x2_0000_0003));
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
            (Skip::Collision, raw::UDP_TRACK_COLLISION),
            (Skip::Closing, raw::UDP_TRACK_CLOSING),
            (Skip::MapError, raw::UDP_TRACK_MAP_ERROR),
        ] {
            assert_eq!(reason as u32, index.0, "{}", reason.name());
            assert_eq!(Skip::ALL[index.0 as usize], reason);
        }
    }
}
