use super::super::fixture::{SECOND, holding, reading};
use super::*;

/// Datagrams that fit into the buffer of the fixture.
const FULL: u32 = 277;

fn counters(buffer: u64, memory: u64, checksum: u64) -> Counters {
    Counters {
        buffer,
        memory,
        checksum,
    }
}

fn look(seconds: u64, counted: impl Into<Option<Counters>>, readings: Vec<Reading>) -> Look {
    let counted = counted.into();
    Look {
        now_ns: seconds * SECOND,
        readings,
        before: counted,
        after: counted,
    }
}

fn dropping(drops: u32, reading: Reading) -> Reading {
    Reading { drops, ..reading }
}

/// The only socket after these looks, a second apart; every drop is one of a full buffer.
fn after(readings: impl IntoIterator<Item = Reading>) -> State {
    let mut watch = Watch::default();
    let (mut drops, mut total) = (0, 0);
    for (seconds, reading) in (1..).zip(readings) {
        total += u64::from(reading.drops.wrapping_sub(drops));
        drops = reading.drops;
        let counted = counters(total, 0, 0);
        watch.look(&look(seconds, counted, vec![reading]));
    }
    watch.snapshot()[0]
}

#[test]
fn what_was_dropped_before_is_not_seen() {
    let state = after([dropping(1000, reading())]);
    assert_eq!((state.reading.drops, state.drops_seen), (1000, 0));
    assert_eq!((state.cause, state.was_full), (None, false));
    let state = after([dropping(u32::MAX, reading()), dropping(4, reading())]);
    // The counter wraps.
    assert_eq!((state.drops_seen, state.cause), (5, Some(Cause::Buffer)));
    assert!(state.was_full);
    assert_eq!((state.queued_most, state.most_percent()), (0, 100));
}

#[test]
fn a_socket_that_was_opened_meanwhile_has_dropped_all_meanwhile() {
    let mut watch = Watch::default();
    watch.look(&look(1, counters(0, 0, 0), Vec::new()));
    watch.look(&look(2, counters(7, 0, 0), vec![dropping(7, reading())]));
    let state = watch.snapshot()[0];
    assert_eq!((state.drops_seen, state.cause), (7, Some(Cause::Buffer)));
    // The same memory, another file: another socket.
    let other = Reading {
        inode: 78,
        ..dropping(2, reading())
    };
    watch.look(&look(3, counters(9, 0, 0), vec![other]));
    let states = watch.snapshot();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].drops_seen, 2);
}

#[test]
fn rates_are_since_the_last_snapshot() {
    let mut watch = Watch::default();
    let mut at = |seconds, drops| {
        watch.look(&look(seconds, None, vec![dropping(drops, reading())]));
        watch.snapshot()[0].drop_rate
    };
    assert_eq!(
        [at(1, 10), at(3, 30), at(4, 30)].map(|rate| rate.to_string()),
        ["0", "10", "0"]
    );
    assert_eq!(watch.looked_ns(), 3 * SECOND);
}

#[test]
fn most_is_what_was_seen_until_a_drop_proves_more() {
    let state = after([holding(10, 1), holding(100, 1), holding(50, 2)]);
    assert_eq!(state.queued_most, 76_800);
    assert_eq!(
        (state.most_percent(), state.reading.fill_percent()),
        (36, 18)
    );
    assert_eq!(state.datagram_bytes, Some(768));
    assert!(!state.was_full);
    let state = after([holding(100, 1), dropping(1, holding(100, 1))]);
    assert_eq!((state.most_percent(), state.was_full), (100, true));
}

#[test]
fn the_largest_burst_counts() {
    let state = after([
        reading(),
        dropping(5, holding(FULL, 1)),
        dropping(8, holding(FULL, 2)),
        dropping(9, holding(1, 3)),
        dropping(13, holding(FULL, 4)),
    ]);
    // 5 + 3 + 1 until there was room again; then 4.
    assert_eq!((state.burst, state.goes_on), (9, true));
    assert_eq!(state.drops_seen, 13);
}

#[test]
fn who_stands_still_and_who_is_behind() {
    let full = |next| holding(FULL, next);
    let state = after([full(1), full(1), full(1)]);
    assert_eq!((state.stands_ns, state.behind_ns), (2 * SECOND, 2 * SECOND));
    let state = after([full(1), full(2), full(3)]);
    assert_eq!((state.stands_ns, state.behind_ns), (0, 2 * SECOND));
    let state = after([full(1), reading(), full(1)]);
    assert_eq!((state.stands_ns, state.behind_ns), (0, 0));
    // Nothing waits: nobody can be blamed.
    let state = after([reading(), reading()]);
    assert_eq!(state.stands_ns, 0);
}

#[test]
fn why_is_what_the_kernel_counted() {
    let cause_of = |counted: Option<Counters>, lacked_room: bool| {
        let mut watch = Watch::default();
        let first = if lacked_room {
            holding(FULL, 1)
        } else {
            reading()
        };
        watch.look(&look(1, counters(0, 0, 0), vec![first]));
        watch.look(&look(2, counted, vec![dropping(10, first)]));
        watch.snapshot()[0].cause.unwrap()
    };
    // A socket that is gone has dropped some, too.
    assert_eq!(cause_of(Some(counters(11, 0, 5)), false), Cause::Buffer);
    assert_eq!(cause_of(Some(counters(4, 0, 6)), true), Cause::Buffer);
    assert_eq!(cause_of(Some(counters(4, 0, 6)), false), Cause::Checksum);
    assert_eq!(cause_of(Some(counters(0, 10, 0)), true), Cause::Memory);
    assert_eq!(cause_of(Some(counters(0, 0, 10)), true), Cause::Checksum);
    assert_eq!(cause_of(Some(counters(0, 0, 0)), true), Cause::Refused);
    assert_eq!(cause_of(None, true), Cause::Buffer);
}

/// The latest look alone: what was full before is not any more, and a drop says more than what is seen.
#[test]
fn how_full_it_is_now() {
    let fill = |readings: Vec<Reading>| {
        let state = after(readings);
        (state.is_full, state.fill())
    };
    let half = Reading {
        queued: 106_496,
        ..holding(1, 1)
    };
    assert_eq!(fill(vec![half]), (false, 0.5));
    let dropped = dropping(3, half);
    assert_eq!(fill(vec![half, dropped]), (true, 1.0));
    assert_eq!(fill(vec![half, dropped, dropped]), (false, 0.5));
    let over = Reading {
        queued: 2 * 212_992,
        ..half
    };
    assert_eq!(fill(vec![over]), (true, 2.0));
}
