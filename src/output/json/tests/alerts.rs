//! Alerts can be told apart by who puts them into rows, and that one is over is no alert.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{SECOND, line, parse};
use crate::alert::{Notice, Rule};
use crate::model::{Name, Shared};
use crate::output::Output;

fn notice(rule: &str, shared: Option<Shared>, firing: bool) -> Notice {
    Notice {
        firing,
        rule: Rule::parse(rule).unwrap(),
        value: 612.5,
        group: match shared {
            None => "all".to_owned(),
            Some(Shared::Unknown) => "unknown".to_owned(),
            Some(shared) => shared.text(),
        },
        shared,
        interface: Some("eth0".to_owned()),
        at_ns: 60 * SECOND,
    }
}

fn record(notice: &Notice) -> String {
    line(|json| json.alert(notice))
}

fn end(text: &str) -> Shared {
    Shared::End(text.parse().unwrap())
}

fn address(text: &str) -> Shared {
    Shared::Address(text.parse().unwrap())
}

#[test]
fn an_alert_is_that_of_its_rule_and_group() {
    assert_eq!(
        record(&notice("udp-flood", Some(end("192.0.2.53:53")), true)),
        concat!(
            r#"{"timestamp":"2026-04-07T22:25:30.000000+0100","event_type":"alert","in_iface":"eth0","#,
            r#""dest_ip":"192.0.2.53","dest_port":53,"proto":"UDP","alert":{"action":"allowed","gid":1,"#,
            r#""signature_id":1393744351,"rev":1,"signature":"udp-flood: unreplied > 500/s by server, port 53","#,
            r#""category":"udptrack","severity":2},"udptrack":{"event":"alert","rule":"udp-flood","state":"begin","#,
            r#""measure":"unreplied","unit":"/s","value":612.5,"threshold":500.0,"by":"server","#,
            r#""group":"192.0.2.53:53","window_s":10}}"#
        )
    );
    let ids = ["new > 5/s", "new  >  5/s ", "new > 6/s"].map(|rule| {
        let record = parse(&record(&notice(rule, Some(address("192.0.2.1")), false)));
        assert_eq!(record["event_type"], "alert_end");
        assert_eq!(record["src_ip"], "192.0.2.1");
        assert!(record.get("dest_ip").is_none() && record.get("dest_port").is_none());
        record["alert"]["signature_id"].as_u64().unwrap()
    });
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

/// As `EveBox` does it: one row for each number of a signature and pair of addresses, with the words of one of its alerts.
#[test]
fn each_rule_and_group_is_a_row_of_its_own() {
    let name = |text| Some(Shared::Program(Name::new(text)));
    let interface = |text| Some(Shared::Interface(Name::new(text)));
    let subnet = |text: &str| Some(Shared::Subnet(text.parse().unwrap(), 24));
    let mut alerts = vec![
        ("new > 5/s", None, ""),
        ("new > 6/s", None, ""),
        ("new > 5/s by subnet", subnet("192.0.2.0"), ""),
        ("new > 5/s by subnet", subnet("198.51.100.0"), ""),
        ("new > 5/s by originator", Some(address("192.0.2.1")), ""),
        ("new > 5/s by originator", Some(address("192.0.2.2")), ""),
        ("new > 5/s by host", Some(address("192.0.2.1")), ""),
        ("dead by server", Some(end("192.0.2.53:53")), ", port 53"),
        (
            "dead by server",
            Some(end("192.0.2.53:5353")),
            ", port 5353",
        ),
        ("dead by server", Some(end("192.0.2.54:53")), ", port 53"),
        ("dead by server", Some(end("[2001:db8::1]:53")), ", port 53"),
        ("new > 5/s by process", name("dig"), ", process dig"),
        ("new > 5/s by process", name("eth0"), ", process eth0"),
        (
            "new > 5/s by process",
            Some(Shared::Forwarded),
            ", process forwarded",
        ),
        (
            "new > 5/s by process",
            Some(Shared::Unknown),
            ", process unknown",
        ),
        (
            "new > 5/s by interface",
            interface("eth0"),
            ", interface eth0",
        ),
        (
            "new > 5/s by interface",
            interface("eth1"),
            ", interface eth1",
        ),
    ];
    let ports: Vec<(u16, String)> = (1..=2000)
        .map(|port| (port, format!(", port {port}")))
        .collect();
    for (port, words) in &ports {
        alerts.push(("new > 5/s by port", Some(Shared::Port(*port)), words));
    }
    let mut rows: BTreeMap<(u64, Option<IpAddr>, Option<IpAddr>), String> = BTreeMap::new();
    for (rule, shared, words) in &alerts {
        let record = parse(&record(&notice(rule, *shared, true)));
        let id = record["alert"]["signature_id"].as_u64().unwrap();
        let has_rest = !words.is_empty();
        assert_eq!((1_000_000..2_000_000).contains(&id), !has_rest, "{id}");
        assert_eq!(
            (1_000_000_000..2_000_000_000).contains(&id),
            has_rest,
            "{id}"
        );
        let address = |key: &str| record.get(key)?.as_str()?.parse().ok();
        let row = (id, address("src_ip"), address("dest_ip"));
        let signature = record["alert"]["signature"].as_str().unwrap().to_owned();
        assert_eq!(signature, format!("{rule}{words}"));
        assert_eq!(record["udptrack"]["rule"], *rule);
        let other = rows.insert(row, signature);
        assert_eq!(other, None, "{row:?}: {record}");
    }
    assert_eq!(rows.len(), alerts.len());
}
