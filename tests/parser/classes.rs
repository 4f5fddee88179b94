//! What the first packet of each direction asks of routers: its TOS byte or traffic class.

use std::net::SocketAddr;

use udptrack::bpf::{Entry, Settings};
use udptrack::model::{Place, Sample, TrafficClass};

use crate::common::frames::{self, Extension};
use crate::common::{Ip, both_families};
use crate::expiry::request;
use crate::rig::{
    EGRESS, ETHERNET, ETHERNET_BYTES, IP_EGRESS, IP_INGRESS, Rig, XDP, address, settings, udp,
};

both_families!(classes_are_of_the_first_packet_each_way);

/// EF, with a mark of ECN.
const VOICE: u8 = 0xb9;
const AF11: u8 = 0x28;

fn ends(ip: Ip) -> [SocketAddr; 2] {
    match ip {
        Ip::V4 => ["10.88.0.1:4000", "10.88.0.2:5060"].map(address),
        Ip::V6 => ["[fd88::1]:4000", "[fd88::2]:5060"].map(address),
    }
}

fn classes(sample: &Sample) -> [Option<u8>; 2] {
    [sample.orig_class, sample.reply_class].map(|class| class.map(|TrafficClass(byte)| byte))
}

/// Frames of one packet from one end to the other: plain ones, and those that the hot path leaves to others.
type Shape = fn(SocketAddr, SocketAddr) -> Vec<Vec<u8>>;
const SHAPES: [Shape; 5] = [
    |from, to| vec![udp(from, to)],
    |from, to| vec![frames::tagged(&udp(from, to), &[(0x8100, 5)])],
    |from, to| vec![frames::tagged(&udp(from, to), &[(0x88a8, 5), (0x8100, 6)])],
    |from, to| {
        vec![match from {
            SocketAddr::V4(_) => frames::ipv4_with_options(from, to, 8, b"payload"),
            SocketAddr::V6(_) => {
                let extensions = [Extension::options(0, 1), Extension::options(60, 2)];
                frames::ipv6_with_extensions(from, to, &extensions, b"payload")
            }
        }]
    },
    |from, to| frames::fragments(&frames::udp(from, to, &[7; 100]), 7, 64),
];

/// Gives the frames of one packet to a program, without so many of their bytes; returns the only connection's place and classes.
fn send(
    rig: &mut Rig,
    (entry, skipped): (Entry, usize),
    frames: Vec<Vec<u8>>,
    class: u8,
) -> (Place, [Option<u8>; 2]) {
    for (part, frame) in frames.into_iter().enumerate() {
        // Of fragments the first one opens the connection.
        let class = if part == 0 { class } else { !class };
        let frame = frames::with_class(frame, class);
        rig.run(entry, &frame[skipped..]).unwrap();
    }
    let [sample] = rig.scan()[..] else {
        panic!("one connection")
    };
    (sample.place, classes(&sample))
}

fn classes_are_of_the_first_packet_each_way(ip: Ip) {
    let [client, server] = ends(ip);
    let mut rig = Rig::new(16);
    let untagged = |shape: &Shape| frames::ip_offset(&shape(client, server)[0]) == ETHERNET_BYTES;
    let with_ethernet = ETHERNET.map(|entry| (entry, 0));
    let without = [IP_INGRESS, IP_EGRESS].map(|entry| (entry, ETHERNET_BYTES));
    for way in with_ethernet.into_iter().chain(without) {
        for shape in SHAPES.iter().filter(|one| way.1 == 0 || untagged(one)) {
            let [there, back] = [shape(client, server), shape(server, client)];
            let (place, first) = send(&mut rig, way, there.clone(), VOICE);
            assert_eq!(first, [Some(VOICE), None]);
            for (frames, class, expected) in [
                (there, AF11, [Some(VOICE), None]),
                (back.clone(), AF11, [Some(VOICE), Some(AF11)]),
                (back.clone(), 0, [Some(VOICE), Some(AF11)]),
            ] {
                assert_eq!(send(&mut rig, way, frames, class), (place, expected));
            }
            let ended = rig.tracker.expire(&[request(&rig.scan()[0])]).unwrap();
            assert_eq!(classes(&ended[0].0), [Some(VOICE), Some(AF11)]);
            // The next one in its place has its own.
            assert_eq!(send(&mut rig, way, back, 0), (place, [Some(0), None]));
            rig.tracker.expire(&[request(&rig.scan()[0])]).unwrap();
        }
    }
}

/// What counts of packets are too large for lies beside the class.
#[test]
#[ignore = "root"]
fn a_class_stays_while_counts_grow_large() {
    const FOLD: u32 = 1 << 23;
    let quiet = Settings {
        new_events: false,
        data_events: false,
        response_times: false,
        ..settings(16)
    };
    let mut rig = Rig::with(&quiet);
    let [client, server] = ends(Ip::V4);
    let mut run = |entry: Entry, frame: &[u8], packets| {
        rig.tracker.run_frame(entry, frame, packets).unwrap();
    };
    let ask = frames::with_class(udp(client, server), VOICE);
    let answer = frames::with_class(udp(server, client), AF11);
    run(XDP, &ask, 1);
    run(EGRESS, &answer, 1);
    run(XDP, &ask, FOLD);
    run(EGRESS, &answer, 2);
    let sample = rig.find(client, server);
    assert_eq!(classes(&sample), [Some(VOICE), Some(AF11)]);
    assert_eq!(sample.orig.packets, u64::from(FOLD) + 1);
    assert_eq!(sample.orig.bytes, (u64::from(FOLD) + 1) * ask.len() as u64);
    assert_eq!(sample.reply.packets, 3);
}
