//! ICMP errors: what they quote marks a connection, until the end that could not be reached sends again.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use udptrack::bpf::Entry;
use udptrack::model::{Skip, Status};

use crate::common::at_once;
use crate::common::frames::{self, Extension};
use crate::rig::{ETHERNET, IP_INGRESS, Pinned, Rig, XDP, address, udp, with};

/// Where the type of a frame's ICMP message stands.
const TYPE4: usize = 14 + 20;
const TYPE6: usize = 14 + 40;
/// Where the quoted packet begins in a plain frame: at its IP header.
const QUOTED: usize = 14;

/// One error about a packet of `a` to `b`.
struct Case {
    name: &'static str,
    /// Makes the error out of both ends.
    error: fn(SocketAddr, SocketAddr) -> Vec<u8>,
    marks: bool,
}

fn marks(name: &'static str, error: fn(SocketAddr, SocketAddr) -> Vec<u8>) -> Case {
    Case {
        name,
        error,
        marks: true,
    }
}

fn ignored(name: &'static str, error: fn(SocketAddr, SocketAddr) -> Vec<u8>) -> Case {
    Case {
        name,
        error,
        marks: false,
    }
}

/// "Port unreachable" from `b`, quoting `packet` of `a`.
fn quoting(a: SocketAddr, b: SocketAddr, packet: &[u8]) -> Vec<u8> {
    frames::icmp_unreachable(b.ip(), a.ip(), packet)
}

fn port(a: SocketAddr, b: SocketAddr) -> Vec<u8> {
    quoting(a, b, &udp(a, b))
}

fn kind4<const TYPE: u8, const CODE: u8>(a: SocketAddr, b: SocketAddr) -> Vec<u8> {
    with(port(a, b), TYPE4, &[TYPE, CODE])
}

fn kind6<const TYPE: u8, const CODE: u8>(a: SocketAddr, b: SocketAddr) -> Vec<u8> {
    with(port(a, b), TYPE6, &[TYPE, CODE])
}

fn router(v4: bool) -> SocketAddr {
    address(if v4 { "192.0.2.1:0" } else { "[2001:db8::1]:0" })
}

fn both() -> Vec<Case> {
    vec![
        marks("port unreachable", port),
        marks("from a router on the way", |a, b| {
            frames::icmp_unreachable(router(a.is_ipv4()).ip(), a.ip(), &udp(a, b))
        }),
        marks("padded", |a, b| [port(a, b), vec![0; 40]].concat()),
        ignored("to somebody else than who sent that", |a, b| {
            let router = router(a.is_ipv4()).ip();
            frames::icmp_unreachable(b.ip(), router, &udp(a, b))
        }),
        ignored("quoting TCP", |a, b| {
            quoting(a, b, &frames::tcp(a, b, b"x"))
        }),
        ignored("about another port", |a, b| {
            quoting(a, b, &udp(a, SocketAddr::new(b.ip(), b.port() ^ 1)))
        }),
        ignored("about another VLAN", |a, b| {
            frames::tagged(&port(a, b), &[(0x8100, 5)])
        }),
    ]
}

fn ipv4() -> Vec<Case> {
    let mut cases = both();
    cases.extend([
        marks("network unreachable", kind4::<3, 0>),
        marks("host unreachable", kind4::<3, 1>),
        marks("protocol unreachable", kind4::<3, 2>),
        ignored("fragmentation needed", kind4::<3, 4>),
        marks("source route failed", kind4::<3, 5>),
        marks("prohibited", kind4::<3, 13>),
        ignored("source quench", kind4::<4, 0>),
        ignored("redirect", kind4::<5, 1>),
        ignored("echo", kind4::<8, 0>),
        marks("time exceeded", kind4::<11, 0>),
        marks("reassembly time exceeded", kind4::<11, 1>),
        marks("parameter problem", kind4::<12, 0>),
        marks("quoting options", |a, b| {
            quoting(a, b, &frames::ipv4_with_options(a, b, 40, b"x"))
        }),
        marks("quoting 8 bytes of UDP", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 28])
        }),
        ignored("quoting 7 bytes of UDP", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 27])
        }),
        ignored("quoting 19 bytes", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 19])
        }),
        ignored("quoting nothing", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED])
        }),
        ignored("cut in its own header", |a, b| {
            port(a, b)[..TYPE4 + 7].to_vec()
        }),
        ignored("quoting options that are not there", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED, &[0x4f]))
        }),
        ignored("quoting an ihl of 4", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED, &[0x44]))
        }),
        ignored("quoting another version", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED, &[0x65]))
        }),
        marks("quoting a total length of 65535", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED + 2, &[0xff, 0xff]))
        }),
        marks("quoting a head", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED + 6, &[0x20, 0]))
        }),
        ignored("quoting a later fragment", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED + 6, &[0, 1]))
        }),
        marks("itself a head", |a, b| with(port(a, b), 20, &[0x20, 0])),
        ignored("itself a later fragment", |a, b| {
            with(port(a, b), 20, &[0, 1])
        }),
        ignored("UDP that looks like it", |a, b| with(port(a, b), 23, &[47])),
        marks("with options of its own", |a, b| {
            let plain = port(a, b);
            let options = [&[0x46][..], &plain[15..34], &[1; 4]].concat();
            [&plain[..14], &options, &plain[34..]].concat()
        }),
    ]);
    cases
}

fn ipv6() -> Vec<Case> {
    let mut cases = both();
    cases.extend([
        marks("no route", kind6::<1, 0>),
        marks("prohibited", kind6::<1, 1>),
        ignored("packet too big", kind6::<2, 0>),
        marks("hop limit exceeded", kind6::<3, 0>),
        marks("reassembly time exceeded", kind6::<3, 1>),
        marks("parameter problem", kind6::<4, 0>),
        ignored("echo", kind6::<128, 0>),
        ignored("neighbour advertisement", kind6::<136, 0>),
        marks("quoting every extension header", |a, b| {
            let mut all: Vec<_> = [0, 43, 60, 135, 139, 140]
                .map(|header| Extension::options(header, 1))
                .into();
            all.extend([Extension::authentication(1), Extension::atomic(2)]);
            quoting(a, b, &frames::ipv6_with_extensions(a, b, &all, b"x"))
        }),
        ignored("quoting 9 extension headers", |a, b| {
            let all = vec![Extension::options(60, 0); 9];
            quoting(a, b, &frames::ipv6_with_extensions(a, b, &all, b"x"))
        }),
        marks("quoting a head", |a, b| {
            let head = [Extension::fragment(1, 0, true)];
            quoting(a, b, &frames::ipv6_with_extensions(a, b, &head, b"x"))
        }),
        ignored("quoting a later fragment", |a, b| {
            let later = [Extension::fragment(1, 8, true)];
            quoting(a, b, &frames::ipv6_with_extensions(a, b, &later, b"x"))
        }),
        marks("quoting 8 bytes of UDP", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 48])
        }),
        ignored("quoting 7 bytes of UDP", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 47])
        }),
        ignored("quoting 39 bytes", |a, b| {
            quoting(a, b, &udp(a, b)[..QUOTED + 39])
        }),
        ignored("quoting another version", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED, &[0x45]))
        }),
        marks("quoting a payload length of 0", |a, b| {
            quoting(a, b, &with(udp(a, b), QUOTED + 4, &[0, 0]))
        }),
        marks("behind 8 extension headers", |a, b| {
            frames::extended(&port(a, b), &vec![Extension::options(60, 0); 8])
        }),
        marks("behind 1 KiB of options", |a, b| {
            frames::extended(&port(a, b), &[Extension::options(43, 127)])
        }),
        marks("itself a head", |a, b| {
            frames::extended(&port(a, b), &[Extension::fragment(3, 0, true)])
        }),
        ignored("itself a later fragment", |a, b| {
            frames::extended(&port(a, b), &[Extension::fragment(3, 8, false)])
        }),
    ]);
    cases
}

fn status(rig: &Rig, a: SocketAddr, b: SocketAddr) -> Status {
    rig.find(a, b).status
}

/// The frame as the program's links carry it.
fn run(rig: &mut Rig, entry: Entry, frame: &[u8]) -> Result<(), Skip> {
    let start = if matches!(entry, Entry::TcIp(_)) {
        14
    } else {
        0
    };
    rig.run(entry, &frame[start..]).map(|_| ())
}

/// An answered connection, and an error about a packet of `sender`, who may be either end.
fn play(rig: &mut Rig, entry: Entry, case: &Case, ends: [SocketAddr; 2], sender: usize) {
    let [a, b] = ends;
    let (sender, other) = (ends[sender], ends[1 - sender]);
    let what = format!("{}, {entry:?}, {sender} to {other}", case.name);
    run(rig, entry, &udp(a, b)).unwrap();
    run(rig, entry, &udp(b, a)).unwrap();
    let before = rig.find(a, b);
    assert_eq!(before.status, Status::Replied, "{what}");
    let error = (case.error)(sender, other);
    assert_eq!(run(rig, entry, &error), Err(Skip::NotUdp), "{what}");
    let after = rig.find(a, b);
    if !case.marks {
        assert_eq!(after, before, "{what}");
        return;
    }
    assert_eq!(after.status, Status::Unreach, "{what}");
    assert_eq!(after.total(), before.total(), "{what}");
    for _ in 0..3 {
        run(rig, entry, &udp(sender, other)).unwrap();
    }
    assert_eq!(status(rig, a, b), Status::Unreach, "{what}");
    run(rig, entry, &udp(other, sender)).unwrap();
    assert_eq!(status(rig, a, b), Status::Replied, "{what}");
}

fn play_all(cases: &[Case], hosts: [&str; 2]) {
    let mut rig = Rig::new(1024);
    for case in cases {
        let [a, b] = hosts.map(|host| SocketAddr::new(host.parse().unwrap(), 7));
        run(&mut rig, XDP, &(case.error)(a, b)).unwrap_err();
        assert_eq!(rig.scan(), [], "{} opens no connection", case.name);
    }
    let mut port = 1000;
    for entry in ETHERNET.into_iter().chain([IP_INGRESS]) {
        for case in cases {
            // A VLAN needs an Ethernet header.
            if entry == IP_INGRESS && case.name.contains("VLAN") {
                continue;
            }
            // Whoever comes first may be the lower or the higher end.
            for hosts in [hosts, [hosts[1], hosts[0]]] {
                for sender in [0, 1] {
                    port += 2; // an odd one is "another port"
                    let ends = hosts.map(|host| SocketAddr::new(host.parse().unwrap(), port));
                    play(&mut rig, entry, case, ends, sender);
                }
            }
        }
    }
}

#[test]
#[ignore = "root"]
fn icmp() {
    play_all(&ipv4(), ["10.88.0.1", "10.88.0.2"]);
}

#[test]
#[ignore = "root"]
fn icmpv6() {
    play_all(&ipv6(), ["fd88::1", "fd88::2"]);
}

#[test]
#[ignore = "root"]
fn unanswered_and_in_vlans() {
    let mut rig = Rig::new(16);
    let (a, b) = (address("10.88.0.1:4000"), address("10.88.0.2:53"));
    for entry in ETHERNET {
        run(&mut rig, entry, &udp(a, b)).unwrap();
        run(&mut rig, entry, &port(a, b)).unwrap_err();
        assert_eq!(status(&rig, a, b), Status::Unreach);
        // About a packet that nobody has sent: nothing changes, and the sender sends on.
        run(&mut rig, entry, &port(b, a)).unwrap_err();
        run(&mut rig, entry, &udp(a, b)).unwrap();
        assert_eq!(status(&rig, a, b), Status::Unreach);
    }
    // And in VLANs.
    let (a, b) = (address("[fd88::1]:4000"), address("[fd88::2]:53"));
    let tags = [(0x88a8, 100), (0x8100, 7)];
    for entry in ETHERNET {
        for frame in [udp(a, b), udp(b, a)] {
            run(&mut rig, entry, &frames::tagged(&frame, &tags)).unwrap();
        }
        run(&mut rig, entry, &frames::tagged(&port(a, b), &tags)).unwrap_err();
        assert_eq!(status(&rig, a, b), Status::Unreach);
        run(&mut rig, entry, &frames::tagged(&udp(b, a), &tags)).unwrap();
        assert_eq!(status(&rig, a, b), Status::Replied);
    }
}

/// Only a packet that comes after the error does.
#[test]
#[ignore = "root"]
fn packets_before_the_error_do_not_lift_it() {
    let mut rig = Rig::new(16);
    for (a, b) in [
        ("10.88.0.1:4000", "10.88.0.2:53"),
        ("[fd88::1]:4000", "[fd88::2]:53"),
    ] {
        let (mut a, b) = (address(a), address(b));
        for entry in ETHERNET {
            a.set_port(a.port() + 1);
            for frame in [udp(a, b), udp(b, a), udp(b, a), udp(a, b), udp(b, a)] {
                run(&mut rig, entry, &frame).unwrap();
            }
            run(&mut rig, entry, &port(a, b)).unwrap_err();
            assert_eq!(status(&rig, a, b), Status::Unreach, "{entry:?}");
            run(&mut rig, entry, &udp(a, b)).unwrap();
            assert_eq!(status(&rig, a, b), Status::Unreach, "{entry:?}");
        }
    }
}

/// The same where another CPU sees the error.
#[test]
#[ignore = "root"]
fn packets_before_the_error_on_another_cpu_do_not_lift_it() {
    let mut rig = Rig::new(16);
    let (a, b) = (address("10.88.0.1:4000"), address("10.88.0.2:53"));
    for frame in [udp(a, b), udp(b, a), udp(b, a), udp(b, a)] {
        run(&mut rig, XDP, &frame).unwrap();
    }
    // Times of packets are jiffies, up to 10 ms.
    thread::sleep(Duration::from_millis(25));
    {
        let _other = Pinned::to(1);
        run(&mut rig, XDP, &port(a, b)).unwrap_err();
    }
    assert_eq!(status(&rig, a, b), Status::Unreach);
    run(&mut rig, XDP, &udp(b, a)).unwrap();
    assert_eq!(status(&rig, a, b), Status::Replied);
}

/// A stranger's error: the connection goes on, and is what it was.
#[test]
#[ignore = "root"]
fn traffic_that_goes_on_takes_an_error_back() {
    let ends = [
        ("10.88.0.1:4000", "10.88.0.2:7000"),
        ("[fd88::1]:4000", "[fd88::2]:7000"),
    ];
    at_once(ends, |(a, b)| {
        let (a, b) = (address(a), address(b));
        let mut rig = Rig::new(16);
        rig.run(XDP, &udp(a, b)).unwrap();
        assert_eq!(run(&mut rig, XDP, &port(a, b)), Err(Skip::NotUdp));
        rig.run(XDP, &udp(a, b)).unwrap();
        assert_eq!(status(&rig, a, b), Status::Unreach);
        // Longer than an error lasts.
        thread::sleep(Duration::from_secs(3));
        rig.run(XDP, &udp(a, b)).unwrap();
        assert_eq!(status(&rig, a, b), Status::Unreplied);
        // Nobody has sent for a while: an error is not about that.
        thread::sleep(Duration::from_millis(4500));
        assert_eq!(run(&mut rig, XDP, &port(a, b)), Err(Skip::NotUdp));
        assert_eq!(status(&rig, a, b), Status::Unreplied);
        // Nor is it about what the other end has not sent.
        rig.run(XDP, &udp(a, b)).unwrap();
        assert_eq!(run(&mut rig, XDP, &port(b, a)), Err(Skip::NotUdp));
        assert_eq!(status(&rig, a, b), Status::Unreplied);
    });
}
