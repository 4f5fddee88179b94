//! TC on kernels without TCX (before Linux 6.6): filters on a clsact qdisc, which outlive the process that made them.
//!
//! So each filter says in its handle whose it is, and its owner holds an abstract socket of that name, which the kernel
//! closes whenever the process ends. Who comes next removes the filters whose socket is gone. The qdisc itself is
//! removed with the last of our filters if it was one of us who made it (a bit in the handle tells, so that it is known
//! also after a SIGKILL) and if nobody else has filters on it.

use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{TC_EGRESS, TC_INGRESS, TcHook, TcHookBuilder};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use crate::model::{Direction, Ifindex};
use crate::netlink::dump;

/// Ours: early, as a filter that decides about a packet hides it from those after it, but a number that nobody else is
/// likely to use, as filters of another kind cannot share it.
const PRIORITY: u32 = 3;
/// The high half of our filters' handles.
const MARK: u32 = 0x7564_0000;
const MARK_MASK: u32 = 0xffff_0000;
/// Set when the qdisc was made by udptrack, by this run or by one whose filters were there before.
const QDISC_IS_OURS: u32 = 0x100;
const RUNS: u32 = 32;
/// The parents of a clsact qdisc's filters (`TC_H_MIN_INGRESS`, `TC_H_MIN_EGRESS`).
const CLSACT: u16 = 0xffff;
const MIN_INGRESS: u16 = 0xfff2;
const MIN_EGRESS: u16 = 0xfff3;

/// A filter of this process; removed when dropped.
pub(in crate::bpf) struct Filter {
    hook: TcHook,
    ifindex: Ifindex,
    qdisc_is_ours: bool,
    _claim: UnixDatagram,
}

impl Filter {
    /// Puts a program on the interface, with a qdisc if there is none.
    pub fn attach(program: BorrowedFd<'_>, ifindex: Ifindex, direction: Direction) -> Result<Self> {
        let index = i32::try_from(ifindex.0).context("interface index out of range")?;
        let qdisc_was_there = has_clsact(ifindex)?;
        let mut inherited = false;
        for side in [Direction::Ingress, Direction::Egress] {
            for handle in our_handles(ifindex, side)? {
                inherited |= handle & QDISC_IS_OURS != 0;
                remove_if_stale(program, index, side, handle);
            }
        }
        let qdisc_is_ours = inherited || !qdisc_was_there;
        let mut builder = builder(program, index);
        builder
            .hook(TC_INGRESS | TC_EGRESS)
            .create()
            .context("cannot create the clsact qdisc")?;
        for run in 0..RUNS {
            let Some(claim) = claim(index, direction, run) else {
                continue;
            };
            let handle = MARK | if qdisc_is_ours { QDISC_IS_OURS } else { 0 } | run;
            builder.handle(handle);
            let hook = builder
                .hook(point(direction))
                .attach()
                .context("cannot add the filter to the clsact qdisc")?;
            return Ok(Self {
                hook,
                ifindex,
                qdisc_is_ours,
                _claim: claim,
            });
        }
        bail!("{RUNS} other runs of udptrack track this interface already");
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // An error means that the filter is gone already, most likely with its interface.
        let _ = self.hook.detach();
        let is_empty = |direction| filters(self.ifindex, direction).is_ok_and(|all| all.is_empty());
        if self.qdisc_is_ours && is_empty(Direction::Ingress) && is_empty(Direction::Egress) {
            let _ = self.hook.attach_point(TC_INGRESS | TC_EGRESS).destroy();
        }
    }
}

fn builder(program: BorrowedFd<'_>, index: i32) -> TcHookBuilder<'_> {
    let mut builder = TcHookBuilder::new(program);
    builder.ifindex(index).priority(PRIORITY).replace(false);
    builder
}

fn point(direction: Direction) -> libbpf_rs::TcAttachPoint {
    match direction {
        Direction::Ingress => TC_INGRESS,
        Direction::Egress => TC_EGRESS,
    }
}

/// The socket that says that a run is alive. Abstract names belong to a network namespace, as interfaces do.
fn claim(index: i32, direction: Direction, run: u32) -> Option<UnixDatagram> {
    let name = format!("udptrack-clsact-{index}-{}-{run}", direction.name());
    let address = SocketAddr::from_abstract_name(name).ok()?;
    UnixDatagram::bind_addr(&address).ok()
}

/// Removes a filter of ours whose owner is gone.
fn remove_if_stale(program: BorrowedFd<'_>, index: i32, direction: Direction, handle: u32) {
    let run = handle & !MARK_MASK & !QDISC_IS_OURS;
    if claim(index, direction, run).is_some() {
        let mut builder = builder(program, index);
        builder.handle(handle);
        let _ = builder.hook(point(direction)).detach();
    }
}

fn our_handles(ifindex: Ifindex, direction: Direction) -> Result<Vec<u32>> {
    Ok(filters(ifindex, direction)?
        .into_iter()
        .filter(|(priority, handle)| *priority == PRIORITY && handle & MARK_MASK == MARK)
        .map(|(_, handle)| handle)
        .collect())
}

/// Priority and handle of every filter on one side of the clsact qdisc.
fn filters(ifindex: Ifindex, direction: Direction) -> Result<Vec<(u32, u32)>> {
    let all = listed(ifindex, direction)?.into_iter();
    Ok(all.map(|filter| (filter.priority, filter.handle)).collect())
}

/// A filter as the kernel lists it.
#[derive(Debug)]
pub(in crate::bpf) struct Listed {
    priority: u32,
    handle: u32,
    /// Such as `bpf`, `flower`.
    pub kind: Option<String>,
    /// Name of an eBPF program.
    pub name: Option<String>,
    /// Id of an eBPF program.
    pub id: Option<u32>,
}

impl Listed {
    /// Whether it runs before one of ours. Of the same priority, the kernel runs the newest first.
    #[cfg(feature = "cli")]
    pub fn is_before_ours(&self) -> bool {
        self.priority < PRIORITY
    }

    /// The program's name; libbpf, which is also ours, writes `NAME:[ID]`.
    #[cfg(feature = "cli")]
    pub fn program_name(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        let id = self.id.map(|id| format!(":[{id}]")).unwrap_or_default();
        Some(name.strip_suffix(&id).unwrap_or(name).to_owned())
    }

    fn of(message: &TcMessage) -> Self {
        let mut listed = Self {
            priority: message.header.info >> 16,
            handle: u32::from(message.header.handle),
            kind: None,
            name: None,
            id: None,
        };
        for attribute in &message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => listed.kind = Some(kind.clone()),
                TcAttribute::Options(options) => options.iter().for_each(|option| match option {
                    TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                        listed.name = Some(name.clone());
                    }
                    TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => listed.id = Some(*id),
                    _ => {}
                }),
                _ => {}
            }
        }
        listed
    }
}

/// Every filter on one side of the clsact qdisc, in the order in which they run.
pub(in crate::bpf) fn listed(ifindex: Ifindex, direction: Direction) -> Result<Vec<Listed>> {
    let minor = match direction {
        Direction::Ingress => MIN_INGRESS,
        Direction::Egress => MIN_EGRESS,
    };
    let mut request = TcMessage::with_index(i32::try_from(ifindex.0)?);
    request.header.parent = TcHandle {
        major: CLSACT,
        minor,
    };
    let answers = dump(RouteNetlinkMessage::GetTrafficFilter(request))
        .context("cannot list the TC filters")?;
    let filters = answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => Some(Listed::of(filter)),
        _ => None,
    });
    // One that has no handle is the list that holds the filters of a priority.
    Ok(filters.filter(|filter| filter.handle != 0).collect())
}

fn has_clsact(ifindex: Ifindex) -> Result<bool> {
    // TC_H_CLSACT, ffff:fff1.
    let parent = TcHandle {
        major: CLSACT,
        minor: 0xfff1,
    };
    let all = disciplines(ifindex)?;
    Ok(all.iter().any(|qdisc| qdisc.header.parent == parent))
}

/// The kinds of queueing disciplines on an interface.
#[cfg(feature = "cli")]
pub(in crate::bpf) fn kinds(ifindex: Ifindex) -> Result<Vec<String>> {
    let all = disciplines(ifindex)?.into_iter();
    let kind = |qdisc: TcMessage| {
        qdisc.attributes.into_iter().find_map(|it| match it {
            TcAttribute::Kind(kind) => Some(kind),
            _ => None,
        })
    };
    Ok(all.filter_map(kind).collect())
}

fn disciplines(ifindex: Ifindex) -> Result<Vec<TcMessage>> {
    let index = i32::try_from(ifindex.0)?;
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index));
    let answers = dump(request).context("cannot list the queueing disciplines")?;
    let found = answers.into_iter().filter_map(|answer| match answer {
        // The kernel lists all interfaces, whatever was asked.
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) if qdisc.header.index == index => {
            Some(qdisc)
        }
        _ => None,
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests;
