//! Captures, read frame by frame: pcap and pcapng, packed or not, from files and pipes.
//!
//! What link types say before an IP packet is taken off or made an Ethernet header, so that each frame begins as the interface itself
//! has it, and is as long. Inside, error <- `zstd` <- unpack <- input <- pcap, times, link <- interfaces <- pcapng; formats only in
//! `pcap` and `pcapng`, crates of packing only in `unpack` and `zstd`.

mod error;
mod input;
mod interfaces;
mod link;
mod pcap;
mod pcapng;
mod times;
mod unpack;
mod zstd;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::model::Direction;
use error::{Cause, Place};
use input::Input;
use interfaces::Interfaces;
use link::HEADER_MAX;
use pcap::Pcap;
use pcapng::Pcapng;
use unpack::Unpacked;

pub use error::ReadError;

/// The longest frame that is read, in bytes: no tool keeps more of one (libpcap's `MAXIMUM_SNAPLEN`).
const FRAME_MAX: u32 = 262_144;
/// What stands for a packet that is not IP where only its link said so: a version that is none.
const NO_IP: u8 = 0;
/// The name of interfaces of standard input that have none.
const NAMELESS: &str = "capture";

/// What a frame's data begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
}

/// An interface whose frames a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedInterface {
    /// As the file has it (a stranger wrote it); the file's own name where it has none; `if2` where only an index is known. Several may
    /// have the same.
    pub name: String,
    /// Whether the file says which interface it is: a pcap file never does, but for the index in Linux cooked frames of the second kind.
    pub is_named: bool,
    /// What its frames begin with.
    pub link: Link,
    /// The number of the link type that they have in the file (`LINKTYPE_`).
    pub link_type: i32,
}

/// A frame that was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Nanoseconds since 1970, less than 2^63. It may step back from one frame to the next. Where the file has no time for a frame, it is
    /// that of the frame before.
    pub time_ns: u64,
    /// Which of [`Reader::interfaces`].
    pub interface: usize,
    /// What `data` begins with, as the interface says.
    pub link: Link,
    /// Received, where the file does not say.
    pub direction: Direction,
    /// Bytes as the interface counts them: with its own link's header, without a check sequence. At least those of `data`.
    pub wire_bytes: u32,
    /// The first of these bytes, as many as were kept.
    pub data: &'a [u8],
    /// The header of the file's link type, where `data` begins behind it or has another in its place; else empty.
    pub header: &'a [u8],
    /// How many of the first bytes of `data` are not in the file: they were made from `header`.
    pub made: usize,
    /// Whether the file says the direction.
    pub says_direction: bool,
}

/// Frames of an interface that cannot be read: of a link type that is not known, or cut within its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut<'a> {
    /// The interface, as the file names it.
    pub interface: &'a str,
    /// The number that the format has for its link type.
    pub link_type: i32,
    /// How many.
    pub frames: u64,
}

/// A frame as the file has it.
struct Raw {
    /// Which of the interfaces that the file describes.
    described: usize,
    time_ns: u64,
    wire_bytes: u32,
    /// Bytes of a check sequence at its end; that of the file where it does not say.
    fcs_bytes: Option<u32>,
    direction: Option<Direction>,
    /// Where its data stands in the input's window.
    window: Range<usize>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Reads a capture, frame by frame.
///
/// After an error there is nothing more: it is one error for a file. Give it to a thread of its own where something else must go on while
/// a pipe is silent.
pub struct Reader {
    file: String,
    input: Input,
    format: Format,
    interfaces: Interfaces,
    /// Bytes of a check sequence that the file's header says all frames have.
    fcs_bytes: u32,
    /// The first bytes of the latest frame, as the file has them.
    first: [u8; HEADER_MAX],
    is_over: bool,
}

impl Reader {
    /// Opens a file, or standard input (`-`), and reads its header: that waits where it is a pipe.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        if path.as_os_str() == "-" {
            let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            let unpacked = input.map_err(Cause::Io).and_then(Unpacked::file);
            return Self::begin("standard input", NAMELESS, unpacked);
        }
        let unpacked = File::open(path).map_err(Cause::Io).and_then(Unpacked::file);
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self::begin(&path.to_string_lossy(), &name.to_string_lossy(), unpacked)
    }

    /// Reads what is at hand; errors call it `name`.
    pub fn new(name: &str, input: impl Read + Send + 'static) -> Result<Self, ReadError> {
        Self::begin(name, NAMELESS, Unpacked::new(input, None))
    }

    fn begin(
        file: &str,
        nameless: &str,
        unpacked: Result<Unpacked, Cause>,
    ) -> Result<Self, ReadError> {
        let whole = |cause| ReadError {
            file: file.to_owned(),
            place: Place::Whole,
            cause,
        };
        let mut reader = Self {
            file: file.to_owned(),
            input: Input::new(unpacked.map_err(whole)?),
            format: Format::Pcapng(Pcapng::default()),
            interfaces: Interfaces::new(nameless.to_owned()),
            fcs_bytes: 0,
            first: [0; HEADER_MAX],
            is_over: false,
        };
        match reader.recognize() {
            Ok(()) => Ok(reader),
            Err(cause) => Err(match cause {
                Cause::Empty | Cause::NoCapture | Cause::LinkType(_) => whole(cause),
                cause => reader.failed(cause),
            }),
        }
    }

    fn recognize(&mut self) -> Result<(), Cause> {
        // A file of less than this is seen to be cut by what reads its header.
        let is_there = self.input.fill(4)?;
        let first = self.input.available();
        if Pcap::is_one(first) {
            let (pcap, only) = Pcap::open(&mut self.input)?;
            if link::LinkType::from_number(only.link_type).is_none() {
                return Err(Cause::LinkType(only.link_type));
            }
            self.interfaces.describe(None, only.link_type, 0)?;
            self.fcs_bytes = only.fcs_bytes;
            self.format = Format::Pcap(pcap);
        } else if !Pcapng::is_one(first) {
            return Err(match first {
                [] if !is_there => Cause::Empty,
                _ => Cause::NoCapture,
            });
        }
        Ok(())
    }

    fn failed(&mut self, cause: Cause) -> ReadError {
        self.is_over = true;
        let is_cut = matches!(cause, Cause::Cut(_) | Cause::Io(_) | Cause::Unpack(..));
        ReadError {
            file: self.file.clone(),
            place: self.input.place(is_cut),
            cause,
        }
    }

    /// The next frame, or none at the end and after an error. Waits for a pipe.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows the reader's buffer, which no iterator's items do"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        if self.is_over {
            return Ok(None);
        }
        match self.next_range() {
            Ok(Some((frame, window, header))) => Ok(Some(Frame {
                data: self.input.window(window),
                header: &self.first[..header],
                ..frame
            })),
            Ok(None) => {
                self.is_over = true;
                Ok(None)
            }
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// A frame without its data, where that stands, and how many bytes of the file's header it has lost.
    fn next_range(&mut self) -> Result<Option<(Frame<'static>, Range<usize>, usize)>, Cause> {
        loop {
            let raw = match &mut self.format {
                Format::Pcap(pcap) => pcap.next(&mut self.input)?,
                Format::Pcapng(pcapng) => pcapng.next(&mut self.input, &mut self.interfaces)?,
            };
            let Some(raw) = raw else { return Ok(None) };
            let data = self.input.window(raw.window.clone());
            let Some(kind) = self.interfaces.kind(raw.described) else {
                self.interfaces.leave_out(raw.described);
                continue;
            };
            let first = data.len().min(HEADER_MAX);
            self.first[..first].copy_from_slice(&data[..first]);
            let Some(stripped) = kind.strip(data) else {
                self.interfaces.leave_out(raw.described);
                continue;
            };
            let kept = data.len();
            if stripped.is_not_ip
                && let Some(first) = data.get_mut(stripped.from)
            {
                *first = NO_IP;
            }
            let fcs_bytes = raw.fcs_bytes.unwrap_or(self.fcs_bytes);
            let wire = raw.wire_bytes.max(u32::try_from(kept).unwrap_or(FRAME_MAX));
            let wire_bytes = wire.saturating_sub(stripped.less).saturating_sub(fcs_bytes);
            let length = (kept - stripped.from).min(wire_bytes as usize);
            let from = raw.window.start + stripped.from;
            let frame = Frame {
                time_ns: raw.time_ns,
                interface: self
                    .interfaces
                    .of(raw.described, stripped.index, stripped.link)?,
                link: stripped.link,
                direction: match (raw.direction, stripped.is_sent) {
                    (Some(direction), _) => direction,
                    (None, Some(true)) => Direction::Egress,
                    (None, _) => Direction::Ingress,
                },
                wire_bytes,
                data: &[],
                header: &[],
                made: stripped.made.min(length),
                says_direction: raw.direction.is_some() || stripped.is_sent.is_some(),
            };
            let header = stripped.from + stripped.made;
            return Ok(Some((frame, from..from + length, header)));
        }
    }

    /// The interfaces of the frames so far. More may come with the next.
    #[must_use]
    pub fn interfaces(&self) -> &[CapturedInterface] {
        self.interfaces.found()
    }

    /// What interfaces are called that the file has no names of; none where it may have some (pcapng).
    #[must_use]
    pub fn nameless(&self) -> Option<&str> {
        match self.format {
            Format::Pcap(_) => Some(self.interfaces.nameless()),
            Format::Pcapng(_) => None,
        }
    }

    /// The frames so far that could not be read.
    pub fn left_out(&self) -> impl Iterator<Item = LeftOut<'_>> {
        self.interfaces.left_out()
    }

    /// Bytes that were read of the file itself, packed as it is. Somewhat ahead of the frames.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.input.source().read_bytes()
    }

    /// Bytes that the file has; none for a pipe.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.input.source().total_bytes()
    }
}

#[cfg(test)]
mod tests;
