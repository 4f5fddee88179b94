//! Frames in memory (`--record`): the latest ones, until something says that they are to be saved. Then they go into a file, and with them
//! what follows for a while.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::capture::{Capture, Meta};
use super::file::Blocks;
use super::shared::{Now, Taken};
use crate::model::text::{Grouped, Visible};
use crate::run::inputs::Inputs;

/// How many files a run saves for alerts: a flood of alerts must not fill the disk.
const ALERT_FILES: u32 = 100;
/// How much longer other alerts at the same time can make a file, in multiples of the time that follows one alert.
const LONGEST: u64 = 6;
/// How many files of the same second get names.
const NAMES: u32 = 100;

/// Why frames are saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The user wants it.
    Asked,
    /// An alert.
    Alert {
        /// The name of its rule.
        rule: String,
        /// What it says: which group crossed which value.
        words: String,
    },
}

impl Reason {
    /// What a file says of it.
    fn comment(&self) -> String {
        match self {
            Self::Asked => String::new(),
            Self::Alert { words, .. } => format!("alert {}", Visible(words)),
        }
    }
}

/// The memory, and the file that it is being saved to.
pub(super) struct Memory {
    room: usize,
    bytes: usize,
    frames: VecDeque<Taken>,
    /// Frames that have made room since the latest file.
    evicted: u64,
    folder: PathBuf,
    zone: TimeZone,
    /// How long the frames after it are saved, too.
    after_ns: u64,
    saving: Option<Saving>,
    alert_files: u32,
    pub messages: Vec<String>,
}

struct Saving {
    capture: Capture,
    name: String,
    frames: u64,
    until_ns: u64,
    /// No longer than that, whatever else happens.
    limit_ns: u64,
}

impl Memory {
    /// With room for this number of bytes.
    pub fn new(room: u64, folder: PathBuf, after: Duration) -> Self {
        Self {
            room: usize::try_from(room).unwrap_or(usize::MAX),
            bytes: 0,
            frames: VecDeque::new(),
            evicted: 0,
            folder,
            zone: TimeZone::system(),
            after_ns: u64::try_from(after.as_nanos()).unwrap_or(u64::MAX),
            saving: None,
            alert_files: 0,
            messages: Vec::new(),
        }
    }

    /// Keeps a frame: the oldest ones make room. What is being saved goes into its file.
    pub fn add(&mut self, taken: Taken, meta: &Meta) {
        self.end_before(taken.frame.ns, taken.unix_ns, meta);
        if let Some(saving) = &mut self.saving {
            saving.frames += 1;
            if saving.capture.add(&taken, meta) {
                self.flush();
            }
            return;
        }
        self.bytes += taken.bytes();
        self.frames.push_back(taken);
        while self.bytes > self.room
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.evicted += 1;
        }
    }

    /// Frames that are there, and those that have made room since the latest file.
    pub fn held(&self) -> (u64, u64) {
        (self.frames.len() as u64, self.evicted)
    }

    /// Begins to save what there is. Where that has begun already, it goes on for longer.
    pub fn save(&mut self, reason: &Reason, meta: &Meta, now: Now) {
        if let Some(saving) = &mut self.saving {
            saving.until_ns = (now.ns + self.after_ns).min(saving.limit_ns);
            saving.capture.note(&reason.comment());
            let name = &saving.name;
            self.messages
                .push(format!("what follows goes into {name}, too"));
            return;
        }
        if *reason == Reason::Asked && self.frames.is_empty() {
            let nothing = "nothing new is in memory: no file is made";
            return self.messages.push(nothing.to_owned());
        }
        if let Reason::Alert { .. } = reason {
            if self.alert_files == ALERT_FILES {
                self.messages.push(format!(
                    "{ALERT_FILES} files were saved for alerts: this run saves no more"
                ));
            }
            self.alert_files += 1;
            if self.alert_files > ALERT_FILES {
                return;
            }
        }
        let path = self.free_name(reason, now.unix_ns);
        let name = Visible(&path.to_string_lossy()).to_string();
        let blocks = match Blocks::open(&path, &Inputs::default()) {
            Ok(blocks) => blocks,
            Err(error) => return self.messages.push(format!("{error:#}")),
        };
        let mut capture = Capture::begin(blocks, reason.comment(), HashMap::new(), meta);
        let frames = std::mem::take(&mut self.frames);
        self.bytes = 0;
        let evicted = std::mem::take(&mut self.evicted);
        let older = if evicted == 0 {
            String::new()
        } else {
            format!(", {} older ones were overwritten", Grouped(evicted))
        };
        self.messages.push(format!(
            "saving {} frames to {name}{older}, and what follows",
            Grouped(frames.len() as u64)
        ));
        let mut lost = None;
        for taken in &frames {
            if capture.add(taken, meta) {
                lost = capture.flush().err().or(lost);
            }
        }
        self.saving = Some(Saving {
            capture,
            name,
            frames: frames.len() as u64,
            until_ns: now.ns + self.after_ns,
            limit_ns: now.ns + self.after_ns * LONGEST,
        });
        if let Some((frames, error)) = lost {
            self.give_up(frames, &error);
        }
    }

    /// Where no file is: `udptrack-20260407-222437.pcapng`, with the rule of an alert in it.
    fn free_name(&self, reason: &Reason, unix_ns: u64) -> PathBuf {
        let time = Timestamp::from_nanosecond(unix_ns.into()).unwrap_or(Timestamp::MAX);
        let time = time
            .to_zoned(self.zone.clone())
            .strftime("%Y%m%d-%H%M%S")
            .to_string();
        let rule = match reason {
            Reason::Asked => String::new(),
            Reason::Alert { rule, .. } => format!("-{}", file_name(rule)),
        };
        let name = |number: u32| match number {
            0 => self.folder.join(format!("udptrack-{time}{rule}.pcapng")),
            _ => self
                .folder
                .join(format!("udptrack-{time}{rule}-{number}.pcapng")),
        };
        let free = (0..NAMES)
            .map(name)
            .find(|path| path.symlink_metadata().is_err());
        free.unwrap_or_else(|| name(NAMES))
    }

    /// Writes what is to be saved, and ends the file when it has what followed.
    pub fn look(&mut self, meta: &Meta, now: Now) {
        self.flush();
        self.end_before(now.ns, now.unix_ns, meta);
    }

    /// Ends the file if it has all that passed before this moment and was to be in it.
    fn end_before(&mut self, ns: u64, unix_ns: u64, meta: &Meta) {
        let saving = self.saving.as_ref();
        if saving.is_some_and(|saving| ns >= saving.until_ns) {
            self.end(meta, unix_ns);
        }
    }

    fn flush(&mut self) {
        let flushed = self.saving.as_mut().map(|saving| saving.capture.flush());
        if let Some(Err((frames, error))) = flushed {
            self.give_up(frames, &error);
        }
    }

    /// A disk that is full has no room for what follows, either.
    fn give_up(&mut self, frames: u64, error: &io::Error) {
        if let Some(saving) = self.saving.take() {
            self.messages.push(format!(
                "cannot write to {}: {error}. At least {} frames are missing there",
                saving.name,
                Grouped(frames)
            ));
        }
    }

    /// Ends the file, if there is one.
    pub fn end(&mut self, meta: &Meta, unix_ns: u64) {
        let Some(mut saving) = self.saving.take() else {
            return;
        };
        let ended = saving.capture.end(meta, unix_ns);
        let Saving { name, frames, .. } = &saving;
        let message = match ended {
            Ok(_) => format!("{} frames are in {name}", Grouped(*frames)),
            Err((_, error)) => format!("cannot write to {name}: {error}"),
        };
        self.messages.push(message);
    }
}

/// Letters and digits of a rule, for a file's name.
fn file_name(rule: &str) -> String {
    const LONGEST: usize = 40;
    let words: Vec<&str> = rule
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut name = words.join("-");
    name.truncate(LONGEST);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_part_of_a_name() {
        assert_eq!(file_name("udp-flood"), "udp-flood");
        assert_eq!(
            file_name("lost > 5% by server over 1m"),
            "lost-5-by-server-over-1m"
        );
        assert_eq!(file_name("../../x"), "x");
    }
}
