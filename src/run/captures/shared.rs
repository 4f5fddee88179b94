//! What lies between the loop and the thread that writes captures: what each wants from the other.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bpf::Frame;
use crate::model::{ConnectionId, Ifindex, Place};
use crate::run::stop;

use super::memory::Reason;

/// How often somebody who waits for the thread looks whether to go on.
const LOOK: Duration = Duration::from_millis(20);

/// What the loop knows of a connection whose frames have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub place: Place,
    pub id: ConnectionId,
    /// Whether its frames are to be kept.
    pub wanted: bool,
    /// Its comment, for its first frame in a file.
    pub comment: String,
}

impl About {
    /// Of a connection that nobody knows anything about.
    pub fn nothing(place: Place, id: ConnectionId, wanted: bool) -> Self {
        Self {
            place,
            id,
            wanted,
            comment: format!("conn {id}"),
        }
    }
}

/// A frame, the time on the wall at which it passed, and whose it is.
#[derive(Debug)]
pub(super) struct Taken {
    pub frame: Frame,
    pub unix_ns: u64,
    pub about: Arc<About>,
}

impl Taken {
    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.frame.bytes.len()
    }
}

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// By the clock of the connections.
    pub ns: u64,
    /// On the wall, in nanoseconds since 1970.
    pub unix_ns: u64,
}

/// An interface whose frames may come, and what it came to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub name: String,
    /// The number of what its frames begin with (`LINKTYPE_`).
    pub link_type: u16,
    /// Packets that passed since the run began.
    pub received: u64,
    /// Frames that were wanted and did not reach user space.
    pub lost: u64,
}

/// What the loop asks for.
#[derive(Debug)]
pub(super) enum Order {
    /// Write these frames of a capture, which are wanted; no others come that passed before this time.
    Write(Vec<Taken>, u64),
    /// Save what is in memory.
    Save(Reason),
    /// Open the file anew: it was moved away.
    Reopen,
    /// Take all that the kernel has, and ask about it.
    Drain,
    /// Write what there is, and end.
    Finish,
}

/// What became of the frames that reached user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// In a file.
    pub written: u64,
    /// Connections that have frames in them.
    pub connections: u64,
    /// Several packets, that the kernel had merged or not cut yet.
    pub merged: u64,
    /// They could not be written.
    pub unwritten: u64,
    /// It was not known in time whether they are wanted.
    pub undecided: u64,
    /// They came when there were as many files as were wanted.
    pub after: u64,
    /// Files that were begun.
    pub files: u64,
    /// Frames in memory, and those that have made room there since the latest file.
    pub memory: (u64, u64),
}

/// The two sides.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// All of it.
#[derive(Default)]
pub(super) struct State {
    pub abouts: Vec<Arc<About>>,
    pub interfaces: Option<HashMap<Ifindex, Known>>,
    pub orders: VecDeque<Order>,
    /// Connections that the thread has frames of and knows nothing about.
    pub asked: Vec<(Place, ConnectionId)>,
    pub messages: Vec<String>,
    pub done: Done,
    /// Where frames are, in words.
    pub files: String,
    /// Frames that wait to be written.
    pub waiting: usize,
    /// Bytes of those of a capture that were handed over.
    pub waiting_bytes: usize,
    pub is_drained: bool,
    /// There are as many files as were wanted.
    pub has_enough: bool,
    pub is_over: bool,
    /// Nothing can be written any more.
    pub error: Option<(io::ErrorKind, String)>,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn order(&self, order: Order) {
        self.state().orders.push_back(order);
        self.changed.notify_all();
    }

    /// Tells who waits that something has changed.
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// The thread: waits for this time, unless there are orders.
    pub fn rest(&self, pause: Duration) {
        let state = self.state();
        if state.orders.is_empty() {
            drop(
                self.changed
                    .wait_timeout(state, pause)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// The loop, at its end: until that is so, or it takes too long. Says whether it is.
    pub fn wait_until(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        let (mut waiting, mut moved) = (usize::MAX, Instant::now());
        loop {
            if is_so(&state) || state.is_over {
                return is_so(&state);
            }
            if state.waiting != waiting {
                (waiting, moved) = (state.waiting, Instant::now());
            }
            if stop::gives_up(moved) {
                return false;
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
