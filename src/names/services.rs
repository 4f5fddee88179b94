//! Names of UDP ports, from the system's list.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

/// What a system's list may be long at most.
const BYTES_MAX: u64 = 4 << 20;

/// Names by port (`services(5)`). Read once, as a file: name services of the C library would not work in a static program.
#[derive(Debug, Default)]
pub(super) struct Services(HashMap<u16, Box<str>>);

impl Services {
    /// None when there is no such file, or it cannot be read: ports are then shown as numbers.
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

    /// `NAME PORT/udp ALIAS... # REMARK`; the first line of a port counts.
    pub fn parse(text: &str) -> Self {
        let mut services = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if let (Some(name), Some(port)) = (words.next(), words.next())
                && let Some((port, "udp")) = port.split_once('/')
                && let Ok(port) = port.parse()
                && name.bytes().all(|byte| byte.is_ascii_graphic())
            {
                services.entry(port).or_insert_with(|| name.into());
            }
        }
        Self(services)
    }

    pub fn get(&self, port: u16) -> Option<&str> {
        self.0.get(&port).map(AsRef::as_ref)
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
        assert_eq!(services.get(53), Some("domain"));
        assert_eq!(services.get(7), Some("first"));
        assert_eq!(services.get(443), Some("quic"));
        assert_eq!(services.get(9), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let services = Services::parse(
            "alone\n80/udp\nbig 65536/udp\nnegative -1/udp\nword port/udp\nother 5/UDP\nodd 6/udp/udp\n\
             e\x1b[31mvil 8/udp\n\u{fc}n 9/udp\n# comment 10/udp\nlast 65535/udp",
        );
        assert_eq!(services.0.len(), 1);
        assert_eq!(services.get(65535), Some("last"));
    }

    #[test]
    fn a_missing_file_has_no_names() {
        let services = Services::read(Path::new("/nonexistent/services"));
        assert_eq!(services.0.len(), 0);
    }
}
