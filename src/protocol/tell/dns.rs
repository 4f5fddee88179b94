//! DNS (RFC 1035 4.1), and what has its form: mDNS (RFC 6762 18), LLMNR (RFC 4795 2.1).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;
const NETBIOS_PORT: u16 = 137;
const HEADER_BYTES: usize = 12;
/// Bytes of a name (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// A query has no records but options, a signature, and what is known already.
const QUERY_RECORDS_MAX: usize = 3;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RESERVED: u16 = 0x0040;
const RCODE: u16 = 0x000f;
/// The top bit of a class: mDNS's own (RFC 6762 18.12).
const MDNS_BIT: u16 = 0x8000;

/// The header, and where it leads.
#[derive(Clone, Copy)]
struct Message<'a> {
    datagram: &'a Datagram<'a>,
    flags: u16,
    questions: usize,
    /// Of all three kinds.
    records: usize,
}

/// How far the rest of a message is sound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// All of it, to its end.
    Whole,
    /// As far as we have it.
    Cut,
    /// It has more than it says; or a name of letters that hosts do not have.
    Odd,
    Wrong,
}

impl<'a> Message<'a> {
    fn read(datagram: &'a Datagram<'a>) -> Option<Self> {
        let count = |at| datagram.count16(at);
        Some(Self {
            datagram,
            flags: datagram.be16(2)?,
            questions: count(4)?,
            records: count(6)? + count(8)? + count(10)?,
        })
    }

    fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    fn opcode(&self) -> u16 {
        (self.flags & OPCODE) >> 11
    }

    fn has_error(&self) -> bool {
        self.flags & RCODE != 0
    }

    /// Walks over questions and records.
    fn rest(&self) -> Rest {
        let mut at = HEADER_BYTES;
        let mut is_odd = false;
        for number in 0..self.questions + self.records {
            let is_question = number < self.questions;
            match self.entry(at, is_question) {
                Ok((end, is_plain)) => {
                    is_odd |= is_question && !is_plain;
                    at = end;
                }
                Err(End::Cut) if self.datagram.is_cut() => return Rest::Cut,
                Err(_) => return Rest::Wrong,
            }
        }
        if is_odd || at < self.datagram.length() {
            Rest::Odd
        } else {
            Rest::Whole
        }
    }

    /// Where a question or a record ends, and whether its name is plain.
    fn entry(&self, at: usize, is_question: bool) -> Result<(usize, bool), End> {
        let (at, is_plain) = self.name(at)?;
        let kind = self.datagram.be16(at).ok_or(End::Cut)?;
        let class = self.datagram.be16(at + 2).ok_or(End::Cut)?;
        if !is_question {
            let bytes = self.datagram.count16(at + 8).ok_or(End::Cut)?;
            let end = at + 10 + bytes;
            if end > self.datagram.length() {
                return Err(End::Wrong);
            }
            return Ok((end, is_plain));
        }
        // Kinds that IANA has given out, classes IN, CH, HS, NONE, ANY.
        let is_kind = matches!(kind, 1..=128 | 249..=262 | 32768 | 32769);
        let is_class = matches!(class & !MDNS_BIT, 1 | 3 | 4 | 254 | 255);
        if is_kind && is_class {
            Ok((at + 4, is_plain))
        } else {
            Err(End::Wrong)
        }
    }

    /// Where a name ends, and whether its letters can be seen.
    fn name(&self, start: usize) -> Result<(usize, bool), End> {
        let (mut at, mut is_plain) = (start, true);
        loop {
            let length = usize::from(self.datagram.u8(at).ok_or(End::Cut)?);
            match length {
                0 => return Ok((at + 1, is_plain)),
                // It goes on where something before it does (RFC 1035 4.1.4).
                0xc0..=0xff => {
                    let to = self.datagram.count16(at).ok_or(End::Cut)? & 0x3fff;
                    let is_before = (HEADER_BYTES..at).contains(&to);
                    return if is_before {
                        Ok((at + 2, is_plain))
                    } else {
                        Err(End::Wrong)
                    };
                }
                1..=63 if at + length - start < NAME_BYTES_MAX => {
                    let label = self.datagram.slice(at + 1, length).ok_or(End::Cut)?;
                    is_plain &= label.iter().all(|byte| (b' '..=b'~').contains(byte));
                    at += 1 + length;
                }
                _ => return Err(End::Wrong),
            }
        }
    }
}

enum End {
    Cut,
    Wrong,
}

/// One question, flags that make sense, and questions and records to the end.
pub(super) fn dns(datagram: &Datagram<'_>) -> Option<Fit> {
    if [MDNS_PORT, LLMNR_PORT, NETBIOS_PORT]
        .iter()
        .any(|port| datagram.has_port(*port))
    {
        return Some(Fit::No);
    }
    let message = Message::read(datagram)?;
    // Query, inverse query (RFC 1035 6.4), status, notify, update.
    let is_opcode = matches!(message.opcode(), 0..=2 | 4 | 5);
    let is_sound = is_opcode && (message.is_response() || !message.has_error());
    if !is_sound || message.flags & RESERVED != 0 {
        return Some(Fit::No);
    }
    let is_empty = message.is_response() && message.has_error() && message.records <= 1;
    let is_inverse = message.opcode() == 1 && message.records == 1;
    let is_query = message.questions == 1
        && (message.is_response() || message.opcode() != 0 || message.records <= QUERY_RECORDS_MAX);
    Some(match (message.questions, message.rest()) {
        (_, Rest::Wrong) => Fit::No,
        (0, _) => Fit::fits_if(is_empty || is_inverse),
        (_, Rest::Whole) if is_query => Fit::Sure,
        _ => Fit::fits_if(is_query),
    })
}

/// The same form on its port; answers have no question.
pub(super) fn mdns(datagram: &Datagram<'_>) -> Option<Fit> {
    if !datagram.has_port(MDNS_PORT) {
        return Some(Fit::No);
    }
    let message = Message::read(datagram)?;
    let says_something = message.questions > 0 || message.records > 0;
    if message.opcode() != 0 || !says_something {
        return Some(Fit::No);
    }
    Some(Fit::sure_if(message.rest() != Rest::Wrong))
}

/// The same form on its port, and one question.
pub(super) fn llmnr(datagram: &Datagram<'_>) -> Option<Fit> {
    if !datagram.has_port(LLMNR_PORT) {
        return Some(Fit::No);
    }
    let message = Message::read(datagram)?;
    if message.opcode() != 0 || message.questions != 1 {
        return Some(Fit::No);
    }
    Some(Fit::sure_if(message.rest() != Rest::Wrong))
}
