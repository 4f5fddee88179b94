//! A window on what a file unpacks to.

use super::error::{Cause, Place};
use super::unpack::Unpacked;

const FIRST_ROOM: usize = 256 * 1024;

pub(super) struct Input {
    source: Unpacked,
    bytes: Vec<u8>,
    /// Where in `bytes` that begins which was not consumed, and where it ends.
    start: usize,
    end: usize,
    /// How much was consumed.
    consumed: u64,
}

impl Input {
    pub fn new(source: Unpacked) -> Self {
        Self {
            source,
            bytes: vec![0; FIRST_ROOM],
            start: 0,
            end: 0,
            consumed: 0,
        }
    }

    pub fn source(&self) -> &Unpacked {
        &self.source
    }

    /// What is there of the bytes that were not consumed.
    pub fn available(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// What stands in a window that `consume` gave; right until the next `fill` or `skip`.
    pub fn window(&mut self, window: std::ops::Range<usize>) -> &mut [u8] {
        &mut self.bytes[window]
    }

    /// The byte that is next, or the one after the last where the file is cut.
    pub fn place(&self, is_cut: bool) -> Place {
        let there = if is_cut { self.available().len() } else { 0 };
        let offset = self.consumed + there as u64;
        if self.source.is_packed() {
            Place::Unpacked(offset)
        } else {
            Place::Byte(offset)
        }
    }

    /// Waits for this number of bytes. Returns whether they came: not if the file ends before.
    ///
    /// The caller bounds what a file asks for: room is made for it.
    pub fn fill(&mut self, wanted: usize) -> Result<bool, Cause> {
        if self.end - self.start >= wanted {
            return Ok(true);
        }
        if self.start + wanted > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if wanted > self.bytes.len() {
                self.bytes.resize(wanted, 0);
            }
        }
        while self.end - self.start < wanted {
            let read = self.source.read(&mut self.bytes[self.end..])?;
            if read == 0 {
                return Ok(false);
            }
            self.end += read;
        }
        Ok(true)
    }

    /// Takes this number of bytes, which must be there, and returns their place.
    pub fn consume(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.start;
        self.start += length;
        self.consumed += length as u64;
        from..self.start
    }

    /// Skips this number of bytes, without storing them. Returns whether there were as many.
    pub fn skip(&mut self, mut length: u64) -> Result<bool, Cause> {
        while length > 0 {
            if !self.fill(1)? {
                return Ok(false);
            }
            let step = self
                .available()
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            self.consume(step);
            length -= step as u64;
        }
        Ok(true)
    }
}
