//! What the UDP sockets of this network namespace are bound and connected to. Whose they are, nobody asks here.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use procfs::net::UdpNetEntry;

/// `net.ipv4.ip_local_port_range` where it cannot be read: the kernel's own.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// The sockets as they were at one moment.
#[derive(Debug)]
pub struct Bound {
    /// Without a peer, and the ports of those without an address either.
    ends: HashSet<SocketAddr>,
    ports: HashSet<u16>,
    connected: HashSet<(SocketAddr, SocketAddr)>,
    own: HashSet<IpAddr>,
    ephemeral: EphemeralPorts,
}

/// The ports that the kernel chooses for sockets that ask for none, here or elsewhere.
#[derive(Clone, Debug)]
pub struct EphemeralPorts(RangeInclusive<u16>);

impl EphemeralPorts {
    /// As this network namespace has them (`ip_local_port_range`).
    #[must_use]
    pub fn read() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        Self::parse(&range.unwrap_or_default())
    }

    fn parse(range: &str) -> Self {
        let mut ports = range.split_whitespace().map(str::parse);
        Self(match (ports.next(), ports.next()) {
            (Some(Ok(first)), Some(Ok(last))) => first..=last,
            _ => EPHEMERAL,
        })
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0.contains(&port) || port > *EPHEMERAL.end()
    }
}

impl Default for EphemeralPorts {
    fn default() -> Self {
        Self(EPHEMERAL)
    }
}

impl Default for Bound {
    /// None is known.
    fn default() -> Self {
        Self::new(
            std::iter::empty(),
            HashSet::new(),
            EphemeralPorts::default(),
        )
    }
}

impl Bound {
    /// As they are now. What cannot be read is not there. `own`: the addresses of this machine.
    #[must_use]
    pub fn read(own: HashSet<IpAddr>) -> Self {
        let all = [procfs::net::udp(), procfs::net::udp6()];
        let all = all.into_iter().flatten().flatten();
        Self::new(all, own, EphemeralPorts::read())
    }

    fn new(
        all: impl Iterator<Item = UdpNetEntry>,
        own: HashSet<IpAddr>,
        ephemeral: EphemeralPorts,
    ) -> Self {
        let mut bound = Self {
            ends: HashSet::new(),
            ports: HashSet::new(),
            connected: HashSet::new(),
            own,
            ephemeral,
        };
        for UdpNetEntry {
            local_address: local,
            remote_address: peer,
            ..
        } in all
        {
            if peer.port() != 0 {
                bound.connected.insert((plain(local), plain(peer)));
            } else if local.ip().is_unspecified() {
                bound.ports.insert(local.port());
            } else {
                bound.ends.insert(plain(local));
            }
        }
        bound
    }

    /// Whether a socket is bound to this end of ours, without a peer, at a port that somebody chose for it.
    #[must_use]
    pub fn is_bound(&self, end: SocketAddr) -> bool {
        !self.is_ephemeral(end.port())
            && (self.ends.contains(&end)
                || (self.ports.contains(&end.port()) && self.own.contains(&end.ip())))
    }

    /// Whether a socket is connected from this end to the other.
    #[must_use]
    pub fn is_connected(&self, end: SocketAddr, peer: SocketAddr) -> bool {
        self.connected.contains(&(end, peer))
    }

    /// Whether nobody chose that port.
    #[must_use]
    pub fn is_ephemeral(&self, port: u16) -> bool {
        self.ephemeral.has(port)
    }
}

/// An IPv4 address that an IPv6 socket has is one.
fn plain(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn end(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Of sockets that are there: the kernel's own list of them is read.
    #[test]
    fn sockets_of_this_process() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let any = UdpSocket::bind("[::]:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server_end = server.local_addr().unwrap();
        client.connect(server_end).unwrap();
        let mut bound = Bound::read(HashSet::from([end("127.0.0.1:0").ip()]));
        // Their ports are not chosen, so that they are free.
        bound.ephemeral = EphemeralPorts(1..=1);
        let is_high = |end: SocketAddr| end.port() > *EPHEMERAL.end();
        let any_end = end(&format!("127.0.0.1:{}", any.local_addr().unwrap().port()));
        assert_eq!(bound.is_bound(server_end), !is_high(server_end));
        assert_eq!(bound.is_bound(any_end), !is_high(any_end));
        let client_end = client.local_addr().unwrap();
        assert!(bound.is_connected(client_end, server_end));
        assert!(!bound.is_connected(server_end, client_end));
        assert!(!bound.is_bound(client_end));
        // The same port of another machine.
        let other = end(&format!("192.0.2.1:{}", any_end.port()));
        assert!(!bound.is_bound(other));
    }

    #[test]
    fn ports_that_nobody_chose() {
        let ports = EphemeralPorts::parse("1024\t2000\n");
        for (port, is_ephemeral) in [
            (1023, false),
            (1024, true),
            (2000, true),
            (2001, false),
            (60_999, false),
            (61_000, true),
        ] {
            assert_eq!(ports.has(port), is_ephemeral, "{port}");
        }
        let ports = EphemeralPorts::parse("");
        assert!(ports.has(32_768) && !ports.has(32_767));
    }
}
