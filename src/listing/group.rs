//! Groups: connections with the same value of a field, as one row.

use std::collections::HashMap;
use std::net::IpAddr;

use super::distinct::Distinct;
use super::ended::Ended;
use super::program::Programs;
use super::speech::Speech;
use super::state::{Before, ONE_WAY_PACKETS, State, Traffic, judge};
use crate::model::Name;
use crate::model::services::{OneWayPorts, answers};
use crate::model::{
    Books, Connection, Counts, DnsCounts, Dropped, Facts, Ifindex, Rate, Rates, Response, Role,
    Sample, Window, median,
};
use crate::model::{Field, Shared, Side};

/// Several connections together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they share.
    pub shared: Shared,
    /// How it does.
    pub state: State,
    /// How many there are.
    pub connections: u64,
    /// Addresses of their originators.
    pub clients: Distinct<IpAddr>,
    /// Programs at the local end.
    pub processes: Programs,
    /// What they speak, and with whom.
    pub speech: Speech,
    /// Of the connections, those that an ICMP error quoted.
    pub refused: u64,
    /// Whether one of them is live.
    pub(super) is_refusing: bool,
    /// What it received: of a server, a port or a network what the originators sent, of an originator what came back to it.
    pub received: Counts,
    /// What it sent.
    pub sent: Counts,
    /// Their requests and answers together, without those that are one-way; of streams, nothing is lost.
    pub response: Response,
    /// Round trips of those that speak QUIC and are live, where their spin bits tell; once all are in.
    pub round_trip: Option<RoundTrips>,
    round_trips: Vec<u32>,
    /// What this machine dropped of them behind the hooks.
    pub dropped: Dropped,
    /// Their DNS messages; none where there is no DNS among them, or nobody counts it.
    pub dns: Option<DnsCounts>,
    /// Guessed, if that of any connection is.
    pub role: Role,
    /// The first packet of the oldest.
    pub first_ns: u64,
    /// The latest packet of any.
    pub last_ns: u64,
    /// Of an interface: what was done with all that it received, and sent.
    pub books: Option<Box<[Books; 2]>>,
    /// How fast it is; what it receives as the originator's.
    rates: Rates,
    /// Connections that are an exchange, a stream.
    exchanges: u64,
    streams: u64,
    /// Packets of originators and back, where the group is asked.
    pub(super) forth: u64,
    pub(super) back: u64,
    /// Whether any of its services is known to answer.
    is_answering: bool,
}

/// Round trips of several connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// Those of which they are known.
    pub connections: u64,
    /// The median of their medians, in nanoseconds.
    pub median_ns: u32,
}

/// How a connection is taken in.
#[derive(Clone, Copy)]
pub(super) struct Adding<'a> {
    pub facts: &'a dyn Facts,
    pub ports: &'a OneWayPorts,
    /// It has ended: keeps at most this number of clients, and of pids of each program.
    pub kept: Option<usize>,
}

impl Group {
    pub(super) fn new(shared: Shared, role: Role, first_ns: u64) -> Self {
        Self {
            shared,
            state: State::default(),
            connections: 0,
            clients: Distinct::default(),
            processes: Programs::default(),
            speech: Speech::default(),
            refused: 0,
            is_refusing: false,
            received: Counts::default(),
            sent: Counts::default(),
            response: Response::default(),
            round_trip: None,
            round_trips: Vec::new(),
            dropped: Dropped::default(),
            dns: None,
            role,
            first_ns,
            last_ns: first_ns,
            books: None,
            rates: Rates::new(first_ns),
            exchanges: 0,
            streams: 0,
            forth: 0,
            back: 0,
            is_answering: false,
        }
    }

    /// One connection, judged over the whole of it: what can be told of its requests.
    #[must_use]
    pub fn alone(sample: &Sample, ports: &OneWayPorts) -> Self {
        let mut alone = Self::new(Shared::End(sample.responder), sample.role, sample.first_ns);
        alone.dropped = sample.dropped;
        alone.add_requests(sample, ports);
        alone.is_refusing = sample.is_refused();
        alone.state = judge(&alone, &Before::default());
        alone
    }

    /// Takes in a connection. Requests count in the first of its groups alone: a host that asks does not answer for it.
    pub(super) fn add(&mut self, sample: &Sample, side: Side, is_first: bool, adding: &Adding<'_>) {
        self.connections += 1;
        let (received, sent) = match side {
            Side::Responder => (sample.orig, sample.reply),
            Side::Originator => (sample.reply, sample.orig),
            Side::Both => (sample.total(), sample.total()),
        };
        self.received += received;
        self.sent += sent;
        self.dropped += sample.dropped;
        self.first_ns = self.first_ns.min(sample.first_ns);
        self.last_ns = self.last_ns.max(sample.last_ns);
        if sample.role == Role::Guessed {
            self.role = Role::Guessed;
        }
        let client = sample.originator.ip();
        match adding.kept {
            Some(most) => self.clients.keep(client, most),
            None => self.clients.add(client),
        }
        self.speech.add(sample.spoken(), adding.facts.quic(sample));
        let processes = adding.facts.processes(sample).in_tables(sample);
        let owner = if is_first {
            processes.main()
        } else {
            processes.originator
        };
        if let Some(owner) = owner {
            let program = Name::new(owner.program());
            self.processes.add(program, owner.pid, adding.kept);
        }
        if is_first {
            self.add_requests(sample, adding.ports);
            // How it was with what has ended says nothing of now.
            if adding.kept.is_none() {
                let median_ns = sample.round_trip.map(|one| one.median_ns);
                self.round_trips.extend(median_ns);
            }
        }
    }

    fn add_requests(&mut self, sample: &Sample, ports: &OneWayPorts) {
        let traffic = Traffic::of(sample, ports);
        if let Some(dns) = sample.dns {
            *self.dns.get_or_insert_default() += dns;
        }
        self.refused += u64::from(sample.is_refused());
        self.forth += sample.orig.packets;
        self.back += sample.reply.packets;
        self.is_answering |= answers(sample.responder.port());
        match traffic {
            Traffic::OneWay => {}
            Traffic::Exchange => {
                self.exchanges += 1;
                self.response.merge(&sample.response);
            }
            Traffic::Stream => {
                self.streams += 1;
                self.response.merge(&Response {
                    lost: 0,
                    ..sample.response
                });
            }
        }
    }

    /// Takes the counts of an interface from its books: connections do not tell what came in and what went out.
    pub(super) fn take_books(&mut self, books: &[Books; 2], rates: Rates) {
        self.received = books[0].tracked;
        self.sent = books[1].tracked;
        self.rates = rates;
        self.books = Some(Box::new(*books));
    }

    fn add_rates(&mut self, mut rates: Rates, side: Side) {
        if side != Side::Originator {
            self.rates += rates;
        }
        if side != Side::Responder {
            rates.swap();
            self.rates += rates;
        }
    }

    /// All connections are in.
    fn settle_round_trips(&mut self) {
        let mut medians = std::mem::take(&mut self.round_trips);
        let connections = medians.len() as u64;
        self.round_trip = median(&mut medians).map(|median_ns| RoundTrips {
            connections,
            median_ns,
        });
    }

    /// How fast it receives.
    #[must_use]
    pub fn received_rate(&self, window: Window) -> Rate {
        self.rates.orig(window)
    }

    /// How fast it sends.
    #[must_use]
    pub fn sent_rate(&self, window: Window) -> Rate {
        self.rates.reply(window)
    }

    /// Both together.
    #[must_use]
    pub fn rate(&self, window: Window) -> Rate {
        self.rates.total(window)
    }

    /// What it received and sent.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.received + self.sent
    }

    /// Clients and pids that are kept.
    pub(super) fn kept(&self) -> u64 {
        self.clients.count() + self.processes.pids()
    }

    /// Whether no answer is expected of any of it.
    #[must_use]
    pub fn is_one_way(&self) -> bool {
        let is_ignored = self.is_silent()
            && self.forth >= ONE_WAY_PACKETS
            && !self.is_answering
            && !self.is_refusing;
        self.exchanges + self.streams == 0 || is_ignored
    }

    /// Requests; none where no answer is expected.
    #[must_use]
    pub fn asked(&self) -> Option<u64> {
        (!self.is_one_way()).then(|| self.response.asked())
    }

    /// Requests that no answer came to; none where that cannot be told.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        let is_judged = self.exchanges > 0 && !self.is_one_way();
        is_judged.then_some(self.response.lost)
    }

    /// The same of a thousand requests.
    #[must_use]
    pub fn lost_per_mille(&self) -> Option<u64> {
        let asked = u128::from(self.response.asked());
        let part = (u128::from(self.lost()?) * 1000).checked_div(asked)?;
        u64::try_from(part).ok()
    }

    /// The response time that this percentage of the answers did not exceed.
    #[must_use]
    pub fn percentile_ns(&self, percent: u8) -> Option<u64> {
        self.response.percentile_ns(percent)
    }

    /// DNS answers that say an error other than that there is no such name; none where there were no answers.
    #[must_use]
    pub fn failed(&self) -> Option<u64> {
        let dns = self.dns.filter(|dns| dns.answers() > 0);
        dns.map(|dns| dns.errors())
    }

    /// The share of these DNS answers, in thousandths.
    #[must_use]
    pub fn per_mille_of_answers(&self, part: u64) -> Option<u64> {
        let answers = u128::from(self.dns?.answers());
        let part = (u128::from(part) * 1000).checked_div(answers)?;
        u64::try_from(part).ok()
    }

    /// How long the oldest request has waited; none where no answer is expected.
    #[must_use]
    pub fn wait_ns(&self, now_ns: u64) -> Option<u64> {
        let wait_ns = self.response.wait_ns(now_ns);
        wait_ns.filter(|_| !self.is_one_way())
    }

    /// Whether nothing has ever come back.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.back == 0 && self.response.answered == 0
    }
}

/// What is made of connections: the groups they are in.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    pub field: Field,
    pub of: HashMap<Shared, Group>,
    /// Names of interfaces, asked for once.
    names: Vec<(Ifindex, Name)>,
}

impl Groups {
    pub fn by(field: Field) -> Self {
        Self {
            field,
            of: HashMap::new(),
            names: Vec::new(),
        }
    }

    fn interface(names: &mut Vec<(Ifindex, Name)>, index: Ifindex, facts: &dyn Facts) -> Name {
        let known = names.iter().find(|(known, _)| *known == index);
        if let Some((_, name)) = known {
            return *name;
        }
        let name = Name::new(&facts.interface(index));
        names.push((index, name));
        name
    }

    /// Takes in a connection; gives how many clients and pids came new with it.
    pub fn add(&mut self, sample: &Sample, rates: Option<Rates>, adding: &Adding<'_>) -> u64 {
        let mut kept = 0;
        let facts = adding.facts;
        let places = if self.field == Field::Interface {
            let names = &mut self.names;
            Shared::interfaces(sample, |index| Self::interface(names, index, facts))
        } else {
            Shared::of(sample, facts, self.field)
        };
        for (place, (shared, side)) in places.into_iter().flatten().enumerate() {
            let group = self
                .of
                .entry(shared)
                .or_insert_with(|| Group::new(shared, sample.role, sample.first_ns));
            let before = group.kept();
            group.add(sample, side, place == 0, adding);
            kept += group.kept() - before;
            if let Some(rates) = rates {
                group.add_rates(rates, side);
                group.is_refusing |= place == 0 && sample.is_refused();
            }
        }
        kept
    }
}

/// The groups of these connections and of those that have ended, in no particular order.
pub(super) fn groups(
    connections: impl Iterator<Item = Connection>,
    facts: &dyn Facts,
    field: Field,
    ports: &OneWayPorts,
    ended: Option<&Ended>,
) -> Vec<Group> {
    let mut groups = Groups::by(field);
    groups.of = ended.map(Ended::groups).unwrap_or_default();
    let adding = Adding {
        facts,
        ports,
        kept: None,
    };
    for connection in connections {
        groups.add(&connection.sample, Some(connection.rates), &adding);
    }
    let mut groups: Vec<Group> = groups.of.into_values().collect();
    for group in &mut groups {
        group.processes.sort();
        group.settle_round_trips();
        group.state = judge(group, &Before::default());
    }
    groups
}
