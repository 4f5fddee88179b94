//! Standard error: a reader that hangs (a stopped terminal, a paused pager) blocks nothing. What it does not take is dropped.

use std::io::{self, StderrLock, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

/// How many bytes a pipe or a terminal takes at once, if it takes any.
const PIECE: usize = 256;
/// How long a reader is waited for, in milliseconds.
const PATIENCE: u8 = 200;

/// Whether it took nothing the last time: it is not waited for again until it does.
static STANDS_STILL: AtomicBool = AtomicBool::new(false);

/// Standard error, held until it is dropped. Writing never fails: that nobody reads it is no reason to.
pub(crate) struct Stderr(StderrLock<'static>);

impl Stderr {
    pub(crate) fn lock() -> Self {
        Self(io::stderr().lock())
    }

    fn takes_something(&self) -> bool {
        let patience = if STANDS_STILL.load(Ordering::Relaxed) {
            0
        } else {
            PATIENCE
        };
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut descriptors, PollTimeout::from(patience)) != Ok(0);
        STANDS_STILL.store(!ready, Ordering::Relaxed);
        ready
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.takes_something() {
            return Ok(bytes.len());
        }
        match write(&self.0, &bytes[..bytes.len().min(PIECE)]) {
            Ok(length) => Ok(length),
            Err(Errno::EINTR) => Err(io::ErrorKind::Interrupted.into()),
            Err(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
