//! Keys and packets, as RFC 9001 A and RFC 9369 A show them.

use super::super::packet::Packets;
use super::super::packet::tests::{CLIENT_ONE, CLIENT_TWO, SERVER_ONE, SERVER_TWO};
use super::*;

fn original() -> Id {
    Id::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    // An id is written so, and has room for a key.
    Id::new(bytes).unwrap().to_string()
}

fn packet(bytes: &[u8], length: usize) -> Packet<'_> {
    Packets::new(bytes, length).next().unwrap()
}

#[test]
fn the_keys_of_the_standards() {
    for (version, sender, expected) in [
        (
            Version::ONE,
            Sender::Server,
            [
                "cf3a5331653c364c88f0f379b6067e37",
                "0ac1493ca1905853b0bba03e",
                "c206b8d9b9f0f37644430b490eeaa314",
            ],
        ),
        (
            Version::TWO,
            Sender::Server,
            [
                "82db637861d55e1d011f19ea71d5d2a7",
                "dd13c276499c0249d3310652",
                "edf6d05c83121201b436e16877593c3a",
            ],
        ),
        (
            Version::ONE,
            Sender::Client,
            [
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ],
        ),
        (
            Version::TWO,
            Sender::Client,
            [
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ],
        ),
    ] {
        let keys = Keys::new(version, &original(), sender).unwrap();
        assert_eq!([&keys.key[..], &keys.iv, &keys.header].map(hex), expected);
    }
    assert_eq!(
        Keys::new(Version(0xff00_001d), &original(), Sender::Client),
        None
    );
}

#[test]
fn the_packets_of_the_standards() {
    for bytes in [CLIENT_ONE, CLIENT_TWO] {
        let mut largest = None;
        let opened = open(
            &packet(bytes, bytes.len()),
            &original(),
            Sender::Client,
            &mut largest,
        )
        .unwrap();
        assert_eq!(largest, Some(2));
        assert!(opened.is_proven);
        assert_eq!(opened.frames.len(), 1162);
        assert_eq!(hex(&opened.frames[..8]), "060040f1010000ed");
        assert!(opened.frames[245..].iter().all(|byte| *byte == 0));
        // Cut anywhere, what is left says the same.
        for cut in (40..bytes.len()).step_by(7) {
            let part = open(
                &packet(&bytes[..cut], bytes.len()),
                &original(),
                Sender::Client,
                &mut None,
            )
            .unwrap();
            assert!(!part.is_proven);
            let length = part.frames.len();
            assert_eq!(length, (cut - 22).min(1162));
            assert_eq!(part.frames, opened.frames[..length]);
        }
    }
}

#[test]
fn the_servers_packets() {
    for bytes in [SERVER_ONE, SERVER_TWO] {
        let packet = packet(bytes, bytes.len());
        let opened = open(&packet, &original(), Sender::Server, &mut None).unwrap();
        // An ACK, and a piece of a handshake.
        assert_eq!(opened.frames.len(), 99);
        assert_eq!(hex(&opened.frames[..9]), "02000000000600405a");
    }
}

#[test]
fn what_is_not_the_clients() {
    let opens = |bytes: &[u8], id: &Id| {
        open(&packet(bytes, bytes.len()), id, Sender::Client, &mut None).is_some()
    };
    assert!(opens(CLIENT_ONE, &original()));
    assert!(!opens(CLIENT_ONE, &Id::new(&[1; 8]).unwrap()));
    assert!(!opens(SERVER_ONE, &original()));
    for at in [0, 6, 20, 30, 1199] {
        let mut other = CLIENT_ONE.to_vec();
        other[at] ^= 1;
        assert!(!opens(&other, &original()), "{at}");
    }
    // Too short for a sample, or for a tag.
    for length in 0..40 {
        let mut bytes = vec![0xc0, 0, 0, 0, 1, 0, 0, 0, length];
        bytes.extend(vec![0; length.into()]);
        assert!(!opens(&bytes, &Id::new(&[]).unwrap()), "{length}");
    }
}

#[test]
fn packet_numbers_are_continued() {
    // RFC 9000 A.3.
    assert_eq!(whole_number(0x9b32, 16, Some(0xa82f_30ea)), 0xa82f_9b32);
    assert_eq!(whole_number(7, 8, None), 7);
    assert_eq!(whole_number(0, 8, Some(255)), 256);
    assert_eq!(whole_number(255, 8, Some(256)), 255);
    assert_eq!(whole_number(255, 8, Some(2)), 255);
    assert_eq!(
        whole_number(u32::MAX, 32, Some((1 << 62) - 1)),
        (1 << 62) - 1
    );
}
