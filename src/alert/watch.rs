//! Looks at the rules with each tick: who crosses a threshold, and who is back.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::expression::{GroupBy, Measure, Rule};
use super::measure::{Done, Series};
use crate::connection::{Ended, Facts, PlaceMap, Sample, Skip, Tick};
use crate::output::Bitrate;

/// Groups of one rule; a flood of random addresses must not fill the memory.
const MOST_GROUPS: usize = 16_384;
/// An alert is over when the measure has been this far on the right side of the threshold for one window.
const HYSTERESIS: f64 = 0.2;

/// Which group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    All,
    Address(IpAddr),
    End(SocketAddr),
    Port(u16),
    Text(String),
    Net(IpAddr, u8),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Address(address) => address.fmt(f),
            Self::End(end) => end.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Net(address, length) => write!(f, "{address}/{length}"),
        }
    }
}

/// An alert that has begun, or is over. Its group may be hostile input for a terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Whether it begins.
    pub firing: bool,
    /// The rule.
    pub rule: Rule,
    /// What was measured, in the unit of the measure.
    pub value: f64,
    /// Of which group.
    pub group: String,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
}

/// One group of a rule.
#[derive(Debug, Default)]
struct Group {
    series: Series,
    firing: bool,
    /// Since when it is on the right side again.
    right_since_ns: Option<u64>,
}

#[derive(Debug)]
struct Watch {
    rule: Rule,
    groups: HashMap<Key, Group>,
    /// Connections that found no room for their group.
    unwatched: u64,
}

/// All rules, and what they know.
#[derive(Debug, Default)]
pub struct Alerts {
    watches: Vec<Watch>,
    done: PlaceMap<Done>,
    refused: u64,
    started_ns: u64,
    ticked_ns: u64,
}

impl Alerts {
    /// Nothing is known yet. What began before `started_ns` (`CLOCK_MONOTONIC`) did so before this run, and is no news.
    #[must_use]
    pub fn new(rules: Vec<Rule>, started_ns: u64) -> Self {
        let watches = rules.into_iter().map(|rule| Watch {
            rule,
            groups: HashMap::new(),
            unwatched: 0,
        });
        Self {
            watches: watches.collect(),
            started_ns,
            ..Self::default()
        }
    }

    /// Whether there is any rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Whether a rule asks for processes, so that they must be known.
    #[must_use]
    pub fn ask_for_processes(&self) -> bool {
        let mut rules = self.watches.iter().map(|watch| &watch.rule);
        rules.any(|rule| rule.by == GroupBy::Process)
    }

    /// Takes in what happened since the tick before; gives the alerts that begin and those that are over.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Vec<Notice> {
        if self.is_empty() {
            return Vec::new();
        }
        let Tick {
            now_ns,
            table,
            facts,
            report,
            ..
        } = *tick;
        for watch in &mut self.watches {
            for group in watch.groups.values_mut() {
                group.series.live = 0;
            }
        }
        for place in tick.turned {
            if let Some(done) = self.done.get_mut(*place) {
                done.turn();
            }
        }
        for Ended { sample, .. } in tick.ended {
            let before = self.done.remove(sample.place);
            self.take(sample, before, facts, now_ns, false);
        }
        let mut rules = self.watches.iter().map(|watch| &watch.rule);
        let counts_live = rules.any(|rule| rule.measure == Measure::Connections);
        // All of them at first, and where those that are silent count, too.
        let since_ns = if counts_live { 0 } else { self.ticked_ns };
        for connection in table.grown_since(since_ns) {
            let sample = &connection.sample;
            let done = Done::of(sample);
            let before = self.done.insert(sample.place, done);
            self.take(sample, before, facts, now_ns, true);
        }
        let refused = report.books().skipped_for(Skip::TableFull).packets;
        let per_second = per_second(
            refused.saturating_sub(self.refused),
            now_ns.saturating_sub(self.ticked_ns),
        );
        (self.refused, self.ticked_ns) = (refused, now_ns);
        let global = |measure| match measure {
            Measure::Fill => Some(table.fill() * 100.0),
            Measure::Refused => Some(per_second),
            _ => None,
        };
        self.watches
            .iter_mut()
            .flat_map(|watch| watch.judge(now_ns, global(watch.rule.measure)))
            .collect()
    }

    fn take(
        &mut self,
        sample: &Sample,
        before: Option<Done>,
        facts: &dyn Facts,
        now_ns: u64,
        is_live: bool,
    ) {
        let is_older = sample.first_ns < self.started_ns;
        let before = before.or_else(|| is_older.then(|| Done::of(sample)));
        let is_silent = before == Some(Done::of(sample));
        for watch in &mut self.watches {
            let counts_live = is_live && watch.rule.measure == Measure::Connections;
            if watch.rule.measure.is_global() || (is_silent && !counts_live) {
                continue;
            }
            let key = key(sample, watch.rule.by, facts);
            if watch.groups.len() >= MOST_GROUPS && !watch.groups.contains_key(&key) {
                watch.unwatched += 1;
                continue;
            }
            let group = watch.groups.entry(key).or_default();
            group.series.live += u64::from(is_live);
            if !is_silent {
                group.series.add(sample, before, now_ns, watch.rule.measure);
            }
        }
    }

    /// Connections that were in no group since the last call, as there were too many groups.
    pub fn take_unwatched(&mut self) -> u64 {
        let unwatched = self.watches.iter_mut();
        unwatched
            .map(|watch| std::mem::take(&mut watch.unwatched))
            .sum()
    }
}

impl Watch {
    fn judge(&mut self, now_ns: u64, global: Option<f64>) -> Vec<Notice> {
        let window_ns = u64::try_from(self.rule.window.as_nanos()).unwrap_or(u64::MAX);
        let seconds = self.rule.window.as_secs_f64();
        if self.rule.measure.is_global() {
            self.groups.entry(Key::All).or_default();
        }
        let mut notices = Vec::new();
        let rule = &self.rule;
        self.groups.retain(|key, group| {
            group.series.forget(now_ns.saturating_sub(window_ns));
            let value = if rule.measure.is_global() {
                global
            } else {
                group.series.value(rule.measure, seconds)
            };
            if let Some((firing, value)) = group.judge(rule, value, now_ns, window_ns) {
                notices.push(Notice {
                    firing,
                    rule: rule.clone(),
                    value,
                    group: key.to_string(),
                    at_ns: now_ns,
                });
            }
            group.firing || !group.series.is_empty()
        });
        notices
    }
}

impl Group {
    /// Whether it begins or is over now, and at which value.
    fn judge(
        &mut self,
        rule: &Rule,
        value: Option<f64>,
        now_ns: u64,
        window_ns: u64,
    ) -> Option<(bool, f64)> {
        let crosses = |value: f64, threshold: f64| {
            if rule.above {
                value > threshold
            } else {
                value < threshold
            }
        };
        let margin = rule.threshold * HYSTERESIS;
        let near = if rule.above {
            rule.threshold - margin
        } else {
            rule.threshold + margin / 4.0
        };
        if !self.firing {
            let value = value.filter(|value| crosses(*value, rule.threshold))?;
            self.firing = true;
            self.right_since_ns = None;
            return Some((true, value));
        }
        if value.is_some_and(|value| crosses(value, near)) {
            self.right_since_ns = None;
            return None;
        }
        let since = *self.right_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since) < window_ns {
            return None;
        }
        self.firing = false;
        self.right_since_ns = None;
        Some((false, value.unwrap_or(0.0)))
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a rate for people, compared with a threshold they wrote"
)]
fn per_second(count: u64, ns: u64) -> f64 {
    let seconds = std::time::Duration::from_nanos(ns).as_secs_f64();
    count as f64 / seconds.max(1e-3)
}

fn key(sample: &Sample, by: GroupBy, facts: &dyn Facts) -> Key {
    match by {
        GroupBy::All => Key::All,
        GroupBy::Originator => Key::Address(sample.originator.ip()),
        GroupBy::Responder => Key::End(sample.responder),
        GroupBy::Port => Key::Port(sample.responder.port()),
        GroupBy::Process => {
            let processes = facts.processes(sample);
            let owner = processes.main();
            Key::Text(owner.map_or_else(|| "unknown".to_owned(), |owner| owner.command.clone()))
        }
        GroupBy::Subnet => match sample.responder.ip() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Key::Net(IpAddr::from([a, b, c, 0]), 24)
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Key::Net(IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 64)
            }
        },
        GroupBy::Interface => Key::Text(facts.interface(sample.ifindex)),
    }
}

/// A number for people, in the unit of its measure.
struct Quantity(f64, &'static str);

impl fmt::Display for Quantity {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "of a rate, three digits are shown"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            "bit" => write!(f, "{}", Bitrate((self.0 / 8.0) as f32)),
            unit => write!(f, "{}{unit}", self.0),
        }
    }
}

/// `udp-flood: unreplied 1,234/s > 500/s by responder 192.0.2.53:53`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        let sign = if rule.above { '>' } else { '<' };
        let measure = rule.measure.name();
        let value = Quantity((self.value * 10.0).round() / 10.0, rule.measure.unit());
        let threshold = Quantity(rule.threshold, rule.measure.unit());
        if !rule.name.contains(['<', '>']) && rule.name != measure {
            write!(f, "{}: ", rule.name)?;
        }
        let state = if self.firing { "" } else { ", no longer" };
        write!(f, "{measure} {value}{state} {sign} {threshold}")?;
        if rule.by == GroupBy::All {
            return Ok(());
        }
        write!(f, " by {} {}", rule.by.name(), self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{
        Books, ConnectionId, Counts, Direction, EndReason, HookBooks, Ifindex, Place, Report,
        Response, Role, Status, Table, Timeouts, Vlans,
    };

    const SECOND: u64 = 1_000_000_000;

    struct Nothing;

    impl Facts for Nothing {
        fn interface(&self, index: Ifindex) -> String {
            format!("if{}", index.0)
        }
    }

    fn sample(id: u64, host: u8, port: u16, answered: bool) -> Sample {
        Sample {
            id: ConnectionId(id),
            place: Place(u32::try_from(id).unwrap()),
            ifindex: Ifindex(2),
            reply_ifindex: answered.then_some(Ifindex(2)),
            vlans: Vlans::default(),
            originator: ([10, 0, 0, host], 40_000).into(),
            responder: ([10, 0, 1, 1], port).into(),
            orig: Counts {
                packets: 1,
                bytes: 100,
            },
            reply: Counts {
                packets: answered.into(),
                bytes: 200 * u64::from(answered),
            },
            status: Status::Unreplied,
            first_ns: 0,
            last_ns: 0,
            first_reply_ns: None,
            orig_ttl: None,
            reply_ttl: None,
            role: Role::Seen,
            response: Response {
                answered: answered.into(),
                waiting: (!answered).into(),
                ..Response::default()
            },
        }
    }

    struct Ground {
        alerts: Alerts,
        table: Table,
        now: u64,
        next: u64,
    }

    impl Ground {
        fn new(rule: &str) -> Self {
            Self {
                alerts: Alerts::new(vec![Rule::parse(rule).unwrap()], 0),
                table: Table::new(1_000_000, Timeouts::default()),
                now: 100 * SECOND,
                next: 0,
            }
        }

        /// A second in which these connections begin.
        fn second(&mut self, samples: impl IntoIterator<Item = (u8, u16, bool)>) -> Vec<String> {
            self.now += SECOND;
            let mut fresh = Vec::new();
            for (host, port, answered) in samples {
                fresh.push(sample(self.next, host, port, answered));
                self.next += 1;
            }
            self.table.apply(fresh, self.now);
            self.tick()
        }

        /// A second in which these connections end.
        fn ends(&mut self, samples: impl IntoIterator<Item = Sample>) -> Vec<String> {
            self.now += SECOND;
            let reason = EndReason::Idle;
            let ended: Vec<_> = samples
                .into_iter()
                .map(|sample| Ended { sample, reason })
                .collect();
            for Ended { sample, .. } in &ended {
                self.table.end(sample, reason);
            }
            self.tick_with(&ended, &Report::default())
        }

        fn tick(&mut self) -> Vec<String> {
            self.tick_with(&[], &Report::default())
        }

        fn tick_with(&mut self, ended: &[Ended], report: &Report) -> Vec<String> {
            let notices = self.alerts.tick(&Tick {
                now_ns: self.now,
                table: &self.table,
                turned: &[],
                ended,
                report,
                facts: &Nothing,
            });
            notices.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn fires_once_and_is_over_after_a_quiet_window() {
        let mut ground = Ground::new("unreplied > 10/s by responder over 5s");
        // 50 in a window of 5 s are not more than 10/s; one more is.
        assert!(ground.second((0..50).map(|_| (1, 53, false))).is_empty());
        assert_eq!(
            ground.second([(1, 53, false), (1, 54, false)]),
            ["unreplied 10.2/s > 10/s by responder 10.0.1.1:53"]
        );
        for _ in 0..4 {
            assert!(ground.second((0..60).map(|_| (1, 53, false))).is_empty());
        }
        let mut over = Vec::new();
        let mut seconds = 0;
        while over.is_empty() {
            over = ground.second([]);
            seconds += 1;
            assert!(seconds < 20);
        }
        assert_eq!(
            over,
            ["unreplied 0/s, no longer > 10/s by responder 10.0.1.1:53"]
        );
        // What is in the window goes out of it, and then it is quiet for one.
        assert!((6..=11).contains(&seconds), "{seconds}");
    }

    #[test]
    fn rates_stand_in_their_unit() {
        let mut ground = Ground::new("rate > 0.5Mbit by originator over 2s");
        assert_eq!(
            ground.second((0..2_000).map(|_| (1, 53, true))),
            ["rate 2.4 Mbit/s > 500 kbit/s by originator 10.0.0.1"]
        );
    }

    #[test]
    fn answered_requests_are_no_flood() {
        let mut ground = Ground::new("udp-flood");
        for _ in 0..10 {
            assert!(ground.second((0..2000).map(|_| (1, 53, true))).is_empty());
        }
    }

    #[test]
    fn connections_that_end_between_two_ticks_count() {
        let mut ground = Ground::new("new > 1/s over 2s");
        let short = (0..3).map(|id| sample(id, 1, 53, false));
        assert_eq!(ground.ends(short), ["new 1.5/s > 1/s"]);
    }

    #[test]
    fn an_end_counts_what_came_since_the_tick_before() {
        let mut ground = Ground::new("packets > 1/s over 2s");
        assert!(ground.second([(1, 53, false)]).is_empty());
        let mut last = sample(0, 1, 53, false);
        last.orig.packets += 2;
        assert_eq!(ground.ends([last]), ["packets 1.5/s > 1/s"]);
    }

    #[test]
    fn an_end_without_news_counts_nothing() {
        let mut ground = Ground::new("packets > 0.5/s over 10s");
        assert!(ground.second((0..5).map(|_| (1, 53, false))).is_empty());
        let silent = (0..5).map(|id| sample(id, 1, 53, false));
        assert!(ground.ends(silent).is_empty());
        assert_eq!(ground.second([(1, 53, false)]), ["packets 0.6/s > 0.5/s"]);
    }

    #[test]
    fn another_connection_at_the_place_of_an_ended_one_is_new() {
        let mut ground = Ground::new("new > 0.9/s over 2s");
        let first = sample(0, 1, 53, false);
        let second = Sample {
            id: ConnectionId(77),
            ..first
        };
        ground.now += SECOND;
        ground.table = Table::of(&[first], 100, Timeouts::default(), ground.now);
        assert!(ground.tick().is_empty());
        ground.now += SECOND;
        ground.table = Table::of(&[second], 100, Timeouts::default(), ground.now);
        let ended = Ended {
            sample: first,
            reason: EndReason::Idle,
        };
        assert_eq!(
            ground.tick_with(&[ended], &Report::default()),
            ["new 1/s > 0.9/s"]
        );
    }

    #[test]
    fn live_connections_count_while_they_are_silent_and_until_they_end() {
        let mut ground = Ground::new("connections > 1 by responder over 2s");
        assert!(ground.second([(1, 53, true), (1, 54, true)]).is_empty());
        assert_eq!(
            ground.second([(1, 53, true)]),
            ["connections 2 > 1 by responder 10.0.1.1:53"]
        );
        for _ in 0..5 {
            assert!(ground.second([]).is_empty());
        }
        assert!(ground.ends([sample(2, 1, 53, true)]).is_empty());
        assert!(ground.ends([sample(0, 1, 53, true)]).is_empty());
        assert!(ground.second([]).is_empty());
        assert_eq!(
            ground.second([]),
            ["connections 0, no longer > 1 by responder 10.0.1.1:53"]
        );
    }

    #[test]
    fn what_began_before_the_run_is_no_news_but_what_it_does_is() {
        let mut ground = Ground::new("packets > 0.5/s over 2s");
        // It has a packet already.
        ground.alerts.started_ns = 1;
        assert!(ground.second([(1, 53, false)]).is_empty());
        let mut later = sample(0, 1, 53, false);
        later.orig.packets += 1;
        ground.now += SECOND;
        ground.table.apply([later], ground.now);
        assert!(ground.tick().is_empty());
        later.orig.packets += 1;
        assert_eq!(ground.ends([later]), ["packets 1/s > 0.5/s"]);
    }

    #[test]
    fn refused_frames_are_those_of_a_full_table_since_the_tick_before() {
        let mut ground = Ground::new("refused > 5/s");
        let mut refuse = |packets| {
            let mut books = Books::default();
            books.skipped[Skip::TableFull as usize].packets = packets;
            books.skipped[Skip::Filtered as usize].packets = 1_000_000;
            let hook = HookBooks {
                interface: "eth0".to_owned(),
                direction: Direction::Ingress,
                books,
            };
            let report = Report {
                hooks: vec![hook],
                ..Report::default()
            };
            ground.now += SECOND;
            ground.tick_with(&[], &report)
        };
        assert!(refuse(100).is_empty());
        assert!(refuse(105).is_empty());
        assert_eq!(refuse(111), ["refused 6/s > 5/s"]);
    }

    #[test]
    fn a_scan_is_told_by_its_ports() {
        let mut ground = Ground::new("port-scan");
        assert!(
            ground
                .second((0..500).map(|n| (2, 53 + n % 5, true)))
                .is_empty()
        );
        assert_eq!(
            ground.second((0..101).map(|n| (1, 1000 + n, false))),
            ["port-scan: ports 101 > 100 by originator 10.0.0.1"]
        );
    }

    #[test]
    fn few_requests_have_no_ratio() {
        let mut ground = Ground::new("answer-ratio < 90% by responder");
        assert!(ground.second((0..9).map(|_| (1, 53, false))).is_empty());
        assert_eq!(
            ground.second((0..21).map(|n| (1, 53, n % 2 == 0))),
            ["answer-ratio 36.7% < 90% by responder 10.0.1.1:53"]
        );
    }

    #[test]
    fn a_flood_of_groups_has_bounds() {
        let mut ground = Ground::new("new > 1000000/s by originator");
        ground.now += SECOND;
        let addresses = (0..20_000_u32).map(|n| {
            let mut sample = sample(u64::from(n), 1, 53, false);
            sample.originator = (std::net::Ipv4Addr::from(n), 1).into();
            sample
        });
        ground.table.apply(addresses, ground.now);
        assert!(ground.tick().is_empty());
        assert_eq!(ground.alerts.take_unwatched(), 20_000 - 16_384);
        assert_eq!(ground.alerts.take_unwatched(), 0);
    }

    #[test]
    fn the_table_as_a_whole() {
        let mut ground = Ground::new("fill > 0.001%");
        assert!(ground.second((0..10).map(|n| (1, n, true))).is_empty());
        assert_eq!(ground.second([(1, 99, true)]), ["fill 0% > 0.001%"]);
    }
}
