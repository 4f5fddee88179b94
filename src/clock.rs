//! The clocks: `CLOCK_MONOTONIC`, which all times of connections are of, and the time that a thread has used.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> Result<u64> {
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
