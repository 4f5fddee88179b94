//! DNS as text: servers with their answers by code, names that fail and names that are asked, record types, programs.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::Output;
use super::dns_rows::{DnsRows, DnsSnapshot};
use super::sockets::Size;
use super::table::{Grid, Head, Names, Style, grid_of};
use crate::dns::{Count, NameRow, Seen, Tally, kind_name};
use crate::listing::DNS;
use crate::model::text::{Grouped, Visible};
use crate::model::{EndReason, Facts, Field, Report, Sample, Table};

/// Rows of each kind where nobody says how many.
const ROWS: usize = 20;
/// The longest name in a table with a width, in characters.
const LONGEST_NAME: usize = 44;
/// Lines beside the rows: headers, empty lines, sums, and where the cursor stands.
const OTHER_LINES: usize = 12;

/// Text tables. On a terminal each one takes the place of the one before.
#[derive(Debug)]
pub struct DnsTable<W> {
    out: W,
    style: Style,
    rows: DnsRows,
    /// Of the terminal, if it is one, and a table replaces the last one there.
    replaced: Option<Size>,
    is_first: bool,
    has_rows: bool,
}

impl<W: Write> DnsTable<W> {
    /// Tables, to `out`, with an empty line between two; or, on a terminal of that size, each in the place of the last one.
    pub fn new(out: W, style: Style, replaced: Option<Size>) -> Self {
        Self {
            out,
            rows: DnsRows::of(&style.query),
            style,
            replaced,
            is_first: true,
            has_rows: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let is_first = std::mem::take(&mut self.is_first);
        if self.replaced.is_some() {
            // To the upper left, and from there on nothing.
            return write!(self.out, "\x1b[H\x1b[J");
        }
        if is_first { Ok(()) } else { writeln!(self.out) }
    }

    /// How many rows of each kind there is room for.
    fn most(&self) -> usize {
        let wanted = self.style.query.top.unwrap_or(ROWS);
        let lines = self.replaced.and_then(|size| size());
        lines.map_or(wanted, |(_, lines)| {
            wanted.min(lines.saturating_sub(OTHER_LINES) / 3).max(1)
        })
    }

    fn write(
        &mut self,
        all: &DnsSnapshot,
        report: &Report,
        facts: &dyn Facts,
        now_ns: u64,
    ) -> io::Result<()> {
        let room = self.style.width.and_then(|width| width());
        let longest = room.map_or(usize::MAX, |_| LONGEST_NAME);
        let names = if self.style.numeric {
            Names::None
        } else {
            Names::All
        };
        for (field, groups) in [
            (Field::Server, &all.servers),
            (Field::Process, &all.programs),
        ] {
            if !groups.is_empty() {
                let grid = grid_of(facts, &self.style, (field, &DNS), groups, now_ns);
                grid.write(&mut self.out, room)?;
                writeln!(self.out)?;
            }
        }
        for (title, rows) in [
            ("NAME THAT FAILS", &all.failed),
            ("NAME ASKED FOR", &all.asked),
        ] {
            if !rows.is_empty() {
                let server = |server: SocketAddr| names.responder(facts, server);
                name_grid(title, rows, longest, server).write(&mut self.out, room)?;
                writeln!(self.out)?;
            }
        }
        self.write_sums(all, report)
    }

    fn write_sums(&mut self, all: &DnsSnapshot, report: &Report) -> io::Result<()> {
        let kinds = self.rows.names.kinds();
        if !kinds.is_empty() {
            let kinds = kinds.iter().take(ROWS).map(|(kind, count)| {
                let kind = kind.map_or_else(|| "other".into(), kind_name);
                format!("{kind} {}", Grouped(*count))
            });
            writeln!(self.out, "types: {}", kinds.collect::<Vec<_>>().join(", "))?;
        }
        if all.elsewhere.answers() > 0 {
            writeln!(
                self.out,
                "{} answers came from other addresses than the queries went to",
                Grouped(all.elsewhere.answers())
            )?;
        }
        let tally = self.rows.names.tally();
        writeln!(self.out, "{}", read_in_words(tally, report))?;
        if let Some(refused) = refused_in_words(tally) {
            writeln!(self.out, "{refused}")?;
        }
        writeln!(
            self.out,
            "udptrack does not see DNS over TCP, TLS (DoT) and HTTPS (DoH)."
        )
    }
}

impl<W: Write> Output for DnsTable<W> {
    fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        self.rows.take(seen, facts);
        Ok(())
    }

    fn end(&mut self, sample: &Sample, _reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        self.rows.end(sample, facts);
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        self.begin()?;
        let most = self.most();
        let all = self.rows.snapshot(table, report, facts, most);
        if all.servers.is_empty() && all.asked.is_empty() {
            writeln!(
                self.out,
                "No DNS so far. udptrack does not see DNS over TCP, TLS (DoT) and HTTPS (DoH)."
            )
        } else {
            self.has_rows = true;
            self.write(&all, report, facts, table.scanned_ns())
        }
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn name_grid(
    title: &'static str,
    rows: &[NameRow],
    longest: usize,
    server: impl Fn(SocketAddr) -> String,
) -> Grid {
    let column = |title, words, rank| Head { title, words, rank };
    let has_failed = rows.iter().any(|row| row.failure.is_some());
    let has_program = rows.iter().any(|row| row.program.is_some());
    let mut columns = vec![column(title, true, 0), column("TYPE", true, 0)];
    columns.extend(has_failed.then_some(column("RESULT", true, 0)));
    columns.extend([column("TIMES", false, 0), column("SERVER", true, 2)]);
    columns.extend(has_program.then_some(column("PROCESS", true, 1)));
    let cells = rows.iter().map(|row| {
        let mut cells = vec![
            name_text(&row.name, longest),
            kind_name(row.kind).into_owned(),
        ];
        let result = row.failure.map(|failure| failure.word().into_owned());
        cells.extend(has_failed.then(|| result.unwrap_or_default()));
        cells.extend([times(row.count), server(row.server)]);
        let program = || {
            row.program
                .map_or_else(|| "-".to_owned(), |name| Visible(name.name()).to_string())
        };
        cells.extend(has_program.then(program));
        cells
    });
    Grid::new(columns, cells.collect())
}

/// What is too long loses its beginning: the end says whose it is.
pub(crate) fn name_text(name: &str, longest: usize) -> String {
    let name = Visible(name).to_string();
    let length = name.chars().count();
    if length <= longest {
        return name;
    }
    let end = name.chars().skip(length + 1 - longest.max(1));
    "…".chars().chain(end).collect()
}

/// `12`; `≤12` where there were more names than room, so that it may be less.
pub(crate) fn times(count: Count) -> String {
    let bound = if count.error > 0 { "≤" } else { "" };
    format!("{bound}{}", Grouped(count.count))
}

/// Of how many messages the names are.
pub(crate) fn read_in_words(tally: Tally, report: &Report) -> String {
    let read = tally.read + tally.malformed;
    let Some(unread) = report.dns_unread() else {
        return "names cannot be read here".to_owned();
    };
    if unread == 0 {
        return format!("names are of all {} messages", Grouped(read));
    }
    let cut = report.unread.map_or(0, |unread| unread.cut);
    if unread == cut {
        let they_are = if cut == 1 { "it is" } else { "they are" };
        return format!(
            "no name of {} of {} messages: {they_are} cut in the capture",
            Grouped(cut),
            Grouped(read + cut)
        );
    }
    let cut = match cut {
        0 => String::new(),
        cut => format!(", of which {} are cut in the capture", Grouped(cut)),
    };
    // Rounded down, but of some that were read never 0.
    let share = (u128::from(read) * 100 / u128::from(read + unread)).max(u128::from(read > 0));
    format!(
        "names are of {share} % of the messages: {} were read, {} were not{cut}",
        Grouped(read),
        Grouped(unread)
    )
}

/// What of them counts for no name. Nothing where there is nothing of it.
pub(crate) fn refused_in_words(tally: Tally) -> Option<String> {
    let parts = [
        (tally.unasked, "answers that nobody asked for"),
        (tally.late, "answers after more than 5 s"),
        (tally.retries, "queries sent again"),
        (tally.forgotten, "queries given up for others"),
        (tally.malformed, "messages that make no sense"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, words)| format!("{} {words}", Grouped(*count)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests;
