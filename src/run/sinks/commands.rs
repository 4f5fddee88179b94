//! The command of `--exec`: starts it for alerts, without a shell, not too often, and never waits for it.
//!
//! Groups may be addresses that an attacker makes up: each is an alert, and must not be a process. So all groups share one budget,
//! and what it does not cover is summed up in one call a minute.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::alert::Notice;
use crate::console::say;
use crate::model::Field;
use crate::model::text::Visible;

/// Commands that run at once.
const AT_ONCE: usize = 4;
/// The same alert of the same group is handed on so often.
const PAUSE: Duration = Duration::from_secs(10);
/// Commands that are started for alerts, of all groups together, in one [`MINUTE`]; and one for all others.
const BUDGET: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// A program with its arguments, and those that still run.
pub(super) struct Commands {
    words: Vec<String>,
    running: Vec<Child>,
    budget: Budget,
    left_out: LeftOut,
}

impl Commands {
    pub fn new(words: Vec<String>) -> Self {
        Self {
            words,
            running: Vec::new(),
            budget: Budget::default(),
            left_out: LeftOut::default(),
        }
    }

    /// Starts it for an alert, or leaves the alert for the summary.
    pub fn run(&mut self, notice: &Notice) {
        self.reap();
        let what = What::of(notice);
        if self.running.len() < AT_ONCE && self.budget.admits(what, Instant::now()) {
            self.start(environment(notice));
        } else {
            self.left_out.add(notice);
        }
    }

    /// Hands on what was left out, when it is time for that.
    pub fn tick(&mut self) {
        self.reap();
        if !self.left_out.is_empty()
            && self.running.len() < AT_ONCE
            && self.budget.admits(What::Summary, Instant::now())
        {
            self.sum_up();
        }
    }

    /// The run ends: what was left out is handed on now.
    pub fn finish(&mut self) {
        if !self.left_out.is_empty() {
            self.sum_up();
        }
    }

    fn sum_up(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        say(format_args!(
            "--exec runs once for all alerts that were left out: {left_out}"
        ));
        self.start(summary(&left_out));
    }

    fn start(&mut self, environment: Environment) {
        let Some((program, arguments)) = self.words.split_first() else {
            return;
        };
        let started = Command::new(program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.running.push(child),
            Err(error) => say(format_args!("cannot run --exec {program}: {error}")),
        }
    }

    /// Takes note of those that have ended.
    fn reap(&mut self) {
        self.running
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// What a command is started for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Alert {
        rule: String,
        group: String,
        firing: bool,
    },
    Summary,
}

impl What {
    fn of(notice: &Notice) -> Self {
        Self::Alert {
            rule: notice.rule.name.clone(),
            group: notice.group.clone(),
            firing: notice.firing,
        }
    }

    fn is_alert(&self) -> bool {
        matches!(self, Self::Alert { .. })
    }

    /// How long after one the next of the same may come.
    fn pause(&self) -> Duration {
        match self {
            Self::Alert { .. } => PAUSE,
            Self::Summary => MINUTE,
        }
    }
}

/// What was started within the last minute, oldest first.
#[derive(Debug, Default)]
struct Budget(VecDeque<(Instant, What)>);

impl Budget {
    /// Whether one more may be started now; it is, then.
    fn admits(&mut self, what: What, now: Instant) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        while self
            .0
            .front()
            .is_some_and(|(then, _)| since(*then) >= MINUTE)
        {
            self.0.pop_front();
        }
        let is_too_soon = self
            .0
            .iter()
            .any(|(then, other)| *other == what && since(*then) < what.pause());
        let alerts = self.0.iter().filter(|(_, what)| what.is_alert()).count();
        let admits = !is_too_soon && (alerts < BUDGET || !what.is_alert());
        if admits {
            self.0.push_back((now, what));
        }
        admits
    }
}

/// Alerts that no command was started for: how many began and were over, by rule.
#[derive(Debug, Default)]
struct LeftOut(BTreeMap<String, [u64; 2]>);

impl LeftOut {
    fn add(&mut self, notice: &Notice) {
        let counts = self.0.entry(notice.rule.name.clone()).or_default();
        counts[usize::from(!notice.firing)] += 1;
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many began, and how many were over.
    fn counts(&self) -> [u64; 2] {
        let counts = self.0.values();
        counts.fold([0; 2], |sum, counts| {
            [sum[0] + counts[0], sum[1] + counts[1]]
        })
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (rule, [began, over])) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let rule = Visible(rule);
            write!(f, "{separator}{rule}: {began} began, {over} over")?;
        }
        Ok(())
    }
}

/// What a command is told.
type Environment = [(&'static str, String); 11];

/// Of an alert. A group may be a process's name, hostile input: it is text, stays text, and is one line.
fn environment(notice: &Notice) -> Environment {
    let rule = &notice.rule;
    let (state, [began, over]) = if notice.firing {
        ("begin", [1, 0])
    } else {
        ("end", [0, 1])
    };
    let by = rule.by.map_or("", Field::word);
    let text = |text: &str| Visible(text).to_string();
    [
        ("UDPTRACK_ALERT", text(&rule.name)),
        ("UDPTRACK_STATE", state.to_owned()),
        ("UDPTRACK_BEGAN", began.to_string()),
        ("UDPTRACK_OVER", over.to_string()),
        ("UDPTRACK_MEASURE", rule.measure.name().to_owned()),
        ("UDPTRACK_UNIT", rule.measure.unit().to_owned()),
        ("UDPTRACK_VALUE", notice.value.to_string()),
        ("UDPTRACK_THRESHOLD", rule.threshold.to_string()),
        ("UDPTRACK_BY", by.to_owned()),
        ("UDPTRACK_GROUP", text(&notice.group)),
        ("UDPTRACK_MESSAGE", text(&notice.to_string())),
    ]
}

/// Of all that were left out. What is one alert's is empty.
fn summary(left_out: &LeftOut) -> Environment {
    let [began, over] = left_out.counts();
    let none = String::new;
    [
        ("UDPTRACK_ALERT", none()),
        ("UDPTRACK_STATE", "summary".to_owned()),
        ("UDPTRACK_BEGAN", began.to_string()),
        ("UDPTRACK_OVER", over.to_string()),
        ("UDPTRACK_MEASURE", none()),
        ("UDPTRACK_UNIT", none()),
        ("UDPTRACK_VALUE", none()),
        ("UDPTRACK_THRESHOLD", none()),
        ("UDPTRACK_BY", none()),
        ("UDPTRACK_GROUP", none()),
        ("UDPTRACK_MESSAGE", left_out.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Rule;

    fn notice(group: &str, firing: bool) -> Notice {
        Notice {
            firing,
            rule: Rule::parse("new > 5/s by orig").unwrap(),
            value: 7.0,
            group: group.to_owned(),
            shared: None,
            interface: None,
            at_ns: 0,
        }
    }

    fn value(environment: &Environment, name: &str) -> String {
        let mut entries = environment.iter();
        entries.find(|(it, _)| *it == name).unwrap().1.clone()
    }

    #[test]
    fn all_groups_share_a_budget() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut budget = Budget::default();
        let mut admitted = |group: u32, seconds| {
            let what = What::of(&notice(&group.to_string(), true));
            budget.admits(what, at(seconds))
        };
        let of_a_second = (0..1000).filter(|group| admitted(*group, 0)).count();
        assert_eq!(of_a_second, BUDGET);
        assert!(!admitted(5000, 59));
        let of_the_next = (1000..2000).filter(|group| admitted(*group, 60)).count();
        assert_eq!(of_the_next, BUDGET);
        assert!(budget.admits(What::Summary, at(60)));
    }

    #[test]
    fn the_same_alert_waits() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut budget = Budget::default();
        let begin = What::of(&notice("one", true));
        let over = What::of(&notice("one", false));
        assert!(budget.admits(begin.clone(), at(0)));
        assert!(!budget.admits(begin.clone(), at(9)));
        assert!(budget.admits(over, at(9)));
        assert!(budget.admits(begin, at(10)));
        assert!(budget.admits(What::Summary, at(10)));
        assert!(!budget.admits(What::Summary, at(69)));
        assert!(budget.admits(What::Summary, at(70)));
    }

    #[test]
    fn what_is_left_out_is_summed_up() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        for (group, firing) in [("one", true), ("two", true), ("one", false)] {
            left_out.add(&notice(group, firing));
        }
        let told = summary(&left_out);
        assert_eq!(value(&told, "UDPTRACK_STATE"), "summary");
        assert_eq!(value(&told, "UDPTRACK_BEGAN"), "2");
        assert_eq!(value(&told, "UDPTRACK_OVER"), "1");
        assert_eq!(
            value(&told, "UDPTRACK_MESSAGE"),
            "new > 5/s by orig: 2 began, 1 over"
        );
    }

    #[test]
    fn hostile_groups_are_one_line() {
        let told = environment(&notice("a\nb\x1b[31m", true));
        assert_eq!(value(&told, "UDPTRACK_GROUP"), r"a\nb\u{1b}[31m");
        assert!(
            told.iter()
                .all(|(_, text)| !text.contains(char::is_control))
        );
    }
}
