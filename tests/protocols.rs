//! What connections speak: captures of real programs, each named; noise, never.
//!
//! The captures are `tests/captures/WORD.PROGRAM.pcap`: all flows in one speak WORD; those in `quic/` speak QUIC.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::path::{Path, PathBuf};

use common::capture::{Flow, flows};
use common::random::Rng;
use udptrack::model::{Protocol, Spoken};
use udptrack::protocol::{Datagram, Recognizer};

/// Ports that make nothing likely.
const OTHER_PORTS: [u16; 2] = [40001, 40002];

/// Each capture with the word for what is in it.
fn captures() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let files = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut captures: Vec<_> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let word = name.split('.').next().unwrap().to_owned();
            (path, word)
        })
        .collect();
    captures.sort();
    assert!(!captures.is_empty());
    captures
}

/// What is heard of a flow, on these ports, when each of its datagrams goes through `change` first: its length and its bytes.
fn hear<'a>(
    flow: &'a Flow,
    ports: [u16; 2],
    change: impl Fn(usize, u16, &'a [u8]) -> (u16, &'a [u8]),
) -> Option<Spoken> {
    let mut recognizer = Recognizer::default();
    for (at, datagram) in flow.datagrams.iter().enumerate() {
        let (length, bytes) = change(at, datagram.length, &datagram.bytes);
        recognizer.hear(&Datagram {
            ordinal: datagram.ordinal,
            length,
            ..Datagram::between(ports, datagram.from_originator, bytes)
        });
    }
    recognizer.spoken()
}

fn ports(flow: &Flow) -> [u16; 2] {
    [flow.originator.port(), flow.responder.port()]
}

fn told(spoken: Option<Spoken>) -> Option<Protocol> {
    spoken
        .filter(|spoken| !spoken.is_guess)
        .map(|spoken| spoken.protocol)
}

#[test]
fn each_flow_of_the_captures_is_named() {
    let mut wrong = Vec::new();
    for (path, word) in captures() {
        let flows = flows(&path).unwrap();
        assert!(!flows.is_empty(), "{}", path.display());
        for flow in flows {
            let spoken = hear(&flow, ports(&flow), |_, length, bytes| (length, bytes));
            let shown = spoken.map_or_else(|| "-".to_owned(), |spoken| spoken.to_string());
            if shown != word {
                wrong.push((path.clone(), flow.originator, flow.responder, shown));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn on_other_ports_a_flow_has_no_other_name() {
    for (path, word) in captures() {
        for flow in flows(&path).unwrap() {
            let spoken = hear(&flow, OTHER_PORTS, |_, length, bytes| (length, bytes));
            // On ports of their own, these have the same messages as DNS.
            let is_dns =
                matches!(&word[..], "mdns" | "llmnr") && told(spoken) == Some(Protocol::Dns);
            let is_right = spoken.is_none_or(|spoken| spoken.to_string() == word) || is_dns;
            assert!(
                is_right,
                "{} {}: {spoken:?}",
                path.display(),
                flow.originator
            );
        }
    }
}

/// Cut at each byte, all of its datagrams: as the kernel may hand them over, and as they may be.
#[test]
fn what_is_cut_has_no_other_name() {
    for (path, word) in captures() {
        for flow in flows(&path).unwrap() {
            let longest = flow
                .datagrams
                .iter()
                .map(|datagram| datagram.bytes.len())
                .max()
                .unwrap();
            let mut names = [0; 2];
            for end in 0..=longest {
                let cut = |bytes: &'_ [u8]| bytes.len().min(end);
                let heard = hear(&flow, ports(&flow), |_, length, bytes| {
                    (length, &bytes[..cut(bytes)])
                });
                let short = hear(&flow, ports(&flow), |_, length, bytes| {
                    (length.min(end.try_into().unwrap()), &bytes[..cut(bytes)])
                });
                for (at, spoken) in [heard, short].into_iter().enumerate() {
                    if let Some(protocol) = told(spoken) {
                        names[at] += 1;
                        assert_eq!(
                            protocol.word(),
                            word,
                            "{}, {end} bytes, {at}",
                            path.display()
                        );
                    }
                }
            }
            assert!(names[0] > 0 && names[1] > 0, "{}", path.display());
        }
    }
}

/// Random bytes of random lengths, eight datagrams a connection, from a fixed seed.
fn named_noise(connections: usize, ports: [u16; 2]) -> usize {
    let mut random = Rng::new(17);
    let mut bytes = vec![0; 1400];
    let mut named = 0;
    for _ in 0..connections {
        let mut recognizer = Recognizer::default();
        for ordinal in 0..8 {
            let number = random.next();
            // Half of them short: what is short has less to be wrong with.
            let length = (number >> 8) as usize % if number & 1 == 0 { 64 } else { 1400 };
            for part in bytes[..length].chunks_mut(8) {
                part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]);
            }
            let noise = &bytes[..length];
            recognizer.hear(&Datagram::between(ports, ordinal & 1 == 0, noise));
        }
        named += usize::from(told(recognizer.spoken()).is_some());
    }
    named
}

#[test]
fn noise_has_no_name() {
    assert_eq!(named_noise(20_000, OTHER_PORTS), 0);
}

/// Where a port says what is likely, the form is enough, and little may have it by chance.
#[test]
fn noise_on_a_port_that_is_known_has_no_name() {
    let mut named = Vec::new();
    for protocol in Protocol::ALL.iter().copied() {
        let is_its = |port: &u16| Protocol::port_guess(OTHER_PORTS[0], *port) == Some(protocol);
        if let Some(port) = (1..=u16::MAX).find(is_its) {
            let count = named_noise(1000, [OTHER_PORTS[0], port]);
            named.extend((count > 0).then_some((protocol, count)));
        }
    }
    assert_eq!(named, []);
}
