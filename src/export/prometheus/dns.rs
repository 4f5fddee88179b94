//! DNS servers, as counters: none of them ever goes down. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::dns::is_server;
use crate::model::{DnsCounts, Sample, Shared};

/// What connections with DNS came to, by server. The first servers have counters of their own for as long as the run lasts, and all
/// for which there is no room have one together: a counter that moved from one to the other would go down.
#[derive(Clone, Debug, Default)]
pub(super) struct Dns {
    /// Of connections that have ended.
    servers: BTreeMap<SocketAddr, DnsCounts>,
    other: DnsCounts,
    /// Whether there was any.
    is_there: bool,
}

impl Dns {
    /// Takes in a connection that has ended. `room` is for servers with counters of their own.
    pub fn ended(&mut self, sample: &Sample, room: usize) {
        if let Some(dns) = sample.dns {
            *self.counters(sample.responder, room) += dns;
        }
    }

    /// Each with its counters, with those of live connections; what is left is `None`. Nothing where there was no DNS.
    pub fn all(
        &mut self,
        live: &HashMap<SocketAddr, DnsCounts>,
        room: usize,
    ) -> Vec<(Option<SocketAddr>, DnsCounts)> {
        let mut live: Vec<_> = live.iter().collect();
        // Where there is not room for all that are new, those that are asked most have it.
        live.sort_by_key(|(server, dns)| (std::cmp::Reverse(dns.queries), **server));
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

    fn counters(&mut self, server: SocketAddr, room: usize) -> &mut DnsCounts {
        self.is_there = true;
        let has_room = self.servers.len() < room && is_server(&Shared::End(server));
        if has_room || self.servers.contains_key(&server) {
            self.servers.entry(server).or_default()
        } else {
            &mut self.other
        }
    }
}
