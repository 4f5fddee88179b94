//! What happens to a run while packets come: ends, stops and starts, a pause of its process, an interface that goes down.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::bpffs::Bpffs;
use crate::common::generator::{Generator, Link, Pattern, is_possible, queue_by_processor};
use crate::common::kernel::{RunCounts, assert_bare, run_count, xdp_program};
use crate::common::netns::{Pair, processors};
use crate::common::traffic::Talk;
use crate::common::witness::Count;
use crate::common::{Ip, SOON, both_families, wait_for};
use crate::tally::Tallied;

both_families!(ends interface_down);

fn two_processors() -> [usize; 2] {
    let all = processors();
    [all[0], all[all.len() - 1]]
}

fn talk(pair: &Pair, ip: Ip) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, 5000)),
        pair.b.udp(pair.b.addr(ip, 4001)),
    )
}

/// Connections end a second after their last packet, while both processors send: some never pause, some pause for about as
/// long, some for longer, and each processor has its own and those that it shares with the other one.
fn ends(ip: Ip) {
    const LASTS: Duration = Duration::from_secs(8);
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let timeouts = ["--udp-timeout", "1s", "--stream-timeout", "1s"];
    let room = ["--no-egress", "--max-connections", "65536"];
    let udptrack = Tallied::start(&pair.b, &[&timeouts[..], &room[..]].concat());
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let to = pair.b.addr(ip, 4000);
    let milliseconds = Duration::from_millis;
    let mut running = Vec::new();
    for (index, processor) in two_processors().into_iter().enumerate() {
        let own = 100_000 * (index as u64 + 1);
        for (first, count, frames, pause) in [
            (0, 500, 64, milliseconds(20)),
            (1000, 4000, 64, milliseconds(17)),
            (10_000, 256, 256, milliseconds(1300)),
            (own, 256, 256, milliseconds(1100)),
        ] {
            let pattern = Pattern::Sources { first, count };
            let generator = Generator::new(&pair.a, pair.a.iface(), to, pattern, 30);
            running.push((count, generator.paced(frames, pause).start(processor)));
        }
    }
    thread::sleep(LASTS);
    let mut sent = Count::default();
    let mut expected: HashMap<SocketAddr, u64> = HashMap::new();
    for (count, running) in running {
        let generator = running.stop();
        sent.packets += generator.sent();
        sent.bytes += generator.sent() * generator.frame_bytes();
        for number in 0..count.min(generator.sent()) {
            let packets = generator.sent() / count + u64::from(number < generator.sent() % count);
            *expected.entry(generator.source(number)).or_default() += packets;
        }
    }
    wait_for("all frames", SOON, || {
        (link.arrived() - before == sent.packets).then_some(())
    });
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    assert_eq!(stats.seen, sent);
    // A packet may come in the instant in which its connection is removed, and for no other reason be counted to none.
    let mut skipped = stats.skipped;
    let closing = skipped.remove("closing").unwrap_or_default();
    assert_eq!(skipped, [].into());
    let missing = expected
        .iter()
        .map(|(source, packets)| packets - tally.between(*source, to).volume.toserver.packets);
    assert_eq!(missing.sum::<u64>(), closing.packets);
    assert_eq!(tally.told.len(), expected.len());
    let idle = tally.reasons.get("IDLE").copied().unwrap_or(0);
    eprintln!(
        "{} packets, {idle} ends, {closing:?} in the instant of one",
        sent.packets
    );
    // Connections ended while packets came, and began anew.
    assert!(tally.records > expected.len() as u64);
}

/// Again and again, `FIRE_STARTS` times: nothing stays behind, the books balance, and no packet that a run saw is lost.
#[test]
#[ignore = "root"]
fn starts_and_stops() {
    if !is_possible() {
        return;
    }
    let times: u32 = std::env::var("FIRE_STARTS").map_or(15, |n| n.parse().unwrap());
    let pair = Pair::new();
    queue_by_processor(&pair);
    let running = two_processors().map(|processor| {
        let pattern = Pattern::sources(3000);
        let to = pair.b.addr(Ip::V4, 4000);
        Generator::new(&pair.a, pair.a.iface(), to, pattern, 30)
            .paced(20_000, Duration::from_millis(20))
            .start(processor)
    });
    let bpffs = Bpffs::new();
    let mut took = Duration::ZERO;
    let mut packets = 0;
    for round in 0..times {
        let hook = ["xdp", "tc"][round as usize % 2];
        let start = Instant::now();
        let mut command = bpffs.command_in(&pair.b, env!("CARGO_BIN_EXE_udptrack"));
        let udptrack =
            Tallied::of(command.args(["--hook", hook, "-i", pair.b.iface(), "-j", "-n"]));
        took += start.elapsed();
        let mut talk = talk(&pair, Ip::V4);
        let objects = udptrack.udptrack.objects(2);
        assert_eq!(bpffs.instances().len(), 1);
        talk.turn();
        talk.turn();
        let (finished, tally) = udptrack.stop();
        objects.assert_gone();
        assert_bare(&pair.b, pair.b.iface());
        assert_eq!(bpffs.instances(), [""; 0]);
        let stats = tally.assert_books(&finished);
        assert_eq!(stats.skipped, [].into());
        let (connection, volume) = talk.entry();
        let told = tally.between(connection.source, connection.destination);
        assert_eq!((told.records, told.volume), (1, volume));
        packets += stats.seen.packets;
    }
    for running in running {
        let generator = running.stop();
        assert!(generator.sent() > 0);
    }
    eprintln!(
        "{times} starts, {packets} packets, {:?} from a start to its hooks",
        took / times
    );
}

/// Its process stands still for ten seconds, and the kernel's half goes on: what a trace has no room for is counted as lost,
/// and nothing else is.
#[test]
#[ignore = "root"]
fn stopped_process() {
    const STANDS: Duration = Duration::from_secs(10);
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let mut udptrack = Tallied::start_as(&pair.b, "trace", &["--no-egress"]);
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let to = pair.b.addr(Ip::V6, 4000);
    let running = two_processors().map(|processor| {
        Generator::new(&pair.a, pair.a.iface(), to, Pattern::sources(1000), 30)
            .paced(50_000, Duration::from_millis(200))
            .start(processor)
    });
    running[0].wait_for_more(1000);
    udptrack.udptrack.signal(Signal::SIGSTOP);
    thread::sleep(STANDS);
    // More than the ring has room for.
    for running in &running {
        running.wait_for_more(300_000);
    }
    udptrack.udptrack.signal(Signal::SIGCONT);
    udptrack
        .udptrack
        .wait_for_message("that events were lost", |line| line.contains("events lost"));
    let mut sent = Count::default();
    for running in running {
        let generator = running.stop();
        sent.packets += generator.sent();
        sent.bytes += generator.sent() * generator.frame_bytes();
    }
    wait_for("all frames", SOON, || {
        (link.arrived() - before == sent.packets).then_some(())
    });
    let (finished, tally) = udptrack.stop();
    let summary = |name: &str| {
        let found = finished
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix(name));
        let words = found.unwrap().split_whitespace();
        let numbers = words.filter_map(|word| word.replace(',', "").parse::<u64>().ok());
        numbers.collect::<Vec<_>>()
    };
    let [packets, bytes, ..] = summary("seen")[..] else {
        panic!("{finished:?}")
    };
    assert_eq!(Count { packets, bytes }, sent);
    assert_eq!(summary("tracked")[..2], [packets, bytes]);
    // Every connection ends in a line with all that it was.
    assert_eq!(tally.total, sent);
    assert_eq!((tally.records, tally.told.len()), (1000, 1000));
    let lost = summary("events lost:")[0];
    assert_eq!(tally.lines + lost, packets);
    assert!(lost > 0);
    eprintln!("{packets} packets, {} lines, {lost} lost", tally.lines);
}

/// Each end of the link goes down and comes up again, while frames are sent.
///
/// How many frames arrived is no witness here: veth takes the program off its queues before it stops them, and hands on what
/// comes in between (`veth_disable_xdp` of drivers/net/veth.c). How often the program ran is.
fn interface_down(ip: Ip) {
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let _counts = RunCounts::start();
    let udptrack = Tallied::start(&pair.b, &[]);
    let (_, program) = xdp_program(&pair.b, pair.b.iface()).expect("it is attached");
    assert_eq!(run_count(program), 0);
    let mut talk = talk(&pair, ip);
    let mut frames = 0;
    for order in [[true, false], [false, true]] {
        let running = two_processors().map(|processor| {
            let to = pair.b.addr(ip, 4000);
            Generator::new(&pair.a, pair.a.iface(), to, Pattern::sources(1000), 30).start(processor)
        });
        let wait = || {
            for running in &running {
                running.wait_for_more(100_000);
            }
        };
        wait();
        talk.turn();
        for is_a in order {
            let netns = if is_a { &pair.a } else { &pair.b };
            netns.ip_batch(&format!("link set {} down", netns.iface()));
            wait();
            netns.ip_batch(&format!("link set {} up", netns.iface()));
            wait();
        }
        pair.address();
        frames += running
            .map(|running| running.stop().sent())
            .iter()
            .sum::<u64>();
        talk.turn();
        talk.ask(500);
    }
    let received = run_count(program);
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    let (connection, volume) = talk.entry();
    let told = tally.between(connection.source, connection.destination);
    assert_eq!((told.records, told.volume), (1, volume));
    assert_eq!(stats.skipped, [].into());
    assert_eq!(stats.seen.packets, received + volume.toclient.packets);
    assert_eq!(tally.records, 1001);
    eprintln!("{frames} frames, {received} received");
    assert!(received < frames);
}
