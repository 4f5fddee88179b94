use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::fixture::{
    ALL_KINDS, Closed, ETH0, Owned, SECOND, clock, event, owner, report, sample,
};
use super::super::records::{Choice, Records};
use super::super::{Kinds, Output};
use super::*;
use crate::listing::Query;
use crate::model::Field;
use crate::model::{
    Counts, DnsCounts, DropClass, End, EndReason, EventKind, Facts, Heard, Ifindex, Parts,
    Protocol, Response, Role, RoundTrip, Sample, Status, Table, Timeouts, TrafficClass, Vlans,
};

fn written(
    choice: Choice,
    write: impl FnOnce(&mut Records<CsvRows<&mut Vec<u8>>>) -> io::Result<()>,
) -> String {
    let mut out = Vec::new();
    let mut rows = Records::new(CsvRows::new(&mut out).unwrap(), clock(), choice);
    write(&mut rows).unwrap();
    rows.flush().unwrap();
    drop(rows);
    String::from_utf8(out).unwrap()
}

fn all() -> Choice {
    Choice {
        kinds: ALL_KINDS,
        ..Choice::default()
    }
}

/// The rows, each with its columns' names.
fn parsed(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .map(Result::unwrap)
        .collect()
}

/// Everything that a record can have.
fn rich() -> Sample {
    let mut sample = sample();
    sample.vlans = Vlans {
        outer: 100,
        inner: 7,
    };
    sample.status = Status::Unreach;
    sample.unreachable = Some(End::Responder);
    sample.orig_ttl = Some(64);
    sample.reply_ttl = Some(57);
    sample.orig_class = Some(TrafficClass(0xb8));
    sample.reply_class = Some(TrafficClass(0x1c));
    sample.response = Response {
        answered: 2,
        is_bound: true,
        sum_ns: 31,
        min_ns: 10,
        max_ns: 21,
        waiting: 1,
        waiting_since_ns: Some(50 * SECOND),
        ..Response::default()
    };
    sample.response.histogram[0] = 2;
    sample.round_trip = Some(RoundTrip {
        median_ns: 12,
        min_ns: 11,
        parts: Some(Parts {
            originator_ns: 2,
            responder_ns: 10,
        }),
    });
    sample.role = Role::Guessed;
    sample.dns = Some(DnsCounts::default());
    for class in DropClass::ALL {
        sample.dropped.add(
            class,
            Counts {
                packets: 1,
                bytes: 74,
            },
        );
    }
    sample
}

struct Named(&'static str);

impl Facts for Named {
    fn interface(&self, _: Ifindex) -> String {
        "eth0".to_owned()
    }

    fn host_name(&self, _: IpAddr) -> Option<&str> {
        Some(self.0)
    }
}

#[test]
fn every_field_stands_in_the_documentation() {
    let page = include_str!("../../../docs/outputs.md");
    let words: std::collections::HashSet<&str> = page
        .split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '-')))
        .collect();
    for (column, pointer) in [FLOWS, GROUPS].concat().concat() {
        // Rates of each window and each direction stand there in one row.
        let is_there =
            column.starts_with("rate_") || column.starts_with("skipped_") || words.contains(column);
        assert!(is_there, "{column}");
        for key in pointer.split('/').skip(1) {
            assert!(words.contains(key), "{key}");
        }
    }
}

#[test]
fn the_header_comes_also_when_nothing_else_does() {
    let text = written(all(), |rows| rows.stats(&report()));
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("timestamp,event_type,event,flow_id,conn_id,in_iface,src_ip,"));
    assert!(text.ends_with('\n'));
}

#[test]
fn a_row_to_the_letter() {
    let text = written(all(), |rows| rows.end(&sample(), EndReason::Idle, &ETH0));
    let row = text.lines().nth(1).unwrap();
    assert_eq!(
        row,
        "2026-04-07T22:25:30.000000+0100,flow,end,8086463330923024,0xfedcba9876543210,eth0,192.168.1.100,12345,,\
         8.8.8.8,53,,UDP,4,,1:8mwINSCnpXZ99maItp5xx+7Pm7c=,3,2,1234,567,2026-04-07T22:24:37.251547+0100,\
         2026-04-07T22:24:42.500000+0100,5,established,timeout,REPLIED,,dns,true,,,IDLE,,,,,,,11812345,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
    );
}

/// No field of a JSON record is left out.
#[test]
fn every_field_of_the_json_has_its_column() {
    let mut table = Table::new(8, Timeouts::default());
    table.apply([rich()], 13 * SECOND);
    let mut out = Vec::new();
    let mut json = Records::new(super::super::JsonLines::new(&mut out), clock(), all());
    let facts = Owned {
        owner: owner(),
        originator: true,
        responder: true,
        forwarded: true,
    };
    json.snapshot(&table, &report(), &facts).unwrap();
    json.end(&rich(), EndReason::Idle, &facts).unwrap();
    let mut answers = rich();
    answers.orig = Counts::default();
    answers.heard = Heard::Says(Protocol::Dns);
    json.end(&answers, EndReason::Idle, &facts).unwrap();
    let mut found = BTreeSet::new();
    for line in String::from_utf8(out).unwrap().lines() {
        leaves(&serde_json::from_str(line).unwrap(), "", &mut found);
    }
    found.retain(is_in_csv);
    let columns: BTreeSet<String> = FLOWS
        .concat()
        .iter()
        .map(|(_, place)| (*place).to_owned())
        .collect();
    assert_eq!(found, columns);
    let names: BTreeSet<_> = FLOWS.concat().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), FLOWS.concat().len());
}

/// The same of groups, of each kind.
#[test]
fn every_field_of_a_group_has_its_column() {
    let mut table = Table::new(8, Timeouts::default());
    table.apply([rich()], 13 * SECOND);
    let facts = Owned {
        owner: owner(),
        originator: true,
        responder: true,
        forwarded: true,
    };
    let mut found = BTreeSet::new();
    for field in Field::ALL {
        let choice = Choice {
            query: Query {
                by: Some(field),
                ..Query::default()
            },
            ..all()
        };
        let mut out = Vec::new();
        let json = super::super::JsonLines::new(&mut out);
        let mut json = Records::new(json, clock(), choice.clone());
        json.snapshot(&table, &report(), &facts).unwrap();
        let lines = String::from_utf8(out).unwrap();
        for line in lines.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["event_type"], field.word());
            leaves(&record, "", &mut found);
        }
        let mut out = Vec::new();
        let rows = CsvRows::groups(&mut out).unwrap();
        let mut rows = Records::new(rows, clock(), choice);
        rows.snapshot(&table, &report(), &facts).unwrap();
        rows.flush().unwrap();
        drop(rows);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(parsed(&text).len(), lines.lines().count());
    }
    // The event says what the row is, and there are few clients and no known services here.
    found.remove("/udptrack/event");
    for rare in ["clients_more", "service"] {
        assert!(found.insert(format!("/udptrack/{rare}")));
    }
    found.retain(is_in_csv);
    let columns: BTreeSet<String> = GROUPS
        .concat()
        .iter()
        .map(|(_, place)| (*place).to_owned())
        .collect();
    assert_eq!(found, columns);
}

/// Of what was dropped, packets alone.
#[expect(clippy::ptr_arg, reason = "what retain gives")]
fn is_in_csv(field: &String) -> bool {
    !(field.starts_with("/udptrack/dropped/") && field.ends_with("/bytes"))
}

fn leaves(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(object) => object
            .iter()
            .for_each(|(key, value)| leaves(value, &format!("{place}/{key}"), found)),
        None => {
            found.insert(place.to_owned());
        }
    }
}

#[test]
fn lists_stand_in_one_cell() {
    let text = written(all(), |rows| rows.end(&rich(), EndReason::Idle, &ETH0));
    let row = &parsed(&text)[0];
    assert_eq!(row["vlan"], "100 7");
    assert_eq!(row["response_histogram"], format!("2{}", " 0".repeat(19)));
    assert_eq!(row["response_mean_ns"], "15");
    assert_eq!(row["waiting_ns"], (10 * SECOND).to_string());
    assert_eq!(
        (
            &*row["round_trip_median_ns"],
            &*row["round_trip_originator_ns"]
        ),
        ("12", "2")
    );
    assert_eq!((&*row["orig_ttl"], &*row["reply_ttl"]), ("64", "57"));
    assert_eq!((&*row["orig_dscp"], &*row["reply_dscp"]), ("EF", "7"));
    assert_eq!(
        (&*row["status"], &*row["unreachable"]),
        ("UNREACH", "responder")
    );
}

#[test]
fn rows_of_the_kinds_and_connections_asked_for() {
    let kinds = |text: &str| {
        let rows = parsed(text);
        rows.iter()
            .map(|row| row["event"].clone())
            .collect::<Vec<_>>()
    };
    let write = |rows: &mut Records<CsvRows<&mut Vec<u8>>>| {
        let mut table = Table::new(8, Timeouts::default());
        table.apply([sample()], 13 * SECOND);
        rows.event(&event(EventKind::New, 1), &ETH0)?;
        rows.snapshot(&table, &report(), &ETH0)?;
        rows.end(&sample(), EndReason::Idle, &ETH0)
    };
    assert_eq!(kinds(&written(all(), write)), ["new", "update", "end"]);
    let ends = Choice {
        kinds: Kinds {
            end: true,
            ..Kinds::default()
        },
        ..Choice::default()
    };
    assert_eq!(kinds(&written(ends, write)), ["end"]);
    let of = |status| Choice {
        query: Query {
            status: Some(status),
            ..Query::default()
        },
        ..all()
    };
    // The caller chooses the ends.
    assert_eq!(kinds(&written(of(Status::Assured), write)), ["new", "end"]);
    assert_eq!(
        kinds(&written(of(Status::Replied), write)),
        ["new", "update", "end"]
    );
}

#[test]
fn names_steer_neither_terminals_nor_spreadsheets() {
    let named = |name| {
        let text = written(all(), |rows| {
            rows.end(&sample(), EndReason::Idle, &Named(name))
        });
        parsed(&text)[0]["dest_hostname"].clone()
    };
    assert_eq!(named("dns.example"), "dns.example");
    assert_eq!(named("=HYPERLINK(\"x\",\"y\")"), "'=HYPERLINK(\"x\",\"y\")");
    assert_eq!(named("@SUM(1)"), "'@SUM(1)");
    assert_eq!(named("-1+1"), "'-1+1");
    assert_eq!(named("＝1"), "'＝1");
    assert_eq!(named("\t=1"), "\\t=1");
    assert_eq!(named("\r\n=1"), "\\r\\n=1");
    assert_eq!(named("a\x1b[2J,\"b\""), "a\\u{1b}[2J,\"b\"");
    let numeric = Choice {
        numeric: true,
        ..all()
    };
    let text = written(numeric, |rows| {
        rows.end(&sample(), EndReason::Idle, &Named("x"))
    });
    assert_eq!(parsed(&text)[0]["dest_hostname"], "");
}

#[test]
fn a_closed_pipe_stays_recognisable() {
    let mut rows = Records::new(CsvRows::new(Closed).unwrap(), clock(), all());
    rows.end(&sample(), EndReason::Idle, &ETH0).unwrap();
    assert_eq!(rows.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
