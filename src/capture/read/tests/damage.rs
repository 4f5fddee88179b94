//! Files that end too early, and files that lie.

use super::*;

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
        "file: this is not a capture: it does not begin like pcap or pcapng"
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
        "file: link type 127 is not supported; supported are Ethernet, raw IP, Linux cooked, null and loop, PPP, HDLC"
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
        "file: udptrack unpacks gzip and zstd, but not this format: xz -dc FILE | udptrack -r -"
    );
    let pcapng = three_in_pcapng(true);
    let at = pcapng.len() - 24 - 12 - 60;
    assert_eq!(
        error(&pcapng[..at]),
        format!("file: byte {at}: the file ends within a packet block")
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
