//! Ending connections while their packets come.

use std::collections::HashSet;

use udptrack::model::{EndReason, EventKind, Expiry, Place, Sample};

use crate::common::random::Rng;
use crate::rig::{EGRESS, INGRESS, Rig, XDP, address, counts, udp};

/// A request to end the connection as it was when it was scanned.
pub fn request(sample: &Sample) -> Expiry {
    Expiry {
        place: sample.place,
        packets: sample.total().packets,
        reason: EndReason::Idle,
    }
}

/// The same when it has ended: what waited is lost.
fn over(mut sample: Sample) -> (Sample, EndReason) {
    let response = &mut sample.response;
    response.lost += std::mem::take(&mut response.waiting);
    response.waiting_since_ns = None;
    (sample, EndReason::Idle)
}

#[test]
#[ignore = "root"]
fn a_connection_that_counted_since_the_scan_lives_on() {
    let mut rig = Rig::new(16);
    for (a, b) in [
        ("10.88.0.1:4000", "10.88.0.2:53"),
        ("[fd88::1]:4000", "[fd88::2]:53"),
    ] {
        let (a, b) = (address(a), address(b));
        for late in [udp(a, b), udp(b, a)] {
            let (id, _) = rig.run(XDP, &udp(a, b)).unwrap();
            let before = rig.scan();
            rig.run(INGRESS, &late).unwrap();
            assert_eq!(rig.tracker.expire(&[request(&before[0])]).unwrap(), []);
            let (same, packet) = rig.run(EGRESS, &late).unwrap();
            assert_eq!((same, packet.kind), (id, EventKind::Data));
            let after = rig.scan();
            assert_eq!(after.len(), 1);
            assert_eq!(after[0].first_ns, before[0].first_ns);
            assert_eq!(
                after[0].total(),
                counts(3, udp(a, b).len() + 2 * late.len())
            );
            assert_eq!(
                rig.tracker.expire(&[request(&after[0])]).unwrap(),
                [over(after[0])]
            );
            assert_eq!(rig.scan(), []);
        }
    }
}

#[test]
#[ignore = "root"]
fn an_ended_connection_opens_anew_again_and_again() {
    let mut rig = Rig::new(16);
    let mut rng = Rng::from_environment();
    let ends = [
        ("10.88.0.1:4000", "10.88.0.2:53"),
        ("[fd88::1]:4000", "[fd88::2]:53"),
        ("10.88.0.1:4001", "10.88.0.2:53"),
    ]
    .map(|(a, b)| [address(a), address(b)]);
    let mut first_ns = [0; 3];
    let mut ids = [None; 3];
    let mut shown = counts(0, 0);
    for round in 0..1000 {
        let mut sent = [[counts(0, 0); 2]; 3];
        let mut origin = [None; 3];
        for _ in 0..rng.between(3, 12) {
            let (which, side) = (rng.below(3), rng.below(2));
            let frame = udp(ends[which][side], ends[which][1 - side]);
            let entry = rng.pick(&[XDP, INGRESS, EGRESS]);
            let (id, packet) = rig.run(entry, &frame).unwrap();
            assert_eq!(*ids[which].get_or_insert(id), id);
            let kind = if origin[which].is_none() {
                EventKind::New
            } else {
                EventKind::Data
            };
            assert_eq!(packet.kind, kind, "round {round}");
            origin[which].get_or_insert(side);
            sent[which][side] += counts(1, frame.len());
        }
        let samples = rig.scan();
        assert_eq!(samples.len(), origin.iter().flatten().count());
        for sample in &samples {
            let which = ids.iter().position(|id| *id == Some(sample.id)).unwrap();
            let side = origin[which].unwrap();
            assert_eq!(sample.originator, ends[which][side]);
            assert_eq!(
                [sample.orig, sample.reply],
                [sent[which][side], sent[which][1 - side]]
            );
            assert!(sample.first_ns > first_ns[which], "round {round}");
            first_ns[which] = sample.first_ns;
            shown += sample.total();
        }
        let requests: Vec<_> = samples.iter().map(request).collect();
        let ended = rig.tracker.expire(&requests).unwrap();
        let expected: Vec<_> = samples.into_iter().map(over).collect();
        assert_eq!(ended, expected);
        // A second time there is nothing to end.
        assert_eq!(rig.tracker.expire(&requests).unwrap(), []);
    }
    assert_eq!(rig.tracker.scan().unwrap(), []);
    let tracked = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
    assert_eq!(shown, tracked);
}

/// Many requests, some of them too late and some for places where nobody is.
#[test]
#[ignore = "root"]
fn many_end_at_once() {
    const COUNT: u16 = 1000;
    let mut rig = Rig::new(COUNT.into());
    let server = address("10.88.0.2:53");
    let client = |port: u16| address(&format!("10.88.0.1:{}", 1000 + port));
    for port in 0..COUNT {
        rig.run(XDP, &udp(client(port), server)).unwrap();
    }
    let samples = rig.scan();
    assert_eq!(samples.len(), usize::from(COUNT));
    for port in (0..COUNT).step_by(3) {
        rig.run(XDP, &udp(server, client(port))).unwrap();
    }
    let mut requests: Vec<_> = samples.iter().map(request).collect();
    let taken: HashSet<Place> = samples.iter().map(|sample| sample.place).collect();
    let free = (0..u32::MAX)
        .map(Place)
        .find(|place| !taken.contains(place))
        .unwrap();
    for place in [free, Place(u32::MAX)] {
        let nobody = Expiry {
            place,
            ..requests[0]
        };
        requests.insert(500, nobody);
    }
    let ended = rig.tracker.expire(&requests).unwrap();
    let idle: Vec<_> = samples
        .into_iter()
        .filter(|sample| !(sample.originator.port() - 1000).is_multiple_of(3))
        .map(over)
        .collect();
    assert_eq!(ended, idle);
    let rest = rig.scan();
    assert_eq!(rest.len(), usize::from(COUNT).div_ceil(3));
    assert!(rest.iter().all(|sample| sample.total().packets == 2));
}
