//! What udptrack says of very many connections, added up while it says it: no line of it is kept.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::finished::{Finished, Stats};
use crate::common::netns::Netns;
use crate::common::run::Udptrack;
use crate::common::witness::{Count, Volume};

/// How long a run may take to say all that it knows.
pub const LONG: Duration = Duration::from_secs(600);

/// All records of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub records: u64,
    pub volume: Volume,
}

/// All records.
#[derive(Debug, Default)]
pub struct Tally {
    pub records: u64,
    pub total: Count,
    /// By the reason of the end.
    pub reasons: HashMap<String, u64>,
    /// By source.
    pub told: HashMap<SocketAddr, Told>,
}

impl Tally {
    /// Takes a line; false when it is a record of a connection that has ended.
    fn take(&mut self, line: &str) -> bool {
        if !line.contains(r#""event_type":"flow""#) {
            return true;
        }
        let number = |key: &str| field(line, key).parse::<u64>().unwrap();
        let way = |way: &str| Count {
            packets: number(&format!(r#""pkts_{way}":"#)),
            bytes: number(&format!(r#""bytes_{way}":"#)),
        };
        let end = |ip: &str, port: &str| {
            let ip: IpAddr = field(line, ip).parse().unwrap();
            SocketAddr::new(ip, field(line, port).parse().unwrap())
        };
        let source = end(r#""src_ip":"#, r#""src_port":"#);
        let told = self.told.entry(source).or_default();
        let (toserver, toclient) = (way("toserver"), way("toclient"));
        told.records += 1;
        told.volume.toserver += toserver;
        told.volume.toclient += toclient;
        self.records += 1;
        self.total += toserver;
        self.total += toclient;
        let reason = field(line, r#""end_reason":"#);
        if let Some(ends) = self.reasons.get_mut(reason) {
            *ends += 1;
        } else {
            self.reasons.insert(reason.to_owned(), 1);
        }
        false
    }

    /// What was told of a source.
    pub fn from(&self, source: SocketAddr) -> Told {
        self.told.get(&source).copied().unwrap_or_default()
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
    /// Starts it and returns when its hooks are on.
    pub fn start(netns: &Netns, arguments: &[&str]) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sum = Arc::clone(&tally);
        let arguments = [&["-i", netns.iface(), "-j", "-n"], arguments].concat();
        let udptrack = Udptrack::spawn_sifted(netns, &arguments, move |line| {
            sum.lock().unwrap().take(line)
        });
        Self {
            udptrack: udptrack.until_tracking(1),
            tally,
        }
    }

    /// How many connections have ended so far.
    pub fn records(&self) -> u64 {
        self.tally.lock().unwrap().records
    }

    /// Ends it.
    pub fn stop(self) -> (Finished, Tally) {
        self.udptrack.signal(Signal::SIGINT);
        let finished = self.udptrack.wait_within(LONG).success();
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        (finished, tally)
    }
}
