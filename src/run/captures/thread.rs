//! The thread: takes frames and writes them. So a disk that is slow, or a reader that stands still, holds up neither the run nor the
//! counting: what finds no room in the kernel's ring is counted there. Frames of a capture come from the loop, which waits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::arrivals::Arrivals;
use super::capture::Meta;
use super::memory::Memory;
use super::saved::Saved;
use super::shared::{Now, Order, Shared, Taken};
use crate::output::Clock;

/// Pauses between looks at the ring: short while something comes.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(8);

/// Where frames come from.
pub(super) enum Frames {
    /// From the kernel.
    Kernel(Arrivals),
    /// From the loop, with orders; no others come that passed before this time.
    Loop(u64),
}

/// What the thread owns.
pub(super) struct Worker {
    pub frames: Frames,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    pub meta: Meta,
    /// Where frames go.
    pub saved: Option<Saved>,
    pub memory: Option<Memory>,
    pub ends: bool,
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
            self.obey(order)?;
        }
        self.report();
        Ok(taken)
    }

    /// Takes what the kernel has, or a part of it.
    fn take(&mut self) -> io::Result<usize> {
        match &mut self.frames {
            Frames::Kernel(arrivals) => arrivals.take(&mut self.clock, &self.shared),
            Frames::Loop(_) => Ok(0),
        }
    }

    /// What the loop has said.
    fn exchange(&mut self) {
        let (abouts, interfaces) = {
            let mut state = self.shared.state();
            (std::mem::take(&mut state.abouts), state.interfaces.take())
        };
        if let Frames::Kernel(arrivals) = &mut self.frames {
            arrivals.hear(abouts);
        }
        if let Some(interfaces) = interfaces {
            self.meta.interfaces = interfaces;
        }
    }

    /// Hands on what is known well enough, oldest first.
    fn settle(&mut self) -> io::Result<()> {
        while let Frames::Kernel(arrivals) = &mut self.frames
            && let Some(taken) = arrivals.next(&self.meta, self.ends)
        {
            if taken.about.wanted {
                self.write(taken)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, taken: Taken) -> io::Result<()> {
        if let Some(saved) = &mut self.saved {
            saved.add(&taken, &self.meta)?;
        }
        if let Some(memory) = &mut self.memory {
            memory.add(taken, &self.meta);
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Write(frames, until_ns) => {
                self.exchange();
                for taken in frames {
                    let bytes = taken.bytes();
                    self.write(taken)?;
                    let mut state = self.shared.state();
                    state.waiting -= 1;
                    state.waiting_bytes -= bytes;
                    state.has_enough = self.saved.as_ref().is_some_and(|it| it.has_enough);
                }
                self.frames = Frames::Loop(until_ns);
            }
            Order::Save(reason) => {
                // What the loop has said before is done before.
                self.exchange();
                self.settle()?;
                let now = self.now()?;
                if let Some(memory) = &mut self.memory {
                    memory.save(&reason, &self.meta, now);
                }
            }
            Order::Reopen => {
                let now = self.now()?;
                if let Some(saved) = &mut self.saved {
                    saved.reopen(&self.meta, now.unix_ns)?;
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
                let now = self.now()?.unix_ns;
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

    /// Now. Of a capture: the time that has been written.
    fn now(&self) -> io::Result<Now> {
        let ns = match &self.frames {
            Frames::Kernel(_) => self.clock.now_ns()?,
            Frames::Loop(until_ns) => *until_ns,
        };
        Ok(Now {
            ns,
            unix_ns: self.clock.unix_ns(ns),
        })
    }

    fn report(&mut self) {
        let mut state = self.shared.state();
        if let Some(saved) = &mut self.saved {
            state.done = saved.done;
            if self.ends {
                state.files = saved.files.in_words();
            }
            state.has_enough = saved.has_enough;
            state.messages.append(&mut saved.messages);
        }
        if let Frames::Kernel(arrivals) = &self.frames {
            state.waiting = arrivals.len();
            state.done.undecided = arrivals.undecided;
        }
        if let Some(memory) = &mut self.memory {
            state.done.memory = memory.held();
            state.messages.append(&mut memory.messages);
        }
        drop(state);
        self.shared.notify();
    }
}
