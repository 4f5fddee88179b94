//! What the table promises, to the packet and to the nanosecond.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::model::{ConnectionId, Dropped, Heard, Ifindex, Response, Role, Status, Vlans, Window};

const SECOND: u64 = 1_000_000_000;

fn counts(packets: u64, bytes: u64) -> Counts {
    Counts { packets, bytes }
}

pub(in super::super) fn sample(id: u64, status: Status, last_ns: u64) -> Sample {
    Sample {
        id: ConnectionId(id),
        place: Place::default(),
        ifindex: Ifindex(2),
        reply_ifindex: Some(Ifindex(2)),
        vlans: Vlans::default(),
        originator: SocketAddr::from(([10, 0, 0, 1], 40_000)),
        responder: SocketAddr::from(([10, 0, 0, 2], 53)),
        orig: counts(2, 200),
        reply: counts(1, 50),
        status,
        unreachable: None,
        first_ns: SECOND,
        last_ns,
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

fn table(capacity: u64) -> Table {
    Table::new(capacity, Timeouts::default())
}

/// `count` connections of one status, last seen at one second; each id is a place, too.
fn filled_with(status: Status, capacity: u64, count: u64) -> Table {
    let mut table = table(capacity);
    table.apply((0..count).map(|id| sample(id, status, SECOND)), SECOND);
    table
}

fn filled(capacity: u64, count: u64) -> Table {
    filled_with(Status::Unreplied, capacity, count)
}

fn expiry(place: u32, reason: EndReason) -> Expiry {
    Expiry {
        place: Place(place),
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
    let known = table.get(Place(0)).unwrap();
    assert_eq!(known.sample, first);
    assert!((known.rates.orig(Window::Short).packets - 1.0).abs() < 1e-6);

    let mut second = sample(7, Status::Assured, 2 * SECOND);
    second.orig = counts(10, 1000);
    table.apply([second], 2 * SECOND);
    let known = table.get(Place(0)).unwrap();
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
    let known = table.get(Place(0)).unwrap();
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
            sample(0, Status::Unreplied, SECOND),
            sample(1, Status::Replied, SECOND),
            sample(2, Status::Assured, SECOND),
            sample(3, Status::Unreach, SECOND),
        ],
        SECOND,
    );
    let expired = |now_ns| {
        let mut expired = table.expired(now_ns);
        expired.sort_by_key(|expiry| expiry.place);
        expired
    };
    assert_eq!(expired(2 * SECOND - 1), []);
    assert_eq!(expired(2 * SECOND), [expiry(3, EndReason::Unreach)]);
    assert_eq!(expired(31 * SECOND - 1), [expiry(3, EndReason::Unreach)]);
    let two = [
        expiry(0, EndReason::Idle),
        expiry(1, EndReason::Idle),
        expiry(3, EndReason::Unreach),
    ];
    assert_eq!(expired(31 * SECOND), two);
    assert_eq!(expired(121 * SECOND - 1), two);
    assert_eq!(expired(121 * SECOND).len(), 4);
    assert_eq!(expired(121 * SECOND)[2], expiry(2, EndReason::Idle));
    // A packet later than the clock that was read before it.
    assert_eq!(expired(0), []);
}

#[test]
fn a_filling_table_ends_sooner_what_is_not_assured() {
    for status in [Status::Unreplied, Status::Replied] {
        let idle = |count, seconds| {
            let expired = filled_with(status, 1000, count).expired(SECOND + seconds * SECOND);
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
}

#[test]
fn a_full_table_keeps_what_is_assured() {
    let mut table = filled(4, 2);
    table.apply(
        [
            sample(2, Status::Replied, SECOND),
            sample(3, Status::Assured, SECOND),
        ],
        SECOND,
    );
    let expired = |now_ns| {
        let mut expired = table.expired(now_ns);
        expired.sort_by_key(|expiry| expiry.place);
        expired
    };
    let evicted = [0, 1, 2].map(|place| expiry(place, EndReason::Evicted));
    assert_eq!(expired(2 * SECOND - 1), []);
    assert_eq!(expired(2 * SECOND), evicted);
    assert_eq!(expired(31 * SECOND - 1), evicted);
    // The assured one has its whole timeout, as in a table with room.
    assert_eq!(expired(121 * SECOND - 1).len(), 3);
    assert_eq!(expired(121 * SECOND)[3], expiry(3, EndReason::Idle));
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
            sample(0, Status::Unreplied, SECOND),
            sample(1, Status::Assured, SECOND),
        ],
        SECOND,
    );
    assert_eq!(table.expired(SECOND + 499_999_999), []);
    assert_eq!(
        table.expired(SECOND + 500_000_000),
        [expiry(0, EndReason::Idle)]
    );
    assert_eq!(table.expired(3 * SECOND).len(), 2);
    // Others hold from the next look on.
    table.set_timeouts(Timeouts::default());
    assert_eq!(table.expired(31 * SECOND - 1), []);
    assert_eq!(table.expired(31 * SECOND), [expiry(0, EndReason::Idle)]);
}

#[test]
fn nothing_is_lost_from_the_totals_at_an_end() {
    let mut table = filled(100, 3);
    assert_eq!(table.total(), counts(9, 750));
    let mut last = sample(1, Status::Unreplied, SECOND);
    last.orig = counts(5, 500);
    // Since the scan.
    assert_eq!(table.end(&last, EndReason::Idle), counts(3, 300));
    assert_eq!(table.len(), 2);
    assert_eq!(table.get(Place(1)), None);
    assert_eq!(table.total(), counts(12, 1050));
    // One that came and went between two scans: all that it counted is new.
    let short = sample(9, Status::Unreplied, SECOND);
    assert_eq!(table.end(&short, EndReason::Stopped), counts(3, 250));
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
fn the_room_that_is_wanted_follows_from_how_many_begin() {
    let mut table = filled(1000, 900);
    assert_eq!(table.wanted_capacity(), 2048);
    // 100 a second with 30 s each are 3,000, which fill 60 % of 5,000.
    let more = (1000..1200).map(|id| sample(id, Status::Unreplied, 2 * SECOND));
    table.apply(more, 3 * SECOND);
    table.apply([], 5 * SECOND);
    assert_eq!(table.wanted_capacity(), 8192);
}

#[test]
fn warns_once_and_again_after_a_relief() {
    let mut table = filled(10, 7);
    assert!(!table.warn_full());
    table.apply([sample(7, Status::Unreplied, SECOND)], SECOND);
    assert!(table.warn_full());
    assert!(!table.warn_full());
    // 70 % is not below 70 %.
    table.end(&sample(7, Status::Unreplied, SECOND), EndReason::Idle);
    assert!(!table.warn_full());
    table.apply([sample(7, Status::Unreplied, SECOND)], SECOND);
    assert!(!table.warn_full());
    table.end(&sample(7, Status::Unreplied, SECOND), EndReason::Idle);
    table.end(&sample(6, Status::Unreplied, SECOND), EndReason::Idle);
    assert!(!table.warn_full());
    table.apply(
        [6, 7].map(|id| sample(id, Status::Unreplied, SECOND)),
        SECOND,
    );
    assert!(table.warn_full());
}

#[test]
fn each_id_has_a_place_of_its_own() {
    let table = filled(10_000, 10_000);
    assert_eq!(table.len(), 10_000);
    assert_eq!(table.iter().count(), 10_000);
    for (place, connection) in (0..).map(Place).zip(table.iter()) {
        let sample = connection.sample;
        assert_eq!((sample.place, sample.id.0), (place, u64::from(place.0)));
    }
}

/// Memory whose connections change and go under the table, as the kernel's do.
#[derive(Debug)]
struct Memory(RefCell<Vec<Option<Sample>>>);

impl Memory {
    fn new(places: usize) -> Rc<Self> {
        Rc::new(Self(RefCell::new(vec![None; places])))
    }

    fn put(&self, sample: &Sample) {
        self.0.borrow_mut()[sample.place.index()] = Some(*sample);
    }

    fn free(&self, place: Place) {
        self.0.borrow_mut()[place.index()] = None;
    }
}

impl Source for Memory {
    fn sample(&self, place: Place) -> Option<Sample> {
        self.0.borrow()[place.index()]
    }

    fn places_with_drops(&self) -> Vec<Place> {
        Vec::new()
    }
}

fn over(memory: &Rc<Memory>, capacity: u64) -> Table {
    let source: Rc<dyn Source> = Rc::<Memory>::clone(memory);
    Table::over(source, capacity, Timeouts::default())
}

/// Walks over all that the memory has.
fn walk(table: &mut Table, memory: &Memory, before_ns: u64, now_ns: u64) -> Vec<Grown> {
    let samples = memory.0.borrow();
    let mut walk = table.walk(before_ns, now_ns);
    let grown = samples
        .iter()
        .flatten()
        .map(|sample| walk.see(&Sighting::of(sample)))
        .collect();
    table.settle(now_ns);
    grown
}

fn at(place: u32, status: Status, last_ns: u64) -> Sample {
    Sample {
        place: Place(place),
        ..sample(100 + u64::from(place), status, last_ns)
    }
}

#[test]
fn a_walk_says_what_is_new_of_each_connection() {
    let memory = Memory::new(8);
    let mut table = over(&memory, 8);
    assert_eq!(walk(&mut table, &memory, 0, SECOND), []);
    assert_eq!(table.scanned_ns(), SECOND);
    let mut one = at(5, Status::Unreplied, SECOND);
    memory.put(&one);
    let grown = |counts, status| Grown {
        counts,
        status,
        end: None,
    };
    // All of it, at first.
    assert_eq!(
        walk(&mut table, &memory, SECOND, 2 * SECOND),
        [grown(counts(3, 250), true)]
    );
    assert_eq!(
        walk(&mut table, &memory, 2 * SECOND, 3 * SECOND),
        [Grown::default()]
    );
    one.orig += counts(4, 400);
    one.reply += counts(1, 60);
    memory.put(&one);
    assert_eq!(
        walk(&mut table, &memory, 3 * SECOND, 4 * SECOND),
        [grown(counts(5, 460), false)]
    );
    one.status = Status::Replied;
    memory.put(&one);
    assert_eq!(
        walk(&mut table, &memory, 4 * SECOND, 5 * SECOND),
        [grown(counts(0, 0), true)]
    );
    assert_eq!((table.len(), table.connections_new()), (1, 1));
    assert_eq!(table.total(), counts(8, 710));
}

#[test]
fn a_walk_over_a_part_leaves_the_other_part_as_it_was() {
    let memory = Memory::new(2);
    let mut table = over(&memory, 2);
    let [mut one, other] = [0, 1].map(|place| at(place, Status::Replied, SECOND));
    memory.put(&one);
    memory.put(&other);
    walk(&mut table, &memory, 0, SECOND);
    one.orig += counts(1, 100);
    table.walk(SECOND, 2 * SECOND).see(&Sighting::of(&one));
    let known = |place| {
        let connection = table.get(place).unwrap();
        (connection.sample.total(), connection.changed_ns)
    };
    assert_eq!(known(Place(0)), (counts(4, 350), 2 * SECOND));
    assert_eq!(known(Place(1)), (counts(3, 250), SECOND));
    assert_eq!(table.total(), counts(7, 600));
    assert_eq!(table.len(), 2);
}

#[test]
fn counts_are_those_of_the_walk_and_the_rest_is_read_when_asked_for() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1);
    let walked = at(0, Status::Unreplied, SECOND);
    memory.put(&walked);
    walk(&mut table, &memory, 0, SECOND);
    let mut later = walked;
    later.orig += counts(9, 900);
    later.reply += counts(9, 900);
    later.status = Status::Assured;
    later.last_ns = 5 * SECOND;
    later.first_reply_ns = Some(2 * SECOND);
    later.response.answered = 3;
    memory.put(&later);
    let expected = Sample {
        first_reply_ns: later.first_reply_ns,
        response: later.response,
        ..walked
    };
    let known = table.get(Place(0)).unwrap();
    assert_eq!(known.sample, expected);
    assert_eq!(table.iter().collect::<Vec<_>>(), [known]);
    assert_eq!(table.total(), walked.total());
}

#[test]
fn a_place_that_was_emptied_has_no_connection_to_show() {
    let memory = Memory::new(2);
    let mut table = over(&memory, 2);
    memory.put(&at(0, Status::Replied, SECOND));
    memory.put(&at(1, Status::Replied, SECOND));
    walk(&mut table, &memory, 0, SECOND);
    memory.free(Place(0));
    assert_eq!(table.get(Place(0)), None);
    assert_eq!(table.iter().count(), 1);
    // There is none at places that do not exist, either.
    assert_eq!(table.get(Place(2)), None);
    assert_eq!(table.get(Place(u32::MAX)), None);
}

/// The time of the latest packet may be written late, by a CPU that was held up.
#[test]
fn a_connection_that_has_grown_since_the_walk_before_is_not_idle() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1000);
    let mut one = at(0, Status::Unreplied, SECOND);
    memory.put(&one);
    walk(&mut table, &memory, 0, SECOND);
    let mut grown_at = |before_ns, now_ns| {
        one.orig += counts(1, 100);
        memory.put(&one);
        let grown = walk(&mut table, &memory, before_ns, now_ns);
        assert_eq!(grown[0].counts, counts(1, 100));
        grown[0].end
    };
    assert_eq!(grown_at(39 * SECOND, 40 * SECOND), None);
    // It counted at some moment after the walk before, and not after the present one began.
    assert_eq!(grown_at(70 * SECOND + 1, 100 * SECOND), None);
    assert_eq!(grown_at(70 * SECOND, 100 * SECOND), Some(EndReason::Idle));
    // Without growth its own time says when it was last busy.
    let silent = walk(&mut table, &memory, 101 * SECOND, 102 * SECOND);
    assert_eq!(silent[0].counts, Counts::default());
    assert_eq!(silent[0].end, Some(EndReason::Idle));
}

/// A CPU that was held up puts back an earlier time: it is not idle for longer, nor does its end tell of it.
#[test]
fn the_time_of_the_latest_packet_never_goes_back() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1000);
    let mut one = at(0, Status::Unreplied, 20 * SECOND);
    memory.put(&one);
    walk(&mut table, &memory, 19 * SECOND, 20 * SECOND);
    for packets in [1, 0] {
        one.orig += counts(packets, 100 * packets);
        one.last_ns = 5 * SECOND;
        memory.put(&one);
        let grown = walk(&mut table, &memory, 20 * SECOND, 21 * SECOND);
        assert_eq!(grown[0].counts, counts(packets, 100 * packets));
        assert_eq!(table.get(Place(0)).unwrap().sample.last_ns, 20 * SECOND);
    }
    assert_eq!(table.expired(50 * SECOND - 1), []);
    let silent = walk(&mut table, &memory, 49 * SECOND, 50 * SECOND - 1);
    assert_eq!(silent[0].end, None);
    let silent = walk(&mut table, &memory, 50 * SECOND - 1, 50 * SECOND);
    assert_eq!(silent[0].end, Some(EndReason::Idle));
    assert_eq!(table.latest(&one).last_ns, 20 * SECOND);
    one.last_ns = 20 * SECOND + 1;
    assert_eq!(table.latest(&one).last_ns, 20 * SECOND + 1);
}

/// The kernel adds a packet and its bytes one after the other, and a walk may come between.
#[test]
fn bytes_that_are_seen_without_their_packet_count_once() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1000);
    let mut one = at(0, Status::Unreplied, SECOND);
    memory.put(&one);
    walk(&mut table, &memory, 0, SECOND);
    one.orig.bytes += 100;
    memory.put(&one);
    let grown = walk(&mut table, &memory, 39 * SECOND, 40 * SECOND);
    assert_eq!((grown[0].counts, grown[0].end), (counts(0, 100), None));
    assert_eq!(table.total(), counts(3, 350));
    let grown = walk(&mut table, &memory, 40 * SECOND, 41 * SECOND);
    assert_eq!(grown[0].counts, Counts::default());
    assert_eq!(table.total(), counts(3, 350));
    one.orig.packets += 1;
    memory.put(&one);
    let grown = walk(&mut table, &memory, 41 * SECOND, 42 * SECOND);
    assert_eq!(grown[0].counts, counts(1, 0));
    assert_eq!(table.total(), counts(4, 350));
    assert_eq!(table.end(&one, EndReason::Idle), Counts::default());
    assert_eq!(table.total(), counts(4, 350));
}

#[test]
fn a_time_later_than_the_walk_before_is_taken_as_it_is() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1000);
    let mut one = at(0, Status::Unreplied, SECOND);
    memory.put(&one);
    walk(&mut table, &memory, 0, SECOND);
    one.orig += counts(1, 100);
    one.last_ns = 50 * SECOND;
    memory.put(&one);
    let end = |table: &mut Table, now_ns| walk(table, &memory, 2 * SECOND, now_ns)[0].end;
    assert_eq!(end(&mut table, 80 * SECOND - 1), None);
    assert_eq!(end(&mut table, 80 * SECOND), Some(EndReason::Idle));
    // A packet later than the clock that was read before the walk.
    assert_eq!(end(&mut table, 40 * SECOND), None);
}

/// One that an earlier run has pinned was silent for as long as it says.
#[test]
fn a_connection_that_a_walk_first_sees_is_idle_by_its_own_time() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1000);
    memory.put(&at(0, Status::Assured, SECOND));
    let grown = walk(&mut table, &memory, 120 * SECOND, 121 * SECOND);
    assert_eq!(grown[0].end, Some(EndReason::Idle));
    assert_eq!(grown[0].counts, counts(3, 250));
}

#[test]
fn a_walk_ends_no_more_connections_than_make_room() {
    let memory = Memory::new(10);
    let mut table = over(&memory, 10);
    for place in 0..10 {
        memory.put(&at(place, Status::Replied, 9 * SECOND));
    }
    let ends = |table: &mut Table, now_ns| {
        let grown = walk(table, &memory, now_ns - SECOND, now_ns);
        let ended = grown.iter().filter_map(|grown| grown.end);
        ended.collect::<Vec<_>>()
    };
    // An empty table so far.
    assert_eq!(ends(&mut table, 10 * SECOND), []);
    // Nine of ten are 90 %: there, a second is not long enough.
    assert_eq!(ends(&mut table, 10 * SECOND), [EndReason::Evicted]);
    assert_eq!(table.expired(10 * SECOND).len(), 10);
}

#[test]
fn a_walk_makes_room_for_as_many_as_began_of_late() {
    let memory = Memory::new(10);
    let mut table = over(&memory, 10);
    let ends = |table: &mut Table, now_ns| {
        let grown = walk(table, &memory, now_ns - SECOND, now_ns);
        grown.iter().filter(|grown| grown.end.is_some()).count()
    };
    assert_eq!(ends(&mut table, 9 * SECOND), 0);
    for place in 0..10 {
        memory.put(&at(place, Status::Replied, 9 * SECOND));
    }
    // Ten in a second, and ten more are expected: all that is a second old makes room.
    assert_eq!(ends(&mut table, 9 * SECOND), 0);
    assert_eq!(ends(&mut table, 10 * SECOND), 10);
}

#[test]
fn an_end_gives_what_was_counted_since_the_last_walk() {
    let memory = Memory::new(2);
    let mut table = over(&memory, 2);
    let one = at(0, Status::Replied, SECOND);
    let other = at(1, Status::Replied, SECOND);
    memory.put(&one);
    memory.put(&other);
    walk(&mut table, &memory, 0, SECOND);
    let mut last = one;
    last.orig += counts(2, 200);
    last.reply += counts(1, 70);
    assert_eq!(table.end(&last, EndReason::Idle), counts(3, 270));
    // Nothing, where nothing came.
    assert_eq!(table.end(&other, EndReason::Idle), Counts::default());
    assert_eq!((table.len(), table.connections_ended()), (0, 2));
    assert_eq!(table.total(), counts(9, 770));
    // Another connection at the same place is a new one; one that no walk has seen is new as a whole when it ends.
    memory.free(Place(1));
    memory.put(&Sample {
        id: ConnectionId(7),
        ..one
    });
    let grown = walk(&mut table, &memory, SECOND, 2 * SECOND);
    assert_eq!((grown[0].counts, grown[0].status), (counts(3, 250), true));
    assert_eq!(table.get(Place(0)).unwrap().sample.id, ConnectionId(7));
    assert_eq!(table.end(&other, EndReason::Stopped), counts(3, 250));
    assert_eq!((table.len(), table.connections_new()), (1, 4));
    assert_eq!(table.total(), counts(15, 1270));
}

#[test]
fn what_stands_still_does_not_change_with_its_source() {
    let memory = Memory::new(4);
    let mut table = over(&memory, 4);
    let mut one = at(1, Status::Replied, SECOND);
    one.response.answered = 1;
    let other = at(3, Status::Assured, SECOND);
    memory.put(&one);
    memory.put(&other);
    walk(&mut table, &memory, 0, SECOND);
    let still = table.still();
    let before: Vec<_> = table.iter().collect();
    assert_eq!(before.len(), 2);

    one.orig += counts(5, 500);
    one.response.answered = 9;
    memory.put(&one);
    table.end(&other, EndReason::Idle);
    memory.free(Place(3));
    memory.put(&at(0, Status::Unreplied, 2 * SECOND));
    walk(&mut table, &memory, SECOND, 3 * SECOND);

    assert_eq!(still.iter().collect::<Vec<_>>(), before);
    assert_eq!(still.get(Place(1)), Some(before[0]));
    assert_eq!(still.get(Place(0)), None);
    assert_eq!((still.len(), still.scanned_ns()), (2, SECOND));
    assert_eq!(still.total(), counts(6, 500));
    assert_eq!(places(table.iter()), [0, 1]);
    assert_eq!(table.total(), counts(14, 1250));
}

#[test]
fn rates_of_what_was_not_walked_over_yet_do_not_decay() {
    let memory = Memory::new(1);
    let mut table = over(&memory, 1);
    memory.put(&at(0, Status::Replied, SECOND));
    walk(&mut table, &memory, 0, SECOND);
    let rates = |table: &Table| table.get(Place(0)).unwrap().rates;
    let before = rates(&table);
    // A walk over another part: since when this one was looked at has not changed.
    let _ = table.walk(SECOND, 2 * SECOND);
    assert_eq!((table.scanned_ns(), rates(&table)), (2 * SECOND, before));
    table.settle(2 * SECOND);
    assert_eq!(rates(&table).updated_ns(), 2 * SECOND);
}

#[test]
fn rates_of_silent_connections_decay_when_they_are_read() {
    let memory = Memory::new(2);
    let mut table = over(&memory, 2);
    let mut busy = at(0, Status::Replied, SECOND);
    memory.put(&busy);
    memory.put(&at(1, Status::Replied, SECOND));
    walk(&mut table, &memory, 0, SECOND);
    busy.orig += counts(100, 10_000);
    memory.put(&busy);
    walk(&mut table, &memory, SECOND, 5 * SECOND);
    let [busy, silent] = [Place(0), Place(1)].map(|place| table.get(place).unwrap().rates);
    assert_eq!(
        (busy.updated_ns(), silent.updated_ns()),
        (5 * SECOND, 5 * SECOND)
    );
    // Two packets at once are one a second over two seconds, and there were twice two seconds of silence.
    let packets = silent.orig(Window::Short).packets;
    assert!((packets - (-2.0_f32).exp()).abs() < 1e-6, "{packets}");
    let kept = (-2.0_f32).exp();
    let packets = busy.orig(Window::Short).packets;
    assert!(
        (packets - (kept + 25.0 * (1.0 - kept))).abs() < 1e-4,
        "{packets}"
    );
    // Reading changes nothing that is kept: another silent walk decays from the same moment.
    walk(&mut table, &memory, 5 * SECOND, 7 * SECOND);
    let silent = table.iter().nth(1).unwrap();
    let packets = silent.rates.orig(Window::Short).packets;
    assert!((packets - (-3.0_f32).exp()).abs() < 1e-6, "{packets}");
    assert_eq!(silent.changed_ns, SECOND);
}

/// What a connection counts after a silence came since the walk before, not during all of the silence.
#[test]
fn a_burst_after_a_silence_is_as_fast_as_one_without() {
    let burst = |silent: u64| {
        let memory = Memory::new(1);
        let mut table = over(&memory, 1);
        let mut one = at(0, Status::Assured, SECOND);
        memory.put(&one);
        walk(&mut table, &memory, 0, SECOND);
        for second in 2..2 + silent {
            walk(&mut table, &memory, (second - 1) * SECOND, second * SECOND);
        }
        one.orig += counts(1000, 1_000_000);
        memory.put(&one);
        let now = (2 + silent) * SECOND;
        walk(&mut table, &memory, now - SECOND, now);
        let elapsed = f64::from(u32::try_from(silent + 1).unwrap());
        let rates = table.get(Place(0)).unwrap().rates;
        for window in Window::ALL {
            let length = f64::from(window.seconds());
            // Two packets at once in the first walk, and what is left of them.
            let before = 2.0 / length * (-elapsed / length).exp();
            let expected = before + 1000.0 * (1.0 - (-1.0 / length).exp());
            let packets = f64::from(rates.orig(window).packets);
            assert!(
                (packets - expected).abs() < 1e-3,
                "{silent} s, {window:?}: {packets} is not {expected}"
            );
        }
    };
    for silent in [0, 1, 10, 100] {
        burst(silent);
    }
}

fn places(connections: impl Iterator<Item = Connection>) -> Vec<u32> {
    connections.map(|one| one.sample.place.0).collect()
}

#[test]
fn connections_are_found_by_when_they_began_and_when_they_grew() {
    let memory = Memory::new(3);
    let mut table = over(&memory, 3);
    for place in 0..3 {
        memory.put(&Sample {
            first_ns: u64::from(place) * SECOND,
            ..at(place, Status::Replied, 2 * SECOND)
        });
    }
    walk(&mut table, &memory, 0, 3 * SECOND);
    let mut grown = at(1, Status::Replied, 4 * SECOND);
    grown.orig += counts(1, 100);
    table
        .walk(3 * SECOND, 4 * SECOND)
        .see(&Sighting::of(&grown));
    assert_eq!(places(table.begun_before(SECOND)), [0]);
    assert_eq!(places(table.begun_before(SECOND + 1)), [0, 1]);
    assert_eq!(places(table.begun_since(SECOND)), [1, 2]);
    assert_eq!(places(table.begun_since(SECOND + 1)), [2]);
    assert_eq!(places(table.grown_since(0)), [0, 1, 2]);
    assert_eq!(places(table.grown_since(4 * SECOND - 1)), [1]);
    assert_eq!(places(table.grown_since(4 * SECOND)), [0; 0]);
}

#[test]
fn a_table_of_samples_has_them_at_their_own_places() {
    let samples = [
        at(9, Status::Replied, SECOND),
        at(4, Status::Unreach, SECOND),
    ];
    let table = Table::of(&samples, 100, Timeouts::default(), 2 * SECOND);
    assert_eq!((table.len(), table.scanned_ns()), (2, 2 * SECOND));
    for sample in samples {
        assert_eq!(table.get(sample.place).unwrap().sample, sample);
    }
    assert_eq!(table.get(Place(0)), None);
    assert_eq!(table.total(), counts(6, 500));
}

#[test]
fn what_ended_before_is_in_the_totals() {
    let mut table = over(&Memory::new(1), 1).after(7, counts(70, 7000));
    assert_eq!((table.len(), table.connections_ended()), (0, 7));
    table.end(&at(0, Status::Replied, SECOND), EndReason::Stopped);
    assert_eq!((table.connections_new(), table.connections_ended()), (8, 8));
    assert_eq!(table.total(), counts(73, 7250));
}
