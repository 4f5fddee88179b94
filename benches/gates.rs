//! The bars that udptrack holds itself to, each with what was measured and whether that passes.

use crate::measure::{Spread, Who};
use crate::path::Outcome;

/// What a bar says of a number.
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
            Self::AtMost(most) => write!(f, "≤ {most:.3}"),
            Self::AtLeast(least) => write!(f, "≥ {least:.2}"),
            Self::Exactly(wanted) => write!(f, "= {wanted}"),
        }
    }
}

/// One bar and what came of it.
#[derive(Clone, Debug)]
pub struct Gate {
    pub name: &'static str,
    pub what: String,
    pub bar: Bar,
    /// Median and spread; none where it could not be measured here, for this reason.
    pub measured: Result<Spread, String>,
}

impl Gate {
    pub fn new(name: &'static str, what: impl Into<String>, bar: Bar, measured: Spread) -> Self {
        Self {
            name,
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
    use Who::{Lru, Plain, Seed, Udptrack};
    let mut gates = Vec::new();
    let find = |name: &str| outcomes.iter().find(|outcome| outcome.name == name);
    let mut ratio = |gate, case: &str, who, to, bar, what: &str| {
        if let Some(spread) = find(case).and_then(|outcome| outcome.measured.ratio(who, to)) {
            gates.push(Gate::new(gate, format!("{case}: {what}"), bar, spread));
        }
    };
    for case in ["1 connection", "1,000 connections"] {
        ratio("G1", case, Udptrack, Lru, AtMost(0.40), "to one LRU lookup");
        ratio(
            "G2",
            case,
            Udptrack,
            Seed,
            AtMost(1.0 / 15.0),
            "to the first algorithm",
        );
    }
    ratio(
        "G4",
        "8,000",
        Udptrack,
        Lru,
        AtMost(0.8),
        "to one LRU lookup",
    );
    ratio(
        "G5",
        "64,000",
        Udptrack,
        Lru,
        AtMost(0.8),
        "to one LRU lookup",
    );
    let quarter = "64,000, cache for a quarter";
    ratio("G6", quarter, Udptrack, Plain, AtMost(1.2), "to plain maps");
    let skewed = "64,000 skewed, cache for a quarter";
    ratio(
        "G7",
        skewed,
        Udptrack,
        Lru,
        AtMost(1.15),
        "to one LRU lookup",
    );
    let flood = "new connections, table full";
    ratio(
        "G9",
        flood,
        Udptrack,
        Lru,
        AtMost(0.35),
        "to one LRU lookup",
    );
    between(outcomes, &mut gates);
    let difference: u64 = outcomes.iter().map(|outcome| outcome.difference).sum();
    gates.push(Gate::new(
        "G11",
        "all cases: packets and bytes by which the books are off",
        Exactly(0.0),
        exact(difference as f64),
    ));
    if let Some(outcome) = find("1,000, an event each")
        && let Some(events) = outcome.events
        && let (Some(with), Some(without)) = (
            outcome.measured.cost(Who::Changed),
            outcome.measured.cost(Udptrack),
        )
    {
        let added = crate::measure::Series(
            with.0
                .iter()
                .zip(&without.0)
                .map(|(with, without)| with - without)
                .collect(),
        );
        let offered = events.per_second / 1e6;
        gates.push(Gate::new(
            "G12",
            "an event for each packet: nanoseconds more",
            AtMost(60.0),
            (&added).into(),
        ));
        gates.push(Gate::new(
            "G12",
            format!(
                "events lost, of {} at {offered:.1} million/s",
                events.read + events.lost
            ),
            Exactly(0.0),
            exact(events.lost as f64),
        ));
    }
    gates.sort_by_key(|gate| gate.name[1..].parse::<u32>().unwrap_or(0));
    gates
}

/// Those that compare two cases, or a case with the empty program.
fn between(outcomes: &[Outcome], gates: &mut Vec<Gate>) {
    use Bar::AtMost;
    let of = |name: &str| {
        let outcome = outcomes.iter().find(|outcome| outcome.name == name)?;
        let cost = outcome.measured.cost(Who::Udptrack)?;
        Some((cost, outcome.measured.of(Who::Empty)?.clone()))
    };
    for case in ["1 connection", "1,000 connections"] {
        if let Some((cost, empty)) = of(case) {
            let what = format!("{case}: to the empty program's own run");
            gates.push(Gate::new("G3", what, AtMost(0.6), quotient(&cost, &empty)));
        }
    }
    for (name, what, above, below, most) in [
        (
            "G8",
            "two CPUs to one, on one connection",
            "1 connection on two CPUs",
            "1 connection",
            1.2,
        ),
        (
            "G13",
            "TC to XDP, received",
            "TC received, 1,000",
            "1,000 connections",
            1.3,
        ),
        (
            "G13",
            "TC to XDP, sent",
            "TC sent, 1,000",
            "1,000 connections",
            1.3,
        ),
        (
            "G14",
            "IPv6 to IPv4, 1 connection",
            "IPv6, 1 connection",
            "1 connection",
            2.5,
        ),
        (
            "G14",
            "IPv6 to IPv4, 1,000 connections",
            "IPv6, 1,000",
            "1,000 connections",
            2.5,
        ),
    ] {
        if let (Some((above, _)), Some((below, _))) = (of(above), of(below)) {
            gates.push(Gate::new(
                name,
                what,
                AtMost(most),
                quotient(&above, &below),
            ));
        }
    }
}

/// Of two series whose rounds have nothing to do with each other: of their means, and of what lies farthest apart.
fn quotient(above: &crate::measure::Series, below: &crate::measure::Series) -> Spread {
    Spread {
        median: above.mean() / below.mean(),
        low: above.quantile(0.1) / below.quantile(0.9),
        high: above.quantile(0.9) / below.quantile(0.1),
    }
}
