//! The order of rows.

use std::cmp::{Ordering, Reverse};
use std::net::SocketAddr;

use super::Query;
use super::group::Group;
use super::state::{State, Traffic};
use crate::model::{Connection, Facts, Response, Sample, Shared, SortKey as Key, Window};

/// What a row has of a key. Borrowed, so that nothing is allocated for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth<'a> {
    Number(u64),
    /// Per mille, and how many.
    Share(u64, u64),
    State(State, Reverse<(u64, u64)>),
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
            let [a, b] = [one, other].map(|group| group.total().bytes);
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

fn compare(one: Option<Worth<'_>>, other: Option<Worth<'_>>, query: &Query) -> Ordering {
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
) -> Option<Worth<'a>> {
    let (sample, rates) = (&connection.sample, &connection.rates);
    let window = query.window;
    Some(match query.sort {
        Key::Status => Worth::Number(sample.status as u64),
        Key::Originator => Worth::End(sample.originator),
        Key::Responder => Worth::End(sample.responder),
        Key::Process => Worth::Text(facts.processes(sample).in_tables(sample).main()?.program()),
        Key::Proto => Worth::Text(sample.spoken()?.protocol.word()),
        Key::Connections | Key::Clients => return None,
        Key::State => {
            let alone = Group::alone(sample, &query.one_way_ports);
            Worth::State(alone.state, Reverse(share(&alone).unwrap_or_default()))
        }
        Key::Dropped => Worth::Number(sample.dropped.total().packets),
        Key::Queries => Worth::Number(sample.dns?.queries),
        Key::Failed => failed(&Group::alone(sample, &query.one_way_ports))?,
        Key::Lost => {
            let (share, lost) = share(&Group::alone(sample, &query.one_way_ports))?;
            Worth::Share(share, lost)
        }
        Key::Asked | Key::Response | Key::P95 | Key::Wait if is_one_way(sample, query) => {
            return None;
        }
        Key::FirstReply => Worth::Number(sample.first_reply_after_ns()?),
        Key::Rtt => Worth::Number(sample.round_trip?.median_ns.into()),
        Key::Rate => Worth::Number(ordered(rates.total(window).bytes)),
        Key::OrigRate => Worth::Number(ordered(rates.orig(window).bytes)),
        Key::ReplyRate => Worth::Number(ordered(rates.reply(window).bytes)),
        Key::Packets => Worth::Number(sample.total().packets),
        Key::Bytes => Worth::Number(sample.total().bytes),
        Key::Age => moment(sample.first_ns),
        Key::Idle => moment(sample.last_ns),
        Key::Asked | Key::Response | Key::P95 | Key::Wait => {
            of_response(&sample.response, query.sort)?
        }
    })
}

fn group_value<'a>(group: &'a Group, query: &Query) -> Option<Worth<'a>> {
    let window: Window = query.window;
    Some(match query.sort {
        Key::Status | Key::FirstReply => return None,
        Key::Process if group.shared == Shared::Unknown => return None,
        Key::Process if matches!(group.shared, Shared::Program(_) | Shared::Forwarded) => {
            Worth::Shared(&group.shared)
        }
        Key::Process => Worth::Text(group.processes.iter().next()?.program.name()),
        Key::Proto => Worth::Text(group.speech.main()?.protocol.word()),
        Key::Originator | Key::Responder => Worth::Shared(&group.shared),
        Key::Connections => Worth::Number(group.connections),
        Key::Clients => Worth::Number(group.clients.count()),
        Key::State => Worth::State(group.state, Reverse(share(group).unwrap_or_default())),
        Key::Dropped => Worth::Number(group.dropped.total().packets),
        Key::Queries => Worth::Number(group.dns?.queries),
        Key::Failed => failed(group)?,
        Key::Lost => {
            let (share, lost) = share(group)?;
            Worth::Share(share, lost)
        }
        Key::Rate => Worth::Number(ordered(group.rate(window).bytes)),
        Key::OrigRate => Worth::Number(ordered(group.received_rate(window).bytes)),
        Key::ReplyRate => Worth::Number(ordered(group.sent_rate(window).bytes)),
        Key::Packets => Worth::Number(group.total().packets),
        Key::Bytes => Worth::Number(group.total().bytes),
        Key::Age => moment(group.first_ns),
        Key::Idle => moment(group.last_ns),
        Key::Asked => Worth::Number(group.asked()?),
        Key::Rtt => Worth::Number(group.round_trip?.median_ns.into()),
        Key::Response | Key::P95 | Key::Wait => of_response(&group.response, query.sort)?,
    })
}

fn is_one_way(sample: &Sample, query: &Query) -> bool {
    Traffic::of(sample, &query.one_way_ports) == Traffic::OneWay
}

/// Per mille of the requests that were lost, and how many.
fn share(group: &Group) -> Option<(u64, u64)> {
    Some((group.lost_per_mille()?, group.lost()?))
}

/// Per mille of the DNS answers that say an error, and how many.
fn failed(group: &Group) -> Option<Worth<'static>> {
    let failed = group.failed()?;
    Some(Worth::Share(group.per_mille_of_answers(failed)?, failed))
}

/// Times are kept as moments: the later, the younger.
fn moment(ns: u64) -> Worth<'static> {
    Worth::Number(u64::MAX - ns)
}

fn of_response(response: &Response, key: Key) -> Option<Worth<'static>> {
    match key {
        Key::Wait => response.waiting_since_ns.map(moment),
        Key::Asked => Some(Worth::Number(response.asked())),
        Key::P95 => response.percentile_ns(95).map(Worth::Number),
        _ => response.percentile_ns(50).map(Worth::Number),
    }
}

/// The bits of a float that is not negative are in its order.
fn ordered(rate: f32) -> u64 {
    u64::from(rate.max(0.0).to_bits())
}
