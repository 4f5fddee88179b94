//! Names from the wire, beside real programs: dig asks dnsmasq, and the addresses in the answers get the names that were
//! asked for. Over IPv4 and IPv6, with the ingress hook at XDP and at TC; nothing is sent for it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use common::frames;
use common::netns::{Injector, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::{Ip, SOON, TempDir, four_ways, wait_for};
use udptrack::bpf::{self, Payloads, Request, Settings, Tracker};
use udptrack::dns::Message;
use udptrack::interface;
use udptrack::model::{Books, Direction, DnsCounts, HookChoice, XdpMode};
use udptrack::names::{Names, Passed};

four_ways!(names_of_answers_that_pass);

/// dnsmasq in the second namespace. Kept as long as its directory.
fn dnsmasq(pair: &Pair, ip: Ip) -> (Process, TempDir) {
    let directory = TempDir::new("dnsmasq");
    let server = Process::serve(
        &pair.b,
        pair.b
            .command("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--user=root", "--local=/test/"])
            .arg("--host-record=host.test,10.1.2.3,fd88::53")
            .arg("--cname=www.test,host.test")
            .arg("--host-record=other.test,10.1.2.4")
            .arg("--host-record=server.test,10.88.0.2,fd88::2")
            .arg(format!("--listen-address={}", pair.b.ip(ip)))
            .arg(format!("--pid-file={}/pid", directory.path().display())),
        &[pair.b.addr(ip, 53)],
    );
    (server, directory)
}

fn dig(pair: &Pair, ip: Ip, name: &str, kind: &str) -> String {
    let dig = Process::run(
        pair.a
            .command("dig")
            .arg(format!("@{}", pair.b.ip(ip)))
            .args(["+time=10", "+tries=1", "+short", name, kind]),
    );
    dig.stdout
}

/// An answer by hand: `id`, and 192.0.2.66 for `evil.test`.
fn forged(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(b"\x81\x80\0\x01\0\x01\0\0\0\0\x04evil\x04test\0\0\x01\0\x01");
    message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x42");
    message
}

fn send(from: &UdpSocket, to: &UdpSocket, payload: &[u8]) {
    let address = to.local_addr().unwrap();
    assert_eq!(from.send_to(payload, address).unwrap(), payload.len());
    let mut bytes = [0; 512];
    to.set_read_timeout(Some(SOON)).unwrap();
    let (length, sender) = to.recv_from(&mut bytes).unwrap();
    assert_eq!(
        (length, sender),
        (payload.len(), from.local_addr().unwrap())
    );
}

/// A tracker of the test's own, as only that can be asked what an address is called.
fn names_of_answers_that_pass(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let (server, _directory) = dnsmasq(&pair, ip);
    let request = Request {
        hook: if hook == "xdp" {
            HookChoice::Xdp
        } else {
            HookChoice::Tc
        },
        xdp_mode: XdpMode::Auto,
        egress: true,
    };
    let (names, packets) = pair.a.enter(|| {
        let interfaces = interface::select(&[pair.a.iface().to_owned()]).unwrap();
        let mut tracker = Tracker::load(&Settings {
            max_connections: 64,
            max_ips: 64,
            new_events: false,
            data_events: false,
            response_times: false,
            filter: None,
            payloads: Payloads::Dns,
            dns: true,
            interfaces: vec![interfaces[0].index],
            ..Settings::default()
        })
        .unwrap();
        let attachment = bpf::attach(&tracker, &interfaces[0], request).unwrap();
        assert_eq!(dig(&pair, ip, "www.test", "A"), "host.test.\n10.1.2.3\n");
        assert_eq!(dig(&pair, ip, "www.test", "AAAA"), "host.test.\nfd88::53\n");
        assert_eq!(dig(&pair, ip, "OTHER.test", "A"), "10.1.2.4\n");
        assert_eq!(dig(&pair, ip, "none.test", "A"), "");
        // From port 54 and 53 of the server to ports that asked nothing.
        for (from, to) in [(54, 45_000), (54, 53), (45_001, 53)] {
            let [from, to] = [
                pair.b.udp(pair.b.addr(ip, from)),
                pair.a.udp(pair.a.addr(ip, to)),
            ];
            send(&from, &to, &forged(7));
        }
        let mut names = Names::none();
        // Four questions, four answers, and what was forged from or to port 53.
        let mut messages = 0;
        wait_for("the questions and answers", SOON, || {
            for payload in tracker.take_payloads().unwrap() {
                let message = Message::read(&payload.bytes);
                names.learn(&Passed {
                    connection: payload.connection,
                    interface: payload.interface,
                    direction: payload.direction,
                    from_originator: payload.from_originator,
                    is_local: false,
                    message: message.as_ref(),
                });
                messages += 1;
            }
            (messages == 10).then_some(())
        });
        bpf::detach(vec![attachment]).unwrap();
        assert_eq!(tracker.take_payloads().unwrap().len(), 0);
        assert_eq!(names.tally().unasked, 2);
        // Three were answered with addresses, for one there is no such name; the rest was forged.
        let mut counted = DnsCounts::default();
        let samples = tracker.scan().unwrap();
        samples
            .iter()
            .filter_map(|sample| sample.dns)
            .for_each(|dns| counted += dns);
        let expected = DnsCounts {
            queries: 4,
            rcodes: [3 + 2, 0, 0, 1, 0, 0, 0],
            ..DnsCounts::default()
        };
        assert_eq!(counted, expected);
        let books = [Direction::Ingress, Direction::Egress]
            .map(|direction| tracker.books(interfaces[0].index, direction).unwrap());
        assert!(books.iter().all(Books::balance));
        (names, books.map(|books| books.tracked.packets))
    });
    let name = |address: &str| names.host_name(address.parse::<IpAddr>().unwrap());
    assert_eq!(name("10.1.2.3"), Some("www.test"));
    assert_eq!(name("fd88::53"), Some("www.test"));
    assert_eq!(name("10.1.2.4"), Some("other.test"));
    assert_eq!(name("192.0.2.66"), None);
    assert_eq!(packets, [4 + 3, 4]);
    drop(server);
}

/// A run shows the names in its records, but for -n, and says, when asked for more, what the answers came to.
#[test]
#[ignore = "root"]
fn a_run_shows_what_it_learned() {
    let pair = Pair::new();
    let (server, _directory) = dnsmasq(&pair, Ip::V4);
    let said = "names: 2 addresses from 2 DNS answers; refused: 0 malformed, 0 without a query, 0 on the path of their query, 0 with bad names";
    for (numeric, hostname) in [(&[][..], Some("server.test")), (&["-n"], None)] {
        let arguments = [&["-i", pair.a.iface(), "-v", "-j"], numeric].concat();
        let udptrack = Udptrack::start(&pair.a, &arguments);
        for kind in ["A", "AAAA"] {
            assert_ne!(dig(&pair, Ip::V4, "server.test", kind), "");
        }
        let finished = udptrack.stop();
        let flows: Vec<_> = finished
            .records()
            .into_iter()
            .filter(|record| record["event_type"] == "flow")
            .collect();
        assert_eq!(flows.len(), 2);
        for flow in flows {
            assert_eq!(
                flow["udptrack"]["dest_hostname"].as_str(),
                hostname,
                "{flow}"
            );
            assert_eq!(flow["udptrack"]["src_hostname"].as_str(), None, "{flow}");
        }
        let says = finished.messages().contains(&said);
        assert_eq!(says, hostname.is_some(), "{}", finished.stderr);
    }
    drop(server);
}

/// With `--resolve` an address that no answer has shown is asked for; the run goes on meanwhile.
#[test]
#[ignore = "root"]
fn resolvers_are_asked_on_request() {
    let pair = Pair::new();
    let directory = TempDir::new("resolve");
    let configuration = directory.file(
        "resolv.conf",
        &format!("nameserver {}\n", pair.b.ip(Ip::V4)),
    );
    let resolver = pair.b.udp(pair.b.addr(Ip::V4, 53));
    resolver.set_read_timeout(Some(SOON)).unwrap();
    // A mount of its own: the machine's file stays as it is.
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec {} -i {} -j -e new,end --resolve -q",
        configuration.display(),
        env!("CARGO_BIN_EXE_udptrack"),
        pair.a.iface()
    );
    let udptrack = Process::start(pair.a.command("unshare").args([
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
    ]));
    let [client, server]: [SocketAddr; 2] = [pair.a.addr(Ip::V4, 4000), pair.b.addr(Ip::V4, 4000)];
    let [client, server] = [pair.a.udp(client), pair.b.udp(server)];
    // Its hooks are on when it writes the connection.
    wait_for("a record", SOON, || {
        send(&client, &server, b"ping");
        (!udptrack.stdout().is_empty()).then_some(())
    });
    let mut asked = Vec::new();
    let mut bytes = [0; 512];
    while asked.len() < 2 {
        let (length, from) = resolver.recv_from(&mut bytes).unwrap();
        let mut message = bytes[..length].to_vec();
        // The second address gets a name, the first none.
        if message.ends_with(&question(2)) {
            message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            message.extend(b"\xc0\x0c\0\x0c\0\x01\0\0\0\x3c\0\x0d\x06server\x04test\0");
        } else {
            assert!(message.ends_with(&question(1)), "{message:02x?}");
            message[2..4].copy_from_slice(&[0x81, 0x83]);
        }
        resolver.send_to(&message, from).unwrap();
        if !asked.contains(&message) {
            asked.push(message);
        }
    }
    // A new connection each time, until the name is there.
    let named = wait_for("a record with the name", SOON, || {
        let client = pair.a.udp(pair.a.addr(Ip::V4, 0));
        send(&client, &server, b"ping");
        let stdout = udptrack.stdout();
        let line = stdout.lines().find(|line| line.contains("server.test"))?;
        serde_json::from_str::<serde_json::Value>(line).ok()
    });
    assert_eq!(named["dest_ip"], "10.88.0.2");
    assert_eq!(named["udptrack"]["dest_hostname"], "server.test");
    assert_eq!(named["udptrack"]["src_hostname"].as_str(), None);
    let ended = udptrack.stop(nix::sys::signal::Signal::SIGINT);
    assert!(ended.status.success(), "{ended:?}");
    // Its own queries are connections as others are.
    assert!(
        ended.stdout.contains("\"dest_port\":53,"),
        "{}",
        ended.stdout
    );
}

/// The question for the name of `10.88.0.HOST`.
fn question(host: u8) -> Vec<u8> {
    let host = char::from(b'0' + host);
    format!("\x01{host}\x010\x0288\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01").into_bytes()
}

/// Whoever can send us frames can send a query and its answer, and so would name any address, our own included.
#[test]
#[ignore = "root"]
fn two_frames_from_outside_name_nothing() {
    let pair = Pair::new();
    let (attacker, stranger) = (Injector::new(&pair.b, pair.b.iface()), "192.0.2.66:5000");
    let mut udptrack = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-v", "-j", "-e", "new"]);
    let client = pair.a.addr(Ip::V4, 4000);
    let server: SocketAddr = "203.0.113.53:53".parse().unwrap();
    let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04evil\x04test\0\0\x01\0\x01";
    attacker.send(&frames::udp(client, server, query));
    attacker.send(&frames::udp(server, client, &forged(7)));
    let stranger: SocketAddr = stranger.parse().unwrap();
    attacker.send(&frames::udp(stranger, client, b"x"));
    let is_new = |line: &str| line.contains("flow_new");
    udptrack.wait_for_lines("both connections", 2, is_new);
    let finished = udptrack.stop();
    let mut flows = 0;
    for record in finished.records() {
        if record["event_type"] != "stats" {
            let names = ["src_hostname", "dest_hostname"].map(|name| &record["udptrack"][name]);
            assert!(names.iter().all(|name| name.is_null()), "{record}");
            flows += 1;
        }
    }
    assert_eq!(flows, 2);
    let said = "names: 0 addresses from 0 DNS answers; refused: 0 malformed, 0 without a query, 1 on the path of their query, 0 with bad names";
    assert!(finished.messages().contains(&said), "{}", finished.stderr);
}
