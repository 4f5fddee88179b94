//! The command line from outside: what is refused and how, what is listed, what the records hold.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use common::Ip;
use common::TempDir;
use common::netns::{Netns, Pair};
use common::run::{Finished, Udptrack};
use common::traffic::Talk;
use serde_json::Value;

fn udptrack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udptrack"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_has_examples_and_every_flag() {
    let output = udptrack(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let help = text(&output.stdout);
    for flag in [
        "-i, --iface",
        "--hook",
        "--xdp-mode",
        "--no-egress",
        "-D, --list-interfaces",
        "-o, --output",
        "-j, --json",
        "-e, --events",
        "-q, --quiet",
        "-v, --verbose",
        "-d, --delay",
        "--duration",
        "-c, --count",
        "--max-connections",
        "--max-ips",
        "--udp-timeout",
        "--stream-timeout",
        "-h, --help",
        "-V, --version",
    ] {
        assert!(help.contains(flag), "{flag} is not in:\n{help}");
    }
    let examples: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Examples:")
        .filter_map(|line| line.trim().strip_prefix("sudo udptrack "))
        .collect();
    assert!(examples.len() >= 3, "{help}");
    assert!(help.contains("Exit status: 0 fine, 1 it failed, 2 wrong usage."));
}

/// Each example is taken by the program itself: none is refused as wrong usage.
#[test]
#[ignore = "root"]
fn examples_of_the_help_work() {
    let netns = Netns::new("examples");
    let help = udptrack(&["--help"]);
    for line in text(&help.stdout).lines() {
        let Some(example) = line.trim().strip_prefix("sudo udptrack ") else {
            continue;
        };
        let words = example
            .split("   ")
            .next()
            .unwrap()
            .split(['>', '|'])
            .next();
        let mut arguments: Vec<_> = words
            .unwrap()
            .split_whitespace()
            .map(|word| if word == "eth0" { "lo" } else { word })
            .collect();
        if !arguments.contains(&"--duration") {
            arguments.extend(["--duration", "1ms"]);
        } else if let Some(time) = arguments.iter_mut().find(|word| **word == "10s") {
            *time = "1ms";
        }
        let finished = Udptrack::spawn(&netns, &arguments).wait().success();
        assert!(finished.stderr.contains("seen") || example.contains("-q"));
    }
}

#[test]
fn version_is_that_of_the_package() {
    for flag in ["-V", "--version"] {
        let output = udptrack(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        let version = concat!("udptrack ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(text(&output.stdout), version);
    }
}

/// Status 2, the flag and the range on standard error, nothing on standard output.
#[test]
fn what_is_out_of_range_is_refused() {
    for (arguments, said) in [
        (vec!["--max-connections", "0"], "1..=67108864"),
        (vec!["--max-connections", "67108865"], "1..=67108864"),
        (vec!["--max-connections", "many"], "--max-connections"),
        (vec!["--max-ips", "0"], "1..=16777216"),
        (vec!["--max-ips", "4294967296"], "1..=16777216"),
        (vec!["--delay", "99ms"], "100ms and 1h"),
        (vec!["-d", "3601"], "100ms and 1h"),
        (vec!["--udp-timeout", "999ms"], "1s and 1day"),
        (vec!["--stream-timeout", "25h"], "1s and 1day"),
        (vec!["--duration", "0"], "1ms and"),
        (vec!["--count", "0"], "--count"),
        (vec!["--hook", "tx"], "auto, xdp, tc"),
        (vec!["-o", "xml"], "trace, table, json"),
        (vec!["-e", "new,old"], "new, data, end"),
        (vec!["--hook", "tc", "--xdp-mode", "native"], "--xdp-mode"),
        (vec!["-q", "-v"], "--quiet"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["-i"], "--iface"),
    ] {
        let output = udptrack(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "");
        let message = text(&output.stderr);
        assert!(message.contains(said), "{arguments:?}: {message}");
    }
}

#[test]
#[ignore = "root"]
fn an_unknown_interface_is_told_what_exists() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    for arguments in [vec!["-i", "eth7"], vec!["-i", iface, "-i", "eth7"]] {
        let finished = Udptrack::spawn(&pair.a, &arguments).wait().failure(1);
        assert_eq!(finished.stdout, Vec::<String>::new());
        assert_eq!(
            finished.stderr,
            format!("udptrack: no interface named \"eth7\" here. There are: lo, {iface}")
        );
    }
}

#[test]
#[ignore = "root"]
fn without_a_name_it_takes_the_default_route() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let finished = Udptrack::spawn(&pair.a, &[]).wait().failure(1);
    assert_eq!(
        finished.stderr,
        format!(
            "udptrack: there is no default route to take the interface from. Name one with -i: lo, {iface}, or any"
        )
    );
    for (ip, gateway) in [
        (Ip::V6, pair.b.ip(Ip::V6).to_string()),
        (Ip::V4, pair.b.ip(Ip::V4).to_string()),
    ] {
        pair.a.ip_batch(&format!("route add default via {gateway}"));
        let udptrack = Udptrack::start(&pair.a, &["-j"]);
        let mut talk = Talk::new(
            pair.a.udp(pair.a.addr(ip, 5000)),
            pair.b.udp(pair.b.addr(ip, 4000)),
        );
        talk.turn();
        let finished = udptrack.stop().success();
        assert_eq!(finished.connections(), [talk.entry()].into());
    }
}

/// One error, which says the way out; not a word of the libraries below.
#[test]
#[ignore = "root"]
fn without_rights_it_says_what_is_missing() {
    let pair = Pair::new();
    let directory = TempDir::new("rights");
    let program = directory.path().join("udptrack");
    fs::copy(env!("CARGO_BIN_EXE_udptrack"), &program).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let output = pair
            .a
            .command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(arguments)
            .output()
            .expect("setpriv (package util-linux) runs");
        let code = output.status.code();
        let text = |bytes: &[u8]| text(bytes).to_owned();
        (code, text(&output.stdout), text(&output.stderr))
    };
    for hook in ["auto", "xdp", "tc"] {
        let (code, stdout, stderr) = as_nobody(&["-i", pair.a.iface(), "--hook", hook]);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("udptrack: "), "{stderr}");
        for word in ["not permitted", "root", "cap_bpf", "cap_net_admin"] {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    }
    // Looking needs no rights.
    let (code, stdout, _) = as_nobody(&["-D"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
}

#[test]
#[ignore = "root"]
fn interfaces_are_listed_with_their_addresses() {
    let pair = Pair::new();
    let port = &pair.a.ports[0];
    pair.a.ip_batch(&format!("link set {} down", port.iface));
    let finished = Udptrack::spawn(&pair.a, &["-D"]).wait().success();
    let lines: Vec<Vec<&str>> = finished
        .stdout
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["lo", "up", "127.0.0.1", "::1"]);
    // The kernel takes IPv6 addresses away from an interface that goes down.
    assert_eq!(lines[1], [&*port.iface, "down", &port.v4.to_string()]);
    assert_eq!(lines.len(), 2);
    assert_eq!(finished.stderr, "");
}

/// The tables are asked for only if they fit: a machine is not to be pushed to its limits by a number.
#[test]
#[ignore = "root"]
fn tables_that_do_not_fit_are_refused() {
    let netns = Netns::new("memory");
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    // What the largest flags come to, about 25 GB; a larger machine takes them.
    if kilobytes > 24_000_000 {
        eprintln!("SKIPPED: this machine has room for the largest tables there are");
        return;
    }
    let arguments = [
        "-i",
        "lo",
        "--max-connections",
        "67108864",
        "--max-ips",
        "16777216",
    ];
    let finished = Udptrack::spawn(&netns, &arguments).wait().failure(1);
    let messages = finished.messages();
    assert_eq!(messages.len(), 1, "{finished:#?}");
    assert!(
        messages[0].starts_with("the tables for 67108864 connections and 16777216 addresses need "),
        "{messages:?}"
    );
    assert!(
        messages[0].ends_with("Choose a smaller --max-connections or --max-ips"),
        "{messages:?}"
    );
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

fn talked(arguments: &[&str]) -> (Finished, Talk) {
    let pair = Pair::new();
    let mut all = vec!["-i", pair.a.iface(), "-o", "json"];
    all.extend(arguments);
    let udptrack = Udptrack::start(&pair.a, &all);
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(Ip::V6, 5000)),
        pair.b.udp(pair.b.addr(Ip::V6, 4000)),
    );
    talk.turn();
    (udptrack.stop().success(), talk)
}

/// One record for the connection, one for the books, with the names and forms that readers of EVE know.
#[test]
#[ignore = "root"]
fn records_have_the_form_of_eve() {
    let (finished, talk) = talked(&[]);
    let records = finished.records();
    let [flow, stats] = &records[..] else {
        panic!("{records:#?}");
    };
    let common = "timestamp event_type flow_id in_iface src_ip src_port dest_ip dest_port proto ip_v community_id \
                  flow udptrack";
    assert_eq!(keys(flow), common.split_whitespace().collect());
    let counts =
        "pkts_toserver pkts_toclient bytes_toserver bytes_toclient start end age state reason";
    assert_eq!(keys(&flow["flow"]), counts.split_whitespace().collect());
    let own = "event conn_id status end_reason first_reply_ns";
    assert_eq!(keys(&flow["udptrack"]), own.split_whitespace().collect());
    let (key, _) = talk.entry();
    assert_eq!(flow["event_type"], "flow");
    assert_eq!(flow["proto"], "UDP");
    assert_eq!(flow["ip_v"], 6);
    assert_eq!(flow["src_ip"], key.source.ip().to_string());
    assert_eq!(flow["dest_port"], 4000);
    assert!(flow["flow_id"].as_u64().unwrap() < 1 << 53);
    assert!(flow["community_id"].as_str().unwrap().starts_with("1:"));
    assert_eq!(flow["flow"]["state"], "established");
    assert_eq!(flow["flow"]["reason"], "shutdown");
    assert_eq!(flow["flow"]["age"], 0);
    assert!(flow["udptrack"]["first_reply_ns"].as_u64().unwrap() > 0);
    for time in [
        &flow["timestamp"],
        &flow["flow"]["start"],
        &flow["flow"]["end"],
    ] {
        // 2026-04-07T22:24:37.251547+0100
        let form = time.as_str().unwrap().replace(char::is_numeric, "0");
        let (moment, zone) = form.split_at(26);
        assert_eq!(moment, "0000-00-00T00:00:00.000000");
        assert!(["+0000", "-0000"].contains(&zone), "{time}");
    }
    assert_eq!(stats["event_type"], "stats");
    let books = "seen tracked skipped interfaces events_lost connections ip_table_full addresses";
    assert_eq!(keys(&stats["stats"]), books.split_whitespace().collect());
    let reasons = "not-ip not-udp fragment-without-head truncated malformed too-deep other-interface table-full \
                   collision closing map-error";
    let reasons: BTreeSet<&str> = reasons.split_whitespace().collect();
    assert!(keys(&stats["stats"]["skipped"]).is_superset(&reasons));
    assert_eq!(stats["stats"]["connections"]["new"], 1);
    assert_eq!(stats["stats"]["connections"]["live"], 1);
}

/// The kinds that `-e` names, in the order in which things happened; the last record is always that of the books.
#[test]
#[ignore = "root"]
fn records_are_of_the_kinds_asked_for() {
    for (events, expected) in [
        ("new", vec!["new"]),
        ("end", vec!["end"]),
        ("new,end", vec!["new", "end"]),
    ] {
        let (finished, talk) = talked(&["-e", events]);
        let records = finished.records();
        let (last, flows) = records.split_last().unwrap();
        assert_eq!(last["event_type"], "stats");
        let kinds: Vec<_> = flows
            .iter()
            .map(|record| record["udptrack"]["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, expected);
        let client = talk.client.local_addr().unwrap();
        let ids: BTreeSet<_> = flows
            .iter()
            .map(|record| record["udptrack"]["conn_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), 1);
        assert!(
            flows
                .iter()
                .all(|record| record["src_port"] == client.port())
        );
    }
}

#[test]
#[ignore = "root"]
fn updates_come_with_the_delay_while_there_is_traffic() {
    let pair = Pair::new();
    let arguments = ["-i", pair.a.iface(), "-j", "-e", "data", "-d", "100ms"];
    let mut udptrack = Udptrack::start(&pair.a, &arguments);
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, 5000)),
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
    );
    for turns in 1..=3 {
        talk.turn();
        let line = udptrack.wait_for_line("an update", |line| {
            line.contains(&format!(
                "\"pkts_toserver\":{turns},\"pkts_toclient\":{turns},"
            ))
        });
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["udptrack"]["event"], "update");
        assert!(
            record["udptrack"]["rates"]["2s"]["pkts_toserver"]
                .as_f64()
                .unwrap()
                > 0.0
        );
        assert!(record["flow"].get("reason").is_none());
    }
    let finished = udptrack.stop().success();
    // One update for each turn, or two where it was made between a question and its answer; none while it was silent.
    let updates = finished.stdout.len() - 1;
    assert!((3..=6).contains(&updates), "{finished:#?}");
}
