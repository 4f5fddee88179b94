//! Which connections are shown, in which order, and grouped by what: the same for text tables, CSV and the live view.
//!
//! Reads the table and the facts, changes neither. Knows no output.

mod group;
mod sort;

use crate::connection::{Connection, Facts, Status, Table};

pub use group::{Field, Group};
pub use sort::Key;

/// What a reader wants to see of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only connections of this status.
    pub status: Option<Status>,
    /// Only connections of a process with this name, or this id.
    pub process: Option<String>,
    /// Connections that share this become one row.
    pub by: Option<Field>,
    /// What the rows are sorted by.
    pub sort: Key,
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
    let chosen = table
        .iter()
        .filter(|connection| query.wants(connection, facts));
    let mut rows: Vec<Row<'a>> = match query.by {
        None => chosen.map(Row::Connection).collect(),
        Some(field) => group::groups(chosen, facts, field)
            .into_iter()
            .map(|group| Row::Group(Box::new(group)))
            .collect(),
    };
    sort::sort(&mut rows, facts, query);
    rows
}

impl Query {
    /// Whether a connection is to be shown.
    #[must_use]
    pub fn wants(&self, connection: &Connection, facts: &dyn Facts) -> bool {
        let sample = &connection.sample;
        self.status.is_none_or(|status| sample.status == status)
            && self.process.as_ref().is_none_or(|wanted| {
                let processes = facts.processes(sample);
                [processes.originator, processes.responder]
                    .into_iter()
                    .flatten()
                    .any(|owner| owner.command == *wanted || owner.pid.to_string() == *wanted)
            })
    }
}
