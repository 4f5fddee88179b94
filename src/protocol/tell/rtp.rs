//! RTP (RFC 3550 5.1) and RTCP (RFC 3550 6). SRTP and SRTCP (RFC 3711) have the same headers.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const VERSION_2: u8 = 2;
const HEADER_BYTES: usize = 12;
/// At the end of what is encrypted: whether it is, and the packet's number; then a tag of the usual length (RFC 3711 3.4).
const SRTCP_TAIL: usize = 14;

/// Version 2, a type of payload and room for the rest of the header; the same source counts its packets.
pub(super) fn rtp(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    // Types from 64 to 95 would be RTCP's (RFC 5761 4).
    if first >> 6 != VERSION_2 || matches!(datagram.u8(1)? & 0x7f, 64..=95) {
        return Some(Fit::No);
    }
    let mut header = HEADER_BYTES + 4 * usize::from(first & 0xf);
    if first & 0x10 != 0 {
        header += 4 + 4 * datagram.count16(header + 2)?;
    }
    if header >= datagram.length() {
        return Some(Fit::No);
    }
    Some(Fit::Counts {
        key: datagram.be32(8)?,
        number: datagram.be16(2)?,
    })
}

/// A report first, then packets one after the other to the end. Of what is encrypted, the report's head, and a number that goes on.
pub(super) fn rtcp(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    let least = match datagram.u8(1)? {
        200 => 28,
        201 => 8,
        _ => return Some(Fit::No),
    } + 24 * usize::from(first & 0x1f);
    let length = 4 * (datagram.count16(2)? + 1);
    if first >> 6 != VERSION_2 || length < least || length > datagram.length() {
        return Some(Fit::No);
    }
    if is_chain(datagram, length) {
        return Some(Fit::Sure);
    }
    let at = datagram.length().checked_sub(SRTCP_TAIL)?;
    let number = datagram.be32(at)?;
    // The top bit says that it is encrypted; nobody has sent many reports at its first.
    Some(if at >= 8 && number >> 16 == 0x8000 {
        Fit::Counts {
            key: datagram.be32(4)?,
            number: (number & 0xffff) as u16,
        }
    } else {
        Fit::No
    })
}

/// Whether packets follow to the end; as far as we have it, one at least.
fn is_chain(datagram: &Datagram<'_>, start: usize) -> bool {
    let mut at = start;
    while at < datagram.length() {
        let (Some(first), Some(kind), Some(words)) = (
            datagram.u8(at),
            datagram.u8(at + 1),
            datagram.count16(at + 2),
        ) else {
            return datagram.is_cut() && at > start;
        };
        if first >> 6 != VERSION_2 || !(192..=223).contains(&kind) {
            return false;
        }
        at += 4 * (words + 1);
    }
    at == datagram.length()
}
