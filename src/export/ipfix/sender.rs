//! The thread that sends messages to the collector, at a pace that its buffer can take. What it cannot send it counts.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::message::{Message, STATISTICS_COUNTS};
use super::pace::{self, BURST};

/// How often it is asked whether the last message was refused, while there is none to send.
const IDLE: Duration = Duration::from_millis(200);
/// An error to the last message comes a moment after it.
const ECHO: Duration = Duration::from_millis(20);
/// How long it may take to count what is given up.
const COUNTING: Duration = Duration::from_millis(500);

/// What became of the messages.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub messages: AtomicU64,
    pub flows: AtomicU64,
    pub flows_not_sent: AtomicU64,
    pub packets_not_sent: AtomicU64,
    pub octets_not_sent: AtomicU64,
    /// Something did not arrive: templates are wanted again.
    pub wants_templates: AtomicBool,
    /// The latest reason why something was not sent.
    pub reason: Mutex<Option<String>>,
}

impl Tally {
    /// Flows, packets and octets that were not sent, messages and flows that were.
    fn statistics(&self) -> [u64; STATISTICS_COUNTS] {
        [
            &self.flows_not_sent,
            &self.packets_not_sent,
            &self.octets_not_sent,
            &self.messages,
            &self.flows,
        ]
        .map(|count| count.load(Ordering::Relaxed))
    }

    fn lose(&self, message: Unsent, reason: &str) {
        self.flows_not_sent
            .fetch_add(message.flows, Ordering::Relaxed);
        self.packets_not_sent
            .fetch_add(message.packets, Ordering::Relaxed);
        self.octets_not_sent
            .fetch_add(message.octets, Ordering::Relaxed);
        if let Ok(mut last) = self.reason.lock() {
            *last = Some(reason.to_owned());
        }
    }
}

/// What is lost with a message.
#[derive(Clone, Copy, Debug, Default)]
struct Unsent {
    flows: u64,
    packets: u64,
    octets: u64,
}

impl From<&Message> for Unsent {
    fn from(message: &Message) -> Self {
        Self {
            flows: message.flows,
            packets: message.packets,
            octets: message.octets,
        }
    }
}

/// What waits for the thread.
#[derive(Debug)]
struct Queue {
    messages: AtomicUsize,
    /// How many there may be.
    room: usize,
    /// The run ends: somebody waits for it.
    is_last: AtomicBool,
    /// Nothing is sent any more, only counted.
    is_given_up: AtomicBool,
}

/// The way to the thread.
pub(super) struct Sender {
    messages: Option<mpsc::Sender<Message>>,
    thread: JoinHandle<()>,
    queue: Arc<Queue>,
    /// What became of them.
    pub tally: Arc<Tally>,
}

impl Sender {
    /// Starts the thread: to be called when the process has given up its rights. At most this number of messages may wait.
    pub fn start(collector: Collector, room: usize) -> Result<Self> {
        // Bounded by the queue's own count: a bounded channel takes the memory of all its places at once.
        let (messages, waiting) = channel();
        let tally = Arc::new(Tally::default());
        let queue = Arc::new(Queue {
            messages: AtomicUsize::new(0),
            room,
            is_last: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
        });
        let (books, shared) = (Arc::clone(&tally), Arc::clone(&queue));
        let thread = thread::Builder::new()
            .name("ipfix".to_owned())
            .spawn(move || send_all(collector, &waiting, &shared, &books))
            .context("cannot start a thread for IPFIX")?;
        Ok(Self {
            messages: Some(messages),
            thread,
            queue,
            tally,
        })
    }

    /// Hands a message over; when too many wait, it is counted as not sent.
    pub fn send(&self, message: Message) {
        let Some(messages) = &self.messages else {
            return;
        };
        let unsent = Unsent::from(&message);
        let waiting = &self.queue.messages;
        // Only the thread takes from it meanwhile.
        if waiting.load(Ordering::Relaxed) >= self.queue.room {
            self.tally
                .lose(unsent, "there was more than udptrack could send");
            return;
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        if messages.send(message).is_err() {
            self.tally.lose(unsent, "its thread has ended");
        }
    }

    /// No more comes. What waits is sent.
    pub fn close(&mut self) {
        self.messages = None;
        self.queue.is_last.store(true, Ordering::Relaxed);
    }

    /// Messages that are still to be sent; `None` when all are, and it is known what became of the last one.
    pub fn waiting(&self) -> Option<usize> {
        let waiting = self.queue.messages.load(Ordering::Relaxed);
        (!self.thread.is_finished()).then_some(waiting)
    }

    /// What waits is not sent any more: it is counted as such.
    pub fn give_up(&mut self) {
        self.close();
        self.queue.is_given_up.store(true, Ordering::Relaxed);
        let start = Instant::now();
        while !self.thread.is_finished() && start.elapsed() < COUNTING {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn send_all(collector: Collector, waiting: &Receiver<Message>, queue: &Queue, tally: &Tally) {
    let mut way = Way {
        collector,
        tally,
        before: Unsent::default(),
        sequences: HashMap::new(),
    };
    let mut burst = 0;
    loop {
        match waiting.recv_timeout(IDLE) {
            Ok(message) if queue.is_given_up.load(Ordering::Relaxed) => {
                tally.lose(Unsent::from(&message), "the run ended first");
            }
            Ok(message) => way.send(message),
            Err(RecvTimeoutError::Timeout) => {
                way.look_back();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let left = queue.messages.fetch_sub(1, Ordering::Relaxed) - 1;
        burst += 1;
        if burst == BURST {
            burst = 0;
            let is_last = queue.is_last.load(Ordering::Relaxed);
            if !queue.is_given_up.load(Ordering::Relaxed) {
                thread::sleep(pace::pause(left, queue.room, is_last));
            }
        }
    }
    if !queue.is_given_up.load(Ordering::Relaxed) {
        thread::sleep(ECHO);
    }
    way.look_back();
}

/// The way to the collector, and what became of what went there.
struct Way<'a> {
    collector: Collector,
    tally: &'a Tally,
    /// What an ICMP error that comes now is about.
    before: Unsent,
    /// Data records sent so far, of each observation domain.
    sequences: HashMap<u32, u32>,
}

impl Way<'_> {
    fn send(&mut self, mut message: Message) {
        let this = Unsent::from(&message);
        let sequence = self.sequences.entry(message.domain).or_default();
        let before = *sequence;
        // Also of what is not sent: the collector then knows that something is missing.
        *sequence = before.wrapping_add(u32::try_from(message.records).unwrap_or(0));
        if message.is_statistics() {
            message.fill_statistics(&self.tally.statistics());
        }
        let bytes = message.finished(seconds(), before);
        let mut sent = self.collector.send(bytes);
        if matches!(&sent, Err(error) if error.kind() == ErrorKind::ConnectionRefused) {
            // An ICMP error to the one before, told now: this one was not even tried.
            self.refused();
            sent = self.collector.send(bytes);
        }
        match sent {
            Ok(_) => {
                self.tally.messages.fetch_add(1, Ordering::Relaxed);
                self.tally.flows.fetch_add(this.flows, Ordering::Relaxed);
                self.before = this;
            }
            Err(error) => {
                self.tally.lose(this, &error.to_string());
                // It has heard nothing; once there is a way, it needs them.
                self.tally.wants_templates.store(true, Ordering::Relaxed);
                self.before = Unsent::default();
            }
        }
    }

    /// Whether an error to the message before has come.
    fn look_back(&mut self) {
        if let Ok(Some(error)) = self.collector.socket.take_error()
            && error.kind() == ErrorKind::ConnectionRefused
        {
            self.refused();
        }
    }

    fn refused(&mut self) {
        let lost = std::mem::take(&mut self.before);
        self.tally.lose(lost, "nobody listens there");
        self.tally.wants_templates.store(true, Ordering::Relaxed);
    }
}

fn seconds() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u32::try_from(now.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

/// A socket of this end, and where it sends to.
pub(super) struct Collector {
    address: SocketAddr,
    socket: UdpSocket,
    is_connected: bool,
}

impl Collector {
    /// That there is no way to it yet, as before the network is up, is no error: each message looks for one.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        let mut collector = Self {
            address,
            socket,
            is_connected: false,
        };
        let _ = collector.connect();
        Ok(collector)
    }

    /// Only a connected socket is told of ICMP errors.
    fn connect(&mut self) -> io::Result<()> {
        if !self.is_connected {
            self.socket.connect(self.address)?;
            self.is_connected = true;
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connect()?;
        self.socket.send(bytes)
    }
}
