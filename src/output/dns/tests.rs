//! Servers, names and records as they are written.

use super::super::fixture::{self, ETH0, Owned, SECOND, counts, owner};
use super::super::{Choice, DnsRecords, JsonLines, Kinds, Records};
use super::*;
use crate::dns::{Data, Message, Question, Record};
use crate::listing::Query;
use crate::model::{ConnectionId, DnsCounts, Ifindex, Owner, Place, Timeouts, UnreadPayloads};

/// A connection of a client with a server; answers are counted by code.
fn sample(client: u16, server: &str, queries: u64, rcodes: [u64; 7]) -> Sample {
    let mut sample = fixture::sample();
    sample.id = ConnectionId(client.into());
    sample.originator.set_port(client);
    sample.responder = server.parse().unwrap();
    sample.dns = Some(DnsCounts {
        queries,
        rcodes,
        truncated: rcodes[6],
        unread: 0,
    });
    let answered: u64 = rcodes.iter().sum();
    sample.orig = counts(queries, queries * 80);
    sample.reply = counts(answered, answered * 120);
    let response = &mut sample.response;
    response.answered = answered;
    response.lost = queries.saturating_sub(answered);
    response.sum_ns = answered * 12_000_000;
    (response.min_ns, response.max_ns) = (12_000_000, 12_000_000);
    response.histogram[11] = u32::try_from(answered).unwrap();
    sample
}

fn message(flags: u16, name: &str, kind: u16) -> Message {
    Message {
        id: 7,
        flags,
        questions: vec![Question {
            name: name.into(),
            kind,
            class: 1,
        }],
        answers: Vec::new(),
        is_whole: true,
    }
}

fn seen<'a>(sample: &'a Sample, message: &'a Message) -> Seen<'a> {
    Seen {
        sample,
        message: Some(message),
        from_originator: !message.is_answer(),
        time_ns: 7_251_547_000,
        interface: Ifindex(2),
        unread: 0,
    }
}

/// What a resolver and a printer are asked, and a name that steers a terminal.
fn talk(output: &mut dyn Output, facts: &dyn Facts) {
    let client = sample(4001, "192.0.2.53:53", 0, [0; 7]);
    let long = format!("{}.cdn.example.org", "x".repeat(60));
    for (name, kind, code) in [
        ("WWW.example.org", 1, 0),
        ("www.example.org", 28, 0),
        ("www.example.org", 1, 0),
        ("missing.example.org", 1, 3),
        ("missing.example.org", 1, 3),
        ("broken.example.net", 65, 2),
        (&long, 1, 5),
        ("evil\u{202e}.test", 16, 0),
    ] {
        output
            .dns(&seen(&client, &message(0x0100, name, kind)), facts)
            .unwrap();
        output
            .dns(&seen(&client, &message(0x8180 | code, name, kind)), facts)
            .unwrap();
    }
    let answer = message(0x8180, "www.example.org", 1);
    output.dns(&seen(&client, &answer), facts).unwrap();
    let mdns = sample(5353, "224.0.0.251:5353", 0, [0; 7]);
    output
        .dns(&seen(&mdns, &message(0, "_ipp._tcp.local", 12)), facts)
        .unwrap();
}

fn table() -> Table {
    let samples = [
        sample(4001, "192.0.2.53:53", 1000, [900, 0, 4, 60, 0, 6, 0]),
        sample(
            4002,
            "[2001:db8::53]:53",
            12_345_678,
            [12_345_678, 0, 0, 0, 0, 0, 0],
        ),
        sample(5353, "224.0.0.251:5353", 3, [2, 0, 0, 0, 0, 0, 0]),
        // LLMNR is answered from elsewhere.
        {
            let mut sample = sample(5355, "192.0.2.7:50000", 0, [1, 0, 0, 0, 0, 0, 0]);
            sample.originator.set_port(5355);
            sample
        },
        fixture::sample(),
    ];
    placed(&samples)
}

/// Each at a place of its own.
fn placed(samples: &[Sample]) -> Table {
    let mut samples = samples.to_vec();
    for (place, sample) in (0..).zip(&mut samples) {
        sample.place = Place(place);
    }
    Table::of(&samples, 64, Timeouts::default(), 60 * SECOND)
}

fn report(unread: u64) -> Report {
    Report {
        unread: Some(UnreadPayloads {
            dns_over_budget: unread,
            ..UnreadPayloads::default()
        }),
        ..fixture::report()
    }
}

#[test]
fn messages_that_a_capture_has_cut_are_told_apart() {
    let said = |read, cut, over| {
        let unread = UnreadPayloads {
            cut,
            dns_over_budget: over,
            ..UnreadPayloads::default()
        };
        let report = Report {
            unread: Some(unread),
            ..fixture::report()
        };
        let tally = Tally {
            read,
            ..Tally::default()
        };
        read_in_words(tally, &report)
    };
    for (read, cut, over, expected) in [
        (6, 0, 0, "names are of all 6 messages"),
        (
            3,
            3,
            0,
            "no name of 3 of 6 messages: they are cut in the capture",
        ),
        (
            0,
            48,
            0,
            "no name of 48 of 48 messages: they are cut in the capture",
        ),
        (
            1,
            1,
            0,
            "no name of 1 of 2 messages: it is cut in the capture",
        ),
        (
            2,
            1,
            1,
            "names are of 50 % of the messages: 2 were read, 2 were not, of which 1 are cut in the capture",
        ),
    ] {
        assert_eq!(said(read, cut, over), expected);
    }
}

fn dig() -> Owned {
    Owned {
        owner: Owner {
            command: "dig".to_owned(),
            ..owner()
        },
        originator: true,
        responder: false,
        forwarded: false,
    }
}

fn text(width: fn() -> Option<usize>, numeric: bool, facts: &dyn Facts, unread: u64) -> String {
    let style = Style {
        numeric,
        width: width().map(|_| width),
        query: Query::default(),
    };
    let mut out = DnsTable::new(Vec::new(), style, None);
    talk(&mut out, facts);
    out.snapshot(&table(), &report(unread), facts).unwrap();
    assert!(out.has_rows());
    String::from_utf8(out.out).unwrap()
}

#[test]
fn tables_of_all_widths() {
    insta::assert_snapshot!("narrow", text(|| Some(80), true, &ETH0, 0));
    insta::assert_snapshot!("wide", text(|| Some(200), false, &dig(), 0));
    insta::assert_snapshot!("any_width", text(|| None, true, &dig(), 4));
    for line in text(|| Some(80), false, &dig(), 123_456_789).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn nothing_so_far() {
    let mut out = DnsTable::new(Vec::new(), Style::default(), None);
    let table = placed(&[fixture::sample()]);
    out.snapshot(&table, &report(0), &ETH0).unwrap();
    assert!(!out.has_rows());
    let text = String::from_utf8(out.out).unwrap();
    assert!(text.starts_with("No DNS so far."), "{text}");
}

/// On a terminal, each table takes the place of the one before, and has as many rows as it has room for.
#[test]
fn tables_that_are_drawn_again() {
    let style = Style::default();
    let mut out = DnsTable::new(Vec::new(), style, Some(|| Some((80, 24))));
    let client = sample(4001, "192.0.2.53:53", 0, [0; 7]);
    for number in 0..50 {
        let name = format!("{number}.test");
        out.dns(&seen(&client, &message(0x0100, &name, 1)), &ETH0)
            .unwrap();
        out.dns(&seen(&client, &message(0x8183, &name, 1)), &ETH0)
            .unwrap();
    }
    let samples: Vec<Sample> = (1..50)
        .map(|number| {
            sample(
                number,
                &format!("192.0.2.{number}:53"),
                5,
                [5, 0, 0, 0, 0, 0, 0],
            )
        })
        .collect();
    let table = placed(&samples);
    for _ in 0..2 {
        out.snapshot(&table, &report(0), &ETH0).unwrap();
    }
    let text = String::from_utf8(out.out).unwrap();
    let frames: Vec<&str> = text.split("\x1b[H\x1b[J").collect();
    assert_eq!((frames.len(), frames[1]), (3, frames[2]));
    assert!(frames[1].lines().count() < 24, "{}", frames[1]);
}

#[test]
fn records_of_rows() {
    let choice = Choice {
        numeric: true,
        ..Choice::default()
    };
    let (mut json, mut csv) = (Vec::new(), Vec::new());
    let mut records = DnsRecords::json(&mut json, fixture::clock(), choice.clone());
    talk(&mut records, &dig());
    records.snapshot(&table(), &report(4), &dig()).unwrap();
    let mut rows = DnsRecords::csv(&mut csv, fixture::clock(), choice).unwrap();
    talk(&mut rows, &dig());
    rows.snapshot(&table(), &report(4), &dig()).unwrap();
    rows.flush().unwrap();
    drop(rows);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    insta::assert_snapshot!(text(json) + &text(csv));
}

/// The form of Suricata's version 3, and only where it is asked for.
#[test]
fn records_of_messages() {
    let mut answer = message(0x85a0, "www.example.org", 1);
    answer.answers = vec![
        Record {
            name: "www.example.org".into(),
            kind: 1,
            class: 1,
            ttl: 60,
            data: Some(Data::Address([192, 0, 2, 1].into())),
        },
        Record {
            name: "www.example.org".into(),
            kind: 46,
            class: 1,
            ttl: 60,
            data: None,
        },
    ];
    let client = sample(4001, "192.0.2.53:53", 0, [0; 7]);
    let written = |dns| {
        let choice = Choice {
            kinds: Kinds {
                dns,
                ..Kinds::default()
            },
            ..Choice::default()
        };
        let mut out = Vec::new();
        let mut records = Records::new(JsonLines::new(&mut out), fixture::clock(), choice);
        records
            .dns(
                &seen(&client, &message(0x0100, "WWW.example.org", 1)),
                &ETH0,
            )
            .unwrap();
        records.dns(&seen(&client, &answer), &ETH0).unwrap();
        let malformed = Seen {
            message: None,
            ..seen(&client, &answer)
        };
        records.dns(&malformed, &ETH0).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written(false), "");
    insta::assert_snapshot!(written(true));
}

/// A server on this machine is asked, and asks nobody.
#[test]
fn programs_are_those_that_ask() {
    let written = |facts: &Owned| {
        let mut out = Vec::new();
        let mut rows = DnsRecords::json(&mut out, fixture::clock(), Choice::default());
        rows.snapshot(&table(), &report(0), facts).unwrap();
        drop(rows);
        String::from_utf8(out).unwrap()
    };
    let server = Owned {
        originator: false,
        responder: true,
        ..dig()
    };
    assert!(written(&dig()).contains("\"dns_program\""));
    assert!(!written(&server).contains("\"dns_program\""));
}
