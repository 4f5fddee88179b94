//! The same datagrams as tcpdump, dumpcap and Wireshark's tools write them (`tests/captures/formats/make.py`).

use std::path::PathBuf;

use super::*;

/// Frames of a file, without its own times, and the names of its interfaces.
struct Capture {
    interfaces: Vec<CapturedInterface>,
    frames: Vec<Kept>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures/formats")
        .join(name)
}

fn capture(name: &str) -> Capture {
    let mut reader = Reader::open(&path(name)).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(
            frame.link,
            if frame.data[0] == 0x45 || frame.data[0] == 0x60 {
                Link::Ip
            } else {
                Link::Ethernet
            }
        );
        frames.push(Kept {
            time_ns: frame.time_ns,
            interface: frame.interface,
            direction: frame.direction,
            wire_bytes: frame.wire_bytes,
            data: frame.data.to_vec(),
        });
    }
    let size = path(name).metadata().unwrap().len();
    assert_eq!(
        (reader.read_bytes(), reader.total_bytes()),
        (size, Some(size))
    );
    Capture {
        interfaces: reader.interfaces().to_vec(),
        frames,
    }
}

impl Capture {
    /// Those of one interface, as frames of the first.
    fn of(&self, interface: usize) -> Vec<Kept> {
        let mut frames = self.frames.clone();
        frames.retain(|frame| frame.interface == interface);
        for frame in &mut frames {
            frame.interface = 0;
        }
        frames
    }

    fn names(&self) -> Vec<(&str, Link)> {
        let name = |one: &'_ CapturedInterface| one.link;
        self.interfaces
            .iter()
            .map(|one| (&*one.name, name(one)))
            .collect()
    }
}

/// Lengths of the frames on Ethernet: 10, 101 and 20 bytes, there and back, and 30 with a VLAN tag.
const ETHERNET_BYTES: [u32; 8] = [52, 52, 143, 143, 82, 82, 76, 76];
/// Of those in the tunnel: 40 bytes over IPv4 and 41 over IPv6.
const TUNNEL_BYTES: [u32; 4] = [68, 68, 89, 89];
/// Of those on the loopback: 50 bytes.
const LOOPBACK_BYTES: [u32; 2] = [92, 92];

fn lengths(frames: &[Kept]) -> Vec<u32> {
    frames.iter().map(|frame| frame.wire_bytes).collect()
}

/// Without what a cooked header does not tell: to which address a frame was sent.
fn without_destination(mut frames: Vec<Kept>) -> Vec<Kept> {
    for frame in &mut frames {
        frame.data[..6].fill(0);
    }
    frames
}

/// With directions as a file of one interface has them: none.
fn without_direction(mut frames: Vec<Kept>) -> Vec<Kept> {
    for frame in &mut frames {
        frame.direction = Direction::Ingress;
    }
    frames
}

fn data(frames: &[Kept]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &*frame.data).collect()
}

#[test]
fn formats_of_one_interface_have_the_same_frames() {
    let ethernet = capture("ethernet.pcap");
    assert_eq!(lengths(&ethernet.frames), ETHERNET_BYTES);
    assert_eq!(ethernet.names(), [("ethernet.pcap", Link::Ethernet)]);
    for name in ["modified.pcap", "ethernet.pcap.gz", "ethernet.pcap.zst"] {
        assert_eq!(capture(name).frames, ethernet.frames, "{name}");
    }
    let nanoseconds = capture("nanoseconds.pcap").frames;
    let micro =
        |frames: &[Kept]| -> Vec<u64> { frames.iter().map(|frame| frame.time_ns / 1000).collect() };
    assert_eq!(data(&nanoseconds), data(&ethernet.frames));
    assert_eq!(micro(&nanoseconds), micro(&ethernet.frames));
    assert!(nanoseconds.iter().any(|frame| frame.time_ns % 1000 != 0));
    let cut = capture("cut.pcap").frames;
    assert_eq!(lengths(&cut), ETHERNET_BYTES);
    for (cut, whole) in cut.iter().zip(&ethernet.frames) {
        assert_eq!(cut.data, whole.data[..50]);
    }
}

#[test]
fn several_interfaces_have_the_frames_of_each() {
    let several = capture("interfaces.pcapng");
    assert_eq!(
        several.names(),
        [
            ("va", Link::Ethernet),
            ("tun0", Link::Ip),
            ("lo", Link::Ethernet)
        ]
    );
    assert_eq!(several.of(0), capture("nanoseconds.pcap").frames);
    assert_eq!(lengths(&several.of(1)), TUNNEL_BYTES);
    assert_eq!(lengths(&several.of(2)), LOOPBACK_BYTES);
    for name in ["interfaces.pcapng.gz", "interfaces.pcapng.zst"] {
        let packed = capture(name);
        assert_eq!(packed.frames, several.frames);
        assert_eq!(packed.interfaces, several.interfaces);
    }
}

#[test]
fn links_without_a_header_give_the_same_packets() {
    let raw = capture("raw.pcap");
    assert_eq!(lengths(&raw.frames), TUNNEL_BYTES);
    assert_eq!(raw.names(), [("raw.pcap", Link::Ip)]);
    for name in ["null.pcap", "loop.pcap", "ppp.pcap", "hdlc.pcap"] {
        let other = capture(name);
        assert_eq!(data(&other.frames), data(&raw.frames), "{name}");
        assert_eq!(lengths(&other.frames), TUNNEL_BYTES, "{name}");
        assert_eq!(other.names(), [(name, Link::Ip)]);
    }
    assert_eq!(data(&capture("raw4.pcap").frames), data(&raw.frames[..2]));
}

/// tcpdump on all interfaces at once: each frame as the capture of its own interface has it.
#[test]
fn cooked_frames_are_those_of_their_interfaces() {
    let (egress, ingress) = (Direction::Egress, Direction::Ingress);
    let ethernet = without_destination(capture("ethernet.pcap").frames);
    let raw = capture("raw.pcap").frames;
    let there_and_back = |frames: &[Kept]| {
        let directions: Vec<Direction> = frames.iter().map(|frame| frame.direction).collect();
        for pair in directions.chunks(2) {
            assert_eq!(pair, [egress, ingress]);
        }
    };

    let first = capture("cooked.pcap");
    assert_eq!(
        first.names(),
        [("cooked.pcap", Link::Ethernet), ("cooked.pcap", Link::Ip)]
    );
    there_and_back(&first.of(1));
    assert_eq!(without_direction(first.of(1)), raw);
    let (loopback, frames): (Vec<_>, Vec<_>) = first
        .of(0)
        .into_iter()
        .partition(|frame| frame.wire_bytes == LOOPBACK_BYTES[0]);
    there_and_back(&frames);
    assert_eq!(without_direction(frames), ethernet);
    assert_eq!(lengths(&loopback), LOOPBACK_BYTES);

    let second = capture("cooked2.pcap");
    assert_eq!(
        second.names(),
        [
            ("if2", Link::Ethernet),
            ("if3", Link::Ip),
            ("if1", Link::Ethernet)
        ]
    );
    there_and_back(&second.of(0));
    there_and_back(&second.of(1));
    assert_eq!(without_direction(second.of(1)), raw);
    assert_eq!(second.of(2), loopback);
    // libpcap loses VLAN tags where it writes this header.
    let (tagged, untagged) = (&second.of(0)[6..], &second.of(0)[..6]);
    assert_eq!(without_direction(untagged.to_vec()), ethernet[..6]);
    assert_eq!(lengths(tagged), [72, 72]);
    for (without, with) in tagged.iter().zip(&ethernet[6..]) {
        assert_eq!(without.data[12..], with.data[16..]);
    }
}

#[test]
fn a_file_of_many_links_and_sections_is_read_to_its_end() {
    let links = capture("links.pcapng");
    for (interface, name) in [(0, "ethernet.pcap"), (1, "raw.pcap"), (2, "null.pcap")] {
        assert_eq!(
            data(&links.of(interface)),
            data(&capture(name).frames),
            "{name}"
        );
    }
    let cooked = capture("cooked.pcap");
    assert_eq!(links.of(3), cooked.of(0));
    assert_eq!(links.of(4), cooked.of(1));
    let mut reader = Reader::open(&path("links.pcapng")).unwrap();
    while reader.next().unwrap().is_some() {}
    let left_out: Vec<_> = reader
        .left_out()
        .map(|one| (one.link_type, one.frames))
        .collect();
    assert_eq!(left_out, [(127, 8)]);

    let several = capture("interfaces.pcapng");
    let sections = capture("sections.pcapng");
    let (first, second) = sections.frames.split_at(several.frames.len());
    assert_eq!(first, several.frames);
    assert_eq!(data(second), data(&links.frames));
    assert_eq!(sections.interfaces[..3], several.interfaces);
}
