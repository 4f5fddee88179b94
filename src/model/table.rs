//! The live connections, as of the latest walk over them, and the totals of ended ones.
//!
//! The table remembers only what it compares from one walk to the next. It reads the rest of a connection from its place, on demand.

use std::rc::Rc;

use super::connection::{Connection, Grown, Known, Sighting};
use super::expiry::{self, Expiry, Rule, Timeouts};
use super::key::Place;
use super::place_map::PlaceMap;
use super::rates::Step;
use super::record::{Counts, EndReason, Sample};
use super::source::{Samples, Source};

/// From this fill on the user is warned, in percent.
const WARN_PERCENT: u128 = 80;
/// The shortest time over which the rate of new connections is averaged, in nanoseconds.
const BIRTHS_NS: u64 = 900_000_000;
/// How often the timeouts are looked at again while connections are evicted, at most: as many parts of the table make room.
const RELAXATIONS: u64 = 1000;
/// Below this fill the warning is armed again, in percent.
const REARM_PERCENT: u128 = 70;

/// All live connections.
#[derive(Clone, Debug)]
pub struct Table {
    source: Rc<dyn Source>,
    /// Of a table without a kernel's: what [`Table::apply`] was given.
    samples: Option<Rc<Samples>>,
    known: PlaceMap<Known>,
    live_total: Counts,
    capacity: u64,
    timeouts: Timeouts,
    /// Of the time before nothing is known.
    began_ns: Option<u64>,
    scanned_ns: u64,
    /// All connections were looked at since then: up to this moment their rates are known.
    settled_ns: u64,
    seen: u64,
    ended: u64,
    ended_total: Counts,
    warned: bool,
    births: Births,
}

/// How many connections begin.
#[derive(Clone, Copy, Debug, Default)]
struct Births {
    /// Connections ever seen at `since_ns`.
    seen: u64,
    since_ns: u64,
    per_second: u64,
}

impl Births {
    fn update(&mut self, seen: u64, now_ns: u64) {
        let elapsed = now_ns.saturating_sub(self.since_ns);
        if elapsed >= BIRTHS_NS {
            let count = u128::from(seen.saturating_sub(self.seen));
            self.per_second =
                u64::try_from(count * 1_000_000_000 / u128::from(elapsed)).unwrap_or(u64::MAX);
            (self.seen, self.since_ns) = (seen, now_ns);
        }
    }

    fn expected(&self, ns: u64) -> u64 {
        let count = u128::from(self.per_second) * u128::from(ns) / 1_000_000_000;
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

impl Table {
    /// An empty table that samples are put into, with room for `capacity` connections.
    #[must_use]
    pub fn new(capacity: u64, timeouts: Timeouts) -> Self {
        let samples = Rc::new(Samples::default());
        Self {
            samples: Some(Rc::clone(&samples)),
            ..Self::over(samples, capacity, timeouts)
        }
    }

    /// A table of what lies elsewhere, and is walked over.
    #[must_use]
    pub fn over(source: Rc<dyn Source>, capacity: u64, timeouts: Timeouts) -> Self {
        Self {
            known: PlaceMap::default(),
            source,
            samples: None,
            live_total: Counts::default(),
            capacity,
            timeouts,
            began_ns: None,
            scanned_ns: 0,
            settled_ns: 0,
            seen: 0,
            ended: 0,
            ended_total: Counts::default(),
            warned: false,
            births: Births::default(),
        }
    }

    /// The same after connections that ended before this program looked: how many, and what they came to.
    #[must_use]
    pub fn after(mut self, ended: u64, counts: Counts) -> Self {
        self.ended += ended;
        self.seen += ended;
        self.ended_total += counts;
        self
    }

    /// The same of a program that looks since that moment, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn looking_since(mut self, began_ns: u64) -> Self {
        self.began_ns = Some(began_ns);
        self
    }

    /// Since when it looks, in nanoseconds of `CLOCK_MONOTONIC`, where that was said.
    #[must_use]
    pub fn began_ns(&self) -> Option<u64> {
        self.began_ns
    }

    /// Connections as they were read at `now_ns`, each at its place.
    #[must_use]
    pub fn of(samples: &[Sample], capacity: u64, timeouts: Timeouts, now_ns: u64) -> Self {
        let own = Rc::new(Samples::default());
        for sample in samples {
            own.keep(sample);
        }
        let mut table = Self::over(own, capacity, timeouts);
        let mut walk = table.walk(0, now_ns);
        for sample in samples {
            walk.see(&Sighting::of(sample));
        }
        table.settle(now_ns);
        table
    }

    /// Changes what ends connections from now on.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Begins a walk over places that were all looked at since `before_ns`. `now_ns` was read before anything is looked at: what is
    /// idle by it is idle.
    pub fn walk(&mut self, before_ns: u64, now_ns: u64) -> Walk<'_> {
        self.births.update(self.seen, now_ns);
        self.scanned_ns = now_ns;
        let expected = self.births.expected(now_ns.saturating_sub(before_ns));
        Walk {
            rule: self.rule(0, expected),
            expected,
            silence: Step::to(before_ns).looking_since(self.began_ns),
            step: Step::to(now_ns).looking_since(self.began_ns),
            before_ns,
            now_ns,
            evicted: 0,
            table: self,
        }
    }

    /// Says that all connections were looked at since `since_ns`, where walks are over a part each.
    pub fn settle(&mut self, since_ns: u64) {
        self.settled_ns = since_ns;
    }

    /// The timeouts after this number of connections has ended, so that others find room.
    fn rule(&self, gone: usize, expected: u64) -> Rule {
        let live = self.len().saturating_sub(gone) as u64;
        Rule::new(self.timeouts, live.saturating_add(expected), self.capacity)
    }

    /// Takes in samples. A connection that is not among them stays as it is, without traffic: only [`Self::end`] removes one.
    ///
    /// For a table made with [`Self::new`]; must not be given samples taken before a call of [`Self::end`] for the same connection.
    pub fn apply(&mut self, samples: impl IntoIterator<Item = Sample>, now_ns: u64) {
        let Some(own) = self.samples.clone() else {
            return;
        };
        let mut walk = self.walk(self.scanned_ns, now_ns);
        for sample in samples {
            let place = own.put(&sample);
            walk.see(&Sighting::of(&Sample { place, ..sample }));
        }
        self.settle(now_ns);
    }

    /// The connections that have been silent for their timeout, in no particular order.
    #[must_use]
    pub fn expired(&self, now_ns: u64) -> Vec<Expiry> {
        let rule = self.rule(0, 0);
        self.known
            .iter()
            .filter_map(|(place, known)| {
                Some(Expiry {
                    place,
                    packets: (known.orig + known.reply).packets,
                    reason: rule.ended(known.status, now_ns.saturating_sub(known.last_ns))?,
                })
            })
            .collect()
    }

    /// The last sample of a connection, whose latest packet is no earlier than it was when it was looked at.
    pub(crate) fn latest(&self, final_sample: &Sample) -> Sample {
        let known = self.known.get(final_sample.place);
        Sample {
            last_ns: known
                .map_or(0, |known| known.last_ns)
                .max(final_sample.last_ns),
            ..*final_sample
        }
    }

    /// Removes a connection that has ended, with its last counts; gives what it had counted since it was last looked at.
    ///
    /// Every end counts the same in the totals; the reason is taken so that no caller ends a connection without one.
    pub fn end(&mut self, final_sample: &Sample, _reason: EndReason) -> Counts {
        let place = match &self.samples {
            Some(own) => own.put(final_sample),
            None => final_sample.place,
        };
        let mut before = Counts::default();
        match self.known.remove(place) {
            Some(known) => {
                before = known.orig + known.reply;
                self.live_total = self.live_total.since(before);
            }
            None => self.seen += 1,
        }
        self.ended += 1;
        self.ended_total += final_sample.total();
        final_sample.total().since(before)
    }

    /// How many connections are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many connections the kernel's table has room for at least.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How full the kernel's table is: 1 where it has as many as it has room for at least.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people; the thresholds are compared as integers"
    )]
    pub fn fill(&self) -> f64 {
        (self.len() as f64 / self.capacity.max(1) as f64).min(1.0)
    }

    /// How much room (`--max-connections`) lets each connection live for its timeout, at the rate at which they begin now; twice the
    /// room that there is where that says less.
    #[must_use]
    pub fn wanted_capacity(&self) -> u64 {
        let seconds =
            u128::from(self.births.per_second) * self.timeouts.unreplied.as_millis() / 1000;
        let wanted = u64::try_from(seconds * 100 / expiry::RELAXED_PERCENT).unwrap_or(u64::MAX);
        let wanted = wanted.max(self.capacity.saturating_mul(2));
        wanted.checked_next_power_of_two().unwrap_or(wanted)
    }

    /// The live connections, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Connection> + '_ {
        self.chosen(|_| true)
    }

    /// Those that were seen to have grown in a walk after that moment.
    pub fn grown_since(&self, since_ns: u64) -> impl Iterator<Item = Connection> + '_ {
        self.chosen(move |known| known.changed_ns > since_ns)
    }

    /// Those that began before that moment.
    pub fn begun_before(&self, ns: u64) -> impl Iterator<Item = Connection> + '_ {
        self.chosen(move |known| known.first_ns < ns)
    }

    /// Those that began at that moment or later.
    pub fn begun_since(&self, since_ns: u64) -> impl Iterator<Item = Connection> + '_ {
        self.chosen(move |known| known.first_ns >= since_ns)
    }

    /// Places of live connections of which the kernel has dropped something behind the hooks: it may be dropped long after the packet
    /// was counted, so that they need not have grown.
    #[must_use]
    pub fn places_with_drops(&self) -> Vec<Place> {
        let mut places = self.source.places_with_drops();
        places.retain(|place| self.known.get(*place).is_some());
        places
    }

    fn chosen<'a>(
        &'a self,
        wanted: impl Fn(&Known) -> bool + 'a,
    ) -> impl Iterator<Item = Connection> + 'a {
        let mut step = self.settled();
        let wanted = self.known.iter().filter(move |(_, known)| wanted(known));
        wanted.filter_map(move |(place, known)| {
            Some(known.connection(&self.source.sample(place)?, &mut step))
        })
    }

    /// To the moment up to which all rates are known.
    fn settled(&self) -> Step {
        Step::to(self.settled_ns).looking_since(self.began_ns)
    }

    /// A copy that stays as it is now.
    #[must_use]
    pub fn still(&self) -> Self {
        let samples = Samples::default();
        let mut still = Self::clone(self);
        for connection in self.iter() {
            samples.keep(&connection.sample);
        }
        still.samples = None;
        still.source = Rc::new(samples);
        still
    }

    /// Originator and responder of the connection at a place have changed places, in the source already.
    pub fn swap(&mut self, place: Place) {
        if let Some(known) = self.known.get_mut(place) {
            std::mem::swap(&mut known.orig, &mut known.reply);
            known.rates.swap();
            known.gaps.swap();
        }
    }

    /// The live connection at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<Connection> {
        let known = self.known.get(place)?;
        let sample = self.source.sample(place)?;
        Some(known.connection(&sample, &mut self.settled()))
    }

    /// The one there as it is now, whether a walk has seen it or not. A table of samples has nothing younger than the walk.
    #[must_use]
    pub fn read(&self, place: Place) -> Option<Sample> {
        self.source.sample(place)
    }

    /// When the latest walk began, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn scanned_ns(&self) -> u64 {
        self.scanned_ns
    }

    /// Connections ever seen, live and ended.
    #[must_use]
    pub fn connections_new(&self) -> u64 {
        self.seen
    }

    /// Connections that have ended.
    #[must_use]
    pub fn connections_ended(&self) -> u64 {
        self.ended
    }

    /// Packets and bytes of all connections ever seen, live and ended.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.ended_total + self.live_total
    }

    /// Whether it is time to warn that the table fills up: true once at 80 %, armed again below 70 %.
    pub fn warn_full(&mut self) -> bool {
        let filled = self.len() as u128 * 100;
        let capacity = u128::from(self.capacity);
        if filled < capacity * REARM_PERCENT {
            self.warned = false;
        }
        let warn = !self.warned && filled >= capacity * WARN_PERCENT;
        self.warned |= warn;
        warn
    }
}

/// A walk under way: is given each connection that there is.
#[derive(Debug)]
pub struct Walk<'a> {
    table: &'a mut Table,
    rule: Rule,
    /// To the walk before, for what was silent until then.
    silence: Step,
    step: Step,
    before_ns: u64,
    now_ns: u64,
    evicted: usize,
    /// Connections that will begin until the next walk, if as many do as did of late.
    expected: u64,
}

impl Walk<'_> {
    /// Takes in what is seen of a connection.
    pub fn see(&mut self, seen: &Sighting) -> Grown {
        let table = &mut *self.table;
        let mut busy_ns = seen.last_ns;
        let (counts, status) = if let Some(known) = table.known.get_mut(seen.place) {
            let status = known.status != seen.status;
            let counts = known.update(seen, &mut self.silence, &mut self.step, self.now_ns);
            busy_ns = known.last_ns;
            if counts != Counts::default() {
                // What has counted since it was looked at before is not idle for longer than that: its time may be written late.
                busy_ns = busy_ns.max(self.before_ns);
            }
            (counts, status)
        } else {
            let known = Known::new(seen, &mut self.step, self.now_ns);
            table.known.insert(seen.place, known);
            table.seen += 1;
            (seen.orig + seen.reply, true)
        };
        table.live_total += counts;
        let idle = self.now_ns.saturating_sub(busy_ns);
        let end = self.rule.ended(seen.status, idle);
        if end == Some(EndReason::Evicted) {
            self.evicted += 1;
            self.relax();
        }
        Grown {
            counts,
            status,
            end,
        }
    }

    /// What was evicted has made room: the timeouts become longer again, or all would end that are older than the shortest.
    fn relax(&mut self) {
        let table = &*self.table;
        let step = usize::try_from(table.capacity / RELAXATIONS).unwrap_or(usize::MAX);
        if self.evicted.is_multiple_of(step.max(1)) {
            self.rule = table.rule(self.evicted, self.expected);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
