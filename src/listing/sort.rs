//! The order of rows.

use std::cmp::Ordering;
use std::net::SocketAddr;

use super::{Query, Row};
use crate::connection::{Facts, Window};

/// What rows are sorted by. Numbers go from the largest down, words up; a row that has no value comes last, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// UNREPLIED first, then as connections live on.
    Status,
    /// Address and port, IPv4 first.
    Originator,
    /// The same, or the label of a group.
    Responder,
    /// Both directions, over two seconds.
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
    /// How many of these nobody has answered.
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

/// What a row has of a key.
#[derive(Debug, PartialEq, PartialOrd)]
enum Value {
    Number(u64),
    Rate(f32),
    End(SocketAddr),
    Text(String),
}

/// Sorts the rows as the query wants them and keeps its `top`.
///
/// Equal rows stand by bytes and then by id or label, so that the order is the same each time.
pub(super) fn sort(rows: &mut Vec<Row<'_>>, facts: &dyn Facts, query: &Query) {
    let down = query.sort.is_descending() != query.reverse;
    let mut keyed: Vec<_> = rows
        .drain(..)
        .map(|row| (value(&row, facts, query.sort), row))
        .collect();
    keyed.sort_unstable_by(|(one, a), (other, b)| {
        let order = match (one, other) {
            (Some(one), Some(other)) => {
                let order = one.partial_cmp(other).unwrap_or(Ordering::Equal);
                if down { order.reverse() } else { order }
            }
            (one, other) => other.is_some().cmp(&one.is_some()),
        };
        order.then_with(|| tie(a, b))
    });
    rows.extend(keyed.into_iter().map(|(_, row)| row));
    if let Some(top) = query.top {
        rows.truncate(top);
    }
}

fn tie(one: &Row<'_>, other: &Row<'_>) -> Ordering {
    match (one, other) {
        (Row::Connection(one), Row::Connection(other)) => {
            let (one, other) = (&one.sample, &other.sample);
            let bytes = other.total().bytes.cmp(&one.total().bytes);
            bytes.then_with(|| one.id.cmp(&other.id))
        }
        (Row::Group(one), Row::Group(other)) => {
            let bytes = (other.orig + other.reply)
                .bytes
                .cmp(&(one.orig + one.reply).bytes);
            bytes.then_with(|| one.label.cmp(&other.label))
        }
        (Row::Connection(_), Row::Group(_)) => Ordering::Less,
        (Row::Group(_), Row::Connection(_)) => Ordering::Greater,
    }
}

fn value(row: &Row<'_>, facts: &dyn Facts, key: Key) -> Option<Value> {
    let (orig, reply, rates, response, first_ns, last_ns) = match row {
        Row::Connection(connection) => {
            let sample = &connection.sample;
            (
                sample.orig,
                sample.reply,
                &connection.rates,
                &sample.response,
                sample.first_ns,
                sample.last_ns,
            )
        }
        Row::Group(group) => (
            group.orig,
            group.reply,
            &group.rates,
            &group.response,
            group.first_ns,
            group.last_ns,
        ),
    };
    Some(match key {
        Key::Rate => Value::Rate(rates.total(Window::Short).bytes),
        Key::OrigRate => Value::Rate(rates.orig(Window::Short).bytes),
        Key::ReplyRate => Value::Rate(rates.reply(Window::Short).bytes),
        Key::Packets => Value::Number((orig + reply).packets),
        Key::Bytes => Value::Number((orig + reply).bytes),
        Key::Response => Value::Number(response.mean_ns()?),
        // Times are kept as moments: the later, the younger.
        Key::Wait => Value::Number(u64::MAX - response.waiting_since_ns?),
        Key::Age => Value::Number(u64::MAX - first_ns),
        Key::Idle => Value::Number(u64::MAX - last_ns),
        Key::Status
        | Key::Originator
        | Key::Responder
        | Key::FirstReply
        | Key::Process
        | Key::Connections
        | Key::Unanswered => return own_value(row, facts, key),
    })
}

/// What only connections, or only groups, have.
fn own_value(row: &Row<'_>, facts: &dyn Facts, key: Key) -> Option<Value> {
    Some(match (row, key) {
        (Row::Connection(connection), Key::Status) => {
            Value::Number(connection.sample.status as u64)
        }
        (Row::Connection(connection), Key::Originator) => Value::End(connection.sample.originator),
        (Row::Connection(connection), Key::Responder) => Value::End(connection.sample.responder),
        (Row::Connection(connection), Key::FirstReply) => {
            Value::Number(connection.sample.first_reply_after_ns()?)
        }
        (Row::Connection(connection), Key::Process) => {
            let processes = facts.processes(&connection.sample);
            Value::Text(processes.main()?.command.clone())
        }
        (Row::Group(group), Key::Originator | Key::Responder | Key::Process) => {
            Value::Text(group.label.clone())
        }
        (Row::Group(group), Key::Connections) => Value::Number(group.connections),
        (Row::Group(group), Key::Unanswered) => Value::Number(group.unanswered),
        _ => return None,
    })
}
