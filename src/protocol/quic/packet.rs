//! What of a QUIC packet is in the clear: the long header (RFC 8999 5.1, RFC 9000 17.2, RFC 9369 3.2). Fields are in network
//! order; nothing here is decrypted. The bit that is always set is not looked at: both ends may agree to set it by chance (RFC 9287).

use crate::model::{QuicId as Id, QuicVersion as Version};

/// Of a long header. In the short one the rest of the first byte is protected.
const LONG: u8 = 0x80;
/// At the end of a Retry packet (RFC 9001 5.8).
const RETRY_TAG_BYTES: usize = 16;

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial {
        /// From the beginning of the packet to the packet number, which is protected.
        number_at: usize,
    },
    ZeroRtt,
    Handshake,
    Retry,
    /// With a list of the versions that the server speaks.
    Negotiation,
    /// Of a version whose packets are not read.
    Unknown,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub version: Version,
    pub kind: Kind,
    pub destination: Id,
    pub source: Id,
    /// From its first byte on, as far as it was captured.
    pub bytes: &'a [u8],
    /// How long it says to be, in bytes.
    pub length: usize,
}

impl Packet<'_> {
    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}

/// The packets of a datagram that have long headers, in their order; ends at what is none, or is cut within its header.
/// `length`: of the whole datagram, of which `bytes` is the beginning.
pub(super) struct Packets<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Packets<'a> {
    pub fn new(bytes: &'a [u8], length: usize) -> Self {
        let length = length.max(bytes.len());
        Self { bytes, length }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let mut packet = read(self.bytes, self.length)?;
        let there = packet.length.min(self.bytes.len());
        (packet.bytes, self.bytes) = self.bytes.split_at(there);
        self.length -= packet.length;
        Some(packet)
    }
}

/// Whether the header behind the ids is that of RFC 9000, so that packets that follow in the same datagram are found.
fn is_read(version: Version) -> bool {
    version == Version::ONE || version == Version::TWO
}

/// A reader of bytes that somebody else wrote: each step may find too few.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// As many as are there, of `count`.
    pub fn take_up_to(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of `count` bytes, at most eight.
    pub fn number(&mut self, count: usize) -> Option<u64> {
        let bytes = self.take(count)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    /// A variable-length integer (RFC 9000 16).
    pub fn variable(&mut self) -> Option<u64> {
        let count = 1 << (self.0.first()? >> 6);
        let number = self.number(count)?;
        Some(number & (u64::MAX >> (66 - 8 * count)))
    }

    /// Bytes behind a length of `count` bytes.
    pub fn behind_length(&mut self, count: usize) -> Option<&'a [u8]> {
        let length = self.number(count)?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// The ids of a long header: each behind its length; up to Google's Q046 behind both, of four bits each, three less than it is.
fn read_ids(reader: &mut Reader<'_>, version: Version) -> Option<[Id; 2]> {
    if version.is_google() && version.0 >> 8 & 0xff == u32::from(b'4') {
        let lengths = reader.byte()?;
        let mut id = |length: u8| {
            let length = if length == 0 { 0 } else { length + 3 };
            Id::new(reader.take(length.into())?)
        };
        return Some([id(lengths >> 4)?, id(lengths & 0x0f)?]);
    }
    let mut id = || Id::new(reader.behind_length(1)?);
    Some([id()?, id()?])
}

/// The packet at the beginning of what is left of a datagram.
fn read(bytes: &[u8], length: usize) -> Option<Packet<'_>> {
    let mut reader = Reader(bytes);
    let first = reader.byte().filter(|first| first & LONG != 0)?;
    let version = Version(u32::try_from(reader.number(4)?).ok()?);
    let [destination, source] = read_ids(&mut reader, version)?;
    let mut packet = Packet {
        version,
        kind: Kind::Unknown,
        destination,
        source,
        bytes,
        length,
    };
    if version.0 == 0 {
        packet.kind = Kind::Negotiation;
        return Some(packet);
    }
    if !is_read(version) {
        return version.is_plausible().then_some(packet);
    }
    // The four types of version 1, each one further in version 2 (RFC 9369 3.2).
    let shift = u8::from(version == Version::TWO);
    match (first >> 4).wrapping_sub(shift) & 3 {
        0 => {
            let token = reader.variable()?;
            reader.take(usize::try_from(token).ok()?)?;
            packet.kind = Kind::Initial { number_at: 0 };
        }
        1 => packet.kind = Kind::ZeroRtt,
        2 => packet.kind = Kind::Handshake,
        // It goes to the end of its datagram, and has a token.
        _ => {
            packet.kind = Kind::Retry;
            let rest = length - (bytes.len() - reader.0.len());
            return (rest > RETRY_TAG_BYTES).then_some(packet);
        }
    }
    let payload = usize::try_from(reader.variable()?).ok()?;
    let header = bytes.len() - reader.0.len();
    if let Kind::Initial { number_at } = &mut packet.kind {
        *number_at = header;
    }
    packet.length = header.checked_add(payload).filter(|all| *all <= length)?;
    Some(packet)
}

#[cfg(test)]
#[path = "packet_tests.rs"]
pub(super) mod tests;
