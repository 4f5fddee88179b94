//! The maps of the first document, as others read them: names, keys and first words, what is in them and when, and that the sums
//! stay true when addresses make room for others.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use common::bpffs::{Bpffs, UDPTRACK};
use common::finished::Finished;
use common::generator::{Generator, Pattern, is_possible};
use common::kernel::{can_keep, links};
use common::maps::Map;
use common::netns::{Injector, Netns, Pair};
use common::process::Process;
use common::run::Udptrack;
use common::traffic::{Talk, count};
use common::witness::Count;
use common::{Ip, SOON, TempDir, both_families_at_once, frames, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

both_families_at_once!(every_state_of_a_connection the_longest_idle_address_makes_room);

/// Those of the first document's words.
const ESTABLISHED: u32 = 2;
const REPLIED: u32 = 3;
const ASSURED: u32 = 4;
const UNREACHABLE: u32 = 5;

/// Ticks come with snapshots, here ten a second.
const OFTEN: [&str; 5] = ["-j", "-e", "new,data,end", "-d", "100ms"];

/// By address: bytes and packets.
type Addresses = BTreeMap<IpAddr, Count>;

/// The published maps of a run.
struct Published {
    track: Map,
    stats: Map,
    addresses: [Map; 2],
    publishing: Map,
}

impl Published {
    /// Of a run that has so many links.
    fn of(udptrack: &Udptrack, links: usize) -> Self {
        let objects = udptrack.objects(links);
        let map = |name| Map::of(&objects, name);
        Self {
            track: map("connection_trac"),
            stats: map("connection_stat"),
            addresses: [map("ip_stats"), map("ip6_stats")],
            publishing: map(".data.publish"),
        }
    }

    /// By connection id: the state, which is the whole value.
    fn states(&self) -> BTreeMap<u64, u32> {
        let elements = self.track.elements().into_iter();
        let entry =
            |(key, value): (Vec<u8>, Vec<u8>)| (word(&key), u32::from_ne_bytes(exactly(&value)));
        elements.map(entry).collect()
    }

    /// By connection id: the bytes, which are the first word of the value.
    fn bytes(&self) -> BTreeMap<u64, u64> {
        let elements = self.stats.elements().into_iter();
        elements
            .map(|(key, value)| (word(&key), word(&value[..8])))
            .collect()
    }

    /// The first two words of a value are bytes and packets.
    fn addresses(&self) -> Addresses {
        let elements = self.addresses.iter().flat_map(Map::elements);
        let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
            let address = match key.len() {
                4 => IpAddr::from(exactly::<4>(&key)),
                _ => IpAddr::from(exactly::<16>(&key)),
            };
            let count = Count {
                bytes: word(&value[..8]),
                packets: word(&value[8..16]),
            };
            (address, count)
        };
        elements.map(entry).collect()
    }

    /// How many entries the kernel says that there are, what found none, and what had one that made room for others.
    fn books_of_addresses(&self) -> (usize, Count, Count) {
        let value = &self.publishing.values()[0][".data.publish"][0]["publishing"];
        let number = |value: &Value| value.as_u64().unwrap();
        let count = |value: &Value| Count {
            packets: number(&value["packets"]),
            bytes: number(&value["bytes"]),
        };
        let entries = usize::try_from(number(&value["addresses"])).unwrap();
        (
            entries,
            count(&value["without_entry"]),
            count(&value["given_up"]),
        )
    }

    /// Waits for the tick in which all that was sent is published: each packet once for each of its two addresses.
    fn wait_for_sums(&self, sent: Count) -> Addresses {
        let addresses = wait_for("the sums over all addresses", SOON, || {
            let addresses = self.addresses();
            let (entries, without_entry, given_up) = self.books_of_addresses();
            let sum: Count = addresses
                .values()
                .copied()
                .chain([without_entry, given_up])
                .sum();
            (sum == twice(sent) && entries == addresses.len()).then_some(addresses)
        });
        assert_eq!(self.addresses(), addresses);
        addresses
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(exactly(bytes))
}

fn twice(count: Count) -> Count {
    [count, count].into_iter().sum()
}

fn start(netns: &Netns, arguments: &[&str]) -> Udptrack {
    Udptrack::start(
        netns,
        &[
            &["-i", netns.iface(), "--hook", "xdp"],
            &OFTEN[..],
            arguments,
        ]
        .concat(),
    )
}

fn talk(pair: &Pair, ip: Ip, client: u16, server: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(ip, client)),
        pair.b.udp(pair.b.addr(ip, server)),
    )
}

/// The id of the connection that a socket with this port began, as its `new` record has it.
fn id(udptrack: &mut Udptrack, client: u16) -> u64 {
    let port = format!("\"src_port\":{client},");
    let line = udptrack.wait_for_line("the beginning", |line| {
        line.contains(&port) && line.contains("\"event\":\"new\"")
    });
    let record: Value = serde_json::from_str(&line).unwrap();
    let id = record["udptrack"]["conn_id"].as_str().unwrap();
    u64::from_str_radix(id.strip_prefix("0x").unwrap(), 16).unwrap()
}

#[test]
#[ignore = "root"]
fn they_have_the_forms_of_the_first_document() {
    let pair = Pair::new();
    let room = ["--max-connections", "500", "--max-ips", "300"];
    let udptrack = Udptrack::start(
        &pair.a,
        &[&["-i", pair.a.iface(), "--hook", "xdp"], &room[..]].concat(),
    );
    let maps = Published::of(&udptrack, links("xdp"));
    let [v4, v6] = &maps.addresses;
    for (map, key, value, entries) in [
        (&maps.track, 8, 4, 500),
        (&maps.stats, 8, 16, 500),
        (v4, 4, 24, 300),
        (v6, 16, 24, 300),
    ] {
        assert_eq!(map.info["type"], "hash", "{:?}", map.info);
        assert_eq!(map.info["bytes_key"], key, "{:?}", map.info);
        assert_eq!(map.info["bytes_value"], value, "{:?}", map.info);
        assert_eq!(map.info["max_entries"], entries, "{:?}", map.info);
    }
    let _ = udptrack.stop().success();
}

/// One connection for each state, in a table of which everything is known.
fn every_state_of_a_connection(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = start(&pair.a, &[]);
    let maps = Published::of(&udptrack, links("xdp"));
    let mut talks = [45_000, 45_001, 45_002].map(|port| talk(&pair, ip, port, port - 41_000));
    talks[0].ask(10);
    talks[1].turn();
    talks[2].turn();
    thread::sleep(Duration::from_millis(2100));
    talks[2].ask(1000);
    let ids = [45_000, 45_001, 45_002].map(|port| id(&mut udptrack, port));
    let mut states: BTreeMap<_, _> = ids
        .into_iter()
        .zip([ESTABLISHED, REPLIED, ASSURED])
        .collect();
    let mut bytes: BTreeMap<_, _> = ids
        .into_iter()
        .zip(talks.each_ref().map(|talk| talk.total().bytes))
        .collect();
    wait_for("the three states", SOON, || {
        (maps.states() == states).then_some(())
    });
    assert_eq!(maps.bytes(), bytes);
    let mut sent: Count = talks.iter().map(Talk::total).sum();
    let hosts = [pair.a.ip(ip), pair.b.ip(ip)];
    assert_eq!(
        maps.wait_for_sums(sent),
        hosts.map(|host| (host, sent)).into()
    );

    // Nobody listens; as long as it is asked, the connection does not end.
    let (client, closed) = (pair.a.udp(pair.a.addr(ip, 45_003)), pair.b.addr(ip, 4003));
    client.send_to(&[1; 30], closed).unwrap();
    let mut tries = 1;
    let unreachable = id(&mut udptrack, 45_003);
    states.insert(unreachable, UNREACHABLE);
    wait_for("the state of what cannot be reached", SOON, || {
        let there = maps.states() == states;
        if !there {
            client.send_to(&[1; 30], closed).unwrap();
            tries += 1;
        }
        there.then_some(())
    });
    let asked = count(ip, &vec![30; tries]);
    sent += asked;
    bytes.insert(unreachable, asked.bytes);
    wait_for("its bytes", SOON, || (maps.bytes() == bytes).then_some(()));
    assert_eq!(
        maps.wait_for_sums(sent),
        hosts.map(|host| (host, sent)).into()
    );

    // What has ended is in the maps of connections no more; its addresses had it all the same.
    udptrack.wait_for_line("the end", |line| {
        line.contains("\"end_reason\":\"UNREACH\"")
    });
    states.remove(&unreachable);
    bytes.remove(&unreachable);
    wait_for("its removal", SOON, || {
        (maps.states() == states).then_some(())
    });
    assert_eq!(maps.bytes(), bytes);
    assert_eq!(
        maps.wait_for_sums(sent),
        hosts.map(|host| (host, sent)).into()
    );
    let ended = udptrack.stop().success().assert_books();
    assert_eq!((ended.tracked, ended.addresses), (sent, 2));
    assert_eq!(ended.ip_table_full, Count::default());
}

/// Where nobody wants them there is nothing in them, and all else is the same.
#[test]
#[ignore = "root"]
fn without_maps() {
    let pair = Pair::new();
    let mut udptrack = start(&pair.a, &["--no-maps", "--udp-timeout", "1s"]);
    let maps = Published::of(&udptrack, links("xdp"));
    let mut talks = [Ip::V4, Ip::V6].map(|ip| talk(&pair, ip, 45_000, 4000));
    for talk in &mut talks {
        talk.turn();
    }
    // A tick has passed.
    udptrack.wait_for_lines("both ends", 2, |line| line.contains("IDLE"));
    for talk in &mut talks {
        talk.turn();
    }
    udptrack.wait_for_lines("both ends", 4, |line| line.contains("IDLE"));
    assert_eq!(
        (maps.states(), maps.bytes()),
        (BTreeMap::new(), BTreeMap::new())
    );
    assert_eq!(maps.addresses(), Addresses::new());
    let [v4, v6] = &maps.addresses;
    for map in [&maps.track, &maps.stats, v4, v6] {
        assert_eq!(map.info["max_entries"], 1, "{:?}", map.info);
    }
    let stats = udptrack.stop().success().assert_books();
    assert_eq!(stats.tracked, talks.iter().map(Talk::total).sum());
    assert_eq!(
        (stats.addresses, stats.ip_table_full),
        (0, Count::default())
    );
}

/// More connections than the maps have room for live in places that the table has beside: when one ends, another takes its entries.
#[test]
#[ignore = "root"]
fn entries_that_become_free_are_taken() {
    let pair = Pair::new();
    let timeouts = ["--udp-timeout", "1s", "--stream-timeout", "1s"];
    let mut udptrack = start(
        &pair.a,
        &[&["--max-connections", "1"], &timeouts[..]].concat(),
    );
    let maps = Published::of(&udptrack, links("xdp"));
    let ports = [45_000, 45_001, 45_002];
    let [mut first, mut second, mut third] =
        ports.map(|port| talk(&pair, Ip::V4, port, port - 1000));
    first.turn();
    let of_first = id(&mut udptrack, 45_000);
    wait_for("the first one", SOON, || {
        (maps.states() == [(of_first, REPLIED)].into()).then_some(())
    });
    // Nothing will change of them but counts.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2200) {
        for talk in [&mut first, &mut second, &mut third] {
            talk.turn();
        }
        thread::sleep(Duration::from_millis(20));
    }
    let others = wait_for("another one in its place", SOON, || {
        for talk in [&mut second, &mut third] {
            talk.turn();
        }
        let states = maps.states();
        let is_other = states.len() == 1 && !states.contains_key(&of_first);
        (is_other && states.keys().eq(maps.bytes().keys())).then_some(states)
    });
    let ids = [45_001, 45_002].map(|port| id(&mut udptrack, port));
    for (id, state) in others {
        assert!(ids.contains(&id) && state == ASSURED);
    }
    let sent = [&first, &second, &third].map(Talk::total).into_iter().sum();
    maps.wait_for_sums(sent);
    let ended = udptrack.stop().success().assert_books();
    assert_eq!((ended.tracked, ended.skipped), (sent, [].into()));
}

/// A server, and clients one after the other; room for four addresses.
struct Crowd<'a> {
    ip: Ip,
    injector: Injector,
    server: SocketAddr,
    maps: &'a Published,
    sent: Count,
}

impl Crowd<'_> {
    fn client(&self, host: u8) -> SocketAddr {
        let host = match self.ip {
            Ip::V4 => IpAddr::from([10, 88, 0, 100 + host]),
            Ip::V6 => IpAddr::from([0xfd88, 0, 0, 0, 0, 0, 0, 100 + u16::from(host)]),
        };
        SocketAddr::new(host, 45_000)
    }

    /// A packet of a client.
    fn send(&mut self, host: u8, payload: u8) -> Count {
        let frame = frames::udp(self.client(host), self.server, &vec![1; payload.into()]);
        self.injector.send(&frame);
        let packet = count(self.ip, &[payload.into()]);
        self.sent += packet;
        packet
    }

    /// Waits until those are the addresses of clients, beside the server's, which had everything, and those the books.
    fn expect(&self, clients: &[(u8, Count)], without_entry: &[Count], given_up: &[Count]) {
        let clients = clients
            .iter()
            .map(|(host, sum)| (self.client(*host).ip(), *sum));
        let addresses: Addresses = clients.chain([(self.server.ip(), self.sent)]).collect();
        let sum = |counts: &[Count]| counts.iter().copied().sum::<Count>();
        let books = (addresses.len(), sum(without_entry), sum(given_up));
        wait_for(&format!("{addresses:?}, {books:?}"), SOON, || {
            let is_there =
                self.maps.addresses() == addresses && self.maps.books_of_addresses() == books;
            is_there.then_some(())
        });
        let all = addresses.into_values().chain([books.1, books.2]);
        assert_eq!(all.sum::<Count>(), twice(self.sent));
    }
}

fn the_longest_idle_address_makes_room(ip: Ip) {
    let pair = Pair::new();
    let mut udptrack = start(&pair.b, &["--max-ips", "4", "--no-egress"]);
    let maps = Published::of(&udptrack, 1);
    let server = pair.b.addr(ip, 4000);
    let _bound = pair.b.udp(server);
    let mut crowd = Crowd {
        ip,
        injector: Injector::new(&pair.a, pair.a.iface()),
        server,
        maps: &maps,
        sent: Count::default(),
    };
    let [first, second, third] = [1, 2, 3].map(|host| {
        let packet = crowd.send(host, 10 * host);
        // In a tick of its own.
        crowd.maps.wait_for_sums(crowd.sent);
        packet
    });
    crowd.expect(&[(1, first), (2, second), (3, third)], &[], &[]);
    // The fourth finds no room, and the first, idle for longest, makes some.
    let refused = crowd.send(4, 40);
    crowd.expect(&[(2, second), (3, third)], &[refused], &[first]);
    udptrack.wait_for_message("that addresses make room", |line| {
        line == "udptrack: ip_stats is full: new addresses replace those that were idle longest. Raise --max-ips to hold more addresses"
    });
    let fourth = crowd.send(4, 50);
    crowd.expect(
        &[(2, second), (3, third), (4, fourth)],
        &[refused],
        &[first],
    );
    // The second becomes the most recent one; so it is the third that makes room for the first, which begins anew.
    let second = [second, crowd.send(2, 60)].into_iter().sum();
    crowd.expect(
        &[(2, second), (3, third), (4, fourth)],
        &[refused],
        &[first],
    );
    let again = crowd.send(1, 70);
    crowd.expect(
        &[(2, second), (4, fourth)],
        &[refused, again],
        &[first, third],
    );
    let anew = crowd.send(1, 80);
    let clients = [(1, anew), (2, second), (4, fourth)];
    crowd.expect(&clients, &[refused, again], &[first, third]);

    let finished = udptrack.stop().success();
    let stats = finished.assert_books();
    assert_eq!((stats.tracked, stats.addresses), (crowd.sent, 4));
    let missing: Count = [refused, again, first, third].into_iter().sum();
    assert_eq!(stats.ip_table_full, missing);
    let advice = format!("addresses: {} packets (", missing.packets);
    assert!(finished.stderr.contains(&advice), "{}", finished.stderr);
    assert!(
        finished
            .stderr
            .contains("Raise --max-ips above 4 to hold more")
    );
    assert_eq!(
        finished
            .messages()
            .iter()
            .filter(|line| line.contains("ip_stats is full"))
            .count(),
        1
    );
}

/// Many addresses of both families, and room for some: whatever goes and comes, nothing is lost and nothing doubled.
#[test]
#[ignore = "root"]
fn the_sums_stay_true_while_addresses_come_and_go() {
    const ROOM: usize = 16;
    let pair = Pair::new();
    let room = ROOM.to_string();
    let udptrack = start(&pair.a, &["--max-ips", &room, "--udp-timeout", "1s"]);
    let maps = Published::of(&udptrack, links("xdp"));
    let injector = Injector::new(&pair.b, pair.b.iface());
    let mut sent = Count::default();
    for round in 0..6_u8 {
        for ip in [Ip::V4, Ip::V6] {
            let server = pair.a.addr(ip, 4000);
            for host in 0..40_u8 {
                let number = 30 * round + host;
                let client: IpAddr = match ip {
                    Ip::V4 => [10, 88, 0, 3 + number].into(),
                    Ip::V6 => [0xfd88, 0, 0, 0, 0, 0, 0, 3 + u16::from(number)].into(),
                };
                let frame = frames::udp(
                    SocketAddr::new(client, 45_000),
                    server,
                    &vec![1; host.into()],
                );
                injector.send(&frame);
                sent += count(ip, &[host.into()]);
            }
        }
        let addresses = maps.wait_for_sums(sent);
        for is_ipv4 in [true, false] {
            let entries = addresses
                .keys()
                .filter(|address| address.is_ipv4() == is_ipv4);
            assert!(
                (ROOM / 2..=ROOM).contains(&entries.count()),
                "{addresses:?}"
            );
        }
    }
    let (_, without_entry, given_up) = maps.books_of_addresses();
    assert!(without_entry.packets > 0 && given_up.packets > 0);
    let stats = udptrack.stop().success().assert_books();
    assert_eq!(stats.tracked, sent);
    assert_eq!(
        stats.ip_table_full,
        [without_entry, given_up].into_iter().sum()
    );
}

/// More connections than are published at once: each is there with its bytes, and none is when all have ended.
#[test]
#[ignore = "root"]
fn thousands_are_published_and_withdrawn() {
    const CONNECTIONS: u64 = 6000;
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    let directory = TempDir::new("timeouts");
    let write =
        |timeout| directory.file("udptrack.toml", &format!("udp-timeout = \"{timeout}\"\n"));
    // Longer than the slowest machine takes to read them.
    let path = write("1h");
    let udptrack = start(&pair.b, &["--config", path.to_str().unwrap()]);
    let maps = Published::of(&udptrack, links("xdp"));
    let to = pair.b.addr(Ip::V6, 4000);
    let pattern = Pattern::sources(CONNECTIONS);
    let mut generator = Generator::new(&pair.a, pair.a.iface(), to, pattern, 30);
    let mut sent = Count::default();
    for packets in 1..=2 {
        generator.run(CONNECTIONS);
        sent.packets += CONNECTIONS;
        sent.bytes += CONNECTIONS * generator.frame_bytes();
        let hosts = [to.ip(), generator.source(0).ip()];
        assert_eq!(
            maps.wait_for_sums(sent),
            hosts.map(|host| (host, sent)).into()
        );
        let (states, bytes) = (maps.states(), maps.bytes());
        assert_eq!(states.len() as u64, CONNECTIONS);
        assert!(states.values().all(|state| *state == ESTABLISHED));
        assert!(states.keys().eq(bytes.keys()));
        assert!(
            bytes
                .values()
                .all(|bytes| *bytes == packets * generator.frame_bytes())
        );
    }
    write("1s");
    udptrack.signal(Signal::SIGHUP);
    wait_for("the end of all", SOON, || {
        maps.states().is_empty().then_some(())
    });
    assert_eq!(maps.bytes(), BTreeMap::new());
    let finished = udptrack.stop().success();
    assert_eq!(finished.flows().len() as u64, CONNECTIONS);
    let stats = finished.assert_books();
    assert_eq!((stats.tracked, stats.addresses), (sent, 2));
}

/// What a run in a bpffs says of an address, by the full name of the map's pin.
fn pinned(bpffs: &Bpffs, name: &str, map: &str) -> Value {
    let path = format!("{UDPTRACK}/{name}/{map}");
    let mut bpftool = bpffs.command("bpftool");
    let shown = Process::run(bpftool.args(["-j", "map", "dump", "pinned", &path])).stdout;
    serde_json::from_str(&shown).unwrap()
}

/// Pins have the whole names. A run that takes up what an earlier one kept goes on with its sums.
#[test]
#[ignore = "root"]
fn what_is_kept_goes_on_with_its_sums() {
    if !can_keep() {
        return;
    }
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let iface = pair.a.iface();
    let start = || {
        let mut command = bpffs.command_in(&pair.a, env!("CARGO_BIN_EXE_udptrack"));
        command.args(["-i", iface, "-j", "--keep"]);
        Udptrack::spawn_command(&mut command, usize::MAX).until_tracking(1)
    };
    let mut talk = talk(&pair, Ip::V4, 45_000, 4000);
    let bytes = |map: &str| {
        let entries = pinned(&bpffs, iface, map);
        let entries = entries.as_array().unwrap().iter();
        let bytes = |entry: &Value| {
            let value = &entry["formatted"]["value"];
            value.get("bytes").unwrap_or(value).as_u64().unwrap()
        };
        entries.map(bytes).collect::<Vec<_>>()
    };
    for round in 0..3 {
        let run: Udptrack = start();
        talk.turn();
        wait_for("the publication", SOON, || {
            (bytes("connection_stats") == [talk.total().bytes]).then_some(())
        });
        assert_eq!(bytes("ip_stats"), [talk.total().bytes; 2], "round {round}");
        assert_eq!(bytes("ip6_stats"), [0; 0]);
        assert_eq!(bytes("connection_track").len(), 1);
        talk.ask(100);
        let _: Finished = run.stop().success();
        assert_eq!(bytes("ip_stats"), [talk.total().bytes; 2], "round {round}");
        // Nobody publishes it now.
        talk.answer(100);
    }
    let mut detach = bpffs.command(env!("CARGO_BIN_EXE_udptrack"));
    let _ = Udptrack::spawn_command(detach.arg("detach"), usize::MAX)
        .wait()
        .success();
}
