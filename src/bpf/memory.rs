//! How large the kernel's tables become, and whether they fit: asking for more than there is would push the machine
//! against its limits before the kernel says no.

use std::fs;

use anyhow::{Result, bail};

use crate::text::Bytes;

use super::cells::WAYS;
use super::load::Settings;
use super::sys::types;

/// What the sizes of all maps depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub connections: u32,
    pub addresses: u32,
    /// Blocks of the table.
    pub blocks: u32,
    /// Log2 of the sets in a block.
    pub block_shift: u32,
    /// Whether the maps for others are published.
    pub maps: bool,
    /// Requests of connections that have several under way.
    pub requests: u32,
}

/// Log2 of the sets in a block: large enough that all blocks fill up alike, small enough that there are many locks.
const BLOCK_SHIFT: u32 = 8;
/// Places for each connection: 11 for 8. So one that finds both of its sets full, in a table with as many connections as it promises
/// room for, is not to be expected in a million (a table of 400,000 was filled in a simulation, and none did).
const PLACES: u64 = 11;
const CONNECTIONS: u64 = 8;
/// Of so many connections one has another request under way.
const CONNECTIONS_PER_REQUEST: u32 = 16;
const LEAST_REQUESTS: u32 = 4096;
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
        Self {
            connections: settings.max_connections.max(1),
            addresses: settings.max_ips.max(1),
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            block_shift,
            maps: settings.maps,
            requests: if settings.response_times {
                (settings.max_connections / CONNECTIONS_PER_REQUEST).max(LEAST_REQUESTS)
            } else {
                1
            },
        }
    }

    /// Elements of `connections`.
    pub fn sets(self) -> u32 {
        self.blocks.saturating_mul(1 << self.block_shift)
    }

    /// Elements of `responses`.
    pub fn places(self) -> u32 {
        self.sets().saturating_mul(16)
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
        let address = size_of::<types::udp_track_ip>() as u64;
        let published = if self.maps {
            hash(self.connections, 8, 8)
                + hash(self.connections, 8, 16)
                + hash(self.addresses, 8, address)
                + hash(self.addresses, 16, address)
        } else {
            0
        };
        sets * set as u64 + published + hash(self.requests, 8, 8)
    }

    /// An error when the machine has not that much memory left.
    pub fn check(self) -> Result<()> {
        let Some(available) =
            available_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
        else {
            return Ok(());
        };
        if self.bytes() > available {
            bail!(
                "the tables for {} connections and {} addresses need {} of kernel memory, and {} are available. \
                 Choose a smaller --max-connections or --max-ips",
                self.connections,
                self.addresses,
                Bytes(self.bytes()),
                Bytes(available)
            );
        }
        Ok(())
    }
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
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

    #[test]
    fn available_memory_is_read() {
        assert_eq!(
            available_memory("MemTotal: 5 kB\nMemAvailable:    2 kB\n"),
            Some(2048)
        );
        assert_eq!(available_memory(""), None);
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        let error = sizes(u32::MAX).check().unwrap_err().to_string();
        assert!(error.contains("--max-connections"), "{error}");
    }
}
