//! STUN (RFC 8489 5, RFC 3489 11) and TURN (RFC 8656), which is its messages for relays.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const COOKIE: u32 = 0x2112_a442;
const HEADER_BYTES: usize = 20;
/// Those of RFC 3489, where others add attributes of their own.
const OLD_PORTS: [u16; 2] = [3478, 3479];
/// Bits of a kind that say request, indication, success or error.
const CLASS: u16 = 0x0110;

/// A kind, a length to the end and the cookie. Messages of RFC 3489 have no cookie: their attributes must fit, and another one answer.
pub(super) fn stun(datagram: &Datagram<'_>) -> Option<Fit> {
    let kind = datagram.be16(0)?;
    let length = datagram.count16(2)?;
    if (0x4000..=0x4fff).contains(&kind) {
        // Data that is relayed (RFC 8656 12.4).
        let is_whole = length + 4 <= datagram.length() && datagram.length() <= length + 7;
        return Some(if is_whole { Fit::Perhaps } else { Fit::No });
    }
    if kind & 0xc000 != 0 || !length.is_multiple_of(4) || length + HEADER_BYTES != datagram.length()
    {
        return Some(Fit::No);
    }
    if datagram.be32(4)? == COOKIE {
        return Some(Fit::Sure);
    }
    if !matches!(kind, 0x0001 | 0x0101 | 0x0111) {
        return Some(Fit::No);
    }
    let transaction =
        datagram.be32(4)? ^ datagram.be32(8)? ^ datagram.be32(12)? ^ datagram.be32(16)?;
    Some(match (attributes(datagram)?, kind) {
        (Attributes::Wrong, _) => Fit::No,
        (Attributes::Unknown, _) => {
            Fit::fits_if(OLD_PORTS.iter().any(|port| datagram.has_port(*port)))
        }
        (Attributes::Known, 1) => Fit::Asks(transaction),
        (Attributes::Known, _) => Fit::Answers(transaction),
    })
}

/// What stands behind a header.
enum Attributes {
    /// They fill the message, all of RFC 3489 or of those that may be skipped.
    Known,
    /// They fill it.
    Unknown,
    Wrong,
}

fn attributes(datagram: &Datagram<'_>) -> Option<Attributes> {
    let mut at = HEADER_BYTES;
    let mut is_known = true;
    while at < datagram.length() {
        if at >= datagram.bytes.len() {
            return None;
        }
        is_known &= matches!(datagram.be16(at)?, 1..=0x20 | 0x8000..);
        at += 4 + datagram.count16(at + 2)?.next_multiple_of(4);
    }
    Some(match (at == datagram.length(), is_known) {
        (false, _) => Attributes::Wrong,
        (true, true) => Attributes::Known,
        (true, false) => Attributes::Unknown,
    })
}

/// STUN with one of the methods for relays.
pub(super) fn turn(datagram: &Datagram<'_>) -> Option<Fit> {
    // Allocate, refresh, send, data, create permission, bind a channel.
    let is_method = matches!(datagram.be16(0)? & !CLASS, 3 | 4 | 6..=9);
    if !is_method || datagram.be32(4)? != COOKIE {
        return Some(Fit::No);
    }
    stun(datagram)
}
