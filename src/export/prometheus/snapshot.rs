//! The content of a page, gathered at one tick.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::buffers;
use super::dns::{Dns, Server};
use super::losses::Losses;
use super::page::OTHER;
use super::process::Process;
use super::series::Series;
use crate::listing::Traffic;
use crate::model::services::OneWayPorts;
use crate::model::text::Visible;
use crate::model::{
    Captured, Counts, EndReason, HookBooks, Owner, Protocol, RESPONSE_BUCKETS, Rate, Response,
    Sample, Status, Tick, Window, median,
};

/// What ended connections came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// By [`REASONS`].
    pub ended: [u64; REASONS.len()],
    pub responses: Responses,
}

/// In the order of [`Totals::ended`].
pub(super) const REASONS: [EndReason; 4] = [
    EndReason::Idle,
    EndReason::Unreach,
    EndReason::Evicted,
    EndReason::Stopped,
];
/// In the order of [`Snapshot::connections`].
pub(super) const STATUSES: [Status; 4] = [
    Status::Unreplied,
    Status::Replied,
    Status::Assured,
    Status::Unreach,
];

impl Totals {
    /// A connection that has ended: what waited is lost.
    pub fn add(&mut self, sample: &Sample, reason: EndReason, ports: &OneWayPorts) {
        for (count, known) in self.ended.iter_mut().zip(REASONS) {
            *count += u64::from(known == reason);
        }
        let mut sample = *sample;
        sample.response.lost += std::mem::take(&mut sample.response.waiting);
        self.responses.add(&sample, ports);
    }
}

/// Requests and response times of many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Responses {
    pub asked: u64,
    pub lost: u64,
    pub retries: u64,
    pub waiting: u64,
    pub times: Times,
}

/// Response times of many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub sum_ns: u64,
    pub histogram: [u64; RESPONSE_BUCKETS],
}

impl Times {
    /// Takes in those of a connection.
    pub fn add(&mut self, response: &Response) {
        self.sum_ns = self.sum_ns.saturating_add(response.sum_ns);
        for (mine, theirs) in self.histogram.iter_mut().zip(response.histogram) {
            *mine += u64::from(theirs);
        }
    }
}

impl std::ops::AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        for (mine, theirs) in self.histogram.iter_mut().zip(other.histogram) {
            *mine += theirs;
        }
    }
}

impl Responses {
    /// Of what is one-way no request counts, and of a stream none is lost.
    pub fn add(&mut self, sample: &Sample, ports: &OneWayPorts) {
        let response = &sample.response;
        let traffic = Traffic::of(sample, ports);
        if traffic == Traffic::OneWay {
            return;
        }
        if traffic == Traffic::Exchange {
            self.lost += response.lost;
        }
        self.asked += response.asked();
        self.retries += response.retries;
        self.waiting += response.waiting;
        self.times.add(response);
    }
}

/// Requests as they were shown. What a connection is for can change, and a late answer takes its request out of the lost ones: a counter
/// does not go down for that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    asked: u64,
    lost: u64,
    retries: u64,
}

impl Shown {
    pub fn raise(&mut self, responses: &mut Responses) {
        for (shown, now) in [
            (&mut self.asked, &mut responses.asked),
            (&mut self.lost, &mut responses.lost),
            (&mut self.retries, &mut responses.retries),
        ] {
            *shown = (*shown).max(*now);
            *now = *shown;
        }
    }
}

/// The live connections that share something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub connections: u64,
    pub rate: Rate,
}

/// Everything that a page says.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) started: SystemTime,
    pub(super) hooks: Vec<HookBooks>,
    /// By [`STATUSES`].
    pub(super) connections: [u64; STATUSES.len()],
    pub(super) connections_new: u64,
    pub(super) capacity: u64,
    pub(super) totals: Totals,
    /// Of live and ended connections.
    pub(super) responses: Responses,
    pub(super) events_lost: u64,
    pub(super) address_table_full: Counts,
    pub(super) addresses: u64,
    /// The busiest responder ports; what is left is `None`.
    pub(super) ports: Vec<(Option<u16>, Share)>,
    /// The busiest protocols, as payloads say it; `None` is what is left, and what says nothing.
    pub(super) protocols: Vec<(Option<Protocol>, Share)>,
    /// The busiest processes, by name; of others, and those not known, `None`.
    pub(super) processes: Vec<(Option<String>, Share)>,
    /// Datagrams that were dropped behind the hooks, of connections of each process; nothing where nobody knows.
    pub(super) losses: Vec<(Option<String>, u64)>,
    /// DNS servers; what is left is `None`. Nothing where there was no DNS.
    pub(super) dns: Vec<(Option<SocketAddr>, Server)>,
    /// The fullest receive buffers of sockets; nothing where nobody looks.
    pub(super) buffers: Vec<(buffers::Key, f64)>,
    /// Frames for captures; `None` where there are none.
    pub(super) captured: Option<Captured>,
    /// Live connections whose round trips are known, and the median of their medians in nanoseconds.
    pub(super) round_trips: Option<(u64, u32)>,
    /// This one.
    pub(super) process: Option<Process>,
}

/// Which ports, protocols and processes have series of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Busiest {
    ports: Series<u16>,
    protocols: Series<Protocol>,
    processes: Series<String>,
}

impl Snapshot {
    pub(super) fn new(
        tick: &Tick<'_>,
        (totals, losses): (&Totals, &Losses),
        (dns, room): (&mut Dns, usize),
        (top, series): (usize, &mut Busiest),
        ports: &OneWayPorts,
        started: SystemTime,
    ) -> Self {
        let mut connections = [0; STATUSES.len()];
        let mut responses = totals.responses;
        let mut services: HashMap<u16, Share> = HashMap::new();
        let mut protocols: HashMap<Option<Protocol>, Share> = HashMap::new();
        let mut processes: HashMap<Option<String>, Share> = HashMap::new();
        let mut servers: HashMap<SocketAddr, Server> = HashMap::new();
        let mut round_trips = Vec::new();
        for connection in tick.table.iter() {
            let sample = &connection.sample;
            for (count, status) in connections.iter_mut().zip(STATUSES) {
                *count += u64::from(sample.status == status);
            }
            responses.add(sample, ports);
            if let Some(dns) = sample.dns {
                servers
                    .entry(sample.responder)
                    .or_default()
                    .add(sample, dns);
            }
            round_trips.extend(sample.round_trip.map(|one| one.median_ns));
            let rate = connection.rates.total(Window::Medium);
            let add = |share: &mut Share| {
                share.connections += 1;
                share.rate = share.rate + rate;
            };
            add(services.entry(sample.responder.port()).or_default());
            add(protocols.entry(sample.heard.protocol()).or_default());
            let name = process_name(tick.facts.processes(sample).main());
            add(processes.entry(name).or_default());
        }
        let (report, now_ns) = (tick.report, tick.now_ns);
        let (nameless, unknown) = (protocols.remove(&None), processes.remove(&None));
        Self {
            started,
            hooks: report.hooks.clone(),
            connections,
            connections_new: report.connections_new,
            capacity: report.connections_max,
            totals: *totals,
            responses,
            events_lost: report.events_lost,
            address_table_full: report.addresses_without_entry,
            addresses: report.addresses,
            ports: busiest(
                services.into_iter().collect(),
                top,
                None,
                &mut series.ports,
                now_ns,
            ),
            protocols: busiest(
                known(protocols),
                top,
                nameless,
                &mut series.protocols,
                now_ns,
            ),
            processes: busiest(
                known(processes),
                top,
                unknown,
                &mut series.processes,
                now_ns,
            ),
            losses: if report.knows_drops {
                losses.all()
            } else {
                Vec::new()
            },
            dns: dns.all(&servers, room),
            buffers: Vec::new(),
            captured: report.captured,
            round_trips: median(&mut round_trips).map(|ns| (round_trips.len() as u64, ns)),
            process: Process::read(),
        }
    }
}

/// Those that have a name.
fn known<K>(shares: HashMap<Option<K>, Share>) -> Vec<(K, Share)> {
    let shares = shares.into_iter();
    shares
        .filter_map(|(name, share)| Some((name?, share)))
        .collect()
}

/// Names that look alike are one, as those of two series with the same labels would be; all others are `other` already.
pub(super) fn process_name(owner: Option<&Owner>) -> Option<String> {
    let name = owner.map(|owner| Visible(owner.program()).to_string());
    name.filter(|name| name != OTHER)
}

/// The first ones by bytes per second, those that were so lately, and the rest as one.
fn busiest<K: Clone + Ord + Hash>(
    mut shares: Vec<(K, Share)>,
    top: usize,
    unknown: Option<Share>,
    series: &mut Series<K>,
    now_ns: u64,
) -> Vec<(Option<K>, Share)> {
    shares.sort_by(|(one, first), (other, second)| {
        second
            .rate
            .bytes
            .total_cmp(&first.rate.bytes)
            .then_with(|| second.connections.cmp(&first.connections))
            .then_with(|| one.cmp(other))
    });
    let first = shares.iter().take(top);
    let first: Vec<(K, f32)> = first
        .map(|(key, share)| (key.clone(), share.rate.bytes))
        .collect();
    series.take(now_ns, top, &first);
    let (own, rest): (Vec<_>, Vec<_>) = shares.into_iter().partition(|(key, _)| series.has(key));
    let mut other = unknown.unwrap_or_default();
    for (_, share) in rest {
        other.connections += share.connections;
        other.rate = other.rate + share.rate;
    }
    // Those that have nothing now keep their series, too.
    let mut silent: Vec<K> = series
        .all()
        .filter(|key| own.iter().all(|(own, _)| own != *key))
        .cloned()
        .collect();
    silent.sort_unstable();
    let silent = silent.into_iter().map(|key| (key, Share::default()));
    let mut shown: Vec<(Option<K>, Share)> = own
        .into_iter()
        .chain(silent)
        .map(|(key, share)| (Some(key), share))
        .collect();
    shown.push((None, other));
    shown
}
