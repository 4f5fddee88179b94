//! A DNS message as a record of EVE (version 3 of its form), and what the kernel counts of DNS. Pure data; the field order is the order
//! in the output.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::clock::{Clock, Stamp};
use super::community_id::CommunityId;
use super::eve::{FLOW_ID_MASK, community_id, untagged, vlan};
use crate::dns::{Data, Message, Seen, kind_name, rcode_name};
use crate::model::{DnsCounts, Facts, RCODES, Vlans};

/// The form of Suricata's records of DNS, from version 8 on.
const VERSION: u8 = 3;
/// Bits of the second word of the header (RFC 1035 4.1.1).
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const RESERVED: u16 = 0x0040;

/// A message. Its ends are those of the connection, as Suricata has them: the client is the source, also of an answer.
#[derive(Serialize)]
pub struct DnsRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    flow_id: u64,
    in_iface: String,
    src_ip: IpAddr,
    src_port: u16,
    dest_ip: IpAddr,
    dest_port: u16,
    proto: &'static str,
    ip_v: u8,
    #[serde(serialize_with = "vlan", skip_serializing_if = "untagged")]
    vlan: Vlans,
    #[serde(serialize_with = "community_id")]
    community_id: CommunityId,
    dns: Dns<'a>,
    udptrack: Own,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the flags of a header"
)]
struct Dns<'a> {
    version: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: u16,
    /// Of the header, hexadecimal.
    flags: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    qr: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    aa: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tc: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rd: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ra: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    z: bool,
    opcode: u8,
    rcode: Cow<'static, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<Query<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer<'a>>,
}

#[derive(Serialize)]
struct Query<'a> {
    rrname: &'a str,
    rrtype: Cow<'static, str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    rrname: &'a str,
    rrtype: Cow<'static, str>,
    ttl: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdata: Option<Shown<'a>>,
}

/// What a record says, as text.
struct Shown<'a>(&'a Data);

#[derive(Serialize)]
struct Own {
    event: &'static str,
    conn_id: String,
}

impl<'a> DnsRecord<'a> {
    pub(super) fn new(
        clock: &'a Clock,
        facts: &dyn Facts,
        seen: &Seen<'_>,
        message: &'a Message,
    ) -> Self {
        let sample = seen.sample;
        let (source, destination) = (sample.originator, sample.responder);
        Self {
            timestamp: clock.stamp(seen.time_ns),
            event_type: "dns",
            flow_id: sample.id.0 & FLOW_ID_MASK,
            in_iface: facts.interface(seen.interface),
            src_ip: source.ip(),
            src_port: source.port(),
            dest_ip: destination.ip(),
            dest_port: destination.port(),
            proto: "UDP",
            ip_v: if source.is_ipv4() { 4 } else { 6 },
            vlan: sample.vlans,
            community_id: CommunityId::new(source, destination),
            dns: Dns::new(message),
            udptrack: Own {
                event: "dns",
                conn_id: sample.id.to_string(),
            },
        }
    }
}

impl<'a> Dns<'a> {
    fn new(message: &'a Message) -> Self {
        let has = |bit: u16| message.flags & bit != 0;
        Self {
            version: VERSION,
            kind: if message.is_answer() {
                "response"
            } else {
                "request"
            },
            id: message.id,
            flags: format!("{:x}", message.flags),
            qr: message.is_answer(),
            aa: has(AUTHORITATIVE),
            tc: has(TRUNCATED),
            rd: has(RECURSION_DESIRED),
            ra: has(RECURSION_AVAILABLE),
            z: has(RESERVED),
            opcode: message.opcode(),
            rcode: rcode_name(message.rcode()),
            queries: message
                .questions
                .iter()
                .map(|question| Query {
                    rrname: &question.name,
                    rrtype: kind_name(question.kind),
                })
                .collect(),
            answers: message
                .answers
                .iter()
                .map(|record| Answer {
                    rrname: &record.name,
                    rrtype: kind_name(record.kind),
                    ttl: record.ttl,
                    rdata: record.data.as_ref().map(Shown),
                })
                .collect(),
        }
    }
}

/// What the kernel counts of DNS messages, whatever is read of them.
#[derive(Serialize)]
pub(super) struct DnsCountsRecord {
    queries: u64,
    answers: u64,
    truncated: u64,
    rcodes: Codes,
    /// Datagrams without a header that could be read.
    #[serde(skip_serializing_if = "is_none")]
    without_header: u64,
}

/// Every code, also those that did not occur: a reader can rely on the keys.
struct Codes([u64; RCODES.len()]);

impl From<DnsCounts> for DnsCountsRecord {
    fn from(counts: DnsCounts) -> Self {
        Self {
            queries: counts.queries,
            answers: counts.answers(),
            truncated: counts.truncated,
            rcodes: Codes(counts.rcodes),
            without_header: counts.unread,
        }
    }
}

impl Serialize for Codes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(RCODES.len()))?;
        for (name, count) in RCODES.iter().zip(self.0) {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}
