//! Which connections are shown, in which order, and grouped by what: the same for text tables, CSV and the live view.
//!
//! Reads the table and the facts, changes neither. Knows no output.

mod ended;
mod group;
mod sort;

use crate::connection::{Connection, Facts, Place, Sample, Status, Table, Window};

pub use ended::Ended;
pub use group::{Field, Group, Shared};
pub use sort::Key;

/// What a reader wants to see of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only connections of this status.
    pub status: Option<Status>,
    /// Only connections of a process with this name, or this id.
    pub process: Option<String>,
    /// Only rows with requests that nobody has answered; a group also when a packet was sent while one waited.
    pub unanswered: bool,
    /// Connections that share this become one row.
    pub by: Option<Field>,
    /// What the rows are sorted by.
    pub sort: Key,
    /// Over which time the rates are that rows are sorted by.
    pub window: Window,
    /// The other way round than [`Key`] goes by itself.
    pub reverse: bool,
    /// At most so many rows.
    pub top: Option<usize>,
}

/// What a query gives, in its order. Connections are handed out by what their reader finds them by: a table of millions is not copied.
#[derive(Clone, Debug)]
pub enum Rows<T> {
    /// A row for each connection.
    Connections(Vec<T>),
    /// A row for each group of connections that share a field.
    Groups(Vec<Group>),
}

/// Applies a query to the table; groups have in them what has ended since they were begun.
#[must_use]
pub fn rows(table: &Table, facts: &dyn Facts, query: &Query, ended: Option<&Ended>) -> Rows<Place> {
    let placed = |connection: Connection| (connection.sample.place, connection);
    rows_of(table.iter().map(placed), facts, query, ended)
}

/// The same of any connections: what a reader has chosen beside the query, or ended ones that are still shown.
#[must_use]
pub fn rows_of<T>(
    connections: impl Iterator<Item = (T, Connection)>,
    facts: &dyn Facts,
    query: &Query,
    ended: Option<&Ended>,
) -> Rows<T> {
    let chosen = connections.filter(|(_, connection)| query.wants(connection, facts));
    match query.by {
        None => {
            let chosen = chosen
                .filter(|(_, connection)| !query.unanswered || is_unanswered(&connection.sample));
            Rows::Connections(sort::connections(chosen, facts, query))
        }
        Some(field) => {
            let chosen = chosen.map(|(_, connection)| connection);
            let mut groups = group::groups(chosen, facts, field, ended);
            groups.retain(|group| !query.unanswered || group.unanswered + group.retries() > 0);
            Rows::Groups(sort::groups(groups, query))
        }
    }
}

/// Nobody has answered at all, or the latest request waits.
fn is_unanswered(sample: &Sample) -> bool {
    sample.response.waiting > 0 || sample.status == Status::Unreplied
}

impl Query {
    /// Whether a connection is to be shown.
    #[must_use]
    pub fn wants(&self, connection: &Connection, facts: &dyn Facts) -> bool {
        self.wants_sample(&connection.sample, facts)
    }

    /// The same of one that has ended.
    #[must_use]
    pub fn wants_sample(&self, sample: &Sample, facts: &dyn Facts) -> bool {
        self.status.is_none_or(|status| sample.status == status)
            && self.process.as_ref().is_none_or(|wanted| {
                let pid = wanted.parse().ok();
                let processes = facts.processes(sample);
                [processes.originator, processes.responder]
                    .into_iter()
                    .flatten()
                    .any(|owner| owner.command == *wanted || Some(owner.pid) == pid)
            })
    }
}

#[cfg(test)]
mod tests;
