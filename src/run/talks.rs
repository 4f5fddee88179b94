//! Protocols of connections: reads the first datagrams of each.

use std::collections::HashMap;

use crate::bpf::Payload;
use crate::model::{
    Amendment, Change, ConnectionId, Ended, Heard, Place, PlaceMap, Protocol, QuicFacts, Sample,
};
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
            // Of the one before something was still heard when it had ended.
            let before = std::mem::replace(talk, fresh()).connection;
            forget_quic(&mut self.quic, &mut self.places, payload.place, before);
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

    /// Of which connections all of QUIC is known that will be, by this time, in nanoseconds of `CLOCK_MONOTONIC`, or as they have `ended`:
    /// each is named once.
    pub fn settle(&mut self, now_ns: u64, ended: &[Ended]) -> Vec<(Place, ConnectionId)> {
        let ended = ended.iter().map(|ended| ended.sample.id);
        let settled = self.quic.settle(now_ns, ended).into_iter();
        let placed = |connection| Some((*self.places.get(&connection)?, connection));
        settled.filter_map(placed).collect()
    }

    /// QUIC connections that were not heard to their end, as there were too many at a time.
    pub fn unheard_quic(&self) -> u64 {
        self.quic.unheard()
    }

    /// What is to be put down of connections that have settled: their packets have a spin bit.
    pub fn amendments(&self, settled: &[(Place, ConnectionId)]) -> Vec<Amendment> {
        let spins = |(_, id): &&(Place, ConnectionId)| {
            let facts = self.quic.facts(*id);
            facts.is_some_and(QuicFacts::has_spin_bit)
        };
        let amendment = |(place, id): &(Place, ConnectionId)| Amendment {
            place: *place,
            id: *id,
            change: Change::Spins,
        };
        settled.iter().filter(spins).map(amendment).collect()
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
        forget_quic(&mut self.quic, &mut self.places, place, connection);
    }
}

/// Forgets what a connection has said of QUIC, unless it lies somewhere else by now: one of the same ends may have followed it.
fn forget_quic(
    quic: &mut Conversations,
    places: &mut HashMap<ConnectionId, Place>,
    place: Place,
    connection: ConnectionId,
) {
    if places.get(&connection).is_none_or(|its| *its == place) {
        places.remove(&connection);
        quic.forget(connection);
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
