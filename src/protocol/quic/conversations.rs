//! All QUIC connections that are tracked: those whose first datagrams still come, and what the others have said.

use std::collections::HashMap;

use super::super::datagram::Datagram;
use super::packet::Packets;
use super::{Continuations, QuicConversation};
use crate::model::{ConnectionId, QuicFacts};

/// Conversations that are heard at a time: each has 8 kB at most, in practice none or two.
const UNDER_WAY_MAX: usize = 4096;
/// Connections of which is remembered what they said, in about 300 bytes each, 1 kB at most.
const KNOWN_MAX: usize = 262_144;
/// How long the rest of a handshake is waited for, in nanoseconds.
const PATIENCE_NS: u64 = 5_000_000_000;

/// What QUIC connections say and have said.
#[derive(Debug, Default)]
pub struct Conversations {
    under_way: HashMap<ConnectionId, UnderWay>,
    known: HashMap<ConnectionId, QuicFacts>,
    continuations: Continuations<ConnectionId>,
    /// What had to make room for others, and was not named yet.
    hurried: Vec<ConnectionId>,
    unheard: u64,
}

#[derive(Debug)]
struct UnderWay {
    conversation: QuicConversation,
    may_continue: Option<ConnectionId>,
    since_ns: u64,
}

impl UnderWay {
    fn facts(&self) -> QuicFacts {
        QuicFacts {
            may_continue: self.may_continue,
            ..self.conversation.facts().clone()
        }
    }
}

impl Conversations {
    /// Takes one of the first datagrams of a connection; of a connection that is no QUIC it leaves nothing.
    pub fn hear(&mut self, connection: ConnectionId, datagram: &Datagram<'_>) {
        if self.known.contains_key(&connection) {
            return;
        }
        if !self.under_way.contains_key(&connection) {
            let may_continue = datagram
                .from_originator
                .then(|| self.continuations.find(datagram.bytes, connection))
                .flatten();
            let mut packets = Packets::new(datagram.bytes, datagram.length.into());
            if may_continue.is_none() && packets.next().is_none() {
                return;
            }
            if self.under_way.len() >= UNDER_WAY_MAX {
                self.make_room();
            }
            let new = UnderWay {
                conversation: QuicConversation::default(),
                may_continue,
                since_ns: datagram.ns,
            };
            self.under_way.insert(connection, new);
        }
        let Some(one) = self.under_way.get_mut(&connection) else {
            return;
        };
        let before = one.conversation.facts().server_id;
        let now = one.conversation.hear(datagram).server_id;
        if let Some(id) = now.filter(|_| now != before) {
            if let Some(before) = before {
                self.continuations.forget(&before);
            }
            self.continuations.learn(id, connection);
        }
    }

    /// The connections of which all is known that will be, since this was asked last: each is named once. That are those that have said
    /// all, those that have had their time by `now_ns` (of `CLOCK_MONOTONIC`), and those that have `ended`.
    pub fn settle(
        &mut self,
        now_ns: u64,
        ended: impl IntoIterator<Item = ConnectionId>,
    ) -> Vec<ConnectionId> {
        let mut over: Vec<_> = ended
            .into_iter()
            .filter_map(|connection| self.under_way.remove_entry(&connection))
            .collect();
        let is_over = |one: &UnderWay| {
            one.conversation.is_complete() || now_ns.saturating_sub(one.since_ns) >= PATIENCE_NS
        };
        over.extend(self.under_way.extract_if(|_, one| is_over(one)));
        let mut settled = std::mem::take(&mut self.hurried);
        settled.retain(|connection| self.known.contains_key(connection));
        settled.extend(over.into_iter().filter_map(|one| self.keep(one)));
        settled.sort_unstable();
        settled
    }

    /// The half that has waited for longest waits no more: it is settled with what it has said. So a flood of beginnings only takes time
    /// from handshakes, and keeps nobody from being heard.
    fn make_room(&mut self) {
        let since = |(connection, one): (&ConnectionId, &UnderWay)| (one.since_ns, *connection);
        let mut oldest: Vec<_> = self.under_way.iter().map(since).collect();
        oldest.sort_unstable();
        oldest.truncate(oldest.len().div_ceil(2));
        for (_, connection) in oldest {
            let Some(one) = self.under_way.remove_entry(&connection) else {
                continue;
            };
            self.unheard += u64::from(!one.1.conversation.is_complete());
            let kept = self.keep(one);
            self.hurried.extend(kept);
        }
    }

    /// Remembers what a connection has said, if that is something; says which one it is.
    fn keep(&mut self, (connection, one): (ConnectionId, UnderWay)) -> Option<ConnectionId> {
        let facts = one.facts();
        if !has_said(&facts) {
            return None;
        }
        if self.known.len() >= KNOWN_MAX {
            self.unheard += 1;
            return None;
        }
        self.known.insert(connection, facts);
        Some(connection)
    }

    /// What a connection has said, once it is settled.
    #[must_use]
    pub fn facts(&self, connection: ConnectionId) -> Option<&QuicFacts> {
        self.known.get(&connection)
    }

    /// Whether a connection began with an id of another one.
    #[must_use]
    pub fn continues(&self, connection: ConnectionId) -> bool {
        let known = self.known.get(&connection);
        let under_way = self.under_way.get(&connection);
        known.is_some_and(|facts| facts.may_continue.is_some())
            || under_way.is_some_and(|one| one.may_continue.is_some())
    }

    /// A connection is over, and is forgotten.
    pub fn forget(&mut self, connection: ConnectionId) {
        let settled = self.known.remove(&connection);
        let unsettled = self.under_way.remove(&connection).map(|one| one.facts());
        for facts in settled.into_iter().chain(unsettled) {
            if let Some(id) = facts.server_id {
                self.continuations.forget(&id);
            }
        }
    }

    /// Connections that were not heard to their end, or of which nothing is remembered, as there were too many at a time.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.unheard
    }
}

fn has_said(facts: &QuicFacts) -> bool {
    facts.version.is_some() || facts.may_continue.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{CLIENT_ONE, SERVER_ONE};
    use super::super::tests::{HANDSHAKE, datagram};
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const FIRST: ConnectionId = ConnectionId(1);
    const SECOND_ONE: ConnectionId = ConnectionId(2);

    /// A datagram with a short header, to the id that the server of the standard has chosen.
    fn short() -> Vec<u8> {
        [&[0x41][..], &SERVER_ONE[7..15], &[9; 30]].concat()
    }

    fn name(facts: Option<&QuicFacts>) -> Option<&str> {
        facts.and_then(|facts| facts.server_name.as_deref())
    }

    #[test]
    fn a_connection_is_named_once_and_forgotten_with_its_end() {
        let mut all = Conversations::default();
        all.hear(FIRST, &datagram(true, CLIENT_ONE, SECOND));
        assert!(all.settle(SECOND, []).is_empty() && all.facts(FIRST).is_none());
        let flight = [SERVER_ONE, &HANDSHAKE].concat();
        all.hear(FIRST, &datagram(false, &flight, SECOND + 7));
        assert_eq!(all.settle(SECOND, []), [FIRST]);
        assert_eq!(all.settle(SECOND, []), []);
        assert_eq!(name(all.facts(FIRST)), Some("example.com"));
        assert_eq!(all.facts(FIRST).unwrap().handshake_ns, Some(7));
        // Another may go on from there, while the first is not forgotten.
        all.hear(SECOND_ONE, &datagram(true, &short(), SECOND));
        let continued = QuicFacts {
            may_continue: Some(FIRST),
            ..QuicFacts::default()
        };
        assert!(all.continues(SECOND_ONE) && !all.continues(FIRST));
        assert_eq!(all.settle(SECOND + PATIENCE_NS - 1, []), []);
        assert_eq!(all.settle(SECOND + PATIENCE_NS, []), [SECOND_ONE]);
        assert_eq!(all.facts(SECOND_ONE), Some(&continued));
        assert!(all.continues(SECOND_ONE));
        all.forget(FIRST);
        assert!(all.facts(FIRST).is_none());
        // Nobody has its id any more.
        all.hear(ConnectionId(3), &datagram(true, &short(), SECOND));
        assert!(!all.continues(ConnectionId(3)));
        assert_eq!(all.settle(u64::MAX, []), []);
    }

    #[test]
    fn what_ends_is_settled_at_once_and_so_is_what_nobody_answers() {
        let mut all = Conversations::default();
        all.hear(FIRST, &datagram(true, CLIENT_ONE, 0));
        assert_eq!(all.settle(0, [SECOND_ONE]), []);
        assert_eq!(all.settle(0, [FIRST]), [FIRST]);
        assert_eq!(all.settle(0, [FIRST]), []);
        assert_eq!(name(all.facts(FIRST)), Some("example.com"));
        all.forget(FIRST);
        assert!(all.facts(FIRST).is_none());
        all.hear(FIRST, &datagram(true, CLIENT_ONE, 0));
        assert_eq!(all.settle(PATIENCE_NS, []), [FIRST]);
        assert_eq!(all.facts(FIRST).unwrap().handshake_ns, None);
    }

    #[test]
    fn what_is_no_quic_leaves_nothing() {
        let mut all = Conversations::default();
        for bytes in [&b"\x12\x34\x01\0\0\x01"[..], &short(), &[]] {
            all.hear(FIRST, &datagram(true, bytes, 0));
        }
        assert!(all.under_way.is_empty());
    }

    /// However many begin and never go on: each is told, with what it has said, and so is who comes among them.
    #[test]
    fn too_many_at_a_time_make_room_and_are_counted() {
        let mut all = Conversations::default();
        let flood = 3 * UNDER_WAY_MAX as u64;
        let half = UNDER_WAY_MAX as u64 / 2;
        let is_ours = |number: u64| number % half == 7;
        let mut settled = Vec::new();
        for number in 0..flood {
            let bytes = if is_ours(number) {
                CLIENT_ONE
            } else {
                &HANDSHAKE
            };
            all.hear(ConnectionId(number), &datagram(true, bytes, number));
            assert!(all.under_way.len() <= UNDER_WAY_MAX);
            if number % 5000 == 0 {
                settled.extend(all.settle(number, []));
            }
        }
        settled.extend(all.settle(u64::MAX, []));
        settled.sort_unstable();
        let everybody: Vec<_> = (0..flood).map(ConnectionId).collect();
        assert_eq!(settled, everybody);
        for number in (0..flood).filter(|number| is_ours(*number)) {
            assert_eq!(name(all.facts(ConnectionId(number))), Some("example.com"));
        }
        // Half of the room, each time when it was full.
        assert_eq!(all.unheard(), flood - UNDER_WAY_MAX as u64);
        // Who has ended before he was told is not told.
        for number in 0..=UNDER_WAY_MAX as u64 {
            all.forget(ConnectionId(number));
            all.hear(ConnectionId(number), &datagram(true, &HANDSHAKE, number));
        }
        all.forget(ConnectionId(0));
        assert_eq!(all.settle(0, []).first(), Some(&ConnectionId(1)));
    }
}
