//! DNS servers, as counters that never go down. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::snapshot::Times;
use crate::dns::is_server;
use crate::model::{DnsCounts, Sample, Shared};

/// What a server came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub counts: DnsCounts,
    pub times: Times,
}

impl Server {
    /// Takes in a connection with DNS.
    pub fn add(&mut self, sample: &Sample, dns: DnsCounts) {
        self.counts += dns;
        self.times.add(&sample.response);
    }
}

impl std::ops::AddAssign for Server {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.times += other.times;
    }
}

/// What connections with DNS came to, by server. The first servers have counters of their own for as long as the run lasts, and all
/// for which there is no room have one together: a counter that moved from one to the other would go down.
#[derive(Clone, Debug, Default)]
pub(super) struct Dns {
    /// Of connections that have ended.
    servers: BTreeMap<SocketAddr, Server>,
    other: Server,
    /// Whether there was any.
    is_there: bool,
}

impl Dns {
    /// Takes in a connection that has ended. `room` is for servers with counters of their own.
    pub fn ended(&mut self, sample: &Sample, room: usize) {
        if let Some(dns) = sample.dns {
            self.counters(sample.responder, room).add(sample, dns);
        }
    }

    /// Each with its counters, with those of live connections; what is left is `None`. Nothing where there was no DNS.
    pub fn all(
        &mut self,
        live: &HashMap<SocketAddr, Server>,
        room: usize,
    ) -> Vec<(Option<SocketAddr>, Server)> {
        let mut live: Vec<_> = live.iter().collect();
        // Where there is not room for all that are new, those that are asked most have it.
        live.sort_by_key(|(server, dns)| (std::cmp::Reverse(dns.counts.queries), **server));
        for (server, _) in &live {
            self.counters(**server, room);
        }
        let mut other = self.other;
        let mut all = self.servers.clone();
        for (server, dns) in live {
            *all.get_mut(server).unwrap_or(&mut other) += *dns;
        }
        let all = all.into_iter().map(|(server, dns)| (Some(server), dns));
        let other = self.is_there.then_some((None, other));
        all.chain(other).collect()
    }

    fn counters(&mut self, server: SocketAddr, room: usize) -> &mut Server {
        self.is_there = true;
        let has_room = self.servers.len() < room && is_server(&Shared::End(server));
        if has_room || self.servers.contains_key(&server) {
            self.servers.entry(server).or_default()
        } else {
            &mut self.other
        }
    }
}
