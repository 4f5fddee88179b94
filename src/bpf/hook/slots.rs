//! Which slot belongs to which interface: books and connections name an interface by its slot.
//!
//! A slot outlives its interface: its books and its connections stay. An interface that is made anew gets the slot that it had;
//! another one gets a new slot, and when there is none, one that no connection names any more: its books then go to slot 0, which
//! is nobody's.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::bpf::program::handles::Channels;
use crate::bpf::read::cells::{INTERFACE_PLACES, InterfacesCells};
use crate::bpf::sys::{Mapping, types};
use crate::interface::Interface;
use crate::model::Ifindex;

/// How many slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bpf) struct SlotShape {
    /// There are 2^this.
    pub bits: u32,
    /// Whether interfaces that come get slots of their own. Slot 0 is then nobody's.
    pub grows: bool,
}

impl SlotShape {
    /// For this number of interfaces; if others may come, for twice as many, and at least for some hundreds.
    pub fn of(interfaces: usize, grows: bool) -> Result<Self> {
        /// A line of the table names a slot in 16 bits, and both halves of the places hold no more without a search.
        const MOST: usize = INTERFACE_PLACES;
        const FEW: usize = 512;
        let wanted = if grows {
            (interfaces * 2).max(FEW)
        } else {
            interfaces
        };
        let count = wanted.clamp(1, MOST).next_power_of_two();
        if interfaces + usize::from(grows) > count {
            bail!("udptrack cannot track all these interfaces together. Name fewer with -i");
        }
        Ok(Self {
            bits: count.ilog2(),
            grows,
        })
    }

    /// How a tracking has them.
    pub fn of_instance(instance: &types::udp_track_instance) -> Self {
        Self {
            bits: instance.slot_bits,
            grows: instance.grows != 0,
        }
    }

    pub fn count(self) -> u32 {
        1 << self.bits
    }
}

/// The slot of books that are nobody's any more, where slots grow.
pub(in crate::bpf) const NOBODYS: u32 = 0;

/// The slot of an interface that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bpf) struct Taken {
    pub slot: u32,
    /// The interface whose slot this was, if the books in it are not those of the new one.
    pub instead_of: Option<Ifindex>,
}

/// Who has a slot, or had it last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    index: Ifindex,
    name: String,
    is_gone: bool,
}

/// All slots, and where the programs find them.
pub(in crate::bpf) struct Slots {
    places: Mapping<InterfacesCells>,
    holders: Holders,
}

/// Who has which slot.
struct Holders {
    shape: SlotShape,
    by_slot: BTreeMap<u32, Holder>,
}

impl Slots {
    /// Of a tracking that begins: the interfaces have slots in their order.
    pub fn new(channels: &Channels, shape: SlotShape, interfaces: &[Ifindex]) -> Result<Self> {
        let slots = Self {
            places: Mapping::of(&channels.interfaces).context("cannot map .data.slots")?,
            holders: Holders::new(shape, interfaces),
        };
        for (slot, holder) in &slots.holders.by_slot {
            slots.enter(holder.index, *slot)?;
        }
        Ok(slots)
    }

    /// Of one that goes on: who has which slot stands in its hooks.
    pub fn resume(
        channels: &Channels,
        shape: SlotShape,
        hooks: &[(u32, types::udp_track_hook)],
    ) -> Result<Self> {
        let mut slots = Self::new(channels, shape, &[])?;
        for (slot, hook) in hooks {
            let holder = Holder {
                index: Ifindex(hook.ifindex),
                name: crate::bpf::hook::hooks::text(&hook.interface).to_owned(),
                is_gone: hook.is_gone != 0,
            };
            slots.holders.by_slot.insert(*slot, holder);
        }
        Ok(slots)
    }

    pub fn count(&self) -> u32 {
        self.holders.shape.count()
    }

    /// Whether this is tracked, and not gone.
    pub fn has(&self, interface: Ifindex) -> bool {
        let mut there = self.holders.there();
        there.any(|holder| holder.index == interface)
    }

    /// Whether a run with these interfaces would have the same slots: each that is there now is among them, and where slots do not grow,
    /// they are as many.
    pub fn fit(&self, interfaces: &[Ifindex], grows: bool) -> bool {
        let holders = &self.holders;
        holders.shape.grows == grows
            && (grows || interfaces.len() == holders.by_slot.len())
            && holders
                .there()
                .all(|holder| interfaces.contains(&holder.index))
    }

    /// The slot of an interface that is tracked, or was.
    pub fn slot(&self, interface: Ifindex) -> Option<u32> {
        self.holders.slot(interface)
    }

    /// The interface of each slot.
    pub fn interfaces(&self) -> Vec<Ifindex> {
        let mut interfaces = vec![Ifindex(0); self.count() as usize];
        for (slot, holder) in &self.holders.by_slot {
            interfaces[*slot as usize] = holder.index;
        }
        interfaces
    }

    /// Slots that are in use, or were.
    pub fn used(&self) -> impl Iterator<Item = u32> {
        let nobodys = self.holders.shape.grows.then_some(NOBODYS);
        let others = self.holders.by_slot.keys().copied();
        nobodys
            .into_iter()
            .chain(others.filter(move |slot| Some(*slot) != nobodys))
    }

    /// Gives an interface that has come its slot, before it is attached to. `before` is the interface in whose place it comes, if it
    /// does; `named` says which slots connections name, and is asked for only where all slots have been used.
    pub fn take(
        &mut self,
        interface: &Interface,
        before: Option<Ifindex>,
        named: impl FnOnce() -> HashSet<u32>,
    ) -> Result<Taken> {
        let taken = self.holders.choose(interface, before, named)?;
        self.enter(interface.index, taken.slot)?;
        self.holders.take(interface, taken.slot);
        Ok(taken)
    }

    /// The interface has another name now.
    pub fn rename(&mut self, interface: Ifindex, name: &str) {
        self.holders.rename(interface, name);
    }

    /// An interface is gone, and no program runs on it any more.
    pub fn leave(&mut self, interface: Ifindex) {
        self.holders.leave(interface);
        self.places.iter().for_each(|cells| cells.leave(interface));
    }

    /// Writes an index and its slot where the programs look.
    fn enter(&self, index: Ifindex, slot: u32) -> Result<()> {
        let is_alone = self.holders.shape.bits == 0;
        ensure!(
            is_alone || self.places.iter().all(|cells| cells.enter(index, slot)),
            "its index conflicts with those of other interfaces"
        );
        Ok(())
    }
}

impl Holders {
    fn new(shape: SlotShape, interfaces: &[Ifindex]) -> Self {
        let holder = |index: &Ifindex| Holder {
            index: *index,
            name: String::new(),
            is_gone: false,
        };
        let slots = shape.grows.into()..;
        Self {
            shape,
            by_slot: slots.zip(interfaces.iter().map(holder)).collect(),
        }
    }

    fn there(&self) -> impl Iterator<Item = &Holder> {
        self.by_slot.values().filter(|holder| !holder.is_gone)
    }

    fn gone(&self) -> impl Iterator<Item = (u32, &Holder)> {
        let all = self.by_slot.iter().map(|(slot, holder)| (*slot, holder));
        all.filter(|(slot, holder)| holder.is_gone && !(self.shape.grows && *slot == NOBODYS))
    }

    fn slot(&self, interface: Ifindex) -> Option<u32> {
        if interface == Ifindex(0) {
            return Some(NOBODYS);
        }
        let all = self.by_slot.iter();
        let its = all.filter(|(_, holder)| holder.index == interface);
        // Another one may have had its index before.
        let found = its.min_by_key(|(_, holder)| holder.is_gone);
        found.map(|(slot, _)| *slot)
    }

    fn choose(
        &self,
        interface: &Interface,
        before: Option<Ifindex>,
        named: impl FnOnce() -> HashSet<u32>,
    ) -> Result<Taken> {
        match self.slot_again(interface, before) {
            Some(slot) => Ok(Taken {
                slot,
                instead_of: None,
            }),
            None => self.new_slot(named),
        }
    }

    /// The slot that it, or the one in whose place it comes, has had. Where slots do not grow, one that is free was left for it.
    fn slot_again(&self, interface: &Interface, before: Option<Ifindex>) -> Option<u32> {
        let find = |is_it: &dyn Fn(&Holder) -> bool| {
            let found = self.gone().find(|(_, holder)| is_it(holder));
            found.map(|(slot, _)| slot)
        };
        find(&|holder| Some(holder.index) == before)
            .or_else(|| find(&|holder| holder.index == interface.index))
            .or_else(|| find(&|holder| holder.name == interface.name))
            .or_else(|| find(&|_| !self.shape.grows))
    }

    /// One that nobody had, or one that no connection names any more.
    fn new_slot(&self, named: impl FnOnce() -> HashSet<u32>) -> Result<Taken> {
        let last = self.by_slot.keys().next_back().copied();
        let next = last.unwrap_or(NOBODYS) + 1;
        if self.shape.grows && next < self.shape.count() {
            return Ok(Taken {
                slot: next,
                instead_of: None,
            });
        }
        let named = named();
        let free = self.gone().find(|(slot, _)| !named.contains(slot));
        let (slot, holder) = free.ok_or_else(|| {
            anyhow!(
                "there is room for {} interfaces, and interfaces that are gone count as long as they have connections",
                self.by_slot.len()
            )
        })?;
        Ok(Taken {
            slot,
            instead_of: Some(holder.index),
        })
    }

    fn take(&mut self, interface: &Interface, slot: u32) {
        let holder = Holder {
            index: interface.index,
            name: interface.name.clone(),
            is_gone: false,
        };
        self.by_slot.insert(slot, holder);
    }

    fn rename(&mut self, interface: Ifindex, name: &str) {
        if let Some(holder) = self.there_mut(interface) {
            name.clone_into(&mut holder.name);
        }
    }

    fn leave(&mut self, interface: Ifindex) {
        if let Some(holder) = self.there_mut(interface) {
            holder.is_gone = true;
        }
    }

    fn there_mut(&mut self, interface: Ifindex) -> Option<&mut Holder> {
        let mut all = self.by_slot.values_mut();
        all.find(|holder| holder.index == interface && !holder.is_gone)
    }
}

impl InterfacesCells {
    /// Whether there was a place for it. One that is in the way goes to its other place, first.
    fn enter(&self, index: Ifindex, slot: u32) -> bool {
        let word = u64::from(slot) << 32 | u64::from(index.0);
        let places = self.places_of(index);
        let is_free = |place: &AtomicU64| place.load(Acquire) == 0;
        if let Some(place) = places
            .into_iter()
            .find(|place| is_free(place) || is_of(place.load(Acquire), index))
        {
            place.store(word, Release);
            return true;
        }
        for place in places {
            let found = place.load(Acquire);
            let mut others = self.places_of(index_of(found)).into_iter();
            if let Some(other) = others.find(|other| is_free(other)) {
                other.store(found, Release);
                place.store(word, Release);
                return true;
            }
        }
        false
    }

    fn leave(&self, index: Ifindex) {
        for place in self.places_of(index) {
            if is_of(place.load(Acquire), index) {
                place.store(0, Release);
            }
        }
    }

    /// Where an index may stand, as `interface_slot` of maps.h looks for it.
    fn places_of(&self, index: Ifindex) -> [&AtomicU64; 2] {
        let bits = types::udp_track_sizes::UDP_TRACK_INTERFACE_BITS.0;
        let second = index.0.wrapping_mul(0x9e37_79b1) >> (32 - bits);
        [
            &self.first[index.0 as usize % INTERFACE_PLACES],
            &self.second[second as usize],
        ]
    }
}

fn index_of(word: u64) -> Ifindex {
    Ifindex(u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default())
}

fn is_of(word: u64, index: Ifindex) -> bool {
    word != 0 && index_of(word) == index
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::array;

    fn cells() -> Box<InterfacesCells> {
        Box::new(InterfacesCells {
            first: array::from_fn(|_| AtomicU64::new(0)),
            second: array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// What the programs would find.
    fn slot(cells: &InterfacesCells, index: u32) -> u64 {
        let [first, second] = cells.places_of(Ifindex(index));
        let word = first.load(Acquire);
        let word = if is_of(word, Ifindex(index)) {
            word
        } else {
            second.load(Acquire)
        };
        word >> 32
    }

    #[test]
    fn shapes() {
        let shape = |interfaces, grows| SlotShape::of(interfaces, grows).map(SlotShape::count).ok();
        assert_eq!(shape(0, false), Some(1));
        assert_eq!(shape(1, false), Some(1));
        assert_eq!(shape(3, false), Some(4));
        assert_eq!(shape(3, true), Some(512));
        assert_eq!(shape(560, true), Some(2048));
        assert_eq!(shape(4096, false), Some(4096));
        assert_eq!(shape(4096, true), None);
    }

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            other_names: Vec::new(),
            index: Ifindex(index),
            ethernet: true,
            loopback: false,
            up: true,
            addresses: Vec::new(),
        }
    }

    /// Takes a slot for an interface that has come.
    fn come(holders: &mut Holders, index: u32, name: &str, named: &[u32]) -> Option<Taken> {
        let interface = interface(index, name);
        let named = named.iter().copied().collect();
        let taken = holders.choose(&interface, None, || named).ok()?;
        holders.take(&interface, taken.slot);
        Some(taken)
    }

    #[test]
    fn a_slot_is_for_who_had_it_before_or_for_a_new_one() {
        let grows = SlotShape {
            bits: 2,
            grows: true,
        };
        let mut holders = Holders::new(grows, &[Ifindex(1)]);
        let taken = |slot, instead_of| Some(Taken { slot, instead_of });
        assert_eq!(come(&mut holders, 5, "a", &[]), taken(2, None));
        assert_eq!(come(&mut holders, 6, "b", &[]), taken(3, None));
        // All are there.
        assert_eq!(come(&mut holders, 7, "c", &[]), None);
        holders.leave(Ifindex(5));
        assert_eq!(come(&mut holders, 8, "a", &[]), taken(2, None));
        assert_eq!(
            (holders.slot(Ifindex(5)), holders.slot(Ifindex(8))),
            (None, Some(2))
        );
        // Gone, but connections name it.
        holders.leave(Ifindex(8));
        assert_eq!(come(&mut holders, 9, "c", &[1, 2]), None);
        assert_eq!(
            come(&mut holders, 9, "c", &[1, 3]),
            taken(2, Some(Ifindex(8)))
        );
    }

    #[test]
    fn names_that_were_given_keep_their_slots() {
        let fixed = SlotShape {
            bits: 1,
            grows: false,
        };
        let mut holders = Holders::new(fixed, &[Ifindex(1), Ifindex(2)]);
        assert_eq!(come(&mut holders, 3, "c", &[]), None);
        holders.leave(Ifindex(1));
        holders.leave(Ifindex(2));
        let second = interface(7, "b");
        let again = holders
            .choose(&second, Some(Ifindex(2)), HashSet::new)
            .unwrap();
        assert_eq!((again.slot, again.instead_of), (1, None));
    }

    #[test]
    fn interfaces_that_meet_are_told_apart() {
        let cells = cells();
        // Numbers of an old machine: each pair has the same low bits.
        let old: Vec<u32> = (1..=40).collect();
        let new: Vec<u32> = old.iter().map(|index| index + 4096).collect();
        let newer: Vec<u32> = old.iter().map(|index| index + 3 * 4096).collect();
        let all: Vec<u32> = [old, new, newer].concat();
        for (slot, index) in (1..).zip(&all) {
            assert!(cells.enter(Ifindex(*index), slot), "{index}");
        }
        for (expected, index) in (1..).zip(&all) {
            assert_eq!(slot(&cells, *index), expected, "{index}");
        }
        for index in &all {
            cells.leave(Ifindex(*index));
        }
        let all = cells.first.iter().chain(&cells.second);
        assert_eq!(all.filter(|place| place.load(Acquire) != 0).count(), 0);
    }

    #[test]
    fn an_interface_that_comes_again_has_its_place() {
        let cells = cells();
        assert!(cells.enter(Ifindex(7), 1) && cells.enter(Ifindex(7), 2));
        assert_eq!(slot(&cells, 7), 2);
    }
}
