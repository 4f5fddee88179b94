//! A run over captures (`-r`): frames of files in place of hooks, their times in place of the clock.
//!
//! The loop gives each frame to the programs, and before it does what became due meanwhile: ticks come as they come live, at the capture's
//! time, so that connections end and alerts are raised when they would have. Nothing is attached, pinned or found by others. What is
//! about this process, as frames of the live view and progress, goes by the machine's time.

mod files;
mod nameless;
mod progress;
mod queue;
mod shown;
mod source;
mod written;

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::attach::say_filter;
use super::fence::give_up_rights;
use super::knowledge::Interfaces;
use super::links::Links;
use super::signals::{self, Interruptible, Signal};
use super::sinks::{Others, Taken as Opened};
use super::systemd::ServiceManager;
use super::{Outcome, Run, Whose};
use crate::bpf::{OpenFiles, ReplayedFrame, Tracker};
use crate::clock;
use crate::console::{ignore_closed_pipe, note, say};
use crate::model::text::Visible;
use crate::model::{Ifindex, Tick};
use crate::plan::Plan;
use crate::view::{InterfaceHooks, Opening, Wish};
use progress::Progress;
use queue::{Batch, Taken};
use shown::can_show_progress;
use source::Source;

/// Frames between two looks into the ring buffers: the longest records of this number of frames fit into the smallest one.
const FRAMES_PER_LOOK: u32 = 128;
/// Between two looks at signals, keys and progress while frames are read.
const LOOK: Duration = Duration::from_millis(50);
/// Frames between two looks at the machine's clock.
const FRAMES_PER_CLOCK: u32 = 64;
/// How often frames that have not come are looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// While a capture is still being made, its clock runs between frames, this much behind this machine's clock: frames that are under way are
/// not late then.
const BEHIND: Duration = Duration::from_secs(2);
/// A capture whose frames are so near to this machine's time is being made.
const NEAR: Duration = Duration::from_secs(10);
/// What tells of exports that wait: frames do not come faster than those can be sent.
const UNSENT: usize = 256;

/// Tracks what is in captures, to their end.
pub(super) fn replay(plan: Plan) -> Result<Outcome> {
    OpenFiles::of(&[], plan.request)?.suffice()?;
    signals::hold_signals()?;
    let (caller, signals) = signals::channel();
    let source = Source::open(&plan.read, plan.stored_bytes(), plan.per_interface)?;
    let first_ns = first_ns(&plan, &source)?;
    clock::begin_replay(first_ns);
    let mut run = Run::start_replay(plan, &source)?;
    give_up_rights().context("cannot give up the rights that are no longer needed")?;
    run.fence_off()?;
    run.serve_metrics(&caller)?;
    signals::forward_signals(caller, run.plan.reloads(), run.leaving())?;
    run.ask_resolvers()?;
    run.say_ready();
    let result = ignore_closed_pipe(Replay::new(&mut run, &source, &signals, first_ns).run());
    source.queue.close();
    let ended = ignore_closed_pipe(run.end());
    for text in source.queue.take_notes() {
        say(format_args!("{text}"));
    }
    result.and(ended)?;
    match source.queue.take_error() {
        Some(error) => Err(error.into()),
        None => Ok(run.outcome()),
    }
}

/// When the first frame was seen. Of a pipe it is waited for: until then Ctrl-C ends the process. Where there is none, it is now.
fn first_ns(plan: &Plan, source: &Source) -> Result<u64> {
    let _interruptible = Interruptible::begin(Opening::give_back)?;
    if source.total_bytes.is_none() && plan.verbose {
        say(format_args!("waiting for the first frame"));
    }
    Ok(source
        .queue
        .first_ns()
        .unwrap_or_else(|| wall_ns(Duration::ZERO)))
}

/// This machine's time, minus this delay, in nanoseconds since 1970.
fn wall_ns(ago: Duration) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().saturating_sub(ago).as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX)
}

impl Run {
    /// Loads the programs, and opens what the run shows itself in.
    fn start_replay(plan: Plan, source: &Source) -> Result<Self> {
        let opened = Opened::take(&plan)?;
        let others = Others::open(&plan, &[])?;
        let service = ServiceManager::of_environment();
        let tracker = {
            let _interruptible = Interruptible::begin(Opening::give_back)?;
            Tracker::load(&plan.settings(&[]))?
        };
        let shown = vec![InterfaceHooks {
            name: source.name.clone(),
            ingress: "in the capture".to_owned(),
            egress: Some("in the capture".to_owned()),
        }];
        let run = Self::assemble(
            plan,
            Links::none(),
            None,
            (tracker, Vec::new()),
            Whose::default(),
            (opened, others, service),
            shown,
        )?;
        if !run.plan.quiet {
            note(format_args!("reading {}", Visible(&source.name)));
            say_filter(&run.plan);
        }
        Ok(run)
    }

    /// What is known now, for who asks between two ticks; nothing ends by it.
    pub(super) fn refresh(&mut self) -> Result<()> {
        if !self.plan.is_replay() {
            return self.tick();
        }
        self.tracker.look(&mut self.table, clock::monotonic_ns()?)?;
        self.report = self.report()?;
        Ok(())
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    On,
    /// Somebody wants it to end.
    Ending,
}

/// The loop.
struct Replay<'a> {
    run: &'a mut Run,
    source: &'a Source,
    signals: &'a Receiver<Signal>,
    progress: Progress,
    /// The interfaces that batches have told of.
    interfaces: Vec<Ifindex>,
    /// The capture's clock.
    now_ns: u64,
    next_tick_ns: u64,
    /// When the next tick is due, for whatever reason.
    due_ns: u64,
    ends_ns: Option<u64>,
    /// When the first frame was seen there, and here.
    began: (u64, Instant),
    frames: u64,
    since_look: u32,
    since_clock: u32,
    looked: Instant,
    /// Frames with earlier times than one before them, and how far the latest had to be moved at most.
    late: u64,
    latest_ns: u64,
    /// Whether the capture is being made.
    is_live: bool,
}

impl<'a> Replay<'a> {
    fn new(
        run: &'a mut Run,
        source: &'a Source,
        signals: &'a Receiver<Signal>,
        first_ns: u64,
    ) -> Self {
        let now = Instant::now();
        let duration = run.plan.duration.map(nanoseconds);
        let has_lines = !run.plan.shown.is_live();
        Self {
            next_tick_ns: first_ns + nanoseconds(run.pause_of_ticks()),
            due_ns: first_ns,
            ends_ns: duration.map(|duration| first_ns.saturating_add(duration)),
            progress: Progress::new(
                source.total_bytes,
                has_lines && !run.plan.quiet && run.plan.speed.is_none() && can_show_progress(run),
            ),
            run,
            source,
            signals,
            interfaces: Vec::new(),
            now_ns: first_ns,
            began: (first_ns, now),
            frames: 0,
            since_look: 0,
            since_clock: 0,
            looked: now,
            late: 0,
            latest_ns: 0,
            is_live: false,
        }
    }

    /// Reads to the end, or until somebody wants it to end. A live view stays.
    fn run(mut self) -> Result<()> {
        let began = if self.run.plan.shown.is_live() {
            self.began.1
        } else {
            clock::now()
        };
        self.run.sinks.display.begin(&self.run.plan, began);
        self.due_ns = self.next_due_ns();
        let read = self.read().and_then(|goes| {
            self.run.take_events()?;
            // What is found out at ticks is found out of what came after the last one, too.
            if !self.run.sinks.display.has_enough() {
                self.run.tick()?;
                let run = &mut *self.run;
                let tick = Tick::new(self.now_ns, &run.table, &run.report, &run.knowledge);
                run.sinks.display.show_last(&tick)?;
            }
            if goes == Goes::Ending {
                return Ok(goes);
            }
            self.wait_for_captures(true)
        });
        self.progress.clear();
        let goes = read?;
        self.say_late();
        if goes == Goes::On && self.run.sinks.display.view().is_some() {
            self.show_end()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Goes> {
        let mut batch = Batch::default();
        loop {
            if self.run.sinks.have_enough() {
                return Ok(Goes::Ending);
            }
            let goes = match self.source.queue.take(&mut batch, PAUSE) {
                Taken::Some => self.give_all(&batch)?,
                Taken::Nothing => self.go_on_without()?,
                Taken::Over => return Ok(Goes::On),
            };
            if goes == Goes::Ending {
                return Ok(goes);
            }
        }
    }

    fn give_all(&mut self, batch: &Batch) -> Result<Goes> {
        for interface in &batch.interfaces {
            let ethernet = interface.link == crate::capture::read::Link::Ethernet;
            let tracker = &mut self.run.tracker;
            let index = tracker.admit_captured(&interface.name, ethernet)?;
            self.interfaces.push(index);
            if let Some(captures) = &mut self.run.sinks.captures {
                captures.admit(index, interface.link_type);
            }
        }
        let mut last_ns = self.now_ns;
        for (head, captured) in batch.frames() {
            last_ns = head.ns;
            if self.wait_for(head.ns)? == Goes::Ending || self.advance(head.ns)? == Goes::Ending {
                return Ok(Goes::Ending);
            }
            let interface = self.interfaces.get(head.interface);
            let frame = ReplayedFrame {
                ns: self.now_ns,
                interface: *interface.context("a frame of an interface that was not told of")?,
                direction: head.direction,
                wire_bytes: head.wire_bytes,
                data: captured.data(),
            };
            let replayed = self.run.tracker.replay(&frame)?;
            if replayed.is_first {
                let hooks = self.run.tracker.hooks();
                self.run.knowledge.interfaces = Interfaces::of(hooks);
            }
            if let Some(connection) = replayed.wanted {
                self.run.keep(connection, &frame, &head, &captured);
            }
            self.frames += 1;
            self.since_look += 1;
            if self.since_look >= FRAMES_PER_LOOK && self.empty_rings()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
            self.since_clock += 1;
            if self.since_clock >= FRAMES_PER_CLOCK && self.look_around()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
        }
        if self.source.total_bytes.is_none() {
            self.is_live = wall_ns(Duration::ZERO).abs_diff(last_ns) < nanoseconds(NEAR);
            // What came is shown before more is waited for.
            if self.empty_rings()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
            return self.look_around();
        }
        Ok(Goes::On)
    }

    /// No frame has come. Where the capture is being made, its time goes on all the same.
    fn go_on_without(&mut self) -> Result<Goes> {
        if self.is_live && self.run.plan.speed.is_none() {
            let ns = wall_ns(BEHIND);
            if ns > self.now_ns && self.advance(ns)? == Goes::Ending {
                return Ok(Goes::Ending);
            }
        }
        if self.empty_rings()? == Goes::Ending {
            return Ok(Goes::Ending);
        }
        self.look_around()
    }

    /// With `--speed`, until the frame of that time is due.
    fn wait_for(&mut self, ns: u64) -> Result<Goes> {
        let Some(speed) = self.run.plan.speed else {
            return Ok(Goes::On);
        };
        let (first_ns, began) = self.began;
        loop {
            let passed = began.elapsed().mul_f64(speed);
            let now_ns = first_ns.saturating_add(nanoseconds(passed));
            if now_ns >= ns {
                return Ok(Goes::On);
            }
            if self.advance(now_ns)? == Goes::Ending {
                return Ok(Goes::Ending);
            }
            if self.empty_rings()? == Goes::Ending || self.look_around()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
            let left = Duration::from_nanos(ns - now_ns).div_f64(speed);
            if self.rest(left.min(LOOK))? == Goes::Ending {
                return Ok(Goes::Ending);
            }
        }
    }

    /// Brings the capture's clock to a moment, and does what becomes due on the way. It never goes back.
    fn advance(&mut self, ns: u64) -> Result<Goes> {
        if ns <= self.now_ns {
            if ns < self.now_ns {
                self.late += 1;
                self.latest_ns = self.latest_ns.max(self.now_ns - ns);
            }
            return Ok(Goes::On);
        }
        let until = self.ends_ns.map_or(ns, |ends_ns| ends_ns.min(ns));
        while self.due_ns <= until {
            let due_ns = self.due_ns.max(self.now_ns);
            self.set_clock(due_ns);
            self.run.take_events()?;
            self.since_look = 0;
            self.run.tick()?;
            self.next_tick_ns = due_ns + nanoseconds(self.run.pause_of_ticks());
            self.run.sinks.display.flush()?;
            self.wait_for_exports();
            if self.wait_for_captures(false)? == Goes::Ending || self.run.sinks.have_enough() {
                return Ok(Goes::Ending);
            }
            self.jump(until);
            self.due_ns = self.next_due_ns();
            self.since_clock += FRAMES_PER_CLOCK / 8;
            if self.since_clock >= FRAMES_PER_CLOCK && self.look_around()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
        }
        self.set_clock(until);
        Ok(if until < ns { Goes::Ending } else { Goes::On })
    }

    fn next_due_ns(&self) -> u64 {
        if self.run.plan.shown.is_live() {
            return self.next_tick_ns;
        }
        let shown = clock::capture_ns(self.run.sinks.display.next());
        self.next_tick_ns.min(shown.max(self.now_ns))
    }

    fn set_clock(&mut self, ns: u64) {
        self.now_ns = ns;
        clock::replay_until(ns);
    }

    /// Over a silence in which nothing is left that could end, and nobody wants to hear of each second.
    fn jump(&mut self, until_ns: u64) {
        if !self.run.is_quiet() {
            return;
        }
        let pause = nanoseconds(self.run.pause_of_ticks());
        if let Some(left) = until_ns.checked_sub(self.next_tick_ns) {
            self.next_tick_ns += left / pause * pause;
            self.run
                .sinks
                .display
                .pass_over(clock::moment(self.next_tick_ns));
        }
    }

    fn empty_rings(&mut self) -> Result<Goes> {
        self.since_look = 0;
        self.run.take_events()?;
        self.run.hand_over_many_dns()?;
        self.run.hand_over_frames(self.now_ns)?;
        self.wait_for_captures(false)
    }

    /// Until frames are written, where too many wait for that; or all of them.
    fn wait_for_captures(&mut self, all: bool) -> Result<Goes> {
        while self.run.is_behind(all) {
            std::thread::sleep(Duration::from_millis(1));
            if self.look_around()? == Goes::Ending {
                return Ok(Goes::Ending);
            }
        }
        Ok(Goes::On)
    }

    /// Looks at signals, keys and progress, if it is time for that.
    fn look_around(&mut self) -> Result<Goes> {
        self.since_clock = 0;
        let now = Instant::now();
        if now.saturating_duration_since(self.looked) < LOOK {
            return Ok(Goes::On);
        }
        self.looked = now;
        self.due_ns = self.next_due_ns();
        self.run.service.alive(now);
        self.run.sinks.display.flush()?;
        self.progress
            .show(now, self.frames, self.source.queue.read_bytes());
        self.show_frame(now)?;
        self.rest(Duration::ZERO)
    }

    /// Waits for a signal, or a key.
    fn rest(&mut self, wait: Duration) -> Result<Goes> {
        if self.run.sinks.display.view().is_none() && wait.is_zero() {
            return match self.signals.try_recv() {
                Err(TryRecvError::Empty) => Ok(Goes::On),
                Ok(signal) => Ok(goes(self.run.answer(signal)?)),
                Err(TryRecvError::Disconnected) => Ok(Goes::Ending),
            };
        }
        Ok(goes(self.run.rest(self.signals, wait)?))
    }

    /// A collector may be slower than a capture is read.
    fn wait_for_exports(&mut self) {
        while self.run.sinks.unsent().is_some_and(|left| left > UNSENT) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn goes(wish: Wish) -> Goes {
    match wish {
        // Done where the wish was heard.
        Wish::Continue | Wish::Save => Goes::On,
        Wish::Quit => Goes::Ending,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
