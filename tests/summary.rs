//! The last lines of a run: which servers it was about, above the books.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::Ip;
use common::netns::Pair;
use common::run::Udptrack;
use common::traffic::Talk;

/// A server that answers, one that never does, one that loses every third request, and a closed port.
#[test]
#[ignore = "root"]
fn a_run_ends_with_its_servers_above_the_books() {
    let pair = Pair::new();
    let flags = ["-i", pair.a.iface(), "-n", "-j", "--udp-timeout", "1s"];
    let mut udptrack = Udptrack::start(&pair.a, &flags);
    let server = |port| pair.b.udp(pair.b.addr(Ip::V4, port));
    let mut well = Talk::new(pair.a.udp(pair.a.addr(Ip::V4, 40_000)), server(4000));
    for _ in 0..50 {
        well.turn();
    }
    let (dead, lossy) = (server(4001), server(4002));
    for number in 0..6 {
        // A client for each request: each has one alone.
        let client = |port: u16| pair.a.udp(pair.a.addr(Ip::V4, port + number));
        let mut silent = Talk::new(client(40_010), dead.try_clone().unwrap());
        silent.ask(100);
        let mut lost = Talk::new(client(40_020), lossy.try_clone().unwrap());
        lost.ask(100);
        if number % 3 != 0 {
            lost.answer(100);
        }
    }
    let closed = pair.a.udp(pair.a.addr(Ip::V4, 40_030));
    let nobody = pair.b.addr(Ip::V4, 4003);
    closed.send_to(&[1; 32], nobody).unwrap();
    // Each is over: what still waited is lost.
    udptrack.wait_for_lines("the ends", 14, |line| line.contains("\"event\":\"end\""));
    let finished = udptrack.stop().success();
    assert!(!finished.stderr.contains("BALANCE"), "{finished:?}");
    let summary = |word: &str| {
        let mut lines = finished.stderr.lines();
        let line = lines.find(|line| line.split(' ').next() == Some(word));
        let words: Vec<&str> = line.expect(word).split_whitespace().skip(1).collect();
        words.join(" ")
    };
    let server = pair.b.ip(Ip::V4);
    // 50 requests of 142 bytes, 50 answers of 242.
    assert_eq!(
        summary("busiest"),
        format!("{server}:4000 19.2 kB, 100 packets")
    );
    assert_eq!(
        summary("dead"),
        format!("{server}:4001 asked 6, lost 6 (100.0 %)")
    );
    assert_eq!(
        summary("lossy"),
        format!("{server}:4002 asked 6, lost 2 (33.3 %)")
    );
    assert_eq!(
        summary("refused"),
        format!("{server}:4003 asked 1, answered 0")
    );
    let slowest = summary("slowest");
    assert!(
        slowest.contains("median") && slowest.contains("p95"),
        "{slowest}"
    );
    let order: Vec<&str> = finished
        .stderr
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|word| ["busiest", "dead", "lossy", "refused", "slowest", "seen"].contains(word))
        .collect();
    assert_eq!(
        order,
        ["busiest", "dead", "lossy", "refused", "slowest", "seen"]
    );
}

/// Nothing was seen: nothing is said of servers. And nothing at all where it is to be quiet.
#[test]
#[ignore = "root"]
fn what_has_nothing_is_left_out() {
    let pair = Pair::new();
    for (flags, lines) in [(vec!["-q"], 0), (vec![], 1)] {
        let flags = [
            &["-i", pair.a.iface(), "-j", "--duration", "1ms"],
            &flags[..],
        ]
        .concat();
        let finished = Udptrack::spawn(&pair.a, &flags).wait().success();
        let books = finished
            .stderr
            .lines()
            .filter(|line| line.starts_with("seen"));
        assert_eq!(books.count(), lines, "{finished:?}");
        assert!(!finished.stderr.contains("busiest"), "{finished:?}");
    }
}
