//! How large the kernel's tables become, and whether they fit: asking for more than there is would push the machine
//! against its limits before the kernel says no.

use anyhow::{Result, bail};

use crate::bpf::hook::slots::SlotShape;
use crate::bpf::program::limits::{Limit, limits};
use crate::bpf::program::load::{self, Settings};
use crate::bpf::read::cells::{ProtocolCells, WAYS};
use crate::bpf::read::payload::Payloads;
use crate::bpf::sys::{drops_types, types};
use crate::model::text::{Bytes, Grouped};

/// What the sizes of all maps depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bpf) struct Sizes {
    pub connections: u32,
    pub addresses: u32,
    /// Blocks of the table.
    pub blocks: u32,
    /// Log2 of the sets in a block.
    pub block_shift: u32,
    /// Whether the maps for others are published.
    pub maps: bool,
    /// Whether DNS messages are counted.
    pub counts_dns: bool,
    /// Requests of connections that have several under way.
    pub requests: u32,
    /// Whether it is kept which protocols are spoken.
    pub has_protocols: bool,
    /// Connections that have lost something behind the hooks.
    pub drops: u32,
    /// Slots of interfaces, and CPUs that could ever be there: each of them has books for each slot.
    pub slots: u32,
    pub cpus: u32,
}

/// Log2 of the sets in a block: large enough that all blocks fill up alike, small enough that there are many locks.
const BLOCK_SHIFT: u32 = 8;
/// Places for each connection: 11 for 8. So one that finds both of its sets full, in a table with as many connections as it promises
/// room for, is not to be expected in a million (a table of 400,000 was filled in a simulation, and none did).
const PLACES: u64 = 11;
const CONNECTIONS: u64 = 8;
/// One connection of this number has a second open request.
const CONNECTIONS_PER_REQUEST: u32 = 16;
const LEAST_REQUESTS: u32 = 4096;
/// One connection of this number has losses.
const CONNECTIONS_PER_LOSS: u32 = 16;
const LEAST_LOSSES: u32 = 4096;
/// Reasons that occur behind an interface, in both directions; all that there are, where there is one.
const REASONS_PER_SLOT: u32 = 4;
const LEAST_REASONS: u32 = 256;
/// `struct htab_elem` (kernel/bpf/hashtab.c).
const ELEMENT_BYTES: u64 = 48;
const BUCKET_BYTES: u64 = 16;

impl Sizes {
    pub fn new(settings: &Settings) -> Self {
        let places = (u64::from(settings.max_connections.max(1)) * PLACES).div_ceil(CONNECTIONS);
        let sets = places.div_ceil(WAYS as u64);
        let block = 1 << BLOCK_SHIFT;
        let (blocks, block_shift) = if sets <= block {
            // A small table can be filled unevenly by chance: twice the room.
            (1, (sets * 2).next_power_of_two().min(block).ilog2())
        } else {
            (sets.div_ceil(block), BLOCK_SHIFT)
        };
        // What cannot be known fails when it is loaded.
        let slots = SlotShape::of(settings.interfaces.len(), settings.grows);
        Self {
            connections: settings.max_connections.max(1),
            addresses: settings.max_ips.max(1),
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            block_shift,
            maps: settings.maps,
            counts_dns: settings.dns,
            requests: if settings.response_times {
                (settings.max_connections / CONNECTIONS_PER_REQUEST).max(LEAST_REQUESTS)
            } else {
                1
            },
            has_protocols: settings.payloads == Payloads::All,
            drops: Self::drops_of(settings.max_connections),
            slots: slots.map_or(1, SlotShape::count),
            cpus: load::possible_cpus().unwrap_or(1),
        }
    }

    /// Connections whose losses there is room for.
    pub fn drops_of(max_connections: u32) -> u32 {
        (max_connections / CONNECTIONS_PER_LOSS).max(LEAST_LOSSES)
    }

    /// Elements of `dropped_books`.
    pub fn drop_books_of(slots: u32) -> u32 {
        slots.saturating_mul(REASONS_PER_SLOT).max(LEAST_REASONS)
    }

    /// With the books of these slots, on this number of CPUs.
    pub fn with_books(self, slots: SlotShape, cpus: u32) -> Self {
        Self {
            slots: slots.count(),
            cpus,
            ..self
        }
    }

    /// Elements of `hooks`: each slot has one for each direction.
    pub fn hooks(self) -> u32 {
        self.slots.saturating_mul(2)
    }

    /// Elements of `books`.
    pub fn books(self) -> u32 {
        self.hooks().saturating_mul(self.cpus)
    }

    /// Elements of `connections`.
    pub fn sets(self) -> u32 {
        self.blocks.saturating_mul(1 << self.block_shift)
    }

    /// Elements of `responses`.
    pub fn places(self) -> u32 {
        self.sets().saturating_mul(16)
    }

    /// Elements of `protocols`.
    pub fn protocols(self) -> u32 {
        if self.has_protocols { self.places() } else { 1 }
    }

    /// Elements of `spins`: who speaks QUIC is told by the same datagrams.
    pub fn spins(self) -> u32 {
        self.protocols()
    }

    /// Elements of `dns_counts`.
    pub fn dns(self) -> u32 {
        if self.counts_dns { self.places() } else { 1 }
    }

    /// Kernel memory of all maps, about.
    pub fn bytes(self) -> u64 {
        let hash = |entries: u32, key: u64, value: u64| {
            let entries = u64::from(entries);
            entries * (ELEMENT_BYTES + key + value) + entries.next_power_of_two() * BUCKET_BYTES
        };
        let sets = u64::from(self.blocks) << self.block_shift;
        let set = size_of::<types::udp_track_set>()
            + size_of::<types::udp_track_details>()
            + WAYS * size_of::<types::udp_track_response>();
        let payload = u64::from(self.protocols()) * size_of::<ProtocolCells>() as u64
            + u64::from(self.spins()) * size_of::<types::udp_track_spin>() as u64
            + u64::from(self.dns()) * size_of::<types::udp_track_dns_counts>() as u64;
        let address = size_of::<types::udp_track_ip>() as u64;
        let published = if self.maps {
            hash(self.connections, 8, 8)
                + hash(self.connections, 8, 16)
                + hash(self.addresses, 8, address)
                + hash(self.addresses, 16, address)
        } else {
            0
        };
        let books = u64::from(self.books()) * size_of::<types::udp_track_books>() as u64
            + u64::from(self.hooks()) * size_of::<types::udp_track_hook>() as u64;
        let drops = hash(
            self.drops,
            8,
            size_of::<drops_types::udp_drops_connection>() as u64,
        ) + hash(
            Self::drop_books_of(self.slots),
            8,
            size_of::<drops_types::udp_drops_book>() as u64,
        );
        sets * set as u64 + payload + published + hash(self.requests, 8, 8) + books + drops
    }
}

/// The process's own memory for each connection, at most: in a flood that fills the table, and when all of them end at once (930 bytes
/// were measured at 880,000). Most of the time it is a fifth of that.
const OWN_BYTES: u64 = 1024;
/// The same without any connection.
const OWN_BYTES_LEAST: u64 = 16 << 20;

/// What a run takes when its tables are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    connections: u32,
    addresses: u32,
    /// Of the kernel: tables and rings, in bytes, about.
    pub tables: u64,
    /// Of the process itself, in bytes, at most.
    pub own: u64,
}

impl Memory {
    /// Of a run with these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let sizes = Sizes::new(settings);
        Self {
            connections: sizes.connections,
            addresses: sizes.addresses,
            tables: sizes.bytes() + load::ring_bytes(settings),
            own: OWN_BYTES_LEAST + OWN_BYTES * u64::from(sizes.connections) + settings.beside,
        }
    }

    /// The limit that leaves the least of what counts for it; `None` where nothing is known of any.
    #[must_use]
    pub fn tightest(self) -> Option<Limit> {
        self.tightest_of(limits())
    }

    fn tightest_of(self, limits: Vec<Limit>) -> Option<Limit> {
        let spare = |limit: &Limit| i128::from(limit.available) - i128::from(self.needed(limit));
        limits.into_iter().min_by_key(spare)
    }

    /// How much of it counts for a limit.
    fn needed(self, limit: &Limit) -> u64 {
        let part = |counts: bool, bytes: u64| if counts { bytes } else { 0 };
        part(limit.tables, self.tables) + part(limit.own, self.own)
    }

    /// An error where it would not fit: to be called before anything is made.
    pub fn suffice(self) -> Result<()> {
        self.fit(limits())
    }

    fn fit(self, limits: Vec<Limit>) -> Result<()> {
        let tightest = self.tightest_of(limits);
        if let Some(limit) = tightest
            && self.needed(&limit) > limit.available
        {
            bail!(
                "tables for {} connections and {} addresses need {} of kernel memory, and up to {} of udptrack's own when they are full; {} has only {} left. Choose a smaller --max-connections or --max-ips{}",
                Grouped(self.connections.into()),
                Grouped(self.addresses.into()),
                Bytes(self.tables),
                Bytes(self.own),
                limit.of,
                Bytes(limit.available),
                limit.way_out,
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(max_connections: u32) -> Sizes {
        Sizes::new(&Settings {
            max_connections,
            ..Settings::default()
        })
    }

    #[test]
    fn the_default_takes_less_than_it_may() {
        let default = Sizes::new(&Settings::default());
        assert_eq!(default.connections, 65_536);
        assert!(default.bytes() < 40_000_000, "{}", default.bytes());
    }

    #[test]
    fn a_connection_takes_less_than_it_may() {
        for connections in [65_536, 1_000_000, 16_000_000] {
            let bytes = sizes(connections).bytes();
            assert!(
                bytes <= 600 * u64::from(connections),
                "{connections}: {bytes}"
            );
        }
    }

    #[test]
    fn there_are_more_places_than_connections() {
        for connections in [1, 2, 100, 2978, 4096, 65_536, 16_000_000] {
            let sizes = sizes(connections);
            let places = u64::from(sizes.places());
            assert!(places * 8 >= u64::from(connections) * 11, "{sizes:?}");
        }
    }

    #[test]
    fn maps_that_are_left_out_take_nothing() {
        let without = Sizes::new(&Settings {
            maps: false,
            ..Settings::default()
        });
        assert!(without.bytes() < Sizes::new(&Settings::default()).bytes());
    }

    fn limit(available: u64, [tables, own]: [bool; 2]) -> Limit {
        Limit {
            available,
            of: "the test".to_owned(),
            way_out: ", or leave it",
            tables,
            own,
        }
    }

    #[test]
    fn interfaces_and_what_waits_for_others_take_memory_too() {
        let settings = |interfaces| Settings {
            interfaces: (1..=interfaces).map(crate::model::Ifindex).collect(),
            grows: true,
            ..Settings::default()
        };
        let few = Sizes::new(&settings(3));
        let many = Sizes::new(&settings(2000));
        assert_eq!((few.slots, many.slots), (512, 4096));
        let more = u64::from(many.cpus) * (4096 - 512) * 2 * 192 + (4096 - 512) * 2 * 24;
        let losses =
            |sizes: Sizes| u64::from(Sizes::drop_books_of(sizes.slots)) * (48 + 8 + 32 + 16);
        assert_eq!(
            many.bytes() - few.bytes(),
            more + losses(many) - losses(few)
        );
        let memory = |beside| {
            let settings = Settings {
                beside,
                ..Settings::default()
            };
            Memory::of(&settings)
        };
        assert_eq!(memory(1000).own, memory(0).own + 1000);
        assert_eq!(memory(1000).tables, memory(0).tables);
    }

    #[test]
    fn what_no_limit_has_is_refused() {
        let memory = Memory::of(&Settings::default());
        let (tables, own) = (memory.tables, memory.own);
        for (needed, counts) in [
            (tables + own, [true, true]),
            (tables, [true, false]),
            (own, [false, true]),
        ] {
            let exactly = || limit(needed, counts);
            assert!(memory.fit(vec![exactly()]).is_ok());
            let less = limit(needed - 1, counts);
            assert_eq!(
                memory.tightest_of(vec![exactly(), less.clone()]),
                Some(less.clone())
            );
            assert!(memory.fit(vec![exactly(), less]).is_err());
        }
        assert!(memory.fit(Vec::new()).is_ok());
        // The books depend on the CPUs of this machine.
        let memory = Memory {
            tables: 37_950_000,
            ..memory
        };
        let error = memory
            .fit(vec![limit(1_000_000, [true, true])])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "tables for 65,536 connections and 16,384 addresses need 38.0 MB of kernel memory, and up to 83.9 MB of udptrack's own when they are full; the test has only 1.0 MB left. Choose a smaller --max-connections or --max-ips, or leave it"
        );
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        let settings = Settings {
            max_connections: u32::MAX,
            ..Settings::default()
        };
        let error = Memory::of(&settings).suffice().unwrap_err().to_string();
        assert!(error.contains("--max-connections"), "{error}");
    }
}
