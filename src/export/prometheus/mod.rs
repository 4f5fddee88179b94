//! Metrics for Prometheus, over HTTP, when they are asked for.
//!
//! A scrape costs nothing until it comes: the `server`'s thread then asks the loop for a [`Snapshot`], which is as old as the scrape,
//! and `page` writes it down. What has ended is summed up here, so that no counter ever goes down.

mod buffers;
mod dns;
mod losses;
mod page;
mod process;
mod series;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::model::services::OneWayPorts;
use crate::model::{Ended, Facts, Sink, Tick};
use buffers::Buffers;
use dns::Dns;
use losses::Losses;
pub use server::{Ask, Reply};
pub use snapshot::Snapshot;
use snapshot::{Busiest, Shown, Totals};

/// Where to, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where scrapes come in.
    pub listen: SocketAddr,
    /// Ports and processes that have metrics of their own.
    pub top: usize,
    /// Services that never answer.
    pub one_way_ports: OneWayPorts,
}

/// What there is to scrape.
pub struct Prometheus {
    settings: Settings,
    listener: Option<TcpListener>,
    started: SystemTime,
    totals: Totals,
    shown: Shown,
    busiest: Busiest,
    losses: Losses,
    dns: Dns,
    buffers: Buffers,
}

impl Prometheus {
    /// Takes the address; nobody is served yet.
    pub fn open(settings: Settings) -> Result<Self> {
        let listener = TcpListener::bind(settings.listen)
            .with_context(|| format!("cannot listen on --metrics {}", settings.listen))?;
        listener
            .set_nonblocking(true)
            .context("cannot listen without waiting")?;
        Ok(Self {
            settings,
            listener: Some(listener),
            started: SystemTime::now(),
            totals: Totals::default(),
            shown: Shown::default(),
            busiest: Busiest::default(),
            losses: Losses::default(),
            dns: Dns::default(),
            buffers: Buffers::default(),
        })
    }

    /// Where scrapes come in.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Starts to serve, on a thread of its own: to be called when the process has given up its rights. `ask` calls the
    /// loop for a snapshot.
    pub fn serve(&mut self, ask: Ask) -> Result<()> {
        match self.listener.take() {
            Some(listener) => server::start(listener, ask),
            None => Ok(()),
        }
    }

    /// Everything as it is at a tick.
    #[must_use]
    pub fn snapshot(&mut self, tick: &Tick<'_>) -> Snapshot {
        let room = self.room();
        self.losses.tick(tick, room);
        let Settings {
            top, one_way_ports, ..
        } = &self.settings;
        let mut snapshot = Snapshot::new(
            tick,
            (&self.totals, &self.losses),
            (&mut self.dns, room),
            (*top, &mut self.busiest),
            one_way_ports,
            self.started,
        );
        snapshot.buffers = self.buffers.all(tick.now_ns, *top);
        self.shown.raise(&mut snapshot.responses);
        snapshot
    }

    /// Processes and DNS servers with counters of their own, as many as may have series of what they do.
    fn room(&self) -> usize {
        2 * self.settings.top
    }
}

impl Sink for Prometheus {
    fn ended(&mut self, ended: &Ended, facts: &dyn Facts) -> io::Result<()> {
        let Ended { sample, reason } = ended;
        let room = self.room();
        self.losses.ended(sample, facts, room);
        self.dns.ended(sample, room);
        self.totals
            .add(sample, *reason, &self.settings.one_way_ports);
        Ok(())
    }

    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        self.losses.tick(tick, self.room());
        self.buffers.tick(tick, self.settings.top);
        Ok(())
    }
}
