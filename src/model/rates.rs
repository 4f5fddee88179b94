//! How fast a connection is: exponentially weighted averages over 2, 10 and 40 seconds.
//!
//! Before its first packet a connection had no traffic, so its averages start from zero. That keeps them linear:
//! the rates of several connections add up to the rate of them all, also when most of them are one packet old.
//! Of the time before the run nothing is known, so it has no weight ([`Step::looking_since`]): in its first seconds a run's averages
//! are those of the time that it has looked. That divides all rates of a moment by the same number, so they still add up.

use super::record::Counts;

/// Over which time the traffic is averaged: the time constant of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Two seconds: what happens now.
    #[default]
    Short,
    /// Ten seconds.
    Medium,
    /// Forty seconds: what is usual.
    Long,
}

impl Window {
    /// All windows, shortest first.
    pub const ALL: [Self; 3] = [Self::Short, Self::Medium, Self::Long];

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        match self {
            Self::Short => 2,
            Self::Medium => 10,
            Self::Long => 40,
        }
    }
}

/// Packets and frame bytes per second. `f32` halves what a table of millions holds; seven digits are plenty for a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Packets per second on the wire.
    pub packets: f32,
    /// Frame bytes per second on the wire.
    pub bytes: f32,
}

impl std::ops::Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// The averages of both directions of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    orig: [Rate; Window::ALL.len()],
    reply: [Rate; Window::ALL.len()],
    /// Up to when the averages are known, in nanoseconds of `CLOCK_MONOTONIC`.
    updated_ns: u64,
}

impl Rates {
    /// The averages of a connection whose first packet came at `first_ns`: nothing yet.
    #[must_use]
    pub fn new(first_ns: u64) -> Self {
        Self {
            orig: Default::default(),
            reply: Default::default(),
            updated_ns: first_ns,
        }
    }

    /// Originator and responder change places.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.orig, &mut self.reply);
    }

    /// Takes in what came since the last call. A clock that stands still or goes back counts as no time passed.
    pub fn update(&mut self, orig: Counts, reply: Counts, step: &mut Step) {
        let weights = step.weights(self.updated_ns);
        for (index, weights) in weights.iter().enumerate() {
            weights.apply(&mut self.orig[index], orig);
            weights.apply(&mut self.reply[index], reply);
        }
        self.updated_ns = self.updated_ns.max(step.now_ns);
    }

    /// Up to when the averages are known, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn updated_ns(&self) -> u64 {
        self.updated_ns
    }

    /// As they are at a later moment when nothing came in between.
    #[must_use]
    pub fn decayed(mut self, step: &mut Step) -> Self {
        if self.updated_ns < step.now_ns {
            self.update(Counts::default(), Counts::default(), step);
        }
        self
    }

    /// From originator to responder.
    #[must_use]
    pub fn orig(&self, window: Window) -> Rate {
        self.orig[window as usize]
    }

    /// From responder to originator.
    #[must_use]
    pub fn reply(&self, window: Window) -> Rate {
        self.reply[window as usize]
    }

    /// Both directions together.
    #[must_use]
    pub fn total(&self, window: Window) -> Rate {
        self.orig(window) + self.reply(window)
    }
}

/// The rates of several connections add up to the rate of them all.
impl std::ops::AddAssign for Rates {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.orig.iter_mut().zip(other.orig) {
            *mine = *mine + theirs;
        }
        for (mine, theirs) in self.reply.iter_mut().zip(other.reply) {
            *mine = *mine + theirs;
        }
        self.updated_ns = self.updated_ns.max(other.updated_ns);
    }
}

/// A moment that many connections are brought up to. Most of them come from the same moment before: their weights are
/// computed once.
#[derive(Clone, Debug)]
pub struct Step {
    began_ns: Option<u64>,
    now_ns: u64,
    from_ns: Option<u64>,
    weights: [Weights; Window::ALL.len()],
}

impl Step {
    /// To this moment, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn to(now_ns: u64) -> Self {
        Self {
            began_ns: None,
            now_ns,
            from_ns: None,
            weights: Default::default(),
        }
    }

    /// The same of averages that know nothing of the time before `began_ns`, in nanoseconds of `CLOCK_MONOTONIC`. Without one, nothing came
    /// before.
    #[must_use]
    pub fn looking_since(mut self, began_ns: Option<u64>) -> Self {
        self.began_ns = began_ns;
        self.from_ns = None;
        self
    }

    fn weights(&mut self, from_ns: u64) -> &[Weights; Window::ALL.len()] {
        if self.from_ns != Some(from_ns) {
            let elapsed = seconds(self.now_ns.saturating_sub(from_ns));
            // What a resumed table counted before the run came in the time that its connections say.
            let known = [from_ns, self.now_ns].map(|ns| {
                let began_ns = self.began_ns.map(|began_ns| began_ns.min(from_ns));
                began_ns.map_or(f64::INFINITY, |began_ns| {
                    seconds(ns.saturating_sub(began_ns))
                })
            });
            self.weights = Window::ALL
                .map(|window| Weights::over(elapsed, known, f64::from(window.seconds())));
            self.from_ns = Some(from_ns);
        }
        &self.weights
    }
}

/// The weight of the latest seconds, of all weight.
fn weight(latest: f64, window: f64) -> f64 {
    // exp_m1 keeps its digits for the small steps that 1 - exp() would lose.
    -(-latest / window).exp_m1()
}

/// Below this an average is none: packets or bytes per second. It would else fall on for hours, to numbers that processors
/// are slow with.
const NOTHING: f32 = 1e-6;

/// What one step does to an average: `old * keep + count * add`.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    keep: f64,
    /// Per second; the new traffic is spread evenly over the elapsed time.
    add: f64,
}

impl Weights {
    /// Over a step of `elapsed` seconds; `known` is how long traffic was known before it and after it.
    fn over(elapsed: f64, known: [f64; 2], window: f64) -> Self {
        let fresh = weight(elapsed, window);
        let [before, after] = known.map(|known| weight(known, window));
        // No time at all is known at the moment when a run begins.
        let (before, after) = if after > 0.0 {
            (before, after)
        } else {
            (1.0, 1.0)
        };
        Self {
            keep: (1.0 - fresh) * before / after,
            // The limit for no time at all is the weight of an impulse: no packet is left out of the average.
            add: if elapsed > 0.0 {
                fresh / elapsed
            } else {
                1.0 / window
            } / after,
        }
    }

    fn apply(&self, rate: &mut Rate, counts: Counts) {
        rate.packets = self.step(rate.packets, counts.packets);
        rate.bytes = self.step(rate.bytes, counts.bytes);
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an average is rounded to the digits of f32 on purpose"
    )]
    fn step(&self, old: f32, count: u64) -> f32 {
        let rate = (f64::from(old) * self.keep + count as f64 * self.add) as f32;
        if rate < NOTHING { 0.0 } else { rate }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a step between two scans is far below 2^53 ns (104 days)"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn counts(packets: u64, bytes: u64) -> Counts {
        Counts { packets, bytes }
    }

    #[track_caller]
    fn close(left: f32, right: f64) {
        let left = f64::from(left);
        assert!(
            (left - right).abs() <= right.abs() * 1e-5,
            "{left} is not {right}"
        );
    }

    #[test]
    fn starts_at_zero() {
        let rates = Rates::new(5 * SECOND);
        for window in Window::ALL {
            assert_eq!(rates.total(window), Rate::default());
        }
    }

    #[test]
    fn one_step_weighs_each_window_by_its_length() {
        let mut rates = Rates::new(0);
        rates.update(
            counts(100, 10_000),
            counts(50, 80_000),
            &mut Step::to(SECOND),
        );
        for window in Window::ALL {
            let fresh = 1.0 - (-1.0 / f64::from(window.seconds())).exp();
            close(rates.orig(window).packets, 100.0 * fresh);
            close(rates.orig(window).bytes, 10_000.0 * fresh);
            close(rates.reply(window).packets, 50.0 * fresh);
            close(rates.reply(window).bytes, 80_000.0 * fresh);
        }
    }

    #[test]
    fn steady_traffic_converges_to_its_rate() {
        let mut rates = Rates::new(0);
        for tick in 1..=1000 {
            rates.update(
                counts(1000, 64_000),
                counts(0, 0),
                &mut Step::to(tick * SECOND),
            );
        }
        for window in Window::ALL {
            close(rates.orig(window).packets, 1000.0);
            close(rates.orig(window).bytes, 64_000.0);
            assert_eq!(rates.reply(window), Rate::default());
        }
    }

    #[test]
    fn ticks_of_any_length_give_the_same_average() {
        let steps: [u64; 6] = [1, 7, 40, 152, 300, 500];
        assert_eq!(steps.iter().sum::<u64>(), 1000);
        let (mut irregular, mut single, mut now) = (Rates::new(0), Rates::new(0), 0);
        for step in steps {
            now += step * 1_000_000;
            irregular.update(counts(step, 100 * step), counts(0, 0), &mut Step::to(now));
        }
        single.update(counts(1000, 100_000), counts(0, 0), &mut Step::to(SECOND));
        for window in Window::ALL {
            close(
                irregular.orig(window).bytes,
                f64::from(single.orig(window).bytes),
            );
        }
    }

    #[test]
    fn silence_halves_the_short_average_in_its_half_life() {
        let mut rates = Rates::new(0);
        rates.update(counts(100, 1000), counts(0, 0), &mut Step::to(0));
        // ln 2 times two seconds.
        rates.update(counts(0, 0), counts(0, 0), &mut Step::to(1_386_294_361));
        close(rates.orig(Window::Short).packets, 25.0);
        close(rates.orig(Window::Short).bytes, 250.0);
    }

    #[test]
    fn no_time_passed_counts_as_an_impulse() {
        let mut rates = Rates::new(SECOND);
        rates.update(counts(1, 100), counts(2, 40), &mut Step::to(SECOND));
        close(rates.orig(Window::Short).packets, 0.5);
        close(rates.orig(Window::Medium).bytes, 10.0);
        close(rates.reply(Window::Long).bytes, 1.0);
        // The smallest step there is agrees with it.
        let mut later = Rates::new(SECOND);
        later.update(counts(1, 100), counts(2, 40), &mut Step::to(SECOND + 1));
        close(later.orig(Window::Short).packets, 0.5);
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing_but_the_traffic() {
        let mut rates = Rates::new(5 * SECOND);
        rates.update(counts(1, 100), counts(0, 0), &mut Step::to(3 * SECOND));
        close(rates.orig(Window::Short).packets, 0.5);
        let mut same = rates;
        same.update(counts(0, 0), counts(0, 0), &mut Step::to(5 * SECOND));
        assert_eq!(same, rates);
    }

    #[test]
    fn the_time_before_the_run_has_no_weight() {
        let began = 100 * SECOND;
        let step = |second: u64| Step::to(began + second * SECOND).looking_since(Some(began));
        let mut steady = Rates::new(began);
        for second in 1..=50 {
            steady.update(counts(100, 6_400), counts(0, 0), &mut step(second));
            for window in Window::ALL {
                close(steady.orig(window).packets, 100.0);
                close(steady.orig(window).bytes, 6_400.0);
            }
        }
        // A connection that begins later had no traffic before: over ten seconds, 100 packets a second in one of four.
        let mut late = Rates::new(began + 3 * SECOND);
        late.update(counts(100, 0), counts(0, 0), &mut step(4));
        let fresh = 1.0 - (-0.1_f64).exp();
        let known = 1.0 - (-0.4_f64).exp();
        close(late.orig(Window::Medium).packets, 100.0 * fresh / known);
        // What a table counted before the run that resumes it came in the time of its connections.
        let mut resumed = Rates::new(0);
        resumed.update(counts(1_000, 0), counts(0, 0), &mut step(0));
        close(resumed.orig(Window::Long).packets, 10.0);
        resumed.update(counts(10, 0), counts(0, 0), &mut step(1));
        close(resumed.orig(Window::Long).packets, 10.0);
    }

    #[test]
    fn rates_of_connections_add_up() {
        let (mut one, mut two, mut both) = (Rates::new(0), Rates::new(0), Rates::new(0));
        one.update(counts(3, 300), counts(0, 0), &mut Step::to(SECOND / 3));
        two.update(counts(4, 500), counts(0, 0), &mut Step::to(SECOND / 3));
        both.update(counts(7, 800), counts(0, 0), &mut Step::to(SECOND / 3));
        let sum = one.orig(Window::Short) + two.orig(Window::Short);
        close(sum.bytes, f64::from(both.orig(Window::Short).bytes));
    }

    #[test]
    fn stays_small() {
        assert_eq!(std::mem::size_of::<Rates>(), 56);
    }
}
