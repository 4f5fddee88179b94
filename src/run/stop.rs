//! Whether the run must end, and how long each step of its end may take: for steps that wait for a reader or send what is left.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reader may take nothing at the end of the run.
const STANDSTILL: Duration = Duration::from_secs(5);
/// How long the rest of the output may take.
const IN_ALL: Duration = Duration::from_secs(60);
/// A second signal that comes this soon is the first one, sent twice: by the terminal, and by a parent that passes it on.
const TWICE: Duration = Duration::from_millis(300);

/// How often a message tells how much is left, if a step takes long.
const PROGRESS: Duration = Duration::from_secs(1);

static STOP: Mutex<Stop> = Mutex::new(Stop {
    since: None,
    pressed: None,
    is_urgent: false,
});

#[derive(Clone, Copy, Debug)]
struct Stop {
    since: Option<Instant>,
    /// The first signal.
    pressed: Option<Instant>,
    is_urgent: bool,
}

impl Stop {
    /// Asked for once more.
    fn press(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        let pressed = *self.pressed.get_or_insert(now);
        self.is_urgent |= now.saturating_duration_since(pressed) > TWICE;
    }

    /// Whether a write that has waited since then is given up.
    fn gives_up(&self, waiting: Instant, now: Instant) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        self.is_urgent || now >= waiting.max(since) + STANDSTILL || now >= since + IN_ALL
    }
}

/// A step of an end, which waits for something to become less.
#[derive(Debug)]
pub(super) struct Step {
    left: usize,
    /// When it last became less.
    moved: Instant,
    said: Instant,
}

impl Step {
    /// How much there is to do.
    pub fn begin(left: usize) -> Self {
        let now = Instant::now();
        Self {
            left,
            moved: now,
            said: now,
        }
    }

    /// Whether the step may continue, with this much left. Calls `say` about once a second.
    pub fn goes_on(&mut self, left: usize, say: impl FnOnce()) -> bool {
        let now = Instant::now();
        if left < self.left {
            self.moved = now;
        }
        self.left = left;
        if now.saturating_duration_since(self.said) >= PROGRESS {
            self.said = now;
            say();
        }
        !gives_up(self.moved)
    }
}

/// The run ends from now on, if it did not before.
pub(super) fn begin() {
    with(|stop| {
        stop.since.get_or_insert_with(Instant::now);
    });
}

/// A signal asks for the end. Returns whether it is not the first one: then nothing is waited for any more.
pub(super) fn press() -> bool {
    with(|stop| {
        stop.press(Instant::now());
        stop.is_urgent
    })
}

/// Whether the run is to end.
pub(super) fn has_begun() -> bool {
    with(|stop| stop.since.is_some())
}

/// Whether a write that has waited for its reader since then is given up.
pub(super) fn gives_up(waiting: Instant) -> bool {
    with(|stop| stop.gives_up(waiting, Instant::now()))
}

fn with<R>(work: impl FnOnce(&mut Stop) -> R) -> R {
    work(&mut STOP.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stop(since: Option<Instant>) -> Stop {
        Stop {
            since,
            pressed: None,
            is_urgent: false,
        }
    }

    #[test]
    fn a_run_that_goes_on_waits_for_its_reader() {
        let now = Instant::now();
        assert!(!stop(None).gives_up(now, now + Duration::from_secs(3600)));
    }

    #[test]
    fn an_end_waits_for_a_reader_that_reads_but_not_for_ever() {
        let now = Instant::now();
        let second = |second| now + Duration::from_secs(second);
        let stop = stop(Some(now));
        assert!(!stop.gives_up(now, second(4)));
        assert!(stop.gives_up(now, second(5)));
        assert!(!stop.gives_up(second(55), second(59)));
        assert!(stop.gives_up(second(59), second(60)));
    }

    #[test]
    fn what_waited_before_waits_on_for_a_while() {
        let now = Instant::now();
        let second = |second| now + Duration::from_secs(second);
        let stop = stop(Some(second(100)));
        assert!(!stop.gives_up(now, second(104)));
        assert!(stop.gives_up(now, second(105)));
    }

    #[test]
    fn a_second_signal_is_urgent_unless_it_is_the_first() {
        // An end that began by itself is no signal.
        let began = Instant::now();
        let now = began + Duration::from_secs(1);
        let mut stop = stop(Some(began));
        stop.press(now);
        stop.press(now + TWICE);
        assert!(!stop.is_urgent);
        stop.press(now + TWICE + Duration::from_millis(1));
        assert!(stop.is_urgent && stop.gives_up(now, now));
    }
}
