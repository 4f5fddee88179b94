//! `udptrack list` from another terminal, `--keep` and `udptrack detach`: what others read equals what was sent, and
//! nothing is lost between two runs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use common::bpffs::{Bpffs, UDPTRACK};
use common::kernel::{assert_bare, can_keep, has_tcx, is_at_least};
use common::netns::{Netns, Pair, pin_thread, processors};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::traffic::{Talk, connection, receive_until, send_until};
use common::witness::{Connection, Volume};
use common::{Ip, SOON, wait_for};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use serde_json::Value;

const UDPTRACK_PROGRAM: &str = env!("CARGO_BIN_EXE_udptrack");

/// udptrack in a namespace and with a bpffs, its hooks on.
fn start(bpffs: &Bpffs, netns: &Netns, arguments: &[&str]) -> Udptrack {
    let mut command = bpffs.command_in(netns, UDPTRACK_PROGRAM);
    command.args(["-i", netns.iface(), "-o", "json"]);
    let udptrack = Udptrack::spawn_command(command.args(arguments), usize::MAX).until_tracking(1);
    // Pinned last: then everything is.
    let instance = format!("{UDPTRACK}/{}/instance", netns.iface());
    wait_for("the pins", SOON, || {
        let there = bpffs.command("test").args(["-e", &instance]).status();
        there.unwrap().success().then_some(())
    });
    udptrack
}

/// A udptrack that ends by itself.
fn run(bpffs: &Bpffs, arguments: &[&str]) -> Finished {
    let mut command = bpffs.command(UDPTRACK_PROGRAM);
    Udptrack::spawn_command(command.args(arguments), usize::MAX).wait()
}

/// The connections of a list in JSON, each once.
fn listed(bpffs: &Bpffs, arguments: &[&str]) -> BTreeMap<Connection, Volume> {
    let finished = run(bpffs, &[&["list", "-j"], arguments].concat()).success();
    let records = finished.records();
    let flows = records
        .iter()
        .filter(|record| record["event_type"] == "flow_update");
    let mut connections = BTreeMap::new();
    for record in flows {
        assert_eq!(record["udptrack"]["event"], "update");
        let (connection, volume) = entry(record);
        assert_eq!(connections.insert(connection, volume), None, "{record}");
    }
    connections
}

fn entry(record: &Value) -> (Connection, Volume) {
    let address = |ip: &str, port: &str| {
        let port = record[port].as_u64().unwrap();
        SocketAddr::new(
            record[ip].as_str().unwrap().parse().unwrap(),
            u16::try_from(port).unwrap(),
        )
    };
    let number = |key: &str| record["flow"][key].as_u64().unwrap();
    let mut volume = Volume::default();
    volume.toserver.packets = number("pkts_toserver");
    volume.toserver.bytes = number("bytes_toserver");
    volume.toclient.packets = number("pkts_toclient");
    volume.toclient.bytes = number("bytes_toclient");
    let connection = connection(
        address("src_ip", "src_port"),
        address("dest_ip", "dest_port"),
    );
    (connection, volume)
}

fn talk(pair: &Pair, ip: Ip, port: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, port)),
        pair.b.udp(pair.b.addr(ip, port - 41_000)),
    )
}

/// At any moment, also between two ticks of the run.
#[test]
#[ignore = "root"]
fn a_list_is_what_was_sent_and_what_the_run_says() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let udptrack = start(&bpffs, &pair.a, &[]);
    let mut talks = [talk(&pair, Ip::V4, 45_000), talk(&pair, Ip::V6, 45_001)];
    for talk in &talks {
        talk.set_classes([0xb9, 0x28]);
    }
    for round in 0..50 {
        for talk in &mut talks {
            talk.turn();
            talk.ask(round);
        }
        if round % 10 == 0 {
            let expected = talks.iter().map(Talk::entry).collect();
            assert_eq!(listed(&bpffs, &[]), expected);
        }
    }
    let expected: BTreeMap<_, _> = talks.iter().map(Talk::entry).collect();
    let last = listed(&bpffs, &[]);
    assert_eq!(last, expected);
    let only = listed(&bpffs, &["ip6", "and", "port", "45001"]);
    assert_eq!(only, [talks[1].entry()].into());
    let most = listed(&bpffs, &["--sort", "bytes", "--top", "1", "-4"]);
    assert_eq!(most, [talks[0].entry()].into());
    for (arguments, wanted) in [
        ("port 9", "port 9"),
        (
            "-6 --status assured --process dig port 45000",
            "IPv6, port 45000, status ASSURED, process dig",
        ),
    ] {
        let arguments = arguments.split_whitespace();
        let arguments: Vec<&str> = ["list", "-o", "csv"].into_iter().chain(arguments).collect();
        let nothing = run(&bpffs, &arguments).failure(1);
        assert_eq!(nothing.stdout, [""; 0]);
        let expected = format!("udptrack: nothing fits \"{wanted}\" (2 connections)");
        assert_eq!(nothing.stderr, expected);
    }
    for (arguments, status) in [(vec!["port", "45000"], 3), (vec!["port", "9"], 0)] {
        let arguments = [&["list", "--check"], &arguments[..]].concat();
        let checked = run(&bpffs, &arguments);
        assert_eq!(checked.code, Some(status), "{checked:?}");
    }
    let shown = run(&bpffs, &["list", "-j"]).success();
    let finished = udptrack.stop().success();
    for records in [shown.records(), finished.records()] {
        let own = records.iter().map(|record| &record["udptrack"]);
        let flows = own.filter(|own| own["conn_id"].is_string());
        let dscps: Vec<_> = flows
            .map(|own| (own["orig_dscp"].as_str(), own["reply_dscp"].as_str()))
            .collect();
        assert_eq!(dscps, [(Some("EF"), Some("AF11")); 2]);
    }
    assert_eq!(finished.connections(), last);
    finished.assert_books();
    assert_eq!(bpffs.instances(), [""; 0]);
}

/// All packets have one size, so a list that has lost a count, or has one twice, shows it: it is no multiple, or less
/// than the list before, or more than was sent.
#[test]
#[ignore = "root"]
fn lists_under_traffic_from_two_processors_neither_lose_nor_double() {
    const PACKETS: u64 = 150_000;
    const PAYLOAD: [u8; 30] = [7; 30];
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let udptrack = start(&bpffs, &pair.b, &[]);
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    setsockopt(&server, RcvBufForce, &(64 << 20)).unwrap();
    let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
    client.connect(server.local_addr().unwrap()).unwrap();
    let done = AtomicBool::new(false);
    let lists = thread::scope(|scope| {
        let senders: Vec<_> = processors()
            .into_iter()
            .take(2)
            .map(|processor| {
                let client = client.try_clone().unwrap();
                scope.spawn(move || {
                    pin_thread(processor);
                    for _ in 0..PACKETS {
                        client.send(&PAYLOAD).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| receive_until(&done, &server, |_, _| {}));
        let mut lists = Vec::new();
        while !senders.iter().all(ScopedJoinHandle::is_finished) {
            lists.push(listed(&bpffs, &["-n"]));
        }
        done.store(true, Ordering::Relaxed);
        lists
    });
    let last = listed(&bpffs, &["-n"]);
    assert_eq!(udptrack.stop().success().connections(), last);
    let size = PAYLOAD.len() as u64 + Ip::V4.overhead();
    let mut before = 0;
    for list in lists.iter().chain([&last]) {
        for volume in list.values() {
            let sent = volume.toserver;
            assert_eq!(sent.bytes, sent.packets * size);
            assert!(before <= sent.packets, "{} after {before}", sent.packets);
            before = sent.packets;
        }
    }
    assert!(lists.len() > 2);
    assert!(before <= PACKETS * 2);
}

/// The same line that netfilter's own tool has, field by field, but for the time that is left.
#[test]
#[ignore = "root"]
fn conntrack_lines_are_those_of_conntrack() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    Process::run(pair.b.command("nft").arg(
        "table inet t { chain i { type filter hook input priority 0; ct state new counter; }; \
         chain o { type filter hook output priority 0; ct state established counter; }; }",
    ));
    Process::run(
        pair.b
            .command("sysctl")
            .args(["-w", "net.netfilter.nf_conntrack_acct=1"]),
    );
    let udptrack = start(&bpffs, &pair.b, &[]);
    let mut talks = [talk(&pair, Ip::V4, 45_000), talk(&pair, Ip::V4, 45_001)];
    talks[0].turn();
    talks[0].ask(7);
    talks[1].ask(300);
    let ours = run(&bpffs, &["list", "-o", "conntrack"]).success().stdout;
    let theirs = Process::run(pair.b.command("conntrack").args(["-L", "-p", "udp"])).stdout;
    let without_time = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words[2].parse::<u64>().unwrap() <= 30, "{line}");
        [&words[..2], &words[3..]].concat().join(" ")
    };
    let sorted = |lines: &mut dyn Iterator<Item = &str>| {
        let mut lines: Vec<String> = lines.map(without_time).collect();
        lines.sort();
        lines
    };
    let ours = sorted(&mut ours.iter().map(String::as_str));
    assert_eq!(ours.len(), 2);
    assert_eq!(ours, sorted(&mut theirs.lines()));
    let _ = udptrack.stop().success();
}

/// With `--pin-mode 0644` anybody may look, without it nobody else; and a word on what to do about it.
#[test]
#[ignore = "root"]
fn a_plain_user_reads_what_the_admin_allows() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let as_nobody = |arguments: &[&str]| {
        let mut command = bpffs.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(UDPTRACK_PROGRAM)
            .args(arguments);
        Udptrack::spawn_command(&mut command, usize::MAX).wait()
    };
    let udptrack = start(&bpffs, &pair.a, &["--pin-mode", "0644"]);
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    Process::run(bpffs.command("chmod").args(["go-rwx", "/sys/fs/bpf"]));
    let refused = as_nobody(&["list"]).failure(1);
    assert!(
        refused.stderr.contains("chmod a+x /sys/fs/bpf"),
        "{refused:?}"
    );
    Process::run(bpffs.command("chmod").args(["a+x", "/sys/fs/bpf"]));
    let disabled = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap();
    if !is_at_least(5, 19) && disabled.trim() != "0" {
        let refused = as_nobody(&["list", "-o", "csv"]).failure(1);
        assert!(refused.stderr.contains("before Linux 5.19"), "{refused:?}");
        let _ = udptrack.stop().success();
        return;
    }
    let finished = as_nobody(&["list", "-o", "csv"]).success();
    assert_eq!(finished.stdout.len(), 2, "{finished:?}");
    // Who reads can lock what it opens: nobody waits for that.
    let mut locker = bpffs.command("setpriv");
    locker.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let locker = Process::start(locker.args(["flock", UDPTRACK, "cat"]));
    wait_for("the lock of nobody", SOON, || {
        let mut test = bpffs.command("flock");
        let free = test.args(["-n", UDPTRACK, "true"]).status().unwrap();
        (!free.success()).then_some(())
    });
    let _ = run(&bpffs, &["list", "-o", "csv"]).success();
    drop(locker);
    assert!(
        finished.stdout[1].contains(",10.88.0.1,45000,"),
        "{finished:?}"
    );
    let _ = udptrack.stop().success();

    let udptrack = start(&bpffs, &pair.a, &[]);
    let refused = as_nobody(&["list"]).failure(1);
    assert!(refused.stderr.contains("--pin-mode"), "{refused:?}");
    let _ = udptrack.stop().success();

    Process::run(bpffs.command("chown").args(["65534", UDPTRACK]));
    let refused = run(&bpffs, &["list"]).failure(1);
    assert!(
        refused.stderr.contains("it belongs to user 65534"),
        "{refused:?}"
    );
}

/// Sends on and on while run after run ends, by Ctrl-C and by SIGKILL, and the next one takes up.
#[test]
#[ignore = "root"]
fn what_is_kept_loses_no_packet_from_run_to_run() {
    const SIZE: usize = 100;
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let server = pair.b.udp(pair.b.addr(Ip::V4, 4000));
    setsockopt(&server, RcvBufForce, &(64 << 20)).unwrap();
    let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
    client.connect(server.local_addr().unwrap()).unwrap();
    let first = start(&bpffs, &pair.b, &["--keep"]);
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            send_until(&done, &client, SIZE, |sent| {
                if sent.is_multiple_of(64) {
                    thread::yield_now();
                }
            })
        });
        scope.spawn(|| receive_until(&done, &server, |_, _| {}));
        let kept = first.stop().success();
        assert!(
            kept.stderr.contains("the kernel continues to track"),
            "{kept:?}"
        );
        assert_eq!(kept.flows(), []);
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
            let next = start(&bpffs, &pair.b, &["--keep"]);
            next.signal(signal);
            let ended = next.wait();
            assert!(ended.stderr.contains("no packet was missed"), "{ended:?}");
            // Between two runs, too, it can be looked at.
            assert_eq!(listed(&bpffs, &[]).len(), 1);
        }
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let last = start(&bpffs, &pair.b, &[]);
    let finished = last.stop().success();
    let flow = &finished.flows()[0];
    assert_eq!(flow.pkts_toserver, sent);
    assert_eq!(
        flow.bytes_toserver,
        sent * (SIZE as u64 + Ip::V4.overhead())
    );
    assert_eq!(finished.assert_books().tracked.packets, sent);
    assert_eq!(bpffs.instances(), [""; 0]);
    assert_bare(&pair.b, pair.b.iface());
}

/// Ends of connections, and what they came to, are remembered from run to run.
#[test]
#[ignore = "root"]
fn what_ended_before_is_in_the_totals() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let flags = ["--keep", "--udp-timeout", "1s"];
    let mut first = start(&bpffs, &pair.a, &flags);
    let mut talks = [talk(&pair, Ip::V4, 45_000), talk(&pair, Ip::V4, 45_001)];
    talks[0].turn();
    first.wait_for_line("the end of the first connection", |line| {
        line.contains("IDLE")
    });
    let _ = first.stop().success();
    talks[1].turn();
    let detached = run(&bpffs, &["detach"]).success();
    assert!(
        detached
            .stderr
            .contains("connections: 2 new, 1 ended, 1 live"),
        "{detached:?}"
    );
    assert!(!detached.stderr.contains("BALANCE"), "{detached:?}");
    assert!(detached.stderr.contains("4 packets"), "{detached:?}");
    assert_eq!(bpffs.instances(), [""; 0]);
    assert_bare(&pair.a, pair.a.iface());
    for (arguments, said) in [
        (
            &["detach"][..],
            "there is nothing to detach: no run with --keep",
        ),
        (&["detach", "--name", "x"], "there is no run named x"),
        (&["list", "--name", "x"], "there is no run named x"),
    ] {
        let nothing = run(&bpffs, arguments).failure(1);
        assert!(nothing.stderr.contains(said), "{nothing:?}");
    }
}

/// Packets fill the ring as fast as it is written down, at the end of a run too: it ends all the same.
#[test]
#[ignore = "root"]
fn a_kept_run_ends_while_packets_come() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let mut command = bpffs.command_in(&pair.a, UDPTRACK_PROGRAM);
    command.args(["-i", pair.a.iface(), "-o", "trace", "-e", "data", "--keep"]);
    let mut kept = Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1);
    let (client, server) = (
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.addr(Ip::V4, 4000),
    );
    let _sink = pair.b.udp(server);
    client.connect(server).unwrap();
    let done = AtomicBool::new(false);
    let (sent, finished) = thread::scope(|scope| {
        let senders = [(); 4].map(|()| scope.spawn(|| send_until(&done, &client, 1, |_| {})));
        kept.wait_for_line("a packet", |line| line.contains("45000"));
        let finished = kept.stop();
        done.store(true, Ordering::Relaxed);
        let sent = senders.map(|sender| sender.join().unwrap());
        (sent.iter().sum::<u64>(), finished)
    });
    let _ = finished.success();
    let detached = run(&bpffs, &["detach"]).success();
    let tracked = detached
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("tracked"))
        .and_then(|rest| rest.split_whitespace().next())
        .map(|packets| packets.replace(',', ""));
    assert_eq!(tracked, Some(sent.to_string()), "{detached:?}");
    assert_bare(&pair.a, pair.a.iface());
}

/// Without a name the only one that was kept, and which one that is stands there before it ends.
#[test]
#[ignore = "root"]
fn detach_ends_nothing_that_may_not_be_meant() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let (one, other) = (pair.a.iface(), pair.b.iface());
    for netns in [&pair.a, &pair.b] {
        let _ = start(&bpffs, netns, &["--keep"]).stop().success();
    }
    let which = run(&bpffs, &["detach"]).failure(1);
    assert_eq!(
        which.stderr,
        format!(
            "udptrack: there are several runs, {one} (left by --keep), {other} (left by --keep): choose one with --name"
        )
    );
    let ended = run(&bpffs, &["detach", "--name", one]).success();
    assert_eq!(ended.messages(), [format!("{one} is detached")]);
    let running = start(&bpffs, &pair.a, &[]);
    let ended = run(&bpffs, &["detach"]).success();
    assert_eq!(
        ended.messages(),
        [
            format!("detaching {other}, which tracks {other}"),
            format!("{other} is detached")
        ]
    );
    let nothing = run(&bpffs, &["detach"]).failure(1);
    assert_eq!(
        nothing.stderr,
        format!(
            "udptrack: there is nothing to detach: end these runs with Ctrl-C or SIGTERM instead: {one} (process {})",
            running.pid()
        )
    );
    // A run that has seen nothing lists nothing, and that is no failure.
    let listed = run(&bpffs, &["list"]).success();
    assert_eq!(listed.stdout[0], "No UDP connections now.");
    let _ = running.stop().success();
}

/// Other flags than those that it was kept with are refused, and nothing of it is lost.
#[test]
#[ignore = "root"]
fn what_is_kept_keeps_its_flags() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let kept = start(&bpffs, &pair.a, &["--keep", "port", "45000"]);
    let _ = kept.stop().success();
    for (flags, named) in [
        (
            vec!["--max-connections", "77", "port", "45000"],
            "--max-connections 65536",
        ),
        (vec!["--max-ips", "7", "port", "45000"], "--max-ips 16384"),
        (vec!["port", "45001"], "the filter `port 45000`"),
        (vec!["-o", "trace", "port", "45000"], "fewer events"),
    ] {
        let mut command = bpffs.command_in(&pair.a, UDPTRACK_PROGRAM);
        command.args(["-i", pair.a.iface()]);
        if !flags.contains(&"-o") {
            command.args(["-o", "json"]);
        }
        let refused = Udptrack::spawn_command(command.args(&flags), usize::MAX)
            .wait()
            .failure(1);
        assert!(refused.stderr.contains(named), "{refused:?}");
        assert!(
            refused.stderr.contains("udptrack detach --name"),
            "{refused:?}"
        );
    }
    assert_eq!(bpffs.instances(), [pair.a.iface()]);
    let _ = run(&bpffs, &["detach", "--name", pair.a.iface()]).success();
}

/// What a killed run left is no run, and is removed.
#[test]
#[ignore = "root"]
fn pins_of_a_killed_run_are_removed() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let killed = start(&bpffs, &pair.a, &["--hook", "xdp"]);
    let objects = killed.objects(common::kernel::links("xdp"));
    killed.signal(Signal::SIGKILL);
    let _ = killed.wait();
    if has_tcx() {
        assert_bare(&pair.a, pair.a.iface());
    }
    assert_eq!(bpffs.instances(), [pair.a.iface()]);
    let nothing = run(&bpffs, &["list"]).failure(1);
    assert!(
        nothing
            .stderr
            .contains("there is no run to list. Start one"),
        "{nothing:?}"
    );
    assert_eq!(bpffs.instances(), [""; 0]);
    if !has_tcx() {
        // A filter outlives its process; the next run on the interface removes it.
        let _ = start(&bpffs, &pair.a, &[]).stop().success();
        assert_bare(&pair.a, pair.a.iface());
    }
    objects.assert_gone();
}

/// One name for each, also where interfaces of two namespaces have the same: then one of them is chosen by it.
#[test]
#[ignore = "root"]
fn several_runs_have_names_of_their_own() {
    let (bpffs, pair, other) = (Bpffs::new(), Pair::new(), Pair::new());
    let iface = pair.a.iface();
    let first = start(&bpffs, &pair.a, &[]);
    let mut second = bpffs.command_in(&other.a, UDPTRACK_PROGRAM);
    let second = second.args(["-i", iface, "-j", "-v"]);
    let mut second = Udptrack::spawn_command(second, usize::MAX);
    let second_name = format!("{iface}-2");
    second.wait_for_message("under which name it is found", |line| {
        line.contains(&second_name)
    });
    let mut talk = talk(&other, Ip::V4, 45_000);
    talk.turn();
    let which = run(&bpffs, &["list"]).failure(1);
    assert!(which.stderr.contains("choose one with --name"), "{which:?}");
    assert!(
        which.stderr.contains(&format!("process {}", first.pid())),
        "{which:?}"
    );
    assert_eq!(
        listed(&bpffs, &["--name", &second_name]),
        [talk.entry()].into()
    );
    assert_eq!(listed(&bpffs, &["--name", iface]), BTreeMap::new());
    let unknown = run(&bpffs, &["list", "--name", "none"]).failure(1);
    assert!(
        unknown.stderr.contains("there is no run named none"),
        "{unknown:?}"
    );
    let taken = bpffs
        .command_in(&other.a, UDPTRACK_PROGRAM)
        .args(["-i", iface, "-j", "--name", iface])
        .output()
        .unwrap();
    let taken = String::from_utf8_lossy(&taken.stderr);
    assert!(taken.contains("is active already, as process"), "{taken}");
    let busy = run(&bpffs, &["detach", "--name", iface]).failure(1);
    assert!(busy.stderr.contains("end it (kill"), "{busy:?}");
    let _ = first.stop().success();
    let _ = second.stop().success();
    assert_eq!(bpffs.instances(), [""; 0]);
}

/// Tables of another version are refused by their first word.
#[test]
#[ignore = "root"]
fn pins_of_another_version_are_refused() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let udptrack = start(&bpffs, &pair.a, &["--keep"]);
    let _ = udptrack.stop().success();
    let path = format!("{UDPTRACK}/{}/instance", pair.a.iface());
    let pinned = [
        "map", "lookup", "pinned", &path, "key", "0", "0", "0", "0", "-j",
    ];
    let shown = Process::run(bpffs.command("bpftool").args(pinned)).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let bytes = shown["value"].as_array().unwrap();
    let mut bytes: Vec<&str> = bytes.iter().map(|byte| byte.as_str().unwrap()).collect();
    let first = bytes[0].to_owned();
    bytes[0] = if first == "0x01" { "0x02" } else { "0x01" };
    let update = [
        "map", "update", "pinned", &path, "key", "0", "0", "0", "0", "value",
    ];
    Process::run(bpffs.command("bpftool").args(update).args(&bytes));
    for command in [vec!["list"], vec!["detach", "--name", pair.a.iface()]] {
        let refused = run(&bpffs, &command).failure(1);
        assert!(
            refused.stderr.contains("another version of udptrack"),
            "{refused:?}"
        );
    }
    bytes[0] = &first;
    Process::run(bpffs.command("bpftool").args(update).args(&bytes));
    let _ = run(&bpffs, &["detach"]).success();
}

/// A run that has its name but has pinned nothing yet is none of another version, and its process is the one that has the lock.
#[test]
#[ignore = "root"]
fn what_is_starting_is_told() {
    let bpffs = Bpffs::new();
    let lock = format!("{UDPTRACK}/early/lock");
    Process::run(bpffs.command("mkdir").args(["-p", &lock]));
    let holder = Process::start(bpffs.command("flock").args([&lock, "cat"]));
    let told = wait_for("the lock", SOON, || {
        let refused = run(&bpffs, &["list"]).failure(1);
        refused.stderr.contains("early").then_some(refused)
    });
    let expected = "udptrack: early is just starting. Try again in a moment";
    assert_eq!(told.stderr, expected);
    let pid = holder.pid();
    let busy = run(&bpffs, &["detach", "--name", "early"]).failure(1);
    let expected =
        format!("udptrack: a run named early is active, as process {pid}: end it (kill {pid})");
    assert_eq!(busy.stderr, expected);
    let taken = run(&bpffs, &["-i", "lo", "-j", "--name", "early"]).failure(1);
    let expected = format!(
        "udptrack: a run named early is active already, as process {pid}. Choose another --name"
    );
    assert_eq!(taken.stderr, expected);
    drop(holder);
}

/// Without a bpffs, tracking works; what needs one says so, and the way out.
#[test]
#[ignore = "root"]
fn without_a_bpffs() {
    let pair = Pair::new();
    // `ip netns exec` has a /sys of its own.
    let hidden = |arguments: &[&str]| {
        let mut command = std::process::Command::new("ip");
        command
            .args(["netns", "exec", pair.a.name(), UDPTRACK_PROGRAM])
            .args(arguments);
        Udptrack::spawn_command(&mut command, usize::MAX)
    };
    let udptrack = hidden(&["-i", pair.a.iface(), "-j"]).until_tracking(1);
    let mut talk = talk(&pair, Ip::V4, 45_000);
    talk.turn();
    let finished = udptrack.stop().success();
    assert_eq!(finished.connections(), [talk.entry()].into());
    for arguments in [
        vec!["list"],
        vec!["detach"],
        vec!["-i", pair.a.iface(), "-j", "--keep"],
    ] {
        let refused = hidden(&arguments).wait().failure(1);
        for word in [
            "there is no bpffs at /sys/fs/bpf",
            "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
            "udptrack -N NAME",
        ] {
            assert!(refused.stderr.contains(word), "{refused:?}");
        }
    }
    assert_bare(&pair.a, pair.a.iface());
}
