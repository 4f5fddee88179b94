//! Control groups of a test's own: less memory for a program, less time of the processors, or fewer of them.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::{SOON, unique, wait_for};

/// The whole of a processor, in the unit of quotas.
const PERIOD_US: u32 = 100_000;

/// A group with one controller. Removed on drop, after its processes have ended.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    /// Where each controller has a hierarchy of its own: version 1.
    is_first: bool,
}

impl ControlGroup {
    /// For `cpu`, `cpuset` or `memory`; `None`, and says so, where no group can be made, as in a container.
    #[must_use]
    pub fn new(controller: &str) -> Option<Self> {
        let group = Self::make(controller);
        if group.is_none() {
            eprintln!("SKIPPED: no control group can be made here that limits {controller}");
        }
        group
    }

    fn make(controller: &str) -> Option<Self> {
        let first = Path::new("/sys/fs/cgroup").join(controller);
        let is_first = first.join("cgroup.procs").exists();
        let root = if is_first {
            first
        } else {
            let root = PathBuf::from("/sys/fs/cgroup");
            // It may be on already, or be a service manager's to give; the new group tells.
            let _ = fs::write(
                root.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
            root
        };
        let path = root.join(unique(controller));
        fs::create_dir(&path).ok()?;
        let group = Self { path, is_first };
        if !is_first {
            let controllers = fs::read_to_string(group.path.join("cgroup.controllers")).ok()?;
            controllers
                .split_whitespace()
                .find(|name| *name == controller)?;
        } else if controller == "cpuset" {
            let memory = fs::read_to_string(root.join("cpuset.mems")).ok()?;
            group.write("cpuset.mems", memory.trim()).ok()?;
        }
        Some(group)
    }

    /// Its directory: a process whose id is written into `cgroup.procs` belongs to it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, file: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.path.join(file), text)
    }

    fn set(&self, file: &str, text: &str) {
        self.write(file, text)
            .unwrap_or_else(|error| panic!("{text} to {file}: {error}"));
    }

    /// Takes a process in, with all its threads.
    pub fn add(&self, process: Pid) {
        self.set("cgroup.procs", &process.to_string());
    }

    /// How much memory there is.
    pub fn limit_memory(&self, bytes: u64) {
        let file = if self.is_first {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        self.set(file, &bytes.to_string());
    }

    /// How much of a processor there is, in percent.
    pub fn limit_time(&self, percent: u32) {
        let quota = PERIOD_US / 100 * percent;
        if self.is_first {
            self.set("cpu.cfs_period_us", &PERIOD_US.to_string());
            self.set("cpu.cfs_quota_us", &quota.to_string());
        } else {
            self.set("cpu.max", &format!("{quota} {PERIOD_US}"));
        }
    }

    /// How often its processes had to wait, as they had used up their time.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).expect("it is there");
        let line = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "));
        line.expect("quotas are counted").parse().expect("a number")
    }

    /// Which processors there are: a list such as `0-1`.
    pub fn set_processors(&self, list: &str) {
        self.set("cpuset.cpus", list);
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // What ran in it leaves a moment after its end.
        wait_for("the end of the control group", SOON, || {
            fs::remove_dir(&self.path).ok()
        });
    }
}
