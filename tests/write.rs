//! Captures that are written: the same frames as tcpdump's own file, byte for byte, in a form that Wireshark's tools read.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::frames::{tagged, udp};
use common::netns::{Injector, Netns, Pair};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::traffic::{Talk, receive_bytes, send_segmented};
use common::{Ip, SOON, TempDir, four_ways, wait_for};
use nix::sys::signal::Signal;

four_ways!(as_tcpdump_has_them);

/// Bytes of each frame that both keep.
const SNAPLEN: &str = "100";
/// The one connection among a hundred.
const PORT: u16 = 45_050;

/// A frame of a file: bytes on the wire, and those that were kept.
type Kept = (usize, Vec<u8>);

/// The frames of a pcap file of this machine's byte order.
fn read_pcap(bytes: &[u8]) -> Vec<Kept> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        usize::try_from(u32::from_ne_bytes(word.try_into().unwrap())).ok()
    };
    let (mut frames, mut at) = (Vec::new(), 24);
    while let (Some(kept), Some(length)) = (word(at + 8), word(at + 12)) {
        let Some(frame) = bytes.get(at + 16..at + 16 + kept) else {
            break;
        };
        frames.push((length, frame.to_vec()));
        at += 16 + kept;
    }
    frames
}

/// The same of any file that Wireshark's tools read.
fn read(path: &Path) -> Vec<Kept> {
    let folder = TempDir::new("pcap");
    let copy = folder.path().join("copy.pcap");
    let mut command = Command::new("editcap");
    let ended = Process::run(command.args(["-F", "pcap"]).arg(path).arg(&copy)).success("editcap");
    assert_eq!(ended.stderr, "");
    read_pcap(&fs::read(copy).unwrap())
}

/// What tshark says of these fields, a line for each frame.
fn fields(path: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(path)
        .args(["-n", "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let ended = Process::run(&mut command).success("tshark");
    assert!(!ended.stderr.contains("cut short"), "{}", ended.stderr);
    let lines = ended.stdout.lines();
    lines
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect()
}

/// tcpdump, which has begun.
struct Tcpdump {
    process: Process,
    folder: TempDir,
}

impl Tcpdump {
    fn start(netns: &Netns, arguments: &[&str]) -> Self {
        let folder = TempDir::new("tcpdump");
        let mut command = netns.command("tcpdump");
        command
            .args([
                "-i",
                netns.iface(),
                "-n",
                "-U",
                "--immediate-mode",
                "-Z",
                "root",
            ])
            .args(["-B", "65536", "-w"])
            .arg(folder.path().join("it.pcap"))
            .args(arguments);
        let mut process = Process::start(&mut command);
        wait_for("tcpdump to listen", SOON, || {
            process.assert_running();
            process.stderr().contains("listening on").then_some(())
        });
        Self { process, folder }
    }

    /// Its frames, when there are so many.
    fn frames(self, count: usize) -> Vec<Kept> {
        let file = self.folder.path().join("it.pcap");
        let frames = wait_for("tcpdump's frames", SOON, || {
            let frames = read_pcap(&fs::read(&file).unwrap());
            (frames.len() >= count).then_some(frames)
        });
        let ended = self.process.stop(Signal::SIGINT).success("tcpdump");
        let said = "\n0 packets dropped by kernel";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        frames
    }
}

fn in_folder(folder: &TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

fn as_tcpdump_has_them(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let folder = TempDir::new("write");
    let (path, file) = in_folder(&folder, "one.pcapng");
    // The second "vlan" is that of a second tag.
    let filter = format!(
        "udp and port {PORT} or (vlan and udp and port {PORT}) or (vlan and udp and port {PORT})"
    );
    let tcpdump = Tcpdump::start(&pair.b, &["-s", SNAPLEN, &filter]);
    let arguments = [
        "-i",
        pair.b.iface(),
        "--hook",
        hook,
        "-j",
        "-p",
        "-w",
        &file,
        "--snaplen",
        SNAPLEN,
        "port",
    ];
    let port = PORT.to_string();
    let arguments: Vec<&str> = arguments.into_iter().chain([&*port]).collect();
    let udptrack = Udptrack::start(&pair.b, &arguments);

    let server = pair.b.addr(ip, 4000);
    let socket = pair.b.udp(server);
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut talks = Vec::new();
    for port in 45_000..45_100 {
        let client = pair.a.udp(pair.a.addr(ip, port));
        let mut talk = Talk::new(client, socket.try_clone().unwrap());
        for length in [1, 57, 58, 59, 400, 1400] {
            talk.ask(length);
            talk.answer(length / 2);
        }
        talks.push(talk);
    }
    let mut count = 12;
    // What the kernel merges, or cuts late, both ways.
    let talk = &talks[50];
    let client = talk.client.local_addr().unwrap();
    assert_eq!(client.port(), PORT);
    send_segmented(&talk.client, server, 1000, 300);
    receive_bytes(&socket, 1000);
    send_segmented(&socket, client, 1000, 300);
    receive_bytes(&talk.client, 1000);
    // Tags and options of the wire: one tag is taken out by the kernel at TC.
    let injector = Injector::new(&pair.a, pair.a.iface());
    let frame = udp(client, server, &[9; 300]);
    for tags in [&[(0x8100, 0x6005)][..], &[(0x88a8, 0x0064), (0x8100, 7)]] {
        injector.send(&tagged(&frame, tags));
    }
    injector.send(&frame);
    receive_bytes(&socket, 300);
    // XDP has what came in one by one.
    count += if hook == "xdp" { 4 } else { 1 } + 1 + 3;

    let theirs = tcpdump.frames(count);
    let finished = udptrack.stop().success();
    let ours = read(&path);
    assert_eq!(ours.len(), theirs.len(), "{:?}", finished.messages());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert!(
        ours.iter()
            .all(|(length, kept)| kept.len() == 100.min(*length))
    );

    assert_is_told(&path, pair.b.iface(), &finished);
    if hook == "tc" {
        let capinfos = Process::run(Command::new("capinfos").arg(&path)).success("capinfos");
        assert_eq!(capinfos.stderr, "");
        let said = capinfos.stdout;
        assert!(said.contains("Time precision = nanoseconds (9)"), "{said}");
        assert!(said.contains("Strict time order:   True"), "{said}");
    }
}

/// What is said beside the frames.
fn assert_is_told(path: &Path, iface: &str, finished: &Finished) {
    let rows = fields(
        path,
        &[
            "frame.interface_name",
            "frame.packet_flags_direction",
            "frame.comment",
        ],
    );
    assert!(rows.iter().all(|row| row[0] == iface));
    let direction = |row: &Vec<String>| row[1].clone();
    let directions: Vec<String> = rows.iter().take(4).map(direction).collect();
    assert_eq!(
        directions,
        ["0x1", "0x2", "0x1", "0x2"].map(|it| it.replace("0x", "0x0000000"))
    );
    // Each connection is named once: the tagged ones are others.
    let comments: Vec<&str> = rows
        .iter()
        .map(|row| &*row[2])
        .filter(|it| it.contains("conn"))
        .collect();
    assert_eq!(comments.len(), 3, "{comments:?}");
    let records = finished.records();
    let mut ids = records
        .iter()
        .filter_map(|it| it["udptrack"]["conn_id"].as_str());
    let is_named = |id: &str| {
        comments
            .iter()
            .any(|it| it.starts_with(&format!("conn {id}")))
    };
    assert!(ids.all(is_named), "{comments:?}");
}

/// Frames in a file, by what tshark reads of it; a block at its end that is cut is none.
fn count(path: &Path) -> u64 {
    let mut command = Command::new("tshark");
    let ended = Process::run(command.arg("-r").arg(path).args([
        "-n",
        "-T",
        "fields",
        "-e",
        "frame.number",
    ]));
    ended.stdout.lines().count() as u64
}

/// Sends a datagram from each port of one end to the other, where somebody takes it: else the kernel answers that nobody is there.
fn send(pair: &Pair, ports: std::ops::Range<u16>, bytes: usize) -> u64 {
    let to = pair.b.addr(Ip::V4, 4000);
    let _socket = pair.b.udp(to);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let payload = vec![7; bytes];
    for port in ports.clone() {
        injector.send(&udp(pair.a.addr(Ip::V4, port), to, &payload));
    }
    u64::from(ports.end - ports.start)
}

/// Names in a folder, sorted.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
#[ignore = "root"]
fn files_are_named_as_tcpdump_names_them() {
    let pair = Pair::with_mtu(9000);
    for flags in [
        &["-C", "1"][..],
        &["-C", "1", "-W", "3"],
        &["-C", "1", "-W", "12"],
    ] {
        let (theirs, ours) = (TempDir::new("theirs"), TempDir::new("ours"));
        let file = |folder: &TempDir| in_folder(folder, "it-%Y.cap").1;
        let mut command = pair.b.command("tcpdump");
        command.args([
            "-i",
            pair.b.iface(),
            "-n",
            "-U",
            "--immediate-mode",
            "-B",
            "65536",
            "-Z",
            "root",
        ]);
        let mut tcpdump = Process::start(command.args(["-w", &file(&theirs)]).args(flags));
        wait_for("tcpdump to listen", SOON, || {
            tcpdump.assert_running();
            tcpdump.stderr().contains("listening on").then_some(())
        });
        // Where files are anybody's, rights that are given up do not matter; in a folder of another user they do.
        nix::unistd::chown(ours.path(), Some(65_534.into()), None).unwrap();
        let file = file(&ours);
        let arguments = ["-i", pair.b.iface(), "-j", "--snaplen", "0", "-w", &file];
        let arguments: Vec<&str> = arguments.into_iter().chain(flags.iter().copied()).collect();
        let udptrack = Udptrack::start(&pair.b, &arguments);
        let sent = send(&pair, 45_000..45_400, 8900);
        // Of three files, the first is written again.
        wait_for("all of tcpdump's frames", SOON, || {
            let frames =
                |name: &String| read_pcap(&fs::read(theirs.path().join(name)).unwrap()).len();
            let all: Vec<usize> = names(&theirs).iter().map(frames).collect();
            let gone = if flags.contains(&"3") {
                *all.get(1)?
            } else {
                0
            };
            let all = all.iter().sum::<usize>() + gone;
            (all as u64 == sent).then_some(())
        });
        let finished = udptrack.stop().success();
        let _ = tcpdump.stop(Signal::SIGINT).success("tcpdump");
        assert_eq!(finished.frames()["written"], sent);
        assert_eq!(finished.frames()["unwritten"], 0);
        let ours_named = names(&ours);
        let all: u64 = ours_named
            .iter()
            .map(|name| count(&ours.path().join(name)))
            .sum();
        if flags.contains(&"3") {
            assert_eq!(ours_named, names(&theirs));
            assert!(all < sent);
        } else {
            assert_eq!(all, sent);
            assert_eq!(ours_named, names(&theirs));
            assert_eq!(ours_named.len(), 4, "{ours_named:?}");
        }
    }
}

#[test]
#[ignore = "root"]
fn a_run_ends_after_so_many_times() {
    let pair = Pair::new();
    let folder = TempDir::new("times");
    let (_, file) = in_folder(&folder, "it-%s.pcapng");
    let arguments = [
        "-i",
        pair.b.iface(),
        "-j",
        "-w",
        &file,
        "-G",
        "1",
        "-W",
        "2",
    ];
    let udptrack = Udptrack::start(&pair.b, &arguments);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let frame = udp(
        pair.a.addr(Ip::V4, 45_000),
        pair.b.addr(Ip::V4, 4000),
        &[7; 10],
    );
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                injector.send(&frame);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let finished = udptrack.wait().success();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let files = names(&folder);
        assert_eq!(files.len(), 2, "{files:?}");
        let all: u64 = files
            .iter()
            .map(|name| count(&folder.path().join(name)))
            .sum();
        assert_eq!(finished.frames()["written"], all);
    });
}

#[test]
#[ignore = "root"]
fn what_finds_no_room_is_counted() {
    let pair = Pair::with_mtu(9000);
    let folder = TempDir::new("room");
    let (path, file) = in_folder(&folder, "it.pcapng");
    let udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "-w", &file, "--snaplen", "0"],
    );
    // Nobody takes frames meanwhile, of more than 9,000 bytes each.
    udptrack.signal(Signal::SIGSTOP);
    let sent = send(&pair, 10_000..14_500, 8900);
    udptrack.signal(Signal::SIGCONT);
    let finished = udptrack.stop().success();
    let frames = finished.frames();
    let number = |name: &str| frames[name].as_u64().unwrap();
    assert!(number("lost_received") > 500, "{frames}");
    assert_eq!((number("lost_sent"), number("unwritten")), (0, 0));
    assert_eq!(number("written") + number("lost_received"), sent);
    assert_eq!(finished.stats().tracked.packets, sent);
    assert_eq!(count(&path), number("written"));
    let dropped = format!(
        "frames lost: {}",
        udptrack::model::text::Grouped(number("lost_received"))
    );
    assert!(
        finished.stderr.lines().any(|line| line.contains(&dropped)),
        "{:?}",
        finished.stderr
    );
}

#[test]
#[ignore = "root"]
fn a_kill_leaves_what_was_written() {
    let pair = Pair::new();
    let folder = TempDir::new("kill");
    let (path, file) = in_folder(&folder, "it.pcapng");
    let udptrack = Udptrack::start(&pair.b, &["-i", pair.b.iface(), "-j", "-w", &file]);
    let sent = send(&pair, 45_000..45_100, 100);
    wait_for("them in the file", SOON, || {
        (count(&path) == sent).then_some(())
    });
    udptrack.signal(Signal::SIGKILL);
    drop(udptrack);
    assert_eq!(count(&path), sent);
}

/// A small file system.
struct Small(PathBuf);

impl Small {
    fn new(folder: &TempDir) -> Self {
        let path = folder.path().join("small");
        fs::create_dir(&path).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", "size=64k,mode=0755", "small"])
            .arg(&path);
        let _ = Process::run(&mut command).success("mount");
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "root"]
fn a_full_disk_is_said_and_counted() {
    let pair = Pair::new();
    let folder = TempDir::new("full");
    let small = Small::new(&folder);
    let path = small.0.join("it.pcapng");
    let file = path.to_str().unwrap();
    let mut udptrack = Udptrack::start(
        &pair.b,
        &["-i", pair.b.iface(), "-j", "-w", file, "--snaplen", "0"],
    );
    let mut sent = send(&pair, 45_000..45_010, 1400);
    wait_for("the first in the file", SOON, || {
        (count(&path) == sent).then_some(())
    });
    sent += send(&pair, 46_000..46_100, 1400);
    udptrack.wait_for_message("that the disk is full", |line| {
        line.contains("No space left on device")
    });
    // There is room again.
    fs::write(small.0.join("other"), "").unwrap();
    let finished = udptrack.stop().failure(1);
    let frames = finished.frames();
    let number = |name: &str| frames[name].as_u64().unwrap();
    assert!(number("unwritten") > 0);
    assert_eq!(number("written") + number("unwritten"), sent);
    assert_eq!(finished.stats().tracked.packets, sent);
    assert_eq!(count(&path), number("written"));
    let said = finished
        .stderr
        .lines()
        .filter(|line| line.contains("No space left"))
        .count();
    assert_eq!(said, 1, "{:?}", finished.stderr);
}

#[test]
#[ignore = "root"]
fn standard_output_is_a_capture() {
    let pair = Pair::new();
    let folder = TempDir::new("stdout");
    let (path, file) = in_folder(&folder, "it.pcapng");
    let program = env!("CARGO_BIN_EXE_udptrack");
    let mut command = pair.b.command("sh");
    let line = format!("exec {program} -i {} -w - >{file}", pair.b.iface());
    let mut process = Process::start(command.args(["-c", &line]));
    wait_for("its hooks", SOON, || {
        process.assert_running();
        process.stderr().contains("tracking").then_some(())
    });
    let sent = send(&pair, 45_000..45_020, 100);
    wait_for("all in the file", SOON, || {
        (count(&path) == sent).then_some(())
    });
    let _ = process.stop(Signal::SIGINT).success("udptrack");
    assert_eq!(count(&path), sent);
    // Who has read enough ends the run.
    let line = format!(
        "{program} -i {} -w - | head -c 100 >/dev/null",
        pair.b.iface()
    );
    let mut process = Process::start(pair.b.command("sh").args(["-c", &line]));
    wait_for("its hooks", SOON, || {
        process.assert_running();
        process.stderr().contains("tracking").then_some(())
    });
    let sends = std::thread::spawn(move || {
        for _ in 0..20 {
            send(&pair, 45_000..45_020, 100);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        pair
    });
    let _ = process.wait(SOON).success("udptrack");
    drop(sends.join().unwrap());
}

/// What user space chooses by is known later: the first packets are there all the same.
#[test]
#[ignore = "root"]
fn what_is_chosen_later_has_its_first_packets() {
    let pair = Pair::new();
    let folder = TempDir::new("chosen");
    let (path, file) = in_folder(&folder, "it.pcapng");
    let arguments = ["-i", pair.b.iface(), "-j", "-w", &file, "--proto", "dns"];
    let udptrack = Udptrack::start(&pair.b, &arguments);
    let mut query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04evil\x04test\0\0\x01\0\x01".to_vec();
    let _sockets = [53, 4000].map(|port| pair.b.udp(pair.b.addr(Ip::V4, port)));
    let injector = Injector::new(&pair.a, pair.a.iface());
    let (from, other) = (pair.a.addr(Ip::V4, 45_000), pair.a.addr(Ip::V4, 45_001));
    for id in 0..5 {
        query[1] = id;
        injector.send(&udp(from, pair.b.addr(Ip::V4, 53), &query));
        injector.send(&udp(other, pair.b.addr(Ip::V4, 4000), &[id; 40]));
    }
    wait_for("the queries in the file", SOON, || {
        (count(&path) == 5).then_some(())
    });
    // The kernel copies the other one's no longer.
    for id in 5..10 {
        injector.send(&udp(other, pair.b.addr(Ip::V4, 4000), &[id; 40]));
    }
    let finished = udptrack.stop().success();
    let rows = fields(&path, &["udp.srcport", "frame.comment"]);
    assert!(rows.iter().all(|row| row[0] == "45000"), "{rows:?}");
    assert!(rows[0][1].ends_with(" dns"), "{rows:?}");
    assert_eq!(finished.frames()["written"], 5);
}
