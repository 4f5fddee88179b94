//! What one connection has said so far, and what that makes of it.

use super::datagram::Datagram;
use crate::model::{Protocol, Spoken};

/// Hears the first datagrams of one connection and names what it speaks. Small: there is one for each connection.
#[derive(Clone, Debug, Default)]
pub struct Recognizer {
    guess: Option<Protocol>,
}

impl Recognizer {
    /// Takes a datagram in. Each is heard once, in the order of its direction.
    pub fn hear(&mut self, datagram: &Datagram<'_>) {
        let (source, destination) = if datagram.from_originator {
            (datagram.source_port, datagram.destination_port)
        } else {
            (datagram.destination_port, datagram.source_port)
        };
        self.guess = Protocol::port_guess(source, destination);
    }

    /// What the connection speaks. Before anything was heard there is only [`Spoken::guess`].
    #[must_use]
    pub fn spoken(&self) -> Option<Spoken> {
        Some(Spoken {
            protocol: self.guess?,
            is_guess: true,
        })
    }
}
