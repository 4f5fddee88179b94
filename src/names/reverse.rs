//! Reverse queries, for who asked for them: a thread of its own sends them to the system's resolvers and waits, so that the
//! loop never does. Plain UDP and no name service of the C library, which would not work in a static program.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{
    Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel,
};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::answer::{read_reverse, reverse_query};
use crate::dns::Message;

/// Addresses that may wait for their turn.
const QUEUE: usize = 1024;
/// Queries on their way at a time, each with a socket, and so a port, of its own.
const PENDING_MAX: usize = 16;
/// Time between two queries: at most 50 a second.
const GAP: Duration = Duration::from_millis(20);
/// How often each address is asked for, at the resolvers in turn.
const ATTEMPTS: usize = 2;
/// Datagrams read of one socket in a row.
const READS: usize = 8;
/// An answer without EDNS is no longer (RFC 1035 2.3.4); more shows that it is none.
const BYTES: usize = 1024;
/// Resolvers that the C library uses, too (`MAXNS`).
const RESOLVERS_MAX: usize = 3;

/// An address and its name, if it has one.
pub(super) type Found = (IpAddr, Option<Box<str>>);

/// The near end of the thread. It ends soon after this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    requests: SyncSender<IpAddr>,
    found: Receiver<Found>,
}

impl Resolver {
    /// Starts the thread. `patience` is how long an answer is waited for.
    pub fn start(servers: Vec<SocketAddr>, patience: Duration) -> Result<Self> {
        let (requests, queue) = sync_channel(QUEUE);
        let (sender, found) = channel();
        let worker = Worker {
            servers,
            patience,
            queue,
            found: sender,
            again: VecDeque::new(),
            pending: Vec::new(),
            next: Instant::now(),
        };
        thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || worker.run())
            .context("cannot start the thread that asks for names")?;
        Ok(Self { requests, found })
    }

    /// Asks for the name of an address; false when too many wait already. Never waits itself.
    pub fn ask(&self, address: IpAddr) -> bool {
        // When the thread is gone nobody will answer, and nobody needs to ask again.
        !matches!(self.requests.try_send(address), Err(TrySendError::Full(_)))
    }

    /// What was found since the last call. Never waits.
    pub fn found(&self) -> impl Iterator<Item = Found> {
        self.found.try_iter()
    }
}

/// The resolvers of a `resolv.conf(5)`, or this machine, as the C library does. Link-local ones need an interface and are
/// left out.
pub(super) fn resolvers(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then_some(words.next()?)
        })
        .filter_map(|address| address.parse().ok())
        .take(RESOLVERS_MAX)
        .map(|address| SocketAddr::new(address, 53))
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    servers
}

/// A query on its way.
struct Query {
    address: IpAddr,
    attempt: usize,
    id: u16,
    socket: UdpSocket,
    until: Instant,
}

enum Outcome {
    Found(Option<Box<str>>),
    Waiting,
    Failed,
}

impl Query {
    /// A fresh socket and a fresh id for each: so a forger has to guess both. Connected, it takes datagrams of nobody else.
    fn send(
        server: SocketAddr,
        address: IpAddr,
        attempt: usize,
        patience: Duration,
    ) -> io::Result<Option<Self>> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let id = u16::from_ne_bytes(id);
        let Some(message) = reverse_query(address, id) else {
            return Ok(None);
        };
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        socket.send(&message)?;
        Ok(Some(Self {
            address,
            attempt,
            id,
            socket,
            until: Instant::now() + patience,
        }))
    }

    fn look(&self) -> Outcome {
        let mut bytes = [0; BYTES];
        for _ in 0..READS {
            match self.socket.recv(&mut bytes) {
                Ok(length) => {
                    let message = Message::read(bytes.get(..length).unwrap_or_default());
                    let name = message.map(|one| read_reverse(&one, self.address, self.id));
                    if let Some(Ok(name)) = name {
                        return Outcome::Found(name);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody listens there, or the way is closed.
                Err(_) => return Outcome::Failed,
            }
        }
        if Instant::now() >= self.until {
            return Outcome::Failed;
        }
        Outcome::Waiting
    }
}

struct Worker {
    servers: Vec<SocketAddr>,
    patience: Duration,
    queue: Receiver<IpAddr>,
    found: Sender<Found>,
    /// Addresses to ask for next, and how often that was done already.
    again: VecDeque<(IpAddr, usize)>,
    pending: Vec<Query>,
    /// When the next query may be sent.
    next: Instant,
}

impl Worker {
    /// Ends when nobody asks any more.
    fn run(mut self) {
        loop {
            if self.pending.is_empty() && self.again.is_empty() {
                let Ok(address) = self.queue.recv() else {
                    return;
                };
                self.again.push_back((address, 0));
            }
            if self.pending.len() < PENDING_MAX && Instant::now() >= self.next {
                let Ok(next) = self.take() else { return };
                if let Some((address, attempt)) = next {
                    self.send(address, attempt);
                }
            }
            self.wait();
            self.look();
        }
    }

    /// What is next; an error when nobody asks any more.
    fn take(&mut self) -> Result<Option<(IpAddr, usize)>, TryRecvError> {
        // First those that failed: so these are never more than can be on their way.
        if let Some(next) = self.again.pop_front() {
            return Ok(Some(next));
        }
        match self.queue.try_recv() {
            Ok(address) => Ok(Some((address, 0))),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(TryRecvError::Disconnected),
        }
    }

    fn send(&mut self, address: IpAddr, attempt: usize) {
        self.next = Instant::now() + GAP;
        let Some(server) = self.servers.get(attempt % self.servers.len().max(1)) else {
            return self.tell(address, None);
        };
        match Query::send(*server, address, attempt, self.patience) {
            Ok(Some(query)) => self.pending.push(query),
            Ok(None) => self.tell(address, None),
            Err(_) => self.fail(address, attempt),
        }
    }

    /// Until an answer may be there, or the next query may be sent.
    fn wait(&self) {
        let mut descriptors: Vec<PollFd<'_>> = self
            .pending
            .iter()
            .map(|query| PollFd::new(query.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        let limit = u16::try_from(GAP.as_millis()).unwrap_or(u16::MAX);
        // Interrupted, or refused: then what is there is looked at now.
        let _ = poll(&mut descriptors, PollTimeout::from(limit));
    }

    fn look(&mut self) {
        for query in std::mem::take(&mut self.pending) {
            match query.look() {
                Outcome::Found(name) => self.tell(query.address, name),
                Outcome::Waiting => self.pending.push(query),
                Outcome::Failed => self.fail(query.address, query.attempt),
            }
        }
    }

    fn fail(&mut self, address: IpAddr, attempt: usize) {
        // One for each resolver, at least.
        if attempt + 1 < ATTEMPTS.max(self.servers.len()) {
            self.again.push_back((address, attempt + 1));
        } else {
            self.tell(address, None);
        }
    }

    fn tell(&self, address: IpAddr, name: Option<Box<str>>) {
        // When nobody listens the queue has ended, too.
        let _ = self.found.send((address, name));
    }
}

#[cfg(test)]
#[path = "reverse_tests.rs"]
mod tests;
