//! Which interface sees what: two runs on one, other people's programs on one, several in one run, and one that goes
//! away.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use common::bpffs::{Bpffs, UDPTRACK};
use common::finished::Flow;
use common::kernel::{assert_bare, foreign_program, links, tc, xdp_program};
use common::netns::{Injector, Netns, Pair, connect};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::traffic::{Talk, connection, count, receive_bytes, segments, send_segmented, volume};
use common::witness::Count;
use common::{Ip, SOON, TempDir, both_families_at_once, frames, wait_for};
use serde_json::Value;

both_families_at_once!(
    router
    any_interface
    loopback
    without_egress
    removed
    tunnel
    uplinks
    a_tap_with_a_card_for_each_direction
    links_with_equal_addresses
);

const TAKEN: &str = "it has an XDP program already, which udptrack leaves alone; TC, after it, sees received packets";

fn talk(pair: &Pair, ip: Ip, link: usize) -> Talk {
    let address = |netns: &Netns, port| SocketAddr::new(netns.ports[link].ip(ip), port);
    Talk::new(
        pair.a.udp(address(&pair.a, 45_000)),
        pair.b.udp(address(&pair.b, 4000)),
    )
}

/// The first asks for XDP, the second takes TC and says why, a third that wants XDP alone fails, and each is exact.
#[test]
#[ignore = "root"]
fn two_runs_on_one_interface() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let first = Udptrack::start(&pair.a, &["-i", iface, "-j", "--hook", "xdp"]);
    let mut talk = talk(&pair, Ip::V4, 0);
    talk.turn();
    let before = talk.total();
    let second = Udptrack::start(&pair.a, &["-i", iface, "-j"]);
    talk.turn();
    let third = Udptrack::spawn(&pair.a, &["-i", iface, "--hook", "xdp"]);
    assert_eq!(third.wait().failure(1).messages(), [xdp_refused(iface)]);
    talk.turn();
    let first = first.stop().success();
    // The second is not disturbed by the end of the first.
    let objects = second.objects(links("tc"));
    objects.assert_there();
    let seen_by_first = talk.total();
    talk.turn();
    let second = second.stop().success();
    assert_eq!(
        first.messages(),
        [format!(
            "tracking {iface}: received by XDP native, sent by {}",
            tc()
        )]
    );
    assert_eq!(
        second.messages(),
        [
            format!("{iface}: {TAKEN}"),
            format!("tracking {iface}: received by {0}, sent by {0}", tc())
        ]
    );
    assert_eq!(first.assert_books().tracked, seen_by_first);
    let mut both = second.assert_books().tracked;
    both += before;
    assert_eq!(both, talk.total());
    objects.assert_gone();
    assert_bare(&pair.a, iface);
}

/// TC leaves the other end of a veth what it can do at once; XDP, which has to be asked for, takes it away.
#[test]
#[ignore = "root"]
fn watching_a_veth_costs_its_other_end_nothing() {
    let pair = Pair::new();
    let features = || {
        let ethtool = &mut pair.b.command("ethtool");
        Process::run(ethtool.args(["-k", pair.b.iface()])).stdout
    };
    let before = features();
    assert!(before.contains("tcp-segmentation-offload: on"), "{before}");
    for (flags, is_left) in [(&[][..], true), (&["--hook", "xdp"], false)] {
        let arguments = [&["-i", pair.a.iface(), "-j"], flags].concat();
        let udptrack = Udptrack::start(&pair.a, &arguments);
        assert_eq!(features() == before, is_left, "{flags:?}");
        let _ = udptrack.stop().success();
        assert_eq!(features(), before, "{flags:?}");
    }
}

/// The hooks of many interfaces are more open files than the soft limit allows: `check` knows it, and each packet is there.
#[test]
#[ignore = "root"]
fn more_interfaces_than_the_soft_limit_of_files_has_room_for() {
    const LINKS: u16 = 120;
    let netns = Netns::new("many");
    netns.enter(|| fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap());
    let subnet = |n: u16| Ipv4Addr::from(0x0a00_0000 + (u32::from(n) << 8));
    let host = |n, host: u32| Ipv4Addr::from(u32::from(subnet(n)) + host);
    let lines = (1..=LINKS).map(|n| {
        format!(
            "tuntap add dev d{n} mode tap\naddr add {}/24 dev d{n}\nlink set d{n} arp off up",
            host(n, 1)
        )
    });
    netns.ip_batch(&lines.collect::<Vec<_>>().join("\n"));
    let limited = |arguments: &[&str]| {
        let mut command = netns.command("prlimit");
        command.args(["--nofile=256:4096", env!("CARGO_BIN_EXE_udptrack")]);
        command.args(arguments).args(["-i", "any", "-j"]);
        command
    };
    let checked = Process::run(&mut limited(&["check"]));
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(report["works"], true, "{report}");
    let machine = &report["machine"];
    // Two hooks on each, one on lo, and what is always there.
    assert_eq!(machine["open_files"], u64::from(LINKS) * 2 + 1 + 128);
    assert_eq!(machine["open_files_limit"], 4096);

    let all = usize::from(LINKS) + 1;
    let udptrack = Udptrack::spawn_command(&mut limited(&[]), usize::MAX).until_tracking(all);
    let socket = netns.udp("0.0.0.0:45000".parse().unwrap());
    for n in 1..=LINKS {
        socket.send_to(&[0; 100], (host(n, 2), 4000)).unwrap();
    }
    let finished = udptrack.stop().success();
    let expected = (1..=LINKS).map(|n| {
        let ends = [(host(n, 1), 45_000), (host(n, 2), 4000)].map(SocketAddr::from);
        (connection(ends[0], ends[1]), volume(Ip::V4, &[100], &[]))
    });
    assert_eq!(finished.connections(), expected.collect());
    let stats = finished.assert_books();
    assert_eq!(stats.seen, stats.tracked);
    assert_eq!(stats.tracked.packets, u64::from(LINKS));
    // How far it is, where it takes a while.
    for done in ["attached to", "detached from"] {
        let progress = finished.stderr.lines().filter_map(|line| {
            let rest = line.strip_prefix(&format!("udptrack: {done} "))?;
            rest.strip_suffix(&format!(" of {all} interfaces"))
        });
        let progress: Vec<usize> = progress.map(|so_far| so_far.parse().unwrap()).collect();
        println!("{done}: {progress:?}");
        assert!(progress.is_sorted() && progress.iter().all(|so_far| *so_far <= all));
    }
}

fn xdp_refused(iface: &str) -> String {
    format!(
        "cannot track {iface}: it has an XDP program already, which udptrack leaves alone (ip link shows it). \
         Use --hook auto or --hook tc: then udptrack sees the packets that it passes on"
    )
}

#[test]
#[ignore = "root"]
fn a_foreign_xdp_program_is_left_alone() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let directory = TempDir::new("foreign");
    let object = foreign_program(&directory);
    let mut talk = talk(&pair, Ip::V4, 0);
    for (mode, number) in [("xdpdrv", 1), ("xdpgeneric", 2)] {
        Process::run(
            pair.a
                .command("ip")
                .args(["link", "set", "dev", iface, mode, "obj"])
                .arg(&object)
                .args(["sec", "xdp"]),
        );
        let foreign = xdp_program(&pair.a, iface);
        assert_eq!(foreign.unwrap().0, number);

        let before = talk.total();
        let udptrack = Udptrack::start(&pair.a, &["-i", iface, "-j"]);
        talk.turn();
        assert_eq!(xdp_program(&pair.a, iface), foreign);
        let finished = udptrack.stop().success();
        assert_eq!(
            finished.messages(),
            [
                format!("{iface}: {TAKEN}"),
                format!("tracking {iface}: received by {0}, sent by {0}", tc())
            ]
        );
        let mut both = finished.assert_books().tracked;
        both += before;
        assert_eq!(both, talk.total());

        for xdp_mode in ["auto", "native", "generic"] {
            let arguments = ["-i", iface, "--hook", "xdp", "--xdp-mode", xdp_mode];
            let refused = Udptrack::spawn(&pair.a, &arguments).wait().failure(1);
            assert_eq!(refused.messages(), [xdp_refused(iface)], "{xdp_mode}");
            assert_eq!(refused.stdout, Vec::<String>::new());
        }
        assert_eq!(xdp_program(&pair.a, iface), foreign);
        pair.a.ip_batch(&format!("link set dev {iface} {mode} off"));
        assert_bare(&pair.a, iface);
    }
}

/// A start loads no program that its interfaces cannot need, because it waits while the kernel verifies each.
#[test]
#[ignore = "root"]
fn only_programs_that_may_be_needed_are_loaded() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    pair.a.ip_batch("tuntap add dev tun0 mode tun");
    let iface = pair.a.iface();
    let programs = format!("{UDPTRACK}/it/programs");
    for (interfaces, flags, expected) in [
        (iface, "--hook=auto", "egress ingress"),
        (iface, "--hook=tc", "egress ingress"),
        (iface, "--hook=xdp", "egress xdp"),
        (iface, "--xdp-mode=native", "egress ingress xdp"),
        (iface, "--no-egress", "ingress"),
        ("lo", "--hook=tc", "ingress"),
        ("tun0", "--hook=auto", "egress_ip ingress_ip"),
        (
            &format!("{iface},tun0"),
            "--no-egress",
            "ingress ingress_ip",
        ),
        (
            "any",
            "--no-egress",
            "egress egress_ip ingress ingress_ip xdp",
        ),
    ] {
        let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
        command.args(["-i", interfaces, "--name", "it", "-j", flags]);
        let udptrack = Udptrack::spawn_command(&mut command, usize::MAX);
        // Pinned last: then everything is.
        wait_for("the pins", SOON, || {
            let instance = format!("{UDPTRACK}/it/instance");
            let there = bpffs.command("test").args(["-e", &instance]).status();
            there.unwrap().success().then_some(())
        });
        let pinned = Process::run(bpffs.command("ls").arg(&programs)).stdout;
        let of_hooks = pinned
            .lines()
            .filter(|name| !["amend", "clock", "publish"].contains(name));
        assert_eq!(
            of_hooks.collect::<Vec<_>>().join(" "),
            expected,
            "{interfaces} {flags}"
        );
        let _ = udptrack.stop().success();
    }
}

/// An interface of another kind may take the name of one that is gone: what it needs was not loaded.
#[test]
#[ignore = "root"]
fn a_name_that_another_kind_of_interface_takes() {
    let netns = Netns::new("kind");
    netns.ip_batch("tuntap add dev e0 mode tap\nlink set e0 up");
    let mut udptrack = Udptrack::start(&netns, &["-i", "e0", "-j"]);
    netns.ip_batch("link del e0\ntuntap add dev e0 mode tun\nlink set e0 up");
    let refused = "udptrack: cannot track e0: it is of another kind than the interface that had this name, and needs \
                   another program. Start udptrack again";
    udptrack.wait_for_message("that it is refused", |line| line == refused);
    let _ = udptrack.stop().success();
}

/// Generic XDP is exact, too, where nothing is merged, and says what it would miss.
#[test]
#[ignore = "root"]
fn generic_xdp_says_what_it_misses() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let arguments = ["-i", iface, "-j", "--hook", "xdp", "--xdp-mode", "generic"];
    let udptrack = Udptrack::start(&pair.a, &arguments);
    assert_eq!(xdp_program(&pair.a, iface).unwrap().0, 2);
    let mut talk = talk(&pair, Ip::V6, 0);
    talk.turn();
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), [talk.entry()].into());
    assert_eq!(finished.assert_books().seen, talk.total());
    assert_eq!(
        finished.messages(),
        [
            format!(
                "{iface}: generic XDP sees a packet that the kernel merged (GRO) as one packet, so counts may be too low; --hook tc is exact"
            ),
            format!(
                "tracking {iface}: received by XDP generic, sent by {}",
                tc()
            )
        ]
    );
}

/// Of two interfaces one goes, then the other.
fn removed(ip: Ip) {
    let mut pair = Pair::new();
    pair.add_link();
    let [first, second] = [0, 1].map(|link| pair.a.ports[link].iface.clone());
    let both = format!("{first},{second}");
    let mut udptrack = Udptrack::start_on(&pair.a, 2, &["-i", &both, "-j", "--hook", "xdp"]);
    let objects = udptrack.objects(2 * links("xdp"));
    let mut talks = [0, 1].map(|link| talk(&pair, ip, link));
    talks[0].turn();
    talks[1].turn();
    pair.a.ip_batch(&format!("link del {second}"));
    let gone = format!("udptrack: {second} is gone; still tracking {first}");
    udptrack.wait_for_message("that an interface is gone", |line| line == gone);
    talks[0].turn();
    pair.a.ip_batch(&format!("link del {first}"));
    let waiting = format!("udptrack: {first} is gone; waiting for it to come back");
    udptrack.wait_for_message("that it waits", |line| line == waiting);
    let finished = udptrack.stop().success();
    assert_eq!(
        finished.connections(),
        talks.iter().map(Talk::entry).collect()
    );
    let stats = finished.assert_books();
    assert_eq!(stats.seen, talks.iter().map(Talk::total).sum());
    assert!(
        finished
            .stderr
            .contains("\nconnections: 2 new, 0 ended, 2 live")
    );
    objects.assert_gone();
}

/// a - r - b, and what a and b say to each other crosses both interfaces of r.
struct Routed {
    a: Netns,
    r: Netns,
    b: Netns,
}

impl Routed {
    fn new() -> Self {
        let [mut a, mut r, mut b] = ["a", "r", "b"].map(Netns::new);
        connect(&mut a, &mut r, 0, 1500);
        connect(&mut r, &mut b, 1, 1500);
        r.enter(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        for (host, gateway) in [(&a, &r.ports[0]), (&b, &r.ports[1])] {
            host.ip_batch(&format!(
                "route add default via {}\nroute add default via {}",
                gateway.v4, gateway.v6
            ));
        }
        Self { a, r, b }
    }

    fn talk(&self, ip: Ip) -> Talk {
        Talk::new(
            self.a.udp(self.a.addr(ip, 45_000)),
            self.b.udp(self.b.addr(ip, 4000)),
        )
    }
}

fn tracked_once(routed: &Routed, ip: Ip, interfaces: usize, arguments: &[&str]) {
    let udptrack = Udptrack::start_on(&routed.r, interfaces, arguments);
    let mut talk = routed.talk(ip);
    talk.turn();
    talk.turn();
    talk.ask(1000);
    // A super-packet stays one on its way through a router.
    send_segmented(&talk.client, routed.b.addr(ip, 4000), 2500, 1000);
    receive_bytes(&talk.server, 2500);
    let finished = udptrack.stop().success();
    let (connection, mut expected) = talk.entry();
    expected.toserver += count(ip, &segments(2500, 1000));
    let total: Count = [expected.toserver, expected.toclient].into_iter().sum();
    assert_eq!(finished.connections(), [(connection, expected)].into());
    let stats = finished.assert_books();
    assert_eq!(stats.tracked, total);
    let mut skipped = stats.skipped;
    // The kernel's own: reports of multicast listeners (RFC 3810) come up to seconds after an address.
    skipped.remove("not-udp");
    assert_eq!(skipped, [("other-interface".to_owned(), total)].into());
    // It was first seen where it came in.
    let records = finished.records();
    let flow = records.iter().find(|record| record["event_type"] == "flow");
    assert_eq!(flow.unwrap()["in_iface"], *routed.r.ports[0].iface);
}

fn router(ip: Ip) {
    let routed = Routed::new();
    let [first, second] = [0, 1].map(|port| routed.r.ports[port].iface.clone());
    tracked_once(&routed, ip, 2, &["-i", &first, "-i", &second, "-j"]);
    tracked_once(
        &routed,
        ip,
        2,
        &["-i", &second, "--hook", "tc", "-i", &first, "-j"],
    );
}

fn any_interface(ip: Ip) {
    let routed = Routed::new();
    tracked_once(&routed, ip, 3, &["-i", "any", "-j"]);
}

/// Each packet on `lo` is counted once, though it is sent and received there, and super-packets as what they hold.
fn loopback(ip: Ip) {
    let netns = Netns::new("lo");
    let host = match ip {
        Ip::V4 => "127.0.0.1",
        Ip::V6 => "::1",
    };
    let socket = |port| netns.udp(SocketAddr::new(host.parse().unwrap(), port));
    let mut talk = Talk::new(socket(45_000), socket(4000));
    let segmented = socket(45_001);
    let server = talk.server.local_addr().unwrap();
    let before = talk.entry();
    assert_eq!(before.1.toserver, Count::default());
    for (hook, said) in [("auto", tc()), ("tc", tc()), ("xdp", "XDP generic")] {
        let start = talk.entry().1;
        let udptrack = Udptrack::start(&netns, &["-i", "lo", "-j", "--hook", hook]);
        talk.turn();
        talk.ask(1000);
        let mut expected = BTreeMap::new();
        let (key, now) = talk.entry();
        assert_eq!(now.toserver.packets - start.toserver.packets, 2);
        expected.insert(key, volume(ip, &[100, 1000], &[200]));
        if hook != "xdp" {
            send_segmented(&segmented, server, 5500, 1000);
            receive_bytes(&talk.server, 5500);
            let segmented = segmented.local_addr().unwrap();
            let datagrams = segments(5500, 1000);
            expected.insert(connection(segmented, server), volume(ip, &datagrams, &[]));
        }
        let finished = udptrack.stop().success();
        assert_eq!(finished.connections(), expected);
        let stats = finished.assert_books();
        assert_eq!(stats.seen, stats.tracked);
        let line = format!("tracking lo: received by {said}, which also counts what it sends");
        assert_eq!(finished.messages().last().unwrap(), &line);
    }
}

fn without_egress(ip: Ip) {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let arguments = ["-i", iface, "-j", "--hook", "xdp", "--no-egress"];
    let udptrack = Udptrack::start(&pair.a, &arguments);
    let objects = udptrack.objects(1);
    let mut talk = talk(&pair, ip, 0);
    talk.turn();
    let finished = udptrack.stop().success();
    let (key, sent) = talk.entry();
    // What is seen first is the answer.
    let expected = (
        connection(key.destination, key.source),
        volume(ip, &[200], &[]),
    );
    assert_eq!(finished.connections(), [expected].into());
    assert_eq!(finished.assert_books().seen, sent.toclient);
    assert_eq!(
        finished.messages(),
        [format!(
            "tracking {iface}: received by XDP native, sent packets are not tracked"
        )]
    );
    objects.assert_gone();
}

/// A tun device has no Ethernet header: bytes are counted from the IP header on, at both hooks. Two socat join two of
/// them through UDP over a veth pair, where the packets are counted once more, as those of the tunnel.
fn tunnel(ip: Ip) {
    let pair = Pair::new();
    let start = |netns: &Netns, peer: &Netns, host: u8| {
        let tunnel = netns.addr(Ip::V4, 4789);
        let socat = Process::serve(
            netns,
            netns.command("socat").args([
                format!("TUN:10.99.0.{host}/24,tun-name=tun0,iff-no-pi,iff-up"),
                format!("UDP-DATAGRAM:{},bind={tunnel}", peer.addr(Ip::V4, 4789)),
            ]),
            &[tunnel],
        );
        netns.ip_batch(&format!("addr add fd99::{host}/64 dev tun0 nodad"));
        socat
    };
    let _ends = [start(&pair.a, &pair.b, 1), start(&pair.b, &pair.a, 2)];
    let inside = |host: u8, port| match ip {
        Ip::V4 => SocketAddr::from(([10, 99, 0, host], port)),
        Ip::V6 => SocketAddr::from(([0xfd99, 0, 0, 0, 0, 0, 0, host.into()], port)),
    };
    let inner = Udptrack::start(&pair.a, &["-i", "tun0", "-j"]);
    let outer = Udptrack::start(&pair.b, &["-i", pair.b.iface(), "-j"]);
    let mut talk = Talk::new(pair.a.udp(inside(1, 45_000)), pair.b.udp(inside(2, 4000)));
    talk.turn();
    talk.ask(1000);
    let inner = inner.stop().success();
    let outer = outer.stop().success();
    let without_ethernet = |count: Count| Count {
        packets: count.packets,
        bytes: count.bytes - 14 * count.packets,
    };
    let (key, mut sent) = talk.entry();
    sent.toserver = without_ethernet(sent.toserver);
    sent.toclient = without_ethernet(sent.toclient);
    assert_eq!(inner.connections(), [(key, sent)].into());
    assert_eq!(inner.assert_books().skipped, [].into());
    assert_eq!(
        inner.messages(),
        [format!("tracking tun0: received by {0}, sent by {0}", tc())]
    );
    let around = |count: Count| Count {
        packets: count.packets,
        bytes: count.bytes + Ip::V4.overhead() * count.packets,
    };
    let expected = common::witness::Volume {
        toserver: around(sent.toserver),
        toclient: around(sent.toclient),
    };
    let ends = [&pair.a, &pair.b].map(|netns| netns.addr(Ip::V4, 4789));
    assert_eq!(
        outer.connections(),
        [(connection(ends[0], ends[1]), expected)].into()
    );

    let refused = Udptrack::spawn(&pair.a, &["-i", "tun0", "--hook", "xdp"]);
    let refused = refused.wait().failure(1);
    let messages = refused.messages();
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].starts_with("cannot track tun0: XDP is not possible here: ")
            && messages[0].ends_with("Use --hook auto or --hook tc"),
        "{messages:?}"
    );
}

/// What a host broadcasts is on the wire once; the copy that its kernel makes for itself is not.
#[test]
#[ignore = "root"]
fn a_broadcast_counts_once() {
    let pair = Pair::new();
    for hook in ["xdp", "tc"] {
        let udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "--hook", hook, "-j"]);
        let socket = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
        socket.set_broadcast(true).unwrap();
        for _ in 0..10 {
            socket.send_to(&[0; 22], "255.255.255.255:4000").unwrap();
        }
        let stats = udptrack.stop().success().assert_books();
        assert_eq!(
            (stats.seen.packets, stats.seen.bytes),
            (10, 10 * 64),
            "{hook}"
        );
        assert_eq!(stats.tracked, stats.seen, "{hook}");
    }
}

/// A server with two uplinks: what a client behind both asks comes in by the first one, and its answers go out by the other.
struct Uplinks {
    client: Netns,
    server: Netns,
}

impl Uplinks {
    fn new() -> Self {
        let [mut client, mut server] = ["client", "server"].map(Netns::new);
        connect(&mut client, &mut server, 0, 1500);
        connect(&mut client, &mut server, 1, 1500);
        for netns in [&client, &server] {
            netns.enter(|| {
                for conf in fs::read_dir("/proc/sys/net/ipv4/conf").unwrap() {
                    fs::write(conf.unwrap().path().join("rp_filter"), "0").unwrap();
                }
            });
        }
        client.ip_batch(
            "addr add 10.89.0.7/32 dev lo\n\
             addr add fd89::7/128 dev lo nodad",
        );
        let back = &client.ports[1];
        server.ip_batch(&format!(
            "route add 10.89.0.0/24 via {}\nroute add fd89::/64 via {}",
            back.v4, back.v6
        ));
        Self { client, server }
    }

    fn talk(&self, ip: Ip) -> Talk {
        let client = ip.of([10, 89, 0, 7].into(), [0xfd89, 0, 0, 0, 0, 0, 0, 7].into());
        Talk::new(
            self.client.udp(SocketAddr::new(client, 45_000)),
            self.server.udp(self.server.addr(ip, 4000)),
        )
    }

    fn ifaces(&self) -> [&str; 2] {
        [0, 1].map(|port| &*self.server.ports[port].iface)
    }
}

/// Records of connections that have ended, each with the interface that it names.
fn flows_by_interface(finished: &Finished) -> Vec<(String, Flow)> {
    let records = finished.records();
    let interfaces = records
        .iter()
        .filter(|record| record["event_type"] == "flow")
        .map(|record| record["in_iface"].as_str().unwrap().to_owned());
    let flows: Vec<_> = interfaces.zip(finished.flows()).collect();
    assert_eq!(flows.len(), finished.flows().len());
    flows
}

/// What each hook that saw something has tracked and skipped, by interface and direction.
fn books_by_hook(finished: &Finished) -> BTreeMap<(String, String), [u64; 2]> {
    let records = finished.records();
    let hooks = records.last().unwrap()["udptrack"]["interfaces"].clone();
    let hooks = hooks.as_array().unwrap().iter().map(|hook| {
        let text = |key: &str| hook[key].as_str().unwrap().to_owned();
        let skipped = hook["skipped"].as_object().unwrap().values();
        let skipped = skipped.map(|count| count["pkts"].as_u64().unwrap()).sum();
        let tracked = hook["tracked"]["pkts"].as_u64().unwrap();
        ((text("in_iface"), text("direction")), [tracked, skipped])
    });
    hooks.filter(|(_, books)| *books != [0, 0]).collect()
}

fn uplinks(ip: Ip) {
    const TURNS: u64 = 20;
    let uplinks = Uplinks::new();
    let [first, second] = uplinks.ifaces();
    for [one, hook, other] in [[first, "auto", second], [second, "tc", first]] {
        let arguments = ["-i", one, "-i", other, "--hook", hook, "-j"];
        let udptrack = Udptrack::start_on(&uplinks.server, 2, &arguments);
        let mut talk = uplinks.talk(ip);
        for _ in 0..TURNS {
            talk.turn();
        }
        let finished = udptrack.stop().success();
        assert_eq!(finished.connections(), [talk.entry()].into());
        assert_eq!(talk.entry().1.toclient.packets, TURNS);
        let stats = finished.assert_books();
        assert_eq!((stats.seen, stats.skipped), (talk.total(), [].into()));
        let [(interface, flow)] = &flows_by_interface(&finished)[..] else {
            panic!("{finished:?}")
        };
        assert_eq!((&**interface, &*flow.status), (first, "REPLIED"));
        // Each direction belongs to the interface where it is.
        let at = |interface: &str, direction: &str| (interface.to_owned(), direction.to_owned());
        let expected = [
            (at(first, "ingress"), [TURNS, 0]),
            (at(second, "egress"), [TURNS, 0]),
        ];
        assert_eq!(books_by_hook(&finished), expected.into());
        let records = finished.records();
        let flow = records.iter().find(|record| record["event_type"] == "flow");
        assert_eq!(flow.unwrap()["udptrack"]["response"]["answered"], TURNS);
    }
    // Whoever says that an interface is a part of a connection has two of them, and neither is answered.
    let arguments = ["-i", first, "-i", second, "--per-interface", "-j"];
    let udptrack = Udptrack::start_on(&uplinks.server, 2, &arguments);
    let mut talk = uplinks.talk(ip);
    for _ in 0..TURNS {
        talk.turn();
    }
    let finished = udptrack.stop().success();
    let (key, sent) = talk.entry();
    let half = |count| common::witness::Volume {
        toserver: count,
        toclient: Count::default(),
    };
    let answers = connection(key.destination, key.source);
    let expected = [(key, half(sent.toserver)), (answers, half(sent.toclient))];
    assert_eq!(finished.connections(), expected.into());
    assert_eq!(finished.assert_books().skipped, [].into());
    let interfaces: Vec<_> = flows_by_interface(&finished)
        .into_iter()
        .map(|(interface, flow)| (interface, flow.src))
        .collect();
    let expected = [
        (first.to_owned(), key.source),
        (second.to_owned(), key.destination),
    ];
    assert_eq!(interfaces, expected);
}

/// One of the two for each protocol.
fn hook(ip: Ip) -> &'static str {
    match ip {
        Ip::V4 => "xdp",
        Ip::V6 => "tc",
    }
}

/// A tap has a card for each direction of a link: requests come in by one, answers by the other.
fn a_tap_with_a_card_for_each_direction(ip: Ip) {
    let mut pair = Pair::new();
    pair.add_link();
    let [requests, answers] = [0, 1].map(|link| pair.b.ports[link].iface.clone());
    let both = format!("{requests},{answers}");
    let tap = [0, 1].map(|link| Injector::new(&pair.a, &pair.a.ports[link].iface));
    let (client, server) = match ip {
        Ip::V4 => ("192.0.2.1:45000", "192.0.2.2:4000"),
        Ip::V6 => ("[2001:db8::1]:45000", "[2001:db8::2]:4000"),
    };
    let (client, server): (SocketAddr, SocketAddr) =
        (client.parse().unwrap(), server.parse().unwrap());
    let arguments = ["-i", &both, "--hook", hook(ip), "--no-egress", "-j"];
    let udptrack = Udptrack::start_on(&pair.b, 2, &arguments);
    for round in 0..10 {
        tap[0].send(&frames::udp(client, server, &vec![1; round]));
        tap[1].send(&frames::udp(server, client, &vec![2; 100 + round]));
    }
    let finished = udptrack.stop().success();
    let sent: Vec<u64> = (0..10).collect();
    let answered: Vec<u64> = (100..110).collect();
    let expected = (connection(client, server), volume(ip, &sent, &answered));
    assert_eq!(finished.connections(), [expected].into());
    let stats = finished.assert_books();
    assert_eq!((stats.seen, stats.skipped), (stats.tracked, [].into()));
    assert_eq!(finished.flows()[0].status, "REPLIED");
    let ingress = |interface: &str| (interface.to_owned(), "ingress".to_owned());
    let expected = [(ingress(&requests), [10, 0]), (ingress(&answers), [10, 0])];
    assert_eq!(books_by_hook(&finished), expected.into());
}

/// Two links with the same addresses on them, as two customers have: the same frames come in on both. They are one connection,
/// of which the same direction counts once, unless somebody says that they are two.
fn links_with_equal_addresses(ip: Ip) {
    let mut pair = Pair::new();
    pair.add_link();
    let ifaces = [0, 1].map(|link| pair.b.ports[link].iface.clone());
    let both = ifaces.join(",");
    let links = [0, 1].map(|link| Injector::new(&pair.a, &pair.a.ports[link].iface));
    let (client, server) = match ip {
        Ip::V4 => ("0.0.0.0:68", "255.255.255.255:67"),
        Ip::V6 => ("[fe80::1]:546", "[ff02::1:2]:547"),
    };
    let (client, server): (SocketAddr, SocketAddr) =
        (client.parse().unwrap(), server.parse().unwrap());
    let (ask, answer) = (
        frames::udp(client, server, &[1; 100]),
        frames::udp(server, client, &[2; 50]),
    );
    let key = connection(client, server);
    for per_interface in [false, true] {
        let mut arguments = vec!["-i", &both, "--hook", hook(ip), "--no-egress", "-j"];
        if per_interface {
            arguments.push("--per-interface");
        }
        let udptrack = Udptrack::start_on(&pair.b, 2, &arguments);
        for _ in 0..10 {
            links[0].send(&ask);
        }
        for _ in 0..7 {
            links[1].send(&ask);
        }
        for _ in 0..5 {
            links[1].send(&answer);
        }
        let finished = udptrack.stop().success();
        let stats = finished.assert_books();
        let [first, second] = [&ask, &answer].map(|frame| frame.len() as u64);
        let seen = Count {
            packets: 22,
            bytes: 17 * first + 5 * second,
        };
        assert_eq!(stats.seen, seen);
        let flows: Vec<_> = flows_by_interface(&finished)
            .into_iter()
            .map(|(interface, flow)| (interface, flow.entry()))
            .collect();
        let [one, two] = ifaces.clone();
        let repeated = |times: usize, payload| vec![payload; times];
        let ingress = |interface: &str| (interface.to_owned(), "ingress".to_owned());
        if per_interface {
            let on_first = (key, volume(ip, &repeated(10, 100), &[]));
            let on_second = (key, volume(ip, &repeated(7, 100), &repeated(5, 50)));
            assert_eq!(stats.skipped, [].into());
            assert_eq!(flows, [(one.clone(), on_first), (two.clone(), on_second)]);
            let expected = [(ingress(&one), [10, 0]), (ingress(&two), [12, 0])];
            assert_eq!(books_by_hook(&finished), expected.into());
        } else {
            let whole = (key, volume(ip, &repeated(10, 100), &repeated(5, 50)));
            let other = count(ip, &repeated(7, 100));
            assert_eq!(
                stats.skipped,
                [("other-interface".to_owned(), other)].into()
            );
            assert_eq!(flows, [(one.clone(), whole)]);
            let expected = [(ingress(&one), [10, 0]), (ingress(&two), [5, 7])];
            assert_eq!(books_by_hook(&finished), expected.into());
        }
    }
}
