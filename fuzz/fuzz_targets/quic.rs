//! Any datagrams of QUIC, any frames and any `ClientHello`: what comes out is fit for a terminal, and is what the input says.
//!
//! The files are included: they know few others. Input: what it is, then
//! - 0: datagrams, each behind flags (1: of the originator, 2: it was longer, 4: of another connection) and its length (2);
//! - 1: the frames of Initial packets, each behind flags (2: cut) and its length (2), compared with a plain reading of theirs;
//! - 2: a `ClientHello`, and a length to which it is cut (2).
#![no_main]
#![expect(clippy::duplicate_mod, reason = "the room has them to itself")]

#[path = "../../src/protocol/quic/crypto.rs"]
mod crypto;
#[expect(dead_code, reason = "ports are the recognizer's")]
#[path = "../../src/protocol/datagram.rs"]
mod datagram;
#[path = "../../src/protocol/quic/hello.rs"]
mod hello;
#[expect(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../src/model/mod.rs"]
mod model;
#[expect(dead_code, reason = "a part of it is fuzzed alone")]
#[path = "../../src/protocol/quic/packet.rs"]
mod packet;
#[path = "../../src/protocol/quic/mod.rs"]
mod quic;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crypto::{Handshake, close_code};
use datagram::Datagram;
use libfuzzer_sys::{Corpus, fuzz_target};
use model::ConnectionId;
use quic::{Continuations, Conversations, QuicConversation};

/// What a reader keeps of a handshake.
const KEPT: usize = 8192;

fn assert_host_name(name: &str) {
    assert!((1..=253).contains(&name.len()), "{name}");
    for label in name.split('.') {
        assert!((1..=63).contains(&label.len()), "{name}");
        assert!(
            label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')),
            "{name}"
        );
    }
    assert!(name.parse::<Ipv4Addr>().is_err(), "{name}");
}

fn assert_text(server_name: Option<&str>, offered: &[Box<str>]) {
    if let Some(name) = server_name {
        assert_host_name(name);
    }
    assert!(offered.len() <= 8);
    for offer in offered {
        assert!((1..=32).contains(&offer.len()), "{offer}");
        assert!(offer.bytes().all(|byte| byte.is_ascii_graphic()), "{offer}");
    }
}

/// Flags and bytes of each piece of the input; the last may be shorter than it says.
fn pieces(mut input: &[u8]) -> Vec<(u8, &[u8])> {
    let mut pieces = Vec::new();
    while let [flags, high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push((*flags, piece));
        input = after;
    }
    pieces
}

fn check_datagrams(input: &[u8]) {
    let mut conversation = QuicConversation::default();
    let mut continuations = Continuations::default();
    let mut all = Conversations::default();
    for (number, (flags, bytes)) in pieces(input).into_iter().enumerate() {
        let datagram = Datagram {
            length: u16::try_from(bytes.len()).unwrap() | u16::from(flags & 2 != 0) << 11,
            ns: number as u64,
            ..Datagram::between([40000, 443], flags & 1 != 0, bytes)
        };
        all.hear(ConnectionId(u64::from(flags >> 2 & 1)), &datagram);
        let facts = conversation.hear(&datagram).clone();
        assert_text(facts.server_name.as_deref(), &facts.offered);
        assert!(facts.handshake_ns.is_none_or(|ns| ns <= number as u64));
        if let Some(id) = facts.server_id {
            continuations.learn(id, 0);
        }
        let found = continuations.find(bytes, 1);
        assert!(found.is_none() || bytes[0] >> 6 == 1);
        assert_eq!(continuations.find(bytes, 0), None);
    }
    let mut settled = all.settle(0, [ConnectionId(1)]);
    settled.extend(all.settle(u64::MAX, []));
    settled.sort_unstable();
    for id in [0, 1].map(ConnectionId) {
        let facts = all.facts(id).cloned();
        assert_eq!(
            settled.iter().filter(|one| **one == id).count(),
            usize::from(facts.is_some())
        );
        if let Some(facts) = facts {
            assert_text(facts.server_name.as_deref(), &facts.offered);
            assert!(facts.version.is_some() || facts.may_continue.is_some());
            assert_ne!(facts.may_continue, Some(id));
            assert_eq!(all.continues(id), facts.may_continue.is_some());
        }
        all.forget(id);
        assert!(all.facts(id).is_none() && !all.continues(id));
    }
    assert!(
        conversation.is_complete()
            || conversation.facts().handshake_ns.is_none()
            || conversation.facts().version.is_some()
    );
    assert_eq!(all.unheard(), 0);
}

/// A variable-length integer (RFC 9000 16).
fn variable(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    let count = 1 << (first >> 6);
    let mut number = u64::from(first & 0x3f);
    for byte in bytes.get(*at + 1..*at + count)? {
        number = number << 8 | u64::from(*byte);
    }
    *at += count;
    Some(number)
}

/// What a frame is.
enum Frame<'a> {
    /// Its offset, its bytes as far as they are there, and how many it says to have.
    Crypto(u64, &'a [u8], u64),
    /// Why the connection is over.
    Close(u64),
    Other,
    Unsound,
}

/// The next frame, as plainly as can be. `None`: cut.
fn frame<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Frame<'a>> {
    let kind = variable(bytes, at)?;
    match kind {
        0 | 1 => {}
        2 | 3 => {
            variable(bytes, at)?;
            variable(bytes, at)?;
            let ranges = variable(bytes, at)?;
            variable(bytes, at)?;
            for _ in 0..ranges {
                variable(bytes, at)?;
                variable(bytes, at)?;
            }
            for _ in 0..if kind == 3 { 3 } else { 0 } {
                variable(bytes, at)?;
            }
        }
        6 => {
            let offset = variable(bytes, at)?;
            let length = variable(bytes, at)?;
            let rest = &bytes[*at..];
            let there = usize::try_from(length).unwrap().min(rest.len());
            *at += there;
            return Some(Frame::Crypto(offset, &rest[..there], length));
        }
        0x1c => {
            let code = variable(bytes, at)?;
            variable(bytes, at)?;
            let reason = usize::try_from(variable(bytes, at)?).unwrap();
            bytes.get(*at..at.checked_add(reason)?)?;
            *at += reason;
            return Some(Frame::Close(code));
        }
        _ => return Some(Frame::Unsound),
    }
    Some(Frame::Other)
}

fn check_frames(input: &[u8]) {
    let mut handshake = Handshake::default();
    let mut expected: BTreeMap<usize, u8> = BTreeMap::new();
    let mut pieces_there = 0;
    for (flags, bytes) in pieces(input) {
        let is_whole = flags & 2 == 0;
        let mut at = 0;
        let mut found = Vec::new();
        let mut is_sound = true;
        let mut code = None;
        while at < bytes.len() && is_sound {
            match frame(bytes, &mut at) {
                Some(Frame::Crypto(offset, piece, length)) => {
                    is_sound = !is_whole || piece.len() as u64 == length;
                    found.push((offset, piece));
                }
                Some(Frame::Close(one)) => code = code.or(Some(one)),
                Some(Frame::Other) => {}
                Some(Frame::Unsound) => is_sound = false,
                None if is_whole => is_sound = false,
                None => break,
            }
        }
        assert_eq!(handshake.hear(bytes, is_whole).is_ok(), is_sound);
        assert_eq!(close_code(bytes, is_whole), code.filter(|_| is_sound));
        if !is_sound {
            continue;
        }
        for (offset, piece) in found {
            pieces_there += 1;
            for (byte, place) in piece.iter().zip(offset..) {
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                if place < KEPT {
                    expected.entry(place).or_insert(*byte);
                }
            }
        }
        // Of more pieces some are left out.
        if pieces_there <= 64 {
            let beginning: Vec<u8> = (0..)
                .map_while(|place| expected.get(&place).copied())
                .collect();
            assert_eq!(handshake.beginning(), beginning);
        }
        assert!(handshake.beginning().len() <= KEPT);
    }
}

fn check_hello(input: &[u8]) {
    let [high, low, message @ ..] = input else {
        return;
    };
    let Some(hello) = hello::read(message) else {
        return;
    };
    assert_text(hello.server_name.as_deref(), &hello.offered);
    let cut = usize::from(u16::from_be_bytes([*high, *low])).min(message.len());
    if let Some(part) = hello::read(&message[..cut]) {
        assert!(hello.is_whole || !part.is_whole);
        assert!(part.refused <= hello.refused);
        assert!(part.server_name.is_none() || part.server_name == hello.server_name);
        assert!(hello.offered.starts_with(&part.offered));
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    match data {
        [0, input @ ..] => check_datagrams(input),
        [1, input @ ..] => check_frames(input),
        [2, input @ ..] => check_hello(input),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});
