//! Any datagrams of a connection: what they are taken for is the same when they are heard again, and only what prepares another
//! protocol loses the name to it.
//!
//! Those files of the room are included that know no other, and the model. Input: both ports (4 bytes); then for each datagram its
//! direction and how it is cut (1), its length (2), its bytes.
#![no_main]

#[allow(dead_code, unused_imports, reason = "a part of it is used")]
#[path = "../../src/model/mod.rs"]
mod model;
#[allow(dead_code, reason = "the library offers more")]
#[path = "../../src/protocol"]
mod protocol {
    mod datagram;
    mod fit;
    mod recognizer;
    mod tell;

    pub use datagram::Datagram;
    pub use recognizer::Recognizer;
}

use libfuzzer_sys::{Corpus, fuzz_target};
use model::{Heard, Protocol};
use protocol::{Datagram, Recognizer};

/// The bit of a datagram's first byte that says who sent it, and the one that says that there was more of it.
const FROM_ORIGINATOR: u8 = 1;
const CUT: u8 = 2;

/// Takes the next datagram off the input.
fn next<'a>(input: &mut &'a [u8], ports: [u16; 2], ordinal: u32) -> Option<Datagram<'a>> {
    let [how, high, low, rest @ ..] = *input else {
        return None;
    };
    let length = u16::from_be_bytes([*high, *low]);
    let (bytes, rest) = rest.split_at(rest.len().min(length.into()));
    *input = rest;
    Some(Datagram {
        ordinal,
        // What says that it is shorter than it is must do no harm, either.
        length: if how & CUT != 0 {
            length.rotate_left(4)
        } else {
            length
        },
        ..Datagram::between(ports, how & FROM_ORIGINATOR != 0, bytes)
    })
}

fn may_follow(before: Protocol, after: Protocol) -> bool {
    use Protocol::{Dtls, Esp, Ike, Rtcp, Stun};
    before == after || matches!(before, Stun | Dtls | Rtcp) || (before, after) == (Ike, Esp)
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let [a, b, c, d, input @ ..] = data else {
        return Corpus::Reject;
    };
    let ports = [u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])];
    let (mut one, mut other) = (Recognizer::default(), Recognizer::default());
    let mut rest = input;
    let mut said = None;
    for ordinal in 0.. {
        let Some(datagram) = next(&mut rest, ports, ordinal) else {
            break;
        };
        one.hear(&datagram);
        other.hear(&datagram);
        assert_eq!(one.heard(), other.heard());
        if let (Some(before), Heard::Says(after)) = (said, one.heard()) {
            assert!(may_follow(before, after), "{before} {after}");
        }
        assert!(said.is_none() || one.heard().protocol().is_some());
        said = one.heard().protocol();
        if let Some(spoken) = one.spoken() {
            assert_eq!(spoken.is_guess, said.is_none());
        }
    }
    Corpus::Keep
});
