//! QUIC of real programs: what captures of their first datagrams say (see tests/captures/quic/make.py), and what a run says of them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "quic/captures.rs"]
mod captures;
mod common;
#[path = "quic/peer.rs"]
mod peer;
#[path = "quic/relay.rs"]
mod relay;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use common::cgroup::ControlGroup;
use common::generator::{Generator, Pattern, is_possible};
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::{Ip, SOON, at_once};
use peer::{ask, certificate, peer, serve, serve_at};
use relay::relay;
use serde_json::{Value, json};

const PLAIN: u16 = 4433;
const LARGE: u16 = 4434;
const RETRY: u16 = 4435;
const NOWHERE: u16 = 4436;

/// So much later each datagram comes to the other side of a relay, each way: near the client, and near the server.
const LATER: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(12)];

/// A client and a server that spin their bit, with a relay at each end of the link, in which a datagram takes its time.
#[test]
#[ignore = "root"]
fn the_spin_bit_tells_round_trips() {
    let pair = Pair::new();
    let certificate = certificate();
    let local: SocketAddr = ([127, 0, 0, 1], 5000).into();
    let server: SocketAddr = ([127, 0, 0, 1], PLAIN).into();
    let far = pair.b.addr(Ip::V4, PLAIN + 1);
    let _server = serve_at(&pair, server, &certificate, &[]);
    relay(&pair.b, far, server, LATER[1]);
    relay(&pair.a, local, far, LATER[0]);
    let arguments = ["-i", pair.a.iface(), "--hook", "tc", "-d", "1s", "-j"];
    let mut udptrack = Udptrack::start(&pair.a, &[&arguments[..], &["-e", "data,end"]].concat());
    let mut client = peer(&pair.a);
    client.args(["ask", "127.0.0.1", "5000", "--long"]);
    let mut client = Process::start(&mut client);
    udptrack.wait_for_line("a round trip", |line| line.contains("round_trip"));
    client.close_stdin();
    let _ = client.wait(SOON).success("the client");
    let finished = udptrack.stop().success();
    finished.assert_books();
    let records = finished.records();
    let told = |record: &&Value| record["udptrack"]["quic"]["round_trip"]["min_ns"].is_u64();
    let mut count = 0;
    for record in records.iter().filter(told) {
        count += 1;
        assert_eq!(record["dest_port"], far.port());
        let ns = |key: &str| {
            let ns = record["udptrack"]["quic"]["round_trip"][key].as_u64();
            // They are kept to one part in a thousand.
            Duration::from_nanos(ns.unwrap() * 1001 / 1000)
        };
        let [near, far] = LATER.map(|later| later * 2);
        assert!(ns("originator_ns") >= near, "{record}");
        assert!(ns("responder_ns") >= far, "{record}");
        assert!(ns("min_ns") >= near + far, "{record}");
        assert!(ns("median_ns") >= ns("min_ns"), "{record}");
    }
    assert!(count > 0);
}

/// Each handshake is told, also where a walk over the table takes so long that each tick does a part of it: meanwhile it gets a tenth of
/// a processor.
#[test]
#[ignore = "root"]
fn none_is_forgotten_among_very_many() {
    const OTHERS: u64 = 100_000;
    const EACH_TIME: u16 = 20;
    const TIMES: u16 = 8;
    let Some(group) = ControlGroup::new("cpu").filter(|_| is_possible()) else {
        return;
    };
    let pair = Pair::new();
    let own = ["-i", pair.b.iface(), "--hook", "xdp", "-j", "-e", "quic"];
    let room = ["--max-connections", "262144"];
    let mut udptrack = Udptrack::start(&pair.b, &[&own[..], &room].concat());
    let nowhere = pair.b.addr(Ip::V4, NOWHERE);
    let others = Pattern::sources(OTHERS);
    Generator::new(&pair.a, pair.a.iface(), nowhere, others, 0).run(OTHERS);
    let digested = format!("\"kernel_packets\":{OTHERS}}}");
    udptrack.wait_for_line("all others", |line| line.contains(&digested));
    group.add(udptrack.pid());
    group.limit_time(10);
    let server = pair.b.udp(pair.b.addr(Ip::V4, PLAIN));
    let [first, answer] = captures::first_datagrams();
    let mut expected = BTreeSet::new();
    for time in 0..TIMES {
        for number in 0..EACH_TIME {
            let port = 40_000 + time * EACH_TIME + number;
            let client = pair.a.udp(pair.a.addr(Ip::V4, port));
            client
                .send_to(&first, server.local_addr().unwrap())
                .unwrap();
            let (_, from) = server.recv_from(&mut [0; 2048]).unwrap();
            server.send_to(&answer, from).unwrap();
            expected.insert(port);
            // Below the budget of what is read.
            thread::sleep(Duration::from_millis(5));
        }
        // While other parts of the table are walked over.
        thread::sleep(Duration::from_millis(700));
    }
    let is_told = |port: u16| move |line: &str| line.contains(&format!("\"src_port\":{port},"));
    group.limit_time(100);
    for port in &expected {
        udptrack.wait_for_line("a handshake", is_told(*port));
    }
    let finished = udptrack.stop().success();
    let records = finished.records();
    let quic = records
        .iter()
        .filter(|record| record["event_type"] == "quic");
    let mut told: Vec<_> = quic
        .map(|record| {
            assert_eq!(record["quic"]["sni"], "www.example.org");
            u16::try_from(record["src_port"].as_u64().unwrap()).unwrap()
        })
        .collect();
    told.sort_unstable();
    assert!(told.into_iter().eq(expected));
}

/// Connections are told, their servers named, and those that go on from another port tied to what they were.
#[test]
#[ignore = "root"]
fn real_connections_are_told_and_named() {
    at_once(
        [
            (Ip::V4, &["--hook", "tc"][..]),
            (Ip::V6, &["--hook", "xdp"]),
        ],
        |(ip, hook)| {
            let pair = Pair::new();
            let certificate = certificate();
            let _servers = [(PLAIN, &[][..]), (LARGE, &[]), (RETRY, &["--retry"])]
                .map(|(port, more)| serve(&pair, ip, port, &certificate, more));
            let start = |more: &[&str]| {
                let own = ["-i", pair.a.iface()];
                Udptrack::start(&pair.a, &[&own[..], more].concat())
            };
            let mut json = start(&[hook, &["-j", "-e", "end,quic"]].concat());
            let by_server = ["--by", "server", "-o", "table", "-d", "1s"];
            let mut table = start(&[&["--hook", "tc"], &by_server[..]].concat());
            let moving = ["--rebind", "40003"];
            let asked = [
                (PLAIN, 40_000, "plain.example.org", &moving[..]),
                (LARGE, 40_001, "large.example.org", &["--large"]),
                (RETRY, 40_002, "retry.example.org", &[]),
            ];
            for (port, from, name, more) in asked {
                ask(&pair, ip, port, (from, name), more);
            }
            // Nobody listens there: it ends before the rest of its handshake is given up.
            let refused = pair.a.udp(pair.a.addr(ip, 40_005));
            let nowhere = pair.b.addr(ip, NOWHERE);
            refused
                .send_to(&captures::first_datagram(), nowhere)
                .unwrap();
            for (port, _, name, _) in asked {
                let server = format!(" {}", pair.b.addr(ip, port));
                let is_named = |line: &str| {
                    let words = [&server, " quic h3 ", &format!(" {name} ")];
                    words.iter().all(|word| line.contains(*word))
                };
                table.wait_for_line(name, is_named);
            }
            let _ = table.stop().success();
            json.wait_for_line("what was asked of nobody", |line| {
                let words = [
                    "\"quic\"",
                    "\"src_port\":40005,",
                    "\"sni\":\"www.example.org\"",
                ];
                words.iter().all(|word| line.contains(word))
            });
            let finished = json.stop().success();
            finished.assert_books();
            let records = finished.records();
            let of = |kind: &str, port: u16| {
                let mut all = records.iter().filter(|record| record["event_type"] == kind);
                let record = all.find(|record| record["src_port"] == port);
                record.unwrap_or_else(|| panic!("no {kind} of {port}: {}", finished.stderr))
            };
            for (port, from, name, _) in asked {
                let (flow, quic) = (of("flow", from), of("quic", from));
                let [own, said] = [flow, quic].map(|record| &record["udptrack"]);
                assert_eq!(flow["app_proto"], "quic");
                assert_eq!(own["protocol"], "quic");
                assert_eq!(own.get("protocol_guessed"), None);
                assert_eq!(own.get("may_continue"), None);
                assert_eq!(quic["quic"], json!({"version": "1", "sni": name}));
                assert_eq!(said["conn_id"], own["conn_id"]);
                assert_eq!(said["alpn"], json!(["h3"]));
                assert_eq!(said["retry"] == true, port == RETRY);
            }
            assert_eq!(of("flow", 40_005)["udptrack"]["end_reason"], "UNREACH");
            let [first, second] = [40_000, 40_003].map(|port| &of("flow", port)["udptrack"]);
            assert_eq!(second["may_continue"], first["conn_id"]);
            assert_ne!(second["conn_id"], first["conn_id"]);
            // Its own datagrams show no more than the id.
            assert_eq!(second["protocol"], "quic");
            assert_eq!(second.get("protocol_guessed"), None);
            let said = &of("quic", 40_003)["udptrack"];
            assert_eq!(said["may_continue"], first["conn_id"]);
        },
    );
}
