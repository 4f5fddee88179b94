//! The UDP sockets of a machine: how full their receive buffers are, what they dropped, and what to do about it.
//!
//! [`Watch`] takes one [`Reading`] of each socket after another and keeps what became of them; [`Advice`] says which limit
//! binds, and what the burst that was seen would need. Only `kernel` reads files.

mod advice;
mod kernel;
mod snapshot;
mod watch;

use crate::process::Socket;

pub use advice::{Advice, Limit};
pub use kernel::{Counters, Limits, memory_pages};
pub use snapshot::{Choice, Row, Snapshot};
pub use watch::{Cause, Look, State, Watch};

/// A bound UDP socket at one moment. Bytes are the kernel's: a datagram with all the memory that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which one. Its holder is not known from here.
    pub socket: Socket,
    /// Inode of its file, as `ss -e` and `/proc/PID/fd` have it; 0 when it is just closed.
    pub inode: u64,
    /// Changes when the datagram that is read next is another one; 0 when none waits.
    pub next: u64,
    /// Bytes that may wait (`sk_rcvbuf`).
    pub receive_buffer: u32,
    /// Whether the program has set that itself (`SO_RCVBUF`).
    pub is_chosen: bool,
    /// Bytes that the limit is compared with (`sk_rmem_alloc`): what waits, and what was read and is not given back yet.
    pub charged: u32,
    /// Bytes that wait: `rx_queue` of `/proc/net/udp`.
    pub queued: u32,
    /// Datagrams that wait; merged ones count as one.
    pub datagrams: u32,
    /// Datagrams that were dropped since it was opened: `drops` of `/proc/net/udp`. Wraps.
    pub drops: u32,
    /// Bytes that may wait to be sent (`sk_sndbuf`).
    pub send_buffer: u32,
    /// Bytes that do: `tx_queue` of `/proc/net/udp`.
    pub sending: u32,
}

impl Reading {
    /// Which socket it is, as long as it lives: memory is used again, a file's number is not.
    #[must_use]
    pub fn key(&self) -> (u64, u64) {
        (self.socket.key, self.inode)
    }

    /// How full it is, in percent, rounded down. More than 100 is possible: the last datagram may be larger than the room that was
    /// left.
    #[must_use]
    pub fn fill_percent(&self) -> u32 {
        percent(self.queued, self.receive_buffer)
    }
}

/// Rounded down.
fn percent(part: u32, whole: u32) -> u32 {
    let percent = u64::from(part) * 100 / u64::from(whole.max(1));
    u32::try_from(percent).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod fixture {
    use std::rc::Rc;

    use super::{Choice, Limits, Look, Reading, Snapshot, Watch};
    use crate::model::{Ifindex, Owner};
    use crate::process::{Netns, Socket};

    pub const SECOND: u64 = 1_000_000_000;

    /// A socket with 212,992 bytes, of which nothing is used.
    pub fn reading() -> Reading {
        Reading {
            socket: Socket {
                key: 1,
                netns: Netns(9),
                local: "0.0.0.0:8125".parse().unwrap(),
                peer: None,
                only_ipv6: false,
                device: None,
                at_home: false,
                holder: None,
            },
            inode: 77,
            next: 0,
            receive_buffer: 212_992,
            is_chosen: false,
            charged: 0,
            queued: 0,
            datagrams: 0,
            drops: 0,
            send_buffer: 212_992,
            sending: 0,
        }
    }

    /// With this number of datagrams of 768 bytes in it, `next` is the first one.
    pub fn holding(datagrams: u32, next: u64) -> Reading {
        Reading {
            charged: datagrams * 768,
            queued: datagrams * 768,
            datagrams,
            next,
            ..reading()
        }
    }

    /// Two sockets: of statsd, which drops and is connected, and one of the kernel's own, on an interface.
    pub fn snapshot() -> Snapshot {
        let mut own = Reading {
            inode: 78,
            ..reading()
        };
        own.socket.key = 2;
        own.socket.local = "[::]:4789".parse().unwrap();
        own.socket.device = Some(Ifindex(7));
        let look = |now_ns, drops| {
            let mut reading = Reading {
                drops,
                ..holding(277, now_ns)
            };
            reading.socket.peer = Some("192.0.2.7:4000".parse().unwrap());
            Look {
                now_ns,
                readings: vec![own, reading],
                before: None,
                after: None,
            }
        };
        let mut watch = Watch::default();
        watch.look(&look(SECOND, 900));
        watch.look(&look(3 * SECOND, 2_134));
        let limits = Limits {
            rmem_default: Some(212_992),
            ..Limits::default()
        };
        Snapshot::take(&mut watch, &limits, &Choice::default(), |state| {
            // Its name would like to steer the terminal.
            let owner = Owner {
                pid: 4711,
                command: "statsd\x1b[2J".to_owned(),
                script: None,
                uid: 0,
                user: "root".to_owned(),
                cgroup: String::new(),
                container: None,
            };
            (state.reading.socket.key == 1).then(|| Rc::new(owner))
        })
    }
}
