//! The filter of the command line, and what to say of one that is wrong.
//!
//! Parsed here and not in `cli`, which knows no other room; before anything is attached, and with the exit status of wrong
//! usage ([`WrongUsage`]).

use std::fmt;
use std::path::Path;

use anyhow::Result;

use super::process::note;
use crate::cli::{self, Config};
use crate::filter::{Error, Family, Filter, Program, Vocabulary};
use crate::model::services::{SERVICES, Services};
use crate::model::text::Visible;

/// The command line is wrong in a way that its parser cannot see. The program ends with status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongUsage(String);

impl WrongUsage {
    /// With what to say of it.
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// What the kernel is to look for; `None` is everything.
pub(super) fn program(config: &Config) -> Result<Option<Program>> {
    let program = filter(config, false)?.compile();
    Ok(program.map_err(|error| WrongUsage(error.to_string()))?)
}

/// Which of the connections that are there are to be shown.
pub(super) fn choice(config: &Config) -> Result<Filter> {
    filter(config, true)
}

fn filter(config: &Config, user_space: bool) -> Result<Filter> {
    let mut filter = Filter::default();
    if let Some(text) = &config.filter {
        let services = Services::read(Path::new(SERVICES));
        let vocabulary = Vocabulary {
            services: &services,
            user_space,
        };
        filter = Filter::parse(text, vocabulary).map_err(|error| {
            let other = command_meant(config).filter(|_| error.column == 0);
            other.map_or_else(|| wrong(text, &error), WrongUsage::new)
        })?;
    }
    if let Some(family) = config.family {
        filter = filter.only(match family {
            cli::Family::V4 => Family::V4,
            cli::Family::V6 => Family::V6,
        });
    }
    Ok(filter)
}

/// Says that not everything is tracked.
pub(super) fn announce(config: &Config) {
    if let Some(words) = in_words(config) {
        note(format_args!(
            "only {}; all else is counted as filtered",
            Visible(&words)
        ));
    }
}

/// What is tracked, if not everything. Has the filter in it as it was written.
pub(super) fn in_words(config: &Config) -> Option<String> {
    let family = match config.family {
        Some(cli::Family::V4) => "IPv4",
        Some(cli::Family::V6) => "IPv6",
        None => "",
    };
    let text = config.filter.as_deref().unwrap_or("").trim();
    let words: Vec<&str> = [family, text]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Which of the connections that are there are to be shown, as it was written: filter and flags.
pub(super) fn choice_in_words(config: &Config) -> String {
    let rows = &config.rows;
    let status = rows.status.map(|status| format!("status {status}"));
    let process = rows.process.as_ref().map(|name| format!("process {name}"));
    let words: Vec<String> = in_words(config)
        .into_iter()
        .chain(status)
        .chain(process)
        .collect();
    words.join(", ")
}

/// What to say where the first word is no word of a filter, but like a command.
fn command_meant(config: &Config) -> Option<String> {
    let first = config.flags.get("words")?.first()?;
    cli::command_meant(first.to_str()?)
}

fn wrong(text: &str, error: &Error) -> WrongUsage {
    WrongUsage(format!(
        "wrong filter: {}\n{}",
        Visible(&error.message),
        pointed(text, error.column)
    ))
}

/// The text, and a caret below the place. A long one is shown around it.
pub(super) fn pointed(text: &str, column: usize) -> String {
    const BEFORE: usize = 60;
    const BEHIND: usize = 30;
    let start = column.saturating_sub(BEFORE);
    let before: String = text.chars().skip(start).take(column - start).collect();
    let behind: String = text.chars().skip(column).take(BEHIND).collect();
    let cut = |cut: bool| if cut { "..." } else { "" };
    let left = format!("{}{}", cut(start > 0), Visible(&before));
    let more = text.chars().nth(column + BEHIND).is_some();
    let caret = left.chars().count();
    format!(
        "  {left}{}{}\n  {:caret$}^",
        Visible(&behind),
        cut(more),
        ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_place() {
        assert_eq!(
            pointed("port 53 and host", 16),
            "  port 53 and host\n                  ^"
        );
        assert_eq!(pointed("hots", 0), "  hots\n  ^");
        assert_eq!(
            pointed("a\tb\u{1b}c d", 6),
            "  a\\tb\\u{1b}c d\n              ^"
        );
        assert_eq!(pointed("süd ö", 4), "  süd ö\n      ^");
    }

    #[test]
    fn a_long_text_is_shown_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(1000), "b".repeat(1000));
        let shown = pointed(&text, 1000);
        let expected = format!(
            "  ...{}HERE{}...\n{}^",
            "a".repeat(60),
            "b".repeat(26),
            " ".repeat(65)
        );
        assert_eq!(shown, expected);
    }
}
