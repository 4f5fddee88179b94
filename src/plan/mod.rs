//! What flags and files come to, decided before anything is attached.
//!
//! A [`Plan`] is a run, a [`ListPlan`] is what `udptrack list` shows. Whoever has one knows that nothing is wrong with the command
//! line. `udptrack check` and a run make the same plan, and so refuse the same; SIGHUP makes it anew.

mod alerts;
mod captures;
mod colors;
mod exports;
mod filter;
mod list;
mod reread;
mod shown;
mod wrong;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

pub(crate) use captures::{Captures, WAITING_FRAMES, WriteTo};
pub(crate) use colors::colors;
pub(crate) use list::ListPlan;
pub(crate) use reread::read_again;
pub(crate) use shown::{Shown, Subject};
pub use wrong::WrongUsage;

use crate::alert::Rule;
use crate::bpf;
use crate::cli::{Color, Config, Export, Flags, OutputKind, Pins};
use crate::filter::Program;
use crate::interface::{ANY, Interface};
use crate::model::Timeouts;
use crate::model::services::OneWayPorts;
use crate::view::Background;

/// So much may wait for its reader, in bytes.
pub(crate) const WAITING_LINES: usize = 32 << 20;

/// A run, with all that is decided before it begins.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct Plan {
    /// The network namespace of the interfaces; `None` means that of the caller.
    pub netns: Option<String>,
    /// Captures that are read in place of interfaces; `-` is standard input.
    pub read: Vec<PathBuf>,
    /// So many times as fast as it was, a capture is played; none means as fast as it goes.
    pub speed: Option<f64>,
    /// Names of interfaces; none means that of the default route, `any` means all.
    pub interfaces: Vec<String>,
    /// By which hooks.
    pub request: bpf::Request,
    /// What the kernel looks for; `None` is everything.
    filter: Option<Program>,
    /// The filter as it was written.
    pub filter_text: String,
    /// What is tracked, for people, if not everything.
    pub only: Option<String>,
    /// What is shown, and how.
    pub shown: Shown,
    /// Where lines go, in place of standard output.
    pub file: Option<PathBuf>,
    /// Whether there are colours on standard output.
    pub color: Color,
    /// Those of the live view.
    pub background: Background,
    /// Whether the processes at the ends must be known.
    pub processes: bool,
    /// Whether resolvers are asked for names.
    pub resolve: bool,
    /// Time between snapshots.
    pub delay: Duration,
    /// The run ends after so long.
    pub duration: Option<Duration>,
    /// The run ends after so many events or snapshots.
    pub count: Option<u64>,
    /// Whether the exit status says what was found.
    pub check: bool,
    /// Nothing on standard error but warnings and errors.
    pub quiet: bool,
    /// More on standard error.
    pub verbose: bool,
    /// Room for connections.
    pub max_connections: u32,
    /// Room for addresses.
    pub max_ips: u32,
    /// Whether the maps are published that others read.
    pub maps: bool,
    /// Count what the kernel drops behind the hooks.
    pub drops: bool,
    /// Read payload.
    payload: bool,
    per_interface: bool,
    /// When connections end.
    pub timeouts: Timeouts,
    /// What raises an alert.
    pub rules: Vec<Rule>,
    /// What is run then: a program and its arguments.
    pub exec: Option<Vec<String>>,
    /// What is written of frames.
    pub captures: Option<Captures>,
    export: Export,
    /// How others find the run, and what stays of it.
    pub pins: Pins,
    /// Whether there are files that SIGHUP reads again.
    pub has_files: bool,
    flags: Flags,
}

impl Plan {
    /// Says what is wrong with a configuration, if something is.
    pub fn of(config: &Config) -> Result<Self, WrongUsage> {
        let rules = alerts::rules(config)?;
        if !config.read.is_empty() {
            wrong::refuse_for_captures(&rules)?;
        }
        Ok(Self {
            filter: filter::program(config)?,
            filter_text: config.filter.clone().unwrap_or_default(),
            only: filter::in_words(config),
            netns: config.netns.clone(),
            read: config.read.clone(),
            speed: config.speed,
            interfaces: config.interfaces.clone(),
            request: bpf::Request {
                hook: config.hook,
                xdp_mode: config.xdp_mode,
                egress: config.egress,
            },
            shown: Shown::of(config),
            file: config.output_file.clone(),
            color: config.color,
            background: colors::background(config, |name| std::env::var_os(name)),
            processes: config.processes || rules.iter().any(Rule::asks_for_processes),
            resolve: config.resolve,
            delay: config.delay,
            duration: config.duration,
            count: config.count,
            check: config.check,
            quiet: config.quiet,
            verbose: config.verbose,
            max_connections: config.max_connections,
            max_ips: config.max_ips,
            maps: config.maps,
            drops: config.drops,
            payload: config.payload,
            per_interface: config.per_interface,
            timeouts: Timeouts {
                unreplied: config.udp_timeout,
                assured: config.stream_timeout,
            },
            rules,
            exec: config.alerts.exec.clone(),
            captures: captures::captures(config)?,
            export: config.export.clone(),
            pins: config.pins.clone(),
            has_files: !config.files.is_empty(),
            flags: config.flags.clone(),
        })
    }

    /// What is to be loaded, for these interfaces.
    pub fn settings(&self, interfaces: &[Interface]) -> bpf::Settings {
        bpf::Settings {
            max_connections: self.max_connections,
            max_ips: self.max_ips,
            maps: self.maps && !self.is_replay(),
            beside: self.export_bytes() + self.shown.waiting_bytes() + self.capture_bytes(),
            per_interface: self.per_interface,
            new_events: self.shown.needs_new_events(),
            data_events: self.shown.needs_data_events(),
            response_times: self.needs_response_times(),
            filter: self.filter.clone(),
            payloads: self.payloads(),
            frames: self.frames(),
            dns: self.counts_dns(),
            replay: self.is_replay(),
            interfaces: interfaces.iter().map(|interface| interface.index).collect(),
            grows: self.is_replay() || self.interfaces.iter().any(|name| name == ANY),
        }
    }

    /// Whether captures are read in place of interfaces.
    pub fn is_replay(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether there is one snapshot, of all that is in them.
    pub fn is_whole(&self) -> bool {
        self.is_replay() && self.shown.once
    }

    /// Whether somebody wants to know how fast requests are answered: metrics and alerts do, whatever is shown beside them.
    fn needs_response_times(&self) -> bool {
        self.shown.needs_response_times() || self.export.metrics.is_some() || !self.rules.is_empty()
    }

    /// Whose payload is read: names of hosts are learnt from DNS, what connections speak from their first datagrams.
    fn payloads(&self) -> bpf::Payloads {
        let is_exported = self.export.ipfix.is_some() || self.export.metrics.is_some();
        if !self.payload {
            bpf::Payloads::Off
        } else if self.shown.has_protocols()
            || is_exported
            || !self.rules.is_empty()
            || self.captures.is_some()
        {
            bpf::Payloads::All
        } else if self.shown.has_names() || self.shown.has_dns() {
            bpf::Payloads::Dns
        } else {
            bpf::Payloads::Off
        }
    }

    /// Whether somebody may want to know how DNS servers answer: a trace alone does not say it.
    fn counts_dns(&self) -> bool {
        let is_trace = self.shown.output == OutputKind::Trace;
        self.payload && (!is_trace || self.export.metrics.is_some() || !self.rules.is_empty())
    }

    /// Services of which no answer is expected.
    pub fn one_way_ports(&self) -> OneWayPorts {
        self.shown.query.one_way_ports.clone()
    }

    /// Whether a rule is about sockets.
    pub fn has_rules_of_sockets(&self) -> bool {
        self.rules.iter().any(|rule| rule.measure.is_of_sockets())
    }

    /// Whether somebody wants to know how full the buffers of sockets are.
    pub fn looks_at_sockets(&self) -> bool {
        let is_wanted =
            self.shown.is_live() || self.export.metrics.is_some() || self.has_rules_of_sockets();
        is_wanted && !self.is_replay()
    }

    /// Whether SIGHUP has something to do: else it ends the run.
    pub fn reloads(&self) -> bool {
        self.has_files || self.file.is_some() || self.writes_captures()
    }

    /// Whether what the kernel tracks stays when the run ends.
    pub fn keeps(&self) -> bool {
        self.pins.keep
    }
}

#[cfg(test)]
mod tests;
