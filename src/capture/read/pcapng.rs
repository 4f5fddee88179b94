//! The pcapng format: blocks, in sections with their own byte order and interfaces.
//!
//! `pcap_parser` reads what is in a block. Here is what it leaves to others or has wrong (0.17): where a block begins and ends, what is
//! skipped, obsolete blocks, simple blocks that were cut, offsets of times in the other byte order, times in powers of two.

use std::collections::HashMap;

use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, OptionCode, PcapNGOption, parse_block_be, parse_block_le,
};

use super::error::Cause;
use super::input::Input;
use super::interfaces::Interfaces;
use super::pcap::number;
use super::times::Clock;
use super::{FRAME_MAX, Raw};
use crate::model::Direction;

/// Types of blocks.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The first bytes of a file: the type of its first block, the same in both byte orders.
const MAGIC: [u8; 4] = SECTION_HEADER.to_be_bytes();
/// What each section begins with tells its byte order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// The longest block of those that are read: a frame, and comments on it.
const BLOCK_MAX: u32 = 1 << 20;
/// `flags` in the options of a packet.
const FLAGS: OptionCode = OptionCode(2);
/// `if_tsoffset` and `if_fcslen`.
const TIME_OFFSET: OptionCode = OptionCode(14);
const FCS_LENGTH: OptionCode = OptionCode(13);

#[derive(Default)]
pub(super) struct Pcapng {
    is_big_endian: bool,
    /// The interfaces of the section, by their numbers in it.
    section: Vec<SectionInterface>,
    /// How many of a name and link type the section has.
    same: HashMap<(String, i32), u32>,
    /// The time of the last frame: a simple block has none of its own.
    time_ns: u64,
}

struct SectionInterface {
    described: usize,
    clock: Clock,
    /// 0 where it is not bounded.
    snaplen: u32,
    fcs_bytes: u32,
}

/// What comes of a block.
enum Read {
    Frame(Raw),
    Other,
}

impl Pcapng {
    pub fn is_one(first: &[u8]) -> bool {
        first.starts_with(&MAGIC)
    }

    /// The next frame, or none at the end.
    pub fn next(
        &mut self,
        input: &mut Input,
        interfaces: &mut Interfaces,
    ) -> Result<Option<Raw>, Cause> {
        loop {
            let Some((kind, length)) = self.begin(input)? else {
                return Ok(None);
            };
            let within = match kind {
                SECTION_HEADER => "the header of a section",
                INTERFACE_DESCRIPTION => "the description of an interface",
                OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => "a packet block",
                _ => {
                    skip(input, self.is_big_endian, length)?;
                    continue;
                }
            };
            if length > BLOCK_MAX {
                return Err(Cause::BlockLength(length));
            }
            if !input.fill(length as usize)? {
                return Err(Cause::Cut(within));
            }
            match self.block(kind, length as usize, input, interfaces)? {
                Read::Frame(frame) => return Ok(Some(frame)),
                Read::Other => {}
            }
        }
    }

    /// The type and length of the next block.
    fn begin(&mut self, input: &mut Input) -> Result<Option<(u32, u32)>, Cause> {
        if !input.fill(8)? {
            return if input.available().is_empty() {
                Ok(None)
            } else {
                Err(Cause::Cut("the header of a block"))
            };
        }
        if input.available().starts_with(&MAGIC) {
            if !input.fill(12)? {
                return Err(Cause::Cut("the header of a section"));
            }
            self.is_big_endian = [false, true]
                .into_iter()
                .find(|is_big| number(*is_big, input.available(), 8) == BYTE_ORDER)
                .ok_or(Cause::Malformed("the byte order of a section"))?;
        }
        let block = input.available();
        let length = number(self.is_big_endian, block, 4);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(Cause::BlockLength(length));
        }
        Ok(Some((number(self.is_big_endian, block, 0), length)))
    }

    fn block(
        &mut self,
        kind: u32,
        length: usize,
        input: &mut Input,
        interfaces: &mut Interfaces,
    ) -> Result<Read, Cause> {
        let is_big_endian = self.is_big_endian;
        if number(is_big_endian, input.available(), length - 4) as usize != length {
            return Err(Cause::Malformed("the end of a block"));
        }
        // What is wrong in the block is at its beginning: it is consumed when it is right.
        let start = input.consume(0).start;
        let whole = input.window(start..start + length);
        if kind == OBSOLETE_PACKET {
            make_enhanced(whole, is_big_endian);
        }
        let parse = if is_big_endian {
            parse_block_be
        } else {
            parse_block_le
        };
        let read = match parse(whole).map_err(|_| Cause::Malformed(name(kind)))?.1 {
            Block::SectionHeader(header) => {
                if header.major_version != 1 {
                    return Err(Cause::Version(header.major_version, header.minor_version));
                }
                self.section.clear();
                self.same.clear();
                Read::Other
            }
            Block::InterfaceDescription(described) => {
                self.describe(&described, interfaces)?;
                Read::Other
            }
            Block::EnhancedPacket(packet) => {
                let interface = self
                    .section
                    .get(packet.if_id as usize)
                    .ok_or(Cause::NoInterface(packet.if_id))?;
                if packet.caplen > FRAME_MAX {
                    return Err(Cause::FrameLength(packet.caplen));
                }
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                self.time_ns = interface.clock.time_ns(ticks).ok_or(Cause::Time)?;
                let flags = flags(&packet.options, is_big_endian);
                let from = start + 28;
                Read::Frame(Raw {
                    described: interface.described,
                    time_ns: self.time_ns,
                    wire_bytes: packet.origlen,
                    fcs_bytes: Some(flags.fcs_bytes.unwrap_or(interface.fcs_bytes)),
                    direction: flags.direction,
                    window: from..from + packet.packet_data().len(),
                })
            }
            Block::SimplePacket(packet) => {
                let interface = self.section.first().ok_or(Cause::NoInterface(0))?;
                let bound = match interface.snaplen {
                    0 => FRAME_MAX,
                    bound => bound.min(FRAME_MAX),
                };
                let kept = packet.data.len().min(packet.origlen.min(bound) as usize);
                let from = start + 12;
                Read::Frame(Raw {
                    described: interface.described,
                    time_ns: self.time_ns,
                    wire_bytes: packet.origlen,
                    fcs_bytes: Some(interface.fcs_bytes),
                    direction: None,
                    window: from..from + kept,
                })
            }
            _ => return Err(Cause::Malformed(name(kind))),
        };
        input.consume(length);
        Ok(read)
    }

    fn describe(
        &mut self,
        block: &InterfaceDescriptionBlock<'_>,
        interfaces: &mut Interfaces,
    ) -> Result<(), Cause> {
        let name = block
            .options
            .iter()
            .find(|option| option.code == OptionCode::IfName)
            .and_then(|option| option.as_bytes().ok())
            .map(|name| String::from_utf8_lossy(name))
            .map(|name| name.trim_end_matches('\0').to_owned())
            .filter(|name| !name.is_empty());
        let value = |code| {
            let option = block.options.iter().find(|option| option.code == code)?;
            option.as_bytes().ok()
        };
        let offset = value(TIME_OFFSET)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, |bytes: [u8; 8]| {
                if self.is_big_endian {
                    i64::from_be_bytes(bytes)
                } else {
                    i64::from_le_bytes(bytes)
                }
            });
        let fcs_bytes = match value(FCS_LENGTH) {
            // In bits, says the format; some write bytes.
            Some([bits]) if *bits >= 8 => u32::from(*bits) / 8,
            Some([bytes]) => u32::from(*bytes),
            _ => 0,
        };
        let link_type = block.linktype.0;
        let same = self
            .same
            .entry((name.clone().unwrap_or_default(), link_type))
            .or_insert(0);
        let described = interfaces.describe(name, link_type, *same)?;
        *same += 1;
        self.section.push(SectionInterface {
            described,
            clock: Clock::new(block.if_tsresol, offset)
                .ok_or(Cause::Resolution(block.if_tsresol))?,
            snaplen: block.snaplen,
            fcs_bytes,
        });
        Ok(())
    }
}

fn name(kind: u32) -> &'static str {
    match kind {
        SECTION_HEADER => "the header of a section",
        INTERFACE_DESCRIPTION => "the description of an interface",
        _ => "a packet block",
    }
}

/// Goes past a block of any length that is not read.
fn skip(input: &mut Input, is_big_endian: bool, length: u32) -> Result<(), Cause> {
    if !input.skip(u64::from(length) - 4)? || !input.fill(4)? {
        return Err(Cause::Cut("a block"));
    }
    if number(is_big_endian, input.available(), 0) != length {
        return Err(Cause::Malformed("the end of a block"));
    }
    input.consume(4);
    Ok(())
}

/// An obsolete block of a packet is an enhanced one, but for its type and that a count of drops follows a shorter number of the interface.
fn make_enhanced(block: &mut [u8], is_big_endian: bool) {
    let word = |value: u32| {
        if is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let Some([first, second]) = block.get(8..10).and_then(|bytes| bytes.first_chunk()) else {
        return;
    };
    let interface = if is_big_endian {
        u16::from_be_bytes([*first, *second])
    } else {
        u16::from_le_bytes([*first, *second])
    };
    if let Some(place) = block.get_mut(8..12) {
        place.copy_from_slice(&word(interface.into()));
    }
    if let Some(place) = block.get_mut(..4) {
        place.copy_from_slice(&word(ENHANCED_PACKET));
    }
}

#[derive(Default)]
struct Flags {
    direction: Option<Direction>,
    fcs_bytes: Option<u32>,
}

fn flags(options: &[PcapNGOption<'_>], is_big_endian: bool) -> Flags {
    let value = options
        .iter()
        .find(|option| option.code == FLAGS)
        .and_then(|option| option.as_bytes().ok());
    let Some(value @ [_, _, _, _]) = value else {
        return Flags::default();
    };
    let flags = number(is_big_endian, value, 0);
    Flags {
        direction: match flags & 3 {
            1 => Some(Direction::Ingress),
            2 => Some(Direction::Egress),
            _ => None,
        },
        // 0: it does not say.
        fcs_bytes: Some(flags >> 5 & 0xf).filter(|bytes| *bytes > 0),
    }
}
