//! Metrics beside a real Prometheus: what it has is what udptrack says, and nobody who connects can disturb either.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::netns::Pair;
use common::process::Process;
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

const LISTEN: &str = "10.88.0.1:9435";

fn start(pair: &Pair, flags: &[&str]) -> Udptrack {
    let arguments = ["-i", pair.a.iface(), "-o", "json", "--metrics", LISTEN];
    Udptrack::start(&pair.a, &[&arguments, flags].concat())
}

fn talk(pair: &Pair, port: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, port)),
        pair.b.udp(pair.b.addr(Ip::V4, port - 41_000)),
    )
}

fn curl(pair: &Pair, arguments: &[&str]) -> String {
    let mut command = pair.a.command("curl");
    Process::run(command.args(["-s", "--max-time", "20"]).args(arguments)).stdout
}

/// A page that is younger than the traffic before.
fn page(pair: &Pair) -> String {
    // Scrapes within a second share one.
    std::thread::sleep(Duration::from_millis(1100));
    curl(pair, &["-f", &format!("http://{LISTEN}/metrics")])
}

/// The sum of a metric over all its labels that have these words in them.
fn value(page: &str, name: &str, labels: &[&str]) -> u64 {
    let lines = page.lines().filter(|line| {
        let metric = line.split(['{', ' ']).next();
        metric == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .map(|value| format!("{value}").parse::<u64>().unwrap())
        .sum()
}

fn assert_balanced(page: &str) {
    for unit in ["packets", "bytes"] {
        let of = |what: &str| value(page, &format!("udptrack_{what}_{unit}_total"), &[]);
        assert_eq!(of("seen"), of("tracked") + of("skipped"), "{page}");
    }
}

/// promtool has nothing to say against a page, nor against the rules in docs/.
#[test]
#[ignore = "root"]
fn promtool_likes_it() {
    let pair = Pair::new();
    let udptrack = start(&pair, &["-p"]);
    talk(&pair, 45_000).turn();
    let page = page(&pair);
    let directory = TempDir::new("promtool");
    let mut promtool =
        Process::start(Command::new(directory.program("promtool")).args(["check", "metrics"]));
    promtool.write(&page);
    promtool.close_stdin();
    let checked = promtool.wait(SOON).success("promtool");
    assert_eq!(checked.stdout + &checked.stderr, "");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.yml");
    let mut promtool = Command::new(directory.program("promtool"));
    let checked = Process::run(promtool.args(["check", "rules", rules]));
    assert!(checked.stdout.contains("12 rules found"), "{checked:?}");
    let process = page
        .lines()
        .find(|line| line.starts_with("udptrack_process_connections{"));
    assert!(process.unwrap().contains("metrics"), "{process:?}");
    let _ = udptrack.stop().success();
}

/// What a real Prometheus has scraped is what udptrack says at its end.
#[test]
#[ignore = "root"]
fn prometheus_has_every_packet() {
    let pair = Pair::new();
    // Connections end and nothing that was counted goes away.
    let udptrack = start(&pair, &["--udp-timeout", "1s"]);
    let directory = TempDir::new("prometheus");
    let configuration = directory.file(
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: udptrack\n  static_configs:\n  - targets: ['{LISTEN}']\n"
        ),
    );
    let listen = "127.0.0.1:9090";
    let prometheus = Process::start(
        pair.a
            .command(directory.program("prometheus"))
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={listen}")),
    );
    let mut expected = 0;
    for port in 45_000..45_010 {
        let mut talk = talk(&pair, port);
        for _ in 45_000..port {
            talk.turn();
        }
        talk.ask(10);
        expected += talk.total().packets;
    }
    let query = |text: &str| -> Option<u64> {
        let url = format!("http://{listen}/api/v1/query");
        let mut command = pair.a.command("curl");
        let arguments = ["-s", "--max-time", "5", "-G", &url, "--data-urlencode"];
        let output = command
            .args(arguments)
            .arg(format!("query={text}"))
            .output()
            .ok()?;
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    wait_for("all packets in Prometheus", SOON, || {
        (query("sum(udptrack_tracked_packets_total)")? == expected).then_some(())
    });
    wait_for("all ends in Prometheus", SOON, || {
        (query("sum(udptrack_connections_ended_total)")? == 10).then_some(())
    });
    let scraped = [
        "sum(udptrack_seen_packets_total)",
        "sum(udptrack_seen_bytes_total)",
        "sum(udptrack_tracked_bytes_total)",
        "sum(udptrack_response_time_seconds_count)",
        "sum(udptrack_requests_total)",
        "udptrack_connections_new_total",
    ]
    .map(|text| query(text).unwrap_or_else(|| panic!("{text}")));
    let _ = prometheus.stop(Signal::SIGTERM);
    let finished = udptrack.stop().success();
    let stats = finished.assert_books();
    assert_eq!(stats.tracked.packets, expected);
    let answered = 45;
    assert_eq!(
        scraped,
        [
            stats.seen.packets,
            stats.seen.bytes,
            stats.tracked.bytes,
            answered,
            answered + 10,
            10
        ]
    );
}

/// Each page balances, also while packets come; no counter goes down.
#[test]
#[ignore = "root"]
fn pages_under_traffic_balance() {
    let pair = Pair::new();
    let udptrack = start(&pair, &["--udp-timeout", "1s"]);
    let mut before = 0;
    for round in 0..4 {
        let mut talk = talk(&pair, 45_000 + round);
        for _ in 0..200 {
            talk.turn();
        }
        let page = page(&pair);
        assert_balanced(&page);
        let answered = value(&page, "udptrack_response_time_seconds_count", &[]);
        assert_eq!(answered, u64::from(round + 1) * 200);
        let tracked = value(&page, "udptrack_tracked_packets_total", &[]);
        assert_eq!(tracked, before + 400);
        before = tracked;
    }
    let _ = udptrack.stop().success();
}

/// Half-open clients, endless headers, garbage and a thousand connections: packets are counted, and scraped soon after.
#[test]
#[ignore = "root"]
fn hostile_clients_disturb_nothing() {
    let pair = Pair::new();
    let udptrack = start(&pair, &[]);
    let address: SocketAddr = LISTEN.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, SOON).unwrap();
    let mut talk = talk(&pair, 45_000);
    // Who holds connections open does not lock out who comes next.
    let idle: Vec<TcpStream> = pair.a.enter(|| (0..100).map(|_| connect()).collect());
    assert_balanced(&page(&pair));
    drop(idle);
    let mut clients: Vec<TcpStream> = pair.a.enter(|| (0..1000).map(|_| connect()).collect());
    talk.turn();
    for (index, client) in clients.iter_mut().enumerate() {
        // Those that were turned away cannot be written to.
        let _ = match index % 3 {
            0 => client.write_all(b"GET /metrics HTTP/1.1\r\nX-Endless: "),
            1 => client.write_all(&[0xff; 4096]),
            _ => Ok(()),
        };
    }
    talk.turn();
    wait_for("a page while they are still there", SOON, || {
        let mut command = pair.a.command("curl");
        let url = format!("http://{LISTEN}/metrics");
        let output = command
            .args(["-s", "-f", "--max-time", "5", &url])
            .output()
            .unwrap();
        output.status.success().then_some(())
    });
    drop(clients);
    let mut endless = pair.a.enter(connect);
    endless.set_read_timeout(Some(SOON)).unwrap();
    endless.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    while endless
        .write_all(b"X-Header: 0123456789012345678901234567890123456789\r\n")
        .is_ok()
    {}
    // It was refused or cut off.
    let mut answer = Vec::new();
    let _ = endless.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    talk.turn();
    assert_eq!(
        value(&page(&pair), "udptrack_tracked_packets_total", &[]),
        6
    );
    let status = |arguments: &[&str]| {
        let format = ["-o", "/dev/null", "-w", "%{http_code}"];
        curl(&pair, &[&format, arguments].concat())
    };
    let url = |path: &str| format!("http://{LISTEN}{path}");
    assert_eq!(status(&[&url("/secret")]), "404");
    assert_eq!(status(&["-X", "POST", &url("/metrics")]), "405");
    assert_eq!(status(&["-I", &url("/metrics")]), "200");
    assert_eq!(status(&[&url("/")]), "200");
    assert_eq!(
        udptrack.stop().success().connections(),
        [talk.entry()].into()
    );
}

/// An address that is taken, or another machine's, is an error before anything is attached.
#[test]
#[ignore = "root"]
fn an_address_that_cannot_be_had_is_an_error() {
    let pair = Pair::new();
    let first = start(&pair, &[]);
    for listen in [LISTEN, "10.88.0.2:9435"] {
        let refused = Udptrack::spawn(&pair.a, &["-i", pair.a.iface(), "--metrics", listen]).wait();
        let message = format!("cannot listen on --metrics {listen}");
        assert!(refused.failure(1).stderr.contains(&message));
    }
    let _ = first.stop().success();
}
