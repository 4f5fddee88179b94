//! Any frame: the kernel programs' parser (parser.c) against the reference parser and etherparse.
//!
//! The parser gets a copy of exactly what it may see, so that `AddressSanitizer` finds each byte read beyond.
//! Input: kind, bytes that are out of sight, a VLAN tag (2); then the frame.
#![no_main]

#[path = "../../tests/common/opinion.rs"]
mod opinion;
#[expect(dead_code, reason = "a part of it is fuzzed")]
#[path = "../../tests/common/reference.rs"]
mod reference;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use libfuzzer_sys::{Corpus, fuzz_target};
use reference::{Datagram, Fragment, Frame, Skip, Udp, Vlans};

const PARSED: i32 = -1;
/// The programs look for an ICMP header no deeper, where the reference's frame has one more tag than theirs.
const DEEPEST: usize = 2000;
const HASH_KEY: [u64; 24] = key();
const PLACE_KEY: [u64; 7] = key();
/// The same as in parser.c.
const INTERFACE: u64 = 0x1_2345;

/// `struct reading` of parser.c. Addresses and ports are network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reading {
    source6: [u64; 2],
    destination6: [u64; 2],
    words: [u64; 5],
    id: u64,
    mixed: u64,
    outcome: i32,
    source4: u32,
    destination4: u32,
    fragment_id: u32,
    payload: u32,
    side: u32,
    source_port: u16,
    destination_port: u16,
    vlan_outer: u16,
    vlan_inner: u16,
    handling: u16,
    version: u8,
    fragment: u8,
    icmp: u8,
}

/// `struct input` of parser.c.
#[repr(C)]
struct Input {
    bytes: *const u8,
    seen: u32,
    whole: u32,
    ethernet: u32,
    stripped: i32,
}

unsafe extern "C" {
    fn udp_track_set_keys(hash_key: *const u64, place_key: *const u64);
    fn udp_track_read_frame(input: *const Input, reading: *mut Reading);
    fn udp_track_read_plain(input: *const Input, reading: *mut Reading) -> i32;
    fn udp_track_read_quote(
        input: *const Input,
        error: *const Reading,
        reading: *mut Reading,
    ) -> i32;
}

/// What the parser makes of a frame.
struct Readings {
    frame: Reading,
    plain: Option<Reading>,
    quote: Option<Reading>,
}

/// A frame as a hook gets it.
struct Case<'a> {
    frame: &'a [u8],
    ethernet: bool,
    stripped: Option<u16>,
}

impl Case<'_> {
    /// What the parser makes of it when it sees the first bytes.
    fn read(&self, seen: usize) -> Readings {
        static KEYS: Once = Once::new();
        // SAFETY: it reads as many words as the keys have.
        KEYS.call_once(|| unsafe { udp_track_set_keys(HASH_KEY.as_ptr(), PLACE_KEY.as_ptr()) });
        let bytes: Box<[u8]> = self.frame[..seen].into();
        let input = Input {
            bytes: bytes.as_ptr(),
            seen: u32::try_from(seen).unwrap(),
            whole: u32::try_from(self.frame.len()).unwrap(),
            ethernet: self.ethernet.into(),
            stripped: self.stripped.map_or(-1, i32::from),
        };
        let mut frame = Reading::default();
        let mut plain = Reading::default();
        let mut quote = Reading::default();
        // SAFETY: `input` points to `seen` bytes, which live until the end and are not written to. That nothing else is
        // read is what is under test.
        let (is_plain, is_quote) = unsafe {
            udp_track_read_frame(&raw const input, &raw mut frame);
            (
                udp_track_read_plain(&raw const input, &raw mut plain) != 0,
                frame.icmp != 0
                    && udp_track_read_quote(&raw const input, &raw const frame, &raw mut quote)
                        != 0,
            )
        };
        Readings {
            frame,
            plain: is_plain.then_some(plain),
            quote: is_quote.then_some(quote),
        }
    }

    /// The same frame for who knows of no stripped tags.
    fn tagged(&self) -> Vec<u8> {
        let mut frame = self.frame.to_vec();
        if let Some(tci) = self.stripped {
            let [high, low] = tci.to_be_bytes();
            frame.splice(12..12, [0x81, 0x00, high, low]);
        }
        frame
    }

    /// Where the IP header is.
    fn ip(&self) -> usize {
        if !self.ethernet {
            return 0;
        }
        let mut at = 14;
        while matches!(
            self.frame[at - 2..at],
            [0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00]
        ) {
            at += 4;
        }
        at
    }
}

impl Reading {
    fn vlans(&self) -> Vlans {
        [self.vlan_outer, self.vlan_inner]
    }

    fn address(&self, v4: u32, v6: [u64; 2]) -> IpAddr {
        if self.version == 4 {
            Ipv4Addr::from(v4.to_ne_bytes()).into()
        } else {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&v6[0].to_ne_bytes());
            octets[8..].copy_from_slice(&v6[1].to_ne_bytes());
            Ipv6Addr::from(octets).into()
        }
    }

    fn source(&self) -> SocketAddr {
        let address = self.address(self.source4, self.source6);
        SocketAddr::new(address, u16::from_be(self.source_port))
    }

    fn destination(&self) -> SocketAddr {
        let address = self.address(self.destination4, self.destination6);
        SocketAddr::new(address, u16::from_be(self.destination_port))
    }

    /// The same as the reference would say it.
    fn said(&self) -> Result<Frame, Skip> {
        match self.outcome {
            PARSED => {}
            0 => return Err(Skip::NotIp),
            1 => return Err(Skip::NotUdp),
            3 => return Err(Skip::Truncated),
            4 => return Err(Skip::Malformed),
            5 => return Err(Skip::TooDeep),
            other => panic!("outcome {other}"),
        }
        let identification = if self.version == 4 {
            u16::from_be(u16::try_from(self.fragment_id).unwrap()).into()
        } else {
            u32::from_be(self.fragment_id)
        };
        let (vlans, source, destination) = (self.vlans(), self.source(), self.destination());
        let fragment = match self.fragment {
            0 => Fragment::None,
            1 => Fragment::Head { identification },
            _ => {
                return Ok(Frame::Later(Datagram {
                    vlans,
                    source: source.ip(),
                    destination: destination.ip(),
                    identification,
                }));
            }
        };
        Ok(Frame::Udp(Udp {
            vlans,
            source,
            destination,
            fragment,
        }))
    }

    /// Both ends are in the tuple, in an order that does not depend on who sent; its id and what it is found by are the sums that
    /// they should be.
    fn assert_tuple(&self) {
        const LOW: u64 = (1 << 48) - 1;
        const VLAN: u64 = 0xfff;
        let [a, b, c, d, e] = self.words;
        // A tuple, IPv6 or not, and no place that ends: nothing else is above the VLAN ids.
        let bits = if self.version == 4 { 0b01 } else { 0b11 };
        assert_eq!((a >> 62, a >> 60 & 0b11), (bits, 0));
        let port = |word: u64| word.to_le_bytes()[..2].try_into().unwrap();
        let (vlans, lower, higher) = if self.version == 4 {
            assert!(a & LOW <= b & LOW && [c, d, e] == [0; 3]);
            assert_eq!(b >> 60, 0);
            let end = |word: u64| {
                let octets: [u8; 4] = word.to_le_bytes()[2..6].try_into().unwrap();
                SocketAddr::new(octets.into(), u16::from_be_bytes(port(word)))
            };
            ([a >> 48 & VLAN, b >> 48], end(a), end(b))
        } else {
            assert!((d, e, a & 0xffff) <= (c, b, a >> 16 & 0xffff));
            let end = |words, ports| {
                let address = self.address(0, words);
                SocketAddr::new(address, u16::from_be_bytes(port(ports)))
            };
            let vlans = [a >> 32 & 0xffff, a >> 48 & VLAN];
            (vlans, end([d, e], a), end([c, b], a >> 16))
        };
        assert_eq!(vlans, self.vlans().map(u64::from));
        let ends = if self.side == 0 {
            (lower, higher)
        } else {
            (higher, lower)
        };
        assert_eq!(ends, (self.source(), self.destination()));
        let sum = |key: &[u64]| {
            let mut halves = self.words[..if self.version == 4 { 2 } else { 5 }]
                .iter()
                .flat_map(|word| [word & 0xffff_ffff, word >> 32]);
            let start = key[0].wrapping_add(key[11].wrapping_mul(INTERFACE));
            key[1..11].iter().fold(start, |sum, factor| {
                sum.wrapping_add(factor.wrapping_mul(halves.next().unwrap_or(0)))
            }) >> 32
        };
        assert_eq!(self.id, sum(&HASH_KEY[..12]) << 32 | sum(&HASH_KEY[12..]));
        let words = self.words.iter().chain([&INTERFACE]);
        let sum = words.zip(PLACE_KEY).fold(0_u64, |sum, (word, factor)| {
            sum.wrapping_add(factor.wrapping_mul(*word))
        });
        assert_eq!(self.mixed, (sum ^ sum >> 32).wrapping_mul(PLACE_KEY[6]));
    }
}

const fn key<const WORDS: usize>() -> [u64; WORDS] {
    let mut key = [0; WORDS];
    let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut at = 0;
    while at < key.len() {
        word = word.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23);
        key[at] = word;
        at += 1;
    }
    key
}

fn check(case: &Case<'_>, out_of_sight: usize) {
    let tagged = case.tagged();
    let (expected, quote) = if case.ethernet {
        (reference::parse(&tagged), reference::quote(&tagged))
    } else {
        (reference::parse_ip(&tagged), reference::quote_ip(&tagged))
    };
    let whole = case.read(case.frame.len());
    let frame = whole.frame;
    assert_eq!(frame.said(), expected);
    if let Ok(said) = expected {
        frame.assert_tuple();
        let ip = case.ip();
        let [first, second] = [case.frame[ip], case.frame[ip + 1]];
        let (class, ttl) = match frame.version {
            4 => (second, case.frame[ip + 8]),
            _ => (first << 4 | second >> 4, case.frame[ip + 7]),
        };
        assert_eq!(frame.handling, u16::from_be_bytes([class, ttl]));
        if let Frame::Udp(_) = said {
            let udp = &case.frame[frame.payload as usize..];
            assert_eq!(udp[..2], frame.source_port.to_ne_bytes());
            assert_eq!(udp[2..4], frame.destination_port.to_ne_bytes());
        }
        if let (true, Frame::Udp(udp), Some(theirs)) = (case.ethernet, said, opinion::of(&tagged)) {
            assert_eq!((udp.vlans, udp.source, udp.destination), theirs);
            assert_eq!(udp.fragment, Fragment::None);
        }
    }
    let quoted = whole.quote.map(|quote| {
        quote.assert_tuple();
        Udp {
            vlans: quote.vlans(),
            source: quote.source(),
            destination: quote.destination(),
            fragment: Fragment::None,
        }
    });
    assert_eq!(quoted, quote.map(|quote| quote.packet));
    assert_plain(whole.plain.as_ref(), &frame);

    // Of a frame in several buffers the programs see the first: they take what they see for what it is, or ask for more.
    let part = case.read(case.frame.len().saturating_sub(out_of_sight));
    if part.frame.outcome != 3 {
        assert_eq!(part.frame, frame);
    }
    assert_plain(part.plain.as_ref(), &frame);
    if part.quote.is_some() {
        assert_eq!(part.quote, whole.quote);
    }
}

/// What the hot path takes is what the other way makes of it.
fn assert_plain(plain: Option<&Reading>, frame: &Reading) {
    let Some(plain) = plain else { return };
    let expected = Reading {
        // Not set there: who wants these goes the other way.
        fragment_id: 0,
        payload: 0,
        ..*frame
    };
    assert_eq!(*plain, expected);
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let [kind, out_of_sight, high, low, frame @ ..] = data else {
        return Corpus::Reject;
    };
    let ethernet = kind & 1 == 0;
    let tag = ethernet && kind & 2 != 0 && (14..=DEEPEST).contains(&frame.len());
    let case = Case {
        frame,
        ethernet,
        stripped: tag.then(|| u16::from_be_bytes([*high, *low])),
    };
    check(&case, usize::from(*out_of_sight));
    Corpus::Keep
});
