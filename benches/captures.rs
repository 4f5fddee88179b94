//! How fast captures are read: the frames alone, with the programs that count them, and by the program, which shows or writes them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use udptrack::bpf::{ReplayedFrame, Settings, Tracker};
use udptrack::capture::read::Reader;
use udptrack::clock;
use udptrack::model::{Direction, Timeouts};

use crate::common::process::Process;
use crate::common::{TempDir, frames};
use crate::gates::{Bar, Gate, exact};
use crate::measure::{Series, Spread};
use crate::path::Extent;
use crate::report::progress;

/// As many frames a second are read and counted at least.
const LEAST: f64 = 300_000.0;
const CONNECTIONS: u16 = 1000;
const SECOND: u64 = 1_000_000_000;

/// One file.
pub struct Row {
    pub name: &'static str,
    pub frames: u64,
    /// Frames in a second of one processor, by round.
    pub alone: Series,
    pub counted: Series,
    /// The same of the whole program, which shows connections as they end, or writes all frames to another capture.
    pub shown: Series,
    pub written: Series,
}

#[derive(Default)]
pub struct Captures {
    pub rows: Vec<Row>,
    /// Frames that are not in the books, of all rounds.
    pub difference: u64,
}

impl Captures {
    pub fn gates(&self) -> Vec<Gate> {
        let mut gates: Vec<Gate> = self
            .rows
            .iter()
            .map(|row| {
                let what = format!(
                    "a capture, {}: frames read and counted in a second of one processor",
                    row.name
                );
                Gate::new(what, Bar::AtLeast(LEAST), Spread::from(&row.counted))
            })
            .collect();
        let what = "captures: frames that are not in the books";
        gates.push(Gate::new(
            what,
            Bar::Exactly(0.0),
            exact(self.difference as f64),
        ));
        gates
    }
}

pub fn run(extent: Extent) -> Result<Captures> {
    let (rounds, frames) = match extent {
        Extent::Full => (5, 2_000_000),
        Extent::Smoke => (1, 20_000),
    };
    progress("captures");
    let folder = TempDir::new("captures");
    let mut captures = Captures::default();
    for (name, path) in files(folder.path(), frames)? {
        let mut row = Row {
            name,
            frames,
            alone: Series::default(),
            counted: Series::default(),
            shown: Series::default(),
            written: Series::default(),
        };
        for round in 1..=rounds {
            progress(&format!("a capture, {name}, round {round} of {rounds}"));
            let (alone, found) = read(&path)?;
            ensure!(found == frames, "{name}: {found} frames are read");
            row.alone.0.push(frames as f64 / alone);
            let (counted, tracked) = count(&path)?;
            captures.difference += frames.abs_diff(tracked);
            row.counted.0.push(frames as f64 / counted);
            let path = path.to_str().context("a path that is no text")?;
            let shown = program(&["-r", path, "-q", "-o", "csv"])?;
            row.shown.0.push(frames as f64 / shown);
            let out = folder.path().join("out.pcapng");
            let out_name = out.to_str().context("a path that is no text")?;
            let written = program(&["-r", path, "-q", "-w", out_name])?;
            row.written.0.push(frames as f64 / written);
            captures.difference += frames.abs_diff(read(&out)?.1);
        }
        captures.rows.push(row);
    }
    Ok(captures)
}

/// The same frames in three kinds of files.
fn files(folder: &Path, frames: u64) -> Result<Vec<(&'static str, PathBuf)>> {
    let pcap = folder.join("a.pcap");
    write(&pcap, frames).context("cannot write a capture")?;
    let pcapng = folder.join("a.pcapng");
    Process::run(
        Command::new("editcap")
            .args(["-F", "pcapng"])
            .args([&pcap, &pcapng]),
    );
    Process::run(Command::new("gzip").arg("--keep").arg(&pcapng));
    let packed = folder.join("a.pcapng.gz");
    Ok(vec![
        ("pcap", pcap),
        ("pcapng", pcapng),
        ("pcapng, gzip", packed),
    ])
}

/// Frames of 60 bytes, one microsecond after the other.
fn write(path: &Path, frames: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let bytes = |numbers: &[u32]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    };
    file.write_all(&bytes(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1]))?;
    let to = SocketAddr::from(([10, 0, 0, 2], 9));
    let all: Vec<Vec<u8>> = (10_000..10_000 + CONNECTIONS)
        .map(|port| frames::udp(SocketAddr::from(([10, 0, 0, 1], port)), to, &[0; 18]))
        .collect();
    for (at, frame) in (0..frames).zip(all.iter().cycle()) {
        let (second, microsecond) = (1_700_000_000 + at / 1_000_000, at % 1_000_000);
        let length = frame.len() as u32;
        file.write_all(&bytes(&[second as u32, microsecond as u32, length, length]))?;
        file.write_all(frame)?;
    }
    file.flush()?;
    Ok(())
}

/// Seconds of the processor, and how many frames there were.
fn read(path: &Path) -> Result<(f64, u64)> {
    let start = clock::processor_time()?;
    let mut reader = Reader::open(path)?;
    let mut frames = 0;
    while reader.next()?.is_some() {
        frames += 1;
    }
    Ok((since(start)?, frames))
}

/// Seconds of the processor, and how many frames were tracked.
fn count(path: &Path) -> Result<(f64, u64)> {
    clock::begin_replay(1);
    let mut tracker = Tracker::load(&Settings {
        replay: true,
        grows: true,
        ..Settings::default()
    })?;
    let mut table = tracker.table(Timeouts::default());
    let interface = tracker.admit_captured("capture", true)?;
    let start = clock::processor_time()?;
    let mut reader = Reader::open(path)?;
    let mut tick_ns = 0;
    while let Some(frame) = reader.next()? {
        clock::replay_until(frame.time_ns);
        if frame.time_ns >= tick_ns + SECOND {
            tick_ns = frame.time_ns;
            tracker.tick(&mut table, tick_ns)?;
        }
        tracker.replay(&ReplayedFrame {
            ns: frame.time_ns,
            interface,
            direction: frame.direction,
            wire_bytes: frame.wire_bytes,
            data: frame.data,
        })?;
    }
    let seconds = since(start)?;
    let books = tracker.books(interface, Direction::Ingress)?;
    Ok((seconds, books.tracked.packets))
}

/// Seconds of all processors that the program takes.
fn program(arguments: &[&str]) -> Result<f64> {
    let used = || -> Result<f64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let all = usage.user_time() + usage.system_time();
        Ok(all.num_microseconds() as f64 / 1e6)
    };
    let before = used()?;
    Process::run(Command::new(env!("CARGO_BIN_EXE_udptrack")).args(arguments));
    Ok(used()? - before)
}

fn since(start: Duration) -> Result<f64> {
    Ok(clock::processor_time()?.saturating_sub(start).as_secs_f64())
}
