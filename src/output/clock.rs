//! Wall time: the kernel's stamps are monotonic, people and pipelines read the clock on the wall.

use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};
use serde::{Serialize, Serializer};

use crate::clock;

/// How often the two clocks are read to find the moment at which they were read closest together.
const READINGS: usize = 5;

/// Turns nanoseconds of `CLOCK_MONOTONIC` into local wall time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Wall time minus monotonic time.
    offset_ns: i128,
    zone: TimeZone,
    #[cfg(test)]
    now_ns: Option<u64>,
}

impl Clock {
    /// Reads both clocks and the system's time zone.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            offset_ns: offset_ns()?,
            zone: TimeZone::system(),
            #[cfg(test)]
            now_ns: None,
        })
    }

    /// A clock that stands still, for tests.
    #[cfg(test)]
    pub(crate) fn fixed(offset_ns: i128, zone: TimeZone, now_ns: u64) -> Self {
        Self {
            offset_ns,
            zone,
            now_ns: Some(now_ns),
        }
    }

    /// Reads both clocks again: wall time is set, and monotonic time stands still while the machine sleeps.
    pub fn resample(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if self.now_ns.is_some() {
            return Ok(());
        }
        self.offset_ns = offset_ns()?;
        Ok(())
    }

    /// Now, by the clock of the connections.
    pub fn now_ns(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(now_ns) = self.now_ns {
            return Ok(now_ns);
        }
        clock::monotonic_ns().map_err(io::Error::other)
    }

    /// The wall time at a monotonic time, in nanoseconds since 1970.
    #[must_use]
    pub fn unix_ns(&self, monotonic_ns: u64) -> u64 {
        let wall_ns = i128::from(monotonic_ns) + self.offset_ns;
        u64::try_from(wall_ns).unwrap_or(0)
    }

    /// The wall time at a monotonic time, in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self, monotonic_ns: u64) -> u64 {
        let wall_ns = i128::from(monotonic_ns) + self.offset_ns;
        u64::try_from(wall_ns / 1_000_000).unwrap_or(0)
    }

    /// The wall time at a monotonic time, shown as Suricata does: `2026-04-07T22:24:37.251547+0100`.
    #[must_use]
    pub fn stamp(&self, monotonic_ns: u64) -> Stamp<'_> {
        Stamp {
            clock: self,
            monotonic_ns,
        }
    }
}

/// A moment, shown in local time with microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    clock: &'a Clock,
    monotonic_ns: u64,
}

impl fmt::Display for Stamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall_ns = i128::from(self.monotonic_ns) + self.clock.offset_ns;
        // Out of range only with a clock set beyond the year 9999.
        let time = Timestamp::from_nanosecond(wall_ns).unwrap_or(Timestamp::MAX);
        let zoned = time.to_zoned(self.clock.zone.clone());
        write!(f, "{}", zoned.strftime("%Y-%m-%dT%H:%M:%S%.6f%z"))
    }
}

impl Serialize for Stamp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The offset at the reading that was interrupted least. A capture's time is wall time.
fn offset_ns() -> io::Result<i128> {
    if clock::is_replay() {
        return Ok(0);
    }
    let mut best: Option<(Duration, i128)> = None;
    for _ in 0..READINGS {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        let width = after.saturating_sub(before);
        if best.is_none_or(|(narrowest, _)| width < narrowest) {
            let middle = before + width / 2;
            best = Some((width, signed_ns(wall) - signed_ns(middle)));
        }
    }
    Ok(best.map_or(0, |(_, offset)| offset))
}

fn read(clock: ClockId) -> io::Result<Duration> {
    Ok(clock_gettime(clock)?.into())
}

fn signed_ns(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    /// 2026-04-07T21:24:37.251547 UTC.
    const MOMENT_NS: i128 = 1_775_597_077_251_547_000;

    #[test]
    fn looks_like_suricatas() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let clock = Clock::fixed(MOMENT_NS - 5_000, zone, 0);
        assert_eq!(
            clock.stamp(5_999).to_string(),
            "2026-04-07T22:24:37.251547+0100"
        );
        assert_eq!(
            clock.stamp(6_000).to_string(),
            "2026-04-07T22:24:37.251548+0100"
        );
    }

    #[test]
    fn zones_west_of_greenwich_and_whole_seconds() {
        let zone = TimeZone::get("America/St_Johns").unwrap();
        let clock = Clock::fixed(1_767_225_600_000_000_000, zone, 0);
        assert_eq!(
            clock.stamp(0).to_string(),
            "2025-12-31T20:30:00.000000-0330"
        );
        let clock = Clock::fixed(0, TimeZone::UTC, 0);
        assert_eq!(
            clock.stamp(0).to_string(),
            "1970-01-01T00:00:00.000000+0000"
        );
    }

    #[test]
    fn agrees_with_the_system() {
        let mut clock = Clock::new().unwrap();
        clock.resample().unwrap();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let wall_ns = i128::from(clock.now_ns().unwrap()) + clock.offset_ns;
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        // Generous: a clock may be stepped during a test, but not by this much.
        let slack = 1_000_000_000;
        assert!(signed_ns(before) - slack < wall_ns && wall_ns < signed_ns(after) + slack);
    }
}
