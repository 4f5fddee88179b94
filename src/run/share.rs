//! How others find a run and resume it: its name, its pins, and what `--keep` left.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Run;
use super::attach::attach_all;
use super::fence::{self, Open};
use super::links::{Links, attach_later};
use super::signals::Interruptible;
use crate::bpf::{self, Attachment, Claim, Description, Tracker};
use crate::console::say;
use crate::interface::Selection;
use crate::model::text::{Bytes, Grouped, Visible};
use crate::plan::{Plan, Subject};
use crate::view::Opening;

/// A name of this run's own, where there is a place for pins. Without one, tracking works all the same.
pub(super) fn claim(plan: &Plan, links: &Links) -> Result<Option<Claim>> {
    let pins = &plan.pins;
    let names: Vec<&str> = links
        .first
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    let default = if links.selection == Selection::Any {
        "any".to_owned()
    } else {
        names.join("+")
    };
    let _ = bpf::remove_dead();
    match Claim::take(pins.name.as_deref(), &default) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if pins.keep || pins.name.is_some() => Err(error),
        Err(error) => {
            if plan.verbose {
                say(format_args!(
                    "udptrack list cannot find this run: {error:#}"
                ));
            }
            Ok(None)
        }
    }
}

/// Programs and hooks: those that were kept, or new ones.
pub(super) fn resume_or_attach(
    plan: &Plan,
    claim: Option<&Claim>,
    links: &Links,
    settings: &bpf::Settings,
) -> Result<(Tracker, Vec<Attachment>)> {
    let Some(claim) = claim.filter(|claim| claim.is_kept) else {
        let mut tracker = load(plan, claim, settings)?;
        count_drops(plan, &mut tracker)?;
        let attachments = attach_all(plan, &mut tracker, &links.first)?;
        return Ok((tracker, attachments));
    };
    let (mut tracker, mut attachments) = Tracker::resume(claim)?;
    let name = &claim.name;
    if let Some(difference) = tracker.difference(settings) {
        bail!(
            "cannot resume the tracking {name} that --keep left: it has {}. Use the same flags as then, choose another --name, or end it: udptrack detach --name {name}",
            Visible(&difference)
        );
    }
    count_drops(plan, &mut tracker)?;
    if !plan.quiet {
        say(format_args!(
            "resumed {name}, which --keep left: no packet was missed"
        ));
    }
    for interface in &links.first {
        if !tracker.has(interface.index) {
            let attachment = attach_later(plan, &mut tracker, interface, None)?;
            tracker.pin_hooks(claim, &attachment)?;
            attachments.push(attachment);
        }
    }
    Ok((tracker, attachments))
}

/// What the kernel drops behind the hooks. That it cannot be counted is no reason to fail, but for who asks for nothing else.
fn count_drops(plan: &Plan, tracker: &mut Tracker) -> Result<()> {
    if !plan.drops {
        return Ok(());
    }
    match tracker.count_drops() {
        Ok(None) => {}
        Ok(Some(missing)) => say(format_args!("{missing}")),
        Err(error) if plan.shown.subject == Subject::Losses => {
            return Err(error.context("udptrack cannot count what the kernel drops here"));
        }
        Err(error) => say(format_args!(
            "udptrack cannot count what this machine drops: {error:#}"
        )),
    }
    Ok(())
}

/// How long a terminal may take to be given back when the loop stands still.
const GIVING_BACK: Duration = Duration::from_millis(200);
/// From this amount of kernel memory on, a message comes before the tables are made, because that takes a while.
const MUCH_MEMORY: u64 = 1 << 30;

/// Loads the programs, and says it where that takes a while.
fn load(plan: &Plan, claim: Option<&Claim>, settings: &bpf::Settings) -> Result<Tracker> {
    let memory = bpf::probe::table_bytes(settings);
    if memory >= MUCH_MEMORY && !plan.quiet {
        say(format_args!(
            "preparing a table for {} connections: {} of kernel memory",
            Grouped(plan.max_connections.into()),
            Bytes(memory)
        ));
    }
    let folder = claim.map(|claim| claim.folder().to_owned());
    let _interruptible = Interruptible::begin(move || {
        Opening::give_back();
        if let Some(folder) = folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    })?;
    Tracker::load(settings)
}

impl Run {
    /// What takes away what there is of the run, for a process that ends while the loop stands still.
    pub(super) fn leaving(&self) -> impl Fn() + Clone + Send + 'static + use<> {
        let claim = self.claim.as_ref().filter(|_| !self.plan.keeps());
        let folder = claim.map(|claim| claim.folder().to_owned());
        move || {
            if let Some(folder) = &folder {
                let _ = std::fs::remove_dir_all(folder);
            }
            // A terminal that takes nothing would hold this up, too.
            let giving = std::thread::spawn(Opening::give_back);
            let until = Instant::now() + GIVING_BACK;
            while !giving.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Gives up what a tracker never needs. To be called before any thread is started that has no fence of its own.
    pub(super) fn fence_off(&self) -> Result<()> {
        let claim = self.claim.as_ref();
        let links = claim.filter(|_| self.plan.keeps()).map(Claim::links);
        let files = self.sinks.display.folder();
        let open = Open {
            attaching: !self.plan.is_replay(),
            pins: claim.map(Claim::home),
            links: links.as_deref(),
            files: files.as_deref(),
        };
        let fence = fence::put_up(open, self.plan.exec.is_some())?;
        if self.plan.verbose && !fence.landlock && self.plan.exec.is_none() {
            say(format_args!(
                "this kernel has no Landlock: udptrack cannot limit its access to files"
            ));
        }
        Ok(())
    }

    /// Lets others find it. That they cannot is no reason to fail, unless it is to be kept.
    pub(super) fn share(&mut self) -> Result<()> {
        let plan = &self.plan;
        let Some(claim) = &mut self.claim else {
            return Ok(());
        };
        let description = description(plan);
        match self.tracker.share(claim, &self.attachments, &description) {
            Err(error) if plan.keeps() => Err(error),
            Err(error) => {
                say(format_args!(
                    "udptrack list cannot find this run: {error:#}"
                ));
                self.claim = None;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Tells those who find it what has changed.
    pub(super) fn share_again(&mut self) -> Result<()> {
        if self.claim.is_none() {
            return Ok(());
        }
        let description = description(&self.plan);
        self.tracker.describe(&self.attachments, &description)
    }
}

/// What others may want to know.
fn description(plan: &Plan) -> Description<'_> {
    Description {
        timeouts: plan.timeouts,
        filter: &plan.filter_text,
        mode: plan.pins.mode,
        keep: plan.keeps(),
    }
}
