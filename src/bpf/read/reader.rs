//! Reads the tables of another run, or of tracking that `--keep` left, through its pins. Changes nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use libbpf_rs::libbpf_sys;

use crate::bpf::hook::hooks::{Hooks, KnownHook};
use crate::bpf::hook::slots::SlotShape;
use crate::bpf::pin::pins::Pinned;
use crate::bpf::program::handles::{self, Tables};
use crate::bpf::read::counters::Counters;
use crate::bpf::read::places::Places;
use crate::bpf::read::record::Jiffies;
use crate::bpf::sys::types;
use crate::clock::monotonic_ns;
use crate::model::{Books, Counts, Ifindex, Sample, Timeouts};

/// The tables of another process.
pub struct Reader {
    tables: Tables,
    instance: types::udp_track_instance,
    hooks: Vec<KnownHook>,
}

impl Reader {
    /// Opens the pins of an instance, for reading alone.
    pub fn open(pinned: &Pinned) -> Result<Self> {
        pinned.check_layout()?;
        let tables = Tables::open(&pinned.folder, libbpf_sys::BPF_F_RDONLY)?;
        let instance: types::udp_track_instance = handles::read(&tables.instance, 0)?;
        if instance.pid == 0 {
            bail!("{} is just starting. Try again in a moment", pinned.name);
        }
        let hooks = Hooks::read(&tables.hooks)?.known();
        Ok(Self {
            tables,
            instance,
            hooks,
        })
    }

    /// What it tracks, and where.
    #[must_use]
    pub fn hooks(&self) -> &[KnownHook] {
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
        let count = SlotShape::of_instance(&self.instance).count();
        let mut interfaces = vec![Ifindex(0); count as usize];
        for hook in &self.hooks {
            interfaces[hook.slot as usize] = hook.index;
        }
        let places = Places::copy(&self.tables, self.instance.block_shift, interfaces)?;
        places.set_jiffies(Jiffies {
            length_ns: self.instance.jiffy_ns,
            zero_ns: self.instance.jiffy_zero_ns,
        });
        Ok(places.samples(monotonic_ns()?))
    }

    /// The books of one hook.
    pub fn books(&self, hook: &KnownHook) -> Result<Books> {
        self.counters().books(hook.slot, hook.direction)
    }

    /// Events that the ring buffer had no room for, and what `ip_stats` and `ip6_stats` do not have.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let mut slots: Vec<u32> = self.hooks.iter().map(|hook| hook.slot).collect();
        slots.dedup();
        self.counters().losses(slots.into_iter())
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(&self) -> Result<u64> {
        self.counters().addresses()
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(&self) -> Result<(u64, Counts)> {
        self.counters().ended()
    }

    fn counters(&self) -> Counters<'_> {
        Counters::new(&self.tables, &self.instance)
    }
}
