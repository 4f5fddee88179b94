//! Chooses the hook for received packets of an interface: the possible hooks, in the order in which they are tried. Attaching
//! uses it, and so does a check before that ([`crate::bpf::probe`]).

use std::io;

use anyhow::Result;
use nix::libc;

use crate::bpf::hook::attach::{Hook, Request};
use crate::interface::Interface;
use crate::link::{Link, XdpCost};
use crate::model::{HookChoice, XdpMode};

/// The note if generic XDP is used.
const GENERIC: &str = "generic XDP sees a packet that the kernel merged (GRO) as one packet, so counts may be too low; --hook tc is exact";
/// The note if XDP is asked for on a tap.
const TAP: &str = "if a virtual machine sends a large packet in one piece, XDP sees one packet, so counts may be too low; --hook tc is exact";
/// The note if TC sees received packets after another XDP program.
const TAKEN: &str = "it has an XDP program already, which udptrack leaves alone; TC, after it, sees received packets";

/// The first way that works. `xdp` tries XDP of a kind, `tc` tries TC; `notes` gets what the user should know of the choice.
pub(in crate::bpf) fn choose<T>(
    interface: &Interface,
    request: Request,
    link: &Link,
    notes: &mut Vec<String>,
    xdp: impl FnMut(Hook) -> io::Result<T>,
    tc: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if request.hook == HookChoice::Tc {
        return tc();
    }
    if spares_others(request, link).is_some() {
        notes.extend(link.xdp.map(|_| TAKEN.to_owned()));
        return tc();
    }
    match choose_xdp(interface, request, xdp) {
        Ok(chosen) => Ok(chosen),
        Err(error) if request.hook == HookChoice::Xdp => Err(xdp_error(&error)),
        Err(error) => {
            notes.extend(fallback_note(&error));
            tc()
        }
    }
}

/// What native XDP would cost, where it is not taken for that: unless XDP is asked for.
pub(in crate::bpf) fn spares_others(request: Request, link: &Link) -> Option<XdpCost> {
    let is_asked_for = (request.hook, request.xdp_mode) != (HookChoice::Auto, XdpMode::Auto);
    link.xdp_cost().filter(|_| !is_asked_for)
}

/// What the user should know of a hook where it has come to be used.
pub(in crate::bpf) fn inexact(hook: Hook, link: &Link) -> Option<&'static str> {
    match (hook, link.xdp_cost()) {
        (Hook::XdpNative | Hook::XdpGeneric, Some(XdpCost::Tap)) => Some(TAP),
        (Hook::XdpGeneric, _) => Some(GENERIC),
        _ => None,
    }
}

/// XDP in the modes that were asked for, in order. The error is that of the first.
fn choose_xdp<T>(
    interface: &Interface,
    request: Request,
    mut xdp: impl FnMut(Hook) -> io::Result<T>,
) -> io::Result<T> {
    if !interface.ethernet {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    match (request.xdp_mode, request.hook) {
        (XdpMode::Generic, _) => xdp(Hook::XdpGeneric),
        (XdpMode::Auto, HookChoice::Xdp) => xdp(Hook::XdpNative).or_else(|error| {
            if is_taken(&error) {
                Err(error)
            } else {
                xdp(Hook::XdpGeneric)
            }
        }),
        _ => xdp(Hook::XdpNative),
    }
}

/// Whether somebody else has an XDP program there, in this mode or the other.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

fn xdp_error(error: &io::Error) -> anyhow::Error {
    if is_taken(error) {
        return anyhow::anyhow!(
            "it has an XDP program already, which udptrack leaves alone (ip link shows it). Use --hook auto or --hook tc: then udptrack sees the packets that it passes on"
        );
    }
    anyhow::anyhow!("XDP is not possible here: {error}. Use --hook auto or --hook tc")
}

/// Why TC is used though XDP was wanted, where that is not the driver's nature.
fn fallback_note(error: &io::Error) -> Option<String> {
    if is_taken(error) {
        Some(TAKEN.to_owned())
    } else if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
        None
    } else {
        Some(format!("no native XDP ({error}); TC sees received packets"))
    }
}
