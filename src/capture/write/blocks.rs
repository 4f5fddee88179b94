//! The blocks of a pcapng file that a capture needs (draft-ietf-opsawg-pcapng): section, interface, packet, statistics. Little endian,
//! times in nanoseconds.

use std::borrow::Cow;

use crate::model::Direction;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const MAGIC: u32 = 0x1a2b_3c4d;

const END: u16 = 0;
const COMMENT: u16 = 1;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;
const ISB_FILTERACCEPT: u16 = 6;
const ISB_OSDROP: u16 = 7;
const ISB_USRDELIV: u16 = 8;

const NANOSECONDS: u8 = 9;
/// The link type of frames that begin with an Ethernet header.
pub const LINKTYPE_ETHERNET: u16 = 1;
/// That of packets that begin with their IP header.
pub const LINKTYPE_RAW: u16 = 101;
/// Bytes of the two addresses that an Ethernet header begins with.
const ADDRESSES: usize = 12;
const TAG_BYTES: usize = 4;
/// An option's length has 16 bits.
const TEXT_MAX: usize = 65_532;

/// The beginning of a file.
#[derive(Clone, Debug, Default)]
pub struct Section<'a> {
    /// Which program writes it.
    pub application: &'a str,
    /// On which system.
    pub system: &'a str,
    /// What there is to say of the file; empty: nothing.
    pub comment: &'a str,
}

/// An interface: the first one of a file is number 0.
#[derive(Clone, Debug)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// Which packets are wanted, in words; empty: all.
    pub filter: &'a str,
    /// The number of what frames begin with, [`LINKTYPE_ETHERNET`] or another.
    pub link_type: u16,
    /// Bytes of a frame that are kept at most.
    pub snaplen: u32,
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// The number of its interface.
    pub interface: u32,
    /// When it passed, in nanoseconds since 1970.
    pub ns: u64,
    /// In which direction, where that is known.
    pub direction: Option<Direction>,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How many it had.
    pub length: u32,
    /// A VLAN tag that belongs behind the addresses and is not there, TPID and TCI.
    pub vlan: Option<(u16, u16)>,
    /// Bytes that are kept at most, the tag with them.
    pub snaplen: u32,
    /// Frames of the interface that were lost before it.
    pub lost: u64,
    /// What there is to say of it; empty: nothing.
    pub comment: &'a str,
}

/// What an interface came to. Packets, since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The number of the interface.
    pub interface: u32,
    /// When the run began, in nanoseconds since 1970.
    pub start_ns: u64,
    /// When this was read.
    pub end_ns: u64,
    /// That passed.
    pub received: u64,
    /// Frames that were wanted and are in no file.
    pub lost: u64,
    /// Frames that are in a file.
    pub written: u64,
}

impl Section<'_> {
    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        block(out, SECTION, |out| {
            put(out, &MAGIC.to_le_bytes());
            put(out, &1_u16.to_le_bytes());
            put(out, &0_u16.to_le_bytes());
            put(out, &u64::MAX.to_le_bytes()); // nobody knows yet how long it becomes
            text(out, COMMENT, self.comment);
            text(out, SHB_OS, self.system);
            text(out, SHB_USERAPPL, self.application);
            option(out, END, &[]);
        });
    }
}

impl Interface<'_> {
    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        block(out, INTERFACE, |out| {
            put(out, &self.link_type.to_le_bytes());
            put(out, &[0; 2]);
            put(out, &self.snaplen.to_le_bytes());
            text(out, IF_NAME, self.name);
            option(out, IF_TSRESOL, &[NANOSECONDS]);
            if !self.filter.is_empty() {
                // The first byte says that it is tcpdump's language.
                let filter = [b"\0", cut(self.filter).as_bytes()].concat();
                option(out, IF_FILTER, &filter);
            }
            option(out, END, &[]);
        });
    }
}

impl Packet<'_> {
    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (bytes, length) = self.with_tag();
        let kept = bytes.len().min(self.snaplen as usize);
        let bytes = &bytes[..kept];
        block(out, PACKET, |out| {
            put(out, &self.interface.to_le_bytes());
            put(out, &time(self.ns));
            put(out, &u32::try_from(kept).unwrap_or(u32::MAX).to_le_bytes());
            put(out, &length.to_le_bytes());
            put(out, bytes);
            pad(out, kept);
            text(out, COMMENT, self.comment);
            if let Some(direction) = self.direction {
                let direction: u32 = match direction {
                    Direction::Ingress => 1,
                    Direction::Egress => 2,
                };
                option(out, EPB_FLAGS, &direction.to_le_bytes());
            }
            if self.lost > 0 {
                option(out, EPB_DROPCOUNT, &self.lost.to_le_bytes());
            }
            option(out, END, &[]);
        });
    }

    /// The frame as it was on the wire.
    fn with_tag(&self) -> (Cow<'_, [u8]>, u32) {
        let Some(((protocol, control), (addresses, rest))) =
            self.vlan.zip(self.bytes.split_at_checked(ADDRESSES))
        else {
            return (self.bytes.into(), self.length);
        };
        let mut tagged = Vec::with_capacity(self.bytes.len() + TAG_BYTES);
        tagged.extend_from_slice(addresses);
        tagged.extend_from_slice(&protocol.to_be_bytes());
        tagged.extend_from_slice(&control.to_be_bytes());
        tagged.extend_from_slice(rest);
        (tagged.into(), self.length + 4)
    }
}

impl Statistics {
    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        block(out, STATISTICS, |out| {
            put(out, &self.interface.to_le_bytes());
            put(out, &time(self.end_ns));
            option(out, ISB_STARTTIME, &time(self.start_ns));
            option(out, ISB_ENDTIME, &time(self.end_ns));
            option(out, ISB_IFRECV, &self.received.to_le_bytes());
            // What Wireshark shows as dropped, and where it was: the same.
            option(out, ISB_IFDROP, &self.lost.to_le_bytes());
            let wanted = self.written + self.lost;
            option(out, ISB_FILTERACCEPT, &wanted.to_le_bytes());
            option(out, ISB_OSDROP, &self.lost.to_le_bytes());
            option(out, ISB_USRDELIV, &self.written.to_le_bytes());
            option(out, END, &[]);
        });
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// To a multiple of four.
fn pad(out: &mut Vec<u8>, length: usize) {
    put(out, &[0; 3][..length.wrapping_neg() % 4]);
}

/// The upper half comes first, whatever the byte order.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is put by itself"
)]
fn time(ns: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&((ns >> 32) as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(ns as u32).to_le_bytes());
    bytes
}

/// A block, whose length stands at both of its ends.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out, &kind.to_le_bytes());
    put(out, &[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    put(out, &length.to_le_bytes());
}

/// `value` has at most [`TEXT_MAX`] bytes.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    put(out, &code.to_le_bytes());
    let length = u16::try_from(value.len()).unwrap_or_default();
    put(out, &length.to_le_bytes());
    put(out, value);
    pad(out, value.len());
}

/// An option that is left out where there is nothing to say.
fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        option(out, code, cut(value).as_bytes());
    }
}

/// No longer than an option can be, less the byte that a filter has before it.
fn cut(text: &str) -> &str {
    let most = text.len().min(TEXT_MAX - 1);
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
