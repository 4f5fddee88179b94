//! What udptrack writes: trace lines, text snapshots, JSON lines, and the summary of a run.
//!
//! Reads connections and books, changes neither. An output writes to the writer it is given and to nothing else;
//! buffering, locking and flushing at the right moment are its caller's.

mod clock;
mod community_id;
mod eve;
#[cfg(test)]
mod fixture;
mod json;
mod summary;
mod table;
mod trace;
mod units;
mod visible;

use std::io;

use crate::connection::{EndReason, Event, Ifindex, Report, Sample, Table};

pub use clock::{Clock, Stamp};
pub use community_id::CommunityId;
pub use json::Json;
pub use summary::write_summary;
pub use table::TextTable;
pub use trace::Trace;
pub use units::{Bitrate, Bytes, Grouped, Span};
pub use visible::Visible;

/// Which kinds of events the user asked for (`-e`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// The first packet of a connection.
    pub new: bool,
    /// Later packets; in JSON, what a connection did since the last snapshot.
    pub data: bool,
    /// The end of a connection.
    pub end: bool,
}

/// One way to write down what happens. An output ignores what it does not show.
pub trait Output {
    /// A packet of a connection that `interface` saw.
    fn event(&mut self, event: &Event, interface: &str) -> io::Result<()> {
        let _ = (event, interface);
        Ok(())
    }

    /// The end of a connection that is counted on `interface`, with its last counts.
    fn end(&mut self, sample: &Sample, reason: EndReason, interface: &str) -> io::Result<()> {
        let _ = (sample, reason, interface);
        Ok(())
    }

    /// The connections as they are now, after a scan; `names` gives an interface's name.
    fn snapshot(
        &mut self,
        table: &Table,
        report: &Report,
        names: &dyn Fn(Ifindex) -> String,
    ) -> io::Result<()> {
        let _ = (table, report, names);
        Ok(())
    }

    /// The books, every ten seconds and at the end.
    fn stats(&mut self, report: &Report) -> io::Result<()> {
        let _ = report;
        Ok(())
    }

    /// Hands on what is buffered.
    fn flush(&mut self) -> io::Result<()>;
}
