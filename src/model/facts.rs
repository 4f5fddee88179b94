//! What is known of a connection beside what the kernel's tables say: names, services, processes. Outputs and the view
//! ask for it here and do not know where it comes from.

use std::net::IpAddr;

use super::key::Ifindex;
use super::quic::QuicFacts;
use super::record::Sample;

/// Who owns a local socket. The strings are as the system gave them: hostile input for a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Process id, in udptrack's namespace of process ids.
    pub pid: u32,
    /// Name of the process (`comm`, 15 bytes at most).
    pub command: String,
    /// What it runs (`backup.py`), where the process is an interpreter that runs a script.
    pub script: Option<String>,
    /// User id of the process.
    pub uid: u32,
    /// Name of that user, or the number.
    pub user: String,
    /// Path of its control group below the root of the hierarchy, such as `/system.slice/ssh.service`; empty when unknown.
    pub cgroup: String,
    /// Container id, where the control group's path shows one; its first 12 digits, as container tools print it.
    pub container: Option<String>,
}

impl Owner {
    /// Which program it is, whatever its id: its name, or of an interpreter that of the script. The one form in tables, groups and the
    /// view.
    #[must_use]
    pub fn program(&self) -> &str {
        self.script.as_deref().unwrap_or(&self.command)
    }

    /// Whether a name or the digits of an id mean it: that of the process, and of an interpreter also that of the script.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        let is_named = self.command == wanted || self.program() == wanted;
        is_named || wanted.parse() == Ok(self.pid)
    }
}

/// The processes at both ends of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processes<'a> {
    /// Whose socket the originator is, if it is on this machine.
    pub originator: Option<&'a Owner>,
    /// The same for the responder.
    pub responder: Option<&'a Owner>,
    /// Neither end is an address of this machine: it only passes through.
    pub forwarded: bool,
}

impl<'a> Processes<'a> {
    /// The process to show where there is room for one: the originator's, if it is known.
    #[must_use]
    pub fn main(&self) -> Option<&'a Owner> {
        self.originator.or(self.responder)
    }

    /// The process that lost what this machine dropped of the connection: who would have received most of it, if it is on this machine,
    /// else who sent it.
    #[must_use]
    pub fn losing(&self, sample: &Sample) -> Option<&'a Owner> {
        let answers = sample.reply_dropped.packets;
        if answers > sample.dropped.total().packets - answers {
            self.originator.or(self.responder)
        } else {
            self.responder.or(self.originator)
        }
    }

    /// The same for a table: who lost what arrived for it, where packets of the connection found no room here.
    #[must_use]
    pub fn in_tables(self, sample: &Sample) -> Self {
        if sample.dropped.unread() > 0 && self.losing(sample) != self.originator {
            return Self {
                originator: None,
                ..self
            };
        }
        self
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.main().is_none() && !self.forwarded
    }
}

/// Everything known beside the tables.
pub trait Facts {
    /// The name of an interface; made up from its index when it is gone.
    fn interface(&self, index: Ifindex) -> String;

    /// Whether frames of an interface begin with an Ethernet header; else they begin with the IP header.
    fn has_ethernet(&self, index: Ifindex) -> bool {
        let _ = index;
        true
    }

    /// The processes of a connection; all unknown when nobody asked for them.
    fn processes(&self, sample: &Sample) -> Processes<'_> {
        let _ = sample;
        Processes::default()
    }

    /// What is known of a connection that speaks QUIC.
    fn quic(&self, sample: &Sample) -> Option<&QuicFacts> {
        let _ = sample;
        None
    }

    /// The host name of an address, from the wire or from a reverse query that was asked for. Hostile input.
    fn host_name(&self, address: IpAddr) -> Option<&str> {
        let _ = address;
        None
    }

    /// The service that the system's list (`/etc/services`) has for a UDP port.
    fn service(&self, port: u16) -> Option<&str> {
        let _ = port;
        None
    }
}
