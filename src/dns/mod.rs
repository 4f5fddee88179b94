//! DNS messages that passed: read, matched with their queries, and ranked by the names that are in them.
//!
//! The kernel's counts of DNS are exact ([`crate::model::DnsCounts`]). Names come only from the messages that were read, and the output
//! tells how many were not. Messages are hostile input: only `message` uses the DNS library.

mod matching;
mod message;
mod names;
mod ranking;
mod words;

use std::net::SocketAddr;

pub use message::{Data, Message, Question, Record, query};
pub use names::{Failure, NameRow, Names, Tally};
pub use ranking::Count;
pub use words::{kind_name, rcode_name};

use crate::model::{Ifindex, Protocol, Sample, Shared};

/// A message that passed, as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The connection that it is of.
    pub sample: &'a Sample,
    /// What it says; none where it is malformed.
    pub message: Option<&'a Message>,
    /// Whether the side sent it that sent the first packet of the connection.
    pub from_originator: bool,
    /// When it passed: nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Where.
    pub interface: Ifindex,
    /// How many messages had not been read before it came, over the whole run.
    pub unread: u64,
}

/// Which name service it is, by the ports of a connection. LLMNR is answered from another address than the one that is asked: then the
/// port is that of who sent first.
#[must_use]
pub fn protocol(sample: &Sample) -> Protocol {
    match protocol_of(sample.responder) {
        Protocol::Dns => protocol_of(sample.originator),
        protocol => protocol,
    }
}

/// Whether a group is a server, by its port: answers of LLMNR come from another address than the one that was asked.
#[must_use]
pub fn is_server(group: &Shared) -> bool {
    matches!(group, Shared::End(end) if [53, 5353, 5355].contains(&end.port()))
}

/// Which name service a server has, by its port.
#[must_use]
pub fn protocol_of(server: SocketAddr) -> Protocol {
    match server.port() {
        5353 => Protocol::Mdns,
        5355 => Protocol::Llmnr,
        _ => Protocol::Dns,
    }
}
