//! What connections have said: the first datagrams of each, heard.

use std::collections::HashMap;

use crate::bpf::Payload;
use crate::model::{ConnectionId, Heard, Place, PlaceMap, Protocol, QuicFacts, Sample};
use crate::protocol::quic::Conversations;
use crate::protocol::{Datagram, Recognizer};

/// What is known of connections by their payload. Bounded by the table.
#[derive(Default)]
pub(crate) struct Talks {
    by_place: PlaceMap<Talk>,
    quic: Conversations,
    /// Where those lie that speak QUIC.
    places: HashMap<ConnectionId, Place>,
}

/// One connection.
struct Talk {
    connection: ConnectionId,
    recognizer: Recognizer,
    heard: Heard,
}

impl Talks {
    /// Takes a datagram in; says what its connection has said, where that is news.
    pub fn hear(&mut self, payload: &Payload) -> Option<Heard> {
        let connection = payload.connection;
        let fresh = || Talk {
            connection,
            recognizer: Recognizer::default(),
            heard: Heard::Nothing,
        };
        let talk = self.by_place.get_or_insert_with(payload.place, fresh);
        if talk.connection != connection {
            *talk = fresh();
        }
        let datagram = datagram(payload);
        talk.recognizer.hear(&datagram);
        self.quic.hear(connection, &datagram);
        // What goes on from another address shows no more of itself than an id.
        let heard = match talk.recognizer.heard() {
            heard @ Heard::Says(_) => heard,
            _ if self.quic.continues(connection) => Heard::Says(Protocol::Quic),
            heard => heard,
        };
        if heard.protocol() == Some(Protocol::Quic) {
            self.places.insert(connection, payload.place);
        }
        let is_news = heard != talk.heard;
        talk.heard = heard;
        is_news.then_some(heard)
    }

    /// Which connections have said of QUIC all that will be heard by this time, in nanoseconds of `CLOCK_MONOTONIC`: each is named once.
    pub fn settle(&mut self, now_ns: u64) -> Vec<(Place, ConnectionId)> {
        let settled = self.quic.settle(now_ns).into_iter();
        let placed = |connection| Some((*self.places.get(&connection)?, connection));
        settled.filter_map(placed).collect()
    }

    /// What a connection has said of QUIC, once that is settled.
    pub fn quic(&self, sample: &Sample) -> Option<&QuicFacts> {
        self.quic.facts(sample.id)
    }

    /// Forgets a connection that has ended and was reported.
    pub fn forget(&mut self, place: Place, connection: ConnectionId) {
        let talk = self.by_place.get(place);
        if talk.is_some_and(|talk| talk.connection == connection) {
            self.by_place.remove(place);
        }
        self.places.remove(&connection);
        self.quic.end(connection);
    }
}

/// As the recognizer wants it.
fn datagram(payload: &Payload) -> Datagram<'_> {
    Datagram {
        from_originator: payload.from_originator,
        source_port: payload.source_port,
        destination_port: payload.destination_port,
        ordinal: payload.ordinal.saturating_sub(1),
        length: u16::try_from(payload.length).unwrap_or(u16::MAX),
        bytes: &payload.bytes,
        ns: payload.ns,
    }
}
