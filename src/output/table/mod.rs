//! The text snapshot: a row per connection or group, aligned to content, and the books below it.

mod columns;
mod grid;
mod names;

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::Output;
use crate::listing::{Group, Grouping, Known, Moment, Query, Row, Rows, Sheet, rows};
use crate::model::text::Grouped;
use crate::model::{EndReason, Facts, Field, Place, Report, Sample, Table};
use columns::{Scene, WORTH_MORE_THAN_NAMES};
pub(super) use grid::{Grid, Head};
pub(super) use names::Names;

/// What is in a table, and how it is shown.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Which rows, in which order.
    pub query: Query,
    /// No names of hosts and services.
    pub numeric: bool,
    /// How many columns of text there is room for, asked at each snapshot; none means for any number.
    pub width: Option<fn() -> Option<usize>>,
}

impl Style {
    /// With as many names as leave room for what is worth more.
    fn fitted(&self, grid: impl Fn(Names) -> Grid) -> (Grid, Option<usize>) {
        let room = self.width.and_then(|width| width());
        let fits =
            |grid: &Grid| room.is_none_or(|room| grid.width_up_to(WORTH_MORE_THAN_NAMES) <= room);
        let tried = Names::ALL
            .into_iter()
            .filter(|names| !self.numeric || *names == Names::None);
        let fitting = tried.map(&grid).find(fits);
        (fitting.unwrap_or_else(|| grid(Names::None)), room)
    }
}

/// Groups in a table of other columns than those of their field.
pub(super) fn grid_of(
    facts: &dyn Facts,
    style: &Style,
    (by, sheet): (Field, &'static Sheet),
    groups: &[Group],
    now_ns: u64,
) -> Grid {
    let scene = |names| Scene {
        facts,
        sheet,
        query: &style.query,
        names,
        now_ns,
        interfaces: false,
    };
    let (grid, _) = style.fitted(|names| columns::grid(scene(names), Some(by), groups, Row::Group));
    grid
}

/// Writes text snapshots.
#[derive(Debug)]
pub struct TextTable<W> {
    out: W,
    style: Style,
    first: bool,
    has_rows: bool,
    grouping: Option<Grouping>,
}

impl<W: Write> TextTable<W> {
    /// Snapshots, to `out`, with an empty line between two.
    pub fn new(out: W, style: Style) -> Self {
        Self {
            out,
            grouping: style.query.by.map(Grouping::by),
            style,
            first: true,
            has_rows: false,
        }
    }

    fn write_rows(
        &mut self,
        rows: Rows<Place>,
        table: &Table,
        report: &Report,
        facts: &dyn Facts,
    ) -> io::Result<()> {
        let interfaces: BTreeSet<&str> = report
            .hooks
            .iter()
            .map(|hook| hook.interface.as_str())
            .collect();
        let scene = |names| Scene {
            facts,
            sheet: Sheet::of(self.style.query.by),
            query: &self.style.query,
            names,
            now_ns: table.scanned_ns(),
            interfaces: interfaces.len() > 1,
        };
        let by = self.style.query.by;
        let (grid, room) = match rows {
            Rows::Groups(groups) => self
                .style
                .fitted(|names| columns::grid(scene(names), by, &groups, Row::Group)),
            Rows::Connections(places) => {
                let places = places.into_iter();
                let connections: Vec<_> = places.filter_map(|place| table.get(place)).collect();
                let ports = &self.style.query.one_way_ports;
                self.style.fitted(|names| {
                    columns::grid(scene(names), by, &connections, |connection| {
                        let known = Known::of(&connection.sample, facts);
                        Row::of(connection, None, known, ports)
                    })
                })
            }
        };
        grid.write(&mut self.out, room)
    }

    /// The rows as they are now.
    fn rows(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> Rows<Place> {
        let query = &self.style.query;
        if let Some(grouping) = &mut self.grouping {
            return Rows::Groups(grouping.snapshot(table, report, facts, query));
        }
        let moment = Moment {
            now_ns: table.scanned_ns(),
            ..Moment::default()
        };
        rows(table, facts, query, moment)
    }

    /// Why there is no row.
    fn nothing(&self) -> &'static str {
        let query = &self.style.query;
        if query.unanswered {
            "No server has left requests unanswered so far."
        } else if query.status.is_some() || query.process.is_some() || query.proto.is_some() {
            "No UDP connections now that fit your choice."
        } else {
            "No UDP connections now."
        }
    }
}

impl<W: Write> Output for TextTable<W> {
    fn end(&mut self, sample: &Sample, _reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        if let Some(grouping) = &mut self.grouping {
            grouping.end(sample, facts, &self.style.query);
        }
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            writeln!(self.out)?;
        }
        let rows = self.rows(table, report, facts);
        let is_empty = match &rows {
            Rows::Connections(places) => places.is_empty(),
            Rows::Groups(groups) => groups.is_empty(),
        };
        self.has_rows |= !is_empty;
        if is_empty {
            writeln!(self.out, "{}", self.nothing())?;
        } else {
            self.write_rows(rows, table, report, facts)?;
        }
        let ended = self.grouping.as_ref().map(Grouping::ended);
        if let Some(ended) = ended.filter(|ended| ended.forgotten() > 0) {
            writeln!(
                self.out,
                "{} ended connections are in no row: the rows with the oldest traffic were removed, because there is room for {} rows",
                Grouped(ended.forgotten()),
                Grouped(ended.room() as u64)
            )?;
        }
        write_books(&mut self.out, table, report)
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// `seen = tracked + skipped`, and how full the table is. Exact numbers: a reader can add them up.
fn write_books(out: &mut impl Write, table: &Table, report: &Report) -> io::Result<()> {
    let books = report.books();
    let skipped = books.skipped_total();
    let equals = if books.balance() { "=" } else { "!=" };
    write!(
        out,
        "seen {} pkts {} B {equals} tracked {} pkts {} B + skipped {} pkts {} B",
        Grouped(books.seen.packets),
        Grouped(books.seen.bytes),
        Grouped(books.tracked.packets),
        Grouped(books.tracked.bytes),
        Grouped(skipped.packets),
        Grouped(skipped.bytes),
    )?;
    let mut separator = " (";
    for (reason, counts) in books.reasons() {
        write!(
            out,
            "{separator}{} {}",
            reason.name(),
            Grouped(counts.packets)
        )?;
        separator = ", ";
    }
    let close = if separator == ", " { ")" } else { "" };
    write!(out, "{close}")?;
    if let Some(dropped) = report.dropped_in_words() {
        write!(out, "; {dropped}")?;
    }
    writeln!(
        out,
        "; table {} of {}, {:.1} %",
        Grouped(table.len() as u64),
        Grouped(table.capacity()),
        table.fill() * 100.0,
    )
}

#[cfg(test)]
mod tests;
