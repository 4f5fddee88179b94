//! The program itself, as a user runs it: started beside traffic, and asked for its books while it runs.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::netns::Netns;
use crate::common::{TempDir, wait_for};

/// How long anything may take, also on a slow day.
const PATIENCE: Duration = Duration::from_secs(300);

/// What it says at SIGUSR1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    pub seen: u64,
    pub tracked: u64,
    pub tracked_bytes: u64,
    /// Packets that found no room.
    pub table_full: u64,
    pub dropped: u64,
}

/// A udptrack that runs. Killed on drop: what it would write of the connections that are left is not what is measured.
pub struct Running {
    child: Child,
    output: TempDir,
}

impl Running {
    /// Starts it on the first interface, and waits until that is tracked. Each line of its output is handed on. `cpus` are those that
    /// it may use, in the words of `taskset`; all of them where nothing is said.
    pub fn start(
        netns: &Netns,
        cpus: Option<&str>,
        arguments: &[&str],
        mut take: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let program = env!("CARGO_BIN_EXE_udptrack");
        let mut command = match cpus {
            None => netns.command(program),
            Some(cpus) => {
                let mut command = netns.command("taskset");
                command.args(["-c", cpus, program]);
                command
            }
        };
        let output = TempDir::new("running");
        let stderr = File::create(output.path().join("stderr")).expect("a file can be made");
        let mut child = command
            .args(["-i", netns.iface()])
            .args(arguments)
            // What lines say of time can so be computed without a calendar.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("nsenter (package util-linux) runs");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        // It ends with the pipe, that is with the program.
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                take(&line);
                line.clear();
            }
        });
        let running = Self { child, output };
        running.wait_for_line("udptrack: tracking");
        running
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// Asks it what it has counted so far. Once only: it is not told from what was said before.
    pub fn books(&self) -> Books {
        kill(self.pid(), Signal::SIGUSR1).expect("udptrack runs");
        // The last line of a summary: all others are there by then.
        self.wait_for_line("events lost: ");
        let stderr = self.stderr();
        let counts = |what: &str| {
            let line = stderr
                .lines()
                .find(|line| line.split_whitespace().next() == Some(what));
            let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
            let count = |at: usize| words.get(at)?.replace(',', "").parse().ok();
            (count(1).unwrap_or(0), count(3).unwrap_or(0))
        };
        let (tracked, tracked_bytes) = counts("tracked");
        let mut lines = stderr.lines();
        let dropped = lines.find_map(|line| line.strip_prefix("dropped here "));
        let dropped =
            dropped.and_then(|line| line.split(' ').next()?.replace(',', "").parse().ok());
        Books {
            seen: counts("seen").0,
            tracked,
            tracked_bytes,
            table_full: counts("table-full").0,
            dropped: dropped.unwrap_or(0),
        }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).expect("the file is there")
    }

    fn wait_for_line(&self, beginning: &str) {
        wait_for(beginning, PATIENCE, || {
            let stderr = self.stderr();
            let mut lines = stderr.lines();
            lines.any(|line| line.starts_with(beginning)).then_some(())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}
