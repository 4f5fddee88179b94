//! What a run writes: to a reader that stands still, and to a file that is moved away.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::kernel::assert_bare;
use common::netns::Pair;
use common::run::Udptrack;
use common::{Ip, SOON, TempDir, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use udptrack::model::text::Grouped;

const LISTEN: &str = "10.88.0.1:9435";

/// One whose standard output is a pipe that is read later, or never.
struct Unread {
    child: Child,
    folder: TempDir,
}

impl Unread {
    fn start(command: &mut Command) -> Self {
        let folder = TempDir::new("stderr");
        let unread = Self {
            child: command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(File::create(folder.path().join("stderr")).unwrap())
                .spawn()
                .unwrap(),
            folder,
        };
        wait_for("the hooks", SOON, || {
            unread.said().contains("room for").then_some(())
        });
        unread
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal);
    }

    /// Packets seen, as the summary has them.
    fn seen(&self) -> String {
        let said = self.said();
        let mut words = said.split_whitespace().skip_while(|word| *word != "seen");
        words.nth(1).unwrap().to_owned()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A packet from each of these ports.
fn send(pair: &Pair, ports: impl Iterator<Item = u16>) {
    for port in ports {
        let socket = pair.a.udp(pair.a.addr(Ip::V4, port));
        socket.send_to(b"x", pair.b.addr(Ip::V4, 4000)).unwrap();
    }
}

fn metric(pair: &Pair, name: &str) -> String {
    let page = pair
        .a
        .command("curl")
        .args(["-s", "--max-time", "5", &format!("http://{LISTEN}/metrics")])
        .output()
        .unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_default().trim().to_owned()
}

/// A pager that pauses, a log shipper that hangs: connections are counted, scrapes answered, and what was written comes when
/// it goes on.
#[test]
#[ignore = "root"]
fn a_run_goes_on_while_its_reader_stands_still() {
    const PACKETS: u16 = 4000;
    let pair = Pair::new();
    let _sink = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    let mut command = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
    let mut udptrack = Unread::start(command.args([
        "-i",
        pair.a.iface(),
        "-o",
        "trace",
        "-e",
        "new,end",
        "-n",
        "--udp-timeout",
        "1s",
        "--metrics",
        LISTEN,
    ]));
    // More than a pipe has room for.
    send(&pair, 20_000..20_000 + PACKETS);
    wait_for("the ends", SOON, || {
        (metric(&pair, "udptrack_connections_ended_total{reason=\"IDLE\"}") == PACKETS.to_string())
            .then_some(())
    });
    let stdout = udptrack.child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        BufReader::new(stdout)
            .lines()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    udptrack.signal(Signal::SIGINT);
    assert_eq!(
        udptrack.child.wait().unwrap().code(),
        Some(0),
        "{}",
        udptrack.said()
    );
    let lines = reader.join().unwrap();
    for kind in ["UDP NEW: ", "UDP END: "] {
        let of_kind = lines.iter().filter(|line| line.starts_with(kind)).count();
        assert_eq!(of_kind, usize::from(PACKETS), "{kind}");
    }
    assert!(
        !udptrack.said().contains("lost so far"),
        "{}",
        udptrack.said()
    );
    assert_eq!(udptrack.seen(), "4,000");
}

/// The numbers of lines that such messages have.
fn said_lines<'a>(said: &'a str, message: &str) -> Vec<&'a str> {
    let number = |line: &'a str| line.split_once(message)?.0.strip_prefix("udptrack: ");
    said.lines().filter_map(number).collect()
}

/// The end waits for such a reader a while, and after a second signal not at all. Hooks are off and books are told either way,
/// and the service manager hears meanwhile that it goes on.
#[test]
#[ignore = "root"]
fn a_reader_that_stands_still_holds_up_no_end() {
    const PACKETS: u16 = 4000;
    let pair = Pair::new();
    let _sink = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    for is_urgent in [false, true] {
        let folder = TempDir::new("notify");
        let path = folder.path().join("socket");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut command = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
        command.args(["-i", pair.a.iface(), "-o", "trace", "-n"]);
        command.args(["-e", "new,end"]);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "2000000");
        let mut udptrack = Unread::start(&mut command);
        send(&pair, 20_000..20_000 + PACKETS);
        let began = Instant::now();
        udptrack.signal(Signal::SIGINT);
        let (mut heard, mut longest) = (began, Duration::ZERO);
        let status = wait_for("the end", Duration::from_secs(20), || {
            if is_urgent {
                udptrack.signal(Signal::SIGINT);
            }
            let mut buffer = [0; 256];
            while let Ok(length) = manager.recv(&mut buffer) {
                if &buffer[..length] == b"WATCHDOG=1" {
                    longest = longest.max(heard.elapsed());
                    heard = Instant::now();
                }
            }
            udptrack.child.try_wait().unwrap()
        });
        let took = began.elapsed();
        let said = udptrack.said();
        assert_eq!(is_urgent, took < Duration::from_secs(5), "{took:?}");
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("The rest is lost"), "{said}");
        assert_eq!(udptrack.seen(), "4,000", "{said}");
        // Each connection's begin and its end, without what the pipe had room for.
        let mut taken = String::new();
        let mut stdout = udptrack.child.stdout.take().unwrap();
        stdout.read_to_string(&mut taken).unwrap();
        let taken = taken.matches('\n').count();
        let left = Grouped(2 * u64::from(PACKETS) - taken as u64).to_string();
        let lost = said_lines(&said, " lines for standard output are lost so far");
        assert_eq!(lost, [left.as_str()], "{said}");
        if !is_urgent {
            assert!(longest < Duration::from_secs(2), "{longest:?}");
            let waited = said_lines(&said, " lines are still to be written to standard output");
            assert!(!waited.is_empty(), "{said}");
            assert_eq!(waited, vec![left; waited.len()], "{said}");
        }
        assert_bare(&pair.a, pair.a.iface());
    }
}

/// logrotate moves the file away and sends SIGHUP, again and again, while connections begin: each is told once, in one of the files.
#[test]
#[ignore = "root"]
fn a_file_that_is_moved_away_loses_no_record() {
    const MOVES: usize = 5;
    let pair = Pair::new();
    let _sink = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    let folder = TempDir::new("moved");
    let path = folder.path().join("flows.json");
    let arguments = [
        "-i",
        pair.a.iface(),
        "-o",
        "json",
        "-e",
        "new",
        "--output-file",
        path.to_str().unwrap(),
    ];
    let udptrack = Udptrack::start(&pair.a, &arguments);
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let wanted = (20_000..60_000).take_while(|_| !done.load(Ordering::Relaxed));
            let mut last = 0;
            send(&pair, wanted.inspect(|port| last = *port));
            20_000..=last
        });
        for moved in 0..MOVES {
            wait_for("records", SOON, || {
                (fs::metadata(&path).unwrap().len() > 0).then_some(())
            });
            fs::rename(&path, folder.path().join(format!("flows.json.{moved}"))).unwrap();
            udptrack.signal(Signal::SIGHUP);
            wait_for("the file, anew", SOON, || path.exists().then_some(()));
        }
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    let finished = udptrack.stop().success();
    assert_eq!(finished.stdout, Vec::<String>::new());
    assert!(!finished.stderr.contains("lost so far"), "{finished:?}");
    let mut told: Vec<u16> = Vec::new();
    let mut files = 0;
    for file in fs::read_dir(folder.path()).unwrap() {
        files += 1;
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            if record["event_type"] == "flow_new" {
                told.push(record["src_port"].as_u64().unwrap().try_into().unwrap());
            }
        }
    }
    told.sort_unstable();
    assert_eq!(files, MOVES + 1);
    assert_eq!(told, sent.collect::<Vec<_>>());
}
