//! Where lines go: standard output, or a file that is opened anew when it was moved away (`--output-file`).

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

use super::file::{self, OutputFile};
use crate::console;

/// How many bytes a pipe takes at once, if it takes any (`PIPE_BUF`).
const PIECE: usize = 4096;
/// How often a write that waits looks whether it is still wanted, in milliseconds.
const PAUSE: u8 = 50;

/// Standard output, or a file.
pub(in crate::run) enum Target {
    /// Standard output; whether a write to it may have to wait.
    Stdout(io::Stdout, bool),
    /// `--output-file`.
    File(OutputFile),
}

/// Why a write did not come to its end.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Nobody wants it any more.
    Stopped,
    /// It is lost, and the next one may go well. The text, if it is to be said.
    Lost(Option<String>),
    /// Nor will any other.
    Over(io::Error),
}

impl Target {
    /// Standard output, unless it is to be a file.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        Ok(match path {
            None => Self::Stdout(io::stdout(), console::can_wait()),
            Some(path) => Self::File(OutputFile::open(path)?),
        })
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(..))
    }

    /// Where the file is, links followed.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Stdout(..) => None,
            Self::File(output) => Some(output.folder()),
        }
    }

    /// Opens the file again; the old one stays where that fails. The error is a message.
    pub(super) fn reopen(&mut self) -> Result<(), String> {
        let Self::File(output) = self else {
            return Ok(());
        };
        output
            .reopen()
            .map_err(|error| format!("{error:#}: udptrack continues to write to the old file"))
    }

    /// Writes whole lines, as long as somebody wants it. Gives how many bytes; `taken` is told of each piece.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        is_wanted: &dyn Fn() -> bool,
        taken: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<(), Wrong>) {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let piece = if self.can_wait() {
                match self.wait(is_wanted) {
                    Ok(()) => &rest[..rest.len().min(PIECE)],
                    Err(wrong) => return (written, Err(wrong)),
                }
            } else {
                rest
            };
            match write(self.descriptor(), piece) {
                Ok(length) => {
                    taken(&rest[..length]);
                    written += length;
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return (written, Err(self.wrong(error, &bytes[..written]))),
            }
        }
        if let Self::File(output) = self {
            output.well();
        }
        (written, Ok(()))
    }

    fn wrong(&mut self, error: Errno, written: &[u8]) -> Wrong {
        match self {
            Self::Stdout(..) => Wrong::Over(console::named(&error.into())),
            Self::File(output) => Wrong::Lost(output.failed(error, written)),
        }
    }

    /// Until the reader takes something. Not left to the write: nothing would end it.
    fn wait(&self, is_wanted: &dyn Fn() -> bool) -> Result<(), Wrong> {
        loop {
            let mut descriptors = [PollFd::new(self.descriptor(), PollFlags::POLLOUT)];
            match poll(&mut descriptors, PollTimeout::from(PAUSE)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Wrong::Over(error.into())),
            }
            if !is_wanted() {
                return Err(Wrong::Stopped);
            }
        }
    }

    fn can_wait(&self) -> bool {
        match self {
            Self::Stdout(_, can_wait) => *can_wait,
            Self::File(output) => output.can_wait(),
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout(stdout, _) => stdout.as_fd(),
            Self::File(output) => output.descriptor(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(..) => f.write_str("standard output"),
            Self::File(output) => f.write_str(&file::name(output.path())),
        }
    }
}
