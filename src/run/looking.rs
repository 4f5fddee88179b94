//! Looks at the sockets of this network namespace, and remembers them between looks.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::bpf::{Buffers, Sockets};
use crate::clock::{monotonic_ns, processor_time};
use crate::console::say;
use crate::model::Buffer;
use crate::process::Holders;
use crate::sockets::{Choice, Counters, Limits, Look, Snapshot, Watch};

/// A look is followed by a pause a hundred times as long: a hundredth of one core at most.
pub(super) const PAUSE_PER_LOOK: u32 = 100;

/// What it takes to look.
pub(super) struct Looking {
    buffers: Buffers,
    /// Who holds them, where this kernel can tell.
    holders: Option<Holders>,
    /// As they are elsewhere.
    limits: Limits,
    watch: Watch,
    /// When a run may look again.
    next: Instant,
    /// Nobody has seen a snapshot of the latest look.
    is_new: bool,
}

impl Looking {
    /// Loads what is needed. Needs all rights.
    pub fn start(limits: Limits) -> Result<Self> {
        Ok(Self {
            buffers: Buffers::load().context(CANNOT)?,
            holders: holders(),
            limits,
            watch: Watch::default(),
            next: Instant::now(),
            is_new: false,
        })
    }

    /// Takes a look.
    pub fn look(&mut self) -> Result<()> {
        let before = Counters::read();
        let readings = self.buffers.read().context(CANNOT)?;
        let look = Look {
            now_ns: monotonic_ns()?,
            before,
            after: Counters::read(),
            readings,
        };
        self.watch.look(&look);
        self.is_new = true;
        if let Some(holders) = &mut self.holders {
            let sockets = look.readings.iter().map(|reading| &reading.socket);
            if let Err(error) = holders.observe(sockets, look.now_ns) {
                say(format_args!("processes are no longer shown: {error}"));
                self.holders = None;
            }
        }
        Ok(())
    }

    /// The sockets as the latest look had them.
    pub fn snapshot(&mut self, choice: &Choice) -> Result<Snapshot> {
        let now_ns = monotonic_ns()?;
        self.is_new = false;
        // An administrator may raise them meanwhile.
        let limits = Limits::read().or(self.limits);
        let holders = &mut self.holders;
        Ok(Snapshot::take(&mut self.watch, &limits, choice, |state| {
            holders.as_mut()?.of(&state.reading.socket, now_ns)
        }))
    }

    /// Takes a look for a tick of a run, if the one before was long enough ago.
    pub fn tick(&mut self) -> Result<Option<Vec<Buffer>>> {
        if Instant::now() < self.next {
            return Ok(None);
        }
        self.paced(|looking| {
            looking.look()?;
            looking.buffers().map(Some)
        })
    }

    /// For a frame of the live view: the sockets as the latest look had them, if there was one since the frame before.
    pub fn news(&mut self) -> Result<Option<Snapshot>> {
        if !self.is_new {
            return Ok(None);
        }
        self.paced(|looking| looking.snapshot(&Choice::default()).map(Some))
    }

    fn buffers(&mut self) -> Result<Vec<Buffer>> {
        let now_ns = monotonic_ns()?;
        let holders = &mut self.holders;
        let buffers = self.watch.states().map(|state| Buffer {
            local: state.reading.socket.local,
            owner: holders
                .as_mut()
                .and_then(|holders| holders.of(&state.reading.socket, now_ns)),
            fill: state.fill(),
        });
        Ok(buffers.collect())
    }

    /// The longer it takes, the later is the next look.
    fn paced<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = processor_time()?;
        let result = work(self)?;
        let took = processor_time()?.saturating_sub(before);
        self.next = self.next.max(Instant::now()) + took * PAUSE_PER_LOOK;
        Ok(result)
    }
}

const CANNOT: &str = "cannot read the buffers of sockets";

/// What it takes to name processes.
fn holders() -> Option<Holders> {
    match Sockets::load_open() {
        Ok(sockets) => Some(Holders::new(Box::new(sockets))),
        Err(error) => {
            say(format_args!("processes are not shown: {error:#}"));
            None
        }
    }
}
