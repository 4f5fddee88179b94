//! Games: `RakNet`'s offline messages (`MessageIdentifiers.h` of its source), Luanti's base packet (`doc/protocol.txt`), Valve's server
//! queries (<https://developer.valvesoftware.com/wiki/Server_queries>), and the messages of id's engines that need no connection.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const RAKNET_MAGIC: [u8; 16] = [
    0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 0x12, 0x34, 0x56, 0x78,
];
const LUANTI_MAGIC: u32 = 0x4f45_7403;
/// Before a message that belongs to no connection, in Valve's and id's engines.
const NO_CONNECTION: u32 = 0xffff_ffff;
const QUAKE_WORDS: [&[u8]; 14] = [
    b"getinfo",
    b"getstatus",
    b"getchallenge",
    b"getservers",
    b"connect",
    b"infoResponse",
    b"statusResponse",
    b"challengeResponse",
    b"challenge ",
    b"rcon ",
    b"print\n",
    b"status\n",
    b"info ",
    b"heartbeat",
];

/// The magic: behind a kind; behind a version, too, that is refused; behind a ping's time; behind a pong's time and id.
pub(super) fn raknet(datagram: &Datagram<'_>) -> Option<Fit> {
    for at in [1, 2, 9, 17] {
        if datagram.has(at, &RAKNET_MAGIC)? {
            return Some(Fit::Sure);
        }
    }
    Some(Fit::No)
}

/// The magic, a channel and a kind.
pub(super) fn luanti(datagram: &Datagram<'_>) -> Option<Fit> {
    let is_packet =
        datagram.be32(0)? == LUANTI_MAGIC && datagram.u8(6)? <= 2 && datagram.u8(7)? <= 3;
    Some(Fit::sure_if(is_packet))
}

/// A question for information, players or rules; or its answer.
pub(super) fn source(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.be32(0)? != NO_CONNECTION {
        return Some(Fit::Perhaps);
    }
    let kind = datagram.u8(4)?;
    match (kind, datagram.length() - 5) {
        (b'T', 20..) => datagram.has(5, b"Source Engine Query\0").map(Fit::sure_if),
        // Players, rules, with a challenge; a challenge; a ping.
        (b'U' | b'V', 4) | (b'W', 0 | 4) | (b'i', 0) => Some(Fit::Asks(0)),
        (b'A', 4) | (b'I' | b'm' | b'D' | b'E', 2..) | (b'j', _) => Some(Fit::Answers(0)),
        _ => Some(Fit::No),
    }
}

/// One of the words that a message without a connection begins with.
pub(super) fn quake(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.be32(0)? != NO_CONNECTION {
        return Some(Fit::Perhaps);
    }
    let text = datagram.from(4);
    Some(Fit::sure_if(
        QUAKE_WORDS.iter().any(|word| text.starts_with(word)),
    ))
}
