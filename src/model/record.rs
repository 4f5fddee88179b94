//! What is known of one connection at one moment, and what happens to it. Pure data.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Add, AddAssign};

use super::dns::DnsCounts;
use super::dropped::Dropped;
use super::key::{ConnectionId, Ifindex, Place, Vlans};
use super::protocol::{Heard, Spoken};
use super::response::Response;
use super::round_trip::RoundTrip;
use super::traffic_class::TrafficClass;

/// Packets and frame bytes (Ethernet header and VLAN tags on, FCS off).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets on the wire: a GSO super-packet counts as its segments.
    pub packets: u64,
    /// Frame bytes on the wire.
    pub bytes: u64,
}

impl Counts {
    /// What came since it was as much as `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// Destination, source and type (IEEE 802.3).
const ETHERNET_HEADER: u64 = 14;
/// One tag (IEEE 802.1Q).
const VLAN_TAG: u64 = 4;

/// How far a connection has come: netfilter's words, plus the ICMP error.
///
/// First paragraphs are the help of `--status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), value(rename_all = "UPPER"))]
#[non_exhaustive]
pub enum Status {
    /// The responder has not answered yet.
    ///
    /// State 2, ESTABLISHED, in the map.
    Unreplied,
    /// Both ends have sent.
    ///
    /// State 3.
    Replied,
    /// Replied, and there is still traffic after two seconds.
    ///
    /// State 4.
    Assured,
    /// An ICMP error came back.
    ///
    /// One of ICMP or `ICMPv6` quoted this connection: state 5.
    Unreach,
}

impl Status {
    /// The word shown to people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreplied => "UNREPLIED",
            Self::Replied => "REPLIED",
            Self::Assured => "ASSURED",
            Self::Unreach => "UNREACH",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Who asks.
    Originator,
    /// Who is asked.
    Responder,
}

impl End {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Originator => "originator",
            Self::Responder => "responder",
        }
    }
}

/// Why a connection is no longer tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// No traffic for the timeout of its status.
    Idle,
    /// An ICMP error quoted it and no traffic followed.
    Unreach,
    /// Unreplied or replied, and idle: ended before its timeout because the table was filling up.
    Evicted,
    /// The program ended while it was live.
    Stopped,
}

impl EndReason {
    /// The word shown to people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Unreach => "UNREACH",
            Self::Evicted => "EVICTED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How it is known which end of a connection is the originator, and which the responder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// The connection began while we looked: the originator sent its first packet.
    #[default]
    Seen,
    /// It was there before: a socket shows who asks, or an earlier connection of the same ends, or the request that it answers.
    Known,
    /// It was there before; its ports, or who was seen first, make one end the more likely responder.
    Guessed,
}

/// One connection as the kernel's tables had it at one scan.
///
/// Who is the originator stands in `role`. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Keyed hash of the tuple below.
    pub id: ConnectionId,
    /// Where it lies in the table.
    pub place: Place,
    /// The interface that the originator's packets were first seen on, and are counted on; before its first, the responder's.
    pub ifindex: Ifindex,
    /// The same of the responder's; `None` before its first.
    pub reply_ifindex: Option<Ifindex>,
    /// VLAN tags of its frames.
    pub vlans: Vlans,
    /// Who asks: who sent the first packet, or as `role` says.
    pub originator: SocketAddr,
    /// The other end.
    pub responder: SocketAddr,
    /// How these two are known.
    pub role: Role,
    /// From originator to responder.
    pub orig: Counts,
    /// From responder to originator.
    pub reply: Counts,
    /// How far it has come.
    pub status: Status,
    /// Which end could not be reached, where that is [`Status::Unreach`].
    pub unreachable: Option<End>,
    /// The first packet.
    pub first_ns: u64,
    /// The latest packet, to one kernel tick (1 to 10 ms) unless it is the first or the first reply.
    pub last_ns: u64,
    /// The responder's first packet, when the originator was first.
    pub first_reply_ns: Option<u64>,
    /// TTL (IPv6: hop limit) of the originator's first packet, `None` where it was not seen.
    pub orig_ttl: Option<u8>,
    /// The same of the responder's.
    pub reply_ttl: Option<u8>,
    /// What the originator's first packet asks of routers, `None` where it was not seen.
    pub orig_class: Option<TrafficClass>,
    /// The same of the responder's.
    pub reply_class: Option<TrafficClass>,
    /// How long answers took, and whether one is waited for.
    pub response: Response,
    /// How long a round trip takes, where the spin bit of QUIC shows it.
    pub round_trip: Option<RoundTrip>,
    /// What the kernel dropped of it behind the hooks; nothing where that is not known.
    pub dropped: Dropped,
    /// Of that, the responder's packets.
    pub reply_dropped: Counts,
    /// Its DNS messages; `None` where it is no DNS, or they are not counted.
    pub dns: Option<DnsCounts>,
    /// What its payload has said.
    pub heard: Heard,
}

impl Sample {
    /// What is spoken in it: as its payload says, or else as its ports make likely.
    #[must_use]
    pub fn spoken(&self) -> Option<Spoken> {
        let (from, to) = (self.originator.port(), self.responder.port());
        match self.heard {
            Heard::Says(protocol) => Some(Spoken::said(protocol)),
            Heard::Nothing => Spoken::guess(from, to),
            Heard::Other => None,
        }
    }

    /// Both directions together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.orig + self.reply
    }

    /// Whether the end that is asked could not be reached. One that asked and gave up says nothing of the other.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.unreachable == Some(End::Responder)
    }

    /// Its status for people, with the end that could not be reached: `UNREACH >` the responder, `UNREACH <` the originator.
    #[must_use]
    pub fn status_word(&self) -> &'static str {
        match self.unreachable {
            Some(End::Originator) => "UNREACH <",
            Some(End::Responder) => "UNREACH >",
            None => self.status.word(),
        }
    }

    /// The end that could not be reached.
    #[must_use]
    pub fn unreachable_end(&self) -> Option<SocketAddr> {
        self.unreachable.map(|end| match end {
            End::Originator => self.originator,
            End::Responder => self.responder,
        })
    }

    /// Both directions, originator's first, with bytes counted from the IP header on, as collectors and netfilter do.
    ///
    /// What stands behind the IP packet in a frame counts, too: the padding of datagrams with less than 18 bytes, where
    /// a card received them.
    #[must_use]
    pub fn ip_counts(&self, has_ethernet: impl Fn(Ifindex) -> bool) -> [Counts; 2] {
        let tags = VLAN_TAG * self.vlans.iter().count() as u64;
        let reply_ifindex = self.reply_ifindex.unwrap_or(self.ifindex);
        [(self.orig, self.ifindex), (self.reply, reply_ifindex)].map(|(counts, ifindex)| {
            let header = if has_ethernet(ifindex) {
                ETHERNET_HEADER + tags
            } else {
                0
            };
            Counts {
                packets: counts.packets,
                bytes: counts.bytes.saturating_sub(header * counts.packets),
            }
        })
    }

    /// Nanoseconds from the first packet to the first reply.
    #[must_use]
    pub fn first_reply_after_ns(&self) -> Option<u64> {
        self.first_reply_ns
            .map(|reply| reply.saturating_sub(self.first_ns))
    }
}

/// What was found out of a connection beside its packets, to be kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// Where it lies.
    pub place: Place,
    /// Its id: another connection may lie there by now.
    pub id: ConnectionId,
    /// What it is.
    pub change: Change,
}

impl Amendment {
    /// Of a connection as it was read.
    #[must_use]
    pub fn of(sample: &Sample, change: Change) -> Self {
        Self {
            place: sample.place,
            id: sample.id,
            change,
        }
    }
}

/// See [`Amendment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// How the roles are known.
    Role {
        /// From now on.
        role: Role,
        /// Whether originator and responder change places: then what was measured of answers begins anew.
        swap: bool,
    },
    /// An answer came from another port or address.
    Answer {
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        ns: u64,
    },
    /// Whether its frames are wanted.
    Frames {
        /// From now on.
        wanted: bool,
    },
    /// It is QUIC, of a version with a spin bit: that is looked at from now on.
    Spins,
    /// The next datagram of each side is read, too.
    Hear,
}

/// What a packet did, as the kernel reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The first packet of a connection.
    New,
    /// A later packet.
    Data,
}

/// One packet of a tracked connection; only made when somebody asked for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// First packet or later packet.
    pub kind: EventKind,
    /// The connection it belongs to.
    pub id: ConnectionId,
    /// Where that lies in the table.
    pub place: Place,
    /// Where the packet was seen.
    pub ifindex: Ifindex,
    /// VLAN tags of the frame.
    pub vlans: Vlans,
    /// Sender of this packet.
    pub source: SocketAddr,
    /// Receiver of this packet.
    pub destination: SocketAddr,
    /// Packets on the wire (more than one for a GSO super-packet) and their frame bytes.
    pub counts: Counts,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`; to one kernel tick for [`EventKind::Data`].
    pub time_ns: u64,
}
