use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::model::{ConnectionId, Counts, Dropped, Heard, Response, Role, Status, Timeouts, Vlans};

/// Sockets as a test wants them.
#[derive(Clone, Default)]
struct Fake {
    open: Rc<RefCell<Vec<Socket>>>,
    closed: Rc<RefCell<Vec<Closed>>>,
    reads: Rc<Cell<u32>>,
    gone: Rc<Cell<u32>>,
}

impl Source for Fake {
    fn open(&mut self) -> io::Result<Vec<Socket>> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.open.borrow().clone())
    }

    fn closed(&mut self) -> io::Result<Vec<Closed>> {
        Ok(self.closed.take())
    }

    fn is_running(&self, pid: u32) -> bool {
        pid != self.gone.get()
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

fn sample(place: u32, originator: &str, responder: &str, first_ns: u64) -> Sample {
    Sample {
        id: ConnectionId(place.into()),
        place: Place(place),
        ifindex: Ifindex(1),
        reply_ifindex: None,
        vlans: Vlans::default(),
        originator: originator.parse().unwrap(),
        responder: responder.parse().unwrap(),
        orig: Counts::default(),
        reply: Counts::default(),
        status: Status::Unreplied,
        unreachable: None,
        first_ns,
        last_ns: first_ns,
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

/// These connections, and no others.
fn table(samples: &[Sample]) -> Table {
    Table::of(samples, 100, Timeouts::default(), SECOND)
}

fn start(fake: &Fake) -> Processes {
    Processes::new(Box::new(fake.clone()), SECOND).unwrap()
}

/// The ids of the processes at both ends, less what the fake adds.
fn pids(processes: &Processes, place: u32) -> (Option<u32>, Option<u32>) {
    let answer = processes.of(Place(place));
    let pid = |owner: Option<&Owner>| owner.map(|owner| owner.pid - 0x7fff_0000);
    (pid(answer.originator), pid(answer.responder))
}

/// How many connections have an owner to look for.
fn pending(processes: &Processes) -> usize {
    let places = processes.pending.iter();
    places
        .filter_map(|place| processes.found.get(*place)?.pending)
        .count()
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
        .observe(&table(&[sample]), 2 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (Some(1), Some(2)));
    assert!(!processes.of(Place(7)).forwarded);
    let owner = processes.of(Place(7)).originator.unwrap();
    assert_eq!(
        (owner.command.as_str(), owner.user.as_str()),
        ("fake", "root")
    );
    // All was known from the first read.
    assert_eq!((fake.reads.get(), pending(&processes)), (1, 0));
    assert_eq!(processes.pending.len(), 1);
    // The place leaves the list with the next look.
    processes
        .observe(&table(&[sample]), 3 * SECOND, false)
        .unwrap();
    assert_eq!((fake.reads.get(), processes.pending.len()), (1, 0));
}

/// The old process gave its socket to the new one, and ended.
#[test]
fn a_process_that_is_gone_is_not_named_for_what_another_holds() {
    let fake = Fake::default();
    let server = socket(1, "127.0.0.1:53", None);
    fake.open.borrow_mut().push(server);
    let mut processes = start(&fake);
    let holder = socket(2, "127.0.0.1:1", None).holder;
    *fake.open.borrow_mut() = vec![Socket { holder, ..server }];
    let asked = |place, at| sample(place, "192.0.2.1:4000", "127.0.0.1:53", at);
    let at = 2 * SECOND;
    processes
        .observe(&table(&[asked(7, at)]), at, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, Some(1)));
    fake.gone.set(0x7fff_0001);
    let at = at + SECOND / 2;
    processes
        .observe(&table(&[asked(8, at)]), at, false)
        .unwrap();
    assert_eq!(pids(&processes, 8), (None, Some(2)));
}

/// What it closed at its end is its own.
#[test]
fn a_process_that_is_gone_is_named_for_what_it_closed() {
    let fake = Fake::default();
    let dig = socket(1, "127.0.0.1:4000", Some("192.0.2.53:53"));
    fake.open.borrow_mut().push(dig);
    let mut processes = start(&fake);
    let at = 2 * SECOND;
    fake.gone.set(0x7fff_0001);
    fake.open.borrow_mut().clear();
    fake.closed.borrow_mut().push(Closed {
        socket: dig,
        closed_ns: at,
    });
    let asked = sample(7, "127.0.0.1:4000", "192.0.2.53:53", at);
    processes.observe(&table(&[asked]), at, false).unwrap();
    assert_eq!(pids(&processes, 7), (Some(1), None));
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
            .observe(&table(&[sample]), now * SECOND, false)
            .unwrap();
        assert_eq!(pids(&processes, 7), (Some(1), None), "{now}");
    }
    processes.forget(Place(7));
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
    let all = table(&[passing, to_a_group, ours]);
    processes.observe(&all, 2 * SECOND, false).unwrap();
    assert_eq!(fake.reads.get(), 2);
    let forwarded = [7, 8, 9].map(|place| processes.of(Place(place)).forwarded);
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
            .observe(&table(&[sample]), now * SECOND, false)
            .unwrap();
    }
    // At 2, 3, 5, 9, 17 and 33 seconds, and one at the start.
    assert_eq!(fake.reads.get(), 7);
    fake.open.borrow_mut().push(socket(2, "0.0.0.0:53", None));
    sample.last_ns = 64 * SECOND;
    processes
        .observe(&table(&[sample]), 64 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, None));
    processes
        .observe(&table(&[sample]), 65 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, Some(2)));
}

#[test]
fn a_connection_at_the_place_of_another_is_named_anew() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    fake.open
        .borrow_mut()
        .push(socket(1, "127.0.0.1:4000", Some("192.0.2.53:53")));
    let one = sample(7, "127.0.0.1:4000", "192.0.2.53:53", 2 * SECOND);
    processes
        .observe(&table(&[one]), 2 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (Some(1), None));
    processes.forget(Place(7));
    let next = sample(7, "192.0.2.1:4000", "127.0.0.1:123", 3 * SECOND);
    processes
        .observe(&table(&[next]), 3 * SECOND, false)
        .unwrap();
    assert_eq!(pids(&processes, 7), (None, None));
}

/// One that ended without a name leaves its successor none of its retries.
#[test]
fn a_connection_at_the_place_of_another_is_looked_for_no_less_often() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    let one = sample(7, "192.0.2.1:4000", "127.0.0.1:53", 2 * SECOND);
    processes
        .observe(&table(&[one]), 2 * SECOND, false)
        .unwrap();
    assert_eq!((fake.reads.get(), pending(&processes)), (2, 1));
    processes.forget(Place(7));
    for now in 3..=41 {
        let mut next = sample(7, "192.0.2.1:5000", "127.0.0.1:53", 3 * SECOND);
        next.last_ns = now * SECOND;
        processes
            .observe(&table(&[next]), now * SECOND, false)
            .unwrap();
        assert_eq!(pending(&processes), 1, "{now}");
    }
    // At 3, 4, 6, 10, 18 and 34 seconds, beside the two before.
    assert_eq!(fake.reads.get(), 8);
}

#[test]
fn the_last_look_puts_nothing_off() {
    let fake = Fake::default();
    let mut processes = start(&fake);
    let mut sample = sample(7, "127.0.0.1:4000", "192.0.2.53:53", 2 * SECOND);
    processes
        .observe(&table(&[sample]), 2 * SECOND, false)
        .unwrap();
    fake.open
        .borrow_mut()
        .push(socket(1, "127.0.0.1:4000", Some("192.0.2.53:53")));
    let now = 2 * SECOND + 1;
    sample.last_ns = now;
    processes.observe(&table(&[sample]), now, false).unwrap();
    assert_eq!(pids(&processes, 7), (None, None));
    processes.observe(&table(&[sample]), now, true).unwrap();
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
        place: Place(7),
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

/// Everybody's first, and then only what is new or has lost its holder, at most for a hundredth of the time.
#[cfg(feature = "cli")]
#[test]
fn holders_are_read_when_there_is_somebody_to_be_found() {
    let source = Fake::default();
    let (first, second) = (
        socket(1, "0.0.0.0:53", None),
        socket(2, "0.0.0.0:123", None),
    );
    let of_kernel = Socket {
        holder: None,
        ..socket(3, "0.0.0.0:4789", None)
    };
    source.open.replace(vec![first, of_kernel]);
    let mut holders = Holders::new(Box::new(source.clone()));
    let mut pid_of = |sockets: &[Socket], now_ns, wanted: &Socket| {
        holders.observe(sockets.iter(), now_ns).unwrap();
        holders.of(wanted, now_ns).map(|owner| owner.pid)
    };
    let pid = |socket: &Socket| socket.holder.map(|holder| holder.pid);
    assert_eq!(pid_of(&[first, of_kernel], SECOND, &first), pid(&first));
    assert_eq!(pid_of(&[first, of_kernel], 2 * SECOND, &of_kernel), None);
    assert_eq!(source.reads.get(), 1);
    source.open.borrow_mut().push(second);
    let all = [first, of_kernel, second];
    assert_eq!(pid_of(&all, 3 * SECOND, &second), pid(&second));
    assert_eq!(source.reads.get(), 2);
    // The same memory, another socket.
    let other = socket(2, "0.0.0.0:124", None);
    assert_eq!(pid_of(&all, 3 * SECOND + 1, &other), None);
    assert_eq!(source.reads.get(), 2);
    // A process has given its socket to another and ended.
    source.gone.set(pid(&first).unwrap());
    source.open.borrow_mut()[0].holder = second.holder;
    assert_eq!(pid_of(&all, 4 * SECOND, &first), pid(&second));
    assert_eq!(source.reads.get(), 3);
    // It may also do so and live on.
    let _ = pid_of(&all, 13 * SECOND, &first);
    assert_eq!(source.reads.get(), 3);
    let _ = pid_of(&all, 14 * SECOND, &first);
    assert_eq!(source.reads.get(), 4);
}
