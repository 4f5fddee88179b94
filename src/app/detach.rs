//! `udptrack detach`: ends tracking that `--keep` left.

use std::io::BufWriter;

use anyhow::{Result, bail};

use super::list::{choose, described};
use crate::bpf::{self, Claim, State, Tracker};
use crate::clock::monotonic_ns;
use crate::console::{Stderr, say};
use crate::model::text::Visible;
use crate::model::{DroppedWithoutRoom, Report, Timeouts};
use crate::output::write_summary;
use crate::run::hook_books;

/// Ends tracking that `--keep` left, and writes its summary. Without a name, it first says which one it ends.
pub(super) fn detach(name: Option<&str>, quiet: bool) -> Result<()> {
    let (kept, others): (Vec<_>, Vec<_>) = bpf::instances()?
        .into_iter()
        .partition(|pinned| name.is_some() || pinned.state == State::Left);
    if kept.is_empty() {
        let others: Vec<String> = others.iter().map(described).collect();
        let instead = if others.is_empty() {
            match name {
                Some(name) => format!("there is no run named {name}, nor any other"),
                None => "no run with --keep has ended here".to_owned(),
            }
        } else {
            let others = others.join(", ");
            format!("end these runs with Ctrl-C or SIGTERM instead: {others}")
        };
        bail!("there is nothing to detach: {instead}");
    }
    let pinned = choose(name, kept)?;
    let mut claim = Claim::take_left(&pinned.name)?;
    let (mut tracker, attachments) = Tracker::resume(&claim)?;
    // The interfaces by the names in the pins: they may be in another network namespace.
    let hooks = tracker.hooks();
    if name.is_none() {
        let there = hooks.iter().filter(|hook| !hook.is_gone);
        let mut names: Vec<String> = there
            .map(|hook| Visible(&hook.interface).to_string())
            .collect();
        names.dedup();
        say(format_args!(
            "detaching {}, which tracks {}",
            pinned.name,
            names.join(", ")
        ));
    }
    claim.release()?;
    bpf::detach(attachments)?;
    let (ended, counts) = tracker.ended()?;
    let mut table = tracker.table(Timeouts::default()).after(ended, counts);
    tracker.look(&mut table, monotonic_ns()?)?;
    if quiet {
        return Ok(());
    }
    say(format_args!("{} is detached", pinned.name));
    let hooks = hook_books(&hooks, |hook| Ok((tracker.books_of(hook)?, Vec::new())))?;
    let (events_lost, addresses_without_entry) = tracker.losses()?;
    let report = Report {
        hooks,
        connections_new: table.connections_new(),
        connections_ended: table.connections_ended(),
        connections_live: table.len() as u64,
        connections_max: table.capacity(),
        connections_total: table.total(),
        events_lost,
        addresses_without_entry,
        addresses: tracker.addresses()?,
        knows_drops: false,
        dropped_without_room: DroppedWithoutRoom::default(),
        unread: None,
        captured: None,
    };
    let _ = write_summary(BufWriter::new(Stderr::lock()), &report);
    Ok(())
}
