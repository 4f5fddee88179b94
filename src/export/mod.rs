//! What leaves for other systems than a reader of standard output.

mod ipfix;
mod prometheus;

pub use ipfix::{Ipfix, Settings as IpfixSettings};
pub use prometheus::{Prometheus, Reply, Settings as PrometheusSettings, Snapshot};

use crate::connection::{EndReason, Facts, Report, Sample, Table};

/// A run at one moment, after a scan.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The connections that are live.
    pub table: &'a Table,
    /// The books of all hooks, and totals.
    pub report: &'a Report,
    /// What is known beside the tables.
    pub facts: &'a dyn Facts,
    /// The moment, in nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
}

/// What sends connections elsewhere. Never waits and never fails a run: what goes wrong it counts, and says in
/// [`Exporter::take_messages`].
pub trait Exporter {
    /// A connection has ended, with its last counts; at the end of a run also those still live.
    fn ended(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts);

    /// After each scan, about each second.
    fn tick(&mut self, moment: &Moment<'_>);

    /// The run is over; every connection has ended before.
    fn finish(&mut self, moment: &Moment<'_>);

    /// Lines for standard error since the last call.
    fn take_messages(&mut self) -> Vec<String> {
        Vec::new()
    }
}
