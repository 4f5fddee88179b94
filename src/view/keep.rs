//! Copies a row as a filter, and saves the screen as text.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ratatui::buffer::{Buffer, Cell};

use super::picture::Picture;
use super::render::live;
use super::rows::{RowKey, Rows};
use crate::model::Shared;
use crate::model::Table;

/// How many screens saved in the same second get names.
const NAMES: u32 = 100;

/// A filter that finds what a row is about; none for what no filter can say.
pub(super) fn filter_of(
    key: RowKey,
    rows: &Rows,
    table: &Table,
    picture: &Picture,
) -> Option<String> {
    let end = |end: SocketAddr| format!("host {} and port {}", end.ip(), end.port());
    Some(match key {
        RowKey::Connection(..) => {
            let found = live(key, table);
            let found = found.or_else(|| picture.find_ended(key).map(|ended| ended.connection));
            let sample = found?.sample;
            format!("{} and {}", end(sample.originator), end(sample.responder))
        }
        RowKey::Fold(fold) => {
            let folded = rows.fold(fold)?;
            let server = end(fold.responder);
            if folded.many_clients {
                server
            } else {
                let client = folded.connection.sample.originator.ip();
                format!("host {client} and {server}")
            }
        }
        RowKey::Group(Shared::End(server)) => end(server),
        RowKey::Group(Shared::Address(address)) => format!("host {address}"),
        RowKey::Group(Shared::Port(port)) => format!("port {port}"),
        RowKey::Group(Shared::Subnet(address, bits)) => format!("net {address}/{bits}"),
        RowKey::Group(Shared::Program(program)) => {
            let name = program.name();
            let is_word = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
            if name.is_empty() || !name.chars().all(is_word) {
                return None;
            }
            format!("process {name}")
        }
        RowKey::Group(_) | RowKey::Hook(_) | RowKey::Socket(_) => return None,
    })
}

/// The screen as lines without the blanks at their ends.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for row in buffer.content().chunks(width) {
        let line: String = row.iter().map(Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Writes a screen to a new file of the user's own. Its name is made from the time, `20260407T222437`.
pub(super) fn write_screen(folder: &Path, time: &str, text: &str) -> io::Result<PathBuf> {
    for number in 0..NAMES {
        let more = match number {
            0 => String::new(),
            number => format!("-{number}"),
        };
        let path = folder.join(format!("udptrack-{time}{more}.txt"));
        // Always a new file: other users who can write to the folder cannot make it lead elsewhere.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match file {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
