//! The reference parser, the frame builders and the frame generator, measured against their own rules and against
//! etherparse. Needs no rights.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::frames::{self, Extension};
use common::opinion;
use common::random::{FrameGenerator, Rng};
use common::reference::{Fragment, Frame, Reference, Skip, Udp, Vlans, parse};
use common::witness::{Account, Count, read_pcap};

fn a4() -> SocketAddr {
    "10.88.0.1:40000".parse().unwrap()
}

fn b4() -> SocketAddr {
    "10.88.0.2:53".parse().unwrap()
}

fn a6() -> SocketAddr {
    "[fd88::1]:40000".parse().unwrap()
}

fn b6() -> SocketAddr {
    "[fd88::2]:53".parse().unwrap()
}

fn v4() -> Vec<u8> {
    frames::udp(a4(), b4(), b"payload")
}

fn v6() -> Vec<u8> {
    frames::udp(a6(), b6(), b"payload")
}

fn v6_with(extensions: &[Extension]) -> Vec<u8> {
    frames::ipv6_with_extensions(a6(), b6(), extensions, b"payload")
}

/// The frame with some bytes replaced.
fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

fn udp(source: SocketAddr, destination: SocketAddr, vlans: Vlans) -> Frame {
    Frame::Udp(Udp {
        vlans,
        source,
        destination,
        fragment: Fragment::None,
    })
}

fn options(count: usize) -> Vec<Extension> {
    vec![Extension::options(60, 0); count]
}

/// Frames that are UDP: untagged, tagged, with options and extension headers.
fn valid() -> Vec<(&'static str, Vec<u8>, Frame)> {
    let plain4 = udp(a4(), b4(), [0, 0]);
    let plain6 = udp(a6(), b6(), [0, 0]);
    let every: Vec<_> = [0, 43, 60, 135, 139, 140]
        .map(|header| Extension::options(header, 1))
        .into();
    vec![
        ("v4", v4(), plain4),
        ("v6", v6(), plain6),
        ("v4 empty", frames::udp(a4(), b4(), b""), plain4),
        ("v6 empty", frames::udp(a6(), b6(), b""), plain6),
        (
            "VLAN",
            frames::tagged(&v4(), &[(0x8100, 0x6005)]),
            udp(a4(), b4(), [5, 0]),
        ),
        (
            "priority tag",
            frames::tagged(&v4(), &[(0x8100, 0xe000)]),
            plain4,
        ),
        (
            "QinQ",
            frames::tagged(&v6(), &[(0x88a8, 100), (0x8100, 7)]),
            udp(a6(), b6(), [100, 7]),
        ),
        (
            "0x9100",
            frames::tagged(&v6(), &[(0x9100, 0), (0x9100, 4095)]),
            udp(a6(), b6(), [0, 4095]),
        ),
        (
            "4 bytes of options",
            frames::ipv4_with_options(a4(), b4(), 4, b"payload"),
            plain4,
        ),
        (
            "40 bytes of options",
            frames::ipv4_with_options(a4(), b4(), 40, b"payload"),
            plain4,
        ),
        ("every extension header", v6_with(&every), plain6),
        ("8 extension headers", v6_with(&options(8)), plain6),
        (
            "AH of 8 bytes",
            v6_with(&[Extension::authentication(0)]),
            plain6,
        ),
        (
            "AH of 24 bytes",
            v6_with(&[Extension::authentication(4)]),
            plain6,
        ),
        ("atomic fragment", v6_with(&[Extension::atomic(9)]), plain6),
        (
            "UDP length below the IP length",
            with(v4(), 38, &[0, 8]),
            plain4,
        ),
        ("v4, do not fragment", with(v4(), 20, &[0x40, 0]), plain4),
        ("v6, UDP length 0", with(v6(), 58, &[0, 0]), plain6),
    ]
}

#[test]
fn valid_frames() {
    for (name, frame, expected) in valid() {
        assert_eq!(parse(&frame), Ok(expected), "{name}");
    }
}

#[test]
fn padding_is_no_part_of_the_packet() {
    for (name, mut frame, expected) in valid() {
        frame.extend([0xaa; 30]);
        assert_eq!(parse(&frame), Ok(expected), "{name}");
    }
}

#[test]
fn a_cut_frame_is_truncated_at_every_byte() {
    for (name, frame, _) in valid() {
        for length in 0..frame.len() {
            assert_eq!(
                parse(&frame[..length]),
                Err(Skip::Truncated),
                "{name}, {length} of {} bytes",
                frame.len()
            );
        }
    }
}

fn assert_skipped(table: impl IntoIterator<Item = (&'static str, Vec<u8>, Skip)>) {
    for (name, frame, expected) in table {
        assert_eq!(parse(&frame), Err(expected), "{name}");
    }
}

#[test]
fn skipped_frames() {
    use Skip::{NotIp, NotUdp, TooDeep};
    let tag = (0x8100, 1);
    let icmp6 = frames::icmp_unreachable(b6().ip(), a6().ip(), &v6());
    assert_skipped([
        ("ARP", frames::arp(), NotIp),
        ("802.3 length", with(v4(), 12, &[0, 50]), NotIp),
        (
            "ARP in a VLAN",
            frames::tagged(&frames::arp(), &[tag]),
            NotIp,
        ),
        ("three tags", frames::tagged(&v4(), &[tag; 3]), TooDeep),
        (
            "three tags, the third cut off",
            frames::tagged(&v4(), &[tag; 3])[..22].to_vec(),
            TooDeep,
        ),
        ("v4 TCP", frames::tcp(a4(), b4(), b""), NotUdp),
        ("v6 TCP", frames::tcp(a6(), b6(), b""), NotUdp),
        (
            "ICMP error",
            frames::icmp_unreachable(b4().ip(), a4().ip(), &v4()),
            NotUdp,
        ),
        ("ICMPv6 error", icmp6.clone(), NotUdp),
        (
            "ICMPv6 behind an extension header",
            frames::extended(&icmp6, &options(1)),
            NotUdp,
        ),
        ("ESP", with(v6(), 20, &[50]), NotUdp),
        ("no next header", with(v6(), 20, &[59]), NotUdp),
        (
            "TCP, cut off",
            frames::tcp(a4(), b4(), b"")[..34].to_vec(),
            NotUdp,
        ),
    ]);
}

#[test]
fn skipped_ipv4() {
    use Skip::{Malformed, Truncated};
    assert_skipped([
        ("v4 version", with(v4(), 14, &[0x65]), Malformed),
        ("v4 header length 16", with(v4(), 14, &[0x44]), Malformed),
        (
            "v4 header length 16, TCP",
            with(frames::tcp(a4(), b4(), b""), 14, &[0x44]),
            Malformed,
        ),
        ("v4 total length 0", with(v4(), 16, &[0, 0]), Malformed),
        ("v4 total length 19", with(v4(), 16, &[0, 19]), Malformed),
        ("v4 total length 27", with(v4(), 16, &[0, 27]), Malformed),
        (
            "v4 header length beyond the total length and the frame",
            with(with(v4(), 14, &[0x4f]), 16, &[0, 59]),
            Malformed,
        ),
        (
            "v4 options beyond the frame",
            with(with(v4(), 14, &[0x4f]), 16, &[0, 60]),
            Truncated,
        ),
        (
            "v4 total length beyond the frame",
            with(v4(), 16, &[0, 36]),
            Truncated,
        ),
        ("v4 UDP length 7", with(v4(), 38, &[0, 7]), Malformed),
        ("v4 UDP length 0", with(v4(), 38, &[0, 0]), Malformed),
        (
            "v4 UDP length beyond the IP length",
            with(v4(), 38, &[0, 16]),
            Malformed,
        ),
        (
            "v4 later fragment beyond 65535",
            with(v4(), 20, &[0x1f, 0xff]),
            Malformed,
        ),
        (
            "v4 later fragment beyond 65535 and the frame",
            with(with(v4(), 20, &[0x1f, 0xff]), 16, &[0, 200]),
            Malformed,
        ),
        (
            "v4 head with a UDP length below its payload",
            with(with(v4(), 20, &[0x20, 0]), 38, &[0, 14]),
            Malformed,
        ),
    ]);
}

#[test]
fn skipped_ipv6() {
    use Skip::{Malformed, NotUdp, TooDeep, Truncated};
    assert_skipped([
        ("v6 version", with(v6(), 14, &[0x40]), Malformed),
        ("v6 payload length 0", with(v6(), 18, &[0, 0]), Malformed),
        ("v6 payload length 7", with(v6(), 18, &[0, 7]), Malformed),
        (
            "v6 payload length beyond the frame",
            with(v6(), 18, &[0, 16]),
            Truncated,
        ),
        ("v6 UDP length 7", with(v6(), 58, &[0, 7]), Malformed),
        (
            "v6 UDP length beyond the payload",
            with(v6(), 58, &[0, 16]),
            Malformed,
        ),
        ("9 extension headers", v6_with(&options(9)), TooDeep),
        (
            "9 extension headers, the ninth cut off",
            v6_with(&options(9))[..54 + 64].to_vec(),
            TooDeep,
        ),
        (
            "8 extension headers and TCP",
            frames::extended(&frames::tcp(a6(), b6(), b""), &options(8)),
            NotUdp,
        ),
        (
            "an extension header longer than the packet",
            with(v6_with(&options(1)), 55, &[9]),
            Malformed,
        ),
        (
            "a chain that leaves the frame",
            with(v6_with(&options(2)), 55, &[9]),
            Truncated,
        ),
        (
            "two fragment headers",
            v6_with(&[Extension::atomic(1), Extension::atomic(1)]),
            Malformed,
        ),
        (
            "a later fragment behind an atomic one",
            v6_with(&[Extension::atomic(1), Extension::fragment(1, 8, false)]),
            Malformed,
        ),
        (
            "two fragment headers, the second cut off",
            v6_with(&[Extension::atomic(1), Extension::atomic(1)])[..66].to_vec(),
            Truncated,
        ),
        (
            "v6 later fragment of TCP",
            frames::extended(
                &frames::tcp(a6(), b6(), b""),
                &[Extension::fragment(1, 8, false)],
            ),
            NotUdp,
        ),
        (
            "v6 later fragment beyond 65535",
            v6_with(&[Extension::fragment(1, 0xfff8, false)]),
            Malformed,
        ),
        (
            "v6 later fragment with a payload shorter than its header",
            with(v6_with(&[Extension::fragment(1, 8, false)]), 18, &[0, 7]),
            Malformed,
        ),
        (
            "v6 later fragment beyond the frame",
            with(v6_with(&[Extension::fragment(1, 8, false)]), 18, &[0, 24]),
            Truncated,
        ),
        (
            "v6 head with a UDP length below its payload",
            with(v6_with(&[Extension::fragment(1, 0, true)]), 66, &[0, 14]),
            Malformed,
        ),
    ]);
}

#[test]
fn fragments_belong_to_their_head() {
    let payload = [7; 50];
    let tags = [(0x88a8, 3), (0x8100, 4)];
    let whole: [(&str, Vec<u8>, SocketAddr, SocketAddr); 4] = [
        ("v4", frames::udp(a4(), b4(), &payload), a4(), b4()),
        (
            "v4 with options",
            frames::ipv4_with_options(a4(), b4(), 8, &payload),
            a4(),
            b4(),
        ),
        ("v6", frames::udp(a6(), b6(), &payload), a6(), b6()),
        (
            "v6 with extension headers",
            frames::ipv6_with_extensions(a6(), b6(), &[Extension::options(60, 0)], &payload),
            a6(),
            b6(),
        ),
    ];
    for (name, frame, source, destination) in whole {
        for (frame, vlans) in [
            (frame.clone(), [0, 0]),
            (frames::tagged(&frame, &tags), [3, 4]),
        ] {
            let parts = frames::fragments(&frame, 0x1234, 24);
            assert!(parts.len() >= 3, "{name}");
            let mut reference = Reference::default();
            assert_eq!(
                reference.frame(&parts[1]),
                Err(Skip::FragmentWithoutHead),
                "{name}: before the head"
            );
            for (index, part) in parts.iter().enumerate() {
                let identification = 0x1234;
                let fragment = if index == 0 {
                    Fragment::Head { identification }
                } else {
                    Fragment::Later { identification }
                };
                let expected = Udp {
                    vlans,
                    source,
                    destination,
                    fragment,
                };
                assert_eq!(reference.frame(part), Ok(expected), "{name}: part {index}");
            }
            // Another datagram, another VLAN, the other direction: no head.
            let strangers = [
                frames::fragments(&frame, 0x1235, 24).swap_remove(1),
                frames::tagged(&parts[1], &[(0x8100, 9)]),
            ];
            let expected = if vlans == [0, 0] {
                [Skip::FragmentWithoutHead; 2]
            } else {
                [Skip::FragmentWithoutHead, Skip::TooDeep]
            };
            for (stranger, expected) in strangers.iter().zip(expected) {
                assert_eq!(reference.frame(stranger), Err(expected), "{name}");
            }
        }
    }
}

#[test]
fn etherparse_agrees_on_udp() {
    let mut frames = FrameGenerator::new(Rng::from_environment());
    let mut both = 0;
    for _ in 0..50_000 {
        let frame = frames.frame();
        let ours = parse(&frame);
        let (Ok(Frame::Udp(udp)), Some(theirs)) = (ours, opinion::of(&frame)) else {
            continue;
        };
        // A head has ports for us; etherparse leaves the payload of a fragment alone.
        assert_eq!(udp.fragment, Fragment::None, "{frame:02x?}");
        assert_eq!(
            (udp.vlans, udp.source, udp.destination),
            theirs,
            "{frame:02x?}"
        );
        both += 1;
    }
    assert!(both > 5_000, "only {both} frames were UDP to both");
}

#[test]
fn the_generator_makes_everything() {
    let mut generator = FrameGenerator::new(Rng::from_environment());
    let frames: Vec<_> = (0..50_000).map(|_| generator.frame()).collect();
    let mut reference = Reference::default();
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for frame in &frames {
        let name = match reference.frame(frame) {
            Ok(udp) => match udp.fragment {
                Fragment::None => "udp",
                Fragment::Head { .. } => "udp head",
                Fragment::Later { .. } => "udp later",
            },
            Err(skip) => skip.name(),
        };
        *outcomes.entry(name.to_owned()).or_default() += 1;
    }
    println!("{outcomes:?}");
    for name in [
        "udp",
        "udp head",
        "udp later",
        "not-ip",
        "not-udp",
        "fragment-without-head",
        "truncated",
        "malformed",
        "too-deep",
    ] {
        let count = outcomes.get(name).copied().unwrap_or(0);
        assert!(count >= 100, "{name}: {count} of {}", frames.len());
    }
    let account = Account::of(frames.iter().map(Vec::as_slice));
    let skipped: Count = account.skipped.values().copied().sum();
    let mut sum = account.tracked;
    sum += skipped;
    assert_eq!(account.seen, sum);
    assert_eq!(account.seen.packets, 50_000);
    let shown: Count = account
        .connections
        .values()
        .flat_map(|volume| [volume.toserver, volume.toclient])
        .sum();
    assert_eq!(account.tracked, shown);
}

#[test]
fn a_seed_gives_the_same_frames_again() {
    let frames = |seed| {
        let mut generator = FrameGenerator::new(Rng::new(seed));
        (0..1000)
            .map(move |_| generator.frame())
            .collect::<Vec<_>>()
    };
    assert_eq!(frames(7), frames(7));
    assert_ne!(frames(7), frames(8));
}

#[test]
fn a_capture_is_read_frame_by_frame() {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(word.to_ne_bytes());
    }
    let frames = [v4(), v6()];
    for frame in &frames {
        let length = u32::try_from(frame.len()).unwrap();
        for word in [1, 2, length, length] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(frame);
    }
    assert_eq!(read_pcap(&file), frames);
    // What tcpdump has not written in full is not there yet.
    assert_eq!(read_pcap(&file[..file.len() - 1]), frames[..1]);
    assert_eq!(read_pcap(&file[..24]), Vec::<Vec<u8>>::new());
}
