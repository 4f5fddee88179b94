//! The table as the maps that others read (`bpf/publish.h`): what changed in a tick is written down and put there by a program.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapHandle};

use crate::bpf::program::handles::Handles;
use crate::bpf::read::cells::{PublicationCells, PublishingCells};
use crate::bpf::sys::{self, Key, Mapping, types};
use crate::bpf::tracker::run;
use crate::model::{Counts, Grown, Sample, Status};

/// Elements of `publications`.
pub(in crate::bpf) const PUBLICATIONS: u32 = types::udp_track_sizes::UDP_TRACK_PUBLICATIONS.0;
const AT_ONCE: u32 = types::udp_track_sizes::UDP_TRACK_PUBLISHED_AT_ONCE.0;
/// When an address finds no room, this part of them gives theirs up, those that were idle for longest.
const GIVEN_UP: usize = 8;

const STATE: u32 = types::udp_track_publication_kind::UDP_TRACK_PUBLISH_STATE.0;
const IPV6: u32 = types::udp_track_publication_kind::UDP_TRACK_PUBLISH_IPV6.0;
const WITHDRAW: u32 = types::udp_track_publication_kind::UDP_TRACK_WITHDRAW.0;

/// Writes what is to be published; does nothing where nobody wants the maps.
pub(in crate::bpf) struct Publisher {
    publications: Mapping<PublicationCells>,
    publishing: Mapping<PublishingCells>,
    pending: u32,
    /// What it took since it was asked last.
    took: Duration,
    /// Packets of addresses that had found no room by the tick before.
    refused: u64,
}

impl Publisher {
    pub fn new(handles: &Handles) -> Result<Self> {
        let map = "cannot map publications";
        Ok(Self {
            publications: Mapping::of(&handles.channels.publications).context(map)?,
            publishing: Mapping::of(&handles.tables.publishing).context(map)?,
            pending: 0,
            took: Duration::ZERO,
            refused: 0,
        })
    }

    /// Whether there are maps to be published.
    pub fn is_on(&self) -> bool {
        self.publications.len() > 1
    }

    /// A connection has changed.
    pub fn change(&mut self, handles: &Handles, sample: &Sample, grown: &Grown) -> Result<()> {
        let state = if grown.status { STATE } else { 0 };
        self.push(handles, sample, grown.counts, state)
    }

    /// A connection has ended, with what it counted since it last changed.
    pub fn withdraw(&mut self, handles: &Handles, sample: &Sample, grown: Counts) -> Result<()> {
        self.push(handles, sample, grown, WITHDRAW)
    }

    fn push(&mut self, handles: &Handles, sample: &Sample, grown: Counts, kind: u32) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let cells = &self.publications[self.pending as usize];
        let mut kind = kind;
        let ends = [sample.originator, sample.responder];
        for (cells, end) in cells.addresses.iter().zip(ends) {
            let words = match end.ip() {
                IpAddr::V4(address) => [u64::from(u32::from_ne_bytes(address.octets())), 0],
                IpAddr::V6(address) => {
                    kind |= IPV6;
                    let bits = address.octets();
                    let (first, second) = bits.split_at(8);
                    [first, second].map(|half| half.try_into().map_or(0, u64::from_ne_bytes))
                }
            };
            cells[0].store(words[0], Relaxed);
            cells[1].store(words[1], Relaxed);
        }
        cells.id.store(sample.id.0, Relaxed);
        let total = sample.total();
        cells.total_packets.store(total.packets, Relaxed);
        cells.total_bytes.store(total.bytes, Relaxed);
        cells.grown_packets.store(grown.packets, Relaxed);
        cells.grown_bytes.store(grown.bytes, Relaxed);
        cells.kind.store(kind, Relaxed);
        cells.state.store(state(sample.status), Relaxed);
        self.pending += 1;
        if self.pending == PUBLICATIONS {
            self.flush(handles)?;
        }
        Ok(())
    }

    /// The time that publishing took since the last call.
    pub fn take_time(&mut self) -> Duration {
        std::mem::take(&mut self.took)
    }

    /// Puts all of it there.
    fn flush(&mut self, handles: &Handles) -> Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        let Some(cells) = self.publishing.first() else {
            return Ok(());
        };
        let started = Instant::now();
        cells.next.store(0, Relaxed);
        cells.count.store(self.pending, Relaxed);
        while cells.next.load(Relaxed) < self.pending {
            let left = (self.pending - cells.next.load(Relaxed)).div_ceil(AT_ONCE);
            run(&handles.programs.publish, left).context("cannot run udp_track_publish")?;
        }
        self.pending = 0;
        self.took += started.elapsed();
        Ok(())
    }

    /// The same at the end of a tick. Where an address has found no room in it, others make room for the next.
    pub fn settle(&mut self, handles: &Handles) -> Result<()> {
        self.flush(handles)?;
        let Some(cells) = self.publishing.first() else {
            return Ok(());
        };
        let refused = cells.without_entry_packets.load(Relaxed);
        if self.is_on() && refused > std::mem::replace(&mut self.refused, refused) {
            self.make_room::<u32>(&handles.tables.ip_stats)?;
            self.make_room::<[u64; 2]>(&handles.tables.ip6_stats)?;
        }
        Ok(())
    }

    /// The addresses that were idle for longest give their places up, where there is no room left.
    fn make_room<K: Key>(&self, map: &MapHandle) -> Result<()> {
        let room = map.max_entries() as usize;
        let mut entries: Vec<(u64, K, types::udp_track_ip)> = Vec::new();
        let name = || map.name().to_string_lossy().into_owned();
        sys::read_map(
            map.as_fd(),
            0,
            usize::MAX,
            |key: &K, ip: &types::udp_track_ip| {
                entries.push((ip.published, *key, *ip));
            },
        )
        .with_context(|| format!("cannot read {}", name()))?;
        if entries.len() < room {
            return Ok(());
        }
        let gone = room.div_ceil(GIVEN_UP).min(entries.len());
        if gone < entries.len() {
            entries.select_nth_unstable_by_key(gone - 1, |(published, ..)| *published);
        }
        let Some(cells) = self.publishing.first() else {
            return Ok(());
        };
        for (_, key, ip) in entries.iter().take(gone) {
            map.delete(key.bytes())
                .with_context(|| format!("cannot remove an address from {}", name()))?;
            cells.given_up_packets.fetch_add(ip.packets, Relaxed);
            cells.given_up_bytes.fetch_add(ip.bytes, Relaxed);
            cells.addresses.fetch_sub(1, Relaxed);
        }
        Ok(())
    }
}

fn state(status: Status) -> u32 {
    use types::udp_track_state as raw;
    match status {
        Status::Unreplied => raw::UDP_TRACK_ESTABLISHED,
        Status::Replied => raw::UDP_TRACK_REPLIED,
        Status::Assured => raw::UDP_TRACK_ASSURED,
        Status::Unreach => raw::UDP_TRACK_UNREACHABLE,
    }
    .0
}
