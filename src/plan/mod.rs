//! What the flags and files come to, decided before anything is attached.

mod alerts;
mod colors;
mod exports;
mod filter;
mod wrong;

pub(crate) use alerts::rules;
pub(crate) use colors::{background, color};
pub(crate) use exports::{collectors, domain, metrics};
pub(crate) use filter::{choice, choice_in_words, in_words, program};
pub use wrong::WrongUsage;

use crate::bpf;
use crate::cli::{Config, OutputKind};
use crate::filter::Program;
use crate::interface::{ANY, Interface};
use crate::listing::Query;
use crate::model::Window;
use crate::model::services::OneWayPorts;

/// So much may wait for its reader, in bytes.
pub(crate) const WAITING_LINES: usize = 32 << 20;

/// How to attach.
pub(crate) fn request(config: &Config) -> bpf::Request {
    bpf::Request {
        hook: config.hook,
        xdp_mode: config.xdp_mode,
        egress: config.egress,
    }
}

/// What is to be loaded.
pub(crate) fn settings(
    config: &Config,
    filter: Option<Program>,
    interfaces: &[Interface],
) -> bpf::Settings {
    let kinds = config.events;
    // The live view has a pane of trace lines.
    let trace = matches!(config.output, OutputKind::Trace | OutputKind::Live);
    bpf::Settings {
        max_connections: config.max_connections,
        max_ips: config.max_ips,
        maps: config.maps,
        beside: exports::bytes(config) + lines_that_wait(config),
        per_interface: config.per_interface,
        // A trace of later packets alone needs the first ones too: one GSO super-packet may be both.
        new_events: kinds.new || (trace && kinds.data),
        // In JSON, `data` is what the snapshots say, not a record for each packet.
        data_events: trace && kinds.data,
        // A trace shows them at the end of a connection, everything else always.
        response_times: config.output != OutputKind::Trace || kinds.end,
        filter,
        names: shows_names(config),
        interfaces: interfaces.iter().map(|interface| interface.index).collect(),
        grows: config.interfaces.iter().any(|name| name == ANY),
    }
}

/// Which connections are shown, in which order.
pub(crate) fn query(config: &Config) -> Query {
    let rows = &config.rows;
    let sort = rows.sort.map(|sort| (sort.key, sort.descending));
    let (sort, descending) = sort.unwrap_or_default();
    Query {
        status: rows.status,
        process: rows.process.clone(),
        unanswered: rows.unanswered,
        by: rows.by,
        sort,
        window: Window::default(),
        reverse: descending.is_some_and(|descending| descending != sort.is_descending()),
        top: rows.top,
        one_way_ports: one_way_ports(config),
    }
}

/// Services of which no answer is expected.
pub(crate) fn one_way_ports(config: &Config) -> OneWayPorts {
    let given = config.rows.one_way_ports.clone();
    given.map_or_else(OneWayPorts::default, OneWayPorts::new)
}

/// What lines may take that wait for their reader, in bytes.
fn lines_that_wait(config: &Config) -> u64 {
    if config.output == OutputKind::Live {
        0
    } else {
        WAITING_LINES as u64
    }
}

/// Whether this run shows names at all: a trace never does.
pub(crate) fn shows_names(config: &Config) -> bool {
    !config.numeric && config.output != OutputKind::Trace
}
