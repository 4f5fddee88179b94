//! The connections in the table's memory: walked over, read one by one, and ended. `bpf/table.h` has the argument why no count is
//! lost or doubled meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use anyhow::{Context as _, Result};

use crate::bpf::program::handles::Tables;
use crate::bpf::read::cells::{
    DetailsCells, DnsCells, ProtocolCells, ResponseCells, SetCells, SpinCells, WAYS,
};
use crate::bpf::read::drops::Lost;
use crate::bpf::read::place::{
    Cells, ENDING, clear_detail, clear_dns, clear_line, clear_response, clear_spin, count_packets,
    is_live, place, read_dns, read_line, read_requests, read_spin, sighting,
};
use crate::bpf::read::record::{self, Beside, Jiffies};
use crate::bpf::read::requests::{self, Requests};
use crate::bpf::read::spin::Spin;
use crate::bpf::sys::{Mapping, types};
use crate::model::{ConnectionId, Heard, Ifindex, Place, Sample, Sighting, Source};

/// The bits of what was heard in an element of `protocols`.
const NUMBER: u64 = 0xff;

/// The memory of `connections`, `details`, `responses`, `dns_counts`, `protocols` and `spins`.
pub(in crate::bpf) struct Places {
    sets: Mapping<SetCells>,
    details: Mapping<DetailsCells>,
    responses: Mapping<ResponseCells>,
    /// One element where nobody asks.
    dns: Mapping<DnsCells>,
    protocols: Mapping<ProtocolCells>,
    spins: Mapping<SpinCells>,
    block_shift: u32,
    jiffies: Cell<Jiffies>,
    /// About now: what jiffies of 32 bits are near to.
    now_ns: Cell<u64>,
    /// The interface of each slot.
    interfaces: RefCell<Vec<Ifindex>>,
    /// What connections have lost behind the hooks.
    lost: RefCell<Lost>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("sets", &self.sets.len())
            .finish_non_exhaustive()
    }
}

impl Places {
    /// Maps all of it.
    pub fn map(tables: &Tables, block_shift: u32, interfaces: Vec<Ifindex>) -> Result<Self> {
        Ok(Self {
            sets: Mapping::of(&tables.connections).context("cannot map connections")?,
            details: Mapping::of(&tables.details).context("cannot map details")?,
            responses: Mapping::of(&tables.responses).context("cannot map responses")?,
            dns: Mapping::of(&tables.dns_counts).context("cannot map dns_counts")?,
            protocols: Mapping::of(&tables.protocols).context("cannot map protocols")?,
            spins: Mapping::of(&tables.spins).context("cannot map spins")?,
            block_shift,
            jiffies: Cell::default(),
            now_ns: Cell::default(),
            interfaces: RefCell::new(interfaces),
            lost: RefCell::default(),
        })
    }

    /// As it is now, for who may read it alone. A connection that comes or goes meanwhile is left out: its parts may be of two.
    pub fn copy(tables: &Tables, block_shift: u32, interfaces: Vec<Ifindex>) -> Result<Self> {
        let copy = || Mapping::copy_of(&tables.connections).context("cannot read connections");
        let before: Mapping<SetCells> = copy()?;
        let places = Self {
            details: Mapping::copy_of(&tables.details).context("cannot read details")?,
            responses: Mapping::copy_of(&tables.responses).context("cannot read responses")?,
            dns: Mapping::copy_of(&tables.dns_counts).context("cannot read dns_counts")?,
            protocols: Mapping::copy_of(&tables.protocols).context("cannot read protocols")?,
            spins: Mapping::copy_of(&tables.spins).context("cannot read spins")?,
            sets: copy()?,
            block_shift,
            jiffies: Cell::default(),
            now_ns: Cell::default(),
            interfaces: RefCell::new(interfaces),
            lost: RefCell::default(),
        };
        for (before, set) in before.iter().zip(&*places.sets) {
            for (before, line) in before.lines.iter().zip(&set.lines) {
                let is_same = before.id.load(Relaxed) == line.id.load(Relaxed)
                    && before.first.load(Relaxed) == line.first.load(Relaxed);
                if !is_same {
                    line.key[0].store(0, Relaxed);
                }
            }
        }
        Ok(places)
    }

    /// Says which interface has a slot now.
    pub fn set_interface(&self, slot: u32, interface: Ifindex) {
        let mut interfaces = self.interfaces.borrow_mut();
        if let Some(known) = interfaces.get_mut(slot as usize) {
            *known = interface;
        }
    }

    /// The slots that connections name.
    pub fn named_slots(&self) -> HashSet<u32> {
        let lines = self.sets.iter().flat_map(|set| &set.lines);
        let lines = lines.filter(|line| line.key[0].load(Acquire) != 0);
        let named = lines.flat_map(|line| line.interface.iter().map(|slot| slot.load(Relaxed)));
        named
            .filter(|slot| *slot != 0)
            .map(|slot| u32::from(slot) - 1)
            .collect()
    }

    /// Says what connections have lost by now.
    pub fn set_lost(&self, lost: Lost) {
        self.lost.replace(lost);
    }

    /// Whether the connection there has lost anything, when that was last said.
    pub fn has_lost(&self, place: Place) -> bool {
        self.lost.borrow().contains_key(&place)
    }

    /// Says how jiffies relate to the clock.
    pub fn set_jiffies(&self, jiffies: Jiffies) {
        self.jiffies.set(jiffies);
    }

    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    fn line(&self, place: Place) -> Option<Cells<'_>> {
        let (set, way) = (place.index() / WAYS, place.index() % WAYS);
        Some(Cells {
            line: &self.sets.get(set)?.lines[way],
            detail: &self.details.get(set)?.details[way],
        })
    }

    /// Which connection lies there.
    pub fn id(&self, place: Place) -> Option<ConnectionId> {
        let line = self.line(place)?.line;
        Some(ConnectionId(line.id.load(Relaxed)))
    }

    /// Calls for each live connection of these sets, at its time `now_ns`.
    pub fn walk(&self, sets: Range<usize>, now_ns: u64, mut each: impl FnMut(&Sighting)) {
        let jiffies = self.jiffies.get();
        let now = jiffies.at(now_ns);
        self.now_ns.set(now_ns);
        let range = sets.start..sets.end.min(self.sets.len());
        let sets = self.sets[range.clone()]
            .iter()
            .zip(&self.details[range.clone()]);
        for (index, (set, details)) in range.zip(sets) {
            for (way, line) in set.lines.iter().enumerate() {
                if set.tags[way].load(Relaxed) == 0 || !is_live(line) {
                    continue;
                }
                let place = place(index, way);
                let detail = &details.details[way];
                if let Some(seen) = sighting(place, Cells { line, detail }, jiffies, now) {
                    each(&seen);
                }
            }
        }
    }

    /// The connection at a place whose line was found; `None` where its first packet is not counted yet.
    fn sample_of(&self, place: Place, cells: Cells<'_>, is_over: bool) -> Option<Sample> {
        let jiffies = self.jiffies.get();
        let now_ns = self.now_ns.get();
        let raw = read_line(cells);
        let last_ns = jiffies.to_ns(Jiffies::widen(raw.last, jiffies.at(now_ns)));
        let idle_ns = now_ns.saturating_sub(last_ns);
        let requests = match self.responses.get(place.index()) {
            Some(response) => read_requests(response, cells),
            None => Requests::default(),
        };
        let response = requests::response(requests, now_ns, idle_ns, is_over);
        let lost = self.lost.borrow();
        let its = lost.get(&place).filter(|(id, _)| *id == raw.id);
        let beside = Beside {
            response,
            lost: its.map(|(_, lost)| *lost).unwrap_or_default(),
            heard: self.heard(place, raw.id),
            round_trip: self
                .spin(place, cells)
                .and_then(|spin| spin.round_trip(last_ns, record::asks(raw.sides))),
            dns: self.dns(place).map(read_dns),
        };
        record::sample(place, &raw, &beside, last_ns, |slot| {
            self.interfaces
                .borrow()
                .get(usize::from(slot))
                .copied()
                .unwrap_or(Ifindex(0))
        })
    }

    /// What is counted of DNS there, where it is.
    fn dns(&self, place: Place) -> Option<&DnsCells> {
        let cells = self.dns.get(place.index());
        cells.filter(|_| self.dns.len() > 1)
    }

    /// Keeps what the payload of a connection has said.
    pub fn set_heard(&self, place: Place, id: ConnectionId, heard: Heard) {
        if let Some(cells) = self.protocols.get(place.index()) {
            let spoken = id.0 & !NUMBER | u64::from(heard.number());
            cells.spoken.store(spoken, Relaxed);
        }
    }

    /// The same of the connection with this id, if it is of that.
    fn heard(&self, place: Place, id: u64) -> Heard {
        let cells = self.protocols.get(place.index());
        let spoken = cells.map(|cells| cells.spoken.load(Relaxed));
        let its = spoken.filter(|spoken| (spoken ^ id) & !NUMBER == 0);
        its.map_or(Heard::Nothing, |spoken| {
            Heard::of_number(record::low_u8(spoken))
        })
    }

    /// What is known of the spin bit there, where it is looked at.
    fn spin(&self, place: Place, cells: Cells<'_>) -> Option<Spin> {
        let attention = u32::from(cells.line.attention.load(Relaxed));
        let is_spinning = attention >> types::udp_track_spinning::UDP_TRACK_SPINNING_BIT.0 & 1 != 0;
        let spin = self.spins.get(place.index()).filter(|_| is_spinning);
        spin.map(read_spin)
    }

    /// Every live connection.
    pub fn samples(&self, now_ns: u64) -> Vec<Sample> {
        self.now_ns.set(now_ns);
        let places = (0..self.sets.len()).flat_map(|set| (0..WAYS).map(move |way| place(set, way)));
        places.filter_map(|place| self.sample(place)).collect()
    }

    /// LIVE to ENDING, if it has counted exactly this number of packets; from now on no packet finds it.
    pub fn begin_end(&self, place: Place, packets: u64) -> bool {
        let Some(cells) = self.line(place).filter(|cells| is_live(cells.line)) else {
            return false;
        };
        if count_packets(cells) != packets {
            return false;
        }
        cells.line.key[0].fetch_or(ENDING, Release);
        true
    }

    /// The final values of one that is ENDING, after the grace period.
    pub fn ended(&self, place: Place) -> Option<Sample> {
        self.sample_of(place, self.line(place)?, true)
    }

    /// ENDING to FREE, after the grace period.
    pub fn free(&self, place: Place) {
        let Some(set) = self.sets.get(place.index() / WAYS) else {
            return;
        };
        let Some(Cells { line, detail }) = self.line(place) else {
            return;
        };
        if let Some(response) = self.responses.get(place.index())
            && response.version.load(Relaxed) != 0
        {
            clear_response(response);
        }
        if let Some(dns) = self.dns(place) {
            clear_dns(dns);
        }
        if let Some(spin) = self.spins.get(place.index())
            && spin.bit.iter().any(|bit| bit.load(Relaxed) != 0)
        {
            clear_spin(spin);
        }
        // Another connection of the same ends would have the same id.
        if let Some(cells) = self.protocols.get(place.index()) {
            cells.spoken.store(0, Relaxed);
        }
        let detour = usize::from(line.detour.load(Relaxed));
        if detour != 0 {
            debug_assert!(detour < 1 << self.block_shift);
            if let Some(first) = self.sets.get((place.index() / WAYS) ^ detour) {
                first.detours_freed.fetch_add(1, Release);
            }
        }
        clear_detail(detail);
        clear_line(line);
        line.key[0].store(0, Release);
        set.tags[place.index() % WAYS].store(0, Release);
        set.freed.fetch_add(1, Release);
    }

    /// Places that an earlier run began to end.
    pub fn ending(&self) -> Vec<Place> {
        let all = (0..self.sets.len()).flat_map(|set| (0..WAYS).map(move |way| place(set, way)));
        let is_ending = |place: &Place| {
            self.line(*place)
                .is_some_and(|cells| cells.line.key[0].load(Relaxed) & ENDING != 0)
        };
        all.filter(is_ending).collect()
    }
}

impl Source for Places {
    fn sample(&self, place: Place) -> Option<Sample> {
        let cells = self.line(place).filter(|cells| is_live(cells.line))?;
        self.sample_of(place, cells, false)
    }

    fn places_with_drops(&self) -> Vec<Place> {
        self.lost.borrow().keys().copied().collect()
    }
}
