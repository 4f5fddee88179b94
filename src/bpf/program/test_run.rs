//! Frames for the programs without a wire (`BPF_PROG_TEST_RUN`), for tests and benchmarks: nothing is sent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bpf::sys;
use crate::bpf::tracker::Tracker;
use crate::model::Direction;

/// Which program a frame is given to without being on any wire (tests and benchmarks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The XDP program.
    Xdp,
    /// The TC programs for links with an Ethernet header.
    Tc(Direction),
    /// The TC programs for links without one.
    TcIp(Direction),
}

/// A program that other threads can give frames to, as packets come on several CPUs at once (tests and benchmarks).
pub struct Runner(OwnedFd);

impl Runner {
    /// Gives a frame to the program, `repeat` times; returns what the program returned and its average duration, by the
    /// kernel's clock and in whole nanoseconds.
    pub fn run_frame(&self, frame: &[u8], repeat: u32) -> Result<(u32, Duration)> {
        let run = sys::test_run(self.0.as_fd(), frame, repeat).context("cannot run the program")?;
        Ok((run.returned, run.duration))
    }
}

impl From<OwnedFd> for Runner {
    /// Any program for packets.
    fn from(program: OwnedFd) -> Self {
        Self(program)
    }
}

impl AsFd for Runner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Tracker {
    /// Gives a frame to a program as if it had come by, `repeat` times; returns what the program returned and its
    /// average duration. For tests and benchmarks: nothing is sent.
    pub fn run_frame(
        &mut self,
        entry: Entry,
        frame: &[u8],
        repeat: u32,
    ) -> Result<(u32, Duration)> {
        self.runner(entry)?.run_frame(frame, repeat)
    }

    /// The same for other threads.
    pub fn runner(&self, entry: Entry) -> Result<Runner> {
        let program = self.program(entry)?.try_clone();
        Ok(Runner(program.context("cannot copy a descriptor")?))
    }

    fn program(&self, entry: Entry) -> Result<&OwnedFd> {
        let programs = self.handles.hooks()?;
        let program = match entry {
            Entry::Xdp => &programs.xdp,
            Entry::Tc(Direction::Ingress) => &programs.ingress,
            Entry::Tc(Direction::Egress) => &programs.egress,
            Entry::TcIp(Direction::Ingress) => &programs.ingress_ip,
            Entry::TcIp(Direction::Egress) => &programs.egress_ip,
        };
        program.as_ref().context("this program was not loaded")
    }
}
