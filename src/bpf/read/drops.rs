//! Datagrams that the kernel dropped after the hooks: loads `bpf/drops.bpf.c`, and reads its counts.
//!
//! Everything that needs rights is done by [`Drops::load`]; reading needs `CAP_BPF` alone.

use std::collections::HashMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use anyhow::{Context as _, Result};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle};

use crate::bpf::hook::hooks::KnownHook;
use crate::bpf::hook::slots::SlotShape;
use crate::bpf::program::handles::Handles;
use crate::bpf::program::log;
use crate::bpf::program::memory::Sizes;
use crate::bpf::read::cells::DropsStateCells;
use crate::bpf::read::reasons::Reasons;
use crate::bpf::sys::{self, DropsSkel, DropsSkelBuilder, Mapping, drops_types as types};
use crate::bpf::tracker::Tracker;
use crate::model::{Counts, Direction, DropClass, Dropped, DroppedFor, DroppedWithoutRoom, Place};

const _: () = assert!(size_of::<types::udp_drops_connection>() == 184);
const _: () = assert!(size_of::<types::udp_drops_book>() == 32);
const _: () = assert!(size_of::<types::udp_drops_key>() == 8);
const _: () = assert!(types::udp_drops_class::UDP_DROPS_CLASSES.0 as usize == DropClass::ALL.len());

/// What strangers can cause with datagrams of ever new connections.
const OF_STRANGERS: [DropClass; 6] = [
    DropClass::NoSocket,
    DropClass::Checksum,
    DropClass::Firewall,
    DropClass::Routing,
    DropClass::Fragments,
    DropClass::Other,
];

/// The program that counts drops, attached, and its maps.
pub(in crate::bpf) struct Drops {
    _links: Vec<Link>,
    connections: MapHandle,
    books: MapHandle,
    state: Mapping<DropsStateCells>,
    reasons: Reasons,
}

/// How much there is room for.
#[derive(Clone, Copy)]
pub(in crate::bpf) struct Room {
    /// Connections that have lost something.
    pub connections: u32,
    /// Reasons behind all hooks.
    pub books: u32,
}

/// What a connection has lost.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct LostOf {
    pub all: Dropped,
    /// Of that, what side 1 sent.
    pub higher: Counts,
}

/// What connections have lost, with their ids.
pub(in crate::bpf) type Lost = HashMap<Place, (u64, LostOf)>;

/// What was dropped behind each hook.
#[derive(Debug, Default)]
pub struct DroppedBooks(HashMap<(u32, Direction), Vec<DroppedFor>>);

impl DroppedBooks {
    /// Behind one hook, by reason.
    #[must_use]
    pub fn of(&self, hook: &KnownHook) -> Vec<DroppedFor> {
        let found = self.0.get(&(hook.slot, hook.direction));
        found.cloned().unwrap_or_default()
    }
}

impl Drops {
    /// Loads and attaches, for connections of these tables.
    pub fn load(handles: &Handles, room: Room) -> Result<Self> {
        let (skeleton, reasons) = try_load(handles, room)?;
        let programs = &skeleton.progs;
        let mut links = Vec::new();
        for program in [&programs.udp_drops_free, &programs.udp_drops_fail] {
            if program.autoload() {
                let link = program.attach_trace();
                links.push(link.context("cannot attach to a tracepoint")?);
            }
        }
        let copied = "cannot copy a descriptor";
        let state = MapHandle::try_from(&skeleton.maps.data_drops).context(copied)?;
        Ok(Self {
            _links: links,
            connections: MapHandle::try_from(&skeleton.maps.dropped).context(copied)?,
            books: MapHandle::try_from(&skeleton.maps.dropped_books).context(copied)?,
            state: Mapping::of(&state).context("cannot map .data.drops")?,
            reasons,
        })
    }

    /// The same without attaching anything, to know beforehand. Gives what this kernel does not tell.
    #[cfg(feature = "cli")]
    pub fn try_out(handles: &Handles, room: Room) -> Result<Option<&'static str>> {
        try_load(handles, room).map(|(_, reasons)| missing(&reasons))
    }

    /// What this kernel does not tell.
    pub fn missing(&self) -> Option<&'static str> {
        missing(&self.reasons)
    }

    fn state(&self) -> Option<&DropsStateCells> {
        self.state.first()
    }

    /// What each connection has lost that has lost something.
    pub fn lost(&self) -> Result<Lost> {
        let mut lost = HashMap::new();
        let is_empty =
            |state: &DropsStateCells| state.opened.load(Acquire) == state.freed.load(Relaxed);
        if self.state().is_some_and(is_empty) {
            return Ok(lost);
        }
        let each = |place: &u32, raw: &types::udp_drops_connection| {
            let its = LostOf {
                all: Dropped::of(raw.classes.map(counts)),
                higher: counts(raw.higher),
            };
            lost.insert(Place(*place), (raw.id, its));
        };
        sys::read_map(self.connections.as_fd(), 0, usize::MAX, each)
            .context("cannot read what was dropped")?;
        Ok(lost)
    }

    /// The connection there has ended, and its last values were read: no program finds it any more.
    pub fn free(&self, place: Place) -> Result<()> {
        self.connections
            .delete(&place.0.to_ne_bytes())
            .context("cannot forget what was dropped")?;
        if let Some(state) = self.state() {
            state.freed.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// By hook and reason.
    pub fn books(&self) -> Result<DroppedBooks> {
        let mut books = DroppedBooks::default();
        for (key, book) in self.raw_books()? {
            let (reason, class) = self.reasons.of(key.reason);
            let direction = if key.direction == Direction::Ingress as u32 {
                Direction::Ingress
            } else {
                Direction::Egress
            };
            let slot = u32::from(key.slot);
            books
                .0
                .entry((slot, direction))
                .or_default()
                .push(DroppedFor {
                    reason,
                    class,
                    counts: counts(book.all),
                    apart: counts(book.apart),
                });
        }
        for dropped in books.0.values_mut() {
            dropped.sort_by(|one, other| {
                let order = other.counts.packets.cmp(&one.counts.packets);
                order.then_with(|| one.reason.cmp(&other.reason))
            });
        }
        Ok(books)
    }

    fn raw_books(&self) -> Result<Vec<(types::udp_drops_key, types::udp_drops_book)>> {
        let mut books = Vec::new();
        let each = |key: &u64, book: &types::udp_drops_book| {
            let mut raw = types::udp_drops_key::default();
            if plain::copy_from_bytes(&mut raw, &key.to_ne_bytes()).is_ok() {
                books.push((raw, *book));
            }
        };
        sys::read_map(self.books.as_fd(), 0, usize::MAX, each)
            .context("cannot read what was dropped")?;
        Ok(books)
    }

    /// Adds the books of a slot, behind which nothing is dropped any more, to those of another.
    pub fn move_books(&self, from: u32, to: u32) -> Result<()> {
        let all = self.raw_books()?;
        let failed = "cannot write what was dropped";
        for (key, book) in all.iter().filter(|(key, _)| u32::from(key.slot) == from) {
            let new = types::udp_drops_key {
                slot: u16::try_from(to)?,
                ..*key
            };
            let there = all
                .iter()
                .find(|(key, _)| sys::bytes_of(key) == sys::bytes_of(&new));
            let there = there.map(|(_, book)| *book).unwrap_or_default();
            let sum = types::udp_drops_book {
                all: add(book.all, there.all),
                apart: add(book.apart, there.apart),
            };
            self.books
                .update(sys::bytes_of(&new), sys::bytes_of(&sum), MapFlags::ANY)
                .context(failed)?;
            self.books.delete(sys::bytes_of(key)).context(failed)?;
        }
        Ok(())
    }

    /// What found no room.
    pub fn without_room(&self) -> DroppedWithoutRoom {
        let read = |counts: &[AtomicU64; 2]| Counts {
            packets: counts[0].load(Relaxed),
            bytes: counts[1].load(Relaxed),
        };
        let of = |state: &DropsStateCells| DroppedWithoutRoom {
            in_no_connection: read(&state.unplaced),
            in_no_books: read(&state.unbooked),
        };
        self.state().map(of).unwrap_or_default()
    }
}

/// What this kernel does not tell.
fn missing(reasons: &Reasons) -> Option<&'static str> {
    (!reasons.has_reason).then_some(
        "before Linux 5.17, the kernel gives no reason for drops: udptrack counts only those of IPv4 sockets without room",
    )
}

/// The programs, loaded; or what libbpf says.
fn try_load(handles: &Handles, room: Room) -> Result<(DropsSkel<'static>, Reasons)> {
    log::capture();
    // Only newer kernels let a program read packets without a helper, which takes a tenth of a dropped packet's cost.
    let loaded = load(handles, room, true).or_else(|_| load(handles, room, false));
    let messages = log::take();
    loaded.map_err(|error| match messages.lines().last() {
        Some(why) => error.context(why.to_owned()),
        None => error,
    })
}

fn load(
    handles: &Handles,
    room: Room,
    reads_directly: bool,
) -> Result<(DropsSkel<'static>, Reasons)> {
    let reasons = Reasons::read()?;
    // The skeleton borrows its object, and lives as long as the process tracks.
    let object = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = DropsSkelBuilder::default().open(object)?;
    let strangers = OF_STRANGERS.iter().map(|class| 1 << *class as u32);
    if let Some(data) = open.maps.rodata_drops_data.as_deref_mut() {
        let settings = &mut data.drops_settings;
        settings.netns = netns()?;
        settings.classes_of_strangers = strangers.sum();
        settings.room = room.connections;
        settings.reads_directly = reads_directly.into();
        settings.has_reason = reasons.has_reason.into();
        settings.has_socket = reasons.has_socket.into();
        settings.queue_reasons = reasons.first_of_queues;
        settings.reasons = reasons.kinds;
    }
    open.maps.dropped.set_max_entries(room.connections)?;
    open.maps.dropped_books.set_max_entries(room.books)?;
    open.progs.udp_drops_fail.set_autoload(!reasons.has_reason);
    // What the other object's programs share with these; what these do not use is not made.
    let (tables, channels) = (&handles.tables, &handles.channels);
    for mut map in open.open_object_mut().maps_mut() {
        let shared = match map.name().to_str().unwrap_or_default() {
            "connections" => &tables.connections,
            "details" => &tables.details,
            "hooks" => &tables.hooks,
            "fragments" => &channels.fragments,
            ".data.slots" => &channels.interfaces,
            ".rodata.settings" => &channels.settings,
            "dropped" | "dropped_books" | "freed_last" | ".data.drops" | ".rodata.drops" => {
                continue;
            }
            _ => {
                map.set_autocreate(false)?;
                continue;
            }
        };
        map.reuse_fd(shared.as_fd())?;
    }
    log::ask_for_statistics(open.open_object_mut());
    let skeleton = open.load().context("the program does not load")?;
    Ok((skeleton, reasons))
}

/// The network namespace of this thread, as the kernel's structs name it.
fn netns() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    let namespace = fs::metadata(path).with_context(|| format!("cannot read {path}"))?;
    Ok(namespace.ino())
}

fn counts(raw: types::udp_drops_counts) -> Counts {
    Counts {
        packets: raw.packets,
        bytes: raw.bytes,
    }
}

fn add(one: types::udp_drops_counts, other: types::udp_drops_counts) -> types::udp_drops_counts {
    types::udp_drops_counts {
        packets: one.packets + other.packets,
        bytes: one.bytes + other.bytes,
    }
}

impl Tracker {
    /// From now on, what the kernel drops behind the hooks is counted, too; to be called before there are any. Needs the rights that
    /// loading needs. Gives what this kernel does not tell.
    pub fn count_drops(&mut self) -> Result<Option<&'static str>> {
        let drops = Drops::load(&self.handles, self.room_for_drops())?;
        Ok(self.drops.insert(drops).missing())
    }

    /// The same without attaching anything, to know beforehand.
    #[cfg(feature = "cli")]
    pub fn try_drops(&self) -> Result<Option<&'static str>> {
        Drops::try_out(&self.handles, self.room_for_drops())
    }

    fn room_for_drops(&self) -> Room {
        Room {
            connections: Sizes::drops_of(self.instance.max_connections),
            books: Sizes::drop_books_of(SlotShape::of_instance(&self.instance).count()),
        }
    }

    /// Whether they are.
    #[must_use]
    pub fn counts_drops(&self) -> bool {
        self.drops.is_some()
    }

    /// What was dropped behind each hook, by reason.
    pub fn dropped(&self) -> Result<DroppedBooks> {
        let drops = self.drops.as_ref();
        drops.map_or_else(|| Ok(DroppedBooks::default()), Drops::books)
    }

    /// What was dropped and found no room where it is counted.
    #[must_use]
    pub fn dropped_without_room(&self) -> DroppedWithoutRoom {
        let drops = self.drops.as_ref();
        drops.map(Drops::without_room).unwrap_or_default()
    }
}
