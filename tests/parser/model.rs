//! What the tracker should have made of the frames that it was given, by the reference parser.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use udptrack::bpf::Entry;
use udptrack::model::{ConnectionId, Counts, EventKind, Sample, Status, Vlans};

use crate::common::reference::{self, Quote, Reference, Udp};
use crate::rig::{EGRESS, ETHERNET_BYTES, INGRESS, LO, Packet, Rig, XDP, counts, shown, vlans};

/// Whether a test run takes the frame. One of an XDP program wants an Ethernet header, one of a TC program also something
/// behind it, and newer kernels the whole fixed IP header where the ethertype announces one. (So IP headers that are cut
/// reach the TC programs behind VLAN tags and without an Ethernet header.)
fn runs(entry: Entry, frame: &[u8]) -> bool {
    if entry == XDP || frame.len() < ETHERNET_BYTES {
        return frame.len() >= ETHERNET_BYTES;
    }
    let header = match frame[12..ETHERNET_BYTES] {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => 1,
    };
    frame.len() >= ETHERNET_BYTES + header
}

type Key = (Vlans, SocketAddr, SocketAddr);

/// The same for both directions.
fn key(vlans: Vlans, one: SocketAddr, other: SocketAddr) -> Key {
    (vlans, one.min(other), one.max(other))
}

/// A connection as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    id: ConnectionId,
    originator: SocketAddr,
    orig: Counts,
    reply: Counts,
    /// The end that an ICMP error said cannot be reached, until it sends, or until the other sends long after the error.
    unreachable: Option<SocketAddr>,
    /// When its latest packet was, and the latest error.
    packet: Instant,
    error: Instant,
    /// Whether so much time had passed that the kernel may see it either way.
    unsure: bool,
}

/// Errors hold for two seconds, and are about what was sent in the last four: near that nobody is sure.
const SURELY_LATELY: Duration = Duration::from_millis(1500);

/// The reference parser and what it has said so far.
#[derive(Default)]
pub struct Model {
    reference: Reference,
    connections: HashMap<Key, Known>,
}

impl Model {
    /// Runs a frame through both, and compares. A frame that no test run takes is left out.
    pub fn check(&mut self, rig: &mut Rig, entry: Entry, frame: &[u8]) {
        if !runs(entry, frame) {
            return;
        }
        let actual = rig.run(entry, frame);
        let ethernet = !matches!(entry, Entry::TcIp(_));
        let expected = if ethernet {
            self.reference.frame(frame)
        } else {
            self.reference.ip(frame)
        };
        match (actual, expected) {
            (Ok((id, packet)), Ok(udp)) => {
                let expected = self.count(id, &udp, frame.len());
                assert_eq!(packet, expected, "{}", shown(entry, frame));
            }
            (Err(actual), Err(expected)) => {
                assert_eq!(actual.name(), expected.name(), "{}", shown(entry, frame));
                let quote = if ethernet {
                    reference::quote(frame)
                } else {
                    reference::quote_ip(frame)
                };
                if let Some(quote) = quote {
                    self.unreachable(&quote);
                }
            }
            (actual, expected) => {
                panic!(
                    "{}: {actual:?}, but the reference says {expected:?}",
                    shown(entry, frame)
                )
            }
        }
    }

    fn count(&mut self, id: ConnectionId, udp: &Udp, bytes: usize) -> Packet {
        let vlans = vlans(udp.vlans);
        let mut kind = EventKind::Data;
        let known = self
            .connections
            .entry(key(vlans, udp.source, udp.destination))
            .or_insert_with(|| {
                kind = EventKind::New;
                Known {
                    id,
                    originator: udp.source,
                    orig: Counts::default(),
                    reply: Counts::default(),
                    unreachable: None,
                    packet: Instant::now(),
                    error: Instant::now(),
                    unsure: false,
                }
            });
        assert_eq!(id, known.id, "{udp:?}");
        if udp.source == known.originator {
            known.orig += counts(1, bytes);
        } else {
            known.reply += counts(1, bytes);
        }
        // Who talks to himself has one side only, the sender's.
        let lifts = udp.source != udp.destination && known.unreachable == Some(udp.source);
        if known.unreachable.is_some() {
            known.unsure = !lifts && (known.unsure || known.error.elapsed() > SURELY_LATELY);
        }
        known.unreachable = known.unreachable.filter(|_| !lifts);
        known.packet = Instant::now();
        Packet {
            kind,
            vlans,
            source: udp.source,
            destination: udp.destination,
        }
    }

    fn unreachable(&mut self, error: &Quote) {
        let quote = &error.packet;
        let key = key(vlans(quote.vlans), quote.source, quote.destination);
        let Some(known) = self.connections.get_mut(&key) else {
            return;
        };
        let sent = if quote.source == known.originator {
            known.orig
        } else {
            known.reply
        };
        if error.to != quote.source.ip() || sent.packets == 0 {
            return;
        }
        known.unsure = known.packet.elapsed() > SURELY_LATELY;
        known.unreachable = Some(quote.destination);
        known.error = Instant::now();
    }

    /// The table holds what the model holds, to the byte, and the books agree.
    pub fn assert_table(&self, rig: &Rig) {
        let samples = rig.scan();
        assert_eq!(samples.len(), self.connections.len());
        for sample in &samples {
            let known = &self.connections[&key(sample.vlans, sample.originator, sample.responder)];
            let actual = Known {
                id: sample.id,
                originator: sample.originator,
                orig: sample.orig,
                reply: sample.reply,
                ..*known
            };
            assert_eq!(actual, *known, "{sample:?}");
            assert_eq!(sample.ifindex, LO);
            let answered = sample.reply.packets > 0;
            assert_eq!(sample.first_reply_ns.is_some(), answered, "{sample:?}");
            match sample.status {
                _ if known.unsure => {}
                Status::Unreach => {
                    assert_eq!(sample.unreachable_end(), known.unreachable, "{sample:?}");
                }
                Status::Unreplied => {
                    assert!(known.unreachable.is_none() && !answered, "{sample:?}");
                }
                Status::Replied | Status::Assured => {
                    assert!(known.unreachable.is_none() && answered, "{sample:?}");
                }
                status => panic!("the model does not know {status:?}"),
            }
        }
        let shown: Counts = samples.iter().map(Sample::total).sum();
        let tracked = rig.books(INGRESS).tracked + rig.books(EGRESS).tracked;
        assert_eq!(shown, tracked);
    }
}
