//! Frames that come from the kernel's ring, each of which waits until it is known whether it is wanted.
//!
//! A frame waits until the loop has said whether its connection is wanted and what there is to say of it, which it does at its next tick;
//! all that come after it wait, too, so that a file is in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::Meta;
use super::shared::{About, Shared, Taken};
use crate::bpf::{Frame, FrameRing};
use crate::model::{ConnectionId, PlaceMap};
use crate::output::Clock;
use crate::plan::WAITING_FRAMES;

/// How long a frame waits for what the loop knows.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those that wait.
pub(super) struct Arrivals {
    ring: FrameRing,
    /// Whether the loop chooses among connections: what it has not judged is not written.
    chooses: bool,
    known: PlaceMap<Arc<About>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Connections that were asked about.
    asked: PlaceMap<ConnectionId>,
    /// Frames that were not judged in time.
    pub undecided: u64,
}

/// A frame that waits.
struct Waiting {
    frame: Frame,
    unix_ns: u64,
    since: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.frame.bytes.len()
    }
}

impl Arrivals {
    pub fn new(ring: FrameRing, chooses: bool) -> Self {
        Self {
            ring,
            chooses,
            known: PlaceMap::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            asked: PlaceMap::default(),
            undecided: 0,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what the ring has, or a part of it, and asks whose it is. Gives how many frames that were.
    pub fn take(&mut self, clock: &mut Clock, shared: &Shared) -> io::Result<usize> {
        clock.resample()?;
        let frames = self.ring.take().map_err(io::Error::other)?;
        let (count, now) = (frames.len(), Instant::now());
        for frame in frames {
            let unix_ns = clock.unix_ns(frame.ns);
            let is_known = self
                .known
                .get(frame.place)
                .is_some_and(|it| it.id == frame.connection);
            if !is_known && self.asked.get(frame.place) != Some(&frame.connection) {
                self.asked.insert(frame.place, frame.connection);
                let asked = (frame.place, frame.connection);
                shared.state().asked.push(asked);
            }
            let waiting = Waiting {
                frame,
                unix_ns,
                since: now,
            };
            self.waiting_bytes += waiting.bytes();
            self.waiting.push_back(waiting);
        }
        Ok(count)
    }

    /// What the loop has said.
    pub fn hear(&mut self, abouts: Vec<Arc<About>>) {
        for about in abouts {
            self.asked.remove(about.place);
            self.known.insert(about.place, about);
        }
    }

    /// The oldest one, where it is known whose it is, or that is waited for no longer. At the end nothing is.
    pub fn next(&mut self, meta: &Meta, is_end: bool) -> Option<Taken> {
        let waiting = self.waiting.pop_front()?;
        let Some(about) = self.about(&waiting, meta, is_end) else {
            self.waiting.push_front(waiting);
            return None;
        };
        self.waiting_bytes -= waiting.bytes();
        Some(Taken {
            frame: waiting.frame,
            unix_ns: waiting.unix_ns,
            about,
        })
    }

    fn about(&mut self, waiting: &Waiting, meta: &Meta, is_end: bool) -> Option<Arc<About>> {
        let frame = &waiting.frame;
        let about = self.known.get(frame.place);
        let about = about.filter(|about| about.id == frame.connection);
        if let Some(about) = about
            && meta.interfaces.contains_key(&frame.interface)
        {
            return Some(Arc::clone(about));
        }
        if waiting.since.elapsed() < PATIENCE && self.waiting_bytes <= WAITING_FRAMES && !is_end {
            return None;
        }
        if let Some(about) = about {
            return Some(Arc::clone(about));
        }
        if self.chooses {
            self.undecided += 1;
        }
        Some(Arc::new(About::nothing(
            frame.place,
            frame.connection,
            !self.chooses,
        )))
    }
}
