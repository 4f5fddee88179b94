//! The user-space side: reading and ending many connections, their memory, what a run costs while nothing happens, and how
//! fast it writes.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use udptrack::bpf::{Entry, Settings};
use udptrack::clock::monotonic_ns;
use udptrack::connection::{Table, Timeouts};

use crate::common::Ip;
use crate::common::generator::{Generator, Pattern};
use crate::common::netns::Pair;
use crate::common::process::Process;
use crate::gates::{Bar, Gate, exact};
use crate::measure::{Subject, Who, give};
use crate::path::Extent;
use crate::programs::{Programs, Sizes, Variation};
use crate::report::{processor_time, progress};

/// What so many connections take.
pub struct Scale {
    pub connections: u32,
    /// The caches written back.
    pub sweep: Duration,
    /// The maps read.
    pub scan: Duration,
    /// What was read put into the table.
    pub apply: Duration,
    /// All of them ended: asked for, ended in the kernel, and in the table.
    pub expire: Duration,
    /// Bytes for each: of the kernel, and of this process.
    pub kernel_bytes: f64,
    pub user_bytes: f64,
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
    pub idle: Vec<Idle>,
    pub written: Vec<Written>,
}

impl User {
    pub fn gates(&self) -> Vec<Gate> {
        let mut gates = Vec::new();
        for scale in self
            .scales
            .iter()
            .filter(|scale| scale.connections >= 1_000_000)
        {
            gates.push(Gate::new(
                "U1",
                format!("{} connections read, in seconds", scale.connections),
                Bar::AtMost(1.0),
                exact(scale.scan.as_secs_f64()),
            ));
        }
        for idle in &self.idle {
            gates.push(Gate::new(
                "U2",
                format!("idle, {}: per cent of a core", idle.name),
                Bar::AtMost(1.0),
                exact(idle.processor),
            ));
        }
        for written in &self.written {
            gates.push(Gate::new(
                "U3",
                format!(
                    "{}: lines neither written nor said to be lost",
                    written.name
                ),
                Bar::Exactly(0.0),
                exact(written.difference as f64),
            ));
        }
        gates
    }
}

pub fn run(extent: Extent) -> Result<User> {
    let (sizes, idle_for, records, packets): (&[u32], _, _, _) = match extent {
        Extent::Full => (
            &[8192, 100_000, 1_000_000],
            Duration::from_secs(20),
            200_000,
            2_000_000,
        ),
        Extent::Smoke => (&[1000], Duration::from_millis(100), 1000, 10_000),
    };
    let mut scales = Vec::new();
    for &connections in sizes {
        progress(&format!("{connections} connections"));
        scales.push(scale(connections)?);
    }
    progress("a run that has nothing to do");
    let idle = idle(idle_for)?;
    progress("records and lines");
    let written = vec![
        ended(records),
        traced(packets, None)?,
        traced(packets, Some(500_000))?,
    ];
    Ok(User {
        scales,
        idle,
        written,
    })
}

fn scale(connections: u32) -> Result<Scale> {
    let addresses = connections + 1;
    let programs = Programs::load(Sizes {
        connections: 1,
        addresses: 1,
    })?;
    programs.set_variation(Variation {
        address_at: 26,
        port_at: 34,
        fresh: true,
        one: false,
    })?;
    let settings = Settings {
        max_connections: connections,
        max_ips: addresses,
        ..Settings::default()
    };
    let mut subject = Subject::udptrack(Who::Udptrack, Entry::Xdp, &settings)?;
    let kernel = kernel_bytes()?;
    give(&programs, &mut subject, connections)?;
    let resident = resident_bytes()?;
    let (tracker, _) = subject.tracker.as_mut().context("it is udptrack")?;
    let mut table = Table::new(tracker.capacity(), Timeouts::default());
    let (sweep, ()) = timed(|| tracker.sweep())?;
    let (scan, samples) = timed(|| tracker.scan())?;
    ensure!(
        samples.len() == connections as usize,
        "{} of them",
        samples.len()
    );
    let now = monotonic_ns()?;
    let (apply, ()) = timed(|| {
        table.apply(samples, now);
        Ok(())
    })?;
    let user = resident_bytes()?.saturating_sub(resident);
    // Idle slots are freed half a second later, as in a run.
    thread::sleep(Duration::from_secs(1));
    tracker.sweep()?;
    let later = now + Duration::from_secs(3600).as_nanos() as u64;
    let (expire, ended) = timed(|| {
        let ended = tracker.expire(&table.expired(later))?;
        let count = ended.len();
        for (sample, reason) in ended {
            table.end(sample, reason);
        }
        Ok(count)
    })?;
    ensure!(
        ended == connections as usize,
        "{ended} of {connections} ended"
    );
    Ok(Scale {
        connections,
        sweep,
        scan,
        apply,
        expire,
        kernel_bytes: kernel as f64 / f64::from(connections),
        user_bytes: user as f64 / f64::from(connections),
    })
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let began = Instant::now();
    let done = work()?;
    Ok((began.elapsed(), done))
}

/// What the maps of this process take, by the kernel's own account (`memlock` of their descriptors).
fn kernel_bytes() -> Result<u64> {
    let mut maps = std::collections::BTreeMap::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo")? {
        let text = fs::read_to_string(descriptor?.path()).unwrap_or_default();
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}

fn resident_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.context("the kernel does not say how much memory this takes")? * 1024)
}

/// udptrack on an interface, its output in a file.
fn start(pair: &Pair, arguments: &[&str]) -> Process {
    let mut command = pair.b.command(env!("CARGO_BIN_EXE_udptrack"));
    command.args(["-i", pair.b.iface()]).args(arguments);
    let udptrack = Process::start(&mut command);
    crate::common::wait_for("udptrack", crate::common::SOON, || {
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
