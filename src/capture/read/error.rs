//! Why a capture cannot be read, or not to its end.

use std::fmt;
use std::io;

use crate::model::text::{Grouped, Visible};

/// What is wrong with a file, and where.
///
/// Its text names the file, the byte, the cause and, where there is one, the way out.
#[derive(Debug)]
pub struct ReadError {
    pub(super) file: String,
    pub(super) place: Place,
    pub(super) cause: Cause,
}

/// A byte of the file, or of what it unpacks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    Byte(u64),
    Unpacked(u64),
}

#[derive(Debug)]
pub(super) enum Cause {
    Io(io::Error),
    /// What the file is packed with, and what its library says.
    Unpack(&'static str, io::Error),
    /// Within what the file ends.
    Cut(&'static str),
    Empty,
    NoCapture,
    /// Packed with something else, and the command that unpacks it.
    Packed(&'static str),
    Version(u16, u16),
    LinkType(i32),
    /// A frame's length that no capture has.
    FrameLength(u32),
    /// A block's length that is no multiple of 4, too short, or above the bound.
    BlockLength(u32),
    /// What does not say what it must.
    Malformed(&'static str),
    NoInterface(u32),
    Resolution(u8),
    Time,
    TooManyInterfaces,
}

impl ReadError {
    /// Where it is wrong: a byte of the file or, where it is packed, of what it unpacks to. None where it is the whole file.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self.place {
            Place::Whole => None,
            Place::Byte(offset) | Place::Unpacked(offset) => Some(offset),
        }
    }

    /// Whether the file only ends too early: what was read is right.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match &self.cause {
            Cause::Cut(_) => true,
            Cause::Unpack(_, error) => error.kind() == io::ErrorKind::UnexpectedEof,
            _ => false,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Visible(&self.file))?;
        match self.place {
            Place::Whole => {}
            Place::Byte(offset) => write!(f, "byte {}: ", Grouped(offset))?,
            Place::Unpacked(offset) => write!(f, "byte {}, unpacked: ", Grouped(offset))?,
        }
        write!(f, "{}", self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Unpack(with, error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the {with} data ends too early")
            }
            Self::Unpack(with, error) => {
                write!(
                    f,
                    "the {with} data is damaged: {}",
                    Visible(&error.to_string())
                )
            }
            Self::Cut(within) => write!(f, "the file ends within {within}"),
            Self::Empty => f.write_str("the file is empty"),
            Self::NoCapture => {
                f.write_str("this is not a capture: it does not begin like pcap or pcapng")
            }
            Self::Packed(command) => write!(
                f,
                "udptrack unpacks gzip and zstd, but not this format: {command} FILE | udptrack -r -"
            ),
            Self::Version(major, minor) => write!(
                f,
                "version {major}.{minor} of the format is unknown; `editcap FILE NEW` may write a known one"
            ),
            Self::LinkType(number) => write!(
                f,
                "link type {number} is not supported; supported are Ethernet, raw IP, Linux cooked, null and loop, PPP, HDLC"
            ),
            Self::FrameLength(length) => {
                write!(
                    f,
                    "a frame of {} bytes: the file is damaged here",
                    Grouped((*length).into())
                )
            }
            Self::BlockLength(length) => {
                write!(
                    f,
                    "a block of {} bytes: the file is damaged here",
                    Grouped((*length).into())
                )
            }
            Self::Malformed(what) => write!(f, "{what} is malformed: the file is damaged here"),
            Self::NoInterface(index) => write!(
                f,
                "a frame of interface {index}, which is not described: the file is damaged here"
            ),
            Self::Resolution(byte) => write!(
                f,
                "times in units of {byte:#04x} (if_tsresol) cannot be read"
            ),
            Self::Time => f.write_str("a time before 1970 or after 2262: the file is damaged here"),
            Self::TooManyInterfaces => f.write_str("the file has too many interfaces"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
