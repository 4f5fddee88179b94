//! SNMP: versions 1 and 2c (RFC 1157 4, RFC 3416 3) and 3 (RFC 3412 6), in BER.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;

/// A value of BER: its tag, where its content begins, and where it ends.
pub(super) struct Value {
    pub tag: u8,
    pub content: usize,
    pub end: usize,
}

/// The value at a place, with a length of four bytes at most; of which we may have only the head.
pub(super) fn value(datagram: &Datagram<'_>, at: usize) -> Option<Value> {
    let tag = datagram.u8(at)?;
    let first = datagram.u8(at + 1)?;
    let mut content = at + 2;
    let mut length = usize::from(first & 0x7f);
    if first & 0x80 != 0 {
        let bytes = length;
        if !(1..=4).contains(&bytes) {
            // Longer than any datagram, or without an end.
            return Some(Value {
                tag: 0,
                content,
                end: usize::MAX,
            });
        }
        length = datagram
            .slice(content, bytes)?
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        content += bytes;
    }
    Some(Value {
        tag,
        content,
        end: content + length,
    })
}

/// A sequence to the end, a version; then the community and a message, or version 3's header.
pub(super) fn snmp(datagram: &Datagram<'_>) -> Option<Fit> {
    let all = value(datagram, 0)?;
    if all.tag != SEQUENCE || all.end != datagram.length() {
        return Some(Fit::No);
    }
    let version = value(datagram, all.content)?;
    if version.tag != INTEGER || version.end != version.content + 1 {
        return Some(Fit::No);
    }
    let next = value(datagram, version.end)?;
    match datagram.u8(version.content)? {
        0 | 1 if next.tag == OCTETS && next.end < all.end => {
            let message = value(datagram, next.end)?;
            Some(Fit::sure_if(
                (0xa0..=0xa8).contains(&message.tag) && message.end == all.end,
            ))
        }
        3 if next.tag == SEQUENCE && next.end < all.end => {
            let id = value(datagram, next.content)?;
            Some(Fit::sure_if(id.tag == INTEGER && id.end < next.end))
        }
        _ => Some(Fit::No),
    }
}
