//! What a run does at each tick, and with each event.

use std::io;
use std::time::Instant;

use anyhow::Result;

use super::process::{is_stdout_closed, say};
use super::run::{OVERLAP, Run, WHOLE_SCAN};
use super::setup::attached_names;
use crate::bpf;
use crate::cli::OutputKind;
use crate::clock::monotonic_ns;
use crate::connection::{Event, EventKind, Sample};
use crate::interface;
use crate::output::{Grouped, Visible};

impl Run<'_> {
    /// Writes what the ring has; returns how many events it had.
    pub(super) fn take_events(&mut self) -> Result<usize> {
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
    pub(super) fn wants_end(&mut self, sample: &Sample) -> bool {
        self.query.wants_sample(sample, &self.knowledge) && self.take_one_event()
    }

    /// Brings the table up to date and ends what is idle.
    pub(super) fn tick(&mut self) -> Result<()> {
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
                self.exports.ended(&sample, reason, &self.knowledge);
                self.alerting.ended(&sample);
                self.knowledge.processes.forget(sample.id);
            }
        }
        self.export_tick()?;
        self.watch(now_ns)?;
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

    pub(super) fn observe(&mut self, now_ns: u64, last: bool) {
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

    pub(super) fn snapshot(&mut self) -> Result<()> {
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
