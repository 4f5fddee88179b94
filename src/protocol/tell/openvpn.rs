//! `OpenVPN` (<https://openvpn.net/community-docs/openvpn-protocol.html>): the resets that open a connection, in clear, with a tag
//! (tls-auth) or encrypted (tls-crypt); and data that counts.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// Opcodes, in the upper five bits; the lower three are a key's number.
const CLIENT_RESET_2: u8 = 7;
const SERVER_RESET_2: u8 = 8;
const DATA_2: u8 = 9;
const CLIENT_RESET_3: u8 = 10;
/// Opcode and the sender's session id.
const START_BYTES: usize = 9;
/// Bytes of tags: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const TAGS: [usize; 6] = [16, 20, 28, 32, 48, 64];
/// Number of a packet and the time, against replays.
const REPLAY_BYTES: usize = 8;
/// No acknowledgement, and number 0 of the message.
const FIRST_MESSAGE: [u8; 5] = [0; 5];
/// The tag and the encrypted first message of tls-crypt.
const CRYPT_BYTES: usize = 37;
/// 2001: no clock that packets are made with is before that.
const TIME_MIN: u32 = 1_000_000_000;

pub(super) fn openvpn(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    match (first >> 3, first & 7) {
        (CLIENT_RESET_2 | CLIENT_RESET_3, 0) => client_reset(datagram),
        (SERVER_RESET_2, 0) => server_reset(datagram),
        (DATA_2, _) => data(datagram),
        // Other messages of a handshake, and data of the old form.
        (3..=6, _) => Some(Fit::Perhaps),
        _ => Some(Fit::No),
    }
}

/// Whether a number that has just begun and a time stand here.
fn is_replay(datagram: &Datagram<'_>, at: usize) -> Option<bool> {
    // Since version 2.6, the upper byte says that more can be negotiated.
    let number = datagram.be32(at)?;
    let is_number =
        matches!(number >> 24, 0 | 0x0f) && (1..=0xff).contains(&(number & 0x00ff_ffff));
    Some(is_number && datagram.be32(at + 4)? >= TIME_MIN)
}

fn client_reset(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.length() == START_BYTES + FIRST_MESSAGE.len() {
        return datagram.has(START_BYTES, &FIRST_MESSAGE).map(Fit::sure_if);
    }
    for tag in TAGS {
        let replay = START_BYTES + tag;
        let message = replay + REPLAY_BYTES;
        if datagram.length() >= message + FIRST_MESSAGE.len()
            && is_replay(datagram, replay)?
            && datagram.has(message, &FIRST_MESSAGE)?
        {
            return Some(Fit::Sure);
        }
    }
    let is_long = datagram.length() >= START_BYTES + REPLAY_BYTES + CRYPT_BYTES;
    Some(Fit::sure_if(is_long && is_replay(datagram, START_BYTES)?))
}

/// It acknowledges the client's first message by the client's session id.
fn server_reset(datagram: &Datagram<'_>) -> Option<Fit> {
    let start = |tag| START_BYTES + if tag == 0 { 0 } else { tag + REPLAY_BYTES };
    for tag in std::iter::once(0).chain(TAGS) {
        let at = start(tag);
        if datagram.length() >= at + 17
            && datagram.has(at, &[1, 0, 0, 0, 0])?
            && datagram.has(at + 13, &[0; 4])?
        {
            return Some(Fit::Sure);
        }
    }
    let is_long = datagram.length() >= START_BYTES + REPLAY_BYTES + CRYPT_BYTES;
    Some(Fit::sure_if(is_long && is_replay(datagram, START_BYTES)?))
}

/// The peer's number stays, packets count (with the ciphers of today).
fn data(datagram: &Datagram<'_>) -> Option<Fit> {
    // What a relay passes on begins like this, with its length (RFC 8656 12.4).
    let is_relayed = datagram.count16(2)? + 4 == datagram.length();
    // Servers give their peers small numbers; the largest says that there is none.
    let peer = datagram.be32(0)? & 0x00ff_ffff;
    let is_peer = peer < 0x1_0000 || peer == 0x00ff_ffff;
    if is_relayed || !is_peer || datagram.length() < 25 {
        return Some(Fit::No);
    }
    let number = datagram.be32(4)?;
    Some(Fit::Counts {
        key: datagram.be32(0)? ^ (number & 0xffff_0000).rotate_left(8),
        number: (number & 0xffff) as u16,
    })
}
