//! What a run came to, for standard error: the books, the connections, and what would have helped.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::model::text::Visible;
use crate::model::text::{Bytes, Grouped};
use crate::model::{Books, Counts, Report, Skip};

/// Writes the summary at the end of a run.
pub fn write_summary<W: Write>(mut out: W, report: &Report) -> io::Result<()> {
    write_all(&mut out, report)?;
    let total = report.connections_total;
    write_mismatch(&mut out, &report.books(), Some(total))
}

/// The same while packets are counted: connections and books are of two moments then, and not compared.
pub fn write_summary_so_far<W: Write>(mut out: W, report: &Report) -> io::Result<()> {
    write_all(&mut out, report)?;
    write_mismatch(&mut out, &report.books(), None)
}

fn write_all(mut out: &mut impl Write, report: &Report) -> io::Result<()> {
    let books = report.books();
    write_books(&mut out, &books)?;
    if let Some(dropped) = report.dropped_in_words() {
        writeln!(out, "{dropped}")?;
    }
    if let Some(left) = report.left_in_words() {
        writeln!(out, "{left}")?;
    }
    write_interfaces(&mut out, report)?;
    writeln!(
        out,
        "connections: {} new, {} ended, {} live",
        Grouped(report.connections_new),
        Grouped(report.connections_ended),
        Grouped(report.connections_live),
    )?;
    writeln!(out, "events lost: {}", Grouped(report.events_lost))?;
    if let Some(captured) = &report.captured {
        writeln!(out, "frames lost: {}", Grouped(captured.lost_in_all()))?;
        if let Some((held, gone)) = captured.memory {
            let (held, gone) = (Grouped(held), Grouped(gone));
            writeln!(
                out,
                "frames in memory: {held}; {gone} older ones were overwritten"
            )?;
        }
    }
    write_advice(out, report, &books)
}

fn write_books(out: &mut impl Write, books: &Books) -> io::Result<()> {
    let mut rows = vec![
        ("seen".to_owned(), books.seen),
        ("tracked".to_owned(), books.tracked),
        ("skipped".to_owned(), books.skipped_total()),
    ];
    rows.extend(
        books
            .reasons()
            .map(|(reason, counts)| (format!("  {}", reason.name()), counts)),
    );
    write_counts(out, &rows)
}

/// A line for each interface, if there are several.
fn write_interfaces(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut interfaces: BTreeMap<&str, Books> = BTreeMap::new();
    for hook in &report.hooks {
        *interfaces.entry(&hook.interface).or_default() += hook.books;
    }
    if interfaces.len() < 2 {
        return Ok(());
    }
    let rows: Vec<_> = interfaces
        .iter()
        .map(|(name, books)| {
            let counted = |counts: Counts| {
                format!(
                    "{} pkts {} B",
                    Grouped(counts.packets),
                    Grouped(counts.bytes)
                )
            };
            [
                Visible(name).to_string(),
                counted(books.seen),
                counted(books.tracked),
                counted(books.skipped_total()),
            ]
        })
        .collect();
    let [name, seen, tracked, skipped] =
        [0, 1, 2, 3].map(|column| widest(rows.iter().map(|row| row[column].as_str())));
    for row in &rows {
        writeln!(
            out,
            "{:<name$}  seen {:>seen$} = tracked {:>tracked$} + skipped {:>skipped$}",
            row[0], row[1], row[2], row[3],
        )?;
    }
    Ok(())
}

/// Rows of exact counts, with the bytes once more in a unit that is easier to read.
fn write_counts(out: &mut impl Write, rows: &[(String, Counts)]) -> io::Result<()> {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|(name, counts)| {
            [
                name.clone(),
                Grouped(counts.packets).to_string(),
                Grouped(counts.bytes).to_string(),
                Bytes(counts.bytes).to_string(),
            ]
        })
        .collect();
    let [name, packets, bytes, human] =
        [0, 1, 2, 3].map(|column| widest(cells.iter().map(|row| row[column].as_str())));
    for row in &cells {
        writeln!(
            out,
            "{:<name$}  {:>packets$} packets  {:>bytes$} bytes  {:>human$}",
            row[0], row[1], row[2], row[3],
        )?;
    }
    Ok(())
}

fn widest<'a>(cells: impl Iterator<Item = &'a str>) -> usize {
    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// The flags that would have made room.
fn write_advice(out: &mut impl Write, report: &Report, books: &Books) -> io::Result<()> {
    let unplaced = books.skipped_for(Skip::TableFull);
    if unplaced.packets > 0 {
        writeln!(
            out,
            "table full: {} packets of new connections found no room. Raise --max-connections above {}",
            Grouped(unplaced.packets),
            Grouped(report.connections_max),
        )?;
    }
    let uncounted = report.dropped_without_room;
    if uncounted.in_no_connection.packets > 0 {
        writeln!(
            out,
            "dropped: for {} packets, there was no room to count the losses of their connections. Raise --max-connections above {}",
            Grouped(uncounted.in_no_connection.packets),
            Grouped(report.connections_max),
        )?;
    }
    if uncounted.in_no_books.packets > 0 {
        writeln!(
            out,
            "dropped: {} more packets, for reasons that there was no room to count",
            Grouped(uncounted.in_no_books.packets),
        )?;
    }
    let unaddressed = report.addresses_without_entry;
    if unaddressed.packets > 0 {
        writeln!(
            out,
            "addresses: {} packets ({}) belong to addresses that are no longer in ip_stats. Raise --max-ips above {} to hold more",
            Grouped(unaddressed.packets),
            Bytes(unaddressed.bytes),
            Grouped(report.addresses),
        )?;
    }
    Ok(())
}

/// One loud line when the numbers contradict each other, and by how much. `total` is of all connections, where it is of the same moment.
fn write_mismatch(out: &mut impl Write, books: &Books, total: Option<Counts>) -> io::Result<()> {
    let mut wrong = Vec::new();
    if !books.balance() {
        let accounted = books.tracked + books.skipped_total();
        wrong.push(difference(
            "seen",
            books.seen,
            "(tracked + skipped)",
            accounted,
        ));
    }
    if let Some(total) = total.filter(|total| *total != books.tracked) {
        wrong.push(difference(
            "all connections",
            total,
            "tracked",
            books.tracked,
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    writeln!(out, "THE BOOKS DO NOT BALANCE: {}", wrong.join("; "))
}

/// `seen - (tracked + skipped) = +3 packets, -60 bytes`.
fn difference(name: &str, counts: Counts, other_name: &str, other: Counts) -> String {
    let signed = |one: u64, other: u64| {
        let sign = if one < other { '-' } else { '+' };
        format!("{sign}{}", Grouped(one.abs_diff(other)))
    };
    format!(
        "{name} - {other_name} = {} packets, {} bytes",
        signed(counts.packets, other.packets),
        signed(counts.bytes, other.bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{counts, hook, report};
    use super::*;
    use crate::model::{Direction, DropClass, DroppedFor};

    fn summary(report: &Report) -> String {
        let mut out = Vec::new();
        write_summary(&mut out, report).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_run_on_one_interface() {
        assert_eq!(
            summary(&report()),
            "\
seen       1,834 packets  454,800 bytes  455 kB
tracked    1,500 packets  140,000 bytes  140 kB
skipped      334 packets  314,800 bytes  315 kB
  not-ip      30 packets    1,800 bytes  1.8 kB
  not-udp    304 packets  313,000 bytes  313 kB
connections: 1,200 new, 1,197 ended, 3 live
events lost: 0
"
        );
    }

    #[test]
    fn several_interfaces_have_a_line_each() {
        let mut report = report();
        report
            .hooks
            .push(hook("wg\x07", Direction::Ingress, counts(5, 500), &[]));
        report.connections_total += counts(5, 500);
        let text = summary(&report);
        let lines: Vec<_> = text.lines().filter(|line| line.contains(" = ")).collect();
        assert_eq!(
            lines,
            [
                r"eth0     seen 1,834 pkts 454,800 B = tracked 1,500 pkts 140,000 B + skipped 334 pkts 314,800 B",
                r"wg\u{7}  seen         5 pkts 500 B = tracked         5 pkts 500 B + skipped         0 pkts 0 B",
            ]
        );
    }

    #[test]
    fn names_the_flags_that_help() {
        let mut report = report();
        report.hooks.push(hook(
            "eth0",
            Direction::Ingress,
            counts(0, 0),
            &[(Skip::TableFull, counts(1234, 100_000))],
        ));
        report.addresses_without_entry = counts(4321, 5_000_000);
        report.addresses = 1024;
        report.events_lost = 5000;
        let text = summary(&report);
        let lines: Vec<_> = text.lines().skip(7).collect();
        assert_eq!(
            lines,
            [
                "events lost: 5,000",
                "table full: 1,234 packets of new connections found no room. Raise --max-connections above 8,192",
                "addresses: 4,321 packets (5.0 MB) belong to addresses that are no longer in ip_stats. Raise --max-ips above 1,024 to hold more",
            ]
        );
    }

    #[test]
    fn what_was_dropped_is_told() {
        let mut report = report();
        let mut out = hook("eth0", Direction::Egress, counts(100, 9_000), &[]);
        out.dropped = vec![DroppedFor {
            reason: "qdisc_drop".into(),
            class: DropClass::Queue,
            counts: counts(45, 4_050),
            apart: counts(5, 450),
        }];
        report.hooks = vec![out];
        report.dropped_without_room.in_no_connection = counts(7, 700);
        report.dropped_without_room.in_no_books = counts(3, 300);
        let text = summary(&report);
        let lines = text
            .lines()
            .filter(|line| line.contains("dropped") || line.contains("left"));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "dropped here 45 (queue 45)",
                "of 100 packets sent, 60 left",
                "dropped: for 7 packets, there was no room to count the losses of their connections. Raise --max-connections above 8,192",
                "dropped: 3 more packets, for reasons that there was no room to count",
            ]
        );
    }

    #[test]
    fn is_loud_when_the_books_do_not_balance() {
        let mut report = report();
        report.hooks[0].books.seen += counts(3, 0);
        report.hooks[0].books.tracked += counts(0, 60);
        let text = summary(&report);
        assert_eq!(
            text.lines().last().unwrap(),
            "THE BOOKS DO NOT BALANCE: seen - (tracked + skipped) = +3 packets, -60 bytes; \
             all connections - tracked = +0 packets, -60 bytes"
        );
    }

    #[test]
    fn is_loud_when_connections_and_books_differ() {
        let mut report = report();
        report.connections_total = counts(1499, 139_900);
        let mut so_far = Vec::new();
        write_summary_so_far(&mut so_far, &report).unwrap();
        assert!(!String::from_utf8(so_far).unwrap().contains("BALANCE"));
        let text = summary(&report);
        assert_eq!(
            text.lines().last().unwrap(),
            "THE BOOKS DO NOT BALANCE: all connections - tracked = -1 packets, -100 bytes"
        );
    }
}
