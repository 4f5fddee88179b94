//! A table that is full to the last place: each connection is there, and told once.

use std::net::SocketAddr;
use std::time::Instant;

use crate::common::Ip;
use crate::common::finished::Finished;
use crate::common::generator::{Generator, Pattern, is_possible};
use crate::common::netns::Pair;
use crate::common::witness::Count;
use crate::tally::{Tallied, Tally};

const MILLION: u64 = 1 << 20;
/// In a debug build udptrack takes 0.1 ms for a record.
const TOLD: u64 = if cfg!(debug_assertions) {
    1 << 16
} else {
    MILLION
};

/// So many connections, one for each place in the table: the first half of three packets each, the others of one.
struct Full {
    early: Generator,
    late: Generator,
    half: u64,
    rest: u64,
    to: SocketAddr,
}

impl Full {
    /// Sends it all; returns what udptrack said of it.
    fn new(connections: u64, arguments: &[&str]) -> (Self, Finished, Tally) {
        let pair = Pair::new();
        let start = Instant::now();
        let room = connections.to_string();
        let arguments = [&["--max-connections", &room, "--no-egress"], arguments].concat();
        let udptrack = Tallied::start(&pair.b, &arguments);
        let tracking = start.elapsed();
        let to = pair.b.addr(Ip::V4, 4000);
        let generator = |first, count, payload| {
            let pattern = Pattern::Sources { first, count };
            Generator::new(&pair.a, pair.a.iface(), to, pattern, payload)
        };
        let (half, rest) = (connections / 2, connections - connections / 2);
        let mut full = Self {
            early: generator(0, half, 10),
            late: generator(half, rest, 20),
            half,
            rest,
            to,
        };
        // Up to half of the table an idle connection keeps its 30 seconds; when it is full, a second is all it gets.
        full.early.run(3 * half);
        full.late.run(rest);
        let sent = start.elapsed();
        let (finished, tally) = udptrack.stop();
        let total = full.total();
        let stats = finished.stats();
        assert_eq!((stats.seen, stats.tracked), (total, total));
        assert_eq!((stats.skipped.len(), stats.events_lost), (0, 0));
        eprintln!(
            "{connections} connections, {} packets: tracking after {tracking:?}, all sent after {sent:?}, all told after {:?}",
            total.packets,
            start.elapsed()
        );
        (full, finished, tally)
    }

    fn total(&self) -> Count {
        Count {
            packets: 3 * self.half + self.rest,
            bytes: 3 * self.half * self.early.frame_bytes() + self.rest * self.late.frame_bytes(),
        }
    }
}

#[test]
#[ignore = "root"]
fn a_million_connections_are_counted() {
    if !is_possible() {
        return;
    }
    let (_, finished, _) = Full::new(MILLION, &["-e", "data", "-d", "1h"]);
    let line = finished
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("connections: "));
    assert!(line.unwrap().starts_with("1,048,576 new, "), "{finished:?}");
}

/// `FIRE_CONNECTIONS` of them.
#[test]
#[ignore = "root"]
fn each_of_very_many_is_told_once() {
    if !is_possible() {
        return;
    }
    let connections = std::env::var("FIRE_CONNECTIONS").map_or(TOLD, |n| n.parse().unwrap());
    let (full, finished, tally) = Full::new(connections, &[]);
    tally.assert_books(&finished);
    assert_eq!(tally.records, connections);
    assert_eq!(tally.told.len() as u64, connections);
    let sources = |generator: &Generator, count, packets| {
        let expected = Count {
            packets,
            bytes: packets * generator.frame_bytes(),
        };
        for number in 0..count {
            let told = tally.between(generator.source(number), full.to);
            assert_eq!((told.records, told.volume.toserver), (1, expected));
            assert_eq!(told.volume.toclient, Count::default());
        }
    };
    sources(&full.early, full.half, 3);
    sources(&full.late, full.rest, 1);
}
