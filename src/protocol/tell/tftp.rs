//! TFTP (RFC 1350 5, RFC 2347).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const MODES: [&[u8]; 3] = [b"octet", b"netascii", b"mail"];
/// RFC 2348, 2349, 7440.
const OPTIONS: [&[u8]; 4] = [b"blksize", b"tsize", b"timeout", b"windowsize"];
/// Blocks of a transfer, of which we hear the first.
const BLOCK_MAX: u16 = 8;
const BLOCK_BYTES_MAX: u16 = 4 + 65464;

/// The request for a file; options that are granted; data, and its acknowledgement. A transfer has ports of its own.
pub(super) fn tftp(datagram: &Datagram<'_>) -> Option<Fit> {
    let is_one_of =
        |word: &[u8], words: &[&[u8]]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
    let mut texts = datagram.from(2).split(|byte| *byte == 0);
    match datagram.be16(0)? {
        1 | 2 => {
            let name = texts.next()?;
            let is_name = !name.is_empty() && name.iter().all(|byte| *byte >= b' ');
            let is_mode = is_name && is_one_of(texts.next()?, &MODES);
            Some(Fit::sure_if(is_mode))
        }
        6 => Some(Fit::sure_if(is_one_of(texts.next()?, &OPTIONS))),
        kind @ (3 | 4) => {
            let block = datagram.be16(2)?;
            let is_length = if kind == 4 {
                datagram.length == 4
            } else {
                datagram.length <= BLOCK_BYTES_MAX
            };
            let key = u32::from(block);
            Some(match (kind, block) {
                _ if !is_length => Fit::No,
                (3, 1..=BLOCK_MAX) => Fit::Asks(key),
                (4, 1..=BLOCK_MAX) => Fit::Answers(key),
                _ => Fit::Perhaps,
            })
        }
        5 => {
            let is_error = datagram.be16(2)? <= 8 && datagram.bytes.last() == Some(&0);
            Some(Fit::fits_if(is_error))
        }
        _ => Some(Fit::No),
    }
}
