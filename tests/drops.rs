//! What the kernel drops behind the hooks: by reason, interface, direction and connection, equal to the kernel's own counters.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBuf, UdpGroSegment};
use serde_json::Value;

use common::finished::Finished;
use common::frames;
use common::kernel::{is_at_least, listed, stack};
use common::netns::{Injector, Netns, Pair};
use common::receivers::Receiver;
use common::run::Udptrack;
use common::traffic::{connection, send_segmented};
use common::witness::{Connection, Count};
use common::{Ip, SOON, wait_for};

const BOTH: [Ip; 2] = [Ip::V4, Ip::V6];

/// What was dropped: by reason, with its class, and of that what belongs to no connection.
type Dropped = BTreeMap<String, (String, Count, Count)>;

fn counts(value: &Value) -> Count {
    let number = |key: &str| value[key].as_u64().expect("a number");
    Count {
        packets: number("pkts"),
        bytes: number("bytes"),
    }
}

/// The last books of a run: in all, and behind one hook.
fn dropped(finished: &Finished, direction: Option<&str>) -> Dropped {
    let records = finished.records();
    let stats = records
        .iter()
        .rfind(|record| record["event_type"] == "stats")
        .expect("books");
    let own = &stats["udptrack"];
    let hooks = own["interfaces"].as_array().expect("hooks");
    let dropped = match direction {
        Some(direction) => {
            let mut hooks = hooks.iter();
            &hooks
                .find(|hook| hook["direction"] == direction)
                .expect("a hook")["dropped"]
        }
        None => &own["dropped"],
    };
    let reasons = dropped.as_object().expect("by reason").iter();
    reasons
        .map(|(reason, value)| {
            let class = value["class"].as_str().expect("a class").to_owned();
            let apart = counts(&value["no_connection"]);
            (reason.clone(), (class, counts(value), apart))
        })
        .collect()
}

/// What each connection has lost, by class.
fn losses(finished: &Finished) -> BTreeMap<Connection, BTreeMap<String, Count>> {
    let records = finished.records();
    let flows = records
        .iter()
        .filter(|record| record["event_type"] == "flow");
    let lost = flows.filter(|record| !record["udptrack"]["dropped"].is_null());
    lost.map(|record| {
        let end = |ip: &str, port: &str| {
            let address: IpAddr = record[ip].as_str().unwrap().parse().unwrap();
            SocketAddr::new(address, record[port].as_u64().unwrap().try_into().unwrap())
        };
        let classes = record["udptrack"]["dropped"].as_object().unwrap().iter();
        let classes = classes.map(|(class, value)| (class.clone(), counts(value)));
        (
            connection(end("src_ip", "src_port"), end("dest_ip", "dest_port")),
            classes.collect(),
        )
    })
    .collect()
}

/// Frames with so many bytes of payload.
fn frames_of(ip: Ip, packets: u64, payload: u64) -> Count {
    let headers = match ip {
        Ip::V4 => 14 + 20 + 8,
        Ip::V6 => 14 + 40 + 8,
    };
    Count {
        packets,
        bytes: packets * (headers + payload),
    }
}

/// A receiver with as little room as the kernel gives.
fn small(netns: &Netns, address: SocketAddr) -> UdpSocket {
    let socket = netns.udp(address);
    setsockopt(&socket, RcvBuf, &4096).expect("a buffer");
    socket.set_nonblocking(true).unwrap();
    socket
}

/// How many datagrams, and bytes, lie in a socket.
fn read_all(socket: &UdpSocket) -> (u64, u64) {
    let (mut datagrams, mut bytes) = (0, 0);
    let mut buffer = vec![0; 65_536];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                datagrams += 1;
                bytes += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (datagrams, bytes),
            Err(error) => panic!("{error}"),
        }
    }
}

fn run(netns: &Netns) -> Udptrack {
    Udptrack::start(netns, &["-i", netns.iface(), "-n", "-o", "json"])
}

/// A command of nftables inside the namespace; what it said.
fn nft(netns: &Netns, commands: &str) -> String {
    output(netns.command("nft").arg(commands))
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A reason of the newest kernel, and its class.
type Why = (&'static str, &'static str);

const BUFFER: Why = ("socket_rcvbuff", "socket-buffer");
const CLOSED: Why = ("no_socket", "no-socket");
const CHECKSUM: Why = ("udp_csum", "checksum");
const FILTER: Why = ("netfilter_drop", "firewall");
const WAITED: Why = ("frag_reasm_timeout", "fragments");
const WAY_BACK: Why = ("ip_rpfilter", "routing");

/// Whether this kernel says why it drops.
fn tells_reasons() -> bool {
    is_at_least(5, 17)
}

/// What this kernel tells in place of that: docs/limits.md has the same list.
fn told(why: Why, ip: Ip) -> Option<Why> {
    if !tells_reasons() {
        return (why == BUFFER && ip == Ip::V4).then_some(why);
    }
    match why {
        CHECKSUM => is_at_least(6, 15).then_some(why),
        WAITED if !is_at_least(6, 2) => Some(("not_specified", "other")),
        _ => Some(why),
    }
}

/// What is to be found.
#[derive(Default)]
struct Expected {
    /// What was dropped.
    packets: BTreeMap<&'static str, u64>,
    /// What this kernel tells of it.
    reasons: BTreeMap<&'static str, (&'static str, Count)>,
    connections: BTreeMap<Connection, BTreeMap<String, Count>>,
}

impl Expected {
    fn lost(&mut self, whose: Connection, why: Why, count: Count) {
        *self.packets.entry(why.0).or_default() += count.packets;
        let ip = if whose.source.is_ipv4() {
            Ip::V4
        } else {
            Ip::V6
        };
        let Some((reason, class)) = told(why, ip) else {
            return;
        };
        let sum = self.reasons.entry(reason).or_default();
        sum.0 = class;
        sum.1 += count;
        let its = self.connections.entry(whose).or_default();
        *its.entry(class.to_owned()).or_default() += count;
    }

    /// The books' line says them.
    fn words(&self) -> Option<String> {
        let classes = self.reasons.values();
        let classes = classes.map(|(class, count)| (*class, count.packets));
        let mut classes: Vec<_> = classes.collect();
        let order = ["socket-buffer", "no-socket", "checksum", "firewall"];
        classes.sort_by_key(|(class, _)| order.iter().position(|it| it == class));
        let words = classes.iter();
        let words = words.map(|(class, packets)| format!("{} {packets}", class.replace('-', " ")));
        let words: Vec<_> = words.collect();
        let total: u64 = classes.iter().map(|(_, packets)| packets).sum();
        (total > 0).then(|| format!("dropped here {total} ({})", words.join(", ")))
    }

    /// Compares it with what a run found behind one hook, and not behind the other one.
    fn assert(&self, finished: &Finished, direction: &str) {
        finished.assert_books();
        let none = Count::default();
        let reasons = self.reasons.iter();
        let reasons: Dropped = reasons
            .map(|(reason, (class, count))| {
                ((*reason).to_owned(), ((*class).to_owned(), *count, none))
            })
            .collect();
        let other = ["ingress", "egress"]
            .into_iter()
            .find(|it| *it != direction);
        assert_eq!(dropped(finished, Some(direction)), reasons);
        assert_eq!(dropped(finished, other), Dropped::new());
        assert_eq!(dropped(finished, None), reasons);
        assert_eq!(losses(finished), self.connections);
    }
}

const PAYLOAD: usize = 100;

/// Sends from a port of `a` to a port of `b`; gives whose that is.
fn send(pair: &Pair, ip: Ip, (from, to): (u16, u16), packets: u64) -> Connection {
    let (from, to) = (pair.a.addr(ip, from), pair.b.addr(ip, to));
    let socket = pair.a.udp(from);
    for _ in 0..packets {
        socket.send_to(&[7; PAYLOAD], to).expect("sent");
    }
    connection(from, to)
}

fn of(ip: Ip, packets: u64) -> Count {
    frames_of(ip, packets, PAYLOAD as u64)
}

/// A socket that nobody reads from, a port that nobody has, checksums that are wrong, and a packet filter.
#[test]
#[ignore = "root"]
fn each_reason_has_the_kernels_own_count() {
    const SENT: u64 = 300;
    let pair = Pair::new();
    nft(
        &pair.b,
        "add table inet f; add chain inet f i { type filter hook input priority 0; }; \
         add rule inet f i udp dport 4003 counter drop",
    );
    let udptrack = run(&pair.b);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let kernel = |name| stack(&pair.b, "Udp", name);
    let mut expected = Expected::default();
    for ip in BOTH {
        let receiver = small(&pair.b, pair.b.addr(ip, 4000));
        let before = kernel("RcvbufErrors");
        let its = send(&pair, ip, (5000, 4000), SENT);
        let mut read = 0;
        wait_for("all of them", SOON, || {
            read += read_all(&receiver).0;
            (read + kernel("RcvbufErrors") - before == SENT).then_some(())
        });
        assert!(read < SENT, "nothing was dropped");
        expected.lost(its, BUFFER, of(ip, SENT - read));

        let its = send(&pair, ip, (5001, 4001), 40);
        expected.lost(its, CLOSED, of(ip, 40));

        let receiver = small(&pair.b, pair.b.addr(ip, 4002));
        let (from, to) = (pair.a.addr(ip, 5002), pair.b.addr(ip, 4002));
        let mut frame = frames::udp(from, to, &[7; PAYLOAD]);
        let last = frame.len() - 1;
        frame[last] ^= 1;
        (0..5).for_each(|_| injector.send(&frame));
        expected.lost(connection(from, to), CHECKSUM, of(ip, 5));
        // Found wrong when it is read.
        wait_for("wrong checksums", SOON, || {
            assert_eq!(read_all(&receiver), (0, 0));
            (kernel("InCsumErrors") == expected.packets["udp_csum"]).then_some(())
        });

        let its = send(&pair, ip, (5003, 4003), 20);
        expected.lost(its, FILTER, of(ip, 20));
    }
    let finished = udptrack.stop().success();
    expected.assert(&finished, "ingress");
    let [buffer, wrong] = ["socket_rcvbuff", "udp_csum"].map(|reason| expected.packets[reason]);
    assert_eq!(kernel("RcvbufErrors"), buffer);
    assert_eq!(kernel("NoPorts"), expected.packets["no_socket"]);
    assert_eq!(kernel("InCsumErrors"), wrong);
    assert_eq!(kernel("InErrors"), buffer + wrong);
    let filtered = of(Ip::V4, 20).bytes + of(Ip::V6, 20).bytes - 14 * 40;
    let counter = format!("counter packets 40 bytes {filtered} drop");
    let rules = nft(&pair.b, "list table inet f");
    assert!(rules.contains(&counter), "{rules}, not {counter}");
    let words = expected.words().expect("something was dropped");
    assert!(finished.stderr.contains(&words), "{}", finished.stderr);
}

/// What is dropped behind the hook of one direction, by class.
fn by_class(finished: &Finished, direction: &str) -> BTreeMap<String, Count> {
    let mut classes: BTreeMap<String, Count> = BTreeMap::new();
    for (class, count, apart) in dropped(finished, Some(direction)).into_values() {
        assert_eq!(apart, Count::default());
        *classes.entry(class).or_default() += count;
    }
    classes
}

/// What has waited too long for the rest, and what comes from where the way back does not lead.
#[test]
#[ignore = "root"]
fn fragments_and_the_way_back() {
    let pair = Pair::new();
    let iface = pair.b.iface();
    pair.b.enter(|| {
        let set = |name: &str| fs::write(format!("/proc/sys/net/{name}"), "1").expect("a setting");
        set("ipv4/ipfrag_time");
        set("ipv6/ip6frag_time");
        set(&format!("ipv4/conf/{iface}/rp_filter"));
    });
    let udptrack = run(&pair.b);
    let injector = Injector::new(&pair.a, pair.a.iface());
    let mut expected = Expected::default();
    for ip in BOTH {
        let (from, to) = (pair.a.addr(ip, 5000), pair.b.addr(ip, 4000));
        let frame = frames::udp(from, to, &[7; 400]);
        let mut parts = frames::fragments(&frame, 77, 104);
        parts.pop();
        for (index, part) in parts.iter().enumerate() {
            injector.send(part);
            // The second has lost its device by then, and no reason says why it is let go.
            if index == 1 && !is_at_least(6, 2) {
                continue;
            }
            let count = Count {
                packets: 1,
                bytes: part.len() as u64,
            };
            expected.lost(connection(from, to), WAITED, count);
        }
    }
    let stranger = SocketAddr::new("198.51.100.7".parse().unwrap(), 5001);
    let to = pair.b.addr(Ip::V4, 4001);
    let mut frame = frames::udp(pair.a.addr(Ip::V4, 5001), to, &[7; PAYLOAD]);
    let (IpAddr::V4(address), header) = (stranger.ip(), &mut frame[14..34]) else {
        unreachable!()
    };
    header[12..16].copy_from_slice(&address.octets());
    frames::write_ipv4_checksum(header);
    (0..7).for_each(|_| injector.send(&frame));
    expected.lost(connection(stranger, to), WAY_BACK, of(Ip::V4, 7));
    wait_for("both to be given up", SOON, || {
        (stack(&pair.b, "Ip", "ReasmFails") >= 2).then_some(())
    });
    let finished = udptrack.stop().success();
    expected.assert(&finished, "ingress");
    assert_eq!(stack(&pair.b, "TcpExt", "IPReversePathFilter"), 7);
}

/// The queue of an interface that sends less than it is given: also packets that it cuts into segments first.
#[test]
#[ignore = "root"]
fn what_a_queue_drops_on_the_way_out() {
    const LARGE: usize = 1000;
    // As docs/limits.md has it.
    let of_segments = if is_at_least(7, 3) { "other" } else { "queue" };
    let pair = Pair::new();
    let iface = pair.b.iface();
    let tc = |words: &str| {
        let words = words.replace("IFACE", iface);
        output(pair.b.command("tc").args(words.split(' ')))
    };
    tc("qdisc add dev IFACE root tbf rate 1mbit burst 2000 limit 4000");
    let udptrack = run(&pair.b);
    let mut sent = Count::default();
    for ip in BOTH {
        let to = pair.a.addr(ip, 4000);
        let single = pair.b.udp(pair.b.addr(ip, 5000));
        for _ in 0..50 {
            single.send_to(&[7; LARGE], to).expect("sent");
        }
        let merged = pair.b.udp(pair.b.addr(ip, 5001));
        for _ in 0..5 {
            send_segmented(&merged, to, 10 * LARGE, LARGE);
        }
        sent += frames_of(ip, 100, LARGE as u64);
    }
    let finished = udptrack.stop().success();
    let stats = finished.assert_books();
    assert_eq!(stats.tracked, sent);
    let said = tc("-s qdisc show dev IFACE");
    let (_, after) = said.split_once("dropped ").expect("a counter");
    let drops: u64 = after.split(',').next().unwrap().parse().expect("a number");
    let classes = by_class(&finished, "egress");
    if !tells_reasons() {
        assert_eq!(classes, BTreeMap::new());
        assert_eq!(losses(&finished), BTreeMap::new());
        return;
    }
    let count = classes.values().copied().sum::<Count>();
    assert_eq!(
        count.packets,
        drops,
        "{said}{classes:?} {:?}",
        losses(&finished)
    );
    let left = format!("of 200 packets sent, {} left", 200 - drops);
    assert!(finished.stderr.contains(&left), "{}", finished.stderr);
    let mut connections = BTreeMap::new();
    for (whose, lost) in losses(&finished) {
        let is_merged = whose.source.port() == 5001 || whose.destination.port() == 5001;
        let class = if is_merged { of_segments } else { "queue" };
        assert_eq!(lost.keys().collect::<Vec<_>>(), [class], "{said}");
        *connections.entry(class.to_owned()).or_default() += lost[class];
    }
    assert_eq!(connections, classes);
    assert_eq!(by_class(&finished, "ingress"), BTreeMap::new());
}

/// Segments that the kernel has not cut apart: each is a datagram, whether the socket takes them one by one or merged. What one connection
/// has lost is not the next one's.
#[test]
#[ignore = "root"]
fn merged_packets_are_as_many_datagrams() {
    const SEGMENT: usize = 500;
    const EACH: usize = 20;
    let pair = Pair::new();
    let flags = ["-n", "-o", "json", "--udp-timeout", "1s"];
    let mut udptrack = Udptrack::start(&pair.b, &[&["-i", pair.b.iface()], &flags[..]].concat());
    let kernel = || stack(&pair.b, "Udp", "RcvbufErrors");
    let mut expected = Expected::default();
    let mut receivers = Vec::new();
    for (ip, merges) in [
        (Ip::V4, false),
        (Ip::V6, false),
        (Ip::V4, true),
        (Ip::V6, true),
    ] {
        let port = 4000 + u16::from(merges);
        let (from, to) = (pair.a.addr(ip, port), pair.b.addr(ip, port));
        let receiver = small(&pair.b, to);
        setsockopt(&receiver, UdpGroSegment, &merges).expect("UDP_GRO");
        let sender = pair.a.udp(from);
        let before = kernel();
        for _ in 0..30 {
            send_segmented(&sender, to, SEGMENT * EACH, SEGMENT);
        }
        // Before 5.11 veth has them cut apart.
        let is_merged = merges && is_at_least(5, 11);
        let weight = if is_merged { EACH as u64 } else { 1 };
        let mut read = 0;
        wait_for("all of them", SOON, || {
            read += read_all(&receiver).1 / SEGMENT as u64;
            (read + (kernel() - before) * weight == 30 * EACH as u64).then_some(())
        });
        let count = frames_of(ip, 30 * EACH as u64 - read, SEGMENT as u64);
        expected.lost(connection(from, to), BUFFER, count);
        receivers.push((sender, to, receiver));
    }
    let is_end = |line: &str| line.contains("\"event\":\"end\"");
    udptrack.wait_for_lines("the ends", receivers.len(), is_end);
    for (sender, to, receiver) in &receivers {
        sender.send_to(&[7; PAYLOAD], to).expect("sent");
        wait_for("a datagram", SOON, || {
            (read_all(receiver).0 == 1).then_some(())
        });
    }
    udptrack.wait_for_lines("the ends", 2 * receivers.len(), is_end);
    let finished = udptrack.stop().success();
    assert_eq!(finished.flows().len(), 2 * receivers.len());
    expected.assert(&finished, "ingress");
}

/// The socket's losses in metrics, by reason and by process, and in an alert.
#[test]
#[ignore = "root"]
fn metrics_and_alerts_have_them() {
    const SENT: u64 = 300;
    let pair = Pair::new();
    let listen = pair.b.addr(Ip::V4, 9435).to_string();
    let flags = ["-n", "-o", "json", "--alert", "drops > 0 by process"];
    let where_to = ["-i", pair.b.iface(), "--metrics", &listen];
    let mut udptrack = Udptrack::start(&pair.b, &[&where_to[..], &flags].concat());
    let receiver = small(&pair.b, pair.b.addr(Ip::V4, 4000));
    let _ = send(&pair, Ip::V4, (5000, 4000), SENT);
    let mut read = 0;
    let dropped = wait_for("all of them", SOON, || {
        read += read_all(&receiver).0;
        let dropped = stack(&pair.b, "Udp", "RcvbufErrors");
        (read + dropped == SENT).then_some(dropped)
    });
    let alert = udptrack.wait_for_line("an alert", |line| line.contains("\"alert\""));
    let alert: Value = serde_json::from_str(&alert).expect("JSON");
    let own = fs::read_to_string("/proc/self/comm").expect("a name");
    let own = own.trim();
    assert_eq!(alert["udptrack"]["measure"], "drops");
    assert_eq!(alert["udptrack"]["group"], own);
    let expected = [
        format!(
            "udptrack_dropped_datagrams_total{{interface=\"{}\",direction=\"ingress\",reason=\"socket_rcvbuff\",\
             class=\"socket-buffer\"}} {dropped}",
            pair.b.iface()
        ),
        "udptrack_process_dropped_datagrams_total{process=\"other\"} 0".to_owned(),
        format!("udptrack_process_dropped_datagrams_total{{process=\"{own}\"}} {dropped}"),
    ];
    let url = format!("http://{listen}/metrics");
    let lines = wait_for("the metrics", SOON, || {
        let page = output(pair.b.command("curl").args(["-sf", "-m", "5", &url]));
        let lines = page.lines().map(str::to_owned);
        let lines = lines.filter(|line| line.contains("dropped_datagrams_total{"));
        let lines: BTreeSet<String> = lines.collect();
        lines.contains(&expected[0]).then_some(lines)
    });
    assert_eq!(lines, BTreeSet::from(expected));
    udptrack.stop().success().assert_books();
}

/// A receiver that is too slow, as an operator finds it: a state, how much, and why. That it is over when there is room again is for the
/// tests of states.
#[test]
#[ignore = "root"]
fn who_loses_stands_among_the_servers() {
    const SENT: u64 = 200;
    let pair = Pair::new();
    let flags = ["-i", pair.b.iface(), "-n", "--by", "server"];
    let start = |more: &[&str]| Udptrack::start(&pair.b, &[&flags[..], more].concat());
    let table = ["-o", "table", "--sort", "dropped"];
    let (mut json, mut table, mut csv) = (start(&["-j"]), start(&table), start(&["-o", "csv"]));
    let receiver = small(&pair.b, pair.b.addr(Ip::V4, 8125));
    send(&pair, Ip::V4, (5000, 8125), SENT);
    send(&pair, Ip::V4, (5001, 8126), 3);
    let mut read = 0;
    let lost = || stack(&pair.b, "Udp", "RcvbufErrors");
    wait_for("all of them", SOON, || {
        read += read_all(&receiver).0;
        (read + lost() == SENT).then_some(())
    });
    let lost = lost();
    let pkts = format!("\"dropped\":{{\"socket-buffer\":{{\"pkts\":{lost},");
    json.wait_for_lines("the server", 1, |line| line.contains(&pkts));
    let is_server = |line: &str| line.starts_with("DROPS") && line.contains(&format!(" {lost} "));
    table.wait_for_lines("the server", 1, is_server);
    let cells = format!(",{lost},,,,,,,,,");
    csv.wait_for_lines("the server", 1, |line| line.contains(&cells));
    let [json, table, _] = [json, table, csv].map(|run| run.stop().success());
    let records = json.records();
    let is_server = |record: &&Value| record["udptrack"]["port"] == 8125;
    let server = &records.iter().rfind(is_server).expect("the server")["udptrack"];
    assert_eq!(server["state"], "drops");
    assert_eq!(server["pkts_in"], SENT);
    let is_head = |line: &&String| line.starts_with("STATE ") && line.contains(" LOST HERE ");
    assert!(table.stdout.iter().any(|line| is_head(&line)));
    let words = format!("dropped here {lost} (socket buffer {lost})");
    assert!(table.stderr.contains(&words), "{}", table.stderr);
}

/// `udptrack drops` says whose they were, and what belongs to no connection.
#[test]
#[ignore = "root"]
fn a_table_says_whose_they_were() {
    const SENT: u64 = 300;
    let pair = Pair::new();
    let start = |flags: &[&str]| {
        let own = ["drops", "-i", pair.b.iface(), "-n"];
        // Closed ports of all but the receiver's connections are filtered: they belong to none.
        Udptrack::start(&pair.b, &[&own[..], flags, &["port", "4000"]].concat())
    };
    let mut table = start(&["-o", "table", "-d", "1s", "--check"]);
    let mut json = start(&["-o", "json", "-d", "1s"]);
    let to = pair.b.addr(Ip::V4, 4000);
    let receiver = small(&pair.b, to);
    let _ = send(&pair, Ip::V4, (5000, 4000), SENT);
    let _ = send(&pair, Ip::V4, (5001, 4001), 40);
    let mut read = 0;
    let dropped = wait_for("all of them", SOON, || {
        read += read_all(&receiver).0;
        let dropped = stack(&pair.b, "Udp", "RcvbufErrors");
        (read + dropped == SENT).then_some(dropped)
    });
    let own = fs::read_to_string("/proc/self/comm").expect("a name");
    let (own, bytes) = (own.trim(), of(Ip::V4, dropped).bytes);
    let pkts = format!("\"pkts\":{dropped},\"bytes\":{bytes},");
    let row = json.wait_for_line("the row", |line| line.contains(&pkts));
    let row: Value = serde_json::from_str(&row).expect("JSON");
    assert_eq!(row["dest_ip"], to.ip().to_string());
    assert_eq!(row["dest_port"], to.port());
    assert_eq!(row["udptrack"]["class"], "socket-buffer");
    assert_eq!(row["udptrack"]["program"], own);
    let reasons = if tells_reasons() {
        let apart = format!("\"pkts\":40,\"bytes\":{},", of(Ip::V4, 40).bytes);
        let row = json.wait_for_line("the other row", |line| line.contains(&apart));
        let row: Value = serde_json::from_str(&row).expect("JSON");
        assert_eq!(row["udptrack"]["class"], "no-socket");
        assert_eq!(row.get("dest_ip"), None);
        let all = dropped + 40;
        format!("dropped {all} by the kernel's reasons: socket_rcvbuff {dropped}, no_socket 40")
    } else {
        format!("dropped {dropped} by the kernel's reasons: socket_rcvbuff {dropped}")
    };
    table.wait_for_line("the reasons", |line| line == reasons);
    let words = format!("socket buffer  {own}");
    table.wait_for_line("the row", |line| {
        line.starts_with(&words) && line.contains(&format!("{to}  "))
    });
    let _ = json.stop().success();
    assert_eq!(table.stop().code, Some(3));
}

/// What `udptrack sockets` says that the socket at this address has dropped, and whose it is.
fn of_socket(netns: &Netns, address: SocketAddr) -> (u64, String) {
    let udptrack = Udptrack::spawn(netns, &["sockets", "-j", "--once=100ms"]);
    let finished = udptrack.wait().success();
    let records = finished.records();
    let mut sockets = records.iter().map(|record| &record["udptrack"]);
    let is_meant =
        |own: &&Value| own["ip"] == address.ip().to_string() && own["port"] == address.port();
    let own = sockets.find(is_meant).expect("the socket");
    let command = own["process"]["command"].as_str().expect("a process");
    (own["drops"].as_u64().unwrap(), command.to_owned())
}

/// Servers as people run them, stopped while datagrams come: what each wrote and what the kernel dropped is what was sent, and the flow,
/// the reasons, the list of sockets and the kernel say the same of it. While they are stopped, an alert and a gauge name them.
#[test]
#[ignore = "root"]
fn real_servers_that_are_stopped() {
    const SENT: u16 = 300;
    let pair = Pair::new();
    let servers = [
        Receiver::rsyslogd(&pair.b, pair.b.addr(Ip::V4, 514)),
        Receiver::gstreamer(&pair.b, pair.b.addr(Ip::V4, 5004)),
    ];
    let listen = pair.b.addr(Ip::V4, 9435).to_string();
    let flags = ["-n", "-o", "json", "-p", "--metrics", &listen];
    let rule = ["--alert", "buffer > 80% by process", "-i", pair.b.iface()];
    let mut udptrack = Udptrack::start(&pair.b, &[&flags[..], &rule].concat());
    let kernel = || stack(&pair.b, "Udp", "RcvbufErrors");
    let mut expected = Expected::default();
    for server in &servers {
        let before = kernel();
        let from = pair.a.addr(Ip::V4, server.address.port() + 1000);
        let sender = pair.a.udp(from);
        server.signal(Signal::SIGSTOP);
        for number in 0..SENT {
            let datagram = server.datagram(number);
            sender.send_to(&datagram, server.address).expect("sent");
        }
        assert_eq!(server.read(), 0);
        let group = format!("\"group\":\"{}\"", server.name);
        let is_its = |line: &str| line.contains("\"alert\"") && line.contains(&group);
        udptrack.wait_for_line("an alert", is_its);
        // Dropped for want of room is full, whatever is left of it.
        let (queued, _) = listed(&pair.b, server.address);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let fill = (queued as f64 / 8192.0).max(1.0);
        let gauge = format!(
            "udptrack_socket_buffer_fill_ratio{{process=\"{}\",address=\"{}\"}} {fill}",
            server.name, server.address
        );
        let url = format!("http://{listen}/metrics");
        wait_for(&gauge, SOON, || {
            let page = output(pair.b.command("curl").args(["-sf", "-m", "5", &url]));
            page.lines().any(|line| line == gauge).then_some(())
        });
        server.signal(Signal::SIGCONT);
        let dropped = wait_for("all of them", SOON, || {
            let dropped = kernel() - before;
            (server.read() + dropped == u64::from(SENT)).then_some(dropped)
        });
        assert!(dropped > 0 && server.read() > 0, "{}", server.name);
        let its = of_socket(&pair.b, server.address);
        assert_eq!(its, (dropped, server.name.to_owned()));
        expected.lost(
            connection(from, server.address),
            BUFFER,
            frames_of(Ip::V4, dropped, server.datagram(0).len() as u64),
        );
    }
    let finished = udptrack.stop().success();
    expected.assert(&finished, "ingress");
    assert_eq!(kernel(), expected.packets["socket_rcvbuff"]);
    let records = finished.records();
    for server in &servers {
        let mut records = records.iter();
        let is_its = |record: &&Value| {
            record["event_type"] == "flow" && record["dest_port"] == server.address.port()
        };
        let flow = records.find(is_its).expect("its flow");
        let process = &flow["udptrack"]["process"]["responder"];
        assert_eq!(process["command"], server.name);
        assert_eq!(process["pid"], server.pid());
    }
}
