//! The books of all hooks, and what the tables had no room for.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};

use super::kernel::{self, Tables};
use super::record;
use super::slots::InterfaceSlots;
use super::sys::{self, types};
use crate::connection::{Books, Counts, Direction, Ifindex};

/// How the books lie in their map.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    tables: &'a Tables,
    cpus: u32,
    slots: InterfaceSlots,
}

impl<'a> Ledger<'a> {
    pub fn new(tables: &'a Tables, instance: &types::udp_track_instance) -> Self {
        Self {
            tables,
            cpus: instance.cpus,
            slots: InterfaceSlots {
                multiplier: instance.interface_multiplier,
                shift: instance.interface_shift,
            },
        }
    }

    /// The books of one hook, over all CPUs. While packets arrive, each CPU's part is read at a moment between two of
    /// them: a part that does not balance was read in the middle of one, and is read again.
    pub fn books(self, interface: Ifindex, direction: Direction) -> Result<Books> {
        const ATTEMPTS: usize = 1000;
        (0..self.cpus)
            .map(|cpu| {
                let mut books = Books::default();
                for _ in 0..ATTEMPTS {
                    books = record::books(&self.raw(self.hook_slot(cpu, interface, direction))?);
                    if books.balance() {
                        break;
                    }
                }
                Ok(books)
            })
            .sum()
    }

    fn hook_slot(self, cpu: u32, interface: Ifindex, direction: Direction) -> u32 {
        (cpu * self.slots.count() + self.slots.slot(interface)) * 2 + direction as u32
    }

    fn raw(self, slot: u32) -> Result<types::udp_track_books> {
        kernel::read(&self.tables.books, slot)
    }

    /// Events that the ring buffer had no room for, and what `ip_stats` and `ip6_stats` had none for.
    pub fn losses(self, interfaces: &[Ifindex]) -> Result<(u64, Counts)> {
        let mut events = 0;
        let mut addresses = Counts::default();
        let sweep_books = self.cpus * self.slots.count() * 2;
        for cpu in 0..self.cpus {
            let hooks = interfaces.iter().flat_map(|interface| {
                [Direction::Ingress, Direction::Egress]
                    .map(|direction| self.hook_slot(cpu, *interface, direction))
            });
            for slot in hooks.chain([sweep_books + cpu]) {
                let raw = self.raw(slot)?;
                events += raw.events_lost;
                addresses += Counts {
                    packets: raw.ip_table_full.packets,
                    bytes: raw.ip_table_full.bytes,
                };
            }
        }
        Ok((events, addresses))
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(self) -> Result<u64> {
        let mut count = 0;
        let ipv4 = sys::read_map(
            self.tables.ip_stats.as_fd(),
            0,
            usize::MAX,
            |_: &u32, _: &types::udp_track_ip| count += 1,
        );
        ipv4.context("cannot read ip_stats")?;
        let ipv6 = sys::read_map(
            self.tables.ip6_stats.as_fd(),
            0,
            usize::MAX,
            |_: &[u64; 2], _: &types::udp_track_ip| count += 1,
        );
        ipv6.context("cannot read ip6_stats")?;
        Ok(count)
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(self) -> Result<(u64, Counts)> {
        let raw: types::udp_track_ended = kernel::read(&self.tables.ended, 0)?;
        let counts = Counts {
            packets: raw.counts.packets,
            bytes: raw.counts.bytes,
        };
        Ok((raw.connections, counts))
    }
}
