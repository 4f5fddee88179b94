//! Which rows, in which order: by every key and every field.

use std::net::SocketAddr;

use super::*;
use crate::connection::{
    ConnectionId, Counts, Ifindex, Owner, Processes, Response, Role, Timeouts, Vlans, Window,
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Knows nothing.
pub(super) struct Nothing;

impl Facts for Nothing {
    fn interface(&self, _: Ifindex) -> String {
        String::new()
    }
}

/// Knows whose a port of the originator is.
struct Owners(Vec<(u16, Owner)>);

impl Facts for Owners {
    fn interface(&self, _: Ifindex) -> String {
        String::new()
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        let of = |end: SocketAddr| {
            let mut owners = self.0.iter();
            owners
                .find(|(port, _)| *port == end.port())
                .map(|(_, owner)| owner)
        };
        Processes {
            originator: of(sample.originator),
            responder: of(sample.responder),
            forwarded: sample.originator.port() == 9,
        }
    }
}

fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        pid,
        command: command.to_owned(),
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    }
}

/// From a port that is its id to one server, answered once.
pub(super) fn sample(id: u64) -> Sample {
    Sample {
        id: ConnectionId(id),
        place: Place::default(),
        ifindex: Ifindex(2),
        reply_ifindex: Some(Ifindex(2)),
        vlans: Vlans::default(),
        originator: SocketAddr::from(([10, 0, 0, 1], u16::try_from(id % 65_536).unwrap())),
        responder: SocketAddr::from(([10, 0, 9, 2], 53)),
        orig: Counts {
            packets: 1,
            bytes: 100,
        },
        reply: Counts {
            packets: 1,
            bytes: 100,
        },
        status: Status::Replied,
        first_ns: SECOND,
        last_ns: 2 * SECOND,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        role: Role::Seen,
        response: Response::default(),
    }
}

fn with(id: u64, change: impl Fn(&mut Sample)) -> Sample {
    let mut sample = sample(id);
    change(&mut sample);
    sample
}

fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new(1 << 20, Timeouts::default());
    table.apply(samples.iter().copied(), 3 * SECOND);
    table
}

fn ids(samples: &[Sample], facts: &dyn Facts, query: &Query) -> Vec<u64> {
    let table = table(samples);
    match rows(&table, facts, query, None) {
        Rows::Connections(places) => places
            .into_iter()
            .map(|place| table.get(place).unwrap().sample.id.0)
            .collect(),
        Rows::Groups(groups) => panic!("{groups:?}"),
    }
}

fn sorted(sort: Key, reverse: bool) -> Query {
    Query {
        sort,
        reverse,
        ..Query::default()
    }
}

/// Sorted by a key, these stand in their order; reversed, the first so many the other way round and the rest, which has
/// no value, still at the end.
#[track_caller]
fn stand(key: Key, samples: &[Sample], with_value: usize, facts: &dyn Facts) {
    let mut expected: Vec<u64> = samples.iter().map(|sample| sample.id.0).collect();
    let mut shuffled = samples.to_vec();
    shuffled.rotate_left(1);
    assert_eq!(
        ids(&shuffled, facts, &sorted(key, false)),
        expected,
        "{key:?}"
    );
    expected[..with_value].reverse();
    assert_eq!(
        ids(&shuffled, facts, &sorted(key, true)),
        expected,
        "{key:?} reversed"
    );
}

fn counts(bytes: u64) -> Counts {
    Counts {
        packets: bytes / 100,
        bytes,
    }
}

#[test]
fn by_numbers_the_largest_first() {
    stand(
        Key::Bytes,
        &[
            with(1, |one| one.reply.bytes = 900),
            with(2, |one| one.orig.bytes = 700),
            sample(3),
        ],
        3,
        &Nothing,
    );
    stand(
        Key::Packets,
        &[
            with(1, |one| one.reply.packets = 5),
            with(2, |one| one.orig.packets = 4),
            // More bytes do not help.
            with(3, |one| one.orig.bytes = 5000),
        ],
        3,
        &Nothing,
    );
    stand(
        Key::Rate,
        &[
            with(1, |one| one.reply = counts(1000)),
            with(2, |one| one.orig = counts(500)),
            sample(3),
        ],
        3,
        &Nothing,
    );
    stand(
        Key::OrigRate,
        &[
            with(2, |one| one.orig = counts(500)),
            with(3, |one| one.orig = counts(200)),
            with(1, |one| one.reply = counts(1000)),
        ],
        3,
        &Nothing,
    );
    stand(
        Key::ReplyRate,
        &[
            with(1, |one| one.reply = counts(1000)),
            with(3, |one| one.reply = counts(200)),
            with(2, |one| one.orig = counts(500)),
        ],
        3,
        &Nothing,
    );
}

#[test]
fn by_times_the_longest_first_and_what_has_none_last() {
    stand(
        Key::Age,
        &[
            with(2, |one| one.first_ns = 5),
            with(1, |one| one.first_ns = 6),
        ],
        2,
        &Nothing,
    );
    stand(
        Key::Idle,
        &[
            with(2, |one| one.last_ns = 5),
            with(1, |one| one.last_ns = 6),
        ],
        2,
        &Nothing,
    );
    let replied = |id, ns| with(id, |one| one.first_reply_ns = Some(SECOND + ns));
    stand(
        Key::FirstReply,
        &[replied(3, 20), replied(1, 10), sample(2)],
        2,
        &Nothing,
    );
    let mean = |id, sum_ns| {
        with(id, |one| {
            one.response = Response {
                answered: 4,
                sum_ns,
                ..Response::default()
            };
        })
    };
    stand(
        Key::Response,
        &[mean(3, 400), mean(1, 300), mean(4, 0), sample(2)],
        3,
        &Nothing,
    );
    stand(
        Key::Wait,
        &[waiting(3, 10), waiting(1, 20), sample(2)],
        2,
        &Nothing,
    );
}

fn waiting(id: u64, since: u64) -> Sample {
    with(id, |one| {
        one.response = Response {
            waiting: 1,
            waiting_since_ns: Some(since),
            ..Response::default()
        };
    })
}

#[test]
fn by_unanswered_the_worst_first() {
    let retried = with(4, |one| one.orig.packets = 9);
    stand(
        Key::Unanswered,
        &[waiting(3, 10), waiting(1, 20), retried, sample(2)],
        4,
        &Nothing,
    );
}

#[test]
fn by_words_from_a_on() {
    stand(
        Key::Status,
        &[
            with(4, |one| one.status = Status::Unreplied),
            with(3, |one| one.status = Status::Replied),
            with(2, |one| one.status = Status::Assured),
            with(1, |one| one.status = Status::Unreach),
        ],
        4,
        &Nothing,
    );
    let v6 = |one: &mut SocketAddr| *one = "[::1]:1".parse().unwrap();
    // As numbers, not as text; IPv4 first.
    stand(
        Key::Originator,
        &[
            with(9, |_| ()),
            with(10, |_| ()),
            with(1, |one| one.originator = "10.0.0.20:1".parse().unwrap()),
            with(2, |one| one.originator = "10.0.0.100:1".parse().unwrap()),
            with(3, |one| v6(&mut one.originator)),
        ],
        5,
        &Nothing,
    );
    stand(
        Key::Responder,
        &[
            with(5, |one| one.responder.set_port(7)),
            sample(4),
            with(3, |one| v6(&mut one.responder)),
        ],
        3,
        &Nothing,
    );
    let owners = Owners(vec![
        (1, owner(7, "zsh")),
        (2, owner(8, "dig")),
        (3, owner(1, "ntpd")),
    ]);
    stand(
        Key::Process,
        &[sample(2), sample(3), sample(1), sample(4)],
        3,
        &owners,
    );
}

#[test]
fn equal_ones_stand_by_bytes_then_by_id() {
    let samples = [with(9, |one| one.orig.bytes = 200), sample(4), sample(5)];
    for key in [
        Key::Connections,
        Key::Wait,
        Key::Process,
        Key::Status,
        Key::Age,
    ] {
        for reverse in [false, true] {
            assert_eq!(
                ids(&samples, &Nothing, &sorted(key, reverse)),
                [9, 4, 5],
                "{key:?}"
            );
        }
    }
}

#[test]
fn top_keeps_the_first_of_the_whole_order() {
    let samples: Vec<_> = (1..=50)
        .map(|id| with(id, |one| one.orig.bytes = 100 * id))
        .collect();
    let all = ids(&samples, &Nothing, &sorted(Key::Bytes, false));
    assert_eq!(all, (1..=50).rev().collect::<Vec<_>>());
    for top in [0, 1, 7, 49, 50, 51, usize::MAX] {
        let query = Query {
            top: Some(top),
            ..sorted(Key::Bytes, false)
        };
        assert_eq!(ids(&samples, &Nothing, &query), all[..top.min(50)], "{top}");
    }
    let grouped = Query {
        by: Some(Field::Originator),
        top: Some(0),
        ..Query::default()
    };
    assert_eq!(groups(&samples, &Nothing, &grouped), []);
}

#[test]
fn status_and_process_choose() {
    let samples = [
        with(1, |one| one.status = Status::Unreplied),
        sample(2),
        sample(3),
    ];
    let of = |status| Query {
        status: Some(status),
        ..Query::default()
    };
    assert_eq!(ids(&samples, &Nothing, &of(Status::Unreplied)), [1]);
    assert_eq!(ids(&samples, &Nothing, &of(Status::Assured)), [0; 0]);
    // A process at either end, by its name or its id; one whose name is another's id is found, too.
    let owners = Owners(vec![
        (1, owner(7, "dig")),
        (2, owner(8, "7")),
        (53, owner(9, "named")),
    ]);
    let by = |word: &str| {
        let query = Query {
            process: Some(word.to_owned()),
            ..sorted(Key::Originator, false)
        };
        ids(&samples, &owners, &query)
    };
    assert_eq!(by("dig"), [1]);
    assert_eq!(by("7"), [1, 2]);
    assert_eq!(by("8"), [2]);
    assert_eq!(by("named"), [1, 2, 3]);
    assert_eq!(by("nam"), [0; 0]);
    assert_eq!(by("10"), [0; 0]);
    assert_eq!(
        ids(
            &samples,
            &Nothing,
            &Query {
                process: Some("dig".to_owned()),
                ..Query::default()
            }
        ),
        [0; 0]
    );
}

#[test]
fn unanswered_ones_wait_or_were_never_answered() {
    let query = Query {
        unanswered: true,
        ..sorted(Key::Originator, false)
    };
    let samples = [
        sample(1),
        waiting(2, 5),
        with(3, |one| one.status = Status::Unreplied),
        with(4, |one| one.status = Status::Unreach),
    ];
    assert_eq!(ids(&samples, &Nothing, &query), [2, 3]);
}

/// Labels and how many connections they have, in their order.
fn groups(samples: &[Sample], facts: &dyn Facts, query: &Query) -> Vec<(String, u64)> {
    match rows(&table(samples), facts, query, None) {
        Rows::Groups(groups) => groups
            .into_iter()
            .map(|group| (group.label, group.connections))
            .collect(),
        Rows::Connections(places) => panic!("{places:?}"),
    }
}

#[test]
fn groups_by_each_field() {
    let mut samples: Vec<_> = (1..=9).map(sample).collect();
    samples[0].responder = "10.0.9.3:53".parse().unwrap();
    samples[1].responder = "10.0.8.3:123".parse().unwrap();
    samples[2].originator = "[2001:db8::1]:3".parse().unwrap();
    samples[2].responder = "[2001:db8:0:7:1::1]:443".parse().unwrap();
    let owners = Owners(vec![
        (1, owner(7, "dig")),
        (2, owner(8, "dig")),
        (5, owner(7, "dig")),
    ]);
    let by = |field| {
        let query = Query {
            by: Some(field),
            ..sorted(Key::Responder, false)
        };
        let shown = groups(&samples, &owners, &query);
        shown
            .iter()
            .map(|(label, connections)| format!("{label} {connections}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(by(Field::Originator), ["10.0.0.1 8", "2001:db8::1 1"]);
    assert_eq!(
        by(Field::Responder),
        [
            "10.0.8.3:123 1",
            "10.0.9.2:53 6",
            "10.0.9.3:53 1",
            "[2001:db8:0:7:1::1]:443 1"
        ]
    );
    assert_eq!(by(Field::Port), ["53 7", "123 1", "443 1"]);
    assert_eq!(
        by(Field::Subnet),
        ["10.0.8.0/24 1", "10.0.9.0/24 7", "2001:db8:0:7::/64 1"]
    );
    assert_eq!(
        by(Field::Process),
        ["dig/7 2", "dig/8 1", "forwarded 1", "- 5"]
    );
}

#[test]
fn a_group_is_the_sum_of_its_connections() {
    let one = with(1, |one| {
        one.orig = Counts {
            packets: 6,
            bytes: 600,
        };
        one.first_ns = 5;
        one.response = Response {
            answered: 3,
            sum_ns: 30,
            min_ns: 5,
            max_ns: 15,
            waiting: 1,
            waiting_since_ns: Some(40),
            ..Response::default()
        };
    });
    let two = with(2, |two| {
        two.last_ns = 9 * SECOND;
        two.status = Status::Unreplied;
        two.response = Response {
            waiting: 1,
            waiting_since_ns: Some(30),
            ..Response::default()
        };
    });
    let table = table(&[one, two]);
    let query = Query {
        by: Some(Field::Responder),
        ..Query::default()
    };
    let rows = rows(&table, &Nothing, &query, None);
    let Rows::Groups(groups) = &rows else {
        panic!("{rows:?}");
    };
    let [group] = &groups[..] else {
        panic!("{groups:?}");
    };
    assert_eq!(group.shared, Shared::End(one.responder));
    assert_eq!(
        (group.connections, group.unanswered, group.retries()),
        (2, 2, 2)
    );
    assert_eq!(
        group.orig,
        Counts {
            packets: 7,
            bytes: 700
        }
    );
    assert_eq!(
        group.reply,
        Counts {
            packets: 2,
            bytes: 200
        }
    );
    assert_eq!((group.first_ns, group.last_ns), (5, 9 * SECOND));
    assert_eq!(
        (group.response.asked(), group.response.mean_ns()),
        (5, Some(10))
    );
    assert_eq!(group.response.waiting_since_ns, Some(30));
    let sum: f32 = table
        .iter()
        .map(|one| one.rates.total(Window::Short).bytes)
        .sum();
    assert!((group.rates.total(Window::Short).bytes - sum).abs() <= sum * 1e-6);
}

/// Servers by what they owe: requests, then the oldest wait, then retries; who owes nothing is not there.
#[test]
fn servers_with_unanswered_requests() {
    let at = |id, port, since: Option<u64>| {
        with(id, |one| {
            one.responder.set_port(port);
            one.response = Response {
                answered: u64::from(since.is_none()),
                waiting: u64::from(since.is_some()),
                waiting_since_ns: since,
                ..Response::default()
            };
        })
    };
    let mut retried = at(7, 400, None);
    retried.orig.packets = 2;
    let samples = [
        at(1, 100, Some(50)),
        at(2, 200, Some(40)),
        at(3, 300, Some(60)),
        at(4, 300, Some(70)),
        at(5, 300, None),
        at(6, 500, None),
        retried,
    ];
    let query = Query {
        unanswered: true,
        by: Some(Field::Responder),
        ..sorted(Key::Unanswered, false)
    };
    let shown = groups(&samples, &Nothing, &query);
    let expected = [(300, 3), (200, 1), (100, 1), (400, 1)];
    assert_eq!(
        shown,
        expected.map(|(port, count)| (format!("10.0.9.2:{port}"), count))
    );
}

#[test]
fn groups_sort_by_every_key() {
    let mut samples: Vec<_> = (1..=3)
        .map(|id| {
            with(id, |one| {
                one.responder.set_port(9 + u16::try_from(id).unwrap());
            })
        })
        .collect();
    samples.push(with(4, |one| one.responder.set_port(12)));
    let order = |key, reverse| {
        let query = Query {
            by: Some(Field::Port),
            ..sorted(key, reverse)
        };
        groups(&samples, &Nothing, &query)
            .into_iter()
            .map(|(label, _)| label)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(Key::Connections, false), ["12", "10", "11"]);
    assert_eq!(order(Key::Connections, true), ["10", "11", "12"]);
    assert_eq!(order(Key::Bytes, false), ["12", "10", "11"]);
    // As numbers; 9 would come after 12 as text.
    assert_eq!(order(Key::Responder, false), ["10", "11", "12"]);
    assert_eq!(order(Key::Responder, true), ["12", "11", "10"]);
    // No value: by bytes, then by what they share, either way.
    for key in [Key::Status, Key::FirstReply, Key::Wait, Key::Response] {
        assert_eq!(order(key, false), ["12", "10", "11"], "{key:?}");
        assert_eq!(order(key, true), ["12", "10", "11"], "{key:?}");
    }
}
