//! The filter of the command line, and what to say of one that is wrong.
//!
use std::path::Path;

use nix::net::if_::if_nametoindex;

use super::wrong::{WrongUsage, pointed};
use crate::cli::{self, Config};
use crate::filter::{Error, Filter, Program, Vocabulary};
use crate::model::Family;
use crate::model::services::{SERVICES, Services};
use crate::model::text::Visible;

/// What the kernel is to look for; `None` is everything.
pub(super) fn program(config: &Config) -> Result<Option<Program>, WrongUsage> {
    let program = filter(config, false)?.compile();
    program.map_err(|error| WrongUsage::new(error.to_string()))
}

/// Which of the connections that are there are to be shown.
pub(super) fn choice(config: &Config) -> Result<Filter, WrongUsage> {
    filter(config, true)
}

fn filter(config: &Config, user_space: bool) -> Result<Filter, WrongUsage> {
    let mut filter = Filter::default();
    if let Some(text) = &config.filter {
        let services = Services::read(Path::new(SERVICES));
        let vocabulary = Vocabulary {
            services: &services,
            user_space,
        };
        filter = Filter::parse(text, vocabulary).map_err(|error| {
            let other = command_meant(config).filter(|_| error.column == 0);
            other.map_or_else(|| wrong(config, text, &error), WrongUsage::new)
        })?;
    }
    if let Some(family) = config.family {
        filter = filter.only(family);
    }
    Ok(filter)
}

/// What is tracked, if not everything. Has the filter in it as it was written.
pub(super) fn in_words(config: &Config) -> Option<String> {
    let family = match config.family {
        Some(Family::V4) => "IPv4",
        Some(Family::V6) => "IPv6",
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

/// What to say where a word of the filter is none, but the name of a file or an interface.
fn input_meant(config: &Config, text: &str, error: &Error) -> Option<String> {
    let (at, _) = text.char_indices().nth(error.column)?;
    let word = text[at..].split_whitespace().next()?;
    let is_here = |name: &str| config.netns.is_none() && if_nametoindex(name).is_ok();
    cli::input_meant(word, is_here)
}

fn wrong(config: &Config, text: &str, error: &Error) -> WrongUsage {
    let meant = input_meant(config, text, error);
    let meant = meant.map_or_else(String::new, |meant| format!("\n{}", Visible(&meant)));
    WrongUsage::new(format!(
        "wrong filter: {}\n{}{meant}",
        Visible(&error.message),
        pointed(text, error.column)
    ))
}
