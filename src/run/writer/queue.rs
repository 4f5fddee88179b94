//! The queue of output, and the thread that writes it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::target::{Target, Wrong};
use crate::run::stop;

/// How often somebody who waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// A reader that took nothing for this time hangs: the run does not wait for it.
const STANDSTILL: Duration = Duration::from_millis(200);
/// How long the run waits for room at a time, if the reader takes something.
const AT_A_TIME: Duration = Duration::from_secs(1);
/// How often a message tells that something was lost.
const NEWS: Duration = Duration::from_secs(60);

/// Whole lines.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

impl Chunk {
    pub fn new(bytes: Vec<u8>) -> Self {
        let lines = lines(&bytes);
        Self { bytes, lines }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// How long room, or the last line, is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// The run continues: it does not wait for a reader that hangs.
    Short,
    /// It ends: as long as an end may take.
    End,
    /// For ever.
    Endless,
}

/// What is between the loop and the thread.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something has changed.
    changed: Condvar,
    room: usize,
    is_patient: bool,
    /// Of what is written to.
    name: String,
}

/// What is still to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub lines: u64,
    /// No more come.
    pub is_all: bool,
}

/// Is told about what waits, which may be nothing any more.
pub(super) type Call = Box<dyn FnMut(Waiting) + Send>;

struct State {
    /// Until the thread begins.
    target: Option<Target>,
    chunks: VecDeque<Chunk>,
    /// Of these, and of the one that is being written.
    bytes: usize,
    lines: u64,
    /// When the reader last took something.
    moved: Instant,
    /// Nothing can be written any more.
    error: Option<(io::ErrorKind, String)>,
    reopens: bool,
    is_given_up: bool,
    lost: u64,
    /// How much of that was said, and when.
    said: u64,
    said_at: Option<Instant>,
    messages: Vec<String>,
    call: Option<Call>,
}

impl Queue {
    pub fn new(target: Target, room: usize, is_patient: bool) -> Self {
        let name = target.to_string();
        Self {
            state: Mutex::new(State {
                target: Some(target),
                chunks: VecDeque::new(),
                bytes: 0,
                lines: 0,
                moved: Instant::now(),
                error: None,
                reopens: false,
                is_given_up: false,
                lost: 0,
                said: 0,
                said_at: None,
                messages: Vec::new(),
                call: None,
            }),
            changed: Condvar::new(),
            room,
            is_patient,
            name,
        }
    }

    fn given_up(&self) -> io::Error {
        let text = format!(
            "cannot write to {}: its reader takes nothing, or too slowly. The rest is lost",
            self.name
        );
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread shall write to, unless it has begun.
    pub fn take_target(&self) -> Option<Target> {
        self.state().target.take()
    }

    pub fn while_waiting(&self, call: Call) {
        self.state().call = Some(call);
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.state().bytes == 0
    }

    /// The name of what is written to.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn reopen(&self) {
        self.state().reopens = true;
        self.changed.notify_all();
    }

    pub fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut self.state().messages)
    }

    /// How many lines are lost, if that is to be said.
    pub fn news_of_losses(&self, is_over: bool) -> Option<u64> {
        let mut state = self.state();
        let is_due = state.said_at.is_none_or(|said| said.elapsed() >= NEWS);
        if state.lost == state.said || !(is_due || is_over) {
            return None;
        }
        state.said = state.lost;
        state.said_at = Some(Instant::now());
        Some(state.lost)
    }

    /// An error if nothing can be written any more.
    pub fn look(&self) -> io::Result<()> {
        self.state().ok()
    }

    /// Takes lines, when there is room or they can wait for it. Else they are lost.
    pub fn push(&self, chunk: Chunk) -> io::Result<()> {
        let began = Instant::now();
        let mut state = self.state();
        loop {
            state.ok()?;
            let has_room = state.bytes == 0 || state.bytes + chunk.bytes.len() <= self.room;
            if has_room && !state.is_given_up {
                if state.bytes == 0 {
                    // It did not stand still: there was nothing.
                    state.moved = Instant::now();
                }
                state.bytes += chunk.bytes.len();
                state.lines += chunk.lines;
                state.chunks.push_back(chunk);
                self.changed.notify_all();
                return Ok(());
            }
            let patience = match (self.is_patient, stop::has_begun()) {
                (_, true) => Patience::End,
                (true, false) => Patience::Endless,
                (false, false) => Patience::Short,
            };
            if state.is_given_up || state.gives_up(patience, began) {
                state.lost += chunk.lines;
                if patience != Patience::End {
                    return Ok(());
                }
                state.is_given_up = true;
                return Err(self.given_up());
            }
            state = self.wait(state, Some(chunk.lines));
        }
    }

    /// Waits until all is written. What is given up is lost, which is an error.
    pub fn finish(&self) -> io::Result<()> {
        let (patience, began) = (Patience::End, Instant::now());
        let mut state = self.state();
        while state.bytes > 0 {
            state.ok()?;
            if state.is_given_up || state.gives_up(patience, began) {
                state.is_given_up = true;
                state.lost += std::mem::take(&mut state.lines);
                return Err(self.given_up());
            }
            state = self.wait(state, None);
        }
        state.ok()
    }

    /// Waits for a moment, or until something changes; this number of lines comes, and perhaps more.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        coming: Option<u64>,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, LOOK);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Not under the lock: it may ask how much waits.
        if stop::has_begun()
            && let Some(mut call) = state.call.take()
        {
            let waiting = Waiting {
                lines: state.lines + coming.unwrap_or_default(),
                is_all: coming.is_none(),
            };
            drop(state);
            call(waiting);
            state = self.state();
            state.call = Some(call);
        }
        state
    }

    /// The thread: writes all that comes, for ever.
    pub fn write_to(&self, mut target: Target) {
        loop {
            let (chunk, reopens) = self.next();
            if reopens && let Err(message) = target.reopen() {
                self.state().messages.push(message);
            }
            let Some(Chunk { bytes, .. }) = chunk else {
                continue;
            };
            let goes_on = || !self.state().is_given_up;
            let (written, outcome) = target.write(&bytes, &goes_on, &mut |taken| {
                let mut state = self.state();
                state.bytes -= taken.len();
                state.lines = state.lines.saturating_sub(lines(taken));
                state.moved = Instant::now();
                self.changed.notify_all();
            });
            self.settle(&bytes[written..], outcome);
        }
    }

    fn next(&self) -> (Option<Chunk>, bool) {
        let mut state = self.state();
        loop {
            let reopens = std::mem::take(&mut state.reopens);
            let chunk = if state.is_given_up {
                None
            } else {
                state.chunks.pop_front()
            };
            if reopens || chunk.is_some() {
                return (chunk, reopens);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was not written of a chunk is lost, and where nothing can be written any more that is known.
    fn settle(&self, rest: &[u8], outcome: Result<(), Wrong>) {
        let mut state = self.state();
        state.bytes -= rest.len();
        let left = lines(rest);
        match outcome {
            Ok(()) | Err(Wrong::Stopped) => {}
            Err(Wrong::Lost(message)) => {
                state.lines = state.lines.saturating_sub(left);
                state.lost += left;
                state.messages.extend(message);
            }
            Err(Wrong::Over(error)) => state.error = Some((error.kind(), error.to_string())),
        }
        self.changed.notify_all();
    }
}

impl State {
    fn ok(&self) -> io::Result<()> {
        match &self.error {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    /// Whether what has waited since then waits no longer.
    fn gives_up(&self, patience: Patience, began: Instant) -> bool {
        match patience {
            Patience::Endless => false,
            Patience::End => stop::gives_up(self.moved),
            Patience::Short => self.moved.elapsed() >= STANDSTILL || began.elapsed() >= AT_A_TIME,
        }
    }
}
