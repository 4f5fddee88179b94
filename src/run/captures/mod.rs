//! Captures that a run writes (`-w`): the loop's half. A thread takes frames from the kernel and writes them (`thread`); the loop tells it
//! at each tick whose they are, and whether they are wanted.
//!
//! The kernel copies the frames of each new connection until the loop says that they are not wanted: so a choice by what only becomes known
//! later, such as the process, has the first packets, too.

mod about;
mod capture;
mod file;
mod memory;
mod saved;
mod shared;
mod thread;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread as threads;

use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;

use crate::alert::Notice;
use crate::bpf::Tracker;
use crate::capture::write::{self, Sequence};
use crate::listing::Query;
use crate::model::text::Grouped;
use crate::model::{
    Amendment, Captured, Change, ConnectionId, Ended, Ifindex, Place, PlaceMap, Sample, Sink, Tick,
};
use crate::output::Clock;
use crate::plan::{Captures as Plan, Plan as RunPlan, WriteTo};
use crate::run::fence;
use about::about;
use capture::{Meta, Origin};
use memory::{Memory, Reason};
use saved::Saved;
use shared::{About, Known, Order, Shared};
use thread::Worker;

/// What is said where there is nothing to be saved.
pub(super) const NOT_RECORDED: &str = "no frames are kept in memory: --record 64MB does it";

/// So many ticks a connection is looked for in the table; where that is large, not all of it is walked over at each.
const LOOKS: u8 = 4;

/// The loop's half.
pub(super) struct Captures {
    shared: Arc<Shared>,
    /// Which connections are wanted of those that are tracked; `None`: all.
    query: Option<Query>,
    judged: PlaceMap<(ConnectionId, bool)>,
    /// What the thread wants to know, and how often it was looked for.
    asked: Vec<(Place, ConnectionId, u8)>,
    amendments: Vec<Amendment>,
    /// When the tick before was.
    ticked_ns: u64,
    name: String,
    /// What is to become of frames.
    plan: Plan,
    is_quiet: bool,
    messages: Vec<String>,
    /// Frames that were still waiting when the end waited no longer.
    left: u64,
    /// What became of it at the end.
    outcome: io::Result<()>,
    is_lossy: bool,
}

impl Captures {
    /// Opens what is written to, and starts the thread, which gives up its rights by itself. To be called with all rights, when
    /// everything is attached.
    pub fn begin(plan: &RunPlan, tracker: &Tracker) -> Result<Option<Self>> {
        let Some(captures) = &plan.captures else {
            return Ok(None);
        };
        if tracker.frame_bytes() == 0 {
            bail!(
                "this kernel does not let programs copy frames here (it is locked down): --hook tc can"
            );
        }
        let shared = Arc::new(Shared::default());
        let query = plan.chooses().then(|| plan.shown.query.clone());
        let name = captures.name();
        let worker = worker(plan, captures, tracker, &shared)?;
        let folders = captures.folders();
        threads::Builder::new()
            .name("capture".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || match fence::put_up_for_files(&folders) {
                    Ok(()) => worker.work(),
                    Err(error) => {
                        let mut state = shared.state();
                        state.error = Some((io::ErrorKind::Other, format!("{error:#}")));
                        state.is_over = true;
                    }
                }
            })
            .context("cannot start a thread for captures")?;
        Ok(Some(Self {
            shared,
            query,
            judged: PlaceMap::default(),
            asked: Vec::new(),
            amendments: Vec::new(),
            ticked_ns: 0,
            name,
            plan: captures.clone(),
            is_quiet: plan.quiet,
            messages: Vec::new(),
            left: 0,
            outcome: Ok(()),
            is_lossy: false,
        }))
    }

    /// What the interfaces are and came to.
    pub fn know(&mut self, tracker: &Tracker) -> Result<()> {
        let known = interfaces(tracker)?;
        if !self.is_lossy && known.values().any(|it| it.lost > 0) {
            self.is_lossy = true;
            self.messages.push(
                "frames are lost: they come faster than they can be taken. A smaller --snaplen or a filter helps"
                    .to_owned(),
            );
        }
        self.shared.state().interfaces = Some(known);
        Ok(())
    }

    /// The file was moved away.
    pub fn reopen(&self) {
        self.shared.order(Order::Reopen);
    }

    /// Saves what is in memory, and what follows. Says where, or why not.
    pub fn save(&mut self) {
        if self.plan.record.is_some() {
            self.shared.order(Order::Save(Reason::Asked));
        } else {
            self.messages.push(NOT_RECORDED.to_owned());
        }
    }

    /// The same for an alert that has begun.
    pub fn alert(&self, notice: &Notice) {
        let saves = self.plan.record.as_ref().is_some_and(|it| it.on_alert);
        if saves && notice.firing {
            let rule = notice.rule.name.clone();
            self.shared.order(Order::Save(Reason::Alert(rule)));
        }
    }

    /// Whether there are as many files as were asked for.
    pub fn has_enough(&self) -> bool {
        self.shared.state().has_enough
    }

    /// What connections are to be told to the kernel.
    pub fn take_amendments(&mut self) -> Vec<Amendment> {
        std::mem::take(&mut self.amendments)
    }

    /// What became of the frames that were wanted; `lost`: those that the kernel had no room for, by direction.
    pub fn captured(&self, lost: [u64; 2]) -> Captured {
        let done = self.shared.state().done;
        Captured {
            written: done.written,
            merged: done.merged,
            lost,
            unwritten: done.unwritten + done.undecided + self.left,
            files: done.files,
            memory: self.plan.record.as_ref().map(|_| done.memory),
        }
    }

    /// Says whose frames have come, as far as it is known; at the end, of all.
    fn answer(&mut self, tick: &Tick<'_>, is_end: bool) {
        let asked = std::mem::take(&mut self.shared.state().asked);
        let asked = asked.into_iter().map(|(place, id)| (place, id, 0));
        let asked: Vec<_> = std::mem::take(&mut self.asked)
            .into_iter()
            .chain(asked)
            .collect();
        if asked.is_empty() {
            return;
        }
        let ended: HashMap<ConnectionId, &Sample> = tick
            .ended
            .iter()
            .map(|ended| (ended.sample.id, &ended.sample))
            .collect();
        let mut abouts = Vec::new();
        for (place, id, looks) in asked {
            let live = tick.table.get(place).map(|live| live.sample);
            let live = live.filter(|sample| sample.id == id);
            let sample = live.as_ref().or_else(|| ended.get(&id).copied());
            match sample {
                Some(sample) => abouts.push(self.judge(sample, tick)),
                None if looks < LOOKS && !is_end => self.asked.push((place, id, looks + 1)),
                None => abouts.push(About {
                    place,
                    id,
                    wanted: self.query.is_none(),
                    comment: format!("conn {id}"),
                }),
            }
        }
        self.shared.state().abouts.append(&mut abouts);
    }

    fn judge(&mut self, sample: &Sample, tick: &Tick<'_>) -> About {
        let query = self.query.as_ref();
        let wanted = query.is_none_or(|query| query.wants_sample(sample, tick.facts));
        if query.is_some() {
            let before = self.judged.insert(sample.place, (sample.id, wanted));
            // The kernel takes each new connection to be wanted.
            let was_wanted = before.is_none_or(|(id, wanted)| id != sample.id || wanted);
            if wanted != was_wanted {
                self.amendments
                    .push(Amendment::of(sample, Change::Frames { wanted }));
            }
        }
        About {
            place: sample.place,
            id: sample.id,
            wanted,
            comment: about(sample, tick.facts),
        }
    }

    /// What has become of those that were judged before.
    fn judge_again(&mut self, tick: &Tick<'_>) {
        let Some(query) = &self.query else {
            return;
        };
        let since_ns = std::mem::replace(&mut self.ticked_ns, tick.now_ns);
        let mut changed = Vec::new();
        for connection in tick.table.grown_since(since_ns) {
            let sample = connection.sample;
            let judged = self.judged.get(sample.place);
            if let Some((id, wanted)) = judged
                && *id == sample.id
                && query.wants_sample(&sample, tick.facts) != *wanted
            {
                changed.push(sample);
            }
        }
        let mut abouts: Vec<About> = changed.iter().map(|it| self.judge(it, tick)).collect();
        self.shared.state().abouts.append(&mut abouts);
    }

    fn ok(&self) -> io::Result<()> {
        match &self.shared.state().error {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    /// Writes what is left. To be called when nothing more comes, before the last report is made.
    pub fn end(&mut self, tick: &Tick<'_>) {
        self.outcome = self.ok().and_then(|()| {
            self.shared.order(Order::Drain);
            if self.shared.wait_until(|state| state.is_drained) {
                self.answer(tick, true);
                self.shared.order(Order::Finish);
                self.shared.wait_until(|state| state.is_over);
            }
            self.ok()?;
            self.say_done()
        });
    }

    /// What there is to say at the end.
    fn say_done(&mut self) -> io::Result<()> {
        let state = self.shared.state();
        let done = state.done;
        self.left = state.waiting as u64;
        drop(state);
        let name = &self.name;
        if !self.is_quiet && self.plan.to.is_some() {
            let files = match done.files {
                1 => String::new(),
                files => format!(", {} files", Grouped(files)),
            };
            let noun = match done.connections {
                1 => "connection",
                _ => "connections",
            };
            self.messages.push(format!(
                "{} frames of {} {noun} are in {name}{files}",
                Grouped(done.written),
                Grouped(done.connections)
            ));
            if done.merged > 0 {
                self.messages.push(format!(
                    "{} of these frames are several packets, which the kernel had merged or not cut yet",
                    Grouped(done.merged)
                ));
            }
        }
        let unwritten = done.unwritten + done.undecided + self.left;
        if unwritten > 0 {
            return Err(io::Error::other(format!(
                "{} frames could not be written to {name}",
                Grouped(unwritten)
            )));
        }
        Ok(())
    }
}

impl Sink for Captures {
    fn ended(&mut self, ended: &Ended, _facts: &dyn crate::model::Facts) -> io::Result<()> {
        let sample = &ended.sample;
        if self
            .judged
            .get(sample.place)
            .is_some_and(|(id, _)| *id == sample.id)
        {
            self.judged.remove(sample.place);
        }
        Ok(())
    }

    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        self.answer(tick, false);
        self.judge_again(tick);
        self.ok()
    }

    fn finish(&mut self, _tick: &Tick<'_>, _goes_on: bool) -> io::Result<()> {
        std::mem::replace(&mut self.outcome, Ok(()))
    }

    fn take_messages(&mut self) -> Vec<String> {
        let mut messages = std::mem::take(&mut self.shared.state().messages);
        messages.append(&mut self.messages);
        messages
    }
}

/// The thread, with its file open.
fn worker(
    plan: &RunPlan,
    captures: &Plan,
    tracker: &Tracker,
    shared: &Arc<Shared>,
) -> Result<Worker> {
    let clock = Clock::new().context("cannot read the clock")?;
    let now = clock.unix_ns(clock.now_ns()?);
    let meta = Meta {
        origin: Origin {
            application: concat!("udptrack ", env!("CARGO_PKG_VERSION")).to_owned(),
            system: system(),
            filter: plan.filter_text.clone(),
            snaplen: captures.snaplen.unwrap_or(write::WHOLE),
            began_ns: now,
        },
        interfaces: interfaces(tracker)?,
    };
    let sequence = match &captures.to {
        None | Some(WriteTo::Stdout) => None,
        Some(WriteTo::File { path, rotation }) => {
            let sequence = Sequence::new(path, *rotation, TimeZone::system(), now);
            Some(
                sequence
                    .map_err(anyhow::Error::msg)
                    .context("-w, with -G")?,
            )
        }
    };
    Ok(Worker {
        ring: tracker.frame_ring()?,
        shared: Arc::clone(shared),
        clock,
        chooses: plan.chooses(),
        saved: captures
            .to
            .is_some()
            .then(|| Saved::open(sequence, &meta))
            .transpose()?,
        memory: captures
            .record
            .as_ref()
            .map(|record| Memory::new(record.bytes, record.folder.clone(), record.after)),
        undecided: 0,
        meta,
        known: PlaceMap::default(),
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        asked: PlaceMap::default(),
        ends: false,
    })
}

/// The interfaces that are tracked, or were.
fn interfaces(tracker: &Tracker) -> Result<HashMap<Ifindex, Known>> {
    let mut all: HashMap<Ifindex, Known> = HashMap::new();
    for hook in tracker
        .hooks()
        .iter()
        .filter(|hook| hook.index != Ifindex(0))
    {
        let received = tracker.books_of(hook)?.seen.packets;
        let lost = tracker.frames_lost(hook)?;
        let known = all.entry(hook.index).or_default();
        if known.name.is_empty() || !hook.is_gone {
            known.name.clone_from(&hook.interface);
            known.ethernet = hook.ethernet;
        }
        known.received += received;
        known.lost += lost;
    }
    Ok(all)
}

/// Name and release of the kernel.
fn system() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "Linux".to_owned(),
        |it| format!("{} {}", it.sysname().display(), it.release().display()),
    )
}
