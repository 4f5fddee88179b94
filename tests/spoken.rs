//! What connections speak, told by what real programs say: on any port, and not where only the port would have it so.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::bpffs::Bpffs;
use common::netns::Pair;
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::{Ip, SOON, TempDir, at_once, patient, wait_for};
use nix::sys::signal::Signal;
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
const RTP: (Option<&str>, Option<&str>, bool) = (None, Some("rtp"), false);
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

/// A WebRTC call of aiortc: its media come after ICE and DTLS, and so after the first datagrams. Also of a capture of it.
#[test]
#[ignore = "root"]
fn a_webrtc_call_is_rtp() {
    let (pair, bpffs, folder) = (Pair::new(), Bpffs::new(), TempDir::new("call"));
    let file = folder.path().join("call.pcap");
    let mut tcpdump = pair.a.command("tcpdump");
    tcpdump
        .args([
            "-i",
            pair.a.iface(),
            "--immediate-mode",
            "-U",
            "-Z",
            "root",
            "-w",
        ])
        .arg(&file);
    let tcpdump = Process::start(&mut tcpdump);
    wait_for("tcpdump", SOON, || {
        tcpdump.stderr().contains("listening").then_some(())
    });
    let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    command.args(["-i", pair.a.iface(), "-j", "-n", "--name", "call"]);
    let udptrack = Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1);
    let ends = [(&pair.a, "call"), (&pair.b, "answer")].map(|(netns, role)| {
        const ROOT: &str = env!("CARGO_MANIFEST_DIR");
        let mut end = netns.command(format!("{ROOT}/target/test-programs/python/bin/python3"));
        end.arg(format!("{ROOT}/tests/spoken/call.py"));
        Process::start(end.arg(role).arg(folder.path()))
    });
    wait_for("media", patient(SOON), || {
        let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
        let list = Process::run(command.args(["list", "-j", "--name", "call"]));
        let records = records(&list.stdout);
        let mut flows = records.iter();
        flows.any(|flow| spoken(flow) == RTP).then_some(())
    });
    // A second of the capture may begin later than one of the run: it has some more.
    thread::sleep(Duration::from_secs(4));
    for end in ends {
        drop(end.stop(Signal::SIGKILL));
    }
    let finished = udptrack.stop().success();
    drop(tcpdump.stop(Signal::SIGINT));
    let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    command.args(["-j", "-n", "-r"]).arg(&file);
    let replayed = Udptrack::spawn_command(&mut command, usize::MAX)
        .wait()
        .success();
    for finished in [&finished, &replayed] {
        finished.assert_books();
        // ICE tries several ways, and the media take one.
        let records = finished.records();
        let flows = records.iter().filter(|record| record["flow"].is_object());
        let packets = |flow: &&Value| flow["flow"]["pkts_toserver"].as_u64().unwrap();
        assert_eq!(spoken(flows.max_by_key(packets).unwrap()), RTP);
    }
    assert_eq!(sent(&finished), sent(&replayed));
}

/// What each end has sent to which other one: packets and bytes. Both begin at once, and who was first may look different to tcpdump.
fn sent(finished: &Finished) -> BTreeMap<[String; 2], [u64; 2]> {
    let records = finished.records();
    let flows = records.iter().filter(|record| record["flow"].is_object());
    let both = flows.flat_map(|flow| {
        let end = |ip: &str, port: &str| format!("{} {}", flow[ip], flow[port]);
        let (source, destination) = (end("src_ip", "src_port"), end("dest_ip", "dest_port"));
        let count = |name: &str| flow["flow"][name].as_u64().unwrap();
        [
            (
                [source.clone(), destination.clone()],
                ["pkts_toserver", "bytes_toserver"].map(count),
            ),
            (
                [destination, source],
                ["pkts_toclient", "bytes_toclient"].map(count),
            ),
        ]
    });
    both.collect()
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
