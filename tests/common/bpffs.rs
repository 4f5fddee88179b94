//! A bpffs of a test's own, in a mount namespace of its own: whatever is pinned goes away with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::netns::Netns;

/// Holds the mount namespace; killed on drop.
#[derive(Debug)]
pub struct Bpffs {
    holder: Child,
}

/// Where it is mounted, for who is inside.
pub const UDPTRACK: &str = "/sys/fs/bpf/udptrack";

impl Bpffs {
    /// Mounts it.
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c"])
            .arg("mount -t bpf bpf /sys/fs/bpf && echo mounted && exec sleep 600")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (package util-linux) runs");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("standard output is a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it is read");
        assert_eq!(line, "mounted\n", "a bpffs can be mounted (needs root)");
        Self { holder }
    }

    /// A command that sees it. The process that `spawn` gives is the program itself.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.nsenter();
        command.arg("--").arg(program);
        command
    }

    /// The same, in a network namespace.
    #[must_use]
    pub fn command_in(&self, netns: &Netns, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.nsenter();
        command
            .arg(format!("--net={}", netns.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    fn nsenter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command
    }

    /// What is pinned of udptrack: the names of instances, and nothing beside them when there is none.
    #[must_use]
    pub fn instances(&self) -> Vec<String> {
        let listed = self.command("ls").arg(UDPTRACK).output().expect("ls runs");
        let listed = String::from_utf8_lossy(&listed.stdout);
        let is_lock = |name: &&str| *name == "=lock";
        // What a run locks while it changes the others: the last one takes it away.
        let is_last = listed.lines().all(|name| is_lock(&name));
        listed
            .lines()
            .filter(|name| is_last || !is_lock(name))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        if self.holder.kill().is_ok() {
            let _ = self.holder.wait();
        }
    }
}
