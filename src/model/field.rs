//! What connections are grouped by, and what those of a group share.

use std::net::{IpAddr, SocketAddr};

use super::facts::Facts;
use super::key::Ifindex;
use super::name::Name;
use super::protocol::Spoken;
use super::record::Sample;

/// What connections are grouped by: for `--by`, whose help the first paragraphs are, in rules of alerts, and in the live view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Field {
    /// Address and port of the responder: one server.
    #[cfg_attr(feature = "cli", value(alias = "responder"))]
    Server,
    /// Program at the end on this machine.
    ///
    /// Processes by their name.
    Process,
    /// The address of either end.
    ///
    /// A connection is in the groups of both.
    Host,
    /// The interface that the packets cross.
    #[cfg_attr(feature = "cli", value(alias = "iface"))]
    Interface,
    /// Port of the responder: one service.
    Port,
    /// Network of the responder: /24, or /64 for IPv6.
    Subnet,
    /// Protocol: `dns`, `quic`; `dns?` if only the port suggests it.
    #[cfg_attr(feature = "cli", value(alias = "protocol"))]
    Proto,
    /// Address of the originator.
    #[cfg_attr(feature = "cli", value(aliases = ["client", "orig"]))]
    Originator,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Server,
        Self::Process,
        Self::Host,
        Self::Interface,
        Self::Port,
        Self::Subnet,
        Self::Proto,
        Self::Originator,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Process => "process",
            Self::Host => "host",
            Self::Interface => "interface",
            Self::Port => "port",
            Self::Subnet => "subnet",
            Self::Proto => "proto",
            Self::Originator => "originator",
        }
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
    /// A program, by its name.
    Program(Name),
    /// Both ends are elsewhere.
    Forwarded,
    /// Nobody knows the process.
    Unknown,
    /// What is spoken, if that is known.
    Spoken(Option<Spoken>),
    /// A network and the bits of its prefix.
    Subnet(IpAddr, u8),
    /// One interface, by its name.
    Interface(Name),
}

/// At which end of a connection a group stands: what it receives is what the other end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that sent first.
    Originator,
    /// The other.
    Responder,
    /// Both ends are one: it sends and receives everything.
    Both,
}

impl Shared {
    /// The groups that a connection is in: one, or two of hosts and of interfaces.
    pub fn of(sample: &Sample, facts: &dyn Facts, field: Field) -> [Option<(Self, Side)>; 2] {
        let (from, to) = (sample.originator, sample.responder);
        let at_responder = |shared| [Some((shared, Side::Responder)), None];
        match field {
            Field::Server => at_responder(Self::End(to)),
            Field::Port => at_responder(Self::Port(to.port())),
            Field::Subnet => at_responder(subnet(to.ip())),
            Field::Proto => at_responder(Self::Spoken(sample.spoken())),
            Field::Originator => [Some((Self::Address(from.ip()), Side::Originator)), None],
            Field::Host if from.ip() == to.ip() => {
                [Some((Self::Address(to.ip()), Side::Both)), None]
            }
            Field::Host => [
                Some((Self::Address(to.ip()), Side::Responder)),
                Some((Self::Address(from.ip()), Side::Originator)),
            ],
            Field::Interface => {
                Self::interfaces(sample, |index| Name::new(&facts.interface(index)))
            }
            Field::Process => {
                let processes = facts.processes(sample).in_tables(sample);
                let program = |name: &str| Self::Program(Name::new(name));
                let shared = match (processes.originator, processes.responder) {
                    (Some(owner), _) => (program(owner.program()), Side::Originator),
                    (None, Some(owner)) => (program(owner.program()), Side::Responder),
                    _ if processes.forwarded => (Self::Forwarded, Side::Responder),
                    _ => (Self::Unknown, Side::Responder),
                };
                [Some(shared), None]
            }
        }
    }

    /// The interfaces of a connection.
    pub fn interfaces(
        sample: &Sample,
        mut name: impl FnMut(Ifindex) -> Name,
    ) -> [Option<(Self, Side)>; 2] {
        let reply = sample.reply_ifindex.filter(|one| *one != sample.ifindex);
        [
            Some((Self::Interface(name(sample.ifindex)), Side::Responder)),
            reply.map(|reply| (Self::Interface(name(reply)), Side::Originator)),
        ]
    }

    /// The same, without the end that it stands at.
    pub fn each(
        sample: &Sample,
        facts: &dyn Facts,
        field: Field,
    ) -> impl Iterator<Item = Self> + use<> {
        let groups = Self::of(sample, facts, field).into_iter().flatten();
        groups.map(|(shared, _)| shared)
    }

    /// Whether a connection is in this group of those by `field`.
    #[must_use]
    pub fn has(&self, sample: &Sample, facts: &dyn Facts, field: Field) -> bool {
        let mut groups = Self::of(sample, facts, field).into_iter().flatten();
        groups.any(|(shared, _)| shared == *self)
    }

    /// The same for people. Names are in it as the system gave them: hostile input for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::End(end) => end.to_string(),
            Self::Port(port) => port.to_string(),
            Self::Subnet(address, bits) => format!("{address}/{bits}"),
            Self::Program(name) | Self::Interface(name) => name.name().to_owned(),
            Self::Forwarded => "forwarded".to_owned(),
            Self::Spoken(Some(spoken)) => spoken.to_string(),
            Self::Spoken(None) | Self::Unknown => "-".to_owned(),
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
