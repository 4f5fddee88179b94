//! Names of UDP ports, from the system's list.

use std::collections::HashMap;

/// Which port a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(HashMap<String, u16>);

impl Services {
    /// From the text of `/etc/services`: name, port/protocol, further names. Lines that make no sense are left out.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let mut ports = HashMap::new();
        for line in list.lines() {
            let mut fields = line.split('#').next().unwrap_or("").split_whitespace();
            let (Some(name), Some(number)) = (fields.next(), fields.next()) else {
                continue;
            };
            let Some(Ok(port)) = number.strip_suffix("/udp").map(str::parse::<u16>) else {
                continue;
            };
            for name in std::iter::once(name).chain(fields) {
                ports.entry(name.to_ascii_lowercase()).or_insert(port);
            }
        }
        Self(ports)
    }

    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_further_names_of_udp() {
        let services = Services::parse(
            "# comment\ndomain\t53/tcp\ndomain 53/udp # DNS\nsip 5060/udp voip VoIP2\nssh 22/tcp\nx\ny z/udp\nbig 70000/udp\nntp 124/tcp\nntp 123/udp\nntp 999/udp\n",
        );
        assert_eq!(services.port("domain"), Some(53));
        assert_eq!(services.port("VOIP"), Some(5060));
        assert_eq!(services.port("voip2"), Some(5060));
        assert_eq!(services.port("ntp"), Some(123));
        for unknown in ["ssh", "x", "y", "big", "comment", ""] {
            assert_eq!(services.port(unknown), None, "{unknown}");
        }
    }
}
