//! A record for each thing that happens, whichever form it is written in: JSON lines or CSV rows.

use std::io;
use std::net::SocketAddr;

use serde::Serialize;

use super::eve::{FlowRecord, Happening, Setting};
use super::eve_alert::AlertRecord;
use super::eve_dns::DnsRecord;
use super::eve_group::GroupRecord;
use super::eve_quic::QuicRecord;
use super::eve_stats::StatsRecord;
use super::{Clock, Kinds, Output};
use crate::alert::Notice;
use crate::dns::Seen;
use crate::listing::{Grouping, Moment, Query, Rows, rows};
use crate::model::{
    Connection, ConnectionId, Counts, DnsCounts, Dropped, EndReason, Event, EventKind, Facts,
    Heard, Place, PlaceMap, QuicFacts, Report, Response, Role, Sample, Status, Table,
};

/// How records are written down.
pub trait Form {
    /// A row of the table that the form is for: a connection, a group, a socket, …
    fn row(&mut self, record: &impl Serialize) -> io::Result<()>;

    /// What a QUIC connection said; a form that has no place for it leaves it out.
    fn quic(&mut self, record: &QuicRecord<'_>) -> io::Result<()> {
        let _ = record;
        Ok(())
    }

    /// The books; a form that has no place for them leaves them out.
    fn stats(&mut self, record: &StatsRecord<'_>) -> io::Result<()> {
        let _ = record;
        Ok(())
    }

    /// A DNS message; a form that has no place for it leaves it out.
    fn dns(&mut self, record: &DnsRecord<'_>) -> io::Result<()> {
        let _ = record;
        Ok(())
    }

    /// An alert; a form that has no place for it leaves it out.
    fn alert(&mut self, record: &AlertRecord<'_>) -> io::Result<()> {
        let _ = record;
        Ok(())
    }

    /// Hands on what is buffered.
    fn flush(&mut self) -> io::Result<()>;
}

/// Which records are written, and what is in them.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// [`Kinds::data`] makes an `update` record for each connection with traffic at each snapshot; single packets make none.
    pub kinds: Kinds,
    /// Which connections have update and end records. Where it groups them, each snapshot has a record for each group, in its order,
    /// and single connections have none.
    pub query: Query,
    /// No names of hosts.
    pub numeric: bool,
    /// An `update` record for each connection that the query chooses, in its order: a list.
    pub listed: bool,
}

/// Writes records.
#[derive(Debug)]
pub struct Records<F> {
    form: F,
    clock: Clock,
    choice: Choice,
    began_ns: u64,
    /// The scan that the last snapshot showed.
    shown_ns: u64,
    /// What was told of connections that go on.
    told: PlaceMap<Told>,
    has_rows: bool,
    grouping: Option<Grouping>,
}

impl<F: Form> Records<F> {
    /// Records in a form.
    pub fn new(form: F, clock: Clock, choice: Choice) -> Self {
        let began_ns = clock.now_ns().unwrap_or_default();
        Self {
            form,
            clock,
            grouping: choice.query.by.map(Grouping::by),
            choice,
            began_ns,
            shown_ns: 0,
            told: PlaceMap::default(),
            has_rows: false,
        }
    }

    fn list(&mut self, table: &Table, facts: &dyn Facts) -> io::Result<()> {
        let now_ns = self.clock.now_ns()?;
        let moment = Moment {
            now_ns: table.scanned_ns(),
            ..Moment::default()
        };
        if let Rows::Connections(places) = rows(table, facts, &self.choice.query, moment) {
            for connection in places.into_iter().filter_map(|place| table.get(place)) {
                let happening = Happening::Update(&connection.rates);
                self.write(now_ns, &connection.sample, facts, happening)?;
                self.has_rows = true;
            }
        }
        Ok(())
    }

    fn groups(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        let Some(grouping) = &mut self.grouping else {
            return Ok(());
        };
        let groups = grouping.snapshot(table, report, facts, &self.choice.query);
        self.has_rows |= !groups.is_empty();
        let now_ns = self.clock.now_ns()?;
        let setting = setting(&self.clock, &self.choice, facts);
        for group in &groups {
            let record = GroupRecord::new(setting, now_ns, grouping.field(), group);
            self.form.row(&record)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        written_ns: u64,
        sample: &Sample,
        facts: &dyn Facts,
        happening: Happening<'_>,
    ) -> io::Result<()> {
        let setting = setting(&self.clock, &self.choice, facts);
        let record = FlowRecord::new(setting, written_ns, sample, happening);
        self.form.row(&record)
    }
}

impl<F: Form> Output for Records<F> {
    fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        if self.grouping.is_some() || event.kind != EventKind::New || !self.choice.kinds.new {
            return Ok(());
        }
        let sample = as_sample(event);
        if self.choice.kinds.data {
            self.told.insert(sample.place, Told::of(&sample));
        }
        self.write(event.time_ns, &sample, facts, Happening::New)
    }

    fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        let Some(message) = seen.message.filter(|_| self.choice.kinds.dns) else {
            return Ok(());
        };
        if self.choice.query.wants_sample(seen.sample, facts) {
            let record = DnsRecord::new(&self.clock, facts, seen, message);
            self.form.dns(&record)?;
        }
        Ok(())
    }

    fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        if let Some(grouping) = &mut self.grouping {
            grouping.end(sample, facts, &self.choice.query);
            return Ok(());
        }
        self.told.remove(sample.place);
        if !self.choice.kinds.end {
            return Ok(());
        }
        let now_ns = self.clock.now_ns()?;
        self.write(now_ns, sample, facts, Happening::End(reason))
    }

    fn quic(&mut self, sample: &Sample, quic: &QuicFacts, facts: &dyn Facts) -> io::Result<()> {
        if !self.choice.kinds.quic {
            return Ok(());
        }
        let now_ns = self.clock.now_ns()?;
        let setting = setting(&self.clock, &self.choice, facts);
        self.form
            .quic(&QuicRecord::new(setting, now_ns, sample, quic))
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        if self.grouping.is_some() {
            return self.groups(table, report, facts);
        }
        if self.choice.listed {
            return self.list(table, facts);
        }
        if !self.choice.kinds.data {
            return Ok(());
        }
        let mut active: Vec<(u64, ConnectionId, Place)> = table
            .grown_since(self.shown_ns)
            .filter(|connection| self.choice.query.wants(connection, facts))
            .map(|Connection { sample, .. }| (sample.first_ns, sample.id, sample.place))
            .collect();
        active.sort_unstable();
        let now_ns = self.clock.now_ns()?;
        let places = active.into_iter().map(|(.., place)| place);
        for connection in places.filter_map(|place| table.get(place)) {
            let sample = &connection.sample;
            let before = self.told.insert(sample.place, Told::of(sample));
            let since = before.filter(|told| told.id == sample.id);
            let since = since.map_or(*sample, |told| told.since(sample));
            let happening = Happening::Update(&connection.rates);
            self.write(now_ns, &since, facts, happening)?;
        }
        self.shown_ns = table.scanned_ns();
        Ok(())
    }

    fn stats(&mut self, report: &Report) -> io::Result<()> {
        self.clock.resample()?;
        let now_ns = self.clock.now_ns()?;
        let record = StatsRecord::new(&self.clock, self.began_ns, now_ns, report);
        self.form.stats(&record)
    }

    fn alert(&mut self, notice: &Notice) -> io::Result<()> {
        let record = AlertRecord::new(&self.clock, notice);
        self.form.alert(&record)
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.form.flush()
    }
}

/// How much of a connection was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    id: ConnectionId,
    /// Roles may change: then the counts do, too.
    originator: SocketAddr,
    orig: Counts,
    reply: Counts,
    dropped: Dropped,
    dns: Option<DnsCounts>,
}

impl Told {
    fn of(sample: &Sample) -> Self {
        Self {
            id: sample.id,
            originator: sample.originator,
            orig: sample.orig,
            reply: sample.reply,
            dropped: sample.dropped,
            dns: sample.dns,
        }
    }

    /// What it did since then.
    fn since(self, sample: &Sample) -> Sample {
        let (orig, reply) = if self.originator == sample.originator {
            (self.orig, self.reply)
        } else {
            (self.reply, self.orig)
        };
        Sample {
            orig: sample.orig.since(orig),
            reply: sample.reply.since(reply),
            dropped: sample.dropped.since(&self.dropped),
            dns: sample
                .dns
                .map(|dns| dns.since(&self.dns.unwrap_or_default())),
            ..*sample
        }
    }
}

fn setting<'a>(clock: &'a Clock, choice: &'a Choice, facts: &'a dyn Facts) -> Setting<'a> {
    Setting {
        clock,
        facts,
        numeric: choice.numeric,
        one_way_ports: &choice.query.one_way_ports,
    }
}

/// The connection as its first packet made it.
fn as_sample(event: &Event) -> Sample {
    Sample {
        id: event.id,
        place: event.place,
        ifindex: event.ifindex,
        reply_ifindex: None,
        vlans: event.vlans,
        originator: event.source,
        responder: event.destination,
        orig: event.counts,
        reply: Counts::default(),
        status: Status::Unreplied,
        unreachable: None,
        first_ns: event.time_ns,
        last_ns: event.time_ns,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        orig_class: None,
        reply_class: None,
        role: Role::Seen,
        response: Response::default(),
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::Nothing,
    }
}
