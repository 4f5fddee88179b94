//! JSON lines: an EVE record for each thing that happens.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::eve::{FlowRecord, Happening, StatsRecord};
use super::visible::steers;
use super::{Clock, Kinds, Output};
use crate::connection::{
    Connection, Counts, EndReason, Event, EventKind, Facts, Report, Response, Sample, Status, Table,
};

/// Writes JSON lines.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    clock: Clock,
    kinds: Kinds,
    /// The scan that the last snapshot showed.
    shown_ns: u64,
}

impl<W: Write> Json<W> {
    /// Records of the given kinds, and `stats` records, to `out`.
    ///
    /// [`Kinds::data`] makes an `update` record for each connection with traffic at each snapshot; single packets make none.
    pub fn new(out: W, clock: Clock, kinds: Kinds) -> Self {
        Self {
            out,
            clock,
            kinds,
            shown_ns: 0,
        }
    }
}

impl<W: Write> Output for Json<W> {
    fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        if event.kind != EventKind::New || !self.kinds.new {
            return Ok(());
        }
        let interface = facts.interface(event.ifindex);
        let record = FlowRecord::new(
            &self.clock,
            event.time_ns,
            &as_sample(event),
            &interface,
            Happening::New,
        );
        write_line(&mut self.out, &record)
    }

    fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        if !self.kinds.end {
            return Ok(());
        }
        let now_ns = self.clock.now_ns()?;
        let interface = facts.interface(sample.ifindex);
        let record = FlowRecord::new(
            &self.clock,
            now_ns,
            sample,
            &interface,
            Happening::End(reason),
        );
        write_line(&mut self.out, &record)
    }

    fn snapshot(&mut self, table: &Table, _report: &Report, facts: &dyn Facts) -> io::Result<()> {
        if !self.kinds.data {
            return Ok(());
        }
        let mut active: Vec<&Connection> = table
            .iter()
            .filter(|connection| connection.changed_ns > self.shown_ns)
            .collect();
        active
            .sort_unstable_by_key(|connection| (connection.sample.first_ns, connection.sample.id));
        let now_ns = self.clock.now_ns()?;
        for connection in active {
            let interface = facts.interface(connection.sample.ifindex);
            let record = FlowRecord::new(
                &self.clock,
                now_ns,
                &connection.sample,
                &interface,
                Happening::Update(&connection.rates),
            );
            write_line(&mut self.out, &record)?;
        }
        self.shown_ns = table.scanned_ns();
        Ok(())
    }

    fn stats(&mut self, report: &Report) -> io::Result<()> {
        self.clock.resample()?;
        let now_ns = self.clock.now_ns()?;
        write_line(
            &mut self.out,
            &StatsRecord::new(&self.clock, now_ns, report),
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The connection as its first packet made it.
fn as_sample(event: &Event) -> Sample {
    Sample {
        id: event.id,
        ifindex: event.ifindex,
        vlans: event.vlans,
        originator: event.source,
        responder: event.destination,
        orig: event.counts,
        reply: Counts::default(),
        status: Status::Unreplied,
        first_ns: event.time_ns,
        last_ns: event.time_ns,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        response: Response::default(),
    }
}

fn write_line<W: Write>(out: &mut W, record: &impl Serialize) -> io::Result<()> {
    record.serialize(&mut Serializer::with_formatter(&mut *out, Safe))?;
    out.write_all(b"\n")
}

/// Compact JSON in which no character is left that could steer a terminal. JSON itself only escapes those below U+0020.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut written = 0;
        for (start, character) in fragment.char_indices().filter(|(_, c)| steers(*c)) {
            writer.write_all(&fragment.as_bytes()[written..start])?;
            // All of them are in the basic plane: one escape is enough.
            write!(writer, "\\u{:04x}", u32::from(character))?;
            written = start + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests;
