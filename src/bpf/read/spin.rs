//! Round trips from the edges of QUIC's spin bit (`bpf/spin.h`), if the edges are reliable (RFC 9312 3.8.2). Pure.

use crate::bpf::sys::types::{udp_track_sizes as sizes, udp_track_spinning as raw};
use crate::model::{Parts, RoundTrip, median};

/// Edges that are remembered.
const EDGES: usize = sizes::UDP_TRACK_SPIN_EDGES.0 as usize;
/// How many round trips are needed to find those that are similar.
const ENOUGH: usize = 8;
/// A value above this multiple of the median is not a round trip: an end had nothing to send.
const SILENT: u64 = 4;
/// If more than one in this number of edges came after only a few packets, the bit may be random: a random bit makes seven of eight so.
const DENSE: u32 = 8;
/// If the latest edge is this much older than the latest packet, the ends spin no more, in nanoseconds.
const STALE_NS: u64 = 5_000_000_000;

/// What the kernel keeps of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct Spin {
    /// Edges so far.
    pub count: u32,
    pub dense: u32,
    /// When the latest was.
    pub edge_ns: u64,
    pub edges: [u16; EDGES],
}

/// An edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    side: usize,
    /// How long after the edge before it, in nanoseconds; `None` where that was long ago.
    after_ns: Option<u64>,
}

impl Edge {
    fn new(edge: u16) -> Self {
        let bits = u32::from(edge) & raw::UDP_TRACK_SPIN_LONG_AGO.0;
        let mantissa_bits = raw::UDP_TRACK_SPIN_MANTISSA_BITS.0;
        let (shift, mantissa) = (bits >> mantissa_bits, bits & ((1 << mantissa_bits) - 1));
        let after_ns = u64::from(mantissa) << (shift + raw::UDP_TRACK_SPIN_UNIT_BITS.0);
        Self {
            side: usize::from(edge >> raw::UDP_TRACK_SPIN_SIDE_BIT.0),
            after_ns: (bits != raw::UDP_TRACK_SPIN_LONG_AGO.0).then_some(after_ns),
        }
    }
}

/// A round trip: how long it took, and which edges end its parts.
struct Round {
    ns: u64,
    parts: Option<[usize; 2]>,
}

impl Spin {
    /// How long a round trip takes, if the edges tell; `last_ns`: when the latest packet was, `origin`: the originator's side.
    pub fn round_trip(&self, last_ns: u64, origin: usize) -> Option<RoundTrip> {
        if last_ns.saturating_sub(self.edge_ns) > STALE_NS {
            return None;
        }
        let count = self.count as usize;
        let known = count.min(EDGES);
        if self.dense.count_ones() * DENSE > self.count.min(u32::BITS) {
            return None;
        }
        let edges: Vec<Edge> = (count - known..count)
            .map(|at| Edge::new(self.edges[at % EDGES]))
            .collect();
        let mut rounds = rounds(&edges);
        let times = |rounds: &[Round]| -> Vec<u32> {
            let times = rounds.iter().map(|round| round.ns.try_into());
            times.map(|ns| ns.unwrap_or(u32::MAX)).collect()
        };
        let usual = median(&mut times(&rounds))?;
        rounds.retain(|round| round.ns <= SILENT * u64::from(usual));
        if rounds.len() < ENOUGH {
            return None;
        }
        let mut times = times(&rounds);
        Some(RoundTrip {
            min_ns: *times.iter().min()?,
            median_ns: median(&mut times)?,
            parts: parts(&edges, &rounds, origin),
        })
    }
}

/// The round trips in these edges, oldest first: from one edge of a side to its next one, with one of the other side between them; where
/// one side alone is seen, without.
fn rounds(edges: &[Edge]) -> Vec<Round> {
    let is_alone = edges.iter().all(|edge| edge.side == edges[0].side);
    let round = |at: usize| {
        let ns = edges[at].after_ns?;
        if is_alone {
            return Some(Round { ns, parts: None });
        }
        let [before, between] = [edges.get(at.checked_sub(2)?)?, &edges[at - 1]];
        let is_round = edges[at].side == before.side && edges[at].side != between.side;
        is_round.then_some(Round {
            ns: ns + between.after_ns?,
            parts: Some([at - 1, at]),
        })
    };
    (1..edges.len()).filter_map(round).collect()
}

/// The parts of these: an edge that ends one has come back from its side.
fn parts(edges: &[Edge], rounds: &[Round], origin: usize) -> Option<Parts> {
    let mut ends: Vec<usize> = rounds
        .iter()
        .filter_map(|one| one.parts)
        .flatten()
        .collect();
    ends.dedup();
    ends.sort_unstable();
    ends.dedup();
    let of = |side: usize| {
        let its = ends.iter().filter(|at| edges[**at].side == side);
        let times = its.filter_map(|at| u32::try_from(edges[*at].after_ns?).ok());
        median(&mut times.collect::<Vec<_>>())
    };
    Some(Parts {
        originator_ns: of(origin)?,
        responder_ns: of(1 - origin)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// As the kernel keeps it, of edges by the side that sent and nanoseconds since the one before; `dense` of them came early.
    fn spin(edges: &[(usize, u64)], dense: u32) -> Spin {
        let mut spin = Spin {
            dense,
            ..Spin::default()
        };
        for (side, after_ns) in edges {
            let units = after_ns >> raw::UDP_TRACK_SPIN_UNIT_BITS.0;
            let shift =
                (64 - units.leading_zeros()).saturating_sub(raw::UDP_TRACK_SPIN_MANTISSA_BITS.0);
            let short = if shift > 15 {
                raw::UDP_TRACK_SPIN_LONG_AGO.0
            } else {
                shift << raw::UDP_TRACK_SPIN_MANTISSA_BITS.0
                    | u32::try_from(units >> shift).unwrap()
            };
            let edge = u16::try_from(
                short | u32::try_from(*side).unwrap() << raw::UDP_TRACK_SPIN_SIDE_BIT.0,
            );
            spin.edges[spin.count as usize % EDGES] = edge.unwrap();
            spin.count += 1;
            spin.edge_ns += after_ns;
        }
        spin
    }

    /// Edges of both sides: 2 ms behind side 0, 10 ms behind side 1.
    fn regular(count: usize) -> Vec<(usize, u64)> {
        (0..count)
            .map(|at| (at % 2, [2 * MS, 10 * MS][at % 2]))
            .collect()
    }

    fn told(spin: &Spin) -> Option<(u64, Option<[u64; 2]>)> {
        let round_trip = spin.round_trip(spin.edge_ns, 0)?;
        let us = |ns: u32| (u64::from(ns) + 50_000) / 100_000 * 100;
        let parts = |parts: Parts| [us(parts.originator_ns), us(parts.responder_ns)];
        Some((us(round_trip.median_ns), round_trip.parts.map(parts)))
    }

    #[test]
    fn a_time_is_kept_to_a_thousandth() {
        for ns in [64, 100_032, 12_345_678, 999_999_999, 4_000_000_000] {
            let edge = Edge::new(spin(&[(1, ns)], 0).edges[0]);
            let after = edge.after_ns.unwrap();
            assert!(
                edge.side == 1 && after <= ns && ns - after <= ns / 1000,
                "{ns}: {after}"
            );
        }
        assert_eq!(
            Edge::new(spin(&[(0, 5_000 * MS)], 0).edges[0]).after_ns,
            None
        );
    }

    #[test]
    fn both_parts_of_regular_edges() {
        let expected = Some((12_000, Some([2_000, 10_000])));
        assert_eq!(told(&spin(&regular(10), 0)), expected);
        assert_eq!(told(&spin(&regular(9), 0)), None, "seven round trips");
        for count in 10..33 {
            assert_eq!(told(&spin(&regular(count), 0)), expected);
        }
        let turned = spin(&regular(16), 0).round_trip(0, 1).unwrap().parts;
        let parts = spin(&regular(16), 0)
            .round_trip(0, 0)
            .unwrap()
            .parts
            .unwrap();
        assert_eq!(
            turned,
            Some(Parts {
                originator_ns: parts.responder_ns,
                responder_ns: parts.originator_ns
            })
        );
        // Where one side alone is seen, there are no parts.
        assert_eq!(told(&spin(&[(1, 12 * MS); 9], 0)), Some((12_000, None)));
        assert_eq!(told(&spin(&[(1, 12 * MS); 8], 0)), None);
    }

    #[test]
    fn what_is_rejected() {
        // Who had nothing to send for a while, twice.
        let mut edges = regular(15);
        for at in [3, 10] {
            edges[at].1 = 900 * MS;
        }
        assert_eq!(
            told(&spin(&edges, 0)),
            Some((12_000, Some([2_000, 10_000])))
        );
        edges[5].1 = 5_000 * MS;
        assert_eq!(told(&spin(&edges, 0)), None);
        // An edge of one side that was missed.
        let mut edges = regular(15);
        edges.remove(7);
        assert_eq!(
            told(&spin(&edges, 0)),
            Some((12_000, Some([2_000, 10_000])))
        );
        // Edges as random bits make them: one of eight is no sign of that.
        assert!(told(&spin(&regular(32), 0x1111)).is_some());
        assert_eq!(told(&spin(&regular(32), 0x8000_1111)), None);
        assert!(told(&spin(&regular(10), 1)).is_some());
        assert_eq!(told(&spin(&regular(10), 0b11)), None);
        // Packets without an edge for long.
        let spin = spin(&regular(16), 0);
        assert!(spin.round_trip(spin.edge_ns + STALE_NS, 0).is_some());
        assert_eq!(spin.round_trip(spin.edge_ns + STALE_NS + 1, 0), None);
        assert_eq!(Spin::default().round_trip(0, 0), None);
    }
}
