//! What others ask of the loop while it waits: one channel, which signals and threads send into.

use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

/// One thing that is asked of the loop.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// End the run.
    Stop,
}

/// The two ends: any number of callers, one loop.
pub(super) fn channel() -> (Sender<Call>, Receiver<Call>) {
    std::sync::mpsc::channel()
}

/// Lets signals wait until [`forward_signals`] takes them: what is attached meanwhile is then detached.
pub(super) fn hold_signals() -> Result<()> {
    ending_signals()
        .thread_block()
        .context("cannot hold signals back")
}

/// Calls the loop at SIGINT, SIGTERM and SIGHUP. Starts a thread: to be called when the process has given up its rights,
/// which each thread has for itself.
pub(super) fn forward_signals(caller: Sender<Call>) -> Result<()> {
    ctrlc::set_handler(move || {
        let _ = caller.send(Call::Stop);
    })
    .and_then(|()| Ok(ending_signals().thread_unblock()?))
    .context("cannot handle signals")
}

fn ending_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}
