//! What udptrack writes: trace lines, text snapshots, JSON lines, CSV rows, and the summary of a run.
//!
//! Reads connections, listings and books, changes none. An output writes to the writer it is given and to nothing else;
//! buffering, locking and flushing at the right moment are its caller's.

mod clock;
mod community_id;
mod conntrack;
mod csv;
mod dns;
mod dns_records;
mod dns_rows;
mod eve;
mod eve_alert;
mod eve_dns;
mod eve_group;
mod eve_quic;
mod eve_socket;
mod eve_stats;
mod eve_times;
#[cfg(test)]
mod fixture;
mod json;
mod losses;
mod records;
mod servers;
mod sockets;
mod summary;
mod table;
mod trace;

use std::io;

use crate::alert::Notice;
use crate::dns::Seen;
pub use crate::model::Kinds;
use crate::model::{EndReason, Event, Facts, QuicFacts, Report, Sample, Table};

pub use clock::{Clock, Stamp};
pub use community_id::CommunityId;
pub use conntrack::Conntrack;
pub use csv::CsvRows;
pub use dns::DnsTable;
pub(crate) use dns::{name_text, read_in_words, refused_in_words, times};
pub use dns_records::DnsRecords;
pub use json::JsonLines;
pub use losses::{LossRecords, LossTable};
pub use records::{Choice, Records};
pub use servers::write_servers;
pub use sockets::{SocketOutput, SocketRecords, SocketTable};
pub use summary::{write_summary, write_summary_so_far};
pub use table::{Style, TextTable};
pub use trace::Trace;

/// One way to write down what happens. An output ignores what it does not show.
pub trait Output {
    /// A packet of a connection.
    fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        let _ = (event, facts);
        Ok(())
    }

    /// A DNS message that passed, with what it says: where that is wanted.
    fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        let _ = (seen, facts);
        Ok(())
    }

    /// The end of a connection, with its last counts. Comes also where [`Kinds::end`] is off: an output may keep totals.
    fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        let _ = (sample, reason, facts);
        Ok(())
    }

    /// What a QUIC connection said, once its first datagrams were read.
    fn quic(&mut self, sample: &Sample, quic: &QuicFacts, facts: &dyn Facts) -> io::Result<()> {
        let _ = (sample, quic, facts);
        Ok(())
    }

    /// The connections as they are now, after a scan.
    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        let _ = (table, report, facts);
        Ok(())
    }

    /// The books, every ten seconds and at the end.
    fn stats(&mut self, report: &Report) -> io::Result<()> {
        let _ = report;
        Ok(())
    }

    /// An alert has begun, or is over.
    fn alert(&mut self, notice: &Notice) -> io::Result<()> {
        let _ = notice;
        Ok(())
    }

    /// Whether a snapshot has had a row.
    fn has_rows(&self) -> bool {
        false
    }

    /// Hands on what is buffered.
    fn flush(&mut self) -> io::Result<()>;
}
