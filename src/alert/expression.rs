//! `unreplied > 1000/s by responder over 10s`: text to rule.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum as _;

use crate::model::Field;
use crate::model::text::closest;

/// What is measured, over the window of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Connections that began, per second.
    New,
    /// Requests per second without an answer: those that were asked, less those that were answered.
    Unreplied,
    /// Requests that got no answer, in percent.
    Lost,
    /// DNS answers that say SERVFAIL, in percent.
    ServFail,
    /// DNS answers that there is no such name, in percent.
    NxDomain,
    /// Requests in a row that got no answer, where nothing is answered.
    Dead,
    /// Bits per second of frames, both directions.
    Rate,
    /// The same, from the originator.
    OrigRate,
    /// The same, from the responder.
    ReplyRate,
    /// Packets per second, both directions.
    Packets,
    /// The response time that this percentage of the answers did not exceed, in milliseconds.
    Response(u8),
    /// Datagrams per second that the kernel dropped behind the hooks.
    Drops,
    /// How full the receive buffer of a socket was at most, in percent.
    Buffer,
    /// Live connections.
    Connections,
    /// Bytes back for each byte forth.
    Amplification,
    /// Different ports of responders, of connections that began.
    Ports,
    /// Different addresses of responders, of connections that began.
    Hosts,
    /// How full the table is, in percent.
    Fill,
    /// Frames per second that belong to no connection though they could.
    TableFull,
}

/// Measures by name, with their unit as it is written and shown.
const MEASURES: [(&str, Measure, &str); 22] = [
    ("new", Measure::New, "/s"),
    ("unreplied", Measure::Unreplied, "/s"),
    ("rate", Measure::Rate, "bit"),
    ("orig-rate", Measure::OrigRate, "bit"),
    ("reply-rate", Measure::ReplyRate, "bit"),
    ("packets", Measure::Packets, "/s"),
    ("lost", Measure::Lost, "%"),
    ("servfail", Measure::ServFail, "%"),
    ("nxdomain", Measure::NxDomain, "%"),
    ("dead", Measure::Dead, "requests"),
    ("response", Measure::Response(50), "ms"),
    ("response p50", Measure::Response(50), "ms"),
    ("response p95", Measure::Response(95), "ms"),
    ("response p99", Measure::Response(99), "ms"),
    ("drops", Measure::Drops, "/s"),
    ("buffer", Measure::Buffer, "%"),
    ("connections", Measure::Connections, ""),
    ("amplification", Measure::Amplification, ""),
    ("ports", Measure::Ports, ""),
    ("hosts", Measure::Hosts, ""),
    ("fill", Measure::Fill, "%"),
    ("table-full", Measure::TableFull, "/s"),
];

impl Measure {
    fn entry(self) -> &'static (&'static str, Self, &'static str) {
        MEASURES
            .iter()
            .find(|(_, measure, _)| *measure == self)
            .unwrap_or(&MEASURES[0])
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// What stands behind its number.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.entry().2
    }

    /// Whether it is one number for the whole run.
    #[must_use]
    pub fn is_global(self) -> bool {
        matches!(self, Self::Fill | Self::TableFull)
    }

    /// Whether it measures sockets, not connections.
    #[must_use]
    pub fn is_of_sockets(self) -> bool {
        self == Self::Buffer
    }

    /// Whether it measures missing answers: one-way connections do not count, and a request may be lost without a packet.
    #[must_use]
    pub fn is_of_answers(self) -> bool {
        matches!(self, Self::Unreplied | Self::Lost | Self::Dead)
    }
}

/// How similar a word must be to a measure or an alert to be a suggestion; 1 is the same.
const LIKE: f64 = 0.8;

/// The error for a word that is neither a measure nor the name of an alert.
fn unknown(word: &str) -> String {
    let measures = MEASURES.map(|(name, ..)| name);
    let named = NAMED.map(|(name, _)| name);
    let meant = closest(word, measures.into_iter().chain(named), LIKE)
        .map_or_else(String::new, |known| format!("Do you mean `{known}`? "));
    format!(
        "unknown measure `{word}`. {meant}Use one of {}, or an alert by name: {}",
        measures.join(", "),
        named.join(", ")
    )
}

/// The group of all connections.
const ALL: &str = "all";

/// The groups of sockets.
const OF_SOCKETS: [Field; 3] = [Field::Process, Field::Server, Field::Port];

/// When to raise an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, or its text.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// Whether the alert begins above the threshold, or below it.
    pub above: bool,
    /// In the unit of the measure.
    pub threshold: f64,
    /// The group; `None`: all connections together.
    pub by: Option<Field>,
    /// The time over which it is measured.
    pub window: Duration,
}

impl Rule {
    /// Its words: of one with a name, the name and what it stands for.
    #[must_use]
    pub fn words(&self) -> String {
        match NAMED.iter().find(|(name, _)| *name == self.name) {
            Some((name, text)) => format!("{name}: {text}"),
            None => self.name.clone(),
        }
    }

    /// The word for what it is of.
    #[must_use]
    pub fn by_word(&self) -> &'static str {
        self.by.map_or(ALL, Field::word)
    }

    /// Whether the processes of connections must be known.
    #[must_use]
    pub fn asks_for_processes(&self) -> bool {
        self.by == Some(Field::Process) && !self.measure.is_of_sockets()
    }

    /// 1 where somebody is without an answer, not heard or not counted, else 2; as Suricata, which has 3 for what is of little interest.
    #[must_use]
    pub fn severity(&self) -> u32 {
        match self.measure {
            Measure::Dead | Measure::Lost | Measure::Drops | Measure::Fill | Measure::TableFull => {
                1
            }
            _ => 2,
        }
    }
}

/// Rules that have a name.
pub const NAMED: [(&str, &str); 3] = [
    ("udp-flood", "unreplied > 500/s by server"),
    ("port-scan", "ports > 100 by originator"),
    ("amplification", "amplification > 10 by server"),
];

/// Where a text goes wrong, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Characters before the place.
    pub column: usize,
    /// What is wrong. Quotes the text: hostile input for a terminal.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

const WINDOW: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(600);

impl Rule {
    /// Parses a rule, or takes one by its name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let named = NAMED.iter().find(|(name, _)| *name == text.trim());
        let mut words = Words::of(named.map_or(text, |(_, text)| text));
        Ok(Self {
            name: text.trim().to_owned(),
            ..words.rule()?
        })
    }
}

/// Words, numbers and signs, each with the place where it begins.
struct Words<'a> {
    all: Vec<(usize, &'a str)>,
    next: usize,
    end: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else {
                break;
            };
            let is_sign = |c: char| matches!(c, '<' | '>');
            let ends = |c: char| c.is_whitespace() || is_sign(c) != is_sign(first);
            let length = rest.find(ends).unwrap_or(rest.len());
            let at = text[..text.len() - rest.len()].chars().count();
            words.push((at, &rest[..length]));
            rest = &rest[length..];
        }
        Self {
            all: words,
            next: 0,
            end: text.chars().count(),
        }
    }

    fn take(&mut self) -> Option<(usize, &'a str)> {
        let word = self.all.get(self.next).copied();
        self.next += 1;
        word
    }

    fn need(&mut self, what: &str) -> Result<(usize, &'a str), Error> {
        let end = self.end;
        self.take().ok_or_else(|| Error {
            column: end,
            message: format!("expected {what}"),
        })
    }

    fn rule(&mut self) -> Result<Rule, Error> {
        let (column, word) = self.need("a measure such as `unreplied`, or the name of an alert")?;
        let wrong = |column, message| Err(Error { column, message });
        let Some((_, measure, unit)) = MEASURES.iter().find(|(name, ..)| *name == word) else {
            return wrong(column, unknown(word));
        };
        let (measure, unit) = self.detail(*measure, unit);
        let (above, threshold) = if measure == Measure::Dead {
            (true, 0.0)
        } else {
            self.threshold(measure, unit)?
        };
        let mut rule = Rule {
            name: String::new(),
            measure,
            above,
            threshold,
            by: None,
            window: WINDOW,
        };
        while let Some((column, word)) = self.take() {
            match word {
                "by" => rule.by = self.group(measure)?,
                "over" => rule.window = self.window()?,
                ">" | "<" if measure == Measure::Dead => {
                    return wrong(
                        column,
                        "`dead` takes no value: write `dead by server`".to_owned(),
                    );
                }
                _ => return wrong(column, format!("expected `by` or `over`, not `{word}`")),
            }
        }
        Ok(rule)
    }

    /// Of response times, which one.
    fn detail(&mut self, measure: Measure, unit: &'static str) -> (Measure, &'static str) {
        let next = self.all.get(self.next).map(|(_, word)| *word);
        let Some(word) = next.filter(|word| word.starts_with('p')) else {
            return (measure, unit);
        };
        let whole = format!("{} {word}", measure.name());
        let Some((_, detailed, unit)) = MEASURES.iter().find(|(name, ..)| *name == whole) else {
            return (measure, unit);
        };
        self.next += 1;
        (*detailed, unit)
    }

    /// Whether it is above or below, and what.
    fn threshold(&mut self, measure: Measure, unit: &str) -> Result<(bool, f64), Error> {
        let wrong = |column, message| Err(Error { column, message });
        let (column, sign) = self.need("`>` or `<`")?;
        let above = match sign {
            ">" => true,
            "<" => false,
            _ => return wrong(column, format!("expected `>` or `<`, not `{sign}`")),
        };
        let (column, word) = self.need("a number")?;
        if let Some(threshold) = number(word, unit) {
            return Ok((above, threshold));
        }
        let example = match unit {
            "bit" => "1000 or 100Mbit".to_owned(),
            "%" => "10%".to_owned(),
            _ => format!("1000{unit}"),
        };
        let name = measure.name();
        wrong(
            column,
            format!("`{word}` is not a value for {name}: write it as {example}"),
        )
    }

    fn group(&mut self, measure: Measure) -> Result<Option<Field>, Error> {
        let (column, word) = self.need("a group such as `server`")?;
        let message = match Field::from_str(word, false) {
            _ if word == ALL => return Ok(None),
            Ok(_) if measure.is_global() => {
                format!(
                    "{} is one number for the whole run: leave out `by`",
                    measure.name()
                )
            }
            Ok(field) if measure.is_of_sockets() && !OF_SOCKETS.contains(&field) => {
                let fields = OF_SOCKETS.map(Field::word).join(", ");
                format!(
                    "{} measures sockets, and sockets have no {word}. Groups: {fields}, {ALL}",
                    measure.name()
                )
            }
            Ok(field) => return Ok(Some(field)),
            Err(_) => {
                let fields = Field::ALL.map(Field::word).join(", ");
                format!("unknown group `{word}`. Groups: {fields}, {ALL}")
            }
        };
        Err(Error { column, message })
    }

    fn window(&mut self) -> Result<Duration, Error> {
        let (column, word) = self.need("a time such as 10s")?;
        humantime::parse_duration(word)
            .ok()
            .filter(|window| (SHORTEST..=LONGEST).contains(window))
            .ok_or_else(|| Error {
                column,
                message: format!("`{word}` is not a time between 2s and 10m"),
            })
    }
}

/// `1000/s`, `100Mbit`, `90%`, `20ms`: a number with the unit of its measure, which may be left out.
fn number(word: &str, unit: &str) -> Option<f64> {
    let end = word
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(word.len());
    let (digits, rest) = word.split_at(end);
    let number: f64 = digits.parse().ok()?;
    let factor = match (unit, rest) {
        (_, "") => 1.0,
        ("bit", _) => match rest.trim_end_matches("/s") {
            "bit" | "b" => 1.0,
            "kbit" | "k" => 1e3,
            "Mbit" | "M" => 1e6,
            "Gbit" | "G" => 1e9,
            _ => return None,
        },
        ("ms", "us") => 1e-3,
        ("ms", "s") | ("/s", "k" | "k/s") | ("", "k") => 1e3,
        (unit, rest) if unit == rest => 1.0,
        _ => return None,
    };
    let value = number * factor;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text).unwrap()
    }

    #[test]
    fn rules_of_the_help() {
        let flood = rule("unreplied > 1000/s by server");
        assert_eq!(flood.measure, Measure::Unreplied);
        assert!(flood.above);
        assert!((flood.threshold - 1000.0).abs() < 1e-9);
        assert_eq!((flood.by, flood.window), (Some(Field::Server), WINDOW));
        assert_eq!(rule("new > 1 by responder").by, flood.by);
        let rate = rule("rate>100Mbit by orig over 1m");
        assert!((rate.threshold - 1e8).abs() < 1e-3);
        assert_eq!(
            (rate.by, rate.window.as_secs()),
            (Some(Field::Originator), 60)
        );
        assert!(!rule("rate < 1Mbit").above);
        let buffer = rule("buffer > 80% by process");
        assert_eq!(
            (buffer.measure, buffer.by),
            (Measure::Buffer, Some(Field::Process))
        );
        assert!(!buffer.asks_for_processes());
        let lost = rule("lost > 5% by server");
        assert_eq!(lost.measure, Measure::Lost);
        let dead = rule("dead by server over 1m");
        assert_eq!((dead.measure, dead.window.as_secs()), (Measure::Dead, 60));
        for (text, percent) in [
            ("response > 50ms", 50),
            ("response p50 > 50ms", 50),
            ("response p95 > 50ms by host", 95),
            ("response p99>50ms", 99),
        ] {
            assert_eq!(rule(text).measure, Measure::Response(percent), "{text}");
        }
        assert_eq!(Measure::Response(95).name(), "response p95");
        assert!((rule("response > 1.5s").threshold - 1500.0).abs() < 1e-9);
        assert!((rule("new > 5k/s").threshold - 5000.0).abs() < 1e-9);
    }

    #[test]
    fn names_stand_for_rules() {
        for (name, text) in NAMED {
            let named = rule(name);
            assert_eq!(named.name, name);
            assert_eq!(
                Rule {
                    name: text.to_owned(),
                    ..named
                },
                rule(text)
            );
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, column, word) in [
            ("", 0, "expected a measure"),
            ("speed > 3", 0, "unknown measure `speed`. Use one of new,"),
            (
                "drop > 0",
                0,
                "unknown measure `drop`. Do you mean `drops`? ",
            ),
            ("udp-flod", 0, "Do you mean `udp-flood`? "),
            ("new", 3, "expected `>` or `<`"),
            ("new = 3", 4, "expected `>` or `<`, not `=`"),
            ("new >", 5, "expected a number"),
            ("response p42 > 5ms", 9, "expected `>` or `<`, not `p42`"),
            (
                "dead > 5",
                5,
                "`dead` takes no value: write `dead by server`",
            ),
            (
                "new > many",
                6,
                "is not a value for new: write it as 1000/s",
            ),
            ("rate > 5%", 7, "write it as 1000 or 100Mbit"),
            ("servfail > 5/s", 11, "write it as 10%"),
            ("new > 3 by", 10, "expected a group such as `server`"),
            ("new > 3 by colour", 11, "unknown group `colour`"),
            ("fill > 80% by port", 14, "one number for the whole run"),
            (
                "buffer > 80% by host",
                16,
                "sockets have no host. Groups: process, server, port, all",
            ),
            ("new > 3 over 1s", 13, "not a time between"),
            ("new > 3 and", 8, "expected `by` or `over`"),
            ("new >> 3", 4, "not `>>`"),
        ] {
            let error = Rule::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(word), "{text}: {error}");
        }
    }
}
