use std::io::{self, Cursor, Read as _};

use super::*;

/// A file that is written field by field, in one byte order.
#[derive(Clone)]
struct File {
    is_big_endian: bool,
    bytes: Vec<u8>,
}

impl File {
    fn new(is_big_endian: bool) -> Self {
        Self {
            is_big_endian,
            bytes: Vec::new(),
        }
    }

    fn number(mut self, number: u32) -> Self {
        self.bytes.extend(if self.is_big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        });
        self
    }

    /// The high half of a time first, in either byte order.
    fn ticks(self, ticks: u64) -> Self {
        let halves = [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        self.number(halves[0]).number(halves[1])
    }

    fn halves(mut self, halves: &[u16]) -> Self {
        for half in halves {
            self.bytes.extend(if self.is_big_endian {
                half.to_be_bytes()
            } else {
                half.to_le_bytes()
            });
        }
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn pcap(is_big_endian: bool, magic: u32, link: u32) -> Self {
        Self::new(is_big_endian)
            .number(magic)
            .halves(&[2, 4])
            .number(0)
            .number(0)
            .number(262_144)
            .number(link)
    }

    fn record(self, [seconds, fraction, wire]: [u32; 3], data: &[u8]) -> Self {
        self.number(seconds)
            .number(fraction)
            .number(u32::try_from(data.len()).unwrap())
            .number(wire)
            .bytes(data)
    }

    fn block(self, kind: u32, content: impl FnOnce(Self) -> Self) -> Self {
        let mut inner = content(Self::new(self.is_big_endian));
        inner.bytes.resize(inner.bytes.len().next_multiple_of(4), 0);
        let length = u32::try_from(inner.bytes.len()).unwrap() + 12;
        self.number(kind)
            .number(length)
            .bytes(&inner.bytes)
            .number(length)
    }

    fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |block| {
            block
                .number(0x1a2b_3c4d)
                .halves(&[1, 0])
                .number(u32::MAX)
                .number(u32::MAX)
        })
    }

    fn option(mut self, code: u16, value: &[u8]) -> Self {
        self = self
            .halves(&[code, u16::try_from(value.len()).unwrap()])
            .bytes(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn interface(self, link: u16, options: impl FnOnce(Self) -> Self) -> Self {
        self.block(1, |block| {
            options(block.halves(&[link, 0]).number(96)).number(0)
        })
    }

    fn packet(self, interface: u32, ticks: u64, wire: u32, data: &[u8]) -> Self {
        self.packet_with(interface, ticks, wire, data, |block| block)
    }

    fn packet_with(
        self,
        interface: u32,
        ticks: u64,
        wire: u32,
        data: &[u8],
        options: impl FnOnce(Self) -> Self,
    ) -> Self {
        self.block(6, |block| {
            let mut block = block
                .number(interface)
                .ticks(ticks)
                .number(u32::try_from(data.len()).unwrap())
                .number(wire)
                .bytes(data);
            block.bytes.resize(block.bytes.len().next_multiple_of(4), 0);
            options(block)
        })
    }
}

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

#[test]
fn all_forms_give_the_same_frames() {
    for (form, bytes) in all_forms() {
        assert_eq!(frames(&bytes), three(), "{form}");
        let slow = read_from(Trickle(Cursor::new(bytes)));
        assert_eq!(
            (slow.error(), slow.frames),
            (String::new(), three()),
            "{form}"
        );
    }
}

/// Whatever is missing at the end: what is before it is given, then one error says so.
#[test]
fn a_file_that_is_cut_gives_what_is_before_the_cut() {
    let all = three();
    for (form, bytes) in all_forms() {
        let mut most = 0;
        for length in 0..bytes.len() {
            let cut = read(&bytes[..length]);
            assert!(all.starts_with(&cut.frames), "{form}, {length}");
            assert!(cut.frames.len() >= most, "{form}, {length}");
            most = cut.frames.len();
            match &cut.error {
                Some(error) if length > 12 && !error.is_cut() => {
                    panic!("{form}, {length}: {error}")
                }
                // It ended between two blocks.
                None => assert!(!form.contains("gzip"), "{form}, {length}"),
                Some(_) => {}
            }
        }
        assert!(most >= all.len() - 1, "{form}: {most}");
    }
}

/// Whichever byte is wrong: there is an end, and no more than one error.
#[test]
fn a_byte_that_is_changed_does_no_harm() {
    let all = three();
    for (form, bytes) in all_forms() {
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let whole = read(&changed);
                assert!(
                    whole.frames.len() <= all.len() || form.contains("zstd"),
                    "{form}, {at}: {}",
                    whole.frames.len()
                );
            }
        }
    }
}

#[test]
fn errors_say_where_and_what() {
    let pcap = three_in_pcap(false, 0xa1b2_c3d4);
    let error = |bytes: &[u8]| read(bytes).error();
    assert_eq!(error(&[]), "file: the file is empty");
    assert_eq!(
        error(b"#!/bin/sh\n"),
        "file: this is no capture: it begins neither as pcap nor as pcapng"
    );
    assert_eq!(
        error(&pcap[..23]),
        "file: byte 23: the file ends within the file's header"
    );
    assert_eq!(
        error(&pcap[..25]),
        "file: byte 25: the file ends within the header of a frame"
    );
    assert_eq!(
        error(&pcap[..41]),
        "file: byte 41: the file ends within a frame"
    );
    let mut long = pcap.clone();
    long[24 + 77 + 8..][..4].copy_from_slice(&300_000_u32.to_le_bytes());
    assert_eq!(
        error(&long),
        "file: byte 101: a frame of 300,000 bytes: the file is damaged here"
    );
    assert_eq!(read(&long).frames, three()[..1]);
    assert_eq!(
        error(&File::pcap(true, 0xa1b2_c3d4, 127).bytes),
        "file: frames of link type 127 cannot be read; those that can are Ethernet, raw IP, Linux cooked, null and loop, PPP"
    );
    let packed = gzip(&pcap);
    assert_eq!(
        error(&packed[..packed.len() - 1]),
        format!(
            "file: byte {}, unpacked: the gzip data ends too early",
            pcap.len()
        )
    );
    assert_eq!(
        error(&[0xfd, b'7', b'z', b'X', b'Z', 0, 0]),
        "file: gzip and zstd are unpacked here, this is not: xz -dc FILE | udptrack -r -"
    );
    let pcapng = three_in_pcapng(true);
    let at = pcapng.len() - 24 - 12 - 60;
    assert_eq!(
        error(&pcapng[..at]),
        format!("file: byte {at}: the file ends within a packet block")
    );
}

#[test]
fn pcapng_tells_direction_interface_and_check_sequence() {
    let flags = |flags: u32| {
        move |block: File| {
            block
                .option(1, b"a comment")
                .option(2, &flags.to_be_bytes())
        }
    };
    let file = File::new(true)
        .section()
        .interface(1, |block| block.option(2, b"eth0\0"))
        .interface(101, |block| block.option(13, &[32]).option(2, b"tun\x1b0"))
        .interface(1, |block| block)
        .packet_with(0, TIME_US, 60, &[1; 60], flags(1))
        .packet_with(0, TIME_US, 64, &[2; 64], flags(0b1000_0010))
        .packet(1, TIME_US, 104, &[3; 102])
        .packet(2, TIME_US, 60, &[4; 60]);
    let whole = read(&file.bytes);
    assert_eq!(whole.error(), "");
    let of = |interface, direction, frame| Kept {
        interface,
        direction,
        ..frame
    };
    assert_eq!(
        whole.frames,
        [
            kept(TIME_NS, 60, &[1; 60]),
            of(0, Direction::Egress, kept(TIME_NS, 60, &[2; 60])),
            of(1, Direction::Ingress, kept(TIME_NS, 100, &[3; 100])),
            of(2, Direction::Ingress, kept(TIME_NS, 60, &[4; 60])),
        ]
    );
    let named = |name: &str, link| CapturedInterface {
        name: name.to_owned(),
        link,
    };
    assert_eq!(
        whole.interfaces,
        [
            named("eth0", Link::Ethernet),
            named("tun\x1b0", Link::Ip),
            named("capture", Link::Ethernet)
        ]
    );
}

/// Simple blocks have neither time nor interface, and do not say where they were cut; obsolete ones have a shorter number of the interface.
#[test]
fn pcapng_has_three_blocks_for_packets() {
    for is_big_endian in [false, true] {
        let file = File::new(is_big_endian)
            .section()
            .interface(1, |block| block)
            .interface(1, |block| block.option(2, b"eth1"))
            .block(3, |block| block.number(61).bytes(&[1; 61]))
            .block(2, |block| {
                block
                    .halves(&[1, 0xffff])
                    .ticks(TIME_US)
                    .number(59)
                    .number(70)
                    .bytes(&[2; 60])
                    .option(
                        2,
                        &if is_big_endian {
                            [0, 0, 0, 2]
                        } else {
                            [2, 0, 0, 0]
                        },
                    )
            })
            .block(3, |block| block.number(1500).bytes(&[3; 96]));
        assert_eq!(
            frames(&file.bytes),
            [
                kept(0, 61, &[1; 61]),
                Kept {
                    interface: 1,
                    direction: Direction::Egress,
                    ..kept(TIME_NS, 70, &[2; 59])
                },
                kept(TIME_NS, 1500, &[3; 96]),
            ]
        );
    }
}

#[test]
fn times_of_an_interface_have_their_own_unit_and_beginning() {
    for is_big_endian in [false, true] {
        let hour: i64 = 3600;
        let hour = if is_big_endian {
            hour.to_be_bytes()
        } else {
            hour.to_le_bytes()
        };
        let file = File::new(is_big_endian)
            .section()
            .interface(1, |block| block.option(9, &[0x8a]).option(14, &hour))
            .interface(1, |block| block.option(9, &[3]))
            .packet(0, 1024 + 512, 14, &[1; 14])
            .packet(1, 1500, 14, &[1; 14]);
        let times: Vec<u64> = frames(&file.bytes)
            .iter()
            .map(|frame| frame.time_ns)
            .collect();
        assert_eq!(times, [3_601_500_000_000, 1_500_000_000]);
    }
    let file = File::new(false)
        .section()
        .interface(1, |block| block.option(9, &[0]))
        .packet(0, 1 << 40, 14, &[1; 14]);
    assert_eq!(
        read(&file.bytes).error(),
        "file: byte 60: a time before 1970 or after 2262: the file is damaged here"
    );
}

/// A section has its own byte order and numbers of interfaces; those that are the same are one.
#[test]
fn sections_follow_each_other() {
    let section = |is_big_endian, first: &'static [u8], second: &'static [u8]| {
        File::new(is_big_endian)
            .section()
            .interface(1, |block| block.option(2, first))
            .interface(1, |block| block.option(2, second))
            .packet(0, TIME_US, 14, &[1; 14])
            .packet(1, TIME_US, 14, &[1; 14])
            .bytes
    };
    let sections = [
        section(false, b"a", b"b"),
        section(true, b"b", b"c"),
        section(false, b"c", b"c"),
    ];
    let whole = read(&sections.concat());
    assert_eq!(whole.error(), "");
    let interfaces: Vec<usize> = whole.frames.iter().map(|frame| frame.interface).collect();
    assert_eq!(interfaces, [0, 1, 1, 2, 2, 3]);
    let names: Vec<&str> = whole.interfaces.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["a", "b", "c", "c"]);
}

#[test]
fn frames_of_a_link_type_that_is_not_known_are_counted() {
    let file = File::new(false)
        .section()
        .interface(127, |block| block.option(2, b"wlan0"))
        .interface(1, |block| block.option(2, b"eth0"))
        .interface(113, |block| block.option(2, b"any"))
        .packet(0, TIME_US, 60, &[1; 60])
        .packet(1, TIME_US, 60, &[2; 60])
        .packet(0, TIME_US, 60, &[3; 60])
        .packet(2, TIME_US, 60, &[4; 15]);
    let whole = read(&file.bytes);
    assert_eq!(whole.error(), "");
    assert_eq!(whole.frames, [kept(TIME_NS, 60, &[2; 60])]);
    assert_eq!(
        whole.left_out,
        [("wlan0".to_owned(), 127, 2), ("any".to_owned(), 113, 1)]
    );
}

#[test]
fn lengths_that_lie_ask_for_no_memory() {
    let file = File::new(false).section().interface(1, |block| block);
    let huge = file.clone().number(6).number(0x7fff_fffc);
    assert_eq!(
        read(&huge.bytes).error(),
        "file: byte 52: a block of 2,147,483,644 bytes: the file is damaged here"
    );
    // One that is not read is gone past, however long.
    let unknown = file
        .clone()
        .number(77)
        .number(0x7fff_fffc)
        .bytes(&[0; 1000]);
    assert_eq!(
        read(&unknown.bytes).error(),
        "file: byte 1,060: the file ends within a block"
    );
    let frame = file.packet_with(0, 0, 60, &[0; 60], |mut block| {
        block.bytes[12..16].copy_from_slice(&400_000_u32.to_le_bytes());
        block
    });
    assert_eq!(
        read(&frame.bytes).error(),
        "file: byte 52: a packet block is malformed: the file is damaged here"
    );
}

#[test]
fn a_reader_may_go_to_another_thread() {
    let reader = Reader::new("file", Cursor::new(three_in_pcapng(false))).unwrap();
    let count = std::thread::spawn(move || {
        let mut reader = reader;
        let mut count = 0;
        while reader.next().unwrap().is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(count.join().unwrap(), 3);
}
