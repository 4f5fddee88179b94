//! Connections that share a field, as one row.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::ended::Ended;
use crate::connection::{Connection, Counts, Facts, Rates, Response, Sample};

/// What connections are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Address of the originator.
    Originator,
    /// Address and port of the responder: one server.
    Responder,
    /// Port of the responder: one service.
    Port,
    /// Process at the local end.
    Process,
    /// Network of the responder: /24 for IPv4, /64 for IPv6.
    Subnet,
}

/// Several connections together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they share.
    pub shared: Shared,
    /// The same as it is shown. Names of processes are in it as the system gave them.
    pub label: String,
    /// How many there are.
    pub connections: u64,
    /// Requests that no answer has come to: those that still wait, and those whose connection ended without one.
    pub unanswered: u64,
    /// From originators to responders.
    pub orig: Counts,
    /// From responders to originators.
    pub reply: Counts,
    /// How fast they are together.
    pub rates: Rates,
    /// Their response times together.
    pub response: Response,
    /// The first packet of the oldest.
    pub first_ns: u64,
    /// The latest packet of any.
    pub last_ns: u64,
}

impl Group {
    fn new(shared: Shared, label: String, first: &Sample) -> Self {
        Self {
            shared,
            label,
            connections: 0,
            unanswered: 0,
            orig: Counts::default(),
            reply: Counts::default(),
            rates: Rates::new(first.first_ns),
            response: Response::default(),
            first_ns: first.first_ns,
            last_ns: first.last_ns,
        }
    }

    fn add(&mut self, connection: &Connection) {
        self.add_sample(&connection.sample);
        self.rates += connection.rates;
    }

    fn add_sample(&mut self, sample: &Sample) {
        self.connections += 1;
        self.unanswered += sample.response.waiting;
        self.orig += sample.orig;
        self.reply += sample.reply;
        self.response.merge(&sample.response);
        self.first_ns = self.first_ns.min(sample.first_ns);
        self.last_ns = self.last_ns.max(sample.last_ns);
    }

    /// Takes in a connection that has ended: a request that waited then waits no longer, it stays unanswered.
    pub(super) fn add_ended(&mut self, sample: &Sample) {
        let mut sample = *sample;
        sample.response.waiting_since_ns = None;
        self.add_sample(&sample);
    }

    /// A group for a sample that is still to be added.
    pub(super) fn of(sample: &Sample, shared: Shared, facts: &dyn Facts) -> Self {
        let label = shared.label(sample, facts);
        Self::new(shared, label, sample)
    }

    /// Packets of the originators that found a request waiting: retries, where one packet asks.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.orig.packets.saturating_sub(self.response.asked())
    }
}

/// What the connections of a group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shared {
    /// One address.
    Address(IpAddr),
    /// An address and its port.
    End(SocketAddr),
    /// One port.
    Port(u16),
    /// A process, by its id.
    Process(u32),
    /// Both ends are elsewhere.
    Forwarded,
    /// Nobody knows the process.
    Unknown,
    /// A network and the bits of its prefix.
    Subnet(IpAddr, u8),
}

impl Shared {
    /// What a connection would share with others in a group by `field`.
    #[must_use]
    pub fn of(sample: &Sample, facts: &dyn Facts, field: Field) -> Self {
        match field {
            Field::Originator => Self::Address(sample.originator.ip()),
            Field::Responder => Self::End(sample.responder),
            Field::Port => Self::Port(sample.responder.port()),
            Field::Subnet => subnet(sample.responder.ip()),
            Field::Process => {
                let processes = facts.processes(sample);
                match processes.main() {
                    Some(owner) => Self::Process(owner.pid),
                    None if processes.forwarded => Self::Forwarded,
                    None => Self::Unknown,
                }
            }
        }
    }

    fn label(&self, sample: &Sample, facts: &dyn Facts) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::End(end) => end.to_string(),
            Self::Port(port) => port.to_string(),
            Self::Subnet(address, bits) => format!("{address}/{bits}"),
            Self::Forwarded => "forwarded".to_owned(),
            Self::Unknown => "-".to_owned(),
            Self::Process(pid) => facts.processes(sample).main().map_or_else(
                || pid.to_string(),
                |owner| format!("{}/{}", owner.command, owner.pid),
            ),
        }
    }
}

fn subnet(address: IpAddr) -> Shared {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Shared::Subnet(IpAddr::from([a, b, c, 0]), 24)
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Shared::Subnet(IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 64)
        }
    }
}

/// The groups of these connections and of those that have ended, in no particular order.
pub(super) fn groups(
    connections: impl Iterator<Item = Connection>,
    facts: &dyn Facts,
    field: Field,
    ended: Option<&Ended>,
) -> Vec<Group> {
    let mut groups: HashMap<Shared, Group> = ended.map(Ended::groups).unwrap_or_default();
    for connection in connections {
        let sample = &connection.sample;
        groups
            .entry(Shared::of(sample, facts, field))
            .or_insert_with_key(|shared| Group::of(sample, *shared, facts))
            .add(&connection);
    }
    groups.into_values().collect()
}
