//! One connection, or one direction of it, as a data record. Pure.

use std::net::{IpAddr, SocketAddr};

use super::template::flow_id;
use crate::model::{ConnectionId, Counts, EndReason, Protocol, Vlans};

/// UDP (IANA protocol numbers).
const UDP: u8 = 17;
/// `samplingInterval`: one packet of this number is in the records.
const EVERY_PACKET: u32 = 1;
/// `biflowDirection`: the source began it (RFC 5103, section 6.3).
const INITIATOR: u8 = 1;

/// Why a record was sent (`flowEndReason`, RFC 5102 section 5.11.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No traffic for its timeout. An ICMP error only shortens that.
    Idle = 1,
    /// It goes on, and was not reported for `--active-timeout`.
    Active = 2,
    /// udptrack ended.
    Forced = 4,
    /// The table was filling up.
    Resources = 5,
}

impl From<EndReason> for Reason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Idle | EndReason::Unreach => Self::Idle,
            EndReason::Evicted => Self::Resources,
            EndReason::Stopped => Self::Forced,
        }
    }
}

/// Where packets of one direction crossed the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    /// Received, or not known: it passes through.
    Ingress = 0,
    /// Sent.
    Egress = 1,
}

/// What one direction has done since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direction {
    /// Packets, and bytes from the IP header on.
    pub ip: Counts,
    /// Frame bytes.
    pub frame_bytes: u64,
    /// What the kernel dropped of its packets behind the hooks, with bytes from the IP header on.
    pub dropped: Counts,
    /// TOS byte or traffic class of its first packet, of all that it ever had.
    pub class: u8,
    /// Whether it ever had a packet.
    pub is_used: bool,
    /// Milliseconds since 1970.
    pub start_ms: u64,
    /// The same.
    pub end_ms: u64,
}

/// A connection, with what it has done since its last record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub id: ConnectionId,
    pub ifindex: u32,
    pub vlans: Vlans,
    pub originator: SocketAddr,
    pub responder: SocketAddr,
    /// Where the originator's packets cross.
    pub crossing: Crossing,
    pub orig: Direction,
    pub reply: Direction,
    pub reason: Reason,
    /// What the payload says is spoken.
    pub protocol: Option<Protocol>,
}

/// A data record, and of which template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub template: u16,
    pub bytes: Vec<u8>,
    /// What is in it: counted when it cannot be sent.
    pub packets: u64,
    pub octets: u64,
}

impl Flow {
    /// The records of a connection: one for each direction that has packets, or one for both. Of an end also without packets: they
    /// were told before, but not that no more come.
    pub fn records(&self, biflow: bool) -> impl Iterator<Item = Record> {
        let is_end = self.reason != Reason::Active;
        let has_news =
            |direction: &Direction| direction.ip.packets > 0 || direction.dropped.packets > 0;
        let is_told = |direction: &Direction| has_news(direction) || (is_end && direction.is_used);
        // A direction without packets has no times, so that its fields are left out.
        let both = biflow && self.reply.ip.packets > 0;
        let is_one = both || (biflow && is_told(&self.orig) && !has_news(&self.reply));
        let records = [
            (both || is_told(&self.orig)).then(|| self.record(true, both)),
            (!is_one && is_told(&self.reply)).then(|| self.record(false, false)),
        ];
        records.into_iter().flatten()
    }

    fn record(&self, forth: bool, biflow: bool) -> Record {
        let (source, destination, this, other) = if forth {
            (self.originator, self.responder, self.orig, self.reply)
        } else {
            (self.responder, self.originator, self.reply, self.orig)
        };
        let crossing = match (self.crossing, forth) {
            (Crossing::Egress, true) | (Crossing::Ingress, false) => Crossing::Egress,
            (Crossing::Ingress, true) | (Crossing::Egress, false) => Crossing::Ingress,
        };
        let mut out = Vec::with_capacity(192);
        put_address(&mut out, source.ip());
        put_address(&mut out, destination.ip());
        out.extend(source.port().to_be_bytes());
        out.extend(destination.port().to_be_bytes());
        out.push(UDP);
        out.push(if source.is_ipv4() { 4 } else { 6 });
        let (ingress, egress) = match crossing {
            Crossing::Ingress => (self.ifindex, 0),
            Crossing::Egress => (0, self.ifindex),
        };
        out.extend(ingress.to_be_bytes());
        out.extend(egress.to_be_bytes());
        put_counts(&mut out, &this);
        out.push(self.reason as u8);
        out.push(crossing as u8);
        out.extend(self.vlans.outer.to_be_bytes());
        out.extend(self.vlans.inner.to_be_bytes());
        out.extend(self.id.0.to_be_bytes());
        out.extend(EVERY_PACKET.to_be_bytes());
        put_dropped(&mut out, &this);
        put_word(&mut out, self.protocol.map_or("", Protocol::word));
        if biflow {
            put_counts(&mut out, &other);
            put_dropped(&mut out, &other);
            out.push(INITIATOR);
            out.push(other.class);
        }
        out.push(this.class);
        let all = if biflow { this.ip + other.ip } else { this.ip };
        Record {
            template: flow_id(source.is_ipv6(), biflow),
            bytes: out,
            packets: all.packets,
            octets: all.bytes,
        }
    }
}

fn put_counts(out: &mut Vec<u8>, direction: &Direction) {
    for number in [
        direction.ip.packets,
        direction.ip.bytes,
        direction.frame_bytes,
        direction.start_ms,
        direction.end_ms,
    ] {
        out.extend(number.to_be_bytes());
    }
}

/// A string behind its length (RFC 7011, section 7): below 255 bytes.
fn put_word(out: &mut Vec<u8>, word: &str) {
    out.push(u8::try_from(word.len()).unwrap_or(0));
    out.extend(word.bytes().take(254));
}

fn put_dropped(out: &mut Vec<u8>, direction: &Direction) {
    out.extend(direction.dropped.packets.to_be_bytes());
    out.extend(direction.dropped.bytes.to_be_bytes());
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.extend(address.octets()),
        IpAddr::V6(address) => out.extend(address.octets()),
    }
}
