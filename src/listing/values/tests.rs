//! Values to the letter.

use super::super::tests::{Nothing, Owners, SECOND, owner, sample};
use super::*;
use crate::listing::{DNS, ENDED, HOOKS, Key, Query, Sheet, groups};
use crate::model::{Counts, DnsCounts, Field, Place, RoundTrip, Sample, Spoken, Table, Timeouts};

const NOW: u64 = 20 * SECOND;

fn values(facts: &dyn Facts) -> Values<'_> {
    Values {
        facts,
        window: Window::Short,
        now_ns: NOW,
    }
}

/// What a connection has in a column.
fn of(sample: &Sample, ended: Option<EndReason>, column: Column) -> Value<'static> {
    let connection = Connection::new(sample, NOW);
    let ports = OneWayPorts::default();
    let row = Row::of(&connection, ended, Known::default(), &ports);
    match values(&Nothing).value(column, &row) {
        Value::Number(number) => Value::Number(number),
        Value::Nothing => Value::Nothing,
        other => panic!("{other:?}"),
    }
}

/// This number of requests of one packet each, to a server that answers.
fn asked(answered: u64, lost: u64) -> Sample {
    let mut one = sample(1);
    let counts = |packets| Counts {
        packets,
        bytes: 100 * packets,
    };
    (one.orig, one.reply) = (counts(answered + lost), counts(answered));
    one.response = Response {
        answered,
        lost,
        sum_ns: 1_500_000 * answered,
        min_ns: 1_000_000,
        max_ns: 2_000_000,
        ..Response::default()
    };
    one.response.histogram[7] = u32::try_from(answered).unwrap();
    one
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Number(number) => number.text(Units::Exact),
        _ => "-".to_owned(),
    }
}

#[test]
fn a_share_is_never_rounded_to_none_or_to_all() {
    let lost = |answered, lost| text(&of(&asked(answered, lost), None, Column::Lost));
    assert_eq!(lost(0, 0), "-");
    assert_eq!(lost(10, 0), "0%");
    assert_eq!(lost(9_999, 1), "<0.1%");
    assert_eq!(lost(990, 10), "1.0%");
    assert_eq!(lost(901, 99), "9.9%");
    assert_eq!(lost(67, 33), "33%");
    assert_eq!(lost(1, 999), "99%");
    assert_eq!(lost(0, 4), "100%");
}

#[test]
fn a_response_is_a_median_a_bound_or_longer_than_its_wait() {
    let response = |sample: &Sample, ended| text(&of(sample, ended, Column::Response));
    let mut one = asked(2, 0);
    assert_eq!(response(&one, None), "1.0ms");
    one.response.is_bound = true;
    assert_eq!(response(&one, None), "≥1.0ms");
    assert_eq!(text(&of(&one, None, Column::Max)), "≥2.0ms");
    let mut silent = asked(0, 1);
    assert_eq!(response(&silent, None), "-");
    (silent.response.lost, silent.response.waiting) = (0, 1);
    silent.response.waiting_since_ns = Some(NOW - 300_000_000);
    assert_eq!(response(&silent, None), ">300ms");
    assert_eq!(
        of(&silent, None, Column::Waiting),
        Value::Number(Number::Waiting(300_000_000, false))
    );
    // What has ended waits no longer.
    for column in [Column::Response, Column::Waiting] {
        assert_eq!(of(&silent, Some(EndReason::Idle), column), Value::Nothing);
    }
    // Of a service that never answers nobody expects a response.
    silent.responder.set_port(514);
    for column in [
        Column::Response,
        Column::Waiting,
        Column::Asked,
        Column::Retries,
    ] {
        assert_eq!(of(&silent, None, column), Value::Nothing);
    }
}

#[test]
fn a_wait_is_late_after_a_second_or_eight_times_the_usual() {
    let late = |mean_ns: u64, wait_ns| {
        let response = Response {
            answered: u64::from(mean_ns > 0),
            sum_ns: mean_ns,
            ..Response::default()
        };
        is_late(&response, wait_ns)
    };
    assert_eq!((late(0, SECOND - 1), late(0, SECOND)), (false, true));
    assert_eq!((late(10, 79), late(10, 80)), (false, true));
}

/// One packet lasts no time that could be told.
#[test]
fn what_lasted_is_told_where_there_was_more_than_one_packet() {
    let mut one = sample(1);
    (one.first_ns, one.last_ns) = (SECOND, SECOND);
    let ended = Some(EndReason::Idle);
    assert_eq!(of(&one, ended, Column::Lasted), Value::Nothing);
    one.last_ns = 3 * SECOND;
    assert_eq!(text(&of(&one, ended, Column::Lasted)), "2.0s");
    assert_eq!(text(&of(&one, None, Column::Age)), "19.0s");
}

#[test]
fn units_are_exact_long_or_short() {
    let all = [Units::Exact, Units::Long, Units::Short];
    let text = |number: Number| all.map(|units| number.text(units));
    assert_eq!(text(Number::Bytes(12_345)), ["12,345", "12.3 kB", "12.3kB"]);
    assert_eq!(
        text(Number::Rate(1_225_000.0)),
        ["9.8 Mbit/s", "9.8 Mbit/s", "9.8M"]
    );
    assert_eq!(text(Number::CountAtLeast(4096))[0], "4,096+");
    assert_eq!(text(Number::PacketRate(2.5))[0], "3");
}

/// What rows are sorted by has a value exactly where its column has one.
#[test]
fn rows_without_a_value_come_last() {
    let mut silent = asked(0, 0);
    silent.responder.set_port(514);
    let mut waiting = asked(0, 0);
    waiting.orig.packets = 1;
    (waiting.response.waiting, waiting.response.waiting_since_ns) = (1, Some(SECOND));
    let samples = [asked(3, 1), silent, waiting];
    for key in [
        Key::Asked,
        Key::Lost,
        Key::P95,
        Key::Wait,
        Key::FirstReply,
        Key::Age,
    ] {
        let shown = Sheet::of(None).sorted_by(key);
        let mut table = Table::new(8, Timeouts::default());
        for (sample, place) in samples.iter().zip(0..) {
            let mut one = *sample;
            (one.place, one.id.0) = (Place(place), u64::from(place));
            table.apply([one], NOW);
        }
        let query = Query {
            sort: key,
            ..Query::default()
        };
        let moment = crate::listing::Moment {
            now_ns: NOW,
            ..Default::default()
        };
        let crate::listing::Rows::Connections(places) =
            crate::listing::rows(&table, &Nothing, &query, moment)
        else {
            panic!("these are connections");
        };
        let has = places
            .iter()
            .map(|place| of(&table.get(*place).unwrap().sample, None, shown[0]) != Value::Nothing);
        let has: Vec<bool> = has.collect();
        assert!(has.is_sorted_by(|one, next| one >= next), "{key:?} {has:?}");
    }
}

/// A server's round trip is the median of those of its connections: not of what they had together.
#[test]
fn a_group_has_the_median_round_trip() {
    let of = |medians: &[Option<u32>]| {
        let connections = medians.iter().map(|median_ns| {
            let mut one = asked(3, 1);
            one.round_trip = median_ns.map(|median_ns| RoundTrip {
                median_ns,
                min_ns: 1,
                parts: None,
            });
            Connection::new(&one, NOW)
        });
        let all: Vec<_> = connections.collect();
        let by = Field::Server;
        let made = groups(all.into_iter(), &Nothing, &Query::default(), by, None);
        let value = values(&Nothing).value(Column::RoundTrip, &Row::Group(&made[0]));
        let connections = made[0].round_trip.map(|all| all.connections);
        (text(&value), connections)
    };
    assert_eq!(of(&[None, None]), ("-".to_owned(), None));
    let medians = [Some(30_000_000), None, Some(12_000_000), Some(20_000_000)];
    assert_eq!(of(&medians), ("20.0ms".to_owned(), Some(3)));
    assert_eq!(of(&medians[..3]), ("12.0ms".to_owned(), Some(2)));
}

/// A column without a value would be empty in every row.
#[test]
fn every_column_of_every_table_has_a_value() {
    let facts = Owners(vec![(1, owner(7, "dig"))]);
    let mut rich = asked(3, 1);
    rich.first_reply_ns = Some(rich.first_ns + 5);
    rich.response.waiting = 1;
    rich.response.waiting_since_ns = Some(NOW - SECOND);
    rich.round_trip = Some(RoundTrip {
        median_ns: 12_000_000,
        min_ns: 11_000_000,
        parts: None,
    });
    rich.dns = Some(DnsCounts {
        rcodes: [3, 0, 1, 0, 0, 0, 0],
        ..DnsCounts::default()
    });
    let connection = Connection::new(&rich, NOW);
    let known = Known::of(&rich, &facts);
    let ports = OneWayPorts::default();
    let row = |ended| Row::of(&connection, ended, known, &ports);
    let values = values(&facts);
    let assert_all = |sheet: &Sheet, row: &Row<'_>| {
        for column in sheet.order {
            let value = values.value(*column, row);
            assert_ne!(value, Value::Nothing, "{column:?} of {row:?}");
        }
    };
    assert_all(Sheet::of(None), &row(None));
    assert_all(&ENDED, &row(Some(EndReason::Idle)));
    for by in Field::ALL {
        let query = Query::default();
        let mut made = groups([connection].into_iter(), &facts, &query, by, None);
        // Of two hosts the one that is asked.
        made.sort_by_key(Group::asked);
        let group = made.last_mut().unwrap();
        group.take_books(&Default::default(), Rates::new(0));
        assert_all(Sheet::of(Some(by)), &Row::Group(group));
        if by == Field::Server {
            assert_all(&DNS, &Row::Group(group));
            let of = |column| values.value(column, &Row::Group(group));
            assert_eq!(of(Column::Failed), Value::Number(Number::Share(1, 250)));
            assert_eq!(of(Column::Code(0)), Value::Number(Number::Part(3, 750)));
            assert_eq!(of(Column::Code(2)), Value::Number(Number::Loss(1)));
            let failing = Value::Failing("25% SERVFAIL".to_owned());
            assert_eq!(of(Column::Name), failing);
            let name = |ended| values.value(Column::Name, &row(ended));
            assert_eq!(name(None), failing);
            assert_eq!(name(Some(EndReason::Idle)), failing);
        }
    }
    let hook = Row::Hook {
        interface: "eth0",
        direction: Direction::Ingress,
        books: &Books::default(),
        rates: &Rates::new(0),
    };
    // By which program a hook sees packets is known to the view alone.
    let known = HOOKS.order.iter().filter(|column| **column != Column::Hook);
    for column in known {
        assert_ne!(values.value(*column, &hook), Value::Nothing, "{column:?}");
    }
}

/// Of a subnet with a server of QUIC and a resolver it says what goes with most of the connections.
#[test]
fn a_name_or_how_a_dns_server_fails() {
    let quic = QuicFacts {
        server_name: Some("www.example.com".into()),
        ..QuicFacts::default()
    };
    let mut group = Group::alone(&sample(1), &OneWayPorts::default());
    let failing = |text: &str| Value::Failing(text.to_owned());
    let mut told = |rcodes, quic: u64, dns: u64, facts: Option<&QuicFacts>| {
        group.dns = Some(DnsCounts {
            rcodes,
            ..DnsCounts::default()
        });
        group.speech = Speech::default();
        for _ in 0..dns {
            group.speech.add(Some(Spoken::said(Protocol::Dns)), None);
        }
        for _ in 0..quic {
            group.speech.add(Some(Spoken::said(Protocol::Quic)), facts);
        }
        name(&group)
    };
    let asked_for = Value::Name("www.example.com".to_owned());
    let fails = [991, 0, 4, 0, 0, 0, 5];
    assert_eq!(told(fails, 0, 1, None), failing("0.5% other error, …"));
    assert_eq!(
        told([9_999, 0, 1, 0, 0, 0, 0], 0, 1, None),
        failing("<0.1% SERVFAIL")
    );
    assert_eq!(told([90, 0, 0, 9, 0, 0, 0], 0, 1, None), Value::Nothing);
    assert_eq!(told([0; 7], 0, 1, None), Value::Nothing);
    assert_eq!(told(fails, 2, 1, Some(&quic)), asked_for);
    assert_eq!(
        told(fails, 1, 2, Some(&quic)),
        failing("0.5% other error, …")
    );
    assert_eq!(told([9, 0, 0, 0, 0, 0, 0], 1, 2, Some(&quic)), asked_for);
    assert_eq!(told(fails, 2, 1, None), failing("0.5% other error, …"));
}
