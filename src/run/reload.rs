//! The configuration file, read again while the run goes on (SIGHUP).

use std::borrow::Cow;
use std::io::IsTerminal as _;

use anyhow::Result;

use super::Run;
use crate::cli::{self, AlertFlags, Config, Task};
use crate::console::say;
use crate::model::Timeouts;
use crate::plan;

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

impl Run<'_> {
    /// Takes from the file what can change. A file that is wrong changes nothing.
    pub(super) fn reload(&mut self) -> Result<()> {
        let terminal = std::io::stdout().is_terminal();
        let read = match cli::parse(std::env::args_os(), terminal) {
            Ok(Task::Run(config)) => *config,
            Ok(_) => return Ok(()),
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                let first = text.lines().next().unwrap_or_default();
                say(format_args!("{first}. Nothing was changed"));
                return Ok(());
            }
        };
        let rules = match plan::rules(&read) {
            Ok(rules) => rules,
            Err(error) => {
                say(format_args!("{error:#}\nNothing was changed"));
                return Ok(());
            }
        };
        let changed = changed(&self.config, &read);
        let (taken, left): (Vec<_>, Vec<_>) = changed
            .into_iter()
            .partition(|name| CHANGEABLE.contains(name));
        if !left.is_empty() {
            say(format_args!(
                "{} cannot change while it runs: start it anew for that",
                named(&left)
            ));
        }
        if taken.is_empty() {
            say(format_args!(
                "the configuration was read again: nothing to change"
            ));
            return Ok(());
        }
        say(format_args!(
            "the configuration was read again: {} changed",
            named(&taken)
        ));
        let next = Config {
            udp_timeout: read.udp_timeout,
            stream_timeout: read.stream_timeout,
            delay: read.delay,
            quiet: read.quiet,
            verbose: read.verbose,
            alerts: AlertFlags {
                rules: read.alerts.rules.clone(),
                exec: self.config.alerts.exec.clone(),
            },
            flags: read.flags.clone(),
            ..self.config.clone().into_owned()
        };
        self.table.set_timeouts(Timeouts {
            unreplied: next.udp_timeout,
            assured: next.stream_timeout,
        });
        if taken.contains(&"alert") {
            self.alerting.change(rules, &next)?;
        }
        self.config = Cow::Owned(next);
        self.share_again()
    }
}

/// Names of the flags whose values are not the same.
fn changed<'a>(before: &'a Config, after: &'a Config) -> Vec<&'a str> {
    let names = before.flags.keys().chain(after.flags.keys());
    let mut changed: Vec<&str> = names
        .filter(|name| before.flags.get(*name) != after.flags.get(*name))
        .map(String::as_str)
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn named(names: &[&str]) -> String {
    let flags: Vec<String> = names.iter().map(|name| format!("--{name}")).collect();
    flags.join(", ")
}
