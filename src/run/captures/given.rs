//! Frames of a capture that is read (`-r`): they wait in the loop until it is known whether they are wanted.
//!
//! None is ever lost: where too much waits, connections are judged before the next tick; and where the thread cannot write as fast as frames
//! are read, reading waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::shared::{About, Taken};
use crate::bpf::Frame;
use crate::model::{ConnectionId, Ifindex, Place, PlaceMap};
use crate::plan::WAITING_FRAMES;

/// How many bytes wait for a decision at most.
const UNDECIDED: usize = WAITING_FRAMES / 2;
/// While this number of bytes waits for the thread, no more frames are read.
const UNWRITTEN: usize = WAITING_FRAMES / 4;

/// Those that wait.
#[derive(Default)]
pub(super) struct Given {
    waiting: VecDeque<(Frame, u64)>,
    bytes: usize,
    /// What frames of each interface begin with (`LINKTYPE_`).
    pub link_types: HashMap<Ifindex, u16>,
    /// Those that the thread was told of.
    pub interfaces: HashSet<Ifindex>,
}

impl Given {
    /// One has come, seen at this time.
    pub fn push(&mut self, frame: Frame, unix_ns: u64) {
        self.bytes += bytes_of(&frame);
        self.waiting.push_back((frame, unix_ns));
    }

    /// Whether they are to be judged before the next tick.
    pub fn is_full(&self) -> bool {
        self.bytes > UNDECIDED
    }

    /// The connections that they are of and that are not among these.
    pub fn unknown(&self, judged: &PlaceMap<Arc<About>>) -> Vec<(Place, ConnectionId)> {
        let all = self.waiting.iter().map(|(frame, _)| frame);
        all.filter(|frame| about(judged, frame).is_none())
            .map(|frame| (frame.place, frame.connection))
            .collect()
    }

    /// Takes out those of known connections and interfaces, up to the first that is not; those that are wanted.
    pub fn take(&mut self, judged: &PlaceMap<Arc<About>>) -> Vec<Taken> {
        let mut wanted = Vec::new();
        while let Some((frame, unix_ns)) = self.waiting.pop_front() {
            let is_known = self.interfaces.contains(&frame.interface);
            let Some(about) = about(judged, &frame).filter(|_| is_known) else {
                self.waiting.push_front((frame, unix_ns));
                break;
            };
            self.bytes -= bytes_of(&frame);
            if about.wanted {
                let about = Arc::clone(about);
                wanted.push(Taken {
                    frame,
                    unix_ns,
                    about,
                });
            }
        }
        wanted
    }

    /// Nothing that waits passed before that.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.waiting.front().map(|(frame, _)| frame.ns)
    }
}

/// Whether the thread has so far to go that the loop must wait.
pub(super) fn is_too_much(unwritten: usize) -> bool {
    unwritten > UNWRITTEN
}

fn bytes_of(frame: &Frame) -> usize {
    size_of::<(Frame, u64)>() + frame.bytes.len()
}

fn about<'a>(judged: &'a PlaceMap<Arc<About>>, frame: &Frame) -> Option<&'a Arc<About>> {
    let about = judged.get(frame.place);
    about.filter(|about| about.id == frame.connection)
}
