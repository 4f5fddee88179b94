//! `NetBIOS` over UDP: its name service (RFC 1002 4.2) and its datagrams (RFC 1002 4.4).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// A name in its first encoding: a length, then each half of a byte as a letter from A to P (RFC 1001 14.1).
const NAME_BYTES: usize = 32;
const DATAGRAM_PORT: u16 = 138;
/// What is sent there is answered as DNS, whatever it asks for.
const DNS_PORT: u16 = 53;

/// `None`: cut.
fn has_name(datagram: &Datagram<'_>, at: usize) -> Option<bool> {
    if usize::from(datagram.u8(at)?) != NAME_BYTES {
        return Some(false);
    }
    let name = datagram.slice(at + 1, NAME_BYTES)?;
    Some(name.iter().all(|letter| (b'A'..=b'P').contains(letter)))
}

/// DNS's header with one question or answer, then an encoded name.
pub(super) fn names(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.has_port(DNS_PORT) {
        return Some(Fit::No);
    }
    let opcode = datagram.u8(2)? >> 3 & 0xf;
    let counts = [4, 6, 8, 10].map(|at| datagram.be16(at));
    let is_header = matches!(opcode, 0 | 5..=9 | 15)
        && matches!(
            counts,
            [Some(0 | 1), Some(0..=64), Some(0..=1), Some(0..=1)]
        )
        && counts != [Some(0); 4];
    if !is_header {
        return Some(Fit::No);
    }
    has_name(datagram, 12).map(Fit::sure_if)
}

/// A kind, the port that it came from, and two encoded names.
pub(super) fn datagrams(datagram: &Datagram<'_>) -> Option<Fit> {
    if !datagram.has_port(DATAGRAM_PORT) {
        return Some(Fit::No);
    }
    match datagram.u8(0)? {
        // With names: to one, to a group, to all.
        0x10..=0x12 => {
            let is_length = datagram.count16(10)? + 14 == datagram.length();
            Some(Fit::sure_if(is_length && has_name(datagram, 14)?))
        }
        // An error; a question to a server of datagrams and its answers.
        0x13 => Some(Fit::fits_if(
            datagram.length == 11 && (0x82..=0x84).contains(&datagram.u8(10)?),
        )),
        0x14..=0x16 => has_name(datagram, 10).map(Fit::sure_if),
        _ => Some(Fit::No),
    }
}
