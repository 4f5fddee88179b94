//! What a run does at each tick, and with each event.

use std::collections::HashMap;
use std::io;

use anyhow::Result;

use super::Run;
use crate::clock::monotonic_ns;
use crate::console::say;
use crate::model::text::Grouped;
use crate::model::{ConnectionId, Ended, Event, Place, Sample, Tick};

impl Run {
    /// Hands over what the rings have; returns how much that was.
    pub(super) fn take_events(&mut self) -> Result<usize> {
        // First, so that what the events show has its names.
        let heard = self.hear_payloads()?;
        let events = self.read_events()?;
        for event in &events {
            self.sinks.event(event, &self.knowledge)?;
        }
        Ok(events.len() + heard)
    }

    fn read_events(&mut self) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = Vec::new();
        self.tracker.take_events(&mut events)?;
        if self.plan.shown.has_processes_at_once() && !events.is_empty() {
            self.knowledge.processes.announce(&events, monotonic_ns()?);
        }
        Ok(events)
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
        let settled = self.knowledge.talks.settle(now_ns, &ended);
        let spinning = self.knowledge.talks.amendments(&settled);
        self.tracker.amend(&spinning)?;
        self.tracker.amend(&self.knowledge.talks.listen(now_ns))?;
        self.look_up_names(before_ns);
        let swapped = self.settle_roles(&ended, before_ns, now_ns)?;
        self.observe(now_ns, false);
        // What nobody can read any more ends the run, but not before all others have what is theirs.
        let said = self.hand_over_quic(settled, &ended);
        let heard = self.hand_over_dns(&ended, now_ns);
        let ends = self.hand_over_ends(&ended)?;
        self.warn_of_fill();
        self.report = self.report()?;
        self.hearing
            .note(self.report.dns_unread().unwrap_or_default());
        let tick = Tick {
            swapped: &swapped,
            ended: &ended,
            ..Tick::new(now_ns, &self.table, &self.report, &self.knowledge)
        };
        if let Some(captures) = &mut self.sinks.captures {
            captures.know(&self.tracker)?;
        }
        let ticked = self.sinks.tick(&tick);
        if let Some(captures) = &mut self.sinks.captures {
            self.tracker.amend(&captures.take_amendments())?;
        }
        for ended in &ended {
            self.knowledge.processes.forget(ended.sample.place);
            // A snapshot of a whole capture still has them.
            if !self.plan.is_whole() {
                self.knowledge
                    .talks
                    .forget(ended.sample.place, ended.sample.id);
            }
        }
        self.tracker.free_ended()?;
        self.warn_of_losses()?;
        Ok(said.and(heard).and(ends).and(ticked)?)
    }

    /// Hands over what these connections have said of QUIC; some of them have just `ended`. One that the walk has not met yet waits for
    /// the next tick.
    pub(super) fn hand_over_quic(
        &mut self,
        settled: Vec<(Place, ConnectionId)>,
        ended: &[Ended],
    ) -> io::Result<()> {
        let mut given = Ok(());
        let mut all = std::mem::take(&mut self.unmet_quic);
        all.extend(settled);
        if all.is_empty() {
            return given;
        }
        let sample = |ended: &Ended| (ended.sample.id, ended.sample);
        let ended: HashMap<ConnectionId, Sample> = ended.iter().map(sample).collect();
        for (place, id) in all {
            let there = self.table.get(place).map(|live| live.sample);
            let live = there.filter(|sample| sample.id == id);
            if let Some(sample) = live.or_else(|| ended.get(&id).copied()) {
                given = given.and(self.sinks.quic(&sample, &self.knowledge));
            } else if self.tracker.id_at(place) == Some(id) {
                self.unmet_quic.push((place, id));
            }
        }
        given
    }

    /// Hands over the ends: after what those connections did, before what others of the same ends did after them.
    fn hand_over_ends(&mut self, ended: &[Ended]) -> Result<io::Result<()>> {
        let mut given = Ok(());
        if ended.is_empty() {
            return Ok(given);
        }
        let events = self.read_events()?;
        let places: HashMap<ConnectionId, Place> = if events.is_empty() {
            HashMap::new()
        } else {
            let place = |ended: &Ended| (ended.sample.id, ended.sample.place);
            ended.iter().map(place).collect()
        };
        // The places of the ended are not free yet: what has begun anew lies at others.
        let is_later = |event: &&Event| {
            let place = places.get(&event.id);
            place.is_some_and(|place| *place != event.place)
        };
        let (sinks, facts) = (&mut self.sinks, &self.knowledge);
        for event in events.iter().filter(|event| !is_later(event)) {
            given = given.and(sinks.event(event, facts));
        }
        for ended in ended {
            given = given.and(sinks.ended(ended, facts));
        }
        for event in events.iter().filter(is_later) {
            given = given.and(sinks.event(event, facts));
        }
        Ok(given)
    }

    /// Whether nothing is left that a tick could end, tell or show.
    pub(super) fn is_quiet(&self) -> bool {
        let shown = &self.plan.shown;
        let has_snapshots = shown.has_snapshots() && !shown.is_live() && !self.plan.is_whole();
        self.table.is_empty()
            && self.hearing.is_empty()
            && self.plan.rules.is_empty()
            && !has_snapshots
    }

    fn warn_of_fill(&mut self) {
        if self.table.warn_full() {
            say(format_args!(
                "the connection table is {:.0} % full ({} of {}): idle connections end earlier, and soon new ones may find no room. Raise --max-connections to {}",
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
                "{} events lost: they came faster than udptrack could write them",
                Grouped(lost)
            ));
            self.events_lost = events;
        }
        if addresses.packets > 0 && !self.warned_addresses {
            say(format_args!(
                "ip_stats is full: new addresses replace those that were idle longest. Raise --max-ips to hold more addresses"
            ));
            self.warned_addresses = true;
        }
        Ok(())
    }
}
