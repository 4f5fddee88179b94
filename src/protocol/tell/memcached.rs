//! Memcached over UDP (`doc/protocol.txt` of its source): a header before each datagram, then a command or an answer.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const HEADER_BYTES: usize = 8;
const WORDS: [&[u8]; 24] = [
    b"get ",
    b"gets ",
    b"gat ",
    b"gats ",
    b"set ",
    b"add ",
    b"replace ",
    b"append ",
    b"prepend ",
    b"cas ",
    b"delete ",
    b"incr ",
    b"decr ",
    b"touch ",
    b"stats",
    b"version\r\n",
    b"flush_all",
    b"VALUE ",
    b"STAT ",
    b"END\r\n",
    b"STORED\r\n",
    b"ERROR\r\n",
    b"VERSION ",
    b"NOT_",
];
/// The binary form's (`doc/protocol-binary.txt`).
const BINARY: [u8; 2] = [0x80, 0x81];

/// Which datagram it is of how many, two zeros, and a word that begins a command or an answer.
pub(super) fn memcached(datagram: &Datagram<'_>) -> Option<Fit> {
    let (number, count) = (datagram.be16(2)?, datagram.be16(4)?);
    if number >= count || datagram.be16(6)? != 0 || datagram.length() <= HEADER_BYTES {
        return Some(Fit::No);
    }
    let text = datagram.from(HEADER_BYTES);
    if WORDS.iter().any(|word| text.starts_with(word)) {
        return Some(Fit::Sure);
    }
    // Past the first datagram of an answer there is no head; a number of the meta commands is two letters.
    let is_binary = text.first().is_some_and(|first| BINARY.contains(first));
    Some(if number > 0 {
        Fit::Perhaps
    } else {
        Fit::fits_if(is_binary || text.starts_with(b"m"))
    })
}
