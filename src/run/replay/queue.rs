//! Frames of captures on their way from the thread that reads them to the loop, with what their files say of each. What waits is bounded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::capture::read::{CapturedInterface, Frame, ReadError};
use crate::model::Direction;

/// How many frames wait at most, and how many bytes of them.
const FRAMES: usize = 4096;
const BYTES: usize = 1 << 20;
/// If frames come as fast as they can be read, the loop is woken for this number.
const AT_ONCE: usize = 512;

/// A frame in a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub ns: u64,
    /// Which of all interfaces that the batches have told of.
    pub interface: usize,
    pub direction: Direction,
    /// Whether the file says it.
    pub says_direction: bool,
    pub wire_bytes: u32,
    /// Bytes of the file's own header, and how many of the bytes after it the header replaces ([`CapturedFrame`]).
    header: u8,
    made: u8,
    start: u32,
    bytes: u32,
}

impl Head {
    /// Of a frame that is in no batch yet.
    pub fn of(frame: &Frame<'_>) -> Self {
        Self {
            ns: frame.time_ns,
            interface: frame.interface,
            direction: frame.direction,
            says_direction: frame.says_direction,
            wire_bytes: frame.wire_bytes,
            header: u8::try_from(frame.header.len()).unwrap_or(0),
            made: u8::try_from(frame.made).unwrap_or(0),
            start: 0,
            bytes: 0,
        }
    }

    /// The same, with the number of the interface that all batches have.
    pub fn on(self, interface: usize) -> Self {
        Self { interface, ..self }
    }
}

/// The bytes of a frame, twice: as the programs know frames, and as the file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CapturedFrame<'a> {
    /// The header of the file's link type, and the frame as the interface had it, one behind the other.
    bytes: &'a [u8],
    header: usize,
    made: usize,
}

impl<'a> CapturedFrame<'a> {
    /// For the programs.
    pub fn data(&self) -> &'a [u8] {
        &self.bytes[self.header..]
    }

    /// The frame as it is in the file, at most this number of bytes.
    pub fn stored(&self, most: usize) -> Box<[u8]> {
        let (header, data) = self.bytes.split_at(self.header);
        let data = data.get(self.made..).unwrap_or_default();
        let header = &header[..header.len().min(most)];
        let data = &data[..data.len().min(most - header.len())];
        [header, data].concat().into()
    }

    /// How much longer the file has it.
    pub fn longer(&self) -> u32 {
        u32::try_from(self.header.saturating_sub(self.made)).unwrap_or(0)
    }
}

/// Some frames, in the order of their files.
#[derive(Debug, Default)]
pub(super) struct Batch {
    frames: Vec<Head>,
    bytes: Vec<u8>,
    /// Interfaces that no batch before has told of.
    pub interfaces: Vec<CapturedInterface>,
}

impl Batch {
    fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.interfaces.clear();
    }

    fn has_room(&self) -> bool {
        self.frames.len() < FRAMES && self.bytes.len() < BYTES
    }

    /// Each frame with its bytes.
    pub fn frames(&self) -> impl Iterator<Item = (Head, CapturedFrame<'_>)> {
        self.frames.iter().map(|head| {
            let start = head.start as usize;
            let frame = CapturedFrame {
                bytes: &self.bytes[start..start + head.bytes as usize],
                header: head.header.into(),
                made: head.made.into(),
            };
            (*head, frame)
        })
    }
}

#[derive(Default)]
struct State {
    batch: Batch,
    is_over: bool,
    /// The loop wants no more.
    is_closed: bool,
    error: Option<ReadError>,
    /// What is to be said at the end.
    notes: Vec<String>,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Frames.
    Some,
    /// None has come so far.
    Nothing,
    /// No more come.
    Over,
}

/// What both have.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    read_bytes: AtomicU64,
    /// How many bytes of a frame are needed.
    frame_bytes: usize,
    /// The loop is woken for this number of frames.
    at_once: usize,
}

impl Queue {
    /// For frames of which this number of bytes is needed. From a `pipe`, the loop gets each frame as soon as it comes.
    pub fn new(frame_bytes: usize, is_pipe: bool) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            read_bytes: AtomicU64::new(0),
            frame_bytes,
            at_once: if is_pipe { 1 } else { AT_ONCE },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop: takes the frames that have come, and waits for them for at most this time.
    pub fn take(&self, batch: &mut Batch, wait: Duration) -> Taken {
        batch.clear();
        let is_too_few = |state: &mut State| {
            let batch = &state.batch;
            batch.frames.len() < self.at_once && batch.has_room() && !state.is_over
        };
        let waited = self
            .changed
            .wait_timeout_while(self.state(), wait, is_too_few);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.batch.frames.is_empty() {
            return if state.is_over {
                Taken::Over
            } else {
                Taken::Nothing
            };
        }
        std::mem::swap(batch, &mut state.batch);
        self.changed.notify_all();
        Taken::Some
    }

    /// When the first frame was seen; waits for it. None where there is none.
    pub fn first_ns(&self) -> Option<u64> {
        let is_silent = |state: &mut State| state.batch.frames.is_empty() && !state.is_over;
        let waited = self.changed.wait_while(self.state(), is_silent);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        state.batch.frames.first().map(|head| head.ns)
    }

    /// Bytes that were read of all files.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }

    /// What was wrong with a file, once all are read.
    pub fn take_error(&self) -> Option<ReadError> {
        self.state().error.take()
    }

    /// What else is to be said of them.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().notes)
    }

    /// The loop wants no more.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// The thread: how many bytes of all files it has read.
    pub fn set_read_bytes(&self, bytes: u64) {
        self.read_bytes.store(bytes, Relaxed);
    }

    /// Hands over a frame when there is room for it; false where no more is wanted. Before `data`, there is the file's own header.
    pub fn push(
        &self,
        head: Head,
        [header, data]: [&[u8]; 2],
        news: Option<CapturedInterface>,
    ) -> bool {
        let mut state = self.state();
        while !state.batch.has_room() && !state.is_closed {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let batch = &mut state.batch;
        let start = u32::try_from(batch.bytes.len()).unwrap_or(u32::MAX);
        let data = &data[..data.len().min(self.frame_bytes)];
        batch.bytes.extend(header);
        batch.bytes.extend(data);
        batch.frames.push(Head {
            start,
            bytes: u32::try_from(header.len() + data.len()).unwrap_or(0),
            ..head
        });
        batch.interfaces.extend(news);
        let frames = batch.frames.len();
        let calls = frames == 1 || frames == AT_ONCE || !batch.has_room();
        let goes_on = !state.is_closed;
        drop(state);
        if calls {
            self.changed.notify_all();
        }
        goes_on
    }

    /// A file cannot be read any further. The first one that cannot is told of.
    pub fn fail(&self, error: ReadError) {
        self.state().error.get_or_insert(error);
    }

    /// All are read.
    pub fn end(&self, notes: Vec<String>) {
        let mut state = self.state();
        state.notes.extend(notes);
        state.is_over = true;
        self.changed.notify_all();
    }
}
