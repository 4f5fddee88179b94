//! What an operator asks, on a link with services of all kinds: who serves whom, which server is dead, which loses, which is slow, and what
//! needs no answer. Each answer is known here, and is asserted as it is.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;
#[path = "operator/scene.rs"]
mod scene;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::netns::Pair;
use common::run::Udptrack;
use common::{Ip, at_once};
use scene::{Asked, CLOSED, IPERF, LOSSY, RTP, SLOW, STUN, Scene, Work, client, serve, socket};
use serde_json::Value;

/// Ten starts beside traffic that is there: whoever is seen first, client and server are told right.
#[test]
#[ignore = "root"]
fn roles_of_what_was_there_before() {
    let pair = Pair::new();
    let mut work = Work::new();
    // A download from a server that nobody knows here: it sends nearly all packets.
    let server = socket(&pair.b, 443);
    let downloads = client(&pair.a, pair.b.addr(Ip::V4, 443));
    let peer = downloads.local_addr().unwrap();
    work.go_on(move |_| {
        server.send_to(&[0x40; 1200], peer).unwrap();
        thread::sleep(Duration::from_millis(1));
    });
    work.go_on(move |_| {
        downloads.send(&[0x40; 40]).unwrap();
        thread::sleep(Duration::from_millis(20));
    });
    // One that is slow: most of the time its answer is the next packet.
    let slow = serve(&mut work, &pair.b, 4000, Duration::from_millis(50), |_| {
        false
    });
    let asks = client(&pair.a, slow);
    asks.set_read_timeout(None).unwrap();
    let asker = asks.local_addr().unwrap();
    work.go_on(move |_| {
        asks.send(b"request").unwrap();
        // As the server still holds one, the last of them comes when all is over.
        asks.set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let _ = asks.recv(&mut [0; 64]);
        thread::sleep(Duration::from_millis(5));
    });
    // Our own server at a high port, asked from a low one.
    let own = serve(&mut work, &pair.a, 9000, Duration::from_millis(5), |_| {
        false
    });
    let low = socket(&pair.b, 6999);
    work.go_on(move |_| {
        low.send_to(b"request", own).unwrap();
        let _ = low.recv(&mut [0; 64]);
    });
    at_once(0..10, |_: u8| {
        let udptrack = Udptrack::start(
            &pair.a,
            &["-i", pair.a.iface(), "-j", "--duration", "1500ms"],
        );
        let finished = udptrack.wait().success();
        finished.assert_books();
        let mut ends: Vec<_> = finished
            .flows()
            .iter()
            .map(|flow| (flow.src, flow.dst))
            .collect();
        ends.sort_unstable();
        let mut expected = vec![
            (peer, pair.b.addr(Ip::V4, 443)),
            (asker, slow),
            (pair.b.addr(Ip::V4, 6999), own),
        ];
        expected.sort_unstable();
        assert_eq!(ends, expected);
    });
}

/// What was told of each server in the latest snapshot, by its port, in the order in which it was.
fn servers(records: &[Value]) -> Vec<(u16, Value)> {
    let is_server = |record: &&Value| record["event_type"] == "server";
    let servers = || records.iter().filter(is_server);
    let latest = &servers().next_back().unwrap()["timestamp"];
    let server = |record: &Value| (port(record), record["udptrack"].clone());
    servers()
        .filter(|record| record["timestamp"] == *latest)
        .map(server)
        .collect()
}

fn port(record: &Value) -> u16 {
    record["udptrack"]["port"]
        .as_u64()
        .unwrap()
        .try_into()
        .unwrap()
}

/// Asked, answered, lost.
fn requests(server: &Value) -> [u64; 3] {
    ["asked", "answered", "lost"].map(|name| {
        let count = server["response"][name].as_u64();
        count.unwrap_or_else(|| panic!("{name} in {server}"))
    })
}

fn median(server: &Value) -> Duration {
    let ns = server["response"]["median_ns"].as_u64();
    Duration::from_nanos(ns.unwrap_or_else(|| panic!("{server}")))
}

/// The scene as a whole.
#[test]
#[ignore = "root"]
fn who_is_dead_who_loses_and_who_is_slow() {
    let mut scene = Scene::new();
    let iface = scene.pair.a.iface().to_owned();
    let mut udptrack = Udptrack::start(
        &scene.pair.a,
        &["-i", &iface, "-j", "--by", "server", "--sort", "state"],
    );
    let [lossy, slow] = scene.happen();
    // A snapshot of after the last request.
    udptrack.wait_for_line("all requests", |line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["event_type"] == "server"
            && port(&record) == LOSSY
            && record["udptrack"]["response"]["asked"] == 100
    });
    let finished = udptrack.stop().success();
    let records = finished.records();
    let all = servers(&records);
    let by_port: BTreeMap<u16, &Value> = all.iter().map(|(port, own)| (*port, own)).collect();
    let state = |port: u16| by_port[&port]["state"].as_str().unwrap();

    // The dead one comes first, and it is NTP.
    assert_eq!((all[0].0, state(123)), (123, "dead"), "{all:#?}");
    let [asked, answered, lost] = requests(by_port[&123]);
    assert!(
        asked > 0 && answered == 0 && lost == asked,
        "{asked} {lost}"
    );
    assert_eq!(state(CLOSED), "refused");
    // What was lost is lost, and what was answered was answered at once.
    assert_eq!(
        lossy,
        Asked {
            asked: 100,
            answered: 67
        }
    );
    assert_eq!(state(LOSSY), "lossy");
    assert_eq!(requests(by_port[&LOSSY]), [100, 67, 33]);
    assert!(median(by_port[&LOSSY]) < Duration::from_millis(50));
    // Slow from the beginning is no change.
    assert_eq!(
        slow,
        Asked {
            asked: 30,
            answered: 30
        }
    );
    assert_eq!((state(SLOW), requests(by_port[&SLOW])), ("ok", [30, 30, 0]));
    assert!(median(by_port[&SLOW]) >= Duration::from_millis(40));
    assert_eq!((state(STUN), requests(by_port[&STUN])), ("ok", [20, 20, 0]));
    assert_eq!((state(53), requests(by_port[&53])), ("ok", [12, 12, 0]));
    assert_eq!(by_port[&53]["clients"], 1);
    // Nobody waits for these, or they were answered from another port.
    for port in [514, IPERF] {
        assert_eq!(state(port), "one-way", "{port}");
        assert_eq!(by_port[&port].get("response"), None, "{port}");
    }
    assert_eq!(by_port[&514]["connections"], 15);
    assert_eq!((state(69), state(RTP)), ("ok", "ok"));
    assert_eq!(requests(by_port[&69]), [1, 1, 0]);
}
