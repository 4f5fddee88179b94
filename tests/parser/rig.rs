//! A loaded tracker that looks at its books after each frame.

use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use udptrack::bpf::{Entry, Settings, Tracker};
use udptrack::model::{
    Books, ConnectionId, Counts, Direction, Event, EventKind, Ifindex, Sample, Skip, Vlans,
};

use crate::common::frames;
use crate::common::kernel::has_frags;
use crate::common::reference;

/// Test runs are given the loopback device of the network namespace.
pub const LO: Ifindex = Ifindex(1);
pub const XDP: Entry = Entry::Xdp;
pub const INGRESS: Entry = Entry::Tc(Direction::Ingress);
pub const EGRESS: Entry = Entry::Tc(Direction::Egress);
pub const IP_INGRESS: Entry = Entry::TcIp(Direction::Ingress);
pub const IP_EGRESS: Entry = Entry::TcIp(Direction::Egress);
/// The programs for links with an Ethernet header.
pub const ETHERNET: [Entry; 3] = [XDP, INGRESS, EGRESS];
/// Bytes of an Ethernet header.
pub const ETHERNET_BYTES: usize = 14;

pub fn direction(entry: Entry) -> Direction {
    match entry {
        Entry::Xdp => Direction::Ingress,
        Entry::Tc(direction) | Entry::TcIp(direction) => direction,
    }
}

pub fn settings(max_connections: u32) -> Settings {
    Settings {
        max_connections,
        max_ips: 1024,
        new_events: true,
        data_events: true,
        response_times: true,
        filter: None,
        interfaces: vec![LO],
        ..Settings::default()
    }
}

pub fn counts(packets: u64, bytes: usize) -> Counts {
    Counts {
        packets,
        bytes: bytes as u64,
    }
}

/// The frame with some bytes replaced.
pub fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

pub fn udp(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    frames::udp(source, destination, b"payload")
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Whether XDP knows frames larger than a page: from Linux 5.18 on. Says so when it does not.
pub fn has_frames_in_several_buffers() -> bool {
    let has = has_frags();
    if !has {
        println!("SKIPPED: this kernel has no frames in several buffers");
    }
    has
}

/// The program and the frame's headers, for messages.
pub fn shown(entry: Entry, frame: &[u8]) -> String {
    let headers = &frame[..frame.len().min(160)];
    format!("{entry:?}, {} bytes: {headers:02x?}", frame.len())
}

pub fn vlans([outer, inner]: reference::Vlans) -> Vlans {
    Vlans { outer, inner }
}

/// Keeps the thread on one CPU.
pub struct Pinned(CpuSet);

impl Pinned {
    pub fn to(cpu: usize) -> Self {
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut set = CpuSet::new();
        set.set(cpu).unwrap();
        // Where there is one CPU, the other is the same.
        if sched_setaffinity(Pid::from_raw(0), &set) != Err(Errno::EINVAL) {
            assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), set);
        }
        Self(before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.0).unwrap();
    }
}

/// What became of a frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub kind: EventKind,
    pub vlans: Vlans,
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// The tracker, with events on.
pub struct Rig {
    pub tracker: Tracker,
    books: [Books; 2],
    events: Vec<Event>,
    _pinned: Pinned,
}

impl Rig {
    pub fn new(max_connections: u32) -> Self {
        Self::with(&settings(max_connections))
    }

    pub fn with(settings: &Settings) -> Self {
        Self {
            tracker: Tracker::load(settings).unwrap(),
            books: [Books::default(); 2],
            events: Vec::new(),
            _pinned: Pinned::to(0),
        }
    }

    pub fn books(&self, entry: Entry) -> Books {
        self.tracker.books(LO, direction(entry)).unwrap()
    }

    /// Gives one frame to a program, looks at the books, and says what became of it: the event, or the one reason that
    /// grew. Panics unless the frame was let through and the books say the one thing and nothing else.
    pub fn run(&mut self, entry: Entry, frame: &[u8]) -> Result<(ConnectionId, Packet), Skip> {
        let (verdict, _) = self
            .tracker
            .run_frame(entry, frame, 1)
            .unwrap_or_else(|error| panic!("{}: {error:?}", shown(entry, frame)));
        let pass = if entry == XDP { 2 } else { u32::MAX }; // XDP_PASS, TC_ACT_UNSPEC
        assert_eq!(verdict, pass, "{}", shown(entry, frame));
        let before = self.books[direction(entry) as usize];
        let after = self.books(entry);
        self.books[direction(entry) as usize] = after;
        let one = counts(1, frame.len());
        assert!(after.balance(), "{}: {after:?}", shown(entry, frame));
        assert_eq!(after.seen, before.seen + one, "{}", shown(entry, frame));
        self.events.clear();
        self.tracker.take_events(&mut self.events).unwrap();
        if after.tracked == before.tracked {
            assert_eq!(self.events, [], "{}", shown(entry, frame));
            let skip = Skip::ALL
                .into_iter()
                .find(|skip| after.skipped_for(*skip) == before.skipped_for(*skip) + one);
            return Err(skip.expect("the books balance"));
        }
        assert_eq!(after.tracked, before.tracked + one);
        assert_eq!(after.skipped, before.skipped);
        let [event] = self.events[..] else {
            panic!("{}: {:?}", shown(entry, frame), self.events)
        };
        assert_eq!((event.ifindex, event.counts), (LO, one));
        let packet = Packet {
            kind: event.kind,
            vlans: event.vlans,
            source: event.source,
            destination: event.destination,
        };
        Ok((event.id, packet))
    }

    /// Gives copies of a frame to a program, one right after the other.
    pub fn run_copies(&mut self, entry: Entry, frame: &[u8], copies: u32) {
        self.tracker.run_frame(entry, frame, copies).unwrap();
        self.books[direction(entry) as usize] = self.books(entry);
        self.tracker.take_events(&mut self.events).unwrap();
    }

    /// Every connection there is.
    pub fn scan(&self) -> Vec<Sample> {
        self.tracker.scan().unwrap()
    }

    /// The connection of these ends, whoever sent first, without tags.
    pub fn find(&self, one: SocketAddr, other: SocketAddr) -> Sample {
        self.scan()
            .into_iter()
            .find(|sample| {
                let ends = (sample.originator, sample.responder);
                ends == (one, other) || ends == (other, one)
            })
            .unwrap_or_else(|| panic!("no connection of {one} and {other}"))
    }
}
