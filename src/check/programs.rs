//! Whether the programs load: they are loaded as for a run, attached to nothing, and removed.

use std::fs;

use super::machine::Machine;
use crate::bpf::{self, Memory, Payloads, Sockets, Tracker, probe};
use crate::model::text::{Bytes, Grouped, Visible};

impl Machine {
    pub(super) fn try_programs(&mut self, settings: &bpf::Settings) {
        self.table_bytes = Some(probe::table_bytes(settings));
        self.look_at_cgroups();
        if !self.has_rights() {
            self.findings
                .note("programs", "not tested: this needs the missing rights", "");
            self.jit = sysctl_jit();
            return;
        }
        if !self.has_memory(settings) {
            self.findings
                .note("programs", "not tested: there is too little memory", "");
            self.jit = sysctl_jit();
            return;
        }
        match Tracker::load(settings) {
            Ok(tracker) => self.programs_loaded(&tracker, settings),
            Err(error) => {
                self.programs_load = Some(false);
                self.jit = sysctl_jit();
                // What libbpf says can have many lines; the first has the reason and the way out.
                let message = format!("{error:#}");
                let line = message.lines().next().unwrap_or_default();
                self.findings
                    .problem("programs", Visible(line).to_string(), "");
            }
        }
        self.try_processes();
    }

    /// Whether a run would fit into the memory that there is.
    fn has_memory(&mut self, settings: &bpf::Settings) -> bool {
        let memory = Memory::of(settings);
        let tightest = memory.tightest();
        self.own_bytes = Some(memory.own);
        self.available_bytes = tightest.as_ref().map(|limit| limit.available);
        if let Err(error) = memory.suffice() {
            self.findings.problem("memory", format!("{error:#}"), "");
            return false;
        }
        let left = tightest.map_or_else(String::new, |limit| {
            format!("; {} has {} left", limit.of, Bytes(limit.available))
        });
        let (tables, own) = (Bytes(memory.tables), Bytes(memory.own));
        let text = format!(
            "{tables} for tables, and up to {own} of udptrack's own when they are full{left}"
        );
        self.findings.ok("memory", text);
        true
    }

    fn programs_loaded(&mut self, tracker: &Tracker, settings: &bpf::Settings) {
        self.programs_load = Some(true);
        self.findings.ok("programs", "they load");
        self.jit = probe::is_compiled(tracker);
        match self.jit {
            Some(true) => self.findings.ok("JIT", "the programs run as machine code"),
            Some(false) => self.findings.note(
                "JIT",
                "off: the programs are interpreted, which is many times slower",
                "sysctl net.core.bpf_jit_enable=1",
            ),
            None => {}
        }
        if let Some(bytes) = self.table_bytes {
            let text = format!(
                "{} of kernel memory for {} connections",
                Bytes(bytes),
                Grouped(settings.max_connections.into())
            );
            self.findings.ok("tables", text);
        }
        self.try_drops(tracker);
        if settings.payloads != Payloads::Off {
            let has_names = tracker.payloads() != Payloads::Off;
            self.names = Some(has_names);
            if has_names {
                self.findings
                    .ok("names", "udptrack reads them from DNS answers that pass");
            } else {
                self.findings.note(
                    "names",
                    "this kernel does not let the programs read DNS: addresses have no names",
                    "",
                );
            }
        }
    }

    fn try_drops(&mut self, tracker: &Tracker) {
        match tracker.try_drops() {
            Ok(Some(missing)) => {
                self.drops = Some(true);
                self.findings.note("drops", missing, "");
            }
            Ok(None) => {
                self.drops = Some(true);
                self.findings.ok(
                    "drops",
                    "udptrack counts what this machine drops, by reason",
                );
            }
            Err(error) => {
                self.drops = Some(false);
                let text = format!("udptrack cannot count what this machine drops: {error:#}");
                self.findings.note("drops", Visible(&text).to_string(), "");
            }
        }
    }

    fn try_processes(&mut self) {
        let way_out = if self.cgroup2.is_none() {
            "Mount a version 2 hierarchy: mount -t cgroup2 none /sys/fs/cgroup/unified"
        } else {
            ""
        };
        match Sockets::try_out() {
            Ok(None) => {
                self.processes = Some(true);
                self.findings.ok("processes", "-p names the processes");
            }
            Ok(Some(missing)) => {
                self.processes = Some(true);
                let text = format!(
                    "-p does not name processes that live for less than about a second: {}",
                    Visible(&missing)
                );
                self.findings.note("processes", text, way_out);
            }
            Err(error) => {
                self.processes = Some(false);
                let text = format!("-p cannot name processes: {error:#}");
                self.findings
                    .note("processes", Visible(&text).to_string(), "");
            }
        }
    }
}

/// What the machine is set to, where no program could be loaded. Not readable for everybody, nor in every namespace.
fn sysctl_jit() -> Option<bool> {
    let text = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok()?;
    Some(text.trim() != "0")
}
