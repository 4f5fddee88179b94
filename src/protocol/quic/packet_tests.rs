//! Headers, as RFC 9001 and RFC 9369 show them, and hostile ones.

use super::*;

const ORIGINAL: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
const SERVERS: [u8; 8] = [0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5];

pub(crate) const CLIENT_ONE: &[u8] =
    include_bytes!("../../../tests/captures/quic/rfc-v1-client-initial.bin");
pub(crate) const CLIENT_TWO: &[u8] =
    include_bytes!("../../../tests/captures/quic/rfc-v2-client-initial.bin");
pub(crate) const SERVER_ONE: &[u8] =
    include_bytes!("../../../tests/captures/quic/rfc-v1-server-initial.bin");
pub(crate) const SERVER_TWO: &[u8] =
    include_bytes!("../../../tests/captures/quic/rfc-v2-server-initial.bin");
pub(crate) const RETRY_ONE: &[u8] = include_bytes!("../../../tests/captures/quic/rfc-v1-retry.bin");
pub(crate) const RETRY_TWO: &[u8] = include_bytes!("../../../tests/captures/quic/rfc-v2-retry.bin");

fn only(bytes: &[u8]) -> Packet<'_> {
    let packets: Vec<_> = Packets::new(bytes, bytes.len()).collect();
    let [packet] = packets[..] else {
        panic!("{packets:?}");
    };
    packet
}

#[test]
fn the_packets_of_the_standards() {
    for (version, client, server, retry) in [
        (Version::ONE, CLIENT_ONE, SERVER_ONE, RETRY_ONE),
        (Version::TWO, CLIENT_TWO, SERVER_TWO, RETRY_TWO),
    ] {
        for (bytes, destination, source, kind) in [
            (
                client,
                &ORIGINAL[..],
                &[][..],
                Kind::Initial { number_at: 18 },
            ),
            (server, &[], &SERVERS, Kind::Initial { number_at: 18 }),
            (retry, &[], &SERVERS, Kind::Retry),
        ] {
            let packet = only(bytes);
            assert_eq!((packet.version, packet.kind), (version, kind));
            assert_eq!(packet.destination.as_bytes(), destination);
            assert_eq!(packet.source.as_bytes(), source);
            assert_eq!((packet.bytes, packet.length), (bytes, bytes.len()));
        }
    }
}

/// The same header with each of the types.
#[test]
fn the_types_of_both_versions() {
    let kind = |version: Version, first: u8| {
        let mut bytes = vec![first];
        bytes.extend(version.0.to_be_bytes());
        // No ids; no token, or a length of 0; a length of 1.
        bytes.extend([0, 0, 0, 1]);
        bytes.extend([0; 20]);
        let kind = Packets::new(&bytes, bytes.len()).next().unwrap().kind;
        format!("{kind:?}")
    };
    let initial = Kind::Initial { number_at: 9 };
    for (version, expected) in [
        (
            Version::ONE,
            [initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry],
        ),
        (
            Version::TWO,
            [Kind::Retry, initial, Kind::ZeroRtt, Kind::Handshake],
        ),
    ] {
        let found = [0xc0, 0xd0, 0xe0, 0xf0].map(|first| kind(version, first));
        assert_eq!(found, expected.map(|kind| format!("{kind:?}")), "{version}");
    }
}

#[test]
fn packets_that_share_a_datagram() {
    let mut bytes = SERVER_ONE.to_vec();
    bytes.extend([0xe0, 0, 0, 0, 1, 0, 2, 7, 7, 0x40, 30]);
    bytes.extend([1; 30]);
    // One with a short header, whose end nobody can see.
    bytes.extend([0x40; 50]);
    let packets: Vec<_> = Packets::new(&bytes, bytes.len()).collect();
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(Packet::is_whole));
    assert_eq!(packets[1].kind, Kind::Handshake);
    assert_eq!(packets[1].source.as_bytes(), [7, 7]);
    assert_eq!(packets[1].length, 41);
    // Captured up to the middle of the second.
    let cut = SERVER_ONE.len() + 20;
    let packets: Vec<_> = Packets::new(&bytes[..cut], bytes.len()).collect();
    assert_eq!(packets.len(), 2);
    assert_eq!((packets[1].bytes.len(), packets[1].length), (20, 41));
    assert!(!packets[1].is_whole());
}

#[test]
fn lengths_that_cannot_be() {
    let header = |length: &[u8]| {
        let mut bytes = vec![0xe0, 0, 0, 0, 1, 0, 0];
        bytes.extend(length);
        bytes.extend([0; 8]);
        Packets::new(&bytes, bytes.len()).count()
    };
    assert_eq!(header(&[8]), 1);
    assert_eq!(header(&[9]), 0);
    assert_eq!(header(&[0xff; 8]), 0);
    let id = |length: u8| {
        let mut bytes = vec![0xe0, 0, 0, 0, 1, length];
        bytes.extend([0; 40]);
        Packets::new(&bytes, bytes.len()).count()
    };
    assert!(id(20) > 0);
    assert_eq!(id(21), 0);
    // A Retry without a token.
    let retry = [&[0xf0, 0, 0, 0, 1, 0, 0][..], &[0; 16]].concat();
    assert_eq!(Packets::new(&retry, retry.len()).count(), 0);
    for bytes in [CLIENT_ONE, SERVER_TWO, RETRY_ONE] {
        for cut in 0..bytes.len() {
            assert!(Packets::new(&bytes[..cut], bytes.len()).count() <= 1);
            // Cut by its sender, it is none: the length goes beyond.
            assert!(bytes == RETRY_ONE || Packets::new(&bytes[..cut], cut).count() == 0);
        }
    }
}

#[test]
fn googles_own_headers() {
    let mut bytes = vec![0xc3];
    bytes.extend(b"Q046\x50");
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1]);
    let packet = only(&bytes);
    assert_eq!(packet.kind, Kind::Unknown);
    assert_eq!(packet.destination.as_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(packet.source, Id::new(&[]).unwrap());
}

#[test]
fn integers_of_any_length() {
    // RFC 9000 A.1.
    for (bytes, expected) in [
        (
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
            151_288_809_941_952_652,
        ),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ] {
        let mut reader = Reader(bytes);
        assert_eq!((reader.variable(), reader.0.len()), (Some(expected), 0));
        assert_eq!(Reader(&bytes[..bytes.len() - 1]).variable(), None);
    }
}
