//! JSON lines: the form of EVE records that pipelines read.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::eve_alert::AlertRecord;
use super::eve_dns::DnsRecord;
use super::eve_quic::QuicRecord;
use super::eve_stats::StatsRecord;
use super::records::Form;
use crate::model::text::steers;

/// A record on each line.
#[derive(Debug)]
pub struct JsonLines<W>(W);

impl<W: Write> JsonLines<W> {
    /// Lines, to `out`.
    pub fn new(out: W) -> Self {
        Self(out)
    }

    pub(super) fn line(&mut self, record: &impl Serialize) -> io::Result<()> {
        record.serialize(&mut Serializer::with_formatter(&mut self.0, Safe))?;
        self.0.write_all(b"\n")
    }
}

impl<W: Write> Form for JsonLines<W> {
    fn row(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.line(record)
    }

    fn quic(&mut self, record: &QuicRecord<'_>) -> io::Result<()> {
        self.line(record)
    }

    fn stats(&mut self, record: &StatsRecord<'_>) -> io::Result<()> {
        self.line(record)
    }

    fn dns(&mut self, record: &DnsRecord<'_>) -> io::Result<()> {
        self.line(record)
    }

    fn alert(&mut self, record: &AlertRecord<'_>) -> io::Result<()> {
        self.line(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            written = start + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests;
