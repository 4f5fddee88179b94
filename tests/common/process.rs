//! Programs that a test starts: each ends with its owner, by its own process id, and leaves its output behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::netns::Netns;
use super::{SOON, TempDir, wait_for};

/// A running program. Its output goes to files, so it never blocks on a test that does not read.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: TempDir,
}

/// What a program left.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// Panics unless the program succeeded.
    #[must_use]
    pub fn success(self, name: &str) -> Self {
        assert!(
            self.status.success(),
            "{name}: {}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Process {
    /// Starts `command`; the first argument after `nsenter … --` names it in messages.
    pub fn start(command: &mut Command) -> Self {
        let name = command
            .get_args()
            .skip_while(|argument| *argument != "--")
            .nth(1)
            .unwrap_or(command.get_program())
            .to_string_lossy()
            .into_owned();
        let output = TempDir::new("output");
        let file = |stream: &str| {
            File::create(output.path().join(stream)).expect("an output file can be made")
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name,
            stdin: child.stdin.take(),
            child,
            output,
        }
    }

    /// Starts a server and waits until it listens on every address.
    pub fn serve(netns: &Netns, command: &mut Command, addresses: &[SocketAddr]) -> Self {
        let mut server = Self::start(command);
        for address in addresses {
            let what = format!("{} on {address}", server.name);
            wait_for(&what, SOON, || {
                server.assert_running();
                netns.is_bound(*address).then_some(())
            });
        }
        server
    }

    /// Runs a command to its end, which must be success.
    pub fn run(command: &mut Command) -> Ended {
        let mut process = Self::start(command);
        process.close_stdin();
        let name = process.name.clone();
        process.wait(SOON).success(&name)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stream("stdout")
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stream("stderr")
    }

    fn stream(&self, stream: &str) -> String {
        let bytes = fs::read(self.output.path().join(stream)).expect("the output file is there");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes to its standard input.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .unwrap_or_else(|error| panic!("{} does not read: {error}", self.name));
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Panics, with its output, when it has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the child is ours") {
            panic!(
                "{} ended: {status}\n{}\n{}",
                self.name,
                self.stdout(),
                self.stderr()
            );
        }
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Waits for its end.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let what = format!("the end of {}", self.name);
        let status = wait_for(&what, limit, || {
            self.child.try_wait().expect("the child is ours")
        });
        Ended {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Asks it to end and waits for that.
    pub fn stop(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.wait(SOON)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing a child that has been waited for is refused by std, so this never hits another process.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}{}", self.name, self.stdout(), self.stderr());
        }
    }
}
