//! The pcap format: a header, and frames of one interface.

use std::ops::Range;

use pcap_parser::parse_pcap_header;

use super::error::Cause;
use super::input::Input;
use super::{FRAME_MAX, Raw};

const HEADER_BYTES: usize = 24;
/// Time, length, length on the wire: four numbers of 32 bits.
const FRAME_HEADER_BYTES: usize = 16;
/// A variant of old patched Linux tools has further fields there.
const MODIFIED_HEADER_BYTES: usize = 24;

pub(super) struct Pcap {
    is_big_endian: bool,
    header_bytes: usize,
    /// Nanoseconds of a unit of the second number of a time.
    unit_ns: u64,
}

/// What the file's header says of the only interface.
pub(super) struct OnlyInterface {
    pub link_type: i32,
    /// Bytes of a check sequence at the end of each frame.
    pub fcs_bytes: u32,
}

impl Pcap {
    pub fn is_one(first: &[u8]) -> bool {
        matches!(
            first,
            [0xd4, 0xc3, 0xb2, 0xa1, ..]
                | [0xa1, 0xb2, 0xc3, 0xd4, ..]
                | [0x4d, 0x3c, 0xb2, 0xa1, ..]
                | [0xa1, 0xb2, 0x3c, 0x4d, ..]
                | [0x34, 0xcd, 0xb2, 0xa1, ..]
        )
    }

    pub fn open(input: &mut Input) -> Result<(Self, OnlyInterface), Cause> {
        if !input.fill(HEADER_BYTES)? {
            return Err(Cause::Cut("the file's header"));
        }
        let (_, header) = parse_pcap_header(input.available())
            .map_err(|_| Cause::Malformed("the file's header"))?;
        if header.version_major != 2 {
            return Err(Cause::Version(header.version_major, header.version_minor));
        }
        input.consume(HEADER_BYTES);
        let pcap = Self {
            is_big_endian: header.is_bigendian(),
            header_bytes: if header.is_modified_format() {
                MODIFIED_HEADER_BYTES
            } else {
                FRAME_HEADER_BYTES
            },
            unit_ns: if header.is_nanosecond_precision() {
                1
            } else {
                1000
            },
        };
        // Bits 28 to 31 are the words of 16 bits of the check sequence where bit 26 says that there is one; 27 is reserved.
        let link = header.network.0.cast_unsigned();
        let has_fcs = link & (1 << 26) != 0;
        let only = OnlyInterface {
            link_type: (link & 0x03ff_ffff).cast_signed(),
            fcs_bytes: if has_fcs { (link >> 28) * 2 } else { 0 },
        };
        Ok((pcap, only))
    }

    /// The next frame, or none at the end.
    pub fn next(&mut self, input: &mut Input) -> Result<Option<Raw>, Cause> {
        if !input.fill(self.header_bytes)? {
            return if input.available().is_empty() {
                Ok(None)
            } else {
                Err(Cause::Cut("the header of a frame"))
            };
        }
        let header = input.available();
        let [seconds, fraction, length, wire_bytes] =
            [0, 4, 8, 12].map(|at| number(self.is_big_endian, header, at));
        if length > FRAME_MAX {
            return Err(Cause::FrameLength(length));
        }
        let whole = self.header_bytes + length as usize;
        if !input.fill(whole)? {
            return Err(Cause::Cut("a frame"));
        }
        let Range { start, end } = input.consume(whole);
        Ok(Some(Raw {
            described: 0,
            // 2^32 seconds are half of what 64 bits hold.
            time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit_ns,
            wire_bytes,
            fcs_bytes: None,
            direction: None,
            window: start + self.header_bytes..end,
        }))
    }
}

/// A number of 32 bits; 0 where there is none.
pub(super) fn number(is_big_endian: bool, bytes: &[u8], at: usize) -> u32 {
    let Some(bytes) = bytes.get(at..).and_then(|bytes| bytes.first_chunk()) else {
        return 0;
    };
    if is_big_endian {
        u32::from_be_bytes(*bytes)
    } else {
        u32::from_le_bytes(*bytes)
    }
}
