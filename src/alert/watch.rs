//! Checks the rules at each tick: which groups cross a threshold, and which are back below it.

use std::collections::HashMap;

use super::measure::{Done, Histogram, Series, Step};
use super::notice::Notice;
use super::rule::{Measure, Rule};
use crate::model::services::OneWayPorts;
use crate::model::{
    Buffer, Ended, Facts, Field, Ifindex, Name, Place, PlaceMap, Response, Sample, Shared, Skip,
    Tick,
};

/// Groups of one rule; a flood of random addresses must not fill the memory.
const MOST_GROUPS: usize = 16_384;
/// An alert is over when the measure has been this far on the right side of the threshold for one window.
const HYSTERESIS: f64 = 0.2;

/// After this time without a packet of a group, the dead rule forgets the group.
const REMEMBERED_NS: u64 = 600_000_000_000;

/// Which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    All,
    Of(Shared),
}

impl Key {
    fn shared(self) -> Option<Shared> {
        match self {
            Self::All => None,
            Self::Of(shared) => Some(shared),
        }
    }

    fn text(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Of(Shared::Unknown) => "unknown".to_owned(),
            Self::Of(shared) => shared.text(),
        }
    }
}

/// One group of a rule.
#[derive(Debug)]
struct Group {
    series: Series,
    ifindex: Option<Ifindex>,
    /// Since when it is looked at: before a window has passed, it cannot be said that something is too little.
    since_ns: u64,
    firing: bool,
    /// Since when it is on the right side again.
    right_since_ns: Option<u64>,
}

#[derive(Debug)]
struct Watch {
    rule: Rule,
    groups: HashMap<Key, Group>,
    /// Connections and sockets that found no room for their group.
    unwatched: u64,
}

/// All rules, and what they know.
#[derive(Debug, Default)]
pub struct Alerts {
    watches: Vec<Watch>,
    one_way_ports: OneWayPorts,
    done: PlaceMap<Done>,
    /// Only where response times are measured.
    histograms: PlaceMap<Histogram>,
    /// Connections with a request that waits: it may be lost without a packet.
    waiting: Vec<Place>,
    table_full: u64,
    started_ns: u64,
    ticked_ns: u64,
}

impl Alerts {
    /// Nothing is known yet. What began before `started_ns` (`CLOCK_MONOTONIC`) did so before this run, and is no news.
    #[must_use]
    pub fn new(rules: Vec<Rule>, started_ns: u64) -> Self {
        let watches = rules.into_iter().map(|rule| Watch {
            rule,
            groups: HashMap::new(),
            unwatched: 0,
        });
        Self {
            watches: watches.collect(),
            started_ns,
            ..Self::default()
        }
    }

    /// With other services that never answer.
    #[must_use]
    pub fn with(self, one_way_ports: OneWayPorts) -> Self {
        Self {
            one_way_ports,
            ..self
        }
    }

    /// Whether there is any rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Takes in what happened since the tick before; gives the alerts that begin and those that are over.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Vec<Notice> {
        if self.is_empty() {
            return Vec::new();
        }
        let Tick {
            now_ns,
            table,
            facts,
            report,
            ..
        } = *tick;
        for watch in &mut self.watches {
            for group in watch.groups.values_mut() {
                group.series.live = 0;
            }
        }
        for place in tick.swapped {
            if let Some(done) = self.done.get_mut(*place) {
                done.swap();
            }
            self.histograms.remove(*place);
        }
        for Ended { sample, .. } in tick.ended {
            let before = self.done.remove(sample.place);
            let done = Done::of(sample, &self.one_way_ports);
            self.take(sample, done, before, facts, now_ns, false);
            self.histograms.remove(sample.place);
        }
        let counts_live = self.measures(|measure| measure == Measure::Connections);
        let waits = self.measures(Measure::is_of_answers);
        let mut silent = std::mem::take(&mut self.waiting);
        if self.measures(|measure| measure == Measure::Drops) {
            // Dropped after the tick that had their packets.
            silent.extend(table.places_with_drops());
            silent.sort_unstable();
            silent.dedup();
        }
        // All of them at first, and where those that are silent count, too.
        let since_ns = if counts_live { 0 } else { self.ticked_ns };
        let grown = table.grown_since(since_ns);
        let silent = silent.into_iter().filter_map(|place| table.get(place));
        let silent = silent.filter(|connection| connection.changed_ns <= since_ns);
        for connection in grown.chain(silent) {
            let sample = &connection.sample;
            let done = Done::of(sample, &self.one_way_ports);
            let before = self.done.insert(sample.place, done);
            self.take(sample, done, before, facts, now_ns, true);
            if waits && done.waiting > 0 {
                self.waiting.push(sample.place);
            }
        }
        for buffer in tick.buffers.unwrap_or_default() {
            self.take_buffer(buffer, now_ns);
        }
        let table_full = report.books().skipped_for(Skip::TableFull).packets;
        let per_second = per_second(
            table_full.saturating_sub(self.table_full),
            now_ns.saturating_sub(self.ticked_ns),
        );
        (self.table_full, self.ticked_ns) = (table_full, now_ns);
        let global = |measure| match measure {
            Measure::Fill => Some(table.fill() * 100.0),
            Measure::TableFull => Some(per_second),
            _ => None,
        };
        self.watches
            .iter_mut()
            .flat_map(|watch| {
                let global = global(watch.rule.measure);
                watch.judge(now_ns, self.started_ns, global, facts)
            })
            .collect()
    }

    fn measures(&self, which: impl Fn(Measure) -> bool) -> bool {
        let mut rules = self.watches.iter().map(|watch| &watch.rule);
        rules.any(|rule| which(rule.measure))
    }

    /// The response times of a connection since the tick before, if a rule asks for them.
    fn times(&mut self, sample: &Sample) -> Option<Response> {
        if !self.measures(|measure| matches!(measure, Measure::Response(_))) {
            return None;
        }
        let now = sample.response.histogram;
        let before = self.histograms.insert(sample.place, now);
        let is_older = sample.first_ns < self.started_ns;
        let before = before.or_else(|| is_older.then_some(now));
        let mut times = Response {
            histogram: now,
            ..sample.response
        };
        for (mine, theirs) in times.histogram.iter_mut().zip(before.unwrap_or_default()) {
            *mine = mine.saturating_sub(theirs);
        }
        Some(times)
    }

    fn take(
        &mut self,
        sample: &Sample,
        done: Done,
        before: Option<Done>,
        facts: &dyn Facts,
        now_ns: u64,
        is_live: bool,
    ) {
        let is_older = sample.first_ns < self.started_ns;
        let before = before.or_else(|| is_older.then(|| done.at_start()));
        let is_silent = before == Some(done);
        let times = self.times(sample);
        let step = Step {
            sample,
            done,
            before,
            times: times.as_ref(),
        };
        for watch in &mut self.watches {
            let measure = watch.rule.measure;
            let counts_live = is_live && measure == Measure::Connections;
            let is_of_it = !measure.is_global() && !measure.is_of_sockets();
            if !is_of_it || (is_silent && !counts_live) {
                continue;
            }
            for key in keys(sample, watch.rule.by, facts) {
                let Some(group) = watch.group(key, now_ns) else {
                    continue;
                };
                group.series.live += u64::from(is_live);
                if !is_silent {
                    group.ifindex = Some(sample.ifindex);
                    group.series.add(step, now_ns, measure);
                }
            }
        }
    }

    fn take_buffer(&mut self, buffer: &Buffer, now_ns: u64) {
        for watch in &mut self.watches {
            if !watch.rule.measure.is_of_sockets() {
                continue;
            }
            let key = buffer_key(buffer, watch.rule.by);
            if let Some(group) = watch.group(key, now_ns) {
                group.series.add_buffer(buffer.fill, now_ns);
            }
        }
    }

    /// Connections and sockets that were in no group since the last call, as there were too many groups.
    pub fn take_unwatched(&mut self) -> u64 {
        let unwatched = self.watches.iter_mut();
        unwatched
            .map(|watch| std::mem::take(&mut watch.unwatched))
            .sum()
    }
}

impl Watch {
    /// The group, if there is room for it.
    fn group(&mut self, key: Key, now_ns: u64) -> Option<&mut Group> {
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
            self.unwatched += 1;
            return None;
        }
        let group = self.groups.entry(key);
        Some(group.or_insert_with(|| Group::new(now_ns)))
    }

    fn judge(
        &mut self,
        now_ns: u64,
        started_ns: u64,
        global: Option<f64>,
        facts: &dyn Facts,
    ) -> Vec<Notice> {
        let window_ns = u64::try_from(self.rule.window.as_nanos()).unwrap_or(u64::MAX);
        let seconds = self.rule.window.as_secs_f64();
        if self.rule.by.is_none() {
            // It is there from the start, also when there is no traffic at all.
            let all = self.groups.entry(Key::All);
            all.or_insert_with(|| Group::new(started_ns));
        }
        let mut notices = Vec::new();
        let rule = &self.rule;
        let remembered_ns = if rule.measure == Measure::Dead {
            now_ns.saturating_sub(REMEMBERED_NS)
        } else {
            u64::MAX
        };
        self.groups.retain(|key, group| {
            group.series.forget(now_ns.saturating_sub(window_ns));
            let value = if rule.measure.is_global() {
                global
            } else {
                group.series.value(rule.measure, seconds)
            };
            if let Some((firing, value)) = group.judge(rule, value, now_ns, window_ns) {
                notices.push(Notice {
                    firing,
                    rule: rule.clone(),
                    value,
                    group: key.text(),
                    shared: key.shared(),
                    interface: group.ifindex.map(|index| facts.interface(index)),
                    at_ns: now_ns,
                });
            }
            *key == Key::All || group.firing || !group.series.is_forgotten(remembered_ns)
        });
        notices
    }
}

impl Group {
    fn new(since_ns: u64) -> Self {
        Self {
            series: Series::default(),
            ifindex: None,
            since_ns,
            firing: false,
            right_since_ns: None,
        }
    }

    /// Whether it begins or is over now, and at which value.
    fn judge(
        &mut self,
        rule: &Rule,
        value: Option<f64>,
        now_ns: u64,
        window_ns: u64,
    ) -> Option<(bool, f64)> {
        let crosses = |value: f64, threshold: f64| {
            if rule.above {
                value > threshold
            } else {
                value < threshold
            }
        };
        if !self.firing {
            let is_early = !rule.above && now_ns.saturating_sub(self.since_ns) < window_ns;
            let value = value.filter(|value| !is_early && crosses(*value, rule.threshold))?;
            self.firing = true;
            self.right_since_ns = None;
            return Some((true, value));
        }
        if value.is_some_and(|value| crosses(value, rule.over_at())) {
            self.right_since_ns = None;
            return None;
        }
        let since = *self.right_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since) < window_ns {
            return None;
        }
        self.firing = false;
        self.right_since_ns = None;
        Some((false, value.unwrap_or(0.0)))
    }
}

impl Rule {
    /// The value from which on it is well again: a fifth on the right side of the threshold. No share is more than all.
    fn over_at(&self) -> f64 {
        let margin = self.threshold * HYSTERESIS;
        match (self.above, self.measure.unit()) {
            (true, _) => self.threshold - margin,
            (false, "%") => (self.threshold + margin).min(100.0),
            (false, _) => self.threshold + margin,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate for people, compared with a threshold they wrote"
)]
fn per_second(count: u64, ns: u64) -> f64 {
    let seconds = std::time::Duration::from_nanos(ns).as_secs_f64();
    count as f64 / seconds.max(1e-3)
}

/// The groups that a connection counts in. By interface, all of it counts on that of the originator.
fn keys(
    sample: &Sample,
    by: Option<Field>,
    facts: &dyn Facts,
) -> impl Iterator<Item = Key> + use<> {
    let keys = match by {
        None => [Some(Key::All), None],
        Some(field) => {
            let mut shared = Shared::each(sample, facts, field).map(Key::Of);
            let first = shared.next();
            let second = shared.next().filter(|_| field != Field::Interface);
            [first, second]
        }
    };
    keys.into_iter().flatten()
}

/// The group that a socket counts in.
fn buffer_key(buffer: &Buffer, by: Option<Field>) -> Key {
    let owner = buffer.owner.as_deref();
    match by {
        Some(Field::Process) => Key::Of(owner.map_or(Shared::Unknown, |owner| {
            Shared::Program(Name::new(owner.program()))
        })),
        Some(Field::Server) => Key::Of(Shared::End(buffer.local)),
        Some(Field::Port) => Key::Of(Shared::Port(buffer.local.port())),
        _ => Key::All,
    }
}

#[cfg(test)]
mod tests;
