//! Tokens to a tree: recursive descent, as deep as parentheses are, which is bounded.

use super::Vocabulary;
use super::expression::{Ends, Expression, Primitive};
use super::lexer::{Fault, Lexer, Token};
use super::value::{self, quoted};
use crate::model::{Family, Protocol, Status};

/// Parentheses inside each other.
const MAX_DEPTH: usize = 100;
/// Conditions in one expression: with this, trees are small enough to walk them by recursion.
pub(super) const MAX_PRIMITIVES: usize = 1000;

const STATUSES: [Status; 4] = [
    Status::Unreplied,
    Status::Replied,
    Status::Assured,
    Status::Unreach,
];
/// Words that tcpdump has for traffic that is never seen here.
const OTHER_PROTOCOLS: [&str; 9] = [
    "tcp", "icmp", "icmp6", "arp", "rarp", "sctp", "igmp", "esp", "ah",
];

/// What a value is, and where it is looked for.
#[derive(Clone, Copy, Debug)]
struct Qualifier {
    family: Option<Family>,
    ends: Ends,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No word said: an address or a net.
    Any,
    Host,
    Net,
    Port,
    Range,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "host" => Self::Host,
            "net" => Self::Net,
            "port" => Self::Port,
            "portrange" => Self::Range,
            _ => return None,
        })
    }

    /// What stands behind the word.
    fn value(self) -> &'static str {
        match self {
            Self::Any | Self::Host => "an address",
            Self::Net => "a net such as 10.0.0.0/8",
            Self::Port => "a port",
            Self::Range => "two ports such as 5000-5010",
        }
    }
}

/// The filter's own word, if it is one: in lower case, whatever it was written in.
fn keyword(word: &str) -> Option<&'static str> {
    [
        "host",
        "net",
        "port",
        "portrange",
        "src",
        "dst",
        "ip",
        "ip6",
        "udp",
        "vlan",
        "status",
        "process",
        "proto",
    ]
    .into_iter()
    .find(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// An expression; `None` when there is not a word.
pub(super) fn parse(text: &str, vocabulary: Vocabulary<'_>) -> Result<Option<Expression>, Fault> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        vocabulary,
        last: None,
        before: None,
        depth: 0,
        primitives: 0,
    };
    if parser.peek().0 == Token::End {
        return Ok(None);
    }
    let expression = parser.expression()?;
    match parser.next() {
        (Token::End, _) => Ok(Some(expression)),
        (Token::Close, at) => fault(at, "`)` without a `(` before it".to_owned()),
        (token, at) => fault(at, unconnected(token, "`and` or `or`")),
    }
}

fn fault<T>(at: usize, message: String) -> Result<T, Fault> {
    Err(Fault { at, message })
}

/// What to say of something behind a complete condition.
fn unconnected(token: Token<'_>, expected: &str) -> String {
    match token {
        Token::Unclosed => UNCLOSED.to_owned(),
        Token::Word(word) if word.starts_with('&') => "expected `&&` or `and`".to_owned(),
        Token::Word(word) if word.starts_with('|') => "expected `||` or `or`".to_owned(),
        token => format!("expected {expected}{}", found(token)),
    }
}

const UNCLOSED: &str = "this quote is not closed";

fn found(token: Token<'_>) -> String {
    let sign = match token {
        Token::Word(word) | Token::Quoted(word) => return format!(", found {}", quoted(word)),
        Token::Open => "(",
        Token::Close => ")",
        Token::Not => "not",
        Token::And => "and",
        Token::Or => "or",
        Token::Unclosed | Token::End => return String::new(),
    };
    format!(", found `{sign}`")
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    vocabulary: Vocabulary<'a>,
    /// What a bare value takes.
    last: Option<Qualifier>,
    /// The sign before the condition that is parsed.
    before: Option<&'static str>,
    depth: usize,
    primitives: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> (Token<'a>, usize) {
        self.lexer.next()
    }

    fn peek(&self) -> (Token<'a>, usize) {
        let mut ahead = self.lexer;
        ahead.next()
    }

    /// The next token if it is one of the filter's words.
    fn peek_keyword(&self) -> Option<&'static str> {
        match self.peek().0 {
            Token::Word(word) => keyword(word),
            _ => None,
        }
    }

    /// `and` and `or` bind alike, from left to right.
    fn expression(&mut self) -> Result<Expression, Fault> {
        let mut left = self.factor()?;
        loop {
            let join = match self.peek().0 {
                Token::And => Expression::And,
                Token::Or => Expression::Or,
                _ => return Ok(left),
            };
            let and = self.next().0 == Token::And;
            self.before = Some(if and { "and" } else { "or" });
            let right = self.factor()?;
            left = join(Box::new(left), Box::new(right));
        }
    }

    fn factor(&mut self) -> Result<Expression, Fault> {
        let mut negated = false;
        while self.peek().0 == Token::Not {
            self.next();
            self.before = Some("not");
            negated = !negated;
        }
        let (token, at) = self.next();
        let inner = match token {
            Token::Open => self.group(at)?,
            Token::Word(word) => self.primitive(word, at)?,
            Token::Unclosed => return fault(at, UNCLOSED.to_owned()),
            token => {
                let after = self
                    .before
                    .map(|word| format!(" after `{word}`"))
                    .unwrap_or_default();
                let message = format!(
                    "expected a condition such as `port 53`{after}{}",
                    found(token)
                );
                return fault(at, message);
            }
        };
        Ok(if negated {
            Expression::Not(Box::new(inner))
        } else {
            inner
        })
    }

    /// What is between parentheses; the first is taken already.
    fn group(&mut self, open: usize) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fault(
                open,
                format!("more than {MAX_DEPTH} parentheses inside each other"),
            );
        }
        self.before = Some("(");
        let inner = self.expression()?;
        self.depth -= 1;
        match self.next() {
            (Token::Close, _) => Ok(inner),
            (Token::End, at) => fault(at, "expected `)`".to_owned()),
            (token, at) => fault(at, unconnected(token, "`and`, `or` or `)`")),
        }
    }

    fn primitive(&mut self, word: &'a str, at: usize) -> Result<Expression, Fault> {
        self.primitives += 1;
        if self.primitives > MAX_PRIMITIVES {
            return fault(at, format!("more than {MAX_PRIMITIVES} conditions"));
        }
        let Some(keyword) = keyword(word) else {
            return self.bare(word, at);
        };
        let primitive = match keyword {
            "udp" | "ip" | "ip6" => return self.family(keyword),
            "vlan" => Primitive::Vlan(self.vlan()?),
            "status" => Primitive::Status(self.status(at)?),
            "process" => Primitive::Process(self.process(at)?),
            "proto" => Primitive::Proto(self.proto(at)?),
            _ => return self.qualified(None, keyword),
        };
        self.last = None;
        Ok(Expression::Primitive(primitive))
    }

    /// `ip`, `ip6` or `udp`, alone or before other words.
    fn family(&mut self, word: &'static str) -> Result<Expression, Fault> {
        let family = match word {
            "ip" => Some(Family::V4),
            "ip6" => Some(Family::V6),
            _ => None,
        };
        if let Some(next) = self.peek_keyword()
            && (Kind::of(next).is_some() || matches!(next, "src" | "dst"))
        {
            self.next();
            return self.qualified(family, next);
        }
        self.last = None;
        Ok(Expression::Primitive(
            family.map_or(Primitive::Udp, Primitive::Family),
        ))
    }

    /// `src`, `dst`, `host`, `net`, `port`, `portrange` (the word that was just taken) and what belongs to it.
    fn qualified(
        &mut self,
        family: Option<Family>,
        mut word: &'static str,
    ) -> Result<Expression, Fault> {
        let ends = match word {
            "src" | "dst" => self.ends(word),
            _ => Ends::Either,
        };
        let mut kind = Kind::of(word);
        if kind.is_none()
            && let Some(next) = self.peek_keyword()
            && let Some(named) = Kind::of(next)
        {
            self.next();
            word = next;
            kind = Some(named);
        }
        let kind = kind.unwrap_or(Kind::Any);
        let qualifier = Qualifier { family, ends, kind };
        self.last = Some(qualifier);
        match self.next() {
            (Token::Open, at) => self.group(at),
            (Token::Word(value), at) if keyword(value).is_none() => {
                self.value(qualifier, value, word, at)
            }
            (Token::Unclosed, at) => fault(at, UNCLOSED.to_owned()),
            (token, at) => fault(
                at,
                format!("expected {} after `{word}`{}", kind.value(), found(token)),
            ),
        }
    }

    /// `src`, `dst`, `src or dst`, `src and dst`; the first word is taken already.
    fn ends(&mut self, first: &str) -> Ends {
        let mut ahead = self.lexer;
        let join = ahead.next().0;
        let other = if first == "src" { "dst" } else { "src" };
        let both = match ahead.next().0 {
            Token::Word(word) if word.eq_ignore_ascii_case(other) => join,
            _ => Token::End,
        };
        let ends = match both {
            Token::Or => Ends::Either,
            Token::And => Ends::Both,
            _ if first == "src" => return Ends::Source,
            _ => return Ends::Destination,
        };
        // `src and dst port 53` is one condition, but in `src 10.0.0.1 and dst ...` a value stands between.
        self.lexer = ahead;
        ends
    }

    /// A value without a word before it.
    fn bare(&mut self, word: &'a str, at: usize) -> Result<Expression, Fault> {
        let any = Qualifier {
            family: None,
            ends: Ends::Either,
            kind: Kind::Any,
        };
        let qualifier = self.last.unwrap_or(any);
        let name = match qualifier.kind {
            Kind::Any | Kind::Host => "host",
            Kind::Net => "net",
            Kind::Port => "port",
            Kind::Range => "portrange",
        };
        let parsed = self.value(qualifier, word, name, at);
        if parsed.is_ok() {
            self.last = Some(qualifier);
            return parsed;
        }
        let lower = |known: &&str| word.eq_ignore_ascii_case(known);
        if OTHER_PROTOCOLS.iter().any(lower) {
            return fault(
                at,
                format!("{} never matches: udptrack sees UDP only", quoted(word)),
            );
        }
        let number = word.bytes().all(|byte| byte.is_ascii_digit());
        if self.last.is_none() && number {
            return fault(
                at,
                format!("expected a word such as `port` before {}", quoted(word)),
            );
        }
        let is_value = word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':');
        if self.last.is_some() && is_value {
            return parsed;
        }
        let expected = if self.vocabulary.user_space {
            "host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or ("
        } else {
            "host, net, port, portrange, src, dst, ip, ip6, vlan, not or ("
        };
        fault(
            at,
            format!("unknown word {}: expected {expected}", quoted(word)),
        )
    }

    /// A value behind its words, of which `after` is the latest.
    fn value(
        &self,
        qualifier: Qualifier,
        word: &str,
        after: &str,
        at: usize,
    ) -> Result<Expression, Fault> {
        let fault = |message| Fault { at, message };
        let Qualifier { family, ends, kind } = qualifier;
        let net = match kind {
            Kind::Any if word.contains('/') => Some(value::net(word)),
            Kind::Any if word.bytes().all(|byte| byte.is_ascii_digit()) => Some(Err(format!(
                "expected an address after `{after}`, found {}: for a port write `{after} port`",
                quoted(word)
            ))),
            Kind::Any | Kind::Host => Some(value::host(word, after)),
            Kind::Net => Some(value::net(word)),
            Kind::Port | Kind::Range => None,
        };
        let primitive = if let Some(net) = net {
            let net = net.map_err(fault)?;
            value::fits(net, family).map_err(fault)?;
            // The address says the family.
            return Ok(Expression::Primitive(Primitive::Net(ends, net)));
        } else if kind == Kind::Port {
            let port = value::port(word, self.vocabulary.services).map_err(fault)?;
            Primitive::Ports(ends, port, port)
        } else {
            let (low, high) = value::range(word).map_err(fault)?;
            Primitive::Ports(ends, low, high)
        };
        let ports = Expression::Primitive(primitive);
        Ok(match family {
            None => ports,
            Some(family) => {
                let family = Expression::Primitive(Primitive::Family(family));
                Expression::And(Box::new(family), Box::new(ports))
            }
        })
    }

    /// The identifier after `vlan`, if there is one.
    fn vlan(&mut self) -> Result<Option<u16>, Fault> {
        let (Token::Word(word), at) = self.peek() else {
            return Ok(None);
        };
        if !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        self.next();
        match word.parse() {
            Ok(id @ 1..=4095) => Ok(Some(id)),
            _ => fault(
                at,
                format!("expected a VLAN from 1 to 4095, found {}", quoted(word)),
            ),
        }
    }

    fn status(&mut self, word_at: usize) -> Result<Status, Fault> {
        self.user_space(word_at, "status")?;
        let (token, at) = self.next();
        let status = match token {
            Token::Word(word) => STATUSES
                .into_iter()
                .find(|status| status.word().eq_ignore_ascii_case(word)),
            _ => None,
        };
        status.map_or_else(
            || {
                let words = STATUSES.map(Status::word).join(", ");
                fault(
                    at,
                    format!("expected {words} after `status`{}", found(token)),
                )
            },
            Ok,
        )
    }

    fn process(&mut self, word_at: usize) -> Result<String, Fault> {
        self.user_space(word_at, "process")?;
        match self.next() {
            (Token::Word(word) | Token::Quoted(word), _) => Ok(word.to_owned()),
            (Token::Unclosed, at) => fault(at, UNCLOSED.to_owned()),
            (token, at) => fault(
                at,
                format!("expected a name or id after `process`{}", found(token)),
            ),
        }
    }

    fn proto(&mut self, word_at: usize) -> Result<Protocol, Fault> {
        self.user_space(word_at, "proto")?;
        let (token, at) = self.next();
        let protocol = match token {
            Token::Word(word) => word.parse().ok(),
            _ => None,
        };
        protocol.map_or_else(
            || {
                let text = format!(
                    "expected a protocol such as dns or quic after `proto`{}",
                    found(token)
                );
                fault(at, text)
            },
            Ok,
        )
    }

    /// An error where a word is not allowed that the kernel does not know.
    fn user_space(&self, at: usize, word: &str) -> Result<(), Fault> {
        if self.vocabulary.user_space {
            return Ok(());
        }
        fault(
            at,
            format!("`{word}` does not work in a filter that runs in the kernel: use --{word}"),
        )
    }
}

#[cfg(test)]
mod tests;
