//! Frames of a capture, given to the programs one by one: what they know of a packet beside its bytes is written before each
//! (`bpf/replay.h`).

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bpf::hook::hooks::KnownHook;
use crate::bpf::program::handles::{Handles, PacketPrograms};
use crate::bpf::read::cells::ReplayCells;
use crate::bpf::sys::{self, Mapping, types};
use crate::bpf::tracker::Tracker;
use crate::interface::Interface;
use crate::model::{ConnectionId, Direction, Ifindex, Place};

/// Bytes of an Ethernet header, and where in it the type of what follows stands.
const ETHERNET: usize = 14;
const TYPE: std::ops::Range<usize> = 12..14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// A test run takes a page less what a socket buffer needs in it: 3,712 bytes where a page has 4,096, and 3,200 where the kernel was built
/// for the most fragments. Headers are shorter, and the same everywhere is better than more.
const MOST: usize = 3072;
/// A frame that is not looked at.
const NOTHING: [u8; ETHERNET + 1] = [0; ETHERNET + 1];
const JIFFY_NS: u64 = types::udp_track_sizes::UDP_TRACK_REPLAY_JIFFY_NS.0 as u64;

/// A frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedFrame<'a> {
    /// When it was seen: nanoseconds since 1970. The programs have no other clock.
    pub ns: u64,
    /// Where: as [`Tracker::admit_captured`] gave it.
    pub interface: Ifindex,
    /// In which direction it passed there.
    pub direction: Direction,
    /// How long it was on the wire.
    pub wire_bytes: u32,
    /// What of that was captured, from the link header on; or from the IP header on, where the interface has no other.
    pub data: &'a [u8],
}

/// What the programs made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// It is the first of its interface and direction: [`Tracker::hooks`] has one more.
    pub is_first: bool,
    /// The connection that it is of, or about, where the frames of that are wanted ([`crate::bpf::Settings::frames`]).
    pub wanted: Option<(Place, ConnectionId)>,
}

/// An interface of a capture.
struct Captured {
    name: String,
    ethernet: bool,
    slot: u32,
    /// In which directions frames have passed.
    seen: [bool; 2],
}

/// Gives frames to the programs.
pub(in crate::bpf) struct Replayer {
    cells: Mapping<ReplayCells>,
    /// Each at its index, less 1.
    interfaces: Vec<Captured>,
    /// A frame that has to be another one than the capture has.
    changed: Vec<u8>,
}

/// The least that a test run takes of a frame of this type, and whether less lacks a header: the whole IP header has to be there, or one
/// byte of what is no IP (`bpf_prog_test_run_skb()` in `net/bpf/test_run.c`).
fn least(ethernet: &[u8]) -> (usize, bool) {
    match ethernet.get(TYPE) {
        Some(kind) if kind == IPV4 => (ETHERNET + 20, true),
        Some(kind) if kind == IPV6 => (ETHERNET + 40, true),
        Some(_) => (ETHERNET + 1, false),
        None => (ETHERNET, true),
    }
}

/// The link header of an IP packet that has none, by its version.
fn link_header(packet: &[u8]) -> [u8; ETHERNET] {
    let kind = match packet.first().map(|first| first >> 4) {
        Some(4) => IPV4,
        Some(6) => IPV6,
        _ => [0, 0],
    };
    let mut header = [0; ETHERNET];
    header[TYPE].copy_from_slice(&kind);
    header
}

/// The place that `udp_track_replay` returned, where the frame is wanted. Its other value has all bits set.
fn wanted(returned: u32) -> Option<Place> {
    const WANTED: u32 = types::udp_track_sizes::UDP_TRACK_REPLAY_WANTED.0;
    let rest = returned ^ WANTED;
    (rest < WANTED).then_some(Place(rest))
}

impl Replayer {
    /// Where the programs were loaded for that.
    pub fn new(handles: &Handles) -> Result<Option<Self>> {
        Ok(match handles.packets {
            PacketPrograms::Hooks(_) => None,
            PacketPrograms::Replay(_) => Some(Self {
                cells: Mapping::of(&handles.channels.replay).context("cannot map .data.replay")?,
                interfaces: Vec::new(),
                changed: Vec::with_capacity(MOST),
            }),
        })
    }

    /// A hook for each direction of each interface in which a frame has passed.
    pub fn hooks(&self) -> Vec<KnownHook> {
        let mut hooks = Vec::new();
        for (index, interface) in (1..).zip(&self.interfaces) {
            for direction in [Direction::Ingress, Direction::Egress] {
                if interface.seen[direction as usize] {
                    hooks.push(KnownHook {
                        interface: interface.name.clone(),
                        index: Ifindex(index),
                        direction,
                        ethernet: interface.ethernet,
                        is_gone: false,
                        slot: interface.slot,
                    });
                }
            }
        }
        hooks
    }

    /// Gives a frame to the program. Says whether it is the first of its interface and direction, and where the connection lies whose
    /// frame it is, where that is wanted.
    fn give(
        &mut self,
        program: BorrowedFd<'_>,
        frame: &ReplayedFrame<'_>,
    ) -> Result<(bool, Option<Place>)> {
        let place = (frame.interface.0 as usize).checked_sub(1);
        let interface = place.and_then(|place| self.interfaces.get_mut(place));
        let interface = interface.context("the interface of a frame is not known")?;
        let captured = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        let data = &frame.data[..frame.data.len().min(MOST - ETHERNET)];
        let header = (!interface.ethernet).then(|| link_header(data));
        let added = header.map_or(0, |header| header.len());
        let there = added + data.len();
        let (least, lacks_header) = match &header {
            Some(header) => least(header),
            None => least(data),
        };
        let is_short = data.is_empty() || (there < least && lacks_header);
        let given = if is_short {
            &NOTHING[..]
        } else if header.is_some() || there < least {
            self.changed.clear();
            self.changed.extend(header.into_iter().flatten());
            self.changed.extend(data);
            self.changed.resize(there.max(least), 0);
            &self.changed
        } else {
            data
        };
        let cells = self.cells.first().context(".data.replay is empty")?;
        let write = |cell: &AtomicU32, value: usize| {
            cell.store(u32::try_from(value).unwrap_or(u32::MAX), Relaxed);
        };
        cells.ns.store(frame.ns, Relaxed);
        cells.jiffies.store(frame.ns / JIFFY_NS, Relaxed);
        cells.ifindex.store(frame.interface.0, Relaxed);
        cells.slot.store(interface.slot, Relaxed);
        cells.direction.store(frame.direction as u32, Relaxed);
        let wire_bytes = frame.wire_bytes.max(captured);
        cells.wire_bytes.store(wire_bytes, Relaxed);
        write(&cells.captured, there);
        write(&cells.added, added);
        write(&cells.is_short, is_short.into());
        let run = sys::test_run(program, given, 1);
        let returned = run.context("cannot run the program over a frame")?.returned;
        let seen = &mut interface.seen[frame.direction as usize];
        Ok((!std::mem::replace(seen, true), wanted(returned)))
    }
}

impl Tracker {
    /// An interface of a capture, by which frames name it from now on.
    pub fn admit_captured(&mut self, name: &str, ethernet: bool) -> Result<Ifindex> {
        let replayer = self.replayer.as_ref().context("this is no replay")?;
        let index = Ifindex(u32::try_from(replayer.interfaces.len())? + 1);
        let interface = Interface {
            name: name.to_owned(),
            other_names: Vec::new(),
            index,
            ethernet,
            loopback: false,
            up: true,
            addresses: Vec::new(),
        };
        let instead_of = self.admit(&interface, None)?;
        ensure!(instead_of.is_none(), "too many interfaces in one capture");
        let slot = self.slots.slot(index).context("it has no slot")?;
        if let Some(replayer) = &mut self.replayer {
            replayer.interfaces.push(Captured {
                name: interface.name,
                ethernet,
                slot,
                seen: [false; 2],
            });
        }
        Ok(index)
    }

    /// Gives a frame to the programs as if it had just passed.
    pub fn replay(&mut self, frame: &ReplayedFrame<'_>) -> Result<Replayed> {
        let (is_first, place) = match (&mut self.replayer, &self.handles.packets) {
            (Some(replayer), PacketPrograms::Replay(program)) => {
                replayer.give(program.as_fd(), frame)?
            }
            _ => bail!("this is no replay"),
        };
        Ok(Replayed {
            is_first,
            wanted: place.and_then(|place| Some((place, self.id_at(place)?))),
        })
    }
}
