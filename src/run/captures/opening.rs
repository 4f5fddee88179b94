//! What the thread has from the beginning: its file, open, and what is the same in all files of the run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;

use super::arrivals::Arrivals;
use super::capture::{Meta, Origin};
use super::memory::Memory;
use super::saved::Saved;
use super::shared::{Known, Shared};
use super::thread::{Frames, Worker};
use crate::bpf::Tracker;
use crate::capture::write::{self, LINKTYPE_ETHERNET, LINKTYPE_RAW, Sequence};
use crate::console::{note, say};
use crate::model::Ifindex;
use crate::model::text::{Grouped, Visible};
use crate::output::Clock;
use crate::plan::{Captures as Plan, Plan as RunPlan, WriteTo};
use crate::run::inputs::Inputs;

/// The thread, with its file open.
pub(super) fn worker(
    plan: &RunPlan,
    captures: &Plan,
    tracker: &Tracker,
    shared: &Arc<Shared>,
) -> Result<Worker> {
    let clock = Clock::new().context("cannot read the clock")?;
    let now = clock.unix_ns(clock.now_ns()?);
    let meta = Meta {
        origin: Origin {
            application: concat!("udptrack ", env!("CARGO_PKG_VERSION")).to_owned(),
            system: system(),
            filter: plan.filter_text.clone(),
            snaplen: captures.snaplen.unwrap_or(write::WHOLE),
            began_ns: now,
        },
        interfaces: interfaces(tracker, None)?,
    };
    let sequence = match &captures.to {
        None | Some(WriteTo::Stdout) => None,
        Some(WriteTo::File { path, rotation }) => {
            let sequence = Sequence::new(path, *rotation, TimeZone::system(), now);
            Some(
                sequence
                    .map_err(anyhow::Error::msg)
                    .context("-w, with -G")?,
            )
        }
    };
    let frames = if plan.is_replay() {
        Frames::Loop(clock.now_ns()?)
    } else {
        Frames::Kernel(Arrivals::new(tracker.frame_ring()?, plan.chooses()))
    };
    let repeated = sequence.as_ref().and_then(Sequence::repeated_name);
    let worker = Worker {
        frames,
        shared: Arc::clone(shared),
        clock,
        saved: captures
            .to
            .is_some()
            .then(|| Saved::open(sequence, Inputs::of(&plan.read), &meta))
            .transpose()?,
        memory: captures
            .record
            .as_ref()
            .map(|record| Memory::new(record.bytes, record.folder.clone(), record.after)),
        meta,
        ends: false,
    };
    say_begun(plan, captures, repeated.as_deref());
    Ok(worker)
}

/// Says what is written, and that it may be less than somebody thinks.
fn say_begun(plan: &RunPlan, captures: &Plan, repeated: Option<&Path>) {
    if let (Some(repeated), Some(WriteTo::File { path, .. })) = (repeated, &captures.to) {
        let name = |path: &Path| Visible(&path.to_string_lossy()).to_string();
        say(format_args!(
            "-G writes {} again and again, over what is in it: with the time in the name, as in -w '{}', each file stays",
            name(repeated),
            name(&with_time(path))
        ));
    }
    if plan.quiet {
        return;
    }
    let doing = match &captures.to {
        Some(_) => format!("writing {}", captures.name()),
        None => "keeping frames in memory".to_owned(),
    };
    let bytes = match captures.snaplen {
        Some(bytes) => format!(
            "the first {} bytes of each frame; --snaplen 0 takes all",
            Grouped(bytes.into())
        ),
        None => "each frame as a whole".to_owned(),
    };
    note(format_args!("{doing}: {bytes}"));
}

/// The name with a sign of strftime for the time, before its ending.
fn with_time(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-%s");
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// The interfaces that are tracked, or were. Those of a capture have link types of their own.
pub(super) fn interfaces(
    tracker: &Tracker,
    link_types: Option<&HashMap<Ifindex, u16>>,
) -> Result<HashMap<Ifindex, Known>> {
    let mut all: HashMap<Ifindex, Known> = HashMap::new();
    for hook in tracker
        .hooks()
        .iter()
        .filter(|hook| hook.index != Ifindex(0))
    {
        let received = tracker.books_of(hook)?.seen.packets;
        let lost = tracker.frames_lost(hook)?;
        let link_type = link_types.and_then(|types| types.get(&hook.index).copied());
        let link_type = link_type.unwrap_or(if hook.ethernet {
            LINKTYPE_ETHERNET
        } else {
            LINKTYPE_RAW
        });
        let known = all.entry(hook.index).or_insert_with(|| Known {
            name: String::new(),
            link_type,
            received: 0,
            lost: 0,
        });
        if known.name.is_empty() || !hook.is_gone {
            known.name.clone_from(&hook.interface);
            known.link_type = link_type;
        }
        known.received += received;
        known.lost += lost;
    }
    Ok(all)
}

/// Name and release of the kernel.
fn system() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "Linux".to_owned(),
        |it| format!("{} {}", it.sysname().display(), it.release().display()),
    )
}
