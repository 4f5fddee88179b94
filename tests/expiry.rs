//! Connections that end and begin anew while packets come on both processors: nothing is lost, nothing counted twice.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::netns::{Pair, pin_thread, processors};
use common::random::Rng;
use common::run::{Finished, Udptrack};
use common::traffic::{count, receive_until};
use common::witness::Count;
use common::{Ip, SOON, at_once, wait_for};

/// Connections: each client talks to each server, from both processors.
/// As many as can be served in time; see [`clients`].
const CLIENTS: u16 = 256;
const SERVERS: u16 = 8;
/// A connection is silent for so long at a time, in milliseconds: around its timeout of one second, so that many end
/// and many only nearly do.
const PAUSE: std::ops::Range<usize> = 900..2400;
const LASTS: Duration = Duration::from_secs(8);

#[test]
#[ignore = "root"]
fn ends_race_with_packets() {
    at_once([(Ip::V4, "xdp"), (Ip::V6, "tc")], |(ip, hook)| {
        race(ip, hook);
    });
}

/// A machine that needs patience sends so many times fewer packets in the same time.
fn clients() -> u16 {
    let times = common::patient(Duration::from_secs(1)).as_secs();
    CLIENTS / u16::try_from(times).unwrap()
}

/// What went over one connection, whichever end sent.
type Totals = BTreeMap<(SocketAddr, SocketAddr), Count>;

fn race(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let servers: Vec<_> = (0..SERVERS)
        .map(|index| pair.b.udp(pair.b.addr(ip, 4000 + index)))
        .collect();
    let clients: Vec<_> = pair.a.enter(|| {
        let bind = |index| UdpSocket::bind(pair.a.addr(ip, 10_000 + index)).unwrap();
        (0..clients()).map(bind).collect()
    });
    // At the sender, where no queue can lose a packet before the hook has seen it.
    let udptrack = Udptrack::start(
        &pair.a,
        &[
            "-i",
            pair.a.iface(),
            "--hook",
            hook,
            "-j",
            "-e",
            "new,end",
            "--udp-timeout",
            "1s",
            "--stream-timeout",
            "1s",
        ],
    );
    let sent = exchange(ip, &clients, &servers);
    let finished = udptrack.stop().success();

    let total: Count = sent.values().copied().sum();
    let stats = finished.assert_books();
    assert_eq!(stats.seen, total);
    assert_eq!(stats.events_lost, 0);
    assert_eq!(stats.skipped, [].into());

    let mut shown = Totals::new();
    let flows = finished.flows();
    for flow in &flows {
        let (_, volume) = flow.entry();
        let total = shown.entry(ends(flow.src, flow.dst)).or_default();
        *total += [volume.toserver, volume.toclient].into_iter().sum();
    }
    assert_eq!(shown, sent);
    let idle = flows.iter().filter(|flow| flow.end_reason == "IDLE");
    let idle = idle.count();
    // Connections ended while packets came, and began anew.
    assert!(
        idle > 0 && flows.len() > sent.len(),
        "{idle} ends, {} connections between {} ends",
        flows.len(),
        sent.len()
    );
    assert_in_turns(&finished);
    eprintln!("{} packets, {idle} ends by idleness", total.packets);
}

fn ends(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    (one.min(other), one.max(other))
}

/// Each connection begins, ends, begins, ends, ...: each end is reported once.
fn assert_in_turns(finished: &Finished) {
    let mut live: HashMap<String, bool> = HashMap::new();
    for record in finished.records() {
        let Some(id) = record["udptrack"]["conn_id"].as_str() else {
            continue;
        };
        let begins = record["udptrack"]["event"] == "new";
        let was_live = live.insert(id.to_owned(), begins).unwrap_or(false);
        assert_ne!(was_live, begins, "{record}");
    }
    assert!(live.values().all(|live| !live));
}

/// Clients send from both processors, servers answer every other datagram. Returns when all have arrived.
fn exchange(ip: Ip, clients: &[UdpSocket], servers: &[UdpSocket]) -> Totals {
    let done = AtomicBool::new(false);
    let received = AtomicUsize::new(0);
    let seed = Rng::from_environment().next();
    let all = processors();
    thread::scope(|scope| {
        let senders = [all[0], all[all.len() - 1]].map(|processor| {
            scope.spawn(move || {
                pin_thread(processor);
                send(ip, clients, servers, &mut Rng::new(seed))
            })
        });
        let answerers: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(|| answer(ip, server, &received, &done)))
            .collect();
        let mut sent = Totals::new();
        for sender in senders {
            add(&mut sent, sender.join().expect("a sender's end"));
        }
        let asked: u64 = sent.values().map(|count| count.packets).sum();
        wait_for("the servers to get everything", SOON, || {
            (received.load(Ordering::Relaxed) as u64 == asked).then_some(())
        });
        done.store(true, Ordering::Relaxed);
        for answerer in answerers {
            add(&mut sent, answerer.join().expect("a server's end"));
        }
        let total: u64 = sent.values().map(|count| count.packets).sum();
        let mut answers = asked;
        wait_for("the clients to get every answer", SOON, || {
            answers += clients.iter().map(drain).sum::<u64>();
            (answers == total).then_some(())
        });
        sent
    })
}

fn add(sum: &mut Totals, more: Totals) {
    for (ends, count) in more {
        *sum.entry(ends).or_default() += count;
    }
}

/// Sends over every connection again and again, each in a rhythm of its own, which is that of both processors: what has
/// ended is opened anew from both at once.
fn send(ip: Ip, clients: &[UdpSocket], servers: &[UdpSocket], rng: &mut Rng) -> Totals {
    let start = Instant::now();
    let pause = |rng: &mut Rng| {
        let milliseconds = PAUSE.start + rng.below(PAUSE.len());
        Duration::from_millis(milliseconds as u64)
    };
    let mut sent = Totals::new();
    let mut due: BTreeSet<(Duration, usize)> = (0..clients.len() * servers.len())
        .map(|index| (pause(rng), index))
        .collect();
    while let Some((when, index)) = due.pop_first() {
        if when >= LASTS {
            break;
        }
        thread::sleep(when.saturating_sub(start.elapsed()));
        let client = &clients[index % clients.len()];
        let to = servers[index / clients.len()].local_addr().unwrap();
        let payload = rng.below(200);
        client.send_to(&vec![1; payload], to).expect("sent");
        let ends = ends(client.local_addr().unwrap(), to);
        *sent.entry(ends).or_default() += count(ip, &[payload as u64]);
        due.insert((when + pause(rng), index));
    }
    sent
}

fn answer(ip: Ip, server: &UdpSocket, received: &AtomicUsize, done: &AtomicBool) -> Totals {
    let payload = [0; 2048];
    let mut sent = Totals::new();
    receive_until(done, server, |length, client| {
        if length % 2 == 0 {
            server
                .send_to(&payload[..length / 2], client)
                .expect("sent");
            let ends = ends(server.local_addr().unwrap(), client);
            *sent.entry(ends).or_default() += count(ip, &[length as u64 / 2]);
        }
        received.fetch_add(1, Ordering::Relaxed);
    });
    sent
}

/// How many datagrams have come to a client.
fn drain(client: &UdpSocket) -> u64 {
    client.set_nonblocking(true).unwrap();
    let mut packets = 0;
    while client.recv(&mut [0; 2048]).is_ok() {
        packets += 1;
    }
    packets
}
