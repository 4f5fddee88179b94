//! The clocks: of connections, of this machine, and of used CPU time.
//!
//! While packets pass an interface, the first two are one: `CLOCK_MONOTONIC`. In a replay the first one is that of the capture, in
//! nanoseconds since 1970, and moves as its frames are read. What is about the traffic asks [`monotonic_ns`] and [`now`]; what is about
//! this process (how long a reader, a command or a collector may take) asks the machine: [`machine_ns`] and [`Instant::now`].

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// The time of the capture, in nanoseconds since 1970; 0 = there is none.
static CAPTURE_NS: AtomicU64 = AtomicU64::new(0);
/// A moment of this machine that stands for 1970 there.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Begins a replay: from now on the clock is that of a capture, and this is its time. It is never 0.
pub fn begin_replay(ns: u64) {
    ORIGIN.get_or_init(Instant::now);
    CAPTURE_NS.store(ns.max(1), Relaxed);
}

/// The capture has come to this moment. Its clock never goes back: a moment that is over changes nothing.
pub fn replay_until(ns: u64) {
    CAPTURE_NS.fetch_max(ns, Relaxed);
}

/// Whether the clock is that of a capture.
pub fn is_replay() -> bool {
    CAPTURE_NS.load(Relaxed) != 0
}

/// Now, by the clock of the connections, in nanoseconds: of `CLOCK_MONOTONIC`, or since 1970 in a replay.
pub fn monotonic_ns() -> Result<u64> {
    match CAPTURE_NS.load(Relaxed) {
        0 => machine_ns(),
        ns => Ok(ns),
    }
}

/// The same, to be compared with others: what is due by the traffic's time is due by this one.
#[must_use]
pub fn now() -> Instant {
    match CAPTURE_NS.load(Relaxed) {
        0 => Instant::now(),
        ns => moment(ns),
    }
}

/// A moment of the capture as [`now`] has it.
#[must_use]
pub fn moment(ns: u64) -> Instant {
    let origin = *ORIGIN.get_or_init(Instant::now);
    origin + Duration::from_nanos(ns)
}

/// What moment of the capture that is, in nanoseconds since 1970.
#[must_use]
pub fn capture_ns(moment: Instant) -> u64 {
    let origin = *ORIGIN.get_or_init(Instant::now);
    let since = moment.saturating_duration_since(origin).as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// Now, in nanoseconds of this machine's `CLOCK_MONOTONIC`.
pub fn machine_ns() -> Result<u64> {
    Ok(read_clock(ClockId::CLOCK_MONOTONIC)?
        .as_nanos()
        .try_into()?)
}

/// What this thread has used of its processor.
pub fn processor_time() -> Result<Duration> {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: ClockId) -> Result<Duration> {
    let now = clock_gettime(clock).context("cannot read the clock")?;
    Ok(Duration::from(now))
}
