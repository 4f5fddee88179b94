//! Traffic whose every packet and byte is known, and how the test ground writes down what it was.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4Tos, Ipv6TClass, UdpGsoSegment};

use super::witness::{Connection, Count, Volume};
use super::{Ip, SOON};

/// Between two addresses, untagged.
#[must_use]
pub fn connection(source: SocketAddr, destination: SocketAddr) -> Connection {
    Connection {
        vlans: [0, 0],
        source,
        destination,
    }
}

/// Packets with so many payload bytes each.
#[must_use]
pub fn count(ip: Ip, payloads: &[u64]) -> Count {
    Count {
        packets: payloads.len() as u64,
        bytes: payloads.iter().map(|bytes| bytes + ip.overhead()).sum(),
    }
}

/// Packets with so many payload bytes each, there and back.
#[must_use]
pub fn volume(ip: Ip, toserver: &[u64], toclient: &[u64]) -> Volume {
    Volume {
        toserver: count(ip, toserver),
        toclient: count(ip, toclient),
    }
}

/// Two sockets that talk in turns. Nothing is ever on the way when a method returns.
#[derive(Debug)]
pub struct Talk {
    /// Who sends first.
    pub client: UdpSocket,
    /// The other one.
    pub server: UdpSocket,
    ip: Ip,
    sent: Volume,
}

impl Talk {
    /// Of two bound sockets.
    #[must_use]
    pub fn new(client: UdpSocket, server: UdpSocket) -> Self {
        for socket in [&client, &server] {
            socket
                .set_read_timeout(Some(SOON))
                .expect("a timeout can be set");
        }
        let ip = match client.local_addr().expect("a bound socket") {
            SocketAddr::V4(_) => Ip::V4,
            SocketAddr::V6(_) => Ip::V6,
        };
        Self {
            client,
            server,
            ip,
            sent: Volume::default(),
        }
    }

    /// From now on the datagrams of the client and those of the server have these TOS bytes or traffic classes.
    pub fn set_classes(&self, classes: [u8; 2]) {
        for (socket, class) in [&self.client, &self.server].into_iter().zip(classes) {
            match self.ip {
                Ip::V4 => setsockopt(socket, Ipv4Tos, &class.into()),
                Ip::V6 => setsockopt(socket, Ipv6TClass, &class.into()),
            }
            .expect("a class can be set");
        }
    }

    /// One datagram to the server.
    pub fn ask(&mut self, payload: usize) {
        pass(&self.client, &self.server, payload);
        self.sent.toserver += count(self.ip, &[payload as u64]);
    }

    /// One datagram to the client.
    pub fn answer(&mut self, payload: usize) {
        pass(&self.server, &self.client, payload);
        self.sent.toclient += count(self.ip, &[payload as u64]);
    }

    /// A question and its answer.
    pub fn turn(&mut self) {
        self.ask(100);
        self.answer(200);
    }

    /// What was said so far, on frames that are not fragmented.
    #[must_use]
    pub fn entry(&self) -> (Connection, Volume) {
        let source = self.client.local_addr().expect("a bound socket");
        let destination = self.server.local_addr().expect("a bound socket");
        (connection(source, destination), self.sent)
    }

    /// All of it together.
    #[must_use]
    pub fn total(&self) -> Count {
        [self.sent.toserver, self.sent.toclient].into_iter().sum()
    }
}

fn pass(from: &UdpSocket, to: &UdpSocket, payload: usize) {
    let address = to.local_addr().expect("a bound socket");
    let sent = from.send_to(&vec![7; payload], address).expect("sent");
    assert_eq!(sent, payload);
    let mut buffer = vec![0; 65_536];
    let (length, source) = to.recv_from(&mut buffer).expect("it arrives");
    assert_eq!(
        (length, source),
        (payload, from.local_addr().expect("a bound socket"))
    );
}

/// One send of a super-packet: datagrams of `segment` bytes, the last one with what is left of `payload`.
pub fn send_segmented(socket: &UdpSocket, to: SocketAddr, payload: usize, segment: usize) {
    let size = i32::try_from(segment).expect("a segment fits");
    setsockopt(socket, UdpGsoSegment, &size).expect("the kernel segments UDP");
    assert_eq!(
        socket.send_to(&vec![7; payload], to).expect("sent"),
        payload
    );
    setsockopt(socket, UdpGsoSegment, &0).expect("and stops to");
}

/// The payloads that a super-packet has on the wire.
#[must_use]
pub fn segments(payload: usize, segment: usize) -> Vec<u64> {
    let whole = std::iter::repeat_n(segment as u64, payload / segment);
    let rest = payload % segment;
    whole.chain((rest > 0).then_some(rest as u64)).collect()
}

/// Sends datagrams of so many bytes to whom the socket is connected to, until it is `done`; gives how many. `pause` is called after each,
/// with how many there are.
pub fn send_until(
    done: &AtomicBool,
    socket: &UdpSocket,
    size: usize,
    mut pause: impl FnMut(u64),
) -> u64 {
    let payload = vec![7; size];
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        socket.send(&payload).expect("sent");
        sent += 1;
        pause(sent);
    }
    sent
}

/// Hands the length and sender of each datagram that comes to `take`, until it is `done` and no more come.
pub fn receive_until(
    done: &AtomicBool,
    socket: &UdpSocket,
    mut take: impl FnMut(usize, SocketAddr),
) {
    let mut buffer = vec![0; 65_536];
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout can be set");
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, sender)) => take(length, sender),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Receives until so many payload bytes are there, in datagrams of whatever size.
pub fn receive_bytes(socket: &UdpSocket, payload: usize) {
    let mut buffer = vec![0; 65_536];
    let mut received = 0;
    while received < payload {
        received += socket.recv(&mut buffer).expect("nothing is lost");
    }
    assert_eq!(received, payload);
}
