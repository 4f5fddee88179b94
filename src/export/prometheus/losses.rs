//! Losses of processes after the hooks, as counters that never go down. Pure.

use std::collections::BTreeMap;

use super::snapshot::process_name;
use crate::model::{Dropped, Facts, NewDrops, Sample, Tick};

/// Datagrams that were dropped, by process. Who loses first has a counter of its own for as long as the run lasts, and all for whom
/// there is no room have one together: a counter that moved from one to the other would go down.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    new: NewDrops,
    processes: BTreeMap<String, u64>,
    other: u64,
}

impl Losses {
    /// Counts what connections have lost since they were looked at. `room` is for processes with counters of their own.
    pub fn tick(&mut self, tick: &Tick<'_>, room: usize) {
        for (sample, dropped) in self.new.live(tick.table) {
            self.count(&sample, dropped, tick.facts, room);
        }
    }

    /// Counts what a connection has lost that has ended.
    pub fn ended(&mut self, sample: &Sample, facts: &dyn Facts, room: usize) {
        let dropped = self.new.ended(sample);
        self.count(sample, dropped, facts, room);
    }

    fn count(&mut self, sample: &Sample, dropped: Dropped, facts: &dyn Facts, room: usize) {
        let new = dropped.total().packets;
        if new == 0 {
            return;
        }
        let owner = facts.processes(sample).losing(sample);
        let has_room = self.processes.len() < room;
        let own = process_name(owner)
            .filter(|name| has_room || self.processes.contains_key(name))
            .map(|name| self.processes.entry(name).or_default());
        *own.unwrap_or(&mut self.other) += new;
    }

    /// Each with its counter; what is left is `None`.
    pub fn all(&self) -> Vec<(Option<String>, u64)> {
        let own = self.processes.iter();
        let own = own.map(|(name, datagrams)| (Some(name.clone()), *datagrams));
        own.chain([(None, self.other)]).collect()
    }
}
