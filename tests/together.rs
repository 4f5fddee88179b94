//! Everything at once: udptrack feeds two collectors, Prometheus and a reader of JSON, is listed from a second terminal, and
//! all of them have the same, to the packet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::net::SocketAddr;

use common::bpffs::Bpffs;
use common::collectors::{Nfacctd, Nfcapd, said};
use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
#[ignore = "root"]
fn all_agree_to_the_packet() {
    let mut pair = Pair::new();
    let link = pair.add_link();
    let bpffs = Bpffs::new();
    let collector = |port| SocketAddr::new(pair.b.ports[link].ip(Ip::V4), port);
    let nfcapd = Nfcapd::start(&pair.b, collector(4739));
    let nfacctd = Nfacctd::start(&pair.b, collector(2055));
    let directory = TempDir::new("prometheus");
    let configuration = directory.file(
        "prometheus.yml",
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: udptrack\n  static_configs:\n  - targets: ['127.0.0.1:9435']\n",
    );
    let mut prometheus = pair.a.command(directory.program("prometheus"));
    prometheus
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().join("data").display()
        ))
        .arg("--web.listen-address=127.0.0.1:9090");
    let prometheus = Process::start(&mut prometheus);

    let file = directory.file(
        "udptrack.toml",
        &format!(
            "iface = \"{}\"\noutput = \"json\"\nprocesses = true\nactive-timeout = \"1s\"\n\
             metrics = \"127.0.0.1:9435\"\nipfix = [\"{}\", \"{}\"]\nstream-timeout = \"3s\"\nudp-timeout = \"3s\"\n",
            pair.a.iface(),
            collector(4739),
            collector(2055)
        ),
    );
    let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
    command.arg("--config").arg(file);
    let mut udptrack = Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1);

    let mut talks: Vec<Talk> = [Ip::V4, Ip::V6]
        .into_iter()
        .flat_map(|ip| (0..25).map(move |port| (ip, port)))
        .map(|(ip, port)| {
            Talk::new(
                pair.a.udp(pair.a.addr(ip, 45_000 + port)),
                pair.b.udp(pair.b.addr(ip, 9000 + port)),
            )
        })
        .collect();
    // The first half ends meanwhile, the other half goes on.
    for round in 0..40 {
        for (index, talk) in talks.iter_mut().enumerate() {
            if round < 2 || index % 2 == 0 {
                talk.turn();
                talk.ask(round);
            }
        }
        if round == 2 {
            udptrack.wait_for_lines("the ends of half of them", 25, |line| line.contains("IDLE"));
        }
    }
    let expected: u64 = talks.iter().map(|talk| talk.total().packets).sum();

    let query = |text: &str| query(&pair, text);
    wait_for("all packets in Prometheus", SOON, || {
        (query("sum(udptrack_tracked_packets_total)")? == expected).then_some(())
    });
    let bytes = query("sum(udptrack_tracked_bytes_total)").unwrap();
    let listed = bpffs
        .command(env!("CARGO_BIN_EXE_udptrack"))
        .args(["list", "-j"])
        .output()
        .unwrap();
    let _ = prometheus.stop(Signal::SIGTERM);
    let finished = udptrack.stop().success();

    let stats = finished.assert_books();
    assert_eq!(
        (stats.tracked.packets, stats.tracked.bytes),
        (expected, bytes)
    );
    assert_eq!(stats.tracked, talks.iter().map(Talk::total).sum());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let last = listed.lines().last().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["udptrack"]["tracked"]["pkts"], expected);
    assert_eq!(last["udptrack"]["connections"]["total"]["pkts"], expected);
    let ways = said(&finished);
    let packets = ways.values().map(|count| count.packets).sum();
    assert_eq!(expected, packets);
    assert_eq!(nfacctd.stop(packets), ways);
    let (nfcapd, log) = nfcapd.stop();
    assert_eq!(nfcapd, ways, "{log}");
    assert!(log.contains("Sequence Errors: 0"), "{log}");
    assert!(!finished.stderr.contains("IPFIX"), "{finished:?}");
}

/// What Prometheus has of an expression.
fn query(pair: &Pair, text: &str) -> Option<u64> {
    let url = "http://127.0.0.1:9090/api/v1/query";
    let mut command = pair.a.command("curl");
    command.args(["-s", "--max-time", "5", "-G", url]);
    command.args(["--data-urlencode", &format!("query={text}")]);
    let answer: Value = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
    answer["data"]["result"][0]["value"][1]
        .as_str()?
        .parse()
        .ok()
}
