//! What becomes of requests: answered, lost, asked again, several at once; and what user space adds.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use udptrack::model::{Amendment, Change, Response, Role, Sample, Status};

use crate::common::frames;
use crate::expiry::request;
use crate::rig::{EGRESS, Rig, XDP, address};
use crate::times::{Span, assert_took, now_ns, timed, took};

/// Longer than a request is held for a part of the one before.
const PAUSE: Duration = Duration::from_millis(200);

/// A client and a server, and what they say.
struct Talk {
    rig: Rig,
    client: SocketAddr,
    server: SocketAddr,
}

impl Talk {
    fn new(client: &str, server: &str) -> Self {
        Self {
            rig: Rig::new(64),
            client: address(client),
            server: address(server),
        }
    }

    fn ask(&mut self, payload: &[u8]) -> Span {
        let frame = frames::udp(self.client, self.server, payload);
        timed(|| self.rig.run(XDP, &frame).unwrap())
    }

    fn answer(&mut self, payload: &[u8]) -> Span {
        let frame = frames::udp(self.server, self.client, payload);
        timed(|| self.rig.run(EGRESS, &frame).unwrap())
    }

    fn sample(&mut self) -> Sample {
        self.rig.find(self.client, self.server)
    }

    /// Asked, answered, lost, retries.
    fn told(&mut self) -> [u64; 4] {
        let response = self.sample().response;
        assert_eq!(
            response
                .histogram
                .iter()
                .copied()
                .map(u64::from)
                .sum::<u64>(),
            response.answered
        );
        [
            response.asked(),
            response.answered,
            response.lost,
            response.retries,
        ]
    }

    fn end(&mut self) -> Sample {
        let sample = self.sample();
        self.rig.tracker.expire(&[request(&sample)]).unwrap()[0].0
    }
}

fn families() -> [[&'static str; 2]; 2] {
    [
        ["10.88.0.1:4000", "10.88.0.2:7000"],
        ["[fd88::1]:4000", "[fd88::2]:7000"],
    ]
}

/// Every third request is lost. The others are answered at once, and are timed so.
#[test]
#[ignore = "root"]
fn lost_requests_do_not_spoil_the_times_of_others() {
    for [client, server] in families() {
        let mut talk = Talk::new(client, server);
        let mut answers = Vec::new();
        for number in 0..12_u8 {
            let asked = talk.ask(&[number; 40]);
            if number % 3 != 2 {
                answers.push(took(&asked, &talk.answer(b"yes")));
            }
            // Later than an answer needs, by what answers have taken.
            let longest = answers.iter().map(|took| *took.end()).max().unwrap_or(0);
            thread::sleep(PAUSE.max(Duration::from_nanos(8 * longest)));
        }
        // The last one waits, or is told to be lost by now.
        assert_eq!(talk.told()[..2], [12, 8]);
        let ended = talk.end();
        let response = ended.response;
        assert_eq!(
            (response.answered, response.lost, response.waiting),
            (8, 4, 0)
        );
        assert_eq!(response.retries, 0);
        assert!(!response.is_bound);
        assert_took(&response, &answers);
    }
}

#[test]
#[ignore = "root"]
fn the_same_bytes_again_are_a_retry() {
    for [client, server] in families() {
        let mut talk = Talk::new(client, server);
        for _ in 0..3 {
            talk.ask(b"is anybody there");
            thread::sleep(PAUSE);
        }
        let [asked, answered, _, retries] = talk.told();
        assert_eq!([asked, answered, retries], [3, 0, 2]);
        let asked = talk.ask(b"is anybody there");
        let answered = talk.answer(b"yes");
        assert_eq!(talk.told(), [4, 1, 3, 3]);
        // Timed from the latest.
        assert_took(&talk.sample().response, &[took(&asked, &answered)]);
        // What was answered is no retry.
        talk.ask(b"is anybody there");
        talk.answer(b"yes");
        assert_eq!(talk.told(), [5, 2, 3, 3]);
    }
}

/// Two messages of a protocol with ids: a request, and its answer.
struct Exchange {
    port: u16,
    messages: fn(u8) -> [Vec<u8>; 2],
}

fn padded(start: &[u8]) -> Vec<u8> {
    let mut message = start.to_vec();
    message.resize(48, 0);
    message
}

fn protocols() -> Vec<Exchange> {
    let exchange = |port, messages| Exchange { port, messages };
    vec![
        exchange(53, |id| {
            [
                padded(&[7, id, 1, 0, 0, 1]),
                padded(&[7, id, 0x81, 0x80, 0, 1]),
            ]
        }),
        exchange(1812, |id| {
            [padded(&[1, id, 0, 48]), padded(&[2, id, 0, 48])]
        }),
        exchange(5683, |id| {
            [padded(&[0x40, 1, 9, id]), padded(&[0x60, 0x45, 9, id])]
        }),
        // STUN, on a port of its own.
        exchange(19_302, |id| {
            [
                padded(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, id]),
                padded(&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, id]),
            ]
        }),
        exchange(123, |id| {
            let mut request = padded(&[0x23]);
            request[40..48].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, id]);
            let mut answer = padded(&[0x24]);
            answer[24..32].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, id]);
            answer[40..48].copy_from_slice(&[9; 8]);
            [request, answer]
        }),
        // SNMP version 2c, with a short and a long length.
        exchange(161, |id| {
            let message = |kind| {
                padded(&[
                    0x30, 0x81, 0x80, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', kind,
                    0x81, 0x70, 2, 4, 1, 2, 3, id, 2, 1, 0,
                ])
            };
            [message(0xa0), message(0xa2)]
        }),
        // Version 3.
        exchange(161, |id| {
            let message = |flags| {
                padded(&[
                    0x30, 0x40, 2, 1, 3, 0x30, 0x0e, 2, 2, 5, id, 2, 2, 5, 0, 4, 1, flags,
                ])
            };
            [message(4), message(0)]
        }),
    ]
}

/// More than one under way: each answer is timed from its own request, in whatever order they come.
#[test]
#[ignore = "root"]
fn an_id_tells_requests_apart() {
    const REQUESTS: u8 = 40;
    const LOST: u8 = 3;
    for (number, Exchange { port, messages }) in protocols().into_iter().enumerate() {
        let mut talk = Talk::new("10.88.0.1:4000", &format!("10.88.0.2:{port}"));
        let mut asked = vec![talk.ask(&messages(0)[0])];
        thread::sleep(PAUSE);
        asked.extend((1..REQUESTS).map(|id| talk.ask(&messages(id)[0])));
        assert_eq!(talk.told(), [40, 0, 0, 0], "protocol {number}");
        let mut answers = Vec::new();
        for id in (LOST..REQUESTS).rev() {
            let answered = talk.answer(&messages(id)[1]);
            answers.push(took(&asked[usize::from(id)], &answered));
            // Twice is not more.
            talk.answer(&messages(id)[1]);
        }
        let response = talk.sample().response;
        assert_eq!(
            (response.waiting, response.lost),
            (3, 0),
            "protocol {number}"
        );
        assert!(!response.is_bound, "protocol {number}");
        assert_took(&response, &answers);
        // The first was asked long before the others.
        answers.push(took(&asked[0], &talk.answer(&messages(0)[1])));
        let response = talk.sample().response;
        assert_eq!(response.waiting, 2, "protocol {number}");
        assert_took(&response, &answers);
        let ended = talk.end().response;
        assert_eq!((ended.answered, ended.lost, ended.waiting), (38, 2, 0));
    }
}

/// What nobody answered in a connection that has ended is no request of the next one at its place.
#[test]
#[ignore = "root"]
fn ids_of_an_ended_connection_are_forgotten() {
    let messages = protocols()[1].messages;
    let mut talk = Talk::new("10.88.0.1:4000", "10.88.0.2:1812");
    for id in 0..10 {
        talk.ask(&messages(id)[0]);
    }
    let before = talk.end();
    assert_eq!((before.response.lost, before.response.retries), (10, 0));
    thread::sleep(Duration::from_millis(10));
    for id in 0..10 {
        talk.ask(&messages(id)[0]);
    }
    let again = talk.sample();
    assert_eq!(again.place, before.place);
    assert_eq!(talk.told(), [10, 0, 0, 0]);
    for id in (0..10).rev() {
        talk.answer(&messages(id)[1]);
    }
    assert_eq!(talk.told(), [10, 10, 0, 0]);
    let since_begin = now_ns() - again.first_ns;
    assert!(talk.sample().response.max_ns <= since_begin);
}

/// The same id is asked again: it is a retry, and its answer is that of the latest.
#[test]
#[ignore = "root"]
fn an_id_is_asked_again() {
    for Exchange { port, messages } in protocols() {
        let mut talk = Talk::new("[fd88::1]:4000", &format!("[fd88::2]:{port}"));
        talk.ask(&messages(1)[0]);
        talk.ask(&messages(2)[0]);
        thread::sleep(PAUSE);
        let asked = [1, 2].map(|id| talk.ask(&messages(id)[0]));
        assert_eq!(talk.told(), [4, 0, 2, 2]);
        let answers = [2, 1].map(|id: u8| {
            let answered = talk.answer(&messages(id)[1]);
            took(&asked[usize::from(id) - 1], &answered)
        });
        assert_eq!(talk.told(), [4, 2, 2, 2]);
        assert_took(&talk.sample().response, &answers);
    }
}

/// What was open for two epochs is lost; an answer that comes then all the same is one.
#[test]
#[ignore = "root"]
fn a_late_answer_is_an_answer() {
    let mut talk = Talk::new("10.88.0.1:4000", "10.88.0.2:53");
    let messages = protocols()[0].messages;
    for id in 0..5 {
        talk.ask(&messages(id)[0]);
    }
    thread::sleep(Duration::from_millis(4400));
    assert_eq!(talk.told(), [5, 0, 5, 0]);
    talk.answer(&messages(3)[1]);
    assert_eq!(talk.told(), [5, 1, 4, 0]);
    talk.ask(&messages(9)[0]);
    talk.answer(&messages(9)[1]);
    assert_eq!(talk.told(), [6, 2, 4, 0]);
}

#[test]
#[ignore = "root"]
fn other_protocols_on_ports_of_these_have_no_ids() {
    for port in [5683, 1812, 123, 161] {
        let mut talk = Talk::new("10.88.0.1:4000", &format!("10.88.0.2:{port}"));
        for text in ["what is it", "xxxxxxxxxxxxxxxxxxxxxxxx", "{\"a\": 1}"] {
            talk.ask(text.as_bytes());
            talk.answer(b"this is another answer to it");
        }
        assert_eq!(talk.told(), [3, 3, 0, 0], "{port}");
    }
}

#[test]
#[ignore = "root"]
fn turned_roles_measure_anew() {
    for [client, server] in families() {
        let mut talk = Talk::new(client, server);
        // The answer is seen first.
        talk.answer(b"a");
        talk.ask(b"b");
        let seen = talk.sample();
        assert_eq!((seen.originator, seen.role), (talk.server, Role::Seen));
        assert_eq!(seen.response.answered, 1);
        let amendment = Amendment {
            place: seen.place,
            id: seen.id,
            change: Change::Role {
                role: Role::Guessed,
                swap: true,
            },
        };
        let other = Amendment {
            id: udptrack::model::ConnectionId(seen.id.0 ^ 1),
            ..amendment
        };
        talk.rig.tracker.amend(&[other, amendment]).unwrap();
        let turned = talk.sample();
        assert_eq!(
            (turned.originator, turned.role),
            (talk.client, Role::Guessed)
        );
        assert_eq!((turned.orig, turned.reply), (seen.reply, seen.orig));
        assert_eq!(turned.response, Response::default());
        assert_eq!(turned.first_reply_ns, None);
        talk.answer(b"c");
        assert_eq!(talk.told(), [0, 0, 0, 0]);
        talk.ask(b"d");
        talk.answer(b"e");
        assert_eq!(talk.told(), [1, 1, 0, 0]);
        let known = Change::Role {
            role: Role::Known,
            swap: false,
        };
        talk.rig
            .tracker
            .amend(&[Amendment {
                change: known,
                ..amendment
            }])
            .unwrap();
        assert_eq!(talk.sample().role, Role::Known);
        assert_eq!(talk.told(), [1, 1, 0, 0]);
    }
}

#[test]
#[ignore = "root"]
fn an_answer_from_elsewhere_is_one() {
    let mut talk = Talk::new("10.88.0.1:4000", "10.88.0.2:69");
    talk.ask(b"read");
    let sample = talk.sample();
    let answer = Amendment {
        place: sample.place,
        id: sample.id,
        change: Change::Answer {
            ns: sample.first_ns + 1_500_000,
        },
    };
    // Once.
    talk.rig.tracker.amend(&[answer, answer]).unwrap();
    assert_eq!(talk.told(), [1, 1, 0, 0]);
    let answered = talk.sample();
    assert_eq!(answered.response.sum_ns, 1_500_000);
    assert_eq!(answered.status, Status::Unreplied);
    talk.ask(b"more");
    assert_eq!(talk.told()[..2], [2, 1]);
}
