//! When a display writes: snapshots at their times, and the books now and then.

use std::time::{Duration, Instant};

use crate::plan::Plan;

/// The pause between frames of the live view, in multiples of the time that a frame takes.
const PAUSE_PER_FRAME: u32 = 4;
/// When the live view first shows what there is.
const FIRST_FRAME: Duration = Duration::from_millis(200);
/// How often the books are reported to outputs that show them.
const BOOKS: Duration = Duration::from_secs(10);

/// What is due, and when.
#[derive(Debug)]
pub(super) struct Pace {
    delay: Duration,
    is_live: bool,
    /// `None` where there are none.
    snapshot: Option<Instant>,
    /// When the latest one was shown.
    shown: Option<Instant>,
    books: Instant,
}

impl Pace {
    /// From now on.
    pub fn begin(plan: &Plan, now: Instant) -> Self {
        let is_live = plan.shown.is_live();
        let first = if is_live {
            plan.delay.min(FIRST_FRAME)
        } else {
            plan.delay
        };
        Self {
            delay: plan.delay,
            is_live,
            snapshot: (plan.shown.has_snapshots() && !plan.is_whole()).then(|| now + first),
            shown: None,
            books: now + BOOKS,
        }
    }

    /// Another time between snapshots.
    pub fn change(&mut self, delay: Duration, now: Instant) {
        self.delay = delay;
        if let Some(snapshot) = &mut self.snapshot {
            *snapshot = (*snapshot).min(now + delay);
        }
    }

    /// Nothing happens until then: no books are due before.
    pub fn pass_over(&mut self, until: Instant) {
        self.books = self.books.max(until);
    }

    /// When the next of both is due.
    pub fn next(&self) -> Instant {
        self.snapshot
            .map_or(self.books, |snapshot| snapshot.min(self.books))
    }

    /// Whether there are snapshots, and none of this moment.
    pub fn wants_last(&self, now: Instant) -> bool {
        self.snapshot.is_some() && self.shown != Some(now)
    }

    /// Whether a snapshot is due.
    pub fn wants_snapshot(&self, now: Instant) -> bool {
        self.snapshot.is_some_and(|snapshot| now >= snapshot)
    }

    /// One was shown. Snapshots that are written come as they were ordered; a view that is on all day may not cost more of a
    /// processor than it should.
    pub fn snapshot_took(&mut self, processor_time: Duration, now: Instant) {
        let rest = if self.is_live {
            processor_time * PAUSE_PER_FRAME
        } else {
            Duration::ZERO
        };
        self.snapshot = Some(now + self.delay.max(rest));
        self.shown = Some(now);
    }

    /// Whether the books are due. Then they are not, for a while.
    pub fn take_books(&mut self, now: Instant) -> bool {
        let is_due = now >= self.books;
        if is_due {
            self.books = now + BOOKS;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn snapshots_come_as_they_were_ordered_and_frames_cost_a_fifth_at_most() {
        let now = Instant::now();
        let pace = |is_live| Pace {
            delay: SECOND,
            is_live,
            snapshot: Some(now),
            shown: None,
            books: now + BOOKS,
        };
        for (is_live, pause) in [(false, SECOND), (true, 4 * SECOND)] {
            let mut pace = pace(is_live);
            assert!(pace.wants_snapshot(now));
            pace.snapshot_took(SECOND, now);
            assert!(!pace.wants_snapshot(now));
            assert_eq!(pace.next(), now + pause);
        }
        let mut pace = pace(false);
        pace.snapshot_took(SECOND, now);
        pace.change(SECOND / 2, now);
        assert_eq!(pace.next(), now + SECOND / 2);
    }

    #[test]
    fn books_are_due_every_now_and_then() {
        let now = Instant::now();
        let mut pace = Pace {
            delay: SECOND,
            is_live: false,
            snapshot: None,
            shown: None,
            books: now,
        };
        assert!(pace.take_books(now));
        assert!(!pace.take_books(now + BOOKS / 2));
        assert_eq!(pace.next(), now + BOOKS);
        assert!(!pace.wants_snapshot(now + BOOKS));
    }
}
