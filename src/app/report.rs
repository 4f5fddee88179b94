//! What a run came to: the books of all hooks, and its end.

use std::io::{self, Write as _};

use anyhow::Result;

use super::display::Display;
use super::process::say;
use super::run::Run;
use crate::bpf;
use crate::clock::monotonic_ns;
use crate::connection::{EndReason, HookBooks, Report};
use crate::output::{write_summary, write_summary_so_far};

impl Run<'_> {
    pub(super) fn report(&self) -> Result<Report> {
        let hooks = self
            .knowledge
            .hooks
            .iter()
            .map(|hook| {
                Ok(HookBooks {
                    interface: hook.interface.clone(),
                    direction: hook.direction,
                    books: self.tracker.books(hook.index, hook.direction)?,
                })
            })
            .collect::<Result<_>>()?;
        let (events_lost, ip_table_full) = self.tracker.losses()?;
        Ok(Report {
            hooks,
            connections_new: self.table.connections_new(),
            connections_ended: self.table.connections_ended(),
            connections_live: self.table.len() as u64,
            connections_max: self.table.capacity(),
            connections_total: self.table.total(),
            events_lost,
            ip_table_full,
            addresses: self.tracker.addresses()?,
        })
    }

    /// What the run has come to so far, to standard error, or into the live view.
    pub(super) fn say_summary(&mut self) -> Result<()> {
        self.tick()?;
        let report = self.report()?;
        let mut text = Vec::new();
        write_summary_so_far(&mut text, &report)?;
        if matches!(self.display, Display::Live(..)) {
            for line in String::from_utf8_lossy(&text).lines() {
                say(format_args!("{line}"));
            }
        } else {
            // That nobody reads it is no reason to end.
            let _ = io::stderr().lock().write_all(&text);
        }
        Ok(())
    }

    /// Detaches, counts what is left, reports the connections that are still live, and the books.
    pub(super) fn end(&mut self) -> Result<()> {
        self.service.stopping();
        self.display.close_view();
        let is_kept = self.config.pins.keep && self.claim.is_some();
        if is_kept {
            self.tracker.sweep()?;
        } else {
            self.detach()?;
        }
        while self.take_events()? > 0 {}
        let samples = self.tracker.scan()?;
        let now_ns = monotonic_ns()?;
        self.table.apply(samples, now_ns);
        self.observe(now_ns, true);
        let report = self.report()?;
        let written = self.write_end(&report, is_kept);
        for connection in self.table.iter() {
            self.exports
                .ended(&connection.sample, EndReason::Stopped, &self.knowledge);
        }
        self.export_finish()?;
        if let Some(claim) = self.claim.as_ref().filter(|_| is_kept) {
            let name = &claim.name;
            say(format_args!(
                "{name} is kept: tracking goes on in the kernel. udptrack list --name {name} shows it, udptrack detach \
                 --name {name} ends it"
            ));
        }
        if !self.config.quiet {
            let _ = write_summary(io::stderr().lock(), &report);
        }
        written.and(self.say_names())
    }

    /// Takes the hooks off, and brings everything that they counted into the maps.
    fn detach(&mut self) -> Result<()> {
        if let Some(claim) = &mut self.claim {
            claim.release()?;
        }
        bpf::detach(std::mem::take(&mut self.attachments));
        self.tracker.sweep_all()
    }

    fn write_end(&mut self, report: &Report, is_kept: bool) -> Result<()> {
        // A connection of a tracking that goes on has not ended.
        if self.kinds.end && !is_kept {
            let mut live: Vec<_> = self
                .table
                .iter()
                .map(|connection| connection.sample)
                .collect();
            live.sort_by_key(|sample| sample.first_ns);
            for sample in live {
                if self.wants_end(&sample) {
                    self.display
                        .output()
                        .end(&sample, EndReason::Stopped, &self.knowledge)?;
                }
            }
        }
        self.display.output().stats(report)?;
        self.display.output().flush()?;
        Ok(())
    }
}
