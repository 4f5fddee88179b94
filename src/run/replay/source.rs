//! The frames of captures, read by a thread of their own: without rights, in a fence with nothing open, as what files say is hostile input.
//!
//! Frames of several files come in the order of their times. What waits for the loop is bounded: the thread waits for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::capture::read::{CapturedInterface, Frame, Link, ReadError, Reader};
use crate::model::Direction;
use crate::model::text::{Grouped, Visible};
use crate::run::fence::{self, Open, give_up_all_rights};

/// So many frames wait at most, and so many bytes of them.
const FRAMES: usize = 4096;
const BYTES: usize = 1 << 20;
/// Where frames come as fast as they are asked for, the loop is called for so many.
const AT_ONCE: usize = 512;
/// The programs look at no more of a frame.
const FRAME_BYTES: usize = 3072;

/// A frame in a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub ns: u64,
    /// Which of all interfaces that the batches have told of.
    pub interface: usize,
    pub direction: Direction,
    pub wire_bytes: u32,
    start: u32,
    bytes: u32,
}

impl Head {
    /// Of a frame that is in no batch yet.
    fn of(frame: &Frame<'_>, interface: usize) -> Self {
        Self {
            ns: frame.time_ns,
            interface,
            direction: frame.direction,
            wire_bytes: frame.wire_bytes,
            start: 0,
            bytes: 0,
        }
    }
}

/// Some frames, in the order of their files.
#[derive(Debug, Default)]
pub(super) struct Batch {
    frames: Vec<Head>,
    bytes: Vec<u8>,
    /// Interfaces that no batch before has told of.
    pub interfaces: Vec<CapturedInterface>,
}

impl Batch {
    fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.interfaces.clear();
    }

    fn has_room(&self) -> bool {
        self.frames.len() < FRAMES && self.bytes.len() < BYTES
    }

    /// Each frame with its bytes.
    pub fn frames(&self) -> impl Iterator<Item = (Head, &[u8])> {
        self.frames.iter().map(|head| {
            let start = head.start as usize;
            (*head, &self.bytes[start..start + head.bytes as usize])
        })
    }
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Frames.
    Some,
    /// None has come so far.
    Nothing,
    /// No more come.
    Over,
}

struct State {
    batch: Batch,
    is_over: bool,
    /// The loop wants no more.
    is_closed: bool,
    error: Option<ReadError>,
    /// What is to be said at the end.
    notes: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    read_bytes: AtomicU64,
}

/// Where frames come from.
pub(super) struct Source {
    shared: Arc<Shared>,
    /// As people know it.
    pub name: String,
    /// Bytes of all files; none where one is a pipe.
    pub total_bytes: Option<u64>,
    at_once: usize,
}

impl Source {
    /// Opens all files, and begins to read them.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let readers = paths.iter().map(|path| Reader::open(path));
        let readers = readers.collect::<Result<Vec<Reader>, ReadError>>()?;
        let total_bytes = readers.iter().map(Reader::total_bytes).sum();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                batch: Batch::default(),
                is_over: false,
                is_closed: false,
                error: None,
                notes: Vec::new(),
            }),
            changed: Condvar::new(),
            read_bytes: AtomicU64::new(0),
        });
        let reading = Arc::clone(&shared);
        thread::Builder::new()
            .name("captures".to_owned())
            .spawn(move || {
                let is_fenced =
                    give_up_all_rights().and_then(|()| fence::put_up(Open::default(), false));
                let mut over = Vec::new();
                match is_fenced {
                    Ok(_) => over = Files::new(readers).read(&reading),
                    Err(error) => over.push(format!("cannot read captures: {error:#}")),
                }
                reading.end(over);
            })
            .context("cannot start a thread that reads captures")?;
        Ok(Self {
            shared,
            name: names(paths),
            total_bytes,
            at_once: if total_bytes.is_some() { AT_ONCE } else { 1 },
        })
    }

    /// Takes what has come, and waits for it for so long at most.
    pub fn take(&self, batch: &mut Batch, wait: Duration) -> Taken {
        batch.clear();
        let is_too_few =
            |state: &mut State| state.batch.frames.len() < self.at_once && !state.is_over;
        let state = self.shared.state();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, wait, is_too_few);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.batch.frames.is_empty() {
            return if state.is_over {
                Taken::Over
            } else {
                Taken::Nothing
            };
        }
        std::mem::swap(batch, &mut state.batch);
        self.shared.changed.notify_all();
        Taken::Some
    }

    /// When the first frame was seen; waits for it. None where there is none.
    pub fn first_ns(&self) -> Option<u64> {
        let state = self.shared.state();
        let is_silent = |state: &mut State| state.batch.frames.is_empty() && !state.is_over;
        let waited = self.shared.changed.wait_while(state, is_silent);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        state.batch.frames.first().map(|head| head.ns)
    }

    /// Bytes that were read of all files.
    pub fn read_bytes(&self) -> u64 {
        self.shared.read_bytes.load(Relaxed)
    }

    /// What was wrong with a file, once all are read.
    pub fn take_error(&self) -> Option<ReadError> {
        self.shared.state().error.take()
    }

    /// What else is to be said of them.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().notes)
    }

    /// No more is wanted.
    pub fn close(&self) {
        self.shared.state().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, notes: Vec<String>) {
        let mut state = self.state();
        state.notes.extend(notes);
        state.is_over = true;
        self.changed.notify_all();
    }

    /// Hands over a frame when there is room for it; false where no more is wanted.
    fn push(&self, head: Head, data: &[u8], news: Option<CapturedInterface>) -> bool {
        let mut state = self.state();
        while !state.batch.has_room() && !state.is_closed {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let batch = &mut state.batch;
        let start = u32::try_from(batch.bytes.len()).unwrap_or(u32::MAX);
        let data = &data[..data.len().min(FRAME_BYTES)];
        batch.frames.push(Head {
            start,
            bytes: u32::try_from(data.len()).unwrap_or(0),
            ..head
        });
        batch.bytes.extend(data);
        batch.interfaces.extend(news);
        let frames = batch.frames.len();
        let goes_on = !state.is_closed;
        drop(state);
        if frames == 1 || frames == AT_ONCE {
            self.changed.notify_all();
        }
        goes_on
    }
}

/// The name of a file, or how many there are.
fn names(paths: &[PathBuf]) -> String {
    match paths {
        [path] if path.as_os_str() == "-" => "standard input".to_owned(),
        [path] => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        }
        several => format!("{} captures", several.len()),
    }
}

/// A file whose frames are read.
struct File {
    reader: Reader,
    /// Its interfaces, as all batches number them: those that frames have come of.
    interfaces: Vec<Option<usize>>,
    /// Where there are several files: the frame that is next, and its bytes.
    next: Option<Head>,
    data: Vec<u8>,
}

/// What tells interfaces apart: of several files, those of one name are the same, the first the first, the second the second.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    name: String,
    link: Link,
    ordinal: usize,
}

/// All files.
struct Files {
    open: Vec<File>,
    known: HashMap<Identity, usize>,
    notes: Vec<String>,
    read_bytes: u64,
}

impl Files {
    fn new(readers: Vec<Reader>) -> Self {
        let files = readers.into_iter().map(|reader| File {
            reader,
            interfaces: Vec::new(),
            next: None,
            data: Vec::new(),
        });
        Self {
            open: files.collect(),
            known: HashMap::new(),
            notes: Vec::new(),
            read_bytes: 0,
        }
    }

    /// Hands over all frames; gives what is to be said of the files.
    fn read(mut self, shared: &Shared) -> Vec<String> {
        if let [_] = &self.open[..] {
            while self.pass_on(shared) {}
        } else {
            let mut ahead = Vec::new();
            for mut file in std::mem::take(&mut self.open) {
                if self.look_ahead(&mut file, shared) {
                    ahead.push(file);
                }
            }
            while self.pass_earliest(&mut ahead, shared) {}
        }
        self.notes
    }

    /// The only file: its next frame goes to the loop from where it was read.
    fn pass_on(&mut self, shared: &Shared) -> bool {
        let Some(file) = self.open.first_mut() else {
            return false;
        };
        let read = file.reader.read_bytes();
        let frame = match file.reader.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                let file = self.open.remove(0);
                self.finish(&file, None, shared);
                return false;
            }
            Err(error) => {
                let file = self.open.remove(0);
                self.finish(&file, Some(error), shared);
                return false;
            }
        };
        let place = file.interfaces.get(frame.interface).copied().flatten();
        let of_file = frame.interface;
        let head = Head::of(&frame, place.unwrap_or(of_file));
        shared.read_bytes.store(read, Relaxed);
        if place.is_some() {
            return shared.push(head, frame.data, None);
        }
        // The first frame of an interface: its name is known with it.
        let data = frame.data.to_vec();
        let (interface, news) = number(&mut self.known, file, of_file);
        shared.push(Head { interface, ..head }, &data, news)
    }

    /// Reads the next frame of one of several files; false where there is none.
    fn look_ahead(&mut self, file: &mut File, shared: &Shared) -> bool {
        let before = file.reader.read_bytes();
        let found = match file.reader.next() {
            Ok(Some(frame)) => {
                file.data.clear();
                file.data.extend(frame.data);
                file.next = Some(Head::of(&frame, frame.interface));
                true
            }
            Ok(None) => {
                self.finish(file, None, shared);
                false
            }
            Err(error) => {
                self.finish(file, Some(error), shared);
                false
            }
        };
        self.read_bytes += file.reader.read_bytes() - before;
        shared.read_bytes.store(self.read_bytes, Relaxed);
        found
    }

    /// The earliest of the frames that are next; of equal ones that of the file that was named first.
    fn pass_earliest(&mut self, ahead: &mut Vec<File>, shared: &Shared) -> bool {
        let times = ahead.iter().enumerate();
        let times = times.filter_map(|(place, file)| Some((file.next?.ns, place)));
        let Some((_, place)) = times.min() else {
            return false;
        };
        let file = &mut ahead[place];
        let Some(head) = file.next.take() else {
            return false;
        };
        let (interface, news) = number(&mut self.known, file, head.interface);
        let goes_on = shared.push(Head { interface, ..head }, &file.data, news);
        if goes_on && !self.look_ahead(file, shared) {
            ahead.remove(place);
        }
        goes_on
    }

    fn finish(&mut self, file: &File, error: Option<ReadError>, shared: &Shared) {
        for left in file.reader.left_out() {
            self.notes.push(format!(
                "{} frames of {} are left out: their link type {} is not known, or they are cut within its header",
                Grouped(left.frames),
                Visible(left.interface),
                left.link_type
            ));
        }
        if let Some(error) = error {
            shared.state().error.get_or_insert(error);
        }
    }
}

/// The number of an interface of a file, and the interface where no frame of it has come before.
fn number(
    known: &mut HashMap<Identity, usize>,
    file: &mut File,
    of_file: usize,
) -> (usize, Option<CapturedInterface>) {
    if let Some(Some(number)) = file.interfaces.get(of_file) {
        return (*number, None);
    }
    let all = file.reader.interfaces();
    let Some(interface) = all.get(of_file) else {
        return (of_file, None);
    };
    let before = all[..of_file].iter();
    let identity = Identity {
        name: interface.name.clone(),
        link: interface.link,
        ordinal: before.filter(|other| *other == interface).count(),
    };
    let next = known.len();
    let number = *known.entry(identity).or_insert(next);
    let news = (number == next).then(|| interface.clone());
    file.interfaces.resize(all.len(), None);
    file.interfaces[of_file] = Some(number);
    (number, news)
}
