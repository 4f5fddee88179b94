//! The state machine, the full table, and the caches: whatever is written back when, the sums are what was put in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use udptrack::connection::{Counts, EventKind, Skip, Status};

use crate::common::random::Rng;
use crate::common::{SOON, frames, wait_for};
use crate::expiry::request;
use crate::rig::{EGRESS, ETHERNET, INGRESS, Pinned, Rig, XDP, address, counts, settings, udp};

#[test]
#[ignore = "root"]
fn from_the_first_packet_to_assured() {
    let mut rig = Rig::new(16);
    let server = address("10.88.0.2:53");
    let [silent, late, early, brief] =
        [1, 2, 3, 4].map(|port| SocketAddr::new("10.88.0.1".parse().unwrap(), 1000 + port));
    let status = |rig: &Rig, client: SocketAddr| {
        let samples = rig.tracker.scan().unwrap(); // no sweep before
        let sample = samples
            .into_iter()
            .find(|sample| [sample.originator, sample.responder].contains(&client));
        sample.unwrap().status
    };
    for client in [silent, late, early, brief] {
        let (_, packet) = rig.run(XDP, &udp(client, server)).unwrap();
        assert_eq!(packet.kind, EventKind::New);
        assert_eq!(status(&rig, client), Status::Unreplied);
        rig.run(XDP, &udp(client, server)).unwrap();
        assert_eq!(status(&rig, client), Status::Unreplied);
    }
    for client in [early, brief] {
        rig.run(EGRESS, &udp(server, client)).unwrap();
        assert_eq!(status(&rig, client), Status::Replied);
        for frame in [udp(client, server), udp(server, client)] {
            rig.run(INGRESS, &frame).unwrap();
        }
        rig.tracker.sweep().unwrap();
        assert_eq!(status(&rig, client), Status::Replied);
    }
    thread::sleep(Duration::from_millis(2100));
    rig.run(XDP, &udp(silent, server)).unwrap();
    rig.run(XDP, &udp(server, late)).unwrap();
    rig.run(XDP, &udp(early, server)).unwrap();
    rig.tracker.sweep().unwrap();
    for (client, expected) in [
        (silent, Status::Unreplied),
        (late, Status::Replied),
        (early, Status::Assured),
        (brief, Status::Replied),
    ] {
        assert_eq!(status(&rig, client), expected, "{client}");
    }
    // Traffic after 2 s and a reply: whose packet it is does not matter.
    rig.run(XDP, &udp(server, late)).unwrap();
    rig.tracker.sweep().unwrap();
    assert_eq!(status(&rig, late), Status::Assured);
}

/// The time of the latest packet is a jiffy's beginning, never later than the packet.
#[test]
#[ignore = "root"]
fn no_packet_comes_from_the_future() {
    let now = |clock| {
        let now = clock_gettime(clock).unwrap();
        u64::try_from(Duration::from(now).as_nanos()).unwrap()
    };
    let (a, b) = (address("10.88.0.1:4000"), address("10.88.0.2:53"));
    let mut rig = Rig::new(16);
    for _ in 0..200 {
        // The coarse clock stands still with the jiffies when a tick is late: a slow machine changes nothing here.
        let before = now(ClockId::CLOCK_MONOTONIC_COARSE);
        rig.run(XDP, &udp(a, b)).unwrap();
        let after = now(ClockId::CLOCK_MONOTONIC);
        let sample = rig.find(a, b);
        assert!(sample.last_ns <= after, "{}", sample.last_ns - after);
        assert!(before.saturating_sub(sample.last_ns) < 11_000_000);
        thread::sleep(Duration::from_micros(300));
    }
}

#[test]
#[ignore = "root"]
fn a_full_table_keeps_what_it_has() {
    const ROOM: usize = 4;
    let server = address("[fd88::2]:53");
    let clients: Vec<_> = (1..=10)
        .map(|port| address(&format!("[fd88::1]:{port}")))
        .collect();
    let mut rig = Rig::new(u32::try_from(ROOM).unwrap());
    for entry in ETHERNET {
        let before = rig.books(entry).skipped_for(Skip::TableFull);
        let (mut packets, mut bytes) = (0, 0);
        for round in 0..20 {
            for (index, client) in clients.iter().enumerate() {
                let frame = frames::udp(*client, server, &vec![0; 10 * index + round]);
                let outcome = rig.run(entry, &frame).map(|(_, packet)| packet.kind);
                let expected = match (index < ROOM, round) {
                    (true, 0) => Ok(EventKind::New),
                    (true, _) => Ok(EventKind::Data),
                    (false, _) => Err(Skip::TableFull),
                };
                assert_eq!(outcome, expected, "{entry:?}, round {round}, {client}");
                if index >= ROOM {
                    packets += 1;
                    bytes += frame.len();
                }
            }
            if round == 10 {
                rig.tracker.sweep_all().unwrap(); // also without a cache slot
            }
        }
        assert_eq!(
            rig.books(entry).skipped_for(Skip::TableFull),
            before + counts(packets, bytes)
        );
        rig.tracker.sweep_all().unwrap();
        let samples = rig.tracker.scan().unwrap();
        assert_eq!(samples.len(), ROOM);
        assert!(samples.iter().all(|sample| sample.total().packets == 20));
        // One ends: there is room for one.
        let ended = rig.tracker.expire(&[request(&samples[0])]).unwrap();
        assert_eq!(ended.len(), 1);
        // After a failed insert none is tried again in the same jiffy.
        wait_for("room in the table", SOON, || {
            rig.run(entry, &udp(clients[8], server)).ok()
        });
        let last = rig.run(entry, &udp(clients[9], server));
        assert_eq!(last, Err(Skip::TableFull));
        rig.tracker.sweep_all().unwrap();
        let requests: Vec<_> = rig.tracker.scan().unwrap().iter().map(request).collect();
        assert_eq!(rig.tracker.expire(&requests).unwrap().len(), ROOM);
        // For the next: the jiffy of the last failed insert has to pass.
        thread::sleep(Duration::from_millis(20));
    }
}

/// What was put in, by connection and sender.
type Sums = HashMap<(SocketAddr, SocketAddr), Counts>;

fn assert_sums(rig: &mut Rig, sums: &Sums) {
    let samples = rig.scan();
    for sample in &samples {
        let (a, b) = (sample.originator, sample.responder);
        let sum = |from, to| sums.get(&(from, to)).copied().unwrap_or_default();
        assert_eq!([sample.orig, sample.reply], [sum(a, b), sum(b, a)]);
    }
    let shown: Counts = samples
        .iter()
        .map(udptrack::connection::Sample::total)
        .sum();
    assert_eq!(shown, sums.values().copied().sum());
    let tracked = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
    assert_eq!(shown, tracked);
}

/// Connections that share sets of the cache, five and more to four ways: they push each other out all the time.
fn crowded(rig: &mut Rig, all: &[[SocketAddr; 2]], sets: u64) -> Vec<[SocketAddr; 2]> {
    let mut by_set: HashMap<u64, Vec<[SocketAddr; 2]>> = HashMap::new();
    let samples = rig.scan();
    assert_eq!(samples.len(), all.len());
    for sample in samples {
        let ends = [sample.originator, sample.responder];
        by_set.entry(sample.id.0 % sets).or_default().push(ends);
    }
    by_set.retain(|_, members| members.len() > 4);
    by_set.into_values().flatten().collect()
}

#[test]
#[ignore = "root"]
fn a_cache_that_is_too_small_loses_nothing() {
    const CONNECTIONS: u16 = 4096;
    for (client, server) in [("10.88.0.1", "10.88.0.2:53"), ("[fd88::1]", "[fd88::2]:53")] {
        let mut rig = Rig::with(&udptrack::bpf::Settings {
            new_events: false,
            data_events: false,
            response_times: true,
            ..settings(CONNECTIONS.into())
        });
        assert_eq!(rig.tracker.cache_obstacle(), None);
        let mut rng = Rng::from_environment();
        let mut sums = Sums::new();
        let mut send = |rig: &mut Rig, rng: &mut Rng, [from, to]: [SocketAddr; 2]| {
            let frame = frames::udp(from, to, &vec![0; rng.below(100)]);
            let entry = rng.pick(&ETHERNET);
            rig.tracker.run_frame(entry, &frame, 1).unwrap();
            *sums.entry((from, to)).or_default() += counts(1, frame.len());
        };
        // Random ports: a hash of consecutive ones fills the sets evenly.
        let mut ports: Vec<u16> = (1..=u16::MAX).collect();
        for index in 0..usize::from(CONNECTIONS) {
            let other = rng.between(index, ports.len() - 1);
            ports.swap(index, other);
        }
        let all: Vec<_> = ports[..usize::from(CONNECTIONS)]
            .iter()
            .map(|port| [address(&format!("{client}:{port}")), address(server)])
            .collect();
        for ends in &all {
            send(&mut rig, &mut rng, *ends);
        }
        // Two slots for each connection, in sets of four.
        let crowd = crowded(&mut rig, &all, u64::from(CONNECTIONS) * 2 / 4);
        println!("{} connections share full sets", crowd.len());
        assert!(crowd.len() > 100);
        for round in 0..6 {
            let _pinned = Pinned::to(round % 2);
            for _ in 0..10_000 {
                let from = if rng.once_in(4) { &all } else { &crowd };
                let mut ends = from[rng.below(from.len())];
                if rng.once_in(2) {
                    ends.reverse();
                }
                // Twice in a row: who misses a full set twice gets a slot.
                for _ in 0..rng.between(1, 3) {
                    send(&mut rig, &mut rng, ends);
                }
            }
            if round == 2 {
                rig.tracker.sweep().unwrap();
            }
        }
        assert_sums(&mut rig, &sums);
    }
}
