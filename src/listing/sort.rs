//! The order of rows.

use std::cmp::{Ordering, Reverse};
use std::net::SocketAddr;

use super::Query;
use super::group::{Group, Shared};
use crate::connection::{Connection, Counts, Facts, Rates, Response, Window};

/// What rows are sorted by. Numbers go from the largest down, words up; a row that has no value comes last, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// UNREPLIED first, then as connections live on.
    Status,
    /// Address and port, IPv4 first.
    Originator,
    /// The same, or the label of a group.
    Responder,
    /// Both directions.
    #[default]
    Rate,
    /// From the originator.
    OrigRate,
    /// From the responder.
    ReplyRate,
    /// Both directions.
    Packets,
    /// Both directions.
    Bytes,
    /// From the first packet to the first reply.
    FirstReply,
    /// Average response time.
    Response,
    /// The oldest request that still waits.
    Wait,
    /// Since the first packet.
    Age,
    /// Since the latest packet.
    Idle,
    /// Name of the process.
    Process,
    /// How many connections a group has.
    Connections,
    /// Requests without an answer, then the oldest that still waits, then retries.
    Unanswered,
}

impl Key {
    /// Whether it goes from the largest down.
    #[must_use]
    pub fn is_descending(self) -> bool {
        !matches!(
            self,
            Self::Status | Self::Originator | Self::Responder | Self::Process
        )
    }
}

/// What a row has of a key. Borrowed, so that nothing is allocated for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Number(u64),
    Unanswered {
        requests: u64,
        /// [`u64::MAX`] less the moment: the earlier, the more.
        oldest: Option<u64>,
        retries: u64,
    },
    End(SocketAddr),
    Shared(&'a Shared),
    Text(&'a str),
}

/// The connections as the query wants them sorted, its `top` of them.
///
/// Equal ones stand by bytes and then by id, so that the order is the same each time. All that is compared is taken once
/// for each connection: they lie apart in memory.
pub(super) fn connections<T>(
    connections: impl Iterator<Item = (T, Connection)>,
    facts: &dyn Facts,
    query: &Query,
) -> Vec<T> {
    let mut keyed: Vec<_> = connections
        .map(|(handle, connection)| {
            let sample = &connection.sample;
            let tie = (Reverse(sample.total().bytes), sample.id);
            (connection_value(&connection, facts, query), tie, handle)
        })
        .collect();
    keep_top(&mut keyed, query, |(one, a, _), (other, b, _)| {
        compare(*one, *other, query).then_with(|| a.cmp(b))
    });
    keyed.into_iter().map(|(_, _, handle)| handle).collect()
}

/// The same of groups; equal ones stand by bytes and then by what they share.
pub(super) fn groups(mut groups: Vec<Group>, query: &Query) -> Vec<Group> {
    keep_top(&mut groups, query, |one, other| {
        let values = [one, other].map(|group| group_value(group, query));
        compare(values[0], values[1], query).then_with(|| {
            let [a, b] = [one, other].map(|group| (group.orig + group.reply).bytes);
            b.cmp(&a).then_with(|| one.shared.cmp(&other.shared))
        })
    });
    groups
}

/// Sorts, and keeps what the query wants of it: the rest is not put in order.
fn keep_top<T>(rows: &mut Vec<T>, query: &Query, order: impl Fn(&T, &T) -> Ordering) {
    match query.top {
        Some(0) => rows.clear(),
        Some(top) if top < rows.len() => {
            rows.select_nth_unstable_by(top - 1, &order);
            rows.truncate(top);
        }
        _ => {}
    }
    rows.sort_unstable_by(order);
}

fn compare(one: Option<Value<'_>>, other: Option<Value<'_>>, query: &Query) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) if query.sort.is_descending() != query.reverse => other.cmp(&one),
        (Some(one), Some(other)) => one.cmp(&other),
        // What has no value comes last, either way.
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

fn connection_value<'a>(
    connection: &Connection,
    facts: &'a dyn Facts,
    query: &Query,
) -> Option<Value<'a>> {
    let sample = &connection.sample;
    Some(match query.sort {
        Key::Status => Value::Number(sample.status as u64),
        Key::Originator => Value::End(sample.originator),
        Key::Responder => Value::End(sample.responder),
        Key::FirstReply => Value::Number(sample.first_reply_after_ns()?),
        Key::Process => Value::Text(&facts.processes(sample).main()?.command),
        Key::Connections => return None,
        _ => {
            return Numbers {
                orig: sample.orig,
                reply: sample.reply,
                rates: &connection.rates,
                response: &sample.response,
                first_ns: sample.first_ns,
                last_ns: sample.last_ns,
            }
            .value(query.sort, query.window);
        }
    })
}

fn group_value<'a>(group: &'a Group, query: &Query) -> Option<Value<'a>> {
    Some(match query.sort {
        Key::Status | Key::FirstReply => return None,
        Key::Process => match group.shared {
            Shared::Unknown => return None,
            _ => Value::Text(&group.label),
        },
        Key::Originator | Key::Responder => Value::Shared(&group.shared),
        Key::Connections => Value::Number(group.connections),
        _ => {
            return Numbers {
                orig: group.orig,
                reply: group.reply,
                rates: &group.rates,
                response: &group.response,
                first_ns: group.first_ns,
                last_ns: group.last_ns,
            }
            .value(query.sort, query.window);
        }
    })
}

/// What connections and groups both have.
struct Numbers<'a> {
    orig: Counts,
    reply: Counts,
    rates: &'a Rates,
    response: &'a Response,
    first_ns: u64,
    last_ns: u64,
}

impl Numbers<'_> {
    fn value(&self, key: Key, window: Window) -> Option<Value<'static>> {
        Some(Value::Number(match key {
            Key::Rate => ordered(self.rates.total(window).bytes),
            Key::OrigRate => ordered(self.rates.orig(window).bytes),
            Key::ReplyRate => ordered(self.rates.reply(window).bytes),
            Key::Packets => (self.orig + self.reply).packets,
            Key::Bytes => (self.orig + self.reply).bytes,
            Key::Response => self.response.mean_ns()?,
            // Times are kept as moments: the later, the younger.
            Key::Wait => u64::MAX - self.response.waiting_since_ns?,
            Key::Age => u64::MAX - self.first_ns,
            Key::Idle => u64::MAX - self.last_ns,
            Key::Unanswered => {
                return Some(Value::Unanswered {
                    requests: self.response.waiting,
                    oldest: self.response.waiting_since_ns.map(|since| u64::MAX - since),
                    retries: self.orig.packets.saturating_sub(self.response.asked()),
                });
            }
            Key::Status
            | Key::Originator
            | Key::Responder
            | Key::FirstReply
            | Key::Process
            | Key::Connections => return None,
        }))
    }
}

/// The bits of a float that is not negative are in its order.
fn ordered(rate: f32) -> u64 {
    u64::from(rate.max(0.0).to_bits())
}
