//! `IPsec`: IKE (RFC 7296 3.1, RFC 2408 3.1), and ESP in UDP (RFC 3948 2), which share a port.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// Both; before it is known that addresses are translated, IKE has its own port.
const SHARED_PORT: u16 = 4500;
/// Before a message of IKE on the shared port.
const MARKER: u32 = 0;
const HEADER_BYTES: usize = 28;
/// Smaller ones are reserved (RFC 4303 2.1).
const SPI_MIN: u32 = 256;

/// Two ids, a version, an exchange of that version and a length to the end.
pub(super) fn ike(datagram: &Datagram<'_>) -> Option<Fit> {
    let has_marker = datagram.has_port(SHARED_PORT) && datagram.be32(0)? == MARKER;
    let at = if has_marker { 4 } else { 0 };
    let is_exchange = match datagram.u8(at + 17)? {
        0x10 => matches!(datagram.u8(at + 18)?, 1..=6 | 32..=33),
        0x20 => matches!(datagram.u8(at + 18)?, 34..=44),
        _ => false,
    };
    let has_id = datagram.be32(at)? != 0 || datagram.be32(at + 4)? != 0;
    let length = usize::try_from(datagram.be32(at + 24)?).ok()?;
    Some(Fit::sure_if(
        is_exchange && has_id && length >= HEADER_BYTES && length + at == datagram.length(),
    ))
}

/// On its port, packets with the same index that count.
pub(super) fn esp(datagram: &Datagram<'_>) -> Option<Fit> {
    if !datagram.has_port(SHARED_PORT) {
        return Some(Fit::No);
    }
    let (index, number) = (datagram.be32(0)?, datagram.be32(4)?);
    if index == MARKER {
        return Some(Fit::Perhaps);
    }
    // A block and a tag at least.
    Some(if index >= SPI_MIN && datagram.length >= 32 {
        Fit::Counts {
            key: index,
            number: (number & 0xffff) as u16,
        }
    } else {
        Fit::No
    })
}
