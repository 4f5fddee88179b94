//! The loaded programs and maps: settings in, events, connections and books out.

use std::cell::RefCell;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{
    ErrorKind, MapCore as _, MapFlags, ProgramInput, RingBuffer, RingBufferBuilder, libbpf_sys,
};
use nix::time::{ClockId, clock_getres};

use super::memory::Sizes;
use super::record::{self, Jiffies};
use super::sys::{self, OpenUdpTrackSkel, UdpTrackSkel, UdpTrackSkelBuilder, types};
use super::{cpus, log};
use crate::connection::{
    Books, ConnectionId, Counts, Direction, EndReason, Event, Expiry, Ifindex, Sample,
};

/// What is fixed before the programs are loaded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Room for so many connections.
    pub max_connections: u32,
    /// Room for so many IPv4, and so many IPv6 addresses.
    pub max_ips: u32,
    /// Report the first packet of each connection.
    pub new_events: bool,
    /// Report each later packet.
    pub data_events: bool,
    /// Indexes of the interfaces that will be attached to.
    pub interfaces: Vec<Ifindex>,
}

/// A slot is written back at least so often while it is in use.
const FLUSH: Duration = Duration::from_secs(1);
/// A slot that was idle for so long is freed. Shorter than every timeout: an ended connection has no slot (cache.h).
const SLOT_IDLE: Duration = Duration::from_millis(500);
/// netfilter's rule for ASSURED (`nf_conntrack_proto_udp.c`).
const ASSURED: Duration = Duration::from_secs(2);
/// How long the kernel itself waits for the rest of a datagram (`ipfrag_time`).
const FRAGMENT: Duration = Duration::from_secs(30);
/// Room for tens of milliseconds of events at millions a second.
const RING_BYTES_DATA: u32 = 16 << 20;
const RING_BYTES_NEW: u32 = 4 << 20;
/// Events taken from the ring at once, so that a flood cannot keep the loop from its other work.
const EVENTS_AT_ONCE: usize = 65_536;
/// Runs of the sweep in one system call: 200 µs or so.
const SWEEPS_AT_ONCE: u32 = 32;

const EXPIRY_BATCH: usize = 128;
const SWEEP_SETS: u32 = 32;
/// A frame long enough for every kernel's test run; what it says does not matter.
const NO_FRAME: [u8; 64] = [0; 64];

/// Which program a frame is given to without being on any wire (tests and benchmarks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The XDP program.
    Xdp,
    /// The TC programs for links with an Ethernet header.
    Tc(Direction),
    /// The TC programs for links without one.
    TcIp(Direction),
}

/// A program that other threads can give frames to, as packets come on several CPUs at once (tests and benchmarks).
pub struct Runner(OwnedFd);

impl Runner {
    /// Gives a frame to the program, once; returns what the program returned.
    pub fn run_frame(&self, frame: &[u8]) -> Result<u32> {
        sys::test_run(self.0.as_fd(), frame).context("cannot run the program")
    }
}

/// The kernel half, loaded. Hooks are attached to it with [`super::attach`].
pub struct Tracker {
    pub(super) skeleton: UdpTrackSkel<'static>,
    ring: RingBuffer<'static>,
    queue: Rc<RefCell<Vec<Event>>>,
    jiffies: Jiffies,
    cpus: u32,
    sets: u32,
    slots: InterfaceSlots,
    interfaces: Vec<Ifindex>,
    cache_obstacle: Option<String>,
    malformed_events: Rc<RefCell<u64>>,
}

impl Tracker {
    /// Loads the programs and creates the maps. Needs `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON` (or root), and a
    /// kernel with BTF.
    pub fn load(settings: &Settings) -> Result<Self> {
        if !fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(true) {
            bail!(
                "this kernel has no BTF type information (/sys/kernel/btf/vmlinux), which the programs need to fit \
                 themselves to it. Use a kernel built with CONFIG_DEBUG_INFO_BTF: those of Debian 11, Ubuntu 20.10, \
                 Fedora 31, RHEL 8.2 and later are"
            );
        }
        let cpus = cpus::possible()?;
        let sizes = Sizes::new(settings.max_connections, settings.max_ips, cpus);
        sizes.check()?;
        let cache_obstacle = cpus::cache_obstacle(cpus);
        let length_ns = jiffy_ns()?;
        let slots = InterfaceSlots::new(&settings.interfaces)?;
        let raw = types::udp_track_settings {
            hash_key: random_key()?,
            set_mask: sizes.sets - 1,
            interface_multiplier: slots.multiplier,
            interface_shift: slots.shift,
            flush_jiffies: Jiffies::count(length_ns, FLUSH),
            assured_jiffies: Jiffies::count(length_ns, ASSURED),
            fragment_jiffies: Jiffies::count(length_ns, FRAGMENT),
            events: event_mask(settings),
            cache: u32::from(cache_obstacle.is_none()),
            sweep_books: cpus * slots.count() * 2,
            __pad: 0,
        };
        let skeleton = load_skeleton(&raw, sizes)?;
        let queue = Rc::new(RefCell::new(Vec::new()));
        let malformed_events = Rc::new(RefCell::new(0));
        let mut tracker = Self {
            ring: ring(&skeleton, &queue, &malformed_events, length_ns)?,
            skeleton,
            queue,
            jiffies: Jiffies {
                length_ns,
                zero_ns: 0,
            },
            cpus,
            sets: sizes.sets,
            slots,
            interfaces: settings.interfaces.clone(),
            cache_obstacle,
            malformed_events,
        };
        tracker.jiffies.zero_ns = tracker.jiffy_zero_ns()?;
        Ok(tracker)
    }

    /// Why packets are counted straight into the maps, which is as exact but slower; `None` where they are not.
    #[must_use]
    pub fn cache_obstacle(&self) -> Option<&str> {
        self.cache_obstacle.as_deref()
    }

    /// Takes the events that have come since the last call, oldest first; at most some ten thousands.
    pub fn take_events(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let result = self.ring.consume_raw_n(EVENTS_AT_ONCE);
        if result < 0 {
            return Err(std::io::Error::from_raw_os_error(-result))
                .context("cannot read the ring buffer");
        }
        let mut queue = self.queue.borrow_mut();
        for event in queue.iter_mut() {
            // The ring's callback cannot know where jiffy 0 lies: it was made before that was measured.
            if event.kind == crate::connection::EventKind::Data {
                event.time_ns = event.time_ns.wrapping_add_signed(self.jiffies.zero_ns);
            }
        }
        events.append(&mut queue);
        Ok(())
    }

    /// Writes the caches of all CPUs back to the maps, and frees what is idle in them.
    pub fn sweep(&mut self) -> Result<()> {
        let idle = Jiffies::count(self.jiffies.length_ns, SLOT_IDLE);
        if self.cache_obstacle.is_some() {
            return Ok(());
        }
        cpus::on_each(self.cpus, |cpu| self.sweep_part(cpu, idle))
    }

    /// The same after the hooks are gone, from whatever CPU: nobody else writes then.
    pub fn sweep_all(&mut self) -> Result<()> {
        (0..self.cpus).try_for_each(|cpu| self.sweep_part(cpu, 0))
    }

    fn sweep_part(&mut self, cpu: u32, idle_jiffies: u32) -> Result<()> {
        let sweep = self
            .skeleton
            .maps
            .data_sweep_data
            .as_mut()
            .context("no sweep arguments")?;
        sweep.sweep = types::udp_track_sweep {
            cpu,
            set: 0,
            idle_jiffies,
            __pad: 0,
        };
        loop {
            let sweep = self
                .skeleton
                .maps
                .data_sweep_data
                .as_ref()
                .context("no sweep arguments")?;
            let done = sweep.sweep.set;
            if done >= self.sets {
                return Ok(());
            }
            let runs = (self.sets - done).div_ceil(SWEEP_SETS).min(SWEEPS_AT_ONCE);
            run(&self.skeleton.progs.udp_track_sweep, runs)?;
        }
    }

    /// Every connection in the table. Call [`Tracker::sweep`] before, or the last second may be missing.
    pub fn scan(&self) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let map = self.skeleton.maps.connection_stats.as_fd();
        let each_under_its_lock = u64::from(libbpf_sys::BPF_F_LOCK);
        sys::read_map(
            map,
            each_under_its_lock,
            |id: &u64, stats: &types::udp_track_stats| {
                samples.extend(record::sample(*id, &stats.connection, self.jiffies));
            },
        )
        .context("cannot read connection_stats")?;
        Ok(samples)
    }

    /// Ends those of the connections that have counted nothing since the scan; gives their final values.
    pub fn expire(&mut self, candidates: &[Expiry]) -> Result<Vec<(Sample, EndReason)>> {
        let mut ended = Vec::new();
        for batch in candidates.chunks(EXPIRY_BATCH) {
            let data = self
                .skeleton
                .maps
                .data_expiry_data
                .as_mut()
                .context("no expiry arguments")?;
            let expiry = &mut data.expiry;
            expiry.count = u32::try_from(batch.len())?;
            expiry.ended = 0;
            for (request, candidate) in expiry.requests.iter_mut().zip(batch) {
                *request = types::udp_track_expiry_request {
                    id: candidate.id.0,
                    packets: candidate.packets,
                };
            }
            run(&self.skeleton.progs.udp_track_expire, 1)?;
            let data = self
                .skeleton
                .maps
                .data_expiry_data
                .as_ref()
                .context("no expiry arguments")?;
            let finals = data
                .expiry
                .connections
                .iter()
                .take(data.expiry.ended as usize);
            // Answers come in the order of the requests; those of connections that live on are left out.
            let mut rest = batch.iter();
            for (raw, id) in finals.zip(&data.expiry.ended_ids) {
                let candidate = rest.find(|candidate| candidate.id == ConnectionId(*id));
                let sample = record::sample(*id, raw, self.jiffies);
                ended.extend(sample.zip(candidate.map(|candidate| candidate.reason)));
            }
        }
        Ok(ended)
    }

    /// The books of one hook, over all CPUs. While packets arrive, each CPU's part is read at a moment between two of
    /// them: a part that does not balance was read in the middle of one, and is read again.
    pub fn books(&self, interface: Ifindex, direction: Direction) -> Result<Books> {
        const ATTEMPTS: usize = 1000;
        (0..self.cpus)
            .map(|cpu| {
                let mut books = Books::default();
                for _ in 0..ATTEMPTS {
                    books =
                        record::books(&self.raw_books(self.hook_slot(cpu, interface, direction))?);
                    if books.balance() {
                        break;
                    }
                }
                Ok(books)
            })
            .sum()
    }

    fn hook_slot(&self, cpu: u32, interface: Ifindex, direction: Direction) -> u32 {
        (cpu * self.slots.count() + self.slots.slot(interface)) * 2 + direction as u32
    }

    fn raw_books(&self, slot: u32) -> Result<types::udp_track_books> {
        let bytes = self
            .skeleton
            .maps
            .books
            .lookup(&slot.to_ne_bytes(), MapFlags::ANY)
            .context("cannot read the books")?
            .with_context(|| format!("no books at {slot}"))?;
        let mut books = types::udp_track_books::default();
        plain::copy_from_bytes(&mut books, &bytes)
            .map_err(|_| anyhow!("books of {} bytes", bytes.len()))?;
        Ok(books)
    }

    /// Events that the ring buffer had no room for or that made no sense, and what `ip_stats` had no room for.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let mut events = *self.malformed_events.borrow();
        let mut addresses = Counts::default();
        let sweep_books = self.cpus * self.slots.count() * 2;
        for cpu in 0..self.cpus {
            let hooks = self.interfaces.iter().flat_map(|interface| {
                [Direction::Ingress, Direction::Egress]
                    .map(|direction| self.hook_slot(cpu, *interface, direction))
            });
            for slot in hooks.chain([sweep_books + cpu]) {
                let raw = self.raw_books(slot)?;
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
    pub fn addresses(&self) -> Result<u64> {
        let maps = &self.skeleton.maps;
        let mut count = 0;
        let ipv4 = sys::read_map(
            maps.ip_stats.as_fd(),
            0,
            |_: &u32, _: &types::udp_track_ip| count += 1,
        );
        ipv4.context("cannot read ip_stats")?;
        let ipv6 = sys::read_map(
            maps.ip6_stats.as_fd(),
            0,
            |_: &[u64; 2], _: &types::udp_track_ip| count += 1,
        );
        ipv6.context("cannot read ip6_stats")?;
        Ok(count)
    }

    /// Gives a frame to a program as if it had come by, `repeat` times; returns what the program returned and its
    /// average duration. For tests and benchmarks: nothing is sent.
    pub fn run_frame(
        &mut self,
        entry: Entry,
        frame: &[u8],
        repeat: u32,
    ) -> Result<(u32, Duration)> {
        let input = ProgramInput {
            data_in: Some(frame),
            repeat,
            ..Default::default()
        };
        let output = self
            .program(entry)
            .test_run(input)
            .context("cannot run the program")?;
        Ok((output.return_value, output.duration))
    }

    /// The same for other threads.
    pub fn runner(&self, entry: Entry) -> Result<Runner> {
        let program = self.program(entry).as_fd().try_clone_to_owned();
        Ok(Runner(program.context("cannot copy a descriptor")?))
    }

    fn program(&self, entry: Entry) -> &libbpf_rs::ProgramMut<'static> {
        let programs = &self.skeleton.progs;
        match entry {
            Entry::Xdp => &programs.udp_track_xdp,
            Entry::Tc(Direction::Ingress) => &programs.udp_track_ingress,
            Entry::Tc(Direction::Egress) => &programs.udp_track_egress,
            Entry::TcIp(Direction::Ingress) => &programs.udp_track_ingress_ip,
            Entry::TcIp(Direction::Egress) => &programs.udp_track_egress_ip,
        }
    }

    /// `CLOCK_MONOTONIC` at jiffy 0. Jiffies lag, never run ahead, so the least difference is the best: it is there
    /// when a jiffy has just begun. So two beginnings are waited for, or else times would lie up to one in the future.
    fn jiffy_zero_ns(&mut self) -> Result<i64> {
        const LONGEST: Duration = Duration::from_millis(100);
        /// Another jiffy may begin earlier than these two did: the tick is an interrupt.
        const MARGIN_NS: i64 = 100_000;
        let mut zero = i64::MAX;
        let mut until = None;
        let start = Instant::now();
        while start.elapsed() < LONGEST {
            run(&self.skeleton.progs.udp_track_clock, 1)?;
            let clock = self
                .skeleton
                .maps
                .data_clock_data
                .as_ref()
                .context("no clock answer")?
                .clock;
            let begin = clock.jiffies.wrapping_mul(self.jiffies.length_ns);
            zero = zero.min(clock.ns.wrapping_sub(begin).cast_signed());
            if clock.jiffies >= *until.get_or_insert(clock.jiffies + 2) {
                break;
            }
        }
        Ok(zero - MARGIN_NS)
    }
}

/// Runs one of the programs that are never attached.
fn run(program: &libbpf_rs::ProgramMut<'_>, repeat: u32) -> Result<()> {
    loop {
        let input = ProgramInput {
            data_in: Some(&NO_FRAME),
            repeat,
            ..Default::default()
        };
        match program.test_run(input) {
            Ok(_) => return Ok(()),
            // A signal: the caller looks at what was done, and goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted && repeat > 1 => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let name = program.name().to_string_lossy().into_owned();
                return Err(error).with_context(|| format!("cannot run {name}"));
            }
        }
    }
}

fn ring(
    skeleton: &UdpTrackSkel<'static>,
    queue: &Rc<RefCell<Vec<Event>>>,
    malformed: &Rc<RefCell<u64>>,
    length_ns: u64,
) -> Result<RingBuffer<'static>> {
    let (queue, malformed) = (Rc::clone(queue), Rc::clone(malformed));
    let jiffies = Jiffies {
        length_ns,
        zero_ns: 0,
    };
    let mut builder = RingBufferBuilder::new();
    builder
        .add(&skeleton.maps.events, move |bytes| {
            let mut raw = types::udp_track_event::default();
            let event = plain::copy_from_bytes(&mut raw, bytes)
                .ok()
                .and_then(|()| record::event(&raw, jiffies));
            match event {
                Some(event) => queue.borrow_mut().push(event),
                None => *malformed.borrow_mut() += 1,
            }
            0
        })
        .context("cannot map the ring buffer")?;
    builder.build().context("cannot map the ring buffer")
}

fn load_skeleton(
    settings: &types::udp_track_settings,
    sizes: Sizes,
) -> Result<UdpTrackSkel<'static>> {
    log::capture();
    // XDP programs that take frames in several buffers (native XDP at a large MTU) came with Linux 5.18; before, the
    // kernel does not know the flag.
    let first = try_load(settings, sizes, true);
    let skeleton = match first {
        Ok(skeleton) => Ok(skeleton),
        Err(error) => try_load(settings, sizes, false).map_err(|_| error),
    };
    let messages = log::take();
    skeleton.map_err(|error| explain(error, &messages))
}

fn try_load(
    settings: &types::udp_track_settings,
    sizes: Sizes,
    frags: bool,
) -> libbpf_rs::Result<UdpTrackSkel<'static>> {
    // The skeleton borrows its object. It lives as long as the process tracks, which is as long as the process.
    let object = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = UdpTrackSkelBuilder::default().open(object)?;
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.settings = *settings;
    }
    size_maps(&mut open, settings, sizes)?;
    if frags {
        open.progs
            .udp_track_xdp
            .set_flags(libbpf_sys::BPF_F_XDP_HAS_FRAGS);
    }
    open.load()
}

fn size_maps(
    open: &mut OpenUdpTrackSkel<'_>,
    settings: &types::udp_track_settings,
    sizes: Sizes,
) -> libbpf_rs::Result<()> {
    let maps = &mut open.maps;
    let cache = if settings.cache == 0 {
        1
    } else {
        sizes.cpus * sizes.sets
    };
    maps.connection_track.set_max_entries(sizes.connections)?;
    maps.connection_stats.set_max_entries(sizes.connections)?;
    maps.ip_stats.set_max_entries(sizes.addresses)?;
    maps.ip6_stats.set_max_entries(sizes.addresses)?;
    maps.cache4.set_max_entries(cache)?;
    maps.cache6.set_max_entries(cache)?;
    maps.books
        .set_max_entries(settings.sweep_books + sizes.cpus)?;
    let data = types::udp_track_event_kind::UDP_TRACK_DATA.0;
    if settings.events & data != 0 {
        maps.events.set_max_entries(RING_BYTES_DATA)?;
    } else if settings.events != 0 {
        maps.events.set_max_entries(RING_BYTES_NEW)?;
    }
    Ok(())
}

/// The kernel's answer to a load, with the way out. `messages` are libbpf's, of all attempts.
fn explain(error: libbpf_rs::Error, messages: &str) -> anyhow::Error {
    let refused_by_verifier = messages.contains("PROG LOAD LOG");
    let advice = match error.kind() {
        ErrorKind::PermissionDenied if !refused_by_verifier => {
            "cannot load the eBPF programs: not permitted. Run it as root (sudo), or give the program the \
             capabilities: setcap cap_bpf,cap_net_admin,cap_perfmon+ep udptrack"
        }
        ErrorKind::OutOfMemory => {
            "cannot load the eBPF programs: the kernel has not enough memory for the tables. Choose a smaller \
             --max-connections or --max-ips, or raise the memory limit of this control group"
        }
        _ => {
            return anyhow!(
                "cannot load the eBPF programs into this kernel: {error}. libbpf says:\n{messages}"
            );
        }
    };
    anyhow::Error::new(error).context(advice)
}

fn event_mask(settings: &Settings) -> u32 {
    use types::udp_track_event_kind as kinds;
    let mut mask = 0;
    if settings.new_events {
        mask |= kinds::UDP_TRACK_NEW.0;
    }
    if settings.data_events {
        mask |= kinds::UDP_TRACK_DATA.0;
    }
    mask
}

/// Secret multipliers for the connection ids, from the kernel's random source.
fn random_key() -> Result<[u64; 22]> {
    let mut bytes = [0; 22 * 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("cannot get random numbers from the kernel: {error}"))?;
    let mut key = [0; 22];
    for (word, chunk) in key.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into()?);
    }
    Ok(key)
}

/// The length of a jiffy: the coarse clocks advance once per tick (`kernel/time/posix-timers.c`).
fn jiffy_ns() -> Result<u64> {
    let resolution =
        clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot tell the kernel's tick")?;
    Ok(Duration::from(resolution).as_nanos().try_into()?)
}

/// A perfect hash of the tracked interfaces' indexes: the packet path then finds an interface's books without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InterfaceSlots {
    multiplier: u32,
    /// Of a product of 32 bits; 32 when there is one slot.
    shift: u32,
}

impl InterfaceSlots {
    /// Twice to sixteen times as many slots as interfaces: the first multiplier in a few thousand that keeps them apart.
    fn new(interfaces: &[Ifindex]) -> Result<Self> {
        const MULTIPLIERS: u32 = 4096;
        if interfaces.len() <= 1 {
            return Ok(Self {
                multiplier: 1,
                shift: 32,
            });
        }
        let least = (interfaces.len() * 2).next_power_of_two().ilog2();
        (least..=least + 3)
            .flat_map(|bits| (0..MULTIPLIERS).map(move |n| (bits, n)))
            .map(|(bits, n)| Self {
                // Odd multiples of the golden ratio spread neighbours well (Knuth, TAOCP 6.4).
                multiplier: 0x9e37_79b1_u32.wrapping_mul(2 * n + 1),
                shift: 32 - bits,
            })
            .find(|slots| slots.are_apart(interfaces))
            .context("too many interfaces to be tracked together. Name fewer with -i")
    }

    fn are_apart(self, interfaces: &[Ifindex]) -> bool {
        let mut taken: Vec<u32> = interfaces.iter().map(|index| self.slot(*index)).collect();
        taken.sort_unstable();
        taken.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn count(self) -> u32 {
        1 << (32 - self.shift)
    }

    fn slot(self, interface: Ifindex) -> u32 {
        let product = interface.0.wrapping_mul(self.multiplier);
        product.checked_shr(self.shift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(indexes: impl IntoIterator<Item = u32>) -> (InterfaceSlots, Vec<u32>) {
        let indexes: Vec<Ifindex> = indexes.into_iter().map(Ifindex).collect();
        let slots = InterfaceSlots::new(&indexes).unwrap();
        (
            slots,
            indexes.iter().map(|index| slots.slot(*index)).collect(),
        )
    }

    #[test]
    fn one_interface_has_one_slot() {
        let (slots, taken) = slots([77]);
        assert_eq!((slots.count(), taken), (1, vec![0]));
    }

    #[test]
    fn interfaces_have_slots_of_their_own() {
        for indexes in [
            vec![1, 2],
            (1..=64).collect(),
            (0..500).map(|n| n * n * 7 + 3).collect(),
        ] {
            let count = indexes.len();
            let (slots, mut taken) = slots(indexes);
            assert!(
                slots.count() as usize <= count * 32,
                "{count}: {}",
                slots.count()
            );
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), count);
            assert!(taken.iter().all(|slot| *slot < slots.count()));
        }
    }

    #[test]
    fn keys_differ() {
        assert_ne!(random_key().unwrap(), random_key().unwrap());
    }
}
