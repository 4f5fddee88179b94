//! Payloads of real connections, at both ends of a link: what reaches user space is what was sent, and what does not is counted; also
//! of what the kernel has merged, or has not cut yet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};

use common::kernel::is_at_least;
use common::netns::{Netns, Pair};
use common::traffic::receive_bytes;
use common::{Ip, SOON, four_ways};
use udptrack::bpf::{self, Attachment, Payload, Payloads, Request, Settings, Tracker};
use udptrack::interface;
use udptrack::model::{Amendment, Change, Direction, DnsCounts, HookChoice, XdpMode};

four_ways!(both_ends);

/// Datagrams of each side that are read.
const FIRST: usize = 4;
/// DNS messages in one packet of the kernel's: more than the budget, and no more than a receive buffer holds after native XDP, a page each.
const MERGED: u16 = 40;
/// Of these, as many are read in a jiffy (`PAYLOAD_BUDGET` in bpf/payload.h).
const BUDGET: usize = 32;

/// A tracker at one end, and what it has taken.
struct End<'a> {
    netns: &'a Netns,
    tracker: Tracker,
    _attachment: Attachment,
    taken: Vec<Payload>,
}

impl<'a> End<'a> {
    /// Moves the thread there.
    fn new(netns: &'a Netns, hook: HookChoice) -> Self {
        let request = Request {
            hook,
            xdp_mode: XdpMode::Native,
            egress: true,
        };
        netns.adopt_thread();
        let interfaces = interface::select(&[netns.iface().to_owned()]).unwrap();
        let tracker = Tracker::load(&Settings {
            payloads: Payloads::All,
            dns: true,
            interfaces: vec![interfaces[0].index],
            ..Settings::default()
        })
        .unwrap();
        let attachment = bpf::attach(&tracker, &interfaces[0], request).unwrap();
        Self {
            netns,
            tracker,
            _attachment: attachment,
            taken: Vec::new(),
        }
    }

    /// Takes what has come so far: all of what was received by its socket has.
    fn take(&mut self) {
        self.taken.extend(self.tracker.take_payloads().unwrap());
    }

    /// What it has of a sender: ordinals and bytes.
    fn of(&self, from: SocketAddr) -> Vec<(u32, Vec<u8>)> {
        let its = self.taken.iter().filter(|it| it.source_port == from.port());
        let mut all: Vec<_> = its.map(|it| (it.ordinal, it.bytes.to_vec())).collect();
        all.sort();
        all
    }
}

fn send(from: &UdpSocket, to: &UdpSocket, payload: &[u8]) {
    let address = to.local_addr().unwrap();
    assert_eq!(from.send_to(payload, address).unwrap(), payload.len());
    receive_bytes(to, payload.len());
}

fn timed(socket: UdpSocket) -> UdpSocket {
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// One send of several datagrams of `segment` bytes.
fn send_merged(from: &UdpSocket, to: &UdpSocket, payload: &[u8], segment: usize) {
    setsockopt(from, UdpGsoSegment, &i32::try_from(segment).unwrap()).unwrap();
    send(from, to, payload);
    setsockopt(from, UdpGsoSegment, &0).unwrap();
}

/// In a thread that goes from one namespace to the other.
fn both_ends(ip: Ip, hook: &str) {
    thread::scope(|scope| scope.spawn(|| assert_both_ends(ip, hook)).join()).unwrap();
}

fn assert_both_ends(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let hook = if hook == "xdp" {
        HookChoice::Xdp
    } else {
        HookChoice::Tc
    };
    let mut ends = [End::new(&pair.a, HookChoice::Tc), End::new(&pair.b, hook)];
    let socket = |netns: &Netns, port| timed(netns.udp(netns.addr(ip, port)));
    let server = socket(&pair.b, 4000);

    // Connections with more datagrams than are read, each way. Some are longer.
    let mut sent: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
    let clients: Vec<_> = (45_000..45_020).map(|port| socket(&pair.a, port)).collect();
    for number in 0..6_u8 {
        for (client, index) in clients.iter().zip(0_u8..) {
            let payload = vec![number ^ index; 20 + 70 * usize::from(number)];
            send(client, &server, &payload);
            let sender = client.local_addr().unwrap();
            sent.entry(sender).or_default().push(payload);
        }
        ends.iter_mut().for_each(End::take);
    }
    // Several in one: two are read where two were sent before.
    let merged = socket(&pair.a, 46_000);
    setsockopt(&server, UdpGroSegment, &true).unwrap();
    let payload: Vec<u8> = (0..10).flat_map(|number| [number; 100]).collect();
    for number in [20, 21] {
        send(&merged, &server, &[number; 50]);
    }
    send_merged(&merged, &server, &payload, 100);
    let expected = [vec![20; 50], vec![21; 50], vec![0; 100], vec![1; 100]];
    sent.insert(merged.local_addr().unwrap(), expected.to_vec());

    ends.iter_mut().for_each(End::take);
    for end in &ends {
        let unread = end.tracker.unread_payloads().unwrap();
        let mut all = 0;
        for (sender, payloads) in &sent {
            let read = end.of(*sender);
            let expected: Vec<_> = (1..).zip(payloads.iter().take(FIRST).cloned()).collect();
            assert!(read.iter().all(|one| expected.contains(one)), "{read:?}");
            all += expected.len() as u64;
        }
        let taken = end.taken.len() as u64;
        assert_eq!(taken + unread.over_budget, all, "{unread:?}");
        assert_eq!(unread.ring_full + unread.out_of_reach, 0, "{unread:?}");
        let is_sender = end.netns.name() == pair.a.name();
        let direction = if is_sender {
            Direction::Egress
        } else {
            Direction::Ingress
        };
        let mut taken = end.taken.iter();
        assert!(taken.all(|it| it.from_originator && it.direction == direction));
    }

    // DNS: each message, of as many as the kernel merges; what is over the budget is counted.
    let dns = socket(&pair.b, 53);
    setsockopt(&dns, UdpGroSegment, &true).unwrap();
    let before = ends.each_ref().map(|end| {
        let unread = end.tracker.unread_payloads().unwrap();
        assert_eq!(unread.dns_over_budget, 0);
        end.taken.len()
    });
    let payload: Vec<u8> = (0..MERGED).flat_map(|number| query(number, 40)).collect();
    send_merged(&clients[0], &dns, &payload, 40);
    ends.iter_mut().for_each(End::take);
    for (end, before) in ends.iter().zip(before) {
        let unread = end.tracker.unread_payloads().unwrap();
        let taken = &end.taken[before..];
        assert_eq!(
            taken.len() as u64 + unread.dns_over_budget,
            u64::from(MERGED),
            "{unread:?}"
        );
        // The first ones, and what another jiffy lets through.
        for payload in taken {
            let number = payload.ordinal - 1;
            assert_eq!(&*payload.bytes, query(number.try_into().unwrap(), 40));
        }
        assert!(taken.is_sorted_by(|one, next| one.ordinal < next.ordinal));
        let first = taken.iter().take(BUDGET).map(|payload| payload.ordinal);
        assert!(first.eq(1..=u32::try_from(BUDGET).unwrap()), "{unread:?}");
        let samples = end.tracker.scan().unwrap();
        let counted = samples.iter().filter_map(|sample| sample.dns);
        let expected = DnsCounts {
            queries: MERGED.into(),
            ..DnsCounts::default()
        };
        assert_eq!(counted.collect::<Vec<_>>(), [expected]);
        assert!(taken.len() >= 32 || !is_at_least(5, 11), "{}", taken.len());
    }
}

/// QUIC's spin bit in what the kernel has merged, or has not cut yet: the last datagram's counts.
#[test]
#[ignore = "root"]
fn the_spin_bit_of_the_last_of_several() {
    thread::scope(|scope| scope.spawn(assert_spin_bits).join()).unwrap();
}

fn assert_spin_bits() {
    const SEGMENT: usize = 100;
    const AFTER: Duration = Duration::from_millis(2);
    let pair = Pair::new();
    // Before Linux 5.11 a veth cuts what it sends.
    let merged = [&pair.a, &pair.b].into_iter();
    let merged = merged.take(if is_at_least(5, 11) { 2 } else { 1 });
    let mut ends: Vec<_> = merged
        .map(|netns| End::new(netns, HookChoice::Tc))
        .collect();
    let socket = |netns: &Netns, port| timed(netns.udp(netns.addr(Ip::V4, port)));
    let (client, server) = (socket(&pair.a, 40_000), socket(&pair.b, 443));
    setsockopt(&server, UdpGroSegment, &true).unwrap();
    // So much of the payload is wanted.
    for _ in 0..FIRST {
        send(&client, &server, &[0xc0; SEGMENT]);
    }
    for end in &mut ends {
        let sample = end.tracker.scan().unwrap()[0];
        let amendment = Amendment::of(&sample, Change::Spins);
        end.tracker.amend(&[amendment]).unwrap();
    }
    let begun = Instant::now();
    let told = |end: &End<'_>| end.tracker.scan().unwrap()[0].round_trip;
    for round in 0_u8.. {
        // All but the last have the bit as it always was.
        let mut payload = vec![0x41; 8 * SEGMENT];
        payload[7 * SEGMENT] |= (round % 2) << 5;
        send_merged(&client, &server, &payload, SEGMENT);
        let received = Instant::now();
        if ends.iter().all(|end| told(end).is_some()) {
            break;
        }
        assert!(begun.elapsed() < SOON);
        while received.elapsed() < AFTER {
            std::hint::spin_loop();
        }
    }
    for end in &ends {
        let round_trip = told(end).unwrap();
        assert_eq!(round_trip.parts, None);
        let least = Duration::from_nanos(u64::from(round_trip.min_ns) * 1001 / 1000);
        assert!(least >= AFTER, "{round_trip:?}");
    }
}

/// A query with this id, and bytes of no use behind it.
fn query(id: u16, bytes: usize) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x04evil\x04test\0\0\x01\0\x01");
    message.resize(bytes, 0);
    message
}
