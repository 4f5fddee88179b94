//! Packets on two CPUs at once, of the same connections, while user space sweeps, scans and ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use udptrack::bpf::{Runner, Settings};
use udptrack::connection::{Counts, Direction, Sample, Skip};

use crate::common::frames;
use crate::common::random::Rng;
use crate::expiry::request;
use crate::rig::{EGRESS, INGRESS, LO, Pinned, Rig, XDP, address, counts, settings};

/// Few, so that threads meet at each.
const CONNECTIONS: usize = 300;
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

/// Packets in both directions of all connections, in random order.
fn send(runners: &[Runner], mut rng: Rng, cpu: usize) -> Sums {
    let _pinned = Pinned::to(cpu);
    let connections: Vec<_> = (0..CONNECTIONS)
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
        let mut ends = connections[rng.below(CONNECTIONS)];
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
fn while_sending(rig: &mut Rig, mut work: impl FnMut(&mut Rig)) -> Sums {
    let mut rng = Rng::from_environment();
    let running = AtomicU32::new(2);
    thread::scope(|scope| {
        let senders = [0, 1].map(|cpu| {
            let runners = [XDP, INGRESS, EGRESS].map(|entry| rig.tracker.runner(entry).unwrap());
            let rng = Rng::new(rng.next());
            let running = &running;
            scope.spawn(move || {
                let sums = send(&runners, rng, cpu);
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

fn quiet() -> Settings {
    Settings {
        new_events: false,
        data_events: false,
        response_times: true,
        ..settings(1024)
    }
}

#[test]
#[ignore = "root"]
fn two_cpus_lose_and_double_nothing() {
    let mut rig = Rig::with(&quiet());
    let mut scans = 0;
    let mut before = HashMap::new();
    let sent = while_sending(&mut rig, |rig| {
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

/// Connections are ended right after each scan, idle or not, as udptrack itself does not: still each packet is in a
/// connection that ended, in one that lives, or in the books as skipped.
#[test]
#[ignore = "root"]
fn two_cpus_and_ends_lose_and_double_nothing() {
    let mut rig = Rig::with(&quiet());
    let mut shown = Sums::new();
    let (mut ends, mut refused) = (0, 0);
    let sent = while_sending(&mut rig, |rig| {
        let requests: Vec<_> = rig.scan().iter().map(request).collect();
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
    let books = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
    assert_eq!(shown.values().copied().sum::<Counts>(), books);
    let closing: Counts = [INGRESS, EGRESS]
        .map(|entry| rig.books(entry).skipped_for(Skip::Closing))
        .into_iter()
        .sum();
    println!("{closing:?} came in the instant of an end");
    assert_eq!(books + closing, sent.values().copied().sum());
    if closing == Counts::default() {
        assert_eq!(shown, sent);
    }
}
