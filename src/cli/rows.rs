//! Flags for rows: which connections, in which order, in which groups.

use std::str::FromStr;

use clap::{Args, ValueEnum as _};

use crate::model::text::closest;
use crate::model::{Field, Protocol, SortKey, Status};

use super::number;

/// Which rows the user wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Show only connections of this status.
    pub status: Option<Status>,
    /// Only connections of this process.
    pub process: Option<String>,
    /// Show only connections with this protocol.
    pub proto: Option<Protocol>,
    /// Connections that share this are one row.
    pub by: Option<Field>,
    /// The order; none means that of the output.
    pub sort: Option<Sort>,
    /// The most rows.
    pub top: Option<usize>,
    /// Only rows whose requests get no answer.
    pub unanswered: bool,
    /// Ports of services that never answer; none means those that are known.
    pub one_way_ports: Option<Vec<u16>>,
}

/// `--sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// Largest or last first (`-`), or smallest first (`+`); none means what suits the key.
    pub descending: Option<bool>,
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (descending, word) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(word), _) => (Some(true), word),
            (_, Some(word)) => (Some(false), word),
            (None, None) => (None, text),
        };
        let key = SortKey::from_str(word, true).map_err(|_| {
            let words: Vec<String> = SortKey::value_variants()
                .iter()
                .filter_map(|key| Some(key.to_possible_value()?.get_name().to_owned()))
                .collect();
            let meant = sort_key_meant(word)
                .map_or_else(String::new, |key| format!("do you mean {key}? Use "));
            format!(
                "{meant}one of {}, with - or + before it for the order",
                words.join(", ")
            )
        })?;
        Ok(Self { key, descending })
    }
}

/// The key that a word comes close to, or that others call so.
fn sort_key_meant(word: &str) -> Option<String> {
    /// So like must two words be, of 1 for the same.
    const LIKE: f64 = 0.75;
    const OTHERS: [(&str, &str); 11] = [
        ("latency", "response"),
        ("delay", "response"),
        ("bandwidth", "rate"),
        ("speed", "rate"),
        ("size", "bytes"),
        ("pkts", "packets"),
        ("time", "age"),
        ("client", "originator"),
        ("server", "responder"),
        ("pid", "process"),
        ("drops", "lost-here"),
    ];
    let word = word.to_lowercase();
    let other = OTHERS.iter().find(|(other, _)| *other == word);
    other.map(|(_, key)| (*key).to_owned()).or_else(|| {
        let keys = SortKey::value_variants().iter();
        let names = keys.filter_map(|key| Some(key.to_possible_value()?.get_name().to_owned()));
        closest(&word, names, LIKE)
    })
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rows")]
pub(super) struct RowFlags {
    /// Sort by this key [default: rate]
    ///
    /// One of rate, orig-rate, reply-rate, bytes, packets, first-reply, response, p95, rtt, asked, lost, lost-here, queries, failed, wait,
    /// age, idle, connections, clients (largest first), state (worst first), status, originator, responder, proto, process; `-KEY`:
    /// largest first, `+KEY`: smallest first
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(super) sort: Option<Sort>,

    /// Show at most N rows
    #[arg(long, value_name = "N", value_parser = number::within(1_u32..))]
    top: Option<u32>,

    /// Show one row for all connections with the same FIELD
    ///
    /// Connections that have ended are included.
    #[arg(long, value_name = "FIELD")]
    pub by: Option<Field>,

    /// Show only connections of this status
    ///
    /// A trace, JSON and CSV then have only ends of connections.
    #[arg(long, value_name = "WORD", ignore_case = true)]
    pub(super) status: Option<Status>,

    /// Show only connections of this process (name or id)
    ///
    /// A trace, JSON and CSV then have only ends of connections.
    #[arg(long, value_name = "NAME|PID")]
    process: Option<String>,

    /// Show only connections with this protocol
    ///
    /// A protocol such as dns, quic, rtp or wireguard, recognized or guessed by the port. A trace, JSON and CSV then have only ends of
    /// connections.
    #[arg(long, value_name = "PROTOCOL")]
    proto: Option<Protocol>,

    /// Ports of services that never answer [default: 162,514,2055,4739,4754,4789,6080,6081,6343,6635,8125,8472,9995,9996]
    ///
    /// The default has SNMP traps, syslog, flow exports (2055, 4739, 6343, 9995, 9996), statsd and tunnels. Such a server is one-way,
    /// not dead. Your list replaces the default.
    #[arg(
        long,
        value_name = "PORTS",
        value_delimiter = ',',
        value_parser = port,
        hide_short_help = true
    )]
    one_way_ports: Option<Vec<u16>>,
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse();
    port.map_err(|_| "write port numbers, such as 514,8125".to_owned())
}

impl RowFlags {
    /// A flag that only a table has a use for, if one was given.
    pub(super) fn only_for_tables(&self) -> Option<&'static str> {
        let given = [
            (self.sort.is_some(), "--sort"),
            (self.top.is_some(), "--top"),
            (self.by.is_some(), "--by"),
        ];
        given
            .into_iter()
            .find(|(given, _)| *given)
            .map(|(_, flag)| flag)
    }

    /// A flag that chooses connections by what is known of them later than at their first packet, if one was given.
    pub(super) fn choosing(&self) -> Option<&'static str> {
        let given = [
            (self.status.is_some(), "--status"),
            (self.process.is_some(), "--process"),
            (self.proto.is_some(), "--proto"),
        ];
        given
            .into_iter()
            .find(|(given, _)| *given)
            .map(|(_, flag)| flag)
    }

    /// Whether only connections of a process are wanted.
    pub(super) fn has_process(&self) -> bool {
        self.process.is_some()
    }

    /// Whether they cannot be followed without knowing processes.
    pub(super) fn want_processes(&self) -> bool {
        self.process.is_some()
            || self.by == Some(Field::Process)
            || self.sort.is_some_and(|sort| sort.key == SortKey::Process)
    }

    /// What they come to. `unanswered` makes a table of servers that do not answer, worst first, unless they say otherwise.
    pub(super) fn rows(self, unanswered: bool) -> Rows {
        let by_itself = Sort {
            key: SortKey::State,
            descending: None,
        };
        Rows {
            status: self.status,
            process: self.process,
            proto: self.proto,
            by: self.by.or(unanswered.then_some(Field::Server)),
            sort: self.sort.or(unanswered.then_some(by_itself)),
            top: self.top.and_then(|rows| usize::try_from(rows).ok()),
            unanswered,
            one_way_ports: self.one_way_ports,
        }
    }
}
