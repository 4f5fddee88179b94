//! Measures programs beside each other: in rounds, each with all of them in another order, so that what disturbs the machine
//! disturbs all alike.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use udptrack::bpf::{Entry, FrameRing, Payloads, Settings, Tracker};
use udptrack::model::{Amendment, Change, Direction, Ifindex};

use crate::common::generator::Generator;
use crate::common::random::Rng;
use crate::programs::{Hook, Programs};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A program that does nothing.
    Empty,
    /// One lookup and count in an LRU hash.
    Lru,
    /// The algorithm that the project began with.
    Seed,
    Udptrack,
    /// udptrack with a feature that the case is about.
    Changed,
}

/// How often events are read: as a run does while they come.
const READER_PAUSE: Duration = Duration::from_millis(1);
/// Test runs are given the loopback device of the network namespace.
const LO: Ifindex = Ifindex(1);

/// One of them, loaded.
pub struct Subject {
    pub who: Who,
    hook: Hook,
    program: OwnedFd,
    /// udptrack, and which of its hooks.
    pub tracker: Option<(Tracker, Direction)>,
    /// What takes the frames that it copies.
    frames: Option<FrameRing>,
    /// Whether it reports each packet, and somebody reads that meanwhile.
    has_events: bool,
    /// Somebody reads what it sends.
    is_read: bool,
    /// Its connections are known to be QUIC, once they are there.
    is_quic: bool,
    read: u64,
    given: u64,
    took: Duration,
}

/// What came of the events of a subject.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    pub read: u64,
    pub lost: u64,
    /// Packets in a second, each of which is one.
    pub per_second: f64,
}

impl Subject {
    pub fn reference(programs: &Programs, who: Who, hook: Hook) -> Result<Self> {
        let name = match who {
            Who::Empty => "empty",
            Who::Lru => "lru",
            Who::Seed => "seed",
            Who::Udptrack | Who::Changed => unreachable!("no reference program"),
        };
        let hook_name = match hook {
            Hook::Xdp => "xdp",
            Hook::Tc => "tc",
        };
        Ok(Self {
            who,
            hook,
            program: programs.program(&format!("{name}_{hook_name}"))?,
            tracker: None,
            frames: None,
            has_events: false,
            is_read: false,
            is_quic: false,
            read: 0,
            given: 0,
            took: Duration::ZERO,
        })
    }

    pub fn udptrack(who: Who, entry: Entry, settings: &Settings) -> Result<Self> {
        let tracker = Tracker::load(&Settings {
            interfaces: vec![LO],
            ..settings.clone()
        })?;
        let (hook, direction) = match entry {
            Entry::Xdp => (Hook::Xdp, Direction::Ingress),
            Entry::Tc(direction) | Entry::TcIp(direction) => (Hook::Tc, direction),
        };
        let frames = settings.frames.map(|_| tracker.frame_ring()).transpose()?;
        Ok(Self {
            who,
            hook,
            program: tracker.runner(entry)?.as_fd().try_clone_to_owned()?,
            tracker: Some((tracker, direction)),
            is_read: settings.data_events || settings.payloads != Payloads::Off || frames.is_some(),
            frames,
            has_events: settings.data_events,
            is_quic: false,
            read: 0,
            given: 0,
            took: Duration::ZERO,
        })
    }

    /// Whether its connections are known to be QUIC, once they are there.
    pub fn speaking_quic(self, is_quic: bool) -> Self {
        Self { is_quic, ..self }
    }

    /// Says what user space has found out, after the first packets.
    fn amend(&self) -> Result<()> {
        let Some((tracker, _)) = self.tracker.as_ref().filter(|_| self.is_quic) else {
            return Ok(());
        };
        let samples = tracker.scan()?;
        let amendments = samples
            .iter()
            .map(|sample| Amendment::of(sample, Change::Spins));
        tracker.amend(&amendments.collect::<Vec<_>>())
    }

    fn read(&mut self) -> Result<()> {
        if let Some((tracker, _)) = self.tracker.as_mut().filter(|_| self.is_read) {
            let mut events = Vec::new();
            tracker.take_events(&mut events)?;
            self.read += events.len() as u64;
            tracker.take_payloads()?;
        }
        if let Some(frames) = &mut self.frames {
            while !frames.take()?.is_empty() {}
        }
        Ok(())
    }

    /// None where it reports none.
    pub fn events(&mut self) -> Result<Option<Events>> {
        let Some((tracker, _)) = self.tracker.as_ref().filter(|_| self.has_events) else {
            return Ok(None);
        };
        Ok(Some(Events {
            read: self.read,
            lost: tracker.losses()?.0,
            per_second: self.given as f64 / self.took.as_secs_f64(),
        }))
    }

    /// By how many packets its books are off: those that it was given and has not seen, those seen and neither tracked nor
    /// skipped, those tracked and in no connection. A reference program keeps none.
    pub fn difference(&self) -> Result<u64> {
        let given = self.given;
        let Some((tracker, direction)) = &self.tracker else {
            return Ok(0);
        };
        let books = tracker.books(LO, *direction)?;
        let skipped = books.skipped_total();
        let counted: u64 = tracker
            .scan()?
            .iter()
            .map(|sample| sample.total().packets)
            .sum();
        Ok(given.abs_diff(books.seen.packets)
            + books
                .seen
                .packets
                .abs_diff(books.tracked.packets + skipped.packets)
            + books
                .seen
                .bytes
                .abs_diff(books.tracked.bytes + skipped.bytes)
            + books.tracked.packets.abs_diff(counted))
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// The kernel tells whole nanoseconds: several calls tell more than one.
    pub calls: u32,
    pub packets_per_call: u32,
    /// Packets given before, so that tables and caches are as they will be.
    pub warm_up: u32,
}

/// Nanoseconds for a packet, one value for each round.
#[derive(Clone, Debug, Default)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// Mean of the middle half.
    pub fn mean(&self) -> f64 {
        let sorted = self.sorted();
        let cut = sorted.len() / 4;
        let middle = &sorted[cut..sorted.len() - cut];
        middle.iter().sum::<f64>() / middle.len() as f64
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// `part` from 0 to 1.
    pub fn quantile(&self, part: f64) -> f64 {
        let sorted = self.sorted();
        let at = part * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// A number and how far it went in nine rounds of ten: median, 10th and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl From<&Series> for Spread {
    fn from(series: &Series) -> Self {
        Self {
            median: series.median(),
            low: series.quantile(0.1),
            high: series.quantile(0.9),
        }
    }
}

/// What was measured of each.
pub struct Measured(pub Vec<(Who, Series)>);

impl Measured {
    pub fn of(&self, who: Who) -> Option<&Series> {
        self.0
            .iter()
            .find(|(it, _)| *it == who)
            .map(|(_, series)| series)
    }

    /// What it costs above a program that does nothing.
    pub fn cost(&self, who: Who) -> Option<Series> {
        self.above(who, Who::Empty)
    }

    /// What it costs more than another one, in each round.
    pub fn above(&self, who: Who, than: Who) -> Option<Series> {
        let pairs = self.of(who)?.0.iter().zip(&self.of(than)?.0);
        Some(Series(pairs.map(|(it, than)| it - than).collect()))
    }

    /// The ratio of two costs, in each round.
    pub fn ratio(&self, who: Who, to: Who) -> Option<Spread> {
        let (above, below) = (self.cost(who)?, self.cost(to)?);
        let ratios = above
            .0
            .iter()
            .zip(&below.0)
            .map(|(above, below)| above / below);
        Some((&Series(ratios.collect())).into())
    }
}

/// Keeps this thread on a CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Gives all of them the same packets, on these CPUs at once.
pub fn measure(
    programs: &Programs,
    subjects: &mut [Subject],
    frame: &[u8],
    on: &[usize],
    effort: Effort,
    random: &mut Rng,
) -> Result<Measured> {
    let mut series = vec![Series::default(); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    for subject in subjects.iter_mut() {
        programs.measure(subject.hook, subject.program.as_fd())?;
        if effort.warm_up > 0 {
            run(programs, subject, frame, on, effort.warm_up)?;
        }
        subject.amend()?;
    }
    for _ in 0..effort.rounds {
        shuffle(&mut order, random);
        for &index in &order {
            let subject = &mut subjects[index];
            programs.measure(subject.hook, subject.program.as_fd())?;
            let mut sum = 0.0;
            for _ in 0..effort.calls {
                sum += run(programs, subject, frame, on, effort.packets_per_call)?;
            }
            series[index].0.push(sum / f64::from(effort.calls));
        }
    }
    let names = subjects.iter().map(|subject| subject.who);
    Ok(Measured(names.zip(series).collect()))
}

/// Nanoseconds for a packet, the mean of all CPUs.
fn run(
    programs: &Programs,
    subject: &mut Subject,
    frame: &[u8],
    on: &[usize],
    packets: u32,
) -> Result<f64> {
    let runner = programs.vary(subject.hook);
    let start = Barrier::new(on.len());
    let began = Instant::now();
    let nanoseconds = thread::scope(|scope| {
        let threads: Vec<_> = on
            .iter()
            .map(|&cpu| {
                let start = &start;
                scope.spawn(move || -> Result<u128> {
                    pin(cpu)?;
                    start.wait();
                    Ok(runner.run_frame(frame, packets)?.1.as_nanos())
                })
            })
            .collect();
        while subject.is_read && !threads.iter().all(ScopedJoinHandle::is_finished) {
            subject.read()?;
            thread::sleep(READER_PAUSE);
        }
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a thread that measures has panicked"))?
            })
            .sum::<Result<u128>>()
    })?;
    subject.took += began.elapsed();
    subject.read()?;
    subject.given += u64::from(packets) * on.len() as u64;
    Ok(nanoseconds as f64 / on.len() as f64)
}

/// Another order.
pub fn shuffle(order: &mut [usize], random: &mut Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
}

/// Sends from one CPU, on a thread of its own, as what a pinned thread starts is pinned, too. Gives packets a second.
pub fn send(generator: &mut Generator, frames: u64) -> Result<f64> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            pin(cpus() - 1)?;
            generator.run(frames);
            generator.rate().context("too few frames for a rate")
        });
        sender
            .join()
            .map_err(|_| anyhow!("the sender has panicked"))?
    })
}
