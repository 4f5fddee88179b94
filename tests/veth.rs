//! What frames are on the wire, however the kernel carries them: super-packets of UDP GSO and GRO, fragments, VLAN tags.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::UdpSocket;

use common::frames;
use common::kernel::is_at_least;
use common::netns::{Injector, Netns, Pair};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::traffic::{Talk, connection, count, receive_bytes, segments, send_segmented, volume};
use common::witness::{Count, Volume, Witness};
use common::{Ip, SOON, both_families_at_once, four_ways_at_once};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, UdpGroSegment};

four_ways_at_once!(gso gro fragments vlans);
both_families_at_once!(gso_trace);

fn json(netns: &Netns, hook: &str) -> Udptrack {
    Udptrack::start(netns, &["-i", netns.iface(), "--hook", hook, "-o", "json"])
}

fn timed(socket: UdpSocket) -> UdpSocket {
    socket.set_read_timeout(Some(SOON)).unwrap();
    // What comes at once must fit where the reader is slow.
    setsockopt(&socket, RcvBufForce, &(8 << 20)).unwrap();
    socket
}

fn ethtool(netns: &Netns, arguments: &[&str]) {
    Process::run(
        netns
            .command("ethtool")
            .args(["-K", netns.iface()])
            .args(arguments),
    );
}

/// Payload and segment size of each send: full segments only, a short last one, two, one alone, as many as one send
/// takes, tiny ones.
const SUPER_PACKETS: [(usize, usize); 7] = [
    (20 * 1000, 1000),
    (19 * 1000 + 123, 1000),
    (1200 + 1, 1200),
    (700, 1000),
    (64 * 900, 900),
    (64, 1),
    (1400 * 45 + 1399, 1400),
];

/// The same datagrams three times: as super-packets to an ordinary socket, as super-packets to one that takes them
/// whole (`UDP_GRO`), and one by one. udptrack runs at both ends: the sender's egress sees super-packets, the receiver's
/// ingress sees them with TC, and with native XDP, for which the sender's kernel cuts them, single ones.
fn gso(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let server = pair.b.addr(ip, 4000);
    let receiver = timed(pair.b.udp(server));
    let gro_server = pair.b.addr(ip, 4001);
    let gro_receiver = timed(pair.b.udp(gro_server));
    setsockopt(&gro_receiver, UdpGroSegment, &true).unwrap();
    let clients = [45_000, 45_001, 45_002].map(|port| timed(pair.a.udp(pair.a.addr(ip, port))));
    let at_sender = json(&pair.a, "tc");
    let at_receiver = json(&pair.b, hook);
    let witness = Witness::start(&pair.a, pair.a.iface());

    let mut datagrams = Vec::new();
    for (payload, segment) in SUPER_PACKETS {
        let cut = segments(payload, segment);
        send_segmented(&clients[0], server, payload, segment);
        receive_bytes(&receiver, payload);
        send_segmented(&clients[1], gro_server, payload, segment);
        receive_bytes(&gro_receiver, payload);
        for datagram in &cut {
            let length = usize::try_from(*datagram).unwrap();
            clients[2].send_to(&vec![7; length], server).unwrap();
            receive_bytes(&receiver, length);
        }
        datagrams.extend(cut);
    }
    // And back: the server's egress, the client's ingress.
    for client in [&clients[0], &clients[2]] {
        send_segmented(&receiver, client.local_addr().unwrap(), 9_999, 1000);
        receive_bytes(client, 9_999);
    }
    let ended = [at_sender.stop(), at_receiver.stop()];
    let captured = witness.frames().len();
    let back = segments(9_999, 1000);
    let [first, second, third] = clients.map(|client| client.local_addr().unwrap());
    let expected = BTreeMap::from([
        (connection(first, server), volume(ip, &datagrams, &back)),
        (connection(second, gro_server), volume(ip, &datagrams, &[])),
        (connection(third, server), volume(ip, &datagrams, &back)),
    ]);
    // The test means something: super-packets were super-packets, where the kernel leaves them whole for a veth.
    let whole_on_veth = is_at_least(5, 11);
    let single = datagrams.len() * 3;
    let whole = SUPER_PACKETS.len();
    let there = if hook == "xdp" || !whole_on_veth {
        single
    } else {
        2 * whole + datagrams.len()
    };
    let again = if whole_on_veth { 1 } else { back.len() };
    assert_eq!(captured, there + 2 * again);
    for finished in ended {
        assert_exactly(&finished, &expected);
    }
}

fn assert_exactly(finished: &Finished, expected: &BTreeMap<common::witness::Connection, Volume>) {
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(&finished.connections(), expected);
    let stats = finished.assert_books();
    let sent: Count = expected
        .values()
        .flat_map(|volume| [volume.toserver, volume.toclient])
        .sum();
    assert_eq!((stats.seen, stats.tracked), (sent, sent));
    assert_eq!(stats.events_lost, 0);
}

/// A line for each packet on the wire, though the hook has run once.
fn gso_trace(ip: Ip) {
    let pair = Pair::new();
    let server = pair.b.addr(ip, 4000);
    let receiver = timed(pair.b.udp(server));
    let client = pair.a.udp(pair.a.addr(ip, 45_000));
    let start = |netns: &Netns, events| {
        Udptrack::start(netns, &["-i", netns.iface(), "--hook", "tc", "-e", events])
    };
    let all = start(&pair.a, "new,data,end");
    let later = start(&pair.b, "data");
    send_segmented(&client, server, 20 * 1000, 1000);
    receive_bytes(&receiver, 20 * 1000);
    send_segmented(&client, server, 2 * 1000 + 1, 1000);
    receive_bytes(&receiver, 2 * 1000 + 1);
    let source = client.local_addr().unwrap();
    let data = format!("UDP DATA: {source} -> {server} (DATA)");
    let mut expected = vec![format!("UDP NEW: {source} -> {server} (ESTABLISHED)")];
    expected.extend(vec![data.clone(); 19 + 3]);
    let bytes = 20 * 1000 + 2 * 1000 + 1 + 23 * ip.overhead();
    expected.push(format!(
        "UDP END: {source} -> {server} (STOPPED) 23 pkts {bytes} B -> 0 pkts 0 B <-"
    ));
    assert_eq!(all.stop().success().stdout, expected);
    assert_eq!(later.stop().success().stdout, vec![data; 19 + 3]);
}

/// The receiving kernel merges single datagrams to super-packets: after XDP, before TC.
fn gro(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let server = pair.b.addr(ip, 4000);
    let receiver = timed(pair.b.udp(server));
    setsockopt(&receiver, UdpGroSegment, &true).unwrap();
    let client = pair.a.udp(pair.a.addr(ip, 45_000));
    // A veth does GRO only for what its peer cannot send as super-packets.
    ethtool(&pair.a, &["tso", "off", "tx-udp-segmentation", "off"]);
    ethtool(&pair.b, &["gro", "on"]);
    let at_sender = json(&pair.a, "tc");
    let at_receiver = json(&pair.b, hook);
    // What is on the wire, and what the receiver's kernel has made of it.
    let on_wire = Witness::start(&pair.a, pair.a.iface());
    let merged = Witness::start(&pair.b, pair.b.iface());
    let mut datagrams = Vec::new();
    for (payload, segment) in [(20 * 1000, 1000), (19 * 1000 + 123, 1000), (700, 1000)] {
        send_segmented(&client, server, payload, segment);
        receive_bytes(&receiver, payload);
        datagrams.extend(segments(payload, segment));
    }
    let ended = [at_sender.stop(), at_receiver.stop()];
    let account = on_wire.account();
    assert_eq!(account.seen, count(ip, &datagrams));
    // Without XDP a veth merges from Linux 5.13 on; before, single datagrams are counted.
    assert!(
        merged.frames().len() < datagrams.len() || (hook == "tc" && !is_at_least(5, 13)),
        "nothing was merged"
    );
    for finished in ended {
        finished.assert_agrees(&account);
    }
}

/// Datagrams that are larger than the MTU, both ways, and parts whose head nobody saw.
fn fragments(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(ip, 45_000)),
        pair.b.udp(pair.b.addr(ip, 4000)),
    );
    let at_sender = json(&pair.a, hook);
    let at_receiver = json(&pair.b, hook);
    let witness = Witness::start(&pair.a, pair.a.iface());
    talk.ask(4000);
    talk.answer(1473);
    talk.ask(100);
    talk.answer(60_000);
    let datagram = frames::udp(pair.a.addr(ip, 45_000), pair.b.addr(ip, 4000), &[1; 3000]);
    let parts = frames::fragments(&datagram, 0x1234_5678, 1000);
    let injector = Injector::new(&pair.a, pair.a.iface());
    for part in &parts[1..] {
        injector.send(part);
    }
    let ended = [at_sender.stop(), at_receiver.stop()];
    let account = witness.account();
    let lost = account.skipped.values().copied().collect::<Vec<_>>();
    let lost_bytes = parts[1..].iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(
        lost,
        [Count {
            packets: 3,
            bytes: lost_bytes
        }]
    );
    // One connection; of 4000 bytes three frames, of 1473 two, of 100 one, and of 60,000 what fits into 1500 each time.
    let parts_of = |payload: u64| {
        let room = if ip == Ip::V4 { 1480 } else { 1448 };
        (payload + 8).div_ceil(room)
    };
    let packets: Vec<_> = account
        .connections
        .values()
        .map(|volume| (volume.toserver.packets, volume.toclient.packets))
        .collect();
    assert_eq!(packets, [(3 + 1, 2 + parts_of(60_000))]);
    for finished in ended {
        finished.assert_agrees(&account);
        assert_eq!(
            finished
                .assert_books()
                .skipped
                .into_keys()
                .collect::<Vec<_>>(),
            ["fragment-without-head"]
        );
    }
}

/// Ethertype and control information of tags, outer first.
type Tags = &'static [(u16, u16)];

/// The same tuple untagged, in two VLANs, and in one VLAN inside another: four connections. Their bytes include the
/// tags at every hook: in the frame at XDP and on egress, stripped by the kernel on TC ingress.
fn vlans(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let (client, server) = (pair.a.addr(ip, 45_000), pair.b.addr(ip, 4000));
    // Or what belongs to no VLAN would be answered by an error.
    let receiver = timed(pair.b.udp(server));
    let at_sender = json(&pair.a, "tc");
    let at_receiver = json(&pair.b, hook);
    let witness = Witness::start(&pair.a, pair.a.iface());
    let injector = Injector::new(&pair.a, pair.a.iface());
    let tags: [(Tags, &[u16]); 8] = [
        (&[], &[]),
        (&[(0x8100, 5)], &[5]),
        (&[(0x8100, 5 | 0xe000)], &[5]), // of another priority
        (&[(0x8100, 4094)], &[4094]),
        (&[(0x88a8, 100), (0x8100, 5)], &[100, 5]),
        (&[(0x9100, 100), (0x8100, 5)], &[100, 5]),
        (&[(0x8100, 5), (0x8100, 100)], &[5, 100]),
        (&[(0x8100, 0x2000)], &[]), // a priority and no VLAN
    ];
    let mut expected: BTreeMap<Vec<u16>, Count> = BTreeMap::new();
    for (length, (tags, ids)) in tags.iter().enumerate() {
        let frame = frames::tagged(&frames::udp(client, server, &vec![9; 100 + length]), tags);
        injector.send(&frame);
        expected.entry(ids.to_vec()).or_default().add(frame.len());
    }
    // Fragments carry tags, too, and find their head in their own VLAN only.
    let datagram = frames::tagged(&frames::udp(client, server, &[8; 2000]), &[(0x8100, 5)]);
    let parts = frames::fragments(&datagram, 77, 1000);
    for part in &parts {
        injector.send(part);
        expected.get_mut(&vec![5]).unwrap().add(part.len());
    }
    let mut stray = parts[1].clone();
    stray[15] = 6;
    injector.send(&stray);
    receive_bytes(&receiver, 100);
    let ended = [at_sender.stop(), at_receiver.stop()];
    let account = witness.account();
    assert_eq!(account.connections.len(), 5);
    for finished in ended {
        finished.assert_agrees(&account);
        let flows = finished.flows();
        let shown: BTreeMap<Vec<u16>, Count> = flows
            .iter()
            .map(|flow| (flow.vlan.clone(), flow.entry().1.toserver))
            .collect();
        assert_eq!(shown, expected);
        assert!(
            flows
                .iter()
                .all(|flow| (flow.src, flow.dst) == (client, server))
        );
        let ids = finished
            .records()
            .iter()
            .filter_map(|record| record["udptrack"]["conn_id"].as_str().map(str::to_owned))
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(ids.len(), 5);
    }
}
