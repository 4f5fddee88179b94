//! The end of a run: detaches the hooks, and reports what is left.

use std::io::BufWriter;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use super::attach::is_due;
use super::stop::{self, Step};
use crate::bpf;
use crate::clock::monotonic_ns;
use crate::console::{Stderr, say};
use crate::model::Tick;
use crate::model::text::Grouped;
use crate::output::{write_servers, write_summary, write_summary_so_far};

/// How long the last events are waited for while others come.
const LAST_EVENTS: Duration = Duration::from_secs(1);
/// How often it is looked whether what is waited for is done.
const LOOK: Duration = Duration::from_millis(1);

impl Run {
    /// Detaches, counts what is left, reports the connections that are still live, and the books.
    pub(super) fn end(&mut self) -> Result<()> {
        stop::begin();
        self.service.stopping();
        self.sinks.display.close_view();
        let is_kept = self.plan.keeps() && self.claim.is_some();
        if !is_kept {
            self.detach()?;
        }
        if let Some(writer) = self.sinks.display.writer() {
            writer.while_waiting(self.service.pulse(), self.plan.quiet);
        }
        let mut written = self.take_last_events();
        if written.is_err() {
            // The reader has ended or hangs: exports, books and hooks must still end in order.
            self.sinks.display.close();
        }
        let now_ns = monotonic_ns()?;
        let before_ns = self.table.scanned_ns();
        self.tracker.look(&mut self.table, now_ns)?;
        let swapped = self.settle_last_roles(before_ns)?;
        let settled = self.knowledge.talks.settle(u64::MAX, &[]);
        written = written.and(self.hand_over_quic(settled, &[]).map_err(Into::into));
        self.observe(now_ns, true);
        written = written.and(self.hand_over_dns(&[], u64::MAX).map_err(Into::into));
        if let Some(captures) = &mut self.sinks.captures {
            captures.know(&self.tracker)?;
            let known = Tick::new(now_ns, &self.table, &self.report, &self.knowledge);
            captures.end(&known);
        }
        self.report = self.report()?;
        let tick = Tick {
            swapped: &swapped,
            ..Tick::new(now_ns, &self.table, &self.report, &self.knowledge)
        };
        let shown = self.sinks.finish(&tick, is_kept);
        written = written.and(shown.map_err(Into::into));
        self.wait_for_exports();
        if let Some(claim) = self.claim.as_ref().filter(|_| is_kept) {
            let name = &claim.name;
            say(format_args!(
                "the kernel continues to track {name}. udptrack list --name {name} shows it, udptrack detach --name {name} ends it"
            ));
        }
        if !self.plan.quiet {
            let mut out = BufWriter::new(Stderr::lock());
            if let Some(servers) = self.sinks.others.servers.take() {
                let servers = servers.groups();
                let _ = write_servers(&mut out, &servers, &self.knowledge, self.plan.shown.numeric);
            }
            let _ = if is_kept {
                // Packets are counted meanwhile: it was read first what the connections have, then the books.
                write_summary_so_far(out, &self.report)
            } else {
                write_summary(out, &self.report)
            };
        }
        written.and(self.say_names())
    }

    /// Takes the hooks off; everything is counted then.
    fn detach(&mut self) -> Result<()> {
        if let Some(claim) = &mut self.claim {
            claim.release()?;
        }
        let attachments = std::mem::take(&mut self.attachments);
        let all = attachments.len();
        let mut said = Instant::now();
        // The kernel takes its time for each.
        for (off, attachment) in (1_u64..).zip(attachments) {
            drop(attachment);
            let now = Instant::now();
            self.service.alive(now);
            if !self.plan.quiet && is_due(&mut said, now) {
                say(format_args!(
                    "detached from {} of {} interfaces",
                    Grouped(off),
                    Grouped(all as u64)
                ));
            }
        }
        bpf::detach(Vec::new())
    }

    /// Until everything is sent, or takes too long.
    fn wait_for_exports(&mut self) {
        let mut step = Step::begin(usize::MAX);
        let quiet = self.plan.quiet;
        while let Some(left) = self.sinks.unsent() {
            let say_left = || {
                if !quiet {
                    let left = Grouped(left as u64);
                    say(format_args!(
                        "{left} IPFIX messages are still waiting to be sent"
                    ));
                }
            };
            if !step.goes_on(left, say_left) {
                break;
            }
            self.service.alive(Instant::now());
            thread::sleep(LOOK);
        }
        self.sinks.give_up();
    }

    /// What the ring still has. Where the hooks stay, more may come as fast as it is written: then but for a while.
    fn take_last_events(&mut self) -> Result<()> {
        let until = Instant::now() + LAST_EVENTS;
        while self.take_events()? > 0 && (self.attachments.is_empty() || Instant::now() < until) {}
        Ok(())
    }
}
