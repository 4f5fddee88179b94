//! Runs over captures of known frames: connections, times, ends, books.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::frames;
use crate::common::process::{Ended, Process};
use crate::common::{SOON, TempDir, wait_for};
use crate::file::{Capture, ETHERNET, RAW, SECOND};

pub const MILLISECOND: u64 = 1_000_000;
const ETHERNET_BYTES: usize = 14;

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// udptrack, with times in UTC.
pub fn udptrack(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udptrack"));
    command.args(arguments).env("TZ", "UTC");
    command
}

pub fn write(folder: &TempDir, name: &str, capture: &Capture) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, capture.bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

pub fn ended(arguments: &[&str]) -> Ended {
    let mut process = Process::start(&mut udptrack(arguments));
    process.close_stdin();
    process.wait(SOON)
}

pub fn run(arguments: &[&str]) -> Ended {
    ended(arguments).success("udptrack")
}

/// Records of connections.
pub fn flows(ended: &Ended) -> Vec<Value> {
    let records = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let records = records.filter(|record: &Value| record["event_type"] == "flow");
    records.collect()
}

pub fn stats(ended: &Ended) -> Value {
    let records = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let all: Vec<Value> = records
        .filter(|record: &Value| record["event_type"] == "stats")
        .collect();
    all.last().unwrap()["udptrack"].clone()
}

/// The text of a field, below `udptrack` or not.
fn text(record: &Value, field: &str) -> String {
    let found = record
        .pointer(&format!("/{}", field.replace('.', "/")))
        .unwrap_or(&Value::Null);
    found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned)
}

/// A client that asks twice and hears once, one that nobody answers, and one a minute later.
fn known() -> Capture {
    let mut capture = Capture::on("eth7", ETHERNET);
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let silent = address("192.0.2.9:9001");
    capture.frame(0, &frames::udp(client, server, b"ask"));
    capture.frame(
        MILLISECOND + 234_567,
        &frames::udp(server, client, b"answer"),
    );
    capture.frame(10 * SECOND, &frames::udp(client, silent, b"hello there"));
    capture.frame(
        60 * SECOND + 500 * MILLISECOND,
        &frames::udp(client, server, b"again"),
    );
    capture
}

#[test]
#[ignore = "root"]
fn connections_times_and_ends_are_those_of_the_file() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "known.pcapng", &known());
    let ended = run(&["-r", &file, "-j"]);
    let told: Vec<Vec<String>> = flows(&ended)
        .iter()
        .map(|record| {
            [
                "timestamp",
                "in_iface",
                "dest_port",
                "flow.pkts_toserver",
                "flow.pkts_toclient",
                "flow.start",
                "flow.end",
                "udptrack.end_reason",
                "udptrack.first_reply_ns",
            ]
            .map(|field| text(record, field))
            .into()
        })
        .collect();
    let at = |time: &str| format!("2026-01-01T{time}+0000");
    let expected = [
        // Idle for 30 seconds at the tick that comes 31 seconds after the first frame.
        [
            &at("00:00:31.000000"),
            "eth7",
            "9000",
            "1",
            "1",
            &at("00:00:00.000000"),
            &at("00:00:00.001234"),
            "IDLE",
            "1234567",
        ],
        [
            &at("00:00:40.000000"),
            "eth7",
            "9001",
            "1",
            "0",
            &at("00:00:10.000000"),
            &at("00:00:10.000000"),
            "IDLE",
            "null",
        ],
        // The capture ends with it.
        [
            &at("00:01:00.500000"),
            "eth7",
            "9000",
            "1",
            "0",
            &at("00:01:00.500000"),
            &at("00:01:00.500000"),
            "STOPPED",
            "null",
        ],
    ];
    assert_eq!(told, expected.map(|row| row.map(str::to_owned).to_vec()));
    assert_eq!(
        text(&flows(&ended)[0], "udptrack.response.sum_ns"),
        "1234567"
    );
    let stats = stats(&ended);
    assert_eq!(stats["seen"]["pkts"], 4);
    assert_eq!(stats["tracked"], stats["seen"]);
    assert!(
        ended.stderr.contains("connections: 3 new, 2 ended, 1 live"),
        "{}",
        ended.stderr
    );
}

/// A day in which nothing happens takes no time, and what ended in it ended when it would have.
/// A resolver's socket that was there before the capture: the first packets are answers, whose ids come again in queries.
#[test]
#[ignore = "root"]
fn queries_of_a_connection_that_was_there_before() {
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:53"));
    let message = |id: u8, flags: u8| {
        let header = [0, id, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&header[..], b"\x01a\x00\x00\x01\x00\x01"].concat()
    };
    let query = |id| frames::udp(client, server, &message(id, 1));
    let answer = |id| frames::udp(server, client, &message(id, 0x81));
    let mut capture = Capture::on("eth0", ETHERNET);
    for id in 0..20 {
        capture.frame(u64::from(id) * MILLISECOND, &answer(id));
    }
    let queries = (0..20).map(|id| (u64::from(id) * 10, query(id)));
    let answers = (0..20)
        .filter(|id| *id != 7)
        .map(|id| (u64::from(id) * 10 + 25, answer(id)));
    let mut frames: Vec<_> = queries.chain(answers).collect();
    frames.sort_by_key(|(at, _)| *at);
    for (at, frame) in frames {
        capture.frame(3 * SECOND + at * MILLISECOND, &frame);
    }
    let folder = TempDir::new("replay");
    let file = write(&folder, "resolver.pcapng", &capture);
    let [flow] = &flows(&run(&["-r", &file, "-j"]))[..] else {
        panic!("one connection");
    };
    assert_eq!(flow["src_port"], 40_000);
    let response = &flow["udptrack"]["response"];
    let counts = ["asked", "answered", "lost", "waiting", "retries"].map(|name| &response[name]);
    assert_eq!(counts, [20, 19, 0, 1, 0], "{flow:#}");
    let times = ["min_ns", "max_ns"].map(|name| &response[name]);
    assert_eq!(times, [25 * MILLISECOND; 2]);
    // Half of the packets are of before: that makes no stream of it.
    let servers = run(&["-r", &file, "-j", "--by", "server", "--once"]);
    let group: Value = servers
        .stdout
        .lines()
        .find_map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            (record["event_type"] == "server").then_some(record)
        })
        .unwrap();
    assert_eq!(group["udptrack"]["state"], "ok", "{group:#}");
}

#[test]
#[ignore = "root"]
fn a_silence_is_passed_over() {
    let folder = TempDir::new("replay");
    let mut capture = known();
    let frame = frames::udp(address("192.0.2.1:1"), address("192.0.2.9:2"), b"x");
    capture.frame(100 * 86_400 * SECOND, &frame);
    let file = write(&folder, "days.pcapng", &capture);
    let began = Instant::now();
    let ended = run(&["-r", &file, "-j"]);
    // Each second of it would take minutes.
    assert!(began.elapsed() < Duration::from_secs(20));
    let at: Vec<String> = flows(&ended)
        .iter()
        .map(|record| text(record, "timestamp"))
        .collect();
    assert_eq!(
        at[2..],
        [
            "2026-01-01T00:01:31.000000+0000",
            "2026-04-11T00:00:00.000000+0000"
        ]
    );
}

#[test]
#[ignore = "root"]
fn a_snapshot_is_of_the_whole_capture() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "known.pcapng", &known());
    let groups = run(&["-r", &file, "--by", "server", "--once", "-j"]);
    let told = |ended: &Ended, fields: [&str; 3]| -> Vec<Vec<String>> {
        let records = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let rows = records.filter(|record: &Value| record["event_type"] != "stats");
        rows.map(|record| fields.map(|field| text(&record, field)).into())
            .collect()
    };
    let servers = told(
        &groups,
        [
            "udptrack.server",
            "udptrack.connections",
            "udptrack.response.asked",
        ],
    );
    assert_eq!(servers.len(), 2, "{}", groups.stdout);
    // Connections that ended and one that did not, most bytes first.
    let rows = run(&["-r", &file, "--once", "-j"]);
    let connections = told(
        &rows,
        ["dest_port", "flow.pkts_toserver", "flow.pkts_toclient"],
    );
    assert_eq!(
        connections,
        [["9000", "1", "1"], ["9001", "1", "0"], ["9000", "1", "0"]]
            .map(|row| row.map(str::to_owned).to_vec())
    );
    let table = run(&["-r", &file, "--once"]);
    assert_eq!(table.stdout.lines().count(), 1 + 3 + 1, "{}", table.stdout);
    // Somebody was not answered.
    let checked = ended(&["unanswered", "-r", &file, "--once", "--check", "-q"]);
    assert_eq!(checked.status.code(), Some(3), "{}", checked.stdout);
    // One table for each 20 seconds of it, and one at its end.
    let tables = run(&["-r", &file, "-o", "table", "-d", "20s"]);
    assert_eq!(
        tables.stdout.matches("seen ").count(),
        4,
        "{}",
        tables.stdout
    );
    let rule = "connections > 1";
    let alerted = ended(&["-r", &file, "-q", "-o", "csv", "--check", "--alert", rule]);
    assert_eq!(alerted.status.code(), Some(4), "{}", alerted.stderr);
}

#[test]
#[ignore = "root"]
fn interfaces_directions_and_cut_frames() {
    let folder = TempDir::new("replay");
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let (inner, outer) = (address("10.0.0.1:5000"), address("10.0.0.2:53"));
    let mut capture = Capture::on("eth0", ETHERNET);
    let asked = frames::udp(client, server, &[1; 1000]);
    capture.cut(0, 0, Some(2), asked.len(), &asked[..64]);
    capture.cut(
        MILLISECOND,
        0,
        Some(1),
        1200,
        &frames::udp(server, client, &[2; 1158])[..60],
    );
    capture.cut(2 * MILLISECOND, 0, Some(1), 1200, &asked[..30]);
    capture.interface("tun0", RAW);
    let packet = &frames::udp(inner, outer, b"query")[ETHERNET_BYTES..];
    capture.cut(3 * MILLISECOND, 1, None, packet.len(), packet);
    capture.cut(
        4 * MILLISECOND,
        0,
        Some(1),
        60,
        &frames::tcp(client, server, b""),
    );
    let file = write(&folder, "several.pcapng", &capture);
    let ended = run(&["-r", &file, "-j"]);
    let told: BTreeMap<String, Vec<String>> = flows(&ended)
        .iter()
        .map(|record| {
            let fields = ["flow.bytes_toserver", "flow.bytes_toclient", "src_port"];
            (
                text(record, "in_iface"),
                fields.map(|field| text(record, field)).into(),
            )
        })
        .collect();
    let row = |row: [&str; 3]| row.map(str::to_owned).to_vec();
    let expected = [
        ("eth0".to_owned(), row(["1042", "1200", "40000"])),
        ("tun0".to_owned(), row(["33", "0", "5000"])),
    ];
    assert_eq!(told, expected.into());
    let stats = stats(&ended);
    assert_eq!(stats["seen"]["pkts"], 5);
    assert_eq!(stats["skipped"]["truncated"]["bytes"], 1200);
    assert_eq!(stats["skipped"]["not-udp"]["pkts"], 1);
}

/// Frames come in any order of their interfaces, and of some none comes.
#[test]
#[ignore = "root"]
fn interfaces_that_speak_before_those_above_them() {
    let folder = TempDir::new("replay");
    let server = address("192.0.2.9:9000");
    let mut capture = Capture::new();
    for name in ["eth0", "eth1", "eth2"] {
        capture.interface(name, ETHERNET);
    }
    for (port, interface) in [(40_002, 2), (40_000, 0), (40_012, 2)] {
        let client = SocketAddr::new(server.ip(), port);
        let frame = frames::udp(client, server, b"ask");
        capture.cut(0, interface, None, frame.len(), &frame);
    }
    let file = write(&folder, "late.pcapng", &capture);
    let told = |arguments: &[&str]| -> BTreeMap<String, String> {
        let flows = flows(&run(arguments)).into_iter();
        let flows = flows.map(|it| (text(&it, "src_port"), text(&it, "in_iface")));
        flows.collect()
    };
    let expected = [("40000", "eth0"), ("40002", "eth2"), ("40012", "eth2")];
    let expected = expected.map(|(port, name)| (port.to_owned(), name.to_owned()));
    assert_eq!(told(&["-r", &file, "-j"]), expected.clone().into());
    // Of several files, those of one name are one.
    let other = write(&folder, "other.pcapng", &known());
    let both = told(&["-r", &other, "-r", &file, "-j"]);
    assert_eq!(both.get("40012"), Some(&"eth2".to_owned()), "{both:?}");
}

/// Each file alone would have the other's packets too late.
#[test]
#[ignore = "root"]
fn several_files_are_one_capture() {
    let folder = TempDir::new("replay");
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let (mut asked, mut answered) = (Capture::on("eth0", ETHERNET), Capture::on("eth0", ETHERNET));
    for second in 0..5 {
        asked.frame(second * SECOND, &frames::udp(client, server, b"ask"));
        answered.frame(
            second * SECOND + 7 * MILLISECOND,
            &frames::udp(server, client, b"yes"),
        );
    }
    let (one, other) = (
        write(&folder, "answers.pcapng", &answered),
        write(&folder, "questions.pcapng", &asked),
    );
    let ended = run(&["-r", &one, "-r", &other, "-j"]);
    let [record] = &flows(&ended)[..] else {
        panic!("{}", ended.stdout)
    };
    assert_eq!(text(record, "flow.pkts_toserver"), "5");
    assert_eq!(
        text(record, "udptrack.response.sum_ns"),
        (35 * MILLISECOND).to_string()
    );
    assert!(!ended.stderr.contains("older"), "{}", ended.stderr);
    // Within one file, time does not go back: what says so counts as of the frame before.
    let mut back = Capture::on("eth0", ETHERNET);
    back.frame(5 * SECOND, &frames::udp(client, server, b"ask"));
    back.frame(3 * SECOND, &frames::udp(server, client, b"yes"));
    let ended = run(&["-r", &write(&folder, "back.pcapng", &back), "-j"]);
    let said = "udptrack: 1 frame is older than one before, by up to 2s: it counts as of its time";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(text(&flows(&ended)[0], "udptrack.first_reply_ns"), "0");
}

#[test]
#[ignore = "root"]
fn a_broken_file_is_read_as_far_as_it_goes() {
    let folder = TempDir::new("replay");
    let whole = known();
    let path = folder.path().join("broken.pcapng");
    std::fs::write(&path, &whole.bytes()[..whole.bytes().len() - 10]).unwrap();
    let path = path.to_str().unwrap();
    let ended = ended(&["-r", path, "-j"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(stats(&ended)["seen"]["pkts"], 3);
    let last = ended.stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("udptrack: {path}: byte ")),
        "{last}"
    );
    // Nothing of it can be read.
    std::fs::write(path, b"no capture").unwrap();
    let ended = Process::start(&mut udptrack(&["-r", path])).wait(SOON);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(1), ""));
}

/// From a pipe: what comes is shown before more comes.
#[test]
#[ignore = "root"]
fn standard_input_is_read_as_it_comes() {
    let mut child = udptrack(&["-r", "-", "-o", "trace", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines().map_while(Result::ok);
    let mut stdin = child.stdin.take().unwrap();
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let mut capture = Capture::on("eth0", ETHERNET);
    let mut written = 0;
    for (after_ns, frame, line) in [
        (
            0,
            frames::udp(client, server, b"ask"),
            "UDP NEW: 192.0.2.1:40000 -> 192.0.2.9:9000 (ESTABLISHED)",
        ),
        (
            1,
            frames::udp(server, client, b"yes"),
            "UDP DATA: 192.0.2.9:9000 -> 192.0.2.1:40000 (DATA)",
        ),
        (
            2,
            frames::udp(client, server, b"ask"),
            "UDP DATA: 192.0.2.1:40000 -> 192.0.2.9:9000 (DATA)",
        ),
    ] {
        capture.frame(after_ns * SECOND, &frame);
        stdin.write_all(&capture.bytes()[written..]).unwrap();
        written = capture.bytes().len();
        assert_eq!(lines.next().unwrap(), line);
    }
    drop(stdin);
    assert_eq!(lines.filter(|line| line.starts_with("UDP END")).count(), 1);
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "root"]
fn a_signal_ends_it_with_the_books() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "known.pcapng", &known());
    let process = Process::start(&mut udptrack(&["-r", &file, "--speed", "1", "-o", "trace"]));
    wait_for("the answer", SOON, || {
        process.stdout().contains("UDP DATA").then_some(())
    });
    let ended = process.stop(Signal::SIGINT).success("udptrack");
    assert!(
        ended.stdout.lines().last().unwrap().contains("(STOPPED)"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains("seen     2 packets"),
        "{}",
        ended.stderr
    );
}

/// It needs the rights that loading takes, and no interface: in a network namespace that has none but `lo`.
#[test]
#[ignore = "root"]
fn the_rights_that_it_needs() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "known.pcapng", &known());
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let with = |rights: &str| {
        let program = env!("CARGO_BIN_EXE_udptrack");
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "setpriv",
            "--bounding-set",
            &format!("-all,{rights}"),
            "--inh-caps",
            &format!("-all,{rights}"),
            program,
            "-r",
            &file,
            "-j",
            "-q",
        ]);
        let ended = Process::start(&mut command).wait(SOON);
        (ended.status.code(), flows(&ended).len(), ended.stderr)
    };
    assert_eq!(
        with("+bpf,+net_admin,+perfmon"),
        (Some(0), 3, String::new())
    );
    for rights in ["+net_admin,+perfmon", "+bpf,+perfmon", "+bpf,+net_admin"] {
        let (code, _, stderr) = with(rights);
        assert_eq!(code, Some(1), "{rights}: {stderr}");
        assert!(stderr.contains("not permitted"), "{stderr}");
    }
}

/// The captures of real programs are one capture: what is in each has its name.
#[test]
#[ignore = "root"]
fn protocols_of_real_programs_are_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let files: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    let mut arguments = vec!["-j", "--per-interface"];
    for file in &files {
        arguments.extend(["-r", file]);
    }
    let ended = run(&arguments);
    let mut named = BTreeMap::new();
    for record in flows(&ended) {
        let file = text(&record, "in_iface");
        let word = file.split('.').next().unwrap().to_owned();
        let said = text(&record, "udptrack.protocol");
        assert_eq!(said, word, "{record}");
        *named.entry(file).or_insert(0) += 1;
    }
    assert_eq!(named.len(), files.len());
}
