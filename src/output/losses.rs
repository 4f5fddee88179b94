//! What was dropped on this machine: a table by reason, process and server, or a record for each of these rows.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::eve_alert::AlertRecord;
use super::eve_stats::StatsRecord;
use super::eve_times::rounded;
use super::records::Form;
use super::sockets::rate;
use super::table::{Grid, Head, Names, Style};
use super::{Clock, CsvRows, JsonLines, Output, Stamp};
use crate::alert::Notice;
use crate::listing::{LossRow, LossRows, Query};
use crate::model::text::{Bytes, Grouped, Visible};
use crate::model::{Counts, EndReason, Facts, Report, Sample, Table};

/// Text tables.
#[derive(Debug)]
pub struct LossTable<W> {
    out: W,
    style: Style,
    rows: LossRows,
    is_first: bool,
    has_rows: bool,
}

impl<W: Write> LossTable<W> {
    /// Tables, to `out`, with an empty line between two.
    pub fn new(out: W, style: Style) -> Self {
        Self {
            out,
            rows: LossRows::of(&style.query),
            style,
            is_first: true,
            has_rows: false,
        }
    }

    fn grid(&self, rows: &[LossRow], facts: &dyn Facts) -> Grid {
        let names = if self.style.numeric {
            Names::None
        } else {
            Names::All
        };
        let column = |title, words, rank| Head { title, words, rank };
        let columns = vec![
            column("REASON", true, 0),
            column("PROCESS", true, 0),
            column("SERVER", true, 1),
            column("DATAGRAMS", false, 0),
            column("A SECOND", false, 2),
            column("BYTES", false, 3),
            column("MEANING", true, 4),
        ];
        let none = || "-".to_owned();
        let cells = rows.iter().map(|row| {
            let program = row.program.as_deref();
            let server = row.server.map(|server| names.responder(facts, server));
            vec![
                row.class.words().to_owned(),
                program.map_or_else(none, |program| Visible(program).to_string()),
                server.unwrap_or_else(none),
                Grouped(row.counts.packets).to_string(),
                rate(row.per_second),
                Bytes(row.counts.bytes).to_string(),
                row.class.meaning().to_owned(),
            ]
        });
        Grid::new(columns, cells.collect())
    }
}

impl<W: Write> Output for LossTable<W> {
    fn end(&mut self, sample: &Sample, _reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        self.rows.end(sample, facts);
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        let rows = self.rows.snapshot(table, report, facts);
        if rows.is_empty() {
            writeln!(
                self.out,
                "This machine has dropped no counted packet so far."
            )?;
        } else {
            self.has_rows = true;
            let room = self.style.width.and_then(|width| width());
            self.grid(&rows, facts).write(&mut self.out, room)?;
        }
        write_reasons(&mut self.out, report)
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// All that was dropped, by the kernel's own names.
fn write_reasons(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut dropped = report.dropped();
    if dropped.is_empty() {
        return Ok(());
    }
    dropped.sort_by_key(|dropped| std::cmp::Reverse(dropped.counts.packets));
    let reasons = dropped.iter();
    let reasons = reasons.map(|dropped| {
        let datagrams = Grouped(dropped.counts.packets);
        format!("{} {datagrams}", Visible(&dropped.reason))
    });
    let reasons: Vec<String> = reasons.collect();
    let total: Counts = dropped.iter().map(|dropped| dropped.counts).sum();
    writeln!(
        out,
        "dropped {} by the kernel's reasons: {}",
        Grouped(total.packets),
        reasons.join(", ")
    )?;
    let without_room = report.dropped_without_room.in_no_connection.packets;
    if without_room > 0 {
        writeln!(
            out,
            "{} of them are in no row: there was no room for the losses of their connections",
            Grouped(without_room)
        )?;
    }
    Ok(())
}

/// A row as a record beside EVE's; the field order is the order in the output.
#[derive(Serialize)]
struct LossRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: &'static str,
    udptrack: Own<'a>,
}

#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    pkts: u64,
    bytes: u64,
    drop_rate: f64,
    meaning: &'static str,
}

impl<'a> LossRecord<'a> {
    fn new(timestamp: Stamp<'a>, row: &'a LossRow) -> Self {
        Self {
            timestamp,
            event_type: "dropped",
            dest_ip: row.server.map(|server| server.ip()),
            dest_port: row.server.map(|server| server.port()),
            proto: "UDP",
            udptrack: Own {
                event: "dropped",
                class: row.class.name(),
                program: row.program.as_deref(),
                pkts: row.counts.packets,
                bytes: row.counts.bytes,
                drop_rate: rounded(row.per_second),
                meaning: row.class.meaning(),
            },
        }
    }
}

/// The columns of CSV, and where their values stand in the record.
const COLUMNS: super::csv::Columns = &[
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("class", "/udptrack/class"),
    ("program", "/udptrack/program"),
    ("ip", "/dest_ip"),
    ("port", "/dest_port"),
    ("pkts", "/udptrack/pkts"),
    ("bytes", "/udptrack/bytes"),
    ("drop_rate", "/udptrack/drop_rate"),
    ("meaning", "/udptrack/meaning"),
];

/// Records.
#[derive(Debug)]
pub struct LossRecords<F> {
    form: F,
    clock: Clock,
    began_ns: u64,
    rows: LossRows,
    has_rows: bool,
}

impl<W: Write> LossRecords<JsonLines<W>> {
    /// As JSON, to `out`.
    pub fn json(out: W, clock: Clock, query: &Query) -> Self {
        Self::new(JsonLines::new(out), clock, query)
    }
}

impl<W: Write> LossRecords<CsvRows<W>> {
    /// As CSV, to `out`, after the header.
    pub fn csv(out: W, clock: Clock, query: &Query) -> io::Result<Self> {
        Ok(Self::new(CsvRows::of(out, &[COLUMNS])?, clock, query))
    }
}

impl<F> LossRecords<F> {
    fn new(form: F, clock: Clock, query: &Query) -> Self {
        Self {
            form,
            began_ns: clock.now_ns().unwrap_or_default(),
            clock,
            rows: LossRows::of(query),
            has_rows: false,
        }
    }
}

impl<F: Form> Output for LossRecords<F> {
    fn end(&mut self, sample: &Sample, _reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        self.rows.end(sample, facts);
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        let now_ns = self.clock.now_ns()?;
        for row in self.rows.snapshot(table, report, facts) {
            let record = LossRecord::new(self.clock.stamp(now_ns), &row);
            self.form.row(&record)?;
            self.has_rows = true;
        }
        Ok(())
    }

    fn stats(&mut self, report: &Report) -> io::Result<()> {
        self.clock.resample()?;
        let now_ns = self.clock.now_ns()?;
        let record = StatsRecord::new(&self.clock, self.began_ns, now_ns, report);
        self.form.stats(&record)
    }

    fn alert(&mut self, notice: &Notice) -> io::Result<()> {
        self.form.alert(&AlertRecord::new(&self.clock, notice))
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.form.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, ETH0, SECOND};
    use super::*;
    use crate::model::{DropClass, DroppedFor, Timeouts};

    fn lost(class: DropClass, packets: u64) -> Sample {
        let mut sample = fixture::sample();
        sample
            .dropped
            .add(class, fixture::counts(packets, 100 * packets));
        sample
    }

    fn report() -> Report {
        let mut report = fixture::report();
        let dropped = |reason: &str, class, packets, apart| DroppedFor {
            reason: reason.into(),
            class,
            counts: fixture::counts(packets, 100 * packets),
            apart: fixture::counts(apart, 100 * apart),
        };
        report.hooks[0].dropped = vec![
            dropped("no_socket", DropClass::NoSocket, 7, 7),
            dropped("socket_rcvbuff", DropClass::SocketBuffer, 1500, 0),
        ];
        report
    }

    /// What has ended stays, what goes on is counted once, and what belongs to no connection has a row without names.
    #[test]
    fn a_row_for_each_reason_process_and_server() {
        let mut table = Table::new(8, Timeouts::default()).looking_since(0);
        let style = Style {
            numeric: true,
            ..Style::default()
        };
        let mut losses = LossTable::new(Vec::new(), style);
        let nothing = Report::default();
        losses.snapshot(&table, &nothing, &ETH0).unwrap();
        assert!(!losses.has_rows());
        table.apply([lost(DropClass::SocketBuffer, 1000)], 10 * SECOND);
        losses.snapshot(&table, &report(), &ETH0).unwrap();
        losses.snapshot(&table, &report(), &ETH0).unwrap();
        let ended = lost(DropClass::SocketBuffer, 1500);
        losses.end(&ended, EndReason::Idle, &ETH0).unwrap();
        let mut table = Table::new(8, Timeouts::default());
        table.apply([], 15 * SECOND);
        losses.snapshot(&table, &report(), &ETH0).unwrap();
        assert!(losses.has_rows());
        insta::assert_snapshot!(String::from_utf8(losses.out).unwrap());
    }

    #[test]
    fn records_have_the_same_rows() {
        let mut table = Table::new(8, Timeouts::default()).looking_since(0);
        table.apply([lost(DropClass::Queue, 20)], 10 * SECOND);
        let query = Query::default();
        let (mut json, mut csv) = (Vec::new(), Vec::new());
        let mut records = LossRecords::json(&mut json, fixture::clock(), &query);
        records.snapshot(&table, &report(), &ETH0).unwrap();
        let mut rows = LossRecords::csv(&mut csv, fixture::clock(), &query).unwrap();
        rows.snapshot(&table, &report(), &ETH0).unwrap();
        rows.flush().unwrap();
        drop(rows);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        insta::assert_snapshot!(text(json) + &text(csv));
    }
}
