//! What leaves for other systems than a reader of standard output.

mod ipfix;
mod prometheus;

pub use ipfix::{Ipfix, Settings as IpfixSettings};
pub use prometheus::{Prometheus, Reply, Settings as PrometheusSettings, Snapshot};

use crate::connection::{EndReason, Facts, Sample, Tick};

/// What sends connections elsewhere. Never waits and never fails a run: what goes wrong it counts, and says in
/// [`Exporter::take_messages`].
pub trait Exporter {
    /// A connection has ended, with its last counts; at the end of a run also those still live. Comes before the tick.
    fn ended(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts);

    /// About each second.
    fn tick(&mut self, tick: &Tick<'_>);

    /// The run is over; every connection has ended before.
    fn finish(&mut self, tick: &Tick<'_>);

    /// Lines for standard error since the last call.
    fn take_messages(&mut self) -> Vec<String> {
        Vec::new()
    }
}
