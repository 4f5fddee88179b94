//! Connections of a packet or two, one after the other: a server that answers, and nothing but new ones. None is refused, each is told
//! once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::common::generator::{
    Generator, Link, Pattern, Running, is_possible, queue_by_processor,
};
use crate::common::netns::{Pair, processors};
use crate::common::traffic::{count, receive_until};
use crate::common::witness::{Count, Volume};
use crate::common::{Ip, SOON, wait_for};
use crate::load::two_processors;
use crate::tally::{Tallied, Told};

const REQUEST: usize = 40;
const ANSWER: usize = 120;
/// More sources than any test has frames.
const SOURCES: u64 = 1 << 20;

/// True when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// So many requests, or some more, and a server that answers each. Gives how many there were, and the answers by client.
fn serve(
    pair: &Pair,
    ip: Ip,
    (frames, pause): (u32, Duration),
    requests: u64,
) -> (u64, HashMap<SocketAddr, u64>) {
    // The way back to clients that nobody is, and what becomes of the answers there: nothing, not even an ICMP error.
    let client = &pair.a.ports[0];
    pair.b.ip_batch(&format!(
        "route add 10.99.0.0/16 via {}\nroute add fd99::/64 via {}",
        client.v4, client.v6
    ));
    pair.a
        .ip_batch("route add blackhole 10.99.0.0/16\nroute add blackhole fd99::/64");
    let server = pair.b.udp(pair.b.addr(ip, 53));
    setsockopt(&server, RcvBufForce, &(64 << 20)).unwrap();
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when a wait is in vain: else that thread is waited for.
        let stop = Done(&done);
        let answers = scope.spawn(|| {
            let mut answered: HashMap<SocketAddr, u64> = HashMap::new();
            receive_until(&done, &server, |length, client| {
                assert_eq!(length, REQUEST);
                server.send_to(&[7; ANSWER], client).expect("sent");
                *answered.entry(client).or_default() += 1;
            });
            answered
        });
        let to = server.local_addr().unwrap();
        let pattern = Pattern::sources(SOURCES);
        let generator = Generator::new(&pair.a, pair.a.iface(), to, pattern, REQUEST).addressed();
        let running = generator.paced(frames, pause).start(processors()[0]);
        wait_for("the requests", SOON * 3, || {
            (running.sent() >= requests).then_some(())
        });
        let sent = running.stop().sent();
        wait_for("all requests", SOON, || {
            (link.arrived() - before == sent).then_some(())
        });
        drop(stop);
        (sent, answers.join().unwrap())
    })
}

/// Each request was answered, and each connection told once: nothing was refused.
fn assert_each_told(
    ip: Ip,
    pair: &Pair,
    udptrack: Tallied,
    sent: u64,
    answered: &HashMap<SocketAddr, u64>,
) -> HashMap<String, u64> {
    assert_eq!(answered.len() as u64, sent);
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    assert_eq!(stats.skipped, [].into());
    let expected = Told {
        records: 1,
        volume: Volume {
            toserver: count(ip, &[REQUEST as u64]),
            toclient: count(ip, &[ANSWER as u64]),
        },
    };
    let server = pair.b.addr(ip, 53);
    assert_eq!(tally.told.len(), answered.len());
    for (ends, told) in &tally.told {
        assert!(ends.1 == server && answered[&ends.0] == 1, "{ends:?}");
        assert_eq!(*told, expected, "{ends:?}");
    }
    let both = [expected.volume.toserver, expected.volume.toclient];
    let each: Count = both.into_iter().sum();
    let total = Count {
        packets: 2 * sent,
        bytes: sent * each.bytes,
    };
    assert_eq!((stats.seen, stats.tracked), (total, total));
    eprintln!("{sent} requests, {:?}", tally.reasons);
    tally.reasons
}

/// Some thousand requests a second, each from a port of its own, with the default flags.
#[test]
#[ignore = "root"]
fn a_server_with_the_default_flags() {
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    let udptrack = Tallied::start(&pair.b, &[]);
    let pace = (100, Duration::from_millis(25));
    let (sent, answered) = serve(&pair, Ip::V6, pace, 12_000);
    let reasons = assert_each_told(Ip::V6, &pair, udptrack, sent, &answered);
    // It all fits, and thirty seconds have not passed.
    assert_eq!(reasons, [("STOPPED".to_owned(), sent)].into());
}

/// The same for much longer than its table is large: what is over makes room in time, so that none is refused.
#[test]
#[ignore = "root"]
fn a_server_whose_table_is_small() {
    const ROOM: u64 = 2048;
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    let udptrack = Tallied::start(&pair.b, &["--max-connections", &ROOM.to_string()]);
    let pace = (50, Duration::from_millis(50));
    let (sent, answered) = serve(&pair, Ip::V4, pace, 3 * ROOM);
    let reasons = assert_each_told(Ip::V4, &pair, udptrack, sent, &answered);
    let evicted = reasons["EVICTED"];
    assert!(evicted >= ROOM, "{evicted}");
    assert_eq!(reasons.get("STOPPED").copied().unwrap_or(0) + evicted, sent);
}

/// Nothing but new connections, tens of thousands a second from both processors, while others end.
#[test]
#[ignore = "root"]
fn new_ones_alone() {
    const EACH: u64 = 25_000;
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let arguments = [
        "--no-egress",
        "--max-connections",
        "200000",
        "--udp-timeout",
        "1s",
    ];
    let udptrack = Tallied::start(&pair.b, &arguments);
    let to = pair.b.addr(Ip::V4, 4000);
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let running = two_processors().map(|processor| {
        let first = 1 << (20 + processor);
        let generator = Generator::new(
            &pair.a,
            pair.a.iface(),
            to,
            Pattern::Flood { first },
            REQUEST,
        );
        generator
            .paced(800, Duration::from_millis(10))
            .start(processor)
    });
    wait_for("the flood", SOON * 3, || {
        running
            .iter()
            .all(|running| running.sent() >= EACH)
            .then_some(())
    });
    let sent = running.map(Running::stop);
    let total: u64 = sent.iter().map(Generator::sent).sum();
    wait_for("all frames", SOON, || {
        (link.arrived() - before == total).then_some(())
    });
    udptrack.wait_for_reason("IDLE", total);
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    let frame = count(Ip::V4, &[REQUEST as u64]);
    let all = Count {
        packets: total,
        bytes: total * frame.bytes,
    };
    assert_eq!((stats.seen, stats.tracked), (all, all));
    assert_eq!(stats.skipped, [].into());
    assert_eq!(tally.reasons, [("IDLE".to_owned(), total)].into());
    let expected = Told {
        records: 1,
        volume: Volume {
            toserver: frame,
            toclient: Count::default(),
        },
    };
    assert_eq!(tally.told.len() as u64, total);
    for generator in &sent {
        for number in 0..generator.sent() {
            assert_eq!(tally.between(generator.source(number), to), expected);
        }
    }
}
