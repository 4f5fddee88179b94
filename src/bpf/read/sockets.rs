//! UDP sockets and their processes: loads `bpf/process.bpf.c`, reads open sockets, takes records of closed ones.
//!
//! Everything that needs rights is done by [`Sockets::load`]; reading needs `CAP_BPF` alone.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{IterOpts, Link};
use nix::errno::Errno;
use nix::unistd::{Pid, getpgid};

use super::iterator::each_record;
use super::ring::Ring;
use crate::bpf::program::log;
use crate::bpf::sys::{ProcessSkel, ProcessSkelBuilder, process_types as types};
use crate::model::Ifindex;
use crate::process::{Closed, Holder, Netns, Socket, Source, cgroup_root};

const RECORD: usize = size_of::<types::udp_process_socket>();
const _: () = assert!(RECORD == 104);
/// Inode of the first namespace of process ids (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_PIDS: u64 = 0xefff_fffc;

/// All that were closed are taken at once: what is left would be taken for open.
const CLOSED_AT_ONCE: usize = i32::MAX as usize;

/// Which programs of the object are loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs {
    /// What is open.
    pub files: bool,
    /// What is closed: of version 2 control groups.
    pub release: bool,
    /// What the buffers hold.
    pub buffers: bool,
}

impl Programs {
    /// The one for buffers alone.
    #[cfg(feature = "cli")]
    pub const BUFFERS: Self = Self {
        files: false,
        release: false,
        buffers: true,
    };

    /// Those for holders, with or without what tells of closed sockets.
    pub const fn holders(release: bool) -> Self {
        Self {
            files: true,
            release,
            buffers: false,
        }
    }
}

/// The programs that know sockets, loaded.
pub struct Sockets {
    skeleton: ProcessSkel<'static>,
    files: Link,
    /// What tells of closed sockets; none where it cannot be had.
    release: Option<(Link, Ring<Closed>)>,
    lost: u64,
    complete: bool,
}

impl Sockets {
    /// Loads and attaches what this kernel has. The note says what is missing.
    pub fn load() -> Result<(Self, Option<String>)> {
        with_or_without(Self::load_with)
    }

    /// The same without attaching anything, to know beforehand. Gives the note alone.
    pub fn try_out() -> Result<Option<String>> {
        let try_out = |release| {
            cgroup(release)?;
            programs(Programs::holders(release)).map(drop)
        };
        with_or_without(try_out).map(|((), note)| note)
    }

    /// Loads what tells of open sockets alone: nothing is attached to a control group.
    #[cfg(feature = "cli")]
    pub fn load_open() -> Result<Self> {
        Self::load_with(false)
    }

    fn load_with(release: bool) -> Result<Self> {
        let cgroup = cgroup(release)?;
        let skeleton = programs(Programs::holders(release))?;
        let files = skeleton
            .progs
            .udp_process_files
            .attach_iter_with_opts(IterOpts::None)
            .context("cannot iterate over open files")?;
        let release = match cgroup {
            Some(cgroup) => {
                let closed = &skeleton.maps.closed;
                let ring = Ring::map(closed, "closed sockets", CLOSED_AT_ONCE, closed_socket)?;
                let program = &skeleton.progs.udp_process_release;
                let link = program
                    .attach_cgroup(cgroup.as_raw_fd())
                    .context("cannot attach to the control group")?;
                Some((link, ring))
            }
            None => None,
        };
        Ok(Self {
            skeleton,
            files,
            release,
            lost: 0,
            complete: false,
        })
    }

    fn lost(&self) -> u64 {
        let bss = self.skeleton.maps.bss_data.as_ref();
        bss.map_or(0, |bss| bss.closed_lost)
    }
}

/// What an attempt gives with the program that tells of closed sockets, or else without it, and then why.
fn with_or_without<T>(attempt: impl Fn(bool) -> Result<T>) -> Result<(T, Option<String>)> {
    log::capture();
    let with_release = attempt(true);
    let messages = log::take();
    let error = match with_release {
        Ok(done) => return Ok((done, None)),
        Err(error) => error,
    };
    let done = attempt(false).map_err(|error| {
        let messages = log::take();
        let why = messages.lines().last().unwrap_or_default().to_owned();
        if why.is_empty() {
            error
        } else {
            error.context(why)
        }
    })?;
    let detail = messages.lines().last().unwrap_or_default();
    let note = if detail.is_empty() {
        format!("{error:#}")
    } else {
        format!("{error:#} ({detail})")
    };
    Ok((done, Some(note)))
}

/// The control group for the program that tells of closed sockets, where that is wanted.
fn cgroup(release: bool) -> Result<Option<File>> {
    if !release {
        return Ok(None);
    }
    let path = cgroup_root().context("no cgroup2 file system is mounted")?;
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Some(file))
}

/// The programs, loaded.
pub(super) fn programs(wanted: Programs) -> Result<ProcessSkel<'static>> {
    // The skeleton borrows its object, and lives as long as the process tracks.
    let object = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = ProcessSkelBuilder::default().open(object)?;
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.settings.pid_namespace = pid_namespace()?;
    }
    open.progs.udp_process_files.set_autoload(wanted.files);
    open.progs.udp_process_release.set_autoload(wanted.release);
    open.progs.udp_process_buffers.set_autoload(wanted.buffers);
    open.maps.closed.set_autocreate(wanted.release)?;
    log::ask_for_statistics(open.open_object_mut());
    open.load().context("the program does not loads")
}

impl Source for Sockets {
    fn open(&mut self) -> io::Result<Vec<Socket>> {
        self.complete = self.release.is_some();
        let mut sockets = Vec::new();
        each_record(&self.files, RECORD, |bytes| {
            sockets.extend(open_socket(bytes));
        })?;
        Ok(sockets)
    }

    fn is_running(&self, pid: u32) -> bool {
        // It takes no rights, and what has hidden /proc does not matter.
        let pid = i32::try_from(pid).unwrap_or(0);
        pid == 0 || getpgid(Some(Pid::from_raw(pid))) != Err(Errno::ESRCH)
    }

    fn closed(&mut self) -> io::Result<Vec<Closed>> {
        let Some((_, ring)) = &mut self.release else {
            return Ok(Vec::new());
        };
        let closed = ring.take().map_err(io::Error::other)?;
        let lost = self.lost();
        self.complete &= lost == self.lost;
        self.lost = lost;
        Ok(closed)
    }

    fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Our own namespace of process ids, as the programs want it.
fn pid_namespace() -> Result<u32> {
    let path = "/proc/self/ns/pid";
    let inode = fs::metadata(path)
        .with_context(|| format!("cannot read {path}"))?
        .ino();
    if inode == INITIAL_PIDS {
        return Ok(0);
    }
    u32::try_from(inode).with_context(|| format!("{path} has the inode {inode}"))
}

fn open_socket(bytes: &[u8]) -> Option<Socket> {
    let mut raw = types::udp_process_socket::default();
    plain::copy_from_bytes(&mut raw, bytes).ok()?;
    Some(socket(&raw))
}

fn closed_socket(bytes: &[u8]) -> Option<Closed> {
    let mut raw = types::udp_process_socket::default();
    plain::copy_from_bytes(&mut raw, bytes).ok()?;
    Some(Closed {
        socket: socket(&raw),
        closed_ns: raw.closed_ns,
    })
}

/// What the programs say of a socket, as people know it.
pub(super) fn socket(raw: &types::udp_process_socket) -> Socket {
    let address = |bytes: [u8; 16]| IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical();
    let peer = SocketAddr::new(address(raw.peer), raw.peer_port);
    Socket {
        key: raw.socket,
        netns: Netns(raw.netns),
        local: SocketAddr::new(address(raw.local), raw.local_port),
        peer: (raw.peer_port != 0).then_some(peer),
        only_ipv6: raw.only_ipv6 != 0,
        device: (raw.device != 0).then_some(Ifindex(raw.device)),
        at_home: raw.at_home != 0,
        holder: (raw.pid != 0).then_some(Holder {
            pid: raw.pid,
            started_ns: raw.started_ns,
            uid: raw.uid,
            cgroup: raw.cgroup,
            command: raw.command,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> types::udp_process_socket {
        types::udp_process_socket {
            socket: 1,
            pid: 7,
            local_port: 53,
            netns: 9,
            ..Default::default()
        }
    }

    fn mapped(ipv4: [u8; 4]) -> [u8; 16] {
        std::net::Ipv4Addr::from(ipv4).to_ipv6_mapped().octets()
    }

    #[test]
    fn ipv4_is_ipv4() {
        let socket = socket(&types::udp_process_socket {
            local: mapped([10, 0, 0, 1]),
            peer: mapped([10, 0, 0, 2]),
            peer_port: 4000,
            ..raw()
        });
        assert_eq!(socket.local, "10.0.0.1:53".parse().unwrap());
        assert_eq!(socket.peer, Some("10.0.0.2:4000".parse().unwrap()));
        assert_eq!(socket.netns, Netns(9));
    }

    #[test]
    fn any_address_is_kept_apart_by_family() {
        let ipv4 = socket(&types::udp_process_socket {
            local: mapped([0; 4]),
            peer: mapped([0; 4]),
            ..raw()
        });
        assert_eq!(ipv4.local, "0.0.0.0:53".parse().unwrap());
        assert_eq!(ipv4.peer, None);
        let ipv6 = socket(&raw());
        assert_eq!(ipv6.local, "[::]:53".parse().unwrap());
    }

    #[test]
    fn what_a_kernel_thread_closed_has_no_holder() {
        let raw = types::udp_process_socket { pid: 0, ..raw() };
        assert_eq!(socket(&raw).holder, None);
    }

    #[test]
    fn a_short_record_is_none() {
        assert_eq!(open_socket(&[0; RECORD - 1]), None);
        assert!(closed_socket(&[0; RECORD]).is_some());
    }
}
