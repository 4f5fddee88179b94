//! Which connections are shown, in which order, and grouped by what: the same for text tables, CSV and the live view.
//!
//! Reads the table and the facts, changes neither. Knows no output.

mod ended;
mod group;
mod sort;

use crate::connection::{Connection, Facts, Sample, Status, Table, Window};

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

/// A row of a listing.
#[derive(Clone, Debug)]
pub enum Row<'a> {
    /// One connection.
    Connection(&'a Connection),
    /// Several that share a field.
    Group(Box<Group>),
}

/// Applies a query to the table.
#[must_use]
pub fn rows<'a>(table: &'a Table, facts: &dyn Facts, query: &Query) -> Vec<Row<'a>> {
    rows_since(table, facts, query, None)
}

/// The same, and groups have in them what has ended since they were begun.
#[must_use]
pub fn rows_since<'a>(
    table: &'a Table,
    facts: &dyn Facts,
    query: &Query,
    ended: Option<&Ended>,
) -> Vec<Row<'a>> {
    rows_of(table.iter(), facts, query, ended)
}

/// The same of any connections: what a reader has chosen beside the query, or ended ones that are still shown.
#[must_use]
pub fn rows_of<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    facts: &dyn Facts,
    query: &Query,
    ended: Option<&Ended>,
) -> Vec<Row<'a>> {
    let chosen = connections.filter(|connection| query.wants(connection, facts));
    match query.by {
        None => {
            let chosen = chosen
                .filter(|connection| !query.unanswered || is_unanswered(&connection.sample))
                .collect();
            sort::connections(chosen, facts, query)
        }
        Some(field) => {
            let mut groups = group::groups(chosen, facts, field, ended);
            groups.retain(|group| !query.unanswered || group.unanswered + group.retries() > 0);
            sort::groups(groups, query)
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
