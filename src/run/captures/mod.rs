//! Captures that a run writes (`-w`): the loop's half. A thread takes frames from the kernel and writes them (`thread`); the loop tells it
//! at each tick whose they are, and whether they are wanted.
//!
//! The kernel copies the frames of each new connection until the loop says that they are not wanted: so a choice by what only becomes known
//! later, such as the process, has the first packets, too. Frames of a capture that is read are not copied: the loop has them (`given`).

mod about;
mod arrivals;
mod capture;
mod file;
mod files;
mod given;
mod memory;
mod opening;
mod saved;
mod shared;
mod thread;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread as threads;

use anyhow::{Context as _, Result, bail};

use crate::alert::Notice;
use crate::bpf::{Frame, Tracker};
use crate::capture::write::LINKTYPE_ETHERNET;
use crate::listing::Query;
use crate::model::text::Grouped;
use crate::model::{
    Amendment, Captured, Change, ConnectionId, Ifindex, Place, PlaceMap, Sample, Sink, Tick,
};
use crate::plan::{Captures as Plan, Plan as RunPlan};
use crate::run::fence;
use about::about;
use given::Given;
use memory::Reason;
use opening::{interfaces, worker};
use shared::{About, Order, Shared, Taken};

/// The message if there is nothing to save.
pub(super) const NOT_RECORDED: &str = "no frames are in memory: start udptrack with --record 64MB";

/// For how many ticks a connection is looked for in the table: a large table is not walked over completely at each tick.
const LOOKS: u8 = 4;

/// The loop's half.
pub(super) struct Captures {
    shared: Arc<Shared>,
    /// Which connections are wanted of those that are tracked; `None`: all.
    query: Option<Query>,
    judged: PlaceMap<Arc<About>>,
    /// Frames of a capture, where one is read.
    given: Option<Given>,
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
        if tracker.frame_bytes() == 0 && plan.is_replay() {
            bail!("this kernel does not let programs choose frames");
        }
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
            given: plan.is_replay().then(Given::default),
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
        let link_types = self.given.as_ref().map(|given| &given.link_types);
        let known = interfaces(tracker, link_types)?;
        if !self.is_lossy && known.values().any(|it| it.lost > 0) {
            self.is_lossy = true;
            self.messages.push(
                "frames are lost: they come faster than udptrack can take them. Use a smaller --snaplen or a filter"
                    .to_owned(),
            );
        }
        if let Some(given) = &mut self.given {
            given.interfaces = known.keys().copied().collect();
        }
        self.shared.state().interfaces = Some(known);
        Ok(())
    }

    /// An interface of a capture, and the number of what its frames begin with there.
    pub fn admit(&mut self, interface: Ifindex, link_type: i32) {
        if let Some(given) = &mut self.given {
            let link_type = u16::try_from(link_type).unwrap_or(LINKTYPE_ETHERNET);
            given.link_types.insert(interface, link_type);
        }
    }

    /// A frame of a capture that may be wanted, seen at this time.
    pub fn give(&mut self, frame: Frame, unix_ns: u64) {
        if let Some(given) = &mut self.given {
            given.push(frame, unix_ns);
        }
    }

    /// Whether too many frames wait, so that they must be decided before the next tick.
    pub fn is_full(&self) -> bool {
        self.given.as_ref().is_some_and(Given::is_full)
    }

    /// Judges all connections whose frames wait, as they are now.
    pub fn judge_given(&mut self, tick: &Tick<'_>) {
        let given = self.given.as_ref();
        let unknown = given.map(|given| given.unknown(&self.judged));
        for (place, id) in unknown.unwrap_or_default() {
            if self.judged.get(place).is_some_and(|about| about.id == id) {
                continue;
            }
            let live = tick.table.read(place).filter(|sample| sample.id == id);
            let ended = || tick.ended.iter().map(|it| it.sample).find(|it| it.id == id);
            if let Some(sample) = live.or_else(ended) {
                self.judge(&sample, tick);
            } else {
                let about = About::nothing(place, id, self.query.is_none());
                self.judged.insert(place, Arc::new(about));
            }
        }
    }

    /// Hands over the frames of a capture that are judged. The capture has come to this time.
    pub fn hand_over(&mut self, now_ns: u64) -> io::Result<()> {
        self.ok()?;
        let Some(given) = &mut self.given else {
            return Ok(());
        };
        let frames = given.take(&self.judged);
        let until_ns = given.oldest_ns().unwrap_or(now_ns);
        if frames.is_empty() && self.plan.record.is_none() {
            return Ok(());
        }
        let mut state = self.shared.state();
        state.waiting += frames.len();
        state.waiting_bytes += frames.iter().map(Taken::bytes).sum::<usize>();
        drop(state);
        self.shared.order(Order::Write(frames, until_ns));
        Ok(())
    }

    /// Whether no more frames are to be read before some are written: because too many wait or, where all of them are to be written, any.
    pub fn is_behind(&self, all: bool) -> bool {
        let state = self.shared.state();
        // Where the number of files ends the run, it ends with the same frame each time.
        let all = all || self.plan.may_end();
        !state.is_over && (given::is_too_much(state.waiting_bytes) || (all && state.waiting > 0))
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
            self.shared.order(Order::Save(Reason::Alert {
                rule: notice.rule.name.clone(),
                words: notice.to_string(),
            }));
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
                None => {
                    let wanted = self.query.is_none();
                    abouts.push(Arc::new(About::nothing(place, id, wanted)));
                }
            }
        }
        self.shared.state().abouts.append(&mut abouts);
    }

    fn judge(&mut self, sample: &Sample, tick: &Tick<'_>) -> Arc<About> {
        let query = self.query.as_ref();
        let wanted = query.is_none_or(|query| query.wants_sample(sample, tick.facts));
        let about = Arc::new(About {
            place: sample.place,
            id: sample.id,
            wanted,
            comment: about(sample, tick.facts),
        });
        if query.is_some() || self.given.is_some() {
            let before = self.judged.insert(sample.place, Arc::clone(&about));
            // The kernel takes each new connection to be wanted.
            let was_wanted = before.is_none_or(|it| it.id != sample.id || it.wanted);
            if wanted != was_wanted {
                self.amendments
                    .push(Amendment::of(sample, Change::Frames { wanted }));
            }
        }
        about
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
            if let Some(about) = judged
                && about.id == sample.id
                && query.wants_sample(&sample, tick.facts) != about.wanted
            {
                changed.push(sample);
            }
        }
        let abouts = changed.iter().map(|it| self.judge(it, tick));
        let mut abouts: Vec<Arc<About>> = abouts.collect();
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
        self.judge_given(tick);
        self.outcome = self.hand_over(tick.now_ns).and_then(|()| {
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
        let files = state.files.clone();
        self.left = state.waiting as u64;
        drop(state);
        let name = &self.name;
        if !self.is_quiet && self.plan.to.is_some() {
            let noun = match done.connections {
                1 => "connection",
                _ => "connections",
            };
            self.messages.push(format!(
                "{} frames of {} {noun} {files}",
                Grouped(done.written),
                Grouped(done.connections)
            ));
            if done.after > 0 {
                self.messages.push(format!(
                    "{} frames came after the last file (-W): they are in none",
                    Grouped(done.after)
                ));
            }
            if done.merged > 0 {
                self.messages.push(format!(
                    "{} of these frames are several packets that the kernel had merged or not yet split",
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
    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        self.answer(tick, false);
        self.judge_given(tick);
        let handed = self.hand_over(tick.now_ns);
        self.judge_again(tick);
        for ended in tick.ended {
            let Sample { place, id, .. } = ended.sample;
            if self.judged.get(place).is_some_and(|about| about.id == id) {
                self.judged.remove(place);
            }
        }
        handed
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
