//! All files of a run, read in the order of their frames' times.

use std::collections::HashMap;

use super::nameless::{self, Overlap};
use super::queue::{Head, Queue};
use crate::capture::read::{CapturedInterface, Link, ReadError, Reader};
use crate::model::text::{Grouped, Visible};

/// A file whose frames are read.
struct File {
    reader: Reader,
    /// Its interfaces, as all batches number them: those that frames have come of.
    interfaces: Vec<Option<usize>>,
    /// How many files without names of interfaces had begun with it.
    ordinal: Option<usize>,
    /// Where there are several files: the frame that is next, its header and its bytes.
    next: Option<Head>,
    header: Vec<u8>,
    data: Vec<u8>,
}

/// What tells interfaces apart: of several files, those of one name are the same, the first the first, the second the second. So are those
/// without names, as the files of a rotation have them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    name: Option<String>,
    link: Link,
    link_type: i32,
    ordinal: usize,
}

/// All files.
pub(super) struct Files {
    open: Vec<File>,
    known: Known,
    overlap: Overlap,
    notes: Vec<String>,
    read_bytes: u64,
}

/// The interfaces of all files.
struct Known {
    numbers: HashMap<Identity, usize>,
    /// What those are called together that have no names; nothing where each file has its own.
    nameless: Option<String>,
}

impl Files {
    /// Where they are `apart`, each file that names no interface is one of its own.
    pub fn new(readers: Vec<Reader>, apart: bool) -> Self {
        let is_one = readers.len() > 1 && !apart;
        let nameless = is_one.then(|| nameless::together(&readers));
        let files = readers.into_iter().map(|reader| File {
            reader,
            interfaces: Vec::new(),
            ordinal: None,
            next: None,
            header: Vec::new(),
            data: Vec::new(),
        });
        Self {
            open: files.collect(),
            known: Known {
                numbers: HashMap::new(),
                nameless,
            },
            overlap: Overlap::default(),
            notes: Vec::new(),
            read_bytes: 0,
        }
    }

    /// Hands over all frames; gives what is to be said of the files.
    pub fn read(mut self, queue: &Queue) -> Vec<String> {
        if let [_] = &self.open[..] {
            while self.pass_on(queue) {}
        } else {
            let mut ahead = Vec::new();
            for mut file in std::mem::take(&mut self.open) {
                if self.look_ahead(&mut file, queue) {
                    ahead.push(file);
                }
            }
            while self.pass_earliest(&mut ahead, queue) {}
        }
        self.notes.extend(self.overlap.in_words());
        self.notes
    }

    /// The only file: its next frame goes to the loop from where it was read.
    fn pass_on(&mut self, queue: &Queue) -> bool {
        let Some(file) = self.open.first_mut() else {
            return false;
        };
        let read = file.reader.read_bytes();
        let frame = match file.reader.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                let file = self.open.remove(0);
                self.finish(&file, None, queue);
                return false;
            }
            Err(error) => {
                let file = self.open.remove(0);
                self.finish(&file, Some(error), queue);
                return false;
            }
        };
        let place = file.interfaces.get(frame.interface).copied().flatten();
        let head = Head::of(&frame);
        queue.set_read_bytes(read);
        if let Some(interface) = place {
            return queue.push(head.on(interface), [frame.header, frame.data], None);
        }
        // The first frame of an interface: its name is known with it.
        let (header, data) = (frame.header.to_vec(), frame.data.to_vec());
        let (interface, news) = self.known.number(file, head.interface);
        queue.push(head.on(interface), [&header, &data], news)
    }

    /// Reads the next frame of one of several files; false where there is none.
    fn look_ahead(&mut self, file: &mut File, queue: &Queue) -> bool {
        let before = file.reader.read_bytes();
        let found = match file.reader.next() {
            Ok(Some(frame)) => {
                frame.header.clone_into(&mut file.header);
                frame.data.clone_into(&mut file.data);
                file.next = Some(Head::of(&frame));
                true
            }
            Ok(None) => {
                self.finish(file, None, queue);
                false
            }
            Err(error) => {
                self.finish(file, Some(error), queue);
                false
            }
        };
        self.read_bytes += file.reader.read_bytes() - before;
        queue.set_read_bytes(self.read_bytes);
        found
    }

    /// The earliest of the frames that are next; of equal ones that of the file that was named first.
    fn pass_earliest(&mut self, ahead: &mut Vec<File>, queue: &Queue) -> bool {
        let times = ahead.iter().enumerate();
        let times = times.filter_map(|(place, file)| Some((file.next?.ns, place)));
        let Some((_, place)) = times.min() else {
            return false;
        };
        let file = &mut ahead[place];
        let Some(head) = file.next.take() else {
            return false;
        };
        let (interface, news) = self.known.number(file, head.interface);
        if self.known.nameless.is_some()
            && let Some(it) = file.reader.interfaces().get(head.interface)
            && !it.is_named
        {
            self.overlap.note(&mut file.ordinal, head.ns, &it.name);
        }
        let goes_on = queue.push(head.on(interface), [&file.header, &file.data], news);
        if goes_on && !self.look_ahead(file, queue) {
            ahead.remove(place);
        }
        goes_on
    }

    fn finish(&mut self, file: &File, error: Option<ReadError>, queue: &Queue) {
        for left in file.reader.left_out() {
            self.notes.push(format!(
                "{} frames of {} are left out: their link type {} is not known, or they are cut within its header",
                Grouped(left.frames),
                Visible(left.interface),
                left.link_type
            ));
        }
        if let Some(error) = error {
            queue.fail(error);
        }
    }
}

impl Known {
    /// The number of an interface of a file, and the interface where no frame of it has come before.
    fn number(&mut self, file: &mut File, of_file: usize) -> (usize, Option<CapturedInterface>) {
        if let Some(Some(number)) = file.interfaces.get(of_file) {
            return (*number, None);
        }
        let all = file.reader.interfaces();
        let Some(interface) = all.get(of_file) else {
            return (of_file, None);
        };
        let before = all[..of_file].iter();
        let ordinal = before.filter(|other| *other == interface).count();
        let mut interface = interface.clone();
        let together = self.nameless.as_ref().filter(|_| !interface.is_named);
        if let Some(name) = together {
            interface.name.clone_from(name);
        }
        let identity = Identity {
            name: together.is_none().then(|| interface.name.clone()),
            link: interface.link,
            link_type: interface.link_type,
            ordinal,
        };
        let next = self.numbers.len();
        let number = *self.numbers.entry(identity).or_insert(next);
        file.interfaces.resize(all.len(), None);
        file.interfaces[of_file] = Some(number);
        (number, (number == next).then_some(interface))
    }
}
