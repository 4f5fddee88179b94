//! `WireGuard`: its four kinds of messages (<https://www.wireguard.com/protocol/>).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const INITIATION_BYTES: u16 = 148;
const RESPONSE_BYTES: u16 = 92;
const COOKIE_BYTES: u16 = 64;
/// Header and tag of data; it is padded to 16 bytes.
const DATA_BYTES_MIN: u16 = 32;
/// The second tag, at the end of the handshake's messages: zeros as long as no cookie was given.
const SECOND_TAG: [u8; 16] = [0; 16];

/// A kind, three zeros and a length that is its own. Data counts.
pub(super) fn wireguard(datagram: &Datagram<'_>) -> Option<Fit> {
    let handshake = |second_tag, otherwise| {
        Some(if datagram.has(second_tag, &SECOND_TAG)? {
            Fit::Sure
        } else {
            otherwise
        })
    };
    match (datagram.le32(0)?, datagram.length) {
        (1, INITIATION_BYTES) => handshake(132, Fit::Asks(datagram.le32(4)?)),
        (2, RESPONSE_BYTES) => handshake(76, Fit::Answers(datagram.le32(8)?)),
        (3, COOKIE_BYTES) => Some(Fit::Answers(datagram.le32(4)?)),
        // Nobody lives to see the high half of the counter, as keys last for two minutes.
        (4, DATA_BYTES_MIN..) if datagram.length.is_multiple_of(16) && datagram.le32(12)? == 0 => {
            Some(Fit::Counts {
                key: datagram.le32(4)?,
                number: (datagram.le32(8)? & 0xffff) as u16,
            })
        }
        _ => Some(Fit::No),
    }
}
