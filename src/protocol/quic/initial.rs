//! Initial packets, decrypted: their keys come from what is in the clear (RFC 9001 5.2; RFC 9369 3.3). Everybody
//! who captures the first packet can read it, so this reveals no secret.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use ctr::Ctr32BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::{Kind, Packet};
use crate::model::{QuicId as Id, QuicVersion as Version};

const KEY_BYTES: usize = 16;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const SAMPLE_BYTES: usize = 16;
/// The longest packet number.
const NUMBER_BYTES: usize = 4;

const SALT_ONE: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];
const SALT_TWO: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];

/// Who has sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// What an end protects its Initial packets with.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    key: [u8; KEY_BYTES],
    iv: [u8; IV_BYTES],
    header: [u8; KEY_BYTES],
}

impl Keys {
    /// From the id that the client's first Initial packet went to; after a Retry, the first one thereafter.
    fn new(version: Version, id: &Id, sender: Sender) -> Option<Self> {
        let (salt, labels) = match version {
            Version::ONE => (SALT_ONE, ["quic key", "quic iv", "quic hp"]),
            Version::TWO => (SALT_TWO, ["quicv2 key", "quicv2 iv", "quicv2 hp"]),
            _ => return None,
        };
        let initial = Hkdf::<Sha256>::new(Some(&salt), id.as_bytes());
        let label = match sender {
            Sender::Client => "client in",
            Sender::Server => "server in",
        };
        let secret: [u8; 32] = expanded(&initial, label)?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        Some(Self {
            key: expanded(&secret, labels[0])?,
            iv: expanded(&secret, labels[1])?,
            header: expanded(&secret, labels[2])?,
        })
    }
}

/// HKDF-Expand-Label of TLS 1.3 without a context (RFC 8446 7.1).
fn expanded<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let label_length = u8::try_from("tls13 ".len() + label.len()).ok()?;
    let parts: [&[u8]; 5] = [&length, &[label_length], b"tls13 ", label.as_bytes(), &[0]];
    let mut out = [0; N];
    secret.expand_multi_info(&parts, &mut out).ok()?;
    Some(out)
}

/// What an Initial packet says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// Its frames, as far as they were captured.
    pub frames: Vec<u8>,
    /// All of it was there and its tag is right: nobody but who knows the id has made it. Else it may be anything.
    pub is_proven: bool,
}

/// Takes the protection off an Initial packet whose keys come from `id`. `None` where it cannot be that.
/// A packet that was cut is read as far as it goes, without proof. `largest`: the largest packet number so far; a right one is
/// written there.
pub(super) fn open(
    packet: &Packet<'_>,
    id: &Id,
    sender: Sender,
    largest: &mut Option<u64>,
) -> Option<Opened> {
    let Kind::Initial { number_at } = packet.kind else {
        return None;
    };
    let keys = Keys::new(packet.version, id, sender)?;
    let (header, number) = unprotected(packet.bytes, number_at, &keys)?;
    let number = whole_number(number, 8 * (header.len() - number_at), *largest);
    let mut nonce = keys.iv;
    for (byte, of_number) in nonce[IV_BYTES - 8..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= of_number;
    }
    let rest = packet.bytes.get(header.len()..)?;
    let mut frames;
    if packet.is_whole() {
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        frames = text.to_vec();
        Aes128Gcm::new(&keys.key.into())
            .decrypt_inout_detached(
                &nonce.into(),
                &header,
                frames.as_mut_slice().into(),
                tag.try_into().ok()?,
            )
            .ok()?;
        *largest = (*largest).max(Some(number));
    } else {
        let most = packet.length.checked_sub(header.len() + TAG_BYTES)?;
        frames = rest.get(..most).unwrap_or(rest).to_vec();
        without_proof(&keys, nonce, &mut frames);
    }
    Some(Opened {
        frames,
        is_proven: packet.is_whole(),
    })
}

/// The header without its protection (RFC 9001 5.4), up to the packet number and with it, and that number.
fn unprotected(bytes: &[u8], number_at: usize, keys: &Keys) -> Option<(Vec<u8>, u32)> {
    let sample_at = number_at + NUMBER_BYTES;
    let sample: [u8; SAMPLE_BYTES] = bytes
        .get(sample_at..sample_at + SAMPLE_BYTES)?
        .try_into()
        .ok()?;
    let mut mask = sample.into();
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    let mut header = bytes.get(..sample_at)?.to_vec();
    header[0] ^= mask[0] & 0x0f;
    let count = usize::from(header[0] & 3) + 1;
    header.truncate(number_at + count);
    let mut number = 0;
    for (byte, of_mask) in header[number_at..].iter_mut().zip(&mask[1..]) {
        *byte ^= of_mask;
        number = number << 8 | u32::from(*byte);
    }
    Some((header, number))
}

/// A packet number of which only the last `bits` were sent (RFC 9000 A.3).
fn whole_number(sent: u32, bits: usize, largest: Option<u64>) -> u64 {
    let sent = u64::from(sent);
    let Some(largest) = largest else { return sent };
    let (expected, window) = (largest + 1, 1_u64 << bits);
    let half = window / 2;
    let candidate = expected & !(window - 1) | sent;
    if candidate + half <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + half && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// GCM without its tag is AES in counter mode, from 2 on (NIST SP 800-38D 7.1).
fn without_proof(keys: &Keys, nonce: [u8; IV_BYTES], text: &mut [u8]) {
    let mut block = [0; 16];
    block[..IV_BYTES].copy_from_slice(&nonce);
    block[15] = 2;
    Ctr32BE::<Aes128>::new(&keys.key.into(), &block.into()).apply_keystream(text);
}

#[cfg(test)]
#[path = "initial_tests.rs"]
mod tests;
