//! One place of the table: what its memory says of a connection, and how it is emptied.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::bpf::read::cells::{DetailCells, DnsCells, LineCells, ResponseCells, SpinCells, WAYS};
use crate::bpf::read::record::{self, Jiffies, Line};
use crate::bpf::read::requests::Requests;
use crate::bpf::read::spin::Spin;
use crate::bpf::sys::types;
use crate::model::{Counts, DnsCounts, Place, Sighting};

/// In the first word of a key: its connection is being ended.
pub(super) const ENDING: u64 = 1 << types::udp_track_tuple_bit::UDP_TRACK_ENDING_BIT.0;

/// Both parts of a place.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub line: &'a LineCells,
    pub detail: &'a DetailCells,
}

pub(super) fn place(set: usize, way: usize) -> Place {
    Place(u32::try_from(set * WAYS + way).unwrap_or(u32::MAX))
}

pub(super) fn is_live(line: &LineCells) -> bool {
    let key = line.key[0].load(Acquire);
    key != 0 && key & ENDING == 0
}

/// What a side has sent. A fold that is half done looks as if it had sent less: then it is read again.
fn counts(Cells { line, detail }: Cells<'_>, side: usize) -> Counts {
    const ATTEMPTS: usize = 100;
    let folds = || {
        let folded = detail.folded[side].load(Acquire);
        (
            record::packet_folds(folded),
            detail.byte_folds[side].load(Acquire),
        )
    };
    let mut before = folds();
    let mut counted = line.counted[side].load(Acquire);
    for _ in 0..ATTEMPTS {
        let after = folds();
        if after == before {
            break;
        }
        before = after;
        counted = line.counted[side].load(Acquire);
    }
    record::counts_of(counted, before)
}

pub(super) fn count_packets(cells: Cells<'_>) -> u64 {
    counts(cells, 0).packets + counts(cells, 1).packets
}

pub(super) fn sighting(
    place: Place,
    cells: Cells<'_>,
    jiffies: Jiffies,
    now: u64,
) -> Option<Sighting> {
    let Cells { line, detail } = cells;
    let origin = record::asks(line.sides.load(Relaxed));
    let (orig, reply) = (counts(cells, origin), counts(cells, 1 - origin));
    if orig.packets + reply.packets == 0 {
        return None;
    }
    let first_ns = detail.first_ns.load(Relaxed);
    let last = Jiffies::widen(line.last.load(Relaxed), now);
    Some(Sighting {
        place,
        orig,
        reply,
        status: record::status(line.state.load(Relaxed))?,
        first_ns,
        last_ns: jiffies
            .to_ns(last)
            .max(first_ns)
            .max(detail.reply_ns.load(Relaxed)),
    })
}

pub(super) fn read_line(cells: Cells<'_>) -> Line {
    let Cells { line, detail } = cells;
    let word = |cell: &std::sync::atomic::AtomicU64| cell.load(Relaxed);
    Line {
        words: [
            word(&line.key[0]),
            word(&line.key[1]),
            word(&detail.rest[0]),
            word(&detail.rest[1]),
            word(&detail.rest[2]),
        ],
        counts: [counts(cells, 0), counts(cells, 1)],
        last: line.last.load(Relaxed),
        interface: [
            line.interface[0].load(Relaxed),
            line.interface[1].load(Relaxed),
        ],
        state: line.state.load(Relaxed),
        unreachable: line.unreachable.load(Relaxed),
        sides: line.sides.load(Relaxed),
        id: word(&line.id),
        first_ns: word(&detail.first_ns),
        reply_ns: word(&detail.reply_ns),
        ttl: [line.ttl[0].load(Relaxed), line.ttl[1].load(Relaxed)],
        class: detail
            .folded
            .each_ref()
            .map(|cell| record::low_u8(cell.load(Relaxed).into())),
    }
}

/// As they were between two changes.
pub(super) fn read_requests(cells: &ResponseCells, Cells { line, detail }: Cells<'_>) -> Requests {
    const ATTEMPTS: usize = 1000;
    let mut requests = Requests::default();
    for _ in 0..ATTEMPTS {
        let before = cells.version.load(Acquire);
        let response = &mut requests.response;
        response.lost = cells.lost.load(Acquire).into();
        response.retries = cells.retries.load(Acquire).into();
        response.answered = cells.answered.load(Acquire);
        response.sum_ns = cells.sum_ns.load(Acquire);
        response.min_ns = cells.min_ns.load(Acquire);
        response.max_ns = cells.max_ns.load(Acquire);
        for (bucket, cell) in response.histogram.iter_mut().zip(&cells.histogram) {
            *bucket = cell.load(Acquire);
        }
        requests.sides = line.sides.load(Acquire);
        requests.epoch = line.epoch.load(Acquire);
        requests.open = [line.open[0].load(Acquire), line.open[1].load(Acquire)];
        requests.waiting_ns = detail.waiting_ns.load(Acquire);
        if before.is_multiple_of(2) && cells.version.load(Acquire) == before {
            break;
        }
    }
    requests
}

/// As it was between two edges.
pub(super) fn read_spin(cells: &SpinCells) -> Spin {
    const ATTEMPTS: usize = 1000;
    let mut spin = Spin::default();
    for _ in 0..ATTEMPTS {
        let version = cells.version.load(Acquire);
        let edges = cells.edge_ns.each_ref().map(|edge| edge.load(Acquire));
        spin = Spin {
            count: version / 2,
            dense: cells.dense.load(Acquire),
            edge_ns: edges[0].max(edges[1]),
            edges: cells.edges.each_ref().map(|edge| edge.load(Acquire)),
        };
        if version.is_multiple_of(2) && cells.version.load(Acquire) == version {
            break;
        }
    }
    spin
}

pub(super) fn clear_spin(cells: &SpinCells) {
    for cell in &cells.edge_ns {
        cell.store(0, Relaxed);
    }
    for cell in [&cells.version, &cells.round_ns, &cells.dense] {
        cell.store(0, Relaxed);
    }
    for cell in cells.edges.iter().chain(&cells.packets) {
        cell.store(0, Relaxed);
    }
    for cell in &cells.bit {
        cell.store(0, Relaxed);
    }
}

pub(super) fn read_dns(cells: &DnsCells) -> DnsCounts {
    DnsCounts {
        queries: cells.queries.load(Acquire),
        truncated: cells.truncated.load(Acquire),
        rcodes: cells.codes.each_ref().map(|code| code.load(Acquire)),
        unread: cells.unread.load(Acquire),
    }
}

/// Most have nothing, and their memory need not be written.
pub(super) fn clear_dns(cells: &DnsCells) {
    let words = [&cells.queries, &cells.truncated, &cells.unread];
    for cell in cells.codes.iter().chain(words) {
        if cell.load(Relaxed) != 0 {
            cell.store(0, Relaxed);
        }
    }
}

pub(super) fn clear_response(cells: &ResponseCells) {
    for cell in [&cells.answered, &cells.sum_ns, &cells.min_ns, &cells.max_ns] {
        cell.store(0, Relaxed);
    }
    for cell in cells.histogram.iter().chain([&cells.lost, &cells.retries]) {
        cell.store(0, Relaxed);
    }
    for cell in [&cells.began, &cells.shortest] {
        cell.store(0, Relaxed);
    }
    cells.version.store(0, Relaxed);
}

pub(super) fn clear_detail(detail: &DetailCells) {
    let times = [&detail.first_ns, &detail.reply_ns, &detail.waiting_ns];
    for cell in detail.rest.iter().chain(times) {
        cell.store(0, Relaxed);
    }
    for cell in detail.folded.iter().chain([&detail.message]) {
        cell.store(0, Relaxed);
    }
    for cell in &detail.byte_folds {
        cell.store(0, Relaxed);
    }
}

/// All but key[0].
pub(super) fn clear_line(line: &LineCells) {
    for cell in line.counted.iter().chain([&line.key[1], &line.id]) {
        cell.store(0, Relaxed);
    }
    for cell in [&line.last, &line.first] {
        cell.store(0, Relaxed);
    }
    for cell in line.interface.iter().chain(&line.open) {
        cell.store(0, Relaxed);
    }
    let small = [
        &line.state,
        &line.sides,
        &line.attention,
        &line.unreachable,
        &line.ttl[0],
        &line.ttl[1],
        &line.detour,
        &line.epoch,
    ];
    for cell in small {
        cell.store(0, Relaxed);
    }
}
