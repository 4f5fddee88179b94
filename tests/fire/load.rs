//! What happens to a run while packets come: ends, stops and starts, a pause of its process, an interface that goes down.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::bpffs::Bpffs;
use crate::common::finished::Finished;
use crate::common::generator::{
    Generator, Link, Pattern, Running, is_possible, queue_by_processor,
};
use crate::common::kernel::{
    RunCounts, assert_bare, links, run_count, wait_for_egress, xdp_program,
};
use crate::common::netns::{Pair, processors};
use crate::common::traffic::Talk;
use crate::common::witness::Count;
use crate::common::{Ip, SOON, both_families, both_families_at_once, wait_for};
use crate::tally::{Tallied, Tally};

both_families!(interface_down);
both_families_at_once!(ends);

/// Connections end as soon as they may.
pub const SHORT_LIVED: [&str; 5] = [
    "--no-egress",
    "--udp-timeout",
    "1s",
    "--stream-timeout",
    "1s",
];

pub fn two_processors() -> [usize; 2] {
    let all = processors();
    [all[0], all[all.len() - 1]]
}

fn talk(pair: &Pair, ip: Ip) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, 45_000)),
        pair.b.udp(pair.b.addr(ip, 4001)),
    )
}

/// Generators that send, each with the number of its sources.
pub struct Traffic {
    to: SocketAddr,
    link: Link,
    before: u64,
    running: Vec<(u64, Running)>,
}

/// What they have sent: all of it, and packets by source.
pub struct Sent {
    pub to: SocketAddr,
    pub total: Count,
    pub by_source: HashMap<SocketAddr, u64>,
}

impl Traffic {
    /// Nothing yet.
    pub fn new(pair: &Pair, ip: Ip) -> Self {
        let link = Link::new(&pair.a, pair.a.iface());
        Self {
            to: pair.b.addr(ip, 4000),
            before: link.arrived(),
            link,
            running: Vec::new(),
        }
    }

    /// One more, of so many sources from a number on, in turn: so many frames at a time, and a pause.
    pub fn start(
        &mut self,
        pair: &Pair,
        processor: usize,
        (first, count): (u64, u64),
        (frames, pause): (u32, Duration),
    ) {
        let pattern = Pattern::Sources { first, count };
        let generator = Generator::new(&pair.a, pair.a.iface(), self.to, pattern, 30);
        let running = generator.paced(frames, pause).start(processor);
        self.running.push((count, running));
    }

    /// Stops all, and waits until what they sent has arrived.
    pub fn stop(self) -> Sent {
        let mut sent = Sent {
            to: self.to,
            total: Count::default(),
            by_source: HashMap::new(),
        };
        for (count, running) in self.running {
            let generator = running.stop();
            sent.total.packets += generator.sent();
            sent.total.bytes += generator.sent() * generator.frame_bytes();
            for number in 0..count.min(generator.sent()) {
                let rest = u64::from(number < generator.sent() % count);
                *sent.by_source.entry(generator.source(number)).or_default() +=
                    generator.sent() / count + rest;
            }
        }
        wait_for("all frames", SOON, || {
            (self.link.arrived() - self.before == sent.total.packets).then_some(())
        });
        sent
    }
}

impl Sent {
    /// All of it was seen and told, each packet once and of its own source.
    pub fn assert_told(&self, finished: &Finished, tally: &Tally) {
        let stats = tally.assert_books(finished);
        assert_eq!((stats.seen, stats.skipped), (self.total, [].into()));
        let told = tally.told.iter().map(|((source, destination), told)| {
            assert_eq!(
                (*destination, told.volume.toclient),
                (self.to, Count::default())
            );
            (*source, told.volume.toserver.packets)
        });
        assert_eq!(told.collect::<HashMap<_, _>>(), self.by_source);
    }
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
    let udptrack = Tallied::start(&pair.b, &SHORT_LIVED);
    let mut traffic = Traffic::new(&pair, ip);
    let milliseconds = Duration::from_millis;
    for (index, processor) in two_processors().into_iter().enumerate() {
        let own = 100_000 * (index as u64 + 1);
        for (sources, pace) in [
            ((0, 500), (64, milliseconds(20))),
            ((1000, 4000), (64, milliseconds(17))),
            ((10_000, 256), (256, milliseconds(1300))),
            ((own, 256), (256, milliseconds(1100))),
        ] {
            traffic.start(&pair, processor, sources, pace);
        }
    }
    thread::sleep(LASTS);
    let sent = traffic.stop();
    let (finished, tally) = udptrack.stop();
    sent.assert_told(&finished, &tally);
    let idle = tally.reasons.get("IDLE").copied().unwrap_or(0);
    eprintln!("{} packets, {idle} ends", sent.total.packets);
    // Connections ended while packets came, and began anew.
    assert!(tally.records > sent.by_source.len() as u64);
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
        let objects = udptrack.udptrack.objects(links(hook));
        wait_for_egress(&pair.b, pair.b.iface());
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

/// Its process stands still for seconds, and the kernel's half goes on: what a trace has no room for is counted as lost,
/// and nothing else is.
#[test]
#[ignore = "root"]
fn stopped_process() {
    const STANDS: Duration = Duration::from_secs(3);
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
