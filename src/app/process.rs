//! The process around a run: messages, signals, and pipes that nobody reads any more.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A line on standard error. That nobody reads it is no reason to fail.
pub fn say(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "udptrack: {message}");
}

/// A closed pipe is a normal end: whoever reads has had enough.
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
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Receives something at SIGINT, SIGTERM and SIGHUP.
pub(super) fn stop_signal() -> Result<Receiver<()>> {
    let (sender, receiver) = channel();
    ctrlc::set_handler(move || {
        let _ = sender.send(());
    })
    .context("cannot handle signals")?;
    Ok(receiver)
}

/// Whether standard output is a pipe that nobody reads any more: found out before there is something to write.
pub(super) fn is_stdout_closed() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && descriptors[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}
