//! Frames and what becomes of them, written by hand; whole, and cut at every byte.

use std::net::SocketAddr;

use udptrack::model::Skip;

use crate::common::frames::{self, Extension};
use crate::common::reference::{self, Vlans};
use crate::model::Model;
use crate::rig::{
    EGRESS, ETHERNET, ETHERNET_BYTES, INGRESS, IP_EGRESS, IP_INGRESS, Rig, XDP, address,
    has_frames_in_several_buffers, udp, vlans, with,
};

pub fn a4() -> SocketAddr {
    address("10.88.0.1:40000")
}

pub fn b4() -> SocketAddr {
    address("10.88.0.2:53")
}

pub fn a6() -> SocketAddr {
    address("[fd88::1]:40000")
}

pub fn b6() -> SocketAddr {
    address("[fd88::2]:53")
}

fn v4() -> Vec<u8> {
    udp(a4(), b4())
}

fn v6() -> Vec<u8> {
    udp(a6(), b6())
}

fn v6_with(extensions: &[Extension]) -> Vec<u8> {
    frames::ipv6_with_extensions(a6(), b6(), extensions, b"payload")
}

fn options(count: usize) -> Vec<Extension> {
    vec![Extension::options(60, 0); count]
}

/// Tags, sender, receiver; or the reason.
type Expected = Result<(Vlans, SocketAddr, SocketAddr), Skip>;

pub struct Case {
    pub name: &'static str,
    pub frame: Vec<u8>,
    pub expected: Expected,
}

fn case(name: &'static str, frame: Vec<u8>, expected: Expected) -> Case {
    Case {
        name,
        frame,
        expected,
    }
}

fn to_b4(name: &'static str, frame: Vec<u8>, vlans: Vlans) -> Case {
    case(name, frame, Ok((vlans, a4(), b4())))
}

fn to_b6(name: &'static str, frame: Vec<u8>, vlans: Vlans) -> Case {
    case(name, frame, Ok((vlans, a6(), b6())))
}

/// All frames, in an order in which later fragments follow their heads. The datagrams of one series are not those of
/// another.
pub fn cases(series: u32) -> Vec<Case> {
    [
        plain(),
        tags(),
        extensions(),
        ipv4_faults(),
        ipv6_faults(),
        fragments(series * 0x100),
        strange_fragments(series * 0x100),
        others(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn plain() -> Vec<Case> {
    let padded = |mut frame: Vec<u8>, length: usize| {
        frame.resize(length, 0);
        frame
    };
    vec![
        to_b4("v4", v4(), [0, 0]),
        case("v4 back", udp(b4(), a4()), Ok(([0, 0], b4(), a4()))),
        to_b6("v6", v6(), [0, 0]),
        case("v6 back", udp(b6(), a6()), Ok(([0, 0], b6(), a6()))),
        to_b4("v4 without payload", frames::udp(a4(), b4(), b""), [0, 0]),
        to_b6("v6 without payload", frames::udp(a6(), b6(), b""), [0, 0]),
        to_b4("v4 padded to 60 bytes", padded(v4(), 60), [0, 0]),
        to_b4("v4 padded to 200 bytes", padded(v4(), 200), [0, 0]),
        to_b6("v6 padded to 200 bytes", padded(v6(), 200), [0, 0]),
        to_b4(
            "1000 bytes of payload",
            frames::udp(a4(), b4(), &[7; 1000]),
            [0, 0],
        ),
        case(
            "the same address, lower port first",
            udp(address("10.88.0.1:1"), address("10.88.0.1:2")),
            Ok(([0, 0], address("10.88.0.1:1"), address("10.88.0.1:2"))),
        ),
        case(
            "the same address, higher port first",
            udp(address("10.88.0.1:2"), address("10.88.0.1:1")),
            Ok(([0, 0], address("10.88.0.1:2"), address("10.88.0.1:1"))),
        ),
        case(
            "v6, the same address, higher port first",
            udp(address("[fd88::1]:2"), address("[fd88::1]:1")),
            Ok(([0, 0], address("[fd88::1]:2"), address("[fd88::1]:1"))),
        ),
        case("to itself", udp(a4(), a4()), Ok(([0, 0], a4(), a4()))),
        case(
            "all bits 0",
            udp(address("0.0.0.0:0"), address("0.0.0.0:0")),
            Ok(([0, 0], address("0.0.0.0:0"), address("0.0.0.0:0"))),
        ),
        case(
            "v6, all bits 0",
            udp(address("[::]:0"), address("[::]:0")),
            Ok(([0, 0], address("[::]:0"), address("[::]:0"))),
        ),
        case(
            "all bits 1",
            udp(address("255.255.255.255:65535"), address("1.2.3.4:65535")),
            Ok((
                [0, 0],
                address("255.255.255.255:65535"),
                address("1.2.3.4:65535"),
            )),
        ),
        to_b4("v4, do not fragment", with(v4(), 20, &[0x40, 0]), [0, 0]),
        to_b4("v4, the evil bit", with(v4(), 20, &[0x80, 0]), [0, 0]),
        to_b4("UDP checksum 0", with(v4(), 40, &[0, 0]), [0, 0]),
        to_b4(
            "UDP length below the IP length",
            with(v4(), 38, &[0, 8]),
            [0, 0],
        ),
        to_b6(
            "v6, UDP length below the payload's",
            with(v6(), 58, &[0, 8]),
            [0, 0],
        ),
        to_b6(
            "v6, UDP length 0: all of the payload",
            with(v6(), 58, &[0, 0]),
            [0, 0],
        ),
        to_b6(
            "v6, UDP length 0 behind an extension header",
            with(v6_with(&[Extension::fragment(1, 0, false)]), 66, &[0, 0]),
            [0, 0],
        ),
    ]
}

fn tags() -> Vec<Case> {
    let tag = (0x8100, 1);
    vec![
        to_b4(
            "VLAN, with a priority",
            frames::tagged(&v4(), &[(0x8100, 0x6005)]),
            [5, 0],
        ),
        to_b6("VLAN, v6", frames::tagged(&v6(), &[(0x8100, 5)]), [5, 0]),
        to_b4("0x88a8", frames::tagged(&v4(), &[(0x88a8, 9)]), [9, 0]),
        to_b4(
            "0x9100",
            frames::tagged(&v4(), &[(0x9100, 4095)]),
            [4095, 0],
        ),
        to_b4(
            "priority tag",
            frames::tagged(&v4(), &[(0x8100, 0xe000)]),
            [0, 0],
        ),
        to_b4(
            "QinQ",
            frames::tagged(&v4(), &[(0x88a8, 100), (0x8100, 7)]),
            [100, 7],
        ),
        to_b6(
            "QinQ, v6",
            frames::tagged(&v6(), &[(0x9100, 0x2064), (0x9100, 0xf007)]),
            [100, 7],
        ),
        to_b4(
            "priority tag around a VLAN",
            frames::tagged(&v4(), &[(0x8100, 0), (0x8100, 7)]),
            [0, 7],
        ),
        case(
            "three tags",
            frames::tagged(&v4(), &[tag; 3]),
            Err(Skip::TooDeep),
        ),
        case(
            "three tags, the third cut off",
            frames::tagged(&v4(), &[tag; 3])[..22].to_vec(),
            Err(Skip::TooDeep),
        ),
        case(
            "ARP in a VLAN",
            frames::tagged(&frames::arp(), &[tag]),
            Err(Skip::NotIp),
        ),
        case(
            "TCP in a VLAN",
            frames::tagged(&frames::tcp(a4(), b4(), b"x"), &[tag]),
            Err(Skip::NotUdp),
        ),
        to_b4(
            "options in a VLAN",
            frames::tagged(&frames::ipv4_with_options(a4(), b4(), 12, b"x"), &[tag]),
            [1, 0],
        ),
    ]
}

fn extensions() -> Vec<Case> {
    let mut all = vec![
        to_b4(
            "4 bytes of options",
            frames::ipv4_with_options(a4(), b4(), 4, b"payload"),
            [0, 0],
        ),
        to_b4(
            "40 bytes of options",
            frames::ipv4_with_options(a4(), b4(), 40, b"payload"),
            [0, 0],
        ),
    ];
    for (name, extension) in [
        ("hop-by-hop options", Extension::options(0, 0)),
        ("routing header", Extension::options(43, 2)),
        ("destination options", Extension::options(60, 1)),
        ("mobility header", Extension::options(135, 0)),
        ("host identity protocol", Extension::options(139, 5)),
        ("shim6", Extension::options(140, 0)),
        ("AH of 8 bytes", Extension::authentication(0)),
        ("AH of 12 bytes", Extension::authentication(1)),
        ("AH of 24 bytes", Extension::authentication(4)),
        ("atomic fragment", Extension::atomic(1)),
        ("248 bytes of options", Extension::options(60, 30)),
    ] {
        all.push(to_b6(name, v6_with(&[extension]), [0, 0]));
    }
    let every: Vec<_> = [0, 43, 60, 135, 139, 140]
        .map(|header| Extension::options(header, 1))
        .into_iter()
        .chain([Extension::authentication(1), Extension::atomic(2)])
        .collect();
    all.extend([
        to_b6("every kind", v6_with(&every), [0, 0]),
        to_b6("8 extension headers", v6_with(&options(8)), [0, 0]),
        to_b6(
            "8 AHs",
            v6_with(&vec![Extension::authentication(2); 8]),
            [0, 0],
        ),
        case(
            "9 extension headers",
            v6_with(&options(9)),
            Err(Skip::TooDeep),
        ),
        case(
            "9 extension headers, the ninth cut off",
            v6_with(&options(9))[..54 + 64].to_vec(),
            Err(Skip::TooDeep),
        ),
        case(
            "8 extension headers and TCP",
            frames::extended(&frames::tcp(a6(), b6(), b""), &options(8)),
            Err(Skip::NotUdp),
        ),
        case(
            "9 extension headers and TCP",
            frames::extended(&frames::tcp(a6(), b6(), b""), &options(9)),
            Err(Skip::TooDeep),
        ),
        case(
            "2040 bytes of options and nothing",
            with(v6_with(&options(1)), 55, &[254]),
            Err(Skip::Malformed),
        ),
        case(
            "UDP in ESP",
            with(v6_with(&options(1)), 54, &[50]),
            Err(Skip::NotUdp),
        ),
    ]);
    all
}

fn ipv4_faults() -> Vec<Case> {
    use Skip::{Malformed, NotUdp, Truncated};
    let long = || with(v4(), 14, &[0x4f]); // says 40 bytes of options, has none
    vec![
        case("v4 version 6", with(v4(), 14, &[0x65]), Err(Malformed)),
        case("v4 version 0", with(v4(), 14, &[0x05]), Err(Malformed)),
        case("v4 version 5", with(v4(), 14, &[0x55]), Err(Malformed)),
        case("ihl 0", with(v4(), 14, &[0x40]), Err(Malformed)),
        case("ihl 4", with(v4(), 14, &[0x44]), Err(Malformed)),
        case(
            "ihl 4, TCP",
            with(frames::tcp(a4(), b4(), b""), 14, &[0x44]),
            Err(Malformed),
        ),
        case("ihl beyond the total length", long(), Err(Malformed)),
        case(
            "ihl beyond the frame",
            with(long(), 16, &[0, 60]),
            Err(Truncated),
        ),
        case(
            "ihl that swallows the UDP header",
            with(v4(), 14, &[0x48]),
            Err(Malformed),
        ),
        case("total length 0", with(v4(), 16, &[0, 0]), Err(Malformed)),
        case("total length 19", with(v4(), 16, &[0, 19]), Err(Malformed)),
        case("total length 20", with(v4(), 16, &[0, 20]), Err(Malformed)),
        case("total length 27", with(v4(), 16, &[0, 27]), Err(Malformed)),
        case(
            "total length below the UDP length",
            with(v4(), 16, &[0, 34]),
            Err(Malformed),
        ),
        case(
            "total length a byte beyond the frame",
            with(v4(), 16, &[0, 36]),
            Err(Truncated),
        ),
        case(
            "total length 65535",
            with(v4(), 16, &[0xff, 0xff]),
            Err(Truncated),
        ),
        case("UDP length 0", with(v4(), 38, &[0, 0]), Err(Malformed)),
        case("UDP length 7", with(v4(), 38, &[0, 7]), Err(Malformed)),
        case(
            "UDP length a byte beyond the IP length",
            with(v4(), 38, &[0, 16]),
            Err(Malformed),
        ),
        case(
            "UDP length that ends in the padding",
            with([v4(), vec![0; 20]].concat(), 38, &[0, 16]),
            Err(Malformed),
        ),
        case("protocol 0", with(v4(), 23, &[0]), Err(NotUdp)),
        case("UDP-Lite", with(v4(), 23, &[136]), Err(NotUdp)),
        case(
            "ESP with a wrong total length",
            with(with(v4(), 23, &[50]), 16, &[0, 3]),
            Err(NotUdp),
        ),
    ]
}

fn ipv6_faults() -> Vec<Case> {
    use Skip::{Malformed, NotUdp, Truncated};
    vec![
        case("v6 version 4", with(v6(), 14, &[0x45]), Err(Malformed)),
        case("v6 version 7", with(v6(), 14, &[0x70]), Err(Malformed)),
        case("payload length 0", with(v6(), 18, &[0, 0]), Err(Malformed)),
        case("payload length 7", with(v6(), 18, &[0, 7]), Err(Malformed)),
        case(
            "payload length below the UDP length",
            with(v6(), 18, &[0, 14]),
            Err(Malformed),
        ),
        case(
            "payload length a byte beyond the frame",
            with(v6(), 18, &[0, 16]),
            Err(Truncated),
        ),
        case("v6 UDP length 7", with(v6(), 58, &[0, 7]), Err(Malformed)),
        case(
            "v6 UDP length beyond the payload",
            with(v6(), 58, &[0, 16]),
            Err(Malformed),
        ),
        case(
            "an extension header longer than the packet",
            with(v6_with(&options(1)), 55, &[9]),
            Err(Malformed),
        ),
        case(
            "a chain that leaves the frame",
            with(v6_with(&options(2)), 55, &[9]),
            Err(Truncated),
        ),
        case(
            "two fragment headers",
            v6_with(&[Extension::atomic(1), Extension::atomic(1)]),
            Err(Malformed),
        ),
        case(
            "a later fragment behind an atomic one",
            v6_with(&[Extension::atomic(1), Extension::fragment(1, 8, false)]),
            Err(Malformed),
        ),
        case("v6 ESP", with(v6(), 20, &[50]), Err(NotUdp)),
        case("no next header", with(v6(), 20, &[59]), Err(NotUdp)),
        case(
            "TCP with payload length 0 (a jumbogram)",
            with(frames::tcp(a6(), b6(), b"x"), 18, &[0, 0]),
            Err(NotUdp),
        ),
    ]
}

fn fragments(first: u32) -> Vec<Case> {
    use Skip::FragmentWithoutHead;
    let parts4 = |id| frames::fragments(&frames::udp(a4(), b4(), &[7; 50]), first + id, 24);
    let parts6 = |id| frames::fragments(&frames::udp(a6(), b6(), &[7; 50]), first + id, 24);
    let tagged = |frame: &[u8]| frames::tagged(frame, &[(0x88a8, 3), (0x8100, 4)]);
    let mut all = vec![
        case(
            "v4 part before its head",
            parts4(10)[1].clone(),
            Err(FragmentWithoutHead),
        ),
        case(
            "v6 part before its head",
            parts6(10)[1].clone(),
            Err(FragmentWithoutHead),
        ),
    ];
    for part in parts4(10) {
        all.push(to_b4("v4 parts", part, [0, 0]));
    }
    for part in parts6(10) {
        all.push(to_b6("v6 parts", part, [0, 0]));
    }
    for part in parts4(10) {
        all.push(to_b4("tagged v4 parts", tagged(&part), [3, 4]));
    }
    let more = v6_with(&[Extension::options(60, 0)]);
    for part in frames::fragments(&more, first + 11, 16) {
        all.push(to_b6("v6 parts with options in them", part, [0, 0]));
    }
    all
}

/// Parts of no datagram, and parts that contradict themselves; after those of `fragments`.
fn strange_fragments(first: u32) -> Vec<Case> {
    use Skip::{FragmentWithoutHead, Malformed, NotUdp, Truncated};
    let part4 = |id| {
        let whole = frames::udp(a4(), b4(), &[7; 50]);
        frames::fragments(&whole, first + id, 24).swap_remove(1)
    };
    let part6 = |id| {
        let whole = frames::udp(a6(), b6(), &[7; 50]);
        frames::fragments(&whole, first + id, 24).swap_remove(1)
    };
    let back: Vec<_> = frames::fragments(&frames::udp(b4(), a4(), &[7; 50]), first + 10, 24);
    vec![
        case(
            "v4 part of another datagram",
            part4(12),
            Err(FragmentWithoutHead),
        ),
        case(
            "v6 part of another datagram",
            part6(12),
            Err(FragmentWithoutHead),
        ),
        case(
            "the same of the other direction",
            back[1].clone(),
            Err(FragmentWithoutHead),
        ),
        case(
            "the same in another VLAN",
            frames::tagged(&part4(10), &[(0x8100, 9)]),
            Err(FragmentWithoutHead),
        ),
        case(
            "the same in the tags' reverse order",
            frames::tagged(&part4(10), &[(0x88a8, 4), (0x8100, 3)]),
            Err(FragmentWithoutHead),
        ),
        case(
            "v4 head whose UDP header is cut in two",
            with(with(v4(), 20, &[0x20, 0]), 16, &[0, 26]),
            Err(Malformed),
        ),
        case(
            "v4 head with a UDP length below its payload",
            with(with(v4(), 20, &[0x20, 0]), 38, &[0, 14]),
            Err(Malformed),
        ),
        case(
            "v6 head with a UDP length below its payload",
            with(v6_with(&[Extension::fragment(1, 0, true)]), 66, &[0, 14]),
            Err(Malformed),
        ),
        case(
            "v4 part beyond 65535",
            with(v4(), 20, &[0x1f, 0xff]),
            Err(Malformed),
        ),
        case(
            "v6 part beyond 65535",
            v6_with(&[Extension::fragment(1, 0xfff8, false)]),
            Err(Malformed),
        ),
        case(
            "v6 part shorter than its header",
            with(v6_with(&[Extension::fragment(1, 8, false)]), 18, &[0, 7]),
            Err(Malformed),
        ),
        case(
            "v6 part beyond the frame",
            with(v6_with(&[Extension::fragment(1, 8, false)]), 18, &[0, 24]),
            Err(Truncated),
        ),
        case(
            "v4 part of TCP",
            with(frames::tcp(a4(), b4(), b"x"), 20, &[0, 1]),
            Err(NotUdp),
        ),
        case(
            "v6 part of TCP",
            frames::extended(
                &frames::tcp(a6(), b6(), b""),
                &[Extension::fragment(1, 8, false)],
            ),
            Err(NotUdp),
        ),
        case(
            "v6 part of ICMPv6",
            frames::extended(
                &frames::icmp_echo(a6().ip(), b6().ip()),
                &[Extension::fragment(1, 8, false)],
            ),
            Err(NotUdp),
        ),
    ]
}

fn others() -> Vec<Case> {
    use Skip::{NotIp, NotUdp};
    let mut lldp = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
    lldp.extend([0x02, 0x07, 0x04, 2, 0, 0, 0, 0, 1, 0, 0]);
    vec![
        case("ARP", frames::arp(), Err(NotIp)),
        case("LLDP", lldp, Err(NotIp)),
        case("802.3 length", with(v4(), 12, &[0, 50]), Err(NotIp)),
        case("MPLS", with(v4(), 12, &[0x88, 0x47]), Err(NotIp)),
        case("v4 TCP", frames::tcp(a4(), b4(), b"x"), Err(NotUdp)),
        case("v6 TCP", frames::tcp(a6(), b6(), b"x"), Err(NotUdp)),
        case(
            "TCP without a header",
            frames::tcp(a4(), b4(), b"")[..34].to_vec(),
            Err(NotUdp),
        ),
        case(
            "echo request",
            frames::icmp_echo(a4().ip(), b4().ip()),
            Err(NotUdp),
        ),
        case(
            "ICMPv6 echo request",
            frames::icmp_echo(a6().ip(), b6().ip()),
            Err(NotUdp),
        ),
        case(
            "ICMP error about nobody",
            frames::icmp_unreachable(b4().ip(), a4().ip(), &udp(a4(), address("10.88.0.2:9"))),
            Err(NotUdp),
        ),
        case(
            "ICMPv6 error behind options",
            frames::extended(
                &frames::icmp_unreachable(b6().ip(), a6().ip(), &v6()),
                &options(2),
            ),
            Err(NotUdp),
        ),
    ]
}

/// Whether the IP header's version is what the ethertype says: without the ethertype the frame is the same.
fn same_without_ethernet(frame: &[u8]) -> bool {
    let version = match frame[12..14] {
        [0x08, 0x00] => 4,
        [0x86, 0xdd] => 6,
        _ => return false,
    };
    frame
        .get(ETHERNET_BYTES)
        .is_some_and(|byte| byte >> 4 == version)
}

#[test]
#[ignore = "root"]
fn every_frame_of_the_table() {
    let mut rig = Rig::new(1024);
    for (series, entry) in (1..).zip([XDP, INGRESS, EGRESS, IP_INGRESS, IP_EGRESS]) {
        let ethernet = ETHERNET.contains(&entry);
        let mut ran = 0;
        for Case {
            name,
            frame,
            expected,
        } in cases(series)
        {
            if !ethernet && !same_without_ethernet(&frame) {
                continue;
            }
            let frame = if ethernet {
                &frame[..]
            } else {
                &frame[ETHERNET_BYTES..]
            };
            let actual = rig.run(entry, frame);
            let actual =
                actual.map(|(_, packet)| (packet.vlans, packet.source, packet.destination));
            let expected =
                expected.map(|(tags, source, destination)| (vlans(tags), source, destination));
            assert_eq!(actual, expected, "{name}, {entry:?}");
            ran += 1;
        }
        assert!(ran >= 80, "{ran} frames through {entry:?}");
    }
    // Without an Ethernet header it is the version that says what follows.
    for entry in [IP_INGRESS, IP_EGRESS] {
        for version in (0..16).filter(|version| ![4, 6].contains(version)) {
            let packet = &with(v4(), ETHERNET_BYTES, &[version << 4 | 5])[ETHERNET_BYTES..];
            let actual = rig.run(entry, packet);
            assert_eq!(actual, Err(Skip::NotIp), "version {version}");
        }
    }
}

#[test]
#[ignore = "root"]
fn every_frame_cut_at_every_byte() {
    let mut rig = Rig::new(1024);
    let mut model = Model::default();
    for (series, entry) in (1..).zip([XDP, INGRESS, EGRESS, IP_INGRESS, IP_EGRESS]) {
        let start = if ETHERNET.contains(&entry) {
            0
        } else {
            ETHERNET_BYTES
        };
        for case in cases(series) {
            for end in start..=case.frame.len() {
                model.check(&mut rig, entry, &case.frame[start..end]);
            }
        }
        model.assert_table(&rig);
    }
}

/// Frames larger than a page lie in several buffers, of which an XDP program sees the first.
#[test]
#[ignore = "root"]
fn a_frame_in_several_buffers_counts_whole() {
    if !has_frames_in_several_buffers() {
        return;
    }
    let mut rig = Rig::new(16);
    let mut model = Model::default();
    for payload in [3000, 5000, 9000, 20_000, 60_000] {
        let payload = vec![7; payload];
        for frame in [
            frames::udp(a4(), b4(), &payload),
            frames::udp(b6(), a6(), &payload),
            frames::tcp(a4(), b4(), &payload),
            frames::experimental(&payload),
            // Padding behind a short packet.
            [v4(), payload.clone()].concat(),
            [v6(), payload.clone()].concat(),
            // Cut short.
            frames::udp(a4(), b4(), &payload)[..payload.len()].to_vec(),
        ] {
            assert!(reference::parse(&frame).is_ok() || frame.len() > 2000);
            model.check(&mut rig, XDP, &frame);
        }
    }
    model.assert_table(&rig);
}

/// A head lends its ports only to parts of its own IP version, whatever the addresses' bits are.
#[test]
#[ignore = "root"]
fn fragments_of_ipv4_and_ipv6_are_kept_apart() {
    let mut rig = Rig::new(16);
    for (id, entry) in (9..).zip(ETHERNET) {
        // As bits, these begin as 10.88.0.1 and 10.88.0.2 do, and go on with zeros.
        let (a, b) = (address("[a58:1::]:40000"), address("[a58:2::]:53"));
        let head6 = with(
            frames::ipv6_with_extensions(a, b, &[Extension::fragment(0, 0, true)], b"payload!"),
            58,
            &[0, id, 0, 0],
        );
        let part4 = with(
            with(v4(), 18, &[0, id]), // identification
            20,
            &[0, 1],
        );
        assert!(rig.run(entry, &head6).is_ok());
        assert_eq!(
            rig.run(entry, &part4),
            Err(Skip::FragmentWithoutHead),
            "{entry:?}"
        );
    }
}
