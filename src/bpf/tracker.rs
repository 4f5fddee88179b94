//! The loaded programs and maps: settings in, events, connections and books out.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapHandle, RingBuffer, RingBufferBuilder, libbpf_sys};

use super::cpus;
use super::dns::Dns;
use super::kernel::{self, Kernel};
use super::ledger::Ledger;
use super::lines::Untimed;
use super::load::{Loaded, Settings, load};
use super::record::{self, Jiffies, is_later};
use super::sys::{self, types};
use crate::connection::{
    Books, ConnectionId, Counts, Direction, EndReason, Event, Expiry, Ifindex, Sample,
};

/// A slot that was idle for so long is freed. Shorter than every timeout: an ended connection has no slot (cache.h).
const SLOT_IDLE: Duration = Duration::from_millis(500);
/// Events taken from the ring at once, so that a flood cannot keep the loop from its other work.
const EVENTS_AT_ONCE: usize = 65_536;
/// Runs of the sweep in one system call: some kernels hold packets of this CPU back for as long.
const SWEEPS_AT_ONCE: u32 = 32;

const EACH_UNDER_ITS_LOCK: u64 = libbpf_sys::BPF_F_LOCK as u64;
const EXPIRY_BATCH: usize = 128;
const SWEEP_SETS: u32 = 32;
/// A frame long enough for every kernel's test run; what it says does not matter.
const NO_FRAME: [u8; 64] = [0; 64];

/// The kernel half, loaded. Hooks are attached to it with [`super::attach`].
pub struct Tracker {
    pub(super) kernel: Kernel,
    ring: RingBuffer<'static>,
    queue: Rc<RefCell<Vec<Event>>>,
    pub(super) dns: Option<Dns>,
    jiffies: Jiffies,
    pub(super) instance: Box<types::udp_track_instance>,
    interfaces: Vec<Ifindex>,
    cache_obstacle: Option<String>,
    malformed_events: Rc<RefCell<u64>>,
}

impl Tracker {
    /// Loads the programs and creates the maps. Needs `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON` (or root), and a
    /// kernel with BTF.
    pub fn load(settings: &Settings) -> Result<Self> {
        let Loaded {
            kernel,
            instance,
            cache_obstacle,
        } = load(settings)?;
        Self::new(
            kernel,
            instance,
            settings.interfaces.clone(),
            cache_obstacle,
        )
    }

    /// Around what was loaded, by this process or by one before it.
    pub(super) fn new(
        kernel: Kernel,
        instance: Box<types::udp_track_instance>,
        interfaces: Vec<Ifindex>,
        cache_obstacle: Option<String>,
    ) -> Result<Self> {
        let queue = Rc::new(RefCell::new(Vec::new()));
        let malformed_events = Rc::new(RefCell::new(0));
        let channels = &kernel.channels;
        let mut tracker = Self {
            ring: ring(
                &channels.events,
                &queue,
                &malformed_events,
                instance.jiffy_ns,
            )?,
            dns: (instance.names != 0)
                .then(|| Dns::new(&channels.dns_messages))
                .transpose()?,
            kernel,
            queue,
            jiffies: Jiffies {
                length_ns: instance.jiffy_ns,
                zero_ns: 0,
            },
            instance,
            interfaces,
            cache_obstacle,
            malformed_events,
        };
        tracker.jiffies.zero_ns = tracker.jiffy_zero_ns()?;
        tracker.instance.jiffy_zero_ns = tracker.jiffies.zero_ns;
        Ok(tracker)
    }

    /// Why packets are counted straight into the maps, which is as exact but slower; `None` where they are not.
    #[must_use]
    pub fn cache_obstacle(&self) -> Option<&str> {
        self.cache_obstacle.as_deref()
    }

    /// The interfaces whose hooks lead here.
    pub(super) fn interfaces(&self) -> &[Ifindex] {
        &self.interfaces
    }

    /// Room for connections.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.kernel.tables.connection_stats.max_entries().into()
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
        cpus::on_each(self.instance.cpus, |cpu| self.sweep_part(cpu, idle))
    }

    /// The same after the hooks are gone, from whatever CPU: nobody else writes then.
    pub fn sweep_all(&mut self) -> Result<()> {
        (0..self.instance.cpus).try_for_each(|cpu| self.sweep_part(cpu, 0))
    }

    fn sweep_part(&mut self, cpu: u32, idle_jiffies: u32) -> Result<()> {
        let arguments = &self.kernel.channels.sweep;
        let start = types::udp_track_sweep {
            cpu,
            set: 0,
            idle_jiffies,
            __pad: 0,
        };
        kernel::write(arguments, 0, &start)?;
        loop {
            let done = kernel::read::<types::udp_track_sweep>(arguments, 0)?.set;
            if done >= self.instance.sets {
                return Ok(());
            }
            let left = (self.instance.sets - done).div_ceil(SWEEP_SETS);
            run(&self.kernel.programs.sweep, left.min(SWEEPS_AT_ONCE))
                .context("cannot run udp_track_sweep")?;
        }
    }

    /// Every connection in the table. Call [`Tracker::sweep`] before, or the last second may be missing.
    pub fn scan(&self) -> Result<Vec<Sample>> {
        self.samples(|_| true)
    }

    /// The connections that had traffic, or another status, since then (nanoseconds of `CLOCK_MONOTONIC`, to a kernel
    /// tick); the others are as they were. Left out is what a CPU still holds that went offline with it.
    pub fn scan_since(&self, since_ns: u64) -> Result<Vec<Sample>> {
        let since = self.jiffies.at(since_ns);
        self.samples(|raw| raw.last >= since || is_later(raw.changed, since))
    }

    fn samples(
        &self,
        wanted: impl Fn(&types::udp_track_connection) -> bool,
    ) -> Result<Vec<Sample>> {
        let mut untimed = Untimed::default();
        let map = self.kernel.tables.connection_stats.as_fd();
        sys::read_map(
            map,
            EACH_UNDER_ITS_LOCK,
            usize::MAX,
            |id: &u64, stats: &types::udp_track_stats| {
                if wanted(&stats.connection) {
                    untimed.push(*id, &stats.connection, self.jiffies);
                }
            },
        )
        .context("cannot read connection_stats")?;
        untimed.timed(&self.kernel.tables)
    }

    /// Ends those of the connections that have counted nothing since the scan; gives their final values.
    pub fn expire(&mut self, candidates: &[Expiry]) -> Result<Vec<(Sample, EndReason)>> {
        let mut ended = Vec::new();
        let channel = &self.kernel.channels.expiry;
        let mut expiry = Box::new(types::udp_track_expiry::default());
        for batch in candidates.chunks(EXPIRY_BATCH) {
            expiry.count = u32::try_from(batch.len())?;
            expiry.ended = 0;
            for (request, candidate) in expiry.requests.iter_mut().zip(batch) {
                *request = types::udp_track_expiry_request {
                    id: candidate.id.0,
                    packets: candidate.packets,
                };
            }
            kernel::write(channel, 0, &*expiry)?;
            run(&self.kernel.programs.expire, 1).context("cannot run udp_track_expire")?;
            *expiry = kernel::read(channel, 0)?;
            let finals = expiry
                .connections
                .iter()
                .zip(&expiry.responses)
                .take(expiry.ended as usize);
            // Answers come in the order of the requests; those of connections that live on are left out.
            let mut rest = batch.iter();
            for ((raw, response), id) in finals.zip(&expiry.ended_ids) {
                let candidate = rest.find(|candidate| candidate.id == ConnectionId(*id));
                let sample = record::sample(*id, raw, response, self.jiffies);
                ended.extend(sample.zip(candidate.map(|candidate| candidate.reason)));
            }
        }
        Ok(ended)
    }

    /// The books of one hook, over all CPUs, at a moment between two packets of each.
    pub fn books(&self, interface: Ifindex, direction: Direction) -> Result<Books> {
        self.ledger().books(interface, direction)
    }

    /// Events that the ring buffer had no room for or that made no sense, and what `ip_stats` had no room for.
    pub fn losses(&self) -> Result<(u64, Counts)> {
        let (events, addresses) = self.ledger().losses(&self.interfaces)?;
        Ok((events + *self.malformed_events.borrow(), addresses))
    }

    /// How many addresses `ip_stats` and `ip6_stats` hold.
    pub fn addresses(&self) -> Result<u64> {
        self.ledger().addresses()
    }

    /// Connections that have ended since the tables were made, also in runs before this one, and their counts.
    pub fn ended(&self) -> Result<(u64, Counts)> {
        self.ledger().ended()
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.kernel.tables, &self.instance)
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
            run(&self.kernel.programs.clock, 1).context("cannot run udp_track_clock")?;
            let clock: types::udp_track_clock = kernel::read(&self.kernel.channels.clock, 0)?;
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
fn run(program: &OwnedFd, repeat: u32) -> io::Result<()> {
    loop {
        match sys::test_run(program.as_fd(), &NO_FRAME, repeat) {
            // A signal: the caller looks at what was done, and goes on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted && repeat == 1 => {}
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => return Ok(()),
        }
    }
}

fn ring(
    events: &MapHandle,
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
        .add(events, move |bytes| {
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
