//! Listings: which connections, in which order, in which groups and columns; the same for text tables, CSV and the live view.
//!
//! Reads the table and the facts, changes neither. Knows no output.

mod columns;
mod distinct;
mod ended;
mod group;
mod grouping;
mod history;
mod interfaces;
mod losses;
mod program;
mod sheets;
mod sort;
mod speech;
mod state;
mod values;

use crate::model::services::OneWayPorts;
use crate::model::{Connection, Facts, Field, Place, Protocol, Sample, Status, Table, Window};

pub use crate::model::SortKey as Key;
pub use columns::Column;
pub use distinct::Distinct;
pub use ended::Ended;
pub use group::{Group, RoundTrips};
pub use grouping::Grouping;
pub use history::History;
pub use interfaces::Interfaces;
pub use losses::{LossRow, LossRows};
pub use program::{Programs, Running};
pub use sheets::{DNS, ENDED, HOOKS, SOCKETS, Sheet};
pub use speech::Speech;
pub use state::{State, Traffic, is_answers_only};
pub use values::{ConnectionRow, Known, Number, Row, Units, Value, Values, is_late};

/// A request that has waited for this time is a row of `unanswered`.
const LONG_WAIT_NS: u64 = 1_000_000_000;

/// What a reader wants to see of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Show only connections of this status.
    pub status: Option<Status>,
    /// Only connections of a process with this name, or this id.
    pub process: Option<String>,
    /// Show only connections with this protocol, whether they say so or the port makes it likely.
    pub proto: Option<Protocol>,
    /// Only rows whose requests get no answer: dead, refused, lossy, or with one that has waited for more than a second.
    pub unanswered: bool,
    /// Only connections with DNS messages.
    pub dns: bool,
    /// Connections that share this become one row.
    pub by: Option<Field>,
    /// What the rows are sorted by.
    pub sort: Key,
    /// Over which time the rates are that rows are sorted by.
    pub window: Window,
    /// The other way round than [`Key`] goes by itself.
    pub reverse: bool,
    /// The most rows.
    pub top: Option<usize>,
    /// Services that never answer.
    pub one_way_ports: OneWayPorts,
}

/// What is known beside the connections that are live.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment<'a> {
    /// The clock: nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// What has ended, by the same field: groups have it in them.
    pub ended: Option<&'a Ended>,
    /// How the groups of the same field stood at the latest tick: their states are those. Else they are judged by the whole.
    pub history: Option<&'a History>,
}

/// What a query gives, in its order. Connections are handed out by what their reader finds them by: a table of millions is not copied.
#[derive(Clone, Debug)]
pub enum Rows<T> {
    /// A row for each connection.
    Connections(Vec<T>),
    /// A row for each group of connections that share a field.
    Groups(Vec<Group>),
}

/// Applies a query to the table.
#[must_use]
pub fn rows(table: &Table, facts: &dyn Facts, query: &Query, moment: Moment<'_>) -> Rows<Place> {
    let placed = |connection: Connection| (connection.sample.place, connection);
    rows_of(table.iter().map(placed), facts, query, moment)
}

/// The same of any connections: what a reader has chosen beside the query, or ended ones that are still shown.
#[must_use]
pub fn rows_of<T>(
    connections: impl Iterator<Item = (T, Connection)>,
    facts: &dyn Facts,
    query: &Query,
    moment: Moment<'_>,
) -> Rows<T> {
    let Some(field) = query.by else {
        let chosen = connections
            .filter(|(_, connection)| query.wants(connection, facts))
            .filter(|(_, connection)| {
                !query.unanswered || query.is_unanswered(&connection.sample, moment.now_ns)
            });
        return Rows::Connections(sort::connections(chosen, facts, query));
    };
    let connections = connections.map(|(_, connection)| connection);
    let mut groups = groups(connections, facts, query, field, moment.ended);
    if let Some(history) = moment.history {
        for group in &mut groups {
            group.state = history.state(&group.shared).unwrap_or(group.state);
        }
    }
    Rows::Groups(arrange(groups, query, moment.now_ns))
}

/// All groups of the connections that a query wants, in no particular order: for [`History::tick`], then [`arrange`].
#[must_use]
pub fn groups(
    connections: impl Iterator<Item = Connection>,
    facts: &dyn Facts,
    query: &Query,
    field: Field,
    ended: Option<&Ended>,
) -> Vec<Group> {
    let chosen = connections.filter(|connection| query.wants(connection, facts));
    group::groups(chosen, facts, field, &query.one_way_ports, ended)
}

/// Of these groups the rows that a query wants, in its order.
#[must_use]
pub fn arrange(mut groups: Vec<Group>, query: &Query, now_ns: u64) -> Vec<Group> {
    if query.unanswered {
        groups.retain(|group| group.is_unanswered(now_ns));
    }
    sort::groups(groups, query)
}

/// Whether a request has waited for long.
fn waits_long(wait_ns: Option<u64>) -> bool {
    wait_ns.is_some_and(|wait_ns| wait_ns > LONG_WAIT_NS)
}

impl Group {
    /// Whether requests got no answer, or one has waited for more than a second for it.
    #[must_use]
    pub fn is_unanswered(&self, now_ns: u64) -> bool {
        let is_unanswered = match self.state {
            // Some of its requests may have been answered none the less.
            State::Dropping => self.lost().is_some_and(|lost| lost > 0),
            state => state.is_unanswered(),
        };
        is_unanswered || waits_long(self.wait_ns(now_ns))
    }
}

impl Query {
    /// Whether a connection is to be shown.
    #[must_use]
    pub fn wants(&self, connection: &Connection, facts: &dyn Facts) -> bool {
        self.wants_sample(&connection.sample, facts)
    }

    /// Whether a connection is one whose requests get no answer.
    fn is_unanswered(&self, sample: &Sample, now_ns: u64) -> bool {
        Group::alone(sample, &self.one_way_ports).is_unanswered(now_ns)
    }

    /// The same of one that has ended.
    #[must_use]
    pub fn wants_sample(&self, sample: &Sample, facts: &dyn Facts) -> bool {
        let speaks = |wanted| {
            sample
                .spoken()
                .is_some_and(|spoken| spoken.protocol == wanted)
        };
        (!self.dns || sample.dns.is_some())
            && self.status.is_none_or(|status| sample.status == status)
            && self.proto.is_none_or(speaks)
            && self.process.as_ref().is_none_or(|wanted| {
                let processes = facts.processes(sample);
                [processes.originator, processes.responder]
                    .into_iter()
                    .flatten()
                    .any(|owner| owner.is(wanted))
            })
    }
}

#[cfg(test)]
mod tests;
