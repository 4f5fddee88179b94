//! What stands in the columns: of connections, and of groups.

use super::super::units::{Bitrate, Grouped, Span};
use super::super::visible::Visible;
use super::grid::{Column, Grid};
use super::names::{Names, process};
use crate::connection::{Connection, Facts, Sample, Window};
use crate::listing::{Field, Group, Key, Query, Shared};

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
        (true, numbers("FIRST REPLY", 7)),
        (true, numbers("RESPONSE", 5)),
        (true, numbers("WAIT", 6)),
        (true, numbers("AGE", 13)),
    ];
    let sorted_by = match scene.query.sort {
        Key::Packets => &["ORIG PKTS", "REPLY PKTS"][..],
        Key::Bytes => &["ORIG BYTES", "REPLY BYTES"],
        Key::FirstReply => &["FIRST REPLY"],
        Key::Response => &["RESPONSE"],
        Key::Wait | Key::Unanswered => &["WAIT"],
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
    vec![
        sample.status.to_string(),
        names.originator(facts, sample.originator),
        names.responder(facts, sample.responder),
        interface(scene, sample),
        process(facts, sample).unwrap_or_else(nothing),
        Bitrate(rates.orig(Window::Short).bytes).to_string(),
        Bitrate(rates.reply(Window::Short).bytes).to_string(),
        Grouped(sample.orig.packets).to_string(),
        Grouped(sample.orig.bytes).to_string(),
        Grouped(sample.reply.packets).to_string(),
        Grouped(sample.reply.bytes).to_string(),
        span(sample.first_reply_after_ns()),
        span(sample.response.mean_ns()),
        span(sample.response.wait_ns(now_ns)),
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
        Field::Originator => "ORIGINATOR",
        Field::Responder => "SERVER",
        Field::Port => "PORT",
        Field::Process => "PROCESS",
        Field::Subnet => "SUBNET",
    };
    // What a table of unanswered requests is about comes first there, what any other is about elsewhere.
    let rank = |unanswered, other| {
        if scene.query.unanswered {
            unanswered
        } else {
            other
        }
    };
    let mut columns = vec![
        (true, words(shared, 0)),
        (true, numbers("CONNS", rank(5, 1))),
        (true, numbers("UNANSWERED", rank(1, 6))),
        (true, numbers("ASKED", rank(2, 7))),
        (true, numbers("ANSWERED", rank(2, 8))),
        (true, numbers("RATIO", rank(2, 9))),
        (true, numbers("RETRIES", rank(3, 10))),
        (true, numbers("MEAN", rank(6, 4))),
        (true, numbers("MAX", rank(7, 11))),
        (true, numbers("OLDEST WAIT", rank(4, 12))),
        (true, numbers("ORIG RATE", rank(8, 2))),
        (true, numbers("REPLY RATE", rank(9, 3))),
        (true, numbers("ORIG PKTS", rank(12, 13))),
        (true, numbers("ORIG BYTES", rank(10, 5))),
        (true, numbers("REPLY PKTS", rank(13, 14))),
        (true, numbers("REPLY BYTES", rank(11, 5))),
    ];
    let sorted_by = match scene.query.sort {
        Key::Packets => &["ORIG PKTS", "REPLY PKTS"][..],
        Key::Bytes => &["ORIG BYTES", "REPLY BYTES"],
        Key::Response => &["MEAN"],
        Key::Wait => &["OLDEST WAIT"],
        Key::Unanswered => &["UNANSWERED"],
        Key::Connections => &["CONNS"],
        _ => &[],
    };
    raise(&mut columns, sorted_by);
    grid(&columns, rows.iter().map(|group| group_cells(scene, group)))
}

fn group_cells(scene: Scene<'_>, group: &Group) -> Vec<String> {
    let (response, rates) = (&group.response, &group.rates);
    vec![
        shared(scene, group),
        Grouped(group.connections).to_string(),
        Grouped(group.unanswered).to_string(),
        Grouped(response.asked()).to_string(),
        Grouped(response.answered).to_string(),
        ratio(response.answered, response.asked()),
        Grouped(group.retries()).to_string(),
        span(response.mean_ns()),
        span((response.answered > 0).then_some(response.max_ns)),
        span(response.wait_ns(scene.now_ns)),
        Bitrate(rates.orig(Window::Short).bytes).to_string(),
        Bitrate(rates.reply(Window::Short).bytes).to_string(),
        Grouped(group.orig.packets).to_string(),
        Grouped(group.orig.bytes).to_string(),
        Grouped(group.reply.packets).to_string(),
        Grouped(group.reply.bytes).to_string(),
    ]
}

fn shared(scene: Scene<'_>, group: &Group) -> String {
    let Scene { facts, names, .. } = scene;
    match group.shared {
        Shared::Address(address) => names.address(facts, address),
        Shared::End(end) => names.responder(facts, end),
        Shared::Port(port) => names.port(facts, port),
        Shared::Process(_) | Shared::Forwarded | Shared::Unknown | Shared::Subnet(..) => {
            Visible(&group.label).to_string()
        }
    }
}

/// In percent, rounded down: what is not all is never shown as 100 %.
fn ratio(answered: u64, asked: u64) -> String {
    (u128::from(answered) * 1000)
        .checked_div(u128::from(asked))
        .map_or_else(nothing, |tenths| {
            format!("{}.{}%", tenths / 10, tenths % 10)
        })
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
