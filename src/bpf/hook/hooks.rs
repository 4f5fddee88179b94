//! The hooks of a run in the map `hooks`, for readers of its pins: two elements for each slot.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use libbpf_rs::MapHandle;
use std::os::fd::AsFd as _;

use crate::bpf::hook::attach::{Attachment, Hook};
use crate::bpf::hook::slots::NOBODYS;
use crate::bpf::program::handles;
use crate::bpf::program::replay::Replayer;
use crate::bpf::sys::{self, types};
use crate::bpf::tracker::Tracker;
use crate::interface::Interface;
use crate::model::{Direction, Ifindex};

/// What books are called that belong to interfaces that are gone, and were summed up.
pub const GONE: &str = "(gone)";

/// The elements of the map that say something.
#[derive(Default)]
pub(in crate::bpf) struct Hooks(BTreeMap<u32, types::udp_track_hook>);

/// A hook that is there, or whose interface is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHook {
    /// Name of its interface.
    pub interface: String,
    /// The interface; 0 for those that are gone and were summed up.
    pub index: Ifindex,
    /// Which of its hooks.
    pub direction: Direction,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
    /// Whether its interface is gone.
    pub is_gone: bool,
    pub(in crate::bpf) slot: u32,
}

impl Hooks {
    /// As the map has them.
    pub fn read(map: &MapHandle) -> Result<Self> {
        let mut hooks = BTreeMap::new();
        sys::read_map(
            map.as_fd(),
            0,
            usize::MAX,
            |element: &u32, hook: &types::udp_track_hook| {
                if !text(&hook.interface).is_empty() {
                    hooks.insert(*element, *hook);
                }
            },
        )
        .context("cannot read hooks")?;
        Ok(Self(hooks))
    }

    /// Each with its slot.
    pub fn raw(&self) -> Vec<(u32, types::udp_track_hook)> {
        let hooks = self.0.iter();
        hooks.map(|(element, hook)| (element / 2, *hook)).collect()
    }

    /// For those who show books.
    pub fn known(&self) -> Vec<KnownHook> {
        let hooks = self.raw().into_iter();
        hooks
            .map(|(slot, raw)| KnownHook {
                interface: text(&raw.interface).to_owned(),
                index: Ifindex(raw.ifindex),
                direction: direction(&raw),
                ethernet: raw.ethernet != 0,
                is_gone: raw.is_gone != 0,
                slot,
            })
            .collect()
    }

    fn write(&mut self, map: &MapHandle, element: u32, hook: types::udp_track_hook) -> Result<()> {
        let is_known = self
            .0
            .get(&element)
            .is_some_and(|known| sys::bytes_of(known) == sys::bytes_of(&hook));
        if !is_known {
            handles::write(map, element, &hook)?;
            self.0.insert(element, hook);
        }
        Ok(())
    }
}

impl Tracker {
    /// The hooks that it has, and those whose interfaces are gone. In a replay: where frames of the capture have passed.
    #[must_use]
    pub fn hooks(&self) -> Vec<KnownHook> {
        let captured = self.replayer.as_ref().map(Replayer::hooks);
        captured.unwrap_or_else(|| self.hooks.known())
    }

    /// Writes down what was attached, at once: what is dropped behind it is counted from then on.
    pub fn note_hook(&mut self, attachment: &Attachment) -> Result<()> {
        let interface = &attachment.interface;
        let Some(slot) = self.slots.slot(interface.index) else {
            return Ok(());
        };
        let map = &self.handles.tables.hooks;
        attachment.hooks().try_for_each(|(direction, hook)| {
            let raw = raw_hook(interface, direction, hook);
            self.hooks.write(map, slot * 2 + direction as u32, raw)
        })
    }

    /// Writes down what is attached now. What was before is gone.
    pub fn note_hooks(&mut self, attachments: &[Attachment]) -> Result<()> {
        let mut now = BTreeMap::new();
        for attachment in attachments {
            let interface = &attachment.interface;
            self.slots.rename(interface.index, &interface.name);
            let Some(slot) = self.slots.slot(interface.index) else {
                continue;
            };
            for (direction, hook) in attachment.hooks() {
                now.insert(
                    slot * 2 + direction as u32,
                    raw_hook(interface, direction, hook),
                );
            }
        }
        for (element, hook) in &self.hooks.0 {
            let gone = types::udp_track_hook {
                is_gone: 1,
                ..*hook
            };
            now.entry(*element).or_insert(gone);
        }
        let map = &self.handles.tables.hooks;
        now.into_iter()
            .try_for_each(|(element, hook)| self.hooks.write(map, element, hook))
    }

    /// The books of a slot are nobody's from now on.
    pub(in crate::bpf) fn forget_hooks(&mut self, slot: u32) -> Result<()> {
        let map = &self.handles.tables.hooks;
        for direction in [Direction::Ingress, Direction::Egress] {
            let nobodys = types::udp_track_hook {
                is_gone: 1,
                direction: direction as u8,
                interface: cut(GONE),
                ..Default::default()
            };
            self.hooks
                .write(map, NOBODYS * 2 + direction as u32, nobodys)?;
            let element = slot * 2 + direction as u32;
            handles::write(map, element, &types::udp_track_hook::default())?;
            self.hooks.0.remove(&element);
        }
        Ok(())
    }
}

pub(in crate::bpf) fn raw_hook(
    interface: &Interface,
    direction: Direction,
    hook: Hook,
) -> types::udp_track_hook {
    types::udp_track_hook {
        ifindex: interface.index.0,
        direction: direction as u8,
        kind: hook as u8,
        ethernet: interface.ethernet.into(),
        is_gone: 0,
        interface: cut(&interface.name),
    }
}

pub(in crate::bpf) fn direction(raw: &types::udp_track_hook) -> Direction {
    if raw.direction == Direction::Ingress as u8 {
        Direction::Ingress
    } else {
        Direction::Egress
    }
}

/// As much of a text as fits before the closing 0.
pub(in crate::bpf) fn cut<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// The text before the closing 0.
pub(in crate::bpf) fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    std::str::from_utf8(bytes).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(text(&cut::<8>("eth0")), "eth0");
        assert_eq!(text(&cut::<8>("12345678")), "1234567");
        assert_eq!(text(&cut::<8>("123456ü")), "123456");
        assert_eq!(text(&cut::<8>("")), "");
        assert_eq!(text(b"no end"), "no end");
    }
}
