//! A file that whole blocks are appended to: where the disk is full, no half of one stays.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::run::inputs::Inputs;
use crate::run::writer::open_anew;

/// How much is written at once.
const PIECE: usize = 1 << 18;

/// The file, and what waits for it.
pub(super) struct Blocks {
    file: File,
    is_regular: bool,
    /// Bytes of whole blocks in the file.
    written: u64,
    buffer: Vec<u8>,
    /// Frames in the buffer.
    frames: u64,
}

/// What became of the buffer.
#[derive(Debug)]
pub(super) enum Flushed {
    /// This number of frames is in the file.
    Written(u64),
    /// This number of frames is lost. Later frames may be written.
    Lost(u64, io::Error),
}

impl Blocks {
    /// A file that is new, or empty from now on.
    pub fn open(path: &Path, inputs: &Inputs) -> Result<Self> {
        inputs.refuse_at(path)?;
        Self::new(open_anew(path)?)
    }

    /// Standard output.
    pub fn stdout(inputs: &Inputs) -> Result<Self> {
        const WRONG: &str = "cannot write to standard output";
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = File::from(stdout.context(WRONG)?);
        let found = stdout.metadata().context(WRONG)?;
        inputs.refuse(&found).context(WRONG)?;
        Self::new(stdout)
    }

    fn new(file: File) -> Result<Self> {
        Ok(Self {
            is_regular: file.metadata()?.is_file(),
            file,
            written: 0,
            buffer: Vec::with_capacity(PIECE * 2),
            frames: 0,
        })
    }

    /// How long the file becomes.
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether that is the file, still.
    pub fn is_at(&self, path: &Path) -> bool {
        let ours = self.file.metadata();
        let there = fs::metadata(path);
        ours.and_then(|ours| Ok((ours, there?)))
            .is_ok_and(|(ours, there)| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    /// Whether nothing at all is in the file.
    pub fn is_bare(&self) -> bool {
        self.written == 0
    }

    /// Where blocks are appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// A frame was appended. Says whether it is time to write.
    pub fn add_frame(&mut self) -> bool {
        self.frames += 1;
        self.buffer.len() >= PIECE
    }

    /// Writes all that was appended, or nothing of it; `None` if there is nothing.
    pub fn flush(&mut self) -> Option<Flushed> {
        if self.buffer.is_empty() {
            return None;
        }
        let frames = std::mem::take(&mut self.frames);
        let result = self.file.write_all(&self.buffer);
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        Some(match result {
            Ok(()) => {
                self.written += bytes;
                Flushed::Written(frames)
            }
            Err(error) => {
                if self.is_regular {
                    let _ = self.file.set_len(self.written);
                }
                Flushed::Lost(frames, error)
            }
        })
    }
}
