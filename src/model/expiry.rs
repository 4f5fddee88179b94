//! When a connection has ended: netfilter's timeouts, shortened for exchanges that are over while the table fills up.

use std::time::Duration;

use super::key::Place;
use super::record::{EndReason, Sample, Status};

/// How long a connection may be silent after an ICMP error, and one that is not assured in a full table.
const SHORTEST: Duration = Duration::from_secs(1);
const SHORTEST_NS: u64 = 1_000_000_000;
/// Up to this fill, in percent, the timeouts hold.
pub(super) const RELAXED_PERCENT: u128 = 60;
/// From this fill on, in percent, connections that are not assured get [`SHORTEST`].
const TIGHT_PERCENT: u128 = 95;

/// How long a connection may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Unreplied and replied connections (`--udp-timeout`).
    pub unreplied: Duration,
    /// Assured connections (`--stream-timeout`).
    pub assured: Duration,
}

impl Default for Timeouts {
    /// Netfilter's values.
    fn default() -> Self {
        Self {
            unreplied: Duration::from_secs(30),
            assured: Duration::from_secs(120),
        }
    }
}

impl Timeouts {
    /// How long a connection may still be silent, in a table with room.
    #[must_use]
    pub fn left(&self, sample: &Sample, now_ns: u64) -> Duration {
        let timeout = match sample.status {
            Status::Unreach => SHORTEST,
            Status::Assured => self.assured,
            Status::Unreplied | Status::Replied => self.unreplied,
        };
        let idle = Duration::from_nanos(now_ns.saturating_sub(sample.last_ns));
        timeout.saturating_sub(idle)
    }
}

/// A connection that has been silent for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Where it lies.
    pub place: Place,
    /// Its packets in both directions when it was looked at: it is ended only if this is unchanged.
    pub packets: u64,
    /// Why.
    pub reason: EndReason,
}

/// The timeouts as they are at one fill of the table, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// What a connection that is not assured gets now.
    unreplied_now: u64,
    /// What it would get in a table with room.
    unreplied: u64,
    assured: u64,
}

impl Rule {
    pub(super) fn new(timeouts: Timeouts, live: u64, capacity: u64) -> Self {
        let unreplied = timeouts.unreplied.as_nanos();
        let now = adaptive(unreplied, u128::from(live), u128::from(capacity));
        let ns = |time: u128| u64::try_from(time).unwrap_or(u64::MAX);
        Self {
            unreplied_now: ns(now),
            unreplied: ns(unreplied),
            assured: ns(timeouts.assured.as_nanos()),
        }
    }

    /// Why a connection of this status, idle for this number of nanoseconds, has ended, if it has.
    pub(super) fn ended(&self, status: Status, idle: u64) -> Option<EndReason> {
        let (timeout, reason) = match status {
            Status::Unreach => (SHORTEST_NS, EndReason::Unreach),
            Status::Assured => (self.assured, EndReason::Idle),
            _ if idle < self.unreplied => (self.unreplied_now, EndReason::Evicted),
            _ => (self.unreplied, EndReason::Idle),
        };
        (idle >= timeout).then_some(reason)
    }
}

/// Shrinks a timeout linearly between the two fills. Integers, so that the edges are exact.
fn adaptive(timeout: u128, live: u128, capacity: u128) -> u128 {
    let shortest = SHORTEST.as_nanos().min(timeout);
    let over = (live * 100).saturating_sub(capacity * RELAXED_PERCENT);
    let span = capacity * (TIGHT_PERCENT - RELAXED_PERCENT);
    if over >= span {
        return shortest;
    }
    timeout - (timeout - shortest) * over / span
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u128 = 1_000_000_000;

    #[test]
    fn timeout_shrinks_between_the_two_fills() {
        let at = |live| adaptive(36 * SECOND, live, 100);
        assert_eq!(at(0), 36 * SECOND);
        assert_eq!(at(60), 36 * SECOND);
        assert_eq!(at(61), 35 * SECOND);
        assert_eq!(at(78), 18 * SECOND);
        assert_eq!(at(94), 2 * SECOND);
        assert_eq!(at(95), SECOND);
        assert_eq!(at(100), SECOND);
        assert_eq!(at(130), SECOND);
    }

    #[test]
    fn a_timeout_below_the_shortest_is_never_lengthened() {
        assert_eq!(adaptive(SECOND / 2, 10, 100), SECOND / 2);
        assert_eq!(adaptive(SECOND / 2, 80, 100), SECOND / 2);
        assert_eq!(adaptive(SECOND / 2, 100, 100), SECOND / 2);
    }

    #[test]
    fn a_table_without_room_is_full() {
        assert_eq!(adaptive(30 * SECOND, 0, 0), SECOND);
    }

    #[test]
    fn defaults_are_netfilters() {
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.unreplied.as_secs(), 30);
        assert_eq!(timeouts.assured.as_secs(), 120);
    }
}
