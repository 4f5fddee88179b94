//! The tables of a tracking that another process runs, or that was kept: read through its pins, changing nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use libbpf_rs::libbpf_sys;

use super::kept::{direction, read_hooks, text};
use super::kernel::{self, Tables};
use super::ledger::Ledger;
use super::pins::Pinned;
use super::places::Places;
use super::record::Jiffies;
use super::slots::InterfaceSlots;
use super::sys::types;
use crate::clock::monotonic_ns;
use crate::connection::{Books, Counts, Direction, Ifindex, Sample, Timeouts};

/// A hook of the tracking that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHook {
    /// Name of its interface when it was attached.
    pub interface: String,
    /// The interface.
    pub index: Ifindex,
    /// Which of its hooks.
    pub direction: Direction,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
}

/// The tables of another process.
pub struct Reader {
    tables: Tables,
    instance: types::udp_track_instance,
    hooks: Vec<ReadHook>,
}

impl Reader {
    /// Opens the pins of an instance, for reading alone.
    pub fn open(pinned: &Pinned) -> Result<Self> {
        pinned.check_layout()?;
        let tables = Tables::open(&pinned.folder, libbpf_sys::BPF_F_RDONLY)?;
        let instance: types::udp_track_instance = kernel::read(&tables.instance, 0)?;
        if instance.pid == 0 {
            bail!("{} is just starting: try again", pinned.name);
        }
        let hooks: Vec<ReadHook> = read_hooks(&tables, &instance)?
            .iter()
            .map(|raw| ReadHook {
                interface: text(&raw.interface).to_owned(),
                index: Ifindex(raw.ifindex),
                direction: direction(raw),
                ethernet: raw.ethernet != 0,
            })
            .collect();
        Ok(Self {
            tables,
            instance,
            hooks,
        })
    }

    /// What it tracks, and where.
    #[must_use]
    pub fn hooks(&self) -> &[ReadHook] {
        &self.hooks
    }

    /// How many connections there is room for at least.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.instance.max_connections.into()
    }

    /// When its connections end.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            unreplied: Duration::from_nanos(self.instance.unreplied_ns),
            assured: Duration::from_nanos(self.instance.assured_ns),
        }
    }

    /// Every connection as it is now.
    pub fn scan(&self) -> Result<Vec<Sample>> {
        let slots = InterfaceSlots {
            multiplier: self.instance.interface_multiplier,
            shift: self.instance.interface_shift,
        };
        let interfaces: Vec<Ifindex> = self.hooks.iter().map(|hook| hook.index).collect();
        let places = Places::copy(
            &self.tables,
            self.instance.block_shift,
            Places::by_slot(slots, &interfaces),
        )?;
        places.set_jiffies(Jiffies {
            length_ns: self.instance.jiffy_ns,
            zero_ns: self.instance.jiffy_zero_ns,
        });
        Ok(places.samples(monotonic_ns()?))
    }

    /// The books of one hook.
    pub fn books(&self, interface: Ifindex, direction: Direction) -> Result<Books> {
        self.ledger().books(interface, direction)
    }

    /// Events that the ring buffer had no room for, and what `ip_stats` and `ip6_stats` do not have.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let interfaces: Vec<Ifindex> = self.hooks.iter().map(|hook| hook.index).collect();
        let mut unique = interfaces;
        unique.dedup();
        self.ledger().losses(&unique)
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(&self) -> Result<u64> {
        self.ledger().addresses()
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(&self) -> Result<(u64, Counts)> {
        self.ledger().ended()
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.tables, &self.instance)
    }
}
