//! When something was done here, and so how long an answer can have taken: a machine that is held up makes it long, never wrong.

use std::ops::RangeInclusive;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use udptrack::model::Response;

/// From when to when, or from how long to how long, in ns. Times are of the monotonic clock.
pub type Span = RangeInclusive<u64>;

pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(Duration::from(now).as_nanos()).unwrap()
}

/// Does it, and says when it was done.
pub fn timed<Done>(act: impl FnOnce() -> Done) -> Span {
    let start = now_ns();
    act();
    start..=now_ns()
}

/// How long what was asked then waited for what was answered then.
pub fn took(asked: &Span, answered: &Span) -> Span {
    answered.start() - asked.end()..=answered.end() - asked.start()
}

/// Holds the times of all answers to how long each of them can have taken.
pub fn assert_took(response: &Response, answers: &[Span]) {
    let span = |of: fn(Vec<u64>) -> u64| {
        of(answers.iter().map(|took| *took.start()).collect())
            ..=of(answers.iter().map(|took| *took.end()).collect())
    };
    assert_eq!(response.answered, answers.len() as u64, "{response:?}");
    for (measured, within) in [
        (response.sum_ns, span(|all| all.into_iter().sum())),
        (response.min_ns, span(|all| all.into_iter().min().unwrap())),
        (response.max_ns, span(|all| all.into_iter().max().unwrap())),
    ] {
        assert!(within.contains(&measured), "{within:?}: {response:?}");
    }
}
