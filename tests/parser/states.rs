//! The state machine, and the full table.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use udptrack::bpf::Entry;
use udptrack::model::{EventKind, Skip, Status};

use crate::common::frames;
use crate::expiry::request;
use crate::rig::{EGRESS, ETHERNET, INGRESS, Rig, XDP, address, counts, udp};

#[test]
#[ignore = "root"]
fn from_the_first_packet_to_assured() {
    let mut rig = Rig::new(16);
    let server = address("10.88.0.2:53");
    let [silent, late, early, brief] =
        [1, 2, 3, 4].map(|port| SocketAddr::new("10.88.0.1".parse().unwrap(), 1000 + port));
    let status = |rig: &Rig, client: SocketAddr| {
        let samples = rig.tracker.scan().unwrap();
        let sample = samples
            .into_iter()
            .find(|sample| [sample.originator, sample.responder].contains(&client));
        sample.unwrap().status
    };
    for client in [silent, late, early, brief] {
        let (_, packet) = rig.run(XDP, &udp(client, server)).unwrap();
        assert_eq!(packet.kind, EventKind::New);
        assert_eq!(status(&rig, client), Status::Unreplied);
        rig.run(XDP, &udp(client, server)).unwrap();
        assert_eq!(status(&rig, client), Status::Unreplied);
    }
    for client in [early, brief] {
        rig.run(EGRESS, &udp(server, client)).unwrap();
        assert_eq!(status(&rig, client), Status::Replied);
        for frame in [udp(client, server), udp(server, client)] {
            rig.run(INGRESS, &frame).unwrap();
        }
        assert_eq!(status(&rig, client), Status::Replied);
    }
    thread::sleep(Duration::from_millis(2100));
    rig.run(XDP, &udp(silent, server)).unwrap();
    rig.run(XDP, &udp(server, late)).unwrap();
    rig.run(XDP, &udp(early, server)).unwrap();
    for (client, expected) in [
        (silent, Status::Unreplied),
        (late, Status::Replied),
        (early, Status::Assured),
        (brief, Status::Replied),
    ] {
        assert_eq!(status(&rig, client), expected, "{client}");
    }
    // Traffic after 2 s and a reply: whose packet it is does not matter.
    rig.run(XDP, &udp(server, late)).unwrap();
    assert_eq!(status(&rig, late), Status::Assured);
}

/// The time of the latest packet is a jiffy's beginning, never later than the packet.
#[test]
#[ignore = "root"]
fn no_packet_comes_from_the_future() {
    let now = |clock| {
        let now = clock_gettime(clock).unwrap();
        u64::try_from(Duration::from(now).as_nanos()).unwrap()
    };
    let (a, b) = (address("10.88.0.1:4000"), address("10.88.0.2:53"));
    let mut rig = Rig::new(16);
    for _ in 0..200 {
        // The coarse clock stands still with the jiffies when a tick is late: a slow machine changes nothing here.
        let before = now(ClockId::CLOCK_MONOTONIC_COARSE);
        rig.run(XDP, &udp(a, b)).unwrap();
        let after = now(ClockId::CLOCK_MONOTONIC);
        let sample = rig.find(a, b);
        assert!(sample.last_ns <= after, "{}", sample.last_ns - after);
        assert!(before.saturating_sub(sample.last_ns) < 11_000_000);
        thread::sleep(Duration::from_micros(300));
    }
}

/// What a program made of each frame.
fn kinds(rig: &mut Rig, entry: Entry, frames: &[Vec<u8>]) -> Vec<Result<EventKind, Skip>> {
    let kind = |frame: &Vec<u8>| rig.run(entry, frame).map(|(_, packet)| packet.kind);
    frames.iter().map(kind).collect()
}

#[test]
#[ignore = "root"]
fn a_full_table_keeps_what_it_has() {
    const ROOM: usize = 4;
    let server = address("[fd88::2]:53");
    // Many more than there are places, which are more than was promised.
    let clients: Vec<_> = (1..=200)
        .map(|port| address(&format!("[fd88::1]:{port}")))
        .collect();
    let frames = |round: usize| -> Vec<Vec<u8>> {
        let payload = |index: usize| vec![0; index + round];
        let clients = clients.iter().enumerate();
        clients
            .map(|(index, client)| frames::udp(*client, server, &payload(index)))
            .collect()
    };
    let mut rig = Rig::new(u32::try_from(ROOM).unwrap());
    let mut known = None;
    for entry in ETHERNET {
        let before = rig.books(entry).skipped_for(Skip::TableFull);
        let first = kinds(&mut rig, entry, &frames(0));
        let placed = first.iter().filter(|kind| kind.is_ok()).count();
        assert!(first[..ROOM].iter().all(Result::is_ok));
        assert!(placed < clients.len() / 4, "{placed} found room");
        // As full as before.
        assert_eq!(*known.get_or_insert(placed), placed);
        for kind in &first {
            assert!([Ok(EventKind::New), Err(Skip::TableFull)].contains(kind));
        }
        let mut refused = counts(0, 0);
        for round in 0..10 {
            let frames = frames(round);
            if round > 0 {
                let expected: Vec<_> = first
                    .iter()
                    .map(|kind| kind.map(|_| EventKind::Data))
                    .collect();
                assert_eq!(
                    kinds(&mut rig, entry, &frames),
                    expected,
                    "{entry:?}, round {round}"
                );
            }
            for (frame, _) in frames.iter().zip(&first).filter(|(_, kind)| kind.is_err()) {
                refused += counts(1, frame.len());
            }
        }
        let skipped = rig.books(entry).skipped_for(Skip::TableFull);
        assert_eq!(skipped, before + refused);
        let samples = rig.scan();
        assert_eq!(samples.len(), placed);
        assert!(samples.iter().all(|sample| sample.total().packets == 10));
        // One ends: there is room for one.
        let ended = rig.tracker.expire(&[request(&samples[0])]).unwrap();
        assert_eq!(ended.len(), 1);
        let late = clients.iter().zip(&first).filter(|(_, kind)| kind.is_err());
        let late: Vec<_> = late.map(|(client, _)| udp(*client, server)).collect();
        let late = kinds(&mut rig, entry, &late);
        let found_room = late.iter().filter(|kind| **kind == Ok(EventKind::New));
        assert_eq!(found_room.count(), 1);
        let full = late.iter().filter(|kind| **kind == Err(Skip::TableFull));
        assert_eq!(full.count(), late.len() - 1);
        let requests: Vec<_> = rig.scan().iter().map(request).collect();
        assert_eq!(rig.tracker.expire(&requests).unwrap().len(), placed);
        assert_eq!(rig.scan(), []);
    }
}
