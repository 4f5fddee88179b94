//! Records are compared to the letter, and parsed back to be compared with the contract's list of keys.

mod alerts;

use std::net::IpAddr;

use serde_json::Value;

use super::super::fixture::{
    ALL_KINDS, Closed, ETH0, Interfaces, Owned, SECOND, clock, counts, event, owner, report, sample,
};
use super::super::records::{Choice, Records};
use super::super::{Kinds, Output};
use super::*;
use crate::listing::Query;
use crate::model::{
    ConnectionId, End, EndReason, EventKind, Facts, Field, Heard, Ifindex, Owner, Parts, Protocol,
    Role, RoundTrip, Status, Table, Timeouts, TrafficClass, UnreadPayloads, Vlans,
};

type Json<'a> = Records<JsonLines<&'a mut Vec<u8>>>;

fn json(out: &mut Vec<u8>, kinds: Kinds) -> Json<'_> {
    let choice = Choice {
        kinds,
        ..Choice::default()
    };
    Records::new(JsonLines::new(out), clock(), choice)
}

const FLOW_KEYS: [&str; 15] = [
    "timestamp",
    "event_type",
    "flow_id",
    "in_iface",
    "src_ip",
    "src_port",
    "dest_ip",
    "dest_port",
    "proto",
    "app_proto",
    "ip_v",
    "vlan",
    "community_id",
    "flow",
    "udptrack",
];

fn lines(kinds: Kinds, write: impl FnOnce(&mut Json<'_>) -> io::Result<()>) -> Vec<String> {
    let mut out = Vec::new();
    write(&mut json(&mut out, kinds)).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn line(write: impl FnOnce(&mut Json<'_>) -> io::Result<()>) -> String {
    let lines = lines(ALL_KINDS, write);
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

/// The top-level keys in the order in which they were written: parsed with a reader that keeps it.
fn keys(json: &str) -> Vec<String> {
    struct Keys;
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde::de::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(json), Keys)
        .unwrap()
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn an_end_record() {
    let text = line(|json| json.end(&sample(), EndReason::Idle, &ETH0));
    assert_eq!(
        text,
        concat!(
            r#"{"timestamp":"2026-04-07T22:25:30.000000+0100","event_type":"flow","flow_id":8086463330923024,"#,
            r#""in_iface":"eth0","src_ip":"192.168.1.100","src_port":12345,"dest_ip":"8.8.8.8","dest_port":53,"#,
            r#""proto":"UDP","ip_v":4,"community_id":"1:8mwINSCnpXZ99maItp5xx+7Pm7c=","#,
            r#""flow":{"pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":1234,"bytes_toclient":567,"#,
            r#""start":"2026-04-07T22:24:37.251547+0100","end":"2026-04-07T22:24:42.500000+0100","#,
            r#""age":5,"state":"established","reason":"timeout"},"#,
            r#""udptrack":{"event":"end","conn_id":"0xfedcba9876543210","status":"REPLIED","#,
            r#""protocol":"dns","protocol_guessed":true,"end_reason":"IDLE","first_reply_ns":11812345}}"#,
        )
    );
}

#[test]
fn the_keys_are_the_contracts_in_its_order() {
    let mut tagged = sample();
    tagged.heard = Heard::Says(Protocol::Dns);
    tagged.vlans = Vlans {
        outer: 100,
        inner: 7,
    };
    let text = line(|json| json.end(&tagged, EndReason::Idle, &ETH0));
    assert_eq!(keys(&text), FLOW_KEYS);
    let record = parse(&text);
    assert_eq!(record["vlan"], serde_json::json!([100, 7]));
    assert_eq!(
        keys(&record["flow"].to_string()).len(),
        9,
        "pkts and bytes twice, start, end, age, state, reason"
    );

    let untagged = line(|json| json.end(&sample(), EndReason::Idle, &ETH0));
    let is_optional = |key: &str| ["vlan", "app_proto"].contains(&key);
    let expected: Vec<_> = FLOW_KEYS
        .into_iter()
        .filter(|key| !is_optional(key))
        .collect();
    assert_eq!(keys(&untagged), expected);
}

#[test]
fn flow_ids_are_exact_in_a_double() {
    for id in [0, 1, u64::MAX, 1 << 53, (1 << 53) - 1] {
        let mut sample = sample();
        sample.id = ConnectionId(id);
        let record = parse(&line(|json| json.end(&sample, EndReason::Idle, &ETH0)));
        let flow_id = record["flow_id"].as_u64().unwrap();
        assert!(flow_id < 1 << 53);
        assert_eq!(flow_id, id & ((1 << 53) - 1));
        assert_eq!(record["udptrack"]["conn_id"], format!("{id:#018x}"));
    }
}

#[test]
fn reasons_are_eves() {
    let cases = [
        (EndReason::Idle, "timeout", "IDLE"),
        (EndReason::Unreach, "timeout", "UNREACH"),
        (EndReason::Evicted, "forced", "EVICTED"),
        (EndReason::Stopped, "shutdown", "STOPPED"),
    ];
    for (reason, eve, own) in cases {
        let record = parse(&line(|json| json.end(&sample(), reason, &ETH0)));
        assert_eq!(record["flow"]["reason"], eve);
        assert_eq!(record["udptrack"]["end_reason"], own);
    }
}

#[test]
fn an_unanswered_ipv6_connection() {
    let mut silent = sample();
    silent.originator = "[2001:db8::1]:5353".parse().unwrap();
    silent.responder = "[ff02::fb]:5353".parse().unwrap();
    silent.reply = counts(0, 0);
    silent.status = Status::Unreplied;
    silent.first_reply_ns = None;
    let record = parse(&line(|json| json.end(&silent, EndReason::Idle, &ETH0)));
    assert_eq!(record["ip_v"], 6);
    assert_eq!(record["src_ip"], "2001:db8::1");
    assert_eq!(record["dest_ip"], "ff02::fb");
    assert_eq!(record["flow"]["state"], "new");
    assert!(record["udptrack"].get("first_reply_ns").is_none());
}

#[test]
fn a_new_record() {
    let text = line(|json| json.event(&event(EventKind::New, 2), &ETH0));
    let record = parse(&text);
    assert_eq!(record["event_type"], "flow_new");
    assert_eq!(record["timestamp"], "2026-04-07T22:24:37.251547+0100");
    assert_eq!(
        record["udptrack"].to_string(),
        r#"{"conn_id":"0xfedcba9876543210","event":"new","protocol":"dns","protocol_guessed":true,"status":"UNREPLIED"}"#
    );
    assert_eq!(record["flow"]["pkts_toserver"], 2);
    assert_eq!(record["flow"]["bytes_toserver"], 148);
    assert_eq!(record["flow"]["pkts_toclient"], 0);
    assert_eq!(record["flow"]["age"], 0);
    assert_eq!(record["flow"]["state"], "new");
    assert!(record["flow"].get("reason").is_none());
}

#[test]
fn only_the_kinds_that_were_asked() {
    let all = |json: &mut Json<'_>| {
        let mut table = Table::new(10, Timeouts::default());
        table.apply([sample()], 13 * SECOND);
        json.event(&event(EventKind::New, 1), &ETH0)?;
        json.event(&event(EventKind::Data, 1), &ETH0)?;
        json.snapshot(&table, &report(), &ETH0)?;
        json.end(&sample(), EndReason::Idle, &ETH0)
    };
    let written = |kinds| -> Vec<String> {
        lines(kinds, all)
            .iter()
            .map(|line| {
                parse(line)["udptrack"]["event"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let none = Kinds::default();
    assert_eq!(written(ALL_KINDS), ["new", "update", "end"]);
    assert_eq!(written(Kinds { new: true, ..none }), ["new"]);
    assert_eq!(written(Kinds { data: true, ..none }), ["update"]);
    assert_eq!(written(Kinds { end: true, ..none }), ["end"]);
    assert!(written(none).is_empty());
}

#[test]
fn updates_come_for_connections_with_traffic() {
    let mut one = sample();
    one.id = ConnectionId(1);
    let mut two = sample();
    two.id = ConnectionId(2);
    two.ifindex = Ifindex(3);
    let mut table = Table::new(10, Timeouts::default());
    let names = Interfaces(|ifindex: Ifindex| format!("if{}", ifindex.0));
    let written = lines(ALL_KINDS, |json| {
        table.apply([one, two], 13 * SECOND);
        json.snapshot(&table, &report(), &names)?;
        two.orig = counts(4, 2234);
        table.apply([one, two], 14 * SECOND);
        json.snapshot(&table, &report(), &names)?;
        table.apply([one, two], 15 * SECOND);
        json.snapshot(&table, &report(), &names)
    });
    let records: Vec<Value> = written.iter().map(|line| parse(line)).collect();
    let ids: Vec<_> = records.iter().map(|record| &record["flow_id"]).collect();
    assert_eq!(ids, [1, 2, 2]);
    let last = &records[2];
    assert_eq!(last["event_type"], "flow_update");
    assert_eq!(last["in_iface"], "if3");
    // What it did since the record before.
    let counts = |record: &Value| {
        [
            "pkts_toserver",
            "bytes_toserver",
            "pkts_toclient",
            "bytes_toclient",
        ]
        .map(|count| record["flow"][count].as_u64().unwrap())
    };
    assert_eq!(counts(&records[1]), [3, 1234, 2, 567]);
    assert_eq!(counts(last), [1, 1000, 0, 0]);
    assert_eq!(last["flow"]["state"], "established");
    assert!(last["flow"].get("reason").is_none());
    assert!(last["udptrack"].get("end_reason").is_none());
    // 3 packets in 5.748 s, then one in a second.
    let first = 3.0 * (1.0 - (-5.748_453_f64 / 2.0).exp()) / 5.748_453;
    let rate = first * (-0.5_f64).exp() + (1.0 - (-0.5_f64).exp());
    let written = last["udptrack"]["rates"]["2s"]["pkts_toserver"]
        .as_f64()
        .unwrap();
    assert!((written - rate).abs() <= 0.0006, "{written} is not {rate}");
    for window in ["2s", "10s", "40s"] {
        let rates = &last["udptrack"]["rates"][window];
        assert_eq!(
            keys(&rates.to_string()),
            [
                "bytes_toclient",
                "bytes_toserver",
                "pkts_toclient",
                "pkts_toserver"
            ]
        );
    }
}

/// What EVE has no field for stays in our own object: without it the record is one of Suricata's schema.
#[test]
fn response_times_waits_ttls_and_names() {
    struct Named;
    impl Facts for Named {
        fn interface(&self, _: Ifindex) -> String {
            "eth0".to_owned()
        }

        fn host_name(&self, address: IpAddr) -> Option<&str> {
            Some(if address.is_loopback() {
                "me"
            } else {
                "dns\u{9b}.example"
            })
        }
    }
    let mut rich = sample();
    rich.originator = "127.0.0.1:5".parse().unwrap();
    rich.orig_ttl = Some(64);
    rich.reply_ttl = Some(0);
    rich.orig_class = Some(TrafficClass(0xb9));
    rich.reply_class = Some(TrafficClass(0x0c));
    rich.response.answered = 3;
    rich.response.sum_ns = 11;
    rich.response.min_ns = 2;
    rich.response.max_ns = 5;
    rich.response.histogram[0] = 3;
    rich.response.lost = 2;
    rich.response.retries = 1;
    rich.response.is_bound = true;
    rich.response.waiting = 1;
    rich.orig.packets = 6;
    rich.role = Role::Guessed;
    rich.status = Status::Unreach;
    rich.heard = Heard::Says(Protocol::Dns);
    rich.round_trip = Some(RoundTrip {
        median_ns: 12_300_000,
        min_ns: 11_800_000,
        parts: Some(Parts {
            originator_ns: 2_100_000,
            responder_ns: 10_200_000,
        }),
    });
    rich.unreachable = Some(End::Originator);
    rich.response.waiting_since_ns = Some(55 * SECOND);
    let end = |numeric| {
        let choice = Choice {
            kinds: ALL_KINDS,
            numeric,
            ..Choice::default()
        };
        let mut out = Vec::new();
        Records::new(JsonLines::new(&mut out), clock(), choice)
            .end(&rich, EndReason::Idle, &Named)
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    let tail = |names| {
        format!(
            concat!(
                r#""status":"UNREACH","protocol":"dns","quic":{{"round_trip":{{"min_ns":11800000,"median_ns":12300000,"#,
                r#""originator_ns":2100000,"responder_ns":10200000}}}},"unreachable":"originator","end_reason":"IDLE","role":"guessed","first_reply_ns":11812345,"response":{{"asked":6,"answered":3,"lost":2,"waiting":1,"retries":1,"#,
                r#""min_ns":2,"mean_ns":3,"median_ns":4,"p95_ns":5,"max_ns":5,"sum_ns":11,"lower_bound":true,"#,
                r#""histogram":[3,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}},"waiting_ns":5000000000,"#,
                r#""orig_ttl":64,"reply_ttl":0,"orig_dscp":"EF","reply_dscp":"3"{}}}}}"#,
                "\n"
            ),
            names
        )
    };
    let names = r#","src_hostname":"me","dest_hostname":"dns\u009b.example""#;
    assert!(end(false).ends_with(&tail(names)), "{}", end(false));
    assert!(end(true).ends_with(&tail("")), "{}", end(true));
    let expected: Vec<_> = FLOW_KEYS.into_iter().filter(|key| *key != "vlan").collect();
    assert_eq!(keys(&end(false)), expected);
}

/// One for each group at each snapshot, with what has ended; single connections have none.
#[test]
fn a_record_of_a_group() {
    let choice = Choice {
        kinds: ALL_KINDS,
        query: Query {
            by: Some(Field::Server),
            ..Query::default()
        },
        ..Choice::default()
    };
    let facts = Owned {
        owner: owner(),
        originator: true,
        responder: false,
        forwarded: false,
    };
    let mut asked = sample();
    asked.role = Role::Guessed;
    asked.response.answered = 2;
    asked.response.lost = 1;
    (asked.response.min_ns, asked.response.max_ns) = (4000, 6000);
    asked.response.sum_ns = 10_000;
    asked.response.histogram[0] = 2;
    let mut table = Table::new(8, Timeouts::default());
    table.apply([asked], 60 * SECOND);
    let mut out = Vec::new();
    let mut json = Records::new(JsonLines::new(&mut out), clock(), choice);
    json.event(&event(EventKind::New, 1), &facts).unwrap();
    json.end(&asked, EndReason::Idle, &facts).unwrap();
    assert!(!json.has_rows());
    json.snapshot(&table, &report(), &facts).unwrap();
    assert!(json.has_rows());
    let text = String::from_utf8(out).unwrap();
    let (own, rates) = text.split_once(r#""rates":"#).unwrap();
    assert_eq!(
        own,
        concat!(
            r#"{"timestamp":"2026-04-07T22:25:30.000000+0100","event_type":"server","udptrack":{"event":"group","#,
            r#""group":"8.8.8.8:53","ip":"8.8.8.8","port":53,"hostname":"a.example","protocol":"dns","protocol_guessed":true,"state":"lossy","role":"guessed","#,
            r#""connections":2,"clients":1,"refused":0,"pkts_in":6,"pkts_out":4,"bytes_in":2468,"bytes_out":1134,"#,
            r#""start":"2026-04-07T22:24:37.251547+0100","end":"2026-04-07T22:24:42.500000+0100","#,
            r#""response":{"asked":6,"answered":4,"lost":2,"waiting":0,"retries":0,"min_ns":4000,"mean_ns":5000,"#,
            r#""median_ns":5000,"p95_ns":6000,"max_ns":6000,"sum_ns":20000,"#,
            r#""histogram":[4,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},"#
        )
    );
    let (_, processes) = rates.split_once("}},").unwrap();
    assert_eq!(
        processes,
        concat!(
            r#""processes":[{"command":"\u001b]0;dig\u202e\"","processes":1,"connections":2,"pid":42}]}}"#,
            "\n"
        )
    );
}

/// Roles that turn out to be the other way round take what was told with them; so does the record of the first packet.
#[test]
fn updates_add_up_whatever_is_found_out() {
    let mut turned = sample();
    std::mem::swap(&mut turned.originator, &mut turned.responder);
    (turned.orig, turned.reply) = (counts(2, 567), counts(4, 1300));
    let mut table = Table::new(10, Timeouts::default());
    let written = lines(ALL_KINDS, |json| {
        json.event(&event(EventKind::New, 1), &ETH0)?;
        table.apply([sample()], 13 * SECOND);
        json.snapshot(&table, &report(), &ETH0)?;
        table.apply([turned], 14 * SECOND);
        json.snapshot(&table, &report(), &ETH0)
    });
    let records = written.iter().map(|line| parse(line));
    let counts: Vec<_> = records
        .map(|record| {
            ["pkts_toserver", "pkts_toclient"].map(|count| record["flow"][count].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counts, [[1, 0], [2, 2], [0, 1]]);
}

#[test]
fn a_stats_record() {
    let mut report = report();
    report.events_lost = 7;
    report.addresses_without_entry = counts(4, 400);
    let text = line(|json| json.stats(&report));
    assert_eq!(
        keys(&text),
        ["timestamp", "event_type", "stats", "udptrack"]
    );
    assert!(text.contains(concat!(
        r#""stats":{"uptime":0,"capture":{"kernel_packets":1834},"decoder":{"pkts":1834,"bytes":454800,"udp":1500},"#,
        r#""flow":{"udp":1200}},"udptrack":{"event":"stats","seen":{"pkts":1834,"bytes":454800},"tracked":{"pkts":1500,"bytes":140000},"#,
        r#""skipped":{"not-ip":{"pkts":30,"bytes":1800},"not-udp":{"#,
    )));
    let record = parse(&text);
    assert_eq!(record["event_type"], "stats");
    assert_eq!(record["timestamp"], "2026-04-07T22:25:30.000000+0100");
    let stats = &record["udptrack"];
    assert_eq!(stats["seen"].to_string(), r#"{"bytes":454800,"pkts":1834}"#);
    assert_eq!(
        stats["tracked"].to_string(),
        r#"{"bytes":140000,"pkts":1500}"#
    );
    assert_eq!(stats["skipped"].as_object().unwrap().len(), 9);
    assert_eq!(
        stats["skipped"]["not-udp"].to_string(),
        r#"{"bytes":313000,"pkts":304}"#
    );
    assert_eq!(
        stats["skipped"]["table-full"].to_string(),
        r#"{"bytes":0,"pkts":0}"#
    );
    assert_eq!(stats["events_lost"], 7);
    assert_eq!(
        stats["ip_table_full"].to_string(),
        r#"{"bytes":400,"pkts":4}"#
    );
    assert_eq!(stats["addresses"], 42);
    // Where payloads are wanted.
    assert_eq!(stats.get("payloads_unread"), None);
    report.unread = Some(UnreadPayloads {
        over_budget: 3,
        ..UnreadPayloads::default()
    });
    let record = parse(&line(|json| json.stats(&report)));
    let unread = &record["udptrack"]["payloads_unread"];
    assert_eq!(
        (unread["over_budget"].as_u64(), unread["ring_full"].as_u64()),
        (Some(3), Some(0))
    );
    assert_eq!(
        stats["connections"].to_string(),
        r#"{"ended":1197,"live":3,"max":8192,"new":1200,"total":{"bytes":140000,"pkts":1500}}"#
    );
    assert_eq!(stats["interfaces"].as_array().unwrap().len(), 2);
    let egress = &stats["interfaces"][1];
    assert_eq!(egress["in_iface"], "eth0");
    assert_eq!(egress["direction"], "egress");
    assert_eq!(egress["seen"].to_string(), r#"{"bytes":49000,"pkts":600}"#);
    assert_eq!(egress["skipped"]["not-udp"]["pkts"], 100);
}

#[test]
fn the_books_in_a_stats_record_balance() {
    let record = parse(&line(|json| json.stats(&report())));
    let stats = &record["udptrack"];
    for unit in ["pkts", "bytes"] {
        let skipped: u64 = stats["skipped"]
            .as_object()
            .unwrap()
            .values()
            .map(|counts| counts[unit].as_u64().unwrap())
            .sum();
        let tracked = stats["tracked"][unit].as_u64().unwrap();
        assert_eq!(stats["seen"][unit].as_u64().unwrap(), tracked + skipped);
    }
}

#[test]
fn no_name_steers_a_terminal() {
    const HOSTILE: &str = "a\x1b[2J\x7f\u{9b}3J\u{202e}\u{e0062}\"\\z\u{e4}";
    let text = line(|json| {
        json.end(
            &sample(),
            EndReason::Idle,
            &Interfaces(|_| HOSTILE.to_owned()),
        )
    });
    assert!(
        text.contains(r#""in_iface":"a\u001b[2J\u007f\u009b3J\u202e\udb40\udc62\"\\zä""#),
        "{text}"
    );
    assert_eq!(parse(&text)["in_iface"], HOSTILE);
}

#[test]
fn a_closed_pipe_stays_recognisable() {
    let choice = Choice {
        kinds: ALL_KINDS,
        ..Choice::default()
    };
    let mut json = Records::new(JsonLines::new(Closed), clock(), choice);
    let error = json.end(&sample(), EndReason::Idle, &ETH0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn processes_stand_under_their_end() {
    let facts = Owned {
        owner: owner(),
        originator: true,
        responder: true,
        forwarded: false,
    };
    let line = line(|json| json.end(&sample(), EndReason::Idle, &facts));
    assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line}");
    let own = &parse(&line)["udptrack"];
    let process = serde_json::json!({
        "pid": 42, "command": "\u{1b}]0;dig\u{202e}\"", "user": "me", "uid": 1000, "cgroup": "/docker/0",
        "container": "0123456789ab",
    });
    assert_eq!(
        own["process"],
        serde_json::json!({ "originator": process, "responder": process })
    );
    assert_eq!(own.get("forwarded"), None);
}

#[test]
fn what_is_not_known_of_a_process_has_no_key() {
    let facts = Owned {
        owner: Owner {
            cgroup: String::new(),
            container: None,
            ..owner()
        },
        originator: false,
        responder: true,
        forwarded: false,
    };
    let line = line(|json| json.end(&sample(), EndReason::Idle, &facts));
    let process = &parse(&line)["udptrack"]["process"];
    assert_eq!(process.get("originator"), None);
    assert_eq!(process["responder"].get("cgroup"), None);
    assert_eq!(process["responder"].get("container"), None);
    assert_eq!(process["responder"]["pid"], 42);
}

#[test]
fn a_forwarded_connection_says_so() {
    let facts = Owned {
        owner: owner(),
        originator: false,
        responder: false,
        forwarded: true,
    };
    let line = line(|json| json.end(&sample(), EndReason::Idle, &facts));
    let own = &parse(&line)["udptrack"];
    assert_eq!(own.get("process"), None);
    assert_eq!(own["forwarded"], true);
}
