//! RADIUS (RFC 2865 3, RFC 2866 3, RFC 5176 2).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const HEADER_BYTES: usize = 20;
const PACKET_BYTES_MAX: usize = 4096;

/// A code, a length to the end and attributes that fill it; elsewhere, an answer with the same id, too.
pub(super) fn radius(datagram: &Datagram<'_>) -> Option<Fit> {
    // By request: access, accounting, status, disconnect, change of authorization.
    let (is_request, group) = match datagram.u8(0)? {
        1 => (true, 1),
        2 | 3 | 11 => (false, 1),
        4 => (true, 4),
        5 => (false, 4),
        12 => (true, 12),
        40 => (true, 40),
        41 | 42 => (false, 40),
        43 => (true, 43),
        44 | 45 => (false, 43),
        _ => return Some(Fit::No),
    };
    let length = datagram.count16(2)?;
    if length != datagram.length() || !(HEADER_BYTES..=PACKET_BYTES_MAX).contains(&length) {
        return Some(Fit::No);
    }
    let mut at = HEADER_BYTES;
    while at < length {
        if at >= datagram.bytes.len() {
            return None;
        }
        let bytes = usize::from(datagram.u8(at + 1)?);
        if bytes < 2 || datagram.u8(at)? == 0 {
            return Some(Fit::No);
        }
        at += bytes;
    }
    if at != length {
        return Some(Fit::No);
    }
    let key = group << 8 | u32::from(datagram.u8(1)?);
    Some(if is_request {
        Fit::Asks(key)
    } else {
        Fit::Answers(key)
    })
}
