//! `CoAP` (RFC 7252 3).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const PORT: u16 = 5683;
const ACKNOWLEDGEMENT: u8 = 2;
const RESET: u8 = 3;

/// Version 1, a code and options to the end or to the payload; elsewhere than on its port, a request and what acknowledges it.
pub(super) fn coap(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    let (version, kind, token) = (first >> 6, first >> 4 & 3, usize::from(first & 0xf));
    let code = datagram.u8(1)?;
    if version != 1 || token > 8 {
        return Some(Fit::No);
    }
    // Nothing but its header: a ping, or its answer.
    if code == 0 {
        return Some(Fit::fits_if(datagram.length == 4 && token == 0));
    }
    let is_request = matches!(code, 1..=7) && kind < ACKNOWLEDGEMENT;
    let is_answer = matches!(code >> 5, 2 | 4 | 5) && code & 0x1f <= 30 && kind < RESET;
    if !(is_request || is_answer) || !has_options(datagram, 4 + token)? {
        return Some(Fit::No);
    }
    let words = |at: usize| datagram.be32(at).unwrap_or_default();
    let key = u32::from(datagram.be16(2)?) ^ if token >= 4 { words(4) } else { 0 };
    Some(match (is_request, kind) {
        (true, _) => Fit::Asks(key),
        (false, ACKNOWLEDGEMENT) => Fit::Answers(key),
        _ if datagram.has_port(PORT) => Fit::Fits,
        _ => Fit::Perhaps,
    })
}

/// Options with numbers that there are, each within the datagram, then its end or a payload.
fn has_options(datagram: &Datagram<'_>, start: usize) -> Option<bool> {
    let (mut at, mut number) = (start, 0_usize);
    while at < datagram.length() {
        let head = datagram.u8(at)?;
        at += 1;
        if head == 0xff {
            return Some(at < datagram.length());
        }
        // Numbers from 13 on stand behind the head, less what could be said in it.
        let mut part = |nibble: u8| match nibble {
            13 => {
                at += 1;
                Some(Some(13 + usize::from(datagram.u8(at - 1)?)))
            }
            14 => {
                at += 2;
                Some(Some(269 + datagram.count16(at - 2)?))
            }
            15 => Some(None),
            small => Some(Some(usize::from(small))),
        };
        let (Some(delta), Some(length)) = (part(head >> 4)?, part(head & 0xf)?) else {
            return Some(false);
        };
        number += delta;
        at += length;
        // Numbers of today end at 2053; the next ones are for experiments.
        if number > 2100 && number < 65000 {
            return Some(false);
        }
    }
    Some(at == datagram.length())
}
