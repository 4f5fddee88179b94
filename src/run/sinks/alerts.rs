//! Alerts of a run: checks the rules at each tick, writes messages and records, and starts the command.

use std::io;

use anyhow::Result;

use super::commands::Commands;
use crate::alert::{Alerts, Notice};
use crate::clock::monotonic_ns;
use crate::console::say;
use crate::model::text::{Grouped, Visible};
use crate::model::{Sink, Tick};
use crate::plan::Plan;

/// The rules, and who is told.
pub(in crate::run) struct Alerting {
    alerts: Alerts,
    commands: Option<Commands>,
    has_raised: bool,
    notices: Vec<Notice>,
}

impl Alerting {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan) -> Result<Self> {
        Ok(Self {
            alerts: alerts(plan)?,
            commands: plan.exec.clone().map(Commands::new),
            has_raised: false,
            notices: Vec::new(),
        })
    }

    /// Other rules from now on. What the old ones knew is forgotten.
    pub fn change(&mut self, plan: &Plan) -> Result<()> {
        self.alerts = alerts(plan)?;
        Ok(())
    }

    /// Whether one was raised so far.
    pub fn has_raised(&self) -> bool {
        self.has_raised
    }

    /// What has begun or was over at the latest tick.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

fn alerts(plan: &Plan) -> Result<Alerts> {
    let alerts = Alerts::new(plan.rules.clone(), monotonic_ns()?);
    Ok(alerts.with(plan.one_way_ports()))
}

impl Sink for Alerting {
    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        if self.alerts.is_empty() {
            return Ok(());
        }
        for notice in self.alerts.tick(tick) {
            self.has_raised |= notice.firing;
            let text = notice.to_string();
            let word = if notice.firing {
                "ALERT"
            } else {
                "alert over:"
            };
            say(format_args!("{word} {}", Visible(&text)));
            if let Some(commands) = &mut self.commands {
                commands.run(&notice);
            }
            self.notices.push(notice);
        }
        if let Some(commands) = &mut self.commands {
            commands.tick();
        }
        let unwatched = self.alerts.take_unwatched();
        if unwatched > 0 {
            say(format_args!(
                "alerts leave out {} connections or sockets: there are too many groups",
                Grouped(unwatched)
            ));
        }
        Ok(())
    }

    fn finish(&mut self, _tick: &Tick<'_>, _goes_on: bool) -> io::Result<()> {
        if let Some(commands) = &mut self.commands {
            commands.finish();
        }
        Ok(())
    }
}
