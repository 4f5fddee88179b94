use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::{CsvRows, JsonLines};
use super::*;
use crate::sockets::fixture::{SECOND, snapshot};

fn device(index: u32) -> Option<String> {
    (index == 7).then(|| "eth0".to_owned())
}

fn table(change: impl Fn(&mut SocketTable<&mut Vec<u8>>), snapshots: &[Snapshot]) -> String {
    let mut out = Vec::new();
    let mut table = SocketTable::new(&mut out, device);
    change(&mut table);
    for snapshot in snapshots {
        table.snapshot(snapshot).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn what_to_do_stands_below_a_row() {
    let expected = "\
PROCESS               ADDRESS                 PEER             BUFFER  NOW  MOST  DROPS/S  NEW DROPS  ALL DROPS
statsd\\u{1b}[2J/4711  0.0.0.0:8125            192.0.2.7:4000  212,992  99%  100%      617      1,234      2,134
  raise net.core.rmem_default (212,992) to at least 1,703,936 and restart statsd\\u{1b}[2J, or set SO_RCVBUF in it to 851,968 (the kernel doubles it)
-                     [::]:4789%eth0 (vxlan)  -               212,992   0%    0%        0          0          0
2 sockets: 1,234 drops in 2.0s, 900 before
";
    let text = table(
        |table| table.services = Some(Services::parse("vxlan 4789/udp")),
        &[snapshot()],
    );
    assert_eq!(text, expected);
}

#[test]
fn a_terminal_has_one_table_of_what_fits() {
    let text = table(
        |table| {
            table.replaces = true;
            table.size = Some(|| Some((80, 6)));
        },
        &[snapshot()],
    );
    let expected = "\u{1b}[H\u{1b}[J\
PROCESS               ADDRESS       NOW  MOST  DROPS/S  NEW DROPS  ALL DROPS
statsd\\u{1b}[2J/4711  0.0.0.0:8125  99%  100%      617      1,234      2,134
  raise net.core.rmem_default (212,992) to at least 1,703,936 and restart statsd\\u{1b}[2J, or set SO_RCVBUF in it to 851,968 (the kernel doubles it)
1 of 2 sockets: 1,234 drops in 2.0s, 900 before
";
    assert_eq!(text, expected);
}

#[test]
fn tables_in_a_pipe_follow_each_other() {
    let mut none = snapshot();
    none.rows.clear();
    none.sockets = 0;
    let none_fits = none.clone();
    none.watched = 0;
    let text = table(|_| {}, &[none, none_fits]);
    assert_eq!(
        text,
        "No UDP sockets now.\n\nNo UDP sockets that fit now.\n"
    );
}

#[test]
fn small_rates_are_not_shown_as_none() {
    let rates = [0.0, 0.01, 0.25, 9.94, 9.96, 1234.5].map(rate);
    assert_eq!(rates, ["0", "<0.1", "0.2", "9.9", "10", "1,235"]);
}

fn records() -> Vec<Value> {
    let mut out = Vec::new();
    let clock = Clock::fixed(0, TimeZone::UTC, 0);
    let mut records = SocketRecords::new(JsonLines::new(&mut out), clock, device);
    records.snapshot(&snapshot()).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_record_has_what_the_table_has_and_more() {
    let records = records();
    let expected = serde_json::json!({
        "timestamp": "1970-01-01T00:00:00.000000+0000",
        "event_type": "socket",
        "proto": "UDP",
        "udptrack": {
            "event": "socket",
            "ip": "0.0.0.0",
            "port": 8125,
            "peer_ip": "192.0.2.7",
            "peer_port": 4000,
            "inode": 77,
            "process": {"pid": 4711, "command": "statsd\u{1b}[2J", "user": "root", "uid": 0},
            "receive_buffer": 212_992,
            "so_rcvbuf": false,
            "queued": 212_736,
            "queued_pkts": 277,
            "queued_max": 212_736,
            "fill_percent": 99,
            "fill_max_percent": 100,
            "drops": 2134,
            "drops_seen": 1234,
            "drop_rate": 617.0,
            "cause": "buffer",
            "burst": 1234,
            "datagram_bytes": 768,
            "stands_ns": 0,
            "behind_ns": 2 * SECOND,
            "send_buffer": 212_992,
            "sending": 0,
            "limit": "net.core.rmem_default",
            "limit_value": 212_992,
            "limit_needed": 1_703_936,
            "advice": "raise net.core.rmem_default (212,992) to at least 1,703,936 and restart statsd\u{1b}[2J, or set \
                SO_RCVBUF in it to 851,968 (the kernel doubles it)",
        },
    });
    assert_eq!(records[0], expected);
    assert_eq!(records[1]["udptrack"]["in_iface"], "eth0");
    assert_eq!(records[1]["udptrack"].get("process"), None);
    assert_eq!(records[1]["udptrack"].get("advice"), None);
}

/// Every field of a record has its column, but for `proto` and `event`, which are the same in all.
#[test]
fn a_row_has_what_a_record_has() {
    let mut out = Vec::new();
    let clock = Clock::fixed(0, TimeZone::UTC, 0);
    let mut rows = SocketRecords::new(CsvRows::sockets(&mut out).unwrap(), clock, device);
    rows.snapshot(&snapshot()).unwrap();
    rows.flush().unwrap();
    drop(rows);
    let mut reader = csv::Reader::from_reader(&out[..]);
    let names = reader.headers().unwrap().clone();
    let first = reader.records().next().unwrap().unwrap();
    let record = records().remove(0);
    let own = record["udptrack"].as_object().unwrap();
    let process = own["process"].as_object().unwrap();
    let fields = own.iter().chain(process);
    for (name, value) in fields.filter(|(name, _)| !["event", "process"].contains(&name.as_str())) {
        let at = names.iter().position(|one| one == name);
        let cell = &first[at.unwrap_or_else(|| panic!("no column {name}"))];
        let text = match value {
            Value::String(text) => Visible(text).to_string(),
            other => other.to_string(),
        };
        assert_eq!(cell, text, "{name}");
    }
}
