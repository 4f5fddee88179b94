//! Files of all kinds, written here (`file`) and by other programs (`real`), whole and damaged.

mod blocks;
mod damage;
mod file;
mod formats;
mod link;
mod real;

use std::io::{self, Cursor, Read as _};

use super::*;
use file::File;

/// A frame that outlives its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    time_ns: u64,
    interface: usize,
    direction: Direction,
    wire_bytes: u32,
    data: Vec<u8>,
}

/// What a file gives until it ends or fails.
struct Whole {
    frames: Vec<Kept>,
    interfaces: Vec<CapturedInterface>,
    left_out: Vec<(String, i32, u64)>,
    error: Option<ReadError>,
}

impl Whole {
    fn error(&self) -> String {
        self.error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

fn read_from(input: impl io::Read + Send + 'static) -> Whole {
    let mut whole = Whole {
        frames: Vec::new(),
        interfaces: Vec::new(),
        left_out: Vec::new(),
        error: None,
    };
    let mut reader = match Reader::new("file", input) {
        Ok(reader) => reader,
        Err(error) => {
            whole.error = Some(error);
            return whole;
        }
    };
    loop {
        match reader.next() {
            Ok(Some(frame)) => whole.frames.push(Kept {
                time_ns: frame.time_ns,
                interface: frame.interface,
                direction: frame.direction,
                wire_bytes: frame.wire_bytes,
                data: frame.data.to_vec(),
            }),
            Ok(None) => break,
            Err(error) => {
                assert!(whole.error.is_none(), "two errors of one file");
                whole.error = Some(error);
            }
        }
    }
    whole.interfaces = reader.interfaces().to_vec();
    whole.left_out = reader
        .left_out()
        .map(|left_out| {
            (
                left_out.interface.to_owned(),
                left_out.link_type,
                left_out.frames,
            )
        })
        .collect();
    whole
}

fn read(bytes: &[u8]) -> Whole {
    read_from(Cursor::new(bytes.to_vec()))
}

/// Frames of a file that is right.
fn frames(bytes: &[u8]) -> Vec<Kept> {
    let whole = read(bytes);
    assert_eq!(whole.error(), "");
    whole.frames
}

/// Gives one byte at a time, as a slow pipe may.
struct Trickle(Cursor<Vec<u8>>);

impl io::Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

fn kept(time_ns: u64, wire_bytes: u32, data: &[u8]) -> Kept {
    Kept {
        time_ns,
        interface: 0,
        direction: Direction::Ingress,
        wire_bytes,
        data: data.to_vec(),
    }
}

const TIME_US: u64 = 1_700_000_000_123_456;
const TIME_NS: u64 = TIME_US * 1000;

/// Of odd lengths, the second one cut.
fn three() -> Vec<Kept> {
    vec![
        kept(TIME_NS, 61, &[7; 61]),
        kept(TIME_NS + 1000, 1500, &[8; 66]),
        kept(TIME_NS - 5000, 60, &[9; 60]),
    ]
}

fn three_in_pcap(is_big_endian: bool, magic: u32) -> Vec<u8> {
    let unit_ns = if magic == 0xa1b2_3c4d { 1 } else { 1000 };
    let mut file = File::pcap(is_big_endian, magic, 1);
    for frame in three() {
        let fraction = (frame.time_ns % 1_000_000_000 / unit_ns) as u32;
        file = file.record([1_700_000_000, fraction, frame.wire_bytes], &frame.data);
    }
    file.bytes
}

/// With a block that is not known before each packet, and one of statistics at the end.
fn three_in_pcapng(is_big_endian: bool) -> Vec<u8> {
    let mut file = File::new(is_big_endian)
        .section()
        .interface(1, |block| block.option(9, &[9]).option(2, b"eth0"));
    for frame in three() {
        file = file
            .block(0x0bad_cafe, |block| block.bytes(&[0xff; 37]))
            .packet(0, frame.time_ns, frame.wire_bytes, &frame.data);
    }
    file.block(5, |block| block.number(0).number(0).number(0))
        .bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::bufread::GzEncoder::new(bytes, flate2::Compression::default())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The same frames in all forms.
fn all_forms() -> Vec<(&'static str, Vec<u8>)> {
    let plain = three_in_pcapng(false);
    let (begin, end) = plain.split_at(plain.len() / 3);
    let members = |pack: fn(&[u8]) -> Vec<u8>| [pack(begin), pack(end)].concat();
    // A frame that is to be skipped, as pzstd has it.
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..],
        &zstd(&plain),
    ]
    .concat();
    vec![
        ("pcap", three_in_pcap(false, 0xa1b2_c3d4)),
        ("pcap, big-endian", three_in_pcap(true, 0xa1b2_c3d4)),
        ("nanoseconds", three_in_pcap(false, 0xa1b2_3c4d)),
        ("nanoseconds, big-endian", three_in_pcap(true, 0xa1b2_3c4d)),
        ("pcapng, big-endian", three_in_pcapng(true)),
        ("gzip", gzip(&plain)),
        ("gzip, two members", members(gzip)),
        ("zstd", zstd(&plain)),
        ("zstd, two frames", members(zstd)),
        ("zstd, skippable", skippable),
        ("pcapng", plain),
    ]
}
