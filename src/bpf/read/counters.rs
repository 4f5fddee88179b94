//! Counters of all hooks, and of packets that found no room in the tables.

use anyhow::Result;

use crate::bpf::program::handles::{self, Tables};
use crate::bpf::read::record;
use crate::bpf::sys::types;
use crate::model::{Books, Counts, Direction};

/// How they lie in their map.
#[derive(Clone, Copy)]
pub(in crate::bpf) struct Counters<'a> {
    tables: &'a Tables,
    cpus: u32,
    slot_bits: u32,
}

impl<'a> Counters<'a> {
    pub fn new(tables: &'a Tables, instance: &types::udp_track_instance) -> Self {
        Self {
            tables,
            cpus: instance.cpus,
            slot_bits: instance.slot_bits,
        }
    }

    /// The books of one hook, over all CPUs. While packets arrive, each CPU's part is read at a moment between two of
    /// them: a part that does not balance was read in the middle of one, and is read again.
    pub fn books(self, slot: u32, direction: Direction) -> Result<Books> {
        const ATTEMPTS: usize = 1000;
        (0..self.cpus)
            .map(|cpu| {
                let mut books = Books::default();
                for _ in 0..ATTEMPTS {
                    books = record::books(&self.raw(self.place(cpu, slot, direction))?);
                    if books.balance() {
                        break;
                    }
                }
                Ok(books)
            })
            .sum()
    }

    /// Adds the books of a slot, on which nothing runs, to those of another, and makes them empty.
    pub fn move_books(self, from: u32, to: u32) -> Result<()> {
        for cpu in 0..self.cpus {
            for direction in [Direction::Ingress, Direction::Egress] {
                let (from, to) = (
                    self.place(cpu, from, direction),
                    self.place(cpu, to, direction),
                );
                let sum = record::sum_of_books(self.raw(to)?, self.raw(from)?);
                handles::write(&self.tables.books, to, &sum)?;
                handles::write(&self.tables.books, from, &types::udp_track_books::default())?;
            }
        }
        Ok(())
    }

    fn place(self, cpu: u32, slot: u32, direction: Direction) -> u32 {
        ((cpu << self.slot_bits) + slot) * 2 + direction as u32
    }

    fn raw(self, place: u32) -> Result<types::udp_track_books> {
        handles::read(&self.tables.books, place)
    }

    /// Events that the ring buffer had no room for, and what `ip_stats` and `ip6_stats` do not have.
    pub fn losses(self, slots: impl Iterator<Item = u32>) -> Result<(u64, Counts)> {
        let mut events = 0;
        for slot in slots {
            for cpu in 0..self.cpus {
                for direction in [Direction::Ingress, Direction::Egress] {
                    events += self.raw(self.place(cpu, slot, direction))?.events_lost;
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

    /// Frames of one hook that were wanted and did not reach user space, over all CPUs.
    pub fn frames_lost(self, slot: u32, direction: Direction) -> Result<u64> {
        let of = |cpu| Ok(self.raw(self.place(cpu, slot, direction))?.frames_lost);
        (0..self.cpus).map(of).sum()
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(self) -> Result<u64> {
        Ok(self.publishing()?.addresses)
    }

    fn publishing(self) -> Result<types::udp_track_publishing> {
        handles::read(&self.tables.publishing, 0)
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(self) -> Result<(u64, Counts)> {
        let raw: types::udp_track_ended = handles::read(&self.tables.ended, 0)?;
        let sum = raw.sums[usize::from(raw.current != 0)];
        let counts = Counts {
            packets: sum.counts.packets,
            bytes: sum.counts.bytes,
        };
        Ok((sum.connections, counts))
    }
}
