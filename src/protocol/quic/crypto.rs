//! The frames of Initial packets (RFC 9000 12.4, 19), and what their CRYPTO frames come to together: a TLS handshake, in
//! pieces of any size and order, over several datagrams.

use super::packet::Reader;

/// Bytes of a handshake that are kept. A `ClientHello` has 300 to 2,000, with large keys and certificates' names a few thousand.
const BYTES_MAX: usize = 8192;
/// Pieces with gaps between them. Browsers make some tens at most.
const PIECES_MAX: usize = 64;

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const ACK_ECN: u64 = 0x03;
const CRYPTO: u64 = 0x06;
const CLOSE: u64 = 0x1c;

/// A piece of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'a> {
    offset: u64,
    bytes: &'a [u8],
}

/// A frame that an Initial packet may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame<'a> {
    Crypto(Piece<'a>),
    /// The connection is over, for this reason (RFC 9000 20).
    Close(u64),
    Other,
}

/// Why frames are not those of an Initial packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsound;

/// What is known of a handshake.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    bytes: Vec<u8>,
    /// Which of them are there: from, to; in order, and none touches the next.
    there: Vec<(usize, usize)>,
}

impl Handshake {
    /// Takes the CRYPTO frames out of an Initial packet's frames: all, or none where one makes no sense. `is_whole`: they
    /// were not cut. What is beyond the room is left out.
    pub fn hear(&mut self, frames: &[u8], is_whole: bool) -> Result<(), Unsound> {
        for frame in read(frames, is_whole)? {
            if let Frame::Crypto(piece) = frame {
                self.add(piece);
            }
        }
        Ok(())
    }

    /// The handshake from its beginning to the first gap.
    pub fn beginning(&self) -> &[u8] {
        match self.there.first() {
            Some((0, end)) => &self.bytes[..*end],
            _ => &[],
        }
    }

    /// The first of what is there twice stays.
    fn add(&mut self, piece: Piece<'_>) {
        let Ok(from) = usize::try_from(piece.offset) else {
            return;
        };
        let to = from.saturating_add(piece.bytes.len()).min(BYTES_MAX);
        if from >= to {
            return;
        }
        // Those that overlap it or touch it become one with it.
        let first = self.there.partition_point(|(_, end)| *end < from);
        let after = self.there.partition_point(|(start, _)| *start <= to);
        if first == after && self.there.len() >= PIECES_MAX {
            return;
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        let mut at = from;
        for (start, end) in &self.there[first..after] {
            if at < *start {
                self.bytes[at..*start].copy_from_slice(&piece.bytes[at - from..start - from]);
            }
            at = at.max(*end);
        }
        if at < to {
            self.bytes[at..to].copy_from_slice(&piece.bytes[at - from..to - from]);
        }
        let joined = self.there[first..after]
            .iter()
            .fold((from, to), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        self.there.splice(first..after, [joined]);
    }
}

/// Why the sender of an Initial packet's frames ends the connection, if it does (RFC 9000 20).
pub(super) fn close_code(frames: &[u8], is_whole: bool) -> Option<u64> {
    let frames = read(frames, is_whole).ok()?;
    frames.iter().find_map(|frame| match frame {
        Frame::Close(code) => Some(*code),
        _ => None,
    })
}

fn read(frames: &[u8], is_whole: bool) -> Result<Vec<Frame<'_>>, Unsound> {
    let mut reader = Reader(frames);
    let mut read = Vec::new();
    while !reader.0.is_empty() {
        match next(&mut reader, is_whole) {
            Some(frame) => read.push(frame?),
            None if is_whole => return Err(Unsound),
            None => break,
        }
        // Most of a packet is padding.
        read.pop_if(|frame| *frame == Frame::Other);
    }
    Ok(read)
}

/// The next frame. `None`: cut.
fn next<'a>(reader: &mut Reader<'a>, is_whole: bool) -> Option<Result<Frame<'a>, Unsound>> {
    Some(Ok(match reader.variable()? {
        PADDING | PING => Frame::Other,
        kind @ (ACK | ACK_ECN) => {
            skip(reader, 2)?;
            let ranges = reader.variable()?;
            let rest = 1 + 2 * ranges.min(reader.0.len() as u64);
            skip(reader, rest + if kind == ACK_ECN { 3 } else { 0 })?;
            Frame::Other
        }
        CRYPTO => {
            let offset = reader.variable()?;
            let length = usize::try_from(reader.variable()?).unwrap_or(usize::MAX);
            let bytes = if is_whole {
                reader.take(length)?
            } else {
                reader.take_up_to(length)
            };
            Frame::Crypto(Piece { offset, bytes })
        }
        CLOSE => {
            let code = reader.variable()?;
            skip(reader, 1)?;
            let reason = reader.variable()?;
            reader.take(usize::try_from(reason).ok()?)?;
            Frame::Close(code)
        }
        _ => return Some(Err(Unsound)),
    }))
}

/// Reads this number of variable-length integers.
fn skip(reader: &mut Reader<'_>, count: u64) -> Option<()> {
    for _ in 0..count {
        reader.variable()?;
    }
    Some(())
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
