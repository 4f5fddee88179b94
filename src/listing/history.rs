//! The history of groups, so that a state describes the last minute and not the whole run.

use std::collections::HashMap;

use super::group::Group;
use super::state::{Before, State, Tally, judge};
use crate::model::Shared;

const SECOND: u64 = 1_000_000_000;
/// Every so often it is written down how a group stands.
const STEP_NS: u64 = 10 * SECOND;
/// How many of these are kept.
const MARKS: usize = 7;
/// A state is about the time since the latest one that is so old.
const JUDGED_NS: u64 = 60 * SECOND;
/// The state DROPS ends when packets came for this time and none was dropped: after a buffer is raised, the state must go away.
const ROOM_NS: u64 = 10 * SECOND;
/// How many groups are remembered; the state of others comes from the whole run.
const GROUPS: usize = 4096;

/// What was known of groups, for all of one field. Fed once a tick.
#[derive(Clone, Debug, Default)]
pub struct History {
    groups: HashMap<Shared, Past>,
    /// When the marks were made, each at its place.
    marked_ns: [Option<u64>; MARKS],
    /// The place of the next mark, where the oldest is.
    next: usize,
    states: [usize; State::ALL.len()],
}

/// One group.
#[derive(Clone, Debug)]
struct Past {
    /// What it had come to at the latest marks, each at its place; nothing before it was there.
    marks: [Tally; MARKS],
    lost_at_answer: u64,
    drops: Option<Drops>,
    state: State,
    is_there: bool,
}

/// The latest time that more had been dropped for want of room, and what the group had come to then.
#[derive(Clone, Copy, Debug)]
struct Drops {
    overflowed: u64,
    packets: u64,
    seen_ns: u64,
}

impl Past {
    fn new() -> Self {
        Self {
            marks: [Tally::default(); MARKS],
            lost_at_answer: 0,
            drops: None,
            state: State::default(),
            is_there: true,
        }
    }

    /// Whether what was dropped for want of room is over. Silence says nothing of that.
    fn has_room(&mut self, group: &Group, now_ns: u64) -> bool {
        let (overflowed, packets) = (group.dropped.overflowed(), group.forth + group.back);
        match self.drops {
            Some(drops) if drops.overflowed >= overflowed => {
                packets > drops.packets && now_ns.saturating_sub(drops.seen_ns) >= ROOM_NS
            }
            _ => {
                self.drops = (overflowed > 0).then_some(Drops {
                    overflowed,
                    packets,
                    seen_ns: now_ns,
                });
                false
            }
        }
    }

    /// The latest mark before the place of the next one.
    fn latest(&self, next: usize) -> &Tally {
        &self.marks[(next + MARKS - 1) % MARKS]
    }

    fn mark(&mut self, next: usize, tally: &Tally) {
        if tally.answered > self.latest(next).answered {
            self.lost_at_answer = tally.lost;
        }
        self.marks[next] = *tally;
    }
}

impl History {
    /// Judges groups: all that there are, of all connections and with those that have ended, once a tick.
    pub fn tick(&mut self, groups: &mut [Group], now_ns: u64) {
        let next = self.next;
        let is_past = |place: usize, ns| {
            let then: Option<u64> = self.marked_ns[place];
            then.is_none_or(|then| now_ns.saturating_sub(then) >= ns)
        };
        let latest = (next + MARKS - 1) % MARKS;
        let mut latest_first = (0..MARKS).map(|steps| (latest + MARKS - steps) % MARKS);
        let since = latest_first.find(|place| is_past(*place, JUDGED_NS));
        let since = since.unwrap_or(next);
        let marks = is_past(latest, STEP_NS);
        self.states = Default::default();
        for group in groups {
            let room = self.groups.len() < GROUPS;
            let known = self.groups.get_mut(&group.shared);
            let past = match known {
                Some(past) => past,
                None if room => self.groups.entry(group.shared).or_insert_with(Past::new),
                None => {
                    self.states[group.state as usize] += 1;
                    continue;
                }
            };
            let tally = Tally::of(group);
            let before = Before {
                tally: past.marks[since],
                lost_at_answer: past.lost_at_answer,
                is_silent: tally.answered == past.latest(next).answered,
                has_room: past.has_room(group, now_ns),
            };
            group.state = judge(group, &before);
            past.state = group.state;
            past.is_there = true;
            // A group without a packet for this time keeps its last state.
            if now_ns.saturating_sub(group.last_ns) < JUDGED_NS {
                self.states[group.state as usize] += 1;
            }
            if marks {
                past.mark(next, &tally);
            }
        }
        if marks {
            self.marked_ns[next] = Some(now_ns);
            self.next = (next + 1) % MARKS;
            self.groups
                .retain(|_, past| std::mem::take(&mut past.is_there));
        }
    }

    /// For how long nothing was dropped for want of room, where that is over for less than a minute.
    #[must_use]
    pub fn room_ns(&self, shared: &Shared, now_ns: u64) -> Option<u64> {
        let past = self.groups.get(shared)?;
        let for_ns = now_ns.saturating_sub(past.drops?.seen_ns);
        (past.state != State::Dropping && for_ns < JUDGED_NS).then_some(for_ns)
    }

    /// The state of a group at the latest tick.
    #[must_use]
    pub fn state(&self, shared: &Shared) -> Option<State> {
        self.groups.get(shared).map(|past| past.state)
    }

    /// How many groups were in a state at the latest tick.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.states[state as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Nothing, sample};
    use super::super::{Query, groups};
    use super::*;
    use crate::model::Field;
    use crate::model::services::OneWayPorts;
    use crate::model::{Connection, Counts, DropClass, End, Response, Sample, Status};

    fn server(port: u16, answered: u64, lost: u64) -> Sample {
        let mut one = sample(u64::from(port));
        one.responder.set_port(port);
        one.orig.packets = answered + lost;
        one.reply.packets = answered;
        one.response = Response {
            answered,
            lost,
            ..Response::default()
        };
        one
    }

    fn tick(history: &mut History, samples: &[Sample], second: u64) -> Vec<State> {
        let connections = samples.iter().map(|sample| Connection::new(sample, 0));
        let query = Query::default();
        let mut groups = groups(connections, &Nothing, &query, Field::Server, None);
        history.tick(&mut groups, second * SECOND);
        groups.sort_by_key(|group| group.shared);
        groups.iter().map(|group| group.state).collect()
    }

    /// A minute after the last loss it is well again; what was lost before the start counts like what was lost since.
    #[test]
    fn a_state_is_about_the_last_minute() {
        let mut history = History::default();
        for second in 0..60 {
            let state = tick(&mut history, &[server(7000, 100 + second, 20)], second);
            assert_eq!(state, [State::Lossy], "{second}");
        }
        for second in 60..100 {
            let state = tick(&mut history, &[server(7000, 100 + second, 20)], second);
            assert_eq!(state, [State::Ok], "{second}");
        }
    }

    /// A server that had no room for packets. What was dropped before the start counts like what was dropped since.
    #[test]
    fn drops_are_over_ten_seconds_after_the_last_one_if_packets_came() {
        let mut history = History::default();
        let at = |history: &mut History, second, sent, dropped| {
            let mut one = server(7000, 0, 0);
            one.responder.set_port(514);
            one.orig.packets = sent;
            let packets = Counts {
                packets: dropped,
                bytes: 100 * dropped,
            };
            one.dropped.add(DropClass::SocketBuffer, packets);
            let state = tick(history, &[one], second)[0];
            let shared = Shared::End(one.responder);
            (state, history.room_ns(&shared, second * SECOND))
        };
        for second in 0..20 {
            let dropped = 57 + second.min(5);
            let expected = if second < 15 {
                (State::Dropping, None)
            } else {
                (State::OneWay, Some((second - 5) * SECOND))
            };
            let found = at(&mut history, second, 200 + second, dropped);
            assert_eq!(found, expected, "{second}");
        }
        // A burst, and then silence: nothing says that there is room now, however long it lasts.
        for second in 20..120 {
            let found = at(&mut history, second, 300, 90);
            assert_eq!(found, (State::Dropping, None), "{second}");
        }
        let found = at(&mut history, 120, 301, 90);
        assert_eq!(found, (State::OneWay, None));
        assert_eq!(at(&mut history, 121, 302, 91), (State::Dropping, None));
    }

    /// Where snapshots are rare, a minute is what is between two of them.
    #[test]
    fn rare_ticks_judge_what_is_between_them() {
        let mut history = History::default();
        let at = |history: &mut History, minute: u64, answered, lost| {
            tick(history, &[server(7000, answered, lost)], 60 * minute)
        };
        assert_eq!(at(&mut history, 0, 100, 20), [State::Lossy]);
        assert_eq!(at(&mut history, 1, 200, 20), [State::Ok]);
        assert_eq!(at(&mut history, 2, 300, 30), [State::Lossy]);
        assert_eq!(at(&mut history, 3, 400, 30), [State::Ok]);
    }

    #[test]
    fn a_server_that_stops_is_dead_after_some_seconds_and_well_after_its_next_answer() {
        let mut history = History::default();
        let at = |history: &mut History, second, answered, lost| {
            tick(history, &[server(7000, answered, lost)], second)
        };
        for second in 0..=40 {
            assert_eq!(at(&mut history, second, 10 * second, 0), [State::Ok]);
        }
        // Ten a second are lost.
        assert_eq!(at(&mut history, 41, 405, 5), [State::Ok]);
        let after: Vec<State> = (42..=60)
            .flat_map(|second| at(&mut history, second, 405, 10 * (second - 41)))
            .collect();
        let dead = after
            .iter()
            .position(|state| *state == State::Dead)
            .unwrap();
        assert!(dead <= 10, "{after:?}");
        assert!(after[dead..].iter().all(|state| *state == State::Dead));
        assert_eq!(at(&mut history, 61, 406, 190), [State::Lossy]);
    }

    /// While errors come, the state stays: also after a minute, and after as many packets as would make others one-way.
    #[test]
    fn a_server_that_refuses_stays_refused_until_it_answers() {
        let mut history = History::default();
        let refused = |lost| Sample {
            status: Status::Unreach,
            unreachable: Some(End::Responder),
            ..server(7000, 0, lost)
        };
        for second in 0..200 {
            let one = refused(2 * second);
            assert_eq!(tick(&mut history, &[one], second), [State::Refused]);
            let requests = Group::alone(&one, &OneWayPorts::default());
            assert_eq!(requests.lost(), Some(2 * second));
        }
        assert_eq!(
            tick(&mut history, &[server(7000, 5, 400)], 200),
            [State::Lossy]
        );
    }

    #[test]
    fn it_counts_states_and_forgets_what_is_gone() {
        let mut history = History::default();
        let (well, dead) = (server(7000, 9, 0), server(7001, 0, 2));
        assert_eq!(
            tick(&mut history, &[well, dead], 0),
            [State::Ok, State::Dead]
        );
        let counts = State::ALL.map(|state| history.count(state));
        assert_eq!(counts, [1, 0, 0, 0, 0, 1, 0]);
        let shared = Shared::End(dead.responder);
        assert_eq!(history.state(&shared), Some(State::Dead));
        for second in [10, 20] {
            tick(&mut history, &[well], second);
        }
        assert_eq!(history.state(&shared), None);
        assert_eq!(history.count(State::Dead), 0);
    }

    #[test]
    fn what_has_no_room_is_judged_by_the_whole() {
        let mut history = History::default();
        let many: Vec<Sample> = (0..5_000).map(|port| server(10_000 + port, 0, 1)).collect();
        let states = tick(&mut history, &many, 0);
        assert!(states.iter().all(|state| *state == State::Dead));
        assert_eq!(history.groups.len(), GROUPS);
        assert_eq!(history.count(State::Dead), 5_000);
    }
}
