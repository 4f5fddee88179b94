//! `unreplied > 1000/s by responder over 10s`: text to rule.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum as _;

use super::rule::{ALL, MEASURES, Measure, NAMED, Rule};
use crate::model::Field;
use crate::model::text::closest;

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

/// The groups of sockets.
const OF_SOCKETS: [Field; 3] = [Field::Process, Field::Server, Field::Port];

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
