//! What leaves for other systems than a reader of standard output.

mod ipfix;
mod prometheus;

pub use ipfix::{Ipfix, Settings as IpfixSettings};
pub use prometheus::{Prometheus, Reply, Settings as PrometheusSettings, Snapshot};

use crate::model::{EndReason, Facts, Sample, Tick};

/// What sends connections elsewhere. Never waits and never fails a run: what goes wrong it counts, and says in
/// [`Exporter::take_messages`].
pub trait Exporter {
    /// A connection has ended, with its last counts; at the end of a run also those still live. Comes before the tick.
    fn ended(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts);

    /// About each second.
    fn tick(&mut self, tick: &Tick<'_>);

    /// The run is over; every connection has ended before. What is to be sent still may go on in a thread.
    fn finish(&mut self, tick: &Tick<'_>);

    /// Messages that are still to be sent once the run is over; `None` when all are.
    fn unsent(&self) -> Option<usize> {
        None
    }

    /// Nothing is waited for any more: what is still to be sent is counted as lost. The last call.
    fn give_up(&mut self) {}

    /// Lines for standard error since the last call.
    fn take_messages(&mut self) -> Vec<String> {
        Vec::new()
    }
}
