//! One capture: frames in, the blocks of a file out, with what there is to say of each.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::file::{Blocks, Flushed};
use super::shared::{About, Known, Taken};
use crate::bpf::Frame;
use crate::capture::write::{Interface, LINKTYPE_ETHERNET, Packet, Section, Statistics};
use crate::model::{ConnectionId, Ifindex, PlaceMap};

/// What is the same in all files of a run.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub application: String,
    pub system: String,
    /// As people read it.
    pub filter: String,
    pub snaplen: u32,
    /// When the run began, in nanoseconds since 1970.
    pub began_ns: u64,
}

/// What a file says beside its frames.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub origin: Origin,
    pub interfaces: HashMap<Ifindex, Known>,
}

/// A file that is being written.
pub(super) struct Capture {
    blocks: Blocks,
    comment: String,
    /// The comment for the next frame.
    note: String,
    /// Interfaces that have their block, by their number in the file.
    numbers: HashMap<Ifindex, u32>,
    /// Of these, those whose block is on the disk.
    settled: u32,
    /// Connections that were named.
    named: PlaceMap<ConnectionId>,
    /// Frames that are in this file, or in those before it, by interface.
    written: HashMap<Ifindex, u64>,
    /// The same of those that are not on the disk yet.
    appended: HashMap<Ifindex, u64>,
    /// Frames whose loss was told.
    lost: HashMap<Ifindex, u64>,
}

impl Capture {
    /// Begins a file, after one that had what `before` has. What was lost before it is no news.
    pub fn begin(
        blocks: Blocks,
        comment: String,
        before: HashMap<Ifindex, u64>,
        meta: &Meta,
    ) -> Self {
        let mut capture = Self {
            blocks,
            comment,
            note: String::new(),
            numbers: HashMap::new(),
            settled: 0,
            named: PlaceMap::default(),
            written: before,
            appended: HashMap::new(),
            lost: meta
                .interfaces
                .iter()
                .map(|(index, it)| (*index, it.lost))
                .collect(),
        };
        capture.write_head(meta);
        capture
    }

    /// How long the file becomes.
    pub fn len(&self) -> u64 {
        self.blocks.len()
    }

    /// Whether that is its file, still.
    pub fn is_at(&self, path: &Path) -> bool {
        self.blocks.is_at(path)
    }

    /// Frames that are in this file, or in those before it, by interface.
    pub fn into_written(self) -> HashMap<Ifindex, u64> {
        self.written
    }

    fn write_head(&mut self, meta: &Meta) {
        let section = Section {
            application: &meta.origin.application,
            system: &meta.origin.system,
            comment: &self.comment,
        };
        section.write(self.blocks.buffer());
        let mut indexes: Vec<Ifindex> = meta.interfaces.keys().copied().collect();
        indexes.sort_unstable();
        for index in indexes {
            self.number(index, meta);
        }
    }

    /// Says something of the file that was not known when it began: at the next frame.
    pub fn note(&mut self, text: &str) {
        join(&mut self.note, text);
    }

    /// The number of an interface in the file, which has its block then.
    fn number(&mut self, index: Ifindex, meta: &Meta) -> u32 {
        if let Some(number) = self.numbers.get(&index) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(index, number);
        let unknown = Known {
            name: format!("if{}", index.0),
            link_type: LINKTYPE_ETHERNET,
            received: 0,
            lost: 0,
        };
        let known = meta.interfaces.get(&index).unwrap_or(&unknown);
        let interface = Interface {
            name: &known.name,
            filter: &meta.origin.filter,
            link_type: known.link_type,
            snaplen: meta.origin.snaplen,
        };
        interface.write(self.blocks.buffer());
        number
    }

    /// Appends a frame. Says whether it is time to write.
    pub fn add(&mut self, taken: &Taken, meta: &Meta) -> bool {
        let Taken {
            frame,
            unix_ns,
            about,
        } = taken;
        if self.blocks.is_bare() && self.blocks.buffer().is_empty() {
            // It could not be written before.
            self.write_head(meta);
        }
        let number = self.number(frame.interface, meta);
        let comment = self.comment_of(frame, about);
        let lost = meta
            .interfaces
            .get(&frame.interface)
            .map_or(0, |it| it.lost);
        let told = self.lost.entry(frame.interface).or_default();
        let packet = Packet {
            interface: number,
            ns: *unix_ns,
            direction: frame.direction,
            bytes: &frame.bytes,
            length: frame.length,
            vlan: frame.vlan,
            snaplen: meta.origin.snaplen,
            lost: lost.saturating_sub(*told),
            comment: &comment,
        };
        packet.write(self.blocks.buffer());
        *told = lost;
        *self.appended.entry(frame.interface).or_default() += 1;
        self.blocks.add_frame()
    }

    /// The comment of a frame: for the first one of a connection, the connection; for several packets in one, their number.
    fn comment_of(&mut self, frame: &Frame, about: &About) -> String {
        let mut comment = std::mem::take(&mut self.note);
        let named = self
            .named
            .get_or_insert_with(about.place, || ConnectionId(0));
        if *named != about.id {
            *named = about.id;
            join(&mut comment, &about.comment);
        }
        if frame.packets > 1 {
            let merged = format!(
                "{} packets, merged by the kernel: {} bytes of payload each",
                frame.packets, frame.segment
            );
            join(&mut comment, &merged);
        }
        comment
    }

    /// Writes what was appended. Says how many frames are lost if it could not be done, and why.
    pub fn flush(&mut self) -> Result<u64, (u64, io::Error)> {
        match self.blocks.flush() {
            None => Ok(0),
            Some(Flushed::Written(frames)) => {
                self.settled = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                for (index, frames) in self.appended.drain() {
                    *self.written.entry(index).or_default() += frames;
                }
                Ok(frames)
            }
            Some(Flushed::Lost(frames, error)) => {
                let settled = self.settled;
                self.numbers.retain(|_, number| *number < settled);
                self.named = PlaceMap::default();
                self.appended.clear();
                Err((frames, error))
            }
        }
    }

    /// The last blocks: what each interface came to.
    pub fn end(&mut self, meta: &Meta, unix_ns: u64) -> Result<u64, (u64, io::Error)> {
        let flushed = self.flush()?;
        if self.blocks.is_bare() {
            return Ok(flushed);
        }
        let mut numbers: Vec<_> = self.numbers.iter().map(|(a, b)| (*b, *a)).collect();
        numbers.sort_unstable();
        for (number, index) in numbers {
            let known = meta.interfaces.get(&index);
            let statistics = Statistics {
                interface: number,
                start_ns: meta.origin.began_ns,
                end_ns: unix_ns,
                received: known.map_or(0, |it| it.received),
                lost: known.map_or(0, |it| it.lost),
                written: self.written.get(&index).copied().unwrap_or(0),
            };
            statistics.write(self.blocks.buffer());
        }
        self.flush().map(|_| flushed)
    }
}

/// One more thing to say.
fn join(comment: &mut String, more: &str) {
    if !comment.is_empty() && !more.is_empty() {
        comment.push_str("; ");
    }
    comment.push_str(more);
}
