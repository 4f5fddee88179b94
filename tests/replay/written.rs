//! Captures that are made of others (`-r IN -w OUT`): frames of wanted connections, as they were.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use udptrack::capture::read::Reader;
use udptrack::model::Direction;

use crate::common::process::Process;
use crate::common::{TempDir, frames};
use crate::file::{BEGIN_NS, Capture, ETHERNET, RAW, SECOND};
use crate::runs::{MILLISECOND, address, flows, run, stats, udptrack, write};

const NULL: u16 = 0;
const COOKED: u16 = 113;
/// The one connection among a hundred.
const PORT: u16 = 45_050;

/// A frame as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub interface: String,
    pub link_type: i32,
    pub ns: u64,
    pub direction: Option<Direction>,
    pub length: usize,
    pub bytes: Vec<u8>,
}

fn assert_stored(path: &Path, expected: &[Stored]) {
    let found = stored(path);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// All frames of a file.
pub fn stored(path: &Path) -> Vec<Stored> {
    let mut reader = Reader::open(path).unwrap();
    let mut all = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        let bytes = [frame.header, &frame.data[frame.made..]].concat();
        let longer = frame.header.len() - frame.made;
        let one = Stored {
            interface: String::new(),
            link_type: 0,
            ns: frame.time_ns,
            direction: frame.says_direction.then_some(frame.direction),
            length: frame.wire_bytes as usize + longer,
            bytes,
        };
        let number = frame.interface;
        let interface = &reader.interfaces()[number];
        all.push(Stored {
            interface: interface.name.clone(),
            link_type: interface.link_type,
            ..one
        });
    }
    all
}

/// Records of connections, but for the numbers that are random in each run, and when the capture ended.
pub fn records(arguments: &[&str]) -> Vec<Value> {
    let mut all = flows(&run(arguments));
    for record in &mut all {
        let eve = record.as_object_mut().unwrap();
        eve.remove("flow_id");
        if eve["udptrack"]["end_reason"] == "STOPPED" {
            eve.remove("timestamp");
        }
        let own = record["udptrack"].as_object_mut().unwrap();
        own.remove("conn_id").unwrap();
    }
    all
}

/// A hundred connections of twelve frames each, some of them cut.
pub fn hundred() -> Capture {
    let mut capture = Capture::on("eth0", ETHERNET);
    let server = address("192.0.2.9:9000");
    let mut ns = 0;
    for round in 0..6_u8 {
        for port in 45_000..45_100 {
            let client = SocketAddr::new(address("192.0.2.1:0").ip(), port);
            let length = usize::from(round) * 271 + 1;
            let asked = frames::udp(client, server, &vec![round; length]);
            let answered = frames::udp(server, client, &vec![round; length / 2]);
            ns += 1_234_567;
            capture.frame(ns, &asked);
            let kept = answered.len().min(300);
            let direction = Some(u32::from(round % 2 + 1));
            capture.cut(ns + 1_001, 0, direction, answered.len(), &answered[..kept]);
        }
    }
    capture
}

#[test]
#[ignore = "root"]
fn one_of_a_hundred_is_as_tcpdump_has_it() {
    let folder = TempDir::new("written");
    let file = write(&folder, "hundred.pcapng", &hundred());
    let [ours, theirs] = ["ours.pcapng", "theirs.pcap"].map(|name| folder.path().join(name));
    let mut tcpdump = Command::new("tcpdump");
    tcpdump
        .args(["-Z", "root", "--time-stamp-precision", "nano", "-r", &file])
        .arg("-w")
        .args([theirs.as_os_str()])
        .arg(format!("udp port {PORT}"));
    Process::run(&mut tcpdump);
    let out = ours.to_str().unwrap();
    let filter = ["port", &PORT.to_string()];
    let ended = run(&[&["-r", &file, "-w", out], &filter[..]].concat());
    assert_eq!(ended.stdout, "");
    let said = format!("udptrack: 12 frames of 1 connection are in {out}");
    assert!(
        ended.stderr.lines().any(|line| line == said),
        "{}",
        ended.stderr
    );

    let (ours, theirs) = (stored(&ours), stored(&theirs));
    assert_eq!(ours.len(), 12);
    // Theirs has no interfaces and no directions.
    let bare = |it: &Stored| (it.link_type, it.ns, it.length, it.bytes.clone());
    let [ours_bare, theirs]: [Vec<_>; 2] = [&ours, &theirs].map(|it| it.iter().map(bare).collect());
    assert_eq!(ours_bare, theirs);
    assert!(ours.iter().all(|it| it.interface == "eth0"));
    let directions: Vec<_> = ours.iter().map(|it| it.direction).collect();
    let [received, sent] = [Direction::Ingress, Direction::Egress].map(Some);
    assert_eq!(directions[..4], [None, received, None, sent]);

    let all = records(&[&["-r", &file, "-j"], &filter[..]].concat());
    assert_eq!(all.len(), 1);
    assert_eq!(records(&["-r", out, "-j"]), all);
    // So many bytes of each.
    let cut = folder.path().join("cut.pcapng");
    run(&["-r", &file, "-w", cut.to_str().unwrap(), "--snaplen", "100"]);
    let cut = stored(&cut);
    assert_eq!(cut.len(), 1200);
    assert!(cut.iter().all(|it| it.bytes.len() == it.length.min(100)));
}

/// Frames of interfaces of all kinds, of which some are wanted.
fn several(capture: &mut Capture) -> Vec<Stored> {
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let (other, nobody) = (address("192.0.2.9:9001"), address("192.0.2.7:9002"));
    let long = address("[2001:db8::1]:40000");
    let mut wanted = Vec::new();
    for (name, link) in [
        ("eth0", ETHERNET),
        ("tun0", RAW),
        ("any", COOKED),
        ("lo0", NULL),
    ] {
        capture.interface(name, link);
    }
    let mut ns = 0;
    let mut add = |interface: u32, direction: Option<u32>, frame: &[u8], cut: usize, is_wanted| {
        ns += MILLISECOND;
        let bytes = &frame[..frame.len().min(cut)];
        capture.cut(ns, interface, direction, frame.len(), bytes);
        if is_wanted {
            let (name, link) =
                [("eth0", 1), ("tun0", 101), ("any", 113), ("lo0", 0)][interface as usize];
            wanted.push(Stored {
                interface: name.to_owned(),
                link_type: link,
                ns: BEGIN_NS + ns,
                direction: direction.map(|it| match it {
                    1 => Direction::Ingress,
                    _ => Direction::Egress,
                }),
                length: frame.len(),
                bytes: bytes.to_vec(),
            });
        }
    };
    let asked = frames::udp(client, server, &[1; 3000]);
    add(0, Some(2), &asked, 65_535, true);
    add(
        0,
        None,
        &frames::udp(other, nobody, b"other"),
        65_535,
        false,
    );
    add(
        0,
        Some(2),
        &frames::tcp(client, server, b"tcp"),
        65_535,
        false,
    );
    add(0, Some(1), &frames::arp(), 65_535, false);
    for fragment in frames::fragments(&asked, 7, 1400) {
        add(0, Some(2), &fragment, 65_535, true);
    }
    let tagged = frames::tagged(&frames::udp(server, client, b"tagged"), &[(0x8100, 5)]);
    add(0, Some(1), &tagged, 65_535, true);
    add(
        0,
        Some(1),
        &frames::udp(server, client, &[2; 900]),
        64,
        true,
    );
    let error = frames::icmp_unreachable(server.ip(), client.ip(), &asked[..42]);
    add(0, Some(1), &error, 65_535, true);
    // Other links, with other clients: a connection is of the interface that it was seen on first.
    for (interface, port) in [(1, 40_001), (2, 40_002), (3, 40_003)] {
        let client = SocketAddr::new(client.ip(), port);
        let there = frames::udp(client, server, b"there")[14..].to_vec();
        let header: &[u8] = match interface {
            2 => &[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0x77, 0x77, 8, 0],
            3 => &[2, 0, 0, 0],
            _ => &[],
        };
        // A cooked header says the direction by itself.
        let direction = (interface == 2).then_some(2);
        add(
            interface,
            direction,
            &[header, &there].concat(),
            65_535,
            true,
        );
    }
    let there = frames::udp(long, address("[2001:db8::9]:9000"), b"six");
    add(0, None, &there, 65_535, true);
    wanted
}

#[test]
#[ignore = "root"]
fn frames_are_written_as_they_were() {
    let folder = TempDir::new("written");
    let mut capture = Capture::new();
    let wanted = several(&mut capture);
    let file = write(&folder, "several.pcapng", &capture);
    let out = folder.path().join("out.pcapng");
    let ended = run(&[
        "-r",
        &file,
        "-j",
        "-w",
        out.to_str().unwrap(),
        "port",
        "9000",
    ]);
    assert_stored(&out, &wanted);
    let number = wanted.len() as u64;
    let frames = &stats(&ended)["frames"];
    assert_eq!(frames["written"], number, "{frames}");
    assert_eq!(
        (&frames["merged"], &frames["unwritten"]),
        (&0.into(), &0.into())
    );
    let all = records(&["-r", &file, "-j", "port", "9000"]);
    assert_eq!(all.len(), 6);
    assert_eq!(records(&["-r", out.to_str().unwrap(), "-j"]), all);

    // Through a pipe: what comes out can go in again.
    let mut first = udptrack(&["-r", "-", "-w", "-", "-q", "port", "9000"])
        .stdin(std::fs::File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let piped = first.stdout.take().unwrap();
    let second = udptrack(&["-r", "-", "-w", "-", "-q"])
        .stdin(piped)
        .output();
    assert!(first.wait().unwrap().success());
    let second = second.unwrap();
    assert_eq!(String::from_utf8_lossy(&second.stderr), "");
    std::fs::write(&out, second.stdout).unwrap();
    assert_stored(&out, &wanted);
}

/// What is chosen by what became of it has its first frames, too; what only later becomes that has them from then on.
#[test]
#[ignore = "root"]
fn connections_are_chosen_as_in_a_run() {
    let folder = TempDir::new("written");
    let mut capture = Capture::on("eth0", ETHERNET);
    let server = address("192.0.2.9:9000");
    let (soon, late, never) = (
        address("192.0.2.1:40000"),
        address("192.0.2.1:40001"),
        address("192.0.2.1:40002"),
    );
    for second in 0..4 {
        for client in [soon, late, never] {
            capture.frame(second * SECOND, &frames::udp(client, server, b"ask"));
        }
        let answered = if second == 0 { soon } else { late };
        let answer = frames::udp(server, answered, b"yes");
        capture.frame(second * SECOND + MILLISECOND, &answer);
    }
    let file = write(&folder, "status.pcapng", &capture);
    let out = folder.path().join("out.pcapng");
    let out_name = out.to_str().unwrap();
    run(&["-r", &file, "-w", out_name, "--status", "replied"]);
    let told: Vec<(u64, usize)> = stored(&out)
        .iter()
        .map(|it| {
            let port = usize::from(u16::from_be_bytes([it.bytes[34], it.bytes[35]]));
            ((it.ns - BEGIN_NS) / MILLISECOND, port)
        })
        .collect();
    // The other one was not answered before the first tick, and is ASSURED after two seconds: at the tick after that it is wanted no more.
    let soon = [0, 1000, 2000, 3000].map(|ms| (ms, 40_000));
    let late = [(1, 9000), (2000, 40_001), (2001, 9000)];
    let mut expected = [&soon[..], &late].concat();
    expected.sort_by_key(|(ms, _)| *ms);
    assert_eq!(told, expected);
}
