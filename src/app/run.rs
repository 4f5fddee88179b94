//! One run: tracker -> table -> outputs.
//!
//! One thread. It takes events from the ring as they come, and at each tick walks over the connections once, ends those that have been
//! idle for long enough and shows what is to be shown.

use std::borrow::Cow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Outcome;
use super::alerting::Alerting;
use super::calls::Call;
use super::display::{Display, Taken};
use super::exports::Exports;
use super::knowledge::{Interfaces, Knowledge, Whose};
use super::learning::names;
use super::links::Links;
use super::process::{say, take_messages};
use super::roles::predecessors;
use super::servers::Servers;
use super::setup::{kinds, query, say_tracking, settings};
use super::shared::{claim, track};
use super::stdout::is_stdout_closed;
use super::systemd::ServiceManager;
use crate::bpf::{Attachment, Claim, Tracker};
use crate::cli::{Config, OutputKind};
use crate::clock::{monotonic_ns, processor_time};
use crate::filter::Program;
use crate::listing::Query;
use crate::model::{Predecessors, Report, Table, Timeouts};
use crate::output::Kinds;
use crate::process::EphemeralPorts;
use crate::view::Wish;

/// How often idle connections are looked for, at least.
const TICK: Duration = Duration::from_secs(1);
/// The live view draws the next frame so many times later than a frame takes.
const PAUSE_PER_FRAME: u32 = 4;
/// When the live view first shows what there is.
const FIRST_FRAME: Duration = Duration::from_millis(200);
/// How often the books are reported to outputs that show them.
const STATS: Duration = Duration::from_secs(10);
/// Pauses between looks into the ring buffer: short while events come, so that none is lost, longer while none do.
const RING_PAUSE_MIN: Duration = Duration::from_millis(1);
const RING_PAUSE_MAX: Duration = Duration::from_millis(32);
/// How long a signal may wait while keys are waited for.
const SIGNAL_PAUSE: Duration = Duration::from_millis(100);

/// Everything that a run owns.
pub(super) struct Run<'a> {
    pub(super) config: Cow<'a, Config>,
    pub(super) kinds: Kinds,
    pub(super) query: Query,
    pub(super) claim: Option<Claim>,
    pub(super) tracker: Tracker,
    pub(super) attachments: Vec<Attachment>,
    /// What comes and goes.
    pub(super) links: Links,
    pub(super) knowledge: Knowledge,
    pub(super) table: Table,
    pub(super) display: Display,
    pub(super) exports: Exports,
    pub(super) alerting: Alerting,
    pub(super) service: ServiceManager,
    /// For the last lines, if there will be any.
    pub(super) servers: Option<Servers>,
    /// How many events or snapshots may still be written.
    pub(super) remaining: Option<u64>,
    pub(super) warned_addresses: bool,
    /// When the addresses of this machine, which no answer may name, are to be read again.
    pub(super) own_addresses_due: Instant,
    pub(super) events_lost: u64,
    /// When all was attached, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) began_ns: u64,
    pub(super) predecessors: Predecessors,
    pub(super) ephemeral_ports: EphemeralPorts,
    /// The books as the latest tick had them.
    pub(super) report: Report,
}

impl<'a> Run<'a> {
    /// Loads, attaches, and opens what the run shows itself in.
    pub fn start(
        config: &'a Config,
        links: Links,
        filter: Option<Program>,
        alerting: Alerting,
    ) -> Result<Self> {
        let taken = Taken::take(config)?;
        let kinds = kinds(&config.events);
        let query = query(config);
        let exports = Exports::open(config, &links.first)?;
        let service = ServiceManager::of_environment();
        let settings = settings(config, filter, &links.first);
        let claim = claim(config, &links)?;
        // Before the first packet is seen: its process may be gone a moment later.
        let processes = if config.processes || alerting.ask_for_processes() {
            Whose::start(monotonic_ns()?)
        } else {
            Whose::default()
        };
        let (mut tracker, attachments) = track(config, claim.as_ref(), &links, &settings)?;
        tracker.note_hooks(&attachments)?;
        let interfaces = Interfaces::of(tracker.hooks());
        let timeouts = Timeouts {
            unreplied: config.udp_timeout,
            assured: config.stream_timeout,
        };
        let display = Display::new(config, kinds, &query, &attachments, taken)?;
        let (ended, counts) = tracker.ended()?;
        let (events_lost, _) = tracker.losses()?;
        let table = tracker.table(timeouts).after(ended, counts);
        let mut run = Self {
            config: Cow::Borrowed(config),
            kinds,
            claim,
            tracker,
            attachments,
            links,
            knowledge: Knowledge {
                interfaces,
                processes,
                names: names(config),
            },
            table,
            display,
            exports,
            alerting,
            service,
            servers: (!config.quiet).then(|| Servers::new(query.one_way_ports.clone())),
            query,
            remaining: config.count,
            warned_addresses: false,
            own_addresses_due: Instant::now(),
            events_lost,
            began_ns: monotonic_ns()?,
            predecessors: Predecessors::with_room(predecessors(config.max_connections.into())),
            ephemeral_ports: EphemeralPorts::read(),
            report: Report::default(),
        };
        run.share()?;
        say_tracking(config, &run.tracker, &run.attachments);
        if let Some(claim) = run.claim.as_ref().filter(|_| config.verbose) {
            say(format_args!("udptrack list --name {} shows it", claim.name));
        }
        Ok(run)
    }

    /// What its exit status says. With alerts they are what is asked for, whatever is shown beside them.
    pub fn outcome(&mut self) -> Outcome {
        let is_alerted = self.alerting.has_raised();
        match &*self.config {
            config if !config.check => Outcome::Fine,
            _ if is_alerted => Outcome::Alert,
            config if !config.alerts.rules.is_empty() => Outcome::Fine,
            _ if self.display.output().has_rows() => Outcome::Rows,
            _ => Outcome::Fine,
        }
    }

    /// Whether this run shows all connections every now and then.
    fn has_snapshots(&self) -> bool {
        match self.config.output {
            OutputKind::Trace | OutputKind::Conntrack => false,
            OutputKind::Table | OutputKind::Live => true,
            OutputKind::Json | OutputKind::Csv => self.kinds.data || self.config.once,
        }
    }

    /// Whether the output says whose a connection is already when it begins. A trace does not.
    pub(super) fn names_new_connections(&self) -> bool {
        self.config.output == OutputKind::Json && self.kinds.new
    }

    fn pause_of_ticks(&self) -> Duration {
        if self.has_snapshots() {
            self.config.delay.min(TICK)
        } else {
            TICK
        }
    }

    /// Tracks until something says that it is enough.
    pub fn until_stopped(&mut self, calls: &Receiver<Call>) -> Result<()> {
        let started = Instant::now();
        let deadline = self.config.duration.map(|duration| started + duration);
        let tick = self.pause_of_ticks();
        let (mut next_tick, mut next_snapshot, mut next_stats) =
            (started + tick, started + self.config.delay, started + STATS);
        if self.config.output == OutputKind::Live {
            next_snapshot = next_snapshot.min(started + FIRST_FRAME);
        }
        let mut pause = RING_PAUSE_MIN;
        while self.remaining != Some(0) {
            let now = Instant::now();
            let tick = self.pause_of_ticks();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            self.service.alive(now);
            if self.links.are_waiting() {
                self.follow_links()?;
            }
            let taken = self.take_events()?;
            if self.config.output != OutputKind::Live {
                // It may have become shorter (SIGHUP).
                next_snapshot = next_snapshot.min(now + self.config.delay);
            }
            let snapshot_is_due = self.has_snapshots() && now >= next_snapshot;
            // A snapshot shows what is now, next to books of now, not what the last tick found.
            if now >= next_tick || snapshot_is_due {
                self.tick()?;
                next_tick = now + tick;
                if snapshot_is_due {
                    let before = processor_time()?;
                    self.snapshot()?;
                    let took = processor_time()?.saturating_sub(before);
                    // Snapshots that are written come as they were ordered; a view that is on all day may not cost more.
                    let live = self.config.output == OutputKind::Live;
                    let delay = self.config.delay;
                    let rest = if live {
                        took * PAUSE_PER_FRAME
                    } else {
                        Duration::ZERO
                    };
                    next_snapshot = now + delay.max(rest);
                }
            }
            if now >= next_stats {
                self.report = self.report()?;
                self.display.output().stats(&self.report)?;
                self.say_status();
                next_stats = now + STATS;
            }
            self.display.output().flush()?;
            pause = if taken > 0 {
                RING_PAUSE_MIN
            } else {
                (pause * 2).min(RING_PAUSE_MAX)
            };
            let mut wake = next_tick.min(next_stats);
            if let Some(deadline) = deadline {
                wake = wake.min(deadline);
            }
            if self.has_snapshots() {
                wake = wake.min(next_snapshot);
            }
            if self.kinds.new || self.kinds.data {
                wake = wake.min(now + pause);
            }
            if let Some(sign) = self.service.next_sign() {
                wake = wake.min(sign);
            }
            let wait = if self.links.are_waiting() {
                Duration::ZERO
            } else {
                wake.saturating_duration_since(Instant::now())
            };
            if self.rest(calls, wait)? == Wish::Quit {
                break;
            }
        }
        Ok(())
    }

    /// Waits for what is next: a call, or a key.
    fn rest(&mut self, calls: &Receiver<Call>, wait: Duration) -> Result<Wish> {
        let Display::Live(view, _) = &mut self.display else {
            return Ok(match calls.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => Wish::Continue,
                Ok(call) => self.answer(call)?,
                Err(RecvTimeoutError::Disconnected) => Wish::Quit,
            });
        };
        for message in take_messages() {
            view.message(message)?;
        }
        let wish = view.input(wait.min(SIGNAL_PAUSE), &self.table, &self.knowledge)?;
        Ok(match calls.try_recv() {
            Err(TryRecvError::Empty) => wish,
            Ok(call) => match self.answer(call)? {
                Wish::Continue => wish,
                Wish::Quit => Wish::Quit,
            },
            Err(TryRecvError::Disconnected) => Wish::Quit,
        })
    }

    /// Does what was asked for.
    fn answer(&mut self, call: Call) -> Result<Wish> {
        match call {
            Call::Stop => return Ok(Wish::Quit),
            // The terminal hung up.
            Call::Reload if is_stdout_closed() => return Ok(Wish::Quit),
            Call::Reload => {
                self.service.reloading();
                if let Some(writer) = self.display.writer() {
                    writer.reopen();
                }
                if !self.config.files.is_empty() {
                    self.reload()?;
                }
                self.say_ready();
            }
            Call::Links => self.follow_links()?,
            Call::Summary => self.say_summary()?,
            Call::Scrape(reply) => self.scrape(reply)?,
        }
        Ok(Wish::Continue)
    }
}
