//! Looks at the sockets of this network namespace, and keeps what became of them.

use anyhow::{Context as _, Result};

use crate::bpf::{Buffers, Sockets};
use crate::clock::monotonic_ns;
use crate::console::say;
use crate::process::Holders;
use crate::sockets::{Choice, Counters, Limits, Look, Snapshot, Watch};

/// What it takes to look.
pub(super) struct Looking {
    buffers: Buffers,
    /// Who holds them, where this kernel can tell.
    holders: Option<Holders>,
    /// As they are elsewhere.
    limits: Limits,
    watch: Watch,
}

impl Looking {
    /// Loads what is needed. Needs all rights.
    pub fn start(limits: Limits) -> Result<Self> {
        Ok(Self {
            buffers: Buffers::load().context(CANNOT)?,
            holders: holders(),
            limits,
            watch: Watch::default(),
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
        // An administrator may raise them meanwhile.
        let limits = Limits::read().or(self.limits);
        let holders = &mut self.holders;
        Ok(Snapshot::take(&mut self.watch, &limits, choice, |state| {
            holders.as_mut()?.of(&state.reading.socket, now_ns)
        }))
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
