//! Standard output: a reader that has gone is no failure, and one that stands still holds up no end.

use std::io::{self, StdoutLock, Write};
use std::os::fd::AsFd as _;
use std::time::Instant;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::write;

use super::stop;

/// So much a pipe that takes anything takes at once (`PIPE_BUF`).
const PIECE: usize = 4096;
/// How often a write that waits looks whether the run is to end, in milliseconds.
const PAUSE: u8 = 50;

/// Standard output, whose errors say that it is standard output. It has no buffer of its own.
pub(super) struct Stdout {
    out: StdoutLock<'static>,
    kind: SFlag,
}

impl Stdout {
    /// Held until it is dropped.
    pub(super) fn lock() -> Self {
        let out = io::stdout().lock();
        let kind = kind();
        Self { out, kind }
    }

    /// Waits until the reader takes something. Not left to the write: nothing would end it.
    fn wait(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            if stop::gives_up(began) {
                // Nor is anything waited for that is written after this.
                stop::hurry();
                let text = "what reads it takes nothing, or too slowly: the rest is lost";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            let mut descriptors = [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut descriptors, PollTimeout::from(PAUSE)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let can_wait = self.kind != SFlag::S_IFREG;
        let piece = if can_wait {
            self.wait().map_err(|error| named(&error))?;
            bytes.len().min(PIECE)
        } else {
            bytes.len()
        };
        write(&self.out, &bytes[..piece]).map_err(|error| named(&error.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of the same kind, so that what is no failure is still known.
fn named(error: &io::Error) -> io::Error {
    let kind = if is_hang_up(error) {
        io::ErrorKind::BrokenPipe
    } else {
        error.kind()
    };
    io::Error::new(kind, format!("cannot write to standard output: {error}"))
}

/// A closed pipe is a normal end: whoever reads has had enough. So is a terminal that has gone.
pub(super) fn ignore_closed_pipe(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        other => other,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe || is_hang_up(cause))
}

/// What a terminal says when it is no longer there; a disk says the same of what is wrong with it.
fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EIO as i32) && kind() == SFlag::S_IFCHR
}

fn kind() -> SFlag {
    let mode = fstat(io::stdout()).map_or(0, |found| found.st_mode);
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

/// Whether standard output is a pipe that nobody reads any more, or a terminal that has gone: found out before there is
/// something to write.
pub(super) fn is_stdout_closed() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && descriptors[0]
            .revents()
            .is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
}
