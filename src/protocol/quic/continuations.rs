//! Connections that may go on from another address: a client whose address changes (NAT, another network) may keep sending
//! to the id that its server chose, and then a new connection begins with that id. A hint, no more.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::model::QuicId as Id;

/// Ids that are remembered: 2 MiB.
const ROOM: usize = 16_384;
/// A shorter id may be there by chance, in bytes.
const ID_MIN: usize = 8;
const ID_MAX: usize = 20;
/// Of the first byte: a short header has the second bit alone (RFC 9000 17.3).
const FORM: u8 = 0xc0;
const SHORT: u8 = 0x40;

/// Which connection has which id; a connection is a `K`.
#[derive(Debug)]
pub struct Continuations<K> {
    ids: HashMap<Id, K>,
    /// As they came. Some of them are forgotten already.
    order: VecDeque<Id>,
    /// How many ids have this number of bytes.
    lengths: [usize; ID_MAX + 1],
}

impl<K> Default for Continuations<K> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            order: VecDeque::new(),
            lengths: [0; ID_MAX + 1],
        }
    }
}

impl<K: Copy + Eq + Hash> Continuations<K> {
    /// The server of a connection has chosen this id. Who comes first has it; the oldest makes room.
    pub fn learn(&mut self, id: Id, connection: K) {
        if id.as_bytes().len() < ID_MIN || self.ids.contains_key(&id) {
            return;
        }
        while self.ids.len() >= ROOM {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.forget(&oldest);
        }
        if self.order.len() >= 2 * ROOM {
            self.order.retain(|id| self.ids.contains_key(id));
        }
        self.lengths[id.as_bytes().len()] += 1;
        self.ids.insert(id, connection);
        self.order.push_back(id);
    }

    /// The connection with this id is over.
    pub fn forget(&mut self, id: &Id) {
        if self.ids.remove(id).is_some() {
            self.lengths[id.as_bytes().len()] -= 1;
        }
    }

    /// Which connection the new one may continue, by its first datagram from its originator.
    #[must_use]
    pub fn find(&self, datagram: &[u8], new: K) -> Option<K> {
        let (first, rest) = datagram.split_first()?;
        if first & FORM != SHORT {
            return None;
        }
        (ID_MIN..=ID_MAX)
            .rev()
            .filter(|length| self.lengths[*length] > 0)
            .filter_map(|length| self.ids.get(&Id::new(rest.get(..length)?)?).copied())
            .find(|connection| *connection != new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Id {
        Id::new(&number.to_be_bytes()).unwrap()
    }

    fn datagram(first: u8, id: &Id) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(b"protected");
        bytes
    }

    #[test]
    fn a_short_header_with_a_known_id_may_continue_its_connection() {
        let mut known = Continuations::default();
        let long = Id::new(&[7; 20]).unwrap();
        known.learn(id(1), "first");
        known.learn(long, "second");
        // Too short to mean anything.
        known.learn(Id::new(&[9; 7]).unwrap(), "third");
        assert_eq!(known.find(&datagram(0x40, &id(1)), "new"), Some("first"));
        assert_eq!(known.find(&datagram(0x7f, &long), "new"), Some("second"));
        for (first, of) in [(0xc0, id(1)), (0x00, id(1)), (0x80, long), (0x40, id(2))] {
            assert_eq!(known.find(&datagram(first, &of), "new"), None, "{first:x}");
        }
        assert_eq!(known.find(&[0x40, 9, 9, 9, 9, 9, 9, 9], "new"), None);
        assert_eq!(known.find(&[], "new"), None);
        // It does not continue itself.
        assert_eq!(known.find(&datagram(0x40, &id(1)), "first"), None);
        // Who takes another's id gets nothing.
        known.learn(id(1), "thief");
        assert_eq!(known.find(&datagram(0x40, &id(1)), "new"), Some("first"));
        known.forget(&id(1));
        assert_eq!(known.find(&datagram(0x40, &id(1)), "new"), None);
        known.learn(id(1), "again");
        assert_eq!(known.find(&datagram(0x40, &id(1)), "new"), Some("again"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Continuations::default();
        let all = ROOM as u64 + 10;
        for number in 0..all {
            known.learn(id(number), number);
        }
        assert_eq!(known.ids.len(), ROOM);
        assert_eq!(known.find(&datagram(0x40, &id(9)), all), None);
        assert_eq!(known.find(&datagram(0x40, &id(10)), all), Some(10));
        // Also where all are forgotten at once.
        for number in all..all + 5 * ROOM as u64 {
            known.learn(id(number), number);
            known.forget(&id(number));
            assert!(known.order.len() <= 2 * ROOM);
        }
        assert_eq!(known.lengths[8], known.ids.len());
    }
}
