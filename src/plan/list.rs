//! What `udptrack list` shows.

use super::filter;
use super::shown::Shown;
use super::wrong::WrongUsage;
use crate::cli::Config;
use crate::filter::Filter;

/// A list, decided before it is read what it is of.
#[derive(Debug)]
pub(crate) struct ListPlan {
    /// The run whose connections are listed; `None` means the only one there is.
    pub name: Option<String>,
    /// Which of its connections.
    pub choice: Filter,
    /// The same for people, with what else chooses.
    pub words: String,
    /// What is shown of them, and how.
    pub shown: Shown,
    /// Whether their processes must be known.
    pub processes: bool,
    /// Whether the exit status says if there is a row.
    pub check: bool,
}

impl ListPlan {
    /// Says what is wrong with a configuration, if something is.
    pub fn of(config: &Config) -> Result<Self, WrongUsage> {
        let choice = filter::choice(config)?;
        Ok(Self {
            name: config.pins.name.clone(),
            processes: config.processes || choice.asks_for_processes(),
            choice,
            words: filter::choice_in_words(config),
            shown: Shown::of(config),
            check: config.check,
        })
    }
}
