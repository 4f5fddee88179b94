//! Any DNS message: what comes out is the name of a host and addresses that hosts have, and no more of them than it should.
//!
//! The files are included: they know no others, and their parent may call them. Input: kind, the id of a reverse query (2), its
//! address (4); then the message.
#![no_main]

#[path = "../../src/names/answer.rs"]
mod answer;
#[path = "../../src/dns/message.rs"]
mod message;
/// The room that the reader is in.
mod dns {
    pub use crate::message::{Data, Message, Question, Record, query};
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::Message;

use libfuzzer_sys::{Corpus, fuzz_target};

/// No longer message reaches the reader.
const LONGEST: usize = 4096;
/// Sixteen questions and 64 answers with two names each, of 1,020 bytes as text, and all of the message as text once more.
const MEMORY_MAX: usize = 200_000;

/// What a name may be that is shown: that of a host, and no IPv4 address.
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
    let last = name.rsplit('.').next().unwrap();
    assert!(!last.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
}

fn assert_host(address: IpAddr) {
    assert_eq!(address, address.to_canonical());
    assert!(!address.is_unspecified() && !address.is_loopback() && !address.is_multicast());
    assert_ne!(address, IpAddr::V4(Ipv4Addr::BROADCAST));
}

/// Whether the bytes of an address are in the message.
fn is_in(message: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => message.windows(4).any(|bytes| bytes == v4.octets()),
        IpAddr::V6(v6) => message.windows(16).any(|bytes| bytes == v6.octets()),
    }
}

fn check_answer(bytes: &[u8], message: &Message) {
    let Ok(answer) = answer::read_answer(message) else {
        return;
    };
    assert!(message.is_answer() && message.is_whole);
    assert_host_name(&answer.name);
    assert!((1..=64).contains(&answer.addresses.len()));
    for (at, address) in answer.addresses.iter().enumerate() {
        assert_host(*address);
        assert!(is_in(bytes, *address));
        assert!(!answer.addresses[..at].contains(address));
    }
    assert_eq!(answer::asked(message).as_ref(), Some(&answer.asked));
    assert_eq!(answer.asked.id, message.id);
}

fn check_reverse(bytes: &[u8], message: Option<&Message>, address: IpAddr, id: u16) {
    if let Some(query) = answer::reverse_query(address, id) {
        let asked = Message::read(&query).unwrap();
        assert!(!asked.is_answer());
        assert_eq!(answer::asked(&asked).unwrap().id, id);
        // The message's records as the answer to just that question.
        if let Some(records) = bytes.get(12..) {
            let mut reply = query;
            reply[2..4].copy_from_slice(&[0x81, 0x80]);
            reply[6..8].copy_from_slice(&bytes[6..8]);
            reply.extend(records);
            if let Some(reply) = Message::read(&reply)
                && let Ok(Some(name)) = answer::read_reverse(&reply, address, id)
            {
                assert_host_name(&name);
            }
        }
    }
    if let Some(message) = message
        && let Ok(Some(name)) = answer::read_reverse(message, address, id)
    {
        assert_host_name(&name);
    }
}

/// A message as it is shown: names are text without control characters.
fn check_message(bytes: &[u8], read: &Message) {
    assert_eq!(read.id.to_be_bytes(), bytes[..2]);
    assert!(read.opcode() < 16 && read.rcode() < 16);
    assert_eq!(read.is_answer(), bytes[2] & 0x80 != 0);
    assert_eq!(read.is_truncated(), bytes[2] & 2 != 0);
    assert!(read.questions.len() <= 16 && read.answers.len() <= 64);
    assert!(read.is_whole || read.answers.is_empty());
    assert!(read.memory() < MEMORY_MAX);
    let targets = read.answers.iter().filter_map(|record| match &record.data {
        Some(dns::Data::Name(name)) => Some(name),
        _ => None,
    });
    let names = read.questions.iter().map(|question| &question.name);
    let names = names.chain(read.answers.iter().map(|record| &record.name));
    for name in names.chain(targets) {
        // A byte takes four characters at most, and a name has 255.
        assert!((1..=4 * 255).contains(&name.len()), "{name:?}");
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let [kind, high, low, a, b, c, d, bytes @ ..] = data else {
        return Corpus::Reject;
    };
    if bytes.len() > LONGEST {
        return Corpus::Reject;
    }
    let v4 = Ipv4Addr::new(*a, *b, *c, *d);
    let address: IpAddr = match kind & 3 {
        0 => v4.into(),
        1 => v4.to_ipv6_mapped().into(),
        _ => Ipv6Addr::from(u128::from(v4.to_bits()) << 96 | 1).into(),
    };
    let message = Message::read(bytes);
    if let Some(message) = &message {
        check_message(bytes, message);
        check_answer(bytes, message);
    }
    let id = u16::from_be_bytes([*high, *low]);
    check_reverse(bytes, message.as_ref(), address, id);
    Corpus::Keep
});
