//! The rows of a tab: what is chosen of the connections, in order. Kept from one tick to the next, so that a key press
//! sorts nothing.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::fold::{Fold, Folded, Folds, is_over};
use super::picture::{EndedConnection, Picture};
use super::state::State;
use super::tab::Tab;
use crate::dns;
use crate::listing::{self, Group, Moment, Query};
use crate::model::{
    Connection, ConnectionId, Facts, Ifindex, Place, Processes, QuicFacts, Sample, Table,
};
use crate::model::{Field, Shared};

/// What a row is about, whatever its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowKey {
    /// A connection, live or ended, and where it lies or lay. Another with the same ends has the same id, but began at another time.
    Connection(ConnectionId, u64, Place),
    /// Exchanges that are over.
    Fold(Fold),
    Group(Shared),
    /// A hook, by its place in the report.
    Hook(usize),
    /// A socket.
    Socket((u64, u64)),
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
    folds: HashMap<Fold, Folded>,
    /// Connections that are left out by a filter.
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

    pub fn fold(&self, fold: Fold) -> Option<&Folded> {
        self.folds.get(&fold)
    }

    /// Chooses and sorts.
    /// `servers` are all of them, if they are known already.
    pub fn update(
        &mut self,
        state: &State,
        table: &Table,
        picture: &Picture,
        facts: &dyn Facts,
        servers: Option<Vec<Group>>,
    ) {
        let before = std::mem::take(&mut self.keys);
        self.groups.clear();
        self.folds.clear();
        self.hidden = 0;
        match state.tab {
            Tab::Connections => self.connections(state, table, picture.now_ns, facts),
            Tab::Ended => self.ended(state, picture, facts),
            Tab::Sockets => {
                let keys = picture.sockets().iter().map(|row| row.state.reading.key());
                self.keys = keys.map(RowKey::Socket).collect();
            }
            Tab::Interfaces => self.keys = (0..picture.hooks.len()).map(RowKey::Hook).collect(),
            Tab::Dns => self.dns(state, table, picture, facts, servers),
            Tab::Servers | Tab::Processes | Tab::Hosts => {
                let groups = match servers {
                    Some(servers) if state.shows_all_servers() => {
                        listing::arrange(servers, &state.query, picture.now_ns)
                    }
                    _ => self.grouped(state, &state.query, table, picture, facts),
                };
                self.take_groups(groups);
            }
        }
        if state.frozen {
            self.keep_order(&before);
        }
    }

    fn connections(&mut self, state: &State, table: &Table, now_ns: u64, facts: &dyn Facts) {
        let mut choice = Choice::new(state);
        let moment = Moment {
            now_ns,
            ..Moment::default()
        };
        let folds = Folds::default();
        let is_inside_fold = state.is_inside_fold();
        let plain = table
            .iter()
            .filter(|connection| choice.wants(connection, facts))
            .filter_map(|connection| {
                if !is_inside_fold && is_over(&connection.sample, now_ns) {
                    folds.add(&connection, table, facts);
                    return None;
                }
                Some((RowKey::of(&connection), connection))
            });
        let folded = std::iter::once_with(|| folds.rows(table)).flatten();
        let rows = listing::rows_of(plain.chain(folded), facts, &state.query, moment);
        if let listing::Rows::Connections(keys) = rows {
            self.keys = keys;
        }
        self.folds = folds.finish();
        self.hidden = choice.hidden;
    }

    fn ended(&mut self, state: &State, picture: &Picture, facts: &dyn Facts) {
        let facts = EndedFacts::new(picture, facts);
        let mut choice = Choice::new(state);
        let query = Query {
            unanswered: false,
            ..state.query.clone()
        };
        let chosen = picture
            .ended
            .iter()
            .map(|ended| ended.connection)
            .filter(|connection| choice.wants(connection, &facts))
            .map(|connection| (RowKey::of(&connection), connection));
        if let listing::Rows::Connections(keys) =
            listing::rows_of(chosen, &facts, &query, Moment::default())
        {
            self.keys = keys;
        }
        self.hidden = choice.hidden;
    }

    fn take_groups(&mut self, groups: Vec<Group>) {
        let keys = groups.iter().map(|group| RowKey::Group(group.shared));
        self.keys = keys.collect();
        self.groups = groups;
    }

    /// Servers of DNS, mDNS and LLMNR.
    fn dns(
        &mut self,
        state: &State,
        table: &Table,
        picture: &Picture,
        facts: &dyn Facts,
        servers: Option<Vec<Group>>,
    ) {
        let query = Query {
            top: None,
            ..state.query.clone()
        };
        let mut groups = match servers {
            Some(servers) if state.filter.is_empty() => {
                listing::arrange(servers, &query, picture.now_ns)
            }
            _ => self.grouped(state, &query, table, picture, facts),
        };
        groups.retain(|group| group.dns.is_some() && dns::is_server(&group.shared));
        groups.truncate(state.query.top.unwrap_or(usize::MAX));
        self.take_groups(groups);
    }

    /// Groups are of the whole run; with a filter of what is there now.
    fn grouped(
        &mut self,
        state: &State,
        query: &Query,
        table: &Table,
        picture: &Picture,
        facts: &dyn Facts,
    ) -> Vec<Group> {
        let mut choice = Choice::new(state);
        let field = query.by;
        let moment = Moment {
            now_ns: picture.now_ns,
            ended: field
                .filter(|_| state.filter.is_empty())
                .and_then(|field| picture.ended_by(field)),
            history: (field == Some(Field::Server)).then_some(&picture.servers),
        };
        let chosen = table
            .iter()
            .filter(|connection| choice.wants(connection, facts))
            .map(|connection| ((), connection));
        let rows = listing::rows_of(chosen, facts, query, moment);
        self.hidden = choice.hidden;
        match rows {
            listing::Rows::Groups(groups) => groups,
            listing::Rows::Connections(_) => Vec::new(),
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

/// What the user wants of the connections, and how many that leaves out.
struct Choice<'a> {
    state: &'a State,
    text: String,
    hidden: usize,
}

impl<'a> Choice<'a> {
    fn new(state: &'a State) -> Self {
        Self {
            state,
            text: String::new(),
            hidden: 0,
        }
    }

    fn wants(&mut self, connection: &Connection, facts: &dyn Facts) -> bool {
        let state = self.state;
        let inside = &state.inside;
        if !inside
            .iter()
            .all(|inside| inside.scope.has(connection, facts))
        {
            return false;
        }
        let fits = state.filter.matches(connection, facts, &mut self.text);
        self.hidden += usize::from(!fits);
        fits && state.query.wants(connection, facts)
    }
}

/// The facts of connections that have ended: their places may belong to others now.
struct EndedFacts<'a> {
    facts: &'a dyn Facts,
    ended: HashMap<(Place, u64), &'a EndedConnection>,
}

impl<'a> EndedFacts<'a> {
    fn new(picture: &'a Picture, facts: &'a dyn Facts) -> Self {
        let key = |ended: &'a EndedConnection| {
            let sample = &ended.connection.sample;
            ((sample.place, sample.first_ns), ended)
        };
        Self {
            facts,
            ended: picture.ended.iter().map(key).collect(),
        }
    }
}

impl Facts for EndedFacts<'_> {
    fn interface(&self, index: Ifindex) -> String {
        self.facts.interface(index)
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        let ended = self.ended.get(&(sample.place, sample.first_ns));
        ended.map_or_else(Processes::default, |ended| ended.processes())
    }

    fn quic(&self, sample: &Sample) -> Option<&QuicFacts> {
        let ended = self.ended.get(&(sample.place, sample.first_ns))?;
        ended.known().quic
    }

    fn host_name(&self, address: IpAddr) -> Option<&str> {
        self.facts.host_name(address)
    }

    fn service(&self, port: u16) -> Option<&str> {
        self.facts.service(port)
    }
}
