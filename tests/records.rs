//! The JSON records of a run, from outside: their names, forms, kinds and order.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeSet;

use common::Ip;
use common::netns::Pair;
use common::run::{Finished, Udptrack};
use common::traffic::Talk;
use serde_json::Value;

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
        pair.a.udp(pair.a.addr(Ip::V6, 45_000)),
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
    let own = "event conn_id status end_reason first_reply_ns response orig_ttl reply_ttl orig_dscp reply_dscp";
    let response = "asked answered lost waiting retries min_ns mean_ns median_ns p95_ns max_ns sum_ns histogram";
    assert_eq!(
        keys(&flow["udptrack"]["response"]),
        response.split_whitespace().collect()
    );
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
    assert_eq!(
        keys(&stats["stats"]),
        "uptime capture decoder flow".split_whitespace().collect()
    );
    assert_eq!(
        stats["stats"]["decoder"]["udp"],
        stats["udptrack"]["tracked"]["pkts"]
    );
    let books = "event seen tracked skipped dropped interfaces events_lost payloads_unread connections ip_table_full \
                 addresses";
    assert_eq!(keys(&stats["udptrack"]), books.split_whitespace().collect());
    let reasons = "not-ip not-udp fragment-without-head truncated malformed too-deep filtered other-interface table-full";
    let reasons: BTreeSet<&str> = reasons.split_whitespace().collect();
    assert_eq!(keys(&stats["udptrack"]["skipped"]), reasons);
    assert_eq!(stats["udptrack"]["connections"]["new"], 1);
    assert_eq!(stats["udptrack"]["connections"]["live"], 1);
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
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
    );
    let (mut told, mut lines) = ([0, 0], 0);
    for turns in 1..=3 {
        talk.turn();
        // What was done since the one before: a turn may be told in two parts.
        while told != [turns, turns] {
            lines += 1;
            let all = udptrack.wait_for_lines("an update", lines, |_| true);
            let record: Value = serde_json::from_str(&all[lines - 1]).unwrap();
            assert_eq!(record["udptrack"]["event"], "update");
            assert!(
                record["udptrack"]["rates"]["2s"]["pkts_toserver"]
                    .as_f64()
                    .unwrap()
                    > 0.0
            );
            assert!(record["flow"].get("reason").is_none());
            for (told, count) in told.iter_mut().zip(["pkts_toserver", "pkts_toclient"]) {
                *told += record["flow"][count].as_u64().unwrap();
            }
        }
    }
    let finished = udptrack.stop().success();
    // One update for each turn, or two where it was made between a question and its answer; none while it was silent.
    let updates = finished.stdout.len() - 1;
    assert!((3..=6).contains(&updates), "{finished:#?}");
}
