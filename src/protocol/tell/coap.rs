//! `CoAP` (RFC 7252 3).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const PORT: u16 = 5683;
const ACKNOWLEDGEMENT: u8 = 2;
const RESET: u8 = 3;
/// Shorter tokens are not random.
const TOKEN_BYTES_MIN: usize = 2;
/// Codes of answers, and numbers of options, that IANA has given out; numbers of options for experiments.
const ANSWERS: [u8; 27] = [
    65, 66, 67, 68, 69, 95, 128, 129, 130, 131, 132, 133, 134, 136, 137, 140, 141, 143, 150, 157,
    160, 161, 162, 163, 164, 165, 168,
];
const OPTIONS: [usize; 31] = [
    1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 19, 20, 21, 23, 27, 28, 31, 35, 39, 60, 252,
    258, 292, 2048, 2049, 2050, 2053,
];
const EXPERIMENTS_MIN: usize = 65000;

/// Version 1, a code and options to the end or to the payload; elsewhere than on its port, a request and its answer.
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
    let is_answer = ANSWERS.contains(&code) && kind < RESET;
    if !(is_request || is_answer) || !has_options(datagram, 4 + token)? {
        return Some(Fit::No);
    }
    // An answer repeats the token (RFC 7252 5.3.1), and an acknowledgement the message's number: a short token tells little.
    let number = u32::from(datagram.be16(2)?);
    let start = if token < TOKEN_BYTES_MIN { number } else { 0 };
    let token_bytes = datagram.slice(4, token)?.iter();
    let key = token_bytes.fold(start, |key, byte| key.rotate_left(8) ^ u32::from(*byte));
    let is_bare = datagram.length() == 4 + token;
    Some(if is_bare && (is_request || datagram.has_port(PORT)) {
        // It says too little, unless another one was asked.
        Fit::Perhaps
    } else if is_request {
        Fit::Asks(key)
    } else if kind == ACKNOWLEDGEMENT || token >= TOKEN_BYTES_MIN {
        Fit::Answers(key)
    } else {
        Fit::fits_if(datagram.has_port(PORT))
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
        if !OPTIONS.contains(&number) && number < EXPERIMENTS_MIN {
            return Some(false);
        }
    }
    Some(at == datagram.length())
}
