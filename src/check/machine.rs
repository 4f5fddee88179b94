//! Checks that are the same for all interfaces: the kernel, memory, the bpffs.

use std::fs;

use anyhow::Result;
use nix::sys::utsname::uname;
use serde::Serialize;

use super::Findings;
use crate::bpf::{OpenFiles, State, instances, probe};
use crate::model::text::{Grouped, Visible};
use crate::netns;
use crate::process::cgroup_root;

/// The machine, with numbers and names for scripts, and findings for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Release of the kernel.
    pub kernel: String,
    #[serde(skip)]
    pub(super) version: (u32, u32),
    /// Whether the kernel has BTF type information.
    pub btf: bool,
    /// Whether programs are compiled to machine code; none where that is not known.
    pub jit: Option<bool>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// `none`, `integrity` or `confidentiality`; none where that is not known.
    pub lockdown: Option<String>,
    /// Capabilities that are held, of those that matter.
    pub capabilities: Vec<String>,
    /// Capabilities that are missing.
    pub missing_capabilities: Vec<String>,
    /// Whether the programs load; none where it was not tried.
    pub programs_load: Option<bool>,
    /// Open files that a run takes at most.
    pub open_files: Option<u64>,
    /// How many open files a process may have here.
    pub open_files_limit: Option<u64>,
    /// Kernel memory of the tables, in bytes.
    pub table_bytes: Option<u64>,
    /// Memory of the process itself when the tables are full, in bytes, at most.
    pub own_bytes: Option<u64>,
    /// Memory that is left of the tightest limit, in bytes.
    pub available_bytes: Option<u64>,
    /// Whether names are learnt from DNS answers.
    pub names: Option<bool>,
    /// Whether what the kernel drops behind the hooks is counted, by reason.
    pub drops: Option<bool>,
    /// Whether `-p` works.
    pub processes: Option<bool>,
    /// Where the version 2 control group hierarchy is mounted.
    pub cgroup2: Option<String>,
    /// Whether `udptrack list` would find a run.
    pub pins: bool,
    /// For people.
    pub findings: Findings,
}

/// The first kernel with all that is needed.
const KERNEL_MIN: (u32, u32) = (5, 10);

impl Machine {
    /// All but what needs the programs.
    pub(super) fn examine() -> Self {
        let mut machine = Self::default();
        machine.look_at_kernel();
        machine.look_at_rights();
        machine.look_at_lockdown();
        machine
    }

    fn look_at_kernel(&mut self) {
        let name = uname().ok();
        let release = name.map(|it| it.release().to_string_lossy().into_owned());
        self.kernel = release.unwrap_or_default();
        self.version = probe::kernel_version().unwrap_or_default();
        let shown = format!("Linux {}", Visible(&self.kernel));
        if self.version >= KERNEL_MIN {
            self.findings.ok("kernel", shown);
        } else {
            self.findings.problem(
                "kernel",
                format!("{shown} is too old"),
                "udptrack needs Linux 5.10 or later",
            );
        }
        self.btf = fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false);
        if self.btf {
            self.findings.ok("BTF", "the kernel describes its types");
        } else {
            self.findings.problem(
                "BTF",
                "the kernel has no type information (/sys/kernel/btf/vmlinux)",
                "Use a kernel built with CONFIG_DEBUG_INFO_BTF, as all current distributions do",
            );
        }
        let sysctl = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
        self.unprivileged_bpf_disabled = sysctl.ok().and_then(|text| text.trim().parse().ok());
    }

    fn look_at_lockdown(&mut self) {
        let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
        self.lockdown = chosen(&text).map(str::to_owned);
        match self.lockdown.as_deref() {
            Some("confidentiality") => self.findings.note(
                "lockdown",
                "confidentiality: eBPF programs cannot read the kernel's memory. -p needs that, and before Linux 5.18 names need it, too",
                "Boot with lockdown=integrity, or do without -p",
            ),
            Some(other) => self.findings.ok("lockdown", other),
            None => {}
        }
    }

    /// Each hook is an open file.
    pub(super) fn look_at_files(&mut self, files: Result<OpenFiles>) {
        let suffice = files.and_then(|files| {
            self.open_files = Some(files.needed);
            self.open_files_limit = Some(files.limit);
            files.suffice()?;
            Ok(files)
        });
        match suffice {
            Ok(files) => {
                let (needed, limit) = (Grouped(files.needed), Grouped(files.limit));
                self.findings.ok(
                    "open files",
                    format!("a run needs up to {needed}, and the limit is {limit}"),
                );
            }
            Err(error) => self
                .findings
                .problem("open files", format!("{error:#}"), ""),
        }
    }

    /// Whether others can find a run, and where processes are looked up.
    pub(super) fn look_at_pins(&mut self, name: Option<&str>, needed: bool) {
        let error = match probe::pins() {
            Ok(()) => {
                self.pins = true;
                self.findings
                    .ok("bpffs", "at /sys/fs/bpf: udptrack list will find the run");
                self.look_at_name(name);
                return;
            }
            Err(error) => error,
        };
        let text = match hidden_by() {
            Some(name) => format!(
                "hidden by `ip netns exec {}`: udptrack list will not find the run",
                Visible(&name)
            ),
            None => format!("udptrack list will not find the run: {error:#}"),
        };
        let way_out = hidden_by().map_or_else(String::new, |name| {
            format!("Use udptrack -N {} instead, from outside", Visible(&name))
        });
        if needed {
            self.findings.problem("bpffs", text, &way_out);
        } else {
            self.findings.note("bpffs", text, &way_out);
        }
    }

    /// Two runs cannot have the same name.
    fn look_at_name(&mut self, name: Option<&str>) {
        let running = instances().unwrap_or_default().into_iter();
        let mut namesakes = running.filter(|it| it.state == State::Running);
        if let Some(it) = namesakes.find(|it| Some(&*it.name) == name) {
            let text = format!(
                "a run named {} is active already{}",
                it.name,
                it.as_process()
            );
            self.findings.problem("name", text, "Choose another --name");
        }
    }

    pub(super) fn look_at_cgroups(&mut self) {
        self.cgroup2 = cgroup_root().map(|path| path.display().to_string());
    }
}

/// The choice in brackets of `none [integrity] confidentiality`.
fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

/// The network namespace whose `ip netns exec` has put a /sys of its own over the machine's.
fn hidden_by() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let source = source_of_sys(&mounts)?;
    let source = source.to_owned();
    netns::names().into_iter().find(|name| *name == source)
}

/// The source of the latest mount at /sys: `ip netns exec` writes the name of its namespace there.
fn source_of_sys(mounts: &str) -> Option<&str> {
    mounts.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let is_sys = left.split(' ').nth(4) == Some("/sys") && right.next() == Some("sysfs");
        is_sys.then(|| right.next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_in_brackets() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n"),
            Some("integrity")
        );
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn a_sys_of_a_namespace() {
        let mounts = "23 27 0:22 / /sys rw - sysfs sysfs rw\n\
            30 23 0:30 / /sys/fs/bpf rw - bpf bpf rw\n\
            52 27 0:50 / /sys rw,relatime shared:1 - sysfs blue rw\n";
        assert_eq!(source_of_sys(mounts), Some("blue"));
        assert_eq!(source_of_sys(""), None);
    }
}
