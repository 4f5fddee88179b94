//! Which process holds each of the sockets that somebody looks at.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::owners::Owners;
use super::socket::{Holder, Socket, Source};
use super::sockets::first_holder;
use super::{FRESH, PAUSE_FACTOR, PAUSE_MIN};
use crate::model::Owner;

/// Holders by sockets. All open files are read when there is a socket that was not asked for yet, when a holder is gone, and
/// now and then, as a process may give its sockets to another; but for a hundredth of one core at most.
pub struct Holders {
    source: Box<dyn Source>,
    /// By the socket's key; its port tells whether the same is meant.
    held: HashMap<u64, (u16, Holder)>,
    /// What was there when files were read last. The kernel's own sockets are no files.
    asked: HashSet<(u64, u16)>,
    owners: Owners,
    read_ns: Option<u64>,
    next_read_ns: u64,
}

impl fmt::Debug for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holders")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Holders {
    /// Nothing is known before the first look.
    #[must_use]
    pub fn new(source: Box<dyn Source>) -> Self {
        Self {
            source,
            held: HashMap::new(),
            asked: HashSet::new(),
            owners: Owners::new(),
            read_ns: None,
            next_read_ns: 0,
        }
    }

    /// Takes the sockets that there are.
    pub fn observe<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Socket> + Clone,
        now_ns: u64,
    ) -> io::Result<()> {
        let is_stale = self.read_ns.is_none_or(|read_ns| now_ns >= read_ns + FRESH);
        let is_due = is_stale
            || sockets
                .clone()
                .any(|socket| !self.asked.contains(&key(socket)))
            || self.has_lost_a_holder();
        if is_due && now_ns >= self.next_read_ns {
            self.read(now_ns)?;
            self.asked = sockets.map(key).collect();
        }
        Ok(())
    }

    fn has_lost_a_holder(&self) -> bool {
        let pids: HashSet<u32> = self.held.values().map(|(_, holder)| holder.pid).collect();
        pids.into_iter().any(|pid| !self.source.is_running(pid))
    }

    fn read(&mut self, now_ns: u64) -> io::Result<()> {
        let start = Instant::now();
        self.held.clear();
        for socket in self.source.open()? {
            let Some(holder) = socket.holder else {
                continue;
            };
            let held = self.held.entry(socket.key);
            let (_, first) = held.or_insert((socket.local.port(), holder));
            *first = first_holder(Some(*first), Some(holder)).unwrap_or(holder);
        }
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.read_ns = Some(now_ns);
        self.next_read_ns = now_ns.saturating_add(took.saturating_mul(PAUSE_FACTOR).max(PAUSE_MIN));
        Ok(())
    }

    /// Who holds a socket. Nobody holds the kernel's own ones.
    pub fn of(&mut self, socket: &Socket, now_ns: u64) -> Option<Rc<Owner>> {
        let (port, holder) = self.held.get(&socket.key)?;
        (*port == socket.local.port()).then(|| self.owners.owner(holder, now_ns))
    }
}

fn key(socket: &Socket) -> (u64, u16) {
    (socket.key, socket.local.port())
}
