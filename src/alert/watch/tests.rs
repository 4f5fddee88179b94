//! Rules on seconds of made traffic: what they say, and when.

use std::rc::Rc;

use super::*;
use crate::model::{
    Books, ConnectionId, Counts, Direction, DnsCounts, DropClass, Dropped, EndReason, Heard,
    HookBooks, Ifindex, Owner, Place, Report, Response, Role, Status, Table, Timeouts, Vlans,
};

const SECOND: u64 = 1_000_000_000;

struct Nothing;

impl Facts for Nothing {
    fn interface(&self, index: Ifindex) -> String {
        format!("if{}", index.0)
    }
}

fn sample(id: u64, host: u8, port: u16, answered: bool) -> Sample {
    Sample {
        id: ConnectionId(id),
        place: Place(u32::try_from(id).unwrap()),
        ifindex: Ifindex(2),
        reply_ifindex: answered.then_some(Ifindex(2)),
        vlans: Vlans::default(),
        originator: ([10, 0, 0, host], 40_000).into(),
        responder: ([10, 0, 1, 1], port).into(),
        orig: Counts {
            packets: 1,
            bytes: 100,
        },
        reply: Counts {
            packets: answered.into(),
            bytes: 200 * u64::from(answered),
        },
        status: Status::Unreplied,
        unreachable: None,
        first_ns: 0,
        last_ns: 0,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        orig_class: None,
        reply_class: None,
        role: Role::Seen,
        response: Response {
            answered: answered.into(),
            waiting: (!answered).into(),
            ..Response::default()
        },
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::Nothing,
    }
}

struct Ground {
    alerts: Alerts,
    table: Table,
    now: u64,
    next: u64,
}

impl Ground {
    fn new(rule: &str) -> Self {
        Self {
            alerts: Alerts::new(vec![Rule::parse(rule).unwrap()], 0),
            table: Table::new(1_000_000, Timeouts::default()),
            now: 100 * SECOND,
            next: 0,
        }
    }

    /// A second in which these connections begin.
    fn second(&mut self, samples: impl IntoIterator<Item = (u8, u16, bool)>) -> Vec<String> {
        self.now += SECOND;
        let mut fresh = Vec::new();
        for (host, port, answered) in samples {
            fresh.push(sample(self.next, host, port, answered));
            self.next += 1;
        }
        self.table.apply(fresh, self.now);
        self.tick()
    }

    /// A second in which these connections end.
    fn ends(&mut self, samples: impl IntoIterator<Item = Sample>) -> Vec<String> {
        self.now += SECOND;
        let reason = EndReason::Idle;
        let ended: Vec<_> = samples
            .into_iter()
            .map(|sample| Ended { sample, reason })
            .collect();
        for Ended { sample, .. } in &ended {
            self.table.end(sample, reason);
        }
        self.tick_with(&ended, &Report::default())
    }

    fn tick(&mut self) -> Vec<String> {
        self.tick_with(&[], &Report::default())
    }

    fn tick_with(&mut self, ended: &[Ended], report: &Report) -> Vec<String> {
        self.tick_of(ended, report, None)
    }

    fn tick_of(
        &mut self,
        ended: &[Ended],
        report: &Report,
        buffers: Option<&[Buffer]>,
    ) -> Vec<String> {
        let notices = self.alerts.tick(&Tick {
            now_ns: self.now,
            table: &self.table,
            swapped: &[],
            ended,
            report,
            facts: &Nothing,
            buffers,
        });
        notices.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn fires_once_and_is_over_after_a_quiet_window() {
    let mut ground = Ground::new("unreplied > 10/s by server over 5s");
    // 50 in a window of 5 s are not more than 10/s; one more is.
    assert!(ground.second((0..50).map(|_| (1, 53, false))).is_empty());
    assert_eq!(
        ground.second([(1, 53, false), (1, 54, false)]),
        ["unreplied 10.2/s > 10/s by server 10.0.1.1:53"]
    );
    for _ in 0..4 {
        assert!(ground.second((0..60).map(|_| (1, 53, false))).is_empty());
    }
    let mut over = Vec::new();
    let mut seconds = 0;
    while over.is_empty() {
        over = ground.second([]);
        seconds += 1;
        assert!(seconds < 20);
    }
    assert_eq!(
        over,
        ["unreplied 0/s, no longer > 10/s by server 10.0.1.1:53"]
    );
    // What is in the window goes out of it, and then it is quiet for one.
    assert!((6..=11).contains(&seconds), "{seconds}");
}

#[test]
fn rates_stand_in_their_unit() {
    let mut ground = Ground::new("rate > 0.5Mbit by originator over 2s");
    assert_eq!(
        ground.second((0..2_000).map(|_| (1, 53, true))),
        ["rate 2.4 Mbit/s > 500 kbit/s by originator 10.0.0.1"]
    );
}

#[test]
fn answered_requests_are_no_flood() {
    let mut ground = Ground::new("udp-flood");
    for _ in 0..10 {
        assert!(ground.second((0..2000).map(|_| (1, 53, true))).is_empty());
    }
}

#[test]
fn connections_that_end_between_two_ticks_count() {
    let mut ground = Ground::new("new > 1/s over 2s");
    let short = (0..3).map(|id| sample(id, 1, 53, false));
    assert_eq!(ground.ends(short), ["new 1.5/s > 1/s"]);
}

#[test]
fn an_end_counts_what_came_since_the_tick_before() {
    let mut ground = Ground::new("packets > 1/s over 2s");
    assert!(ground.second([(1, 53, false)]).is_empty());
    let mut last = sample(0, 1, 53, false);
    last.orig.packets += 2;
    assert_eq!(ground.ends([last]), ["packets 1.5/s > 1/s"]);
}

#[test]
fn an_end_without_news_counts_nothing() {
    let mut ground = Ground::new("packets > 0.5/s over 10s");
    assert!(ground.second((0..5).map(|_| (1, 53, false))).is_empty());
    let silent = (0..5).map(|id| sample(id, 1, 53, false));
    assert!(ground.ends(silent).is_empty());
    assert_eq!(ground.second([(1, 53, false)]), ["packets 0.6/s > 0.5/s"]);
}

#[test]
fn another_connection_at_the_place_of_an_ended_one_is_new() {
    let mut ground = Ground::new("new > 0.9/s over 2s");
    let first = sample(0, 1, 53, false);
    let second = Sample {
        id: ConnectionId(77),
        ..first
    };
    ground.now += SECOND;
    ground.table = Table::of(&[first], 100, Timeouts::default(), ground.now);
    assert!(ground.tick().is_empty());
    ground.now += SECOND;
    ground.table = Table::of(&[second], 100, Timeouts::default(), ground.now);
    let ended = Ended {
        sample: first,
        reason: EndReason::Idle,
    };
    assert_eq!(
        ground.tick_with(&[ended], &Report::default()),
        ["new 1/s > 0.9/s"]
    );
}

#[test]
fn live_connections_count_while_they_are_silent_and_until_they_end() {
    let mut ground = Ground::new("connections > 1 by server over 2s");
    assert!(ground.second([(1, 53, true), (1, 54, true)]).is_empty());
    assert_eq!(
        ground.second([(1, 53, true)]),
        ["connections 2 > 1 by server 10.0.1.1:53"]
    );
    for _ in 0..5 {
        assert!(ground.second([]).is_empty());
    }
    assert!(ground.ends([sample(2, 1, 53, true)]).is_empty());
    assert!(ground.ends([sample(0, 1, 53, true)]).is_empty());
    assert!(ground.second([]).is_empty());
    assert_eq!(
        ground.second([]),
        ["connections 0, no longer > 1 by server 10.0.1.1:53"]
    );
}

#[test]
fn what_began_before_the_run_is_no_news_but_what_it_does_is() {
    let mut ground = Ground::new("packets > 0.5/s over 2s");
    // It has a packet already.
    ground.alerts.started_ns = 1;
    assert!(ground.second([(1, 53, false)]).is_empty());
    let mut later = sample(0, 1, 53, false);
    later.orig.packets += 1;
    ground.now += SECOND;
    ground.table.apply([later], ground.now);
    assert!(ground.tick().is_empty());
    later.orig.packets += 1;
    assert_eq!(ground.ends([later]), ["packets 1/s > 0.5/s"]);
}

#[test]
fn frames_without_room_are_those_of_a_full_table_since_the_tick_before() {
    let mut ground = Ground::new("table-full > 5/s");
    let mut refuse = |packets| {
        let mut books = Books::default();
        books.skipped[Skip::TableFull as usize].packets = packets;
        books.skipped[Skip::Filtered as usize].packets = 1_000_000;
        let hook = HookBooks {
            interface: "eth0".to_owned(),
            direction: Direction::Ingress,
            books,
            dropped: Vec::new(),
        };
        let report = Report {
            hooks: vec![hook],
            ..Report::default()
        };
        ground.now += SECOND;
        ground.tick_with(&[], &report)
    };
    assert!(refuse(100).is_empty());
    assert!(refuse(105).is_empty());
    assert_eq!(refuse(111), ["table-full 6/s > 5/s"]);
}

#[test]
fn a_scan_is_told_by_its_ports() {
    let mut ground = Ground::new("port-scan");
    assert!(
        ground
            .second((0..500).map(|n| (2, 53 + n % 5, true)))
            .is_empty()
    );
    assert_eq!(
        ground.second((0..101).map(|n| (1, 1000 + n, false))),
        ["port-scan: ports 101 > 100 by originator 10.0.0.1"]
    );
}

/// Of what is seen at the start of a run nobody knows whether it is new.
#[test]
fn what_may_have_been_there_before_is_no_scan() {
    let mut ground = Ground::new("port-scan");
    let there = (0..150).map(|id| Sample {
        role: Role::Guessed,
        ..sample(id, 1, 1000 + u16::try_from(id).unwrap(), false)
    });
    assert_eq!(ground.ends(there), Vec::<String>::new());
}

/// Receivers of statsd and of a tunnel, a group, DHCP: each with 700 new connections a second that nobody answers.
#[test]
fn services_that_never_answer_are_no_flood() {
    for to in [
        "10.0.1.1:8125",
        "10.0.1.1:4789",
        "239.1.2.3:5004",
        "255.255.255.255:67",
    ] {
        let mut ground = Ground::new("udp-flood");
        for second in 0..12 {
            let clients = (0..700).map(|client| Sample {
                responder: to.parse().unwrap(),
                ..sample(second * 700 + client, 1, 53, false)
            });
            assert_eq!(ground.ends(clients), Vec::<String>::new(), "{to}");
        }
    }
}

/// One connection to a port, and what it has come to.
fn asked(port: u16, answered: u64, lost: u64) -> Sample {
    let mut one = sample(u64::from(port), 1, port, true);
    one.orig.packets = answered + lost;
    one.reply.packets = answered;
    one.response = Response {
        answered,
        lost,
        min_ns: 1_000_000,
        max_ns: 90_000_000,
        ..Response::default()
    };
    // 1 to 2 ms.
    one.response.histogram[8] = u32::try_from(answered).unwrap();
    one
}

impl Ground {
    /// A second after which these connections have come so far.
    fn then(&mut self, samples: impl IntoIterator<Item = Sample>) -> Vec<String> {
        self.now += SECOND;
        self.table.apply(samples, self.now);
        self.tick()
    }
}

#[test]
fn lost_is_a_share_of_what_is_over() {
    let mut ground = Ground::new("lost > 5% by server over 5s");
    assert!(ground.then([asked(53, 200, 10)]).is_empty());
    // One of a few says nothing, two do.
    let mut other = Ground::new("lost > 5% by server");
    assert!(other.then([asked(53, 2, 1)]).is_empty());
    assert_eq!(
        other.then([asked(53, 2, 2)]),
        ["lost 50% > 5% by server 10.0.1.1:53"]
    );
    assert_eq!(
        ground.then([asked(53, 260, 70)]),
        ["lost 21.2% > 5% by server 10.0.1.1:53"]
    );
    // Over when it is below 4 % for a window.
    let mut over = Vec::new();
    for second in 1..=11 {
        over = ground.then([asked(53, 260 + 100 * second, 70)]);
        if !over.is_empty() {
            assert_eq!(second, 10);
            break;
        }
    }
    assert_eq!(over, ["lost 0%, no longer > 5% by server 10.0.1.1:53"]);
}

/// By the kernel's counts of codes.
#[test]
fn dns_answers_that_fail_are_a_share_of_all() {
    let said = |measure: &str, rcodes: [u64; 7]| {
        let mut ground = Ground::new(&format!("{measure} > 5% by server"));
        let mut one = asked(53, 1, 0);
        one.dns = Some(DnsCounts {
            rcodes,
            ..DnsCounts::default()
        });
        ground.then([one])
    };
    let fails = [80, 0, 10, 10, 0, 0, 0];
    assert_eq!(
        said("servfail", fails),
        ["servfail 10% > 5% by server 10.0.1.1:53"]
    );
    assert_eq!(
        said("nxdomain", fails),
        ["nxdomain 10% > 5% by server 10.0.1.1:53"]
    );
    // One of a few says nothing.
    let none = Vec::<String>::new();
    assert_eq!(said("servfail", [2, 0, 1, 0, 0, 0, 0]), none);
    assert_eq!(said("servfail", [99, 0, 1, 0, 0, 0, 0]), none);
    // Where there is no DNS, there is nothing to say.
    assert_eq!(Ground::new("servfail > 5%").then([asked(53, 100, 0)]), none);
}

/// A request is lost two seconds after its packet: nothing has grown then.
#[test]
fn a_request_that_is_lost_without_a_packet_counts() {
    let mut ground = Ground::new("dead by server");
    let mut waits = asked(53, 0, 1);
    waits.response.lost = 0;
    waits.response.waiting = 1;
    assert!(ground.then([waits]).is_empty());
    assert_eq!(
        ground.then([asked(53, 0, 1)]),
        ["dead by server 10.0.1.1:53: 1 lost in a row"]
    );
}

#[test]
fn dead_is_what_answers_nothing_until_it_answers() {
    let mut ground = Ground::new("dead by server over 2s");
    assert!(ground.then([asked(123, 5, 0)]).is_empty());
    for _ in 0..60 {
        assert!(ground.second([]).is_empty());
    }
    // It has answered before, so one lost request is not enough.
    assert!(ground.then([asked(123, 5, 1)]).is_empty());
    for _ in 0..60 {
        assert!(ground.second([]).is_empty());
    }
    assert_eq!(
        ground.then([asked(123, 5, 2)]),
        ["dead by server 10.0.1.1:123: 2 lost in a row"]
    );
    for _ in 0..60 {
        assert!(ground.second([]).is_empty());
    }
    assert!(ground.then([asked(123, 6, 2)]).is_empty());
    assert!(ground.second([]).is_empty());
    assert_eq!(ground.second([]), ["dead by server 10.0.1.1:123"]);
}

#[test]
fn what_is_one_way_lacks_no_answer() {
    let rules = [
        "dead by server",
        "lost > 1% by server",
        "unreplied > 0.1/s by server",
    ];
    for rule in rules {
        let mut ground = Ground::new(rule);
        for second in 1..20 {
            // A log; a stream that is never answered; a group address.
            let mut stream = asked(5201, 0, 1000 * second);
            stream.response.lost = 10;
            let mut group = asked(5353, 0, second);
            group.responder = ([224, 0, 0, 251], 5353).into();
            let told = ground.then([asked(514, 0, second), stream, group]);
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }
    // Lines of a log from a socket each, to a port that is no known service: dead, until there are ten.
    let mut ground = Ground::new("dead by server over 2s");
    let line = |id| Sample {
        id: ConnectionId(id),
        place: Place(u32::try_from(id).unwrap()),
        ..asked(5514, 0, 1)
    };
    assert_eq!(ground.then((0..9).map(line)).len(), 1);
    assert!(ground.then((9..12).map(line)).is_empty());
    assert!(ground.second([]).is_empty());
    assert_eq!(ground.second([]), ["dead by server 10.0.1.1:5514"]);
    // The list may be another one.
    let mut ground = Ground::new("dead by server");
    ground.alerts = ground.alerts.with(OneWayPorts::new(vec![7000]));
    assert!(ground.then([asked(7000, 0, 1)]).is_empty());
    assert_eq!(ground.then([asked(514, 0, 1)]).len(), 1);
}

#[test]
fn response_times_by_percentile() {
    let mut slow = asked(53, 100, 0);
    // A tenth takes 67 to 90 ms.
    slow.response.histogram[8] = 90;
    slow.response.histogram[14] = 10;
    for (rule, told) in [
        ("response > 50ms by server", None),
        ("response p50 > 50ms by server", None),
        (
            "response p95 > 50ms by server",
            Some("response p95 78.6ms > 50ms by server 10.0.1.1:53"),
        ),
        (
            "response > 1ms by server",
            Some("response 1.6ms > 1ms by server 10.0.1.1:53"),
        ),
    ] {
        let mut ground = Ground::new(rule);
        assert_eq!(ground.then([slow]), told.as_slice(), "{rule}");
    }
    // What was before the window counts no more.
    let mut ground = Ground::new("response p95 > 50ms by server over 2s");
    assert_eq!(ground.then([slow]).len(), 1);
    let mut quick = slow;
    let mut over = Vec::new();
    for _ in 0..4 {
        quick.response.answered += 100;
        quick.orig.packets += 100;
        quick.reply.packets += 100;
        quick.response.histogram[8] += 100;
        over.extend(ground.then([quick]));
    }
    assert_eq!(
        over,
        ["response p95 2ms, no longer > 50ms by server 10.0.1.1:53"]
    );
}

#[test]
fn too_little_is_said_after_a_window_and_when_nothing_comes_at_all() {
    // Nothing ever came.
    let mut ground = Ground::new("packets < 5/s over 5s");
    ground.alerts.started_ns = ground.now;
    for _ in 0..4 {
        assert!(ground.second([]).is_empty());
    }
    assert_eq!(ground.second([]), ["packets 0/s < 5/s"]);
    // A group that has just begun is not judged by a window that is not over.
    let mut ground = Ground::new("packets < 5/s by server over 5s");
    let six = || (0..6).map(|_| (1, 53, false));
    for _ in 0..10 {
        assert!(ground.second(six()).is_empty());
    }
    // 24, 18 in the last five seconds.
    assert_eq!(
        ground.second([]),
        ["packets 4.8/s < 5/s by server 10.0.1.1:53"]
    );
    // It stops altogether: still too little, and said once.
    for _ in 0..30 {
        assert!(ground.second([]).is_empty());
    }
    // A fifth above it is 6 a second: that is not more than it.
    let mut told = Vec::new();
    for _ in 0..20 {
        told.extend(ground.second((0..6).map(|_| (1, 53, false))));
    }
    assert_eq!(told, ["packets 6/s, no longer < 5/s by server 10.0.1.1:53"]);
}

#[test]
fn it_is_over_a_fifth_on_the_right_side_for_both_signs() {
    let over_at = |text: &str| Rule::parse(text).unwrap().over_at();
    for (text, value) in [
        ("packets > 10/s", 8.0),
        ("packets < 10/s", 12.0),
        ("fill > 50%", 40.0),
        ("fill < 50%", 60.0),
        ("fill < 90%", 100.0),
    ] {
        assert!((over_at(text) - value).abs() < 1e-9, "{text}");
    }
    // Between the threshold and that, it goes on.
    let mut ground = Ground::new("packets < 5/s by server over 2s");
    let mut each = |count: u16| ground.second((0..count).map(|_| (1, 53, false)));
    for _ in 0..3 {
        assert!(each(9).is_empty());
    }
    assert!(each(1).is_empty());
    assert_eq!(each(8), ["packets 4.5/s < 5/s by server 10.0.1.1:53"]);
    for _ in 0..10 {
        assert!(each(5).is_empty());
    }
}

#[test]
fn a_flood_of_groups_has_bounds() {
    let mut ground = Ground::new("new > 1000000/s by originator");
    ground.now += SECOND;
    let addresses = (0..20_000_u32).map(|n| {
        let mut sample = sample(u64::from(n), 1, 53, false);
        sample.originator = (std::net::Ipv4Addr::from(n), 1).into();
        sample
    });
    ground.table.apply(addresses, ground.now);
    assert!(ground.tick().is_empty());
    assert_eq!(ground.alerts.take_unwatched(), 20_000 - 16_384);
    assert_eq!(ground.alerts.take_unwatched(), 0);
}

#[test]
fn the_table_as_a_whole() {
    let mut ground = Ground::new("fill > 0.001%");
    assert!(ground.second((0..10).map(|n| (1, n, true))).is_empty());
    assert_eq!(ground.second([(1, 99, true)]), ["fill 0% > 0.001%"]);
}

/// What is dropped later than its packet was counted, and of a connection that was there before the run.
#[test]
fn what_the_kernel_drops_is_of_who_lost_it() {
    let mut ground = Ground::new("drops > 0 by server over 5s");
    let mut ours = sample(0, 1, 8125, false);
    let lost = |sample: &mut Sample, packets| {
        let bytes = 100 * packets;
        sample
            .dropped
            .add(DropClass::SocketBuffer, Counts { packets, bytes });
    };
    ground.now += SECOND;
    ground
        .table
        .apply([ours, sample(1, 1, 53, false)], ground.now);
    assert!(ground.tick().is_empty());
    // No packet came since then.
    lost(&mut ours, 3);
    ground.now += SECOND;
    ground.table.apply([ours], ground.now);
    assert_eq!(ground.tick(), ["drops 0.6/s > 0/s by server 10.0.1.1:8125"]);
    for _ in 0..3 {
        ground.now += SECOND;
        assert!(ground.tick().is_empty());
    }
    let mut over = Vec::new();
    for _ in 0..20 {
        over.extend(ground.second([]));
    }
    assert_eq!(over, ["drops 0/s, no longer > 0/s by server 10.0.1.1:8125"]);
    // What an end has lost since the tick before.
    lost(&mut ours, 10);
    assert_eq!(
        ground.ends([ours]),
        ["drops 2/s > 0/s by server 10.0.1.1:8125"]
    );
}

/// A look at sockets: the fullest one of a group counts, as long as the window lasts.
#[test]
fn a_buffer_that_fills_is_of_who_holds_it() {
    let owner = |command: &str| {
        Some(Rc::new(Owner {
            pid: 7,
            command: command.to_owned(),
            script: None,
            uid: 0,
            user: String::new(),
            cgroup: String::new(),
            container: None,
        }))
    };
    let buffer = |port: u16, owner: &Option<Rc<Owner>>, fill| Buffer {
        local: ([10, 0, 1, 1], port).into(),
        owner: owner.clone(),
        fill,
    };
    let (statsd, none) = (owner("statsd"), None);
    let mut ground = Ground::new("buffer > 80% by process over 5s");
    assert!(ground.second([(1, 53, false)]).is_empty());
    let mut look = |buffers: &[Buffer]| {
        ground.now += SECOND;
        ground.tick_of(&[], &Report::default(), Some(buffers))
    };
    let full = [
        buffer(8125, &statsd, 0.5),
        buffer(8126, &statsd, 0.875),
        buffer(4789, &none, 0.75),
    ];
    assert_eq!(look(&full), ["buffer 87.5% > 80% by process statsd"]);
    let others = [buffer(8126, &statsd, 0.25), buffer(4789, &none, 1.0)];
    assert_eq!(look(&others), ["buffer 100% > 80% by process unknown"]);
    let mut over = Vec::new();
    for _ in 0..8 {
        over.extend(look(&[buffer(8126, &statsd, 0.25)]));
    }
    assert!(over.is_empty(), "{over:?}");
    for _ in 0..3 {
        over.extend(look(&[buffer(8126, &statsd, 0.25)]));
    }
    // The other socket is closed: nothing is known of it.
    assert_eq!(
        over,
        [
            "buffer 25%, no longer > 80% by process statsd",
            "buffer 0%, no longer > 80% by process unknown"
        ]
    );
    let mut ground = Ground::new("buffer > 80% by port");
    ground.now += SECOND;
    let said = ground.tick_of(&[], &Report::default(), Some(&full));
    assert_eq!(said, ["buffer 87.5% > 80% by port 8126"]);
}
