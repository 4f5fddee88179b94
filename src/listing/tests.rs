//! Which rows, in which order: by every key and every field.

use std::net::SocketAddr;
use std::sync::LazyLock;

use super::*;
use crate::model::{
    ConnectionId, Counts, DropClass, Dropped, End, Heard, Ifindex, Owner, Processes, QuicFacts,
    Response, Role, RoundTrip, Shared, Timeouts, Vlans, Window,
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
pub(super) struct Owners(pub(super) Vec<(u16, Owner)>);

/// What every client asks for.
static QUIC: LazyLock<QuicFacts> = LazyLock::new(|| QuicFacts {
    server_name: Some("www.example".into()),
    ..QuicFacts::default()
});

impl Facts for Owners {
    fn interface(&self, index: Ifindex) -> String {
        format!("if{}", index.0)
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

    fn quic(&self, _: &Sample) -> Option<&QuicFacts> {
        Some(&QUIC)
    }
}

pub(super) fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        pid,
        command: command.to_owned(),
        script: None,
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
        unreachable: None,
        first_ns: SECOND,
        last_ns: 2 * SECOND,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        orig_class: None,
        reply_class: None,
        role: Role::Seen,
        response: Response::default(),
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::Nothing,
    }
}

fn with(id: u64, change: impl Fn(&mut Sample)) -> Sample {
    let mut sample = sample(id);
    change(&mut sample);
    sample
}

fn at(now_ns: u64) -> Moment<'static> {
    Moment {
        now_ns,
        ..Moment::default()
    }
}

fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new(1 << 20, Timeouts::default());
    table.apply(samples.iter().copied(), 3 * SECOND);
    table
}

fn ids(samples: &[Sample], facts: &dyn Facts, query: &Query) -> Vec<u64> {
    let table = table(samples);
    match rows(&table, facts, query, at(10 * SECOND)) {
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

/// Sorted by a key, these stand in this order; reversed, the first `values` stand the other way round, and the rest, which has
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
    let took = |id, ns: [u64; 2]| {
        with(id, |one| {
            one.response = Response {
                answered: 2,
                min_ns: ns[0],
                max_ns: ns[1],
                ..Response::default()
            };
            for ns in ns {
                let bucket = usize::from(ns >= 8192);
                one.response.histogram[bucket] += 1;
            }
        })
    };
    // Medians: in the middle of the first bucket, at its end; 95 % at the end of the last.
    let slowest_last = [
        took(3, [7_000, 7_000]),
        took(1, [300, 900]),
        took(4, [100, 500]),
        sample(2),
    ];
    stand(Key::Response, &slowest_last, 3, &Nothing);
    let by_p95 = [
        took(4, [100, 9_000]),
        took(3, [7_000, 7_000]),
        took(1, [300, 900]),
        sample(2),
    ];
    stand(Key::P95, &by_p95, 3, &Nothing);
    let turned = |id, median_ns| {
        with(id, |one| {
            one.round_trip = Some(RoundTrip {
                median_ns,
                min_ns: 1,
                parts: None,
            });
        })
    };
    stand(
        Key::Rtt,
        &[turned(3, 90), turned(1, 80), sample(2)],
        2,
        &Nothing,
    );
    stand(
        Key::Wait,
        &[waiting(3, 10), waiting(1, 20), sample(2)],
        2,
        &Nothing,
    );
}

#[test]
fn by_requests_and_their_loss() {
    let asked = |id, answered, lost| {
        with(id, |one| {
            (one.orig.packets, one.reply.packets) = (answered + lost, answered);
            one.response = Response {
                answered,
                lost,
                ..Response::default()
            };
        })
    };
    let one_way = with(5, |one| {
        one.responder.set_port(514);
        one.reply = Counts::default();
    });
    let by_asked = [asked(3, 90, 10), asked(4, 20, 1), asked(1, 0, 2), one_way];
    stand(Key::Asked, &by_asked, 3, &Nothing);
    // All of them, a tenth, less, none at all; of equal shares the larger number.
    let by_lost = [
        asked(6, 0, 3),
        asked(1, 0, 2),
        asked(3, 90, 10),
        asked(4, 20, 1),
        asked(2, 7, 0),
        one_way,
    ];
    stand(Key::Lost, &by_lost, 5, &Nothing);
    let refused = with(7, |one| {
        one.status = Status::Unreach;
        one.unreachable = Some(End::Responder);
        one.reply = Counts::default();
    });
    let by_state = [
        asked(6, 0, 3),
        asked(1, 0, 2),
        refused,
        asked(3, 90, 10),
        asked(2, 7, 0),
        one_way,
    ];
    stand(Key::State, &by_state, 6, &Nothing);
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
fn by_words_from_a_on() {
    stand(
        Key::Status,
        &[
            with(4, |one| one.status = Status::Unreplied),
            with(3, |one| one.status = Status::Replied),
            with(2, |one| one.status = Status::Assured),
            with(1, |one| {
                one.status = Status::Unreach;
                one.unreachable = Some(End::Responder);
            }),
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

/// Labels and how many connections they have, in their order.
fn groups(samples: &[Sample], facts: &dyn Facts, query: &Query) -> Vec<(String, u64)> {
    match rows(&table(samples), facts, query, at(10 * SECOND)) {
        Rows::Groups(groups) => groups
            .into_iter()
            .map(|group| (group.shared.text(), group.connections))
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
        by(Field::Server),
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
    assert_eq!(by(Field::Process), ["dig 3", "forwarded 1", "- 5"]);
    assert_eq!(
        by(Field::Host),
        [
            "10.0.0.1 8",
            "10.0.8.3 1",
            "10.0.9.2 6",
            "10.0.9.3 1",
            "2001:db8::1 1",
            "2001:db8:0:7:1::1 1"
        ]
    );
    assert_eq!(by(Field::Interface), ["if2 9"]);
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
        by: Some(Field::Server),
        ..Query::default()
    };
    let rows = rows(&table, &Nothing, &query, at(10 * SECOND));
    let Rows::Groups(groups) = &rows else {
        panic!("{rows:?}");
    };
    let [group] = &groups[..] else {
        panic!("{groups:?}");
    };
    assert_eq!(group.shared, Shared::End(one.responder));
    assert_eq!(group.connections, 2);
    assert_eq!(
        group.received,
        Counts {
            packets: 7,
            bytes: 700
        }
    );
    assert_eq!(
        group.sent,
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
    assert!((group.rate(Window::Short).bytes - sum).abs() <= sum * 1e-6);
}

/// Dead, refused, lossy, or with a request that waits for more than a second; never one-way.
#[test]
fn unanswered_are_those_whose_requests_get_no_answer() {
    let waits = |id, ns| {
        with(id, |one| {
            one.responder.set_port(100 + u16::try_from(id).unwrap());
            one.response = Response {
                answered: 1,
                waiting: 1,
                waiting_since_ns: Some(10 * SECOND - ns),
                ..Response::default()
            };
            one.orig.packets = 2;
        })
    };
    let lost = |id, answered, lost| {
        with(id, |one| {
            one.responder.set_port(100 + u16::try_from(id).unwrap());
            (one.orig.packets, one.reply.packets) = (answered + lost, answered);
            one.response = Response {
                answered,
                lost,
                ..Response::default()
            };
        })
    };
    let one_way = with(8, |one| {
        one.responder.set_port(514);
        one.reply = Counts::default();
        one.response = Response {
            waiting: 1,
            waiting_since_ns: Some(SECOND),
            ..Response::default()
        };
    });
    let samples = [
        waits(1, SECOND),
        waits(2, SECOND + 1),
        lost(3, 98, 2),
        lost(4, 8, 2),
        lost(5, 0, 1),
        lost(6, 4, 4),
        one_way,
        sample(9),
    ];
    let query = Query {
        unanswered: true,
        ..sorted(Key::State, false)
    };
    assert_eq!(ids(&samples, &Nothing, &query), [5, 6, 4, 2]);
    let query = Query {
        by: Some(Field::Server),
        ..query
    };
    let shown = groups(&samples, &Nothing, &query);
    let expected = [105, 106, 104, 102].map(|port| (format!("10.0.9.2:{port}"), 1));
    assert_eq!(shown, expected);
}

#[test]
fn hosts_have_what_went_both_ways_and_servers_their_clients() {
    let back = with(4, |one| {
        std::mem::swap(&mut one.originator, &mut one.responder);
        one.orig = counts(500);
    });
    let samples = [
        with(1, |one| one.orig = counts(300)),
        with(2, |one| one.originator = "10.0.0.7:9".parse().unwrap()),
        with(3, |one| one.role = Role::Guessed),
        back,
    ];
    let owners = Owners(vec![
        (1, owner(7, "dig")),
        (3, owner(8, "dig")),
        (4, owner(9, "zsh")),
    ]);
    let of = |field, shared: &str| {
        let query = Query {
            by: Some(field),
            ..Query::default()
        };
        let table = table(&samples);
        let Rows::Groups(groups) = rows(&table, &owners, &query, at(SECOND)) else {
            panic!();
        };
        let mut groups = groups.into_iter();
        groups.find(|group| group.shared.text() == shared).unwrap()
    };
    let host = of(Field::Host, "10.0.0.1");
    assert_eq!(host.connections, 3);
    // It asked twice and was answered, and was sent to once.
    assert_eq!(host.sent.bytes, 300 + 100 + 100);
    assert_eq!(host.received.bytes, 100 + 100 + 500);
    let received = f64::from(host.received_rate(Window::Short).bytes);
    let sent = f64::from(host.sent_rate(Window::Short).bytes);
    assert!((received / sent - 7.0 / 5.0).abs() < 1e-6);
    assert_eq!((host.clients.count(), host.role), (2, Role::Guessed));
    let server = of(Field::Server, "10.0.9.2:53");
    assert_eq!((server.connections, server.clients.count()), (3, 2));
    assert_eq!(server.processes.to_string(), "dig x2");
    let process = of(Field::Process, "dig");
    let pids: Vec<u32> = process
        .processes
        .iter()
        .flat_map(|one| one.pids.iter())
        .collect();
    assert_eq!((process.connections, pids.len()), (2, 2));
    assert_eq!(process.sent.bytes, 400);
}

/// A packet to oneself is both sent and received.
#[test]
fn a_host_that_asks_itself_counts_once() {
    let own = with(1, |one| one.responder = "10.0.0.1:53".parse().unwrap());
    let query = Query {
        by: Some(Field::Host),
        ..Query::default()
    };
    let Rows::Groups(groups) = rows(&table(&[own]), &Nothing, &query, at(SECOND)) else {
        panic!();
    };
    let [host] = &groups[..] else {
        panic!("{groups:?}");
    };
    assert_eq!(
        (host.connections, host.sent, host.received),
        (1, counts(200), counts(200))
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
    samples[1].round_trip = Some(RoundTrip {
        median_ns: 7,
        min_ns: 7,
        parts: None,
    });
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
    assert_eq!(order(Key::Rtt, false), ["11", "12", "10"]);
    // No value: by bytes, then by what they share, either way.
    for key in [Key::Status, Key::FirstReply, Key::Wait, Key::Response] {
        assert_eq!(order(key, false), ["12", "10", "11"], "{key:?}");
        assert_eq!(order(key, true), ["12", "10", "11"], "{key:?}");
    }
}

/// Who sends is not who loses.
#[test]
fn what_found_no_room_is_lost_by_the_program_that_it_was_for() {
    let (sender, receiver) = (owner(1, "send"), owner(2, "statsd"));
    let processes = Processes {
        originator: Some(&sender),
        responder: Some(&receiver),
        forwarded: false,
    };
    let packet = Counts {
        packets: 1,
        bytes: 100,
    };
    let mut lost = sample(1);
    lost.dropped.add(DropClass::Firewall, packet);
    assert_eq!(processes.in_tables(&lost).main(), Some(&sender));
    lost.dropped.add(DropClass::SocketBuffer, packet);
    assert_eq!(processes.in_tables(&lost).main(), Some(&receiver));
    // Who was asked is elsewhere: answers were lost.
    let alone = Processes {
        responder: None,
        ..processes
    };
    assert_eq!(alone.in_tables(&lost).main(), Some(&sender));
}
