//! What udptrack says of very many connections, added up while it says it: no line of it is kept.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::finished::{Finished, Stats};
use crate::common::netns::Netns;
use crate::common::run::Udptrack;
use crate::common::witness::{Count, Volume};
use crate::common::{SOON, wait_for};

/// How long a run may take to say all that it knows.
pub const LONG: Duration = Duration::from_secs(600);

/// All records between two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub records: u64,
    pub volume: Volume,
}

/// All records.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of a trace: those of events.
    pub lines: u64,
    pub records: u64,
    pub total: Count,
    /// By the reason of the end.
    pub reasons: HashMap<String, u64>,
    /// By source and destination.
    pub told: HashMap<(SocketAddr, SocketAddr), Told>,
}

impl Tally {
    /// Takes a line; false when that is all that is to be known of it.
    fn take(&mut self, line: &str) -> bool {
        if let Some(end) = line.strip_prefix("UDP END: ") {
            self.take_traced(end);
        } else if line.starts_with("UDP ") {
            self.lines += 1;
        } else if line.contains(r#""event_type":"flow""#) {
            self.take_record(line);
        } else {
            return true;
        }
        false
    }

    /// `SOURCE -> DESTINATION (REASON) N pkts N B -> N pkts N B <-`
    fn take_traced(&mut self, end: &str) {
        let words: Vec<&str> = end.split(' ').collect();
        let count = |at: usize| Count {
            packets: words[at].parse().unwrap(),
            bytes: words[at + 2].parse().unwrap(),
        };
        let volume = Volume {
            toserver: count(4),
            toclient: count(9),
        };
        let ends = (words[0].parse().unwrap(), words[2].parse().unwrap());
        self.add(ends, volume, words[3]);
    }

    fn take_record(&mut self, line: &str) {
        let number = |key: &str| field(line, key).parse::<u64>().unwrap();
        let volume = Volume {
            toserver: Count {
                packets: number(r#""pkts_toserver":"#),
                bytes: number(r#""bytes_toserver":"#),
            },
            toclient: Count {
                packets: number(r#""pkts_toclient":"#),
                bytes: number(r#""bytes_toclient":"#),
            },
        };
        let end = |ip: &str, port: &str| {
            let ip: IpAddr = field(line, ip).parse().unwrap();
            SocketAddr::new(ip, field(line, port).parse().unwrap())
        };
        let ends = (
            end(r#""src_ip":"#, r#""src_port":"#),
            end(r#""dest_ip":"#, r#""dest_port":"#),
        );
        let reason = field(line, r#""end_reason":"#);
        self.add(ends, volume, reason);
    }

    fn add(&mut self, ends: (SocketAddr, SocketAddr), volume: Volume, reason: &str) {
        let told = self.told.entry(ends).or_default();
        told.records += 1;
        told.volume.toserver += volume.toserver;
        told.volume.toclient += volume.toclient;
        self.records += 1;
        self.total += volume.toserver;
        self.total += volume.toclient;
        if let Some(ends) = self.reasons.get_mut(reason) {
            *ends += 1;
        } else {
            self.reasons.insert(reason.to_owned(), 1);
        }
    }

    /// What was told of what one began to say to the other.
    pub fn between(&self, source: SocketAddr, destination: SocketAddr) -> Told {
        let ends = (source, destination);
        self.told.get(&ends).copied().unwrap_or_default()
    }

    /// Seen is tracked and skipped, tracked is the sum over all records.
    pub fn assert_books(&self, finished: &Finished) -> Stats {
        let stats = finished.stats();
        let mut sum = stats.tracked;
        sum += stats.skipped.values().copied().sum();
        assert_eq!(stats.seen, sum, "{stats:?}");
        assert_eq!(stats.tracked, self.total, "{stats:?}");
        stats
    }
}

/// The value after a key, without its quotes.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let (_, rest) = line
        .split_once(key)
        .unwrap_or_else(|| panic!("no {key} in {line}"));
    let end = rest.find([',', '}']).unwrap();
    rest[..end].trim_matches('"')
}

/// A running udptrack whose records are added up.
pub struct Tallied {
    pub udptrack: Udptrack,
    tally: Arc<Mutex<Tally>>,
}

impl Tallied {
    /// Starts it and returns when its hooks are on. XDP takes the generator's frames.
    pub fn start(netns: &Netns, arguments: &[&str]) -> Self {
        Self::start_as(netns, "json", arguments)
    }

    /// The same, with another output.
    pub fn start_as(netns: &Netns, output: &str, arguments: &[&str]) -> Self {
        let mut command = netns.command(env!("CARGO_BIN_EXE_udptrack"));
        Self::of(
            command
                .args(["-i", netns.iface(), "--hook", "xdp", "-n", "-o", output])
                .args(arguments),
        )
    }

    /// A command that becomes it.
    pub fn of(command: &mut Command) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sum = Arc::clone(&tally);
        let udptrack = Udptrack::spawn_sifted(command, move |line| sum.lock().unwrap().take(line));
        Self {
            udptrack: udptrack.until_tracking(1),
            tally,
        }
    }

    /// Waits until so many connections have been told to have ended for this reason.
    pub fn wait_for_reason(&self, reason: &str, ends: u64) {
        wait_for(&format!("{ends} ends: {reason}"), SOON * 3, || {
            let told = self.tally.lock().unwrap().reasons.get(reason).copied();
            (told >= Some(ends)).then_some(())
        });
    }

    /// Waits until it has told more than so many ends.
    pub fn wait_for_more_than(&self, ends: u64) {
        wait_for(&format!("more than {ends} ends"), SOON * 3, || {
            (self.tally.lock().unwrap().records > ends).then_some(())
        });
    }

    /// Ends it.
    pub fn stop(self) -> (Finished, Tally) {
        self.udptrack.signal(Signal::SIGINT);
        let finished = self.udptrack.wait_within(LONG).success();
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        (finished, tally)
    }
}
