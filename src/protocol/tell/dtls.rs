//! DTLS: records of versions 1.0 and 1.2, and the first ones of 1.3 (RFC 6347 4.1, RFC 9147 4).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const HEADER_BYTES: usize = 13;
/// What a record may hold (RFC 6347 4.1, RFC 5246 6.2.3).
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;
const HANDSHAKE: u8 = 22;
/// What OpenSSL had for 1.0 before there was a standard; Cisco's `AnyConnect` has it still.
const OPENSSLS: u16 = 0x0100;

/// Records one after the other to the end; of a handshake in clear, a kind that there is and a fragment inside its message.
pub(super) fn dtls(datagram: &Datagram<'_>) -> Option<Fit> {
    let mut at = 0;
    while at < datagram.length() {
        // Change of the cipher, alert, handshake, data, heartbeat, with a connection id, acknowledgement.
        let is_record = matches!(datagram.u8(at), Some(20..=26))
            && matches!(datagram.be16(at + 1)?, 0xfeff | 0xfefd | OPENSSLS);
        if !is_record {
            // Version 1.3 has another header once it encrypts (RFC 9147 4).
            return Some(Fit::sure_if(at > 0 && datagram.u8(at)? >> 5 == 1));
        }
        if datagram.u8(at) == Some(25) {
            // The length stands behind an id of unknown length (RFC 9146 4).
            return Some(Fit::Sure);
        }
        let length = datagram.count16(at + 11)?;
        let end = at + HEADER_BYTES + length;
        if length == 0 || length > RECORD_BYTES_MAX || end > datagram.length() {
            return Some(Fit::No);
        }
        let is_clear = datagram.be16(at + 3) == Some(0);
        if datagram.u8(at) == Some(HANDSHAKE)
            && is_clear
            && !is_fragment(datagram, at + HEADER_BYTES)?
        {
            return Some(Fit::No);
        }
        if end > datagram.bytes.len() {
            return Some(Fit::Sure);
        }
        at = end;
    }
    Some(Fit::Sure)
}

/// Whether a part of a message of the handshake stands here (RFC 6347 4.2.2).
fn is_fragment(datagram: &Datagram<'_>, at: usize) -> Option<bool> {
    let three = |at| Some(datagram.be32(at)? >> 8);
    let (length, offset, bytes) = (three(at + 1)?, three(at + 6)?, three(at + 9)?);
    let is_kind = matches!(datagram.u8(at)?, 0..=4 | 8 | 11..=16 | 20..=24);
    Some(is_kind && offset + bytes <= length)
}
