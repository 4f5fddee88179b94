//! Captures as the flags want them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Plan, WrongUsage};
use crate::capture::write::{Rotation, Sequence};
use crate::cli::Config;
use crate::model::text::Visible;

/// Where frames are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteTo {
    /// `-w -`.
    Stdout,
    /// A file, or several one after the other.
    File {
        /// As it was written: there may be a time in it.
        path: PathBuf,
        /// When another one is begun.
        rotation: Rotation,
    },
}

/// What is written of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captures {
    /// Where to; `None`: only into memory.
    pub to: Option<WriteTo>,
    /// What is kept in memory.
    pub record: Option<Record>,
    /// Bytes of each frame; `None`: all.
    pub snaplen: Option<u32>,
}

/// Frames in memory, to be saved later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// How many bytes of each frame.
    pub bytes: u64,
    /// Where files are made.
    pub folder: PathBuf,
    /// Whether an alert saves them.
    pub on_alert: bool,
    /// How long the frames after it are saved, too.
    pub after: Duration,
}

impl Captures {
    /// As messages call it.
    pub fn name(&self) -> String {
        match &self.to {
            None => "memory".to_owned(),
            Some(WriteTo::Stdout) => "standard output".to_owned(),
            Some(WriteTo::File { path, .. }) => Visible(&path.to_string_lossy()).to_string(),
        }
    }

    /// Whether the run ends when there are as many files as were asked for.
    pub fn may_end(&self) -> bool {
        matches!(&self.to, Some(WriteTo::File { rotation, .. })
            if rotation.files.is_some() && rotation.seconds.is_some() && rotation.bytes.is_none())
    }

    /// Where files are made, links followed.
    pub fn folders(&self) -> Vec<PathBuf> {
        let written = match &self.to {
            Some(WriteTo::File { path, .. }) => Some(folder(path)),
            _ => None,
        };
        let recorded = self.record.as_ref().map(|record| whole(&record.folder));
        written.into_iter().chain(recorded).collect()
    }
}

fn folder(path: &Path) -> PathBuf {
    let path = whole(path);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    whole(folder.unwrap_or(Path::new(".")))
}

fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Says what is wrong with a name.
pub(super) fn captures(config: &Config) -> Result<Option<Captures>, WrongUsage> {
    let flags = &config.captures;
    let record = flags.record.map(|bytes| Record {
        bytes,
        folder: flags
            .record_folder
            .clone()
            .unwrap_or_else(|| PathBuf::from(".")),
        on_alert: flags.record_folder.is_some(),
        after: flags.record_after,
    });
    let to = flags
        .write
        .as_ref()
        .map(|path| to(path, config))
        .transpose()?;
    if to.is_none() && record.is_none() {
        return Ok(None);
    }
    Ok(Some(Captures {
        to,
        record,
        snaplen: (flags.snaplen > 0).then_some(flags.snaplen),
    }))
}

fn to(path: &Path, config: &Config) -> Result<WriteTo, WrongUsage> {
    if path == Path::new("-") {
        return Ok(WriteTo::Stdout);
    }
    let flags = &config.captures;
    let rotation = Rotation {
        bytes: flags.file_bytes,
        seconds: flags.file_seconds,
        files: flags.files,
    };
    check_name(path, rotation)?;
    Ok(WriteTo::File {
        path: path.to_owned(),
        rotation,
    })
}

fn check_name(path: &Path, rotation: Rotation) -> Result<(), WrongUsage> {
    let wrong = |why: &str| {
        let name = path.to_string_lossy();
        WrongUsage::new(format!("-w {}: {}", Visible(&name), Visible(why)))
    };
    if rotation.seconds.is_none() {
        return Ok(());
    }
    let folder = path.parent().map(Path::to_string_lossy).unwrap_or_default();
    if folder.contains('%') {
        return Err(wrong(
            "the time can be only in the name of the file, not of its folder: a run writes to one folder",
        ));
    }
    Sequence::new(path, rotation, TimeZone::UTC, 0)
        .map(drop)
        .map_err(|error| wrong(&error))
}

impl Plan {
    /// Bytes of each frame that are copied, if any are: 0 for all.
    pub(super) fn frames(&self) -> Option<u32> {
        let captures = self.captures.as_ref()?;
        Some(captures.snaplen.unwrap_or(0))
    }

    /// Whether some of the connections that are tracked are not wanted.
    pub fn chooses(&self) -> bool {
        let query = &self.shown.query;
        query.status.is_some() || query.proto.is_some() || query.process.is_some()
    }

    /// Whether frames are written as they come, to a file that may be moved away.
    pub(super) fn writes_captures(&self) -> bool {
        self.captures
            .as_ref()
            .is_some_and(|captures| captures.to.is_some())
    }

    /// Memory of this process that frames take at most which wait to be written, in bytes.
    pub(super) fn capture_bytes(&self) -> u64 {
        self.captures.as_ref().map_or(0, |captures| {
            let record = captures.record.as_ref().map_or(0, |record| record.bytes);
            WAITING_FRAMES as u64 + record
        })
    }
}

/// How much may wait, in bytes.
pub(crate) const WAITING_FRAMES: usize = 64 << 20;
