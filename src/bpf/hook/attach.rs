//! Puts the programs on an interface. What is attached stays only as long as its [`Attachment`]: by links, which the
//! kernel closes with the process, or, where it has no TCX, by clsact filters.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use libbpf_rs::libbpf_sys;
use nix::libc;

use crate::bpf::hook::choice::{choose, inexact};
use crate::bpf::hook::clsact::Filter;
use crate::bpf::program::handles::HookPrograms;
use crate::bpf::read::grace::wait_for_programs;
use crate::bpf::sys;
use crate::bpf::tracker::Tracker;
use crate::interface::Interface;
use crate::link::Link;
use crate::model::{Direction, HookChoice, XdpMode};

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Where to see received frames.
    pub hook: HookChoice,
    /// Which XDP.
    pub xdp_mode: XdpMode,
    /// Whether to see sent frames.
    pub egress: bool,
}

/// A hook in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP in the driver.
    XdpNative,
    /// XDP after the driver.
    XdpGeneric,
    /// TC by a link.
    Tcx,
    /// TC by a filter.
    Clsact,
}

impl Hook {
    /// From the number that `hook as u8` has.
    pub(in crate::bpf) fn from_raw(raw: u8) -> Self {
        [Self::XdpNative, Self::XdpGeneric, Self::Tcx]
            .into_iter()
            .find(|hook| *hook as u8 == raw)
            .unwrap_or(Self::Clsact)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XdpNative => "XDP native",
            Self::XdpGeneric => "XDP generic",
            Self::Tcx => "TC (tcx)",
            Self::Clsact => "TC (clsact)",
        })
    }
}

/// The programs on one interface. Dropping it takes them off.
pub struct Attachment {
    /// The interface, as it was named when attached.
    pub interface: Interface,
    /// The hook that sees received frames.
    pub ingress: Hook,
    /// The hook that sees sent frames. None on loopback, where what is sent is received, and with `--no-egress`.
    pub egress: Option<Hook>,
    /// What the user should know about the choice.
    pub notes: Vec<String>,
    /// One for each hook, in their order.
    pub(in crate::bpf) keepers: Vec<Keeper>,
}

impl Attachment {
    /// The directions that are seen.
    pub fn directions(&self) -> impl Iterator<Item = Direction> + use<> {
        self.hooks().map(|(direction, _)| direction)
    }

    /// The hooks that are in use.
    pub(in crate::bpf) fn hooks(&self) -> impl Iterator<Item = (Direction, Hook)> + use<> {
        let egress = self.egress.map(|hook| (Direction::Egress, hook));
        [Some((Direction::Ingress, self.ingress)), egress]
            .into_iter()
            .flatten()
    }
}

/// What keeps a program attached.
#[expect(dead_code, reason = "held, never read")]
pub(in crate::bpf) enum Keeper {
    Link(OwnedFd),
    Filter(Filter),
}

/// Attaches to one interface, in the network namespace of this thread.
pub fn attach(tracker: &Tracker, interface: &Interface, request: Request) -> Result<Attachment> {
    let mut notes = Vec::new();
    let mut keepers = Vec::new();
    // Where that fails, the interface is gone, and attaching says so.
    let link = Link::ask(interface.index).unwrap_or_default();
    let (ingress, keeper) = attach_ingress(tracker, interface, request, &link, &mut notes)
        .with_context(|| format!("cannot track {}", interface.name))?;
    keepers.push(keeper);
    let egress = if request.egress && !interface.loopback {
        let (hook, keeper) = attach_tc(tracker, interface, Direction::Egress)
            .with_context(|| format!("cannot track what {} sends", interface.name))?;
        keepers.push(keeper);
        Some(hook)
    } else {
        None
    };
    notes.extend(inexact(ingress, &link).map(str::to_owned));
    Ok(Attachment {
        interface: interface.clone(),
        ingress,
        egress,
        notes,
        keepers,
    })
}

/// Takes the programs off, and waits until the last of them has returned: what they counted is then complete.
pub fn detach(attachments: Vec<Attachment>) -> Result<()> {
    drop(attachments);
    wait_for_programs()
}

fn attach_ingress(
    tracker: &Tracker,
    interface: &Interface,
    request: Request,
    link: &Link,
    notes: &mut Vec<String>,
) -> Result<(Hook, Keeper)> {
    let programs = tracker.handles.hooks()?;
    let xdp = |hook| {
        // An interface of this name had no need of it at the start.
        let Some(program) = &programs.xdp else {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        };
        let program = program.as_fd();
        let flags = match hook {
            Hook::XdpGeneric => libbpf_sys::XDP_FLAGS_SKB_MODE,
            _ => libbpf_sys::XDP_FLAGS_DRV_MODE,
        };
        let link = sys::create_link(program, interface.index.0, libbpf_sys::BPF_XDP, flags)?;
        Ok((hook, Keeper::Link(link)))
    };
    let tc = || attach_tc(tracker, interface, Direction::Ingress);
    choose(interface, request, link, notes, xdp, tc)
}

/// TC by a TCX link, or by clsact where the kernel does not know TCX, which it says with EINVAL. No other error may lead
/// there: a program that is on both would count twice.
fn attach_tc(
    tracker: &Tracker,
    interface: &Interface,
    direction: Direction,
) -> Result<(Hook, Keeper)> {
    let (program, attach_type) = tc_program(tracker.handles.hooks()?, interface, direction)?;
    // First in the chain: a program that decides about a packet hides it from those after it.
    match sys::create_link(
        program,
        interface.index.0,
        attach_type,
        libbpf_sys::BPF_F_BEFORE,
    ) {
        Ok(link) => Ok((Hook::Tcx, Keeper::Link(link))),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let filter = Filter::attach(program, interface.index, direction)?;
            Ok((Hook::Clsact, Keeper::Filter(filter)))
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            bail!("not permitted. Run udptrack as root (sudo)")
        }
        Err(error) => Err(error).context("cannot attach to TC"),
    }
}

fn tc_program<'a>(
    programs: &'a HookPrograms,
    interface: &Interface,
    direction: Direction,
) -> Result<(BorrowedFd<'a>, u32)> {
    let (program, attach_type) = match (direction, interface.ethernet) {
        (Direction::Ingress, true) => (&programs.ingress, libbpf_sys::BPF_TCX_INGRESS),
        (Direction::Ingress, false) => (&programs.ingress_ip, libbpf_sys::BPF_TCX_INGRESS),
        (Direction::Egress, true) => (&programs.egress, libbpf_sys::BPF_TCX_EGRESS),
        (Direction::Egress, false) => (&programs.egress_ip, libbpf_sys::BPF_TCX_EGRESS),
    };
    let program = program.as_ref().context(
        "it is of another kind than the interface that had this name, and needs another program. Start udptrack again",
    )?;
    Ok((program.as_fd(), attach_type))
}
