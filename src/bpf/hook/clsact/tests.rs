//! Filters on a veth pair in a namespace of the test's own. Kernels that have TCX take clsact filters as well, so what
//! older ones do is proven on each.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

use super::*;
use crate::bpf::{Settings, Tracker};
use crate::model::Counts;

/// Runs `test` in a network namespace that goes away with its thread. Its veth pair, `v0` and `v1`, is silent.
fn in_namespace(test: fn(Link)) {
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace (this test needs root)");
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        run("ip link add v0 type veth peer name v1");
        run("ip link set v0 up");
        run("ip link set v1 up");
        test(Link {
            ends: ["v0", "v1"].map(|name| Ifindex(if_nametoindex(name).unwrap())),
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

/// What is sent out of the first end comes in at the second.
struct Link {
    ends: [Ifindex; 2],
}

/// `10.0.0.1:1000 -> 10.0.0.2:2000`, 4 bytes.
const FRAME: [u8; 46] = [
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
    0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x03, 0xe8, 0x07, 0xd0, 0, 12, 0, 0, b'p', b'i', b'n', b'g',
];

impl Link {
    fn tracker(&self) -> Tracker {
        Tracker::load(&Settings {
            max_connections: 16,
            max_ips: 16,
            new_events: false,
            data_events: false,
            response_times: true,
            filter: None,
            interfaces: self.ends.to_vec(),
            ..Settings::default()
        })
        .unwrap()
    }

    /// A filter on one end: 0 sees what it sends, 1 what it receives.
    fn attach(&self, tracker: &Tracker, end: usize) -> Result<Filter> {
        let direction = direction(end);
        let program = program(tracker, direction);
        Filter::attach(program, self.ends[end], direction)
    }

    fn send(&self, frames: u64) {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        let address: LinkAddr = nix::ifaddrs::getifaddrs()
            .unwrap()
            .filter_map(|entry| entry.address?.as_link_addr().copied())
            .find(|address| address.ifindex() == self.ends[0].0 as usize)
            .unwrap();
        for _ in 0..frames {
            let sent = sendto(socket.as_raw_fd(), &FRAME, &address, MsgFlags::empty());
            assert_eq!(sent, Ok(FRAME.len()));
        }
    }

    /// Waits until one end has seen this number of frames; panics if there are more.
    fn assert_seen(&self, tracker: &Tracker, end: usize, frames: u64) {
        let start = Instant::now();
        let seen = || tracker.books(self.ends[end], direction(end)).unwrap().seen;
        while seen().packets < frames && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(1));
        }
        let bytes = frames * FRAME.len() as u64;
        let packets = frames;
        assert_eq!(seen(), Counts { packets, bytes });
    }

    fn filters(&self, end: usize) -> usize {
        filters(self.ends[end], direction(end)).unwrap().len()
    }

    fn has_qdisc(&self, end: usize) -> bool {
        has_clsact(self.ends[end]).unwrap()
    }
}

fn program(tracker: &Tracker, direction: Direction) -> BorrowedFd<'_> {
    let programs = tracker.handles.hooks().unwrap();
    let program = match direction {
        Direction::Ingress => &programs.ingress,
        Direction::Egress => &programs.egress,
    };
    program.as_ref().unwrap().as_fd()
}

fn direction(end: usize) -> Direction {
    [Direction::Egress, Direction::Ingress][end]
}

/// What a killed process leaves: the filter, and no socket that claims it.
#[expect(
    clippy::used_underscore_binding,
    reason = "elsewhere the field is only held"
)]
fn abandon(mut filter: Filter) {
    filter._claim = UnixDatagram::unbound().unwrap();
    std::mem::forget(filter);
}

#[test]
#[ignore = "root"]
fn a_filter_counts_until_it_is_dropped() {
    in_namespace(|link| {
        let tracker = link.tracker();
        let [out, into] = [0, 1].map(|end| link.attach(&tracker, end).unwrap());
        link.send(10);
        link.assert_seen(&tracker, 0, 10);
        link.assert_seen(&tracker, 1, 10);
        drop(into);
        assert!(!link.has_qdisc(1));
        link.send(10);
        link.assert_seen(&tracker, 0, 20);
        link.assert_seen(&tracker, 1, 10);
        drop(out);
        assert!(!link.has_qdisc(0));
        link.send(10);
        link.assert_seen(&tracker, 0, 20);
    });
}

#[test]
#[ignore = "root"]
fn the_qdisc_goes_with_the_last_of_both_directions() {
    in_namespace(|link| {
        let tracker = link.tracker();
        let ingress = program(&tracker, Direction::Ingress);
        let into = Filter::attach(ingress, link.ends[0], Direction::Ingress).unwrap();
        let out = link.attach(&tracker, 0).unwrap();
        drop(into);
        assert!(link.has_qdisc(0));
        link.send(3);
        link.assert_seen(&tracker, 0, 3);
        drop(out);
        assert!(!link.has_qdisc(0));
    });
}

#[test]
#[ignore = "root"]
fn a_qdisc_of_somebody_else_stays() {
    in_namespace(|link| {
        run("tc qdisc add dev v0 clsact");
        let tracker = link.tracker();
        let filter = link.attach(&tracker, 0).unwrap();
        link.send(5);
        link.assert_seen(&tracker, 0, 5);
        drop(filter);
        assert!(link.has_qdisc(0));
        assert_eq!(link.filters(0), 0);
        // Nor does it become ours by a run that did not end well.
        abandon(link.attach(&tracker, 0).unwrap());
        drop(link.attach(&tracker, 0).unwrap());
        assert!(link.has_qdisc(0));
        assert_eq!(link.filters(0), 0);
    });
}

#[test]
#[ignore = "root"]
fn a_filter_of_somebody_else_stays() {
    in_namespace(|link| {
        let tracker = link.tracker();
        let filter = link.attach(&tracker, 0).unwrap();
        assert_eq!(link.filters(0), 1);
        // Filters that decide nothing, before ours and after it. Each is several entries in the kernel's list.
        for place in ["egress prio 2", "egress prio 50000", "ingress prio 2"] {
            run(&format!("tc filter add dev v0 {place} u32 match u32 0 0"));
        }
        let all = link.filters(0);
        assert!(all > 1);
        link.send(4);
        link.assert_seen(&tracker, 0, 4);
        drop(filter);
        assert_eq!(link.filters(0), all - 1);
        assert!(link.has_qdisc(0));
        link.send(4);
        link.assert_seen(&tracker, 0, 4);
        // From now on the qdisc is theirs.
        drop(link.attach(&tracker, 0).unwrap());
        run("tc filter del dev v0 egress");
        run("tc filter del dev v0 ingress");
        drop(link.attach(&tracker, 0).unwrap());
        assert_eq!(link.filters(0), 0);
        assert!(link.has_qdisc(0));
    });
}

#[test]
#[ignore = "root"]
fn a_filter_of_a_dead_run_is_removed_by_the_next() {
    in_namespace(|link| {
        let dead = link.tracker();
        for end in [0, 1] {
            abandon(link.attach(&dead, end).unwrap());
        }
        link.send(2);
        link.assert_seen(&dead, 0, 2);
        link.assert_seen(&dead, 1, 2);

        let tracker = link.tracker();
        let [out, into] = [0, 1].map(|end| link.attach(&tracker, end).unwrap());
        assert_eq!([0, 1].map(|end| link.filters(end)), [1, 1]);
        link.send(3);
        link.assert_seen(&tracker, 0, 3);
        link.assert_seen(&tracker, 1, 3);
        link.assert_seen(&dead, 0, 2);
        link.assert_seen(&dead, 1, 2);
        // The qdisc was made by the dead run, which was udptrack, too.
        drop([out, into]);
        assert_eq!([0, 1].map(|end| link.has_qdisc(end)), [false, false]);
    });
}

/// What a dead run had on the other side of the interface goes, too.
#[test]
#[ignore = "root"]
fn dead_filters_go_on_both_sides() {
    in_namespace(|link| {
        let tracker = link.tracker();
        let ingress = program(&tracker, Direction::Ingress);
        let into = Filter::attach(ingress, link.ends[0], Direction::Ingress);
        abandon(into.unwrap());
        abandon(link.attach(&tracker, 0).unwrap());
        drop(link.attach(&tracker, 0).unwrap());
        assert!(!link.has_qdisc(0));
    });
}

#[test]
#[ignore = "root"]
fn two_runs_count_at_once() {
    in_namespace(|link| {
        let [first, second] = [link.tracker(), link.tracker()];
        let one = link.attach(&first, 0).unwrap();
        link.send(1);
        let other = link.attach(&second, 0).unwrap();
        assert_eq!(link.filters(0), 2);
        link.send(2);
        link.assert_seen(&first, 0, 3);
        link.assert_seen(&second, 0, 2);
        drop(one);
        assert!(link.has_qdisc(0));
        link.send(4);
        link.assert_seen(&first, 0, 3);
        link.assert_seen(&second, 0, 6);
        drop(other);
        assert!(!link.has_qdisc(0));
    });
}

#[test]
#[ignore = "root"]
fn too_many_runs_are_refused() {
    in_namespace(|link| {
        let tracker = link.tracker();
        let all: Vec<_> = (0..RUNS)
            .map(|_| link.attach(&tracker, 0).unwrap())
            .collect();
        let error = link.attach(&tracker, 0).err().unwrap().to_string();
        assert_eq!(
            error,
            "32 other runs of udptrack track this interface already"
        );
        assert_eq!(link.filters(0), 32);
        drop(all);
        assert!(!link.has_qdisc(0));
    });
}
