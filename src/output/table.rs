//! The text snapshot: a row per connection, aligned to content, and the books below it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::{self, Write};

use super::Output;
use super::units::{Bitrate, Grouped, Span};
use super::visible::Visible;
use crate::connection::{Connection, Facts, Report, Table, Window};

/// Between two columns.
const GAP: &str = "  ";
const COLUMNS: usize = 12;

/// The interface stands in the table only when there are several.
const INTERFACE: usize = 3;
const HEADER: [&str; COLUMNS] = [
    "STATUS",
    "ORIGINATOR",
    "RESPONDER",
    "IFACE",
    "ORIG RATE",
    "REPLY RATE",
    "ORIG PKTS",
    "ORIG BYTES",
    "REPLY PKTS",
    "REPLY BYTES",
    "FIRST REPLY",
    "AGE",
];
/// Columns of words; those of numbers are aligned to the right.
const WORDS: usize = 4;

/// Writes text snapshots.
#[derive(Debug)]
pub struct TextTable<W> {
    out: W,
    first: bool,
}

impl<W: Write> TextTable<W> {
    /// Snapshots, to `out`, with an empty line between two.
    pub fn new(out: W) -> Self {
        Self { out, first: true }
    }

    fn write_rows(&mut self, rows: &[[String; COLUMNS]], interfaces: bool) -> io::Result<()> {
        let shown = |column: &usize| interfaces || *column != INTERFACE;
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(HEADER[column].len())
        };
        let columns: Vec<(usize, usize)> = (0..COLUMNS)
            .filter(shown)
            .map(|column| (column, width(column)))
            .collect();
        let mut write_row = |cell: &dyn Fn(usize) -> String| {
            for (position, (column, width)) in columns.iter().enumerate() {
                let gap = if position == 0 { "" } else { GAP };
                let text = cell(*column);
                if *column < WORDS {
                    write!(self.out, "{gap}{text:<width$}")?;
                } else {
                    write!(self.out, "{gap}{text:>width$}")?;
                }
            }
            writeln!(self.out)
        };
        write_row(&|column| HEADER[column].to_owned())?;
        rows.iter()
            .try_for_each(|row| write_row(&|column| row[column].clone()))
    }
}

impl<W: Write> Output for TextTable<W> {
    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            writeln!(self.out)?;
        }
        if table.is_empty() {
            writeln!(self.out, "No UDP connections now.")?;
        } else {
            let interfaces: BTreeSet<&str> = report
                .hooks
                .iter()
                .map(|hook| hook.interface.as_str())
                .collect();
            let rows: Vec<_> = sorted(table)
                .into_iter()
                .map(|connection| row(connection, table.scanned_ns(), facts))
                .collect();
            self.write_rows(&rows, interfaces.len() > 1)?;
        }
        write_books(&mut self.out, table, report)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The fastest first, then the one with the most bytes; the id makes the order the same each time.
fn sorted(table: &Table) -> Vec<&Connection> {
    let mut connections: Vec<_> = table.iter().collect();
    connections.sort_by(|one, other| {
        let rate = |connection: &Connection| connection.rates.total(Window::Short).bytes;
        let rest = |connection: &Connection| {
            let sample = &connection.sample;
            (Reverse(sample.total().bytes), sample.id)
        };
        rate(other)
            .total_cmp(&rate(one))
            .then_with(|| rest(one).cmp(&rest(other)))
    });
    connections
}

fn row(connection: &Connection, now_ns: u64, facts: &dyn Facts) -> [String; COLUMNS] {
    let Connection { sample, rates, .. } = connection;
    [
        sample.status.to_string(),
        sample.originator.to_string(),
        sample.responder.to_string(),
        Visible(&facts.interface(sample.ifindex)).to_string(),
        Bitrate(rates.orig(Window::Short).bytes).to_string(),
        Bitrate(rates.reply(Window::Short).bytes).to_string(),
        Grouped(sample.orig.packets).to_string(),
        Grouped(sample.orig.bytes).to_string(),
        Grouped(sample.reply.packets).to_string(),
        Grouped(sample.reply.bytes).to_string(),
        sample
            .first_reply_after_ns()
            .map_or_else(|| "-".to_owned(), |after_ns| Span(after_ns).to_string()),
        Span(now_ns.saturating_sub(sample.first_ns)).to_string(),
    ]
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
    writeln!(
        out,
        "{close}; table {} of {}, {:.1} %",
        Grouped(table.len() as u64),
        Grouped(table.capacity()),
        table.fill() * 100.0,
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ETH0, Interfaces, SECOND, counts, hook, report, sample};
    use super::*;
    use crate::connection::{ConnectionId, Direction, Sample, Status, Timeouts};

    fn snapshot(samples: &[Sample], report: &Report) -> String {
        let mut table = Table::new(8, Timeouts::default());
        table.apply(samples.iter().copied(), 13 * SECOND);
        let mut out = Vec::new();
        TextTable::new(&mut out)
            .snapshot(
                &table,
                report,
                &Interfaces(|index| format!("if{}\x1b", index.0)),
            )
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn second() -> Sample {
        let mut sample = sample();
        sample.id = ConnectionId(1);
        sample.originator = "[2001:db8::1]:40000".parse().unwrap();
        sample.responder = "[2001:db8::2]:443".parse().unwrap();
        sample.orig = counts(1_234_567, 1_500_000_000);
        sample.reply = counts(0, 0);
        sample.status = Status::Unreplied;
        sample.first_reply_ns = None;
        sample
    }

    #[test]
    fn rows_are_aligned_and_the_fastest_is_first() {
        assert_eq!(
            snapshot(&[sample(), second()], &report()),
            "\
STATUS     ORIGINATOR           RESPONDER           ORIG RATE  REPLY RATE  ORIG PKTS     ORIG BYTES  REPLY PKTS  REPLY BYTES  FIRST REPLY   AGE
UNREPLIED  [2001:db8::1]:40000  [2001:db8::2]:443  2.0 Gbit/s     0 bit/s  1,234,567  1,500,000,000           0            0            -  5.7s
REPLIED    192.168.1.100:12345  8.8.8.8:53         1.6 kbit/s   745 bit/s          3          1,234           2          567       11.8ms  5.7s
seen 1,834 pkts 454,800 B = tracked 1,500 pkts 140,000 B + skipped 334 pkts 314,800 B (not-ip 30, not-udp 304); table 2 of 8, 25.0 %
"
        );
    }

    #[test]
    fn says_plainly_that_there_is_nothing() {
        let mut report = report();
        report.hooks = vec![hook("eth0", Direction::Ingress, counts(0, 0), &[])];
        assert_eq!(
            snapshot(&[], &report),
            "No UDP connections now.\n\
             seen 0 pkts 0 B = tracked 0 pkts 0 B + skipped 0 pkts 0 B; table 0 of 8, 0.0 %\n"
        );
    }

    #[test]
    fn shows_interfaces_when_there_are_several() {
        let mut report = report();
        report.hooks[1].interface = "eth1".to_owned();
        let text = snapshot(&[sample()], &report);
        assert!(
            text.starts_with("STATUS   ORIGINATOR           RESPONDER   IFACE       ORIG RATE"),
            "{text}"
        );
        assert!(
            text.contains("  8.8.8.8:53  if2\\u{1b}  1.6 kbit/s"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn equally_fast_ones_are_sorted_by_bytes() {
        let mut table = Table::new(8, Timeouts::default());
        let mut early = second();
        early.orig = counts(1, 100);
        early.first_ns = 0;
        let mut large = sample();
        large.first_ns = 0;
        // Long ago, so that nothing is left of the rates.
        table.apply([early, large], SECOND);
        table.apply([early, large], 100_000 * SECOND);
        let ids: Vec<_> = sorted(&table).iter().map(|one| one.sample.id).collect();
        assert_eq!(ids, [large.id, early.id]);
    }

    #[test]
    fn an_empty_line_parts_two_snapshots() {
        let table = Table::new(8, Timeouts::default());
        let mut out = Vec::new();
        let mut text = TextTable::new(&mut out);
        for _ in 0..2 {
            text.snapshot(&table, &report(), &ETH0).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\n\nNo UDP").count(), 1);
    }

    #[test]
    fn books_that_do_not_balance_are_not_shown_as_equal() {
        let mut report = report();
        report.hooks[0].books.seen.packets += 1;
        assert!(snapshot(&[], &report).contains("seen 1,835 pkts 454,800 B != tracked"));
    }
}
