//! A group of connections as a record beside EVE's. Pure data; the field order is the order in the output.

use std::net::IpAddr;

use serde::Serialize;

use super::clock::Stamp;
use super::eve::{Classes, Setting};
use super::eve_dns::DnsCountsRecord;
use super::eve_times::{Averages, ResponseTimes, rounded};
use crate::listing::{Group, RoundTrips, Running};
use crate::model::{Counts, Rate, Role};
use crate::model::{Field, Shared};

/// A group at one moment. Its `event_type` is what its connections share: `server`, `process`, `host`, …
#[derive(Serialize)]
pub struct GroupRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    udptrack: Own<'a>,
}

#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    /// What they share, in one word: `192.0.2.53:53`, `dig`, `10.0.0.0/24`, `eth0`.
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// What most of its connections speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// The port alone makes that likely.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    protocol_guessed: bool,
    /// `dead`, `refused`, `drops`, `lossy`, `slow`, `ok`, `one-way`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    connections: u64,
    clients: u64,
    /// There were more clients than are counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clients_more: bool,
    /// Connections that an ICMP error quoted.
    refused: u64,
    pkts_in: u64,
    pkts_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    start: Stamp<'a>,
    end: Stamp<'a>,
    /// What this machine dropped of its connections after it was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Classes>,
    /// What the kernel counted of their DNS messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<DnsCountsRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<Quic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseTimes>,
    /// How long the oldest request has waited when the record is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_ns: Option<u64>,
    rates: Averages<InOut>,
    /// Of an interface: frames that belong to no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Skipped>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<Program<'a>>,
}

/// What the spin bits of QUIC say.
#[derive(Serialize)]
struct Quic {
    round_trip: RoundTripTimes,
}

#[derive(Serialize)]
struct RoundTripTimes {
    connections: u64,
    median_ns: u32,
}

impl From<RoundTrips> for Quic {
    fn from(round_trips: RoundTrips) -> Self {
        Self {
            round_trip: RoundTripTimes {
                connections: round_trips.connections,
                median_ns: round_trips.median_ns,
            },
        }
    }
}

#[derive(Serialize)]
struct Skipped {
    pkts_in: u64,
    pkts_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// A program of the group, the busiest first.
#[derive(Serialize)]
struct Program<'a> {
    command: &'a str,
    /// How many processes.
    processes: u64,
    connections: u64,
    /// Where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct InOut {
    pkts_in: f64,
    pkts_out: f64,
    bytes_in: f64,
    bytes_out: f64,
}

impl<'a> GroupRecord<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        written_ns: u64,
        field: Field,
        group: &'a Group,
    ) -> Self {
        Self {
            timestamp: setting.clock.stamp(written_ns),
            event_type: field.word(),
            udptrack: Own::new(setting, written_ns, field, group),
        }
    }
}

impl<'a> Own<'a> {
    fn new(setting: Setting<'a>, written_ns: u64, field: Field, group: &'a Group) -> Self {
        let Setting {
            clock,
            facts,
            numeric,
            ..
        } = setting;
        let (ip, port) = ends(group.shared);
        let named = (!numeric).then_some(facts);
        let is_interface = field == Field::Interface;
        let spoken = group.speech.main();
        Self {
            event: "group",
            group: group.shared.text(),
            ip,
            port,
            hostname: named.and_then(|facts| facts.host_name(ip?)),
            service: named.and_then(|facts| facts.service(port?)),
            protocol: spoken.map(|spoken| spoken.protocol.word()),
            protocol_guessed: spoken.is_some_and(|spoken| spoken.is_guess),
            state: (!is_interface).then(|| group.state.name()),
            role: (group.role == Role::Guessed).then_some("guessed"),
            connections: group.connections,
            clients: group.clients.count(),
            clients_more: group.clients.is_more(),
            refused: group.refused,
            pkts_in: group.received.packets,
            pkts_out: group.sent.packets,
            bytes_in: group.received.bytes,
            bytes_out: group.sent.bytes,
            start: clock.stamp(group.first_ns),
            end: clock.stamp(group.last_ns),
            dropped: Classes::of(&group.dropped),
            dns: group.dns.map(Into::into),
            quic: group.round_trip.map(Quic::from),
            response: ResponseTimes::of_group(group),
            waiting_ns: group.wait_ns(written_ns),
            rates: Averages::of(|window| {
                InOut::new(group.received_rate(window), group.sent_rate(window))
            }),
            skipped: group.books.as_ref().map(|books| {
                let [received, sent] = [0, 1].map(|way| books[way].skipped_total());
                Skipped::new(received, sent)
            }),
            processes: group.processes.iter().map(Program::from).collect(),
        }
    }
}

impl InOut {
    fn new(received: Rate, sent: Rate) -> Self {
        Self {
            pkts_in: rounded(received.packets),
            pkts_out: rounded(sent.packets),
            bytes_in: rounded(received.bytes),
            bytes_out: rounded(sent.bytes),
        }
    }
}

fn ends(shared: Shared) -> (Option<IpAddr>, Option<u16>) {
    match shared {
        Shared::End(end) => (Some(end.ip()), Some(end.port())),
        Shared::Address(address) => (Some(address), None),
        Shared::Port(port) => (None, Some(port)),
        _ => (None, None),
    }
}

impl Skipped {
    fn new(received: Counts, sent: Counts) -> Self {
        Self {
            pkts_in: received.packets,
            pkts_out: sent.packets,
            bytes_in: received.bytes,
            bytes_out: sent.bytes,
        }
    }
}

impl<'a> From<&'a Running> for Program<'a> {
    fn from(running: &'a Running) -> Self {
        let pids = &running.pids;
        Self {
            command: running.program.name(),
            processes: pids.count(),
            connections: running.connections,
            pid: pids.iter().next().filter(|_| pids.count() == 1),
        }
    }
}
