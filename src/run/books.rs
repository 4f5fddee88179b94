//! The books of a run: of all hooks, so far.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Write as _;

use anyhow::Result;

use super::Run;
use crate::bpf::{GONE, KnownHook};
use crate::console::{Stderr, say};
use crate::model::{Books, Captured, DroppedFor, HookBooks, Report, add_dropped};
use crate::output::write_summary_so_far;

/// How many interfaces that are gone have books of their own in a report; of more, it has only the sum.
const GONE_APART: usize = 32;

/// The books of each interface, by its name, with what was dropped behind its hooks.
pub(crate) fn hook_books(
    hooks: &[KnownHook],
    books_of: impl Fn(&KnownHook) -> Result<(Books, Vec<DroppedFor>)>,
) -> Result<Vec<HookBooks>> {
    let gone = hooks.iter().filter(|hook| hook.is_gone);
    let are_apart = gone.clone().count() <= GONE_APART * 2;
    let there = hooks.iter().filter(|hook| !hook.is_gone);
    let mut all: Vec<HookBooks> = Vec::new();
    let mut known = HashMap::new();
    for hook in there.chain(gone) {
        let name = if hook.is_gone && !are_apart {
            GONE
        } else {
            &*hook.interface
        };
        let (books, dropped) = books_of(hook)?;
        match known.entry((name, hook.direction)) {
            Entry::Occupied(place) => {
                let sum: &mut HookBooks = &mut all[*place.get()];
                sum.books += books;
                add_dropped(&mut sum.dropped, &dropped);
            }
            Entry::Vacant(place) => {
                place.insert(all.len());
                all.push(HookBooks {
                    interface: name.to_owned(),
                    direction: hook.direction,
                    books,
                    dropped,
                });
            }
        }
    }
    Ok(all)
}

impl Run {
    pub(super) fn report(&self) -> Result<Report> {
        let hooks = &self.knowledge.interfaces.hooks;
        let dropped = self.tracker.dropped()?;
        let hooks = hook_books(hooks, |hook| {
            Ok((self.tracker.books_of(hook)?, dropped.of(hook)))
        })?;
        let (events_lost, addresses_without_entry) = self.tracker.losses()?;
        Ok(Report {
            hooks,
            connections_new: self.table.connections_new(),
            connections_ended: self.table.connections_ended(),
            connections_live: self.table.len() as u64,
            connections_max: self.table.capacity(),
            connections_total: self.table.total(),
            events_lost,
            addresses_without_entry,
            addresses: self.tracker.addresses()?,
            knows_drops: self.tracker.counts_drops(),
            dropped_without_room: self.tracker.dropped_without_room(),
            unread: self.unread()?,
            captured: self.captured()?,
        })
    }

    /// What became of frames that were wanted for a capture.
    fn captured(&self) -> Result<Option<Captured>> {
        let Some(captures) = &self.sinks.captures else {
            return Ok(None);
        };
        let mut lost = [0; 2];
        for hook in &self.knowledge.interfaces.hooks {
            lost[hook.direction as usize] += self.tracker.frames_lost(hook)?;
        }
        Ok(Some(captures.captured(lost)))
    }

    /// What the run has come to so far, to standard error, or into the live view.
    pub(super) fn say_summary(&mut self) -> Result<()> {
        self.refresh()?;
        let mut text = Vec::new();
        write_summary_so_far(&mut text, &self.report)?;
        if self.sinks.display.view().is_some() {
            for line in String::from_utf8_lossy(&text).lines() {
                say(format_args!("{line}"));
            }
        } else {
            // That nobody reads it is no reason to end.
            let _ = Stderr::lock().write_all(&text);
        }
        Ok(())
    }
}
