//! One run: tracker -> table -> outputs. The only room that sees all rooms.
//!
//! One thread. It takes events from the ring as they come, and at each tick writes the caches back, scans the maps,
//! ends what has been idle for long enough and shows what is to be shown.

mod display;
mod knowledge;
mod learning;
mod process;
mod report;
mod setup;
mod wanted;

use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

use display::Display;
use knowledge::{HookName, Knowledge, Whose};
use learning::{names, shows_names};
pub use process::say;
use process::{
    Stdout, give_up_rights, hold_signals, ignore_closed_pipe, is_stdout_closed, stop_signal,
    take_messages,
};
use setup::{attach_all, attached_names, kinds, query};
pub use wanted::WrongUsage;

use crate::bpf::{self, Attachment, Tracker};
use crate::cli::{Config, OutputKind};
use crate::connection::{Event, EventKind, Sample, Table, Timeouts};
use crate::filter::Program;
use crate::interface::{self, Interface};
use crate::listing::Query;
use crate::output::{Grouped, Kinds, Visible};
use crate::view::Wish;

/// How often idle connections are looked for, at least.
const TICK: Duration = Duration::from_secs(1);
/// A tick takes time in proportion to the table. The next one waits for so many times as long, so that all of them cost at
/// most 3 % of one core.
const PAUSE_PER_COST: u32 = 32;
/// How often all connections are read, also those that seem to have been silent.
const WHOLE_SCAN: Duration = Duration::from_secs(10);
/// A scan reads again what the one before may have seen half done: counted, but its answer not yet.
const OVERLAP: Duration = Duration::from_secs(2);
/// How often the books are reported to outputs that show them.
const STATS: Duration = Duration::from_secs(10);
/// Pauses between looks into the ring buffer: short while events come, so that none is lost, longer while none do.
const RING_PAUSE_MIN: Duration = Duration::from_millis(1);
const RING_PAUSE_MAX: Duration = Duration::from_millis(32);
/// How long a signal may wait while keys are waited for.
const SIGNAL_PAUSE: Duration = Duration::from_millis(100);

/// Runs what the command line asked for, to its end.
pub fn run(config: &Config) -> Result<()> {
    // Before anything else: a wrong filter is wrong usage, whatever the machine is like.
    let filter = wanted::program(config)?;
    if config.list_interfaces {
        return ignore_closed_pipe(list_interfaces());
    }
    let interfaces = interface::select(&config.interfaces)?;
    hold_signals()?;
    let mut run = Run::start(config, &interfaces, filter)?;
    give_up_rights().context("cannot give up the rights that are no longer needed")?;
    let stop = stop_signal()?;
    run.ask_resolvers()?;
    let result = ignore_closed_pipe(run.until_stopped(&stop));
    // Also after an error: what was counted is worth more than a quick exit, and nothing may stay attached.
    let ended = ignore_closed_pipe(run.end());
    result.and(ended)
}

fn list_interfaces() -> Result<()> {
    let mut out = Stdout::lock();
    for interface in interface::list()? {
        let state = if interface.up { "up" } else { "down" };
        let name = Visible(&interface.name).to_string();
        writeln!(
            out,
            "{name:<16} {state:<5} {}",
            interface.addresses.join(" ")
        )?;
    }
    Ok(())
}

/// Everything that a run owns.
struct Run<'a> {
    config: &'a Config,
    kinds: Kinds,
    query: Query,
    tracker: Tracker,
    attachments: Vec<Attachment>,
    knowledge: Knowledge,
    table: Table,
    display: Display,
    /// How many events or snapshots may still be written.
    remaining: Option<u64>,
    warned_addresses: bool,
    events_lost: u64,
    whole_scan: Instant,
}

impl<'a> Run<'a> {
    fn start(
        config: &'a Config,
        interfaces: &[Interface],
        filter: Option<Program>,
    ) -> Result<Self> {
        let kinds = kinds(&config.events);
        let query = query(config);
        // The live view has a pane of trace lines.
        let trace = matches!(config.output, OutputKind::Trace | OutputKind::Live);
        let mut tracker = Tracker::load(&bpf::Settings {
            max_connections: config.max_connections,
            max_ips: config.max_ips,
            // A trace of later packets alone needs the first ones too: one GSO super-packet may be both.
            new_events: kinds.new || (trace && kinds.data),
            // In JSON, `data` is what the snapshots say, not a record for each packet.
            data_events: trace && kinds.data,
            // A trace shows them at the end of a connection, everything else always.
            response_times: config.output != OutputKind::Trace || kinds.end,
            filter,
            names: shows_names(config),
            interfaces: interfaces.iter().map(|interface| interface.index).collect(),
        })?;
        // Before the first packet is seen: its process may be gone a moment later.
        let processes = if config.processes {
            Whose::start(monotonic_ns()?)
        } else {
            Whose::default()
        };
        let attachments = attach_all(config, &mut tracker, interfaces)?;
        let hooks = attachments
            .iter()
            .flat_map(|attachment| {
                attachment.directions().map(|direction| HookName {
                    interface: attachment.interface.name.clone(),
                    index: attachment.interface.index,
                    direction,
                })
            })
            .collect();
        let timeouts = Timeouts {
            unreplied: config.udp_timeout,
            assured: config.stream_timeout,
        };
        let display = Display::new(config, kinds, &query, &attachments)?;
        Ok(Self {
            config,
            kinds,
            tracker,
            attachments,
            knowledge: Knowledge {
                hooks,
                processes,
                names: names(config),
            },
            table: Table::new(u64::from(config.max_connections), timeouts),
            display,
            query,
            remaining: config.count,
            warned_addresses: false,
            events_lost: 0,
            whole_scan: Instant::now(),
        })
    }

    /// Whether this run shows all connections every now and then.
    fn has_snapshots(&self) -> bool {
        match self.config.output {
            OutputKind::Trace => false,
            OutputKind::Table | OutputKind::Live => true,
            OutputKind::Json | OutputKind::Csv => self.kinds.data,
        }
    }

    /// Whether the output says whose a connection is already when it begins. A trace does not.
    fn names_new_connections(&self) -> bool {
        self.config.output == OutputKind::Json && self.kinds.new
    }

    fn until_stopped(&mut self, stop: &Receiver<()>) -> Result<()> {
        let started = Instant::now();
        let deadline = self.config.duration.map(|duration| started + duration);
        let tick = if self.has_snapshots() {
            self.config.delay.min(TICK)
        } else {
            TICK
        };
        let (mut next_tick, mut next_snapshot, mut next_stats) =
            (started + tick, started + self.config.delay, started + STATS);
        let mut pause = RING_PAUSE_MIN;
        while self.remaining != Some(0) && !self.attachments.is_empty() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let taken = self.take_events()?;
            let snapshot_is_due = self.has_snapshots() && now >= next_snapshot;
            // A snapshot shows what is now, next to books of now, not what the last tick found.
            if now >= next_tick || snapshot_is_due {
                let before = processor_time()?;
                self.tick()?;
                if snapshot_is_due {
                    self.snapshot()?;
                }
                let rest = processor_time()?.saturating_sub(before) * PAUSE_PER_COST;
                next_tick = now + tick.max(rest);
                if snapshot_is_due {
                    // Snapshots that are written come as they were ordered; a view that is on all day may not cost more.
                    let live = self.config.output == OutputKind::Live;
                    let delay = self.config.delay;
                    next_snapshot = now + if live { delay.max(rest) } else { delay };
                }
            }
            if now >= next_stats {
                let report = self.report()?;
                self.display.output().stats(&report)?;
                next_stats = now + STATS;
            }
            self.display.output().flush()?;
            pause = if taken > 0 {
                RING_PAUSE_MIN
            } else {
                (pause * 2).min(RING_PAUSE_MAX)
            };
            let mut wake = next_tick.min(deadline.unwrap_or(next_tick));
            if self.has_snapshots() {
                wake = wake.min(next_snapshot);
            }
            if self.kinds.new || self.kinds.data {
                wake = wake.min(now + pause);
            }
            let wait = wake.saturating_duration_since(Instant::now());
            if self.rest(stop, wait)? == Wish::Quit {
                break;
            }
        }
        Ok(())
    }

    /// Waits for what is next: a signal, or a key.
    fn rest(&mut self, stop: &Receiver<()>, wait: Duration) -> Result<Wish> {
        let Display::Live(view, _) = &mut self.display else {
            return Ok(match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => Wish::Continue,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => Wish::Quit,
            });
        };
        for message in take_messages() {
            view.message(message)?;
        }
        let wish = view.input(wait.min(SIGNAL_PAUSE), &self.table, &self.knowledge)?;
        Ok(match stop.try_recv() {
            Err(TryRecvError::Empty) => wish,
            Ok(()) | Err(TryRecvError::Disconnected) => Wish::Quit,
        })
    }

    /// Writes what the ring has; returns how many events it had.
    fn take_events(&mut self) -> Result<usize> {
        // First, so that what the events show has its names.
        self.learn_names()?;
        let mut events: Vec<Event> = Vec::new();
        self.tracker.take_events(&mut events)?;
        if self.names_new_connections() && !events.is_empty() {
            self.knowledge.processes.announce(&events, monotonic_ns()?);
        }
        for event in &events {
            let wanted = match event.kind {
                EventKind::New => self.kinds.new || event.counts.packets > 1,
                EventKind::Data => self.kinds.data,
            };
            if wanted && self.take_one_event() {
                self.display.output().event(event, &self.knowledge)?;
            }
        }
        Ok(events.len())
    }

    /// Whether one more event may be shown. A live view counts its snapshots alone.
    fn take_one_event(&mut self) -> bool {
        self.config.output == OutputKind::Live || self.take_one()
    }

    /// Whether one more event or snapshot may be written (`--count`).
    fn take_one(&mut self) -> bool {
        match &mut self.remaining {
            Some(0) => false,
            Some(remaining) => {
                *remaining -= 1;
                true
            }
            None => true,
        }
    }

    /// Whether this end is to be written, as one of those that may still be.
    fn wants_end(&mut self, sample: &Sample) -> bool {
        self.query.wants_sample(sample, &self.knowledge) && self.take_one_event()
    }

    /// Brings the table up to date and ends what is idle.
    fn tick(&mut self) -> Result<()> {
        self.drop_gone_interfaces();
        self.tracker.sweep()?;
        let samples = self.samples()?;
        self.look_up_names(&samples);
        let now_ns = monotonic_ns()?;
        self.table.apply(samples, now_ns);
        self.observe(now_ns, false);
        if self.table.warn_full() {
            say(format_args!(
                "the connection table is {:.0} % full ({} of {}): new connections may soon find no room. \
                 Raise --max-connections",
                self.table.fill() * 100.0,
                Grouped(self.table.len() as u64),
                Grouped(self.table.capacity())
            ));
        }
        let candidates = self.table.expired(now_ns);
        if !candidates.is_empty() {
            // What these connections did before they end must be written before it; their next packets come after.
            self.take_events()?;
            let mut ended = self.tracker.expire(&candidates)?;
            ended.sort_by_key(|(sample, _)| sample.last_ns);
            for (sample, reason) in ended {
                self.table.end(sample, reason);
                // An output that does not write ends may keep totals of them: those are no events.
                if !self.kinds.end || self.wants_end(&sample) {
                    self.display
                        .output()
                        .end(&sample, reason, &self.knowledge)?;
                }
                self.knowledge.processes.forget(sample.id);
            }
        }
        self.warn_of_losses()?;
        anyhow::ensure!(
            !is_stdout_closed(),
            io::Error::from(io::ErrorKind::BrokenPipe)
        );
        Ok(())
    }

    /// What changed since the last scan, or now and then everything: what an offline CPU held may come late.
    fn samples(&mut self) -> Result<Vec<Sample>> {
        if self.whole_scan.elapsed() >= WHOLE_SCAN {
            self.whole_scan = Instant::now();
            return self.tracker.scan();
        }
        let overlap = u64::try_from(OVERLAP.as_nanos())?;
        self.tracker
            .scan_since(self.table.scanned_ns().saturating_sub(overlap))
    }

    fn observe(&mut self, now_ns: u64, last: bool) {
        let samples = self.table.iter().map(|connection| &connection.sample);
        self.knowledge.processes.observe(samples, now_ns, last);
    }

    fn warn_of_losses(&mut self) -> Result<()> {
        let (events, addresses) = self.tracker.losses()?;
        if events > self.events_lost {
            let lost = events - self.events_lost;
            say(format_args!(
                "events lost {}: they came faster than they could be written",
                Grouped(lost)
            ));
            self.events_lost = events;
        }
        if addresses.packets > 0 && !self.warned_addresses {
            say(format_args!(
                "ip_stats has no room for more addresses. Raise --max-ips"
            ));
            self.warned_addresses = true;
        }
        Ok(())
    }

    fn drop_gone_interfaces(&mut self) {
        let (left, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.attachments)
            .into_iter()
            .partition(|attachment| interface::exists(attachment.interface.index));
        self.attachments = left;
        for attachment in &gone {
            let rest = if self.attachments.is_empty() {
                "no interface is left".to_owned()
            } else {
                format!(
                    "tracking goes on with {}",
                    attached_names(&self.attachments)
                )
            };
            say(format_args!(
                "{} is gone; {rest}",
                Visible(&attachment.interface.name)
            ));
        }
        if !gone.is_empty() {
            bpf::detach(gone);
        }
    }

    fn snapshot(&mut self) -> Result<()> {
        if !self.take_one() {
            return Ok(());
        }
        let report = self.report()?;
        self.display
            .output()
            .snapshot(&self.table, &report, &self.knowledge)?;
        Ok(())
    }
}

fn monotonic_ns() -> Result<u64> {
    Ok(read_clock(ClockId::CLOCK_MONOTONIC)?
        .as_nanos()
        .try_into()?)
}

/// What this thread has used of its processor.
fn processor_time() -> Result<Duration> {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: ClockId) -> Result<Duration> {
    let now = clock_gettime(clock).context("cannot read the clock")?;
    Ok(Duration::from(now))
}
