//! Interfaces that come, go and get other names while a run tracks: no packet on any of them is missed or counted twice.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::bpffs::{Bpffs, UDPTRACK};
use common::kernel::can_keep;
use common::netns::Pair;
use common::run::{Finished, Udptrack};
use common::traffic::{Talk, connection, receive_until, send_until};
use common::witness::{Connection, Count, Volume};
use common::{Ip, SOON, wait_for};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

/// A link: its ends here and there, and N of 10.99.N.1 and .2.
#[derive(Clone, Debug)]
struct Link(String, String, usize);

fn link(here: &str, there: &str, subnet: usize) -> Link {
    Link(here.to_owned(), there.to_owned(), subnet)
}

fn make(pair: &Pair, all: &[Link]) {
    add(pair, all);
    raise(pair, all);
}

fn add(pair: &Pair, all: &[Link]) {
    let there = pair.b.name();
    let each = all
        .iter()
        .map(|Link(a, b, _)| format!("link add {a} type veth peer name {b} netns {there}\n"));
    pair.a.ip_batch(&each.collect::<String>());
}

/// Brings both ends up, gives them their addresses and neighbours, and waits until they send.
fn raise(pair: &Pair, all: &[Link]) {
    let batch = |end: usize| {
        let line = |Link(a, b, subnet): &Link| {
            let (name, other) = (if end == 1 { a } else { b }, 3 - end);
            let mac = |end| format!("02:99:00:00:{subnet:02x}:{end:02x}");
            format!(
                "link set {name} address {} arp off up\n\
                 addr replace 10.99.{subnet}.{end}/24 dev {name}\n\
                 neigh replace 10.99.{subnet}.{other} lladdr {} dev {name} nud permanent\n",
                mac(end),
                mac(other)
            )
        };
        all.iter().map(line).collect::<String>()
    };
    pair.b.ip_batch(&batch(2));
    pair.a.ip_batch(&batch(1));
    // The end that was up first hears of the other one by the kernel's thread for that, and drops until then.
    wait_for("links that are up", SOON, || {
        let shown = pair.b.command("ip").args(["-o", "link"]).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let down = ["qdisc noop ", "state DOWN", "state LOWERLAYERDOWN"];
        down.iter().all(|down| !shown.contains(down)).then_some(())
    });
}

/// A talk over such a link, the only one of this port.
fn talk(pair: &Pair, subnet: usize, port: u16) -> Talk {
    let subnet = u8::try_from(subnet).unwrap();
    let address = |end, port| SocketAddr::new([10, 99, subnet, end].into(), port);
    Talk::new(
        pair.a.udp(address(1, port)),
        pair.b.udp(address(2, port - 40_000)),
    )
}

fn entries<'a>(talks: impl IntoIterator<Item = &'a Talk>) -> BTreeMap<Connection, Volume> {
    talks.into_iter().map(Talk::entry).collect()
}

/// The interface of each connection, by the port of its client.
fn interfaces(finished: &Finished) -> BTreeMap<u64, String> {
    let records = finished.records();
    let flows = records
        .iter()
        .filter(|record| record["event_type"] == "flow");
    flows
        .map(|flow| {
            let name = flow["in_iface"].as_str().unwrap().to_owned();
            (flow["src_port"].as_u64().unwrap(), name)
        })
        .collect()
}

/// What was seen on each interface, both ways.
fn seen(finished: &Finished) -> BTreeMap<String, u64> {
    let records = finished.records();
    let last = records
        .iter()
        .rfind(|record| record["event_type"] == "stats");
    let mut seen = BTreeMap::new();
    for hook in last.unwrap()["udptrack"]["interfaces"].as_array().unwrap() {
        let name = hook["in_iface"].as_str().unwrap().to_owned();
        *seen.entry(name).or_default() += hook["seen"]["pkts"].as_u64().unwrap();
    }
    seen
}

/// By one of its other names an interface is tracked, removed, made anew, and called otherwise; another one is there all the time. By both
/// hooks.
#[test]
#[ignore = "root"]
fn a_name_is_tracked_again_and_a_new_name_is_followed() {
    const OTHER: &str = "enp3s0f0np0-of-the-kernel-or-of-udev";
    let pair = Pair::new();
    let stays = pair.a.iface();
    let name = || {
        pair.a
            .ip_batch(&format!("link property add dev e0 altname {OTHER}"));
    };
    make(&pair, &[link("e0", "p0", 1)]);
    name();
    let both = format!("{OTHER},{stays}");
    let start = |hook| Udptrack::start_on(&pair.a, 2, &["-i", &both, "-j", "--hook", hook]);
    let mut runs = ["xdp", "tc"].map(start);
    let mut before = talk(&pair, 1, 45_000);
    before.turn();
    pair.a.ip_batch("link del e0");
    let gone = format!("udptrack: e0 is gone; still tracking {stays}");
    for udptrack in &mut runs {
        udptrack.wait_for_message("that an interface is gone", |line| line == gone);
    }
    add(&pair, &[link("e0", "p0", 1)]);
    name();
    raise(&pair, &[link("e0", "p0", 1)]);
    let mut runs = runs.map(|udptrack| udptrack.until_tracking(3));
    let mut again = talk(&pair, 1, 45_001);
    again.turn();
    again.turn();
    pair.a.ip_batch("link set e0 down\nlink set e0 name wan0");
    raise(&pair, &[link("wan0", "p0", 1)]);
    for udptrack in &mut runs {
        udptrack.wait_for_message("the new name", |line| {
            line == "udptrack: e0 is now called wan0"
        });
    }
    let mut renamed = talk(&pair, 1, 45_002);
    renamed.turn();
    // The place of the name is taken: this is another one.
    make(&pair, &[link("e0", "p1", 2)]);
    talk(&pair, 2, 45_003).turn();
    let talks = [&before, &again, &renamed];
    let packets = talks.map(|talk| talk.total().packets).iter().sum();
    for finished in runs.map(|udptrack| udptrack.stop().success()) {
        assert_eq!(finished.connections(), entries(talks));
        let wan = |port| (port, "wan0".to_owned());
        assert_eq!(
            interfaces(&finished),
            [45_000, 45_001, 45_002].map(wan).into()
        );
        assert_eq!(
            seen(&finished),
            [("wan0".to_owned(), packets), (stays.to_owned(), 0)].into()
        );
        assert_eq!(finished.assert_books().seen.packets, packets);
    }
}

/// The only one that was named goes, and is waited for.
#[test]
#[ignore = "root"]
fn a_run_waits_for_its_only_interface() {
    let pair = Pair::new();
    make(&pair, &[link("e0", "p0", 1)]);
    let mut udptrack = Udptrack::start(&pair.a, &["-i", "e0", "-j"]);
    let mut talks = vec![talk(&pair, 1, 45_000)];
    talks[0].turn();
    pair.a.ip_batch("link del e0");
    udptrack.wait_for_message("that it waits", |line| {
        line == "udptrack: e0 is gone; waiting for it to come back"
    });
    make(&pair, &[link("e0", "p0", 1)]);
    let udptrack = udptrack.until_tracking(2);
    talks.push(talk(&pair, 1, 45_001));
    talks[1].turn();
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), entries(&talks));
    assert_eq!(finished.assert_books().seen.packets, 4);
}

/// Ends what runs beside a test, also where that fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// 200 links are made and removed, 20 at a time, while another one has traffic all the time. What was said over each is what was sent and
/// arrived; no file stays open for one that is gone.
#[test]
#[ignore = "root"]
fn many_come_and_go_under_traffic() {
    const ROUNDS: usize = 10;
    const AT_ONCE: usize = 20;
    const SIZE: usize = 100;
    let pair = Pair::new();
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    setsockopt(&server, RcvBufForce, &(64 << 20)).unwrap();
    let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
    client.connect(server.local_addr().unwrap()).unwrap();
    let mut udptrack = Udptrack::start_on(&pair.a, 2, &["-i", "any", "-j"]);
    let pid = udptrack.pid();
    let files = move || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mut open = Vec::new();
    let mut talks = Vec::new();
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            send_until(&done, &client, SIZE, |_| {
                thread::sleep(Duration::from_micros(200));
            })
        });
        scope.spawn(|| receive_until(&done, &server, |_, _| {}));
        let over = Over(&done);
        for round in 0..ROUNDS {
            let numbers = round * AT_ONCE..(round + 1) * AT_ONCE;
            let of_number = |n| link(&format!("e{n}"), &format!("p{n}"), n);
            make(&pair, &numbers.clone().map(of_number).collect::<Vec<_>>());
            udptrack.wait_for_tracking(2 + numbers.end);
            for number in numbers.clone() {
                let port = 45_001 + u16::try_from(number).unwrap();
                let mut talk = talk(&pair, number, port);
                talk.turn();
                talks.push(talk);
            }
            let gone: Vec<String> = numbers
                .map(|number| format!("link del e{number}"))
                .collect();
            pair.a.ip_batch(&gone.join("\n"));
            let last = format!("udptrack: e{} is gone", (round + 1) * AT_ONCE - 1);
            udptrack.wait_for_message("the last is gone", |line| line == last);
            open.push(files());
        }
        drop(over);
        sender.join().unwrap()
    });
    assert_eq!(open, vec![open[0]; ROUNDS]);
    let finished = udptrack.stop().success();
    let mut expected = entries(&talks);
    let bytes = sent * (SIZE as u64 + Ip::V4.overhead());
    let all_the_time = Count {
        packets: sent,
        bytes,
    };
    expected.insert(
        connection(client.local_addr().unwrap(), server.local_addr().unwrap()),
        Volume {
            toserver: all_the_time,
            toclient: Count::default(),
        },
    );
    assert_eq!(finished.connections(), expected);
    let named = interfaces(&finished);
    for number in 0..ROUNDS * AT_ONCE {
        assert_eq!(named[&(45_001 + number as u64)], format!("e{number}"));
    }
    let of_gone = talks.iter().map(|talk| talk.total().packets).sum();
    assert_eq!(
        seen(&finished),
        [
            ("(gone)".to_owned(), of_gone),
            ("lo".to_owned(), 0),
            (pair.a.iface().to_owned(), sent)
        ]
        .into()
    );
    assert_eq!(finished.assert_books().seen.packets, sent + of_gone);
}

/// What comes while a run tracks is kept with the rest, what goes is not; what came while nothing ran is tracked by the next one.
#[test]
#[ignore = "root"]
fn what_has_come_is_kept_too() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let start = |interfaces| {
        let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
        command.args(["-i", "any", "-o", "json", "--keep"]);
        Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(interfaces)
    };
    let pinned = |count| {
        let folder = format!("{UDPTRACK}/any/links");
        wait_for("pins of links", SOON, || {
            let list = bpffs.command("ls").arg(&folder).output().unwrap();
            (String::from_utf8_lossy(&list.stdout).lines().count() == count).then_some(())
        });
    };
    let first = start(2);
    pinned(3);
    make(&pair, &[link("k0", "p0", 1), link("k1", "p1", 2)]);
    let mut first = first.until_tracking(4);
    pinned(7);
    let mut talks = [(1, 45_000), (2, 45_001)].map(|(subnet, port)| talk(&pair, subnet, port));
    talks[0].turn();
    talks[1].turn();
    pair.a.ip_batch("link del k1");
    first.wait_for_message("that it is gone", |line| line == "udptrack: k1 is gone");
    pinned(5);
    let _ = first.stop().success();
    // Nobody runs, and the kernel counts.
    talks[0].turn();
    make(&pair, &[link("k2", "p2", 3)]);
    let second = start(4);
    pinned(7);
    let mut last = talk(&pair, 3, 45_002);
    last.turn();
    pair.a.ip_batch("link del k0");
    let _ = second.stop().success();
    let third = start(3);
    last.turn();
    pinned(5);
    let _ = third.stop().success();
    let mut detach = bpffs.command(env!("CARGO_BIN_EXE_udptrack"));
    let ended = Udptrack::spawn_command(detach.args(["detach"]), usize::MAX).wait();
    let packets: u64 = talks
        .iter()
        .chain([&last])
        .map(|talk| talk.total().packets)
        .sum();
    let ended = ended.success();
    let has_line = |begin: &str| {
        let begin = format!("{begin} {packets} packets ");
        let squeezed = ended.stderr.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} ", words.join(" "))
        });
        squeezed.into_iter().any(|line| line.starts_with(&begin))
    };
    assert!(has_line("seen") && has_line("tracked"), "{ended:?}");
    assert_eq!(bpffs.instances(), [""; 0]);
}
