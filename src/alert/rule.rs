//! What a rule says: what is measured, of which groups, and when that is an alert.

use std::time::Duration;

use crate::model::Field;

/// What is measured, over the window of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Connections that began, per second.
    New,
    /// Requests per second without an answer: those that were asked, less those that were answered.
    Unreplied,
    /// Requests that got no answer, in percent.
    Lost,
    /// DNS answers that say SERVFAIL, in percent.
    ServFail,
    /// DNS answers that there is no such name, in percent.
    NxDomain,
    /// Requests in a row that got no answer, where nothing is answered.
    Dead,
    /// Bits per second of frames, both directions.
    Rate,
    /// The same, from the originator.
    OrigRate,
    /// The same, from the responder.
    ReplyRate,
    /// Packets per second, both directions.
    Packets,
    /// The response time that this percentage of the answers did not exceed, in milliseconds.
    Response(u8),
    /// Datagrams per second that the kernel dropped behind the hooks.
    Drops,
    /// How full the receive buffer of a socket was at most, in percent.
    Buffer,
    /// Live connections.
    Connections,
    /// Bytes back for each byte forth.
    Amplification,
    /// Different ports of responders, of connections that began.
    Ports,
    /// Different addresses of responders, of connections that began.
    Hosts,
    /// How full the table is, in percent.
    Fill,
    /// Frames per second that belong to no connection though they could.
    TableFull,
}

/// Measures by name, with their unit as it is written and shown.
pub(super) const MEASURES: [(&str, Measure, &str); 22] = [
    ("new", Measure::New, "/s"),
    ("unreplied", Measure::Unreplied, "/s"),
    ("rate", Measure::Rate, "bit"),
    ("orig-rate", Measure::OrigRate, "bit"),
    ("reply-rate", Measure::ReplyRate, "bit"),
    ("packets", Measure::Packets, "/s"),
    ("lost", Measure::Lost, "%"),
    ("servfail", Measure::ServFail, "%"),
    ("nxdomain", Measure::NxDomain, "%"),
    ("dead", Measure::Dead, "requests"),
    ("response", Measure::Response(50), "ms"),
    ("response p50", Measure::Response(50), "ms"),
    ("response p95", Measure::Response(95), "ms"),
    ("response p99", Measure::Response(99), "ms"),
    ("drops", Measure::Drops, "/s"),
    ("buffer", Measure::Buffer, "%"),
    ("connections", Measure::Connections, ""),
    ("amplification", Measure::Amplification, ""),
    ("ports", Measure::Ports, ""),
    ("hosts", Measure::Hosts, ""),
    ("fill", Measure::Fill, "%"),
    ("table-full", Measure::TableFull, "/s"),
];

impl Measure {
    fn entry(self) -> &'static (&'static str, Self, &'static str) {
        MEASURES
            .iter()
            .find(|(_, measure, _)| *measure == self)
            .unwrap_or(&MEASURES[0])
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// What stands behind its number.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.entry().2
    }

    /// Whether it is one number for the whole run.
    #[must_use]
    pub fn is_global(self) -> bool {
        matches!(self, Self::Fill | Self::TableFull)
    }

    /// Whether it measures sockets, not connections.
    #[must_use]
    pub fn is_of_sockets(self) -> bool {
        self == Self::Buffer
    }

    /// Whether it measures missing answers: one-way connections do not count, and a request may be lost without a packet.
    #[must_use]
    pub fn is_of_answers(self) -> bool {
        matches!(self, Self::Unreplied | Self::Lost | Self::Dead)
    }
}

/// The group of all connections.
pub(super) const ALL: &str = "all";

/// When to raise an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, or its text.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// Whether the alert begins above the threshold, or below it.
    pub above: bool,
    /// In the unit of the measure.
    pub threshold: f64,
    /// The group; `None`: all connections together.
    pub by: Option<Field>,
    /// The time over which it is measured.
    pub window: Duration,
}

impl Rule {
    /// Its words: of one with a name, the name and what it stands for.
    #[must_use]
    pub fn words(&self) -> String {
        match NAMED.iter().find(|(name, _)| *name == self.name) {
            Some((name, text)) => format!("{name}: {text}"),
            None => self.name.clone(),
        }
    }

    /// The word for what it is of.
    #[must_use]
    pub fn by_word(&self) -> &'static str {
        self.by.map_or(ALL, Field::word)
    }

    /// Whether the processes of connections must be known.
    #[must_use]
    pub fn asks_for_processes(&self) -> bool {
        self.by == Some(Field::Process) && !self.measure.is_of_sockets()
    }

    /// 1 where somebody is without an answer, not heard or not counted, else 2; as Suricata, which has 3 for what is of little interest.
    #[must_use]
    pub fn severity(&self) -> u32 {
        match self.measure {
            Measure::Dead | Measure::Lost | Measure::Drops | Measure::Fill | Measure::TableFull => {
                1
            }
            _ => 2,
        }
    }
}

/// Rules that have a name.
pub const NAMED: [(&str, &str); 3] = [
    ("udp-flood", "unreplied > 500/s by server"),
    ("port-scan", "ports > 100 by originator"),
    ("amplification", "amplification > 10 by server"),
];
