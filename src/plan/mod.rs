//! Turns flags and files into a plan, before anything is attached.
//!
//! A [`Plan`] is a run, a [`ListPlan`] is what `udptrack list` shows. If there is a plan, the command line is right. `udptrack check`
//! and a run make the same plan, so they refuse the same flags. SIGHUP makes the plan again.

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

/// How much output may wait for its reader, in bytes.
pub(crate) const WAITING_LINES: usize = 32 << 20;

/// A run: everything that is decided before it begins.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct Plan {
    /// The network namespace of the interfaces; `None`: the namespace of the caller.
    pub netns: Option<String>,
    /// Captures that are read in place of interfaces; `-` is standard input.
    pub read: Vec<PathBuf>,
    /// How many times faster than it was recorded a capture is played; `None`: as fast as possible.
    pub speed: Option<f64>,
    /// Names of interfaces; empty: the interface of the default route; `any`: all interfaces.
    pub interfaces: Vec<String>,
    /// The hooks to use.
    pub request: bpf::Request,
    /// The filter for the kernel; `None`: all connections.
    filter: Option<Program>,
    /// The filter as it was written.
    pub filter_text: String,
    /// The filter in words for people; `None`: all connections.
    pub only: Option<String>,
    /// What the run shows, and how.
    pub shown: Shown,
    /// The file for lines, in place of standard output.
    pub file: Option<PathBuf>,
    /// Whether standard output has colours.
    pub color: Color,
    /// The colours of the live view.
    pub background: Background,
    /// Whether the run must find the processes at the ends.
    pub processes: bool,
    /// Whether the run asks resolvers for names.
    pub resolve: bool,
    /// Time between snapshots.
    pub delay: Duration,
    /// How long the run lasts at most.
    pub duration: Option<Duration>,
    /// The run ends after this number of events or snapshots.
    pub count: Option<u64>,
    /// Whether the exit status says what was found.
    pub check: bool,
    /// Write only warnings and errors to standard error.
    pub quiet: bool,
    /// Write more to standard error.
    pub verbose: bool,
    /// Room for connections.
    pub max_connections: u32,
    /// Room for addresses.
    pub max_ips: u32,
    /// Whether to publish the maps for other programs.
    pub maps: bool,
    /// Whether to count what the kernel drops after the hooks.
    pub drops: bool,
    /// Whether to read payloads.
    payload: bool,
    /// The interface is a part of a connection.
    pub per_interface: bool,
    /// When connections end.
    pub timeouts: Timeouts,
    /// Alert rules.
    pub rules: Vec<Rule>,
    /// The program of `--exec`, and its arguments.
    pub exec: Option<Vec<String>>,
    /// The captures to write.
    pub captures: Option<Captures>,
    export: Export,
    /// Pins: how other processes find the run, and what stays when it ends.
    pub pins: Pins,
    /// Whether there are files that SIGHUP reads again.
    pub has_files: bool,
    flags: Flags,
}

impl Plan {
    /// The plan of a configuration, or an error that says what is wrong with it.
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

    /// The settings of the eBPF programs, for these interfaces.
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
            hooks: self.hooks(interfaces),
            grows: self.is_replay() || self.interfaces.iter().any(|name| name == ANY),
        }
    }

    /// Which programs are needed: all of them for interfaces that are not known yet, be it to a later run that resumes this one.
    fn hooks(&self, interfaces: &[Interface]) -> bpf::HookNeeds {
        if self.keeps() || interfaces.is_empty() || self.interfaces.iter().any(|name| name == ANY) {
            return bpf::HookNeeds::ALL;
        }
        bpf::HookNeeds::of(interfaces, self.request)
    }

    /// Whether captures are read in place of interfaces.
    pub fn is_replay(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether there is only one snapshot, of whole captures.
    pub fn is_whole(&self) -> bool {
        self.is_replay() && self.shown.once
    }

    /// Whether an output needs response times: metrics and alerts always do.
    fn needs_response_times(&self) -> bool {
        self.shown.needs_response_times() || self.export.metrics.is_some() || !self.rules.is_empty()
    }

    /// Which payloads to read: DNS messages for names of hosts, the first datagrams of all connections for protocols.
    pub fn payloads(&self) -> bpf::Payloads {
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

    /// Whether an output may need counts of DNS messages: only a trace does not.
    fn counts_dns(&self) -> bool {
        let is_trace = self.shown.output == OutputKind::Trace;
        self.payload && (!is_trace || self.export.metrics.is_some() || !self.rules.is_empty())
    }

    /// Services that never answer.
    pub fn one_way_ports(&self) -> OneWayPorts {
        self.shown.query.one_way_ports.clone()
    }

    /// Whether an alert rule measures sockets.
    pub fn has_rules_of_sockets(&self) -> bool {
        self.rules.iter().any(|rule| rule.measure.is_of_sockets())
    }

    /// Whether an output needs the buffers of sockets.
    pub fn looks_at_sockets(&self) -> bool {
        let is_wanted =
            self.shown.is_live() || self.export.metrics.is_some() || self.has_rules_of_sockets();
        is_wanted && !self.is_replay()
    }

    /// Whether SIGHUP has something to do; otherwise it ends the run.
    pub fn reloads(&self) -> bool {
        self.has_files || self.file.is_some() || self.writes_captures()
    }

    /// Whether the kernel continues to track when the run ends.
    pub fn keeps(&self) -> bool {
        self.pins.keep
    }
}

#[cfg(test)]
mod tests;
