//! Tables to the letter.

use super::super::fixture::{ETH0, Interfaces, SECOND, counts, hook, report, sample};
use super::*;
use crate::listing::Key;
use crate::model::Field;
use crate::model::{
    ConnectionId, Direction, Heard, Ifindex, Owner, Processes, Protocol, QuicFacts, Response, Role,
    Sample, Status, Timeouts,
};
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
    answered.role = Role::Guessed;
    answered.response = Response {
        answered: 2,
        lost: 1,
        sum_ns: 5_000_000,
        max_ns: 3_000_000,
        min_ns: 2_000_000,
        ..Response::default()
    };
    answered.response.histogram[8] = 2;
    assert_eq!(
        snapshot(&[answered, second()], &report()),
        "\
STATUS     ORIGINATOR           RESPONDER          PROTO   ORIG RATE  REPLY RATE  ASKED  LOST  RESPONSE    P95  WAITING   AGE   IDLE  ORIG PKTS     ORIG BYTES  REPLY PKTS  REPLY BYTES  FIRST REPLY
UNREPLIED  [2001:db8::1]:40000  [2001:db8::2]:443  quic?  2.0 Gbit/s     0 bit/s      1    0%     >4.0s      -     4.0s  5.7s  500ms  1,234,567  1,500,000,000           0            0            -
REPLIED    192.168.1.100:12345  8.8.8.8:53?        dns?   1.6 kbit/s   745 bit/s      3   33%     2.0ms  2.1ms        -  5.7s  500ms          3          1,234           2          567       11.8ms
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
        text.starts_with("STATUS   INTERFACE  ORIGINATOR           RESPONDER   PROTO   ORIG RATE"),
        "{text}"
    );
    assert!(
        text.contains("\nREPLIED  if2\\u{1b}  192.168.1.100:12345  8.8.8.8:53  dns?   1.6 kbit/s"),
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
struct Known(Owner, Option<QuicFacts>);

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

    fn quic(&self, sample: &Sample) -> Option<&QuicFacts> {
        self.1.as_ref().filter(|_| sample.responder.port() == 443)
    }
}

fn known() -> Known {
    let owner = Owner {
        pid: 4711,
        command: "di\x1bg".to_owned(),
        script: None,
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    };
    Known(owner, None)
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
    let named = "REPLIED    192.168.1.100:12345  8.8.8.8:53 (dns\\u{1b}[2J.google, domain)  ";
    assert!(lines[2].starts_with(named), "{lines:?}");
    assert!(lines[2].contains("  di\\u{1b}g/4711  "), "{lines:?}");
    let numeric = Style {
        numeric: true,
        ..Style::default()
    };
    let mut known = known();
    known.1 = Some(QuicFacts {
        server_name: Some("www.example.com".into()),
        ..QuicFacts::default()
    });
    let lines = shown(&[sample(), second()], numeric, &known);
    // Who is asked for says the client itself, nobody looks it up.
    let asked_for = "  [2001:db8::2]:443  quic?  www.example.com  ";
    assert!(lines[1].contains(asked_for), "{lines:?}");
    let unnamed = "REPLIED    192.168.1.100:12345  8.8.8.8:53         dns?   -                ";
    assert!(lines[2].starts_with(unnamed), "{lines:?}");
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
            "ORIGINATOR",
            "RESPONDER",
            "ORIG RATE",
            "REPLY RATE",
            "RESPONSE",
            "AGE"
        ]
    );
    assert!(narrow[2].contains("8.8.8.8:53 (domain)  "), "{narrow:#?}");
    for (sort, header) in [
        (Key::Bytes, "REPLY BYTES"),
        (Key::Packets, "REPLY PKTS"),
        (Key::FirstReply, "FIRST REPLY"),
        (Key::Response, "RESPONSE"),
        (Key::P95, "P95"),
        (Key::Asked, "ASKED"),
        (Key::Lost, "LOST"),
        (Key::Wait, "WAITING"),
        (Key::State, "LOST"),
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
            sort: if unanswered { Key::State } else { Key::Rate },
            ..Query::default()
        },
        ..Style::default()
    }
}

/// To a server, one packet for each request and each answer.
fn asked(port: u16, answered: u64, lost: u64) -> Sample {
    let mut one = second();
    one.responder.set_port(port);
    one.orig = counts(answered + lost, 100 * (answered + lost));
    one.reply = counts(answered, 50 * answered);
    one.response = Response {
        answered,
        lost,
        retries: lost / 2,
        min_ns: 1_000_000,
        max_ns: 3_000_000,
        ..Response::default()
    };
    // 1 to 2 ms, and a tenth of them 2 to 4 ms.
    let answered = u32::try_from(answered).unwrap();
    one.response.histogram[7] = answered - answered / 10;
    one.response.histogram[8] = answered / 10;
    one
}

#[test]
fn groups_to_the_letter() {
    let mut lossy = asked(5683, 67, 33);
    lossy.id = ConnectionId(3);
    lossy.role = Role::Guessed;
    let mut log = sample();
    log.id = ConnectionId(4);
    log.responder.set_port(514);
    log.reply = counts(0, 0);
    log.response.lost = 2;
    let style = Style {
        query: Query {
            sort: Key::State,
            ..grouped(Field::Server, false).query
        },
        ..Style::default()
    };
    let lines = shown(&[sample(), second(), lossy, log], style, &known());
    assert_eq!(
        lines,
        [
            "STATE    SERVER                                    PROTO    PROCESS    CLIENTS  CONNS  ASKED  LOST  RESPONSE    P95    MAX  \
             WAITING  RETRIES      IN RATE    OUT RATE    IN PKTS       IN BYTES  OUT PKTS  OUT BYTES   AGE   IDLE",
            "LOSSY    [2001:db8::2]:5683?                       coap?    -                1      1    100   33%     1.0ms  1.6ms  3.0ms  \
             \u{20}     -       16  13.1 kbit/s  4.4 kbit/s        100         10,000        67      3,350  5.7s  500ms",
            "ok       [2001:db8::2]:443                         quic?    -                1      1      1    0%     >4.0s      -      -  \
             \u{20}  4.0s        0   2.0 Gbit/s     0 bit/s  1,234,567  1,500,000,000         0          0  5.7s  500ms",
            "ok       8.8.8.8:53 (dns\\u{1b}[2J.google, domain)  dns?     di\\u{1b}g        1      1      0     -         -      -      -  \
             \u{20}     -        0   1.6 kbit/s   745 bit/s          3          1,234         2        567  5.7s  500ms",
            "one-way  8.8.8.8:514 (dns\\u{1b}[2J.google)         syslog?  di\\u{1b}g        1      1      -     -         -      -      -  \
             \u{20}     -        -   1.6 kbit/s     0 bit/s          3          1,234         0          0  5.7s  500ms",
        ]
    );
    let label = |by| {
        let lines = shown(&[sample()], grouped(by, false), &known());
        let place = usize::from(columns(&lines[0])[0] == "STATE");
        lines
            .iter()
            .map(|line| columns(line)[place].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(label(Field::Originator), ["ORIGINATOR", "192.168.1.100"]);
    assert_eq!(label(Field::Port), ["PORT", "53 (domain)"]);
    assert_eq!(label(Field::Process), ["PROGRAM", "di\\u{1b}g"]);
    assert_eq!(label(Field::Subnet), ["SUBNET", "8.8.8.0/24"]);
    assert_eq!(label(Field::Proto), ["PROTOCOL", "dns?"]);
    assert_eq!(label(Field::Interface), ["INTERFACE", "eth0"]);
    let mut hosts = label(Field::Host);
    hosts[1..].sort();
    assert_eq!(
        hosts,
        ["HOST", "192.168.1.100", "8.8.8.8 (dns\\u{1b}[2J.google)"]
    );
}

/// The whole run counts, not only what is live; and at 80 columns that is what stays.
#[test]
fn unanswered_servers_keep_what_has_ended() {
    let style = Style {
        width: Some(|| Some(80)),
        ..grouped(Field::Server, true)
    };
    let mut out = Vec::new();
    let mut text = TextTable::new(&mut out, style);
    let table = Table::new(8, Timeouts::default());
    text.snapshot(&table, &report(), &ETH0).unwrap();
    let mut silent = asked(53, 0, 0);
    silent.orig = counts(1, 100);
    silent.response.waiting = 1;
    silent.response.waiting_since_ns = Some(9 * SECOND);
    for sample in [silent, silent, asked(7777, 2, 0), asked(8888, 8, 2)] {
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
            "No server has left requests unanswered so far.",
            "",
            "STATE  SERVER              PROTO  ASKED  LOST  RESPONSE  IN RATE  OUT RATE  AGE",
            "DEAD   [2001:db8::2]:53    dns?       2  100%         -  0 bit/s   0 bit/s  0ns",
            "LOSSY  [2001:db8::2]:8888  -         10   20%     1.0ms  0 bit/s   0 bit/s  0ns",
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
        ["No UDP connections now that fit your choice."]
    );
}

/// `?` behind a protocol says that the port alone tells it, not that roles are guessed.
#[test]
fn a_protocol_that_was_heard_has_no_mark() {
    let mut heard = sample();
    heard.heard = Heard::Says(Protocol::Dns);
    heard.role = Role::Guessed;
    let mut style = grouped(Field::Proto, false);
    style.query.top = None;
    let lines = shown(&[heard], style, &known());
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[1..3], ["dns", "dns"], "{lines:?}");
}
