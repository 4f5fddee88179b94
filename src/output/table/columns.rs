//! What stands in the columns: of connections, and of groups.

use super::grid::{Column, Grid};
use super::names::{Names, process};
use crate::listing::{Group, Key, Query};
use crate::model::text::Visible;
use crate::model::text::{Bitrate, Grouped, Span};
use crate::model::{Connection, Facts, Role, Sample, Window};
use crate::model::{Field, Shared};

/// The columns up to this rank are worth more than names of hosts and services.
pub(super) const WORTH_MORE_THAN_NAMES: u8 = 3;

/// What a table needs to know to be made.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub facts: &'a dyn Facts,
    pub query: &'a Query,
    pub names: Names,
    pub now_ns: u64,
    /// Whether connections of several interfaces are shown.
    pub interfaces: bool,
}

fn words(header: &'static str, rank: u8) -> Column {
    Column {
        header,
        words: true,
        rank,
    }
}

fn numbers(header: &'static str, rank: u8) -> Column {
    Column {
        header,
        words: false,
        rank,
    }
}

/// A row for each connection.
pub(super) fn connections(scene: Scene<'_>, rows: &[Connection]) -> Grid {
    let asked_for = scene.query.process.is_some() || scene.query.sort == Key::Process;
    let processes = asked_for
        || rows
            .iter()
            .any(|connection| process(scene.facts, &connection.sample).is_some());
    let mut columns = vec![
        (true, words("STATUS", 1)),
        (true, words("ORIGINATOR", 0)),
        (true, words("RESPONDER", 0)),
        (scene.interfaces, words("IFACE", 8)),
        (processes, words("PROCESS", if asked_for { 1 } else { 4 })),
        (true, numbers("ORIG RATE", 2)),
        (true, numbers("REPLY RATE", 3)),
        (true, numbers("ORIG PKTS", 11)),
        (true, numbers("ORIG BYTES", 9)),
        (true, numbers("REPLY PKTS", 12)),
        (true, numbers("REPLY BYTES", 10)),
        (true, numbers("FIRST REPLY", 13)),
        (true, numbers("ASKED", 14)),
        (true, numbers("LOST", 6)),
        (true, numbers("RESPONSE", 5)),
        (scene.query.sort == Key::P95, numbers("P95", 0)),
        (true, numbers("WAIT", 7)),
        (true, numbers("AGE", 15)),
    ];
    let sorted_by = match scene.query.sort {
        Key::Packets => &["ORIG PKTS", "REPLY PKTS"][..],
        Key::Bytes => &["ORIG BYTES", "REPLY BYTES"],
        Key::FirstReply => &["FIRST REPLY"],
        Key::Asked => &["ASKED"],
        Key::Lost | Key::State => &["LOST"],
        Key::Response => &["RESPONSE"],
        Key::Wait => &["WAIT"],
        Key::Age => &["AGE"],
        Key::Idle => {
            columns.push((true, numbers("IDLE", 0)));
            &[]
        }
        _ => &[],
    };
    raise(&mut columns, sorted_by);
    let cells = |connection: &Connection| {
        let mut cells = connection_cells(scene, connection);
        if scene.query.sort == Key::Idle {
            let idle = scene.now_ns.saturating_sub(connection.sample.last_ns);
            cells.push(Span(idle).to_string());
        }
        cells
    };
    grid(&columns, rows.iter().map(cells))
}

fn connection_cells(scene: Scene<'_>, connection: &Connection) -> Vec<String> {
    let Connection { sample, rates, .. } = connection;
    let Scene {
        facts,
        names,
        now_ns,
        ..
    } = scene;
    let requests = Group::alone(sample, &scene.query.one_way_ports);
    vec![
        sample.status_word().to_owned(),
        names.originator(facts, sample.originator),
        format!(
            "{}{}",
            names.responder(facts, sample.responder),
            guessed(sample.role)
        ),
        interface(scene, sample),
        process(facts, sample).unwrap_or_else(nothing),
        Bitrate(rates.orig(Window::Short).bytes).to_string(),
        Bitrate(rates.reply(Window::Short).bytes).to_string(),
        Grouped(sample.orig.packets).to_string(),
        Grouped(sample.orig.bytes).to_string(),
        Grouped(sample.reply.packets).to_string(),
        Grouped(sample.reply.bytes).to_string(),
        span(sample.first_reply_after_ns()),
        asked(&requests),
        lost(&requests),
        span(requests.percentile_ns(50)),
        span(requests.percentile_ns(95)),
        span(requests.wait_ns(now_ns)),
        Span(now_ns.saturating_sub(sample.first_ns)).to_string(),
    ]
}

fn interface(scene: Scene<'_>, sample: &Sample) -> String {
    if scene.interfaces {
        Visible(&scene.facts.interface(sample.ifindex)).to_string()
    } else {
        String::new()
    }
}

/// A row for each group.
pub(super) fn groups(scene: Scene<'_>, field: Field, rows: &[Group]) -> Grid {
    let shared = match field {
        Field::Server => "SERVER",
        Field::Process => "PROCESS",
        Field::Host => "HOST",
        Field::Interface => "INTERFACE",
        Field::Port => "PORT",
        Field::Subnet => "SUBNET",
        Field::Originator => "ORIGINATOR",
    };
    let processes = field != Field::Process
        && rows
            .iter()
            .any(|group| group.processes.iter().next().is_some());
    if field == Field::Interface {
        return interfaces(scene, rows);
    }
    // Who answers comes first of what is asked, who sends much of the rest.
    let is_asked = matches!(field, Field::Server | Field::Port | Field::Subnet);
    let rank = |asked, other| if is_asked { asked } else { other };
    let mut columns = vec![
        (true, words(shared, 0)),
        (true, words("STATE", rank(1, 5))),
        (true, numbers("ASKED", rank(3, 6))),
        (true, numbers("LOST", rank(2, 6))),
        (true, numbers("RESPONSE", rank(2, 7))),
        (true, numbers("P95", rank(6, 9))),
        (true, numbers("IN", rank(4, 1))),
        (true, numbers("OUT", rank(4, 1))),
        (true, numbers("CLIENTS", 8)),
        (true, numbers("CONNS", rank(9, 3))),
        (true, numbers("WAIT", 10)),
        (true, numbers("RETRIES", 11)),
        (true, numbers("MAX", 12)),
        (true, numbers("IN PKTS", 14)),
        (true, numbers("IN BYTES", rank(13, 2))),
        (true, numbers("OUT PKTS", 14)),
        (true, numbers("OUT BYTES", rank(13, 2))),
        (processes, words("PROCESS", 5)),
    ];
    let sorted_by = match scene.query.sort {
        Key::Packets => &["IN PKTS", "OUT PKTS"][..],
        Key::Bytes => &["IN BYTES", "OUT BYTES"],
        Key::State => &["STATE"],
        Key::Asked => &["ASKED"],
        Key::Lost => &["LOST"],
        Key::Response => &["RESPONSE"],
        Key::P95 => &["P95"],
        Key::Wait => &["WAIT"],
        Key::Clients => &["CLIENTS"],
        Key::Connections => &["CONNS"],
        _ => &[],
    };
    raise(&mut columns, sorted_by);
    grid(&columns, rows.iter().map(|group| group_cells(scene, group)))
}

/// A row for each interface: what passed it, and what of it is in no connection.
fn interfaces(scene: Scene<'_>, rows: &[Group]) -> Grid {
    let columns = [
        words("INTERFACE", 0),
        numbers("IN", 1),
        numbers("OUT", 1),
        numbers("IN PKTS", 3),
        numbers("IN BYTES", 2),
        numbers("IN SKIPPED", 4),
        numbers("OUT PKTS", 3),
        numbers("OUT BYTES", 2),
        numbers("OUT SKIPPED", 4),
        numbers("CONNS", 5),
    ];
    let cells = |group: &Group| {
        let skipped = |way: usize| {
            let books = group.books.as_ref();
            books.map_or_else(nothing, |books| count(books[way].skipped_total().packets))
        };
        vec![
            shared(scene, group),
            Bitrate(group.received_rate(Window::Short).bytes).to_string(),
            Bitrate(group.sent_rate(Window::Short).bytes).to_string(),
            count(group.received.packets),
            count(group.received.bytes),
            skipped(0),
            count(group.sent.packets),
            count(group.sent.bytes),
            skipped(1),
            count(group.connections),
        ]
    };
    grid(
        &columns.map(|column| (true, column)),
        rows.iter().map(cells),
    )
}

fn group_cells(scene: Scene<'_>, group: &Group) -> Vec<String> {
    let response = &group.response;
    let more = if group.clients.is_more() { "+" } else { "" };
    vec![
        format!("{}{}", shared(scene, group), guessed(group.role)),
        group.state.word().to_owned(),
        asked(group),
        lost(group),
        span(group.percentile_ns(50)),
        span(group.percentile_ns(95)),
        Bitrate(group.received_rate(Window::Short).bytes).to_string(),
        Bitrate(group.sent_rate(Window::Short).bytes).to_string(),
        format!("{}{more}", Grouped(group.clients.count())),
        count(group.connections),
        span(group.wait_ns(scene.now_ns)),
        count(response.retries),
        span((response.answered > 0).then_some(response.max_ns)),
        count(group.received.packets),
        count(group.received.bytes),
        count(group.sent.packets),
        count(group.sent.bytes),
        match group.processes.to_string() {
            none if none.is_empty() => nothing(),
            processes => Visible(&processes).to_string(),
        },
    ]
}

fn shared(scene: Scene<'_>, group: &Group) -> String {
    let Scene { facts, names, .. } = scene;
    match group.shared {
        Shared::Address(address) => names.address(facts, address),
        Shared::End(end) => names.responder(facts, end),
        Shared::Port(port) => names.port(facts, port),
        other => Visible(&other.text()).to_string(),
    }
}

/// Behind ends whose roles may be the other way round.
fn guessed(role: Role) -> &'static str {
    if role == Role::Guessed { "?" } else { "" }
}

fn asked(group: &Group) -> String {
    group.asked().map_or_else(nothing, count)
}

fn count(number: u64) -> String {
    Grouped(number).to_string()
}

/// In percent of the requests, rounded down. What is not none is never shown as 0, and what is not all never as 100 %.
fn lost(group: &Group) -> String {
    let (Some(lost), Some(tenths)) = (group.lost(), group.lost_per_mille()) else {
        return group.lost().map_or_else(nothing, count);
    };
    match (lost, tenths) {
        (0, _) => "0".to_owned(),
        (_, 0) => "<0.1%".to_owned(),
        (_, 1..100) => format!("{}.{}%", tenths / 10, tenths % 10),
        (_, tenths) => format!("{}%", tenths / 10),
    }
}

fn span(ns: Option<u64>) -> String {
    ns.map_or_else(nothing, |ns| Span(ns).to_string())
}

fn nothing() -> String {
    "-".to_owned()
}

/// What the rows are sorted by is always shown.
fn raise(columns: &mut [(bool, Column)], headers: &[&str]) {
    for (_, column) in columns {
        if headers.contains(&column.header) {
            column.rank = 0;
        }
    }
}

/// Of the columns that are there.
fn grid(columns: &[(bool, Column)], rows: impl Iterator<Item = Vec<String>>) -> Grid {
    let there = |cells: Vec<String>| {
        let cells = cells.into_iter().zip(columns);
        cells
            .filter(|(_, (there, _))| *there)
            .map(|(cell, _)| cell)
            .collect()
    };
    let rows = rows.map(there).collect();
    let columns = columns.iter().filter(|(there, _)| *there);
    Grid::new(columns.map(|(_, column)| *column).collect(), rows)
}
