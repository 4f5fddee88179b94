//! udptrack beside real programs: DNS, NTP, netcat, and bulk traffic from both processors. Over IPv4 and IPv6, with the
//! ingress hook at XDP and at TC. Every packet and byte is known from elsewhere: from what the programs say they sent,
//! and from a capture at the other end of the wire.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::netns::{Netns, Pair, pin_thread, processors};
use common::process::Process;
use common::random::Rng;
use common::run::{Finished, Udptrack};
use common::traffic::{connection, receive_until, volume};
use common::witness::{Account, Connection, Count, Volume, Witness};
use common::{Ip, SOON, TempDir, four_ways_at_once, wait_for};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

four_ways_at_once!(dns_from_dnsmasq dns_from_unbound ntp netcat bulk);

fn udptrack(netns: &Netns, hook: &str) -> Udptrack {
    Udptrack::start(netns, &["-i", netns.iface(), "--hook", hook, "-o", "json"])
}

/// udptrack and the witness agree, and every connection was answered and live at the end.
fn assert_replied(finished: &Finished, account: &Account) {
    finished.assert_agrees(account);
    for flow in finished.flows() {
        assert_eq!(flow.end_reason, "STOPPED", "{flow:?}");
        // A question and its answer are never more than that; a longer talk is ASSURED when it took two seconds.
        let assured = flow.status == "ASSURED" && flow.pkts_toserver + flow.pkts_toclient > 2;
        assert!(flow.status == "REPLIED" || assured, "{flow:?}");
    }
}

fn dns_from_dnsmasq(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let address = pair.b.ip(ip).to_string();
    let directory = TempDir::new("dnsmasq");
    let server = Process::serve(
        &pair.b,
        pair.b
            .command("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
            ])
            .args(["--no-hosts", "--bind-interfaces", "--user=root"])
            .args(["--address=/test/10.1.2.3", "--address=/test/fd88::53"])
            .arg(format!("--listen-address={address}"))
            .arg(format!("--pid-file={}/pid", directory.path().display())),
        &[pair.b.addr(ip, 53)],
    );
    ask_dns(&pair, ip, hook);
    drop(server);
}

fn dns_from_unbound(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let directory = TempDir::new("unbound");
    let configuration = directory.file(
        "conf",
        &format!(
            r#"server:
    interface: {address}
    access-control: 10.88.0.0/24 allow
    access-control: fd88::/64 allow
    do-daemonize: no
    use-syslog: no
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: "{directory}/pid"
    module-config: "iterator"
    local-zone: "test." static
    local-data: "a.test. A 10.1.2.3"
    local-data: "a.test. AAAA fd88::53"
remote-control:
    control-enable: no
"#,
            address = pair.b.ip(ip),
            directory = directory.path().display(),
        ),
    );
    let server = Process::serve(
        &pair.b,
        pair.b
            .command(directory.program("unbound"))
            .arg("-c")
            .arg(configuration),
        &[pair.b.addr(ip, 53)],
    );
    ask_dns(&pair, ip, hook);
    drop(server);
}

/// dig and nslookup in a ask port 53 in b; udptrack runs beside the server.
fn ask_dns(pair: &Pair, ip: Ip, hook: &str) {
    let witness = Witness::start(&pair.a, pair.a.iface());
    let udptrack = udptrack(&pair.b, hook);
    let server = pair.b.addr(ip, 53);
    let mut expected = BTreeMap::new();
    for (port, kind, answer) in [(40_001, "A", "10.1.2.3"), (40_002, "AAAA", "fd88::53")] {
        let client = pair.a.addr(ip, port);
        let dig = Process::run(
            pair.a
                .command("dig")
                .args(["-b", &format!("{}#{port}", client.ip())])
                .arg(format!("@{}", server.ip()))
                .args(["+qr", "+time=10", "+tries=1", "a.test", kind]),
        );
        assert!(dig.stdout.contains(answer), "{}", dig.stdout);
        let query = number_after(&dig.stdout, ";; QUERY SIZE:");
        let reply = number_after(&dig.stdout, ";; MSG SIZE  rcvd:");
        expected.insert(connection(client, server), volume(ip, &[query], &[reply]));
    }
    let nslookup = Process::run(pair.a.command("nslookup").args([
        "-type=a",
        "a.test",
        &server.ip().to_string(),
    ]));
    assert!(nslookup.stdout.contains("10.1.2.3"), "{}", nslookup.stdout);
    let finished = udptrack.stop();
    let account = witness.account();

    // nslookup's port is its own choice; its question is a header, the name and two words, the answer 16 bytes more.
    let chosen: Vec<_> = account
        .connections
        .keys()
        .filter(|connection| !expected.contains_key(connection))
        .copied()
        .collect();
    assert_eq!(chosen.len(), 1, "{account:#?}");
    assert_eq!(chosen[0].destination, server);
    expected.insert(chosen[0], volume(ip, &[12 + 8 + 4], &[12 + 8 + 4 + 16]));

    assert_eq!(finished.connections(), expected);
    assert_replied(&finished, &account);
}

fn number_after(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let line = line.unwrap_or_else(|| panic!("no {label:?} in {text}"));
    line.trim().parse().expect("a number")
}

fn ntp(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let directory = TempDir::new("chrony");
    let configuration = directory.file(
        "conf",
        &format!(
            "local stratum 8\nallow 10.88.0.0/24\nallow fd88::/64\n\
             cmdport 0\nbindcmdaddress /\npidfile {}/pid\n",
            directory.path().display()
        ),
    );
    // -x: the machine's clock is left alone.
    let server = Process::serve(
        &pair.b,
        pair.b
            .command(directory.program("chronyd"))
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(configuration),
        &[pair.b.addr(ip, 123)],
    );
    let witness = Witness::start(&pair.b, pair.b.iface());
    let udptrack = udptrack(&pair.a, hook);
    let ntpdate = Process::run(
        pair.a
            .command("ntpdate")
            .args(["-q", &pair.b.ip(ip).to_string()]),
    );
    let finished = udptrack.stop();
    let account = witness.account();
    drop(server);

    assert_replied(&finished, &account);
    let flows = finished.flows();
    assert!(!flows.is_empty(), "{ntpdate:?}");
    for flow in flows {
        assert_eq!(flow.src.ip(), pair.a.ip(ip));
        assert_eq!(flow.dst, pair.b.addr(ip, 123));
        // Each question of 48 bytes has one answer of 48 bytes.
        let packets = usize::try_from(flow.pkts_toserver).unwrap();
        let payloads = vec![48; packets];
        assert_eq!(flow.entry().1, volume(ip, &payloads, &payloads));
    }
}

fn netcat(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let (client_address, server_address) = (pair.a.addr(ip, 7001), pair.b.addr(ip, 7000));
    let host = server_address.ip().to_string();
    let mut server = Process::serve(
        &pair.b,
        pair.b.command("nc").args(["-n", "-u", "-l", &host, "7000"]),
        &[server_address],
    );
    let witness = Witness::start(&pair.a, pair.a.iface());
    let udptrack = udptrack(&pair.b, hook);
    let source = client_address.ip().to_string();
    let mut client = Process::start(
        pair.a
            .command("nc")
            .args(["-n", "-u", "-s", &source, "-p", "7001", &host, "7000"]),
    );
    let there = ["hello\n", "is anybody there?\n", "good bye\n"];
    let back = ["yes\n", "and what do you want?\n"];
    let mut heard = (String::new(), String::new());
    for (index, line) in there.iter().enumerate() {
        client.write(line);
        heard.0.push_str(line);
        wait_for("the server's line", SOON, || {
            (server.stdout() == heard.0).then_some(())
        });
        if let Some(line) = back.get(index) {
            server.write(line);
            heard.1.push_str(line);
            wait_for("the client's line", SOON, || {
                (client.stdout() == heard.1).then_some(())
            });
        }
    }
    let finished = udptrack.stop();
    let account = witness.account();

    let sizes =
        |lines: &[&str]| -> Vec<u64> { lines.iter().map(|line| line.len() as u64).collect() };
    let expected = BTreeMap::from([(
        connection(client_address, server_address),
        volume(ip, &sizes(&there), &sizes(&back)),
    )]);
    assert_eq!(finished.connections(), expected);
    assert_replied(&finished, &account);
}

/// Datagrams in each direction: connections, times processors, times this.
const BULK_ROUNDS: usize = 1600;
/// Datagrams that a sender has on the way at most. All senders' together fit into the ring of a veth with native XDP
/// (256), so nothing is ever lost.
const BULK_WINDOW: usize = 16;
const BULK_CONNECTIONS: usize = 4;
const BULK_LARGEST: usize = 1400;

/// Each connection has a sender on each of two processors, which share its socket, and the server answers from both
/// processors: one connection's counters are updated from both at once, in both directions. Whoever sends notes what
/// the kernel took; the flow control is that each datagram is answered by one.
fn bulk(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let all = processors();
    let two = [all[0], all[all.len() - 1]];
    let server_address = pair.b.addr(ip, 9000);
    let server = roomy(pair.b.udp(server_address));
    let clients: Vec<_> = (0..BULK_CONNECTIONS)
        .map(|index| {
            let port = 9001 + u16::try_from(index).unwrap();
            let client = roomy(pair.a.udp(pair.a.addr(ip, port)));
            client.connect(server_address).unwrap();
            client
        })
        .collect();
    // At either end of the wire.
    let side = match ip {
        Ip::V4 => &pair.b,
        Ip::V6 => &pair.a,
    };
    let udptrack = udptrack(side, hook);

    let done = AtomicBool::new(false);
    let mut sent: BTreeMap<Connection, Volume> = BTreeMap::new();
    let seed = Rng::from_environment().next();
    thread::scope(|scope| {
        let servers = two.map(|processor| {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                pin_thread(processor);
                answer(ip, server, done)
            })
        });
        // Also when a sender panics, or its scope would wait for the servers forever.
        let end = SetOnDrop(&done);
        let senders: Vec<_> = clients
            .iter()
            .enumerate()
            .flat_map(|(index, client)| {
                two.map(|processor| {
                    let mut rng = Rng::new(seed ^ (index * 2 + 1) as u64);
                    let thread = scope.spawn(move || {
                        pin_thread(processor);
                        ask(ip, client, &mut rng)
                    });
                    (client, thread)
                })
            })
            .collect();
        for (client, sender) in senders {
            let key = connection(client.local_addr().unwrap(), server_address);
            sent.entry(key).or_default().toserver += sender.join().expect("a sender's end");
        }
        drop(end);
        for server in servers {
            for (client, count) in server.join().expect("a server's end") {
                let key = connection(client, server_address);
                sent.get_mut(&key).expect("a client").toclient += count;
            }
        }
    });
    let finished = udptrack.stop().success();

    assert_eq!(finished.connections(), sent);
    let total: Count = sent
        .values()
        .flat_map(|volume| [volume.toserver, volume.toclient])
        .sum();
    let each_way = BULK_CONNECTIONS * two.len() * BULK_ROUNDS * BULK_WINDOW;
    assert!(each_way >= 200_000);
    assert_eq!(total.packets, 2 * each_way as u64);
    let stats = finished.assert_books();
    assert_eq!(stats.seen, total);
    assert_eq!(stats.tracked, total);
    for flow in finished.flows() {
        assert_eq!(flow.pkts_toserver, flow.pkts_toclient);
        assert_eq!(flow.end_reason, "STOPPED");
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// With room for every datagram on the way, however the kernel accounts for it.
fn roomy(socket: UdpSocket) -> UdpSocket {
    setsockopt(&socket, RcvBufForce, &(4 << 20)).expect("root may have large buffers");
    socket
}

/// Sends and receives in turns; returns what was sent.
fn ask(ip: Ip, socket: &UdpSocket, rng: &mut Rng) -> Count {
    let mut buffer = [0; BULK_LARGEST + 1];
    let mut sent = Count::default();
    socket.set_read_timeout(Some(SOON)).unwrap();
    for _ in 0..BULK_ROUNDS {
        for _ in 0..BULK_WINDOW {
            let length = rng.below(BULK_LARGEST + 1);
            assert_eq!(socket.send(&buffer[..length]).expect("sent"), length);
            sent.packets += 1;
            sent.bytes += length as u64 + ip.overhead();
        }
        // Whose answers these are does not matter: both senders of a socket wait for as many as they caused.
        for _ in 0..BULK_WINDOW {
            socket.recv(&mut buffer).expect("no datagram is lost");
        }
    }
    sent
}

/// Answers each datagram by one of another size; returns what was sent to whom.
fn answer(ip: Ip, socket: &UdpSocket, done: &AtomicBool) -> HashMap<SocketAddr, Count> {
    let payload = [0; BULK_LARGEST + 1];
    let mut sent: HashMap<SocketAddr, Count> = HashMap::new();
    receive_until(done, socket, |length, client| {
        let length = (length * 7 + 11) % (BULK_LARGEST + 1);
        assert_eq!(
            socket.send_to(&payload[..length], client).expect("sent"),
            length
        );
        let count = sent.entry(client).or_default();
        count.packets += 1;
        count.bytes += length as u64 + ip.overhead();
    });
    sent
}
