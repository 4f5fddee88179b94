//! How long answers take and which requests get none, in every output: the test itself is client and server, so it knows
//! both to the packet, and the times from its own clock.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use common::netns::Pair;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, both_families_at_once};
use serde_json::Value;

both_families_at_once!(times);

fn talk(pair: &Pair, ip: Ip, client: u16, server: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, client)),
        pair.b.udp(pair.b.addr(ip, server)),
    )
}

/// A request in a connection of its own, as dig makes one; whether it is answered.
fn request(pair: &Pair, client: u16, server: &std::net::UdpSocket, answered: bool) {
    let client = pair.a.udp(pair.a.addr(Ip::V4, client));
    let mut talk = Talk::new(client, server.try_clone().unwrap());
    talk.ask(40);
    if answered {
        talk.answer(80);
    }
}

fn flow<'a>(records: &'a [Value], talk: &Talk) -> &'a Value {
    let port = talk.client.local_addr().unwrap().port();
    let mut of = records.iter().filter(|record| record["src_port"] == port);
    of.next().unwrap_or_else(|| panic!("{port}: {records:#?}"))
}

/// Nobody is seen to ask: as where the requests go past the queue, or another way.
#[test]
#[ignore = "root"]
fn what_shows_only_answers_is_marked() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    let talk = talk(&pair, Ip::V4, 40_000, 53);
    let client = talk.client.local_addr().unwrap();
    let server = pair.b.udp(pair.b.addr(Ip::V4, 123));
    for _ in 0..3 {
        server.send_to(b"answer", client).unwrap();
        assert_eq!(talk.client.recv(&mut [0; 16]).unwrap(), 6);
    }
    let finished = udptrack.stop().success();
    let records = finished.records();
    let flows: Vec<&Value> = records
        .iter()
        .filter(|record| record["event_type"] == "flow")
        .collect();
    // Which end is the originator depends on whether there was time to put it right.
    let [only] = flows[..] else {
        panic!("{flows:#?}")
    };
    assert_eq!(only["udptrack"]["answers_only"], true, "{only:#}");
    assert_eq!(only["udptrack"].get("response"), None, "{only:#}");
    assert_eq!(only["in_iface"], pair.a.iface(), "{only:#}");
    assert_eq!(finished.assert_books().tracked.packets, 3);
}

/// A server answers from another port, as those of TFTP do, right before the run ends: at its last tick there was nothing to be told.
#[test]
#[ignore = "root"]
fn an_answer_from_elsewhere_is_one_at_the_end_of_a_run() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j", "-d", "1m"]);
    let mut asked = talk(&pair, Ip::V4, 40_000, 69);
    asked.ask(30);
    let client = asked.client.local_addr().unwrap();
    let transfer = pair.b.udp(pair.b.addr(Ip::V4, 50_000));
    transfer.send_to(b"block", client).unwrap();
    assert_eq!(asked.client.recv(&mut [0; 16]).unwrap(), 5);
    let records = udptrack.stop().success().records();
    let flows: BTreeMap<u64, &Value> = records
        .iter()
        .filter(|record| record["event_type"] == "flow" && record["src_port"] == 40_000)
        .map(|record| (record["dest_port"].as_u64().unwrap(), record))
        .collect();
    assert_eq!(flows.keys().copied().collect::<Vec<_>>(), [69, 50_000]);
    let response = &flows[&69]["udptrack"]["response"];
    assert_eq!([&response["asked"], &response["answered"]], [1, 1]);
    let counts = &flows[&50_000]["flow"];
    assert_eq!([&counts["pkts_toserver"], &counts["pkts_toclient"]], [0, 1]);
}

/// The server waits before it answers. On the wire the answer takes no less than the server held it, and no more than the
/// client waited for it: both are known for each request.
fn times(ip: Ip) {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    let mut slow = talk(&pair, ip, 45_000, 4000);
    let (mut held, mut waited) = (Vec::new(), Vec::new());
    for pause in [1, 20, 5, 60] {
        let asked = Instant::now();
        slow.ask(50);
        let received = Instant::now();
        thread::sleep(Duration::from_millis(pause));
        held.push(received.elapsed());
        slow.answer(60);
        waited.push(asked.elapsed());
    }
    slow.ask(50);
    let asked_slow = Instant::now();
    let mut silent = talk(&pair, ip, 45_001, 4001);
    silent.ask(50);
    let asked_silent = Instant::now();
    silent.ask(50);
    thread::sleep(Duration::from_millis(30));
    let waits = [asked_slow, asked_silent].map(|asked| asked.elapsed());
    let finished = udptrack.stop().success();
    finished.assert_books();
    let records = finished.records();

    let own = &flow(&records, &slow)["udptrack"];
    let of = |name: &str| {
        let ns = own["response"][name].as_u64();
        Duration::from_nanos(ns.unwrap_or_else(|| panic!("{name} in {own}")))
    };
    let requests = |own: &Value| {
        ["asked", "answered", "lost", "waiting", "retries"]
            .map(|name| own["response"][name].clone())
    };
    assert_eq!(requests(own), [5, 4, 0, 1, 0].map(Value::from));
    let sum = of("sum_ns");
    assert!(
        sum >= held.iter().sum() && sum <= waited.iter().sum(),
        "{own}: {held:?} {waited:?}"
    );
    for (name, held, waited) in [
        ("min_ns", held.iter().min(), waited.iter().min()),
        ("max_ns", held.iter().max(), waited.iter().max()),
    ] {
        assert!(
            of(name) >= *held.unwrap() && of(name) <= *waited.unwrap(),
            "{name} in {own}"
        );
    }
    assert_eq!(of("mean_ns"), sum / 4);
    let histogram: Vec<u64> = own["response"]["histogram"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .collect();
    assert_eq!((histogram.len(), histogram.iter().sum::<u64>()), (20, 4));
    let first = Duration::from_nanos(own["first_reply_ns"].as_u64().unwrap());
    assert!(first >= held[0] && first <= waited[0], "{own}");
    assert_eq!(
        (&own["orig_ttl"], &own["reply_ttl"]),
        (&64.into(), &64.into())
    );
    let both = [own, &flow(&records, &silent)["udptrack"]];
    for (waiting, at_least) in both.into_iter().zip(waits) {
        let waited = Duration::from_nanos(waiting["waiting_ns"].as_u64().unwrap());
        assert!(
            waited >= at_least && waited < Duration::from_secs(60),
            "{waiting}"
        );
    }
    let silent = &flow(&records, &silent)["udptrack"];
    // The second packet came at once: a copy.
    assert_eq!(requests(silent), [1, 0, 0, 1, 0].map(Value::from));
    assert_eq!(silent["response"].get("min_ns"), None);
    assert_eq!(silent.get("reply_ttl"), None);
}

/// Rows of the latest table in what was written, by their server or port: each cell under its header.
fn rows(lines: &[String]) -> BTreeMap<String, BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    let start = lines
        .iter()
        .rposition(|line| line.starts_with("STATE "))
        .unwrap_or_else(|| panic!("{lines:#?}"));
    let header = cells(&lines[start]);
    lines[start + 1..]
        .iter()
        .take_while(|line| !line.starts_with("seen "))
        .map(|line| {
            let row = cells(line);
            assert_eq!(row.len(), header.len(), "{line}");
            (row[1].clone(), header.iter().cloned().zip(row).collect())
        })
        .collect()
}

fn numbers(row: &BTreeMap<String, String>) -> [&str; 6] {
    ["STATE", "CONNS", "CLIENTS", "ASKED", "LOST", "RETRIES"].map(|header| row[header].as_str())
}

/// The roles of what begins in the first two seconds are guessed: it may have been there before.
fn wait_until_beginnings_are_seen(udptrack: &mut Udptrack) {
    udptrack.wait_for_lines("two seconds of it", 25, |line| line.starts_with("seen "));
}

/// One server drops every third request of new clients, one every third of the same client, which asks again; one is dead,
/// one is well and in no row. All of it is still told when every connection has ended.
#[test]
#[ignore = "root"]
fn servers_that_leave_requests_unanswered() {
    let pair = Pair::new();
    let arguments = ["-n", "--udp-timeout", "1s", "-d", "100ms"];
    let mut all = vec!["unanswered", "-i", pair.a.iface()];
    all.extend(arguments);
    let mut udptrack = Udptrack::start(&pair.a, &all);
    wait_until_beginnings_are_seen(&mut udptrack);
    let server = |port| pair.b.udp(pair.b.addr(Ip::V4, port));
    let [dropping, well, dead] = [4000, 4001, 4002].map(server);
    for number in 1..=30 {
        request(&pair, 10_000 + number, &dropping, number % 3 != 0);
        request(&pair, 11_000 + number, &well, true);
    }
    for number in 1..=4 {
        request(&pair, 12_000 + number, &dead, false);
    }
    let mut again = talk(&pair, Ip::V4, 45_000, 4003);
    for number in 1..=12 {
        again.ask(40);
        if number % 3 != 0 {
            again.answer(80);
        } else {
            // It asks again after a time in which others were answered.
            thread::sleep(Duration::from_millis(50));
        }
    }
    udptrack.wait_for_line("that every connection has ended", |line| {
        line.starts_with("seen ") && line.contains("; table 0 of ") && !line.starts_with("seen 0 ")
    });
    let finished = udptrack.stop().success();
    let shown = rows(&finished.stdout);
    let name = |port| pair.b.addr(Ip::V4, port).to_string();
    assert_eq!(
        shown.keys().cloned().collect::<Vec<_>>(),
        [name(4000), name(4002), name(4003)]
    );
    assert_eq!(
        numbers(&shown[&name(4000)]),
        ["LOSSY", "30", "1", "30", "33%", "0"]
    );
    assert_eq!(
        numbers(&shown[&name(4002)]),
        ["DEAD", "4", "1", "4", "100%", "0"]
    );
    // Three of the four that got no answer were asked again.
    assert_eq!(
        numbers(&shown[&name(4003)]),
        ["LOSSY", "1", "1", "12", "33%", "3"]
    );
    assert!(
        shown.values().all(|row| row["WAITING"] == "-"),
        "{shown:#?}"
    );
    // The worst first.
    let last: Vec<_> = finished.stdout.iter().rev().take(4).rev().collect();
    let order: Vec<_> = last[..3]
        .iter()
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(order, [name(4002), name(4000), name(4003)]);
    assert!(
        finished
            .stderr
            .contains("connections: 65 new, 65 ended, 0 live"),
        "{}",
        finished.stderr
    );
}

const NOTHING: &str = "No server has left requests unanswered so far.";

/// A request that waits for more than a second is shown until it is answered; a state is only given to what is over.
#[test]
#[ignore = "root"]
fn a_request_that_waits_long_is_shown() {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(
        &pair.a,
        &["unanswered", "-i", pair.a.iface(), "-d", "100ms"],
    );
    wait_until_beginnings_are_seen(&mut udptrack);
    udptrack.wait_for_line("that nothing is unanswered", |line| line == NOTHING);
    let mut talk = talk(&pair, Ip::V6, 45_000, 4000);
    talk.ask(40);
    let server = pair.b.addr(Ip::V6, 4000).to_string();
    udptrack.wait_for_line("the server", |line| line.contains(&server));
    talk.answer(40);
    udptrack.wait_for_line("the answer", |line| line == NOTHING);
    let finished = udptrack.stop().success();
    let first = finished
        .stdout
        .iter()
        .position(|line| line.contains(&server))
        .unwrap();
    let waited = &rows(&finished.stdout[..=first])[&server];
    assert_eq!(numbers(waited), ["ok", "1", "1", "1", "0%", "0"]);
    assert!(waited["WAITING"].starts_with("1."), "{waited:?}");
}

/// A row for each server in JSON and CSV alike, with what has ended.
#[test]
#[ignore = "root"]
fn groups_are_records() {
    let pair = Pair::new();
    let (well, dead) = (
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
        pair.b.udp(pair.b.addr(Ip::V4, 53)),
    );
    let arguments = |output| {
        [
            "-i",
            pair.a.iface(),
            "-o",
            output,
            "--by",
            "server",
            "-d",
            "200ms",
        ]
    };
    let runs = ["json", "csv"].map(|output| Udptrack::start(&pair.a, &arguments(output)));
    for number in 1..=3 {
        request(&pair, 40_000 + number, &well, true);
    }
    request(&pair, 41_000, &dead, false);
    let is_dead = |line: &str| line.contains(":53") && line.contains("dead");
    let [json, csv] = runs.map(|mut run| {
        run.wait_for_line("that it is dead", is_dead);
        run.stop().success()
    });
    let of = |record: &Value, port: u16| record["udptrack"]["port"] == port;
    let records = json.records();
    let last = |port| {
        let mut records = records.iter().rev();
        records.find(|record| of(record, port)).unwrap()
    };
    assert_eq!(last(4000)["event_type"], "server");
    let own = &last(4000)["udptrack"];
    assert_eq!(own["group"], pair.b.addr(Ip::V4, 4000).to_string());
    assert_eq!(
        (&own["state"], &own["connections"]),
        (&"ok".into(), &3.into())
    );
    assert_eq!((&own["pkts_in"], &own["pkts_out"]), (&3.into(), &3.into()));
    let response = &own["response"];
    assert_eq!(
        (&response["asked"], &response["answered"]),
        (&3.into(), &3.into())
    );
    let own = &last(53)["udptrack"];
    assert_eq!(
        (&own["state"], &own["response"]["lost"]),
        (&"dead".into(), &1.into())
    );
    assert!(records.iter().all(|record| record["event_type"] != "flow"));
    let text = csv.stdout.join("\n");
    let rows: Vec<BTreeMap<String, String>> = csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .unwrap();
    let last = |port: &str| rows.iter().rev().find(|row| row["port"] == port).unwrap();
    let words = [
        "event_type",
        "state",
        "connections",
        "asked",
        "answered",
        "lost",
    ];
    assert_eq!(
        words.map(|column| last("4000")[column].as_str()),
        ["server", "ok", "3", "3", "3", "0"]
    );
    assert_eq!(
        words.map(|column| last("53")[column].as_str()),
        ["server", "dead", "1", "1", "0", "1"]
    );
}

#[test]
#[ignore = "root"]
fn groups_are_sorted_and_cut() {
    let pair = Pair::new();
    let arguments = [
        "-i",
        pair.a.iface(),
        "-o",
        "table",
        "--by",
        "port",
        "--sort",
        "bytes",
        "--top",
        "2",
        "-n",
        "-d",
        "100ms",
    ];
    let mut udptrack = Udptrack::start(&pair.a, &arguments);
    wait_until_beginnings_are_seen(&mut udptrack);
    let servers: Vec<_> = (4000..4003)
        .map(|port| pair.b.udp(pair.b.addr(Ip::V4, port)))
        .collect();
    let mut talks: Vec<Talk> = (0..6)
        .map(|index| {
            let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000 + index));
            let server = &servers[usize::from(index % 3)];
            Talk::new(client, server.try_clone().unwrap())
        })
        .collect();
    for (index, talk) in talks.iter_mut().enumerate() {
        for _ in 0..=index % 3 {
            talk.turn();
        }
    }
    // The books are read after the rows: what passes between is in the next table.
    udptrack.wait_for_lines("all of it", 2, |line| line.starts_with("seen 24 pkts "));
    let finished = udptrack.stop().success();
    let last: Vec<_> = finished.stdout.iter().rev().take(3).rev().collect();
    let ports = last[..2]
        .iter()
        .map(|line| line.split_whitespace().nth(1).unwrap());
    assert_eq!(ports.collect::<Vec<_>>(), ["4002", "4001"], "{last:#?}");
    let shown = rows(&finished.stdout);
    assert_eq!(numbers(&shown["4002"]), ["ok", "2", "1", "6", "0%", "0"]);
    assert_eq!(
        (&*shown["4001"]["IN PKTS"], &*shown["4001"]["OUT PKTS"]),
        ("4", "4")
    );
}

/// Only ends of connections that are as asked for, whichever the output.
#[test]
#[ignore = "root"]
fn ends_are_chosen_by_status() {
    for (arguments, line) in [
        (
            vec!["--status", "unreplied"],
            "UDP END: {} -> {} (STOPPED) 1 pkts 82 B -> 0 pkts 0 B <-",
        ),
        (
            vec!["-o", "csv", "--status", "UNREPLIED"],
            "timestamp,event_type,event,",
        ),
        (
            vec!["-j", "--status", "UNREPLIED"],
            "\"status\":\"UNREPLIED\"",
        ),
    ] {
        let pair = Pair::new();
        let mut all = vec!["-i", pair.a.iface()];
        all.extend(&arguments);
        let udptrack = Udptrack::start(&pair.a, &all);
        let (mut silent, mut answered) = (
            talk(&pair, Ip::V4, 45_000, 4000),
            talk(&pair, Ip::V4, 45_001, 4001),
        );
        silent.ask(40);
        answered.turn();
        let finished = udptrack.stop().success();
        let ends = |talk: &Talk| {
            [&talk.client, &talk.server].map(|socket| socket.local_addr().unwrap().to_string())
        };
        let [client, server] = ends(&silent);
        let expected = line.replacen("{}", &client, 1).replacen("{}", &server, 1);
        assert!(finished.stdout[0].contains(&expected), "{finished:#?}");
        let about = |port: u16| {
            let port = port.to_string();
            finished
                .stdout
                .iter()
                .filter(|line| line.contains(&port))
                .count()
        };
        assert_eq!((about(45_000), about(45_001)), (1, 0), "{finished:#?}");
    }
}

/// The letter of the line stands up to the first reply; what several answers took comes after it.
#[test]
#[ignore = "root"]
fn ends_in_a_trace_tell_the_response_times() {
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-e", "end"]);
    let mut several = talk(&pair, Ip::V4, 45_000, 4000);
    for _ in 0..3 {
        several.turn();
    }
    several.ask(100);
    let mut one = talk(&pair, Ip::V4, 45_001, 4001);
    one.turn();
    let finished = udptrack.stop().success();
    let [several, one] = &finished.stdout[..] else {
        panic!("{finished:#?}");
    };
    let (counts, rest) = several.split_once(" first reply ").unwrap();
    assert!(
        counts.ends_with("4 pkts 568 B -> 3 pkts 726 B <-"),
        "{several}"
    );
    let words: Vec<_> = rest.split(' ').collect();
    assert_eq!(
        [words[1], words[2], words[4]],
        ["response", "median", "max"],
        "{several}"
    );
    assert_eq!(words[6..], ["answers", "3", "waiting", "1"], "{several}");
    assert_eq!(
        one.split_once(" first reply ")
            .unwrap()
            .1
            .split(' ')
            .count(),
        1,
        "{one}"
    );
}

/// A header, and a row for each connection, with the numbers of the JSON.
#[test]
#[ignore = "root"]
fn csv_has_a_row_for_each_connection() {
    let pair = Pair::new();
    let mut udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-o", "csv"]);
    udptrack.wait_for_line("the header", |line| {
        line.starts_with("timestamp,event_type,event,flow_id,")
    });
    let mut talks = [
        talk(&pair, Ip::V4, 45_000, 4000),
        talk(&pair, Ip::V6, 45_001, 4001),
    ];
    for talk in &mut talks {
        talk.turn();
        talk.turn();
    }
    let finished = udptrack.stop().success();
    let text = finished.stdout.join("\n");
    let rows: Vec<BTreeMap<String, String>> = csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len(), 2);
    for (row, talk) in rows.iter().zip(&talks) {
        let (connection, sent) = talk.entry();
        let end = |ip: &str, port: &str| {
            SocketAddr::new(row[ip].parse().unwrap(), row[port].parse().unwrap())
        };
        assert_eq!(end("src_ip", "src_port"), connection.source);
        assert_eq!(end("dest_ip", "dest_port"), connection.destination);
        let number = |column: &str| {
            row[column]
                .parse::<u64>()
                .unwrap_or_else(|_| panic!("{column}: {row:#?}"))
        };
        assert_eq!(
            (number("pkts_toserver"), number("bytes_toserver")),
            (sent.toserver.packets, sent.toserver.bytes)
        );
        assert_eq!(
            (number("pkts_toclient"), number("bytes_toclient")),
            (sent.toclient.packets, sent.toclient.bytes)
        );
        assert_eq!((number("answered"), number("orig_ttl")), (2, 64));
        assert!(number("response_min_ns") <= number("response_max_ns"));
        assert_eq!(number("response_sum_ns") / 2, number("response_mean_ns"));
        let kinds =
            ["event", "status", "end_reason", "in_iface", "waiting_ns"].map(|column| &*row[column]);
        assert_eq!(kinds, ["end", "REPLIED", "STOPPED", pair.a.iface(), ""]);
    }
    // The books are for standard error alone.
    assert!(finished.stderr.contains("seen"));
}
