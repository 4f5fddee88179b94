//! What is on its way to the terminal: the terminal takes what it can at once, the rest waits here. So a terminal that stands still
//! (Ctrl-S, a window that nobody reads) holds up nobody.
//!
//! What waits is one frame at most, and what keys add to it: the next frame is drawn when all of it is gone.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, tcflush};
use nix::unistd::write;

/// One for the process, as there is one terminal.
static WAITING: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// How many bytes a terminal takes at once, if it takes any: it does so from here on (`WAKEUP_CHARS` of `drivers/tty/n_tty.c`), and a
/// pseudoterminal has no smaller pieces. The descriptor may not be set to `O_NONBLOCK`, as the user's shell shares it.
const PIECE: usize = 256;
/// At the end, how long to wait for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Ends a sequence that was cut (CAN, ECMA-48).
const CANCEL: u8 = 0x18;

/// Takes all that is written; flushing hands it to the terminal.
pub(super) struct Outgoing;

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        waiting().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        pass_on().map(|_| ())
    }
}

/// Whether something waits for the terminal.
pub(super) fn waits() -> bool {
    !waiting().is_empty()
}

/// Hands to the terminal what it takes at once. Returns whether nothing is left.
pub(super) fn pass_on() -> io::Result<bool> {
    let mut waiting = waiting();
    let passed = pass(&waiting, Duration::ZERO);
    match passed {
        Ok(length) => drop(waiting.drain(..length)),
        // It is gone.
        Err(_) => waiting.clear(),
    }
    passed?;
    Ok(waiting.is_empty())
}

/// What waits is of no use any more: the view ends.
pub(super) fn forget() {
    let mut waiting = waiting();
    if !waiting.is_empty() {
        *waiting = vec![CANCEL];
    }
}

/// Waits until the terminal has the last that is for it. Where it takes nothing, this takes the place of what nobody has read yet.
/// There is nothing to be done about a terminal that is gone.
pub(super) fn finish() {
    let mut bytes = std::mem::take(&mut *waiting());
    if pass(&bytes, PATIENCE).is_ok_and(|passed| passed < bytes.len())
        && tcflush(io::stdout(), FlushArg::TCOFLUSH).is_ok()
    {
        bytes.insert(0, CANCEL);
        let _ = pass(&bytes, Duration::ZERO);
    }
}

/// Writes as long as the terminal takes something within the limit. Returns how many bytes.
fn pass(bytes: &[u8], limit: Duration) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() && takes_something(limit)? {
        let rest = &bytes[written..];
        match write(io::stdout(), &rest[..rest.len().min(PIECE)]) {
            Ok(length) => written += length,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

fn takes_something(limit: Duration) -> io::Result<bool> {
    let stdout = io::stdout();
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
        match poll(
            &mut descriptors,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn waiting() -> MutexGuard<'static, Vec<u8>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
