//! What the pins of a run tell about it, how it stays in the kernel, and how the next run resumes it.

use std::fs;

use anyhow::{Result, bail};
use libbpf_rs::MapCore as _;

use crate::bpf::hook::attach::{Attachment, Hook, Keeper};
use crate::bpf::hook::hooks::{Hooks, cut, direction, text};
use crate::bpf::hook::slots::{SlotShape, Slots};
use crate::bpf::pin::pins::{self, Claim, folder_mode};
use crate::bpf::program::filter;
use crate::bpf::program::handles::{self, Handles};
use crate::bpf::program::load::{Settings, event_mask};
use crate::bpf::sys::types;
use crate::bpf::tracker::Tracker;
use crate::clock::monotonic_ns;
use crate::interface::{self, Interface};
use crate::model::{Direction, Ifindex, Timeouts};

/// What others may want to know of a run.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// What ends connections.
    pub timeouts: Timeouts,
    /// The filter, as people read it.
    pub filter: &'a str,
    /// Who may read the tables: permission bits of files. Only the process itself may write.
    pub mode: u32,
    /// Whether the hooks stay when the process ends, however that is.
    pub keep: bool,
}

/// What a link is pinned as.
fn link_name(interface: Ifindex, direction: Direction) -> String {
    format!("{}-{}", interface.0, direction.name())
}

impl Tracker {
    /// Pins everything, so that others can read the tables. To be called when all hooks are attached.
    pub fn share(
        &mut self,
        claim: &mut Claim,
        attachments: &[Attachment],
        description: &Description<'_>,
    ) -> Result<()> {
        self.describe(attachments, description)?;
        if !claim.is_kept {
            self.handles.pin(&claim.folder, description.mode)?;
            handles::set_mode(&claim.folder, folder_mode(description.mode))?;
        }
        match (description.keep, claim.links().exists()) {
            (true, false) => pin_links(claim, attachments),
            (false, true) => claim.release(),
            _ => Ok(()),
        }
    }

    /// Writes what others may want to know of the run: what pins have from then on.
    pub fn describe(
        &mut self,
        attachments: &[Attachment],
        description: &Description<'_>,
    ) -> Result<()> {
        self.note_hooks(attachments)?;
        let hooks = self.slots.count() * 2;
        let instance = &mut self.instance;
        instance.netns = pins::netns()?;
        instance.started_ns = if instance.started_ns == 0 {
            monotonic_ns()?
        } else {
            instance.started_ns
        };
        instance.unreplied_ns = description.timeouts.unreplied.as_nanos().try_into()?;
        instance.assured_ns = description.timeouts.assured.as_nanos().try_into()?;
        instance.pid = std::process::id();
        instance.hooks = hooks;
        instance.filter = cut(description.filter);
        handles::write(&self.handles.tables.instance, 0, &**instance)
    }

    /// Takes up what an earlier run has kept: hooks that never stopped counting, tables, and programs.
    pub fn resume(claim: &Claim) -> Result<(Self, Vec<Attachment>)> {
        let handles = Handles::open(&claim.folder)?;
        let instance: types::udp_track_instance = handles::read(&handles.tables.instance, 0)?;
        let hooks = Hooks::read(&handles.tables.hooks)?;
        let is_here = instance.netns == pins::netns()?;
        let attachments = attachments(claim, &hooks.raw(), is_here)?;
        let shape = SlotShape::of_instance(&instance);
        let slots = Slots::resume(&handles.channels, shape, &hooks.raw())?;
        let mut tracker = Self::new(handles, Box::new(instance), slots, hooks)?;
        tracker.dismiss_others(&attachments);
        tracker.recover()?;
        Ok((tracker, attachments))
    }

    /// What was tracked and is not attached to any more.
    fn dismiss_others(&mut self, attachments: &[Attachment]) {
        for hook in self.hooks() {
            let mut there = attachments.iter();
            if !there.any(|attachment| attachment.interface.index == hook.index) {
                self.dismiss(hook.index);
            }
        }
    }

    /// Pins the hooks of an interface that has come, where hooks stay when the process ends.
    pub fn pin_hooks(&self, claim: &Claim, attachment: &Attachment) -> Result<()> {
        if !claim.links().exists() {
            return Ok(());
        }
        pin_links_of(claim, attachment)
    }

    /// What of the settings is not as it was when the tracking began, if anything: those cannot change in it.
    #[must_use]
    pub fn difference(&self, settings: &Settings) -> Option<String> {
        let (instance, tables) = (&self.instance, &self.handles.tables);
        let room = instance.max_connections;
        let addresses = tables.ip_stats.max_entries();
        let maps = self.handles.channels.publications.max_entries() > 1;
        if room != settings.max_connections {
            return Some(format!("--max-connections {room}"));
        }
        if maps != settings.maps {
            return Some(if maps { "its maps" } else { "--no-maps" }.to_owned());
        }
        if maps && addresses != settings.max_ips {
            return Some(format!("--max-ips {addresses}"));
        }
        if (instance.per_interface != 0) != settings.per_interface {
            let with = if settings.per_interface { "no " } else { "" };
            return Some(format!("{with}--per-interface"));
        }
        if filter::digest(&filter::raw(settings.filter.as_ref())) != instance.filter_digest {
            return Some(match text(&instance.filter) {
                "" => "no filter".to_owned(),
                text => format!("the filter `{text}`"),
            });
        }
        if event_mask(settings) & !instance.events != 0 {
            return Some("fewer events (-e)".to_owned());
        }
        if settings.response_times && instance.response_times == 0 {
            return Some("no response times".to_owned());
        }
        if settings.dns && !self.counts_dns() {
            return Some("no counts of DNS messages".to_owned());
        }
        if settings.frames.is_some() != (instance.frame_bytes != 0) {
            let not = if settings.frames.is_some() { "no " } else { "" };
            return Some(format!("{not}copies of frames (-w, --record)"));
        }
        if !self.slots.fit(&settings.interfaces, settings.grows) {
            return Some("other interfaces (-i)".to_owned());
        }
        None
    }
}

impl Claim {
    /// Removes the pins of hooks whose interface is gone.
    pub fn unpin_hooks(&self, interface: Ifindex) {
        for direction in [Direction::Ingress, Direction::Egress] {
            // Without --keep there are none.
            let _ = fs::remove_file(self.links().join(link_name(interface, direction)));
        }
    }
}

fn pin_links(claim: &mut Claim, attachments: &[Attachment]) -> Result<()> {
    let links = claim.links();
    handles::make_folder(&links, 0o700)?;
    for attachment in attachments {
        pin_links_of(claim, attachment)?;
    }
    claim.stays = true;
    Ok(())
}

fn pin_links_of(claim: &Claim, attachment: &Attachment) -> Result<()> {
    let index = attachment.interface.index;
    for ((direction, _), keeper) in attachment.hooks().zip(&attachment.keepers) {
        let Keeper::Link(link) = keeper else {
            bail!("--keep needs links for TC: Linux 6.6 or later has them");
        };
        handles::pin(link, &claim.links().join(link_name(index, direction)))?;
    }
    Ok(())
}

/// An interface with the hooks that are on it, in the order of `hooks`. One of another network namespace keeps its name: there, an index
/// means another interface than here.
fn attachments(
    claim: &Claim,
    hooks: &[(u32, types::udp_track_hook)],
    is_here: bool,
) -> Result<Vec<Attachment>> {
    let here = if is_here {
        interface::list()?
    } else {
        Vec::new()
    };
    let mut attachments: Vec<Attachment> = Vec::new();
    for (_, raw) in hooks.iter().filter(|(_, raw)| raw.is_gone == 0) {
        let index = Ifindex(raw.ifindex);
        let direction = direction(raw);
        let path = claim.links().join(link_name(index, direction));
        if is_here && !here.iter().any(|interface| interface.index == index) {
            // It went while nobody looked.
            let _ = fs::remove_file(path);
            continue;
        }
        let keeper = Keeper::Link(handles::open(&path)?);
        let hook = Hook::from_raw(raw.kind);
        let last = attachments.last_mut();
        match last.filter(|last| last.interface.index == index) {
            Some(last) => {
                last.egress = Some(hook);
                last.keepers.push(keeper);
            }
            None => attachments.push(Attachment {
                interface: named(raw, &here),
                ingress: hook,
                egress: None,
                notes: Vec::new(),
                keepers: vec![keeper],
            }),
        }
    }
    Ok(attachments)
}

/// The interface of a hook as it is called now, or, where it is not here, as its pin has it.
fn named(raw: &types::udp_track_hook, here: &[Interface]) -> Interface {
    let mut here = here.iter();
    let found = here.find(|interface| interface.index.0 == raw.ifindex);
    found.cloned().unwrap_or_else(|| Interface {
        name: text(&raw.interface).to_owned(),
        other_names: Vec::new(),
        index: Ifindex(raw.ifindex),
        ethernet: raw.ethernet != 0,
        loopback: false,
        up: false,
        addresses: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::hook::hooks::raw_hook;

    #[test]
    fn interfaces_of_another_namespace_are_named_by_their_pins() {
        let all = interface::list().unwrap();
        let lo = all.iter().find(|interface| interface.loopback).unwrap();
        let there = Interface {
            name: "veth0b".to_owned(),
            ..lo.clone()
        };
        let raw = raw_hook(&there, Direction::Ingress, Hook::Tcx);
        assert_eq!(named(&raw, &all).name, "lo");
        let other = named(&raw, &[]);
        assert_eq!((&*other.name, other.index), ("veth0b", lo.index));
        assert_eq!(other.ethernet, lo.ethernet);
    }

    #[test]
    fn hooks_there_and_back() {
        for hook in [Hook::XdpNative, Hook::XdpGeneric, Hook::Tcx, Hook::Clsact] {
            assert_eq!(Hook::from_raw(hook as u8), hook);
        }
    }
}
