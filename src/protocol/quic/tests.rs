//! Conversations of the standards' own packets (RFC 9001 A, RFC 9369 A), and what hostile ends could say. Those of real
//! programs stand in tests/quic.rs.

use super::packet::tests::{CLIENT_ONE, CLIENT_TWO, RETRY_ONE, RETRY_TWO, SERVER_ONE, SERVER_TWO};
use super::*;
use crate::model::QuicVersion as Version;

/// The server's Handshake packet: nothing of it can be read.
pub(super) const HANDSHAKE: [u8; 30] = [
    0xe0, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5, 14, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1,
];

pub(super) fn datagram(from_originator: bool, bytes: &[u8], ns: u64) -> Datagram<'_> {
    Datagram {
        ns,
        ..Datagram::between([40000, 443], from_originator, bytes)
    }
}

fn facts(datagrams: &[(bool, &[u8])]) -> QuicFacts {
    let mut conversation = QuicConversation::default();
    for (number, (from_originator, bytes)) in datagrams.iter().enumerate() {
        conversation.hear(&datagram(*from_originator, bytes, 10 * number as u64));
    }
    conversation.facts().clone()
}

/// A Version Negotiation packet that offers version 2.
fn negotiation() -> Vec<u8> {
    [
        &[0x80, 0, 0, 0, 0, 0, 2, 7, 7][..],
        &Version::TWO.0.to_be_bytes(),
    ]
    .concat()
}

#[test]
fn a_handshake_in_both_versions() {
    for (version, client, server) in [
        (Version::ONE, CLIENT_ONE, SERVER_ONE),
        (Version::TWO, CLIENT_TWO, SERVER_TWO),
    ] {
        let mut handshake = HANDSHAKE;
        if version == Version::TWO {
            handshake[0] = 0xf0;
            handshake[1..5].copy_from_slice(&version.0.to_be_bytes());
        }
        let flight = [server, &handshake].concat();
        let expected = QuicFacts {
            version: Some(version),
            server_name: Some("example.com".into()),
            offered: vec!["alpn".into()],
            client_id: Id::new(&[]),
            server_id: Id::new(&SERVER_ONE[7..15]),
            handshake_ns: Some(10),
            ..QuicFacts::default()
        };
        // Whichever end is held for the originator.
        for client_is in [true, false] {
            assert_eq!(
                facts(&[(client_is, client), (!client_is, &flight)]),
                expected
            );
        }
    }
}

#[test]
fn what_was_not_seen_is_not_guessed() {
    let whole = facts(&[(true, CLIENT_ONE)]);
    assert_eq!(whole.handshake_ns, None);
    // Without the client's first packet: the version, and no more.
    let late = facts(&[(false, SERVER_ONE), (false, &HANDSHAKE), (true, &HANDSHAKE)]);
    let expected = QuicFacts {
        version: Some(Version::ONE),
        ..QuicFacts::default()
    };
    assert_eq!(late, expected);
    // The client's Handshake packet is none of the server's.
    assert_eq!(
        facts(&[(true, CLIENT_ONE), (true, &HANDSHAKE)]).handshake_ns,
        None
    );
    // A short header says nothing.
    assert_eq!(facts(&[(true, &[0x40; 100])]), QuicFacts::default());
}

#[test]
fn retry_and_negotiation() {
    let retried = facts(&[(true, CLIENT_ONE), (false, RETRY_ONE), (false, &HANDSHAKE)]);
    assert!(retried.has_retry && retried.handshake_ns == Some(20));
    assert!(facts(&[(true, CLIENT_TWO), (false, RETRY_TWO)]).has_retry);
    // Of what is in the first version nothing counts any more.
    let list = negotiation();
    let begun = facts(&[(true, CLIENT_ONE), (false, &list)]);
    assert!(begun.has_negotiation);
    let anew = facts(&[
        (true, CLIENT_ONE),
        (false, &list),
        (true, CLIENT_TWO),
        (false, SERVER_TWO),
    ]);
    assert_eq!(anew.version, Some(Version::TWO));
    assert_eq!(anew.server_name.as_deref(), Some("example.com"));
    // Also where the client began with a version that nobody can read.
    let greased = [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0][..], &[0; 1193]].concat();
    let anew = facts(&[(true, &greased), (false, &list), (true, CLIENT_TWO)]);
    assert!(anew.has_negotiation);
    assert_eq!(anew.version, Some(Version::TWO));
    // Neither is the client's to send.
    let own = facts(&[(true, CLIENT_ONE), (true, RETRY_ONE), (true, &list)]);
    assert!(!own.has_retry && !own.has_negotiation);
}

#[test]
fn zero_rtt_is_the_clients() {
    let mut zero_rtt = HANDSHAKE;
    zero_rtt[0] = 0xd0;
    let first = [CLIENT_ONE, &zero_rtt].concat();
    assert!(facts(&[(true, &first)]).has_zero_rtt);
    assert!(!facts(&[(true, CLIENT_ONE), (false, &zero_rtt)]).has_zero_rtt);
}

#[test]
fn work_for_one_connection_is_bounded() {
    let mut forged = CLIENT_ONE.to_vec();
    forged[30] ^= 1;
    let mut conversation = QuicConversation::default();
    for _ in 0..100 {
        conversation.hear(&datagram(true, &forged, 0));
    }
    assert_eq!(conversation.opened, OPENED_MAX);
    assert_eq!(
        conversation
            .hear(&datagram(true, CLIENT_ONE, 0))
            .server_name,
        None
    );
    // Nothing is kept of what was read to its end.
    let mut conversation = QuicConversation::default();
    conversation.hear(&datagram(true, CLIENT_ONE, 0));
    assert!(!conversation.is_complete());
    assert!(conversation.handshake.beginning().is_empty() && conversation.is_hello_read);
    conversation.hear(&datagram(false, &HANDSHAKE, 1));
    assert!(conversation.is_complete());
}

/// Whatever has one bit wrong says nothing, or the same.
#[test]
fn no_bit_makes_it_say_something_else() {
    let right = facts(&[(true, CLIENT_ONE)]);
    for at in (0..60).chain((60..1200).step_by(37)) {
        for bit in 0..8 {
            let mut other = CLIENT_ONE.to_vec();
            other[at] ^= 1 << bit;
            let found = facts(&[(true, &other)]);
            assert!(found.server_name.is_none() || found == right, "{at} {bit}");
        }
    }
}
