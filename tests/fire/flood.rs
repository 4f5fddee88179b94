//! A flood of packets, each from another address, beside a thousand connections of real sockets: those lose nothing, not
//! their place and not a packet, and what the flood had no room for is known.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::generator::{Generator, Link, Pattern, is_possible, queue_by_processor};
use crate::common::netns::{Pair, processors};
use crate::common::traffic::{count, receive_until};
use crate::common::witness::{Count, Volume};
use crate::common::{Ip, SOON, both_families};
use crate::tally::{Tallied, Told};

both_families!(beside_real_connections);

const CLIENTS: u16 = 250;
const SERVERS: u16 = 4;
/// Packets, at least.
const FLOOD: u64 = 2_000_000;
/// Of each.
const PAYLOAD: usize = 30;
const ROUNDS: usize = 20;

/// Client and server.
type Ends = (SocketAddr, SocketAddr);

/// The sockets of all connections, on the side of the clients.
struct Clients<'a> {
    ip: Ip,
    sockets: &'a [UdpSocket],
    servers: Vec<SocketAddr>,
    sent: HashMap<Ends, Volume>,
}

impl Clients<'_> {
    /// A request over each connection and its answer, both as long as the round's number says. The queue between the two may drop either while it is flooded: then it
    /// is asked again, and what was asked and what has come is counted in any case.
    fn round(&mut self, round: usize) {
        let start = Instant::now();
        let mut open: Vec<Vec<SocketAddr>> = vec![self.servers.clone(); self.sockets.len()];
        while open.iter().any(|servers| !servers.is_empty()) {
            assert!(start.elapsed() < SOON * 3, "an answer in round {round}");
            for (socket, open) in self.sockets.iter().zip(&open) {
                for server in open {
                    socket.send_to(&vec![0; round], server).expect("sent");
                    let ends = (socket.local_addr().unwrap(), *server);
                    self.sent.entry(ends).or_default().toserver += count(self.ip, &[round as u64]);
                }
            }
            let asked = Instant::now();
            while open.iter().any(|servers| !servers.is_empty())
                && asked.elapsed() < Duration::from_millis(300)
            {
                for (socket, open) in self.sockets.iter().zip(&mut open) {
                    while let Some((answered, server)) = self.receive(socket) {
                        open.retain(|waiting| answered != round || *waiting != server);
                    }
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// An answer that has come: the round that it is of, and the server.
    fn receive(&mut self, socket: &UdpSocket) -> Option<(usize, SocketAddr)> {
        let mut buffer = [0; 2000];
        match socket.recv_from(&mut buffer) {
            Ok((length, server)) => {
                let ends = (socket.local_addr().unwrap(), server);
                self.sent.get_mut(&ends).unwrap().toclient += count(self.ip, &[length as u64]);
                Some((length, server))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    }
}

fn beside_real_connections(ip: Ip) {
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let servers: Vec<_> = (0..SERVERS)
        .map(|index| pair.b.udp(pair.b.addr(ip, 4000 + index)))
        .collect();
    let sockets: Vec<_> = pair.a.enter(|| {
        let bind = |index| UdpSocket::bind(pair.a.addr(ip, 40_000 + index)).unwrap();
        (0..CLIENTS).map(bind).collect()
    });
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    // At the clients: what they send is counted before any queue, what they receive after it.
    let udptrack = Tallied::start(&pair.a, &[]);
    let link = Link::new(&pair.b, pair.b.iface());
    let before = link.arrived();
    let mut clients = Clients {
        ip,
        sockets: &sockets,
        servers: servers
            .iter()
            .map(|server| server.local_addr().unwrap())
            .collect(),
        sent: HashMap::new(),
    };
    let done = AtomicBool::new(false);
    let flood = thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| {
                receive_until(&done, server, |length, client| {
                    server.send_to(&[0; 2000][..length], client).expect("sent");
                });
            });
        }
        clients.round(1);
        let to = pair.a.addr(ip, 4000);
        let pattern = Pattern::Flood { first: 0 };
        let running = Generator::new(&pair.b, pair.b.iface(), to, pattern, PAYLOAD)
            .start(*processors().last().unwrap());
        let mut round = 2;
        while round <= ROUNDS || running.sent() < FLOOD {
            clients.round(round);
            round += 1;
        }
        let flood = running.stop();
        // The last answers come after all others.
        clients.round(round);
        done.store(true, Ordering::Relaxed);
        flood
    });
    let arrived = link.arrived() - before;
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    let is_real = |(ends, _): &(&Ends, &Told)| clients.sent.contains_key(*ends);
    let (real, flood_told): (Vec<_>, Vec<_>) = tally.told.iter().partition(is_real);
    assert_eq!(real.len(), clients.sent.len());
    for (ends, told) in real {
        assert_eq!(
            (told.records, told.volume),
            (1, clients.sent[ends]),
            "{ends:?}"
        );
    }
    // Each packet of the flood was a connection, or found no room.
    let one = Volume {
        toserver: count(ip, &[PAYLOAD as u64]),
        toclient: Count::default(),
    };
    for (ends, told) in &flood_told {
        assert_eq!((told.records, told.volume), (1, one), "{ends:?}");
    }
    let total = |of: fn(&Volume) -> Count| clients.sent.values().map(of).sum::<Count>();
    let (requests, answers) = (total(|sent| sent.toserver), total(|sent| sent.toclient));
    let flooded = arrived - answers.packets;
    let refused = flooded - flood_told.len() as u64;
    let of_flood = |packets: u64| Count {
        packets,
        bytes: packets * one.toserver.bytes,
    };
    let seen = [requests, answers, of_flood(flooded)];
    assert_eq!(stats.seen, seen.into_iter().sum());
    assert_eq!(
        stats.skipped,
        [("table-full".to_owned(), of_flood(refused))].into()
    );
    eprintln!(
        "{} packets of a flood, {flooded} arrived, {} had room; {} requests and {} answers of {} connections",
        flood.sent(),
        flood_told.len(),
        requests.packets,
        answers.packets,
        clients.sent.len()
    );
}
