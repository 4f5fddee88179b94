//! Packets on two CPUs at once, of the same connections, while user space scans and ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use udptrack::bpf::{Runner, Settings};
use udptrack::model::{Counts, Direction, Sample, Skip};

use crate::common::frames;
use crate::common::random::Rng;
use crate::expiry::request;
use crate::rig::{EGRESS, INGRESS, LO, Pinned, Rig, XDP, address, counts, settings};
use crate::sets::detours;

/// Few, so that threads meet at each.
const CONNECTIONS: usize = 300;
/// Of a table in which that many nearly fill their sets, all places.
const CROWD: usize = 120;
const PACKETS: u32 = 150_000;

/// By sender and receiver.
type Sums = HashMap<(SocketAddr, SocketAddr), Counts>;

fn add(sums: &mut Sums, from: SocketAddr, to: SocketAddr, more: Counts) {
    *sums.entry((from, to)).or_default() += more;
}

fn add_samples(sums: &mut Sums, samples: &[Sample]) {
    for sample in samples {
        let (a, b) = (sample.originator, sample.responder);
        for (from, to, sum) in [(a, b, sample.orig), (b, a, sample.reply)] {
            if sum != Counts::default() {
                add(sums, from, to, sum);
            }
        }
    }
}

/// Packets in both directions of so many connections, in random order.
fn send(runners: &[Runner], mut rng: Rng, cpu: usize, connections: usize) -> Sums {
    let _pinned = Pinned::to(cpu);
    let connections: Vec<_> = (0..connections)
        .map(|number| {
            let (client, server) = if number % 2 == 0 {
                (format!("10.88.0.1:{number}"), "10.88.0.2:53")
            } else {
                (format!("[fd88::1]:{number}"), "[fd88::2]:53")
            };
            [address(&client), address(server)]
        })
        .collect();
    let mut sums = Sums::new();
    for _ in 0..PACKETS {
        let mut ends = connections[rng.below(connections.len())];
        if rng.once_in(2) {
            ends.reverse();
        }
        let [from, to] = ends;
        let frame = frames::udp(from, to, &vec![0; rng.below(50)]);
        let runner = &runners[rng.below(runners.len())];
        runner.run_frame(&frame, 1).unwrap();
        add(&mut sums, from, to, counts(1, frame.len()));
    }
    sums
}

/// Two threads send while this one works; gives what they sent.
fn while_sending(rig: &mut Rig, connections: usize, mut work: impl FnMut(&mut Rig)) -> Sums {
    let mut rng = Rng::from_environment();
    let running = AtomicU32::new(2);
    thread::scope(|scope| {
        let senders = [0, 1].map(|cpu| {
            let runners = [XDP, INGRESS, EGRESS].map(|entry| rig.tracker.runner(entry).unwrap());
            let rng = Rng::new(rng.next());
            let running = &running;
            scope.spawn(move || {
                let sums = send(&runners, rng, cpu, connections);
                running.fetch_sub(1, Ordering::Relaxed);
                sums
            })
        });
        while running.load(Ordering::Relaxed) > 0 {
            work(rig);
        }
        let mut all = Sums::new();
        for sender in senders {
            for ((from, to), sum) in sender.join().unwrap() {
                add(&mut all, from, to, sum);
            }
        }
        all
    })
}

fn quiet(max_connections: u32) -> Settings {
    Settings {
        new_events: false,
        data_events: false,
        response_times: true,
        ..settings(max_connections)
    }
}

#[test]
#[ignore = "root"]
fn two_cpus_lose_and_double_nothing() {
    let mut rig = Rig::with(&quiet(1024));
    let mut scans = 0;
    let mut before = HashMap::new();
    let sent = while_sending(&mut rig, CONNECTIONS, |rig| {
        // Counts never go back, and the books balance, also while they are read.
        for sample in rig.scan() {
            let old = before.insert(sample.id, sample).unwrap_or(sample);
            assert_eq!(old.first_ns, sample.first_ns);
            assert!(old.orig.packets <= sample.orig.packets);
            assert!(old.reply.bytes <= sample.reply.bytes);
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            assert!(rig.tracker.books(LO, direction).unwrap().balance());
        }
        scans += 1;
    });
    println!("{scans} scans meanwhile");
    let mut shown = Sums::new();
    add_samples(&mut shown, &rig.scan());
    assert_eq!(shown, sent);
    let books = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
    assert_eq!(books, sent.values().copied().sum());
}

/// The same while this thread ends whatever it sees; what was sent, and what all connections came to that ended and that live.
fn while_ending(rig: &mut Rig, connections: usize) -> (Sums, Sums) {
    let mut shown = Sums::new();
    let (mut ends, mut refused) = (0, 0);
    let sent = while_sending(rig, connections, |rig| {
        let samples = rig.scan();
        let ids: HashSet<_> = samples.iter().map(|sample| sample.id).collect();
        assert_eq!(
            ids.len(),
            samples.len(),
            "each connection lies in one place"
        );
        let requests: Vec<_> = samples.iter().map(request).collect();
        let ended = rig.tracker.expire(&requests).unwrap();
        ends += ended.len();
        refused += requests.len() - ended.len();
        let ended: Vec<_> = ended.into_iter().map(|(sample, _)| sample).collect();
        assert!(ended.iter().all(|sample| sample.first_ns > 0));
        add_samples(&mut shown, &ended);
    });
    println!("{ends} ends, {refused} refused");
    assert!(ends > 1000 && refused > 0);
    add_samples(&mut shown, &rig.scan());
    (sent, shown)
}

/// Connections are ended right after each scan, idle or not, as udptrack itself does not: still each packet is in a
/// connection that ended or in one that lives, and in no other's.
#[test]
#[ignore = "root"]
fn two_cpus_and_ends_lose_and_double_nothing() {
    let mut rig = Rig::with(&quiet(1024));
    let (sent, shown) = while_ending(&mut rig, CONNECTIONS);
    assert_eq!(shown, sent);
    for entry in [INGRESS, EGRESS] {
        let books = rig.books(entry);
        assert_eq!(
            (books.seen, books.skipped_total()),
            (books.tracked, Counts::default())
        );
    }
    let books = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
    assert_eq!(books, sent.values().copied().sum());
}

/// The same in a table of a few sets that are full or nearly so: connections come to their second sets and go from there all the
/// time, and what finds no room is skipped as that and nothing else.
#[test]
#[ignore = "root"]
fn two_cpus_and_ends_in_second_sets_lose_and_double_nothing() {
    let mut rig = Rig::with(&quiet(40));
    let (sent, shown) = while_ending(&mut rig, CROWD);
    let (mut tracked, mut full) = (Counts::default(), Counts::default());
    for entry in [INGRESS, EGRESS] {
        let books = rig.books(entry);
        assert!(books.balance());
        assert_eq!(books.skipped_total(), books.skipped_for(Skip::TableFull));
        tracked += books.tracked;
        full += books.skipped_for(Skip::TableFull);
    }
    println!("{full:?} found no room");
    assert_eq!(tracked + full, sent.values().copied().sum());
    assert_eq!(tracked, shown.values().copied().sum());
    for (ends, shown) in &shown {
        assert!(shown.packets <= sent[ends].packets && shown.bytes <= sent[ends].bytes);
    }
    let requests: Vec<_> = rig.scan().iter().map(request).collect();
    assert_eq!(rig.tracker.expire(&requests).unwrap().len(), requests.len());
    assert_eq!((rig.scan(), detours()), (Vec::new(), BTreeMap::new()));
}
