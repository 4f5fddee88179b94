//! The user-space side: walking over many connections, their memory, what a run costs while nothing happens, how fast it writes,
//! starts and ends.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use libbpf_rs::MapHandle;
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use udptrack::bpf::{Entry, Settings, Tracker};
use udptrack::clock::monotonic_ns;
use udptrack::model::text::Grouped;
use udptrack::model::{Ifindex, Table, Timeouts};

use crate::common::Ip;
use crate::common::generator::{Generator, Pattern};
use crate::common::netns::Pair;
use crate::common::process::Process;
use crate::gates::{Bar, Gate, exact};
use crate::measure::{Series, Spread, cpus, pin};
use crate::path::Extent;
use crate::programs::{Hook, Programs, Sizes, Variation};
use crate::report::{processor_time, progress};

/// Connections that share an address in the programs' packets.
const SHARING: u32 = 16;
/// What a start or an end may take: more than it should.
const PATIENCE: Duration = Duration::from_secs(120);
const NANOSECONDS: u64 = 1_000_000_000;
/// Idle connections stay: longer than anything here lasts.
const LONG: Duration = Duration::from_secs(3600);

/// What so many connections take, in seconds.
pub struct Scale {
    pub connections: u32,
    /// A walk in which all are new, published; and with `--no-maps`.
    pub new: Spread,
    pub new_unpublished: Spread,
    /// A walk in which each has counted, published.
    pub changed: Spread,
    /// A walk in which nothing has changed.
    pub unchanged: Spread,
    /// All of them ended: found idle, ended in the kernel, taken out of the table and of what is published.
    pub ended: Spread,
    /// The same with `--no-maps`.
    pub ended_unpublished: Spread,
    /// Bytes of this process for each.
    pub own_bytes: f64,
}

/// What the kernel's tables take.
pub struct Memory {
    pub connections: u32,
    /// Bytes, of all maps.
    pub all: u64,
}

impl Memory {
    pub fn of_each(&self) -> f64 {
        self.all as f64 / f64::from(self.connections)
    }
}

/// A run that holds many connections while nothing happens.
pub struct Holding {
    pub connections: u32,
    /// Per cent of a core.
    pub processor: f64,
    /// Its own memory, in bytes.
    pub own: u64,
    /// From SIGINT to its end, with nothing to write.
    pub stop: Duration,
}

/// Of a run that has nothing to do.
pub struct Idle {
    pub name: &'static str,
    /// Per cent of a core.
    pub processor: f64,
}

/// How fast a run writes.
pub struct Written {
    pub name: String,
    /// Lines a second.
    pub rate: f64,
    pub lines: u64,
    /// Those that there was no room for, as it says itself.
    pub lost: u64,
    /// How many should have been written and are neither here nor said to be lost.
    pub difference: u64,
}

pub struct User {
    pub scales: Vec<Scale>,
    pub memory: Vec<Memory>,
    pub holding: Holding,
    /// How long a run with room for so many connections takes until it counts; or why that was not tried.
    pub starts: Vec<(u32, Result<Duration, String>)>,
    pub idle: Vec<Idle>,
    pub written: Vec<Written>,
}

impl User {
    pub fn gates(&self) -> Vec<Gate> {
        let mut gates = Vec::new();
        let most = |what: String, most, measured| Gate::new(what, Bar::AtMost(most), measured);
        let mut million = self.scales.iter().filter(|it| it.connections >= 1_000_000);
        if let Some(scale) = million.next() {
            let name = "1,000,000 connections";
            for (what, bar, measured) in [
                ("a walk in which nothing has changed", 0.15, scale.unchanged),
                ("a walk in which all are new", 0.15, scale.new),
                ("all ended", 0.8, scale.ended),
            ] {
                gates.push(most(format!("{name}: {what}, in seconds"), bar, measured));
            }
        }
        for memory in &self.memory {
            let what = format!(
                "kernel memory for each of {} connections, published maps included, in bytes",
                Grouped(memory.connections.into())
            );
            gates.push(most(what, 600.0, exact(memory.of_each())));
        }
        for scale in self.scales.iter().filter(|it| it.connections >= 1_000_000) {
            let what = "own memory for each of 1,000,000 connections, in bytes";
            gates.push(most(what.to_owned(), 300.0, exact(scale.own_bytes)));
        }
        if let Some((connections, start)) = self.starts.last() {
            gates.push(Gate {
                what: format!(
                    "start of a table of {} connections, in seconds",
                    Grouped(u64::from(*connections))
                ),
                bar: Bar::AtMost(3.0),
                measured: start.clone().map(|time| exact(time.as_secs_f64())),
            });
        }
        gates.push(most(
            format!(
                "SIGINT with {} connections, to its end, in seconds",
                Grouped(self.holding.connections.into())
            ),
            3.0,
            exact(self.holding.stop.as_secs_f64()),
        ));
        for idle in &self.idle {
            let what = format!("idle, {}: per cent of a core", idle.name);
            gates.push(most(what, 1.0, exact(idle.processor)));
        }
        for written in &self.written {
            gates.push(Gate::new(
                format!(
                    "{}: lines neither written nor reported as lost",
                    written.name
                ),
                Bar::Exactly(0.0),
                exact(written.difference as f64),
            ));
        }
        gates
    }
}

/// How much is done.
struct Effort {
    sizes: &'static [u32],
    rounds: usize,
    memory: &'static [u32],
    holding: u32,
    starts: &'static [u32],
    idle: Duration,
    records: u64,
    packets: u64,
}

pub fn run(extent: Extent) -> Result<User> {
    let effort = match extent {
        Extent::Full => Effort {
            sizes: &[65_536, 1_000_000],
            rounds: 3,
            memory: &[65_536, 1_000_000],
            holding: 1_000_000,
            starts: &[65_536, 1 << 24],
            idle: Duration::from_secs(20),
            records: 200_000,
            packets: 2_000_000,
        },
        Extent::Smoke => Effort {
            sizes: &[1000],
            rounds: 1,
            memory: &[1000],
            holding: 1000,
            starts: &[1000],
            idle: Duration::from_millis(100),
            records: 1000,
            packets: 10_000,
        },
    };
    let mut scales = Vec::new();
    for &connections in effort.sizes {
        progress(&format!("{connections} connections"));
        scales.push(scale(connections, effort.rounds)?);
    }
    let memory = effort.memory.iter().map(|&connections| memory(connections));
    let memory = memory.collect::<Result<_>>()?;
    progress("a run that holds many connections");
    let holding = holding(effort.holding, effort.idle / 2)?;
    progress("starts");
    let mut starts = Vec::new();
    for &connections in effort.starts {
        let fastest = fastest_start(connections, effort.rounds)?;
        starts.push((connections, fastest));
    }
    progress("a run that has nothing to do");
    let idle = idle(effort.idle)?;
    progress("records and lines");
    let written = vec![
        ended(effort.records),
        traced(effort.packets, None)?,
        traced(effort.packets, Some(500_000))?,
    ];
    Ok(User {
        scales,
        memory,
        holding,
        starts,
        idle,
        written,
    })
}

/// Connections of a tracker in this process, which get packets without a wire.
struct Filled {
    programs: Programs,
    connections: u32,
    tracker: Tracker,
    table: Table,
}

impl Filled {
    /// None of them is there yet.
    fn new(connections: u32, maps: bool) -> Result<Self> {
        let programs = Programs::load(Sizes {
            connections: 1,
            addresses: 1,
        })?;
        let sequence: Vec<u32> = (0..connections).collect();
        programs.set_sequence(&sequence)?;
        let default = Settings::default();
        let tracker = Tracker::load(&Settings {
            max_connections: connections,
            max_ips: (connections / SHARING + 2).max(default.max_ips),
            interfaces: vec![Ifindex(1)],
            maps,
            ..default
        })?;
        let runner = tracker.runner(Entry::Xdp)?;
        programs.measure(Hook::Xdp, runner.as_fd())?;
        let table = tracker.table(Timeouts {
            unreplied: LONG,
            assured: LONG,
        });
        Ok(Self {
            programs,
            connections,
            tracker,
            table,
        })
    }

    /// A packet for each.
    fn give(&self) -> Result<()> {
        self.programs.set_variation(Variation {
            address_at: 26,
            port_at: 34,
            fresh: false,
            one: false,
        })?;
        let frame = crate::path::Frame::Ipv4.bytes();
        let (vary, connections) = (self.programs.vary(Hook::Xdp), self.connections);
        // On one CPU: each has its own place in the sequence.
        thread::scope(|scope| {
            let giver = scope.spawn(|| {
                pin(cpus() - 1)?;
                vary.run_frame(&frame, connections).map(drop)
            });
            giver
                .join()
                .map_err(|_| anyhow!("what gives packets has panicked"))?
        })
    }

    /// A walk over all of them that ends none, in seconds.
    fn walk(&mut self) -> Result<f64> {
        let now_ns = monotonic_ns()?;
        seconds(|| self.tracker.look(&mut self.table, now_ns))
    }

    /// Ticks so late that all of them end, in seconds: one, or more if it takes them in parts.
    fn end(&mut self) -> Result<f64> {
        const MOST: u64 = 64;
        let connections = self.connections as usize;
        let later = monotonic_ns()? + 2 * LONG.as_nanos() as u64;
        let mut ended = 0;
        let took = seconds(|| {
            for second in 0..MOST {
                let now_ns = later + second * NANOSECONDS;
                ended += self.tracker.tick(&mut self.table, now_ns)?.len();
                if ended == connections {
                    break;
                }
            }
            Ok(())
        })?;
        ensure!(ended == connections, "{ended} of {connections} have ended");
        Ok(took)
    }
}

fn scale(connections: u32, rounds: usize) -> Result<Scale> {
    let mut own_bytes = None;
    let mut times: [Series; 6] = Default::default();
    for _ in 0..rounds {
        let before = own_memory(Pid::this())?;
        let mut filled = Filled::new(connections, true)?;
        filled.give()?;
        let new = filled.walk()?;
        let live = filled.table.len();
        ensure!(
            live == connections as usize,
            "{live} of {connections} are in the table"
        );
        let bytes = own_memory(Pid::this())?.saturating_sub(before);
        // Memory that was given back stays with the process for a while: the first round has it all.
        own_bytes.get_or_insert(bytes as f64 / f64::from(connections));
        filled.give()?;
        let changed = filled.walk()?;
        let unchanged = filled.walk()?;
        let ended = filled.end()?;
        drop(filled);
        let mut filled = Filled::new(connections, false)?;
        filled.give()?;
        let new_unpublished = filled.walk()?;
        let ended_unpublished = filled.end()?;
        let round = [
            new,
            new_unpublished,
            changed,
            unchanged,
            ended,
            ended_unpublished,
        ];
        for (series, time) in times.iter_mut().zip(round) {
            series.0.push(time);
        }
    }
    let [
        new,
        new_unpublished,
        changed,
        unchanged,
        ended,
        ended_unpublished,
    ] = times.map(|series| (&series).into());
    Ok(Scale {
        connections,
        new,
        new_unpublished,
        changed,
        unchanged,
        ended,
        ended_unpublished,
        own_bytes: own_bytes.unwrap_or_default(),
    })
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// What the maps of a run take that has room for so many connections, all else by default.
fn memory(connections: u32) -> Result<Memory> {
    let before = maps()?;
    let tracker = Tracker::load(&Settings {
        max_connections: connections,
        interfaces: vec![Ifindex(1)],
        ..Settings::default()
    })?;
    let mut maps = maps()?;
    maps.retain(|map, _| !before.contains_key(map));
    let all = maps.values().sum();
    drop(tracker);
    Ok(Memory { connections, all })
}

/// What each map takes that this process has, or a program that it has: by the kernel's own account (`memlock`).
fn maps() -> Result<BTreeMap<u32, u64>> {
    let mut maps = BTreeMap::new();
    let mut programs = Vec::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo")? {
        let text = fs::read_to_string(descriptor?.path()).unwrap_or_default();
        programs.extend(field(&text, "prog_id:").and_then(|id| u32::try_from(id).ok()));
        maps.extend(map_of(&text));
    }
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    for program in ProgInfoIter::with_query_opts(options) {
        for map in program.map_ids {
            if programs.contains(&program.id) && !maps.contains_key(&map) {
                let map = MapHandle::from_map_id(map).context("cannot open a map")?;
                let descriptor = std::os::fd::AsRawFd::as_raw_fd(&map.as_fd());
                let text = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
                maps.extend(map_of(&text));
            }
        }
    }
    Ok(maps)
}

fn map_of(text: &str) -> Option<(u32, u64)> {
    let id = u32::try_from(field(text, "map_id:")?).ok()?;
    Some((id, field(text, "memlock:")?))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// What a process has for itself, without the tables that it shares with the kernel.
fn own_memory(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = field(&text, "RssAnon:");
    Ok(kilobytes.context("the kernel does not say how much memory this takes")? * 1024)
}

/// A table that writes nothing meanwhile, and no connection of which is near its end.
fn holding(connections: u32, time: Duration) -> Result<Holding> {
    let pair = Pair::new();
    // Below 60 % full, where timeouts hold.
    let room = (u64::from(connections) * 17 / 10).to_string();
    let quiet = ["-o", "table", "-d", "1h", "--udp-timeout", "1h"];
    let udptrack = start(&pair, &[&quiet[..], &["--max-connections", &room]].concat());
    let to = pair.b.addr(Ip::V4, 5001);
    let sources = Pattern::sources(connections.into());
    Generator::new(&pair.a, pair.a.iface(), to, sources, 18).run(connections.into());
    // The ticks in which they are new are over by then.
    thread::sleep((time / 4).min(Duration::from_secs(5)));
    let before = processor_time(udptrack.pid())?;
    thread::sleep(time);
    let used = processor_time(udptrack.pid())?.saturating_sub(before);
    let own = own_memory(udptrack.pid())?;
    let began = Instant::now();
    udptrack.signal(Signal::SIGINT);
    let _ = udptrack.wait(PATIENCE).success("udptrack");
    Ok(Holding {
        connections,
        processor: 100.0 * used.as_secs_f64() / time.as_secs_f64(),
        own,
        stop: began.elapsed(),
    })
}

/// From the start until packets are counted; or why not here. The fastest of some: the first one may get memory that the host of a
/// virtual machine has to find.
fn fastest_start(connections: u32, rounds: usize) -> Result<Result<Duration, String>> {
    const BYTES: u64 = 1650;
    let mut fastest = Duration::MAX;
    for _ in 0..rounds {
        let available = fs::read_to_string("/proc/meminfo")?;
        let available = field(&available, "MemAvailable:").unwrap_or_default() * 1024;
        if available < u64::from(connections) * BYTES {
            return Ok(Err("not enough memory here".to_owned()));
        }
        let pair = Pair::new();
        let room = connections.to_string();
        let began = Instant::now();
        let udptrack = start(&pair, &["-j", "--max-connections", &room]);
        fastest = fastest.min(began.elapsed());
        udptrack.signal(Signal::SIGINT);
        let _ = udptrack.wait(PATIENCE).success("udptrack");
    }
    Ok(Ok(fastest))
}

/// udptrack on an interface, by XDP, which takes the generator's frames; its output in a file.
fn start(pair: &Pair, arguments: &[&str]) -> Process {
    let mut command = pair.b.command(env!("CARGO_BIN_EXE_udptrack"));
    command
        .args(["-i", pair.b.iface(), "--hook", "xdp"])
        .args(arguments);
    let udptrack = Process::start(&mut command);
    crate::common::wait_for("udptrack", PATIENCE, || {
        udptrack.stderr().contains("tracking").then_some(())
    });
    udptrack
}

/// All at once, on links of their own where nothing passes.
fn idle(time: Duration) -> Result<Vec<Idle>> {
    let runs: [(&'static str, &[&str]); 4] = [
        ("-o json", &["-j"]),
        ("-o table", &["-o", "table"]),
        ("-o trace", &["-o", "trace"]),
        ("-o json -p", &["-j", "-p"]),
    ];
    let pairs: Vec<_> = runs.iter().map(|_| Pair::new()).collect();
    let started: Vec<_> = runs
        .iter()
        .zip(&pairs)
        .map(|((_, arguments), pair)| start(pair, arguments))
        .collect();
    let times = || -> Result<Vec<Duration>> {
        started
            .iter()
            .map(|udptrack| processor_time(udptrack.pid()))
            .collect()
    };
    // What a start costs is over by then.
    thread::sleep(Duration::from_secs(1));
    let before = times()?;
    thread::sleep(time);
    let after = times()?;
    Ok(runs
        .iter()
        .zip(before.iter().zip(after))
        .map(|((name, _), (before, after))| Idle {
            name,
            processor: 100.0 * after.saturating_sub(*before).as_secs_f64() / time.as_secs_f64(),
        })
        .collect())
}

/// So many connections, all reported when the run ends.
fn ended(records: u64) -> Written {
    let pair = Pair::new();
    let room = records.to_string();
    let udptrack = start(&pair, &["-j", "--max-connections", &room]);
    let to = pair.b.addr(Ip::V4, 5001);
    Generator::new(&pair.a, pair.a.iface(), to, Pattern::sources(records), 18).run(records);
    let began = Instant::now();
    udptrack.signal(Signal::SIGINT);
    let ended = udptrack.wait(Duration::from_secs(120));
    let took = began.elapsed();
    let lines = ended
        .stdout
        .lines()
        .filter(|line| line.contains("\"event_type\":\"flow\""))
        .count() as u64;
    Written {
        name: "JSON records of ended connections".to_owned(),
        rate: lines as f64 / took.as_secs_f64(),
        lines,
        lost: 0,
        difference: records.abs_diff(lines),
    }
}

/// So many packets, each of which is a line; as fast as they come, or so many a second.
fn traced(packets: u64, per_second: Option<u32>) -> Result<Written> {
    // Each is a system call of 40 ms beside the frames.
    const PIECES: u32 = 10;
    let pair = Pair::new();
    let udptrack = start(&pair, &["-o", "trace", "-e", "new,data"]);
    let to = pair.b.addr(Ip::V4, 5001);
    let mut generator = Generator::new(&pair.a, pair.a.iface(), to, Pattern::sources(1000), 18);
    let began = Instant::now();
    match per_second {
        None => generator.run(packets),
        // By the clock, whatever a piece takes.
        Some(per_second) => {
            let mut next = began;
            let piece = u64::from(per_second / PIECES);
            for _ in 0..packets / piece {
                generator.run(piece);
                next += Duration::from_secs(1) / PIECES;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }
    let took = began.elapsed();
    let sent = generator.sent();
    let ended = udptrack.stop(Signal::SIGINT);
    let lines = ended.stdout.lines().count() as u64;
    let lost = ended
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("events lost: "));
    let lost: u64 = lost
        .context("it does not say what was lost")?
        .replace(',', "")
        .parse()?;
    let offered = match per_second {
        None => format!(
            "as fast as they come ({:.0}/s)",
            sent as f64 / took.as_secs_f64()
        ),
        Some(_) => format!("at {:.0}/s", sent as f64 / took.as_secs_f64()),
    };
    Ok(Written {
        name: format!("trace lines of packets {offered}"),
        rate: lines as f64 / took.as_secs_f64(),
        lines,
        lost,
        difference: sent.abs_diff(lines + lost),
    })
}
