use super::*;
use crate::capture::read::{Link, Reader};
use crate::model::Direction;

/// Two interfaces, and a frame of each: one has lost its tag, the other is cut.
fn file() -> Vec<u8> {
    let mut out = Vec::new();
    let section = Section {
        application: "udptrack 1",
        system: "Linux",
        comment: "two frames",
    };
    section.write(&mut out);
    for (name, link_type) in [("eth0", LINKTYPE_ETHERNET), ("tun0", LINKTYPE_RAW)] {
        let interface = Interface {
            name,
            filter: "port 53",
            link_type,
            snaplen: 17,
        };
        interface.write(&mut out);
    }
    let packet = Packet {
        interface: 0,
        ns: 1_775_597_077_251_547_123,
        direction: Some(Direction::Ingress),
        bytes: b"to____from__\x08\x00E",
        length: 1000,
        vlan: Some((0x8100, 0x2005)),
        snaplen: 17,
        lost: 3,
        comment: "conn 0x1 dns",
    };
    packet.write(&mut out);
    let other = Packet {
        interface: 1,
        ns: packet.ns + 1,
        direction: Some(Direction::Egress),
        bytes: b"E",
        vlan: None,
        length: 1,
        lost: 0,
        comment: "",
        ..packet
    };
    other.write(&mut out);
    let statistics = Statistics {
        interface: 1,
        ..Statistics::default()
    };
    statistics.write(&mut out);
    out
}

#[test]
fn what_is_written_can_be_read() {
    let file = file();
    assert_eq!(file.len() % 4, 0);
    let mut reader = Reader::new("test", std::io::Cursor::new(file)).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((
            frame.time_ns,
            frame.interface,
            frame.direction,
            frame.wire_bytes,
            frame.data.to_vec(),
        ));
    }
    let time = 1_775_597_077_251_547_123;
    let tagged = b"to____from__\x81\x00\x20\x05\x08".to_vec();
    assert_eq!(
        frames,
        [
            (time, 0, Direction::Ingress, 1004, tagged),
            (time + 1, 1, Direction::Egress, 1, b"E".to_vec()),
        ]
    );
    let interfaces = reader.interfaces().iter();
    let interfaces: Vec<_> = interfaces.map(|it| (&*it.name, it.link)).collect();
    assert_eq!(interfaces, [("eth0", Link::Ethernet), ("tun0", Link::Ip)]);
}

/// Values of options are where others look for them.
#[test]
fn options_are_aligned_and_have_their_length() {
    let file = file();
    let at = |wanted: &[u8]| {
        let mut windows = file.windows(wanted.len());
        windows.position(|window| window == wanted).unwrap()
    };
    for option in [
        &b"\x01\0\x0c\0conn 0x1 dns"[..],
        b"\x04\0\x0a\0udptrack 1\0\0",
        b"\x09\0\x01\0\x09\0\0\0",
        b"\x0b\0\x08\0\0port 53",
        b"\x02\0\x04\0\x01\0\0\0",
        b"\x04\0\x08\0\x03\0\0\0\0\0\0\0",
    ] {
        assert_eq!(at(option) % 4, 0, "{option:?}");
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_between_letters() {
    let mut out = Vec::new();
    let comment = "ü".repeat(40_000);
    let section = Section {
        comment: &comment,
        ..Section::default()
    };
    section.write(&mut out);
    assert_eq!(out.len() % 4, 0);
    let length = u32::from_le_bytes(out[4..8].try_into().unwrap());
    assert_eq!(length as usize, out.len());
}
