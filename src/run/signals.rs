//! Signals to the loop while it waits: one channel, for those of the process and for threads.

use std::fs;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{self, SigSet};
use signal_hook::iterator::{Handle, Signals};

use super::stop;
use crate::export::Reply;

/// One thing that is asked of the loop.
#[derive(Debug)]
pub(super) enum Signal {
    /// End the run.
    Stop,
    /// Read the configuration files again, and open the output file anew.
    Reload,
    /// Say what the run has come to.
    Summary,
    /// Save the frames that are in memory.
    Save,
    /// Look what became of the interfaces.
    Links,
    /// Gather what a page of metrics says.
    Scrape(Reply),
}

/// The two ends: any number of callers, one loop.
pub(super) fn channel() -> (Sender<Signal>, Receiver<Signal>) {
    std::sync::mpsc::channel()
}

/// Lets signals wait until [`forward_signals`] takes them: what is attached meanwhile is then detached.
pub(super) fn hold_signals() -> Result<()> {
    our_signals()
        .thread_block()
        .context("cannot hold signals back")
}

/// How long the loop has to end in order after a second signal.
const LEAST: Duration = Duration::from_secs(1);

/// Calls the loop at SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2; SIGHUP ends the run where it has no file to read or open again.
/// `leave` takes away what the loop cannot, should it stand still. Starts threads: to be called when the process has given up its
/// rights, which each thread has for itself.
pub(super) fn forward_signals(
    caller: Sender<Signal>,
    reloads: bool,
    leave: impl Fn() + Clone + Send + 'static,
) -> Result<()> {
    let (interrupted, leave_then) = (caller.clone(), leave.clone());
    ctrlc::set_handler(move || stop(&interrupted, &leave_then)).context("cannot handle signals")?;
    let mut wanted = vec![
        signal::Signal::SIGTERM as i32,
        signal::Signal::SIGUSR1 as i32,
        signal::Signal::SIGUSR2 as i32,
    ];
    // nohup: who starts it wants it to outlive the terminal.
    if !is_ignored(signal::Signal::SIGHUP) {
        wanted.push(signal::Signal::SIGHUP as i32);
    }
    let mut signals = Signals::new(wanted).context("cannot handle signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let signal = match signal::Signal::try_from(signal) {
                    Ok(signal::Signal::SIGHUP) if reloads => Signal::Reload,
                    Ok(signal::Signal::SIGHUP) => {
                        // A terminal that hangs up may send several: none of them means that it is urgent.
                        stop::begin();
                        Signal::Stop
                    }
                    Ok(signal::Signal::SIGUSR1) => Signal::Summary,
                    Ok(signal::Signal::SIGUSR2) => Signal::Save,
                    _ => {
                        stop(&caller, &leave);
                        continue;
                    }
                };
                // The loop may have ended; a second signal is waited for all the same.
                let _ = caller.send(signal);
            }
        })
        .context("cannot start a thread for signals")?;
    our_signals()
        .thread_unblock()
        .context("cannot handle signals")
}

/// Asks the loop to end. The second time it has a moment for that, and then the process ends, whatever holds it up: its hooks
/// end with it.
fn stop(caller: &Sender<Signal>, leave: &impl Fn()) {
    let is_urgent = stop::press();
    let _ = caller.send(Signal::Stop);
    if is_urgent {
        thread::sleep(LEAST);
        leave();
        std::process::exit(1);
    }
}

/// A time in which SIGINT and SIGTERM end the process at once: nothing is attached yet, and what takes long cannot be called.
pub(super) struct Interruptible {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interruptible {
    /// Until it is dropped. `leave` takes away what there is of the run.
    pub fn begin(leave: impl FnOnce() + Send + 'static) -> Result<Self> {
        let wanted = [signal::Signal::SIGINT, signal::Signal::SIGTERM];
        let mut signals =
            Signals::new(wanted.map(|signal| signal as i32)).context("cannot handle signals")?;
        let handle = signals.handle();
        let thread = thread::Builder::new()
            .name("starting".to_owned())
            .spawn(move || {
                let wanted: SigSet = wanted.into_iter().collect();
                if wanted.thread_unblock().is_ok() && signals.forever().next().is_some() {
                    leave();
                    std::process::exit(0);
                }
            })
            .context("cannot start a thread for signals")?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.handle.close();
        // It has all rights still: it ends before they are given up.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whether the process was started with a signal ignored (`SigIgn`, see `proc_pid_status(5)`).
fn is_ignored(signal: signal::Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

fn our_signals() -> SigSet {
    [
        signal::Signal::SIGINT,
        signal::Signal::SIGTERM,
        signal::Signal::SIGHUP,
        signal::Signal::SIGUSR1,
        signal::Signal::SIGUSR2,
    ]
    .into_iter()
    .collect()
}
