//! Standard output: if its reader has ended, that is no failure.

use std::io::{self, StdoutLock, Write};
use std::os::fd::AsFd as _;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::write;

/// Standard output, whose errors say that it is standard output. It has no buffer of its own. For what is written once; a run
/// has a writer of its own.
pub(crate) struct Stdout(StdoutLock<'static>);

impl Stdout {
    /// Held until it is dropped.
    pub(crate) fn lock() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&self.0, bytes).map_err(|error| named(&error.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of the same kind, so that what is no failure is still known.
pub(crate) fn named(error: &io::Error) -> io::Error {
    let kind = if is_hang_up(error) {
        io::ErrorKind::BrokenPipe
    } else {
        error.kind()
    };
    io::Error::new(kind, format!("cannot write to standard output: {error}"))
}

/// A closed pipe is a normal end: its reader has ended. So is a terminal that is gone.
pub(crate) fn ignore_closed_pipe(result: Result<()>) -> Result<()> {
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

/// Whether a write may have to wait for a reader.
pub(crate) fn can_wait() -> bool {
    kind() != SFlag::S_IFREG
}

fn kind() -> SFlag {
    let mode = fstat(io::stdout()).map_or(0, |found| found.st_mode);
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

/// Whether standard output is a pipe that nobody reads any more, or a terminal that has gone: found out before there is
/// something to write.
pub(crate) fn is_stdout_closed() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && descriptors[0]
            .revents()
            .is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
}
