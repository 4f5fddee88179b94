//! What is in the cell of a row and a column: the one place where that is computed. A value becomes text in [`Number::text`] or where it
//! is drawn, which adds names, colours and widths.

use std::net::SocketAddr;

use super::columns::Column;
use super::group::Group;
use super::program::Programs;
use super::speech::Speech;
use super::state::State;
use crate::model::services::OneWayPorts;
use crate::model::text::{Bitrate, Bytes, Grouped, Span};
use crate::model::{
    Books, Connection, Direction, EndReason, Facts, Processes, Protocol, QuicFacts, RCODES, Rates,
    Response, Role, Sample, Shared, Skip, Status, Window,
};

/// After this wait, a request is late, at any server.
const LATE_NS: u64 = 1_000_000_000;
/// After this multiple of the server's own average, it is late, too.
const LATE_TIMES: u64 = 8;

/// What a row of a table is about.
#[derive(Debug)]
pub enum Row<'a> {
    /// A connection, live or ended, or several as one.
    Connection(ConnectionRow<'a>),
    /// A group of connections.
    Group(&'a Group),
    /// A hook of an interface.
    Hook {
        /// The interface. Hostile input for a terminal.
        interface: &'a str,
        /// Which of its hooks.
        direction: Direction,
        /// What it did.
        books: &'a Books,
        /// How fast what it tracked came, as an originator's.
        rates: &'a Rates,
    },
}

/// A connection, and what can be told of it.
#[derive(Debug)]
pub struct ConnectionRow<'a> {
    /// Which.
    pub connection: &'a Connection,
    /// Why it ended, if it did.
    pub ended: Option<EndReason>,
    /// Whose the ends are.
    pub processes: Processes<'a>,
    /// What can be told of it as of a group.
    alone: Box<Group>,
}

/// What is known of a connection beside the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Whose the ends are.
    pub processes: Processes<'a>,
    /// What it has said, where it speaks QUIC.
    pub quic: Option<&'a QuicFacts>,
}

impl<'a> Known<'a> {
    /// Of a connection that is live.
    #[must_use]
    pub fn of(sample: &Sample, facts: &'a dyn Facts) -> Self {
        Self {
            processes: facts.processes(sample),
            quic: facts.quic(sample),
        }
    }
}

impl<'a> Row<'a> {
    /// Of a connection.
    #[must_use]
    pub fn of(
        connection: &'a Connection,
        ended: Option<EndReason>,
        known: Known<'a>,
        ports: &OneWayPorts,
    ) -> Self {
        let sample = &connection.sample;
        let mut alone = Box::new(Group::alone(sample, ports));
        alone.speech.add(sample.spoken(), known.quic);
        Self::Connection(ConnectionRow {
            connection,
            ended,
            processes: known.processes.in_tables(sample),
            alone,
        })
    }
}

/// What is in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// There is nothing to tell: `-`.
    Nothing,
    /// How far a connection has come, and the word for it.
    Status(Status, &'static str),
    /// How a group does.
    State(State),
    /// One of the two ends, and whether that is a guess.
    End(SocketAddr, Role),
    /// What a group shares, and whether roles in it are guessed.
    Shared(Shared, Role),
    /// Whose the ends of a connection are.
    Process(Processes<'a>),
    /// The programs of a group.
    Programs(&'a Programs),
    /// What is spoken.
    Speech(Speech),
    /// A name of the system's. Hostile input for a terminal.
    Name(String),
    /// Which error a DNS server says most, and in which share of its answers: `0.4% SERVFAIL`.
    Failing(String),
    /// A word of ours.
    Word(&'static str),
    /// A moment: nanoseconds of `CLOCK_MONOTONIC`.
    Moment(u64),
    /// A number.
    Number(Number),
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Bytes per second.
    Rate(f32),
    /// Packets per second.
    PacketRate(f32),
    /// Bytes.
    Bytes(u64),
    /// How many there are.
    Count(u64),
    /// The same, and more that are not told apart.
    CountAtLeast(u64),
    /// How many there are of what should not be.
    Loss(u64),
    /// How many were lost, and per mille of all.
    Share(u64, u64),
    /// How many there are, and per mille of all: neither good nor bad.
    Part(u64, u64),
    /// Nanoseconds.
    Span(u64),
    /// A lower bound of a response time, in nanoseconds: several requests were open.
    AtLeast(u64),
    /// Nanoseconds that a request has waited, and whether it is late.
    Waiting(u64, bool),
    /// The same where nothing was answered yet: a response takes longer than that.
    LongerThan(u64, bool),
}

/// In which units numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Bytes to the last one, rates in the unit that suits them.
    Exact,
    /// Both in the unit that suits them: `1.2 kB`, `9.8 Mbit/s`.
    Long,
    /// The same in as little room as possible: `1.2kB`, `9.8M`.
    Short,
}

impl Number {
    /// As it is written in every table.
    #[must_use]
    pub fn text(self, units: Units) -> String {
        match (self, units) {
            (Self::Rate(rate), Units::Short) => Bitrate(rate).short(),
            (Self::Rate(rate), _) => Bitrate(rate).to_string(),
            (Self::Bytes(bytes), Units::Exact) => Grouped(bytes).to_string(),
            (Self::Bytes(bytes), Units::Long) => Bytes(bytes).to_string(),
            (Self::Bytes(bytes), Units::Short) => Bytes(bytes).short(),
            (Self::PacketRate(rate), _) => Grouped(whole(rate)).to_string(),
            (Self::Count(count) | Self::Loss(count), _) => Grouped(count).to_string(),
            (Self::CountAtLeast(count), _) => format!("{}+", Grouped(count)),
            (Self::Share(part, per_mille) | Self::Part(part, per_mille), _) => {
                share(part, per_mille)
            }
            (Self::Span(ns) | Self::Waiting(ns, _), _) => Span(ns).to_string(),
            (Self::AtLeast(ns), _) => format!("≥{}", Span(ns)),
            (Self::LongerThan(ns, _), _) => format!(">{}", Span(ns)),
        }
    }
}

/// In percent, rounded down. What is not none is never shown as 0, and what is not all never as 100 %.
fn share(lost: u64, per_mille: u64) -> String {
    match (lost, per_mille) {
        (0, _) => "0%".to_owned(),
        (_, 0) => "<0.1%".to_owned(),
        (_, 1..100) => format!("{}.{}%", per_mille / 10, per_mille % 10),
        (_, _) => format!("{}%", per_mille / 10),
    }
}

/// A rate without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates, and a rate is not negative"
)]
fn whole(rate: f32) -> u64 {
    rate.round() as u64
}

/// Whether a request that has waited for this time is late. Every request waits for a while: that is not bad yet.
#[must_use]
pub fn is_late(response: &Response, wait_ns: u64) -> bool {
    let usual = response
        .mean_ns()
        .map(|mean| mean.saturating_mul(LATE_TIMES));
    wait_ns >= LATE_NS || usual.is_some_and(|usual| wait_ns >= usual)
}

/// What values are made with, beside their row.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// Names of interfaces.
    pub facts: &'a dyn Facts,
    /// Over which time rates are.
    pub window: Window,
    /// The clock: nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
}

impl Values<'_> {
    /// What is in a cell. [`Value::Nothing`] where a row has no such column.
    #[must_use]
    pub fn value<'r>(&self, column: Column, row: &Row<'r>) -> Value<'r> {
        match row {
            Row::Connection(row) => self.of_connection(column, row),
            Row::Group(group) => self.of_group(column, group),
            Row::Hook {
                interface,
                direction,
                books,
                rates,
            } => self.of_hook(column, interface, *direction, books, rates),
        }
    }

    fn of_connection<'r>(&self, column: Column, row: &ConnectionRow<'r>) -> Value<'r> {
        let Connection { sample, rates, .. } = row.connection;
        Value::Number(match column {
            Column::Status => return Value::Status(sample.status, sample.status_word()),
            Column::Interface => return Value::Name(self.facts.interface(sample.ifindex)),
            Column::Originator => return Value::End(sample.originator, Role::Seen),
            Column::Responder => return Value::End(sample.responder, sample.role),
            Column::Process => return Value::Process(row.processes),
            Column::Proto => return spoken(row.alone.speech.clone()),
            Column::Name => return name(&row.alone),
            Column::Reason => {
                return row
                    .ended
                    .map_or(Value::Nothing, |why| Value::Word(why.word()));
            }
            Column::When => return Value::Moment(sample.last_ns),
            Column::OrigRate => Number::Rate(rates.orig(self.window).bytes),
            Column::ReplyRate => Number::Rate(rates.reply(self.window).bytes),
            Column::OrigPackets => Number::Count(sample.orig.packets),
            Column::OrigBytes => Number::Bytes(sample.orig.bytes),
            Column::ReplyPackets => Number::Count(sample.reply.packets),
            Column::ReplyBytes => Number::Bytes(sample.reply.bytes),
            Column::Packets => Number::Count(sample.total().packets),
            Column::Bytes => Number::Bytes(sample.total().bytes),
            Column::Dropped => Number::Loss(sample.dropped.total().packets),
            Column::FirstReply => return span(sample.first_reply_after_ns()),
            Column::RoundTrip => {
                return span(sample.round_trip.map(|one| one.median_ns.into()));
            }
            Column::Age => self.since(sample.first_ns),
            Column::Idle => self.since(sample.last_ns),
            // Of one packet there is no time between two.
            Column::Lasted => {
                let lasted = sample.last_ns.saturating_sub(sample.first_ns);
                return span(Some(lasted).filter(|lasted| *lasted > 0));
            }
            column => return self.of_requests(column, &row.alone, row.ended.is_none()),
        })
    }

    fn of_group<'r>(&self, column: Column, group: &'r Group) -> Value<'r> {
        let (received, sent) = (group.received, group.sent);
        let skipped = |way: usize| {
            let books = group.books.as_ref();
            number(
                books.map(|books| books[way].skipped_total().packets),
                Number::Count,
            )
        };
        Value::Number(match column {
            Column::Group => return Value::Shared(group.shared, group.role),
            Column::State => return Value::State(group.state),
            Column::Process if group.processes.iter().next().is_none() => return Value::Nothing,
            Column::Process => return Value::Programs(&group.processes),
            Column::Proto => return spoken(group.speech.clone()),
            Column::Name => return name(group),
            Column::Clients if group.clients.is_more() => {
                Number::CountAtLeast(group.clients.count())
            }
            Column::Clients => Number::Count(group.clients.count()),
            Column::Dropped => Number::Loss(group.dropped.total().packets),
            Column::Connections => Number::Count(group.connections),
            Column::RoundTrip => {
                return span(group.round_trip.map(|all| all.median_ns.into()));
            }
            Column::InRate => Number::Rate(group.received_rate(self.window).bytes),
            Column::OutRate => Number::Rate(group.sent_rate(self.window).bytes),
            Column::InPackets => Number::Count(received.packets),
            Column::InBytes => Number::Bytes(received.bytes),
            Column::InSkipped => return skipped(0),
            Column::OutPackets => Number::Count(sent.packets),
            Column::OutBytes => Number::Bytes(sent.bytes),
            Column::OutSkipped => return skipped(1),
            Column::Packets => Number::Count(group.total().packets),
            Column::Bytes => Number::Bytes(group.total().bytes),
            Column::Age => self.since(group.first_ns),
            Column::Idle => self.since(group.last_ns),
            column => return self.of_requests(column, group, true),
        })
    }

    /// What can be told of requests. What has ended waits no longer.
    fn of_requests(&self, column: Column, group: &Group, is_live: bool) -> Value<'static> {
        let response = &group.response;
        let wait = group.wait_ns(self.now_ns).filter(|_| is_live);
        let is_late = |wait| is_late(response, wait);
        match column {
            Column::Asked => number(group.asked(), Number::Count),
            Column::Lost => {
                let share = group.lost().zip(group.lost_per_mille());
                number(share, |(lost, per_mille)| Number::Share(lost, per_mille))
            }
            Column::Response => match (group.percentile_ns(50), wait) {
                (None, Some(wait)) if group.is_silent() => {
                    Value::Number(Number::LongerThan(wait, is_late(wait)))
                }
                (half, _) => time(half, response),
            },
            Column::P95 => time(group.percentile_ns(95), response),
            Column::Max => time(
                Some(response.max_ns).filter(|_| response.answered > 0),
                response,
            ),
            Column::Queries
            | Column::Answers
            | Column::Code(_)
            | Column::Failed
            | Column::Truncated => of_dns(column, group),
            Column::Retries => number(group.asked(), |_| Number::Count(response.retries)),
            Column::Waiting => number(wait, |wait| Number::Waiting(wait, is_late(wait))),
            _ => Value::Nothing,
        }
    }

    fn of_hook(
        &self,
        column: Column,
        interface: &str,
        direction: Direction,
        books: &Books,
        rates: &Rates,
    ) -> Value<'static> {
        Value::Number(match column {
            Column::Interface => return Value::Name(interface.to_owned()),
            Column::Direction => {
                return Value::Word(match direction {
                    Direction::Ingress => "in",
                    Direction::Egress => "out",
                });
            }
            Column::Rate => Number::Rate(rates.orig(self.window).bytes),
            Column::PacketRate => Number::PacketRate(rates.orig(self.window).packets),
            Column::Seen => Number::Count(books.seen.packets),
            Column::Tracked => Number::Count(books.tracked.packets),
            Column::Skipped => Number::Count(books.skipped_total().packets),
            Column::Refused => Number::Loss(books.skipped_for(Skip::TableFull).packets),
            Column::Bytes => Number::Bytes(books.tracked.bytes),
            _ => return Value::Nothing,
        })
    }

    fn since(&self, ns: u64) -> Number {
        Number::Span(self.now_ns.saturating_sub(ns))
    }
}

fn spoken(speech: Speech) -> Value<'static> {
    let is_known = speech.main().is_some();
    if is_known {
        Value::Speech(speech)
    } else {
        Value::Nothing
    }
}

/// The server that clients ask for, or how a DNS server fails. Of a group with both, what goes with most of its connections.
fn name(group: &Group) -> Value<'static> {
    let more = |is_more| if is_more { ", …" } else { "" };
    let asked_for = group.speech.server_name();
    let asked_for =
        asked_for.map(|(name, is_more)| Value::Name(format!("{name}{}", more(is_more))));
    let failing = failing(group).map(|(text, is_more)| Value::Failing(text + more(is_more)));
    let is_quic = group.speech.main().map(|spoken| spoken.protocol) == Some(Protocol::Quic);
    let (first, second) = if is_quic {
        (asked_for, failing)
    } else {
        (failing, asked_for)
    };
    first.or(second).unwrap_or(Value::Nothing)
}

/// The error that most of its DNS answers say, and whether there are others.
fn failing(group: &Group) -> Option<(String, bool)> {
    let (code, count, is_more) = group.dns?.main_error()?;
    let share = Number::Share(count, group.per_mille_of_answers(count)?).text(Units::Exact);
    let code = match RCODES.get(code)? {
        &"other" => "other error",
        code => code,
    };
    Some((format!("{share} {code}"), is_more))
}

/// What the kernel counts of DNS messages.
fn of_dns(column: Column, group: &Group) -> Value<'static> {
    let Some(dns) = group.dns else {
        return Value::Nothing;
    };
    let share = |part: u64| group.per_mille_of_answers(part);
    Value::Number(match column {
        Column::Queries => Number::Count(dns.queries),
        Column::Answers => Number::Count(dns.answers()),
        Column::Truncated => Number::Count(dns.truncated),
        Column::Failed => {
            let failed = group.failed();
            return number(failed.zip(failed.and_then(share)), |(failed, per_mille)| {
                Number::Share(failed, per_mille)
            });
        }
        Column::Code(code) => match (code, dns.rcodes.get(code).copied().unwrap_or_default()) {
            (0, count) => return number(share(count), |per_mille| Number::Part(count, per_mille)),
            // That there is no such name is an answer.
            (3, count) => Number::Count(count),
            (_, count) => Number::Loss(count),
        },
        _ => return Value::Nothing,
    })
}

fn number<T>(value: Option<T>, number: impl FnOnce(T) -> Number) -> Value<'static> {
    value.map_or(Value::Nothing, |value| Value::Number(number(value)))
}

fn span(ns: Option<u64>) -> Value<'static> {
    number(ns, Number::Span)
}

/// A response time, marked where it is a lower bound.
fn time(ns: Option<u64>, response: &Response) -> Value<'static> {
    number(ns, |ns| {
        if response.is_bound {
            Number::AtLeast(ns)
        } else {
            Number::Span(ns)
        }
    })
}

#[cfg(test)]
mod tests;
