//! Captures, read as the kernel would hand them over: each connection's first datagrams, in their order. Needs no rights.

use std::net::SocketAddr;
use std::path::Path;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use udptrack::capture::read::Reader;
use udptrack::model::{QuicFacts, QuicVersion};
use udptrack::protocol::Datagram;
use udptrack::protocol::quic::{Continuations, QuicConversation};

/// Bytes of a payload that the kernel hands over.
const SNAP: usize = 1400;

/// A datagram of a capture.
struct Captured {
    ns: u64,
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
}

/// What a capture has, in its order.
fn capture(name: &str) -> Vec<Captured> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/quic");
    let mut reader = Reader::open(&path.join(format!("{name}.pcap"))).unwrap();
    let mut datagrams = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        let sliced = SlicedPacket::from_ethernet(frame.data).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("IPv4");
        };
        let Some(TransportSlice::Udp(udp)) = sliced.transport else {
            panic!("UDP");
        };
        datagrams.push(Captured {
            ns: frame.time_ns,
            source: (ip.header().source_addr(), udp.source_port()).into(),
            destination: (ip.header().destination_addr(), udp.destination_port()).into(),
            payload: udp.payload().to_vec(),
        });
    }
    datagrams
}

/// The first datagram of a client of aioquic.
pub fn first_datagram() -> Vec<u8> {
    let [first, _] = first_datagrams();
    first
}

/// The same, and the first of its server, with which a handshake is known as done.
pub fn first_datagrams() -> [Vec<u8>; 2] {
    let mut all = capture("aioquic").into_iter();
    [(); 2].map(|()| all.next().unwrap().payload)
}

/// What is left of a datagram when so many bytes are handed over.
fn handed_over(captured: &Captured, originator: SocketAddr, snap: usize) -> Datagram<'_> {
    Datagram {
        from_originator: captured.source == originator,
        source_port: captured.source.port(),
        destination_port: captured.destination.port(),
        ordinal: 0,
        length: captured.payload.len().try_into().unwrap(),
        bytes: &captured.payload[..captured.payload.len().min(snap)],
        ns: captured.ns,
    }
}

/// The connections of a capture: their originators, in their order.
fn originators(datagrams: &[Captured]) -> Vec<SocketAddr> {
    let mut originators = Vec::new();
    for one in datagrams {
        if one.source.port() != 4433 && !originators.contains(&one.source) {
            originators.push(one.source);
        }
    }
    originators
}

/// What is known of one connection in the end.
fn heard(datagrams: &[Captured], originator: SocketAddr, snap: usize) -> QuicFacts {
    let mut conversation = QuicConversation::default();
    for one in datagrams {
        if one.source == originator || one.destination == originator {
            conversation.hear(&handed_over(one, originator, snap));
        }
    }
    conversation.facts().clone()
}

/// Version, name, offers, ids and handshake time, and what else was seen.
type Expected = (
    QuicVersion,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    Option<u64>,
    &'static str,
);

fn assert_heard(facts: &QuicFacts, expected: &Expected, of: &str) {
    let (version, name, offered, client, server, handshake_us, seen) = expected;
    assert_eq!(facts.version, Some(*version), "{of}");
    assert_eq!(facts.server_name.as_deref(), Some(*name), "{of}");
    assert_eq!(
        facts
            .offered
            .iter()
            .map(|offer| &**offer)
            .collect::<Vec<_>>(),
        *offered,
        "{of}"
    );
    let ids = [facts.client_id, facts.server_id].map(|id| id.unwrap().to_string());
    assert_eq!(ids, [*client, *server], "{of}");
    assert_eq!(facts.handshake_ns, handshake_us.map(|us| us * 1000), "{of}");
    let marks = [
        (facts.has_retry, "retry"),
        (facts.has_negotiation, "negotiation"),
        (facts.has_zero_rtt, "0-rtt"),
        (facts.refusal == Some(0x178), "no such protocol"),
    ];
    let marks: Vec<_> = marks
        .iter()
        .filter(|mark| mark.0)
        .map(|mark| mark.1)
        .collect();
    assert_eq!(marks.join(" "), *seen, "{of}");
    assert!(
        facts.refused == 0 && matches!(facts.refusal, None | Some(0x178)),
        "{of}"
    );
}

const ONE: QuicVersion = QuicVersion::ONE;
const TWO: QuicVersion = QuicVersion::TWO;

#[rustfmt::skip]
const CAPTURES: [(&str, &[Expected]); 12] = [
    ("aioquic", &[(ONE, "www.example.org", &["h3", "h3-29"], "df4359bccce89f39", "e611073b372f03da", Some(23_578), "")]),
    ("v2", &[(TWO, "www.example.org", &["doq"], "574789bb443f7b54", "fd8129bd1330e20d", Some(25_395), "")]),
    // The client begins with version 1, and both go on with 2 (RFC 9368).
    ("upgrade", &[(TWO, "www.example.org", &["h3"], "2e07f0c64fb1debd", "b9aa32234c9b172c", Some(27_421), "")]),
    ("retry", &[(ONE, "retry.example.org", &["h3"], "01972c48579d2e59", "2489d8ac5b4a501f", Some(28_885), "retry")]),
    ("negotiation", &[(TWO, "www.example.org", &["h3"], "213624f9170c9710", "3a03886c12de50f7", Some(37_632), "negotiation")]),
    // Over two datagrams.
    ("large", &[(ONE, "www.example.org", &["h3"], "3a29f863be6f0402", "472136f29cfd9fea", Some(17_069), "")]),
    // The second connection resumes the first.
    ("zero-rtt", &[
        (ONE, "www.example.org", &["h3"], "7d655705a9ba1fa5", "d1f05b4c4482f79a", Some(26_120), ""),
        (ONE, "www.example.org", &["h3"], "21e41d5f88fff8f9", "47ac31771f6a58f2", Some(2_307), "0-rtt"),
    ]),
    ("migration", &[(ONE, "www.example.org", &["h3"], "586a9115e3070418", "bd232c4207e0cf79", Some(63_639), "")]),
    // No protocol that both speak: the server ends it at once.
    ("refused", &[(ONE, "www.example.org", &["h3"], "a0031dc8b13d1dbd", "cf408edaa1683af0", None, "no such protocol")]),
    // Its servers leave out the bit that is always set (RFC 9287).
    ("ngtcp2", &[
        (ONE, "localhost", &["h3"], "0d9b54097c4f1a8799bd196089ffd5a35d", "0c549c27a53d52f6e2af11ffbe3ed21bf256", Some(6_612), "retry"),
        (ONE, "localhost", &["h3"], "30f3a0d0b0e6378bd5e210790e7babc086", "9b0fd7e12969d74469e250119cc9878fbaa0", Some(892), "retry 0-rtt"),
    ]),
    ("ngtcp2-rebinding", &[(ONE, "localhost", &["h3"], "75344810a1046300b876f2d6d02f323ad0", "ab2b6309f9139a429b0106273c839d79e050", Some(29_132), "")]),
    // Over two datagrams, in pieces of no order, with a key that no quantum computer breaks.
    ("chromium", &[(ONE, "browser.example.org", &["h3"], "", "eec9960a10c7c6c4", Some(73_982), "")]),
];

#[test]
fn real_programs_are_read() {
    for (name, expected) in CAPTURES {
        let datagrams = capture(name);
        for (originator, expected) in originators(&datagrams).iter().zip(expected) {
            let facts = heard(&datagrams, *originator, SNAP);
            assert_heard(&facts, expected, name);
        }
    }
}

/// Where less is handed over than the datagrams have, the name is read wherever it is there.
#[test]
fn what_is_cut_is_read_as_far_as_it_goes() {
    for (name, expected) in CAPTURES {
        let datagrams = capture(name);
        for (originator, (_, server_name, ..)) in originators(&datagrams).iter().zip(expected) {
            let is_named = |snap| {
                let facts = heard(&datagrams, *originator, snap);
                let name = facts.server_name;
                assert!(name.is_none() || name.as_deref() == Some(*server_name));
                name.is_some()
            };
            assert!(is_named(1199), "{name}");
            assert!(!is_named(60), "{name}");
            for snap in (100..1200).step_by(50) {
                is_named(snap);
            }
        }
    }
}

#[test]
fn who_goes_on_from_another_port_may_continue() {
    for name in ["migration", "ngtcp2-rebinding"] {
        let datagrams = capture(name);
        let [first, second] = originators(&datagrams)[..] else {
            panic!("{name}: two connections");
        };
        let mut continuations = Continuations::default();
        let id = heard(&datagrams, first, SNAP).server_id.unwrap();
        continuations.learn(id, first);
        let of_it = |one: &&Captured| one.source == second;
        let begin = &datagrams.iter().find(of_it).unwrap().payload;
        assert_eq!(continuations.find(begin, second), Some(first), "{name}");
        continuations.forget(&id);
        assert_eq!(continuations.find(begin, second), None, "{name}");
    }
}
