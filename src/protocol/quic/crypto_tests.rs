//! Frames, and pieces of a handshake in any order.

use super::*;

/// A CRYPTO frame; offset and length in two bytes.
fn crypto(offset: u16, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut frame = vec![6];
    frame.extend((0x4000 | offset).to_be_bytes());
    frame.extend((0x4000 | length).to_be_bytes());
    frame.extend(bytes);
    frame
}

fn text(length: u16) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn other_frames_are_passed_over() {
    let frames = [
        &[0, 0, 0][..],
        &crypto(5, b"56789"),
        &[1],
        // Of two ranges.
        &[2, 0x40, 9, 0, 1, 1, 0, 0],
        // With counts of congestion.
        &[3, 9, 0, 0, 1, 1, 2, 3],
        &crypto(0, b"01234"),
        &[0x1c, 2, 6, 3, b'n', b'o', 0],
        &[0],
    ]
    .concat();
    let mut handshake = Handshake::default();
    assert_eq!(handshake.hear(&frames, true), Ok(()));
    assert_eq!(handshake.beginning(), b"0123456789");
    assert_eq!(close_code(&frames, true), Some(2));
    // Cut anywhere, it is sound as far as it goes, and contradicts itself where it was to be whole.
    let ends = [0, 1, 2, 3, 13, 14];
    for cut in 0..14 {
        assert_eq!(Handshake::default().hear(&frames[..cut], false), Ok(()));
        let whole = Handshake::default().hear(&frames[..cut], true);
        assert_eq!(whole.is_ok(), ends.contains(&cut), "{cut}");
    }
}

#[test]
fn frames_that_an_initial_packet_has_not() {
    for bytes in [&[8, 0, 0][..], &[0x1e], &[0x40, 0x1d], &[0xff; 20]] {
        let mut handshake = Handshake::default();
        let frames = [&crypto(0, b"abc"), bytes].concat();
        assert_eq!(handshake.hear(&frames, true), Err(Unsound));
        assert_eq!(handshake.beginning(), b"");
    }
    assert_eq!(close_code(&[0x1c, 2, 6, 3, b'n'], true), None);
    // More ranges than any packet has room for.
    let ack = [2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
    assert_eq!(Handshake::default().hear(&ack, true), Err(Unsound));
}

#[test]
fn pieces_in_any_order_and_twice() {
    let all = text(3000);
    // Each step of a generator that goes round: all pieces of 37 bytes, shuffled.
    let count = all.len().div_ceil(37);
    for step in [1, 3, 7, 51, 81] {
        let mut handshake = Handshake::default();
        for number in 0..count {
            let at = number * step % count * 37;
            let piece = &all[at..all.len().min(at + 50)];
            handshake
                .hear(&crypto(at.try_into().unwrap(), piece), true)
                .unwrap();
        }
        assert!(handshake.beginning() == all, "{step}");
        assert_eq!(handshake.there, [(0, 3000)]);
    }
}

#[test]
fn the_first_of_what_is_there_twice_stays() {
    let mut handshake = Handshake::default();
    for (offset, bytes) in [
        (2, &b"cd"[..]),
        (6, b"gh"),
        (0, b"ABCDEFGHIJ"),
        (1, b"xxxx"),
    ] {
        handshake.hear(&crypto(offset, bytes), true).unwrap();
    }
    assert_eq!(handshake.beginning(), b"ABcdEFghIJ");
}

#[test]
fn a_gap_ends_what_can_be_read() {
    let mut handshake = Handshake::default();
    handshake.hear(&crypto(3, b"def"), true).unwrap();
    assert_eq!(handshake.beginning(), b"");
    handshake.hear(&crypto(0, b"ab"), true).unwrap();
    assert_eq!(handshake.beginning(), b"ab");
    handshake.hear(&crypto(2, b"c"), true).unwrap();
    assert_eq!(handshake.beginning(), b"abcdef");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut handshake = Handshake::default();
    handshake.hear(&crypto(8000, &text(1000)), true).unwrap();
    handshake.hear(&crypto(16000, b"beyond"), true).unwrap();
    assert_eq!(handshake.there, [(8000, BYTES_MAX)]);
    assert_eq!(handshake.bytes.len(), BYTES_MAX);
    // An offset that no program could have room for.
    let far = [6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, b'x'];
    handshake.hear(&far, true).unwrap();
    let mut handshake = Handshake::default();
    for number in 0..1000 {
        handshake.hear(&crypto(number * 3, b"x"), true).unwrap();
    }
    assert_eq!(handshake.there.len(), PIECES_MAX);
    // What joins two of them is still taken.
    handshake.hear(&crypto(0, &[b'y'; 7]), true).unwrap();
    assert_eq!(handshake.beginning(), b"xyyxyyx");
}
