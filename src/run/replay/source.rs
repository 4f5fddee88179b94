//! The frames of captures, read by a thread of their own: without rights, in a fence with nothing open, as what files say is hostile input.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};

use super::files::Files;
use super::queue::Queue;
use crate::capture::read::{ReadError, Reader};
use crate::run::fence::{self, Open, give_up_all_rights};

/// The programs look at no more of a frame.
const FRAME_BYTES: usize = 3072;

/// Where frames come from.
pub(super) struct Source {
    /// The thread waits where too much waits here.
    pub queue: Arc<Queue>,
    /// As people know it.
    pub name: String,
    /// Bytes of all files; none where one is a pipe.
    pub total_bytes: Option<u64>,
}

impl Source {
    /// Opens all files, and begins to read them. This number of bytes of each frame may be written. Where they are `apart`, each file that
    /// names no interface is one of its own.
    pub fn open(paths: &[PathBuf], written: usize, apart: bool) -> Result<Self> {
        let readers = paths.iter().map(|path| Reader::open(path));
        let readers = readers.collect::<Result<Vec<Reader>, ReadError>>()?;
        let total_bytes: Option<u64> = readers.iter().map(Reader::total_bytes).sum();
        let queue = Arc::new(Queue::new(written.max(FRAME_BYTES), total_bytes.is_none()));
        let reading = Arc::clone(&queue);
        thread::Builder::new()
            .name("captures".to_owned())
            .spawn(move || {
                let is_fenced =
                    give_up_all_rights().and_then(|()| fence::put_up(Open::default(), false));
                let mut over = Vec::new();
                match is_fenced {
                    Ok(_) => over = Files::new(readers, apart).read(&reading),
                    Err(error) => over.push(format!("cannot read captures: {error:#}")),
                }
                reading.end(over);
            })
            .context("cannot start a thread that reads captures")?;
        Ok(Self {
            queue,
            name: names(paths),
            total_bytes,
        })
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
