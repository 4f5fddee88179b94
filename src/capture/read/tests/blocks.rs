//! What blocks of pcapng say.

use super::*;

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
        is_named: name != "capture",
        link,
        link_type: if link == Link::Ip { 101 } else { 1 },
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
