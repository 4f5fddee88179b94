//! Flags of filters. Here a filter is only text; the room `filter` knows its meaning.

use clap::Args;

use crate::model::Family;

/// Words at the end of the line, which no flag begins: also behind a subcommand.
#[derive(Debug, Args)]
pub(super) struct Words {
    /// Which connections, such as: port 53 or 123
    #[arg(value_name = "FILTER")]
    words: Vec<String>,
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filter")]
pub(super) struct FilterFlags {
    /// The same as FILTER, in one argument
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<String>,

    /// Only IPv4: adds `ip` to the filter
    #[arg(short = '4')]
    ipv4: bool,

    /// Only IPv6: adds `ip6` to the filter
    #[arg(short = '6')]
    ipv6: bool,
}

impl Words {
    /// The first of them.
    pub(super) fn first(&self) -> Option<&str> {
        self.words.first().map(String::as_str)
    }
}

impl FilterFlags {
    /// The family that was asked for.
    pub(super) fn family(&self) -> Result<Option<Family>, String> {
        match (self.ipv4, self.ipv6) {
            (true, true) => {
                Err("-4 and -6 together leave no packet: use only one of them".to_owned())
            }
            (true, false) => Ok(Some(Family::V4)),
            (false, true) => Ok(Some(Family::V6)),
            (false, false) => Ok(None),
        }
    }

    /// The filter, from one place only: two could be meant to be joined by `and` or by `or`.
    pub(super) fn text(&self, words: &[&Words]) -> Result<Option<String>, String> {
        let words: Vec<&str> = words
            .iter()
            .flat_map(|words| &words.words)
            .map(String::as_str)
            .collect();
        match &self.filter {
            Some(_) if !words.is_empty() => Err(format!(
                "there are two filters, --filter and the words `{}`: write one filter, with `and` or `or`",
                words.join(" ")
            )),
            Some(text) => Ok(Some(text.clone())),
            None => Ok((!words.is_empty()).then(|| words.join(" "))),
        }
    }
}
