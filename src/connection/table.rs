//! The connections that are live, as the kernel's tables had them at the last scan, and the totals of those that ended.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use super::expiry::{Expiry, Rule, Timeouts};
use super::gaps::Gaps;
use super::key::ConnectionId;
use super::rates::{Rates, Step};
use super::record::{Counts, EndReason, Sample};

/// From this fill on the user is warned, in percent.
const WARN_PERCENT: u128 = 80;
/// Below this fill the warning is armed again, in percent.
const REARM_PERCENT: u128 = 70;

/// A live connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// As the last scan had it.
    pub sample: Sample,
    /// How fast it is.
    pub rates: Rates,
    /// How long it was silent between two packets.
    pub gaps: Gaps,
    /// The scan at which its packets were last seen to have grown, in nanoseconds of `CLOCK_MONOTONIC`.
    pub changed_ns: u64,
}

impl Connection {
    /// As it is when a scan first has it.
    #[must_use]
    pub fn new(sample: &Sample, now_ns: u64) -> Self {
        let mut rates = Rates::new(sample.first_ns);
        rates.update(sample.orig, sample.reply, &mut Step::to(now_ns));
        Self {
            sample: *sample,
            rates,
            gaps: Gaps::new(sample, now_ns),
            changed_ns: now_ns,
        }
    }

    fn update(&mut self, sample: &Sample, now_ns: u64, step: &mut Step) {
        let orig = grown(self.sample.orig, sample.orig);
        let reply = grown(self.sample.reply, sample.reply);
        if orig.packets + reply.packets > 0 {
            self.changed_ns = now_ns;
        }
        self.rates.update(orig, reply, step);
        self.gaps
            .update(orig.packets > 0, reply.packets > 0, now_ns);
        self.sample = *sample;
    }
}

fn grown(before: Counts, after: Counts) -> Counts {
    Counts {
        packets: after.packets.saturating_sub(before.packets),
        bytes: after.bytes.saturating_sub(before.bytes),
    }
}

/// Connection ids are keyed hashes already; hashing them again would only cost time.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

/// All live connections.
#[derive(Clone, Debug)]
pub struct Table {
    connections: HashMap<ConnectionId, Connection, BuildHasherDefault<IdHasher>>,
    capacity: u64,
    timeouts: Timeouts,
    scanned_ns: u64,
    seen: u64,
    ended: u64,
    ended_total: Counts,
    warned: bool,
}

impl Table {
    /// An empty table beside a kernel table with room for `capacity` connections.
    #[must_use]
    pub fn new(capacity: u64, timeouts: Timeouts) -> Self {
        Self {
            connections: HashMap::default(),
            capacity,
            timeouts,
            scanned_ns: 0,
            seen: 0,
            ended: 0,
            ended_total: Counts::default(),
            warned: false,
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

    /// Changes what ends connections from now on.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Takes in a scan of the kernel's table. A connection that a scan lacks stays as it is, without traffic: only
    /// [`Self::end`] removes one.
    ///
    /// Must not be given samples taken before a call of [`Self::end`] for the same connection.
    pub fn apply(&mut self, samples: impl IntoIterator<Item = Sample>, now_ns: u64) {
        let mut step = Step::to(now_ns);
        let samples = samples.into_iter();
        let new = samples.size_hint().0.saturating_sub(self.len());
        self.connections.reserve(new);
        for sample in samples {
            match self.connections.entry(sample.id) {
                Entry::Occupied(mut known) => {
                    known.get_mut().update(&sample, now_ns, &mut step);
                }
                Entry::Vacant(free) => {
                    free.insert(Connection::new(&sample, now_ns));
                    self.seen += 1;
                }
            }
        }
        for silent in self.connections.values_mut() {
            if silent.rates.updated_ns() < now_ns {
                silent
                    .rates
                    .update(Counts::default(), Counts::default(), &mut step);
            }
        }
        self.scanned_ns = now_ns;
    }

    /// The connections that have been silent for their timeout, in no particular order.
    #[must_use]
    pub fn expired(&self, now_ns: u64) -> Vec<Expiry> {
        let rule = Rule::new(self.timeouts, self.connections.len(), self.capacity);
        self.iter()
            .filter_map(|connection| {
                let sample = &connection.sample;
                Some(Expiry {
                    id: sample.id,
                    packets: sample.total().packets,
                    reason: rule.ended(sample, now_ns)?,
                })
            })
            .collect()
    }

    /// Removes a connection that the kernel's table no longer has, with its last counts.
    ///
    /// Every end counts the same in the totals; the reason is taken so that no caller ends a connection without one.
    pub fn end(&mut self, final_sample: Sample, _reason: EndReason) {
        if self.connections.remove(&final_sample.id).is_none() {
            self.seen += 1;
        }
        self.ended += 1;
        self.ended_total += final_sample.total();
    }

    /// How many connections are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Room in the kernel's table.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How full the kernel's table is, 0 to 1.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a ratio for people; the thresholds are compared as integers"
    )]
    pub fn fill(&self) -> f64 {
        (self.len() as f64 / self.capacity.max(1) as f64).min(1.0)
    }

    /// The live connections, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    /// One live connection.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// When the last scan was, in nanoseconds of `CLOCK_MONOTONIC`.
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
        self.ended_total
            + self
                .iter()
                .map(|connection| connection.sample.total())
                .sum()
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

#[cfg(test)]
mod tests;
