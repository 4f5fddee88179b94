//! Each rule by which a state is judged.

use super::super::tests::{Nothing, sample};
use super::super::{Query, groups};
use super::*;
use crate::model::Field;
use crate::model::{Connection, Counts, DropClass, End, Heard, Status};

const MS: u64 = 1_000_000;

fn packets(packets: u64) -> Counts {
    Counts {
        packets,
        bytes: 100 * packets,
    }
}

/// To a port of no known service: asked one packet at a time, answered likewise.
fn exchange(answered: u64, lost: u64) -> Sample {
    let mut one = sample(1);
    one.responder.set_port(7777);
    one.orig = packets(answered + lost);
    one.reply = packets(answered);
    one.response = Response {
        answered,
        lost,
        min_ns: 1,
        max_ns: 2_000 * MS,
        ..Response::default()
    };
    one.response.histogram[0] = u32::try_from(answered).unwrap();
    one
}

fn to(port: u16, mut sample: Sample) -> Sample {
    sample.responder.set_port(port);
    sample
}

fn refused(mut sample: Sample) -> Sample {
    sample.status = Status::Unreach;
    sample.unreachable = Some(End::Responder);
    sample
}

/// A service that answers sends where nobody asked it, as far as is seen.
#[test]
fn only_answers_are_seen() {
    let mut answers = exchange(0, 3);
    answers.originator.set_port(53);
    answers.responder.set_port(40_000);
    assert!(is_answers_only(&answers));
    assert_eq!(traffic(&answers), Traffic::OneWay);
    // Of a request that waits for its answer, or has it, none of that is so.
    for other in [to(53, exchange(0, 3)), exchange(3, 0)] {
        assert!(!is_answers_only(&other), "{other:?}");
    }
    let mut between_servers = answers;
    between_servers.responder.set_port(53);
    assert!(!is_answers_only(&between_servers));
    // The roles were put right.
    let mut turned = to(53, exchange(0, 0));
    turned.reply = packets(3);
    assert!(is_answers_only(&turned));
}

/// A resolver's client that gave up before the answer came: the error is about its own port.
#[test]
fn a_client_that_gave_up_is_no_server_that_refuses() {
    let mut gave_up = refused(exchange(4, 0));
    gave_up.unreachable = Some(End::Originator);
    assert_eq!(state(&gave_up), State::Ok);
    assert_eq!(state(&refused(exchange(0, 1))), State::Refused);
}

/// Answers in a bucket of the histogram, all of them.
fn answered_in(bucket: usize, mut sample: Sample) -> Sample {
    let answered = sample.response.histogram[0];
    sample.response.histogram = [0; RESPONSE_BUCKETS];
    sample.response.histogram[bucket] = answered;
    sample
}

fn state(sample: &Sample) -> State {
    State::of(sample, &OneWayPorts::default())
}

fn traffic(sample: &Sample) -> Traffic {
    Traffic::of(sample, &OneWayPorts::default())
}

fn group_of(samples: &[Sample]) -> Group {
    let connections = samples.iter().map(|sample| Connection::new(sample, 0));
    let query = Query::default();
    let groups = groups(connections, &Nothing, &query, Field::Server, None);
    let [group] = &groups[..] else {
        panic!("{groups:?}");
    };
    group.clone()
}

/// Its state when it was `then` before the time that is judged, and nothing was silent.
fn after(then: &Sample, now: &Sample) -> State {
    let tally = Tally::of(&Group::alone(then, &OneWayPorts::default()));
    let before = Before {
        tally,
        lost_at_answer: tally.lost,
        is_silent: false,
        has_room: true,
    };
    judge(&Group::alone(now, &OneWayPorts::default()), &before)
}

/// As many packets that this machine dropped for a reason.
fn dropped(packets_: u64, class: DropClass, mut sample: Sample) -> Sample {
    sample.dropped.add(class, packets(packets_));
    sample
}

/// Whether anybody answers or not. What a filter refuses, or a closed port, is no want of room.
#[test]
fn what_this_machine_loses_is_not_the_networks_loss() {
    use DropClass::{Firewall, NoSocket, Queue, SocketBuffer};
    let one_way = to(514, exchange(0, 40));
    assert_eq!(state(&one_way), State::OneWay);
    for sample in [exchange(9, 0), exchange(90, 10), one_way] {
        for class in [SocketBuffer, Queue] {
            let dropped_here = dropped(1, class, sample);
            assert_eq!(state(&dropped_here), State::Dropping);
            // It is over.
            let mut now = dropped_here;
            now.orig += packets(1);
            assert_eq!(after(&dropped_here, &now), state(&sample));
        }
        for class in [Firewall, NoSocket] {
            assert_eq!(state(&dropped(1, class, sample)), state(&sample));
        }
    }
    assert_eq!(
        state(&dropped(1, SocketBuffer, exchange(0, 3))),
        State::Dead
    );
    // Requests that were dropped here in the last minute are no loss of the network, also when that is over.
    let then = exchange(90, 0);
    let now = exchange(180, 30);
    assert_eq!(after(&then, &now), State::Lossy);
    assert_eq!(after(&then, &dropped(29, SocketBuffer, now)), State::Ok);
    assert_eq!(after(&then, &dropped(10, SocketBuffer, now)), State::Lossy);
    let is_unanswered = |sample: &Sample| group_of(&[*sample]).is_unanswered(0);
    assert!(is_unanswered(&dropped(1, SocketBuffer, exchange(90, 10))));
    assert!(!is_unanswered(&dropped(1, SocketBuffer, exchange(9, 0))));
}

#[test]
fn the_worst_is_first_and_each_has_its_word() {
    assert!(State::ALL.is_sorted());
    let words = State::ALL.map(State::word);
    assert_eq!(
        words,
        ["DEAD", "REFUSED", "DROPS", "LOSSY", "SLOW", "ok", "one-way"]
    );
    let unanswered = State::ALL.map(State::is_unanswered);
    assert_eq!(unanswered, [true, true, false, true, false, false, false]);
}

#[test]
fn dead_is_what_was_asked_and_answered_nothing() {
    assert_eq!(state(&exchange(0, 1)), State::Dead);
    assert_eq!(state(&exchange(0, 9)), State::Dead);
    // One that merely waits is not.
    let mut waits = exchange(0, 0);
    waits.response.waiting = 1;
    waits.orig = packets(1);
    assert_eq!(state(&waits), State::Ok);
    // Of a service that answers, however many packets.
    assert_eq!(state(&to(123, exchange(0, 5_000))), State::Dead);
}

#[test]
fn dead_is_what_answered_once_and_now_loses_two_in_a_row() {
    let then = exchange(100, 3);
    assert_eq!(after(&then, &exchange(100, 4)), State::Ok);
    assert_eq!(after(&then, &exchange(100, 5)), State::Dead);
    assert_eq!(after(&then, &exchange(101, 5)), State::Lossy);
    // Nothing has happened for long: it stays dead by what was lost since its latest answer.
    let now = Group::alone(&exchange(100, 5), &OneWayPorts::default());
    let mut before = Before {
        tally: Tally::of(&now),
        lost_at_answer: 3,
        is_silent: true,
        ..Before::default()
    };
    assert_eq!(judge(&now, &before), State::Dead);
    before.lost_at_answer = 4;
    assert_eq!(judge(&now, &before), State::Ok);
}

/// One that is asked often is dead before a minute is over.
#[test]
fn dead_is_what_is_silent_for_seconds_while_five_are_lost() {
    let now = |lost| Group::alone(&exchange(600, lost), &OneWayPorts::default());
    let mut before = Before {
        tally: Tally::of(&Group::alone(&exchange(100, 0), &OneWayPorts::default())),
        lost_at_answer: 0,
        is_silent: true,
        ..Before::default()
    };
    assert_eq!(judge(&now(4), &before), State::Ok);
    assert_eq!(judge(&now(5), &before), State::Dead);
    before.is_silent = false;
    assert_eq!(judge(&now(5), &before), State::Ok);
}

#[test]
fn refused_is_an_icmp_error_and_no_answer() {
    assert_eq!(state(&refused(exchange(0, 0))), State::Refused);
    assert_eq!(state(&refused(exchange(0, 50))), State::Refused);
    assert_eq!(state(&to(514, refused(exchange(0, 3)))), State::Refused);
    assert_eq!(state(&refused(exchange(7, 0))), State::Ok);
    // It had answered before.
    assert_eq!(
        after(&exchange(7, 0), &refused(exchange(7, 1))),
        State::Refused
    );
}

#[test]
fn lossy_is_five_percent_and_two() {
    assert_eq!(state(&exchange(67, 33)), State::Lossy);
    assert_eq!(state(&exchange(38, 2)), State::Lossy);
    assert_eq!(state(&exchange(39, 2)), State::Ok);
    assert_eq!(state(&exchange(1, 1)), State::Ok);
    // Of what was before, nothing counts.
    assert_eq!(after(&exchange(67, 33), &exchange(167, 33)), State::Ok);
    assert_eq!(
        after(&exchange(1_000, 0), &exchange(1_020, 2)),
        State::Lossy
    );
}

#[test]
fn slow_is_eight_times_the_median_before_and_ten_milliseconds() {
    // Bucket 8 is 1 to 2 ms, bucket 11 is 8 to 16 ms.
    let then = answered_in(8, exchange(100, 0));
    let later = |bucket, answers: u32| {
        let mut now = exchange(100 + u64::from(answers), 0);
        now.response.histogram = then.response.histogram;
        now.response.histogram[bucket] += answers;
        after(&then, &now)
    };
    assert_eq!(later(12, 3), State::Slow);
    // Too few answers, less than eight times as slow.
    assert_eq!(later(12, 2), State::Ok);
    assert_eq!(later(10, 50), State::Ok);
    // 8 to 16 ms: the middle of it is 12 ms, eight times 1.5 ms.
    assert_eq!(later(11, 100), State::Slow);
    // Eight times as slow, but quick all the same.
    let quick = answered_in(1, exchange(100, 0));
    let mut now = exchange(200, 0);
    now.response.histogram = quick.response.histogram;
    now.response.histogram[9] += 100;
    assert_eq!(after(&quick, &now), State::Ok);
    // There is nothing to compare it with.
    assert_eq!(state(&answered_in(15, exchange(100, 0))), State::Ok);
}

#[test]
fn one_way_is_what_no_answer_is_expected_of() {
    // Services that never answer, from the first packet on; unless they do.
    assert_eq!(state(&to(514, exchange(0, 1))), State::OneWay);
    assert_eq!(state(&to(514, exchange(3, 0))), State::Ok);
    assert_eq!(
        State::of(&to(514, exchange(0, 1)), &OneWayPorts::new(vec![7777])),
        State::Dead
    );
    // Ten packets and never an answer.
    assert_eq!(state(&exchange(0, 10)), State::OneWay);
    // To many.
    for address in ["224.0.0.251:7777", "255.255.255.255:67", "[ff02::fb]:5353"] {
        let mut many = exchange(0, 1);
        many.responder = address.parse().unwrap();
        assert_eq!(state(&many), State::OneWay, "{address}");
        // Some of them answered: of the others nothing is known.
        many.response.answered = 1;
        many.response.lost = 4;
        assert_eq!(state(&many), State::Ok, "{address}");
        assert_eq!(
            Group::alone(&many, &OneWayPorts::default()).lost(),
            None,
            "{address}"
        );
    }
}

/// A line of a log, each from a socket of its own.
#[test]
fn one_way_is_a_matter_of_all_connections_of_a_server() {
    let lines: Vec<Sample> = (0..9).map(|_| exchange(0, 1)).collect();
    assert_eq!(group_of(&lines).state, State::Dead);
    let group = group_of(&[&lines[..], &[exchange(0, 1)]].concat());
    assert_eq!(group.state, State::OneWay);
    assert_eq!((group.asked(), group.lost()), (None, None));
    // One was answered: ten of the others are lost.
    let group = group_of(&[&lines[..], &[exchange(1, 1)]].concat());
    assert_eq!(group.state, State::Lossy);
    assert_eq!((group.asked(), group.lost()), (Some(11), Some(10)));
    let queries: Vec<Sample> = (0..50).map(|_| to(53, exchange(0, 1))).collect();
    assert_eq!(group_of(&queries).state, State::Dead);
}

/// What it says is known before the counts tell it.
#[test]
fn what_is_spoken_tells_what_it_is_for() {
    let says = |protocol, answered, lost| {
        let mut one = exchange(answered, lost);
        one.heard = Heard::Says(protocol);
        one
    };
    assert_eq!(traffic(&says(Protocol::Rtp, 2, 1)), Traffic::Stream);
    assert_eq!(traffic(&says(Protocol::Quic, 2, 1)), Traffic::Stream);
    assert_eq!(traffic(&says(Protocol::Dns, 2, 1)), Traffic::Exchange);
    assert_eq!(traffic(&says(Protocol::Syslog, 0, 1)), Traffic::OneWay);
    // A server that does not answer is dead, whatever it was to send.
    assert_eq!(state(&says(Protocol::Quic, 0, 2)), State::Dead);
}

#[test]
fn of_a_stream_nothing_is_lost() {
    let stream = |orig, reply, answered, lost| {
        let mut one = exchange(answered, lost);
        (one.orig, one.reply) = (packets(orig), packets(reply));
        one
    };
    // A download: many packets back for each one forth.
    let download = stream(100, 5_000, 90, 10);
    assert_eq!(traffic(&download), Traffic::Stream);
    assert_eq!(state(&download), State::Ok);
    let group = group_of(&[download]);
    assert_eq!((group.asked(), group.lost()), (Some(90), None));
    // An upload.
    assert_eq!(traffic(&stream(5_000, 100, 100, 0)), Traffic::Stream);
    // One that says hello once, and then takes.
    let taken = stream(2_158, 1, 1, 300);
    assert_eq!(
        (traffic(&taken), state(&taken)),
        (Traffic::OneWay, State::OneWay)
    );
    // The same as slowly as requests would come. Two answers may be two hellos; more are answers, as are those of a service that answers.
    assert_eq!(traffic(&stream(454, 1, 1, 453)), Traffic::OneWay);
    assert_eq!(traffic(&stream(454, 2, 2, 452)), Traffic::OneWay);
    assert_eq!(traffic(&stream(19, 1, 1, 18)), Traffic::Exchange);
    assert_eq!(traffic(&stream(454, 3, 3, 451)), Traffic::Exchange);
    let query = to(53, stream(454, 1, 1, 453));
    assert_eq!(state(&query), State::Lossy);
    let mut unknown = stream(454, 1, 1, 453);
    unknown.heard = Heard::Says(Protocol::Dns);
    assert_eq!(state(&unknown), State::Lossy);
    // Media: as many each way, now and then two after each other.
    assert_eq!(traffic(&stream(1_000, 1_000, 900, 100)), Traffic::Stream);
    assert_eq!(traffic(&stream(60, 59, 56, 4)), Traffic::Stream);
    // Answers of two packets that now and then are lost cannot be told from it.
    assert_eq!(traffic(&stream(100, 134, 67, 33)), Traffic::Stream);
    // An exchange with a late answer, or an answer sent twice.
    assert_eq!(traffic(&stream(100, 68, 67, 33)), Traffic::Exchange);
    assert_eq!(traffic(&stream(100, 101, 100, 0)), Traffic::Exchange);
    // An answer that came from another port than was asked.
    assert_eq!(traffic(&stream(1, 0, 1, 0)), Traffic::Exchange);
    // A new connection of a server of streams is not answered yet: that does not make it dead.
    let group = group_of(&[stream(100, 5_000, 90, 10), exchange(0, 1)]);
    assert_eq!(group.state, State::Ok);
    assert_eq!(group.lost(), Some(1));
}
