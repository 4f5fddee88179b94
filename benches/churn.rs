//! Connections that come and go at a rate that is given: what udptrack's process costs then, whether all of them find room, and
//! whether they end in time.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use udptrack::model::text::Grouped;

use crate::common::Ip;
use crate::common::generator::{Generator, Pattern};
use crate::common::netns::{Netns, Pair};
use crate::gates::{Bar, Gate, exact};
use crate::measure::{cpus, pin};
use crate::path::Extent;
use crate::report::{processor_time, progress};
use crate::running::{Books, Running};

/// Frames are sent in so many pieces a second: each is a system call of 40 ms beside them.
const PIECES: u32 = 10;
/// `--max-connections` of the flood.
const ROOM: &str = "4194304";
/// `--udp-timeout` by default.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The server's port, and how long its clients wait for an answer.
const DNS: u16 = 53;
const PATIENCE: Duration = Duration::from_millis(100);
/// Addresses of clients, and ports of each: together more than there are requests, so each is a connection of its own.
const CLIENTS: u16 = 16;
const FIRST_PORT: u16 = 1024;
const PORTS: u64 = 60_000;

/// What came of one rate.
pub struct Rated {
    pub name: String,
    /// Connections a second, as they came.
    pub rate: f64,
    pub lasted: Duration,
    pub books: Books,
    /// Processor time of all of it, up to the last end, in seconds for each second that packets came: what it takes, also where other
    /// work kept it waiting.
    pub cores: f64,
    pub ends: Ends,
    /// Connections that were tracked and have no record, or the other way round.
    pub difference: u64,
    /// The most cores that the goals allow.
    most_cores: Option<f64>,
}

/// What the records of ended connections say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    pub idle: u64,
    pub evicted: u64,
    /// The longest that one was silent when its record was written.
    pub longest: Duration,
}

impl Ends {
    fn all(self) -> u64 {
        self.idle + self.evicted
    }

    /// Takes in a line.
    fn take(&mut self, line: &str) {
        let Some(silent) = silence(line) else {
            return;
        };
        self.longest = self.longest.max(silent);
        if line.contains(r#""end_reason":"EVICTED""#) {
            self.evicted += 1;
        } else {
            self.idle += 1;
        }
    }
}

impl Rated {
    /// How much later than its timeout the latest of them ended.
    pub fn late(&self) -> Option<Duration> {
        let has_ended = self.ends.all() > 0;
        has_ended.then(|| self.ends.longest.saturating_sub(TIMEOUT))
    }
}

/// All of them.
pub fn run(extent: Extent) -> Result<Vec<Rated>> {
    struct Load {
        rate: u32,
        seconds: u32,
        most_cores: Option<f64>,
    }
    let (loads, requests, seconds): (&[Load], u32, u32) = match extent {
        Extent::Full => (
            &[
                Load {
                    rate: 10_000,
                    seconds: 40,
                    most_cores: None,
                },
                Load {
                    rate: 100_000,
                    seconds: 60,
                    most_cores: Some(1.0),
                },
            ],
            5000,
            60,
        ),
        Extent::Smoke => (
            &[Load {
                rate: 10_000,
                seconds: 1,
                most_cores: None,
            }],
            1000,
            1,
        ),
    };
    let mut all = Vec::new();
    for load in loads {
        progress(&format!(
            "{} new connections a second for {} s",
            load.rate, load.seconds
        ));
        all.push(flood(load.rate, load.seconds, load.most_cores)?);
    }
    progress(&format!(
        "a DNS server that is asked {requests} times a second for {seconds} s"
    ));
    all.push(dns(requests, seconds)?);
    Ok(all)
}

pub fn gates(all: &[Rated]) -> Vec<Gate> {
    /// Ticks come once a second.
    const LATE: f64 = 2.0;
    let mut gates = Vec::new();
    for rated in all {
        let name = format!("{}, for {:.0} s", rated.name, rated.lasted.as_secs_f64());
        gates.push(Gate::new(
            format!("{name}: packets in `table-full`"),
            Bar::Exactly(0.0),
            exact(rated.books.table_full as f64),
        ));
        if let Some(most) = rated.most_cores {
            let what = format!("{name}: CPU of udptrack, in cores");
            gates.push(Gate::new(what, Bar::AtMost(most), exact(rated.cores)));
        }
        if let Some(late) = rated.late() {
            let what = format!("{name}: the latest end after its time, in seconds");
            gates.push(Gate::new(
                what,
                Bar::AtMost(LATE),
                exact(late.as_secs_f64()),
            ));
        }
        gates.push(Gate::new(
            format!("{name}: connections without a record of their end"),
            Bar::Exactly(0.0),
            exact(rated.difference as f64),
        ));
    }
    gates
}

/// A udptrack whose records are taken in while connections come.
struct Watched {
    udptrack: Running,
    ends: Arc<Mutex<Ends>>,
    before: Duration,
    began: Instant,
}

impl Watched {
    fn start(netns: &Netns, arguments: &[&str]) -> Result<Self> {
        let ends = Arc::new(Mutex::new(Ends::default()));
        let taken = Arc::clone(&ends);
        let udptrack = Running::start(netns, None, arguments, move |line| {
            taken.lock().expect("nobody panics").take(line);
        });
        Ok(Self {
            before: processor_time(udptrack.pid())?,
            udptrack,
            ends,
            began: Instant::now(),
        })
    }

    fn ends(&self) -> Ends {
        *self.ends.lock().expect("nobody panics")
    }

    /// What so many connections have come to, when the last of them has ended.
    fn rated(self, name: String, connections: u64, packets: u64) -> Result<Rated> {
        /// More than any of them may take, on a slow day, too.
        const PATIENCE: Duration = Duration::from_secs(300);
        const PAUSE: Duration = Duration::from_millis(100);
        let lasted = self.began.elapsed();
        let books = self.udptrack.books();
        ensure!(
            books.seen == packets,
            "{packets} packets, {} seen",
            books.seen
        );
        let tracked = connections.saturating_sub(books.table_full);
        let stopped = Instant::now();
        while self.ends().all() < tracked && stopped.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
        }
        let used = processor_time(self.udptrack.pid())?.saturating_sub(self.before);
        let ends = self.ends();
        Ok(Rated {
            name,
            rate: connections as f64 / lasted.as_secs_f64(),
            lasted,
            books,
            cores: used.as_secs_f64() / lasted.as_secs_f64(),
            ends,
            difference: tracked.abs_diff(ends.all()),
            most_cores: None,
        })
    }
}

/// Packets of a new connection each, in bursts.
fn flood(rate: u32, seconds: u32, most_cores: Option<f64>) -> Result<Rated> {
    let pair = Pair::new();
    let frames = u64::from(rate) * u64::from(seconds);
    let mut generator = Generator::new(
        &pair.a,
        pair.a.iface(),
        pair.b.addr(Ip::V4, 5001),
        Pattern::sources(frames),
        18,
    );
    let watched = Watched::start(&pair.b, &["-j", "--hook", "xdp", "--max-connections", ROOM])?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            pin(cpus() - 1)?;
            let mut next = Instant::now();
            for _ in 0..seconds * PIECES {
                generator.run(u64::from(rate / PIECES));
                next += Duration::from_secs(1) / PIECES;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(())
        });
        sender
            .join()
            .map_err(|_| anyhow!("the sender has panicked"))?
    })?;
    let name = format!("{} new connections a second", Grouped(rate.into()));
    let sent = generator.sent();
    Ok(Rated {
        most_cores,
        ..watched.rated(name, sent, sent)?
    })
}

/// A server that answers each request, each of which comes from a port of its own; XDP, and all other flags by default.
fn dns(rate: u32, seconds: u32) -> Result<Rated> {
    let pair = Pair::new();
    let clients: Vec<IpAddr> = (0..CLIENTS)
        .map(|client| IpAddr::from([10, 88, 0, 100 + client as u8]))
        .collect();
    for client in &clients {
        let iface = pair.a.iface();
        pair.a
            .ip_batch(&format!("addr add {client}/32 dev {iface}"));
        // Answers find their way without being asked for it.
        let port = &pair.a.ports[0];
        let mac = port.mac.map(|byte| format!("{byte:02x}")).join(":");
        let iface = pair.b.iface();
        pair.b.ip_batch(&format!(
            "neigh replace {client} lladdr {mac} dev {iface} nud permanent"
        ));
    }
    let server = pair.b.udp(pair.b.addr(Ip::V4, DNS));
    server.set_read_timeout(Some(PATIENCE))?;
    let to = server.local_addr()?;
    let watched = Watched::start(&pair.b, &["-j", "--hook", "xdp"])?;
    let is_over = AtomicBool::new(false);
    let (asked, answered) = thread::scope(|scope| {
        let server = scope.spawn(|| answer(&server, &is_over));
        let client = scope.spawn(|| {
            pair.a.adopt_thread();
            ask(&clients, to, rate, seconds)
        });
        let asked = client.join();
        is_over.store(true, Ordering::Relaxed);
        let answered = server
            .join()
            .map_err(|_| anyhow!("the server has panicked"))?;
        let asked = asked.map_err(|_| anyhow!("the client has panicked"))??;
        anyhow::Ok((asked, answered))
    })?;
    let name = format!("a DNS server, {} requests a second", Grouped(rate.into()));
    watched.rated(name, asked, asked + answered)
}

/// Answers until that is over; gives how often.
fn answer(server: &UdpSocket, is_over: &AtomicBool) -> u64 {
    let mut answered = 0;
    let mut buffer = [0; 512];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((length, client)) = server.recv_from(&mut buffer) {
            let sent = server.send_to(&buffer[..length], client);
            answered += u64::from(sent.is_ok());
        }
    }
    answered
}

/// Asks at this rate, from a port of its own each time; gives how often.
fn ask(clients: &[IpAddr], to: SocketAddr, rate: u32, seconds: u32) -> Result<u64> {
    let began = Instant::now();
    let requests = u64::from(rate) * u64::from(seconds);
    let mut buffer = [0; 512];
    for number in 0..requests {
        let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
        thread::sleep(due.saturating_sub(began.elapsed()));
        let client = clients[(number / PORTS) as usize % clients.len()];
        let port = FIRST_PORT + (number % PORTS) as u16;
        let socket = UdpSocket::bind((client, port)).context("cannot bind a client")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&[7; 40], to)?;
        // Lost on a busy machine: asked is asked.
        let _ = socket.recv(&mut buffer);
    }
    Ok(requests)
}

/// How long a connection was silent when its record was written: of a record of an end, the difference of two stamps.
fn silence(line: &str) -> Option<Duration> {
    const DAY: f64 = 86_400.0;
    if !line.contains(r#""end_reason":""#) {
        return None;
    }
    let written = seconds_of_day(line, r#""timestamp":""#)?;
    let last = seconds_of_day(line, r#","end":""#)?;
    Some(Duration::from_secs_f64((written - last).rem_euclid(DAY)))
}

/// Of `2026-04-07T22:24:37.251547+0000`.
fn seconds_of_day(line: &str, key: &str) -> Option<f64> {
    let at = line.find(key)? + key.len();
    let stamp = line.get(at..at + 26)?;
    let number = |from: usize, to: usize| stamp.get(from..to)?.parse::<f64>().ok();
    Some(number(11, 13)? * 3600.0 + number(14, 16)? * 60.0 + number(17, 26)?)
}
