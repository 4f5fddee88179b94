//! A tree to tests that only jump forward, as the kernel runs them (`bpf/filter.h`).
//!
//! Each family has its own entry: what an expression says of the other one is known and costs nothing. Made from the end,
//! each test when those that it may jump to are there; equal ones become one, so both families share what they can.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use super::expression::{Ends, Expression, Net, Primitive, mask4, mask6};
use crate::model::Family;

/// Room for tests in the kernel (`UDP_TRACK_TESTS`).
pub const MAX_TESTS: usize = 256;

/// What a test looks at (`enum udp_track_word`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// First half of the sender's IPv6 address, or its IPv4 address; as it lies in the packet.
    SourceHigh,
    /// Second half of the sender's IPv6 address.
    SourceLow,
    /// The same of the receiver.
    DestinationHigh,
    /// The same of the receiver.
    DestinationLow,
    /// Port of the sender.
    SourcePort,
    /// Port of the receiver.
    DestinationPort,
    /// Inner VLAN identifier << 16 | outer one.
    Vlans,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The connection is wanted.
    Wanted,
    /// It is not.
    Unwanted,
    /// To the test with this index.
    Test(u16),
}

/// Passed when `least <= (word & mask) <= least + span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// What is looked at.
    pub word: Word,
    /// Bits of it.
    pub mask: u64,
    /// The least value that passes.
    pub least: u64,
    /// How many more do.
    pub span: u64,
    /// Where to go when passed.
    pub yes: Target,
    /// Where to go when not.
    pub no: Target,
}

/// A filter for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Whether it may say different things of the directions of one connection.
    pub directed: bool,
    /// Where an IPv4 packet begins.
    pub first4: Target,
    /// Where an IPv6 packet begins.
    pub first6: Target,
    /// At most [`MAX_TESTS`]; each jumps to later ones only.
    pub tests: Vec<Test>,
}

/// An expression that the kernel has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// How many tests it takes.
    pub tests: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the filter is too large: it takes {} tests in the kernel, and {MAX_TESTS} fit. A host, net or port takes two \
             (an IPv6 address four), and half as many with src or dst before it. A portrange or net in place of single \
             ones takes less",
            self.tests
        )
    }
}

impl std::error::Error for TooLarge {}

pub(super) fn compile(expression: &Expression) -> Result<Program, TooLarge> {
    let mut builder = Builder::default();
    let [first4, first6] = [Family::V4, Family::V6]
        .map(|family| builder.expression(expression, family, End::Wanted, End::Unwanted));
    let places = builder.places([first4, first6]);
    let count = places.iter().flatten().count();
    if count > MAX_TESTS {
        return Err(TooLarge { tests: count });
    }
    let target = |end: End| match end {
        End::Wanted => Target::Wanted,
        End::Made(number) => places[number].map_or(Target::Unwanted, Target::Test),
        End::Unwanted => Target::Unwanted,
    };
    let tests = builder
        .tests
        .iter()
        .zip(&places)
        .rev()
        .filter(|(_, place)| place.is_some())
        .map(|(made, _)| Test {
            word: made.look.word,
            mask: made.look.mask,
            least: made.look.least,
            span: made.look.span,
            yes: target(made.yes),
            no: target(made.no),
        })
        .collect();
    Ok(Program {
        directed: expression.any(&Primitive::is_directed),
        first4: target(first4),
        first6: target(first6),
        tests,
    })
}

/// Where to go on, while tests are numbered in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Wanted,
    Unwanted,
    Made(usize),
}

/// What a test asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Look {
    word: Word,
    mask: u64,
    least: u64,
    span: u64,
}

impl Look {
    fn at(word: Word, mask: u64, least: u64) -> Self {
        Self {
            word,
            mask,
            least,
            span: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Made {
    look: Look,
    yes: End,
    no: End,
}

#[derive(Default)]
struct Builder {
    tests: Vec<Made>,
    known: HashMap<Made, usize>,
}

impl Builder {
    /// Makes what decides an expression about packets of one family; gives where it begins.
    fn expression(&mut self, expression: &Expression, family: Family, yes: End, no: End) -> End {
        match expression {
            Expression::Primitive(primitive) => self.primitive(primitive, family, yes, no),
            Expression::Not(inner) => self.expression(inner, family, no, yes),
            Expression::And(left, right) => {
                let right = self.expression(right, family, yes, no);
                self.expression(left, family, right, no)
            }
            Expression::Or(left, right) => {
                let right = self.expression(right, family, yes, no);
                self.expression(left, family, yes, right)
            }
        }
    }

    fn primitive(&mut self, primitive: &Primitive, family: Family, yes: End, no: End) -> End {
        match primitive {
            Primitive::Udp => yes,
            Primitive::Family(wanted) if *wanted == family => yes,
            Primitive::Net(ends, net) if Family::of(net.address) == family => {
                self.ends(*ends, yes, no, &|end| net_looks(*net, end))
            }
            Primitive::Ports(ends, low, high) => self.ends(*ends, yes, no, &|end| {
                vec![Look {
                    span: u64::from(high - low),
                    ..Look::at(end.port, 0xffff, u64::from(*low))
                }]
            }),
            Primitive::Vlan(None) => {
                let any = Look {
                    span: u64::MAX - 1,
                    ..Look::at(Word::Vlans, u64::MAX, 1)
                };
                self.test(any, yes, no)
            }
            Primitive::Vlan(Some(id)) => {
                let inner = Look::at(Word::Vlans, 0xffff << 16, u64::from(*id) << 16);
                let inner = self.test(inner, yes, no);
                self.test(Look::at(Word::Vlans, 0xffff, u64::from(*id)), yes, inner)
            }
            // The parser lets these into no filter for the kernel; a packet has none of them.
            Primitive::Family(_)
            | Primitive::Net(..)
            | Primitive::Status(_)
            | Primitive::Process(_)
            | Primitive::Proto(_) => no,
        }
    }

    /// The same looks at one end, at either or at both.
    fn ends(
        &mut self,
        ends: Ends,
        yes: End,
        no: End,
        looks: &dyn Fn(EndWords) -> Vec<Look>,
    ) -> End {
        let source = looks(SOURCE);
        let destination = looks(DESTINATION);
        match ends {
            Ends::Source => self.all(&source, yes, no),
            Ends::Destination => self.all(&destination, yes, no),
            Ends::Either => {
                let otherwise = self.all(&destination, yes, no);
                self.all(&source, yes, otherwise)
            }
            Ends::Both => {
                let then = self.all(&destination, yes, no);
                self.all(&source, then, no)
            }
        }
    }

    /// Looks that must all pass.
    fn all(&mut self, looks: &[Look], yes: End, no: End) -> End {
        looks
            .iter()
            .rev()
            .fold(yes, |then, look| self.test(*look, then, no))
    }

    /// The place of each test in the program: those made last come first, those that nothing leads to have none.
    fn places(&self, first: [End; 2]) -> Vec<Option<u16>> {
        let mut used = vec![false; self.tests.len()];
        let mark = |used: &mut Vec<bool>, end| {
            if let End::Made(number) = end {
                used[number] = true;
            }
        };
        for end in first {
            mark(&mut used, end);
        }
        let mut places = vec![None; self.tests.len()];
        let mut place = 0;
        for (number, made) in self.tests.iter().enumerate().rev() {
            if used[number] {
                mark(&mut used, made.yes);
                mark(&mut used, made.no);
                places[number] = Some(place);
                place += 1;
            }
        }
        places
    }

    fn test(&mut self, look: Look, yes: End, no: End) -> End {
        if yes == no {
            return yes;
        }
        let made = Made { look, yes, no };
        let number = *self.known.entry(made).or_insert_with(|| {
            self.tests.push(made);
            self.tests.len() - 1
        });
        End::Made(number)
    }
}

/// The words of one end.
#[derive(Clone, Copy, Debug)]
struct EndWords {
    high: Word,
    low: Word,
    port: Word,
}

const SOURCE: EndWords = EndWords {
    high: Word::SourceHigh,
    low: Word::SourceLow,
    port: Word::SourcePort,
};
const DESTINATION: EndWords = EndWords {
    high: Word::DestinationHigh,
    low: Word::DestinationLow,
    port: Word::DestinationPort,
};

/// Words hold addresses as they lie in the packet, so masks are made of bytes too.
fn net_looks(net: Net, end: EndWords) -> Vec<Look> {
    match net.address {
        IpAddr::V4(address) => {
            let mask = u32::from_ne_bytes(mask4(net.bits).to_be_bytes());
            let least = u32::from_ne_bytes(address.octets());
            look(end.high, mask.into(), least.into())
                .into_iter()
                .collect()
        }
        IpAddr::V6(address) => {
            let (mask, bits) = (mask6(net.bits), address.to_bits());
            // Hosts of one net differ in the second half.
            [(end.low, 0), (end.high, 64)]
                .into_iter()
                .filter_map(|(word, shift)| look(word, half(mask, shift), half(bits, shift)))
                .collect()
        }
    }
}

/// 64 bits of an address, as they are read from a packet.
fn half(bits: u128, shift: u32) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is wanted"
    )]
    let low = (bits >> shift) as u64;
    u64::from_ne_bytes(low.to_be_bytes())
}

/// Nothing to look at where the mask is empty.
fn look(word: Word, mask: u64, least: u64) -> Option<Look> {
    (mask != 0).then(|| Look::at(word, mask, least))
}

#[cfg(test)]
mod tests;
