//! QUIC's spin bit: edges of connections that are known to be QUIC, what they say, and that nothing else does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use udptrack::bpf::{Entry, Payloads, Settings};
use udptrack::model::{Amendment, Change, Parts, RoundTrip, Sample};

use crate::common::SOON;
use crate::common::frames;
use crate::common::random::Rng;
use crate::expiry::request;
use crate::rig::{EGRESS, INGRESS, LO, Rig, XDP, address, settings};

const CLIENT: usize = 0;
const SERVER: usize = 1;
const BOTH: [usize; 2] = [CLIENT, SERVER];
/// How long a packet takes from here to the client and back, and to the server. As an observer near the client has it.
const BEHIND: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(6)];
/// Packets of a side between two edges.
const PACKETS: usize = 6;

fn ends() -> [[SocketAddr; 2]; 2] {
    [
        [address("10.88.0.1:40000"), address("10.88.0.2:443")],
        [address("[fd88::1]:40000"), address("[fd88::2]:443")],
    ]
}

/// The first byte of a short header (RFC 9000 17.3.1), with one of a key phase and a length that are not looked at.
fn short(spin: bool) -> u8 {
    0x41 | u8::from(spin) << 5
}

/// One connection.
struct Quic {
    rig: Rig,
    entry: Entry,
    ends: [SocketAddr; 2],
    bits: [bool; 2],
}

impl Quic {
    /// Known to be QUIC where `knows`. With `events` no packet goes the short way.
    fn new(entry: Entry, ends: [SocketAddr; 2], events: bool, knows: bool) -> Self {
        let settings = Settings {
            payloads: Payloads::All,
            new_events: events,
            data_events: events,
            interfaces: vec![LO],
            ..settings(64)
        };
        let mut quic = Self {
            rig: Rig::with(&settings),
            entry,
            ends,
            bits: [false; 2],
        };
        // So much is wanted of the payload of each side.
        for _ in 0..4 {
            quic.send(CLIENT, 0xc0);
            quic.send(SERVER, 0xc0);
        }
        if knows {
            quic.know(0);
        }
        quic
    }

    /// User space says that it is QUIC: this connection, or one whose id differs by `wrong`.
    fn know(&mut self, wrong: u64) {
        let mut sample = self.sample();
        sample.id.0 ^= wrong;
        let amendment = Amendment::of(&sample, Change::Spins);
        self.rig.tracker.amend(&[amendment]).unwrap();
    }

    fn sample(&self) -> Sample {
        self.rig.tracker.scan().unwrap()[0]
    }

    fn round_trip(&self) -> Option<RoundTrip> {
        self.sample().round_trip
    }

    fn frame(&self, from: usize, first: u8) -> Vec<u8> {
        frames::udp(self.ends[from], self.ends[1 - from], &[first; 30])
    }

    fn send(&mut self, from: usize, first: u8) {
        let frame = self.frame(from, first);
        self.rig.tracker.run_frame(self.entry, &frame, 1).unwrap();
    }

    /// The packets of a side with its bit as it is.
    fn flow(&mut self, from: usize) {
        for _ in 0..PACKETS {
            self.send(from, short(self.bits[from]));
        }
    }

    /// Both sides begin.
    fn begin(&mut self) {
        self.flow(CLIENT);
        self.flow(SERVER);
    }

    /// Round trips until they are told like that: a machine that was held up makes some long.
    fn until(&mut self, like: impl Fn(&RoundTrip) -> bool, mut round: impl FnMut(&mut Self)) {
        let since = Instant::now();
        loop {
            round(self);
            let told = self.round_trip();
            if told.as_ref().is_some_and(&like) {
                return;
            }
            assert!(since.elapsed() < SOON, "{told:?}");
        }
    }

    fn until_told(&mut self) {
        self.until(is_true, |quic| quic.round(&BOTH));
    }

    /// A round trip as it passes here: the client's edge, and the server's, each after the time that the way behind its sender takes.
    fn round(&mut self, from: &[usize]) {
        for &side in from {
            wait(BEHIND[side]);
            self.bits[side] = !self.bits[side];
            self.flow(side);
        }
    }
}

/// Nothing sleeps for so short a time.
fn wait(time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// How long it takes at least: to one part in a thousand, as it is kept.
fn least(time: Duration) -> u32 {
    u32::try_from(time.as_nanos() * 999 / 1000).unwrap()
}

/// Whether all of it is as long as it was, at least.
fn is_true(told: &RoundTrip) -> bool {
    let [to_client, to_server] = BEHIND.map(least);
    let are_parts =
        |parts: Parts| parts.originator_ns >= to_client && parts.responder_ns >= to_server;
    told.parts.is_some_and(are_parts)
        && told.min_ns >= to_client + to_server
        && told.median_ns >= told.min_ns
}

#[test]
#[ignore = "root"]
fn edges_of_both_sides_are_round_trips() {
    let [ipv4, ipv6] = ends();
    for (entry, ends, events) in [
        (XDP, ipv4, false),
        (XDP, ipv6, true),
        (INGRESS, ipv6, false),
        (EGRESS, ipv4, true),
    ] {
        let mut quic = Quic::new(entry, ends, events, true);
        quic.begin();
        // Seven round trips are too few.
        for _ in 0..4 {
            quic.round(&BOTH);
            assert_eq!(quic.round_trip(), None);
        }
        quic.until_told();
        let sample = quic.sample();
        assert_eq!(sample.orig, sample.reply);
        assert_eq!(sample.orig.packets % PACKETS as u64, 4);
    }
}

#[test]
#[ignore = "root"]
fn one_side_alone_is_a_round_trip_without_parts() {
    let mut quic = Quic::new(XDP, ends()[0], false, true);
    quic.flow(SERVER);
    let is_true = |told: &RoundTrip| told.parts.is_none() && told.min_ns >= least(BEHIND[SERVER]);
    quic.until(is_true, |quic| quic.round(&[SERVER]));
}

#[test]
#[ignore = "root"]
fn what_was_overtaken_is_no_edge() {
    let mut quic = Quic::new(XDP, ends()[0], false, true);
    quic.begin();
    let round = |quic: &mut Quic| {
        for from in BOTH {
            wait(BEHIND[from]);
            let before = quic.bits[from];
            quic.bits[from] = !before;
            quic.send(from, short(!before));
            quic.send(from, short(before));
            quic.flow(from);
            wait(BEHIND[from] / 2);
            quic.flow(from);
        }
    };
    quic.until(is_true, round);
}

/// Without it, or with what is no short header, or where the bit stays, or is random, nothing is said.
#[test]
#[ignore = "root"]
fn what_says_nothing() {
    let regular = |quic: &mut Quic| {
        for _ in 0..12 {
            quic.round(&BOTH);
        }
    };
    let mut unknown = Quic::new(XDP, ends()[0], false, false);
    unknown.know(1 << 20);
    regular(&mut unknown);
    assert_eq!(unknown.round_trip(), None);
    // Known from now on.
    unknown.know(0);
    regular(&mut unknown);
    unknown.until_told();

    let mut others = Quic::new(XDP, ends()[0], false, true);
    for round in 0..100 {
        for from in BOTH {
            // A long header, and one without the fixed bit.
            for first in [0xc0, 0x00] {
                others.send(from, first | (round % 2) << 5);
            }
            others.send(from, short(false));
        }
    }
    assert_eq!(others.round_trip(), None);

    let mut rng = Rng::new(17);
    for random in [&BOTH[..], &[CLIENT]] {
        let mut quic = Quic::new(XDP, ends()[0], false, true);
        for step in 0..300 {
            for &from in random {
                quic.bits[from] = rng.once_in(2);
                quic.send(from, short(quic.bits[from]));
                wait(Duration::from_micros(50));
            }
            if random.len() == 1 {
                // It comes back as it went.
                quic.bits[SERVER] = quic.bits[CLIENT];
                quic.flow(SERVER);
            }
            // Among the first ones, chance may have put some in order.
            assert!(step < 100 || quic.round_trip().is_none());
        }
    }
}

/// The place of a connection that is over has nothing of it, and the next one there is not looked at.
#[test]
#[ignore = "root"]
fn it_goes_with_its_connection() {
    let mut quic = Quic::new(XDP, ends()[0], false, true);
    quic.until_told();
    let over = [request(&quic.sample())];
    let ended = quic.rig.tracker.expire(&over).unwrap();
    assert!(ended[0].0.round_trip.is_some());
    for _ in 0..12 {
        quic.round(&BOTH);
    }
    assert_eq!(quic.round_trip(), None);
    quic.know(0);
    quic.begin();
    for _ in 0..4 {
        quic.round(&BOTH);
        assert_eq!(quic.round_trip(), None);
    }
    quic.until_told();
}
