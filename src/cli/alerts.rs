//! Flags of alerts. Here a rule is only text; the room `alert` knows its meaning.

use clap::Args;

/// What is watched, and what is run then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFlags {
    /// Rules, as they were written.
    pub rules: Vec<String>,
    /// A program and its arguments.
    pub exec: Option<Vec<String>>,
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Act")]
pub(super) struct ActFlags {
    /// Raise an alert, such as 'rate > 100Mbit by orig'
    ///
    /// Other rules: 'lost > 5% by server over 1m', 'dead by server', 'drops > 0 by process', 'buffer > 80% by process', and
    /// by name udp-flood, port-scan, amplification. Repeat it for several rules.
    #[arg(long, value_name = "RULE")]
    alert: Vec<String>,

    /// Run this program, without a shell, when an alert begins and when it ends; the environment has its values (UDPTRACK_...)
    #[arg(long, value_name = "COMMAND", value_parser = command, value_hint = clap::ValueHint::ExecutablePath)]
    exec: Option<String>,
}

impl ActFlags {
    pub(super) fn has_rules(&self) -> bool {
        !self.alert.is_empty()
    }

    pub(super) fn alerts(self) -> Result<AlertFlags, String> {
        if self.exec.is_some() && self.alert.is_empty() {
            return Err("--exec needs --alert RULE".to_owned());
        }
        Ok(AlertFlags {
            rules: self.alert,
            exec: self.exec.map(|command| words(&command)),
        })
    }
}

/// Separated by blanks: nothing is expanded.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn command(text: &str) -> Result<String, String> {
    if words(text).is_empty() {
        return Err("write the path of a program, and its arguments".to_owned());
    }
    Ok(text.to_owned())
}
