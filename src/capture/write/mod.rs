//! Captures that are written: the blocks of a pcapng file (`blocks`), and which file comes after which (`sequence`).
//!
//! Pure: bytes and names. Who opens files and writes to them is the run.

mod blocks;
mod sequence;

pub use blocks::{Interface, LINKTYPE_ETHERNET, LINKTYPE_RAW, Packet, Section, Statistics};
pub use sequence::{Next, Rotation, Sequence};

/// Whole frames: more than any has (tcpdump's own number).
pub const WHOLE: u32 = 262_144;

#[cfg(test)]
mod tests;
