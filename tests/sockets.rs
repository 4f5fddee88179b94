//! `udptrack sockets` beside the kernel's own list of sockets: what waits, what was dropped, why, and what to do about it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use common::kernel::listed;
use common::netns::{Injector, Netns, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::tmux::Tmux;
use common::{Ip, SOON, both_families_at_once, frames, wait_for};
use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, setsockopt, sockopt::RcvBuf};
use serde_json::Value;

both_families_at_once!(a_receiver_that_stands_still);

/// What a datagram of a test has in it.
const PAYLOAD: &[u8] = b"a line of twenty 20\n";

fn loopback(ip: Ip, port: u16) -> SocketAddr {
    let address = match ip {
        Ip::V4 => "127.0.0.1",
        Ip::V6 => "::1",
    };
    SocketAddr::new(address.parse().unwrap(), port)
}

fn sysctl(name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sys/net/core/{name}")).unwrap();
    text.trim().parse().unwrap()
}

/// Looks at all sockets of a namespace. Returns when the first look is over: what is dropped from now on is new.
fn look(netns: &Netns, arguments: &[&str]) -> Udptrack {
    let always = ["sockets", "-N", netns.name(), "-d", "100ms"];
    // From outside, as an administrator would.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_udptrack"));
    let mut udptrack = Udptrack::spawn_command(command.args(always).args(arguments), usize::MAX);
    udptrack.wait_for_line("anything", |_| true);
    udptrack
}

/// What the records say of the socket at this port, once it is as it should be.
fn record(udptrack: &mut Udptrack, port: u16, fits: impl Fn(&Value) -> bool) -> Value {
    let own = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&record["event_type"], &record["proto"]),
            (&"socket".into(), &"UDP".into())
        );
        record["udptrack"].take()
    };
    let is_meant = |line: &str| {
        let own = own(line);
        own["port"] == port && fits(&own)
    };
    own(&udptrack.wait_for_line("a record that fits", is_meant))
}

/// A socat that takes datagrams and writes what is in them, with a buffer of its own size.
fn socat(netns: &Netns, ip: Ip, port: u16) -> Process {
    let address = match ip {
        Ip::V4 => format!("UDP-RECV:{port},bind=127.0.0.1,rcvbuf=4096"),
        Ip::V6 => format!("UDP6-RECV:{port},bind=[::1],rcvbuf=4096"),
    };
    let mut command = netns.command("socat");
    Process::serve(
        netns,
        command.args(["-u", &address, "-"]),
        &[loopback(ip, port)],
    )
}

/// A program that is stopped, and goes on later: what was sent is what it read and what the kernel dropped.
fn a_receiver_that_stands_still(ip: Ip) {
    let netns = Netns::new("stands");
    let address = loopback(ip, 7000);
    let server = socat(&netns, ip, 7000);
    server.signal(Signal::SIGSTOP);
    let sender = netns.udp(loopback(ip, 0));
    let mut udptrack = look(&netns, &["-j", "--process", "socat"]);
    for _ in 0..100 {
        sender.send_to(PAYLOAD, address).unwrap();
    }
    let stands = |own: &Value| own["advice"].is_string() && own["drops_seen"] != 0;
    let own = record(&mut udptrack, 7000, |own| {
        stands(own) && own["stands_ns"].as_u64().unwrap() >= 900_000_000
    });
    let (queued, drops) = listed(&netns, address);
    assert_eq!(own["queued"], queued, "{own}");
    assert_eq!(
        (&own["drops"], &own["drops_seen"]),
        (&drops.into(), &drops.into())
    );
    let waiting = own["queued_pkts"].as_u64().unwrap();
    assert_eq!(waiting + drops, 100, "{own}");
    assert_eq!(own["burst"], drops);
    assert_eq!(own["cause"], "buffer");
    assert_eq!(
        (&own["receive_buffer"], &own["so_rcvbuf"]),
        (&8192.into(), &true.into())
    );
    assert_eq!(own["datagram_bytes"], queued / waiting);
    assert_eq!(own["process"]["command"], "socat");
    assert_eq!(own["process"]["pid"], server.pid().as_raw());
    assert_eq!(own["ip"], address.ip().to_string());
    let advice = own["advice"].as_str().unwrap();
    assert!(advice.starts_with("socat has read nothing for "), "{own}");

    server.signal(Signal::SIGCONT);
    let own = record(&mut udptrack, 7000, |own| {
        own["queued"] == 0 && own["drops_seen"] != 0
    });
    assert_eq!(own["drops"], drops);
    assert_eq!(
        (&own["stands_ns"], &own["fill_percent"]),
        (&0.into(), &0.into())
    );
    assert_eq!(own["queued_max"], queued);
    wait_for("what it read", SOON, || {
        (server.stdout().len() as u64 == waiting * PAYLOAD.len() as u64).then_some(())
    });
    // Nothing else was shown.
    let finished = udptrack.stop();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for record in finished.records() {
        assert_eq!(record["udptrack"]["process"]["command"], "socat");
    }
}

/// Sends until the kernel has dropped some. Gives how many were sent.
fn overfill(netns: &Netns, receiver: &UdpSocket) -> u64 {
    let address = receiver.local_addr().unwrap();
    let mut sent = 0;
    while listed(netns, address).1 < 50 {
        send(netns, address, 10);
        sent += 10;
    }
    sent
}

fn send(netns: &Netns, to: SocketAddr, datagrams: u64) {
    let sender = netns.udp(SocketAddr::new(to.ip(), 0));
    for _ in 0..datagrams {
        sender.send_to(PAYLOAD, to).unwrap();
    }
}

fn read_all(receiver: &UdpSocket) {
    receiver.set_nonblocking(true).unwrap();
    while receiver.recv(&mut [0; 64]).is_ok() {}
}

/// Twice as much, until a burst of so many fits.
fn doubled(buffer: u64, own: &Value) -> u64 {
    let number = |key: &str| own[key].as_u64().unwrap();
    let needed = buffer + number("burst") * number("datagram_bytes");
    let sizes = std::iter::successors(Some(buffer), |size| Some(size * 2));
    sizes.into_iter().find(|size| *size >= needed).unwrap()
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let chunks: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|chunk| str::from_utf8(chunk).unwrap())
        .collect();
    chunks.join(",")
}

/// Which limit binds a program that asked for a size, and one that did not; and that raising it makes the drops end.
#[test]
#[ignore = "root"]
fn what_is_advised_helps() {
    let netns = Netns::new("advice");
    let (default, max) = (sysctl("rmem_default"), sysctl("rmem_max"));
    let chosen = netns.udp(loopback(Ip::V4, 7001));
    setsockopt(&chosen, RcvBuf, &4096).unwrap();
    let default_one = netns.udp(loopback(Ip::V4, 7002));
    let me = fs::read_to_string("/proc/self/comm").unwrap();
    let me = me.trim_end();
    let mut udptrack = look(&netns, &["-j"]);
    let receivers = [&chosen, &default_one];
    let sent = receivers.map(|receiver| overfill(&netns, receiver));
    for port in [7001, 7002] {
        record(&mut udptrack, port, |own| {
            own["queued"] != 0 && own["drops_seen"] != 0
        });
    }
    receivers.into_iter().for_each(read_all);
    let mut over = |port: u16| {
        record(&mut udptrack, port, |own| {
            own["queued"] == 0 && own["drops_seen"] != 0
        })
    };
    let (one, other) = (over(7001), over(7002));
    assert_eq!(one["drops"], listed(&netns, loopback(Ip::V4, 7001)).1);
    assert_eq!(other["drops"], listed(&netns, loopback(Ip::V4, 7002)).1);
    assert_eq!(
        (
            one["fill_max_percent"].as_u64() >= Some(100),
            &one["fill_percent"]
        ),
        (true, &0.into())
    );

    let needed = doubled(8192, &one) / 2;
    assert_eq!(
        (&one["limit"], &one["limit_value"]),
        (&"SO_RCVBUF".into(), &4096.into())
    );
    assert_eq!(one["limit_needed"], needed);
    assert_eq!(
        one["advice"],
        format!("raise SO_RCVBUF in {me} (4,096) to {}", grouped(needed))
    );
    let needed = doubled(default, &other);
    assert_eq!(
        (&other["limit"], &other["limit_value"]),
        (&"net.core.rmem_default".into(), &default.into())
    );
    assert_eq!(other["limit_needed"], needed);
    let max_too = if max < needed / 2 {
        format!(
            "; raise net.core.rmem_max ({}) to the same value",
            grouped(max)
        )
    } else {
        String::new()
    };
    assert_eq!(
        other["advice"],
        format!(
            "raise net.core.rmem_default ({}) to {} and restart {me}, or set SO_RCVBUF in it to {} (the kernel doubles it){max_too}",
            grouped(default),
            grouped(needed),
            grouped(needed / 2)
        )
    );

    // The same bursts again, with the buffers that it says.
    for (receiver, own, sent) in [(chosen, &one, sent[0]), (default_one, &other, sent[1])] {
        let address = receiver.local_addr().unwrap();
        drop(receiver);
        let size = own["limit_needed"].as_u64().unwrap();
        let asked = if own["so_rcvbuf"] == true {
            size
        } else {
            size / 2
        };
        if asked > max {
            eprintln!("SKIPPED: net.core.rmem_max is {max}: no program may ask for {asked}");
            continue;
        }
        let receiver = netns.udp(address);
        setsockopt(&receiver, RcvBuf, &usize::try_from(asked).unwrap()).unwrap();
        assert_eq!(getsockopt(&receiver, RcvBuf).unwrap() as u64, asked * 2);
        send(&netns, address, sent);
        assert_eq!(listed(&netns, address).1, 0);
    }
    let _ = udptrack.stop();
}

/// What is no matter of a buffer, what nobody holds, and what is connected.
#[test]
#[ignore = "root"]
fn other_sockets() {
    let pair = Pair::new();
    let [from, to] = [&pair.a, &pair.b].map(|netns| netns.addr(Ip::V4, 7003));
    let receiver = pair.b.udp(to);
    // Else a veth takes it that what the other end sent is right.
    let mut ethtool = pair.b.command("ethtool");
    Process::run(ethtool.args(["-K", pair.b.iface(), "rx", "off"]));
    let injector = Injector::new(&pair.a, pair.a.iface());
    let connected = pair.b.udp(loopback(Ip::V6, 7004));
    connected.connect(loopback(Ip::V6, 7005)).unwrap();
    pair.b
        .ip_batch("link add vxlan0 type vxlan id 1 dstport 7006\nlink set vxlan0 up");
    let mut udptrack = look(&pair.b, &["-j"]);
    let mut frame = frames::udp(from, to, &[7; 100]);
    let last = frame.len() - 1;
    frame[last] ^= 1;
    for _ in 0..5 {
        injector.send(&frame);
    }
    // The kernel checks small ones at once, before they are the socket's, and these when it hands them over.
    receiver.set_nonblocking(true).unwrap();
    wait_for("the drops", SOON, || {
        let _ = receiver.recv(&mut [0; 64]);
        (listed(&pair.b, to).1 == 5).then_some(())
    });
    let own = record(&mut udptrack, 7003, |own| own["drops"] == 5);
    assert_eq!(
        (&own["drops_seen"], &own["cause"]),
        (&5.into(), &"checksum".into())
    );
    assert_eq!(
        own["advice"],
        "wrong checksums: find out who sends them. A larger buffer does not help"
    );
    let own = record(&mut udptrack, 7004, |_| true);
    assert_eq!(
        (&own["peer_ip"], &own["peer_port"]),
        (&"::1".into(), &7005.into())
    );
    let own = record(&mut udptrack, 7006, |_| true);
    assert_eq!(own.get("process"), None, "{own}");
    let _ = udptrack.stop();
}

/// A table and CSV, once: all sockets of the namespace and no others.
#[test]
#[ignore = "root"]
fn tables_and_rows() {
    let netns = Netns::new("table");
    let receivers = [7001, 7002].map(|port| netns.udp(loopback(Ip::V4, port)));
    setsockopt(&receivers[1], RcvBuf, &4096).unwrap();
    send(&netns, loopback(Ip::V4, 7002), 100);
    let (queued, drops) = listed(&netns, loopback(Ip::V4, 7002));
    let run = |arguments: &[&str]| {
        let always = ["sockets", "--once=100ms"];
        Udptrack::spawn(&netns, &[&always, arguments].concat()).wait()
    };
    let once = |arguments: &[&str]| run(arguments).success();
    let me = fs::read_to_string("/proc/self/comm").unwrap();
    let me = format!("{}/{}", me.trim_end(), std::process::id());
    let finished = once(&["-n"]);
    let words: Vec<Vec<&str>> = finished
        .stdout
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [header, worst, other, sums] = &words[..] else {
        panic!("{finished:?}");
    };
    assert_eq!(
        header.join(" "),
        "PROCESS ADDRESS BUFFER NOW MOST DROPS/S NEW DROPS ALL DROPS"
    );
    let fill = format!("{}%", queued * 100 / 8192);
    let drops = drops.to_string();
    assert_eq!(
        worst[..],
        [
            &me,
            "127.0.0.1:7002",
            "8,192",
            &fill,
            &fill,
            "0",
            "0",
            &drops
        ]
    );
    let default = grouped(sysctl("rmem_default"));
    assert_eq!(
        other[..],
        [&me, "127.0.0.1:7001", &default, "0%", "0%", "0", "0", "0"]
    );
    assert!(
        sums.join(" ").starts_with("2 sockets: 0 drops in "),
        "{sums:?}"
    );
    assert_eq!(sums[sums.len() - 2..], [&drops, "before"]);

    let finished = once(&["-o", "csv", "--top", "1"]);
    let [names, values] = [0, 1].map(|line| {
        let line: Vec<&str> = finished.stdout[line].split(',').collect();
        line
    });
    assert_eq!(finished.stdout.len(), 2);
    let value = |name: &str| values[names.iter().position(|one| *one == name).unwrap()];
    assert_eq!(
        (value("port"), value("drops"), value("event_type")),
        ("7002", &*drops, "socket")
    );
    assert_eq!(value("pid"), std::process::id().to_string());

    // Without rights it says what it takes.
    let mut command = netns.command("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_udptrack"),
        "sockets",
    ]);
    let refused = Udptrack::spawn_command(&mut command, usize::MAX).wait();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.starts_with(
            "udptrack: cannot read the buffers of sockets: not permitted. Run udptrack as root"
        ),
        "{refused:?}"
    );

    // Nothing is left of it, and nothing of the machine's own sockets was in it.
    let nobody = run(&["--process", "nosuch"]).failure(1);
    assert_eq!(nobody.stdout, [""; 0]);
    let said = "udptrack: nothing fits \"process nosuch\" (";
    assert!(nobody.stderr.starts_with(said), "{nobody:?}");
    let checked = once(&["--process", "nosuch", "--check"]);
    assert_eq!(checked.stdout, ["No UDP sockets that fit now."]);
}

/// The live view says it, too: which program, and in its details all that there is to do.
#[test]
#[ignore = "root"]
fn the_live_view_has_a_tab_for_them() {
    let netns = Netns::new("view");
    let server = socat(&netns, Ip::V4, 7000);
    server.signal(Signal::SIGSTOP);
    let mut command = netns.command(env!("CARGO_BIN_EXE_udptrack"));
    let tmux = Tmux::start(command.args(["-i", "lo", "--color", "never"]), (120, 30));
    tmux.wait_for(&["7 Sockets", "No UDP connections now."]);
    tmux.keys(&["7"]);
    let process = format!("socat/{}", server.pid());
    tmux.wait_for(&[&process, "127.0.0.1:7000"]);
    send(&netns, loopback(Ip::V4, 7000), 100);
    let (queued, drops) = listed(&netns, loopback(Ip::V4, 7000));
    let drops = format!("{drops} since this view was opened, {drops} since the socket was opened");
    tmux.keys(&["Enter"]);
    tmux.wait_for(&[
        &drops,
        &format!("{} bytes in ", grouped(queued)),
        "socat has read nothing for ",
    ]);
    tmux.keys(&["C-c"]);
    tmux.wait_for_end(0);
}
