//! Frames in memory, saved when an alert begins, or when the user wants them: what was before, and what follows.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::frames::udp;
use common::netns::{Injector, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::tmux::Tmux;
use common::{Ip, TempDir};
use nix::sys::signal::{Signal, kill};
use udptrack::model::text::Grouped;

/// Frames in a file, as tshark reads it.
fn count(path: &Path) -> usize {
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(path)
        .args(["-n", "-T", "fields", "-e", "frame.number"]);
    Process::run(&mut command)
        .success("tshark")
        .stdout
        .lines()
        .count()
}

/// Sends a datagram from each of these ports of one end to the other.
fn send(pair: &Pair, ports: impl Iterator<Item = u16>) {
    let to = pair.b.addr(Ip::V4, 4000);
    let _socket = pair.b.udp(to);
    let injector = Injector::new(&pair.a, pair.a.iface());
    for port in ports {
        injector.send(&udp(pair.a.addr(Ip::V4, port), to, &[7; 200]));
    }
}

/// Captures in a folder, by name.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.to_str().unwrap().ends_with(".pcapng"))
        .collect();
    files.sort();
    files
}

/// Frames in memory and those that made room there, when they are so many together.
fn in_memory(udptrack: &mut Udptrack, all: usize) -> (usize, usize) {
    let read = |line: &str| {
        let rest = line
            .strip_prefix("frames in memory: ")?
            .replace([',', ';'], "");
        let mut numbers = rest.split(' ').map_while(|word| word.parse::<usize>().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    let (pid, is_over) = (udptrack.pid(), AtomicBool::new(false));
    let said = thread::scope(|scope| {
        scope.spawn(|| {
            // Not for ever, or a failure would never be told.
            for _ in 0..600 {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                kill(pid, Signal::SIGUSR1).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
        });
        let is_all = |line: &str| read(line).is_some_and(|(kept, gone)| kept + gone == all);
        let said = udptrack.wait_for_message("what is in memory", is_all);
        is_over.store(true, Ordering::Relaxed);
        said
    });
    read(&said).unwrap()
}

#[test]
#[ignore = "root"]
fn an_alert_saves_what_was_before_it_and_what_follows() {
    let pair = Pair::new();
    let folder = TempDir::new("record");
    let into = folder.path().to_str().unwrap();
    let rule = "new > 50/s over 2s";
    let arguments = [
        "-i",
        pair.b.iface(),
        "-j",
        "--record",
        "1MB",
        "--record-on-alert",
        into,
    ];
    let more = ["--record-after", "3s", "--alert", rule];
    let arguments: Vec<&str> = arguments.into_iter().chain(more).collect();
    let mut udptrack = Udptrack::start(&pair.b, &arguments);
    send(&pair, 20_000..20_020);
    send(&pair, 30_000..30_200);
    udptrack.wait_for_message("that it saves", |line| {
        line.contains("saving 220 frames to")
    });
    let files = captures(folder.path());
    assert_eq!(files.len(), 1);
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("udptrack-20") && name.ends_with("-new-50-s-over-2s.pcapng"),
        "{name}"
    );
    send(&pair, 40_000..40_010);
    // Another cause of the same time adds nothing of its own.
    udptrack.signal(Signal::SIGUSR2);
    udptrack.wait_for_message("that it goes on", |line| line.contains("goes into"));
    udptrack.wait_for_message("that it is saved", |line| {
        line.contains("230 frames are in")
    });
    assert_eq!(count(&files[0]), 230);
    let begins = fs::read(&files[0]).unwrap();
    let begins = String::from_utf8_lossy(&begins[..200]).into_owned();
    assert!(
        begins.contains("alert new ") && begins.contains("/s > 50/s"),
        "{begins:?}"
    );

    // Nothing is saved twice; and memory has a bound: the oldest frames make room.
    // One connection: no alert.
    send(&pair, std::iter::repeat_n(10_000, 10_000));
    let (kept, gone) = in_memory(&mut udptrack, 10_000);
    assert!(gone > 0);
    udptrack.signal(Signal::SIGUSR2);
    let text = format!("saving {} frames to", Grouped(kept as u64));
    udptrack.wait_for_message("that it saves", |line| line.contains(&text));
    assert!(kept * 128 < 1_000_000 && kept * 512 > 1_000_000, "{kept}");
    let _ = udptrack.stop().success();
    let files = captures(folder.path());
    assert_eq!(files.len(), 2, "{files:?}");
    let other = files
        .iter()
        .find(|path| !path.to_str().unwrap().contains("-new-"))
        .unwrap();
    assert_eq!(count(other), kept);
}

#[test]
#[ignore = "root"]
fn a_key_saves_what_is_in_memory() {
    let pair = Pair::new();
    let folder = TempDir::new("key");
    let mut command = pair.b.command(env!("CARGO_BIN_EXE_udptrack"));
    command.current_dir(folder.path());
    command.args([
        "-i",
        pair.b.iface(),
        "--record",
        "1MB",
        "--record-after",
        "0s",
    ]);
    let line = format!("cd {} && exec \"$@\"", folder.path().display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &line, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    let tmux = Tmux::start(&shell, (160, 40));
    tmux.wait_for(&["seen"]);
    send(&pair, 20_000..20_020);
    // They are there, and known.
    tmux.wait_for(&["20 pkts"]);
    tmux.keys(&["R"]);
    // Shown for some seconds only, and once the file is whole.
    tmux.wait_for(&["20 frames are in"]);
    let files = captures(folder.path());
    assert_eq!(files.len(), 1);
    assert_eq!(count(&files[0]), 20);
    // Nothing has come since.
    tmux.keys(&["R"]);
    tmux.wait_for(&["nothing new is in memory: no file is made"]);
    assert_eq!(captures(folder.path()), files);
    tmux.signal(Signal::SIGTERM);
    let _ = tmux.wait_for_end(0);
}
