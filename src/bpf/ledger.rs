//! The books of all hooks, and what the tables had no room for.

use anyhow::Result;

use super::kernel::{self, Tables};
use super::record;
use super::slots::InterfaceSlots;
use super::sys::types;
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

    /// Events that the ring buffer had no room for, and what `ip_stats` and `ip6_stats` do not have.
    pub fn losses(self, interfaces: &[Ifindex]) -> Result<(u64, Counts)> {
        let mut events = 0;
        for cpu in 0..self.cpus {
            for interface in interfaces {
                for direction in [Direction::Ingress, Direction::Egress] {
                    events += self
                        .raw(self.hook_slot(cpu, *interface, direction))?
                        .events_lost;
                }
            }
        }
        let publishing = self.publishing()?;
        let counts = |raw: types::udp_track_counts| Counts {
            packets: raw.packets,
            bytes: raw.bytes,
        };
        let missing = counts(publishing.without_entry) + counts(publishing.given_up);
        Ok((events, missing))
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(self) -> Result<u64> {
        Ok(self.publishing()?.addresses)
    }

    fn publishing(self) -> Result<types::udp_track_publishing> {
        kernel::read(&self.tables.publishing, 0)
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(self) -> Result<(u64, Counts)> {
        let raw: types::udp_track_ended = kernel::read(&self.tables.ended, 0)?;
        let sum = raw.sums[usize::from(raw.current != 0)];
        let counts = Counts {
            packets: sum.counts.packets,
            bytes: sum.counts.bytes,
        };
        Ok((sum.connections, counts))
    }
}
