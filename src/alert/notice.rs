//! The text of an alert: when it begins, and when it ends.

use std::fmt;

use super::rule::{Measure, NAMED, Rule};
use crate::model::Shared;
use crate::model::text::Bitrate;

/// An alert that has begun, or is over. Its group may be hostile input for a terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Whether it begins.
    pub firing: bool,
    /// The rule.
    pub rule: Rule,
    /// What was measured, in the unit of the measure.
    pub value: f64,
    /// Of which group.
    pub group: String,
    /// What its connections share; `None` for the group of all.
    pub shared: Option<Shared>,
    /// The interface on which one of them was seen last.
    pub interface: Option<String>,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
}

/// A number for people, in the unit of its measure.
struct Quantity(f64, &'static str);

impl fmt::Display for Quantity {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "of a rate, three digits are shown"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            "bit" => write!(f, "{}", Bitrate((self.0 / 8.0) as f32)),
            unit => write!(f, "{}{unit}", self.0),
        }
    }
}

/// `udp-flood: unreplied 1,234/s > 500/s by responder 192.0.2.53:53`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        let sign = if rule.above { '>' } else { '<' };
        let measure = rule.measure.name();
        let value = Quantity((self.value * 10.0).round() / 10.0, rule.measure.unit());
        let threshold = Quantity(rule.threshold, rule.measure.unit());
        if NAMED.iter().any(|(name, _)| *name == rule.name) {
            write!(f, "{}: ", rule.name)?;
        }
        if rule.measure == Measure::Dead {
            write!(f, "dead")?;
            self.group(f)?;
            if self.firing {
                write!(f, ": {} lost in a row", self.value)?;
            }
            return Ok(());
        }
        let state = if self.firing { "" } else { ", no longer" };
        write!(f, "{measure} {value}{state} {sign} {threshold}")?;
        self.group(f)
    }
}

impl Notice {
    fn group(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule.by {
            None => Ok(()),
            Some(field) => write!(f, " by {} {}", field.word(), self.group),
        }
    }
}
