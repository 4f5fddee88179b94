//! The tree of a filter, and whether a connection fits it.
//!
//! The parser bounds its size and depth (`parser::MAX_PRIMITIVES`), so walking it down may recurse.

use std::net::{IpAddr, SocketAddr};

use super::Subject;
use crate::model::{Family, Protocol, Status};

/// A filter's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// One question.
    Primitive(Primitive),
    /// The contrary.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// One at least.
    Or(Box<Self>, Box<Self>),
}

/// One question about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// `udp`: everything that udptrack sees.
    Udp,
    /// `ip`, `ip6`.
    Family(Family),
    /// `host`, `net`: an address in a net, and at which ends.
    Net(Ends, Net),
    /// `port`, `portrange`: the least and the largest port, and at which ends.
    Ports(Ends, u16, u16),
    /// `vlan`: any tag, or one with this identifier.
    Vlan(Option<u16>),
    /// `status`.
    Status(Status),
    /// `process`: a name, or the decimal digits of an id.
    Process(String),
    /// `proto`: what is spoken, or what the port makes likely.
    Proto(Protocol),
}

/// Which ends of a connection are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// One of them: no word before, or `src or dst`.
    Either,
    /// The originator: `src`.
    Source,
    /// The responder: `dst`.
    Destination,
    /// `src and dst`.
    Both,
}

impl Ends {
    fn hold(self, subject: &Subject<'_>, holds: impl Fn(SocketAddr) -> bool) -> bool {
        let (source, destination) = (subject.originator, subject.responder);
        match self {
            Self::Either => holds(source) || holds(destination),
            Self::Source => holds(source),
            Self::Destination => holds(destination),
            Self::Both => holds(source) && holds(destination),
        }
    }
}

/// A net: its first address and the length of its prefix. Bits behind the prefix are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Its first address.
    pub address: IpAddr,
    /// Bits of the prefix, at most 32 or 128.
    pub bits: u8,
}

impl Net {
    /// A net of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }

    /// The net of an address, by the length of its prefix.
    #[must_use]
    pub fn around(address: IpAddr, bits: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask4(bits)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask6(bits)).into()),
        };
        Self { address, bits }
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.address) && Self::around(address, self.bits) == self
    }
}

/// The bits of an IPv4 prefix.
pub(super) fn mask4(bits: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(bits.min(32)))
        .unwrap_or(0)
}

/// The bits of an IPv6 prefix.
pub(super) fn mask6(bits: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(bits.min(128)))
        .unwrap_or(0)
}

impl Primitive {
    pub(super) fn is_directed(&self) -> bool {
        matches!(
            self,
            Self::Net(Ends::Source | Ends::Destination, _)
                | Self::Ports(Ends::Source | Ends::Destination, ..)
        )
    }

    fn wants(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Udp => true,
            Self::Family(family) => Family::of(subject.originator.ip()) == *family,
            Self::Net(ends, net) => ends.hold(subject, |end| net.contains(end.ip())),
            Self::Ports(ends, low, high) => {
                ends.hold(subject, |end| (*low..=*high).contains(&end.port()))
            }
            Self::Vlan(id) => subject
                .vlans
                .iter()
                .any(|tag| id.is_none_or(|id| id == tag)),
            Self::Status(status) => subject.status == Some(*status),
            Self::Proto(wanted) => subject
                .spoken
                .is_some_and(|spoken| spoken.protocol == *wanted),
            Self::Process(wanted) => [subject.processes.originator, subject.processes.responder]
                .into_iter()
                .flatten()
                .any(|owner| owner.is(wanted)),
        }
    }
}

impl Expression {
    pub(super) fn wants(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Primitive(primitive) => primitive.wants(subject),
            Self::Not(inner) => !inner.wants(subject),
            Self::And(left, right) => left.wants(subject) && right.wants(subject),
            Self::Or(left, right) => left.wants(subject) || right.wants(subject),
        }
    }

    pub(super) fn any(&self, holds: &dyn Fn(&Primitive) -> bool) -> bool {
        match self {
            Self::Primitive(primitive) => holds(primitive),
            Self::Not(inner) => inner.any(holds),
            Self::And(left, right) | Self::Or(left, right) => left.any(holds) || right.any(holds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(address: &str, bits: u8) -> Net {
        Net::around(address.parse().unwrap(), bits)
    }

    #[test]
    fn prefixes_of_every_length() {
        assert_eq!(
            net("255.255.255.255", 0).address,
            "0.0.0.0".parse::<IpAddr>().unwrap()
        );
        assert_eq!(
            net("255.255.255.255", 9).address,
            "255.128.0.0".parse::<IpAddr>().unwrap()
        );
        assert_eq!(net("ffff::1", 128), Net::host("ffff::1".parse().unwrap()));
        assert_eq!(
            net("ffff:ffff::1", 17).address,
            "ffff:8000::".parse::<IpAddr>().unwrap()
        );
        assert_eq!(net("ffff::1", 0).address, "::".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_net_has_addresses_of_its_family_only() {
        assert!(net("0.0.0.0", 0).contains("1.2.3.4".parse().unwrap()));
        assert!(!net("0.0.0.0", 0).contains("::1.2.3.4".parse().unwrap()));
        assert!(!net("::", 0).contains("1.2.3.4".parse().unwrap()));
        assert!(net("10.0.0.0", 8).contains("10.255.0.1".parse().unwrap()));
        assert!(!net("10.0.0.0", 8).contains("11.0.0.0".parse().unwrap()));
        assert!(net("fd88::", 64).contains("fd88::ffff:0:0:1".parse().unwrap()));
        assert!(!net("fd88::", 64).contains("fd88:0:0:1::".parse().unwrap()));
    }
}
