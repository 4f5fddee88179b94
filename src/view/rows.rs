//! The rows of the table: what is chosen of the connections, in order. Kept from one tick to the next, so that a key press
//! sorts nothing.

use std::collections::{HashMap, HashSet};

use super::picture::Picture;
use super::state::State;
use crate::connection::{Connection, ConnectionId, Facts, Place, Status, Table};
use crate::listing::{self, Group, Moment, Shared};

/// What a row is about, whatever its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowKey {
    /// A connection, live or ended, and where it lies or lay. Another with the same ends has the same id, but began at another time.
    Connection(ConnectionId, u64, Place),
    Group(Shared),
}

impl RowKey {
    pub fn of(connection: &Connection) -> Self {
        let sample = &connection.sample;
        Self::Connection(sample.id, sample.first_ns, sample.place)
    }
}

/// All rows, also those that the screen has no room for.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    keys: Vec<RowKey>,
    /// Beside the keys, when they are groups.
    groups: Vec<Group>,
    /// Live connections that nobody has answered, shown or not.
    pub unanswered: usize,
    /// Rows that are left out by a filter, where rows are connections.
    pub hidden: usize,
}

impl Rows {
    /// What the rows are about, in order.
    pub fn keys(&self) -> &[RowKey] {
        &self.keys
    }

    /// The group in a row.
    pub fn group(&self, row: usize) -> Option<&Group> {
        self.groups.get(row)
    }

    /// Chooses and sorts.
    pub fn update(&mut self, state: &State, table: &Table, picture: &Picture, facts: &dyn Facts) {
        let before = std::mem::take(&mut self.keys);
        let mut text = String::new();
        let (mut unanswered, mut hidden) = (0, 0);
        let ended = picture
            .ended
            .iter()
            .filter(|_| state.ended && state.query.by.is_none())
            .map(|ended| (true, ended.connection));
        let chosen = table
            .iter()
            .map(|connection| (false, connection))
            .chain(ended)
            .filter(|(ended, connection)| {
                let sample = &connection.sample;
                let silent = matches!(sample.status, Status::Unreplied | Status::Unreach);
                unanswered += usize::from(silent && !ended);
                let wanted = state
                    .inside
                    .as_ref()
                    .is_none_or(|inside| inside.shared.has(sample, facts, inside.field))
                    && state.filter.matches(connection, facts, &mut text);
                hidden += usize::from(!wanted);
                wanted
            })
            .map(|(_, connection)| (RowKey::of(&connection), connection));
        let moment = Moment {
            now_ns: picture.now_ns,
            ..Moment::default()
        };
        let rows = listing::rows_of(chosen, facts, &state.query, moment);
        self.unanswered = unanswered;
        self.hidden = hidden;
        self.groups.clear();
        match rows {
            listing::Rows::Connections(keys) => self.keys = keys,
            listing::Rows::Groups(groups) => {
                self.keys = groups
                    .iter()
                    .map(|group| RowKey::Group(group.shared))
                    .collect();
                self.groups = groups;
            }
        }
        if state.frozen {
            self.keep_order(&before);
        }
    }

    /// Puts what was there before where it was; what is new comes after it.
    fn keep_order(&mut self, before: &[RowKey]) {
        let mut places: HashMap<RowKey, usize> = self
            .keys
            .iter()
            .enumerate()
            .map(|(place, key)| (*key, place))
            .collect();
        let known: HashSet<RowKey> = before.iter().copied().collect();
        let order: Vec<usize> = before
            .iter()
            .filter_map(|key| places.remove(key))
            .chain((0..self.keys.len()).filter(|place| !known.contains(&self.keys[*place])))
            .collect();
        self.keys = order.iter().map(|place| self.keys[*place]).collect();
        if !self.groups.is_empty() {
            let mut groups: Vec<Option<Group>> = self.groups.drain(..).map(Some).collect();
            self.groups = order
                .iter()
                .filter_map(|place| groups[*place].take())
                .collect();
        }
    }
}
