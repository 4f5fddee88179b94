//! The table of connections over time: full, warned of, evicted from, expired from while packets come, and what an ICMP
//! error does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use common::finished::Flow;
use common::netns::{Injector, Pair};
use common::run::Udptrack;
use common::traffic::{Talk, connection, count, volume};
use common::witness::{Count, Witness};
use common::{Ip, both_families, four_ways, frames};

four_ways!(unreachable);
both_families!(full addresses reopened);

/// The shortest timeout, less a tick of the kernel's clock.
const A_SECOND: Duration = Duration::from_millis(990);

fn talk(pair: &Pair, ip: Ip, client: u16, server: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, client)),
        pair.b.udp(pair.b.addr(ip, server)),
    )
}

fn is_end(line: &str, reason: &str) -> bool {
    line.contains(&format!(r#""end_reason":"{reason}""#))
}

/// 200 connections and room for 50: the first 50 are tracked to the end, the others are `table-full`, all their packets
/// and bytes.
fn full(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-connections", "50"],
    );
    let server = pair.b.udp(pair.b.addr(ip, 4000));
    let mut talks: Vec<Talk> = (0..200)
        .map(|index| {
            let client = pair.a.udp(pair.a.addr(ip, 10_000 + index));
            Talk::new(client, server.try_clone().unwrap())
        })
        .collect();
    let (live, rest) = talks.split_at_mut(50);
    for talk in live.iter_mut() {
        talk.turn();
    }
    // Answered, so none of them expires early; the warning comes with the next look at the table.
    let warning =
        udptrack.wait_for_message("that the table fills up", |line| line.contains("full"));
    for talk in rest.iter_mut() {
        talk.ask(10);
        talk.turn();
    }
    for talk in live.iter_mut() {
        talk.turn();
    }
    for talk in rest.iter_mut() {
        talk.turn();
    }
    let finished = udptrack.stop().success();
    // Somewhere between 80 % and full, depending on when it looked.
    let (fill, advice) = warning.split_once(" of 50): ").expect(&warning);
    let (percent, live_then) = fill
        .strip_prefix("udptrack: the connection table is ")
        .and_then(|fill| fill.split_once(" % full ("))
        .expect(&warning);
    let live_then: u64 = live_then.parse().unwrap();
    assert!((40..=50).contains(&live_then), "{warning}");
    assert_eq!(percent, (live_then * 2).to_string());
    assert_eq!(
        advice,
        "new connections may soon find no room. Raise --max-connections"
    );
    assert_eq!(
        finished.connections(),
        live.iter().map(Talk::entry).collect()
    );
    let stats = finished.assert_books();
    let total = |talks: &[Talk]| talks.iter().map(Talk::total).sum::<Count>();
    assert_eq!(stats.tracked, total(live));
    assert_eq!(
        stats.skipped,
        [("table-full".to_owned(), total(rest))].into()
    );
    assert_eq!(total(rest).packets, 150 * 5);
    assert!(
        finished.stderr.contains(
            "table full: 750 packets of new connections found no room; --max-connections above 50 makes room"
        ),
        "{}",
        finished.stderr
    );
}

/// Ten clients of one server, and room for four addresses: those of the server and of the first three clients.
fn addresses(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-ips", "4", "--no-egress"],
    );
    let server = pair.b.addr(ip, 4000);
    let _bound = pair.b.udp(server);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let mut expected = Vec::new();
    for host in 0..10_u8 {
        let client: IpAddr = match ip {
            Ip::V4 => [10, 88, 0, 100 + host].into(),
            Ip::V6 => [0xfd88, 0, 0, 0, 0, 0, 0, 100 + u16::from(host)].into(),
        };
        let client = SocketAddr::new(client, 5000);
        for payload in [10, 20, 30] {
            injector.send(&frames::udp(client, server, &vec![1; payload]));
        }
        expected.push((connection(client, server), volume(ip, &[10, 20, 30], &[])));
    }
    udptrack.wait_for_message("that the addresses have no room", |line| {
        line == "udptrack: ip_stats has no room for more addresses. Raise --max-ips"
    });
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), expected.into_iter().collect());
    let stats = finished.assert_books();
    assert_eq!(stats.skipped, [].into());
    assert_eq!(stats.addresses, 4);
    let unplaced = [10, 20, 30].repeat(7);
    assert_eq!(stats.ip_table_full, count(ip, &unplaced));
    assert!(
        finished.stderr.contains("address table full: 21 packets ("),
        "{}",
        finished.stderr
    );
}

/// A connection that was idle for its timeout ends, once; its next packet opens it anew.
fn reopened(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.a,
        &["-i", pair.a.iface(), "-e", "new,end", "--udp-timeout", "1s"],
    );
    let mut silent = talk(&pair, ip, 5000, 4000);
    let mut answered = talk(&pair, ip, 5001, 4001);
    let mut expected = Vec::new();
    for round in 0..3_usize {
        let start = Instant::now();
        let ended = |line: &str, talk: &Talk| {
            let client = talk.client.local_addr().unwrap();
            line.starts_with(&format!("UDP END: {client} -> ")) && line.contains("(IDLE)")
        };
        silent.ask(10 * (round + 1));
        answered.turn();
        answered.turn();
        for (talk, sent) in [
            (&silent, volume(ip, &[10 * (round as u64 + 1)], &[])),
            (&answered, volume(ip, &[100, 100], &[200, 200])),
        ] {
            let (connection, _) = talk.entry();
            let (source, destination) = (connection.source, connection.destination);
            let (toserver, toclient) = (sent.toserver, sent.toclient);
            expected.push(format!("UDP NEW: {source} -> {destination} (ESTABLISHED)"));
            expected.push(format!(
                "UDP END: {source} -> {destination} (IDLE) {} pkts {} B -> {} pkts {} B <-",
                toserver.packets, toserver.bytes, toclient.packets, toclient.bytes
            ));
        }
        for talk in [&silent, &answered] {
            udptrack.wait_for_lines("the end of an idle connection", round + 1, |line| {
                ended(line, talk)
            });
        }
        assert!(start.elapsed() >= A_SECOND);
    }
    let finished = udptrack.stop().success();
    let mut said: Vec<_> = finished
        .stdout
        .iter()
        .map(|line| line.split(" first reply ").next().unwrap().to_owned())
        .collect();
    for talk in [&silent, &answered] {
        // In its order: opened, ended, opened, ended, ...
        let client = talk.client.local_addr().unwrap().to_string();
        let kinds: Vec<_> = said
            .iter()
            .filter(|line| line.contains(&client))
            .map(|line| &line[..7])
            .collect();
        assert_eq!(kinds, ["UDP NEW", "UDP END"].repeat(3));
    }
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
    assert!(
        finished
            .stderr
            .contains("connections: 6 new, 6 ended, 0 live"),
        "{}",
        finished.stderr
    );
}

/// In a table that is nearly full, unreplied connections end after a second instead of 30; replied ones stay.
#[test]
#[ignore = "root"]
fn evicted() {
    let ip = Ip::V6;
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-connections", "100"],
    );
    let server = pair.b.udp(pair.b.addr(ip, 4000));
    let mut talks: Vec<Talk> = (0..100)
        .map(|index| {
            let client = pair.a.udp(pair.a.addr(ip, 10_000 + index));
            Talk::new(client, server.try_clone().unwrap())
        })
        .collect();
    let (replied, silent) = talks.split_at_mut(95);
    for talk in replied.iter_mut() {
        talk.turn();
    }
    for talk in silent.iter_mut() {
        talk.ask(33);
    }
    udptrack.wait_for_lines("five early ends", 5, |line| is_end(line, "EVICTED"));
    // There is room again.
    let mut late = Talk::new(
        pair.a.udp(pair.a.addr(ip, 20_000)),
        server.try_clone().unwrap(),
    );
    late.turn();
    replied[0].turn();
    let finished = udptrack.stop().success();
    let stats = finished.assert_books();
    assert_eq!(stats.skipped, [].into());
    let shown = finished.connections();
    let entries = |talks: &[Talk]| talks.iter().map(Talk::entry).collect::<Vec<_>>();
    let all = [entries(replied), entries(silent), entries(&[late])].concat();
    assert_eq!(shown, all.into_iter().collect());
    let with_reason = |reason: &str| {
        let flows = finished.flows();
        let flows = flows.into_iter().filter(|flow| flow.end_reason == reason);
        flows.collect::<Vec<Flow>>()
    };
    let early = with_reason("EVICTED");
    let clients: Vec<_> = silent
        .iter()
        .map(|talk| talk.client.local_addr().unwrap())
        .collect();
    assert_eq!(early.len(), 5);
    assert!(early.iter().all(|flow| clients.contains(&flow.src)));
    assert!(early.iter().all(|flow| flow.status == "UNREPLIED"));
    assert_eq!(with_reason("STOPPED").len(), 96);
}

/// A table full of unreplied connections gets room by itself, as soon as they are idle, and only as much as it needs.
#[test]
#[ignore = "root"]
fn an_idle_table_makes_room() {
    let ip = Ip::V4;
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-connections", "100"],
    );
    let server = pair.b.udp(pair.b.addr(ip, 4000));
    let mut talks: Vec<Talk> = (0..100)
        .map(|index| {
            let client = pair.a.udp(pair.a.addr(ip, 10_000 + index));
            Talk::new(client, server.try_clone().unwrap())
        })
        .collect();
    let start = Instant::now();
    for talk in &mut talks {
        talk.ask(33);
    }
    udptrack.wait_for_line("an early end", |line| is_end(line, "EVICTED"));
    assert!(start.elapsed() < Duration::from_secs(30));
    let finished = udptrack.stop().success();
    assert_eq!(finished.assert_books().skipped, [].into());
    assert_eq!(
        finished.connections(),
        talks.iter().map(Talk::entry).collect()
    );
    let flows = finished.flows();
    assert!(
        flows
            .iter()
            .all(|flow| ["EVICTED", "STOPPED"].contains(&&*flow.end_reason))
    );
}

/// Nobody listens on the port: the server's kernel says so by ICMP, which comes in at the client and goes out at the
/// server. Beside it, a connection that is well and stays.
fn unreachable(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let mut sides = [&pair.a, &pair.b]
        .map(|netns| Udptrack::start(netns, &["-i", netns.iface(), "--hook", hook, "-j"]));
    let witness = Witness::start(&pair.a, pair.a.iface());
    let mut well = talk(&pair, ip, 5001, 4001);
    let (client, closed) = (pair.a.addr(ip, 5000), pair.b.addr(ip, 4000));
    let socket = pair.a.udp(client);
    well.turn();
    let sent = Instant::now();
    socket.send_to(&[1; 70], closed).unwrap();
    for udptrack in &mut sides {
        udptrack.wait_for_line("the end", |line| is_end(line, "UNREACH"));
        let waited = sent.elapsed();
        assert!(
            waited >= A_SECOND && waited < Duration::from_secs(10),
            "{waited:?}"
        );
    }
    well.turn();
    let ended = sides.map(Udptrack::stop);
    let account = witness.account();
    let lost = account.skipped.values().copied().collect::<Vec<_>>();
    // The error quotes the packet, from its IP header on.
    let headers = ip.overhead();
    let bytes = headers + (headers - 14) + 70;
    assert_eq!(lost, [Count { packets: 1, bytes }]);
    for finished in ended {
        finished.assert_agrees(&account);
        let stats = finished.assert_books();
        assert_eq!(stats.skipped.into_keys().collect::<Vec<_>>(), ["not-udp"]);
        let flows = finished.flows();
        let said: Vec<_> = flows
            .iter()
            .map(|flow| (flow.dst, &*flow.status, &*flow.end_reason))
            .collect();
        // `well` may have lived long enough to be ASSURED.
        assert_eq!(said[0], (closed, "UNREACH", "UNREACH"));
        assert_eq!(
            flows[0].entry(),
            (connection(client, closed), volume(ip, &[70], &[]))
        );
        assert_eq!(flows[1].entry(), well.entry());
        assert_eq!(flows[1].end_reason, "STOPPED");
        assert!(["REPLIED", "ASSURED"].contains(&&*flows[1].status));
    }
}
