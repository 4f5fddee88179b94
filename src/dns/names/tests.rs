//! Messages of clients and servers, and what they come to.

use super::super::message::tests::message;
use super::*;
use crate::model::{
    ConnectionId, Counts, Dropped, Heard, Ifindex, Owner, Place, Processes, Response, Role, Sample,
    Status, Vlans,
};

const SECOND: u64 = 1_000_000_000;
const QUERY: u16 = 0x0100;
const ANSWER: u16 = 0x8180;

struct Known(Owner);

impl Facts for Known {
    fn interface(&self, _: Ifindex) -> String {
        "eth0".to_owned()
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        Processes {
            originator: (sample.originator.port() == 1).then_some(&self.0),
            ..Processes::default()
        }
    }
}

fn known() -> Known {
    Known(Owner {
        pid: 7,
        command: "dig".to_owned(),
        script: None,
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    })
}

fn sample(client: u16, server: &str) -> Sample {
    Sample {
        id: ConnectionId(client.into()),
        place: Place::default(),
        ifindex: Ifindex(1),
        reply_ifindex: None,
        vlans: Vlans::default(),
        originator: SocketAddr::from(([192, 0, 2, 1], client)),
        responder: server.parse().unwrap(),
        role: Role::Seen,
        orig: Counts::default(),
        reply: Counts::default(),
        status: Status::Replied,
        unreachable: None,
        first_ns: 0,
        last_ns: 0,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        orig_class: None,
        reply_class: None,
        response: Response::default(),
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::default(),
    }
}

/// Messages of one client and one server.
struct Talk<'a> {
    names: &'a mut Names,
    sample: Sample,
    time_ns: u64,
    unread: u64,
    /// Messages come from the wrong side.
    is_turned: bool,
}

impl Talk<'_> {
    fn pass(&mut self, bytes: &[u8]) {
        let read = Message::read(bytes);
        let seen = Seen {
            sample: &self.sample,
            message: read.as_ref(),
            from_originator: read.as_ref().is_none_or(|read| !read.is_answer()) != self.is_turned,
            time_ns: self.time_ns,
            interface: Ifindex(1),
            unread: self.unread,
        };
        self.names.take(&seen, &known());
    }

    fn ask(&mut self, id: u16, name: &str) {
        self.pass(&message(id, QUERY, name, 1, &[]));
    }

    fn answer(&mut self, id: u16, name: &str, code: u16) {
        self.pass(&message(id, ANSWER | code, name, 1, &[]));
    }
}

fn talk<'a>(names: &'a mut Names, client: u16, server: &str) -> Talk<'a> {
    Talk {
        names,
        sample: sample(client, server),
        time_ns: SECOND,
        unread: 0,
        is_turned: false,
    }
}

fn told(rows: &[NameRow]) -> Vec<(String, u64)> {
    let told = rows.iter().map(|row| {
        let failure = row
            .failure
            .map_or_else(String::new, |failure| format!(" {}", failure.word()));
        assert_eq!(row.count.error, 0);
        (format!("{}{failure}", row.name), row.count.count)
    });
    told.collect()
}

fn owned(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn names_that_are_asked_and_names_that_fail() {
    let mut names = Names::default();
    let mut client = talk(&mut names, 1, "192.0.2.53:53");
    for (id, name, code) in [
        (1, "good.test", 0),
        (2, "Gone.test", 3),
        (3, "gone.TEST", 3),
        (4, "broken.test", 2),
    ] {
        client.ask(id, name);
        client.answer(id, name, code);
    }
    let mut other = talk(&mut names, 2, "[2001:db8::53]:53");
    other.ask(1, "gone.test");
    // A server that does not understand a question need not repeat it.
    other.pass(&[0, 1, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        told(&names.failed(None)),
        owned(&[
            ("gone.test NXDOMAIN", 2),
            ("broken.test SERVFAIL", 1),
            ("gone.test FORMERR", 1)
        ])
    );
    let asked = names.asked(None);
    assert_eq!(
        told(&asked),
        owned(&[
            ("gone.test", 2),
            ("broken.test", 1),
            ("gone.test", 1),
            ("good.test", 1)
        ])
    );
    let program = |row: &NameRow| row.program.map(|name| name.name().to_owned());
    assert_eq!(program(&asked[0]).as_deref(), Some("dig"));
    assert_eq!(program(&asked[2]), None);
    let of_one = names.asked(Some("[2001:db8::53]:53".parse().unwrap()));
    assert_eq!(told(&of_one), owned(&[("gone.test", 1)]));
    assert_eq!(names.kinds(), [(Some(1), 5)]);
    assert_eq!(
        names.tally(),
        Tally {
            read: 10,
            ..Tally::default()
        }
    );
}

/// Nobody puts a name among those that fail by answering what nobody asked.
#[test]
fn answers_that_nobody_asked_for_count_apart() {
    let mut names = Names::default();
    let mut client = talk(&mut names, 1, "192.0.2.53:53");
    client.answer(1, "a.test", 3);
    client.ask(1, "a.test");
    client.answer(2, "a.test", 3);
    client.answer(1, "b.test", 3);
    client.is_turned = true;
    client.answer(1, "a.test", 3);
    client.is_turned = false;
    client.answer(1, "a.test", 3);
    client.answer(1, "a.test", 3);
    client.pass(b"nonsense");
    assert_eq!(told(&names.failed(None)), owned(&[("a.test NXDOMAIN", 1)]));
    let tally = Tally {
        read: 7,
        malformed: 1,
        unasked: 5,
        ..Tally::default()
    };
    assert_eq!(names.tally(), tally);
}

#[test]
fn what_is_not_answered_fails_once_unless_it_may_have_been() {
    let mut names = Names::default();
    let mut client = talk(&mut names, 1, "192.0.2.53:53");
    client.ask(1, "silent.test");
    client.ask(1, "silent.test");
    client.unread = 5;
    client.ask(2, "unknown.test");
    client.time_ns = 3 * SECOND;
    client.ask(3, "slow.test");
    names.tick(6 * SECOND + 1, 0);
    names.tick(7 * SECOND, 0);
    assert_eq!(
        told(&names.failed(None)),
        owned(&[("silent.test no answer", 1)])
    );
    let mut client = talk(&mut names, 1, "192.0.2.53:53");
    client.time_ns = 7 * SECOND;
    client.answer(1, "silent.test", 2);
    client.answer(3, "slow.test", 0);
    names.tick(60 * SECOND, 0);
    assert_eq!(
        told(&names.failed(None)),
        owned(&[("silent.test no answer", 1)])
    );
    let tally = names.tally();
    assert_eq!((tally.retries, tally.late, tally.unasked), (1, 1, 0));
}

/// Of multicast DNS nobody waits for an answer, and who announces a name answers nothing.
#[test]
fn mdns_and_llmnr_have_no_failures() {
    let mut names = Names::default();
    for server in ["224.0.0.251:5353", "224.0.0.252:5355"] {
        let mut client = talk(&mut names, 1, server);
        client.ask(0, "printer.local");
        client.answer(0, "other.local", 0);
        client.answer(0, "printer.local", 3);
    }
    names.tick(60 * SECOND, 0);
    assert_eq!(names.failed(None), []);
    assert_eq!(names.asked(None).len(), 2);
    assert_eq!(
        names.tally(),
        Tally {
            read: 6,
            ..Tally::default()
        }
    );
}

/// Strangers may send whatever names and types they like.
#[test]
fn memory_is_bounded_and_says_so() {
    let mut names = Names::with_room(100, 50);
    let mut client = talk(&mut names, 1, "192.0.2.53:53");
    for number in 0..2000_u16 {
        client.pass(&message(
            number,
            QUERY,
            &format!("{number}.test"),
            number,
            &[],
        ));
        client.ask(number, "often.test");
        client.answer(number, "often.test", 3);
    }
    // The second question has the id of the first.
    assert_eq!(names.tally().forgotten, 2000);
    let asked = names.asked(None);
    assert_eq!((asked.len(), &*asked[0].name), (100, "often.test"));
    assert!(asked[1].count.error > 0);
    assert_eq!(
        told(&names.failed(None)),
        owned(&[("often.test NXDOMAIN", 2000)])
    );
    let kinds = names.kinds();
    assert_eq!(kinds.len(), KINDS + 1);
    assert_eq!(kinds.iter().map(|(_, count)| count).sum::<u64>(), 4000);
}
