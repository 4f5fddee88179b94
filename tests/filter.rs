//! Filter expressions: the kernel's form says what the tree says; and on a wire, with real programs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use common::expressions::expression;
use common::netns::Pair;
use common::process::Process;
use common::random::Rng;
use common::run::Udptrack;
use common::traffic::{Talk, connection, volume};
use common::witness::Count;
use common::{Ip, TempDir, four_ways_at_once};
use udptrack::filter::{Filter, Program, Subject, Target, Vocabulary, Word};
use udptrack::model::services::Services;
use udptrack::model::{Processes, Vlans};

four_ways_at_once!(ports directions);

fn filter(text: &str) -> Filter {
    let services = Services::default();
    let vocabulary = Vocabulary {
        services: &services,
        user_space: false,
    };
    Filter::parse(text, vocabulary).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a packet's word holds: as `bpf/filter.h` says it, without using anything of it.
fn word(subject: &Subject<'_>, word: Word) -> u64 {
    let halves = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => [u32::from_ne_bytes(ip.octets()).into(), 0xdead],
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            [0, 8].map(|at| u64::from_ne_bytes(octets[at..at + 8].try_into().unwrap()))
        }
    };
    let (source, destination) = (subject.originator, subject.responder);
    match word {
        Word::SourceHigh => halves(source.ip())[0],
        Word::SourceLow => halves(source.ip())[1],
        Word::DestinationHigh => halves(destination.ip())[0],
        Word::DestinationLow => halves(destination.ip())[1],
        Word::SourcePort => source.port().into(),
        Word::DestinationPort => destination.port().into(),
        Word::Vlans => u64::from(subject.vlans.inner) << 16 | u64::from(subject.vlans.outer),
    }
}

/// Runs the tests as the kernel does; that they go forward is asserted on the way.
fn run(program: &Program, subject: &Subject<'_>) -> bool {
    let mut target = if subject.originator.is_ipv4() {
        program.first4
    } else {
        program.first6
    };
    let mut before = None;
    loop {
        let index = match target {
            Target::Wanted => return true,
            Target::Unwanted => return false,
            Target::Test(index) => usize::from(index),
        };
        assert!(before.is_none_or(|before| before < index));
        before = Some(index);
        let test = program.tests[index];
        let passed = (word(subject, test.word) & test.mask).wrapping_sub(test.least) <= test.span;
        target = if passed { test.yes } else { test.no };
    }
}

fn end(rng: &mut Rng, v6: bool) -> SocketAddr {
    let host = rng.between(1, 3);
    let text = if rng.once_in(8) {
        let odd = if v6 {
            ["::", "fd88:0:0:1::1", "::ffff:10.88.0.1"]
        } else {
            ["0.0.0.0", "11.0.0.1", "255.255.255.255"]
        };
        rng.pick(&odd).to_owned()
    } else if v6 {
        format!("fd88::{host}")
    } else {
        format!("10.88.0.{host}")
    };
    let port = rng.pick(&[0, 53, 123, 124, 40000, 65535]);
    SocketAddr::new(text.parse().unwrap(), port)
}

/// Expressions of up to 40 conditions; each on hundreds of tuples, in both directions.
#[test]
fn the_kernels_form_says_what_the_tree_says() {
    let mut rng = Rng::from_environment();
    let (mut wanted, mut asked, mut directed) = (0, 0, 0);
    for round in 0..3000 {
        let text = expression(&mut rng, 1 + round % 40);
        let filter = filter(&text);
        let Ok(program) = filter.compile() else {
            continue;
        };
        let program = program.unwrap();
        assert_eq!(program.directed, filter.is_directed(), "{text}");
        directed += u32::from(program.directed);
        for _ in 0..60 {
            let v6 = rng.once_in(2);
            let subject = Subject {
                vlans: Vlans {
                    outer: rng.pick(&[0, 0, 5, 7, 4095]),
                    inner: rng.pick(&[0, 0, 5, 7]),
                },
                originator: end(&mut rng, v6),
                responder: end(&mut rng, v6),
                status: None,
                spoken: None,
                processes: Processes::default(),
            };
            let back = Subject {
                originator: subject.responder,
                responder: subject.originator,
                ..subject
            };
            let answers = [subject, back].map(|subject| {
                let expected = filter.wants_subject(&subject);
                assert_eq!(run(&program, &subject), expected, "{text}: {subject:?}");
                expected
            });
            assert!(
                program.directed || answers[0] == answers[1],
                "{text}: {subject:?}"
            );
            wanted += u32::from(answers[0]);
            asked += 1;
        }
    }
    println!("{wanted} of {asked} wanted, {directed} filters with src or dst");
    assert!(wanted > asked / 10 && wanted < asked / 10 * 9 && directed > 500);
}

fn talk(pair: &Pair, ip: Ip, client: u16, server: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, client)),
        pair.b.udp(pair.b.addr(ip, server)),
    )
}

/// The words behind the flags; what does not fit is in the books as filtered, to the byte, and in no output.
fn ports(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let other = match ip {
        Ip::V4 => Ip::V6,
        Ip::V6 => Ip::V4,
    };
    let not_host = format!("{}", pair.b.ip(other));
    let mut udptrack = Udptrack::start(
        &pair.a,
        &[
            "-i",
            pair.a.iface(),
            "--hook",
            hook,
            "-j",
            "port",
            "4000",
            "or",
            "4001",
            "and",
            "not",
            "host",
            &not_host,
        ],
    );
    let said = udptrack.wait_for_message("the filter", |line| line.contains("filtered"));
    assert_eq!(
        said,
        format!(
            "udptrack: only port 4000 or 4001 and not host {not_host}; all other packets count as filtered"
        )
    );
    let mut wanted = [talk(&pair, ip, 45_000, 4000), talk(&pair, ip, 4001, 45_000)];
    let mut unwanted = [
        talk(&pair, ip, 45_001, 4002),
        talk(&pair, other, 45_000, 4000),
    ];
    for talk in wanted.iter_mut().chain(&mut unwanted) {
        for _ in 0..3 {
            talk.turn();
        }
        talk.ask(1000);
    }
    let finished = udptrack.stop().success();
    assert_eq!(
        finished.connections(),
        wanted.iter().map(Talk::entry).collect()
    );
    let stats = finished.assert_books();
    assert_eq!(
        stats.skipped["filtered"],
        unwanted.iter().map(Talk::total).sum()
    );
    assert_eq!(stats.tracked, wanted.iter().map(Talk::total).sum());
    assert!(
        finished
            .stderr
            .lines()
            .any(|line| line.trim_start().starts_with("filtered "))
    );
}

/// `src` and `dst` are who opens: with the client's side wanted its connection is whole, with the server's nothing is.
fn directions(ip: Ip, hook: &str) {
    let pair = Pair::new();
    let client = pair.a.ip(ip).to_string();
    let server = pair.b.ip(ip).to_string();
    for (words, counted) in [
        (vec!["src", "host", &client], true),
        (vec!["dst", "host", &server], true),
        (vec!["dst", "port", "4000"], true),
        (
            vec!["src", "host", &client, "and", "dst", "port", "4000"],
            true,
        ),
        (vec!["src", "port", "4001"], false),
        (
            vec!["dst", "port", "45000", "and", "src", "host", &client],
            false,
        ),
    ] {
        let runs = [&pair.a, &pair.b].map(|netns| {
            let mut arguments = vec!["-i", netns.iface(), "--hook", hook, "-j"];
            arguments.extend(&words);
            Udptrack::start(netns, &arguments)
        });
        let mut talk = talk(&pair, ip, 45_000, 4000);
        talk.turn();
        talk.turn();
        talk.answer(300);
        for finished in runs.map(|run| run.stop().success()) {
            let stats = finished.assert_books();
            let filtered = stats.skipped.get("filtered").copied().unwrap_or_default();
            if counted {
                assert_eq!(finished.connections(), [talk.entry()].into(), "{words:?}");
                assert_eq!(filtered, Count::default(), "{words:?}");
            } else {
                assert!(finished.connections().is_empty(), "{words:?}");
                assert_eq!(filtered, talk.total(), "{words:?}");
            }
        }
    }
    // What the server says first is filtered; the client opens when it answers, and is the originator.
    let udptrack = Udptrack::start(
        &pair.a,
        &[
            "-i",
            pair.a.iface(),
            "--hook",
            hook,
            "-j",
            "src",
            "host",
            &client,
        ],
    );
    let mut talk = talk(&pair, ip, 45_000, 4000);
    talk.answer(10);
    talk.turn();
    let finished = udptrack.stop().success();
    let connections = finished.connections();
    let (key, volume) = connections.iter().next().unwrap();
    assert_eq!(
        *key,
        connection(pair.a.addr(ip, 45_000), pair.b.addr(ip, 4000))
    );
    assert_eq!((volume.toserver.packets, volume.toclient.packets), (1, 1));
    assert_eq!(finished.assert_books().skipped["filtered"].packets, 1);
}

/// dig asks over both families; one family is wanted, by flag and by word, and its query alone is a connection.
#[test]
#[ignore = "root"]
fn queries_of_dig_over_one_family() {
    let pair = Pair::new();
    let directory = TempDir::new("dnsmasq");
    let servers = [Ip::V4, Ip::V6].map(|ip| pair.b.addr(ip, 53));
    let mut command = pair.b.command("dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
        ])
        .args([
            "--no-hosts",
            "--bind-interfaces",
            "--user=root",
            "--address=/test/10.1.2.3",
        ])
        .arg(format!("--pid-file={}/pid", directory.path().display()));
    for server in servers {
        command.arg(format!("--listen-address={}", server.ip()));
    }
    let server = Process::serve(&pair.b, &mut command, &servers);
    for (arguments, wanted) in [
        (["-4", "port", "53"], Some(Ip::V4)),
        (["-6", "dst", "domain"], None),
        (["ip6", "port", "53"], Some(Ip::V6)),
        (["-6", "port", "domain"], Some(Ip::V6)),
    ] {
        let mut line = vec!["-i", pair.b.iface(), "-j"];
        line.extend(arguments);
        let Some(wanted) = wanted else {
            let finished = Udptrack::spawn(&pair.b, &line).wait().failure(2);
            assert!(
                finished.stderr.contains("expected an address after `dst`"),
                "{finished:?}"
            );
            continue;
        };
        let udptrack = Udptrack::start(&pair.b, &line);
        let mut expected = BTreeMap::new();
        let mut filtered = Count::default();
        for (ip, port) in [(Ip::V4, 40_001), (Ip::V6, 40_002)] {
            let client = pair.a.addr(ip, port);
            let server = pair.b.addr(ip, 53);
            let dig = Process::run(
                pair.a
                    .command("dig")
                    .args(["-b", &format!("{}#{port}", client.ip())])
                    .arg(format!("@{}", server.ip()))
                    .args(["+qr", "+time=10", "+tries=1", "a.test", "A"]),
            );
            assert!(dig.stdout.contains("10.1.2.3"), "{}", dig.stdout);
            let size = |what: &str| -> u64 {
                let rest = dig.stdout.split(what).nth(1).expect(what);
                rest.split_whitespace().next().unwrap().parse().unwrap()
            };
            let talk = volume(ip, &[size(";; QUERY SIZE:")], &[size(";; MSG SIZE  rcvd:")]);
            if ip == wanted {
                expected.insert(connection(client, server), talk);
            } else {
                filtered += [talk.toserver, talk.toclient].into_iter().sum();
            }
        }
        let finished = udptrack.stop().success();
        assert_eq!(finished.connections(), expected, "{arguments:?}");
        assert_eq!(
            finished.assert_books().skipped["filtered"],
            filtered,
            "{arguments:?}"
        );
    }
    drop(server);
}
