//! The thread: takes frames from the kernel's ring and writes them. So a disk that is slow, or a reader that stands still, holds up neither
//! the run nor the counting: what finds no room in the ring is counted by the kernel.
//!
//! A frame waits until the loop has said whether its connection is wanted and what there is to say of it, which it does at its next tick;
//! all that come after it wait, too, so that a file is in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::{Meta, Taken};
use super::memory::Memory;
use super::saved::Saved;
use super::shared::{About, Order, Shared};
use crate::bpf::{Frame, FrameRing};
use crate::model::{ConnectionId, PlaceMap};
use crate::output::Clock;
use crate::plan::WAITING_FRAMES;

/// Pauses between looks at the ring: short while something comes.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(8);
/// So long a frame waits for what the loop knows.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the thread owns.
pub(super) struct Worker {
    pub ring: FrameRing,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    /// Whether the loop chooses among connections: what it has not judged is not written.
    pub chooses: bool,
    pub meta: Meta,
    pub known: PlaceMap<Arc<About>>,
    pub waiting: VecDeque<Waiting>,
    pub waiting_bytes: usize,
    /// Connections that were asked about.
    pub asked: PlaceMap<ConnectionId>,
    /// Where frames go.
    pub saved: Option<Saved>,
    pub memory: Option<Memory>,
    /// Frames that were not judged in time.
    pub undecided: u64,
    pub ends: bool,
}

/// A frame that waits.
pub(super) struct Waiting {
    frame: Frame,
    unix_ns: u64,
    since: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.frame.bytes.len()
    }
}

impl Worker {
    /// Until the run is over, or nothing can be written any more.
    pub fn work(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let result = self.step();
            let taken = match result {
                Ok(taken) => taken,
                Err(error) => {
                    self.shared.state().error = Some((error.kind(), error.to_string()));
                    break;
                }
            };
            if self.ends {
                break;
            }
            if taken > 0 {
                pause = PAUSE_MIN;
            } else {
                self.shared.rest(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        self.shared.state().is_over = true;
        self.shared.notify();
    }

    /// Once around. Gives how many frames have come.
    fn step(&mut self) -> io::Result<usize> {
        let taken = self.take()?;
        self.exchange();
        self.settle()?;
        if let Some(saved) = &mut self.saved {
            saved.flush()?;
        }
        let now = self.now()?;
        if let Some(memory) = &mut self.memory {
            memory.look(&self.meta, now);
        }
        let orders = std::mem::take(&mut self.shared.state().orders);
        for order in orders {
            self.obey(&order)?;
        }
        self.report();
        Ok(taken)
    }

    /// Takes what the ring has, or a part of it.
    fn take(&mut self) -> io::Result<usize> {
        self.clock.resample()?;
        let frames = self.ring.take().map_err(io::Error::other)?;
        let (count, now) = (frames.len(), Instant::now());
        for frame in frames {
            let unix_ns = self.clock.unix_ns(frame.ns);
            let is_known = self
                .known
                .get(frame.place)
                .is_some_and(|it| it.id == frame.connection);
            if !is_known && self.asked.get(frame.place) != Some(&frame.connection) {
                self.asked.insert(frame.place, frame.connection);
                self.shared
                    .state()
                    .asked
                    .push((frame.place, frame.connection));
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
    fn exchange(&mut self) {
        let (abouts, interfaces) = {
            let mut state = self.shared.state();
            (std::mem::take(&mut state.abouts), state.interfaces.take())
        };
        for about in abouts {
            self.asked.remove(about.place);
            self.known.insert(about.place, Arc::new(about));
        }
        if let Some(interfaces) = interfaces {
            self.meta.interfaces = interfaces;
        }
    }

    /// Hands on what is known well enough, oldest first.
    fn settle(&mut self) -> io::Result<()> {
        while let Some(waiting) = self.waiting.pop_front() {
            let Some(about) = self.about(&waiting) else {
                self.waiting.push_front(waiting);
                break;
            };
            self.waiting_bytes -= waiting.bytes();
            let taken = Taken {
                frame: waiting.frame,
                unix_ns: waiting.unix_ns,
                about,
            };
            if !taken.about.wanted {
                continue;
            }
            if let Some(saved) = &mut self.saved {
                saved.add(&taken, &self.meta)?;
            }
            if let Some(memory) = &mut self.memory {
                memory.add(taken, &self.meta);
            }
        }
        Ok(())
    }

    /// Whose a frame is, if that is known or is waited for no longer.
    fn about(&mut self, waiting: &Waiting) -> Option<Arc<About>> {
        let frame = &waiting.frame;
        let about = self
            .known
            .get(frame.place)
            .filter(|about| about.id == frame.connection);
        if let Some(about) = about
            && self.meta.interfaces.contains_key(&frame.interface)
        {
            return Some(Arc::clone(about));
        }
        if waiting.since.elapsed() < PATIENCE && self.waiting_bytes <= WAITING_FRAMES && !self.ends
        {
            return None;
        }
        if let Some(about) = about {
            return Some(Arc::clone(about));
        }
        if self.chooses {
            self.undecided += 1;
        }
        Some(Arc::new(About {
            place: frame.place,
            id: frame.connection,
            wanted: !self.chooses,
            comment: format!("conn {}", frame.connection),
        }))
    }

    fn obey(&mut self, order: &Order) -> io::Result<()> {
        let now = self.now()?;
        match order {
            Order::Save(reason) => {
                // What the loop has said before is done before.
                self.exchange();
                self.settle()?;
                if let Some(memory) = &mut self.memory {
                    memory.save(reason, &self.meta, now);
                }
            }
            Order::Reopen => {
                if let Some(saved) = &mut self.saved {
                    saved.reopen(&self.meta, now)?;
                }
            }
            Order::Drain => {
                while self.take()? > 0 {
                    self.exchange();
                    self.settle()?;
                }
                self.shared.state().is_drained = true;
            }
            Order::Finish => {
                self.ends = true;
                self.exchange();
                self.settle()?;
                if let Some(memory) = &mut self.memory {
                    memory.end(&self.meta, now);
                }
                if let Some(saved) = &mut self.saved {
                    saved.end(&self.meta, now)?;
                }
            }
        }
        Ok(())
    }

    /// On the wall, in nanoseconds since 1970.
    fn now(&self) -> io::Result<u64> {
        Ok(self.clock.unix_ns(self.clock.now_ns()?))
    }

    fn report(&mut self) {
        let mut state = self.shared.state();
        state.waiting = self.waiting.len();
        if let Some(saved) = &mut self.saved {
            state.done = saved.done;
            state.has_enough = saved.has_enough;
            state.messages.append(&mut saved.messages);
        }
        state.done.undecided = self.undecided;
        if let Some(memory) = &mut self.memory {
            state.done.memory = memory.held();
            state.messages.append(&mut memory.messages);
        }
        drop(state);
        self.shared.notify();
    }
}
