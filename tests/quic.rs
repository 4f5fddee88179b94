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

use common::netns::Pair;
use common::run::Udptrack;
use common::{Ip, at_once};
use peer::{ask, certificate, serve};
use serde_json::json;

const PLAIN: u16 = 4433;
const LARGE: u16 = 4434;
const RETRY: u16 = 4435;
const NOWHERE: u16 = 4436;

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
                record.expect("a record")
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
