//! From the command line to what a run works with: hooks attached and said, the output chosen.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::exports;
use super::learning::shows_names;
use super::process::{note, say};
use super::wanted::announce;
use super::writer;
use crate::bpf::{self, Attachment, Tracker};
use crate::cli::{self, Config, OutputKind};
use crate::filter::Program;
use crate::interface::{ANY, Interface};
use crate::listing::{Key, Query};
use crate::model::Field;
use crate::model::services::OneWayPorts;
use crate::model::text::{Bytes, Grouped, Visible};
use crate::model::{Status, Timeouts, Window};
use crate::netfilter;
use crate::output::{
    Choice, Clock, Conntrack, CsvRows, JsonLines, Kinds, Output, Records, Style, TextTable, Trace,
};

pub(super) fn kinds(events: &[cli::EventKind]) -> Kinds {
    Kinds {
        new: events.contains(&cli::EventKind::New),
        data: events.contains(&cli::EventKind::Data),
        end: events.contains(&cli::EventKind::End),
    }
}

/// How to attach.
pub(super) fn request(config: &Config) -> bpf::Request {
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
pub(super) fn settings(
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
pub(super) fn query(config: &Config) -> Query {
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
pub(super) fn one_way_ports(config: &Config) -> OneWayPorts {
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

/// What is written to `out`; of a list, the timeouts that its connections have.
pub(super) fn output(
    config: &Config,
    kinds: Kinds,
    query: &Query,
    list: Option<Timeouts>,
    out: impl Write + 'static,
) -> Result<Box<dyn Output>> {
    let clock = || Clock::new().context("cannot read the clock");
    let choice = || Choice {
        kinds,
        query: query.clone(),
        numeric: config.numeric,
        listed: list.is_some() || config.once,
    };
    Ok(match config.output {
        OutputKind::Trace | OutputKind::Live => {
            Box::new(Trace::new(out, kinds).with(one_way_ports(config)))
        }
        OutputKind::Table => {
            let style = Style {
                query: query.clone(),
                numeric: config.numeric,
                width: io::stdout().is_terminal().then_some(terminal_width),
            };
            Box::new(TextTable::new(out, style))
        }
        OutputKind::Json => Box::new(Records::new(JsonLines::new(out), clock()?, choice())),
        OutputKind::Csv => {
            let rows = match query.by {
                Some(_) => CsvRows::groups(out)?,
                None => CsvRows::new(out)?,
            };
            Box::new(Records::new(rows, clock()?, choice()))
        }
        OutputKind::Conntrack => {
            let timeouts = list.unwrap_or_default();
            Box::new(Conntrack::new(out, query.clone(), timeouts))
        }
    })
}

fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0))
}

/// What lines may take that wait for their reader, in bytes.
fn lines_that_wait(config: &Config) -> u64 {
    if config.output == OutputKind::Live {
        0
    } else {
        writer::ROOM as u64
    }
}

/// How often it is said how far attaching is, where it takes a while.
const PROGRESS: Duration = Duration::from_secs(1);

pub(super) fn is_due(said: &mut Instant, now: Instant) -> bool {
    let is_due = now.saturating_duration_since(*said) >= PROGRESS;
    if is_due {
        *said = now;
    }
    is_due
}

/// Attaches to all interfaces or to none.
pub(super) fn attach_all(
    config: &Config,
    tracker: &mut Tracker,
    interfaces: &[Interface],
) -> Result<Vec<Attachment>> {
    let request = request(config);
    let mut attachments = Vec::new();
    let mut said = Instant::now();
    for interface in interfaces {
        attachments.push(bpf::attach(tracker, interface, request)?);
        if !config.quiet && is_due(&mut said, Instant::now()) {
            say(format_args!(
                "attached to {} of {} interfaces",
                Grouped(attachments.len() as u64),
                Grouped(interfaces.len() as u64)
            ));
        }
    }
    Ok(attachments)
}

/// Says what there is room for, and what that takes.
fn say_room(config: &Config, tracker: &Tracker) {
    let addresses = if config.verbose && config.maps {
        format!(
            " and {} addresses of each family",
            Grouped(config.max_ips.into())
        )
    } else {
        String::new()
    };
    note(format_args!(
        "room for {} connections{addresses}: {} of kernel memory",
        Grouped(config.max_connections.into()),
        Bytes(tracker.table_bytes())
    ));
}

/// Says what is tracked, when others can find it, too.
pub(super) fn say_tracking(config: &Config, tracker: &Tracker, attachments: &[Attachment]) {
    say_attached(config, attachments);
    if tracker.is_resumed() || config.quiet {
        return;
    }
    if attachments.len() > 1 && netfilter::translates() {
        say(format_args!(
            "addresses are translated here (NAT): such a connection is counted before and after it, as two"
        ));
    }
    say_room(config, tracker);
    announce(config);
}

/// Says how each interface is seen.
fn say_attached(config: &Config, attachments: &[Attachment]) {
    for attachment in attachments {
        let seen = how_seen(attachment);
        if !attachment.interface.up {
            say(format_args!(
                "{} is down: nothing passes until it is up",
                Visible(&attachment.interface.name)
            ));
        }
        if !config.quiet {
            note(format_args!("{seen}"));
        }
    }
}

/// The same of one that has come while others are tracked.
pub(super) fn say_new(config: &Config, attachment: &Attachment) {
    let seen = how_seen(attachment);
    if !config.quiet {
        say(format_args!("{seen}"));
    }
}

/// By which hooks; what there is to be known of them is said.
fn how_seen(attachment: &Attachment) -> String {
    let name = Visible(&attachment.interface.name);
    for note in &attachment.notes {
        say(format_args!("{name}: {note}"));
    }
    let sent = match attachment.egress {
        Some(hook) => format!("sent by {hook}"),
        None if attachment.interface.loopback => "which is also what it sends".to_owned(),
        None => "sent is not seen".to_owned(),
    };
    format!(
        "tracking {name}: received by {}, {sent}",
        attachment.ingress
    )
}

pub(super) fn attached_names(attachments: &[Attachment]) -> String {
    let names: Vec<String> = attachments
        .iter()
        .map(|attachment| Visible(&attachment.interface.name).to_string())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_once_a_second() {
        let start = Instant::now();
        let mut said = start;
        let at = [400, 999, 1000, 1500, 2400, 3000].map(Duration::from_millis);
        let due = at.map(|at| is_due(&mut said, start + at));
        assert_eq!(due, [false, false, true, false, true, false]);
    }
}
