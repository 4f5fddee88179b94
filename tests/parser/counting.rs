//! Connection ids: one for both directions, another for each tuple and VLAN, another in each run.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use udptrack::model::{ConnectionId, EventKind};

use crate::common::frames;
use crate::rig::{EGRESS, INGRESS, Rig, XDP, address, counts, udp};

fn ends() -> [(SocketAddr, SocketAddr); 2] {
    [
        (address("10.88.0.1:40000"), address("10.88.0.2:53")),
        (address("[fd88::1]:40000"), address("[fd88::2]:53")),
    ]
}

#[test]
#[ignore = "root"]
fn both_directions_are_one_connection() {
    let mut rig = Rig::new(16);
    for (a, b) in ends() {
        let c = SocketAddr::new(a.ip(), b.port());
        let d = SocketAddr::new(b.ip(), a.port());
        for (one, other) in [(a, b), (d, c)] {
            let (id, packet) = rig.run(EGRESS, &udp(one, other)).unwrap();
            assert_eq!(packet.kind, EventKind::New);
            for (entry, frame) in [
                (XDP, udp(other, one)),
                (INGRESS, udp(other, one)),
                (EGRESS, udp(one, other)),
                (EGRESS, udp(other, one)),
            ] {
                let (same, packet) = rig.run(entry, &frame).unwrap();
                assert_eq!((same, packet.kind), (id, EventKind::Data));
            }
            let bytes = udp(one, other).len();
            let sample = rig.find(one, other);
            assert_eq!((sample.id, sample.originator), (id, one));
            assert_eq!(sample.responder, other);
            assert_eq!(sample.orig, counts(2, 2 * bytes));
            assert_eq!(sample.reply, counts(3, 3 * bytes));
        }
    }
    assert_eq!(rig.scan().len(), 4);
}

#[test]
#[ignore = "root"]
fn each_vlan_and_each_tuple_has_its_own() {
    let mut rig = Rig::new(64);
    for (a, b) in ends() {
        let mut ids = HashSet::new();
        for tags in [
            &[][..],
            &[(0x8100, 5)],
            &[(0x8100, 6)],
            &[(0x8100, 0), (0x8100, 5)],
            &[(0x8100, 5), (0x8100, 6)],
            &[(0x8100, 6), (0x8100, 5)],
            &[(0x8100, 5), (0x8100, 5)],
            &[(0x8100, 4095)],
        ] {
            let (id, _) = rig.run(XDP, &frames::tagged(&udp(a, b), tags)).unwrap();
            let (back, _) = rig.run(XDP, &frames::tagged(&udp(b, a), tags)).unwrap();
            assert_eq!(id, back);
            assert!(ids.insert(id), "{tags:?}");
        }
        // A tag's kind, its priority and a priority tag do not matter.
        for (tags, same) in [
            (&[(0x8100, 0)][..], &[][..]),
            (&[(0x8100, 0xe000)], &[]),
            (&[(0x88a8, 5)], &[(0x8100, 5)]),
            (&[(0x9100, 0x6005)], &[(0x8100, 5)]),
        ] {
            let (one, _) = rig.run(XDP, &frames::tagged(&udp(a, b), tags)).unwrap();
            let (other, _) = rig.run(XDP, &frames::tagged(&udp(a, b), same)).unwrap();
            assert_eq!(one, other, "{tags:?}");
        }
    }
    let mut ids = HashSet::new();
    for (a, b) in [
        ("10.88.0.1:1", "10.88.0.2:2"),
        ("10.88.0.1:2", "10.88.0.2:1"),
        ("10.88.0.1:1", "10.88.0.3:2"),
        ("10.88.0.3:1", "10.88.0.2:2"),
        ("10.88.0.1:1", "10.88.0.2:3"),
        ("10.88.0.1:3", "10.88.0.2:2"),
        ("10.88.0.1:1", "10.88.0.1:2"),
        ("10.88.0.1:1", "10.88.0.1:1"),
        ("[fd88::1]:1", "[fd88::2]:2"),
        ("[fd88::1]:2", "[fd88::2]:1"),
        ("[fd88::1]:1", "[fd88:0:0:1::2]:2"),
        ("[fd88:0:0:1::1]:1", "[fd88::2]:2"),
        ("[fd88::1]:1", "[fd88::1]:2"),
        ("[::ffff:10.88.0.1]:1", "[::ffff:10.88.0.2]:2"),
        // The words of the first IPv4 tuple.
        ("[::]:0", "[::]:0"),
    ] {
        let (id, packet) = rig.run(XDP, &udp(address(a), address(b))).unwrap();
        assert_eq!(packet.kind, EventKind::New, "{a} {b}");
        assert!(ids.insert(id), "{a} {b}");
    }
}

#[test]
#[ignore = "root"]
fn each_run_has_its_own() {
    let mut ids: HashSet<ConnectionId> = HashSet::new();
    for _ in 0..2 {
        let mut rig = Rig::new(16);
        for (a, b) in ends() {
            assert!(ids.insert(rig.run(XDP, &udp(a, b)).unwrap().0));
        }
    }
}

/// The first document's `generate_conn_key`.
fn seeds_key(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> u64 {
    let address = |ip: Ipv4Addr| u64::from(u32::from(ip));
    (address(from.0) << 32) | address(to.0) | (u64::from(from.1) << 48) | (u64::from(to.1) << 32)
}

/// The first document's formula puts the ports over the sender's address, so that connections become one; ours does not.
#[test]
#[ignore = "root"]
fn the_first_documents_ids_collide() {
    let client = Ipv4Addr::new(192, 168, 1, 100);
    let server = (Ipv4Addr::new(8, 8, 8, 8), 53);
    // 0x9c40 and 0x9c48: the bit between them is one of 192.168 = 0xc0a8.
    let ports = [40000, 40008];
    let [one, other] = ports.map(|port| seeds_key((client, port), server));
    assert_eq!(one, other);
    let mut rig = Rig::new(16);
    let [one, other] = ports.map(|port| {
        let source = SocketAddr::from((client, port));
        rig.run(XDP, &udp(source, server.into())).unwrap()
    });
    assert_ne!(one.0, other.0);
    assert_eq!((one.1.kind, other.1.kind), (EventKind::New, EventKind::New));
    assert_eq!(rig.scan().len(), 2);
}
