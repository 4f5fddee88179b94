//! NTP (RFC 5905 7.3, RFC 9327 for control).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const PORT: u16 = 123;
const PACKET_BYTES: u16 = 48;
const CONTROL_BYTES: u16 = 12;
/// More means that nobody is followed.
const STRATUM_MAX: u8 = 16;
/// Powers of two of a second.
const POLL_MAX: u8 = 17;

/// On its port, a version, a mode, a length and numbers that clocks have. Anywhere, a server that repeats the time of the client's
/// request.
pub(super) fn ntp(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !(1..=4).contains(&version) {
        return Some(Fit::No);
    }
    let has_port = datagram.has_port(PORT);
    let time = |at| Some(datagram.be32(at)? ^ datagram.be32(at + 4)?).filter(|time| *time != 0);
    Some(match mode {
        1..=5 if !is_packet(datagram)? => Fit::No,
        3 => time(40).map_or(Fit::fits_if(has_port), Fit::Asks),
        4 => time(24).map_or(Fit::fits_if(has_port), Fit::Answers),
        1 | 2 | 5 => Fit::fits_if(has_port),
        // Control: which operation, and how much it says.
        6 if datagram.length >= CONTROL_BYTES => {
            let data = datagram.be16(10)?;
            let rest = usize::from(datagram.length - CONTROL_BYTES);
            let end = usize::from(data).next_multiple_of(4);
            // A key's number and a tag may follow: of MD5, of SHA-1.
            Fit::fits_if(has_port && [end, end + 20, end + 24].contains(&rest))
        }
        // Of one implementation: a request or an answer with no more than 500 bytes of data.
        7 if datagram.length >= 8 => {
            Fit::fits_if(has_port && datagram.u8(2)? <= 3 && datagram.be16(6)? <= 500)
        }
        _ => Fit::No,
    })
}

fn is_packet(datagram: &Datagram<'_>) -> Option<bool> {
    let is_length = datagram.length >= PACKET_BYTES && datagram.length.is_multiple_of(4);
    let is_clock = datagram.u8(1)? <= STRATUM_MAX && datagram.u8(2)? <= POLL_MAX;
    // Negative, or what clients say that say nothing.
    let is_precision = matches!(datagram.u8(3)?, 0 | 32 | 0xe0..);
    Some(is_length && is_clock && is_precision)
}
