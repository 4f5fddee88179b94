//! The known sockets, and which of them belongs to an end of a connection.
//!
//! A name is given only where one process alone can be meant: no name is better than a wrong one.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::namespaces::Places;
use super::socket::{Closed, Holder, Netns, Socket};
use crate::model::Ifindex;

/// Closed sockets that are of no use any more are kept up to this number, or that of the open ones: to forget them takes
/// a walk over all.
const CLOSED_KEPT: usize = 1024;
/// The process that opens sockets for those that it starts.
const INIT: u32 = 1;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub address: SocketAddr,
    pub peer: SocketAddr,
    /// The connection's first and latest packet.
    pub first_ns: u64,
    pub last_ns: u64,
    /// Where it was seen.
    pub ifindex: Ifindex,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    socket: Socket,
    /// The latest time at which it was known not to be there yet.
    absent_ns: u64,
    /// The first time at which it was known to be there.
    seen_ns: u64,
    closed_ns: Option<u64>,
}

/// Sockets by what they are bound and connected to.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    all: Vec<Known>,
    /// Open ones, as positions in `all`.
    open: HashMap<u64, usize>,
    connected: HashMap<(SocketAddr, SocketAddr), Vec<usize>>,
    bound: HashMap<u16, Vec<usize>>,
    closed: usize,
    read_ns: u64,
}

impl Sockets {
    /// When what is open was last read.
    pub fn read_ns(&self) -> u64 {
        self.read_ns
    }

    /// The processes that hold what is open.
    pub fn holders(&self) -> HashSet<u32> {
        let open = self.open.values().map(|at| &self.all[*at].socket);
        open.filter_map(|socket| Some(socket.holder?.pid)).collect()
    }

    /// These processes are gone, and what they had open is not closed: others hold it now, nobody knows who until it is read again.
    /// Gives whether there was any.
    pub fn lose(&mut self, gone: &HashSet<u32>) -> bool {
        let mut lost = false;
        for at in self.open.values() {
            let socket = &mut self.all[*at].socket;
            if socket
                .holder
                .is_some_and(|holder| gone.contains(&holder.pid))
            {
                socket.holder = None;
                lost = true;
            }
        }
        lost
    }

    /// Takes what was open at `now_ns`. Sockets that were closed before `forget_ns` are forgotten.
    pub fn replace(&mut self, open: Vec<Socket>, now_ns: u64, forget_ns: u64) {
        let before = std::mem::take(self);
        self.read_ns = now_ns;
        for socket in open {
            if let Some(at) = self.open.get(&socket.key) {
                let known = &mut self.all[*at].socket;
                known.holder = first_holder(known.holder, socket.holder);
                continue;
            }
            let old = before.open.get(&socket.key).map(|at| before.all[*at]);
            let same = old.filter(|old| is_same(&old.socket, &socket));
            self.add(Known {
                socket,
                absent_ns: same.map_or(before.read_ns, |known| known.absent_ns),
                seen_ns: same.map_or(now_ns, |known| known.seen_ns),
                closed_ns: None,
            });
        }
        for known in before.all {
            if known.closed_ns.is_some_and(|closed| closed >= forget_ns) {
                self.add(known);
            }
        }
    }

    /// Takes what was closed since the last call.
    pub fn close(&mut self, closed: impl IntoIterator<Item = Closed>) {
        for Closed { socket, closed_ns } in closed {
            let known = self.open.get(&socket.key).copied();
            match known.filter(|at| is_same(&self.all[*at].socket, &socket)) {
                // Who held it is known better than who was the last to close it; what it was connected to is known
                // better now.
                Some(at) if self.all[at].socket.peer == socket.peer => {
                    self.all[at].closed_ns = Some(closed_ns);
                    self.open.remove(&socket.key);
                    self.closed += 1;
                }
                at => {
                    let old = at.map(|at| self.all[at]);
                    let holder = old.and_then(|old| old.socket.holder).or(socket.holder);
                    self.add(Known {
                        socket: Socket { holder, ..socket },
                        absent_ns: old.map_or(self.read_ns, |old| old.absent_ns),
                        seen_ns: old.map_or(closed_ns, |old| old.seen_ns),
                        closed_ns: Some(closed_ns),
                    });
                    if let Some(at) = at {
                        self.all[at].closed_ns = Some(closed_ns);
                        self.open.remove(&socket.key);
                        self.closed += 1;
                    }
                }
            }
        }
    }

    /// Forgets the sockets that were closed before `forget_ns`, when they have become many.
    pub fn forget(&mut self, forget_ns: u64) {
        if self.closed <= self.open.len().max(CLOSED_KEPT) {
            return;
        }
        let before = std::mem::take(self);
        self.read_ns = before.read_ns;
        for known in before.all {
            if known.closed_ns.is_none_or(|closed| closed >= forget_ns) {
                self.add(known);
            }
        }
    }

    fn add(&mut self, known: Known) {
        let at = self.all.len();
        let socket = &known.socket;
        match socket.peer {
            Some(peer) => self
                .connected
                .entry((socket.local, peer))
                .or_default()
                .push(at),
            None => self.bound.entry(socket.local.port()).or_default().push(at),
        }
        if known.closed_ns.is_none() {
            self.open.insert(socket.key, at);
        } else {
            self.closed += 1;
        }
        self.all.push(known);
    }

    /// Who holds the socket of this end. Open sockets are as they were at `valid_ns`.
    pub fn find(
        &self,
        end: &End,
        valid_ns: u64,
        places: &mut impl Places,
        now_ns: u64,
    ) -> Option<Holder> {
        let could_be = |at: &usize| {
            let known = &self.all[*at];
            let was_there = known
                .closed_ns
                .map_or(end.first_ns <= valid_ns, |closed| closed >= end.first_ns);
            (was_there && known.absent_ns <= end.last_ns).then_some(*known)
        };
        let pair = (end.address, end.peer);
        let connected = self.connected.get(&pair).into_iter().flatten();
        let connected: Vec<Known> = connected.filter_map(could_be).collect();
        // All four numbers are right: that a namespace without a link to ours has the same ones is out of the question.
        let judgement = judge(&connected, end, places, |_, _| true);
        if judgement != Judgement::Nobody {
            return judgement.holder();
        }
        let bound = self.bound.get(&end.address.port()).into_iter().flatten();
        let bound: Vec<Known> = bound.filter_map(could_be).collect();
        let (exact, any): (Vec<Known>, Vec<Known>) = bound
            .into_iter()
            .partition(|known| !known.socket.local.ip().is_unspecified());
        let exact: Vec<Known> = exact
            .into_iter()
            .filter(|known| known.socket.local == end.address)
            .collect();
        let mut is_linked = |places: &mut _, known: &Known| is_linked(places, known, end, now_ns);
        let judgement = judge(&exact, end, places, &mut is_linked);
        if judgement != Judgement::Nobody {
            return judgement.holder();
        }
        let own = places.own();
        let is_own = places.is_own(end.address.ip());
        let any: Vec<Known> = any
            .into_iter()
            .filter(|known| takes(&known.socket, end.address))
            .filter(|known| known.socket.netns != own || is_own)
            .collect();
        judge(&any, end, places, &mut is_linked).holder()
    }
}

fn is_linked<P: Places>(places: &mut P, known: &Known, end: &End, now_ns: u64) -> bool {
    let socket = &known.socket;
    // The id of a process that may be gone may be another's.
    let pid = socket
        .holder
        .filter(|_| socket.at_home && known.closed_ns.is_none())
        .map(|holder| holder.pid);
    places.is_linked(socket.netns, pid, end.address.ip(), now_ns)
}

/// Whether a socket bound to no address takes packets for this one.
fn takes(socket: &Socket, address: SocketAddr) -> bool {
    match (socket.local.is_ipv4(), address.is_ipv4()) {
        (true, true) | (false, false) => true,
        (false, true) => !socket.only_ipv6,
        (true, false) => false,
    }
}

/// What equally good candidates say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// None of them can be it: worse candidates may be asked.
    Nobody,
    One(Holder),
    /// It is one of several, or its process is not known.
    Unsure,
}

impl Judgement {
    fn holder(self) -> Option<Holder> {
        match self {
            Self::One(holder) => Some(holder),
            Self::Nobody | Self::Unsure => None,
        }
    }
}

/// Our own namespace comes first; others are asked only for addresses that are not ours, and where they `may_be` right.
fn judge<P: Places>(
    candidates: &[Known],
    end: &End,
    places: &mut P,
    mut may_be: impl FnMut(&mut P, &Known) -> bool,
) -> Judgement {
    let own = places.own();
    let (here, there): (Vec<Known>, Vec<Known>) = candidates
        .iter()
        .partition(|known| known.socket.netns == own);
    if !here.is_empty() {
        return one_holder(&here, end);
    }
    if places.is_own(end.address.ip()) {
        return Judgement::Nobody;
    }
    let there: Vec<Known> = there
        .into_iter()
        .filter(|known| may_be(places, known))
        .collect();
    let Some(first) = there.first() else {
        return Judgement::Nobody;
    };
    let netns: Netns = first.socket.netns;
    if there.iter().any(|known| known.socket.netns != netns) {
        return Judgement::Unsure;
    }
    one_holder(&there, end)
}

/// The one holder of all sockets that were there when the connection began.
fn one_holder(candidates: &[Known], end: &End) -> Judgement {
    // A socket that was closed later certainly was there before another took its place, so it comes before those of which
    // it is only known that they were there later.
    let first_closed = candidates.iter().filter_map(|known| known.closed_ns).min();
    let likely: Vec<&Known> = candidates
        .iter()
        .filter(|known| {
            first_closed.is_none()
                || known.closed_ns == first_closed
                || known.seen_ns <= end.first_ns
        })
        .collect();
    let on_device = |known: &&&Known| known.socket.device == Some(end.ifindex);
    let device: Vec<&Known> = likely.iter().filter(on_device).copied().collect();
    let likely = if device.is_empty() { likely } else { device };
    let mut holders = likely.iter().map(|known| known.socket.holder);
    match holders.next() {
        Some(Some(holder)) if holders.all(|other| other == Some(holder)) => Judgement::One(holder),
        _ => Judgement::Unsure,
    }
}

/// Of several processes that have one socket open, the one to name: who had it first and gave it to others, so the oldest,
/// unless that is the process that opens sockets for the services that it starts.
pub(super) fn first_holder(one: Option<Holder>, other: Option<Holder>) -> Option<Holder> {
    let (Some(one), Some(other)) = (one, other) else {
        return one.or(other);
    };
    let age = |holder: &Holder| (holder.pid == INIT, holder.started_ns, holder.pid);
    Some(std::cmp::min_by_key(one, other, age))
}

/// Whether a record of a socket and a later one speak of the same: the kernel uses addresses again.
fn is_same(one: &Socket, later: &Socket) -> bool {
    one.netns == later.netns && one.local.port() == later.local.port()
}

#[cfg(test)]
mod tests;
