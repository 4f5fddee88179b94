//! Groups of ended connections, so that groups have the numbers of the whole run.
//!
//! A client such as dig opens a connection for each request, and it ends when it has been idle for its timeout: without
//! these totals a server would be judged by its last half minute.

use std::collections::HashMap;

use super::Query;
use super::distinct::MOST;
use super::group::{Adding, Group, Groups};
use crate::model::{Facts, Sample};
use crate::model::{Field, Shared};

/// How many groups are kept by default.
pub const GROUPS: usize = 10_000;

/// How many clients and pids are counted exactly, of all groups together.
const KEPT: u64 = 1 << 20;

/// Totals of ended connections by a field. Bounded: the groups that were silent for longest go first.
#[derive(Clone, Debug)]
pub struct Ended {
    most: usize,
    groups: Groups,
    /// Clients and pids of all groups together.
    kept: u64,
    forgotten: u64,
}

impl Ended {
    /// No totals yet, by what the connections are grouped.
    #[must_use]
    pub fn by(field: Field) -> Self {
        Self::with_room(field, GROUPS)
    }

    fn with_room(field: Field, most: usize) -> Self {
        Self {
            most,
            groups: Groups::by(field),
            kept: 0,
            forgotten: 0,
        }
    }

    /// Takes in the last counts of a connection, if the query wants it.
    pub fn add(&mut self, sample: &Sample, facts: &dyn Facts, query: &Query) {
        let mut sample = *sample;
        // Nothing comes any more: what still waited is lost.
        let response = &mut sample.response;
        response.lost += std::mem::take(&mut response.waiting);
        response.waiting_since_ns = None;
        self.add_live(&sample, facts, query);
    }

    /// The same of one that is live when nothing more is looked at: what waits goes on waiting.
    pub fn add_live(&mut self, sample: &Sample, facts: &dyn Facts, query: &Query) {
        if !query.wants_sample(sample, facts) {
            return;
        }
        self.make_room(sample, facts);
        let adding = Adding {
            facts,
            ports: &query.one_way_ports,
            kept: Some(if self.kept < KEPT { MOST } else { 0 }),
        };
        self.kept += self.groups.add(sample, None, &adding);
    }

    /// Ended connections whose group found no room any more, and that no total counts.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many groups there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.most
    }

    /// By what its connections are grouped.
    #[must_use]
    pub fn field(&self) -> Field {
        self.groups.field
    }

    pub(super) fn groups(&self) -> HashMap<Shared, Group> {
        self.groups.of.clone()
    }

    /// Makes room for the groups of a connection: a quarter at a time, so that finding the oldest costs little for each one that ends.
    fn make_room(&mut self, sample: &Sample, facts: &dyn Facts) {
        let groups = &mut self.groups.of;
        let shared = Shared::of(sample, facts, self.groups.field);
        let is_new = |shared: Shared| !groups.contains_key(&shared);
        let new = shared.into_iter().flatten();
        let new = new.filter(|(shared, _)| is_new(*shared)).count();
        if groups.len() + new <= self.most {
            return;
        }
        let mut ages: Vec<(u64, Shared)> = groups
            .values()
            .map(|group| (group.last_ns, group.shared))
            .collect();
        let gone = (self.most / 4).clamp(1, ages.len());
        ages.select_nth_unstable(gone - 1);
        for (_, shared) in &ages[..gone] {
            if let Some(group) = groups.remove(shared) {
                self.forgotten += group.connections;
                self.kept -= group.kept();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Nothing, SECOND, sample};
    use super::*;
    use crate::listing::{Moment, Rows, rows};
    use crate::model::{Response, Status, Table, Timeouts, Window};

    fn query() -> Query {
        Query {
            by: Some(Field::Server),
            ..Query::default()
        }
    }

    fn ended_to(port: u16, last_ns: u64) -> Sample {
        let mut sample = sample(u64::from(port));
        sample.responder.set_port(port);
        (sample.first_ns, sample.last_ns) = (0, last_ns);
        sample
    }

    #[test]
    fn a_request_whose_connection_ended_is_lost_and_waits_no_longer() {
        let mut ended = Ended::by(Field::Server);
        let mut silent = sample(1);
        silent.response = Response {
            answered: 2,
            waiting: 1,
            waiting_since_ns: Some(5),
            ..Response::default()
        };
        silent.orig.packets = 3;
        silent.reply.packets = 2;
        ended.add(&silent, &Nothing, &query());
        ended.add(&silent, &Nothing, &query());
        let mut live = silent;
        live.response.waiting_since_ns = Some(9 * SECOND);
        let mut table = Table::new(8, Timeouts::default());
        table.apply([live], 10 * SECOND);
        let moment = Moment {
            ended: Some(&ended),
            ..Moment::default()
        };
        let rows = rows(&table, &Nothing, &query(), moment);
        let Rows::Groups(groups) = &rows else {
            panic!("{rows:?}");
        };
        let [group] = &groups[..] else {
            panic!("{groups:?}");
        };
        let response = &group.response;
        assert_eq!(
            (group.connections, response.lost, response.waiting),
            (3, 2, 1)
        );
        assert_eq!((group.response.asked(), group.response.answered), (9, 6));
        assert_eq!(group.response.waiting_since_ns, Some(9 * SECOND));
        // The rate is that of the live one alone.
        let rates = table.iter().next().unwrap().rates;
        for window in Window::ALL {
            assert_eq!(group.received_rate(window), rates.orig(window));
            assert_eq!(group.sent_rate(window), rates.reply(window));
        }
    }

    #[test]
    fn only_what_the_query_wants_is_kept() {
        let mut ended = Ended::by(Field::Port);
        let unreplied = Query {
            status: Some(Status::Unreplied),
            ..query()
        };
        let mut silent = sample(1);
        silent.status = Status::Unreplied;
        ended.add(&sample(2), &Nothing, &unreplied);
        ended.add(&silent, &Nothing, &unreplied);
        assert_eq!(
            ended
                .groups()
                .values()
                .map(|group| group.connections)
                .sum::<u64>(),
            1
        );
    }

    #[test]
    fn the_longest_silent_groups_make_room() {
        let mut ended = Ended::with_room(Field::Server, 8);
        for port in 1..=8 {
            // Port 3 is the oldest, then 4.
            let last_ns = if port == 3 {
                0
            } else {
                u64::from(port) + if port < 4 { 100 } else { 0 }
            };
            ended.add(&ended_to(port, last_ns), &Nothing, &query());
            ended.add(&ended_to(port, last_ns), &Nothing, &query());
        }
        assert_eq!((ended.groups.of.len(), ended.forgotten()), (8, 0));
        // Of one that is there, no room is needed.
        ended.add(&ended_to(5, 5), &Nothing, &query());
        assert_eq!((ended.groups.of.len(), ended.forgotten()), (8, 0));
        ended.add(&ended_to(9, 9), &Nothing, &query());
        assert_eq!((ended.groups.of.len(), ended.forgotten()), (7, 4));
        let mut ports: Vec<_> = ended
            .groups
            .of
            .keys()
            .map(|shared| match shared {
                Shared::End(end) => end.port(),
                other => panic!("{other:?}"),
            })
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 2, 5, 6, 7, 8, 9]);
    }
}
