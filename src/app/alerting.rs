//! Alerts of a run: rules from the command line, looked at with each tick; said, written, and handed to a command.

use std::time::Duration;

use anyhow::Result;

use super::commands::Commands;
use super::process::say;
use super::run::Run;
use super::wanted::{WrongUsage, pointed};
use crate::alert::{Alerts, Rule};
use crate::cli::Config;
use crate::clock::monotonic_ns;
use crate::connection::Sample;
use crate::output::{Grouped, Visible};

/// The rules, and who is told.
pub(super) struct Alerting {
    alerts: Alerts,
    commands: Option<Commands>,
}

impl Alerting {
    /// Rules that are wrong are wrong usage.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            alerts: Alerts::new(rules(config)?, monotonic_ns()?),
            commands: config.alerts.exec.clone().map(Commands::new),
        })
    }

    /// Other rules from now on. What the old ones knew is forgotten.
    pub fn change(&mut self, rules: Vec<Rule>) -> Result<()> {
        self.alerts = Alerts::new(rules, monotonic_ns()?);
        Ok(())
    }

    /// Whether processes must be known.
    pub fn ask_for_processes(&self) -> bool {
        self.alerts.ask_for_processes()
    }

    /// So long may pass between two looks, however large the table is: whoever asks for alerts wants them in time.
    pub fn longest_pause(&self) -> Duration {
        self.alerts
            .shortest_window()
            .map_or(Duration::MAX, |window| window / 2)
    }

    /// A connection has ended.
    pub fn ended(&mut self, sample: &Sample) {
        self.alerts.ended(sample);
    }
}

/// The rules of the command line.
pub(super) fn rules(config: &Config) -> Result<Vec<Rule>> {
    let parse = |text: &String| {
        Rule::parse(text).map_err(|error| {
            let message = Visible(&error.message);
            let place = pointed(text, error.column);
            WrongUsage::new(format!("wrong alert: {message}\n{place}")).into()
        })
    };
    config.alerts.rules.iter().map(parse).collect()
}

impl Run<'_> {
    /// Looks at the rules, after a scan.
    pub(super) fn watch(&mut self, now_ns: u64) -> Result<()> {
        if self.alerting.alerts.is_empty() {
            return Ok(());
        }
        let report = self.report()?;
        let alerting = &mut self.alerting;
        let notices = alerting
            .alerts
            .tick(&self.table, &report, &self.knowledge, now_ns);
        for notice in notices {
            let text = notice.to_string();
            let word = if notice.firing {
                "ALERT"
            } else {
                "alert over:"
            };
            say(format_args!("{word} {}", Visible(&text)));
            self.display.output().alert(&notice)?;
            if let Some(commands) = &mut alerting.commands {
                commands.run(&notice);
            }
        }
        if let Some(commands) = &mut alerting.commands {
            commands.reap();
        }
        let unwatched = alerting.alerts.take_unwatched();
        if unwatched > 0 {
            say(format_args!(
                "{} connections are in no group of an alert: there are too many groups",
                Grouped(unwatched)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two looks fit into the shortest time that a rule measures over.
    #[test]
    fn a_large_table_does_not_keep_alerts_waiting() {
        let pause = |rules: &[&str]| {
            let rules = rules.iter().map(|text| Rule::parse(text).unwrap());
            let alerts = Alerts::new(rules.collect(), 0);
            let alerting = Alerting {
                alerts,
                commands: None,
            };
            alerting.longest_pause()
        };
        assert_eq!(pause(&[]), Duration::MAX);
        let two = ["udp-flood", "new > 5 over 4s"];
        assert_eq!(pause(&two), Duration::from_secs(2));
    }
}
