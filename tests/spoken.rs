//! What connections speak, told by what real programs say: on any port, and not where only the port would have it so.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::bpffs::Bpffs;
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::{Ip, TempDir, at_once};
use serde_json::Value;

/// dnsmasq where nobody expects it, and where everybody does.
fn dnsmasq(pair: &Pair, ip: Ip, port: u16) -> (Process, TempDir) {
    let directory = TempDir::new("dnsmasq");
    let server = Process::serve(
        &pair.b,
        pair.b
            .command("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--user=root", "--address=/test/10.1.2.3"])
            .arg(format!("--port={port}"))
            .arg(format!("--listen-address={}", pair.b.ip(ip)))
            .arg(format!("--pid-file={}/pid", directory.path().display())),
        &[pair.b.addr(ip, port)],
    );
    (server, directory)
}

fn dig(pair: &Pair, ip: Ip, port: u16) {
    let dig = Process::run(
        pair.a
            .command("dig")
            .arg(format!("@{}", pair.b.ip(ip)))
            .args(["-p", &port.to_string()])
            .args(["+time=10", "+tries=1", "+short", "a.test"]),
    );
    assert_eq!(dig.stdout.trim(), "10.1.2.3");
}

/// What a record says is spoken, in Suricata's word, in ours, and whether that is a guess.
fn spoken(record: &Value) -> (Option<&str>, Option<&str>, bool) {
    let own = &record["udptrack"];
    (
        record["app_proto"].as_str(),
        own["protocol"].as_str(),
        own["protocol_guessed"] == true,
    )
}

const DNS: (Option<&str>, Option<&str>, bool) = (Some("dns"), Some("dns"), false);
const NOTHING: (Option<&str>, Option<&str>, bool) = (None, None, false);
const GUESS: (Option<&str>, Option<&str>, bool) = (None, Some("ntp"), true);

/// The run says it, and whoever reads its table; what is no DNS is none on port 53 either, and what says nothing is a guess.
#[test]
#[ignore = "root"]
fn what_is_said_counts_and_not_the_port() {
    at_once(
        [
            (Ip::V4, &["--hook", "tc"][..]),
            (Ip::V6, &["--hook", "xdp"]),
        ],
        |(ip, hook)| {
            let pair = Pair::new();
            let bpffs = Bpffs::new();
            let _servers = [dnsmasq(&pair, ip, 53), dnsmasq(&pair, ip, 5300)];
            let client = pair.a.udp(pair.a.addr(ip, 40_000));
            let arguments = [&["-i", pair.a.iface(), "-j", "--name", "spoken"], hook].concat();
            let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
            let udptrack =
                Udptrack::spawn_command(command.args(&arguments), usize::MAX).until_tracking(1);
            dig(&pair, ip, 53);
            dig(&pair, ip, 5300);
            let text = b"this is no message of the DNS at all";
            for (port, payload) in [(53, &text[..]), (123, b"x")] {
                client.send_to(payload, pair.b.addr(ip, port)).unwrap();
            }
            let list = common::wait_for("four connections", common::SOON, || {
                let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
                let list = Process::run(command.args(["list", "-j", "--name", "spoken"]));
                let records = records(&list.stdout);
                let is_said = records
                    .iter()
                    .filter(|record| spoken(record) == DNS)
                    .count()
                    == 2;
                (records.len() == 4 && is_said).then_some(records)
            });
            let finished = udptrack.stop().success();
            finished.assert_books();
            for records in [list, finished.records()] {
                let of = |port: u16, is_dig: bool| {
                    let mut flows = records.iter().filter(|record| {
                        let is_ours = record["src_port"] == 40_000;
                        record["dest_port"] == port && is_ours != is_dig
                    });
                    let flow = flows.next().unwrap();
                    spoken(flow)
                };
                assert_eq!(of(53, true), DNS);
                assert_eq!(of(5300, true), DNS);
                assert_eq!(of(53, false), NOTHING);
                assert_eq!(of(123, false), GUESS);
            }
        },
    );
}

/// The next connection of the same ends, which often lies where the one before did, begins with nothing.
#[test]
#[ignore = "root"]
fn what_was_said_ends_with_its_connection() {
    let pair = Pair::new();
    let arguments = ["-i", pair.a.iface(), "-j", "--udp-timeout", "1s"];
    let mut udptrack = Udptrack::start(&pair.a, &arguments);
    let server = pair.b.udp(pair.b.addr(Ip::V4, 7000));
    let client = pair.a.udp(pair.a.addr(Ip::V4, 40_000));
    // A binding request (RFC 8489 5): type, no attributes, cookie, id.
    let stun = b"\0\x01\0\0\x21\x12\xa4\x42an id of 12.";
    for (number, payload) in [&stun[..], b"x"].into_iter().enumerate() {
        client
            .send_to(payload, server.local_addr().unwrap())
            .unwrap();
        udptrack.wait_for_lines("its end", number + 1, |line| line.contains("IDLE"));
    }
    let finished = udptrack.stop().success();
    let records = finished.records();
    let flows = records
        .iter()
        .filter(|record| record["event_type"] == "flow");
    let flows: Vec<_> = flows.map(spoken).collect();
    assert_eq!(flows, [(None, Some("stun"), false), NOTHING]);
}

fn records(lines: &str) -> Vec<Value> {
    let records = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    records
        .filter(|record: &Value| record.get("flow").is_some())
        .collect()
}
