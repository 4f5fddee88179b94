//! DNS as records beside EVE's: one for each server, program, name and record type, and one that says what the names are of.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::csv::{Columns, RESPONSE};
use super::dns_rows::DnsRows;
use super::eve_alert::AlertRecord;
use super::eve_dns::DnsCountsRecord;
use super::eve_stats::StatsRecord;
use super::eve_times::ResponseTimes;
use super::records::{Choice, Form};
use super::{Clock, CsvRows, JsonLines, Output, Stamp};
use crate::alert::Notice;
use crate::dns::{NameRow, Seen, kind_name, protocol_of};
use crate::listing::Group;
use crate::model::{EndReason, Facts, Name, Report, Sample, Shared, Table};

/// Rows of each kind where nobody says how many.
const ROWS: usize = 100;

/// A row; the field order is the order in the output.
#[derive(Serialize)]
struct RowRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: &'static str,
    udptrack: Own<'a>,
}

/// What a row has of all that there is.
#[derive(Default, Serialize)]
struct Own<'a> {
    event: &'static str,
    /// `dns`, `mdns`, `llmnr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'static, str>>,
    /// The code of the answers, or `no answer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// There were more names than room: the count may be too high by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    count_error: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<u64>,
    #[serde(flatten)]
    dns: Option<DnsCountsRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseTimes>,
    #[serde(flatten)]
    messages: Option<Messages>,
}

/// What became of the messages that names are of.
#[derive(Serialize)]
struct Messages {
    read: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<u64>,
    malformed: u64,
    unasked: u64,
    late: u64,
    retries: u64,
    forgotten: u64,
}

/// The columns of CSV, and where their values stand in the record.
const ROW: Columns = &[
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("protocol", "/udptrack/protocol"),
    ("ip", "/dest_ip"),
    ("port", "/dest_port"),
    ("hostname", "/udptrack/hostname"),
    ("program", "/udptrack/program"),
    ("name", "/udptrack/name"),
    ("type", "/udptrack/type"),
    ("result", "/udptrack/result"),
    ("count", "/udptrack/count"),
    ("count_error", "/udptrack/count_error"),
    ("clients", "/udptrack/clients"),
    ("queries", "/udptrack/queries"),
    ("answers", "/udptrack/answers"),
    ("truncated", "/udptrack/truncated"),
    ("noerror", "/udptrack/rcodes/NOERROR"),
    ("formerr", "/udptrack/rcodes/FORMERR"),
    ("servfail", "/udptrack/rcodes/SERVFAIL"),
    ("nxdomain", "/udptrack/rcodes/NXDOMAIN"),
    ("notimp", "/udptrack/rcodes/NOTIMP"),
    ("refused", "/udptrack/rcodes/REFUSED"),
    ("other", "/udptrack/rcodes/other"),
];

const BESIDE: Columns = &[
    ("messages_read", "/udptrack/read"),
    ("messages_unread", "/udptrack/unread"),
    ("messages_malformed", "/udptrack/malformed"),
    ("answers_unasked", "/udptrack/unasked"),
    ("answers_late", "/udptrack/late"),
    ("queries_repeated", "/udptrack/retries"),
    ("queries_forgotten", "/udptrack/forgotten"),
];

/// Records.
#[derive(Debug)]
pub struct DnsRecords<F> {
    form: F,
    clock: Clock,
    choice: Choice,
    began_ns: u64,
    rows: DnsRows,
    has_rows: bool,
}

impl<W: Write> DnsRecords<JsonLines<W>> {
    /// As JSON, to `out`.
    pub fn json(out: W, clock: Clock, choice: Choice) -> Self {
        Self::new(JsonLines::new(out), clock, choice)
    }
}

impl<W: Write> DnsRecords<CsvRows<W>> {
    /// As CSV, to `out`, after the header.
    pub fn csv(out: W, clock: Clock, choice: Choice) -> io::Result<Self> {
        Ok(Self::new(
            CsvRows::of(out, &[ROW, RESPONSE, BESIDE])?,
            clock,
            choice,
        ))
    }
}

impl<F> DnsRecords<F> {
    fn new(form: F, clock: Clock, choice: Choice) -> Self {
        Self {
            form,
            began_ns: clock.now_ns().unwrap_or_default(),
            clock,
            rows: DnsRows::of(&choice.query),
            choice,
            has_rows: false,
        }
    }
}

impl<F: Form> Output for DnsRecords<F> {
    fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        self.rows.take(seen, facts);
        Ok(())
    }

    fn end(&mut self, sample: &Sample, _reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        self.rows.end(sample, facts);
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        let now_ns = self.clock.now_ns()?;
        let most = self.choice.query.top.unwrap_or(ROWS);
        let all = self.rows.snapshot(table, report, facts, most);
        self.has_rows |= !all.servers.is_empty();
        let facts = (!self.choice.numeric).then_some(facts);
        let hostname = |end: SocketAddr| facts.and_then(|facts| facts.host_name(end.ip()));
        let kinds = self.rows.names.kinds();
        let servers = all.servers.iter().map(|group| of_server(group, hostname));
        let programs = all.programs.iter().map(of_program);
        let names = all.failed.iter().chain(&all.asked).map(of_name);
        let kinds = kinds
            .iter()
            .take(most)
            .map(|(kind, count)| of_kind(*kind, *count));
        let rows = servers.chain(programs).chain(names).chain(kinds);
        for (server, udptrack) in rows.chain([(None, self.messages(report))]) {
            self.form.row(&RowRecord {
                timestamp: self.clock.stamp(now_ns),
                event_type: udptrack.event,
                dest_ip: server.map(|server| server.ip()),
                dest_port: server.map(|server| server.port()),
                proto: "UDP",
                udptrack,
            })?;
        }
        Ok(())
    }

    fn stats(&mut self, report: &Report) -> io::Result<()> {
        self.clock.resample()?;
        let now_ns = self.clock.now_ns()?;
        let record = StatsRecord::new(&self.clock, self.began_ns, now_ns, report);
        self.form.stats(&record)
    }

    fn alert(&mut self, notice: &Notice) -> io::Result<()> {
        self.form.alert(&AlertRecord::new(&self.clock, notice))
    }

    fn has_rows(&self) -> bool {
        self.has_rows
    }

    fn flush(&mut self) -> io::Result<()> {
        self.form.flush()
    }
}

impl<F> DnsRecords<F> {
    fn messages(&self, report: &Report) -> Own<'static> {
        let tally = self.rows.names.tally();
        Own {
            event: "dns_messages",
            messages: Some(Messages {
                read: tally.read,
                unread: report.dns_unread(),
                malformed: tally.malformed,
                unasked: tally.unasked,
                late: tally.late,
                retries: tally.retries,
                forgotten: tally.forgotten,
            }),
            ..Own::default()
        }
    }
}

/// A row, and the server that it is of.
type Row<'a> = (Option<SocketAddr>, Own<'a>);

fn of_server<'a>(group: &'a Group, hostname: impl Fn(SocketAddr) -> Option<&'a str>) -> Row<'a> {
    let server = match group.shared {
        Shared::End(end) => Some(end),
        _ => None,
    };
    let own = Own {
        event: "dns_server",
        protocol: server.map(|server| protocol_of(server).word()),
        hostname: server.and_then(hostname),
        clients: Some(group.clients.count()),
        dns: group.dns.map(Into::into),
        response: ResponseTimes::of_group(group),
        ..Own::default()
    };
    (server, own)
}

fn of_program(group: &Group) -> Row<'_> {
    let own = Own {
        event: "dns_program",
        program: match &group.shared {
            Shared::Program(name) => Some(name.name()),
            _ => None,
        },
        dns: group.dns.map(Into::into),
        response: ResponseTimes::of_group(group),
        ..Own::default()
    };
    (None, own)
}

fn of_name(row: &NameRow) -> Row<'_> {
    let own = Own {
        event: if row.failure.is_some() {
            "dns_failed"
        } else {
            "dns_asked"
        },
        protocol: Some(protocol_of(row.server).word()),
        program: row.program.as_ref().map(Name::name),
        name: Some(&row.name),
        kind: Some(kind_name(row.kind)),
        result: row.failure.map(crate::dns::Failure::word),
        count: Some(row.count.count),
        count_error: Some(row.count.error).filter(|error| *error > 0),
        ..Own::default()
    };
    (Some(row.server), own)
}

fn of_kind(kind: Option<u16>, count: u64) -> Row<'static> {
    let own = Own {
        event: "dns_type",
        kind: Some(kind.map_or_else(|| "other".into(), kind_name)),
        count: Some(count),
        ..Own::default()
    };
    (None, own)
}
