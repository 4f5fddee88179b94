//! What is known of UDP ports: their names, from the system's list; which services never answer, and which do. Knows no room.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

/// Where the list is.
pub const SERVICES: &str = "/etc/services";
/// What a system's list may be long at most.
const BYTES_MAX: u64 = 4 << 20;

/// Names by port and ports by name (`services(5)`). Read as a file: name services of the C library would not work in a
/// static program.
#[derive(Debug, Default)]
pub struct Services {
    names: HashMap<u16, Box<str>>,
    /// By lower-case name, further names included.
    ports: HashMap<String, u16>,
}

impl Services {
    /// None when there is no such file, or it cannot be read: ports are numbers then.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = || {
            let file = fs::File::open(path)?;
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, BYTES_MAX), &mut bytes)?;
            io::Result::Ok(bytes)
        };
        text().map_or_else(
            |_| Self::default(),
            |bytes| Self::parse(&String::from_utf8_lossy(&bytes)),
        )
    }

    /// `NAME PORT/udp ALIAS... # REMARK`; the first line of a port, and of a name, counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut services = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if let (Some(name), Some(port)) = (words.next(), words.next())
                && let Some((port, "udp")) = port.split_once('/')
                && let Ok(port) = port.parse()
                && name.bytes().all(|byte| byte.is_ascii_graphic())
            {
                services.names.entry(port).or_insert_with(|| name.into());
                for name in std::iter::once(name).chain(words) {
                    let name = name.to_ascii_lowercase();
                    services.ports.entry(name).or_insert(port);
                }
            }
        }
        services
    }

    /// The name of a port.
    #[must_use]
    pub fn name(&self, port: u16) -> Option<&str> {
        self.names.get(&port).map(AsRef::as_ref)
    }

    /// The port that a name stands for, in small or capital letters.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u16> {
        self.ports.get(&name.to_ascii_lowercase()).copied()
    }
}

/// Services that are sent to and never answer: SNMP traps, syslog, `NetFlow`, IPFIX, sFlow, statsd. And tunnels whose packets have a
/// source port for each flow inside, so that nothing comes back to it: GRE-in-UDP (RFC 8086), VXLAN, GUE, Geneve, MPLS-in-UDP, the
/// kernel's own port for VXLAN.
pub const ONE_WAY_PORTS: [u16; 14] = [
    162, 514, 2055, 4739, 4754, 4789, 6080, 6081, 6343, 6635, 8125, 8472, 9995, 9996,
];

/// Services that answer what they are asked, by their standards: echo, DNS, DHCP, TFTP, rpcbind, NTP, SNMP, CLDAP, QUIC, IKE, `DHCPv6`,
/// IPMI, RADIUS, STUN, mDNS, LLMNR, CoAP.
const ANSWERING: [u16; 22] = [
    7, 53, 67, 69, 88, 111, 123, 161, 389, 443, 500, 547, 623, 1645, 1646, 1812, 1813, 3478, 5353,
    5355, 5683, 5684,
];

/// Whether a service is known to answer: one that does not is dead, however much it is sent.
#[must_use]
pub fn answers(port: u16) -> bool {
    ANSWERING.binary_search(&port).is_ok()
}

/// Ports of services that never answer (`--one-way-ports`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneWayPorts(Vec<u16>);

impl OneWayPorts {
    /// These.
    #[must_use]
    pub fn new(mut ports: Vec<u16>) -> Self {
        ports.sort_unstable();
        Self(ports)
    }

    /// Whether a port is one of them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0.binary_search(&port).is_ok()
    }
}

/// [`ONE_WAY_PORTS`].
impl Default for OneWayPorts {
    fn default() -> Self {
        Self::new(ONE_WAY_PORTS.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_udp_ports() {
        let services = Services::parse(
            "# Network services\n\
             domain\t53/tcp\n\
             domain\t\t53/udp\t\tnameserver # Domain Name Server\n\
             first 7/udp\n\
             second 7/udp\n\
             quic 443/udp#x\n",
        );
        assert_eq!(services.name(53), Some("domain"));
        assert_eq!(services.name(7), Some("first"));
        assert_eq!(services.name(443), Some("quic"));
        assert_eq!(services.name(9), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let services = Services::parse(
            "alone\n80/udp\nbig 65536/udp\nnegative -1/udp\nword port/udp\nother 5/UDP\nodd 6/udp/udp\n\
             e\x1b[31mvil 8/udp\n\u{fc}n 9/udp\n# comment 10/udp\nlast 65535/udp",
        );
        assert_eq!(services.names.len(), 1);
        assert_eq!(services.name(65535), Some("last"));
    }

    #[test]
    fn ports_of_names_and_further_names() {
        let services = Services::parse(
            "domain\t53/tcp\ndomain 53/udp # DNS\nsip 5060/udp voip VoIP2\nssh 22/tcp\nntp 124/tcp\nntp 123/udp\nntp 999/udp\n",
        );
        assert_eq!(services.port("domain"), Some(53));
        assert_eq!(services.port("VOIP"), Some(5060));
        assert_eq!(services.port("voip2"), Some(5060));
        assert_eq!(services.port("ntp"), Some(123));
        for unknown in ["ssh", "DNS", ""] {
            assert_eq!(services.port(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn ports_of_services_that_answer_and_that_never_do() {
        assert!(ANSWERING.is_sorted());
        assert!(answers(53) && answers(5684) && !answers(54));
        let usual = OneWayPorts::default();
        for port in ONE_WAY_PORTS {
            assert!(usual.has(port) && !answers(port), "{port}");
        }
        let other = OneWayPorts::new(vec![9, 7, 8]);
        assert!(other.has(7) && other.has(9) && !other.has(514));
    }

    #[test]
    fn a_missing_file_has_no_names() {
        let services = Services::read(Path::new("/nonexistent/services"));
        assert_eq!(services.names.len(), 0);
    }
}
