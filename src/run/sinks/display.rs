//! Where a run shows what it finds: lines on standard output or in a file, or the live view on the terminal.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::lines::output;
use super::pace::Pace;
use super::whole::Whole;
use crate::alert::Notice;
use crate::bpf::Attachment;
use crate::clock::{self, processor_time};
use crate::console::{HeldMessages, is_stdout_closed};
use crate::dns::Seen;
use crate::listing::Query;
use crate::model::services::{SERVICES, Services};
use crate::model::{
    Connection, EndReason, Ended, Event, EventKind, Facts, Kinds, Sample, Sink, Tick,
};
use crate::output::Output;
use crate::plan::{Plan, Subject, WAITING_LINES};
use crate::process::command_line;
use crate::run::inputs::Inputs;
use crate::run::writer::{self, Target, Writer};
use crate::sockets::Snapshot;
use crate::view::{InterfaceHooks, Opening, Settings, View};

/// Where a run shows what it finds, and how much of it.
pub(in crate::run) struct Display {
    place: Place,
    kinds: Kinds,
    query: Query,
    pace: Pace,
    /// How many events or snapshots may still be shown (`--count`).
    remaining: Option<u64>,
    /// The one snapshot is of a whole capture, at its end.
    is_whole: bool,
    /// What is in it, where its rows are connections.
    whole: Option<Whole>,
}

enum Place {
    /// Lines, and the way that they go.
    Lines(Box<dyn Output>, Writer),
    /// The live view on the terminal. It gives the terminal back before the messages that waited for that are written.
    Live(Box<View>, HeldMessages),
    /// The terminal is free again.
    Closed,
}

/// What is taken or opened before there is anything to show.
pub(in crate::run) enum Taken {
    /// For lines.
    Target(Target),
    /// The terminal for a live view. Given back before what was said meanwhile is written.
    Terminal(Opening, HeldMessages),
}

impl Taken {
    /// Whichever it will be.
    pub fn take(plan: &Plan) -> Result<Self> {
        if !plan.shown.is_live() {
            if let Some(path) = &plan.file {
                Inputs::of(&plan.read).refuse_at(path)?;
            }
            return Ok(Self::Target(Target::open(plan.file.as_deref())?));
        }
        let opening = Opening::begin(plan.background).context(NO_TERMINAL)?;
        Ok(Self::Terminal(opening, HeldMessages::hold()))
    }
}

const NO_TERMINAL: &str = "cannot use the terminal. Use -o table to get text";

impl Place {
    fn open(plan: &Plan, interfaces: Vec<InterfaceHooks>, taken: Taken) -> Result<Self> {
        let (opening, messages) = match taken {
            Taken::Terminal(opening, messages) => (opening, messages),
            Taken::Target(target) => {
                // A capture waits for who reads what it says.
                let is_patient = plan.shown.once || plan.is_replay();
                let (lines, writer) = writer::open(target, WAITING_LINES, is_patient);
                return Ok(Self::Lines(output(&plan.shown, None, lines)?, writer));
            }
        };
        let settings = Settings {
            egress: interfaces.iter().any(|one| one.egress.is_some()),
            interfaces,
            progress: None,
            services: Services::read(Path::new(SERVICES)),
            only: plan.only.clone(),
            query: plan.shown.query.clone(),
            names: !plan.shown.numeric,
            command_line,
            folder: std::env::temp_dir(),
        };
        let view = View::open(opening, settings).context(NO_TERMINAL)?;
        Ok(Self::Live(Box::new(view), messages))
    }

    fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Lines(_, writer) => Some(writer),
            _ => None,
        }
    }

    /// As an output, whichever it is.
    fn output(&mut self) -> &mut dyn Output {
        match self {
            Self::Lines(output, _) => output.as_mut(),
            Self::Live(view, _) => view.as_mut(),
            Self::Closed => self,
        }
    }
}

impl Display {
    pub fn new(plan: &Plan, interfaces: Vec<InterfaceHooks>, taken: Taken) -> Result<Self> {
        let is_whole = plan.is_whole();
        let has_rows = plan.shown.query.by.is_none() && plan.shown.subject == Subject::Connections;
        Ok(Self {
            is_whole,
            whole: (is_whole && has_rows).then(Whole::default),
            place: Place::open(plan, interfaces, taken)?,
            kinds: plan.shown.kinds,
            query: plan.shown.query.clone(),
            pace: Pace::begin(plan, clock::now()),
            remaining: plan.count,
        })
    }

    /// From now on snapshots become due.
    pub fn begin(&mut self, plan: &Plan, now: Instant) {
        self.pace = Pace::begin(plan, now);
    }

    /// Another time between snapshots.
    pub fn change_delay(&mut self, delay: Duration) {
        self.pace.change(delay, self.now());
    }

    /// Now, as what it shows has it: frames of a view are for who looks at it, all else is about the traffic.
    fn now(&self) -> Instant {
        if matches!(self.place, Place::Live(..)) {
            Instant::now()
        } else {
            clock::now()
        }
    }

    /// Nothing happens until then.
    pub fn pass_over(&mut self, until: Instant) {
        self.pace.pass_over(until);
    }

    /// Whether a snapshot is due.
    pub fn wants_snapshot(&self) -> bool {
        self.pace.wants_snapshot(self.now())
    }

    /// Shows what there is at the end of a capture, where snapshots are written and the latest was of a moment before.
    pub fn show_last(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        let is_live = matches!(self.place, Place::Live(..));
        if !is_live && !self.is_whole && self.pace.wants_last(self.now()) {
            self.show(tick)?;
        }
        Ok(())
    }

    /// Shows what there is, between two ticks.
    pub fn show(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        self.snapshot(tick, self.now())
    }

    /// When the next tick is due for it.
    pub fn next(&self) -> Instant {
        self.pace.next()
    }

    /// Whether it has shown as much as was asked for.
    pub fn has_enough(&self) -> bool {
        self.remaining == Some(0)
    }

    /// Whether a snapshot has had a row.
    pub fn has_rows(&mut self) -> bool {
        self.place.output().has_rows()
    }

    /// Interfaces have come, gone or got other names.
    pub fn change_interfaces(&mut self, attachments: &[Attachment]) {
        if let Some(view) = self.view() {
            view.change_interfaces(interface_hooks(attachments));
        }
    }

    /// The live view, while it has the terminal.
    pub fn view(&mut self) -> Option<&mut View> {
        match &mut self.place {
            Place::Live(view, _) => Some(view),
            _ => None,
        }
    }

    /// Where files are made: screens of a live view, or the file of lines when it was moved away.
    pub fn folder(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Live(view, _) => Some(view.folder().to_owned()),
            Place::Lines(_, writer) => writer.folder(),
            Place::Closed => None,
        }
    }

    /// The way that lines go.
    pub fn writer(&self) -> Option<&Writer> {
        self.place.writer()
    }

    /// An alert has begun, or is over.
    pub fn alert(&mut self, notice: &Notice) -> io::Result<()> {
        self.place.output().alert(notice)
    }

    /// A DNS message that passed. Where events are counted, one that is written is an event.
    pub fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        let is_event =
            self.kinds.dns && seen.message.is_some() && self.query.wants_sample(seen.sample, facts);
        if !is_event || self.take_one_event() {
            self.place.output().dns(seen, facts)?;
        }
        Ok(())
    }

    /// What a QUIC connection has said. Where events are counted, it is one if it is written.
    pub fn quic(&mut self, sample: &Sample, facts: &dyn Facts) -> io::Result<()> {
        let is_wanted = self.kinds.quic && self.query.wants_sample(sample, facts);
        let Some(quic) = facts.quic(sample).filter(|_| is_wanted) else {
            return Ok(());
        };
        if self.take_one_event() {
            self.place.output().quic(sample, quic, facts)?;
        }
        Ok(())
    }

    /// Hands on what was shown since the last time: when the loop is about to wait, not with each event.
    pub fn flush(&mut self) -> io::Result<()> {
        self.place.output().flush()
    }

    /// Nobody reads what it shows: nothing more is shown.
    pub fn close(&mut self) {
        self.place = Place::Closed;
    }

    /// Gives the terminal back, if the live view has it. What was said meanwhile is written.
    pub fn close_view(&mut self) {
        if matches!(self.place, Place::Live(..)) {
            self.close();
        }
    }

    /// Whether nobody can read any more what it shows: found out before there is something to write.
    fn is_gone(&self) -> bool {
        self.writer().is_none_or(Writer::is_stdout) && is_stdout_closed()
    }

    /// Whether one more event or snapshot may be shown.
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

    /// Whether one more event may be shown. A live view counts its snapshots alone.
    fn take_one_event(&mut self) -> bool {
        matches!(self.place, Place::Live(..)) || self.take_one()
    }

    /// Whether this end is to be shown, as one of those that may still be.
    fn wants_end(&mut self, sample: &Sample, facts: &dyn Facts) -> bool {
        self.query.wants_sample(sample, facts) && self.take_one_event()
    }

    fn snapshot(&mut self, tick: &Tick<'_>, now: Instant) -> io::Result<()> {
        let before = processor_time().map_err(io::Error::other)?;
        if self.take_one() {
            let output = self.place.output();
            output.snapshot(tick.table, tick.report, tick.facts)?;
        }
        let took = processor_time().map_err(io::Error::other)?;
        self.pace.snapshot_took(took.saturating_sub(before), now);
        Ok(())
    }

    /// Whether the next tick comes with a frame of the live view, which has sockets, too.
    pub fn wants_sockets(&self) -> bool {
        matches!(self.place, Place::Live(..)) && self.wants_snapshot()
    }

    /// What the live view shows of sockets from the next frame on.
    pub fn show_sockets(&mut self, sockets: Snapshot) {
        if let Some(view) = self.view() {
            view.show_sockets(sockets);
        }
    }

    /// The ends of connections that are live when the run ends, in the order in which they began.
    fn end_all(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        let placed = |connection: Connection| (connection.sample.first_ns, connection.sample.place);
        let mut live: Vec<_> = tick.table.iter().map(placed).collect();
        live.sort_unstable();
        for (_, place) in live {
            let Some(Connection { sample, .. }) = tick.table.get(place) else {
                continue;
            };
            if self.wants_end(&sample, tick.facts) {
                let output = self.place.output();
                output.end(&sample, EndReason::Stopped, tick.facts)?;
            }
        }
        Ok(())
    }
}

impl Sink for Display {
    fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        let is_wanted = match event.kind {
            EventKind::New => self.kinds.new || event.counts.packets > 1,
            EventKind::Data => self.kinds.data,
        };
        if is_wanted && self.take_one_event() {
            self.place.output().event(event, facts)?;
        }
        Ok(())
    }

    fn ended(&mut self, ended: &Ended, facts: &dyn Facts) -> io::Result<()> {
        let Ended { sample, reason } = ended;
        if let Some(whole) = &mut self.whole {
            whole.add(sample);
            return Ok(());
        }
        // An output that does not write ends may keep totals of them: those are no events.
        if !self.kinds.end || self.wants_end(sample, facts) {
            self.place.output().end(sample, *reason, facts)?;
        }
        Ok(())
    }

    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        let now = self.now();
        if self.pace.wants_snapshot(now) {
            self.snapshot(tick, now)?;
        }
        if self.pace.take_books(now) && !self.is_whole {
            self.place.output().stats(tick.report)?;
        }
        if let Some(writer) = self.writer() {
            writer.say_messages(false);
        }
        if self.is_gone() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn finish(&mut self, tick: &Tick<'_>, goes_on: bool) -> io::Result<()> {
        if self.kinds.end && !goes_on {
            self.end_all(tick)?;
        }
        if self.is_whole && self.take_one() {
            let whole = self.whole.take();
            let table = whole.map(|whole| whole.table(tick.table, tick.now_ns));
            let table = table.as_ref().unwrap_or(tick.table);
            let output = self.place.output();
            output.snapshot(table, tick.report, tick.facts)?;
        }
        let output = self.place.output();
        output.stats(tick.report)?;
        output.flush()?;
        if let Some(writer) = self.writer() {
            let finished = writer.finish();
            writer.say_messages(true);
            finished?;
        }
        Ok(())
    }
}

/// As the live view shows them.
pub(in crate::run) fn interface_hooks(attachments: &[Attachment]) -> Vec<InterfaceHooks> {
    let hooks = attachments.iter().map(|attachment| InterfaceHooks {
        name: attachment.interface.name.clone(),
        ingress: attachment.ingress.to_string(),
        egress: attachment.egress.as_ref().map(ToString::to_string),
    });
    hooks.collect()
}

/// Shows nothing: what is left to be shown when the view is closed is the summary.
impl Output for Place {
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
