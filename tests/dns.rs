//! DNS: what dnsperf counts of the answers of a real server, by code, is what the kernel counts and what is read of names.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;

use common::netns::{Netns, Pair};
use common::process::Process;
use common::run::{Finished, Udptrack};
use common::{Ip, SOON, TempDir, wait_for};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::sys::signal::Signal;
use serde_json::Value;
use udptrack::capture::read::Reader;

/// What is asked, with the code and the bit that the server below answers with.
const QUESTIONS: [(&str, &str, &str, bool); 5] = [
    ("good.test", "A", "NOERROR", false),
    ("Missing.test", "AAAA", "NXDOMAIN", false),
    ("fails.example", "A", "SERVFAIL", false),
    ("refused.example", "A", "REFUSED", false),
    ("long.test", "TXT", "NOERROR", true),
];
/// How often each of them is asked by one client.
const ROUNDS: u64 = 30;
/// Queries a second of one client, and how many of them wait at once: below the budget of a CPU on any kernel, also where the client
/// has stood still for a while and makes up for it.
const PACE: u64 = 50;
const WAITING: u64 = 8;

/// A zone with names that are there, and one that is too long for a datagram; one whose servers may not be asked; one that is refused.
fn unbound(pair: &Pair, directory: &TempDir) -> Process {
    let text = "x".repeat(250);
    let configuration = format!(
        r#"server:
    interface: {v4}
    interface: {v6}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    do-daemonize: no
    use-syslog: no
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: "{directory}/pid"
    module-config: "iterator"
    local-zone: "test." static
    local-data: "good.test. A 10.1.2.3"
    local-data: 'long.test. TXT "{text}" "{text}" "{text}"'
    local-zone: "refused.example." refuse
forward-zone:
    name: "fails.example."
    forward-addr: 127.0.0.1
remote-control:
    control-enable: no
"#,
        v4 = pair.b.ip(Ip::V4),
        v6 = pair.b.ip(Ip::V6),
        directory = directory.path().display(),
    );
    let configuration = directory.file("conf", &configuration);
    Process::serve(
        &pair.b,
        pair.b
            .command(directory.program("unbound"))
            .arg("-c")
            .arg(configuration),
        &[pair.b.addr(Ip::V4, 53), pair.b.addr(Ip::V6, 53)],
    )
}

/// Of `0.001234`, which are seconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_once('.')?;
    let nanoseconds: u64 = format!("{rest:0<9}").parse().ok()?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanoseconds)
}

/// What dnsperf says of its queries.
#[derive(Debug)]
struct Performed {
    sent: u64,
    lost: u64,
    codes: BTreeMap<String, u64>,
    /// Average, least, most, in nanoseconds.
    latency_ns: [u64; 3],
}

/// Asks all questions, again and again, and waits for its end.
fn dnsperf(pair: &Pair, ip: Ip, questions: &str) -> Performed {
    let ended = Process::start(
        pair.a
            .command("dnsperf")
            .args(["-s", &pair.b.ip(ip).to_string(), "-d", questions])
            .args(["-n", &ROUNDS.to_string(), "-Q", &PACE.to_string()])
            .args(["-q", &WAITING.to_string()]),
    )
    .wait(SOON)
    .success("dnsperf");
    let value = |name: &str| {
        let mut lines = ended.stdout.lines();
        let found = lines.find_map(|line| line.trim().strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {}", ended.stdout))
            .trim()
    };
    let number = |text: &str| -> u64 { text.split(' ').next().unwrap().parse().unwrap() };
    let codes = value("Response codes:").split(", ").map(|code| {
        let (name, rest) = code.split_once(' ').unwrap();
        (name.to_owned(), number(rest))
    });
    let times = value("Average Latency (s):");
    let times = times.split(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let times: Vec<u64> = times.filter_map(nanoseconds).collect();
    Performed {
        sent: number(value("Queries sent:")),
        lost: number(value("Queries lost:")),
        codes: codes.collect(),
        latency_ns: times.try_into().unwrap(),
    }
}

/// The latest records of a kind.
fn latest<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let all = || records.iter().filter(|record| record["event_type"] == kind);
    let Some(last) = all().next_back() else {
        return Vec::new();
    };
    all()
        .filter(|record| record["timestamp"] == last["timestamp"])
        .collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// Codes that occurred.
fn codes(own: &Value) -> BTreeMap<String, u64> {
    let codes = own["rcodes"].as_object().expect("codes").iter();
    let codes = codes.map(|(name, count)| (name.clone(), number(count)));
    codes.filter(|(_, count)| *count > 0).collect()
}

/// What a run of `udptrack dns` says of a server, beside what dnsperf said of it.
fn assert_server(record: &Value, performed: &Performed) {
    let own = &record["udptrack"];
    assert_eq!(own["protocol"], "dns");
    assert_eq!(number(&own["queries"]), performed.sent);
    assert_eq!(number(&own["answers"]), performed.sent - performed.lost);
    assert_eq!(codes(own), performed.codes);
    assert_eq!(number(&own["truncated"]), ROUNDS);
    let response = &own["response"];
    assert_eq!(number(&response["asked"]), performed.sent);
    assert_eq!(number(&response["lost"]), performed.lost);
    // The hooks are nearer to the wire than dnsperf, which writes microseconds.
    let [mean, min, max] = performed.latency_ns;
    for (ours, theirs) in [("mean_ns", mean), ("min_ns", min), ("max_ns", max)] {
        assert!(
            number(&response[ours]) <= theirs + 1000,
            "{ours} {response} {performed:?}"
        );
    }
}

/// Names that fail, and names that are asked, each with the server and how.
fn assert_names(records: &[Value], pair: &Pair) {
    let told = |kind: &str| -> BTreeMap<(String, String, String, String), u64> {
        let rows = latest(records, kind).into_iter();
        let rows = rows.filter(|record| record["udptrack"]["protocol"] == "dns");
        rows.map(|record| {
            let own = &record["udptrack"];
            assert_eq!(own["program"], "dnsperf");
            assert_eq!(own["count_error"], Value::Null);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = (
                text(&record["dest_ip"]),
                text(&own["name"]),
                text(&own["type"]),
                text(&own["result"]),
            );
            (key, number(&own["count"]))
        })
        .collect()
    };
    let expected = |is_failed: bool| {
        let servers = [Ip::V4, Ip::V6].map(|ip| pair.b.ip(ip).to_string());
        let rows = servers.into_iter().flat_map(|server| {
            QUESTIONS.map(|(name, kind, code, _)| {
                let code = if is_failed { code } else { "" };
                let key = (
                    server.clone(),
                    name.to_lowercase(),
                    kind.to_owned(),
                    code.to_owned(),
                );
                (key, ROUNDS)
            })
        });
        let rows = rows.filter(|((.., code), _)| code != "NOERROR");
        rows.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(told("dns_failed"), expected(true));
    assert_eq!(told("dns_asked"), expected(false));
}

/// EVE has a record for each message: as many of each code as dnsperf has counted.
fn assert_messages(finished: &Finished, all: &[Performed]) {
    let records = finished.records();
    let messages = |kind: &str| -> Vec<&Value> {
        let is_one = |record: &&Value| {
            let is_dns = record["event_type"] == "dns" && record["dest_port"] == 53;
            is_dns && record["dns"]["type"] == kind
        };
        records.iter().filter(is_one).collect()
    };
    let sent: u64 = all.iter().map(|one| one.sent).sum();
    assert_eq!(messages("request").len() as u64, sent);
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for record in messages("response") {
        let dns = &record["dns"];
        assert_eq!(dns["version"], 3);
        let name = dns["queries"][0]["rrname"].as_str().unwrap();
        let (.., code, is_cut) = QUESTIONS.iter().find(|(one, ..)| *one == name).unwrap();
        assert_eq!(
            (&dns["rcode"], dns["tc"] == true),
            (&Value::from(*code), *is_cut)
        );
        *told.entry((*code).to_owned()).or_default() += 1;
    }
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (code, count) in all.iter().flat_map(|one| &one.codes) {
        *expected.entry(code.clone()).or_default() += count;
    }
    assert_eq!(told, expected);
    let stats = latest(&records, "stats");
    let unread = stats[0]["udptrack"]["payloads_unread"].as_object().unwrap();
    assert!(unread.values().all(|count| *count == 0), "{unread:?}");
}

/// A query for a printer, as mDNS and LLMNR have it, to whoever listens there.
fn look_for_a_printer(pair: &Pair, port: u16) -> UdpSocket {
    let listener = pair.b.udp(pair.b.addr(Ip::V4, port));
    let client = pair.a.udp(pair.a.addr(Ip::V4, 0));
    let query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x07printer\x05local\0\0\x0c\0\x01";
    client.send_to(query, pair.b.addr(Ip::V4, port)).unwrap();
    listener
}

#[test]
#[ignore = "root"]
fn codes_names_and_messages_are_those_of_dnsperf() {
    let pair = Pair::new();
    let directory = TempDir::new("dns");
    let server = unbound(&pair, &directory);
    let lines = QUESTIONS.map(|(name, kind, ..)| format!("{name} {kind}\n"));
    let questions = directory.file("questions", &lines.concat());
    let questions = questions.to_str().unwrap();
    let iface = pair.a.iface();
    let mut dns = Udptrack::start(&pair.a, &["dns", "-i", iface, "-j", "-d", "200ms"]);
    let eve = Udptrack::start(&pair.a, &["-i", iface, "-j", "-e", "dns"]);
    let mut table = Udptrack::start(
        &pair.a,
        &[
            "-i", iface, "-n", "--by", "server", "-o", "table", "-d", "200ms",
        ],
    );
    let all = thread::scope(|scope| {
        let run = |ip| {
            let pair = &pair;
            scope.spawn(move || dnsperf(pair, ip, questions))
        };
        [Ip::V4, Ip::V6].map(run).map(|run| run.join().unwrap())
    });
    let listeners = [5353, 5355].map(|port| look_for_a_printer(&pair, port));
    for performed in &all {
        assert_eq!(
            (performed.sent, performed.lost),
            (5 * ROUNDS, 0),
            "{performed:?}"
        );
    }
    // All that was read is in it: the last to pass was the query of LLMNR.
    dns.wait_for_line("all messages", |line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["event_type"] == "dns_messages"
            && record["udptrack"]["read"] == 2 * all.iter().map(|one| one.sent).sum::<u64>() + 2
    });
    let finished = dns.stop().success();
    let records = finished.records();
    let servers = latest(&records, "dns_server");
    for (performed, ip) in all.iter().zip([Ip::V4, Ip::V6]) {
        let address = pair.b.addr(ip, 53);
        let mut servers = servers.iter();
        let server = servers.find(|record| {
            record["dest_ip"] == address.ip().to_string() && record["dest_port"] == 53
        });
        assert_server(server.expect("the server"), performed);
    }
    assert_names(&records, &pair);
    // Apart: nobody has to answer them.
    for (port, protocol) in [(5353, "mdns"), (5355, "llmnr")] {
        let mut servers = servers.iter();
        let server = servers
            .find(|record| record["dest_port"] == port)
            .expect("a server");
        let own = &server["udptrack"];
        assert_eq!(
            (&own["protocol"], number(&own["queries"])),
            (&Value::from(protocol), 1)
        );
        let asked = latest(&records, "dns_asked");
        let mut asked = asked.iter();
        let name = asked
            .find(|record| record["udptrack"]["protocol"] == protocol)
            .expect("a name");
        assert_eq!(name["udptrack"]["name"], "printer.local");
    }
    assert_messages(&eve.stop().success(), &all);
    // Of the errors, SERVFAIL and REFUSED, both of a fifth; that there is no such name is none.
    let asked = format!(" {} ", 5 * ROUNDS);
    for ip in [Ip::V4, Ip::V6] {
        let server = pair.b.addr(ip, 53).to_string();
        let line = table.wait_for_line("how the server fails", |line| {
            line.contains(&server) && line.contains(&asked) && line.contains("40%")
        });
        assert!(line.contains(" 20% SERVFAIL, …  "), "{line}");
    }
    drop(table.stop().success());
    drop((server, listeners));
}

/// What nobody answers is told as that, and names stay where nobody asked for them.
#[test]
#[ignore = "root"]
fn what_is_not_answered_and_what_is_not_told() {
    let pair = Pair::new();
    let silent = pair.b.udp(pair.b.addr(Ip::V6, 53));
    let iface = pair.a.iface();
    let mut dns = Udptrack::start(&pair.a, &["dns", "-i", iface, "-j", "-d", "500ms"]);
    let flows = Udptrack::start(&pair.a, &["-i", iface, "-j", "-n"]);
    let ended = Process::start(
        pair.a
            .command("dig")
            .arg(format!("@{}", pair.b.ip(Ip::V6)))
            .args(["+tries=1", "+time=1", "secret.test"]),
    )
    .wait(SOON);
    assert!(!ended.status.success(), "{ended:?}");
    let line = dns.wait_for_line("that it failed", |line| line.contains("\"dns_failed\""));
    let record: Value = serde_json::from_str(&line).unwrap();
    let own = &record["udptrack"];
    assert_eq!(
        (&own["name"], &own["result"]),
        (&"secret.test".into(), &"no answer".into())
    );
    assert_eq!((number(&own["count"]), &own["program"]), (1, &"dig".into()));
    drop(dns.stop().success());
    let flows = flows.stop().success();
    assert!(!flows.stdout.concat().contains("secret"), "{flows:?}");
    let records = flows.records();
    let flow = latest(&records, "flow")[0];
    assert_eq!(number(&flow["udptrack"]["dns"]["queries"]), 1);
    assert_eq!(number(&flow["udptrack"]["dns"]["answers"]), 0);
    drop(silent);
}

/// Queries and answers of each server in a capture, by the bit in their headers. A server is who is on the port of the service; of two on
/// it, the group that is spoken to.
fn captured(capture: &Path) -> BTreeMap<SocketAddr, [u64; 2]> {
    let mut reader = Reader::open(capture).unwrap();
    let mut counts: BTreeMap<SocketAddr, [u64; 2]> = BTreeMap::new();
    while let Some(frame) = reader.next().unwrap() {
        let packet = SlicedPacket::from_ethernet(frame.data).unwrap();
        let (from, to): (IpAddr, IpAddr) = match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            NetSlice::Ipv6(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            NetSlice::Arp(_) => panic!("that is no UDP"),
        };
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            panic!("that is no UDP");
        };
        let to = SocketAddr::new(to, udp.destination_port());
        let from = SocketAddr::new(from, udp.source_port());
        let is_asked = [5353, 5355].contains(&to.port());
        let server = if is_asked { to } else { from };
        counts.entry(server).or_default()[usize::from(udp.payload()[2] >> 7)] += 1;
    }
    counts
}

/// A responder of mDNS, which tells the link who it is. It needs a user of its own.
fn avahi(netns: &Netns, directory: &TempDir) -> Process {
    let name = netns.name();
    let users = |file: &str, line: &str| {
        let users = std::fs::read_to_string(format!("/etc/{file}")).unwrap();
        directory.file(file, &format!("{users}{line}\n"))
    };
    let configuration = format!(
        "[server]\nhost-name={name}\nallow-interfaces={}\nenable-dbus=no\n",
        netns.iface()
    );
    let script = format!(
        "mount -t tmpfs none /run && mount --bind {} /etc/passwd && mount --bind {} /etc/group &&
         exec {} --no-drop-root --no-chroot --no-rlimits --file={}",
        users("passwd", "avahi:x:900:900::/:/bin/false").display(),
        users("group", "avahi:x:900:").display(),
        directory.program("avahi-daemon").display(),
        directory.file("configuration", &configuration).display(),
    );
    let mut avahi = netns.command("unshare");
    let process = Process::start(avahi.args(["--mount", "sh", "-c", &script]));
    wait_for("avahi-daemon", SOON, || {
        let is_there = process.stderr().contains("Server startup complete");
        is_there.then_some(())
    });
    process
}

/// Real responders of mDNS and LLMNR, and who asks them: each message is counted at its server, apart from DNS.
#[test]
#[ignore = "root"]
fn mdns_and_llmnr_of_real_programs() {
    let pair = Pair::new();
    for end in [&pair.a, &pair.b] {
        end.ip_batch(&format!("route add 224.0.0.0/4 dev {}", end.iface()));
    }
    let directories = ["a", "b"].map(|end| TempDir::new(&format!("mdns-{end}")));
    let capture = directories[0].path().join("capture");
    let mut tcpdump = pair.a.command("tcpdump");
    tcpdump
        .args(["-i", pair.a.iface(), "--immediate-mode", "-U", "-w"])
        .arg(&capture)
        .args(["udp"]);
    let tcpdump = Process::start(&mut tcpdump);
    wait_for("tcpdump", SOON, || {
        tcpdump.stderr().contains("listening").then_some(())
    });
    let arguments = ["dns", "-i", pair.a.iface(), "-j", "-d", "200ms"];
    let mut dns = Udptrack::start(&pair.a, &arguments);
    let responders = [(&pair.a, 0), (&pair.b, 1)].map(|(end, at)| avahi(end, &directories[at]));
    let name = pair.b.name();
    // From its own port, and not to the group: so dig does not take it for its answer.
    let mut dig = pair.a.command("dig");
    dig.args([
        "+norec",
        "+tries=1",
        "+time=1",
        "-p",
        "5353",
        "@224.0.0.251",
    ])
    .arg(format!("{name}.local"));
    drop(Process::start(&mut dig).wait(SOON));
    let mut llmnrd = pair.b.command(directories[1].program("llmnrd"));
    llmnrd.args(["--interface", pair.b.iface(), "--hostname", "printer"]);
    let llmnrd = Process::serve(&pair.b, &mut llmnrd, &["0.0.0.0:5355".parse().unwrap()]);
    // It is bound before it is in the group, 224.0.0.252.
    let groups = format!("/proc/{}/net/igmp", llmnrd.pid());
    wait_for("llmnrd in its group", SOON, || {
        fs::read_to_string(&groups)
            .unwrap()
            .contains("FC0000E0")
            .then_some(())
    });
    let mut query = pair.a.command(directories[0].program("llmnr-query"));
    query
        .args(["-c", "2", "-i", "300", "-I", pair.a.iface()])
        .arg("printer");
    let said = Process::run(&mut query).stdout;
    assert_eq!(said.matches("LLMNR response: printer").count(), 2, "{said}");
    // They say goodbye.
    for responder in responders {
        drop(responder.stop(Signal::SIGTERM));
    }
    drop(llmnrd.stop(Signal::SIGTERM));
    drop(tcpdump.stop(Signal::SIGINT));
    let expected = captured(&capture);
    let all: u64 = expected.values().flatten().sum();
    dns.wait_for_line("all messages", |line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["event_type"] == "dns_messages" && record["udptrack"]["read"] == all
    });
    let finished = dns.stop().success();
    let records = finished.records();
    let servers = latest(&records, "dns_server");
    let told = servers.iter().map(|record| {
        let own = &record["udptrack"];
        let ip: IpAddr = record["dest_ip"].as_str().unwrap().parse().unwrap();
        let port = u16::try_from(number(&record["dest_port"])).unwrap();
        let service = if port == 5353 { "mdns" } else { "llmnr" };
        assert_eq!(own["protocol"], service);
        let counts = ["queries", "answers"].map(|count| number(&own[count]));
        (SocketAddr::new(ip, port), counts)
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), expected);
    let [v4, llmnr] = ["224.0.0.251:5353", "224.0.0.252:5355"].map(|group| group.parse().unwrap());
    assert_eq!(expected[&llmnr], [2, 0]);
    assert_eq!(expected[&pair.b.addr(Ip::V4, 5355)], [0, 2]);
    assert_eq!(expected[&pair.b.addr(Ip::V4, 5353)], [0, 1]);
    let [asked, answers] = expected[&v4];
    assert!(asked > 2 && answers > 2, "{expected:?}");
    // Nobody is dead for that.
    assert!(!finished.stderr.contains("dead"), "{}", finished.stderr);
}
