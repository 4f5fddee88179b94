//! The lines of `conntrack -L`, for what reads those: one for each connection, both directions of it.

use std::io::{self, Write};

use super::Output;
use crate::listing::{Moment, Query, Rows, rows};
use crate::model::{Counts, Facts, Report, Sample, Status, Table, Timeouts};

/// Writes the lines. Bytes begin with the IP header, as netfilter counts them.
#[derive(Debug)]
pub struct Conntrack<W> {
    out: W,
    query: Query,
    timeouts: Timeouts,
}

impl<W: Write> Conntrack<W> {
    /// Of the connections that a query chooses, in its order.
    pub fn new(out: W, query: Query, timeouts: Timeouts) -> Self {
        Self {
            out,
            query,
            timeouts,
        }
    }

    fn line(&mut self, sample: &Sample, now_ns: u64, facts: &dyn Facts) -> io::Result<()> {
        let [orig, reply] = sample.ip_counts(|index| facts.has_ethernet(index));
        let left = self.timeouts.left(sample, now_ns).as_secs();
        write!(self.out, "udp      17 {left}")?;
        self.direction(sample, true, orig)?;
        if sample.reply.packets == 0 {
            write!(self.out, " [UNREPLIED]")?;
        }
        self.direction(sample, false, reply)?;
        if sample.status == Status::Assured {
            write!(self.out, " [ASSURED]")?;
        }
        writeln!(self.out, " mark=0 use=1")
    }

    fn direction(&mut self, sample: &Sample, forth: bool, counts: Counts) -> io::Result<()> {
        let (from, to) = if forth {
            (sample.originator, sample.responder)
        } else {
            (sample.responder, sample.originator)
        };
        write!(
            self.out,
            " src={} dst={} sport={} dport={} packets={} bytes={}",
            from.ip(),
            to.ip(),
            from.port(),
            to.port(),
            counts.packets,
            counts.bytes
        )
    }
}

impl<W: Write> Output for Conntrack<W> {
    fn snapshot(&mut self, table: &Table, _report: &Report, facts: &dyn Facts) -> io::Result<()> {
        let moment = Moment {
            now_ns: table.scanned_ns(),
            ..Moment::default()
        };
        if let Rows::Connections(places) = rows(table, facts, &self.query, moment) {
            for connection in places.into_iter().filter_map(|place| table.get(place)) {
                self.line(&connection.sample, table.scanned_ns(), facts)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
