//! Attaches hooks to interfaces, and writes messages about them.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bpf::{self, Attachment, Tracker};
use crate::console::{note, say};
use crate::interface::Interface;
use crate::model::text::{Bytes, Grouped, Visible};
use crate::netfilter;
use crate::plan::Plan;

/// How often a message tells how far attaching is, if it takes long.
const PROGRESS: Duration = Duration::from_secs(1);

pub(super) fn is_due(said: &mut Instant, now: Instant) -> bool {
    let is_due = now.saturating_duration_since(*said) >= PROGRESS;
    if is_due {
        *said = now;
    }
    is_due
}

/// Attaches to all interfaces or to none.
pub(super) fn attach_all(
    plan: &Plan,
    tracker: &mut Tracker,
    interfaces: &[Interface],
) -> Result<Vec<Attachment>> {
    let mut attachments = Vec::new();
    let mut said = Instant::now();
    for interface in interfaces {
        let attachment = bpf::attach(tracker, interface, plan.request)?;
        tracker.note_hook(&attachment)?;
        attachments.push(attachment);
        if !plan.quiet && is_due(&mut said, Instant::now()) {
            say(format_args!(
                "attached to {} of {} interfaces",
                Grouped(attachments.len() as u64),
                Grouped(interfaces.len() as u64)
            ));
        }
    }
    Ok(attachments)
}

/// Says what there is room for, and what that takes.
fn say_room(plan: &Plan, tracker: &Tracker) {
    let addresses = if plan.verbose && plan.maps {
        format!(
            " and {} addresses of each family",
            Grouped(plan.max_ips.into())
        )
    } else {
        String::new()
    };
    note(format_args!(
        "room for {} connections{addresses}: {} of kernel memory",
        Grouped(plan.max_connections.into()),
        Bytes(tracker.table_bytes())
    ));
}

/// Says what is tracked, when others can find it, too.
pub(super) fn say_tracking(plan: &Plan, tracker: &Tracker, attachments: &[Attachment]) {
    say_attached(plan, attachments);
    if tracker.is_resumed() || plan.quiet {
        return;
    }
    if attachments.len() > 1 && netfilter::translates() {
        say(format_args!(
            "this network namespace translates addresses (NAT): a translated connection counts twice, before and after"
        ));
    }
    say_room(plan, tracker);
    say_filter(plan);
}

/// Says that not everything is tracked.
pub(super) fn say_filter(plan: &Plan) {
    if let Some(words) = &plan.only {
        note(format_args!(
            "only {}; all other packets count as filtered",
            Visible(words)
        ));
    }
}

/// Says how each interface is seen.
fn say_attached(plan: &Plan, attachments: &[Attachment]) {
    for attachment in attachments {
        let seen = how_seen(attachment);
        if !attachment.interface.up {
            say(format_args!(
                "{} is down: no packet passes until it is up",
                Visible(&attachment.interface.name)
            ));
        }
        if !plan.quiet {
            note(format_args!("{seen}"));
        }
    }
}

/// The same of one that has come while others are tracked.
pub(super) fn say_new(plan: &Plan, attachment: &Attachment) {
    let seen = how_seen(attachment);
    if !plan.quiet {
        say(format_args!("{seen}"));
    }
}

/// Writes which hooks are attached, and the notes about them.
fn how_seen(attachment: &Attachment) -> String {
    let name = Visible(&attachment.interface.name);
    for note in &attachment.notes {
        say(format_args!("{name}: {note}"));
    }
    let sent = match attachment.egress {
        Some(hook) => format!("sent by {hook}"),
        None if attachment.interface.loopback => "which also counts what it sends".to_owned(),
        None => "sent packets are not tracked".to_owned(),
    };
    format!(
        "tracking {name}: received by {}, {sent}",
        attachment.ingress
    )
}

pub(super) fn attached_names(attachments: &[Attachment]) -> String {
    let names: Vec<String> = attachments
        .iter()
        .map(|attachment| Visible(&attachment.interface.name).to_string())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_once_a_second() {
        let start = Instant::now();
        let mut said = start;
        let at = [400, 999, 1000, 1500, 2400, 3000].map(Duration::from_millis);
        let due = at.map(|at| is_due(&mut said, start + at));
        assert_eq!(due, [false, false, true, false, true, false]);
    }
}
