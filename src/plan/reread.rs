//! The command line and its files, read again while the run goes on (SIGHUP).

use std::io::IsTerminal as _;

use super::{Plan, WrongUsage};
use crate::cli::{self, Task};

/// Flags that can change while packets are counted. All others need a new start.
const CHANGEABLE: [&str; 7] = [
    "alert",
    "udp-timeout",
    "stream-timeout",
    "delay",
    "quiet",
    "verbose",
    "config",
];

/// What the same command would come to now.
pub(crate) fn read_again() -> Result<Plan, WrongUsage> {
    let terminal = std::io::stdout().is_terminal();
    match cli::parse(std::env::args_os(), terminal) {
        Ok(Task::Run(config)) => Plan::of(&config),
        Ok(_) => Err(WrongUsage::new(
            "the command line is no longer that of a run".to_owned(),
        )),
        Err(error) => Err(WrongUsage::new(cli::first_line(&error))),
    }
}

/// Names of the flags that have other values, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that can change.
    pub taken: Vec<String>,
    /// Those that cannot.
    pub left: Vec<String>,
}

impl Plan {
    /// What is not the same in another plan.
    pub fn changes(&self, next: &Self) -> Changes {
        let names = self.flags.keys().chain(next.flags.keys());
        let mut changed: Vec<String> = names
            .filter(|name| self.flags.get(*name) != next.flags.get(*name))
            .cloned()
            .collect();
        changed.sort_unstable();
        changed.dedup();
        let is_changeable = |name: &String| CHANGEABLE.contains(&name.as_str());
        let (taken, left) = changed.into_iter().partition(is_changeable);
        Changes { taken, left }
    }

    /// Takes from another plan what can change.
    pub fn take_from(&mut self, next: Self) {
        self.timeouts = next.timeouts;
        self.delay = next.delay;
        self.quiet = next.quiet;
        self.verbose = next.verbose;
        self.rules = next.rules;
        self.flags = next.flags;
    }
}
