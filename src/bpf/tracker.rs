//! The loaded programs and maps: settings in, events, connections and books out.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapHandle};

use crate::bpf::hook::hooks::{Hooks, KnownHook};
use crate::bpf::hook::slots::{NOBODYS, SlotShape, Slots};
use crate::bpf::program::amend::Amender;
use crate::bpf::program::handles::{self, Handles};
use crate::bpf::program::load::{Loaded, Settings, load};
use crate::bpf::program::memory::Sizes;
use crate::bpf::program::publish::Publisher;
use crate::bpf::program::replay::Replayer;
use crate::bpf::read::counters::Counters;
use crate::bpf::read::drops::Drops;
use crate::bpf::read::ending::Endings;
use crate::bpf::read::grace::wait_for_programs;
use crate::bpf::read::payload::{Payload, Payloads, payload_ring};
use crate::bpf::read::places::Places;
use crate::bpf::read::record::{self, Jiffies};
use crate::bpf::read::ring::Ring;
use crate::bpf::read::walks::Walks;
use crate::bpf::sys::{self, types};
use crate::clock::monotonic_ns;
use crate::interface::Interface;
use crate::model::text::Visible;
use crate::model::{
    Amendment, Books, ConnectionId, Counts, Direction, EndReason, Ended, Event, Expiry, Grown,
    Heard, Ifindex, Place, Sample, Source, Table, Timeouts,
};

/// Events taken from the ring at once, so that a flood cannot keep the loop from its other work.
const EVENTS_AT_ONCE: usize = 65_536;
/// A frame long enough for every kernel's test run; what it says does not matter.
const NO_FRAME: [u8; 64] = [0; 64];

/// The kernel half, loaded. Hooks are attached to it with `attach`.
pub struct Tracker {
    pub(in crate::bpf) handles: Handles,
    places: Rc<Places>,
    publisher: Publisher,
    amender: Amender,
    pub(in crate::bpf) replayer: Option<Replayer>,
    endings: Endings,
    /// Connections that have ended and were told of, whose places are not free yet.
    ended: Vec<Sample>,
    walks: Walks,
    ring: Ring<Event>,
    pub(in crate::bpf) payload_ring: Option<Ring<Payload>>,
    /// What counts drops behind the hooks, where that is wanted and can be.
    pub(in crate::bpf) drops: Option<Drops>,
    jiffies: Jiffies,
    pub(in crate::bpf) instance: Box<types::udp_track_instance>,
    pub(in crate::bpf) slots: Slots,
    pub(in crate::bpf) hooks: Hooks,
    resumed: bool,
    /// No packet was counted before, in nanoseconds of `CLOCK_MONOTONIC`.
    counting_since_ns: u64,
}

impl Tracker {
    /// Loads the programs and creates the maps. Needs `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON` (or root), and a
    /// kernel with BTF.
    pub fn load(settings: &Settings) -> Result<Self> {
        let Loaded { handles, instance } = load(settings)?;
        let shape = SlotShape::of_instance(&instance);
        let slots = Slots::new(&handles.channels, shape, &settings.interfaces)?;
        Self::new(handles, instance, slots, Hooks::default())
    }

    /// Around what was loaded, by this process or by one before it.
    pub(in crate::bpf) fn new(
        handles: Handles,
        instance: Box<types::udp_track_instance>,
        slots: Slots,
        hooks: Hooks,
    ) -> Result<Self> {
        let channels = &handles.channels;
        let places = Places::map(&handles.tables, instance.block_shift, slots.interfaces())?;
        let mut tracker = Self {
            ring: event_ring(&channels.events, instance.jiffy_ns)?,
            payload_ring: payload_ring(&channels.payloads, Payloads::of(instance.payloads))?,
            drops: None,
            places: Rc::new(places),
            publisher: Publisher::new(&handles)?,
            amender: Amender::new(&handles)?,
            replayer: Replayer::new(&handles)?,
            endings: Endings::map(&handles)?,
            ended: Vec::new(),
            walks: Walks::default(),
            handles,
            jiffies: Jiffies {
                length_ns: instance.jiffy_ns,
                zero_ns: 0,
            },
            resumed: instance.started_ns != 0,
            counting_since_ns: if instance.started_ns == 0 {
                monotonic_ns()?
            } else {
                instance.started_ns
            },
            instance,
            slots,
            hooks,
        };
        if !tracker.is_replay() {
            tracker.jiffies.zero_ns = tracker.jiffy_zero_ns()?;
        }
        tracker.instance.jiffy_zero_ns = tracker.jiffies.zero_ns;
        tracker.places.set_jiffies(tracker.jiffies);
        Ok(tracker)
    }

    /// Whether packets are those of a capture.
    fn is_replay(&self) -> bool {
        self.replayer.is_some()
    }

    /// Reads what connections have lost.
    fn read_lost(&self) -> Result<()> {
        if let Some(drops) = &self.drops {
            self.places.set_lost(drops.lost()?);
        }
        Ok(())
    }

    /// Makes room for an interface that has come, before it is attached to; `before` is the one in whose place it comes, if it does.
    /// Returns one that is gone for good, whose slot it got: its books are those of `Ifindex(0)` from now on, with those of all others
    /// before it.
    pub fn admit(
        &mut self,
        interface: &Interface,
        before: Option<Ifindex>,
    ) -> Result<Option<Ifindex>> {
        let places = Rc::clone(&self.places);
        let taken = self
            .slots
            .take(interface, before, || places.named_slots())
            .with_context(|| format!("cannot track {}", Visible(&interface.name)))?;
        if taken.instead_of.is_some() {
            self.counters().move_books(taken.slot, NOBODYS)?;
            if let Some(drops) = &self.drops {
                drops.move_books(taken.slot, NOBODYS)?;
            }
            self.forget_hooks(taken.slot)?;
        }
        self.places.set_interface(taken.slot, interface.index);
        Ok(taken.instead_of)
    }

    /// An interface is gone, and what ran on it has returned: its books and connections stay.
    pub fn dismiss(&mut self, interface: Ifindex) {
        self.slots.leave(interface);
    }

    /// Whether this interface is tracked, and not gone.
    #[must_use]
    pub fn has(&self, interface: Ifindex) -> bool {
        self.slots.has(interface)
    }

    /// How many connections there is room for at least.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.instance.max_connections.into()
    }

    /// Kernel memory of all tables, about, in bytes.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        let settings = Settings {
            max_connections: self.instance.max_connections,
            max_ips: self.handles.tables.ip_stats.max_entries(),
            maps: self.publisher.is_on(),
            ..Settings::default()
        };
        Sizes::new(&settings)
            .with_books(SlotShape::of_instance(&self.instance), self.instance.cpus)
            .bytes()
    }

    /// An empty table of the connections here.
    #[must_use]
    pub fn table(&self, timeouts: Timeouts) -> Table {
        let source: Rc<dyn Source> = Rc::<Places>::clone(&self.places);
        Table::over(source, self.capacity(), timeouts).looking_since(self.counting_since_ns)
    }

    /// Takes the events that have come since the last call, oldest first; at most some ten thousands.
    pub fn take_events(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let mut taken = self.ring.take()?;
        for event in &mut taken {
            // The ring cannot know it: it was mapped before that was measured.
            if event.kind == crate::model::EventKind::Data {
                event.time_ns = event.time_ns.wrapping_add_signed(self.jiffies.zero_ns);
            }
        }
        events.append(&mut taken);
        Ok(())
    }

    /// Whether an earlier run has left the tables.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether DNS messages are counted.
    #[must_use]
    pub fn counts_dns(&self) -> bool {
        self.instance.dns != 0
    }

    /// Whether packets are reported as they come.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.instance.events != 0
    }

    /// Walks over the connections, or over a part of them where they are very many, and brings the table up to date; ends what has been
    /// idle for long enough and gives its final values, in the order of the latest packets. `now_ns` is `CLOCK_MONOTONIC`, read
    /// before anything else.
    pub fn tick(&mut self, table: &mut Table, now_ns: u64) -> Result<Vec<Ended>> {
        self.free_ended()?;
        self.read_lost()?;
        let started = Instant::now();
        let pause_ns = now_ns.saturating_sub(self.walks.latest_ns);
        let first = self.walks.latest_ns == 0;
        let (sets, before_ns) = self.walks.next(self.places.sets(), now_ns);
        let expired = self.walk(table, sets, before_ns, now_ns)?;
        // A capture's time says nothing of what there is time for.
        if !first && !self.is_replay() {
            let looked = started.elapsed().saturating_sub(self.publisher.take_time());
            self.walks.adapt(looked, pause_ns, table.fill());
        }
        table.settle(self.walks.oldest_ns());
        let ended = self.end(table, &expired)?;
        self.publisher.settle(&self.handles)?;
        Ok(ended)
    }

    /// Makes the places free whose connections the latest tick has ended. Until then no other connection lies there, so what is known by
    /// place is theirs. The next tick does it, too.
    pub fn free_ended(&mut self) -> Result<()> {
        for sample in std::mem::take(&mut self.ended) {
            if let Some(drops) = &self.drops
                && self.places.has_lost(sample.place)
            {
                drops.free(sample.place)?;
            }
            self.endings.add(&sample);
            self.places.free(sample.place);
            self.endings.done();
        }
        Ok(())
    }

    /// Brings the table up to date as a whole, and ends nothing.
    pub fn look(&mut self, table: &mut Table, now_ns: u64) -> Result<()> {
        self.free_ended()?;
        self.read_lost()?;
        self.walk(table, 0..self.places.sets(), 0, now_ns)?;
        self.walks.begin_anew(now_ns);
        table.settle(now_ns);
        self.publisher.settle(&self.handles)
    }

    fn walk(
        &mut self,
        table: &mut Table,
        sets: Range<usize>,
        before_ns: u64,
        now_ns: u64,
    ) -> Result<Vec<Expiry>> {
        let mut expired = Vec::new();
        let mut walk = table.walk(before_ns, now_ns);
        let (places, publisher, handles) = (&self.places, &mut self.publisher, &self.handles);
        let has_maps = publisher.is_on();
        let mut result = Ok(());
        places.walk(sets, now_ns, |seen| {
            let grown = walk.see(seen);
            if has_maps && (grown.status || grown.counts != Counts::default()) {
                publish(places, publisher, handles, seen, &grown, &mut result);
            }
            if let Some(reason) = grown.end {
                expired.push(Expiry {
                    place: seen.place,
                    packets: (seen.orig + seen.reply).packets,
                    reason,
                });
            }
        });
        result?;
        Ok(expired)
    }

    /// Keeps with connections what was found out of them.
    pub fn amend(&self, amendments: &[Amendment]) -> Result<()> {
        self.amender.make(&self.handles, amendments)
    }

    /// Keeps with a connection what its payload has said; nothing where the settings left that out.
    pub fn set_heard(&self, place: Place, id: ConnectionId, heard: Heard) {
        self.places.set_heard(place, id, heard);
    }

    /// Which connection lies at a place.
    #[must_use]
    pub fn id_at(&self, place: Place) -> Option<ConnectionId> {
        self.places.id(place)
    }

    /// Every connection as it is now.
    pub fn scan(&self) -> Result<Vec<Sample>> {
        self.read_lost()?;
        Ok(self.places.samples(monotonic_ns()?))
    }

    /// Ends those of the connections that have counted nothing since; gives their final values, in the order of the candidates.
    pub fn expire(&mut self, candidates: &[Expiry]) -> Result<Vec<(Sample, EndReason)>> {
        self.free_ended()?;
        let ended = self.take_out(candidates)?;
        self.free_ended()?;
        Ok(ended)
    }

    /// LIVE to ENDING, and the final values when nobody can add to them any more.
    fn take_out(&mut self, candidates: &[Expiry]) -> Result<Vec<(Sample, EndReason)>> {
        let begun: Vec<&Expiry> = candidates
            .iter()
            .filter(|candidate| self.places.begin_end(candidate.place, candidate.packets))
            .collect();
        if begun.is_empty() {
            return Ok(Vec::new());
        }
        // Of a capture, all frames were given to them one after the other.
        if !self.is_replay() {
            wait_for_programs()?;
        }
        self.read_lost()?;
        let finals = begun.iter().filter_map(|candidate| {
            let sample = self.places.ended(candidate.place)?;
            Some((sample, candidate.reason))
        });
        let finals: Vec<_> = finals.collect();
        self.ended.extend(finals.iter().map(|(sample, _)| *sample));
        Ok(finals)
    }

    /// The same, and takes them out of the table and of the maps for others.
    fn end(&mut self, table: &mut Table, candidates: &[Expiry]) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for (sample, reason) in self.take_out(candidates)? {
            let sample = table.latest(&sample);
            let rest = table.end(&sample, reason);
            self.publisher.withdraw(&self.handles, &sample, rest)?;
            ended.push(Ended { sample, reason });
        }
        ended.sort_by_key(|ended| ended.sample.last_ns);
        Ok(ended)
    }

    /// Ends what a run before this one had begun to end when it was killed. What it had counted as ended already is not given again.
    pub(in crate::bpf) fn recover(&mut self) -> Result<()> {
        let ending = self.places.ending();
        if ending.is_empty() {
            return Ok(());
        }
        wait_for_programs()?;
        for place in ending {
            if !self.endings.has(place)
                && let Some(sample) = self.places.ended(place)
            {
                self.endings.add(&sample);
            }
            self.places.free(place);
            self.endings.done();
        }
        Ok(())
    }

    /// The books of one hook, over all CPUs, at a moment between two packets of each.
    pub fn books(&self, interface: Ifindex, direction: Direction) -> Result<Books> {
        let slot = self.slots.slot(interface);
        slot.map_or_else(
            || Ok(Books::default()),
            |slot| self.counters().books(slot, direction),
        )
    }

    /// The same of one of [`Self::hooks`], also where its interface is gone.
    pub fn books_of(&self, hook: &KnownHook) -> Result<Books> {
        self.counters().books(hook.slot, hook.direction)
    }

    /// Events that the ring buffer had no room for or that made no sense, and what `ip_stats` and `ip6_stats` do not have.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let (events, addresses) = self.counters().losses(self.slots.used())?;
        Ok((events + self.ring.malformed(), addresses))
    }

    /// Frames that were wanted behind one hook and did not reach user space: there was no room, or they could not be read.
    pub fn frames_lost(&self, hook: &KnownHook) -> Result<u64> {
        self.counters().frames_lost(hook.slot, hook.direction)
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(&self) -> Result<u64> {
        self.counters().addresses()
    }

    /// Connections that have ended since the tables were made, also in runs before this one, and their counts.
    pub fn ended(&self) -> Result<(u64, Counts)> {
        self.counters().ended()
    }

    fn counters(&self) -> Counters<'_> {
        Counters::new(&self.handles.tables, &self.instance)
    }

    /// `CLOCK_MONOTONIC` at jiffy 0. Jiffies lag, never run ahead, so the least difference is the best: it is there
    /// when a jiffy has just begun. So two beginnings are waited for, or else times would lie up to one in the future.
    fn jiffy_zero_ns(&mut self) -> Result<i64> {
        const LONGEST: Duration = Duration::from_millis(100);
        /// Between two readings so near to each other a jiffy began there. Farther ones say that others had the processor meanwhile.
        const NEAR_NS: u64 = 50_000;
        /// Another jiffy may begin earlier than these two did: the tick is an interrupt, late by as much on a busy virtual machine.
        const MARGIN_NS: i64 = 500_000;
        let mut zero = i64::MAX;
        let mut beginnings = 0;
        let mut before: Option<types::udp_track_clock> = None;
        let start = Instant::now();
        while beginnings < 2 && start.elapsed() < LONGEST {
            run(&self.handles.programs.clock, 1).context("cannot run udp_track_clock")?;
            let clock: types::udp_track_clock = handles::read(&self.handles.channels.clock, 0)?;
            let begin = clock.jiffies.wrapping_mul(self.jiffies.length_ns);
            zero = zero.min(clock.ns.wrapping_sub(begin).cast_signed());
            let has_begun = |before: types::udp_track_clock| {
                before.jiffies != clock.jiffies && clock.ns - before.ns < NEAR_NS
            };
            beginnings += u32::from(before.is_some_and(has_begun));
            before = Some(clock);
        }
        Ok(zero - MARGIN_NS)
    }
}

fn publish(
    places: &Places,
    publisher: &mut Publisher,
    handles: &Handles,
    seen: &crate::model::Sighting,
    grown: &Grown,
    result: &mut Result<()>,
) {
    if result.is_ok()
        && let Some(sample) = places.sample(seen.place)
    {
        let sample = Sample {
            orig: seen.orig,
            reply: seen.reply,
            status: seen.status,
            ..sample
        };
        *result = publisher.change(handles, &sample, grown);
    }
}

/// Runs one of the programs that are never attached.
pub(in crate::bpf) fn run(program: &OwnedFd, repeat: u32) -> io::Result<()> {
    loop {
        match sys::test_run(program.as_fd(), &NO_FRAME, repeat) {
            // A signal: the caller looks at what was done, and goes on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted && repeat == 1 => {}
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => return Ok(()),
        }
    }
}

/// The ring of events. It does not know yet where jiffy 0 lies.
fn event_ring(events: &MapHandle, length_ns: u64) -> Result<Ring<Event>> {
    let jiffies = Jiffies {
        length_ns,
        zero_ns: 0,
    };
    Ring::map(events, "events", EVENTS_AT_ONCE, move |bytes| {
        let mut raw = types::udp_track_event::default();
        plain::copy_from_bytes(&mut raw, bytes).ok()?;
        record::event(&raw, jiffies)
    })
}
