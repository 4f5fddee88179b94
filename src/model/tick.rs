//! One tick: everything that was found out by one walk over the table, made once and handed to all who show, send or watch it.

use super::books::Report;
use super::buffer::Buffer;
use super::facts::Facts;
use super::key::Place;
use super::record::{EndReason, Sample};
use super::table::Table;

/// A connection that has ended, with its last counts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// As it was at its end.
    pub sample: Sample,
    /// Why.
    pub reason: EndReason,
}

/// A run at one moment. Made once, and handed to every [`super::Sink`].
#[derive(Clone, Copy)]
pub struct Tick<'a> {
    /// The clock, read before anything else: nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// The connections that are live, as the walk found them.
    pub table: &'a Table,
    /// Places of connections whose originator and responder have changed places since the tick before.
    pub swapped: &'a [Place],
    /// What has ended since the tick before, in the order of the latest packets.
    pub ended: &'a [Ended],
    /// The books of all hooks, and totals.
    pub report: &'a Report,
    /// What is known beside the tables.
    pub facts: &'a dyn Facts,
    /// The receive buffers of this network namespace, where they were looked at for this tick.
    pub buffers: Option<&'a [Buffer]>,
}

impl<'a> Tick<'a> {
    /// Nothing has ended or changed since the one before.
    #[must_use]
    pub fn new(now_ns: u64, table: &'a Table, report: &'a Report, facts: &'a dyn Facts) -> Self {
        Self {
            now_ns,
            table,
            swapped: &[],
            ended: &[],
            report,
            facts,
            buffers: None,
        }
    }
}
