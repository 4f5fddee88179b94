//! Which namespace has which address: our own network namespace, and namespaces that are linked to it
//! (containers). Without rights: by netlink in our own, by `/proc/PID/net` in others.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;

use nix::ifaddrs::getifaddrs;

use super::links;
use super::socket::Netns;

/// After this time, another namespace is read again.
const FRESH_NS: u64 = 5_000_000_000;
/// How many other namespaces are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 4096;
/// A router's table can have hundreds of megabytes. What is larger than this is not read, and its owner not named.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// What the resolution asks about addresses.
pub(super) trait Places {
    /// Our own namespace.
    fn own(&self) -> Netns;

    /// Whether packets to this address are for our own namespace: its addresses, broadcasts, and the groups it is in.
    fn is_own(&self, address: IpAddr) -> bool;

    /// Whether packets to this address are for one machine alone.
    fn is_unicast(&self, address: IpAddr) -> bool;

    /// Whether the address is one of another namespace which has a link to ours. A process in it lets us look.
    fn is_linked(&mut self, netns: Netns, pid: Option<u32>, address: IpAddr, now_ns: u64) -> bool;

    /// Whether any link leads from our namespace to another.
    fn has_links(&mut self) -> bool;

    /// Looks again at what may have changed.
    fn refresh(&mut self);
}

/// The namespaces of this machine.
#[derive(Debug)]
pub(super) struct Namespaces {
    own: Netns,
    addresses: HashSet<IpAddr>,
    broadcasts: HashSet<IpAddr>,
    others: HashMap<Netns, Other>,
    /// Ids, in our namespace, of those that our links lead to; none when not asked yet since the last refresh.
    linked: Option<HashSet<i32>>,
}

#[derive(Debug)]
struct Other {
    asked_ns: u64,
    linked: bool,
    addresses: HashSet<IpAddr>,
}

impl Namespaces {
    /// Of the calling thread.
    pub fn new() -> Self {
        let inode = fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino());
        let mut namespaces = Self {
            own: Netns(u32::try_from(inode).unwrap_or(0)),
            addresses: HashSet::new(),
            broadcasts: HashSet::new(),
            others: HashMap::new(),
            linked: None,
        };
        namespaces.refresh();
        namespaces
    }

    fn links(&mut self) -> &HashSet<i32> {
        self.linked
            .get_or_insert_with(|| links::namespaces().unwrap_or_default())
    }

    fn ask(&mut self, pid: u32, now_ns: u64) -> Other {
        let id = links::namespace_id(pid).ok().flatten();
        let linked = id.is_some_and(|id| self.links().contains(&id));
        let addresses = if linked {
            let table = |name: &str| read_bounded(&format!("/proc/{pid}/net/{name}"));
            let ipv4 = table("fib_trie").unwrap_or_default();
            let ipv6 = table("if_inet6").unwrap_or_default();
            local_ipv4(&ipv4).chain(hex_ipv6(&ipv6, 0)).collect()
        } else {
            HashSet::new()
        };
        Other {
            asked_ns: now_ns,
            linked,
            addresses,
        }
    }
}

impl Places for Namespaces {
    fn own(&self) -> Netns {
        self.own
    }

    fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || self.addresses.contains(&address)
            || self.broadcasts.contains(&address)
            || address == IpAddr::V4(Ipv4Addr::BROADCAST)
    }

    fn is_unicast(&self, address: IpAddr) -> bool {
        !(address.is_multicast()
            || self.broadcasts.contains(&address)
            || address == IpAddr::V4(Ipv4Addr::BROADCAST))
    }

    fn is_linked(&mut self, netns: Netns, pid: Option<u32>, address: IpAddr, now_ns: u64) -> bool {
        // Each namespace has these, or may have them, for itself.
        if address.is_loopback() || !self.is_unicast(address) {
            return false;
        }
        let other = match (self.others.remove(&netns), pid) {
            (Some(other), _) if now_ns < other.asked_ns + FRESH_NS => other,
            (_, Some(pid)) => self.ask(pid, now_ns),
            (_, None) => return false,
        };
        let is_there = other.linked && other.addresses.contains(&address);
        if self.others.len() >= REMEMBERED_MAX {
            self.others.clear();
        }
        self.others.insert(netns, other);
        is_there
    }

    fn has_links(&mut self) -> bool {
        !self.links().is_empty()
    }

    fn refresh(&mut self) {
        self.linked = None;
        let Ok(interfaces) = getifaddrs() else {
            return;
        };
        self.addresses.clear();
        self.broadcasts.clear();
        for interface in interfaces {
            if let Some(address) = interface.address {
                let ipv4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
                let ipv6 = address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()));
                self.addresses.extend(ipv4.or(ipv6));
            }
            let broadcast = interface.broadcast.as_ref();
            let ipv4 = broadcast.and_then(|it| Some(IpAddr::V4(it.as_sockaddr_in()?.ip())));
            // An interface of one address (/32) has it as its broadcast, too.
            self.broadcasts.extend(ipv4);
        }
        let addresses = &self.addresses;
        self.broadcasts.retain(|it| !addresses.contains(it));
        let table = |name: &str| read_bounded(&format!("/proc/thread-self/net/{name}"));
        self.addresses
            .extend(groups_ipv4(&table("igmp").unwrap_or_default()));
        self.addresses
            .extend(hex_ipv6(&table("igmp6").unwrap_or_default(), 2));
    }
}

/// The whole file, if it is not larger than is reasonable.
fn read_bounded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(TABLE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    let is_whole = bytes.len() as u64 <= TABLE_BYTES_MAX;
    is_whole.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The machine's own addresses in `/proc/net/fib_trie`: a leaf `|-- 10.0.0.1`, and below it what it is: `/32 host LOCAL`.
fn local_ipv4(trie: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let mut leaf = None;
    trie.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
            return None;
        }
        (line == "/32 host LOCAL").then_some(leaf)?.map(IpAddr::V4)
    })
}

/// The 32 digits in one column of `/proc/net/if_inet6` (0) or `/proc/net/igmp6` (2).
fn hex_ipv6(table: &str, column: usize) -> impl Iterator<Item = IpAddr> + '_ {
    table.lines().filter_map(move |line| {
        let digits = line.split_whitespace().nth(column)?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        (digits.len() == 32).then_some(IpAddr::V6(Ipv6Addr::from(bits)))
    })
}

/// The groups in `/proc/net/igmp`: a word of eight digits in the machine's order begins each group's line.
fn groups_ipv4(table: &str) -> impl Iterator<Item = IpAddr> + '_ {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let word = u32::from_str_radix(digits, 16).ok()?;
        let group = Ipv4Addr::from(word.to_ne_bytes());
        (digits.len() == 8 && group.is_multicast()).then_some(IpAddr::V4(group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn local_addresses_of_a_trie() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
             \x20    |-- 10.0.0.0\n           /24 link UNICAST\n\
            Local:\n     +-- 10.0.0.0/24 2 0 2\n        |-- 10.0.0.7\n           /32 host LOCAL\n\
             \x20       |-- 10.0.0.255\n           /32 link BROADCAST\n\
             \x20       |-- 127.0.0.0\n           /32 link BROADCAST\n           /8 host LOCAL\n\
             \x20       |-- 127.0.0.1\n           /32 host LOCAL\n";
        let found: Vec<IpAddr> = local_ipv4(trie).collect();
        assert_eq!(found, addresses(&["10.0.0.7", "127.0.0.1"]));
        assert_eq!(local_ipv4("/32 host LOCAL").count(), 0);
    }

    #[test]
    fn addresses_and_groups_of_ipv6() {
        let interfaces = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fd880000000000000000000000000002 02 40 00 80    veth0\nnonsense\n";
        let found: Vec<IpAddr> = hex_ipv6(interfaces, 0).collect();
        assert_eq!(found, addresses(&["::1", "fd88::2"]));
        let groups = "2    eth0            ff0200000000000000000000000000fb     1 0000000C 0\n";
        let found: Vec<IpAddr> = hex_ipv6(groups, 2).collect();
        assert_eq!(found, addresses(&["ff02::fb"]));
    }

    #[test]
    fn groups_of_ipv4() {
        let group = u32::from_ne_bytes([224, 0, 0, 251]);
        let table = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             2\teth0      :     2      V3\n\t\t\t\t{group:08X}     1 0:00000000\t\t0\n"
        );
        let found: Vec<IpAddr> = groups_ipv4(&table).collect();
        assert_eq!(found, addresses(&["224.0.0.251"]));
    }

    #[test]
    fn our_own_namespace() {
        let namespaces = Namespaces::new();
        assert_ne!(namespaces.own(), Netns(0));
        assert!(namespaces.is_own("127.9.9.9".parse().unwrap()));
        assert!(namespaces.is_own("::1".parse().unwrap()));
        // RFC 5737: an address for documentation, that no machine has.
        let nobodys = "192.0.2.199".parse().unwrap();
        assert!(!namespaces.is_own(nobodys) && namespaces.is_unicast(nobodys));
        assert!(!namespaces.is_unicast("224.0.0.251".parse().unwrap()));
        assert!(!namespaces.is_unicast("255.255.255.255".parse().unwrap()));
    }

    #[test]
    fn our_own_namespace_is_no_other() {
        let mut namespaces = Namespaces::new();
        let own = namespaces.own();
        let address = "127.0.0.1".parse().unwrap();
        assert!(!namespaces.is_linked(own, Some(std::process::id()), address, 1));
    }
}
