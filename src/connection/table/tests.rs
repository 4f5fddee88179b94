//! What the table promises, to the packet and to the nanosecond.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::connection::{Ifindex, Response, Status, Vlans, Window};

const SECOND: u64 = 1_000_000_000;

fn counts(packets: u64, bytes: u64) -> Counts {
    Counts { packets, bytes }
}

fn sample(id: u64, status: Status, last_ns: u64) -> Sample {
    Sample {
        id: ConnectionId(id),
        ifindex: Ifindex(2),
        vlans: Vlans::default(),
        originator: SocketAddr::from(([10, 0, 0, 1], 40_000)),
        responder: SocketAddr::from(([10, 0, 0, 2], 53)),
        orig: counts(2, 200),
        reply: counts(1, 50),
        status,
        first_ns: SECOND,
        last_ns,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        response: Response::default(),
    }
}

fn table(capacity: u64) -> Table {
    Table::new(capacity, Timeouts::default())
}

/// `count` unreplied connections, last seen at one second.
fn filled(capacity: u64, count: u64) -> Table {
    let mut table = table(capacity);
    table.apply(
        (0..count).map(|id| sample(id, Status::Unreplied, SECOND)),
        SECOND,
    );
    table
}

fn expiry(id: u64, reason: EndReason) -> Expiry {
    Expiry {
        id: ConnectionId(id),
        packets: 3,
        reason,
    }
}

#[test]
fn a_scan_inserts_and_updates() {
    let mut table = table(100);
    assert!(table.is_empty());
    let first = sample(7, Status::Unreplied, SECOND);
    table.apply([first], SECOND);
    assert_eq!(table.len(), 1);
    let known = table.get(ConnectionId(7)).unwrap();
    assert_eq!(known.sample, first);
    assert!((known.rates.orig(Window::Short).packets - 1.0).abs() < 1e-6);

    let mut second = sample(7, Status::Assured, 2 * SECOND);
    second.orig = counts(10, 1000);
    table.apply([second], 2 * SECOND);
    let known = table.get(ConnectionId(7)).unwrap();
    assert_eq!(known.sample, second);
    assert_eq!(known.changed_ns, 2 * SECOND);
    let decay = (-0.5_f32).exp();
    let expected = 1.0 * decay + 8.0 * (1.0 - decay);
    assert!((known.rates.orig(Window::Short).packets - expected).abs() < 1e-5);
    assert_eq!(table.len(), 1);
    assert_eq!(table.connections_new(), 1);
    assert_eq!(table.scanned_ns(), 2 * SECOND);
}

#[test]
fn a_scan_without_news_lets_rates_decay_and_marks_no_change() {
    let mut table = table(100);
    table.apply([sample(7, Status::Replied, SECOND)], SECOND);
    table.apply([sample(7, Status::Replied, SECOND)], 3 * SECOND);
    let known = table.get(ConnectionId(7)).unwrap();
    assert_eq!(known.changed_ns, SECOND);
    assert!((known.rates.orig(Window::Short).packets - (-1.0_f32).exp()).abs() < 1e-6);
}

#[test]
fn a_connection_that_a_scan_lacks_stays() {
    let mut table = filled(100, 3);
    table.apply([sample(1, Status::Unreplied, SECOND)], 2 * SECOND);
    assert_eq!(table.len(), 3);
}

#[test]
fn timeouts_follow_the_status() {
    let mut table = table(100);
    table.apply(
        [
            sample(1, Status::Unreplied, SECOND),
            sample(2, Status::Replied, SECOND),
            sample(3, Status::Assured, SECOND),
            sample(4, Status::Unreach, SECOND),
        ],
        SECOND,
    );
    let expired = |now_ns| {
        let mut expired = table.expired(now_ns);
        expired.sort_by_key(|expiry| expiry.id);
        expired
    };
    assert_eq!(expired(2 * SECOND - 1), []);
    assert_eq!(expired(2 * SECOND), [expiry(4, EndReason::Unreach)]);
    assert_eq!(expired(31 * SECOND - 1), [expiry(4, EndReason::Unreach)]);
    let two = [
        expiry(1, EndReason::Idle),
        expiry(2, EndReason::Idle),
        expiry(4, EndReason::Unreach),
    ];
    assert_eq!(expired(31 * SECOND), two);
    assert_eq!(expired(121 * SECOND - 1), two);
    assert_eq!(expired(121 * SECOND).len(), 4);
    assert_eq!(expired(121 * SECOND)[2], expiry(3, EndReason::Idle));
    // A packet later than the clock that was read before it.
    assert_eq!(expired(0), []);
}

#[test]
fn a_filling_table_ends_unreplied_ones_sooner() {
    let idle = |count, seconds| {
        let expired = filled(1000, count).expired(SECOND + seconds * SECOND);
        (expired.len() as u64, expired.first().map(|one| one.reason))
    };
    assert_eq!(idle(600, 29), (0, None));
    assert_eq!(idle(600, 30), (600, Some(EndReason::Idle)));
    // 775 of 1000 is half of the way from 30 s to 1 s: 15.5 s.
    assert_eq!(idle(775, 15), (0, None));
    assert_eq!(idle(775, 16), (775, Some(EndReason::Evicted)));
    assert_eq!(idle(775, 30), (775, Some(EndReason::Idle)));
    assert_eq!(idle(949, 1), (0, None));
    assert_eq!(idle(950, 0), (0, None));
    assert_eq!(idle(950, 1), (950, Some(EndReason::Evicted)));
    assert_eq!(idle(1000, 1), (1000, Some(EndReason::Evicted)));
}

#[test]
fn a_full_table_shortens_nobody_who_was_answered() {
    let mut table = filled(4, 2);
    table.apply(
        [
            sample(2, Status::Replied, SECOND),
            sample(3, Status::Assured, SECOND),
        ],
        SECOND,
    );
    let mut expired = table.expired(30 * SECOND);
    expired.sort_by_key(|expiry| expiry.id);
    assert_eq!(
        expired,
        [expiry(0, EndReason::Evicted), expiry(1, EndReason::Evicted)]
    );
}

#[test]
fn own_timeouts_are_taken() {
    let timeouts = Timeouts {
        unreplied: Duration::from_millis(500),
        assured: Duration::from_secs(2),
    };
    let mut table = Table::new(100, timeouts);
    table.apply(
        [
            sample(1, Status::Unreplied, SECOND),
            sample(2, Status::Assured, SECOND),
        ],
        SECOND,
    );
    assert_eq!(table.expired(SECOND + 499_999_999), []);
    assert_eq!(
        table.expired(SECOND + 500_000_000),
        [expiry(1, EndReason::Idle)]
    );
    assert_eq!(table.expired(3 * SECOND).len(), 2);
}

#[test]
fn nothing_is_lost_from_the_totals_at_an_end() {
    let mut table = filled(100, 3);
    assert_eq!(table.total(), counts(9, 750));
    let mut last = sample(1, Status::Unreplied, SECOND);
    last.orig = counts(5, 500);
    table.end(last, EndReason::Idle);
    assert_eq!(table.len(), 2);
    assert_eq!(table.get(ConnectionId(1)), None);
    assert_eq!(table.total(), counts(12, 1050));
    // One that came and went between two scans.
    table.end(sample(9, Status::Unreplied, SECOND), EndReason::Stopped);
    assert_eq!(table.total(), counts(15, 1300));
    assert_eq!(table.connections_new(), 4);
    assert_eq!(table.connections_ended(), 2);
    // A packet after the end is a new connection.
    table.apply([sample(1, Status::Unreplied, SECOND)], 2 * SECOND);
    assert_eq!(table.connections_new(), 5);
    assert_eq!(table.total(), counts(18, 1550));
}

#[test]
fn fill_is_a_ratio() {
    let close = |fill: f64, expected: f64| assert!((fill - expected).abs() < 1e-12);
    close(filled(8, 2).fill(), 0.25);
    close(filled(8, 0).fill(), 0.0);
    close(filled(2, 3).fill(), 1.0);
    close(filled(0, 0).fill(), 0.0);
    assert_eq!(filled(8, 2).capacity(), 8);
}

#[test]
fn warns_once_and_again_after_a_relief() {
    let mut table = filled(10, 7);
    assert!(!table.warn_full());
    table.apply([sample(7, Status::Unreplied, SECOND)], SECOND);
    assert!(table.warn_full());
    assert!(!table.warn_full());
    // 70 % is not below 70 %.
    table.end(sample(7, Status::Unreplied, SECOND), EndReason::Idle);
    assert!(!table.warn_full());
    table.apply([sample(7, Status::Unreplied, SECOND)], SECOND);
    assert!(!table.warn_full());
    table.end(sample(7, Status::Unreplied, SECOND), EndReason::Idle);
    table.end(sample(6, Status::Unreplied, SECOND), EndReason::Idle);
    assert!(!table.warn_full());
    table.apply(
        [6, 7].map(|id| sample(id, Status::Unreplied, SECOND)),
        SECOND,
    );
    assert!(table.warn_full());
}

#[test]
fn ids_spread_over_the_buckets() {
    let table = filled(10_000, 10_000);
    assert_eq!(table.len(), 10_000);
    assert_eq!(table.iter().count(), 10_000);
}
