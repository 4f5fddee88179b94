//! Records in the format of Suricata's EVE: the definition of their fields. Pure data; the order of fields is the order in the output.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::clock::{Clock, Stamp};
use super::community_id::CommunityId;
use super::eve_dns::DnsCountsRecord;
use super::eve_stats::CountsRecord;
use super::eve_times::{Average, Averages, Quic, ResponseTimes};
use crate::listing::{Group, is_answers_only};
use crate::model::services::OneWayPorts;
use crate::model::{
    Dropped, End, EndReason, Facts, Owner, Processes, Protocol, Rates, Role, Sample, Status, Vlans,
};

/// `flow_id` stays below 2^53, so that readers which keep numbers as doubles read it exactly.
pub(super) const FLOW_ID_MASK: u64 = (1 << 53) - 1;

/// What a flow record tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening<'a> {
    /// The first packet.
    New,
    /// Traffic since the last record.
    Update(&'a Rates),
    /// The end.
    End(EndReason),
}

impl Happening<'_> {
    /// A `flow` is the end alone: who adds up `flow` records counts each connection once.
    fn event_type(self) -> &'static str {
        match self {
            Self::New => "flow_new",
            Self::Update(_) => "flow_update",
            Self::End(_) => "flow",
        }
    }
}

/// What each record of one connection begins with.
#[derive(Serialize)]
pub(super) struct Head<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    flow_id: u64,
    in_iface: String,
    src_ip: IpAddr,
    src_port: u16,
    dest_ip: IpAddr,
    dest_port: u16,
    proto: &'static str,
    /// What is spoken, where Suricata has a word for it, and the payload said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    ip_v: u8,
    #[serde(serialize_with = "vlan", skip_serializing_if = "untagged")]
    vlan: Vlans,
    #[serde(serialize_with = "community_id")]
    community_id: CommunityId,
}

/// One connection at one moment.
#[derive(Serialize)]
pub struct FlowRecord<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    flow: Flow<'a>,
    udptrack: Own<'a>,
}

#[derive(Serialize)]
struct Flow<'a> {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Stamp<'a>,
    end: Stamp<'a>,
    age: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Fields that EVE does not have.
#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    conn_id: String,
    status: &'static str,
    /// The protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// Only the port suggests it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    protocol_guessed: bool,
    /// The QUIC connection that this one may continue from another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_continue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<Quic>,
    /// Which end could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    /// `guessed`: originator and responder may be the other way round.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// udptrack saw only answers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    answers_only: bool,
    /// From the first packet to the first reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_reply_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseTimes>,
    /// How long a request has waited when the record is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_ttl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_ttl: Option<u8>,
    /// By its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_dscp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_dscp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_hostname: Option<&'a str>,
    /// Packets that this machine dropped after it counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Classes>,
    /// DNS messages, counted by the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<DnsCountsRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Averages<Average>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Ends<'a>>,
    /// Neither end is on this machine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
}

/// Drops by class; only classes that occurred.
pub(super) struct Classes(Dropped);

impl Classes {
    /// `None` if nothing was dropped.
    pub fn of(dropped: &Dropped) -> Option<Self> {
        let any = dropped.classes().next().is_some();
        any.then_some(Self(*dropped))
    }
}

impl Serialize for Classes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = self.0.classes();
        serializer
            .collect_map(classes.map(|(class, counts)| (class.name(), CountsRecord::from(counts))))
    }
}

/// The processes at the ends that are on this machine.
#[derive(Serialize)]
struct Ends<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<Process<'a>>,
}

#[derive(Serialize)]
pub(super) struct Process<'a> {
    pid: u32,
    command: &'a str,
    user: &'a str,
    uid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    cgroup: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
}

/// What a record needs beside the connection.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub clock: &'a Clock,
    pub facts: &'a dyn Facts,
    /// Whether names of hosts are left out.
    pub numeric: bool,
    pub one_way_ports: &'a OneWayPorts,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        written_ns: u64,
        sample: &Sample,
        event_type: &'static str,
    ) -> Self {
        Self {
            timestamp: setting.clock.stamp(written_ns),
            event_type,
            flow_id: sample.id.0 & FLOW_ID_MASK,
            in_iface: setting.facts.interface(sample.ifindex),
            src_ip: sample.originator.ip(),
            src_port: sample.originator.port(),
            dest_ip: sample.responder.ip(),
            dest_port: sample.responder.port(),
            proto: "UDP",
            app_proto: sample.heard.protocol().and_then(Protocol::suricata),
            ip_v: if sample.originator.is_ipv4() { 4 } else { 6 },
            vlan: sample.vlans,
            community_id: CommunityId::new(sample.originator, sample.responder),
        }
    }
}

impl<'a> FlowRecord<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        written_ns: u64,
        sample: &Sample,
        happening: Happening<'_>,
    ) -> Self {
        Self {
            head: Head::new(setting, written_ns, sample, happening.event_type()),
            flow: Flow::new(setting.clock, sample, happening),
            udptrack: Own::new(setting, written_ns, sample, happening),
        }
    }
}

impl<'a> Flow<'a> {
    fn new(clock: &'a Clock, sample: &Sample, happening: Happening<'_>) -> Self {
        let answered =
            sample.reply.packets > 0 || matches!(sample.status, Status::Replied | Status::Assured);
        Self {
            pkts_toserver: sample.orig.packets,
            pkts_toclient: sample.reply.packets,
            bytes_toserver: sample.orig.bytes,
            bytes_toclient: sample.reply.bytes,
            start: clock.stamp(sample.first_ns),
            end: clock.stamp(sample.last_ns),
            age: sample.last_ns.saturating_sub(sample.first_ns) / 1_000_000_000,
            state: if answered { "established" } else { "new" },
            reason: match happening {
                Happening::End(reason) => Some(flow_reason(reason)),
                Happening::New | Happening::Update(_) => None,
            },
        }
    }
}

impl<'a> Own<'a> {
    fn new(
        setting: Setting<'a>,
        written_ns: u64,
        sample: &Sample,
        happening: Happening<'_>,
    ) -> Self {
        let processes = setting.facts.processes(sample);
        let requests = Group::alone(sample, setting.one_way_ports);
        let spoken = sample.spoken();
        let quic = setting.facts.quic(sample);
        let (event, end_reason, rates) = match happening {
            Happening::New => ("new", None, None),
            Happening::Update(rates) => {
                let average = |window| Average::new(rates.orig(window), rates.reply(window));
                ("update", None, Some(Averages::of(average)))
            }
            Happening::End(reason) => ("end", Some(reason.word()), None),
        };
        let hostname = |address| {
            let named = (!setting.numeric).then_some(setting.facts);
            named.and_then(|facts| facts.host_name(address))
        };
        Self {
            event,
            conn_id: sample.id.to_string(),
            status: sample.status.word(),
            protocol: spoken.map(|spoken| spoken.protocol.word()),
            protocol_guessed: spoken.is_some_and(|spoken| spoken.is_guess),
            may_continue: quic
                .and_then(|quic| quic.may_continue)
                .map(|id| id.to_string()),
            quic: sample.round_trip.map(Into::into),
            unreachable: sample.unreachable.map(End::word),
            end_reason,
            role: (sample.role == Role::Guessed).then_some("guessed"),
            answers_only: is_answers_only(sample),
            first_reply_ns: sample.first_reply_after_ns(),
            response: ResponseTimes::of_group(&requests),
            waiting_ns: requests.wait_ns(written_ns),
            orig_ttl: sample.orig_ttl,
            reply_ttl: sample.reply_ttl,
            orig_dscp: sample.orig_class.map(|class| class.to_string()),
            reply_dscp: sample.reply_class.map(|class| class.to_string()),
            src_hostname: hostname(sample.originator.ip()),
            dest_hostname: hostname(sample.responder.ip()),
            dropped: Classes::of(&sample.dropped),
            dns: sample.dns.map(Into::into),
            rates,
            process: Ends::new(processes),
            forwarded: processes.forwarded,
        }
    }
}

impl<'a> Ends<'a> {
    fn new(processes: Processes<'a>) -> Option<Self> {
        processes.main()?;
        Some(Self {
            originator: processes.originator.map(Process::from),
            responder: processes.responder.map(Process::from),
        })
    }
}

impl<'a> From<&'a Owner> for Process<'a> {
    fn from(owner: &'a Owner) -> Self {
        Self {
            pid: owner.pid,
            command: &owner.command,
            user: &owner.user,
            uid: owner.uid,
            cgroup: &owner.cgroup,
            container: owner.container.as_deref(),
        }
    }
}

/// EVE's word for why a flow is over.
fn flow_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Idle | EndReason::Unreach => "timeout",
        EndReason::Evicted => "forced",
        EndReason::Stopped => "shutdown",
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
pub(super) fn untagged(vlans: &Vlans) -> bool {
    vlans.iter().next().is_none()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
pub(super) fn vlan<S: Serializer>(vlans: &Vlans, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(vlans.iter())
}

pub(super) fn community_id<S: Serializer>(
    id: &CommunityId,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
