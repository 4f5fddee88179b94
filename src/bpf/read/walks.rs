//! A large table is walked over in parts: which comes next, and how many there are.

use std::ops::Range;
use std::time::Duration;

/// Looking at the connections of a part of the table takes at most this share of the time between two walks.
const WALK_SHARE: u32 = 10;
/// The most parts of a walk over the table: an end may be late by this number of ticks.
const WALK_PARTS: usize = 4;
/// Where a table is fuller than this, what is over has to make room in time: then it is walked over as a whole.
const WHOLE_FROM: f64 = 0.6;

/// Which part of the table comes next, and when each was walked over.
#[derive(Debug, Default)]
pub(in crate::bpf) struct Walks {
    parts: usize,
    next: usize,
    /// When the latest walk over each part began, in nanoseconds of `CLOCK_MONOTONIC`.
    began_ns: Vec<u64>,
    pub latest_ns: u64,
}

impl Walks {
    /// The sets of the next part, and since when all of them were looked at.
    pub fn next(&mut self, sets: usize, now_ns: u64) -> (Range<usize>, u64) {
        if self.parts == 0 {
            self.restart(1);
        }
        let part = self.next;
        self.next = (part + 1) % self.parts;
        self.latest_ns = now_ns;
        let before_ns = std::mem::replace(&mut self.began_ns[part], now_ns);
        let start = sets * part / self.parts;
        (start..sets * (part + 1) / self.parts, before_ns)
    }

    /// Since when all parts were walked over.
    pub fn oldest_ns(&self) -> u64 {
        self.began_ns.iter().copied().min().unwrap_or_default()
    }

    fn restart(&mut self, parts: usize) {
        // A part of another size was last looked at as a whole when the oldest of the old ones was.
        let oldest = self.oldest_ns();
        self.parts = parts;
        self.next = 0;
        self.began_ns = vec![oldest; parts];
    }

    /// As if all parts had been looked at then.
    pub fn begin_anew(&mut self, now_ns: u64) {
        self.restart(self.parts.max(1));
        self.began_ns.fill(now_ns);
    }

    /// The number of parts, so that none takes more than its share of the time between two walks.
    pub fn adapt(&mut self, took: Duration, pause_ns: u64, fill: f64) {
        let whole = took * u32::try_from(self.parts).unwrap_or(u32::MAX);
        let share = Duration::from_nanos(pause_ns) / WALK_SHARE;
        if share.is_zero() {
            return;
        }
        let wanted = whole.as_nanos().div_ceil(share.as_nanos());
        let most = if fill > WHOLE_FROM { 1 } else { WALK_PARTS };
        let wanted = usize::try_from(wanted).unwrap_or(most).clamp(1, most);
        // Not for a little: a part that begins anew leaves others waiting.
        let is_urgent = self.parts > most;
        if wanted > self.parts || wanted * 2 < self.parts || is_urgent {
            self.restart(wanted);
        }
    }
}
