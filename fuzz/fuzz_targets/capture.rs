//! Any file as a capture: each frame is within its bounds, there is at most one error, and the frames before it are the same however it
//! is read, and where it is cut.
//!
//! The half of the room that reads is included: it knows the model alone. Input: how many bytes are read at a time, and where the file is cut (1 byte each);
//! then the file.
#![no_main]

#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    reason = "the library offers more, to others"
)]
#[path = "../../src/capture/read/mod.rs"]
mod capture;
#[allow(dead_code, unused_imports, reason = "a part of it is used")]
#[path = "../../src/model/mod.rs"]
mod model;

use std::io::{self, Cursor, Read};

use capture::{Frame, Reader};
use libfuzzer_sys::{Corpus, fuzz_target};

/// A small file may unpack to very many.
const FRAMES: usize = 20_000;
const FRAME_BYTES: usize = 262_144;

/// Gives so many bytes at a time.
struct Slow(Cursor<Vec<u8>>, usize);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

fn assert_bounds(frame: &Frame<'_>) {
    assert!(frame.time_ns < 1 << 63);
    assert!(frame.data.len() <= frame.wire_bytes as usize && frame.data.len() <= FRAME_BYTES);
}

/// What tells frames apart: time, interface, length on the wire, bytes.
type Kept = (u64, usize, u32, Vec<u8>);

/// The frames of a file, and whether all were read.
fn read(bytes: &[u8], at_a_time: usize) -> (Vec<Kept>, bool) {
    let mut frames = Vec::new();
    let Ok(mut reader) = Reader::new("file", Slow(Cursor::new(bytes.to_vec()), at_a_time)) else {
        return (frames, false);
    };
    let mut is_whole = true;
    while frames.len() < FRAMES {
        match reader.next() {
            Ok(Some(frame)) => {
                assert!(is_whole, "a frame after an error");
                assert_bounds(&frame);
                let link = frame.link;
                let interface = frame.interface;
                frames.push((
                    frame.time_ns,
                    interface,
                    frame.wire_bytes,
                    frame.data.to_vec(),
                ));
                assert_eq!(reader.interfaces()[interface].link, link);
            }
            Ok(None) => break,
            Err(error) => {
                assert!(is_whole, "two errors");
                assert!(!error.to_string().is_empty());
                is_whole = false;
            }
        }
    }
    let left_out: u64 = reader.left_out().map(|left_out| left_out.frames).sum();
    assert!(left_out == 0 || reader.read_bytes() > 0);
    (frames, is_whole)
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let [at_a_time, cut, file @ ..] = data else {
        return Corpus::Reject;
    };
    let all = read(file, usize::MAX);
    let slow = read(file, usize::from(*at_a_time) + 1);
    assert_eq!(slow.1, all.1);
    // Of a file that is packed and damaged, how much is unpacked before that shows depends on the steps.
    let is_same = all.1 || !matches!(file, [0x1f, 0x8b, ..]);
    assert!(slow.0.starts_with(&all.0) && (!is_same || slow.0.len() == all.0.len()));
    let cut = file.len() * usize::from(*cut) / 256;
    let (frames, _) = read(&file[..cut], usize::MAX);
    let shorter = frames.len().min(all.0.len());
    assert_eq!(frames[..shorter], all.0[..shorter]);
    assert!(shorter == frames.len() || !is_same);
    Corpus::Keep
});
