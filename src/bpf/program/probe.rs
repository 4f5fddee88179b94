//! Predicts which hooks a run would get, without attaching anything: for `udptrack check`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, anyhow};
use libbpf_rs::btf::{Btf, types};
use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::{ProgramType, libbpf_sys};
use nix::libc;

use crate::bpf::hook::attach::{Hook, Request};
use crate::bpf::hook::choice::{choose, inexact, spares_others};
use crate::bpf::hook::clsact;
use crate::bpf::pin::pins;
pub use crate::bpf::program::limits::kernel_version;
use crate::bpf::program::load::Settings;
use crate::bpf::program::memory::Sizes;
use crate::bpf::sys;
use crate::bpf::tracker::Tracker;
use crate::interface::Interface;
use crate::link::{Link, XdpCost};
use crate::model::{Direction, Ifindex};

/// The hook for received packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The hook.
    pub hook: Hook,
    /// Whether only trying would show that it works.
    pub is_guess: bool,
    /// The hook that is taken should the driver refuse this one.
    pub or_else: Option<Hook>,
}

/// What attaching would come to.
#[derive(Debug)]
pub struct Outlook {
    /// For received packets.
    pub ingress: Result<Prediction>,
    /// For sent ones, if they are to be seen.
    pub egress: Result<Option<Hook>>,
    /// What native XDP would cost, where it is not taken for that.
    pub(crate) spared: Option<XdpCost>,
    /// What a run would say of the choice.
    pub notes: Vec<String>,
}

/// Goes the way that [`crate::bpf::attach`] goes.
#[must_use]
pub(crate) fn foresee(interface: &Interface, request: Request, link: &Link) -> Outlook {
    let mut notes = Vec::new();
    let mut ingress = try_ways(interface, request, link, &mut notes);
    if let Ok(prediction) = &mut ingress
        && prediction.hook == Hook::XdpNative
    {
        let without = Link {
            native_xdp: Some(false),
            ..link.clone()
        };
        let second = try_ways(interface, request, &without, &mut Vec::new());
        prediction.or_else = second.ok().map(|second| second.hook);
    }
    if let Ok(prediction) = &ingress {
        notes.extend(inexact(prediction.hook, link).map(str::to_owned));
    }
    let egress = if request.egress && !interface.loopback {
        tc_hook(interface.index, Direction::Egress).map(Some)
    } else {
        Ok(None)
    };
    Outlook {
        ingress,
        egress,
        spared: spares_others(request, link).filter(|_| interface.ethernet),
        notes,
    }
}

fn try_ways(
    interface: &Interface,
    request: Request,
    link: &Link,
    notes: &mut Vec<String>,
) -> Result<Prediction> {
    let sure = |hook| Prediction {
        hook,
        is_guess: false,
        or_else: None,
    };
    // Older kernels do not tell; lo never has it.
    let native = link.native_xdp.or(interface.loopback.then_some(false));
    let xdp = |hook| match native {
        _ if link.xdp.is_some() => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        Some(false) if hook == Hook::XdpNative => {
            Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
        }
        None if hook == Hook::XdpNative => Ok(Prediction {
            is_guess: true,
            ..sure(hook)
        }),
        _ => Ok(sure(hook)),
    };
    let tc = || tc_hook(interface.index, Direction::Ingress).map(sure);
    choose(interface, request, link, notes, xdp, tc)
}

/// TCX, or clsact on the very error that makes attaching take it.
fn tc_hook(index: Ifindex, direction: Direction) -> Result<Hook> {
    match sys::tcx_programs(index.0, attach_type(direction)) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Hook::Clsact),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && !knows_tcx() => Ok(Hook::Clsact),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            Err(anyhow!("the interface is gone"))
        }
        _ => Ok(Hook::Tcx),
    }
}

/// Whether the kernel's own types have TCX, for who may not ask it: a distribution may have brought it to an older version.
fn knows_tcx() -> bool {
    let Ok(btf) = Btf::from_vmlinux() else {
        return false;
    };
    let kinds = btf.type_by_name::<types::Enum<'_>>("bpf_attach_type");
    kinds.is_some_and(|kinds| {
        kinds
            .iter()
            .any(|kind| kind.name == Some(OsStr::new("BPF_TCX_INGRESS")))
    })
}

fn attach_type(direction: Direction) -> u32 {
    match direction {
        Direction::Ingress => libbpf_sys::BPF_TCX_INGRESS,
        Direction::Egress => libbpf_sys::BPF_TCX_EGRESS,
    }
}

/// A program or filter that somebody has at TC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcProgram {
    /// Where it is.
    pub hook: Hook,
    /// Its id, if it is an eBPF program.
    pub id: Option<u32>,
    /// Its name, or the kind of a filter that is none.
    pub name: Option<String>,
    /// Whether it runs before a filter of udptrack's. Nothing runs before a link of its.
    pub is_before_filter: bool,
}

impl TcProgram {
    /// Whether it is of another run of udptrack, by its name, of which the kernel keeps 15 characters.
    #[must_use]
    pub fn is_own(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        name.starts_with("udp_track_")
    }
}

/// What others, and other runs, have at TC on one side of an interface, in the order in which it runs. Programs of TCX are
/// seen with `CAP_NET_ADMIN` alone.
pub fn tc_programs(
    index: Ifindex,
    direction: Direction,
    names: &BTreeMap<u32, String>,
) -> Result<Vec<TcProgram>> {
    let ids = sys::tcx_programs(index.0, attach_type(direction)).unwrap_or_default();
    let links = ids.into_iter().map(|id| TcProgram {
        hook: Hook::Tcx,
        id: Some(id),
        name: names.get(&id).cloned(),
        is_before_filter: true,
    });
    let filters = clsact::listed(index, direction)?
        .into_iter()
        .map(|filter| TcProgram {
            hook: Hook::Clsact,
            is_before_filter: filter.is_before_ours(),
            name: filter.program_name().or(filter.kind),
            id: filter.id,
        });
    Ok(links.chain(filters).collect())
}

/// Queueing disciplines that hold packets back to a rate or a delay, and drop what is too much.
const SHAPING: [&str; 5] = ["cake", "hfsc", "htb", "netem", "tbf"];

/// The shaping queues that an interface sends through, by their kinds, each once.
#[must_use]
pub fn shaping_queues(index: Ifindex) -> Vec<String> {
    let mut kinds = clsact::kinds(index).unwrap_or_default();
    kinds.retain(|kind| SHAPING.contains(&&**kind));
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The names of all loaded programs by their ids, cut by the kernel to 15 characters. Empty without `CAP_SYS_ADMIN`.
#[must_use]
pub fn program_names() -> BTreeMap<u32, String> {
    ProgInfoIter::default()
        .map(|program| (program.id, program.name.to_string_lossy().into_owned()))
        .collect()
}

/// The names of all loaded XDP programs of all processes. Empty without `CAP_SYS_ADMIN`.
#[must_use]
pub fn xdp_programs() -> BTreeSet<String> {
    ProgInfoIter::default()
        .filter(|program| program.ty == ProgramType::Xdp)
        .map(|program| program.name.to_string_lossy().into_owned())
        .collect()
}

/// Whether the kernel has compiled the programs to machine code; none where it does not say.
#[must_use]
pub fn is_compiled(tracker: &Tracker) -> Option<bool> {
    let program = tracker.handles.programs.clock.as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("prog_jited:"))?;
    Some(line.trim() == "1")
}

/// Kernel memory of all tables, about, in bytes.
#[must_use]
pub fn table_bytes(settings: &Settings) -> u64 {
    Sizes::new(settings).bytes()
}

/// Whether there is a place for pins, and this process may use it.
pub fn pins() -> Result<()> {
    let place = pins::place()?;
    nix::unistd::access(&place, nix::unistd::AccessFlags::W_OK)
        .with_context(|| format!("cannot write to {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcx_is_known_where_the_kernel_has_its_name() {
        let types = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        let name = b"BPF_TCX_INGRESS\0";
        let is_there = types.windows(name.len()).any(|window| window == name);
        assert_eq!(knows_tcx(), is_there);
    }
}
