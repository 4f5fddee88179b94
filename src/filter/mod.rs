//! Filters: `port 53 and not host 10.0.0.1`.
//!
//! Text to [`Filter`] (`lexer`, `parser`), a filter to a [`Program`] for the kernel (`compile`), and its answer about a
//! connection in user space. Depends on `connection` alone: no I/O, and no host name is ever looked up.
//!
//! The words are tcpdump's where it has them, and mean the same of the packet that opens a connection: `src` is its
//! originator, `dst` its responder. As there, `and` and `or` bind alike, from left to right, `not` binds tighter, and a bare
//! value takes the words before the latest one: `port 53 or 123`.

mod compile;
mod expression;
mod lexer;
mod parser;
mod value;

use std::fmt;
use std::net::SocketAddr;

pub use compile::{MAX_TESTS, Program, Target, Test, TooLarge, Word};
pub use expression::{Ends, Expression, Net, Primitive};

use crate::model::services::Services;
use crate::model::{Facts, Family, Processes, Sample, Spoken, Status, Vlans};

/// What a parser may take beside addresses, nets, ports, families and VLANs.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// Names of ports.
    pub services: &'a Services,
    /// Whether `status`, `process` and `proto` are words: the kernel does not know them.
    pub user_space: bool,
}

/// A filter, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `None` wants everything.
    expression: Option<Expression>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// VLAN tags of its frames.
    pub vlans: Vlans,
    /// Who sent the packet that opened it.
    pub originator: SocketAddr,
    /// The other end.
    pub responder: SocketAddr,
    /// How far it has come; `None` for a single packet.
    pub status: Option<Status>,
    /// What is spoken in it; `None` for a single packet.
    pub spoken: Option<Spoken>,
    /// Who owns its ends.
    pub processes: Processes<'a>,
}

/// Where an expression goes wrong, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Characters before the place.
    pub column: usize,
    /// What is wrong. Quotes the expression as it was written: hostile input for a terminal.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (column {})", self.message, self.column + 1)
    }
}

impl std::error::Error for Error {}

impl Filter {
    /// Parses an expression; an empty one wants everything.
    pub fn parse(text: &str, vocabulary: Vocabulary<'_>) -> Result<Self, Error> {
        let expression = parser::parse(text, vocabulary).map_err(|fault| Error {
            column: text[..fault.at].chars().count(),
            message: fault.message,
        })?;
        Ok(Self { expression })
    }

    /// The same filter, for one family only.
    #[must_use]
    pub fn only(self, family: Family) -> Self {
        let family = Expression::Primitive(Primitive::Family(family));
        Self {
            expression: Some(match self.expression {
                None => family,
                Some(rest) => Expression::And(Box::new(family), Box::new(rest)),
            }),
        }
    }

    /// Whether it wants everything, as no word was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// Whether it wants this connection.
    #[must_use]
    pub fn wants(&self, sample: &Sample, facts: &dyn Facts) -> bool {
        let processes = if self.asks_for_processes() {
            facts.processes(sample)
        } else {
            Processes::default()
        };
        self.wants_subject(&Subject {
            vlans: sample.vlans,
            originator: sample.originator,
            responder: sample.responder,
            status: Some(sample.status),
            spoken: sample.spoken(),
            processes,
        })
    }

    /// The same for whatever has these ends.
    #[must_use]
    pub fn wants_subject(&self, subject: &Subject<'_>) -> bool {
        self.expression
            .as_ref()
            .is_none_or(|expression| expression.wants(subject))
    }

    /// Whether a word of it is `process`, so that processes must be known.
    #[must_use]
    pub fn asks_for_processes(&self) -> bool {
        self.any(&|primitive| matches!(primitive, Primitive::Process(_)))
    }

    /// Whether it has `src` or `dst`, and so may say another thing of an answer than of the question.
    #[must_use]
    pub fn is_directed(&self) -> bool {
        self.any(&Primitive::is_directed)
    }

    /// The kernel's form of it; `None` when it wants everything.
    pub fn compile(&self) -> Result<Option<Program>, TooLarge> {
        self.expression.as_ref().map(compile::compile).transpose()
    }

    fn any(&self, holds: &dyn Fn(&Primitive) -> bool) -> bool {
        self.expression
            .as_ref()
            .is_some_and(|expression| expression.any(holds))
    }
}
