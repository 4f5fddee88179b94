//! Connections that share a field, as one row.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::connection::{Connection, Counts, Facts, Rates, Response, Status};

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
    /// What they share, as it is shown. Names of processes are in it as the system gave them.
    pub label: String,
    /// How many there are.
    pub connections: u64,
    /// How many of these nobody has answered, unreachable ones included.
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
    fn new(label: String, first: &Connection) -> Self {
        Self {
            label,
            connections: 0,
            unanswered: 0,
            orig: Counts::default(),
            reply: Counts::default(),
            rates: Rates::new(first.sample.first_ns),
            response: Response::default(),
            first_ns: first.sample.first_ns,
            last_ns: first.sample.last_ns,
        }
    }

    fn add(&mut self, connection: &Connection) {
        let sample = &connection.sample;
        self.connections += 1;
        self.unanswered += u64::from(matches!(sample.status, Status::Unreplied | Status::Unreach));
        self.orig += sample.orig;
        self.reply += sample.reply;
        self.rates += connection.rates;
        self.response.merge(&sample.response);
        self.first_ns = self.first_ns.min(sample.first_ns);
        self.last_ns = self.last_ns.max(sample.last_ns);
    }

    /// Packets of the originators that found a request waiting: retries, where one packet asks.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.orig.packets.saturating_sub(self.response.asked())
    }
}

/// What the connections of a group share.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Shared {
    Address(IpAddr),
    End(SocketAddr),
    Port(u16),
    Pid(Option<u32>),
    Forwarded,
    Net(IpAddr, u8),
}

impl Shared {
    fn of(connection: &Connection, facts: &dyn Facts, field: Field) -> Self {
        let sample = &connection.sample;
        match field {
            Field::Originator => Self::Address(sample.originator.ip()),
            Field::Responder => Self::End(sample.responder),
            Field::Port => Self::Port(sample.responder.port()),
            Field::Subnet => subnet(sample.responder.ip()),
            Field::Process => {
                let processes = facts.processes(sample);
                if processes.forwarded {
                    Self::Forwarded
                } else {
                    Self::Pid(processes.main().map(|owner| owner.pid))
                }
            }
        }
    }

    fn label(&self, connection: &Connection, facts: &dyn Facts) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::End(end) => end.to_string(),
            Self::Port(port) => port.to_string(),
            Self::Net(address, bits) => format!("{address}/{bits}"),
            Self::Forwarded => "forwarded".to_owned(),
            Self::Pid(_) => facts.processes(&connection.sample).main().map_or_else(
                || "-".to_owned(),
                |owner| format!("{}/{}", owner.command, owner.pid),
            ),
        }
    }
}

fn subnet(address: IpAddr) -> Shared {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Shared::Net(IpAddr::from([a, b, c, 0]), 24)
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Shared::Net(IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 64)
        }
    }
}

/// The groups of these connections, in no particular order.
pub(super) fn groups<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    facts: &dyn Facts,
    field: Field,
) -> Vec<Group> {
    let mut groups: HashMap<Shared, Group> = HashMap::new();
    for connection in connections {
        let shared = Shared::of(connection, facts, field);
        groups
            .entry(shared)
            .or_insert_with_key(|shared| Group::new(shared.label(connection, facts), connection))
            .add(connection);
    }
    groups.into_values().collect()
}
