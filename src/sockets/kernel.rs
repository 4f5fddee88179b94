//! The kernel's limits and counters for all UDP sockets together, and why it dropped datagrams. The only file of this room that
//! reads files.

use std::fs;

/// The limits that bind a receive buffer. None where they cannot be read here: some network namespaces do not show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What a socket gets that asks for nothing, in bytes (`net.core.rmem_default`).
    pub rmem_default: Option<u32>,
    /// What a program may ask for, in bytes (`net.core.rmem_max`); it gets twice that, for the kernel's own use.
    pub rmem_max: Option<u32>,
    /// What all UDP sockets of the machine may hold together, in pages (the third value of `net.ipv4.udp_mem`).
    pub udp_mem: Option<u64>,
}

impl Limits {
    /// As this network namespace has them.
    #[must_use]
    pub fn read() -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/sys/net/{name}")).ok();
        let number = |name: &str| text(name)?.trim().parse().ok();
        Self {
            rmem_default: number("core/rmem_default"),
            rmem_max: number("core/rmem_max"),
            udp_mem: text("ipv4/udp_mem")
                .and_then(|text| text.split_whitespace().nth(2)?.parse().ok()),
        }
    }

    /// What is not known here, as it is elsewhere: many of them are the whole machine's.
    #[must_use]
    pub fn or(self, elsewhere: Self) -> Self {
        Self {
            rmem_default: self.rmem_default.or(elsewhere.rmem_default),
            rmem_max: self.rmem_max.or(elsewhere.rmem_max),
            udp_mem: self.udp_mem.or(elsewhere.udp_mem),
        }
    }
}

/// Datagrams that this network namespace has dropped at sockets, by why. Sums of IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// A receive buffer was full (`RcvbufErrors`).
    pub buffer: u64,
    /// All UDP sockets together had no memory left (`MemErrors`, from Linux 5.11 on).
    pub memory: u64,
    /// A wrong checksum (`InCsumErrors`).
    pub checksum: u64,
}

impl Counters {
    /// As they are now; none where they cannot be read.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}"));
        // A kernel without IPv6 has no other.
        Some(Self::parse(
            &text("snmp").ok()?,
            &text("snmp6").unwrap_or_default(),
        ))
    }

    /// IPv4 has a line of names and one of values, IPv6 a line for each.
    fn parse(snmp: &str, snmp6: &str) -> Self {
        let lines: Vec<&str> = snmp
            .lines()
            .filter_map(|line| line.strip_prefix("Udp: "))
            .collect();
        let [names, values] = [0, 1].map(|line| lines.get(line).copied().unwrap_or_default());
        let ipv4 = names.split_whitespace().zip(values.split_whitespace());
        let ipv6 = snmp6.lines().filter_map(|line| {
            let (name, value) = line.split_once(char::is_whitespace)?;
            Some((name.strip_prefix("Udp6")?, value))
        });
        let mut counters = Self::default();
        for (name, value) in ipv4.chain(ipv6) {
            let value: u64 = value.trim().parse().unwrap_or_default();
            match name {
                "RcvbufErrors" => counters.buffer += value,
                "MemErrors" => counters.memory += value,
                "InCsumErrors" => counters.checksum += value,
                _ => {}
            }
        }
        counters
    }

    /// What came since then.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            buffer: self.buffer.saturating_sub(before.buffer),
            memory: self.memory.saturating_sub(before.memory),
            checksum: self.checksum.saturating_sub(before.checksum),
        }
    }
}

/// Pages of memory that all UDP sockets of the machine hold together, where that can be read.
#[must_use]
pub fn memory_pages() -> Option<u64> {
    pages(&fs::read_to_string("/proc/self/net/sockstat").ok()?)
}

/// `UDP: inuse 3 mem 72`.
fn pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("UDP: "))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_families() {
        let snmp = "\
Tcp: RcvbufErrors\nTcp: 99
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 6523 660 17 7387 10 0 4 0 3
UdpLite: InDatagrams RcvbufErrors\nUdpLite: 1 99\n";
        let snmp6 = "\
Udp6InDatagrams                 \t0
Udp6RcvbufErrors                \t100
Udp6InCsumErrors                \t40
UdpLite6RcvbufErrors            \t99\n";
        let counters = Counters {
            buffer: 110,
            memory: 3,
            checksum: 44,
        };
        assert_eq!(Counters::parse(snmp, snmp6), counters);
        assert_eq!(Counters::parse("", ""), Counters::default());
        assert_eq!(
            Counters::parse("Udp: RcvbufErrors\n", "x"),
            Counters::default()
        );
    }

    #[test]
    fn memory_of_udp_alone() {
        let sockstat =
            "sockets: used 11\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 273\nUDP: inuse 0 mem 72\n";
        assert_eq!(pages(sockstat), Some(72));
        assert_eq!(pages("TCP: inuse 1 mem 273\n"), None);
    }

    #[test]
    fn limits_that_are_the_whole_machines() {
        let inside = Limits {
            rmem_max: Some(1),
            ..Limits::default()
        };
        let outside = Limits {
            rmem_default: Some(2),
            rmem_max: Some(3),
            udp_mem: Some(4),
        };
        let both = Limits {
            rmem_max: Some(1),
            ..outside
        };
        assert_eq!(inside.or(outside), both);
        assert!(Limits::read().rmem_default.is_some());
    }
}
