//! Captures as the flags want them.

use std::fs;
use std::path::{Path, PathBuf};

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
    /// Where to.
    pub to: WriteTo,
    /// Bytes of each frame; `None`: all.
    pub snaplen: Option<u32>,
}

impl Captures {
    /// As messages call it.
    pub fn name(&self) -> String {
        match &self.to {
            WriteTo::Stdout => "standard output".to_owned(),
            WriteTo::File { path, .. } => Visible(&path.to_string_lossy()).to_string(),
        }
    }

    /// Where files are made, links followed.
    pub fn folder(&self) -> Option<PathBuf> {
        let WriteTo::File { path, .. } = &self.to else {
            return None;
        };
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        Some(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()))
    }
}

/// Says what is wrong with a name.
pub(super) fn captures(config: &Config) -> Result<Option<Captures>, WrongUsage> {
    let flags = &config.captures;
    let Some(path) = &flags.write else {
        return Ok(None);
    };
    let rotation = Rotation {
        bytes: flags.file_bytes,
        seconds: flags.file_seconds,
        files: flags.files,
    };
    let to = if path == Path::new("-") {
        WriteTo::Stdout
    } else {
        check_name(path, rotation)?;
        WriteTo::File {
            path: path.clone(),
            rotation,
        }
    };
    Ok(Some(Captures {
        to,
        snaplen: (flags.snaplen > 0).then_some(flags.snaplen),
    }))
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
            "the time can be in the file's name, not in that of its folder: a run writes to one folder alone",
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

    /// Memory of this process that frames take at most which wait to be written, in bytes.
    pub(super) fn capture_bytes(&self) -> u64 {
        self.captures.as_ref().map_or(0, |_| WAITING_FRAMES as u64)
    }
}

/// So much may wait, in bytes.
pub(crate) const WAITING_FRAMES: usize = 64 << 20;
