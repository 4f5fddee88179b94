//! CSV: the fields of the JSON records, flat, a row for each record.

mod columns;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::records::Form;
use crate::model::text::Visible;
pub(super) use columns::{Columns, RESPONSE};
use columns::{FLOWS, GROUPS, SOCKETS};

/// A row for each connection that did something, or for each group; the books have no place in it.
pub struct CsvRows<W: Write> {
    rows: csv::Writer<W>,
    columns: Vec<(&'static str, &'static str)>,
}

impl<W: Write> CsvRows<W> {
    /// Rows of connections, to `out`, after the header.
    pub fn new(out: W) -> io::Result<Self> {
        Self::of(out, FLOWS)
    }

    /// Rows of groups.
    pub fn groups(out: W) -> io::Result<Self> {
        Self::of(out, GROUPS)
    }

    /// Rows of sockets.
    pub fn sockets(out: W) -> io::Result<Self> {
        Self::of(out, SOCKETS)
    }

    pub(super) fn of(out: W, columns: &[Columns]) -> io::Result<Self> {
        let columns = columns.concat();
        let mut rows = csv::Writer::from_writer(out);
        rows.write_record(columns.iter().map(|(name, _)| name))
            .map_err(to_io)?;
        Ok(Self { rows, columns })
    }
}

impl<W: Write> Form for CsvRows<W> {
    fn row(&mut self, record: &impl Serialize) -> io::Result<()> {
        let record = serde_json::to_value(record)?;
        for (_, place) in &self.columns {
            self.rows
                .write_field(cell(record.pointer(place)))
                .map_err(to_io)?;
        }
        self.rows.write_record(None::<&[u8]>).map_err(to_io)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }
}

/// The error of the stream itself, so that a closed pipe is known as one.
fn to_io(error: csv::Error) -> io::Error {
    error.into()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => harmless(text),
        Some(Value::Array(values)) => {
            let cells: Vec<String> = values.iter().map(|value| cell(Some(value))).collect();
            cells.join(" ")
        }
        Some(Value::Object(object)) => cell(object.get("command")),
        Some(value) => value.to_string(),
    }
}

/// Names come from outside. What could steer a terminal is escaped as in all other text; what a spreadsheet would take for
/// a formula gets an apostrophe before it, which spreadsheets read as "this is text".
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let mark = if formula { "'" } else { "" };
    format!("{mark}{}", Visible(text))
}

#[cfg(test)]
mod tests;
