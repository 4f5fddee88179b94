//! Exchanges that are over, as one row: `dig x12`. A client that opens a socket for each request would else fill the screen with what
//! nobody looks for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use super::rows::RowKey;
use crate::model::{Connection, End, Facts, Place, Sample, Status, Table};

/// An exchange is over when it was idle for this time.
const OVER_NS: u64 = 3_000_000_000;
/// One request and one answer; either may have been sent twice.
const PACKETS: u64 = 2;

/// One for the process, so that a program has the same number each time.
static NUMBERS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Which exchanges go into one row: those of one program (where nobody knows it, of one address) with one server, as far as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fold {
    client: Client,
    pub responder: SocketAddr,
    status: Status,
    unreachable: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    /// A number made from its name.
    Program(u64),
    Address(IpAddr),
}

impl Fold {
    pub fn of(sample: &Sample, facts: &dyn Facts) -> Self {
        let owner = facts.processes(sample).originator;
        Self {
            client: match owner {
                Some(owner) => Client::Program(NUMBERS.hash_one(owner.program())),
                None => Client::Address(sample.originator.ip()),
            },
            responder: sample.responder,
            status: sample.status,
            unreachable: sample.unreachable,
        }
    }
}

/// Whether a connection is an exchange that is over.
pub(super) fn is_over(sample: &Sample, now_ns: u64) -> bool {
    now_ns.saturating_sub(sample.last_ns) >= OVER_NS
        && sample.status != Status::Assured
        && sample.orig.packets <= PACKETS
        && sample.reply.packets <= PACKETS
        && sample.response.waiting == 0
}

/// Several exchanges: their sums, as a connection. Its ends and its place are those of the first.
#[derive(Clone, Debug)]
pub(super) struct Folded {
    pub connection: Connection,
    pub count: u64,
    /// Whether the clients have more than one address.
    pub many_clients: bool,
}

impl Folded {
    fn new(connection: &Connection) -> Self {
        Self {
            connection: *connection,
            count: 1,
            many_clients: false,
        }
    }

    fn add(&mut self, other: &Connection) {
        let (mine, theirs) = (&mut self.connection.sample, &other.sample);
        self.count += 1;
        self.many_clients |= mine.originator.ip() != theirs.originator.ip();
        mine.orig += theirs.orig;
        mine.reply += theirs.reply;
        mine.response.merge(&theirs.response);
        mine.dropped += theirs.dropped;
        if let Some(dns) = theirs.dns {
            *mine.dns.get_or_insert_default() += dns;
        }
        // Of several first replies none is that of all.
        mine.first_reply_ns = None;
        mine.first_ns = mine.first_ns.min(theirs.first_ns);
        mine.last_ns = mine.last_ns.max(theirs.last_ns);
        self.connection.rates += other.rates;
    }
}

/// The rows of folded exchanges, gathered while the others pass by.
#[derive(Debug, Default)]
pub(super) struct Folds(RefCell<HashMap<Fold, Slot>>);

/// What is known of a row so far. Most exchanges may be alone: they take little room.
#[derive(Debug)]
enum Slot {
    One(Place),
    Many(Box<Folded>),
}

impl Folds {
    /// Takes in an exchange of this table.
    pub fn add(&self, connection: &Connection, table: &Table, facts: &dyn Facts) {
        let sample = &connection.sample;
        match self.0.borrow_mut().entry(Fold::of(sample, facts)) {
            Entry::Vacant(entry) => {
                entry.insert(Slot::One(sample.place));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Slot::Many(folded) => folded.add(connection),
                Slot::One(place) => {
                    let first = table.get(*place).unwrap_or(*connection);
                    let mut folded = Folded::new(&first);
                    folded.add(connection);
                    entry.insert(Slot::Many(Box::new(folded)));
                }
            },
        }
    }

    /// A row for each; an exchange that is alone is a connection as any other.
    pub fn rows<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (RowKey, Connection)> + 'a {
        let mut alone = Vec::new();
        let mut rows = Vec::new();
        for (fold, slot) in self.0.borrow().iter() {
            match slot {
                Slot::One(place) => alone.push(*place),
                Slot::Many(folded) => rows.push((RowKey::Fold(*fold), folded.connection)),
            }
        }
        let alone = alone.into_iter().filter_map(|place| table.get(place));
        let alone = alone.map(|connection| (RowKey::of(&connection), connection));
        rows.into_iter().chain(alone)
    }

    /// Those that are rows.
    pub fn finish(self) -> HashMap<Fold, Folded> {
        let folds = self.0.into_inner().into_iter();
        folds
            .filter_map(|(fold, slot)| match slot {
                Slot::One(_) => None,
                Slot::Many(folded) => Some((fold, *folded)),
            })
            .collect()
    }
}
