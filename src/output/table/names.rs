//! What is written beside numbers so that people know them: hosts, services, processes.

use std::net::{IpAddr, SocketAddr};

use crate::model::text::Visible;
use crate::model::{Facts, Processes};

/// The longest name of a host in a table; numbers and addresses are never cut.
const LONGEST: usize = 40;

/// How many names there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Names {
    /// None.
    None,
    /// Those of services.
    Services,
    /// Those of hosts, too.
    All,
}

impl Names {
    /// From the most to the least.
    pub const ALL: [Self; 3] = [Self::All, Self::Services, Self::None];

    fn host(self, facts: &dyn Facts, address: IpAddr) -> Option<String> {
        let name = (self == Self::All).then(|| facts.host_name(address))??;
        let mut shown = Visible(name).to_string();
        if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
            shown.truncate(end);
            shown.push('…');
        }
        Some(shown)
    }

    fn service(self, facts: &dyn Facts, port: u16) -> Option<String> {
        let name = (self != Self::None).then(|| facts.service(port))??;
        Some(Visible(name).to_string())
    }

    /// `192.0.2.7:40000 (laptop.example)`.
    pub fn originator(self, facts: &dyn Facts, end: SocketAddr) -> String {
        with_notes(end.to_string(), [self.host(facts, end.ip()), None])
    }

    /// `192.0.2.53:53 (dns.example, domain)`. The address stays: several may have one name, and a name may lie.
    pub fn responder(self, facts: &dyn Facts, end: SocketAddr) -> String {
        let notes = [self.host(facts, end.ip()), self.service(facts, end.port())];
        with_notes(end.to_string(), notes)
    }

    pub fn address(self, facts: &dyn Facts, address: IpAddr) -> String {
        with_notes(address.to_string(), [self.host(facts, address), None])
    }

    pub fn port(self, facts: &dyn Facts, port: u16) -> String {
        with_notes(port.to_string(), [self.service(facts, port), None])
    }
}

fn with_notes(text: String, notes: [Option<String>; 2]) -> String {
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    if notes.is_empty() {
        text
    } else {
        format!("{text} ({})", notes.join(", "))
    }
}

/// `program/pid`, `forwarded`, or nothing where nobody knows.
pub(super) fn process(processes: Processes<'_>) -> String {
    match processes.main() {
        Some(owner) => format!("{}/{}", Visible(owner.program()), owner.pid),
        None if processes.forwarded => "forwarded".to_owned(),
        None => "-".to_owned(),
    }
}
