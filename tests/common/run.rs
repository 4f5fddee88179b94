//! udptrack itself: started inside a namespace, stopped, and what it said.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use super::finished::Finished;
use super::kernel::Objects;
use super::netns::Netns;
use super::{SOON, patient, wait_for};

/// How a line on standard error begins that says: the hooks of an interface are on.
const TRACKING: &str = "udptrack: tracking";

#[derive(Debug)]
enum Line {
    Stdout(String),
    Stderr(String),
}

/// What came of waiting for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Line,
    /// None came in time.
    Late,
    /// Nobody writes any more.
    End,
}

/// A running udptrack. Killed on drop.
#[derive(Debug)]
pub struct Udptrack {
    child: Child,
    lines: Receiver<Line>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

impl Udptrack {
    /// Starts the binary inside `netns` and returns when its hooks are on, on `interfaces` of them.
    pub fn start_on(netns: &Netns, interfaces: usize, arguments: &[&str]) -> Self {
        Self::spawn(netns, arguments).until_tracking(interfaces)
    }

    /// Waits until its hooks are on, on so many interfaces.
    #[must_use]
    pub fn until_tracking(mut self, interfaces: usize) -> Self {
        self.wait_for_tracking(interfaces);
        self
    }

    /// The same, of one that goes on.
    pub fn wait_for_tracking(&mut self, interfaces: usize) {
        let start = Instant::now();
        let tracking = |udptrack: &Self| {
            let lines = udptrack.stderr.iter();
            lines.filter(|line| line.starts_with(TRACKING)).count()
        };
        while tracking(self) < interfaces {
            let left = patient(SOON).saturating_sub(start.elapsed());
            assert!(
                self.receive(left),
                "udptrack says on {interfaces} interfaces not that it is tracking: {self:?}"
            );
        }
    }

    /// Starts the binary inside `netns` and returns when its hooks are on, on one interface.
    pub fn start(netns: &Netns, arguments: &[&str]) -> Self {
        Self::start_on(netns, 1, arguments)
    }

    /// Starts the binary inside `netns`, whatever it does.
    pub fn spawn(netns: &Netns, arguments: &[&str]) -> Self {
        Self::spawn_read(netns, usize::MAX, arguments)
    }

    /// The same, but nobody reads more than so many lines of its standard output: then the pipe is closed.
    pub fn spawn_read(netns: &Netns, read: usize, arguments: &[&str]) -> Self {
        Self::spawn_command(
            netns
                .command(env!("CARGO_BIN_EXE_udptrack"))
                .args(arguments),
            read,
        )
    }

    /// Starts a command that becomes the binary, and keeps only those lines of its standard output that `keep` wants: where
    /// there are millions.
    pub fn spawn_sifted(
        command: &mut Command,
        keep: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Self {
        Self::spawn_with(command, usize::MAX, keep)
    }

    /// Starts a command that becomes the binary in the end.
    pub fn spawn_command(command: &mut Command, read: usize) -> Self {
        Self::spawn_with(command, read, |_| true)
    }

    fn spawn_with(
        command: &mut Command,
        read: usize,
        mut keep: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter (package util-linux) runs");
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        // The threads end with the pipes, that is with the program.
        let sink = sender.clone();
        thread::spawn(move || {
            for line in lines_of(stdout).take(read).filter(|line| keep(line)) {
                let _ = sink.send(Line::Stdout(line));
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(Line::Stderr(line));
            }
        });
        Self {
            child,
            lines,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Takes one more line; false when there is none in time, or none any more.
    fn receive(&mut self, limit: Duration) -> bool {
        self.next(limit) == Next::Line
    }

    fn next(&mut self, limit: Duration) -> Next {
        match self.lines.recv_timeout(limit) {
            Ok(Line::Stdout(line)) => self.stdout.push(line),
            Ok(Line::Stderr(line)) => self.stderr.push(line),
            Err(RecvTimeoutError::Timeout) => return Next::Late,
            Err(RecvTimeoutError::Disconnected) => return Next::End,
        }
        Next::Line
    }

    /// Waits for a line on standard output that fits, and returns it.
    pub fn wait_for_line(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        self.wait_for_lines(what, 1, fits).remove(0)
    }

    /// Waits for so many lines on standard output that fit, counted from the start, and returns them.
    pub fn wait_for_lines(
        &mut self,
        what: &str,
        lines: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        self.wait_in(what, lines, fits, |udptrack| &udptrack.stdout)
    }

    /// Waits for a line on standard error that fits, and returns it.
    pub fn wait_for_message(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        self.wait_in(what, 1, fits, |udptrack| &udptrack.stderr)
            .remove(0)
    }

    fn wait_in(
        &mut self,
        what: &str,
        lines: usize,
        fits: impl Fn(&str) -> bool,
        stream: impl Fn(&Self) -> &Vec<String>,
    ) -> Vec<String> {
        let start = Instant::now();
        let (mut checked, mut found) = (0, Vec::new());
        loop {
            let fresh = stream(self)[checked..].iter().filter(|line| fits(line));
            found.extend(fresh.cloned());
            if found.len() >= lines {
                return found;
            }
            checked = stream(self).len();
            let left = patient(SOON).saturating_sub(start.elapsed());
            assert!(self.receive(left), "udptrack does not say {what}: {self:?}");
        }
    }

    /// What it has in the kernel, once its hooks are on: there are so many links.
    #[must_use]
    pub fn objects(&self, links: usize) -> Objects {
        wait_for("the hooks of udptrack", SOON, || {
            let objects = Objects::of(self.pid());
            (objects.links.len() == links).then_some(objects)
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("udptrack runs");
    }

    /// Ends it as Ctrl-C does and returns what it said.
    #[must_use]
    pub fn stop(self) -> Finished {
        self.signal(Signal::SIGINT);
        self.wait()
    }

    /// Waits for its end and returns what it said.
    #[must_use]
    pub fn wait(self) -> Finished {
        self.wait_within(SOON)
    }

    /// The same, for an end that may take longer.
    #[must_use]
    pub fn wait_within(mut self, limit: Duration) -> Finished {
        let start = Instant::now();
        // Both pipes closed: all lines are here.
        loop {
            let left = patient(limit).saturating_sub(start.elapsed());
            match self.next(left) {
                Next::Line => {}
                Next::End => break,
                Next::Late => panic!("udptrack does not end in {limit:?}: {self:?}"),
            }
        }
        let status = wait_for("the end of udptrack", SOON, || {
            self.child.try_wait().expect("the child is ours")
        });
        Finished {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr).join("\n"),
        }
    }
}

impl Drop for Udptrack {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn lines_of(stdout: ChildStdout) -> impl Iterator<Item = String> {
    BufReader::new(stdout).lines().map_while(Result::ok)
}
