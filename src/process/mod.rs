//! Finds the processes at the ends of a connection, from the sockets that `bpf/` reads from the kernel.
//!
//! What is open is read when there are connections without an owner, and not more often than a hundredth of the time
//! allows; what is closed in between is told by the kernel. An end's owner is kept until its connection has ended and
//! was reported, so a process that is gone still has its name there.

#[cfg(feature = "cli")]
mod bound;
mod cgroups;
mod command_line;
#[cfg(feature = "cli")]
mod holders;
mod links;
mod namespaces;
mod owners;
mod socket;
mod sockets;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

#[cfg(feature = "cli")]
pub use bound::{Bound, EphemeralPorts};
pub use cgroups::cgroup_root;
pub use command_line::command_line;
#[cfg(feature = "cli")]
pub use holders::Holders;
pub use socket::{Closed, Holder, Netns, Socket, Source};

use crate::model::{
    Event, EventKind, Ifindex, Owner, Place, PlaceMap, Processes as Answer, Sample, Table,
};
use namespaces::{Namespaces, Places};
use owners::Owners;
use sockets::{End, Sockets};

const SECOND: u64 = 1_000_000_000;
/// A read is followed by a pause a hundred times as long: a hundredth of one core at most.
const PAUSE_FACTOR: u64 = 100;
const PAUSE_MIN: u64 = SECOND / 10;
/// A connection without an owner is tried again after this, then after twice as long, and so on.
const RETRY_MIN: u64 = SECOND;
const RETRY_MAX: u64 = 64 * SECOND;
/// What was read is not trusted for longer when new connections come: a process may have given its sockets to another.
const FRESH: u64 = 10 * SECOND;
/// The longest time from the first packet of a connection to a scan that has it.
const SCAN_LAG: u64 = 15 * SECOND;

/// Which processes own the ends of the connections that there are.
pub struct Processes {
    source: Box<dyn Source>,
    sockets: Sockets,
    places: Namespaces,
    owners: Owners,
    found: PlaceMap<Found>,
    /// The places of those that have something pending.
    pending: Vec<Place>,
    /// Connections that began before have been seen.
    seen_ns: u64,
    observed_ns: u64,
    next_read_ns: u64,
}

#[derive(Debug, Default)]
struct Found {
    originator: Option<Rc<Owner>>,
    responder: Option<Rc<Owner>>,
    forwarded: bool,
    pending: Option<Pending>,
}

/// What of a connection says whose it is.
#[derive(Clone, Copy, Debug)]
struct Ends {
    place: Place,
    originator: SocketAddr,
    responder: SocketAddr,
    first_ns: u64,
    last_ns: u64,
    ifindex: Ifindex,
}

impl From<&Sample> for Ends {
    fn from(sample: &Sample) -> Self {
        Self {
            place: sample.place,
            originator: sample.originator,
            responder: sample.responder,
            first_ns: sample.first_ns,
            last_ns: sample.last_ns,
            ifindex: sample.ifindex,
        }
    }
}

impl From<&Event> for Ends {
    fn from(event: &Event) -> Self {
        Self {
            place: event.place,
            originator: event.source,
            responder: event.destination,
            first_ns: event.time_ns,
            last_ns: event.time_ns,
            ifindex: event.ifindex,
        }
    }
}

/// What is not known yet of a connection's owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// Nothing that can be known.
    Nothing,
    /// That of an end that may be in another network namespace of this machine.
    Elsewhere,
    /// That of an end of ours, or of both ends.
    Here,
}

/// A connection with an end whose owner is not known yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    due_ns: u64,
    pause_ns: u64,
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes")
            .field("found", &self.found.len())
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Processes {
    /// Reads what is open now.
    pub fn new(source: Box<dyn Source>, now_ns: u64) -> io::Result<Self> {
        let mut processes = Self {
            source,
            sockets: Sockets::default(),
            places: Namespaces::new(),
            owners: Owners::new(),
            found: PlaceMap::default(),
            pending: Vec::new(),
            seen_ns: 0,
            observed_ns: 0,
            next_read_ns: 0,
        };
        processes.read(now_ns)?;
        Ok(processes)
    }

    /// Takes the connections that there are, after a scan. With `last`, nothing is put off: there is no next time.
    pub fn observe(&mut self, table: &Table, now_ns: u64, last: bool) -> io::Result<()> {
        self.take_closed()?;
        for connection in table.begun_since(self.seen_ns) {
            self.take_in(connection.sample.place, now_ns);
        }
        let found = &self.found;
        self.pending.retain(|place| {
            found
                .get(*place)
                .is_some_and(|found| found.pending.is_some())
        });
        // Where a connection was forgotten while it had something pending, another may have come: its place is there twice.
        self.pending.sort_unstable();
        self.pending.dedup();
        let is_due = |place: &&Place| {
            let pending = self.found.get(**place).and_then(|found| found.pending);
            pending.is_some_and(|pending| last || pending.due_ns <= now_ns)
        };
        let due = self
            .pending
            .iter()
            .filter(is_due)
            .filter_map(|place| Some(Ends::from(&table.get(*place)?.sample)))
            .collect();
        self.resolve(due, now_ns, last)?;
        self.seen_ns = now_ns.saturating_sub(SCAN_LAG);
        // A connection of a socket that was closed before the last call was shown in that call's scan at the latest.
        self.sockets.forget(self.observed_ns.saturating_sub(SECOND));
        self.observed_ns = now_ns;
        Ok(())
    }

    /// Takes connections that have just begun, before a scan shows them.
    pub fn announce<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        now_ns: u64,
    ) -> io::Result<()> {
        let mut due = Vec::new();
        for event in events.filter(|event| event.kind == EventKind::New) {
            self.take_in(event.place, now_ns);
            due.push(Ends::from(event));
        }
        if due.is_empty() {
            return Ok(());
        }
        self.take_closed()?;
        self.resolve(due, now_ns, false)
    }

    fn take_closed(&mut self) -> io::Result<()> {
        let closed = self.source.closed()?;
        self.sockets.close(closed);
        Ok(())
    }

    fn take_in(&mut self, place: Place, now_ns: u64) {
        if self.found.get(place).is_none() {
            let found = Found {
                pending: Some(Pending::now(now_ns)),
                ..Found::default()
            };
            self.found.insert(place, found);
            self.pending.push(place);
        }
    }

    fn resolve(&mut self, due: Vec<Ends>, now_ns: u64, last: bool) -> io::Result<()> {
        let may_read = last || now_ns >= self.next_read_ns;
        let is_stale = self.lose_holders()? || now_ns >= self.sockets.read_ns() + FRESH;
        let rest = if is_stale && may_read {
            due
        } else {
            self.match_all(due, now_ns)
        };
        if rest.is_empty() || !may_read {
            return Ok(());
        }
        self.read(now_ns)?;
        for ends in self.match_all(rest, now_ns) {
            let passes = [ends.originator.ip(), ends.responder.ip()]
                .iter()
                .all(|ip| self.places.is_unicast(*ip) && !self.places.is_own(*ip));
            let found = self.found.get_or_insert_with(ends.place, Found::default);
            found.forwarded = passes && found.originator.is_none() && found.responder.is_none();
            if let Some(pending) = &mut found.pending {
                pending.put_off(now_ns);
            }
        }
        Ok(())
    }

    /// A process that has given a socket to another and ended is not named for it any more. Gives whether there was one.
    fn lose_holders(&mut self) -> io::Result<bool> {
        let mut gone = self.sockets.holders();
        gone.retain(|pid| !self.source.is_running(*pid));
        if gone.is_empty() {
            return Ok(false);
        }
        // What a process closes at its end is told before it is gone.
        self.take_closed()?;
        Ok(self.sockets.lose(&gone))
    }

    /// Matches connections with what is known of sockets; gives back those that still have an unknown end.
    fn match_all(&mut self, connections: Vec<Ends>, now_ns: u64) -> Vec<Ends> {
        let mut rest = Vec::new();
        for ends in connections {
            let is_done = match self.match_one(&ends, now_ns) {
                Missing::Nothing => true,
                // One end is known. The other most likely is far away, so it is worth a second look, not a third.
                Missing::Elsewhere => self
                    .found
                    .get(ends.place)
                    .and_then(|found| found.pending)
                    .is_none_or(|pending| pending.pause_ns > RETRY_MIN),
                Missing::Here => false,
            };
            if is_done {
                if let Some(found) = self.found.get_mut(ends.place) {
                    found.pending = None;
                }
            } else {
                rest.push(ends);
            }
        }
        rest
    }

    fn match_one(&mut self, ends: &Ends, now_ns: u64) -> Missing {
        let valid_ns = if self.source.is_complete() {
            now_ns
        } else {
            self.sockets.read_ns()
        };
        let mut owner = |address, peer| {
            let end = End {
                address,
                peer,
                first_ns: ends.first_ns,
                last_ns: ends.last_ns,
                ifindex: ends.ifindex,
            };
            let holder = self
                .sockets
                .find(&end, valid_ns, &mut self.places, now_ns)?;
            Some(self.owners.owner(&holder, now_ns))
        };
        let found = self.found.get_or_insert_with(ends.place, Found::default);
        if found.originator.is_none() {
            found.originator = owner(ends.originator, ends.responder);
        }
        if found.responder.is_none() {
            found.responder = owner(ends.responder, ends.originator);
        }
        let unknown = match (&found.originator, &found.responder) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some(ends.responder.ip()),
            (None, Some(_)) => Some(ends.originator.ip()),
            (None, None) => return Missing::Here,
        };
        found.forwarded = false;
        match unknown {
            Some(ip) if self.places.is_own(ip) => Missing::Here,
            Some(ip) if self.places.is_unicast(ip) && self.places.has_links() => Missing::Elsewhere,
            _ => Missing::Nothing,
        }
    }

    fn read(&mut self, now_ns: u64) -> io::Result<()> {
        let start = Instant::now();
        let open = self.source.open()?;
        self.sockets
            .replace(open, now_ns, now_ns.saturating_sub(SCAN_LAG));
        self.take_closed()?;
        self.places.refresh();
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.next_read_ns = now_ns.saturating_add(took.saturating_mul(PAUSE_FACTOR).max(PAUSE_MIN));
        Ok(())
    }

    /// Forgets a connection that has ended and was reported.
    pub fn forget(&mut self, place: Place) {
        self.found.remove(place);
    }

    /// Originator and responder of a connection have changed places.
    pub fn swap(&mut self, place: Place) {
        if let Some(found) = self.found.get_mut(place) {
            std::mem::swap(&mut found.originator, &mut found.responder);
        }
    }

    /// What is known of a connection.
    #[must_use]
    pub fn of(&self, place: Place) -> Answer<'_> {
        self.found
            .get(place)
            .map_or_else(Answer::default, |found| Answer {
                originator: found.originator.as_deref(),
                responder: found.responder.as_deref(),
                forwarded: found.forwarded,
            })
    }
}

impl Pending {
    fn now(now_ns: u64) -> Self {
        Self {
            due_ns: now_ns,
            pause_ns: RETRY_MIN,
        }
    }

    fn put_off(&mut self, now_ns: u64) {
        self.due_ns = now_ns + self.pause_ns;
        self.pause_ns = (self.pause_ns * 2).min(RETRY_MAX);
    }
}

#[cfg(test)]
mod tests;
