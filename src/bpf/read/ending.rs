//! The sums of all ended connections, stored so that no signal makes them wrong (`struct udp_track_ended`).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use anyhow::{Context as _, Result};

use crate::bpf::program::handles::Handles;
use crate::bpf::read::cells::{EndedCells, SumCells};
use crate::bpf::sys::Mapping;
use crate::model::{Place, Sample};

/// The sums, in memory that outlives this process where the maps are pinned.
pub(in crate::bpf) struct Endings(Mapping<EndedCells>);

impl Endings {
    pub fn map(handles: &Handles) -> Result<Self> {
        let cells = Mapping::of(&handles.tables.ended).context("cannot map .data.ended")?;
        Ok(Self(cells))
    }

    /// Adds a connection, before its place becomes free.
    pub fn add(&self, sample: &Sample) {
        for cells in &*self.0 {
            let (current, other) = sums(cells);
            let add = |from: fn(&SumCells) -> &std::sync::atomic::AtomicU64, more: u64| {
                from(other).store(from(current).load(Relaxed) + more, Relaxed);
            };
            let total = sample.total();
            add(|sum| &sum.connections, 1);
            add(|sum| &sum.packets, total.packets);
            add(|sum| &sum.bytes, total.bytes);
            other.place.store(u64::from(sample.place.0) + 1, Relaxed);
            cells.current.fetch_xor(1, Release);
        }
    }

    /// The place is free by now.
    pub fn done(&self) {
        for cells in &*self.0 {
            sums(cells).0.place.store(0, Relaxed);
        }
    }

    /// Whether the latest that was added lay at this place.
    pub fn has(&self, place: Place) -> bool {
        self.0
            .iter()
            .any(|cells| sums(cells).0.place.load(Relaxed) == u64::from(place.0) + 1)
    }
}

/// The sums that hold, and those that the next ones are made in.
fn sums(cells: &EndedCells) -> (&SumCells, &SumCells) {
    let [first, second] = &cells.sums;
    if cells.current.load(Acquire) == 0 {
        (first, second)
    } else {
        (second, first)
    }
}
