//! Writes what user space finds out about connections into the kernel's table (`bpf/amend.h`), so that all readers have it.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, Result};

use crate::bpf::program::handles::Handles;
use crate::bpf::read::cells::{AmendingCells, AmendmentCells};
use crate::bpf::sys::{Mapping, types};
use crate::bpf::tracker::run;
use crate::model::{Amendment, Change, Role};

const AT_ONCE: u32 = types::udp_track_sizes::UDP_TRACK_AMENDED_AT_ONCE.0;

/// Writes amendments and has them done.
pub(in crate::bpf) struct Amender {
    amendments: Mapping<AmendmentCells>,
    amending: Mapping<AmendingCells>,
}

impl Amender {
    pub fn new(handles: &Handles) -> Result<Self> {
        let map = "cannot map amendments";
        Ok(Self {
            amendments: Mapping::of(&handles.channels.amendments).context(map)?,
            amending: Mapping::of(&handles.channels.amending).context(map)?,
        })
    }

    /// Makes all of them, in their order. One of a connection that has gone is passed over.
    pub fn make(&self, handles: &Handles, all: &[Amendment]) -> Result<()> {
        let Some(arguments) = self.amending.first() else {
            return Ok(());
        };
        for some in all.chunks(self.amendments.len().max(1)) {
            for (cells, amendment) in self.amendments.iter().zip(some) {
                write(cells, amendment);
            }
            let count = u32::try_from(some.len()).unwrap_or(u32::MAX);
            arguments.next.store(0, Relaxed);
            arguments.count.store(count, Relaxed);
            while arguments.next.load(Relaxed) < count {
                let left = (count - arguments.next.load(Relaxed)).div_ceil(AT_ONCE);
                run(&handles.programs.amend, left).context("cannot run udp_track_amend")?;
            }
        }
        Ok(())
    }
}

fn write(cells: &AmendmentCells, amendment: &Amendment) {
    use types::{udp_track_amendment_kind as kinds, udp_track_sides as sides};
    let (kind, role, ns) = match amendment.change {
        Change::Role { role, swap } => {
            let swapped = if swap {
                kinds::UDP_TRACK_SWAP_ROLES.0
            } else {
                0
            };
            let role = match role {
                Role::Seen => 0,
                Role::Known => sides::UDP_TRACK_KNOWN.0,
                Role::Guessed => sides::UDP_TRACK_GUESSED.0,
            };
            (kinds::UDP_TRACK_SET_ROLE.0 | swapped, role, 0)
        }
        Change::Answer { ns } => (kinds::UDP_TRACK_ANSWER.0, 0, ns),
        Change::Frames { wanted: true } => (kinds::UDP_TRACK_WANT_FRAMES.0, 0, 0),
        Change::Frames { wanted: false } => (kinds::UDP_TRACK_LEAVE_FRAMES.0, 0, 0),
        Change::Spins => (kinds::UDP_TRACK_SPINS.0, 0, 0),
        Change::Hear => (kinds::UDP_TRACK_HEAR.0, 0, 0),
    };
    let byte = |word: u32| u8::try_from(word).unwrap_or_default();
    cells.id.store(amendment.id.0, Relaxed);
    cells.place.store(amendment.place.0, Relaxed);
    cells.ns.store(ns, Relaxed);
    cells.kind.store(byte(kind), Relaxed);
    cells.role.store(byte(role), Relaxed);
}
