//! Names of UDP ports, from the system's list. Knows no room.

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
    fn a_missing_file_has_no_names() {
        let services = Services::read(Path::new("/nonexistent/services"));
        assert_eq!(services.names.len(), 0);
    }
}
