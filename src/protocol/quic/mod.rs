//! QUIC (RFC 8999, 9000, 9001, 9369): what the first datagrams of a connection say. The version, the name that the client asks
//! for and the protocols that it offers, Retry and Version Negotiation, 0-RTT, how long the handshake took, connection ids.
//!
//! All that comes in is hostile: what is kept is bounded, and its text is fit for a terminal. What cannot be read by who
//! only listens is not guessed: the protocol that the server chose, and the inner name where the client encrypts it (ECH).
//! That it is QUIC at all, the recognizer tells. Inside, packet <- initial, crypto, hello <- this file <- `conversations`, which are
//! all connections; `continuations` knows none of them.

mod continuations;
mod conversations;
mod crypto;
mod hello;
mod initial;
mod packet;

use super::datagram::Datagram;
use crate::model::{QuicFacts, QuicId as Id};
use crypto::Handshake;
use initial::{Opened, Sender};
use packet::{Kind, Packet, Packets};

pub use continuations::Continuations;
pub use conversations::Conversations;

/// Packets of one datagram that are looked at. An honest one has an Initial, a 0-RTT, a Handshake and one with a short header.
const PACKETS_MAX: usize = 6;
/// Initial packets of one connection that are decrypted. Each costs about as much as a hash of a few kilobytes.
const OPENED_MAX: u8 = 16;

/// The first datagrams of a QUIC connection, in the order in which they passed.
#[derive(Debug, Default)]
pub struct QuicConversation {
    facts: QuicFacts,
    /// Whether the originator is the client: known from the first packet that only one of the two sends.
    is_client_originator: Option<bool>,
    /// The first packet that begins a connection: whether the originator sent it, and when.
    first: Option<(bool, u64)>,
    /// Where the keys of the client's Initial packets come from.
    keys: Option<Id>,
    largest: Option<u64>,
    opened: u8,
    handshake: Handshake,
    is_hello_read: bool,
}

impl QuicConversation {
    /// What is known so far.
    #[must_use]
    pub fn facts(&self) -> &QuicFacts {
        &self.facts
    }

    /// Whether further datagrams have nothing more to say.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_hello_read && (self.facts.handshake_ns.is_some() || self.facts.refusal.is_some())
    }

    /// Takes the next datagram, of either direction.
    pub fn hear(&mut self, datagram: &Datagram<'_>) -> &QuicFacts {
        for packet in Packets::new(datagram.bytes, datagram.length.into()).take(PACKETS_MAX) {
            self.take(&packet, datagram);
        }
        &self.facts
    }

    fn take(&mut self, packet: &Packet<'_>, datagram: &Datagram<'_>) {
        let is_from_client = self
            .is_client_originator
            .map(|originator| originator == datagram.from_originator);
        let may_be_clients = is_from_client != Some(false);
        let may_be_servers = is_from_client != Some(true);
        if matches!(packet.kind, Kind::Initial { .. } | Kind::Unknown) {
            self.first
                .get_or_insert((datagram.from_originator, datagram.ns));
        }
        if self.facts.version.is_none() && packet.version.is_plausible() {
            self.facts.version = Some(packet.version);
        }
        match packet.kind {
            Kind::Initial { .. } if may_be_clients => self.open(packet, datagram),
            Kind::Initial { .. } => {
                self.take_from_server(packet);
                // With a Handshake packet behind it, it refuses nothing.
                if packet.length == usize::from(datagram.length) {
                    self.hear_refusal(packet);
                }
            }
            Kind::ZeroRtt if may_be_clients => self.facts.has_zero_rtt = true,
            Kind::Negotiation if may_be_servers => {
                self.is_client_originator = Some(!datagram.from_originator);
                self.begin_anew();
            }
            Kind::Retry if may_be_servers => {
                self.is_client_originator = Some(!datagram.from_originator);
                self.facts.has_retry = true;
                self.take_from_server(packet);
            }
            Kind::Handshake if is_from_client == Some(false) => {
                self.take_from_server(packet);
                let first = self
                    .first
                    .filter(|(from, _)| *from != datagram.from_originator);
                if let (None, Some((_, first_ns))) = (self.facts.handshake_ns, first) {
                    self.facts.handshake_ns = Some(datagram.ns.saturating_sub(first_ns));
                }
            }
            _ => {}
        }
    }

    fn take_from_server(&mut self, packet: &Packet<'_>) {
        self.facts.version = Some(packet.version);
        self.facts.server_id = Some(packet.source);
    }

    fn hear_refusal(&mut self, packet: &Packet<'_>) {
        let Some(id) = self.keys.filter(|_| self.opened < OPENED_MAX) else {
            return;
        };
        self.opened += 1;
        let opened = initial::open(packet, &id, Sender::Server, &mut None);
        if let Some(opened) = opened.filter(|opened| opened.is_proven) {
            let code = crypto::close_code(&opened.frames, true);
            self.facts.refusal = self.facts.refusal.or(code);
        }
    }

    /// The server does not speak the client's version: what the client says from now on counts.
    fn begin_anew(&mut self) {
        self.facts.has_negotiation = true;
        self.keys = None;
        self.largest = None;
        self.handshake = Handshake::default();
        self.is_hello_read = false;
    }

    /// An Initial packet that may be the client's. Its keys come from its own id where it is the first, or the first after
    /// a Retry; else they are those from before.
    fn open(&mut self, packet: &Packet<'_>, datagram: &Datagram<'_>) {
        let own = Some(packet.destination).filter(|own| Some(*own) != self.keys);
        for id in [self.keys, own].into_iter().flatten() {
            if self.is_hello_read || self.opened >= OPENED_MAX {
                return;
            }
            self.opened += 1;
            let opened = initial::open(packet, &id, Sender::Client, &mut self.largest);
            if opened.is_some_and(|opened| self.read(&opened, Some(id) == self.keys)) {
                self.keys = Some(id);
                self.is_client_originator = Some(datagram.from_originator);
                self.facts.client_id = Some(packet.source);
                self.facts.version = Some(packet.version);
                return;
            }
        }
    }

    /// Takes what a packet says, if it is the client's: it is where its tag is right, and else where it makes sense.
    fn read(&mut self, opened: &Opened, are_keys_known: bool) -> bool {
        if !opened.is_proven && !are_keys_known {
            let mut alone = Handshake::default();
            let is_sound = alone.hear(&opened.frames, false).is_ok();
            if !is_sound || hello::read(alone.beginning()).is_none() {
                return false;
            }
        }
        if self
            .handshake
            .hear(&opened.frames, opened.is_proven)
            .is_err()
        {
            return opened.is_proven;
        }
        if let Some(hello) = hello::read(self.handshake.beginning()) {
            self.facts.server_name = hello.server_name;
            self.facts.offered = hello.offered;
            self.facts.refused = hello.refused;
            self.is_hello_read = hello.is_whole;
        }
        if self.is_hello_read {
            self.handshake = Handshake::default();
        }
        true
    }
}

#[cfg(test)]
mod tests;
