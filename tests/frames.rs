//! Frames as the programs copy them for captures: byte for byte what was sent, at both hooks; what is not wanted costs nothing, and what
//! finds no room is counted.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::thread;

use common::frames::{fragments, icmp_unreachable, tagged, udp};
use common::netns::{Injector, Netns, Pair};
use common::traffic::send_segmented;
use common::{Ip, SOON, four_ways, wait_for};
use udptrack::bpf::{self, Attachment, Frame, FrameRing, Payloads, Request, Settings, Tracker};
use udptrack::interface;
use udptrack::model::{Amendment, Change, Counts, Direction, HookChoice, Vlans, XdpMode};

four_ways!(every_shape);

/// So large is the ring (`src/bpf/program/load.rs`).
const RING_BYTES: usize = 32 << 20;

struct End {
    tracker: Tracker,
    _attachment: Attachment,
    ring: FrameRing,
    taken: Vec<Frame>,
}

impl End {
    /// Moves the thread there.
    fn new(netns: &Netns, hook: &str, frames: u32) -> Self {
        let request = Request {
            hook: if hook == "xdp" {
                HookChoice::Xdp
            } else {
                HookChoice::Tc
            },
            xdp_mode: XdpMode::Native,
            egress: true,
        };
        netns.adopt_thread();
        let interfaces = interface::select(&[netns.iface().to_owned()]).unwrap();
        let mut tracker = Tracker::load(&Settings {
            frames: Some(frames),
            payloads: Payloads::All,
            dns: true,
            interfaces: vec![interfaces[0].index],
            ..Settings::default()
        })
        .unwrap();
        let attachment = bpf::attach(&tracker, &interfaces[0], request).unwrap();
        tracker
            .note_hooks(std::slice::from_ref(&attachment))
            .unwrap();
        Self {
            ring: tracker.frame_ring().unwrap(),
            tracker,
            _attachment: attachment,
            taken: Vec::new(),
        }
    }

    /// What the books have as tracked, over both hooks.
    fn tracked(&self) -> Counts {
        let hooks = self.tracker.hooks();
        let books = hooks
            .iter()
            .map(|hook| self.tracker.books_of(hook).unwrap());
        books.map(|books| books.tracked).sum()
    }

    fn lost(&self) -> u64 {
        let hooks = self.tracker.hooks();
        let lost = hooks
            .iter()
            .map(|hook| self.tracker.frames_lost(hook).unwrap());
        lost.sum()
    }

    /// Takes what there is, until that is so many.
    fn take(&mut self, frames: usize) -> Vec<Frame> {
        wait_for("its frames", SOON, || {
            self.taken.extend(self.ring.take().unwrap());
            (self.taken.len() >= frames).then_some(())
        });
        std::mem::take(&mut self.taken)
    }
}

/// In a thread that goes from one namespace to the other.
fn every_shape(ip: Ip, hook: &str) {
    thread::scope(|scope| scope.spawn(|| assert_every_shape(ip, hook)).join()).unwrap();
}

fn assert_every_shape(ip: Ip, hook: &str) {
    let pair = Pair::with_mtu(if hook == "xdp" { 3000 } else { 9000 });
    let mut end = End::new(&pair.b, hook, 0);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let (from, to) = (pair.a.addr(ip, 45_000), pair.b.addr(ip, 4000));
    // Or the kernel says that nobody is there: an ICMP error, too.
    let server = pair.b.udp(to);

    // Lengths around each room that a record can have, then tags, fragments, and an ICMP error.
    let longest = if hook == "xdp" { 2900 } else { 8900 };
    let lengths = [
        0, 1, 65, 66, 85, 86, 87, 449, 450, 451, 1400, 1985, 1986, 1987, longest,
    ];
    let frame = udp(from, to, &[7; 300]);
    let mut sent: Vec<_> = lengths.map(|bytes| udp(from, to, &vec![7; bytes])).into();
    sent.push(tagged(&frame, &[(0x88a8, 0x2064), (0x8100, 7)]));
    sent.extend(fragments(&udp(from, to, &[9; 2000]), 77, 800));
    sent.push(icmp_unreachable(to.ip(), from.ip(), &frame));
    for frame in &sent {
        injector.send(frame);
    }
    let taken = end.take(sent.len());
    for (frame, sent) in taken.iter().zip(&sent) {
        // What TC has lost of the frame is beside it.
        let mut bytes = frame.bytes.to_vec();
        if let Some((protocol, control)) = frame.vlan {
            bytes = tagged(&bytes, &[(protocol, control)]);
        }
        assert_eq!(&bytes, sent);
        assert_eq!(
            frame.vlan.is_some(),
            hook == "tc" && sent[12..14] == [0x88, 0xa8]
        );
        assert_eq!(frame.length as usize, frame.bytes.len());
        assert_eq!(
            (frame.direction, frame.packets),
            (Some(Direction::Ingress), 1)
        );
    }
    assert_eq!(taken.len(), sent.len());
    // All but the ICMP error were counted.
    let all = sent.len() as u64;
    assert_eq!(end.tracked().packets, all - 1);
    let times: Vec<u64> = taken.iter().map(|frame| frame.ns).collect();
    assert!(times.is_sorted());

    // Payload is wanted as if nobody wanted frames: the first four of the one connection, the only one of the other.
    assert_eq!(end.tracker.take_payloads().unwrap().len(), 5);

    // Nobody wants them any more, then somebody does again.
    let connection = end.tracker.scan().unwrap();
    let plain = connection
        .iter()
        .find(|it| it.vlans == Vlans::default())
        .unwrap();
    for wanted in [false, true] {
        let change = Change::Frames { wanted };
        end.tracker.amend(&[Amendment::of(plain, change)]).unwrap();
        injector.send(&frame);
        wait_for("it to be counted", SOON, || {
            (end.tracked().packets == all + u64::from(wanted)).then_some(())
        });
        assert_eq!(end.take(0).len(), usize::from(wanted));
    }

    assert_eq!(end.tracker.take_payloads().unwrap().len(), 0);

    // What the kernel has not cut yet, on its way out.
    let _client = pair.a.udp(from);
    send_segmented(&server, from, 1000, 300);
    let taken = end.take(1);
    assert_eq!((taken[0].packets, taken[0].segment), (4, 300));
    assert_eq!(taken[0].direction, Some(Direction::Egress));
    assert_eq!(u64::from(taken[0].length), 1000 + ip.overhead());

    // Nobody takes them: what finds no room is counted.
    let before = end.tracked().packets;
    let long = udp(from, to, &[3; 1986]);
    let many = RING_BYTES / 2048 + 100;
    (0..many).for_each(|_| injector.send(&long));
    wait_for("all to be counted", SOON, || {
        (end.tracked().packets - before == many as u64).then_some(())
    });
    let lost = end.lost();
    assert!(lost > 0);
    let taken = end.take(many - usize::try_from(lost).unwrap());
    assert_eq!(taken.len() as u64 + lost, many as u64);
    assert_eq!(end.lost(), lost);
}

#[test]
#[ignore = "root"]
fn frames_are_cut() {
    let pair = Pair::new();
    let check = || {
        let (from, to) = (pair.a.addr(Ip::V4, 45_000), pair.b.addr(Ip::V4, 4000));
        let mut end = End::new(&pair.b, "tc", 64);
        let injector = Injector::new(&pair.a, pair.a.iface());
        let frame = udp(from, to, &[7; 300]);
        injector.send(&frame);
        let taken = end.take(1);
        assert_eq!(*taken[0].bytes, frame[..64]);
        assert_eq!(taken[0].length as usize, frame.len());
    };
    thread::scope(|scope| scope.spawn(check).join()).unwrap();
}
