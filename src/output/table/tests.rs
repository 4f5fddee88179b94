//! Tables to the letter.

use super::super::fixture::{ETH0, Interfaces, SECOND, counts, hook, report, sample};
use super::*;
use crate::connection::{
    ConnectionId, Direction, Ifindex, Owner, Processes, Response, Sample, Status, Timeouts,
};
use crate::listing::{Field, Key};
use std::net::IpAddr;

fn snapshot(samples: &[Sample], report: &Report) -> String {
    let mut table = Table::new(8, Timeouts::default());
    table.apply(samples.iter().copied(), 13 * SECOND);
    let mut out = Vec::new();
    TextTable::new(&mut out, Style::default())
        .snapshot(
            &table,
            report,
            &Interfaces(|index| format!("if{}\x1b", index.0)),
        )
        .unwrap();
    String::from_utf8(out).unwrap()
}

fn second() -> Sample {
    let mut sample = sample();
    sample.id = ConnectionId(1);
    sample.originator = "[2001:db8::1]:40000".parse().unwrap();
    sample.responder = "[2001:db8::2]:443".parse().unwrap();
    sample.orig = counts(1_234_567, 1_500_000_000);
    sample.reply = counts(0, 0);
    sample.status = Status::Unreplied;
    sample.first_reply_ns = None;
    sample.response = Response {
        waiting: 1,
        waiting_since_ns: Some(9 * SECOND),
        ..Response::default()
    };
    sample
}

#[test]
fn rows_are_aligned_and_the_fastest_is_first() {
    let mut answered = sample();
    answered.response = Response {
        answered: 2,
        sum_ns: 5_000_000,
        max_ns: 3_000_000,
        min_ns: 2_000_000,
        ..Response::default()
    };
    assert_eq!(
        snapshot(&[answered, second()], &report()),
        "\
STATUS     ORIGINATOR           RESPONDER           ORIG RATE  REPLY RATE  ORIG PKTS     ORIG BYTES  REPLY PKTS  REPLY BYTES  FIRST REPLY  RESPONSE  WAIT   AGE
UNREPLIED  [2001:db8::1]:40000  [2001:db8::2]:443  2.0 Gbit/s     0 bit/s  1,234,567  1,500,000,000           0            0            -         -  4.0s  5.7s
REPLIED    192.168.1.100:12345  8.8.8.8:53         1.6 kbit/s   745 bit/s          3          1,234           2          567       11.8ms     2.5ms     -  5.7s
seen 1,834 pkts 454,800 B = tracked 1,500 pkts 140,000 B + skipped 334 pkts 314,800 B (not-ip 30, not-udp 304); table 2 of 8, 25.0 %
"
    );
}

#[test]
fn says_plainly_that_there_is_nothing() {
    let mut report = report();
    report.hooks = vec![hook("eth0", Direction::Ingress, counts(0, 0), &[])];
    assert_eq!(
        snapshot(&[], &report),
        "No UDP connections now.\n\
         seen 0 pkts 0 B = tracked 0 pkts 0 B + skipped 0 pkts 0 B; table 0 of 8, 0.0 %\n"
    );
}

#[test]
fn shows_interfaces_when_there_are_several() {
    let mut report = report();
    report.hooks[1].interface = "eth1".to_owned();
    let text = snapshot(&[sample()], &report);
    assert!(
        text.starts_with("STATUS   ORIGINATOR           RESPONDER   IFACE       ORIG RATE"),
        "{text}"
    );
    assert!(
        text.contains("  8.8.8.8:53  if2\\u{1b}  1.6 kbit/s"),
        "{text}"
    );
    assert!(!text.contains('\x1b'));
}

#[test]
fn an_empty_line_parts_two_snapshots() {
    let table = Table::new(8, Timeouts::default());
    let mut out = Vec::new();
    let mut text = TextTable::new(&mut out, Style::default());
    for _ in 0..2 {
        text.snapshot(&table, &report(), &ETH0).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\n\nNo UDP").count(), 1);
}

#[test]
fn books_that_do_not_balance_are_not_shown_as_equal() {
    let mut report = report();
    report.hooks[0].books.seen.packets += 1;
    assert!(snapshot(&[], &report).contains("seen 1,835 pkts 454,800 B != tracked"));
}

/// Knows a name for everything; some are meant to do harm.
struct Known(Owner);

impl Facts for Known {
    fn interface(&self, _: Ifindex) -> String {
        "eth0".to_owned()
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        Processes {
            originator: sample.originator.is_ipv4().then_some(&self.0),
            responder: None,
            forwarded: sample.originator.is_ipv6(),
        }
    }

    fn host_name(&self, address: IpAddr) -> Option<&str> {
        (address == IpAddr::from([8, 8, 8, 8])).then_some("dns\x1b[2J.google")
    }

    fn service(&self, port: u16) -> Option<&str> {
        (port == 53).then_some("domain")
    }
}

fn known() -> Known {
    Known(Owner {
        pid: 4711,
        command: "di\x1bg".to_owned(),
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    })
}

/// The lines of a table, without the books.
fn shown(samples: &[Sample], style: Style, facts: &dyn Facts) -> Vec<String> {
    let mut table = Table::new(8, Timeouts::default());
    table.apply(samples.iter().copied(), 13 * SECOND);
    let mut out = Vec::new();
    TextTable::new(&mut out, style)
        .snapshot(&table, &report(), facts)
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("seen "));
    lines.map(str::to_owned).collect()
}

fn columns(header: &str) -> Vec<&str> {
    header
        .split("  ")
        .map(str::trim)
        .filter(|column| !column.is_empty())
        .collect()
}

#[test]
fn names_stand_beside_the_numbers_and_steer_nothing() {
    let lines = shown(&[sample(), second()], Style::default(), &known());
    assert!(
        lines[1].starts_with("UNREPLIED  [2001:db8::1]:40000  [2001:db8::2]:443"),
        "{lines:?}"
    );
    assert!(lines[1].contains("  forwarded      "), "{lines:?}");
    let named = "REPLIED    192.168.1.100:12345  8.8.8.8:53 (dns\\u{1b}[2J.google, domain)  di\\u{1b}g/4711  ";
    assert!(lines[2].starts_with(named), "{lines:?}");
    let numeric = Style {
        numeric: true,
        ..Style::default()
    };
    let lines = shown(&[sample()], numeric, &known());
    assert!(
        lines[1].starts_with("REPLIED  192.168.1.100:12345  8.8.8.8:53  di"),
        "{lines:?}"
    );
}

#[test]
fn a_long_name_of_a_host_is_cut_and_an_address_never() {
    struct Long(String);
    impl Facts for Long {
        fn interface(&self, _: Ifindex) -> String {
            String::new()
        }

        fn host_name(&self, _: IpAddr) -> Option<&str> {
            Some(&self.0)
        }
    }
    let lines = shown(&[sample()], Style::default(), &Long("ä".repeat(41)));
    let name = format!("8.8.8.8:53 ({}…)  ", "ä".repeat(40));
    assert!(lines[1].contains(&name), "{lines:?}");
    let lines = shown(&[sample()], Style::default(), &Long("ä".repeat(40)));
    assert!(
        lines[1].contains(&format!("8.8.8.8:53 ({})  ", "ä".repeat(40))),
        "{lines:?}"
    );
}

#[test]
fn the_process_is_shown_where_it_is_known_or_asked_for() {
    let header = |style, facts: &dyn Facts| shown(&[sample()], style, facts)[0].contains("PROCESS");
    assert!(!header(Style::default(), &ETH0));
    assert!(header(Style::default(), &known()));
    let sorted = Style {
        query: Query {
            sort: Key::Process,
            ..Query::default()
        },
        ..Style::default()
    };
    assert!(header(sorted, &ETH0));
}

#[test]
fn a_terminal_gets_what_fits_and_what_it_is_sorted_by() {
    let at = |width, sort| {
        let style = Style {
            query: Query {
                sort,
                ..Query::default()
            },
            width: Some(width),
            ..Style::default()
        };
        let lines = shown(&[sample(), second()], style, &known());
        let room = width().unwrap();
        assert!(
            lines.iter().all(|line| line.chars().count() <= room),
            "{lines:#?}"
        );
        lines
    };
    let narrow = at(|| Some(80), Key::Rate);
    assert_eq!(
        columns(&narrow[0]),
        [
            "STATUS",
            "ORIGINATOR",
            "RESPONDER",
            "ORIG RATE",
            "REPLY RATE"
        ]
    );
    assert!(narrow[2].contains("8.8.8.8:53 (domain)  "), "{narrow:#?}");
    for (sort, header) in [
        (Key::Bytes, "REPLY BYTES"),
        (Key::Packets, "REPLY PKTS"),
        (Key::FirstReply, "FIRST REPLY"),
        (Key::Response, "RESPONSE"),
        (Key::Wait, "WAIT"),
        (Key::Unanswered, "WAIT"),
        (Key::Age, "AGE"),
        (Key::Idle, "IDLE"),
    ] {
        assert!(
            columns(&at(|| Some(80), sort)[0]).contains(&header),
            "{header}"
        );
    }
    let wide = at(|| Some(130), Key::Rate);
    assert!(
        wide[2].contains("(dns\\u{1b}[2J.google, domain)"),
        "{wide:#?}"
    );
    assert!(columns(&wide[0]).contains(&"PROCESS"));
}

fn grouped(by: Field, unanswered: bool) -> Style {
    Style {
        query: Query {
            by: Some(by),
            unanswered,
            sort: if unanswered {
                Key::Unanswered
            } else {
                Key::Rate
            },
            ..Query::default()
        },
        ..Style::default()
    }
}

fn asked(answered: u64, waiting: u64) -> Response {
    Response {
        answered,
        sum_ns: answered * 2_000_000,
        min_ns: 1_000_000,
        max_ns: 3_000_000,
        waiting,
        waiting_since_ns: (waiting > 0).then_some(9 * SECOND),
        ..Response::default()
    }
}

#[test]
fn groups_to_the_letter() {
    let mut third = second();
    third.id = ConnectionId(3);
    third.originator.set_port(40_001);
    third.orig = counts(9, 900);
    third.reply = counts(3, 300);
    third.response = asked(2, 1);
    let lines = shown(
        &[sample(), second(), third],
        grouped(Field::Responder, false),
        &known(),
    );
    assert_eq!(
        lines,
        [
            "SERVER                                    CONNS  UNANSWERED  ASKED  ANSWERED  RATIO    RETRIES   MEAN    MAX  \
             OLDEST WAIT   ORIG RATE  REPLY RATE  ORIG PKTS     ORIG BYTES  REPLY PKTS  REPLY BYTES",
            "[2001:db8::2]:443                             2           2      4         2  50.0%  1,234,572  2.0ms  3.0ms  \
             \u{20}      4.0s  2.0 Gbit/s   394 bit/s  1,234,576  1,500,000,900           3          300",
            "8.8.8.8:53 (dns\\u{1b}[2J.google, domain)      1           0      0         0      -          3      -      -  \
             \u{20}         -  1.6 kbit/s   745 bit/s          3          1,234           2          567",
        ]
    );
    let label = |by| {
        let lines = shown(&[sample()], grouped(by, false), &known());
        lines
            .iter()
            .map(|line| columns(line)[0].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(label(Field::Originator), ["ORIGINATOR", "192.168.1.100"]);
    assert_eq!(label(Field::Port), ["PORT", "53 (domain)"]);
    assert_eq!(label(Field::Process), ["PROCESS", "di\\u{1b}g/4711"]);
    assert_eq!(label(Field::Subnet), ["SUBNET", "8.8.8.0/24"]);
}

#[test]
fn a_ratio_is_never_rounded_up_to_all() {
    let mut nearly = sample();
    nearly.response = asked(9_999, 1);
    let lines = shown(&[nearly], grouped(Field::Responder, false), &ETH0);
    assert!(lines[1].contains(" 99.9%"), "{lines:?}");
}

/// The whole run counts, not only what is live; and at 80 columns that is what stays.
#[test]
fn unanswered_servers_keep_what_has_ended() {
    let style = Style {
        width: Some(|| Some(80)),
        ..grouped(Field::Responder, true)
    };
    let mut out = Vec::new();
    let mut text = TextTable::new(&mut out, style);
    let table = Table::new(8, Timeouts::default());
    text.snapshot(&table, &report(), &ETH0).unwrap();
    let mut silent = sample();
    silent.response = asked(0, 1);
    silent.orig = counts(3, 300);
    let mut well = second();
    well.response = asked(2, 0);
    well.orig = counts(2, 200);
    for sample in [silent, silent, well] {
        text.end(&sample, EndReason::Idle, &ETH0).unwrap();
    }
    text.snapshot(&table, &report(), &ETH0).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("seen "))
        .collect();
    assert_eq!(
        lines,
        [
            "No unanswered UDP requests so far.",
            "",
            "SERVER      CONNS  UNANSWERED  ASKED  ANSWERED  RATIO  RETRIES  MAX  OLDEST WAIT",
            "8.8.8.8:53      2           2      2         0   0.0%        4    -            -",
        ]
    );
}

#[test]
fn says_that_nothing_is_as_asked() {
    let none = Style {
        query: Query {
            status: Some(Status::Assured),
            ..Query::default()
        },
        ..Style::default()
    };
    assert_eq!(
        shown(&[sample()], none, &ETH0),
        ["No UDP connections now that are asked for."]
    );
}
