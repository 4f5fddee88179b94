//! Looks at the rules with each tick: who crosses a threshold, and who is back.

use std::collections::HashMap;
use std::fmt;

use super::expression::{Measure, NAMED, Rule};
use super::measure::{Done, Histogram, Series, Step};
use crate::model::services::OneWayPorts;
use crate::model::text::Bitrate;
use crate::model::{Ended, Facts, Ifindex, Place, PlaceMap, Response, Sample, Skip, Tick};
use crate::model::{Field, Shared};

/// Groups of one rule; a flood of random addresses must not fill the memory.
const MOST_GROUPS: usize = 16_384;
/// An alert is over when the measure has been this far on the right side of the threshold for one window.
const HYSTERESIS: f64 = 0.2;

/// What the dead rule knows of a group is forgotten after so long without a packet of it.
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

/// An alert that has begun, or is over. Its group may be hostile input for a terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Whether it begins.
    pub firing: bool,
    /// The rule.
    pub rule: Rule,
    /// What was measured, in the unit of the measure.
    pub value: f64,
    /// Of which group.
    pub group: String,
    /// What its connections share; `None` for the group of all.
    pub shared: Option<Shared>,
    /// The interface on which one of them was seen last.
    pub interface: Option<String>,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
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
    /// Connections that found no room for their group.
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
        for place in tick.turned {
            if let Some(done) = self.done.get_mut(*place) {
                done.turn();
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
            let counts_live = is_live && watch.rule.measure == Measure::Connections;
            if watch.rule.measure.is_global() || (is_silent && !counts_live) {
                continue;
            }
            for key in keys(sample, watch.rule.by, facts) {
                if watch.groups.len() >= MOST_GROUPS && !watch.groups.contains_key(&key) {
                    watch.unwatched += 1;
                    continue;
                }
                let group = watch.groups.entry(key);
                let group = group.or_insert_with(|| Group::new(now_ns));
                group.series.live += u64::from(is_live);
                if !is_silent {
                    group.ifindex = Some(sample.ifindex);
                    group.series.add(step, now_ns, watch.rule.measure);
                }
            }
        }
    }

    /// Connections that were in no group since the last call, as there were too many groups.
    pub fn take_unwatched(&mut self) -> u64 {
        let unwatched = self.watches.iter_mut();
        unwatched
            .map(|watch| std::mem::take(&mut watch.unwatched))
            .sum()
    }
}

impl Watch {
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

/// A number for people, in the unit of its measure.
struct Quantity(f64, &'static str);

impl fmt::Display for Quantity {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "of a rate, three digits are shown"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            "bit" => write!(f, "{}", Bitrate((self.0 / 8.0) as f32)),
            unit => write!(f, "{}{unit}", self.0),
        }
    }
}

/// `udp-flood: unreplied 1,234/s > 500/s by responder 192.0.2.53:53`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        let sign = if rule.above { '>' } else { '<' };
        let measure = rule.measure.name();
        let value = Quantity((self.value * 10.0).round() / 10.0, rule.measure.unit());
        let threshold = Quantity(rule.threshold, rule.measure.unit());
        if NAMED.iter().any(|(name, _)| *name == rule.name) {
            write!(f, "{}: ", rule.name)?;
        }
        if rule.measure == Measure::Dead {
            write!(f, "dead")?;
            self.group(f)?;
            if self.firing {
                write!(f, ": {} lost in a row", self.value)?;
            }
            return Ok(());
        }
        let state = if self.firing { "" } else { ", no longer" };
        write!(f, "{measure} {value}{state} {sign} {threshold}")?;
        self.group(f)
    }
}

impl Notice {
    fn group(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule.by {
            None => Ok(()),
            Some(field) => write!(f, " by {} {}", field.word(), self.group),
        }
    }
}

#[cfg(test)]
mod tests;
