//! A reader that stands still, a file that is moved away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::{Chunk, Queue, Waiting};
use super::target::Target;

/// The target, and a pipe in its place.
fn fifo(name: &str) -> (PathBuf, fs::File, Target) {
    let path = std::env::temp_dir().join(format!("udptrack-{name}-{}", std::process::id()));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    let target = Target::open(Some(&path)).unwrap();
    (path, reader, target)
}

fn wait_for<R>(mut what: impl FnMut() -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
}

/// What finds no room is counted as lost, line by line; what waited is read once the reader goes on, and no half line of either.
#[test]
fn a_reader_that_stands_still_costs_whole_lines() {
    const LINE: &[u8] = b"a line of thirty-two characters\n";
    const PIPE: usize = 1 << 16;
    const ROOM: usize = PIPE;
    const LINES: usize = PIPE / LINE.len();
    /// A page, as the pipe has them.
    const EACH: usize = 128;
    let (path, mut reader, target) = fifo("still");
    let queue = Arc::new(Queue::new(target, ROOM, false));
    let target = queue.take_target().unwrap();
    let other = Arc::clone(&queue);
    thread::spawn(move || other.write_to(target));
    let chunk = || Chunk::new(LINE.repeat(EACH));
    // The pipe is full, then the queue.
    for _ in 0..PIPE / (EACH * LINE.len()) {
        queue.push(chunk()).unwrap();
    }
    wait_for(|| queue.is_empty().then_some(()));
    for _ in 0..ROOM / (EACH * LINE.len()) {
        queue.push(chunk()).unwrap();
    }
    assert_eq!(queue.news_of_losses(true), None);
    let began = Instant::now();
    queue.push(chunk()).unwrap();
    queue.push(chunk()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(queue.news_of_losses(true), Some(2 * EACH as u64));
    let mut read = Vec::new();
    wait_for(|| {
        let mut buffer = [0; 4096];
        if let Ok(length) = reader.read(&mut buffer) {
            read.extend_from_slice(&buffer[..length]);
        }
        (read.len() == 2 * LINES * LINE.len()).then_some(())
    });
    assert!(read == LINE.repeat(2 * LINES));
    queue.push(Chunk::new(b"and on\n".to_vec())).unwrap();
    wait_for(|| queue.is_empty().then_some(()));
    assert_eq!(queue.news_of_losses(true), None);
    fs::remove_file(path).unwrap();
}

/// Moved away and opened anew, again and again, while lines come: each is in one of the files, once, and whole.
#[test]
fn a_file_that_is_moved_away_loses_no_line() {
    const MOVES: usize = 20;
    let folder = std::env::temp_dir().join(format!("udptrack-moved-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("flows");
    let (mut lines, writer) = super::open(Target::open(Some(&path)).unwrap(), 1 << 20, false);
    let mut number = 0;
    for moved in 0..MOVES {
        for _ in 0..1000 {
            writeln!(lines, "line {number}").unwrap();
            number += 1;
        }
        lines.flush().unwrap();
        fs::rename(&path, folder.join(format!("flows.{moved:02}"))).unwrap();
        writer.reopen();
        wait_for(|| path.exists().then_some(()));
    }
    lines.flush().unwrap();
    writer.finish().unwrap();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    // The one that was not moved is the last.
    files.sort_unstable_by_key(|file| (*file == path, file.clone()));
    assert_eq!(files.len(), MOVES + 1);
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let expected = (0..number).map(|number| format!("line {number}"));
    assert!(text.lines().eq(expected) && text.ends_with('\n'));
    fs::remove_dir_all(folder).unwrap();
}

/// An end that waited for its last line says nothing of it: it is written by then.
#[test]
fn what_waits_is_said_as_it_is() {
    let said = |lines, is_all| Waiting { lines, is_all }.message("flows.json");
    let expected = |number: &str| Some(format!("{number} still to be written to flows.json"));
    assert_eq!(said(0, true), None);
    assert_eq!(said(1, true), expected("1 line is"));
    assert_eq!(said(1_234, true), expected("1,234 lines are"));
    assert_eq!(said(1_234, false), expected("1,234 lines and more are"));
}
