//! Finds the roles that packets alone do not show: for connections that were there before the run, for those whose ends talked before, and
//! of answers that come from elsewhere. What is found out is kept in the kernel's table, before anybody is told of the connection.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::Run;
use crate::interface;
use crate::model::services::{SERVICES, Services};
use crate::model::{
    Amendment, Change, Ended, Evidence, Place, answers_from_elsewhere, judge_roles,
};
use crate::process::Bound;

const SECOND: u64 = 1_000_000_000;
/// What is seen so early in a run may have been there before it.
const EARLY_NS: u64 = 2 * SECOND;
/// How long sockets may still show the originator.
const JUDGED_NS: u64 = 5 * SECOND;
/// An answer from elsewhere may be first seen one walk after it came.
const LAG_NS: u64 = SECOND;
/// Ports below are given to services by IANA, and only root may take them.
const SYSTEM_PORTS: u16 = 1024;

/// How many connections that have ended say who asks when their ends talk again: a part of those that there is room for.
pub(super) fn predecessors(max_connections: u64) -> usize {
    const PART: u64 = 4;
    let room = (max_connections / PART).clamp(1024, 65_536);
    usize::try_from(room).unwrap_or(usize::MAX)
}

struct Known {
    sockets: Bound,
    services: Services,
    /// How many connections have an end.
    ends: HashMap<SocketAddr, u32>,
}

impl Evidence for Known {
    fn is_bound(&self, end: SocketAddr) -> bool {
        self.sockets.is_bound(end)
    }

    fn is_connected(&self, end: SocketAddr, peer: SocketAddr) -> bool {
        self.sockets.is_connected(end, peer)
    }

    fn is_service(&self, port: u16) -> bool {
        port < SYSTEM_PORTS || self.services.name(port).is_some()
    }

    fn is_ephemeral(&self, port: u16) -> bool {
        self.sockets.is_ephemeral(port)
    }

    fn connections(&self, end: SocketAddr) -> u32 {
        self.ends.get(&end).copied().unwrap_or_default()
    }
}

impl Run {
    /// Puts right who asks whom, of what has begun since about `since_ns`; gives the places of connections whose ends have changed roles.
    pub(super) fn settle_roles(
        &mut self,
        ended: &[Ended],
        since_ns: u64,
        now_ns: u64,
    ) -> Result<Vec<Place>> {
        for ended in ended {
            self.predecessors.add(&ended.sample);
        }
        let mut amendments = self.judge_by_others(since_ns);
        if now_ns < self.began_ns + JUDGED_NS && !self.tracker.is_resumed() {
            add(&mut amendments, self.judge_early());
        }
        self.amend_roles(&amendments)
    }

    /// The same at the end of a run, whose last answers came after its last tick.
    pub(super) fn settle_last_roles(&mut self, since_ns: u64) -> Result<Vec<Place>> {
        let amendments = self.judge_by_others(since_ns);
        self.amend_roles(&amendments)
    }

    /// What other connections say: one that was asked and answered elsewhere, or the one before of the same ends.
    fn judge_by_others(&self, since_ns: u64) -> Vec<Amendment> {
        let since_ns = since_ns.saturating_sub(LAG_NS);
        let is_ephemeral = |port| self.ephemeral_ports.has(port);
        let mut amendments = answers_from_elsewhere(&self.table, since_ns, is_ephemeral);
        let begun = self.table.begun_since(since_ns).filter_map(|connection| {
            let change = self.predecessors.judge(&connection.sample)?;
            Some(Amendment::of(&connection.sample, change))
        });
        add(&mut amendments, begun);
        amendments
    }

    fn amend_roles(&mut self, amendments: &[Amendment]) -> Result<Vec<Place>> {
        if amendments.is_empty() {
            return Ok(Vec::new());
        }
        self.tracker.amend(amendments)?;
        let swapped = amendments.iter().filter_map(|amendment| {
            matches!(amendment.change, Change::Role { swap: true, .. }).then_some(amendment.place)
        });
        let swapped: Vec<Place> = swapped.collect();
        for place in &swapped {
            self.table.swap(*place);
            self.knowledge.processes.swap(*place);
        }
        Ok(swapped)
    }

    fn judge_early(&self) -> impl Iterator<Item = Amendment> + '_ {
        let early = || self.table.begun_before(self.began_ns + EARLY_NS);
        let mut ends: HashMap<SocketAddr, u32> = HashMap::new();
        for connection in early() {
            for end in [connection.sample.originator, connection.sample.responder] {
                *ends.entry(end).or_default() += 1;
            }
        }
        let known = Known {
            sockets: if self.plan.is_replay() {
                Bound::default()
            } else {
                Bound::read(interface::addresses())
            },
            services: Services::read(Path::new(SERVICES)),
            ends,
        };
        early().filter_map(move |connection| {
            let sample = connection.sample;
            Some(Amendment::of(&sample, judge_roles(&sample, &known)?))
        })
    }
}

/// Adds those of connections that have none yet: the surest come first.
fn add(amendments: &mut Vec<Amendment>, others: impl Iterator<Item = Amendment>) {
    let amended: HashSet<Place> = amendments.iter().map(|one| one.place).collect();
    amendments.extend(others.filter(|other| !amended.contains(&other.place)));
}
