//! The table of connections over time: full, warned of, evicted from, expired from while packets come, and what an ICMP
//! error does.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::finished::Flow;
use common::netns::Pair;
use common::run::Udptrack;
use common::traffic::{Talk, connection, volume};
use common::witness::{Count, Witness};
use common::{Ip, both_families_at_once, four_ways_at_once};

four_ways_at_once!(unreachable);
both_families_at_once!(full reopened evicted);

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

/// Talks until they have lasted for over two seconds, which makes them ASSURED.
fn assure(talks: &mut [Talk]) {
    for talk in talks.iter_mut() {
        talk.turn();
    }
    thread::sleep(Duration::from_millis(2100));
    for talk in talks {
        talk.turn();
    }
}

/// Clients of one server.
fn talks(pair: &Pair, ip: Ip, clients: u16) -> Vec<Talk> {
    let server = pair.b.udp(pair.b.addr(ip, 4000));
    let clients = (0..clients).map(|index| pair.a.udp(pair.a.addr(ip, 40_000 + index)));
    clients
        .map(|client| Talk::new(client, server.try_clone().unwrap()))
        .collect()
}

/// Many more connections than there is room for: those that are ASSURED stay, and each packet that finds no room is known.
fn full(ip: Ip) {
    const ROOM: u32 = 8;
    let pair = Pair::new();
    let room = ROOM.to_string();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-connections", &room],
    );
    let mut talks = talks(&pair, ip, 200);
    // Few enough for nothing to end early, even if as many began each second.
    let (assured, rest) = talks.split_at_mut(2);
    assure(assured);
    for talk in rest.iter_mut() {
        talk.ask(10);
        talk.turn();
    }
    let warning =
        udptrack.wait_for_message("that the table fills up", |line| line.contains("full"));
    for talk in assured.iter_mut().chain(&mut *rest) {
        talk.turn();
    }
    let finished = udptrack.stop().success();
    let (fill, advice) = warning.split_once(" of 8): ").expect(&warning);
    let (percent, live) = fill
        .strip_prefix("udptrack: the connection table is ")
        .and_then(|fill| fill.split_once(" % full ("))
        .expect(&warning);
    let live: u32 = live.parse().unwrap();
    assert!(live * 5 >= ROOM * 4, "{warning}");
    let expected = (100.0 * f64::from(live) / f64::from(ROOM)).min(100.0);
    assert_eq!(percent, format!("{expected:.0}"));
    assert_eq!(
        advice,
        "idle connections end earlier, and soon new ones may find no room. Raise --max-connections to 16"
    );
    let flows = finished.flows();
    let of = |talk: &Talk| {
        let (connection, _) = talk.entry();
        let flows = flows
            .iter()
            .filter(move |flow| flow.src == connection.source);
        flows.map(Flow::entry).collect::<Vec<_>>()
    };
    for talk in &*assured {
        assert_eq!(of(talk), [talk.entry()]);
    }
    let stats = finished.assert_books();
    let total = |talks: &[Talk]| talks.iter().map(Talk::total).sum::<Count>();
    assert_eq!(stats.seen, total(&talks));
    let skipped: Vec<_> = stats.skipped.keys().collect();
    assert_eq!(skipped, ["table-full"]);
    // What the others were told to have sent they have sent, and the rest of it is what found no room.
    for talk in &talks {
        let told: Count = of(talk)
            .into_iter()
            .flat_map(|(_, volume)| [volume.toserver, volume.toclient])
            .sum();
        assert!(told.packets <= talk.total().packets && told.bytes <= talk.total().bytes);
    }
    let refused = stats.skipped["table-full"].packets;
    assert!(
        finished.stderr.contains(&format!(
            "table full: {refused} packets of new connections found no room. Raise --max-connections above 8"
        )),
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
    let mut silent = talk(&pair, ip, 45_000, 4000);
    let mut answered = talk(&pair, ip, 45_001, 4001);
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

/// In a table that is nearly full, exchanges that are over end after a second instead of 30, answered or not; ASSURED ones stay.
fn evicted(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "--max-connections", "100"],
    );
    let mut talks = talks(&pair, ip, 101);
    // Few enough for nothing to end early, even if as many began each second.
    let (assured, rest) = talks.split_at_mut(30);
    assure(assured);
    let (idle, late) = rest.split_at_mut(70);
    let is_answered = ip == Ip::V6;
    for talk in idle.iter_mut() {
        talk.ask(33);
        if is_answered {
            talk.answer(44);
        }
    }
    // From 95 % on a second is all they get: at least so many have to go.
    udptrack.wait_for_lines("early ends", 6, |line| is_end(line, "EVICTED"));
    // There is room again.
    late[0].turn();
    assured[0].turn();
    let finished = udptrack.stop().success();
    let stats = finished.assert_books();
    assert_eq!(stats.skipped, [].into());
    let entries = |talks: &[Talk]| talks.iter().map(Talk::entry).collect::<BTreeMap<_, _>>();
    let flows = finished.flows();
    let shown = |wanted: &dyn Fn(&Flow) -> bool| {
        let flows = flows.iter().filter(|flow| wanted(flow)).map(Flow::entry);
        flows.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(finished.connections(), entries(&talks));
    let (assured, rest) = talks.split_at(30);
    let idle = entries(&rest[..70]);
    assert_eq!(shown(&|flow| flow.status == "ASSURED"), entries(assured));
    let early = shown(&|flow| flow.end_reason == "EVICTED");
    assert!(
        early
            .iter()
            .all(|(ends, sent)| idle.get(ends) == Some(sent))
    );
    let word = if is_answered { "REPLIED" } else { "UNREPLIED" };
    let of_them = shown(&|flow| flow.status == word && flow.end_reason == "EVICTED");
    assert_eq!(of_them, early);
    let stopped = shown(&|flow| flow.end_reason == "STOPPED");
    assert_eq!(stopped.len(), talks.len() - early.len());
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
    let mut talks = talks(&pair, ip, 100);
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
    let mut well = talk(&pair, ip, 45_001, 4001);
    let (client, closed) = (pair.a.addr(ip, 45_000), pair.b.addr(ip, 4000));
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
