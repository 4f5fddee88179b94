//! What a run does at each tick, and with each event.

use std::collections::HashMap;
use std::io;

use anyhow::Result;

use super::Run;
use super::sinks::Display;
use crate::clock::monotonic_ns;
use crate::console::say;
use crate::model::text::Grouped;
use crate::model::{ConnectionId, Ended, Event, EventKind, Place, Sample, Tick};
use crate::sockets::Choice;

impl Run {
    /// Writes what the ring has; returns how many events it had.
    pub(super) fn take_events(&mut self) -> Result<usize> {
        let events = self.read_events()?;
        for event in &events {
            self.write_event(event)?;
        }
        Ok(events.len())
    }

    fn read_events(&mut self) -> Result<Vec<Event>> {
        // First, so that what the events show has its names.
        self.learn_names()?;
        let mut events: Vec<Event> = Vec::new();
        self.tracker.take_events(&mut events)?;
        if self.plan.shown.has_processes_at_once() && !events.is_empty() {
            self.knowledge.processes.announce(&events, monotonic_ns()?);
        }
        Ok(events)
    }

    fn write_event(&mut self, event: &Event) -> Result<()> {
        let wanted = match event.kind {
            EventKind::New => self.plan.shown.kinds.new || event.counts.packets > 1,
            EventKind::Data => self.plan.shown.kinds.data,
        };
        if wanted && self.take_one_event() {
            self.display.output().event(event, &self.knowledge)?;
        }
        Ok(())
    }

    /// Whether one more event may be shown. A live view counts its snapshots alone.
    fn take_one_event(&mut self) -> bool {
        self.plan.shown.is_live() || self.take_one()
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
    pub(super) fn wants_end(&mut self, sample: &Sample) -> bool {
        self.plan.shown.query.wants_sample(sample, &self.knowledge) && self.take_one_event()
    }

    /// Brings the table up to date, ends what is idle, and hands to everybody what there is to know.
    pub(super) fn tick(&mut self) -> Result<()> {
        // Before anything is looked at: what is idle by this time is idle.
        let now_ns = monotonic_ns()?;
        let before_ns = self.table.scanned_ns();
        let ended = self.tracker.tick(&mut self.table, now_ns)?;
        // Where nobody hears of a connection before the next tick, what is known by place is still that of the ended one.
        if !self.tracker.has_events() {
            self.tracker.free_ended()?;
        }
        self.look_up_names(before_ns);
        let turned = self.settle_roles(&ended, before_ns, now_ns)?;
        self.observe(now_ns, false);
        self.write_ends(&ended)?;
        self.warn_of_fill();
        self.report = self.report()?;
        let tick = Tick {
            now_ns,
            table: &self.table,
            turned: &turned,
            ended: &ended,
            report: &self.report,
            facts: &self.knowledge,
        };
        self.exports.tick(&tick);
        self.alerting.tick(&tick, self.display.output())?;
        for ended in &ended {
            self.knowledge.processes.forget(ended.sample.place);
        }
        self.tracker.free_ended()?;
        if let Some(writer) = self.display.writer() {
            writer.say_messages(false);
        }
        self.warn_of_losses()?;
        anyhow::ensure!(
            !self.display.is_gone(),
            io::Error::from(io::ErrorKind::BrokenPipe)
        );
        Ok(())
    }

    /// Writes the ends: after what those connections did, before what others of the same ends did after them.
    fn write_ends(&mut self, ended: &[Ended]) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let events = self.read_events()?;
        let places: HashMap<ConnectionId, Place> = if events.is_empty() {
            HashMap::new()
        } else {
            let place = |ended: &Ended| (ended.sample.id, ended.sample.place);
            ended.iter().map(place).collect()
        };
        // The places of the ended are not free yet: what has begun anew lies at others.
        let is_later = |event: &Event| {
            let place = places.get(&event.id);
            place.is_some_and(|place| *place != event.place)
        };
        for event in events.iter().filter(|event| !is_later(event)) {
            self.write_event(event)?;
        }
        for Ended { sample, reason } in ended {
            // An output that does not write ends may keep totals of them: those are no events.
            if !self.plan.shown.kinds.end || self.wants_end(sample) {
                self.display
                    .output()
                    .end(sample, *reason, &self.knowledge)?;
            }
            self.exports.ended(sample, *reason, &self.knowledge);
            if let Some(servers) = &mut self.servers {
                servers.end(sample);
            }
        }
        for event in events.iter().filter(|event| is_later(event)) {
            self.write_event(event)?;
        }
        Ok(())
    }

    fn warn_of_fill(&mut self) {
        if self.table.warn_full() {
            say(format_args!(
                "the connection table is {:.0} % full ({} of {}): idle connections end earlier, and new ones may soon find no \
                 room. Raise --max-connections to {}",
                self.table.fill() * 100.0,
                Grouped(self.table.len() as u64),
                Grouped(self.table.capacity()),
                Grouped(self.table.wanted_capacity())
            ));
        }
    }

    pub(super) fn observe(&mut self, now_ns: u64, last: bool) {
        self.knowledge.processes.observe(&self.table, now_ns, last);
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
                "ip_stats is full: the addresses that were idle for longest make room for new ones. --max-ips keeps more of them"
            ));
            self.warned_addresses = true;
        }
        Ok(())
    }

    pub(super) fn snapshot(&mut self) -> Result<()> {
        if !self.take_one() {
            return Ok(());
        }
        self.look_at_sockets();
        self.display
            .output()
            .snapshot(&self.table, &self.report, &self.knowledge)?;
        Ok(())
    }

    /// What the live view shows of sockets. If that can no longer be had, connections are shown all the same.
    fn look_at_sockets(&mut self) {
        let (Some(looking), Display::Live(view, _)) = (&mut self.looking, &mut self.display) else {
            return;
        };
        let snapshot = looking
            .look()
            .and_then(|()| looking.snapshot(&Choice::default()));
        match snapshot {
            Ok(snapshot) => view.show_sockets(snapshot),
            Err(error) => {
                say(format_args!("sockets are no longer shown: {error:#}"));
                self.looking = None;
            }
        }
    }
}
