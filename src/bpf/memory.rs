//! How large the kernel's tables become, and whether they fit: asking for more than there is would push the machine
//! against its limits before the kernel says no.

use std::fs;

use anyhow::{Result, bail};

use crate::output::Bytes;

use super::load::Settings;
use super::sys::types;

/// What the sizes of all maps depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub connections: u32,
    pub addresses: u32,
    pub cpus: u32,
    /// Cache sets per CPU, a power of two.
    pub sets: u32,
    /// Lines for response times: one for each connection, and some that are on their way from one to the next. 0 when
    /// these are not measured.
    pub lines: u32,
    /// Lines for what a filter has refused: one for each set of all CPUs; 0 without a filter.
    pub refused: u32,
}

/// Slots of a set of the cache.
pub(super) const WAYS: u32 = 4;
const _: () = assert!(
    size_of::<types::udp_track_set4>() == WAYS as usize * size_of::<types::udp_track_slot4>()
);
/// At most so much for the caches of all CPUs together, however many there are.
const CACHE_BYTES_MAX: u64 = 256 << 20;
/// `struct htab_elem` and the share of the buckets (kernel/bpf/hashtab.c), rounded up.
const ELEMENT_BYTES: u64 = 48 + 32;

impl Sizes {
    /// Two slots for each connection where that is affordable: then few connections miss the cache.
    pub fn new(settings: &Settings, cpus: u32) -> Self {
        let connections = settings.max_connections;
        let set_bytes =
            (size_of::<types::udp_track_set4>() + size_of::<types::udp_track_set6>()) as u64;
        let affordable = CACHE_BYTES_MAX / set_bytes / u64::from(cpus.max(1));
        let slots = connections.saturating_mul(2).min(settings.cache_slots);
        let wanted = u64::from(slots.max(64) / WAYS);
        let sets = wanted
            .next_power_of_two()
            .min(largest_power_of_two(affordable));
        Self {
            connections,
            addresses: settings.max_ips,
            cpus,
            sets: u32::try_from(sets).unwrap_or(1),
            lines: if settings.response_times {
                connections.saturating_add(2 * cpus)
            } else {
                0
            },
            refused: 0,
        }
    }

    /// The same with a filter.
    pub fn with_filter(self) -> Self {
        Self {
            refused: self.cpus.saturating_mul(self.sets),
            ..self
        }
    }

    /// Kernel memory of all maps, about.
    pub fn bytes(self) -> u64 {
        let stats = size_of::<types::udp_track_stats>() as u64;
        let address = size_of::<types::udp_track_ip>() as u64;
        let line = size_of::<types::udp_track_response_line>() as u64;
        let refused = size_of::<types::udp_track_refused>() as u64;
        let set = (size_of::<types::udp_track_set4>() + size_of::<types::udp_track_set6>()) as u64;
        u64::from(self.connections) * (8 + stats + ELEMENT_BYTES + 8 + 8 + ELEMENT_BYTES)
            + u64::from(self.addresses) * (8 + 16 + 2 * (address + ELEMENT_BYTES))
            + u64::from(self.cpus) * u64::from(self.sets) * set
            + u64::from(self.lines) * (line + 4)
            + u64::from(self.refused) * refused
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

fn largest_power_of_two(limit: u64) -> u64 {
    1 << limit.max(1).ilog2()
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

    fn sizes(max_connections: u32, cpus: u32) -> Sizes {
        let settings = Settings {
            max_connections,
            ..Settings::default()
        };
        Sizes::new(&settings, cpus)
    }

    #[test]
    fn default_size_has_two_slots_per_connection() {
        assert_eq!(sizes(8192, 2).sets, 4096);
    }

    #[test]
    fn the_cache_is_capped_per_cpu_and_in_all() {
        assert_eq!(sizes(1 << 20, 2).sets, 32_768);
        let many = sizes(1 << 20, 256);
        assert_eq!(many.sets, 1024);
        assert!(u64::from(many.sets) * 256 * 768 <= CACHE_BYTES_MAX);
    }

    #[test]
    fn a_filter_takes_a_line_for_each_set() {
        let all = sizes(8192, 2);
        let filtered = all.with_filter();
        assert_eq!(filtered.refused, 2 * all.sets);
        assert_eq!(filtered.bytes(), all.bytes() + 64 * 2 * u64::from(all.sets));
    }

    #[test]
    fn one_connection_is_possible() {
        assert_eq!(sizes(1, 1).sets, 16);
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
        let error = sizes(u32::MAX, 1).check().unwrap_err().to_string();
        assert!(error.contains("--max-connections"), "{error}");
    }
}
