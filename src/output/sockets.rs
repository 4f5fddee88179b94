//! UDP sockets: a table that says below each row what to do, or a record for each socket.

use std::io::{self, Write};

use super::Clock;
use super::eve_socket::SocketRecord;
use super::records::Form;
use super::table::{Grid, Head};
use crate::listing::{Column, SOCKETS};
use crate::model::services::Services;
use crate::model::text::{Grouped, Span, Visible};
use crate::sockets::{Row, Snapshot};

/// Names of interfaces by their indexes.
pub type DeviceName = fn(u32) -> Option<String>;
/// Columns and lines of a terminal.
pub type Size = fn() -> Option<(usize, usize)>;

/// One way to write down what sockets are like.
pub trait SocketOutput {
    /// All that are shown, at one moment.
    fn snapshot(&mut self, snapshot: &Snapshot) -> io::Result<()>;

    /// Hands on what is buffered.
    fn flush(&mut self) -> io::Result<()>;
}

/// Text tables. On a terminal each one takes the place of the one before.
#[derive(Debug)]
pub struct SocketTable<W> {
    out: W,
    /// Of ports; none when numbers alone are wanted.
    pub services: Option<Services>,
    /// Of the terminal, if it is one.
    pub size: Option<Size>,
    /// Whether a table replaces the last one there.
    pub replaces: bool,
    /// How devices are called.
    pub device: DeviceName,
    is_first: bool,
}

impl<W: Write> SocketTable<W> {
    /// Tables, to `out`, with an empty line between two.
    pub fn new(out: W, device: DeviceName) -> Self {
        Self {
            out,
            services: None,
            size: None,
            replaces: false,
            device,
            is_first: true,
        }
    }

    fn cell(&self, column: Column, row: &Row) -> String {
        let state = &row.state;
        let reading = &state.reading;
        let number = |number: u64| Grouped(number).to_string();
        let nothing = || "-".to_owned();
        match column {
            Column::Process => {
                let owner = row.owner.as_deref();
                owner.map_or_else(nothing, |owner| {
                    format!("{}/{}", Visible(owner.program()), owner.pid)
                })
            }
            Column::Address => self.address(row),
            Column::Peer => {
                let peer = reading.socket.peer;
                peer.map_or_else(nothing, |peer| peer.to_string())
            }
            Column::Buffer => number(reading.receive_buffer.into()),
            Column::Fill => format!("{}%", reading.fill_percent()),
            Column::FillMost => format!("{}%", state.most_percent()),
            Column::DropRate => rate(state.drop_rate),
            Column::NewDrops => number(state.drops_seen),
            Column::Drops => number(reading.drops.into()),
            _ => nothing(),
        }
    }

    /// `0.0.0.0:514 (syslog)`, `0.0.0.0:68%eth0 (bootpc)`.
    fn address(&self, row: &Row) -> String {
        let socket = &row.state.reading.socket;
        let mut text = socket.local.to_string();
        if let Some(index) = socket.device {
            let name = (self.device)(index.0).unwrap_or_else(|| format!("if{}", index.0));
            text = format!("{text}%{}", Visible(&name));
        }
        let services = self.services.as_ref();
        match services.and_then(|services| services.name(socket.local.port())) {
            Some(service) => format!("{text} ({})", Visible(service)),
            None => text,
        }
    }

    /// As many rows as the terminal has lines for, with what stands below them.
    fn fitting<'a>(&self, rows: &'a [Row], size: Option<(usize, usize)>) -> &'a [Row] {
        /// Header, sums, and where the cursor stands.
        const OTHER_LINES: usize = 3;
        let Some((width, lines)) = size.filter(|_| self.replaces) else {
            return rows;
        };
        let mut left = lines.saturating_sub(OTHER_LINES);
        let fitting = rows.iter().take_while(|row| {
            let note = note(row).map_or(0, |note| note.chars().count() + 2);
            let needed = 1 + note.div_ceil(width.max(1));
            let fits = needed <= left;
            left = left.saturating_sub(needed);
            fits
        });
        &rows[..fitting.count()]
    }

    fn write_rows(&mut self, rows: &[Row], width: Option<usize>) -> io::Result<()> {
        let has_peers = rows
            .iter()
            .any(|row| row.state.reading.socket.peer.is_some());
        // What to do stands below a row.
        let is_shown = |column: &&Column| match column {
            Column::Advice => false,
            Column::Peer => has_peers,
            _ => true,
        };
        let columns: Vec<Column> = SOCKETS.order.iter().filter(is_shown).copied().collect();
        let cells = rows.iter().map(|row| {
            let cells = columns.iter().map(|column| self.cell(*column, row));
            cells.collect()
        });
        let cells = cells.collect();
        let columns = columns.into_iter().map(head).collect();
        Grid::new(columns, cells).write_with_notes(&mut self.out, width, |index| note(&rows[index]))
    }
}

impl<W: Write> SocketOutput for SocketTable<W> {
    fn snapshot(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let is_first = std::mem::take(&mut self.is_first);
        let size = self.size.and_then(|size| size());
        if self.replaces {
            // To the upper left, and from there on nothing.
            write!(self.out, "\x1b[H\x1b[J")?;
        } else if !is_first {
            writeln!(self.out)?;
        }
        let rows = self.fitting(&snapshot.rows, size);
        if snapshot.sockets == 0 {
            let fitting = if snapshot.watched > 0 {
                " that fit"
            } else {
                ""
            };
            return writeln!(self.out, "No UDP sockets{fitting} now.");
        }
        self.write_rows(rows, size.map(|(width, _)| width))?;
        let shown = if (rows.len() as u64) < snapshot.sockets {
            format!("{} of ", Grouped(rows.len() as u64))
        } else {
            String::new()
        };
        let word = if snapshot.sockets == 1 {
            "socket"
        } else {
            "sockets"
        };
        writeln!(
            self.out,
            "{shown}{} {word}: {} drops in {}, {} before",
            Grouped(snapshot.sockets),
            Grouped(snapshot.drops_seen),
            Span(snapshot.looked_ns),
            Grouped(snapshot.drops_before),
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a row is known by stays always, the others by how much they are needed.
fn head(column: Column) -> Head {
    let is_identity = matches!(column, Column::Process | Column::Address);
    let place = SOCKETS.need.iter().position(|needed| *needed == column);
    Head {
        title: column.title(None, false),
        words: !column.is_number(),
        rank: place.filter(|_| !is_identity).unwrap_or_default(),
    }
}

/// What stands below a row.
fn note(row: &Row) -> Option<String> {
    let who = Visible(row.who()).to_string();
    row.advice.map(|advice| advice.text(&who))
}

/// A second; below ten with a decimal, as what is not none is never shown as 0.
pub(super) fn rate(drops: f32) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast of a float saturates, and a rate is not negative"
    )]
    let whole = drops.round() as u64;
    match drops {
        0.0 => "0".to_owned(),
        drops if drops < 0.1 => "<0.1".to_owned(),
        drops if drops < 9.95 => format!("{drops:.1}"),
        _ => Grouped(whole).to_string(),
    }
}

/// A record for each socket.
#[derive(Debug)]
pub struct SocketRecords<F> {
    form: F,
    clock: Clock,
    device: DeviceName,
}

impl<F: Form> SocketRecords<F> {
    /// Records in a form.
    pub fn new(form: F, clock: Clock, device: DeviceName) -> Self {
        Self {
            form,
            clock,
            device,
        }
    }
}

impl<F: Form> SocketOutput for SocketRecords<F> {
    fn snapshot(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.clock.resample()?;
        let now_ns = self.clock.now_ns()?;
        for row in &snapshot.rows {
            let device = row.state.reading.socket.device;
            let device = device.and_then(|index| (self.device)(index.0));
            let record = SocketRecord::new(self.clock.stamp(now_ns), row, device.as_deref());
            self.form.row(&record)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.form.flush()
    }
}

#[cfg(test)]
mod tests;
