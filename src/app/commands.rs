//! The command of `--exec`: started for alerts, never waited for, not too often. No shell has a part in it.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::say;
use crate::alert::{GroupBy, Notice};
use crate::output::Grouped;

/// Commands that run at once.
const AT_ONCE: usize = 4;
/// The same alert of the same group is handed on so often.
const PAUSE: Duration = Duration::from_secs(10);
/// Alerts whose time is remembered.
const MOST: usize = 4096;

/// A program with its arguments, and those that still run.
pub(super) struct Commands {
    words: Vec<String>,
    running: Vec<Child>,
    latest: HashMap<(String, String, bool), Instant>,
    left_out: u64,
}

impl Commands {
    pub fn new(words: Vec<String>) -> Self {
        Self {
            words,
            running: Vec::new(),
            latest: HashMap::new(),
            left_out: 0,
        }
    }

    /// Starts it for an alert, unless too many run or the same one was just handed on.
    pub fn run(&mut self, notice: &Notice) {
        self.reap();
        let key = (
            notice.rule.name.clone(),
            notice.group.clone(),
            notice.firing,
        );
        let is_too_soon = self
            .latest
            .get(&key)
            .is_some_and(|latest| latest.elapsed() < PAUSE);
        if is_too_soon || self.running.len() >= AT_ONCE {
            self.left_out += 1;
            return;
        }
        if self.latest.len() >= MOST {
            self.latest.retain(|_, latest| latest.elapsed() < PAUSE);
        }
        self.latest.insert(key, Instant::now());
        let Some((program, arguments)) = self.words.split_first() else {
            return;
        };
        let started = Command::new(program)
            .args(arguments)
            .envs(environment(notice))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.running.push(child),
            Err(error) => say(format_args!("cannot run --exec {program}: {error}")),
        }
    }

    /// Takes note of those that have ended, and says what was left out.
    pub fn reap(&mut self) {
        self.running
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if self.left_out > 0 && self.running.len() < AT_ONCE {
            say(format_args!(
                "--exec was not run for {} alerts: the same one was handed on a moment ago, or {AT_ONCE} commands still ran",
                Grouped(self.left_out)
            ));
            self.left_out = 0;
        }
    }
}

/// What a command is told. A group may be a process's name, hostile input: it is text, and stays text. It has no NUL, as a name
/// of a process has none.
fn environment(notice: &Notice) -> [(&'static str, String); 9] {
    let rule = &notice.rule;
    let state = if notice.firing { "begin" } else { "end" };
    let by = match rule.by {
        GroupBy::All => "",
        by @ GroupBy::Field(_) => by.name(),
    };
    let text = |text: &str| text.replace('\0', "");
    [
        ("UDPTRACK_ALERT", text(&rule.name)),
        ("UDPTRACK_STATE", state.to_owned()),
        ("UDPTRACK_MEASURE", rule.measure.name().to_owned()),
        ("UDPTRACK_UNIT", rule.measure.unit().to_owned()),
        ("UDPTRACK_VALUE", notice.value.to_string()),
        ("UDPTRACK_THRESHOLD", rule.threshold.to_string()),
        ("UDPTRACK_BY", by.to_owned()),
        ("UDPTRACK_GROUP", text(&notice.group)),
        ("UDPTRACK_MESSAGE", text(&notice.to_string())),
    ]
}
