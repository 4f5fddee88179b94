//! The files of `-w`: one after the other, as [`Sequence`] says.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use anyhow::Result;

use super::capture::{Capture, Meta};
use super::file::Blocks;
use super::files::Files;
use super::shared::{Done, Taken};
use crate::capture::write::{Next, Sequence};
use crate::model::text::Visible;
use crate::model::{ConnectionId, Ifindex, PlaceMap};
use crate::run::inputs::Inputs;

/// How long a file that cannot be opened is not tried again.
const RETRY_NS: u64 = 1_000_000_000;

/// Where frames go, and what became of them.
#[derive(Default)]
pub(super) struct Saved {
    /// The file that is written now.
    capture: Option<Capture>,
    /// None: standard output.
    sequence: Option<Sequence>,
    /// What none of them may be.
    inputs: Inputs,
    name: String,
    pub files: Files,
    /// What the files before it have, by interface.
    before: HashMap<Ifindex, u64>,
    /// When a file that could not be opened is tried again.
    retry_ns: u64,
    /// It was said that it cannot be written.
    is_said: bool,
    /// Whose frame came last from each place.
    seen: PlaceMap<ConnectionId>,
    pub done: Done,
    pub has_enough: bool,
    pub messages: Vec<String>,
}

impl Saved {
    /// Into the first of these files; without any, to standard output.
    pub fn open(sequence: Option<Sequence>, inputs: Inputs, meta: &Meta) -> Result<Self> {
        let mut saved = Self {
            sequence,
            inputs,
            ..Self::default()
        };
        let opened = saved.open_blocks()?;
        saved.begin(opened, HashMap::new(), meta);
        Ok(saved)
    }

    /// Begins the file of this name; one was there, or not.
    fn begin(
        &mut self,
        (blocks, was_there): (Blocks, bool),
        before: HashMap<Ifindex, u64>,
        meta: &Meta,
    ) {
        self.capture = Some(Capture::begin(blocks, String::new(), before, meta));
        self.files.begin(&self.name, was_there);
        self.done.files = self.files.begun();
    }

    fn open_blocks(&mut self) -> Result<(Blocks, bool)> {
        let Some(sequence) = &self.sequence else {
            "standard output".clone_into(&mut self.name);
            return Ok((Blocks::stdout(&self.inputs)?, false));
        };
        let path = sequence.name();
        self.name = name(&path);
        let was_there = path.exists();
        Ok((Blocks::open(&path, &self.inputs)?, was_there))
    }

    /// Appends a frame to the file where it goes.
    pub fn add(&mut self, taken: &Taken, meta: &Meta) -> io::Result<()> {
        let length = self.capture.as_ref().map_or(0, Capture::len);
        let next = self
            .sequence
            .as_mut()
            .map(|it| it.next(taken.unix_ns, length));
        match next {
            Some(Next::Other(_)) => {
                self.end_file(meta, taken.unix_ns)?;
                self.open_next(meta, taken.unix_ns);
            }
            Some(Next::Enough) => self.has_enough = true,
            Some(Next::Same) | None => {}
        }
        if self.has_enough {
            self.done.after += 1;
            return Ok(());
        }
        if self.capture.is_none() && taken.unix_ns >= self.retry_ns {
            self.open_next(meta, taken.unix_ns);
        }
        let Some(capture) = &mut self.capture else {
            self.done.unwritten += 1;
            return Ok(());
        };
        if taken.frame.packets > 1 {
            self.done.merged += 1;
        }
        let seen = self.seen.insert(taken.about.place, taken.about.id);
        self.done.connections += u64::from(seen != Some(taken.about.id));
        if capture.add(taken, meta) {
            self.flush()?;
        }
        Ok(())
    }

    /// Where it cannot be opened, frames are lost until it can.
    fn open_next(&mut self, meta: &Meta, unix_ns: u64) {
        self.retry_ns = unix_ns + RETRY_NS;
        match self.open_blocks() {
            Ok(opened) => {
                let before = std::mem::take(&mut self.before);
                self.begin(opened, before, meta);
            }
            Err(error) => self.say(&format!("{error:#}")),
        }
    }

    /// The file was moved away, or else it goes on.
    pub fn reopen(&mut self, meta: &Meta, unix_ns: u64) -> io::Result<()> {
        let path = self.sequence.as_ref().map(Sequence::name);
        let capture = self.capture.as_ref();
        let Some(path) = path.filter(|path| !capture.is_some_and(|it| it.is_at(path))) else {
            return Ok(());
        };
        match Blocks::open(&path, &self.inputs) {
            Ok(blocks) => {
                self.end_file(meta, unix_ns)?;
                let before = std::mem::take(&mut self.before);
                self.begin((blocks, false), before, meta);
            }
            Err(error) => self.messages.push(format!(
                "{error:#}: udptrack continues to write to the old file"
            )),
        }
        Ok(())
    }

    /// Writes what was appended.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(capture) = &mut self.capture else {
            return Ok(());
        };
        let flushed = capture.flush();
        self.note(flushed)
    }

    fn note(&mut self, flushed: Result<u64, (u64, io::Error)>) -> io::Result<()> {
        match flushed {
            Ok(0) => Ok(()),
            Ok(frames) => {
                self.done.written += frames;
                self.files.add(frames);
                self.is_said = false;
                Ok(())
            }
            Err((_, error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            Err((frames, error)) => {
                self.done.unwritten += frames;
                self.say(&format!("cannot write to {}: {error}", self.name));
                Ok(())
            }
        }
    }

    fn say(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_said, true) {
            let text = format!("{error}. udptrack counts the frames that it cannot write");
            self.messages.push(text);
        }
    }

    fn end_file(&mut self, meta: &Meta, unix_ns: u64) -> io::Result<()> {
        let Some(mut capture) = self.capture.take() else {
            return Ok(());
        };
        let ended = capture.end(meta, unix_ns);
        self.note(ended)?;
        self.before = capture.into_written();
        Ok(())
    }

    /// The end of the run.
    pub fn end(&mut self, meta: &Meta, unix_ns: u64) -> io::Result<()> {
        self.end_file(meta, unix_ns)
    }
}

fn name(path: &Path) -> String {
    Visible(&path.to_string_lossy()).to_string()
}
