//! One run: tracker -> table -> outputs.
//!
//! The loop is one thread. It takes events from the ring buffer as they come. At each tick, it walks over the connections once, ends
//! those that have been idle for long enough, and hands the result to the outputs.

mod attach;
mod books;
mod captures;
mod dns;
mod end;
mod fence;
mod inputs;
mod knowledge;
mod links;
mod looking;
mod names;
mod reload;
mod replay;
mod roles;
mod scrape;
mod share;
mod signals;
mod sinks;
mod sockets;
mod stop;
mod systemd;
mod talks;
mod tick;
mod writer;

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

pub(crate) use books::hook_books;
pub(crate) use knowledge::{Interfaces, Knowledge, Whose};
pub(crate) use names::names;
pub(crate) use sinks::{output, try_out};
pub(crate) use sockets::sockets;
pub(crate) use talks::Talks;

use attach::say_tracking;
use captures::Captures;
use dns::Hearing;
use fence::give_up_rights;
use links::Links;
use roles::predecessors;
use share::{claim, resume_or_attach};
use signals::Signal;
use sinks::{Display, Others, Sinks, Taken, interface_hooks};
use systemd::ServiceManager;

use crate::bpf::{self, Attachment, Claim, Payloads, Tracker};
use crate::clock::monotonic_ns;
use crate::console::{ignore_closed_pipe, is_stdout_closed, say, take_messages};
use crate::model::{ConnectionId, Place, Predecessors, Report, Table};
use crate::netns;
use crate::plan::Plan;
use crate::process::EphemeralPorts;
use crate::view::{InterfaceHooks, Wish};

/// The longest time between two ticks.
const TICK: Duration = Duration::from_secs(1);
/// How often the service manager gets a status.
const STATUS: Duration = Duration::from_secs(10);
/// Pauses between reads of the ring buffers: short while events come, so that none is lost, longer while none come.
const RING_PAUSE_MIN: Duration = Duration::from_millis(1);
const RING_PAUSE_MAX: Duration = Duration::from_millis(32);
/// How long a signal may wait while the loop waits for keys.
const SIGNAL_PAUSE: Duration = Duration::from_millis(100);

/// What `--check` found. Without `--check` it is always `Fine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing.
    Fine,
    /// There was a row.
    Rows,
    /// There was an alert.
    Alert,
}

/// Tracks until the end of the run.
pub(crate) fn track(plan: Plan) -> Result<Outcome> {
    if plan.is_replay() {
        return replay::replay(plan);
    }
    netns::enter(plan.netns.as_deref())?;
    let links = Links::find(&plan.interfaces)?;
    bpf::OpenFiles::of(&links.first, plan.request)?.suffice()?;
    signals::hold_signals()?;
    let (caller, signals) = signals::channel();
    let mut run = Run::start(plan, links)?;
    give_up_rights().context("cannot give up the rights that are no longer needed")?;
    run.links.hear(&caller)?;
    run.fence_off()?;
    run.serve_metrics(&caller)?;
    signals::forward_signals(caller, run.plan.reloads(), run.leaving())?;
    run.ask_resolvers()?;
    run.say_ready();
    let result = ignore_closed_pipe(run.until_stopped(&signals));
    // Also after an error: the counts are worth more than a quick exit, and nothing may stay attached.
    let ended = ignore_closed_pipe(run.end());
    result.and(ended)?;
    Ok(run.outcome())
}

/// Everything that a run owns.
struct Run {
    plan: Plan,
    claim: Option<Claim>,
    tracker: Tracker,
    attachments: Vec<Attachment>,
    /// The interfaces, which may come and go.
    links: Links,
    knowledge: Knowledge,
    table: Table,
    /// The outputs.
    sinks: Sinks,
    service: ServiceManager,
    warned_addresses: bool,
    /// When to read this machine's own addresses again: no DNS answer may name them.
    own_addresses_due: Instant,
    events_lost: u64,
    /// When everything was attached, in nanoseconds of `CLOCK_MONOTONIC`.
    began_ns: u64,
    predecessors: Predecessors,
    ephemeral_ports: EphemeralPorts,
    /// The books of the latest tick.
    report: Report,
    /// DNS messages that wait for the next tick.
    hearing: Hearing,
    /// QUIC connections that have said all before a walk over the table met them.
    unmet_quic: Vec<(Place, ConnectionId)>,
}

impl Run {
    /// Loads and attaches the programs, and opens the outputs.
    pub fn start(plan: Plan, links: Links) -> Result<Self> {
        let taken = Taken::take(&plan)?;
        let others = Others::open(&plan, &links.first)?;
        let service = ServiceManager::of_environment();
        let settings = plan.settings(&links.first);
        let claim = claim(&plan, &links)?;
        // Before the first packet: its process may end a moment later.
        let processes = if plan.processes {
            Whose::start(monotonic_ns()?)
        } else {
            Whose::default()
        };
        let (mut tracker, attachments) =
            resume_or_attach(&plan, claim.as_ref(), &links, &settings)?;
        tracker.note_hooks(&attachments)?;
        let shown = interface_hooks(&attachments);
        let mut run = Self::assemble(
            plan,
            links,
            claim,
            (tracker, attachments),
            processes,
            (taken, others, service),
            shown,
        )?;
        run.share()?;
        say_tracking(&run.plan, &run.tracker, &run.attachments);
        if let Some(claim) = run.claim.as_ref().filter(|_| run.plan.verbose) {
            say(format_args!("udptrack list --name {} shows it", claim.name));
        }
        Ok(run)
    }

    /// Puts the parts together.
    fn assemble(
        plan: Plan,
        links: Links,
        claim: Option<Claim>,
        (tracker, attachments): (Tracker, Vec<Attachment>),
        processes: Whose,
        (taken, others, service): (Taken, Others, ServiceManager),
        shown: Vec<InterfaceHooks>,
    ) -> Result<Self> {
        let interfaces = Interfaces::of(tracker.hooks());
        let display = Display::new(&plan, shown, taken)?;
        let captures = Captures::begin(&plan, &tracker)?;
        let (ended, counts) = tracker.ended()?;
        let (events_lost, _) = tracker.losses()?;
        let table = tracker.table(plan.timeouts).after(ended, counts);
        Ok(Self {
            claim,
            tracker,
            attachments,
            links,
            knowledge: Knowledge {
                interfaces,
                processes,
                names: names(&plan.shown),
                talks: Talks::default(),
            },
            table,
            sinks: Sinks::new(&plan, display, others, captures),
            service,
            warned_addresses: false,
            own_addresses_due: Instant::now(),
            events_lost,
            began_ns: monotonic_ns()?,
            predecessors: Predecessors::with_room(predecessors(plan.max_connections.into())),
            ephemeral_ports: if plan.is_replay() {
                EphemeralPorts::default()
            } else {
                EphemeralPorts::read()
            },
            report: Report::default(),
            hearing: Hearing::default(),
            unmet_quic: Vec::new(),
            plan,
        })
    }

    /// What the exit status must tell. If there are alert rules, only alerts count, not rows.
    pub fn outcome(&mut self) -> Outcome {
        let is_alerted = self.sinks.others.alerts.has_raised();
        match &self.plan {
            plan if !plan.check => Outcome::Fine,
            _ if is_alerted => Outcome::Alert,
            plan if !plan.rules.is_empty() => Outcome::Fine,
            _ if self.sinks.display.has_rows() => Outcome::Rows,
            _ => Outcome::Fine,
        }
    }

    fn pause_of_ticks(&self) -> Duration {
        if self.plan.shown.has_snapshots() {
            self.plan.delay.min(TICK)
        } else {
            TICK
        }
    }

    /// The loop: tracks until something ends the run.
    pub fn until_stopped(&mut self, signals: &Receiver<Signal>) -> Result<()> {
        let started = Instant::now();
        let deadline = self.plan.duration.map(|duration| started + duration);
        let (mut next_tick, mut next_status) = (started + self.pause_of_ticks(), started + STATUS);
        self.sinks.display.begin(&self.plan, started);
        let mut pause = RING_PAUSE_MIN;
        while !self.sinks.have_enough() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            self.service.alive(now);
            if self.links.are_waiting() {
                self.follow_links()?;
            }
            let taken = self.take_events()?;
            // A snapshot must have the connections and the books of the same moment, so it needs a tick of its own.
            if now >= next_tick.min(self.sinks.display.next()) {
                self.tick()?;
                next_tick = now + self.pause_of_ticks();
            }
            if now >= next_status {
                self.say_status();
                next_status = now + STATUS;
            }
            self.sinks.display.flush()?;
            pause = if taken > 0 {
                RING_PAUSE_MIN
            } else {
                (pause * 2).min(RING_PAUSE_MAX)
            };
            let mut wake = next_tick.min(next_status).min(self.sinks.display.next());
            if let Some(deadline) = deadline {
                wake = wake.min(deadline);
            }
            if self.plan.shown.has_packets() || self.tracker.payloads() != Payloads::Off {
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
            if self.rest(signals, wait)? == Wish::Quit {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the next signal or key.
    fn rest(&mut self, signals: &Receiver<Signal>, wait: Duration) -> Result<Wish> {
        let Some(view) = self.sinks.display.view() else {
            return Ok(match signals.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => Wish::Continue,
                Ok(signal) => self.answer(signal)?,
                Err(RecvTimeoutError::Disconnected) => Wish::Quit,
            });
        };
        for message in take_messages() {
            view.message(message)?;
        }
        let mut wish = view.input(wait.min(SIGNAL_PAUSE), &self.table, &self.knowledge)?;
        if wish == Wish::Save {
            self.save_frames();
            wish = Wish::Continue;
        }
        Ok(match signals.try_recv() {
            Err(TryRecvError::Empty) => wish,
            Ok(signal) => match self.answer(signal)? {
                Wish::Quit => Wish::Quit,
                Wish::Continue | Wish::Save => wish,
            },
            Err(TryRecvError::Disconnected) => Wish::Quit,
        })
    }

    /// Saves the frames that `--record` keeps in memory.
    fn save_frames(&mut self) {
        match &mut self.sinks.captures {
            Some(captures) => captures.save(),
            None => say(format_args!("{}", captures::NOT_RECORDED)),
        }
    }

    /// Does what a signal asks for.
    fn answer(&mut self, signal: Signal) -> Result<Wish> {
        match signal {
            Signal::Stop => return Ok(Wish::Quit),
            // The terminal hung up.
            Signal::Reload if is_stdout_closed() => return Ok(Wish::Quit),
            Signal::Reload => {
                self.service.reloading();
                if let Some(writer) = self.sinks.display.writer() {
                    writer.reopen();
                }
                if let Some(captures) = &self.sinks.captures {
                    captures.reopen();
                }
                if self.plan.has_files {
                    self.reload()?;
                }
                self.say_ready();
            }
            Signal::Links => self.follow_links()?,
            Signal::Summary => self.say_summary()?,
            Signal::Save => self.save_frames(),
            Signal::Scrape(reply) => self.scrape(reply)?,
        }
        Ok(Wish::Continue)
    }
}
