//! The table's memory as user space sees it: the structs of `udp_track.h` with a cell for each field, as the programs write them
//! at the same time. Safe; `sys` maps them.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use crate::bpf::sys::drops_types;
use crate::bpf::sys::types::{self, udp_track_sizes as sizes};
use crate::model::RCODES;

/// Places in a set.
pub(in crate::bpf) const WAYS: usize = sizes::UDP_TRACK_WAYS.0 as usize;

/// `struct udp_track_line`.
#[repr(C, align(64))]
pub(in crate::bpf) struct LineCells {
    pub key: [AtomicU64; 2],
    pub counted: [AtomicU64; 2],
    pub last: AtomicU32,
    pub first: AtomicU32,
    pub interface: [AtomicU16; 2],
    pub state: AtomicU8,
    pub sides: AtomicU8,
    pub attention: AtomicU8,
    pub unreachable: AtomicU8,
    pub id: AtomicU64,
    pub ttl: [AtomicU8; 2],
    pub detour: AtomicU8,
    pub epoch: AtomicU8,
    pub open: [AtomicU16; 2],
}

/// `struct udp_track_detail`.
#[repr(C, align(64))]
pub(in crate::bpf) struct DetailCells {
    pub rest: [AtomicU64; 3],
    pub first_ns: AtomicU64,
    pub reply_ns: AtomicU64,
    pub waiting_ns: AtomicU64,
    pub folded: [AtomicU32; 2],
    pub byte_folds: [AtomicU16; 2],
    pub message: AtomicU32,
}

/// `struct udp_track_set`.
#[repr(C)]
pub(in crate::bpf) struct SetCells {
    pub tags: [AtomicU16; WAYS],
    pub opened: AtomicU32,
    pub freed: AtomicU32,
    pub detours_opened: AtomicU32,
    pub detours_freed: AtomicU32,
    pad: [AtomicU32; 4],
    pub lines: [LineCells; WAYS],
}

/// `struct udp_track_details`.
#[repr(C)]
pub(in crate::bpf) struct DetailsCells {
    pub details: [DetailCells; WAYS],
}

/// `struct udp_track_response`.
#[repr(C)]
pub(in crate::bpf) struct ResponseCells {
    pub version: AtomicU32,
    pub lost: AtomicU32,
    pub answered: AtomicU64,
    pub sum_ns: AtomicU64,
    pub min_ns: AtomicU64,
    pub max_ns: AtomicU64,
    pub histogram: [AtomicU32; sizes::UDP_TRACK_RESPONSE_BUCKETS.0 as usize],
    pub retries: AtomicU32,
    pub began: AtomicU16,
    pub shortest: AtomicU16,
}

/// `struct udp_track_spin`.
#[repr(C, align(64))]
pub(in crate::bpf) struct SpinCells {
    pub edge_ns: [AtomicU64; 2],
    pub version: AtomicU32,
    pub round_ns: AtomicU32,
    pub dense: AtomicU32,
    pub packets: [AtomicU16; 2],
    pub bit: [AtomicU8; 2],
    pub edges: [AtomicU16; sizes::UDP_TRACK_SPIN_EDGES.0 as usize],
}

/// An element of `protocols`.
#[repr(C)]
pub(in crate::bpf) struct ProtocolCells {
    /// The id of a connection, with a protocol's number in its low 8 bits.
    pub spoken: AtomicU64,
}

/// `struct udp_track_dns_counts`.
#[repr(C)]
pub(in crate::bpf) struct DnsCells {
    pub queries: AtomicU64,
    pub truncated: AtomicU64,
    pub codes: [AtomicU64; RCODES.len()],
    pub unread: AtomicU64,
}

/// `struct udp_track_publication`.
#[repr(C)]
pub(in crate::bpf) struct PublicationCells {
    pub id: AtomicU64,
    pub total_packets: AtomicU64,
    pub total_bytes: AtomicU64,
    pub grown_packets: AtomicU64,
    pub grown_bytes: AtomicU64,
    pub kind: AtomicU32,
    pub state: AtomicU32,
    pub addresses: [[AtomicU64; 2]; 2],
}

/// `struct udp_track_publishing`.
#[repr(C)]
pub(in crate::bpf) struct PublishingCells {
    pub count: AtomicU32,
    pub next: AtomicU32,
    pub unpublished: AtomicU64,
    pub addresses: AtomicU64,
    pub without_entry_packets: AtomicU64,
    pub without_entry_bytes: AtomicU64,
    pub given_up_packets: AtomicU64,
    pub given_up_bytes: AtomicU64,
}

/// `struct udp_track_amendment`.
#[repr(C)]
pub(in crate::bpf) struct AmendmentCells {
    pub id: AtomicU64,
    pub ns: AtomicU64,
    pub place: AtomicU32,
    pub kind: AtomicU8,
    pub role: AtomicU8,
    pad: [AtomicU8; 2],
}

/// `struct udp_track_amending`.
#[repr(C)]
pub(in crate::bpf) struct AmendingCells {
    pub count: AtomicU32,
    pub next: AtomicU32,
}

/// `struct udp_track_replay`.
#[repr(C)]
pub(in crate::bpf) struct ReplayCells {
    pub ns: AtomicU64,
    pub jiffies: AtomicU64,
    pub ifindex: AtomicU32,
    pub slot: AtomicU32,
    pub direction: AtomicU32,
    pub wire_bytes: AtomicU32,
    pub captured: AtomicU32,
    pub added: AtomicU32,
    pub is_short: AtomicU32,
    pad: AtomicU32,
}

/// `struct udp_track_ended_sum`.
#[repr(C)]
pub(in crate::bpf) struct SumCells {
    pub connections: AtomicU64,
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    pub place: AtomicU64,
}

/// `struct udp_track_ended`.
#[repr(C)]
pub(in crate::bpf) struct EndedCells {
    pub current: AtomicU64,
    pub sums: [SumCells; 2],
}

/// How many places there are for interfaces, twice.
pub(in crate::bpf) const INTERFACE_PLACES: usize = sizes::UDP_TRACK_INTERFACE_PLACES.0 as usize;

/// `struct udp_track_interfaces`.
#[repr(C)]
pub(in crate::bpf) struct InterfacesCells {
    pub first: [AtomicU64; INTERFACE_PLACES],
    pub second: [AtomicU64; INTERFACE_PLACES],
}

/// `struct udp_drops_state`. Counts are packets and bytes.
#[repr(C)]
pub(in crate::bpf) struct DropsStateCells {
    pub opened: AtomicU64,
    pub freed: AtomicU64,
    pub unplaced: [AtomicU64; 2],
    pub unbooked: [AtomicU64; 2],
}

const _: () = assert!(size_of::<DropsStateCells>() == size_of::<drops_types::udp_drops_state>());
const _: () = assert!(size_of::<InterfacesCells>() == size_of::<types::udp_track_interfaces>());
const _: () = assert!(size_of::<LineCells>() == 64);
const _: () = assert!(size_of::<DetailCells>() == 64);
const _: () = assert!(size_of::<DetailsCells>() == size_of::<types::udp_track_details>());
const _: () = assert!(size_of::<SetCells>() == size_of::<types::udp_track_set>());
const _: () = assert!(size_of::<SetCells>() == 64 + WAYS * size_of::<LineCells>());
const _: () = assert!(size_of::<ResponseCells>() == size_of::<types::udp_track_response>());
const _: () = assert!(size_of::<SpinCells>() == size_of::<types::udp_track_spin>());
const _: () = assert!(size_of::<DnsCells>() == size_of::<types::udp_track_dns_counts>());
const _: () = assert!(size_of::<PublicationCells>() == size_of::<types::udp_track_publication>());
const _: () = assert!(size_of::<PublishingCells>() == size_of::<types::udp_track_publishing>());
const _: () = assert!(size_of::<AmendmentCells>() == size_of::<types::udp_track_amendment>());
const _: () = assert!(size_of::<AmendingCells>() == size_of::<types::udp_track_amending>());
const _: () = assert!(size_of::<ReplayCells>() == size_of::<types::udp_track_replay>());
const _: () = assert!(size_of::<EndedCells>() == size_of::<types::udp_track_ended>());
/// Each field lies where the programs have it.
macro_rules! same_offsets {
    ($cells:ty, $raw:ty: $($cell:ident $field:ident)*) => {
        $(const _: () = assert!(std::mem::offset_of!($cells, $cell) == std::mem::offset_of!($raw, $field));)*
    };
}
same_offsets!(LineCells, types::udp_track_line:
    key key counted counted last last first first interface interface state state sides sides attention attention
    unreachable unreachable id id ttl ttl detour detour epoch epoch open open);
same_offsets!(DetailCells, types::udp_track_detail:
    rest rest first_ns first_ns reply_ns reply_ns waiting_ns waiting_ns folded folded byte_folds byte_folds
    message message);
same_offsets!(SetCells, types::udp_track_set: 
    tags tags opened opened freed freed detours_opened detours_opened detours_freed detours_freed lines lines);
same_offsets!(ResponseCells, types::udp_track_response:
    version version lost lost answered answered sum_ns sum_ns min_ns min_ns max_ns max_ns histogram histogram retries retries
    began began shortest shortest);
same_offsets!(SpinCells, types::udp_track_spin:
    edge_ns edge_ns version version round_ns round_ns dense dense packets packets bit bit edges edges);
same_offsets!(DnsCells, types::udp_track_dns_counts:
    queries queries truncated truncated codes codes unread unread);
same_offsets!(AmendmentCells, types::udp_track_amendment:
    id id ns ns place place kind kind role role);
same_offsets!(AmendingCells, types::udp_track_amending: count count next next);
same_offsets!(ReplayCells, types::udp_track_replay:
    ns ns jiffies jiffies ifindex ifindex slot slot direction direction wire_bytes wire_bytes captured captured added added
    is_short is_short);
same_offsets!(PublicationCells, types::udp_track_publication:
    id id total_packets total grown_packets grown kind kind state state addresses addresses);
same_offsets!(PublishingCells, types::udp_track_publishing:
    count count next next unpublished unpublished addresses addresses without_entry_packets without_entry
    given_up_packets given_up);
