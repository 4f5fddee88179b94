//! Nothing grows while connections come and go.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::common::generator::{Generator, Link, Pattern, Running, is_possible};
use crate::common::netns::{Pair, processors};
use crate::common::witness::Count;
use crate::common::{Ip, SOON, wait_for};
use crate::tally::Tallied;

/// In tens of seconds there are tens of thousands of connections, so one that is not forgotten shows, if it costs a hundred
/// bytes; in minutes it does with less. What an allocator keeps back more or less is a part of it.
const GROWTH_KIB: u64 = 1024;
/// The table is full or nearly so most of the time. A hash table that things come to and go from grows to twice what it needs
/// (4096 entries, of which 7/8 are used) before it cleans up instead: with this room, at once and never again.
const ROOM: &str = "3500";

/// For `SOAK`, such as 10m; 20 seconds else. Thousands of connections a second, most of one packet; records are written, and
/// metrics are asked for.
#[test]
#[ignore = "root"]
fn nothing_grows() {
    if !is_possible() {
        return;
    }
    let lasts = std::env::var("SOAK").map_or(Duration::from_secs(20), |text| {
        humantime::parse_duration(&text).expect("SOAK is a time, such as 10m")
    });
    let pair = Pair::new();
    let metrics = SocketAddr::new(pair.b.ip(Ip::V4), 9435);
    let timeouts = ["--udp-timeout", "1s", "--stream-timeout", "1s"];
    let others = ["--no-egress", "--max-connections", ROOM, "--metrics"];
    let listen = metrics.to_string();
    let udptrack = Tallied::start(&pair.b, &[&timeouts[..], &others, &[&listen]].concat());
    let pid = udptrack.udptrack.pid();
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let generator = |ip, pattern, pause| {
        let to = pair.b.addr(ip, 4000);
        Generator::new(&pair.a, pair.a.iface(), to, pattern, 100)
            .paced(64, Duration::from_millis(pause))
            .start(processors()[0])
    };
    // Fills the table.
    let to = pair.b.addr(Ip::V4, 4000);
    let mut burst = Generator::new(&pair.a, pair.a.iface(), to, Pattern::sources(20_000), 100);
    burst.run(20_000);
    let running = [
        generator(Ip::V4, Pattern::Flood { first: 0 }, 40),
        generator(Ip::V6, Pattern::Flood { first: 0 }, 40),
        generator(Ip::V4, Pattern::sources(500), 20),
    ];
    // All of it is at work.
    udptrack.wait_for_more_than(20_000);
    let start = Instant::now();
    // The quarter after the first third, when all is as large as it will be, and the last one.
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let mut pages = 0;
    while start.elapsed() < lasts {
        pages += u32::from(pair.b.enter(|| scrape(metrics)));
        let part = start.elapsed().as_secs_f64() / lasts.as_secs_f64();
        if (0.33..0.58).contains(&part) {
            early.push(State::of(pid));
        } else if part > 0.75 {
            late.push(State::of(pid));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let mut sent = Count::default();
    for generator in running.map(Running::stop).iter().chain([&burst]) {
        sent.packets += generator.sent();
        sent.bytes += generator.sent() * generator.frame_bytes();
    }
    // A connection of a scrape is a file, too, for as long as it lasts.
    let fewest = |of: fn(&State) -> usize| early.iter().map(of).min().unwrap();
    let (files, threads) = (fewest(|state| state.files), fewest(|state| state.threads));
    wait_for("no more files and threads than before", SOON, || {
        let state = State::of(pid);
        (state.files <= files && state.threads <= threads).then_some(())
    });
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    assert_eq!(link.arrived() - before, stats.seen.packets);
    assert_eq!(stats.seen, sent);
    let most = |states: &[State]| {
        states
            .iter()
            .map(|state| state.anonymous_kib)
            .max()
            .unwrap()
    };
    let (early_kib, late_kib) = (most(&early), most(&late));
    eprintln!(
        "{} packets, {} connections, {pages} pages; {early_kib} KiB, then {late_kib} KiB; {:?}",
        sent.packets,
        tally.records,
        late.last()
    );
    assert!(pages > 0);
    assert!(late_kib <= early_kib + GROWTH_KIB, "{early:?} {late:?}");
}

/// What a process has.
#[derive(Debug)]
struct State {
    anonymous_kib: u64,
    files: usize,
    threads: usize,
}

impl State {
    fn of(pid: Pid) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let entries = |folder| {
            fs::read_dir(format!("/proc/{pid}/{folder}"))
                .unwrap()
                .count()
        };
        Self {
            anonymous_kib: line
                .unwrap()
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap(),
            files: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// Whether there was a page. A loop that is busy, as that of a debug build is now and then, says so instead.
fn scrape(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let is_page = page.contains("udptrack_seen_packets_total");
    assert!(is_page || page.starts_with("HTTP/1.1 503 "), "{page}");
    is_page
}
