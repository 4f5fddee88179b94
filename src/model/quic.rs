//! What is known of a QUIC connection. `src/protocol/quic/` reads it.

use std::fmt::{self, Write};

use super::key::ConnectionId;

/// The longest connection id of versions 1 and 2 (RFC 9000 17.2), in bytes.
const ID_MAX: usize = 20;

/// A version of QUIC, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuicVersion(pub u32);

impl QuicVersion {
    /// RFC 9000.
    pub const ONE: Self = Self(1);
    /// RFC 9369.
    pub const TWO: Self = Self(0x6b33_43cf);

    /// Whether this is a version that somebody speaks, or that stands for none (RFC 9000 15): drafts of the IETF, Google's
    /// (`Q046`, `T051`), Facebook's, and those that only keep others from getting used to the list.
    #[must_use]
    pub fn is_plausible(self) -> bool {
        self == Self::ONE
            || self == Self::TWO
            || self.is_google()
            || self.is_reserved()
            || matches!(self.0 >> 8, 0x00ff_0000 | 0x00fa_ceb0)
    }

    /// One of Google's own, from before the standard: a letter and three digits.
    #[must_use]
    pub fn is_google(self) -> bool {
        let [letter, digits @ ..] = self.0.to_be_bytes();
        matches!(letter, b'Q' | b'T') && digits[0] == b'0' && digits.iter().all(u8::is_ascii_digit)
    }

    /// Nobody speaks it, so that all learn to refuse some (RFC 9000 15).
    #[must_use]
    pub fn is_reserved(self) -> bool {
        self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a
    }
}

/// Suricata's words.
impl fmt::Display for QuicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ONE => f.write_str("1"),
            Self::TWO => f.write_str("v2"),
            version if version.is_google() => {
                let mut letters = version.0.to_be_bytes().into_iter();
                letters.try_for_each(|letter| f.write_char(letter.into()))
            }
            Self(number) => write!(f, "{number:x}"),
        }
    }
}

/// A connection id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuicId {
    /// What follows `length` is zero.
    bytes: [u8; ID_MAX],
    length: u8,
}

impl QuicId {
    /// `None` if it is longer than the versions that are read allow.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self {
            bytes: [0; ID_MAX],
            length: u8::try_from(bytes.len()).ok()?,
        };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// It, in the order of the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// In hexadecimal digits.
impl fmt::Display for QuicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for QuicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuicId({self})")
    }
}

/// What is known of a QUIC connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicFacts {
    /// In use: the server's word, or what the client began with.
    pub version: Option<QuicVersion>,
    /// The host that the client asks for (SNI), in lower case: letters, digits, dots, hyphens and underscores. With ECH the outer one.
    pub server_name: Option<Box<str>>,
    /// The protocols that the client offers (ALPN), in its order. Which one the server chose is encrypted.
    pub offered: Vec<Box<str>>,
    /// Names and protocols that were no such text, and were left out.
    pub refused: u32,
    /// The server had the client prove its address.
    pub has_retry: bool,
    /// The server did not speak the client's version.
    pub has_negotiation: bool,
    /// The client sent data before the handshake was done.
    pub has_zero_rtt: bool,
    /// What the server sends to.
    pub client_id: Option<QuicId>,
    /// What the client sends to.
    pub server_id: Option<QuicId>,
    /// From the client's first Initial packet to the server's first Handshake packet, in nanoseconds.
    pub handshake_ns: Option<u64>,
    /// Why the server has ended the connection before its handshake, where it said so (RFC 9000 20): 0x178 is TLS's alert 120, as
    /// none of the protocols that the client offers is the server's.
    pub refusal: Option<u64>,
    /// A connection whose id this one began with, from another address: a hint, and no counts are merged for it.
    pub may_continue: Option<ConnectionId>,
}

impl QuicFacts {
    /// Whether packets with a short header have a spin bit where version 1 has it (RFC 9000 17.3.1). What goes on from another address
    /// says no version, and its id was one of these.
    #[must_use]
    pub fn has_spin_bit(&self) -> bool {
        let version = self.version.unwrap_or(QuicVersion::ONE);
        version == QuicVersion::ONE || version == QuicVersion::TWO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_their_words() {
        for (number, word) in [
            (1, "1"),
            (0x6b33_43cf, "v2"),
            (0xff00_001d, "ff00001d"),
            (0xface_b002, "faceb002"),
            (u32::from_be_bytes(*b"Q046"), "Q046"),
            (u32::from_be_bytes(*b"T051"), "T051"),
            (0x1a2a_3a4a, "1a2a3a4a"),
        ] {
            assert_eq!(QuicVersion(number).to_string(), word);
            assert!(QuicVersion(number).is_plausible(), "{word}");
        }
        for number in [0, 2, 0xff01_001d, 0x1a2a_3a4b, u32::from_be_bytes(*b"Qabc")] {
            assert!(!QuicVersion(number).is_plausible(), "{number:x}");
        }
    }

    #[test]
    fn ids_of_any_length() {
        assert_eq!(QuicId::new(&[0, 0xa0, 0xff]).unwrap().to_string(), "00a0ff");
        assert_eq!(QuicId::new(&[7; 20]).unwrap().as_bytes(), [7; 20]);
        assert_eq!(QuicId::new(&[7; 21]), None);
        assert_eq!(QuicId::new(&[0; 300]), None);
        // What is not there is not the same as a zero.
        assert_ne!(QuicId::new(&[]), QuicId::new(&[0]));
    }
}
