//! Messages: header, sets, records (RFC 7011, section 3). Pure.

use super::record::Record;
use super::template::{Field, REVERSE, Template};

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;
const PADDING: usize = 4;
const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;
/// Set in the number of an element that an enterprise number follows.
const ENTERPRISE: u16 = 0x8000;
/// A message fits into one packet on every link that IPv6 works on. A multiple of the padding.
pub(super) const LARGEST: usize = 1232;
/// Numbers at the end of a record of statistics that are filled in when it is sent.
pub(super) const STATISTICS_COUNTS: usize = 5;

/// A message that waits to be sent. Time and sequence number are filled in when it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// Observation domain: each has a sequence of its own.
    pub domain: u32,
    /// Data records in it, those of options included.
    pub records: u64,
    /// Those of connections.
    pub flows: u64,
    /// Packets and IP bytes that these are about.
    pub packets: u64,
    /// The same in bytes.
    pub octets: u64,
    /// Where the set begins that the next record may go into, and of which template that is.
    open: Option<(usize, u16)>,
    /// Where the latest set begins.
    last_set: usize,
    /// Where those numbers stand.
    statistics: Option<usize>,
}

impl Message {
    /// What one that waits takes of memory, in bytes, at most.
    pub const WAITING_BYTES: usize = LARGEST + size_of::<Self>() + 64;

    pub fn new(domain: u32) -> Self {
        let mut bytes = Vec::with_capacity(LARGEST);
        bytes.resize(HEADER, 0);
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..].copy_from_slice(&domain.to_be_bytes());
        Self {
            bytes,
            domain,
            records: 0,
            flows: 0,
            packets: 0,
            octets: 0,
            open: None,
            last_set: HEADER,
            statistics: None,
        }
    }

    /// Adds templates, in a set of their own.
    pub fn templates(&mut self, templates: &[Template]) {
        for template in templates {
            let set = if template.scopes == 0 {
                TEMPLATE_SET
            } else {
                OPTIONS_TEMPLATE_SET
            };
            let start = self.open_set(set);
            self.put(template.id);
            self.put(template.fields.len());
            if template.scopes > 0 {
                self.put(template.scopes);
            }
            for field in &template.fields {
                self.field(*field);
            }
            self.close_set(start);
        }
        self.open = None;
    }

    fn field(&mut self, field: Field) {
        let flag = if field.reverse { ENTERPRISE } else { 0 };
        self.put(field.element | flag);
        self.put(field.length);
        if field.reverse {
            self.bytes.extend(REVERSE.to_be_bytes());
        }
    }

    /// Adds a record of a connection, if there is room.
    pub fn flow(&mut self, record: &Record) -> bool {
        if !self.data(record.template, &record.bytes) {
            return false;
        }
        self.flows += 1;
        self.packets += record.packets;
        self.octets += record.octets;
        true
    }

    /// Adds a data record of a template, if there is room.
    pub fn data(&mut self, template: u16, record: &[u8]) -> bool {
        let open = self.open.filter(|(_, open)| *open == template);
        let before = match open {
            Some(_) => self.bytes.len(),
            None => self.bytes.len().next_multiple_of(PADDING) + SET_HEADER,
        };
        if before + record.len() > LARGEST {
            return false;
        }
        let start = open.map_or_else(|| self.open_set(template), |(start, _)| start);
        self.bytes.extend(record);
        self.close_set(start);
        self.open = Some((start, template));
        self.records += 1;
        true
    }

    /// Adds a record of statistics without its last numbers, if there is room.
    pub fn statistics(&mut self, template: u16, mut record: Vec<u8>) -> bool {
        record.extend([0; 8 * STATISTICS_COUNTS]);
        let has_room = self.data(template, &record);
        if has_room {
            self.statistics = Some(self.bytes.len() - 8 * STATISTICS_COUNTS);
        }
        has_room
    }

    /// Whether numbers are to be filled in before it is sent.
    pub fn is_statistics(&self) -> bool {
        self.statistics.is_some()
    }

    /// Fills them in.
    pub fn fill_statistics(&mut self, counts: &[u64; STATISTICS_COUNTS]) {
        let Some(start) = self.statistics else {
            return;
        };
        for (at, count) in self.bytes[start..].chunks_exact_mut(8).zip(counts) {
            at.copy_from_slice(&count.to_be_bytes());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    /// The message to send: its time in seconds since 1970, and how many data records came before it, modulo 2^32.
    pub fn finished(&mut self, seconds: u32, sequence: u32) -> &[u8] {
        self.pad();
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&seconds.to_be_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
        &self.bytes
    }

    fn open_set(&mut self, id: u16) -> usize {
        self.pad();
        let start = self.bytes.len();
        self.put(id);
        self.put(0_u16);
        start
    }

    /// Sets end at a multiple of four bytes, which older readers want. No record is so short that it could be taken for one.
    fn pad(&mut self) {
        let missing = self.bytes.len().next_multiple_of(PADDING) - self.bytes.len();
        if missing > 0 {
            self.bytes.resize(self.bytes.len() + missing, 0);
            self.close_set(self.last_set);
        }
    }

    fn close_set(&mut self, start: usize) {
        self.last_set = start;
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn put(&mut self, number: impl TryInto<u16>) {
        let number = number.try_into().unwrap_or(u16::MAX);
        self.bytes.extend(number.to_be_bytes());
    }
}
