//! Alerts on real traffic: a flood, a scan, an amplification; each named one is raised once, with who it is about, and ordinary
//! traffic raises none. `--exec` gets the values, and nothing in them is ever run.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use common::frames;
use common::netns::{Injector, Pair};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, wait_for};
use serde_json::Value;

const ALL: [&str; 6] = [
    "--alert",
    "udp-flood",
    "--alert",
    "port-scan",
    "--alert",
    "amplification",
];

fn start(pair: &Pair, flags: &[&str]) -> Udptrack {
    let arguments = ["-i", pair.a.iface(), "-o", "json"];
    Udptrack::start(&pair.a, &[&arguments, flags].concat())
}

fn talk(pair: &Pair, from: u16, to: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, from)),
        pair.b.udp(pair.b.addr(Ip::V4, to)),
    )
}

/// The alerts of a run: name, state, group.
fn alerts(finished: &Finished) -> Vec<(String, String, String)> {
    let records = finished.records();
    let alerts = records
        .iter()
        .filter(|record| record["udptrack"]["event"] == "alert");
    assert_rows(alerts.clone());
    alerts
        .map(|record| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let begins = record["udptrack"]["state"] == "begin";
            let event_type = if begins { "alert" } else { "alert_end" };
            assert_eq!(record["event_type"], event_type);
            assert!(record["alert"]["signature_id"].as_u64().unwrap() >= 1_000_000);
            assert_eq!(record["alert"]["action"], "allowed");
            (
                text(&record["udptrack"]["rule"]),
                text(&record["udptrack"]["state"]),
                text(&record["udptrack"]["group"]),
            )
        })
        .collect()
}

/// `EveBox` puts alerts of one number and pair of addresses into a row: there are as many as rules and groups.
fn assert_rows<'a>(alerts: impl Iterator<Item = &'a Value> + Clone) {
    let groups: BTreeSet<[String; 2]> = alerts
        .clone()
        .map(|alert| {
            [&alert["udptrack"]["rule"], &alert["udptrack"]["group"]].map(Value::to_string)
        })
        .collect();
    let rows: BTreeSet<[String; 3]> = alerts
        .map(|alert| {
            [
                &alert["alert"]["signature_id"],
                &alert["src_ip"],
                &alert["dest_ip"],
            ]
        })
        .map(|row| row.map(Value::to_string))
        .collect();
    assert_eq!(rows.len(), groups.len(), "{rows:?}");
}

fn begin(name: &str, group: &str) -> (String, String, String) {
    (name.to_owned(), "begin".to_owned(), group.to_owned())
}

fn is_alert(line: &str) -> bool {
    line.contains("\"event\":\"alert\"")
}

/// Many clients ask one port, and nobody answers.
#[test]
#[ignore = "root"]
fn a_flood_is_told() {
    let pair = Pair::new();
    let mut udptrack = start(&pair, &[&ALL[..], &["--max-connections", "20000"]].concat());
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    let to = server.local_addr().unwrap();
    // In one go: the rule wants more than 5,000 of them in ten seconds.
    pair.a.enter(|| {
        for port in 10_000..16_000 {
            let client = UdpSocket::bind(pair.a.addr(Ip::V4, port)).unwrap();
            client.send_to(b"flood", to).unwrap();
        }
    });
    udptrack.wait_for_line("the alert", is_alert);
    let finished = udptrack.stop().success();
    assert_eq!(alerts(&finished), [begin("udp-flood", "10.88.0.2:4000")]);
    let said: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.contains("ALERT"))
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("udptrack: ALERT udp-flood: unreplied "),
        "{said:?}"
    );
    assert!(
        said[0].ends_with("/s > 500/s by server 10.88.0.2:4000"),
        "{said:?}"
    );
    finished.assert_books();
}

/// One client asks many ports.
#[test]
#[ignore = "root"]
fn a_scan_is_told() {
    let pair = Pair::new();
    let mut udptrack = start(&pair, &ALL);
    let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
    // What comes in the first two seconds may have been there before.
    thread::sleep(Duration::from_millis(2100));
    for port in 1..=150 {
        client.send_to(b"scan", pair.b.addr(Ip::V4, port)).unwrap();
    }
    udptrack.wait_for_line("the alert", is_alert);
    let finished = udptrack.stop().success();
    assert_eq!(alerts(&finished), [begin("port-scan", "10.88.0.1")]);
}

/// Small requests, large answers.
#[test]
#[ignore = "root"]
fn an_amplification_is_told() {
    let pair = Pair::new();
    let mut udptrack = start(&pair, &ALL);
    let mut victim = talk(&pair, 45_000, 123);
    for _ in 0..100 {
        victim.ask(8);
        victim.answer(1400);
    }
    udptrack.wait_for_line("the alert", is_alert);
    let finished = udptrack.stop().success();
    assert_eq!(alerts(&finished), [begin("amplification", "10.88.0.2:123")]);
}

/// One server answers nothing, one loses a half of the requests, one is well, and to one nobody looks for an answer.
#[test]
#[ignore = "root"]
fn a_dead_and_a_lossy_server_are_told() {
    let pair = Pair::new();
    let rules = ["dead by server", "lost > 5% by server"];
    let flags = ["--alert", rules[0], "--alert", rules[1]];
    let mut udptrack = start(&pair, &flags);
    let servers = [53, 4001, 4002, 514].map(|port| pair.b.udp(pair.b.addr(Ip::V4, port)));
    // A connection for each request, as dig makes one.
    let talk = |client: u16, server: &UdpSocket| {
        let client = pair.a.udp(pair.a.addr(Ip::V4, client));
        client.connect(server.local_addr().unwrap()).unwrap();
        Talk::new(client, server.try_clone().unwrap())
    };
    let mut talks = Vec::new();
    for number in 0..4 {
        talks.push((talk(20_000 + number, &servers[0]), false));
        talks.push((talk(21_000 + number, &servers[1]), number % 2 == 0));
        talks.push((talk(22_000 + number, &servers[2]), true));
        talks.push((talk(23_000 + number, &servers[3]), false));
    }
    for (talk, is_answered) in &mut talks {
        talk.ask(40);
        if *is_answered {
            talk.answer(80);
        }
    }
    udptrack.wait_for_lines("both alerts", 3, is_alert);
    let finished = udptrack.stop().success();
    let mut told = alerts(&finished);
    told.sort();
    assert_eq!(
        told,
        [
            begin(rules[0], "10.88.0.2:53"),
            begin(rules[1], "10.88.0.2:4001"),
            begin(rules[1], "10.88.0.2:53")
        ]
    );
    // How many were lost when it was raised depends on where the tick fell; the run's own counts do not.
    for line in [
        "ALERT dead by server 10.88.0.2:53: ",
        "dead     10.88.0.2:53 (domain)  asked 4, lost 4 (100.0 %)",
        "lossy    10.88.0.2:4001         asked 4, lost 2 (50.0 %)",
    ] {
        assert!(finished.stderr.contains(line), "{}", finished.stderr);
    }
    finished.assert_books();
}

/// Queries and answers of real programs, many of them, raise nothing.
#[test]
#[ignore = "root"]
fn ordinary_traffic_raises_nothing() {
    let pair = Pair::new();
    let directory = TempDir::new("dnsmasq");
    let address = pair.b.addr(Ip::V4, 53);
    let mut dnsmasq = pair.b.command("dnsmasq");
    dnsmasq
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ])
        .args([
            "--bind-interfaces",
            "--user=root",
            "--address=/test/10.1.2.3",
        ])
        .arg(format!("--listen-address={}", address.ip()))
        .arg(format!("--pid-file={}/pid", directory.path().display()));
    let _server = Process::serve(&pair.b, &mut dnsmasq, &[address]);
    let udptrack = start(&pair, &ALL);
    let names: Vec<String> = (0..300).map(|n| format!("n{n}.test A")).collect();
    let list = directory.file("names", &names.join("\n"));
    let mut dig = pair.a.command("dig");
    dig.arg(format!("@{}", address.ip()))
        .args(["+short", "-f"])
        .arg(list);
    let answers = Process::run(&mut dig).stdout;
    assert_eq!(
        answers.lines().filter(|line| *line == "10.1.2.3").count(),
        300
    );
    // Two looks later.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let finished = udptrack.stop().success();
    assert_eq!(alerts(&finished), []);
    assert_eq!(finished.assert_books().tracked.packets, 600);
}

/// A command has the values in its environment, at the beginning and at the end. A process's name with signs of a shell in it is
/// text.
#[test]
#[ignore = "root"]
fn commands_get_the_values_and_run_nothing_in_them() {
    let pair = Pair::new();
    let directory = TempDir::new("exec");
    let out = directory.path().join("out");
    let script = directory.file(
        "page",
        &format!(
            "#!/bin/sh\nenv | grep ^UDPTRACK_ | sort >>{0}\necho \"$1\" >>{0}\n",
            out.display()
        ),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let exec = format!("{} $(touch%20x)", script.display());
    let rule = "new > 2.9/s by process over 2s";
    let mut udptrack = start(&pair, &["--alert", rule, "--exec", &exec]);
    // A client whose name would do harm in a shell.
    let client = directory.copy("/usr/bin/socat", "$(reboot)");
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    let clients: Vec<Process> = (0..6)
        .map(|_| {
            let mut command = pair.a.command(&client);
            let mut client = Process::start(command.args(["-t5", "-", "UDP:10.88.0.2:4000"]));
            client.write("hello\n");
            client
        })
        .collect();
    let mut buffer = [0; 64];
    for _ in 0..6 {
        server.recv(&mut buffer).unwrap();
    }
    udptrack.wait_for_lines("the beginning and the end", 2, is_alert);
    let text = wait_for("both commands", SOON, || {
        let text = std::fs::read_to_string(&out).ok()?;
        (text.matches("$(touch%20x)").count() == 2).then_some(text)
    });
    for line in [
        format!("UDPTRACK_ALERT={rule}"),
        "UDPTRACK_BY=process".to_owned(),
        "UDPTRACK_GROUP=$(reboot)".to_owned(),
        "UDPTRACK_MEASURE=new".to_owned(),
        "UDPTRACK_STATE=begin".to_owned(),
        "UDPTRACK_STATE=end".to_owned(),
        "UDPTRACK_THRESHOLD=2.9".to_owned(),
        "UDPTRACK_UNIT=/s".to_owned(),
        "UDPTRACK_VALUE=3".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    drop(clients);
    let finished = udptrack.stop().success();
    let states: Vec<String> = alerts(&finished)
        .into_iter()
        .map(|(_, state, _)| state)
        .collect();
    assert_eq!(states, ["begin", "end"]);
}

/// An attacker chooses sources, so groups, so alerts: they start ten commands, and a call tells of all others.
#[test]
#[ignore = "root"]
fn groups_that_are_made_up_start_few_commands() {
    const SOURCES: u8 = 40;
    let pair = Pair::new();
    let directory = TempDir::new("budget");
    let out = directory.path().join("out");
    let script = directory.file(
        "page",
        &format!(
            "#!/bin/sh\necho \"$UDPTRACK_STATE $UDPTRACK_BEGAN\" >>{}\n",
            out.display()
        ),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let rule = "packets > 0/s by orig over 60s";
    let exec = script.to_str().unwrap();
    let mut udptrack = start(&pair, &["--alert", rule, "--exec", exec]);
    let attacker = Injector::new(&pair.b, pair.b.iface());
    for source in 1..=SOURCES {
        let source = SocketAddr::from(([198, 51, 100, source], 4000));
        attacker.send(&frames::udp(source, pair.a.addr(Ip::V4, 4000), b"x"));
    }
    udptrack.wait_for_lines("all alerts", SOURCES.into(), is_alert);
    let _ = udptrack.stop().success();
    let calls = wait_for("all of them in calls", SOON, || {
        let text = std::fs::read_to_string(&out).ok()?;
        let calls: Vec<(String, u64)> = text
            .lines()
            .filter_map(|line| {
                let (state, began) = line.split_once(' ')?;
                Some((state.to_owned(), began.parse().ok()?))
            })
            .collect();
        let told: u64 = calls.iter().map(|(_, began)| began).sum();
        (told == u64::from(SOURCES)).then_some(calls)
    });
    let of = |state: &str| calls.iter().filter(|(it, _)| it == state).count();
    assert!((1..=10).contains(&of("begin")), "{calls:?}");
    // When there is something to tell, and at the end.
    assert!((1..=2).contains(&of("summary")), "{calls:?}");
    assert_eq!(of("begin") + of("summary"), calls.len(), "{calls:?}");
}

/// A rule that is wrong is wrong usage, with a caret below the place.
#[test]
#[ignore = "root"]
fn a_wrong_rule_is_shown_where_it_is_wrong() {
    let pair = Pair::new();
    let wrong = Udptrack::spawn(
        &pair.a,
        &["-i", pair.a.iface(), "--alert", "new > 5 by colour"],
    );
    let stderr = wrong.wait().failure(2).stderr;
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(
        lines[0].contains("wrong alert: unknown group `colour`"),
        "{stderr}"
    );
    assert_eq!(lines[1..], ["  new > 5 by colour", "             ^"]);
    let missing = [
        "-i",
        pair.a.iface(),
        "-j",
        "--alert",
        "new > 0/s",
        "--exec",
        "/nonexistent",
    ];
    let mut udptrack = Udptrack::start(&pair.a, &missing);
    talk(&pair, 45_000, 4000).turn();
    udptrack.wait_for_message("that it cannot be run", |line| {
        line.contains("cannot run --exec /nonexistent")
    });
    let _ = udptrack.stop().success();
}
