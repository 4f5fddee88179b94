//! Pages without a network.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::dns::{Dns, Server};
use super::losses::Losses;
use super::page;
use super::snapshot::{Busiest, Responses, Shown, Snapshot, Totals};
use crate::model::services::OneWayPorts;
use crate::model::{
    self, Captured, ConnectionId, Counts, Direction, DnsCounts, DropClass, Dropped, DroppedFor,
    EndReason, Facts, Heard, HookBooks, Ifindex, Owner, Place, Report, Response, Role, RoundTrip,
    Sample, Status, Table, Tick, Timeouts, Vlans,
};

/// One process with a hostile name owns everything.
struct Known(Owner);

impl Facts for Known {
    fn interface(&self, _: Ifindex) -> String {
        "eth0".to_owned()
    }

    fn processes(&self, _: &Sample) -> model::Processes<'_> {
        model::Processes {
            originator: Some(&self.0),
            ..Default::default()
        }
    }
}

fn known() -> Known {
    Known(Owner {
        pid: 1,
        command: "a\"b\\c\nd{}".to_owned(),
        script: None,
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    })
}

fn sample(port: u16) -> Sample {
    let mut response = Response {
        answered: 2,
        lost: 2,
        retries: 1,
        sum_ns: 30_000,
        waiting: 1,
        ..Response::default()
    };
    response.histogram[0] = 1;
    response.histogram[1] = 1;
    let counts = |packets| Counts {
        packets,
        bytes: 100 * packets,
    };
    Sample {
        id: ConnectionId(port.into()),
        place: Place::default(),
        ifindex: Ifindex(2),
        reply_ifindex: Some(Ifindex(2)),
        vlans: Vlans::default(),
        originator: ([10, 0, 0, 1], 40_000).into(),
        responder: ([10, 0, 0, 2], port).into(),
        orig: counts(5),
        reply: counts(2),
        status: Status::Replied,
        unreachable: None,
        first_ns: 1_000_000_000,
        last_ns: 2_000_000_000,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        orig_class: None,
        reply_class: None,
        role: Role::Seen,
        response,
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::Nothing,
    }
}

/// DNS messages with a server whose last byte is this.
fn asked(server: u8, queries: u64, rcodes: [u64; 7]) -> Sample {
    let mut sample = sample(53);
    sample.responder = ([192, 0, 2, server], 53).into();
    sample.dns = Some(DnsCounts {
        queries,
        rcodes,
        truncated: 1,
        unread: 0,
    });
    sample
}

fn page(totals: &Totals, samples: Vec<Sample>, top: usize) -> String {
    page_after(totals, &mut Losses::default(), samples, top)
}

fn page_after(totals: &Totals, losses: &mut Losses, samples: Vec<Sample>, top: usize) -> String {
    let mut table = Table::new(100, Timeouts::default());
    table.apply(samples, 10_000_000_000);
    let hook = HookBooks {
        interface: "eth0".to_owned(),
        direction: Direction::Ingress,
        books: model::Books {
            seen: Counts {
                packets: 9_007_199_254_740_991,
                bytes: 5,
            },
            ..Default::default()
        },
        dropped: vec![DroppedFor {
            reason: "socket_rcvbuff".into(),
            class: DropClass::SocketBuffer,
            counts: Counts {
                packets: 9103,
                bytes: 5,
            },
            apart: Counts::default(),
        }],
    };
    let report = Report {
        hooks: vec![hook],
        knows_drops: true,
        captured: Some(Captured {
            written: 70,
            lost: [7, 2],
            unwritten: 1,
            ..Captured::default()
        }),
        ..Default::default()
    };
    let facts = known();
    let tick = Tick {
        now_ns: 10_000_000_000,
        table: &table,
        swapped: &[],
        ended: &[],
        report: &report,
        facts: &facts,
        buffers: None,
    };
    losses.tick(&tick, 2 * top);
    let ports = OneWayPorts::default();
    let mut busiest = Busiest::default();
    let mut dns = Dns::default();
    dns.ended(&asked(53, 1, [0, 0, 1, 0, 0, 0, 0]), 2 * top);
    let mut snapshot = Snapshot::new(
        &tick,
        (totals, losses),
        (&mut dns, 2 * top),
        (top, &mut busiest),
        &ports,
        SystemTime::UNIX_EPOCH,
    );
    snapshot.buffers = vec![(("a\"b".to_owned(), ([127, 0, 0, 1], 514).into()), 0.25)];
    String::from_utf8(page::write(&snapshot).unwrap()).unwrap()
}

fn value<'a>(page: &'a str, metric: &str) -> &'a str {
    page.lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {metric} in {page}"))
}

#[test]
fn counts_are_exact_and_names_are_escaped() {
    let page = page(&Totals::default(), vec![sample(53)], 10);
    assert_eq!(
        value(
            &page,
            "udptrack_seen_packets_total{interface=\"eth0\",direction=\"ingress\"}"
        ),
        "9007199254740991"
    );
    assert_eq!(
        value(
            &page,
            "udptrack_process_connections{process=\"a\\\"b\\\\c\\\\nd{}\"}"
        ),
        "1"
    );
    assert_eq!(
        value(
            &page,
            "udptrack_skipped_packets_total{interface=\"eth0\",direction=\"ingress\",reason=\"table-full\"}"
        ),
        "0"
    );
    assert_eq!(
        value(
            &page,
            "udptrack_dropped_datagrams_total{interface=\"eth0\",direction=\"ingress\",reason=\"socket_rcvbuff\",class=\"socket-buffer\"}"
        ),
        "9103"
    );
    assert_eq!(
        value(
            &page,
            "udptrack_socket_buffer_fill_ratio{process=\"a\\\"b\",address=\"127.0.0.1:514\"}"
        ),
        "0.25"
    );
}

/// By the kernel's counts, live and ended together, and never a name.
#[test]
fn dns_servers_have_counters() {
    let live = vec![asked(53, 5, [3, 0, 1, 1, 0, 0, 0])];
    let page = page(&Totals::default(), live, 10);
    let of = |name: &str| value(&page, &format!("udptrack_dns_{name}}}"));
    let server = "server=\"192.0.2.53:53\"";
    assert_eq!(of(&format!("queries_total{{{server}")), "6");
    let answers = format!("answers_total{{{server},rcode=");
    assert_eq!(of(&format!("{answers}\"SERVFAIL\"")), "2");
    assert_eq!(of(&format!("{answers}\"NXDOMAIN\"")), "1");
    assert_eq!(of(&format!("{answers}\"REFUSED\"")), "0");
    assert_eq!(of(&format!("truncated_total{{{server}")), "2");
    assert_eq!(of("queries_total{server=\"other\""), "0");
    // Two answers of each, live and ended.
    let times = format!("response_time_seconds_count{{{server}");
    assert_eq!(of(&times), "4");
    let times = format!("response_time_seconds_bucket{{{server},le=\"+Inf\"");
    assert_eq!(of(&times), "4");
    assert_eq!(of("response_time_seconds_count{server=\"other\""), "0");
}

/// The first ones keep their counters, and no counter ever goes down.
#[test]
fn dns_servers_without_room_are_counted_together() {
    let mut dns = Dns::default();
    let none = HashMap::new();
    assert_eq!(dns.all(&none, 2), []);
    let live = |servers: &[(u8, u64)]| -> HashMap<SocketAddr, Server> {
        let servers = servers.iter().map(|(server, queries)| {
            let sample = asked(*server, *queries, [0; 7]);
            let mut server = Server::default();
            server.add(&sample, sample.dns.unwrap());
            (sample.responder, server)
        });
        servers.collect()
    };
    let told = |dns: &mut Dns, live: &HashMap<SocketAddr, Server>| -> Vec<(String, u64)> {
        let all = dns.all(live, 2).into_iter();
        let name =
            |server: Option<SocketAddr>| server.map_or("other".into(), |one| one.to_string());
        all.map(|(server, dns)| (name(server), dns.counts.queries))
            .collect()
    };
    let first = told(&mut dns, &live(&[(1, 5), (2, 50), (3, 10)]));
    let all = |all: [(&str, u64); 3]| all.map(|(name, queries)| (name.to_owned(), queries));
    assert_eq!(
        first,
        all([("192.0.2.2:53", 50), ("192.0.2.3:53", 10), ("other", 5)])
    );
    for server in [1, 2, 3] {
        dns.ended(&asked(server, 100, [0; 7]), 2);
    }
    // What is no server by its port has no counters of its own.
    let mut elsewhere = asked(2, 7, [0; 7]);
    elsewhere.responder.set_port(50_000);
    dns.ended(&elsewhere, 5);
    let last = told(&mut dns, &live(&[(1, 1)]));
    assert_eq!(
        last,
        all([("192.0.2.2:53", 100), ("192.0.2.3:53", 100), ("other", 108)])
    );
}

/// What a process has lost is counted once, live or ended, and for those without room together.
#[test]
fn losses_stay_with_who_had_them() {
    let lost = |port, datagrams| {
        let mut sample = sample(port);
        let counts = Counts {
            packets: datagrams,
            bytes: 100 * datagrams,
        };
        sample.dropped.add(DropClass::SocketBuffer, counts);
        sample
    };
    let (totals, mut losses) = (Totals::default(), Losses::default());
    let own = "udptrack_process_dropped_datagrams_total{process=\"a\\\"b\\\\c\\\\nd{}\"}";
    let other = "udptrack_process_dropped_datagrams_total{process=\"other\"}";
    let samples = vec![lost(53, 3), sample(54)];
    let first = page_after(&totals, &mut losses, samples.clone(), 1);
    assert_eq!((value(&first, own), value(&first, other)), ("3", "0"));
    let again = page_after(&totals, &mut losses, samples, 1);
    assert_eq!(value(&again, own), "3");
    losses.ended(&lost(53, 5), &known(), 2);
    let ended = page_after(&totals, &mut losses, vec![], 1);
    assert_eq!((value(&ended, own), value(&ended, other)), ("5", "0"));
    let without_room = page_after(&totals, &mut Losses::default(), vec![lost(53, 3)], 0);
    assert_eq!(value(&without_room, other), "3");
}

/// What was counted of a live connection is counted of it when it has ended.
#[test]
fn counters_stay_when_connections_end() {
    let before = page(&Totals::default(), vec![sample(53)], 10);
    let mut totals = Totals::default();
    totals.add(&sample(53), EndReason::Idle, &OneWayPorts::default());
    let after = page(&totals, vec![], 10);
    for metric in [
        "udptrack_response_time_seconds_count",
        "udptrack_response_time_seconds_sum",
        "udptrack_response_time_seconds_bucket{le=\"0.000008192\"}",
        "udptrack_response_time_seconds_bucket{le=\"+Inf\"}",
        "udptrack_requests_total",
    ] {
        assert_eq!(value(&before, metric), value(&after, metric), "{metric}");
    }
    assert_eq!(value(&before, "udptrack_response_time_seconds_count"), "2");
    assert_eq!(value(&before, "udptrack_requests_total"), "5");
    assert_eq!(value(&before, "udptrack_requests_waiting"), "1");
    assert_eq!(value(&after, "udptrack_requests_waiting"), "0");
    assert_eq!(value(&before, "udptrack_requests_lost_total"), "2");
    assert_eq!(value(&after, "udptrack_requests_lost_total"), "3");
    assert_eq!(value(&after, "udptrack_requests_retried_total"), "1");
    assert_eq!(
        value(&after, "udptrack_connections_ended_total{reason=\"IDLE\"}"),
        "1"
    );
}

/// A log is no request, and a counter stays where it was when a late answer comes.
#[test]
fn only_what_is_asked_counts_and_no_counter_falls() {
    let mut log = sample(514);
    log.reply = Counts::default();
    log.response.answered = 0;
    let mut responses = Responses::default();
    responses.add(&log, &OneWayPorts::default());
    assert_eq!(responses, Responses::default());
    responses.add(&sample(53), &OneWayPorts::default());
    let mut shown = Shown::default();
    shown.raise(&mut responses);
    assert_eq!((responses.asked, responses.lost), (5, 2));
    responses.lost = 1;
    responses.asked = 6;
    shown.raise(&mut responses);
    assert_eq!((responses.asked, responses.lost), (6, 2));
}

#[test]
fn frames_of_captures_and_round_trips() {
    let spinning = |port, median_ns| {
        let mut sample = sample(port);
        sample.round_trip = Some(RoundTrip {
            median_ns,
            min_ns: 1,
            parts: None,
        });
        sample
    };
    let live = vec![spinning(1, 12_000_000), sample(2), spinning(3, 30_000_000)];
    let with = page(&Totals::default(), live, 10);
    for (metric, expected) in [
        ("capture_written_frames_total", "70"),
        ("capture_lost_frames_total{direction=\"ingress\"}", "7"),
        ("capture_lost_frames_total{direction=\"egress\"}", "2"),
        ("capture_unwritten_frames_total", "1"),
        ("quic_round_trip_connections", "2"),
        ("quic_round_trip_seconds", "0.012"),
    ] {
        assert_eq!(value(&with, &format!("udptrack_{metric}")), expected);
    }
    let without = page(&Totals::default(), vec![sample(2)], 10);
    assert!(!without.contains("quic_round_trip"), "{without}");
}

/// However many ports there are, only a fixed number have metrics of their own; no sum is lost.
#[test]
fn there_are_only_so_many_ports() {
    let page = page(&Totals::default(), (1..=50).map(sample).collect(), 3);
    let ports: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("udptrack_port_connections{"))
        .collect();
    assert_eq!(ports.len(), 4);
    assert_eq!(
        value(&page, "udptrack_port_connections{port=\"other\"}"),
        "47"
    );
}

/// As `OpenMetrics` has it: families of counters without `_total`, samples with it, and an end.
#[test]
fn open_metrics_has_its_own_names_and_an_end() {
    let page = page(&Totals::default(), vec![sample(53)], 10);
    let open = super::page::open_metrics(&page);
    assert!(
        open.contains("\n# TYPE udptrack_connections_new counter\n"),
        "{open}"
    );
    assert!(open.contains("\nudptrack_connections_new_total "), "{open}");
    assert!(!open.contains("_total counter\n") && open.ends_with("\n# EOF\n"));
    assert!(
        open.contains("\n# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "),
        "{open}"
    );
    assert_eq!(open.lines().count(), page.lines().count() + 1);
}

/// Every metric that the dashboard and the rules ask for is on a page, and every label that they name.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let live = vec![sample(53), asked(53, 5, [3, 0, 1, 1, 0, 0, 0])];
    let page = page(&Totals::default(), live, 10);
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.map(str::to_owned).collect()
    };
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeSet<String> = lines.flat_map(words).collect();
    let dashboard = include_str!("../../../docs/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 8);
    let rules = include_str!("../../../docs/alerts.yml");
    for text in [dashboard.to_string(), rules.to_owned()] {
        let asked = words(&text);
        let mut asked = asked.iter().filter(|word| word.starts_with("udptrack_"));
        assert!(asked.clone().count() > 3);
        assert!(asked.all(|name| known.contains(name)), "{asked:?}");
        for by in text.split("by (").skip(1) {
            for label in words(by.split(')').next().unwrap_or_default()) {
                // Prometheus itself knows a target by its instance.
                let is_known = label.is_empty() || label == "instance" || known.contains(&label);
                assert!(is_known, "{label}");
            }
        }
        // What a server says may be an error, or not: each code is one that there is.
        for test in text.split("rcode").skip(1) {
            let codes = test.trim_start_matches(['!', '=', '~', '\\']);
            let Some(codes) = codes.strip_prefix('"') else {
                continue;
            };
            let codes = codes.split(['"', '\\']).next().unwrap_or_default();
            for code in codes.split('|') {
                assert!(model::RCODES.contains(&code), "{code}");
            }
        }
    }
}
