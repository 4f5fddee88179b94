use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::connection::{Counts, Response, Status, Vlans};

/// Sockets as a test wants them.
#[derive(Clone, Default)]
struct Fake {
    open: Rc<RefCell<Vec<Socket>>>,
    closed: Rc<RefCell<Vec<Closed>>>,
    reads: Rc<Cell<u32>>,
}

impl Source for Fake {
    fn open(&mut self) -> io::Result<Vec<Socket>> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.open.borrow().clone())
    }

    fn closed(&mut self) -> io::Result<Vec<Closed>> {
        Ok(self.closed.take())
    }

    fn is_complete(&self) -> bool {
        true
    }
}

fn socket(key: u64, local: &str, peer: Option<&str>) -> Socket {
    Socket {
        key,
        netns: Namespaces::new().own(),
        local: local.parse().unwrap(),
        peer: peer.map(|peer| peer.parse().unwrap()),
        only_ipv6: false,
        device: None,
        at_home: true,
        holder: Some(Holder {
            // No process has this id.
            pid: 0x7fff_0000 + u32::try_from(key).unwrap(),
            started_ns: 1,
            uid: 0,
            cgroup: 0,
            command: *b"fake\0\0\0\0\0\0\0\0\0\0\0\0",
        }),
    }
}

fn sample(id: u64, originator: &str, responder: &str, first_ns: u64) -> Sample {
    Sample {
        id: ConnectionId(id),
        ifindex: Ifindex(1),
        vlans: Vlans::default(),
        originator: originator.parse().unwrap(),
        responder: responder.parse().unwrap(),
        orig: Counts::default(),
        reply: Counts::default(),
        status: Status::Unreplied,
        first_ns,
        last_ns: first_ns,
        first_reply_ns: None,
        orig_ttl: None,
        reply_ttl: None,
        response: Response::default(),
    }
}

fn start(fake: &Fake) -> Processes {
    Processes::new(Box::new(fake.clone()), SECOND).unwrap()
}

/// The ids of the processes at both ends, less what the fake adds.
fn pids(processes: &Processes, id: u64) -> (Option<u32>, Option<u32>) {
    let answer = processes.of(ConnectionId(id));
    let pid = |owner: Option<&Owner>| owner.map(|owner| owner.pid - 0x7fff_0000);
    (pid(answer.originator), pid(answer.responder))
}

#[test]
fn both_ends_on_loopback() {
    let fake = Fake::default();
    fake.open.borrow_mut().extend([
        socket(1, "127.0.0.1:4000", Some("127.0.0.1:53")),
        socket(2, "0.0.0.0:53", None),
    ]);
    let mut processes = start(&fake);
    let sample = sample(7, "127.0.0.1:4000", "127.0.0.1:53", 2 * SECOND);
    processes
        .observe([&sample].into_iter(), 2 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (Some(1), Some(2)));
    assert!(!processes.of(ConnectionId(7)).forwarded);
    let owner = processes.of(ConnectionId(7)).originator.unwrap();
    assert_eq!(
        (owner.command.as_str(), owner.user.as_str()),
        ("fake", "root")
    );
    // All was known from the first read.
    assert_eq!((fake.reads.get(), processes.pending.len()), (1, 0));
}

#[test]
fn a_name_stays_until_the_end_was_reported() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    let dig = socket(1, "127.0.0.1:4000", Some("192.0.2.53:53"));
    fake.closed.borrow_mut().push(Closed {
        socket: dig,
        closed_ns: 3 * SECOND,
    });
    let sample = sample(7, "127.0.0.1:4000", "192.0.2.53:53", 2 * SECOND);
    for now in 3..20 {
        processes
            .observe([&sample].into_iter(), now * SECOND, false)
            .unwrap();
        assert_eq!(pids(&processes, 7), (Some(1), None), "{now}");
    }
    processes.forget(ConnectionId(7));
    assert_eq!(pids(&processes, 7), (None, None));
    assert_eq!((processes.found.len(), processes.pending.len()), (0, 0));
}

#[test]
fn neither_end_here_is_forwarded_once_sockets_were_read() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    // Addresses for documentation (RFC 5737), that no machine has.
    let passing = sample(7, "192.0.2.1:4000", "198.51.100.1:53", 2 * SECOND);
    let to_a_group = sample(8, "192.0.2.1:5353", "224.0.0.252:5353", 2 * SECOND);
    let ours = sample(9, "192.0.2.1:4000", "127.0.0.1:53", 2 * SECOND);
    let all = [&passing, &to_a_group, &ours];
    processes
        .observe(all.into_iter(), 2 * SECOND, false)
        .unwrap();
    assert_eq!(fake.reads.get(), 2);
    let forwarded = [7, 8, 9].map(|id| processes.of(ConnectionId(id)).forwarded);
    assert_eq!(forwarded, [true, false, false]);
}

#[test]
fn a_server_that_comes_later_is_found_and_reads_become_rare() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    let mut sample = sample(7, "192.0.2.1:4000", "127.0.0.1:53", 2 * SECOND);
    for now in 2..=40 {
        sample.last_ns = now * SECOND;
        processes
            .observe([&sample].into_iter(), now * SECOND, false)
            .unwrap();
    }
    // At 2, 3, 5, 9, 17 and 33 seconds, and one at the start.
    assert_eq!(fake.reads.get(), 7);
    fake.open.borrow_mut().push(socket(2, "0.0.0.0:53", None));
    sample.last_ns = 64 * SECOND;
    processes
        .observe([&sample].into_iter(), 64 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, None));
    processes
        .observe([&sample].into_iter(), 65 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, Some(2)));
}

#[test]
fn the_last_look_puts_nothing_off() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    let mut sample = sample(7, "127.0.0.1:4000", "192.0.2.53:53", 2 * SECOND);
    processes
        .observe([&sample].into_iter(), 2 * SECOND, false)
        .unwrap();
    fake.open
        .borrow_mut()
        .push(socket(1, "127.0.0.1:4000", Some("192.0.2.53:53")));
    let now = 2 * SECOND + 1;
    sample.last_ns = now;
    processes
        .observe([&sample].into_iter(), now, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, None));
    processes.observe([&sample].into_iter(), now, true).unwrap();
    assert_eq!(pids(&processes, 7), (Some(1), None));
}

#[test]
fn a_connection_is_named_when_it_begins() {
    let fake = Fake::default();
    fake.open.borrow_mut().push(socket(2, "0.0.0.0:53", None));
    let mut processes = start(&fake);
    let event = Event {
        kind: EventKind::New,
        id: ConnectionId(7),
        ifindex: Ifindex(1),
        vlans: Vlans::default(),
        source: "192.0.2.1:4000".parse().unwrap(),
        destination: "127.0.0.1:53".parse().unwrap(),
        counts: Counts::default(),
        time_ns: 2 * SECOND,
    };
    processes
        .announce([&event].into_iter(), 2 * SECOND)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, Some(2)));
}
