//! One connection, one event and one run that the tests of this room share.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::LazyLock;

use super::{Clock, Kinds};
use crate::model::{
    Books, ConnectionId, Counts, Direction, Dropped, DroppedWithoutRoom, Event, EventKind, Facts,
    Heard, HookBooks, Ifindex, Owner, Place, Processes, QuicFacts, Report, Response, Role, Sample,
    Skip, Status, Vlans,
};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) const ALL_KINDS: Kinds = Kinds {
    dns: true,
    new: true,
    data: true,
    end: true,
    quic: true,
};

/// Facts that are interfaces' names alone.
pub(super) struct Interfaces(pub fn(Ifindex) -> String);

impl Facts for Interfaces {
    fn interface(&self, index: Ifindex) -> String {
        (self.0)(index)
    }
}

pub(super) const ETH0: Interfaces = Interfaces(|_| "eth0".to_owned());

pub(super) fn counts(packets: u64, bytes: u64) -> Counts {
    Counts { packets, bytes }
}

/// Monotonic zero is 2026-04-07T21:24:30 UTC; now is a minute later, and it is London.
pub(super) fn clock() -> Clock {
    let zone = jiff::tz::TimeZone::get("Europe/London").unwrap();
    Clock::fixed(1_775_597_070_000_000_000, zone, 60 * SECOND)
}

pub(super) fn sample() -> Sample {
    Sample {
        id: ConnectionId(0xfedc_ba98_7654_3210),
        place: Place::default(),
        ifindex: Ifindex(2),
        reply_ifindex: Some(Ifindex(2)),
        vlans: Vlans::default(),
        originator: "192.168.1.100:12345".parse().unwrap(),
        responder: "8.8.8.8:53".parse().unwrap(),
        orig: counts(3, 1234),
        reply: counts(2, 567),
        status: Status::Replied,
        unreachable: None,
        first_ns: 7_251_547_000,
        last_ns: 12_500_000_000,
        first_reply_ns: Some(7_263_359_345),
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

pub(super) fn event(kind: EventKind, packets: u64) -> Event {
    Event {
        kind,
        id: ConnectionId(0xfedc_ba98_7654_3210),
        place: Place::default(),
        ifindex: Ifindex(2),
        vlans: Vlans::default(),
        source: "192.168.1.100:12345".parse().unwrap(),
        destination: "8.8.8.8:53".parse().unwrap(),
        counts: counts(packets, packets * 74),
        time_ns: 7_251_547_000,
    }
}

pub(super) fn hook(
    interface: &str,
    direction: Direction,
    tracked: Counts,
    skipped: &[(Skip, Counts)],
) -> HookBooks {
    let mut books = Books {
        tracked,
        seen: tracked,
        ..Books::default()
    };
    for (reason, counts) in skipped {
        books.skipped[*reason as usize] = *counts;
        books.seen += *counts;
    }
    HookBooks {
        interface: interface.to_owned(),
        direction,
        books,
        dropped: Vec::new(),
    }
}

/// A run whose books balance, on one interface.
pub(super) fn report() -> Report {
    Report {
        hooks: vec![
            hook(
                "eth0",
                Direction::Ingress,
                counts(1000, 100_000),
                &[
                    (Skip::NotIp, counts(30, 1800)),
                    (Skip::NotUdp, counts(204, 304_000)),
                ],
            ),
            hook(
                "eth0",
                Direction::Egress,
                counts(500, 40_000),
                &[(Skip::NotUdp, counts(100, 9000))],
            ),
        ],
        connections_new: 1200,
        connections_ended: 1197,
        connections_live: 3,
        connections_max: 8192,
        connections_total: counts(1500, 140_000),
        events_lost: 0,
        addresses_without_entry: Counts::default(),
        addresses: 42,
        knows_drops: false,
        dropped_without_room: DroppedWithoutRoom::default(),
        unread: None,
        captured: None,
    }
}

/// Facts that are one owner and one host name.
pub(super) struct Owned {
    pub owner: Owner,
    pub originator: bool,
    pub responder: bool,
    pub forwarded: bool,
}

impl Facts for Owned {
    fn interface(&self, _: Ifindex) -> String {
        "eth0".to_owned()
    }

    fn host_name(&self, _: IpAddr) -> Option<&str> {
        Some("a.example")
    }

    fn quic(&self, _: &Sample) -> Option<&QuicFacts> {
        static QUIC: LazyLock<QuicFacts> = LazyLock::new(|| QuicFacts {
            may_continue: Some(ConnectionId(7)),
            ..QuicFacts::default()
        });
        Some(&QUIC)
    }

    fn processes(&self, _: &Sample) -> Processes<'_> {
        Processes {
            originator: self.originator.then_some(&self.owner),
            responder: self.responder.then_some(&self.owner),
            forwarded: self.forwarded,
        }
    }
}

pub(super) fn owner() -> Owner {
    Owner {
        pid: 42,
        command: "\u{1b}]0;dig\u{202e}\"".to_owned(),
        script: None,
        uid: 1000,
        user: "me".to_owned(),
        cgroup: "/docker/0".to_owned(),
        container: Some("0123456789ab".to_owned()),
    }
}

/// A pipe whose reader has gone.
pub(super) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
