//! The tables of a tracking that another process runs, or that was kept: read through its pins, changing nothing.
//!
//! What the per-CPU caches hold is added. A count may move from a slot to its connection's entry meanwhile, so the entry is
//! read before and after the slots, each time under its lock: where it has not grown in between, no slot of it was written
//! back, and slots and entry together are what was counted. Where it has grown, that one is read again.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, libbpf_sys};
use plain::Plain;

use super::kept::{direction, read_hooks, text};
use super::kernel::{self, Tables};
use super::ledger::Ledger;
use super::lines::Untimed;
use super::load::ASSURED;
use super::memory::WAYS;
use super::merge::{self, Held, Words};
use super::pins::Pinned;
use super::record::Jiffies;
use super::sys::{self, types};
use crate::connection::{Books, Counts, Direction, Ifindex, Sample, Timeouts};

/// How often a connection is read that is written back again and again. Each time takes some microseconds; a write-back of
/// one that has a slot comes each second.
const ATTEMPTS: usize = 100;

/// A hook of the tracking that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHook {
    /// Name of its interface when it was attached.
    pub interface: String,
    /// The interface.
    pub index: Ifindex,
    /// Which of its hooks.
    pub direction: Direction,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
}

/// The tables of another process.
pub struct Reader {
    tables: Tables,
    instance: types::udp_track_instance,
    hooks: Vec<ReadHook>,
}

impl Reader {
    /// Opens the pins of an instance, for reading alone.
    pub fn open(pinned: &Pinned) -> Result<Self> {
        pinned.check_layout()?;
        let tables = Tables::open(&pinned.folder, libbpf_sys::BPF_F_RDONLY)?;
        let instance: types::udp_track_instance = kernel::read(&tables.instance, 0)?;
        if instance.pid == 0 {
            bail!("{} is just starting: try again", pinned.name);
        }
        let hooks = read_hooks(&tables, &instance)?
            .iter()
            .map(|raw| ReadHook {
                interface: text(&raw.interface).to_owned(),
                index: Ifindex(raw.ifindex),
                direction: direction(raw),
                ethernet: raw.ethernet != 0,
            })
            .collect();
        Ok(Self {
            tables,
            instance,
            hooks,
        })
    }

    /// What it tracks, and where.
    #[must_use]
    pub fn hooks(&self) -> &[ReadHook] {
        &self.hooks
    }

    /// Room for connections.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.tables.connection_stats.max_entries().into()
    }

    /// When its connections end.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            unreplied: Duration::from_nanos(self.instance.unreplied_ns),
            assured: Duration::from_nanos(self.instance.assured_ns),
        }
    }

    /// Every connection, with what the caches hold of it.
    pub fn scan(&self) -> Result<Vec<Sample>> {
        let mut connections = self.entries()?;
        if self.instance.cache != 0 {
            let held = self.held()?;
            let after: HashMap<u64, u64> = self
                .entries()?
                .iter()
                .map(|(id, connection)| (*id, packets(connection)))
                .collect();
            connections = connections
                .into_iter()
                .filter(|(id, _)| after.contains_key(id))
                .filter_map(|(id, connection)| {
                    if after.get(&id) != Some(&packets(&connection)) {
                        return self.settled(id).transpose().map(|again| Ok((id, again?)));
                    }
                    let slots = held.get(&connection.tuple.words);
                    Some(Ok((
                        id,
                        self.merged(connection, slots.into_iter().flatten()),
                    )))
                })
                .collect::<Result<_>>()?;
        }
        let mut untimed = Untimed::with_capacity(connections.len());
        for (id, raw) in &connections {
            untimed.push(*id, raw, self.jiffies());
        }
        untimed.timed(&self.tables)
    }

    fn jiffies(&self) -> Jiffies {
        Jiffies {
            length_ns: self.instance.jiffy_ns,
            zero_ns: self.instance.jiffy_zero_ns,
        }
    }

    fn entries(&self) -> Result<Vec<(u64, types::udp_track_connection)>> {
        let mut entries = Vec::new();
        sys::read_map(
            self.tables.connection_stats.as_fd(),
            u64::from(libbpf_sys::BPF_F_LOCK),
            usize::MAX,
            |id: &u64, stats: &types::udp_track_stats| entries.push((*id, stats.connection)),
        )
        .context("cannot read connection_stats")?;
        Ok(entries)
    }

    /// All slots of all CPUs that hold something.
    fn held(&self) -> Result<HashMap<Words, Vec<Held>>> {
        let mut sets = (Vec::new(), Vec::new());
        sys::read_map(
            self.tables.cache4.as_fd(),
            0,
            usize::MAX,
            |index: &u32, set: &types::udp_track_set4| {
                if merge::held4(set).next().is_some() {
                    sets.0.push(*index);
                }
            },
        )
        .context("cannot read cache4")?;
        sys::read_map(
            self.tables.cache6.as_fd(),
            0,
            usize::MAX,
            |index: &u32, set: &types::udp_track_set6| {
                if merge::held6(set).next().is_some() {
                    sets.1.push(*index);
                }
            },
        )
        .context("cannot read cache6")?;
        let mut all: HashMap<Words, Vec<Held>> = HashMap::new();
        let mut keep = |held: Held| all.entry(held.words).or_default().push(held);
        for index in sets.0 {
            merge::held4(&steady(&self.tables.cache4, index)?).for_each(&mut keep);
        }
        for index in sets.1 {
            merge::held6(&steady(&self.tables.cache6, index)?).for_each(&mut keep);
        }
        Ok(all)
    }

    /// One connection at a moment at which nothing of it moves; `None` when it has ended.
    fn settled(&self, id: u64) -> Result<Option<types::udp_track_connection>> {
        let mut before = self.entry(id)?;
        for _ in 0..ATTEMPTS {
            let Some(connection) = before else {
                return Ok(None);
            };
            let held = self.held_of(&connection.tuple.words)?;
            let after = self.entry(id)?;
            if after.is_none_or(|after| packets(&after) == packets(&connection)) {
                return Ok(Some(self.merged(connection, held.iter())));
            }
            before = after;
        }
        // Written back with each packet: it has no slot, and the entry is all there is.
        Ok(before)
    }

    fn entry(&self, id: u64) -> Result<Option<types::udp_track_connection>> {
        let bytes = self
            .tables
            .connection_stats
            .lookup(&id.to_ne_bytes(), MapFlags::LOCK)
            .context("cannot read connection_stats")?;
        let mut stats = types::udp_track_stats::default();
        Ok(bytes
            .and_then(|bytes| plain::copy_from_bytes(&mut stats, &bytes).ok())
            .map(|()| stats.connection))
    }

    /// The slots of one connection: on each CPU in the set that `home_set()` in cache.h says.
    fn held_of(&self, words: &Words) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        let set = home_set(&self.instance, words)?;
        for cpu in 0..self.instance.cpus {
            let index = cpu * self.instance.sets + set;
            let set4: types::udp_track_set4 = steady(&self.tables.cache4, index)?;
            let set6: types::udp_track_set6 = steady(&self.tables.cache6, index)?;
            held.extend(merge::held4(&set4).chain(merge::held6(&set6)));
        }
        held.retain(|slot| slot.words == *words);
        Ok(held)
    }

    fn merged<'a>(
        &self,
        mut connection: types::udp_track_connection,
        held: impl Iterator<Item = &'a Held>,
    ) -> types::udp_track_connection {
        let assured = Jiffies::count(self.instance.jiffy_ns, ASSURED);
        for slot in held {
            merge::add(&mut connection, slot, assured);
        }
        connection
    }

    /// The books of one hook.
    pub fn books(&self, interface: Ifindex, direction: Direction) -> Result<Books> {
        self.ledger().books(interface, direction)
    }

    /// Events that the ring buffer had no room for, and what `ip_stats` had no room for.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let interfaces: Vec<Ifindex> = self.hooks.iter().map(|hook| hook.index).collect();
        let mut unique = interfaces;
        unique.dedup();
        self.ledger().losses(&unique)
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(&self) -> Result<u64> {
        self.ledger().addresses()
    }

    /// Connections that have ended since the tables were made, and their counts.
    pub fn ended(&self) -> Result<(u64, Counts)> {
        self.ledger().ended()
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.tables, &self.instance)
    }
}

/// A set of slots as it was between two packets: the same twice in a row. Its CPU writes it while it is read, a word after
/// the other.
fn steady<T: Plain + Default>(map: &MapHandle, index: u32) -> Result<T> {
    let mut before: T = kernel::read(map, index)?;
    for _ in 0..ATTEMPTS {
        let after: T = kernel::read(map, index)?;
        if sys::bytes_of(&before) == sys::bytes_of(&after) {
            break;
        }
        before = after;
    }
    Ok(before)
}

/// As in cache.h. Words that IPv4 does not use are 0, and add nothing.
fn home_set(instance: &types::udp_track_instance, words: &Words) -> Result<u32> {
    let [keys @ .., last] = instance.home_key;
    let sum = words.iter().zip(keys).fold(0, |sum: u64, (word, key)| {
        sum.wrapping_add(key.wrapping_mul(*word))
    });
    let mixed = (sum ^ sum >> 32).wrapping_mul(last);
    Ok(u32::try_from(mixed >> instance.home_shift)? / WAYS)
}

fn packets(connection: &types::udp_track_connection) -> u64 {
    connection.from[0].packets + connection.from[1].packets
}
