//! What is made of frames of each link type.

use super::super::link::{HEADER_MAX, LinkType};
use super::*;

const IP: [u8; 8] = [0x45, 1, 2, 3, 4, 5, 6, 7];

/// What is left of the first frame of a file of this link type.
fn one(link: u32, wire: u32, frame: &[u8]) -> (Link, Kept) {
    let file = File::pcap(false, 0xa1b2_c3d4, link).record([1, 0, wire], frame);
    let whole = read(&file.bytes);
    assert_eq!(whole.error(), "");
    assert_eq!(whole.frames.len(), 1);
    let frame = whole.frames.into_iter().next().unwrap();
    (whole.interfaces[frame.interface].link, frame)
}

fn ip(direction: Direction, data: &[u8]) -> (Link, Kept) {
    let frame = kept(1_000_000_000, 108, data);
    (Link::Ip, Kept { direction, ..frame })
}

/// The parts of a frame, one after the other.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn headers_before_a_packet_are_taken_off() {
    let received = |data: &[u8]| ip(Direction::Ingress, data);
    for link in [12, 14, 101, 228, 229] {
        assert_eq!(one(link, 108, &IP), received(&IP));
    }
    for family in [2, 24, 28, 30, 10] {
        for header in [[family, 0, 0, 0], [0, 0, 0, family]] {
            assert_eq!(one(0, 112, &frame(&[&header, &IP])), received(&IP));
            assert_eq!(one(108, 112, &frame(&[&header, &IP])), received(&IP));
        }
    }
    assert_eq!(one(9, 110, &frame(&[&[0, 0x21], &IP])), received(&IP));
    assert_eq!(
        one(9, 112, &frame(&[&[0xff, 3, 0, 0x57], &IP])),
        received(&IP)
    );
    assert_eq!(
        one(50, 112, &frame(&[&[0x0f, 0, 8, 0], &IP])),
        received(&IP)
    );
    assert_eq!(
        one(104, 112, &frame(&[&[0x8f, 0, 0x86, 0xdd], &IP])),
        received(&IP)
    );
    // The length of a header and of a check sequence is the file's own matter.
    assert_eq!(one(0x2400_0065, 112, &IP), received(&IP));
}

/// It must not look like IP when its header, which said what it is, is gone.
#[test]
fn what_is_no_ip_packet_is_none_without_its_header() {
    let none = frame(&[&[0], &IP[1..]]);
    let received = ip(Direction::Ingress, &none);
    // AppleTalk, IPX, PPP's own, Cisco's own, ARP on InfiniBand.
    assert_eq!(one(0, 112, &frame(&[&[16, 0, 0, 0], &IP])), received);
    assert_eq!(one(108, 112, &frame(&[&[0, 0, 0, 23], &IP])), received);
    assert_eq!(
        one(9, 112, &frame(&[&[0xff, 3, 0xc0, 0x21], &IP])),
        received
    );
    assert_eq!(
        one(104, 112, &frame(&[&[0x8f, 0, 0x80, 0x35], &IP])),
        received
    );
    let header = [0, 0, 0, 32, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 6];
    assert_eq!(one(113, 124, &frame(&[&header, &IP])), received);
}

#[test]
fn cooked_frames_are_made_as_their_interface_has_them() {
    let cooked = |kind: u8, hardware: [u8; 2], protocol: [u8; 2]| {
        let [high, low] = hardware;
        let header = [0, kind, high, low, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0];
        frame(&[&header, &protocol, &IP])
    };
    let ethernet = |direction, protocol: &[u8]| {
        let data = frame(&[&[0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6], protocol, &IP]);
        (
            Link::Ethernet,
            Kept {
                direction,
                ..kept(1_000_000_000, 122, &data)
            },
        )
    };
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    // Received by us, by all, by another one, and sent, on Ethernet and on the loopback.
    for hardware in [[0, 1], [3, 4]] {
        for kind in [0, 1, 2, 3] {
            let frame = cooked(kind, hardware, [8, 0]);
            assert_eq!(one(113, 124, &frame), ethernet(ingress, &[8, 0]));
        }
        let frame = cooked(4, hardware, [0x86, 0xdd]);
        assert_eq!(one(113, 124, &frame), ethernet(egress, &[0x86, 0xdd]));
    }
    // With a VLAN tag: what follows the protocol is the payload's.
    let tagged = cooked(0, [0, 1], [0x81, 0]);
    assert_eq!(one(113, 124, &tagged), ethernet(ingress, &[0x81, 0]));
    // Tunnels, PPP, and what has no hardware at all begin with the packet.
    for hardware in [[3, 0], [2, 0], [0xff, 0xfe], [3, 10]] {
        assert_eq!(one(113, 124, &cooked(4, hardware, [8, 0])), ip(egress, &IP));
    }
}

#[test]
fn the_second_cooked_header_tells_the_interface() {
    let cooked = |index: u8, hardware: u8, kind: u8| {
        let header = [
            8, 0, 0, 0, 0, 0, 0, index, 0, hardware, kind, 6, 1, 2, 3, 4, 5, 6, 0, 0,
        ];
        frame(&[&header, &IP])
    };
    let file = File::pcap(true, 0xa1b2_3c4d, 276)
        .record([1, 0, 128], &cooked(2, 1, 0))
        .record([1, 0, 128], &cooked(3, 0, 4))
        .record([1, 0, 128], &cooked(2, 1, 4))
        .record([1, 0, 128], &cooked(7, 1, 0));
    let whole = read(&file.bytes);
    assert_eq!(whole.error(), "");
    let ethernet = frame(&[&[0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 8, 0], &IP]);
    let of = |interface, direction, frame| Kept {
        interface,
        direction,
        ..frame
    };
    let time_ns = 1_000_000_000;
    assert_eq!(
        whole.frames,
        [
            of(0, Direction::Ingress, kept(time_ns, 122, &ethernet)),
            of(1, Direction::Egress, kept(time_ns, 108, &IP)),
            of(0, Direction::Egress, kept(time_ns, 122, &ethernet)),
            of(2, Direction::Ingress, kept(time_ns, 122, &ethernet)),
        ]
    );
    let named = |name: &str, link| CapturedInterface {
        name: name.to_owned(),
        is_named: true,
        link,
        link_type: 276,
    };
    assert_eq!(
        whole.interfaces,
        [
            named("if2", Link::Ethernet),
            named("if3", Link::Ip),
            named("if7", Link::Ethernet)
        ]
    );
}

/// Whatever is in it, and wherever it is cut: what is left is within the frame, and never longer than it.
#[test]
fn no_frame_is_too_short() {
    for number in -1..300 {
        let Some(kind) = LinkType::from_number(number) else {
            continue;
        };
        for byte in [0, 1, 4, 0x0f, 0x45, 0xff] {
            for length in 0..40 {
                let whole = vec![byte; length];
                let mut frame = whole.clone();
                if let Some(stripped) = kind.strip(&mut frame) {
                    assert!(stripped.from <= length && stripped.less as usize <= stripped.from);
                    // What the file has can be put together again.
                    let header = stripped.from + stripped.made;
                    assert!(header <= HEADER_MAX.min(length));
                    assert_eq!(frame[header..], whole[header..]);
                    assert!(kind != LinkType::Ethernet && kind != LinkType::Ip || header == 0);
                }
            }
        }
    }
}
