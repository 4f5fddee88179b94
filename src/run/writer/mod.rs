//! Hands the output of a run to a thread, so that a reader that hangs blocks neither the run nor its end.
//!
//! Outputs write lines into [`Lines`], which hands them over in pieces of whole lines. What waits is bounded: what finds no room is
//! dropped and counted. At the end of a run it is waited for, as long as `stop` says.

mod file;
mod queue;
mod target;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) use file::{OutputFile, open_anew};
use queue::{Chunk, Queue, Waiting};
pub(super) use target::Target;

use super::systemd::Pulse;
use crate::console::say;
use crate::model::text::Grouped;

/// How much is handed over at once, without an earlier flush.
const PIECE: usize = 1 << 16;
/// How often a message tells how much is still to be written at the end.
const PROGRESS: Duration = Duration::from_secs(1);

/// Takes lines, and hands them over when it is flushed or has many.
pub(super) struct Lines {
    writer: Writer,
    buffer: Vec<u8>,
    /// Bytes of it that are whole lines: looked for in what is new alone, as a line may come in thousands of pieces.
    whole: usize,
}

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    is_stdout: bool,
    folder: Option<PathBuf>,
}

/// Writes to this target; at most this number of bytes may wait for it. It writes nothing before it gets the first lines. A `patient`
/// one waits for its reader for ever: what it writes is all that the run is for.
pub(super) fn open(target: Target, room: usize, is_patient: bool) -> (Lines, Writer) {
    let writer = Writer {
        is_stdout: target.is_stdout(),
        folder: target.folder(),
        queue: Arc::new(Queue::new(target, room, is_patient)),
    };
    let lines = Lines {
        writer: writer.clone(),
        buffer: Vec::with_capacity(2 * PIECE),
        whole: 0,
    };
    (lines, writer)
}

impl Lines {
    /// Hands over this number of bytes, which end with a line.
    fn hand_over(&mut self, length: usize) -> io::Result<()> {
        let rest = self.buffer.split_off(length);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        self.whole = 0;
        self.writer.start()?;
        self.writer.queue.push(Chunk::new(bytes))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.buffer.len() + end + 1;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE && self.whole > 0 {
            self.hand_over(self.whole)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            self.writer.queue.look()
        } else {
            self.hand_over(self.buffer.len())
        }
    }
}

impl Writer {
    /// With the first lines: the process has given up its rights by then, which each thread has for itself.
    fn start(&self) -> io::Result<()> {
        let Some(target) = self.queue.take_target() else {
            return Ok(());
        };
        let queue = Arc::clone(&self.queue);
        thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || queue.write_to(target))?;
        Ok(())
    }

    /// Whether it writes to standard output.
    pub fn is_stdout(&self) -> bool {
        self.is_stdout
    }

    /// Where the file is, and is made again when it was moved away.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    /// Opens the file anew: it was moved away. What was handed over before may go into either.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// What is called about each 50 ms while an end waits for the reader.
    pub fn while_waiting(&self, pulse: Pulse, is_quiet: bool) {
        let name = self.queue.name().to_owned();
        let (mut pulse, mut said) = (pulse, Instant::now());
        self.queue.while_waiting(Box::new(move |waiting| {
            let now = Instant::now();
            pulse.alive(now);
            if !is_quiet
                && now.saturating_duration_since(said) >= PROGRESS
                && let Some(message) = waiting.message(&name)
            {
                said = now;
                say(format_args!("{message}"));
            }
        }));
    }

    /// Says what was lost, and what went wrong, since the last time.
    pub fn say_messages(&self, is_over: bool) {
        for message in self.queue.take_messages() {
            say(format_args!("{message}"));
        }
        if let Some(lost) = self.queue.news_of_losses(is_over) {
            say(format_args!(
                "{} lines for {} are lost so far: they came faster than they could be written",
                Grouped(lost),
                self.queue.name()
            ));
        }
    }

    /// Waits until all is written, as long as an end may take. The error says that the rest is lost.
    pub fn finish(&self) -> io::Result<()> {
        self.queue.finish()
    }
}

impl Waiting {
    /// The message about it, unless nothing waits.
    fn message(self, target: &str) -> Option<String> {
        let lines = Grouped(self.lines);
        let number = match self {
            Self { lines: 0, .. } => return None,
            Self {
                lines: 1,
                is_all: true,
            } => "1 line is".to_owned(),
            Self { is_all: true, .. } => format!("{lines} lines are"),
            Self { is_all: false, .. } => format!("{lines} lines and more are"),
        };
        Some(format!("{number} still to be written to {target}"))
    }
}
