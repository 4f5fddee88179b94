//! The program itself, as a user runs it: started beside traffic, and asked for its books while it runs.

use nix::sys::signal::Signal;

use crate::common::netns::Netns;
use crate::common::run::Udptrack;

/// What it says at SIGUSR1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    pub seen: u64,
    pub tracked: u64,
    pub tracked_bytes: u64,
    /// Packets that found no room.
    pub table_full: u64,
}

/// Starts it on the first interface, and waits until that is tracked. Each line of its output is handed on. `cpus` are those that it
/// may use, in the words of `taskset`; all of them where nothing is said.
pub fn start(
    netns: &Netns,
    cpus: Option<&str>,
    arguments: &[&str],
    mut take: impl FnMut(&str) + Send + 'static,
) -> Udptrack {
    let program = env!("CARGO_BIN_EXE_udptrack");
    let mut command = match cpus {
        None => netns.command(program),
        Some(cpus) => {
            let mut command = netns.command("taskset");
            command.args(["-c", cpus, program]);
            command
        }
    };
    command.args(["-i", netns.iface()]).args(arguments);
    // What lines say of time can so be computed without a calendar.
    command.env("TZ", "UTC");
    Udptrack::spawn_sifted(&mut command, move |line| {
        take(line);
        false
    })
    .until_tracking(1)
}

/// Asks it what it has counted so far. Once only: it is not told from what was said before.
pub fn books(udptrack: &mut Udptrack) -> Books {
    udptrack.signal(Signal::SIGUSR1);
    // The last line of a summary: all others are here by then.
    let _ = udptrack.wait_for_message("its books", |line| line.starts_with("events lost"));
    let mut counts = |what: &'static str| {
        let line =
            udptrack.wait_for_message(what, |line| line.split_whitespace().next() == Some(what));
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = |at: usize| words[at].replace(',', "").parse().expect("a count");
        (count(1), count(3))
    };
    let (seen, _) = counts("seen");
    let (tracked, tracked_bytes) = counts("tracked");
    let (skipped, _) = counts("skipped");
    // On a link where there is nothing but what a benchmark sends, there is no other reason.
    let table_full = if skipped == 0 {
        0
    } else {
        counts("table-full").0
    };
    Books {
        seen,
        tracked,
        tracked_bytes,
        table_full,
    }
}
