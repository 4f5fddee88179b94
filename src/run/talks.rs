//! Protocols of connections: reads the first datagrams of each.

use std::collections::HashMap;

use crate::bpf::Payload;
use crate::model::{
    Amendment, Change, ConnectionId, Ended, Heard, Place, PlaceMap, Protocol, QuicFacts, Sample,
};
use crate::protocol::quic::Conversations;
use crate::protocol::{Datagram, Recognizer, prepares_media};

/// How long media are waited for after what prepares them, in seconds: in each, one more datagram of each side is read.
const MEDIA_SECONDS: u8 = 60;
const SECOND_NS: u64 = 1_000_000_000;
/// Of how many connections at a time, at most: a server of STUN has many, and no media. Which ones is chance.
const WAITING_MAX: usize = 1000;

/// What is known of connections by their payload. Bounded by the table.
#[derive(Default)]
pub(crate) struct Talks {
    by_place: PlaceMap<Talk>,
    quic: Conversations,
    /// Where those lie that speak QUIC.
    places: HashMap<ConnectionId, Place>,
    /// Where media may follow, later than in the first datagrams.
    waiting: HashMap<ConnectionId, Waiting>,
}

/// A connection that has said what prepares media.
struct Waiting {
    place: Place,
    /// When the next datagrams are to be read, in nanoseconds of `CLOCK_MONOTONIC`.
    due_ns: u64,
    /// How often they still are.
    left: u8,
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
        if is_news {
            self.wait_for_media(payload, heard);
        }
        is_news.then_some(heard)
    }

    /// Waits for media where they may follow now, and nowhere else.
    fn wait_for_media(&mut self, payload: &Payload, heard: Heard) {
        if !heard.protocol().is_some_and(prepares_media) {
            self.waiting.remove(&payload.connection);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.entry(payload.connection).or_insert(Waiting {
                place: payload.place,
                due_ns: payload.ns,
                left: MEDIA_SECONDS,
            });
        }
    }

    /// Whose next datagrams are to be read, by this time, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn listen(&mut self, now_ns: u64) -> Vec<Amendment> {
        let mut amendments = Vec::new();
        self.waiting.retain(|id, waiting| {
            if now_ns >= waiting.due_ns {
                waiting.due_ns = now_ns + SECOND_NS;
                waiting.left -= 1;
                amendments.push(Amendment {
                    place: waiting.place,
                    id: *id,
                    change: Change::Hear,
                });
            }
            waiting.left > 0
        });
        amendments
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
        if self
            .waiting
            .get(&connection)
            .is_some_and(|its| its.place == place)
        {
            self.waiting.remove(&connection);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Direction, Ifindex};

    const STUN: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";

    /// From 40000 to 50000.
    fn payload(number: u32, bytes: &[u8]) -> Payload {
        Payload {
            place: Place(number),
            connection: ConnectionId(number.into()),
            interface: Ifindex(1),
            from_originator: true,
            direction: Direction::Ingress,
            source_port: 40_000,
            destination_port: 50_000,
            ordinal: 1,
            length: bytes.len(),
            bytes: bytes.into(),
            ns: 0,
        }
    }

    fn rtp(number: u8) -> Vec<u8> {
        [
            &[0x80, 0, 0, number, 0, 0, 0, 0, 1, 2, 3, 4][..],
            &[0x55; 40],
        ]
        .concat()
    }

    #[test]
    fn media_are_waited_for_once_a_second() {
        let mut talks = Talks::default();
        assert_eq!(talks.hear(&payload(1, b"not known")), None);
        assert_eq!(talks.listen(0), []);
        let stun = Some(Heard::Says(Protocol::Stun));
        assert_eq!(talks.hear(&payload(2, STUN)), stun);
        assert_eq!(talks.hear(&payload(3, STUN)), stun);
        let places = |amendments: Vec<Amendment>| {
            let mut places: Vec<u32> = amendments.iter().map(|it| it.place.0).collect();
            places.sort_unstable();
            places
        };
        assert_eq!(places(talks.listen(0)), [2, 3]);
        assert_eq!(places(talks.listen(SECOND_NS - 1)), [0; 0]);
        assert_eq!(places(talks.listen(SECOND_NS)), [2, 3]);
        talks.hear(&payload(2, &rtp(1)));
        let media = talks.hear(&payload(2, &rtp(51)));
        assert_eq!(media, Some(Heard::Says(Protocol::Rtp)));
        assert_eq!(places(talks.listen(2 * SECOND_NS)), [3]);
        for second in 3..u64::from(MEDIA_SECONDS) {
            assert_eq!(places(talks.listen(second * SECOND_NS)), [3]);
        }
        assert_eq!(
            places(talks.listen(1000 * SECOND_NS)),
            [0; 0],
            "long enough"
        );
    }

    #[test]
    fn not_too_many_are_waited_for() {
        let mut talks = Talks::default();
        for number in 0..2000 {
            talks.hear(&payload(number, STUN));
        }
        assert_eq!(talks.listen(0).len(), WAITING_MAX);
        for number in 0..2000 {
            talks.forget(Place(number), ConnectionId(number.into()));
        }
        assert_eq!(talks.listen(SECOND_NS), []);
    }
}
