//! Any filter expression: what the kernel's tests say of a packet is what the tree says of it.
//!
//! The rooms are included: they know no others, so nothing else need be built. Input: 12 bytes that choose a packet from
//! what the expression names, then the expression.
#![no_main]

#[expect(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../src/filter/mod.rs"]
mod filter;
#[expect(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../src/model/mod.rs"]
mod model;

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use filter::{Filter, MAX_TESTS, Program, Subject, Target, Vocabulary, Word};
use libfuzzer_sys::{Corpus, fuzz_target};
use model::services::Services;
use model::{Family, Processes, Vlans};

/// More than a message of an error should have.
const LONGEST_MESSAGE: usize = 300;

static SERVICES: LazyLock<Services> =
    LazyLock::new(|| Services::parse("domain 53/udp\nntp 123/udp\nnetbios-ns 137/udp"));

/// Addresses and numbers of an expression, as ends that are likely to matter to it.
struct Pool {
    addresses: [Vec<IpAddr>; 2],
    numbers: Vec<u16>,
}

impl Pool {
    fn of(text: &str) -> Self {
        let mut pool = Self {
            addresses: [
                vec![[10, 88, 0, 1].into()],
                vec!["fd88::1".parse().unwrap()],
            ],
            numbers: vec![53],
        };
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':'))) {
            if let Ok(address) = word.parse::<IpAddr>() {
                pool.addresses[usize::from(address.is_ipv6())].push(address);
            } else if let Ok(number) = word.parse() {
                pool.numbers.push(number);
            }
        }
        pool
    }

    fn end(&self, v6: bool, choice: [u8; 4]) -> SocketAddr {
        let addresses = &self.addresses[usize::from(v6)];
        // A neighbour, now and then.
        let flip = |bits: u32| (choice[1] >= 128).then(|| u32::from(choice[1] & 0x7f) % bits);
        let address = match addresses[usize::from(choice[0]) % addresses.len()] {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ flip(32).map_or(0, |n| 1 << n)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ flip(128).map_or(0, |n| 1 << n)).into()),
        };
        SocketAddr::new(address, self.number(choice[2], choice[3]))
    }

    fn number(&self, choice: u8, step: u8) -> u16 {
        let number = self.numbers[usize::from(choice) % self.numbers.len()];
        match step {
            0..=127 => number,
            128..=191 => number.wrapping_add(1),
            192..=254 => number.wrapping_sub(1),
            255 => 0,
        }
    }
}

/// Runs the tests as bpf/filter.h does.
fn run(program: &Program, subject: &Subject<'_>) -> bool {
    let (first, mut words) = match (subject.originator.ip(), subject.responder.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let word = |octets| u64::from(u32::from_ne_bytes(octets));
            // What the packet before has left there.
            let old = 0xdead_beef;
            let words = [word(source.octets()), old, word(destination.octets()), old];
            (program.first4, words.to_vec())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let words = [source, destination].into_iter().flat_map(|address| {
                let octets = address.octets();
                [0, 8].map(|at| u64::from_ne_bytes(octets[at..at + 8].try_into().unwrap()))
            });
            (program.first6, words.collect())
        }
        other => panic!("{other:?}"),
    };
    words.push(subject.originator.port().into());
    words.push(subject.responder.port().into());
    words.push(u64::from(subject.vlans.inner) << 16 | u64::from(subject.vlans.outer));
    let mut at = first;
    for _ in 0..=program.tests.len() {
        let test = match at {
            Target::Wanted => return true,
            Target::Unwanted => return false,
            Target::Test(index) => &program.tests[usize::from(index)],
        };
        let word = words[match test.word {
            Word::SourceHigh => 0,
            Word::SourceLow => 1,
            Word::DestinationHigh => 2,
            Word::DestinationLow => 3,
            Word::SourcePort => 4,
            Word::DestinationPort => 5,
            Word::Vlans => 6,
        }];
        let passed = (word & test.mask).wrapping_sub(test.least) <= test.span;
        at = if passed { test.yes } else { test.no };
    }
    panic!("it goes backward: {program:?}");
}

fn parse(text: &str, user_space: bool) -> Result<Filter, filter::Error> {
    let vocabulary = Vocabulary {
        services: &SERVICES,
        user_space,
    };
    Filter::parse(text, vocabulary)
}

fn check(text: &str, user_space: bool, subject: Subject<'_>) {
    let filter = match parse(text, user_space) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(error.column <= text.chars().count(), "{error:?}");
            let length = error.message.chars().count();
            assert!((1..LONGEST_MESSAGE).contains(&length), "{error:?}");
            return;
        }
    };
    let wanted = filter.wants_subject(&subject);
    let back = Subject {
        originator: subject.responder,
        responder: subject.originator,
        ..subject
    };
    match filter.compile() {
        Ok(Some(program)) => {
            assert!(program.tests.len() <= MAX_TESTS && !filter.is_empty());
            for (index, test) in program.tests.iter().enumerate() {
                for target in [test.yes, test.no] {
                    if let Target::Test(next) = target {
                        assert!((index + 1..program.tests.len()).contains(&usize::from(next)));
                    }
                }
            }
            assert_eq!(run(&program, &subject), wanted, "{program:?}");
            assert_eq!(program.directed, filter.is_directed());
            if !program.directed {
                assert_eq!(run(&program, &back), wanted, "{program:?}");
            }
        }
        Ok(None) => assert!(filter.is_empty() && wanted),
        Err(too_large) => assert!(too_large.tests > MAX_TESTS),
    }
    if !filter.is_empty() {
        // May have a parenthesis too many.
        if let Ok(contrary) = parse(&format!("not ({text})"), user_space) {
            assert_ne!(contrary.wants_subject(&subject), wanted);
        }
    }
    for family in [Family::V4, Family::V6] {
        let is_of = Family::of(subject.originator.ip()) == family;
        let only = filter.clone().only(family);
        assert_eq!(only.wants_subject(&subject), wanted && is_of);
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choices, text)) = data.split_first_chunk::<12>() else {
        return Corpus::Reject;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Corpus::Reject;
    };
    let [kind, tags, a, b, c, d, e, f, g, h, outer, inner] = *choices;
    let pool = Pool::of(text);
    let v6 = kind & 1 != 0;
    let tag = |bit: u8, choice| match tags & bit {
        0 => 0,
        _ => pool.number(choice, 0) & 0xfff,
    };
    let subject = Subject {
        vlans: Vlans {
            outer: tag(1, outer),
            inner: tag(2, inner),
        },
        originator: pool.end(v6, [a, b, c, d]),
        responder: pool.end(v6, [e, f, g, h]),
        status: None,
        spoken: None,
        processes: Processes::default(),
    };
    check(text, kind & 2 != 0, subject);
    Corpus::Keep
});
