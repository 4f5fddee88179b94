//! The goals of udptrack, each with the measured value and whether it is met.

use crate::measure::{Series, Spread, Who};
use crate::path::Outcome;

/// What a goal says about a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Bar {
    pub fn passes(self, number: f64) -> bool {
        match self {
            Self::AtMost(most) => number <= most,
            Self::AtLeast(least) => number >= least,
            Self::Exactly(wanted) => number == wanted,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::Exactly(wanted) => write!(f, "= {wanted}"),
        }
    }
}

/// One bar and what came of it.
#[derive(Clone, Debug)]
pub struct Gate {
    pub what: String,
    pub bar: Bar,
    /// Median and spread; none where it could not be measured here, for this reason.
    pub measured: Result<Spread, String>,
}

impl Gate {
    pub fn new(what: impl Into<String>, bar: Bar, measured: Spread) -> Self {
        Self {
            what: what.into(),
            bar,
            measured: Ok(measured),
        }
    }

    pub fn passes(&self) -> bool {
        self.measured
            .as_ref()
            .is_ok_and(|spread| self.bar.passes(spread.median))
    }
}

/// A number without a spread.
pub fn exact(number: f64) -> Spread {
    Spread {
        median: number,
        low: number,
        high: number,
    }
}

/// The gates of the packet path.
pub fn of_path(outcomes: &[Outcome]) -> Vec<Gate> {
    use Bar::{AtMost, Exactly};
    let mut gates = Vec::new();
    let find = |name: &str| outcomes.iter().find(|outcome| outcome.name == name);
    for (case, most) in [
        ("1 connection", 0.45),
        ("1,000 connections", 0.45),
        ("8,000", 0.55),
        ("64,000", 0.50),
        ("1,000,000", 0.45),
        ("1,000,000 skewed", 0.60),
        ("new connections", 1.0),
        ("new connections, table full", 0.20),
        ("1 connection on two CPUs", 0.60),
    ] {
        let ratio = find(case).and_then(|outcome| outcome.measured.ratio(Who::Udptrack, Who::Lru));
        if let Some(ratio) = ratio {
            let what = format!("{case}: to the LRU hash");
            gates.push(Gate::new(what, AtMost(most), ratio));
        }
    }
    if let Some(outcome) = find("1,000, an event each") {
        if let Some(added) = outcome.measured.above(Who::Changed, Who::Udptrack) {
            let what = "an event for each packet: nanoseconds more";
            gates.push(Gate::new(what, AtMost(60.0), (&added).into()));
        }
        if let Some(events) = outcome.events {
            let offered = events.per_second / 1e6;
            let all = events.read + events.lost;
            let what = format!("events lost, of {all} at {offered:.1} million/s");
            gates.push(Gate::new(what, Exactly(0.0), exact(events.lost as f64)));
        }
    }
    between(outcomes, &mut gates);
    if !outcomes.is_empty() {
        let difference: u64 = outcomes.iter().map(|outcome| outcome.difference).sum();
        let what = "all cases: packets and bytes by which the books are off";
        gates.push(Gate::new(what, Exactly(0.0), exact(difference as f64)));
    }
    gates
}

/// Those that compare two cases.
fn between(outcomes: &[Outcome], gates: &mut Vec<Gate>) {
    let cost = |name: &str| {
        let outcome = outcomes.iter().find(|outcome| outcome.name == name)?;
        outcome.measured.cost(Who::Udptrack)
    };
    for (what, above, below, most) in [
        (
            "TC to XDP, received",
            "TC received, 1,000",
            "1,000 connections",
            1.3,
        ),
        (
            "TC to XDP, sent",
            "TC sent, 1,000",
            "1,000 connections",
            1.3,
        ),
        (
            "IPv6 to IPv4, 1 connection",
            "IPv6, 1 connection",
            "1 connection",
            2.5,
        ),
        (
            "IPv6 to IPv4, 1,000 connections",
            "IPv6, 1,000",
            "1,000 connections",
            2.5,
        ),
    ] {
        if let (Some(above), Some(below)) = (cost(above), cost(below)) {
            gates.push(Gate::new(what, Bar::AtMost(most), quotient(&above, &below)));
        }
    }
}

/// Of two series whose rounds have nothing to do with each other: of their means, and of what lies farthest apart.
fn quotient(above: &Series, below: &Series) -> Spread {
    Spread {
        median: above.mean() / below.mean(),
        low: above.quantile(0.1) / below.quantile(0.9),
        high: above.quantile(0.9) / below.quantile(0.1),
    }
}
