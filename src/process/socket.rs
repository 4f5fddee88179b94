//! A UDP socket and its process, as the kernel reported them at one moment. Pure data.

use std::io;
use std::net::SocketAddr;

use crate::model::Ifindex;

/// The inode of a network namespace. Used again when the namespace is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Netns(pub u32);

/// A process that has a socket open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its id, in our namespace of process ids.
    pub pid: u32,
    /// When it started, in nanoseconds since boot: with the id, a name that is not used again.
    pub started_ns: u64,
    /// Effective user id.
    pub uid: u32,
    /// Id of its control group in the version 2 hierarchy: the inode of that folder.
    pub cgroup: u64,
    /// Its name, ended by a zero. Hostile input.
    pub command: [u8; 16],
}

/// A bound UDP socket. What IPv6 calls `::ffff:a.b.c.d` is IPv4 here, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Tells sockets apart that are open at the same time.
    pub key: u64,
    /// Where it lives.
    pub netns: Netns,
    /// What it is bound to; the address may be unspecified.
    pub local: SocketAddr,
    /// What it is connected to.
    pub peer: Option<SocketAddr>,
    /// Of IPv6, and for nothing else.
    pub only_ipv6: bool,
    /// The interface it is bound to.
    pub device: Option<Ifindex>,
    /// Whether the holder itself runs in the socket's namespace: then that can be asked about by the holder's id.
    pub at_home: bool,
    /// A process that holds it, or closed it; none when a kernel thread did.
    pub holder: Option<Holder>,
}

/// A socket that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// As it was at its end.
    pub socket: Socket,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub closed_ns: u64,
}

/// Where sockets are read from.
pub trait Source {
    /// Every socket that is open, once for each process (and each time) that has it open.
    fn open(&mut self) -> io::Result<Vec<Socket>>;

    /// The sockets that were closed since the last call, oldest first.
    fn closed(&mut self) -> io::Result<Vec<Closed>>;

    /// Whether a process is still there, if only as a zombie.
    fn is_running(&self, pid: u32) -> bool;

    /// Whether [`Self::closed`] has told of every socket since [`Self::open`] was called: what was open then and has not been
    /// closed is then open still.
    fn is_complete(&self) -> bool;
}
