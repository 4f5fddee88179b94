//! The configuration files, read again while the run goes on (SIGHUP).

use anyhow::Result;

use super::Run;
use crate::console::say;
use crate::plan::read_again;

impl Run {
    /// Takes from the files what can change. Where something is wrong, nothing changes.
    pub(super) fn reload(&mut self) -> Result<()> {
        let next = match read_again() {
            Ok(next) => next,
            Err(wrong) => {
                say(format_args!("{wrong}\nNothing was changed"));
                return Ok(());
            }
        };
        let changes = self.plan.changes(&next);
        if !changes.left.is_empty() {
            say(format_args!(
                "{} cannot change while udptrack runs: restart it for that",
                named(&changes.left)
            ));
        }
        if changes.taken.is_empty() {
            say(format_args!(
                "read the configuration again: nothing to change"
            ));
            return Ok(());
        }
        say(format_args!(
            "read the configuration again: {} changed",
            named(&changes.taken)
        ));
        self.plan.take_from(next);
        self.table.set_timeouts(self.plan.timeouts);
        self.sinks.display.change_delay(self.plan.delay);
        if changes.taken.iter().any(|flag| flag == "alert") {
            self.sinks.others.alerts.change(&self.plan)?;
            if self.plan.has_rules_of_sockets() && !self.sinks.look_at_sockets() {
                say(format_args!(
                    "this run does not look at sockets: restart it for alerts on buffers"
                ));
            }
        }
        self.share_again()
    }
}

fn named(names: &[String]) -> String {
    let flags: Vec<String> = names.iter().map(|name| format!("--{name}")).collect();
    flags.join(", ")
}
