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
use crate::cli::{self, Config, OutputKind};
use crate::filter::Program;
use crate::interface::{ANY, Interface};
use crate::listing::{Key, Query};
use crate::model::services::OneWayPorts;
use crate::model::{Field, Status, Window};
use crate::output::Kinds;

/// So much may wait for its reader, in bytes.
pub(crate) const WAITING_LINES: usize = 32 << 20;

pub(crate) fn kinds(events: &[cli::EventKind]) -> Kinds {
    Kinds {
        new: events.contains(&cli::EventKind::New),
        data: events.contains(&cli::EventKind::Data),
        end: events.contains(&cli::EventKind::End),
    }
}

/// How to attach.
pub(crate) fn request(config: &Config) -> bpf::Request {
    bpf::Request {
        hook: match config.hook {
            cli::Hook::Auto => bpf::HookChoice::Auto,
            cli::Hook::Xdp => bpf::HookChoice::Xdp,
            cli::Hook::Tc => bpf::HookChoice::Tc,
        },
        xdp_mode: match config.xdp_mode {
            cli::XdpMode::Auto => bpf::XdpMode::Auto,
            cli::XdpMode::Native => bpf::XdpMode::Native,
            cli::XdpMode::Generic => bpf::XdpMode::Generic,
        },
        egress: config.egress,
    }
}

/// What is to be loaded.
pub(crate) fn settings(
    config: &Config,
    filter: Option<Program>,
    interfaces: &[Interface],
) -> bpf::Settings {
    let kinds = kinds(&config.events);
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
    let sort = rows.sort.map(|sort| (key(sort.key), sort.descending));
    let (sort, descending) = sort.unwrap_or_default();
    Query {
        status: rows.status.map(|word| match word {
            cli::StatusWord::Unreplied => Status::Unreplied,
            cli::StatusWord::Replied => Status::Replied,
            cli::StatusWord::Assured => Status::Assured,
            cli::StatusWord::Unreach => Status::Unreach,
        }),
        process: rows.process.clone(),
        unanswered: rows.unanswered,
        by: rows.by.map(|by| match by {
            cli::GroupBy::Server => Field::Server,
            cli::GroupBy::Process => Field::Process,
            cli::GroupBy::Host => Field::Host,
            cli::GroupBy::Interface => Field::Interface,
            cli::GroupBy::Port => Field::Port,
            cli::GroupBy::Subnet => Field::Subnet,
            cli::GroupBy::Originator => Field::Originator,
        }),
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

fn key(key: cli::SortKey) -> Key {
    match key {
        cli::SortKey::Rate => Key::Rate,
        cli::SortKey::OrigRate => Key::OrigRate,
        cli::SortKey::ReplyRate => Key::ReplyRate,
        cli::SortKey::Bytes => Key::Bytes,
        cli::SortKey::Packets => Key::Packets,
        cli::SortKey::FirstReply => Key::FirstReply,
        cli::SortKey::Response => Key::Response,
        cli::SortKey::Wait => Key::Wait,
        cli::SortKey::Age => Key::Age,
        cli::SortKey::Idle => Key::Idle,
        cli::SortKey::Status => Key::Status,
        cli::SortKey::Originator => Key::Originator,
        cli::SortKey::Responder => Key::Responder,
        cli::SortKey::Process => Key::Process,
        cli::SortKey::Connections => Key::Connections,
        cli::SortKey::P95 => Key::P95,
        cli::SortKey::Asked => Key::Asked,
        cli::SortKey::Lost => Key::Lost,
        cli::SortKey::State => Key::State,
        cli::SortKey::Clients => Key::Clients,
    }
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
