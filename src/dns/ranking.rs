//! Finds the most frequent keys in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k
//! Elements in Data Streams, 2005). Pure.
//!
//! As long as there was room for all, counts are exact. From then on what is new takes the place of what occurred least, and with it
//! its count as its error: a count is too high by at most its error, and every key that is more frequent than the rarest is in the list.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// How often something occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// At most so often.
    pub count: u64,
    /// By how much the count may be too high; 0: it is exact.
    pub error: u64,
}

/// Keys with their counts.
#[derive(Clone, Debug)]
pub struct Ranking<K> {
    room: usize,
    places: HashMap<K, usize>,
    entries: Vec<(K, Count)>,
    /// Counts and places, the least first.
    order: BTreeSet<(u64, usize)>,
}

impl<K: Clone + Eq + Hash> Ranking<K> {
    /// With room for this number of keys.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            places: HashMap::new(),
            entries: Vec::new(),
            order: BTreeSet::new(),
        }
    }

    /// It occurred once more.
    pub fn add(&mut self, key: K) {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.entries.len() < self.room => {
                self.places.insert(key.clone(), self.entries.len());
                self.entries.push((key, Count::default()));
                self.entries.len() - 1
            }
            None => {
                let least = self.order.first().map_or(0, |(_, place)| *place);
                let (old, count) = &mut self.entries[least];
                self.places.remove(old);
                self.places.insert(key.clone(), least);
                *old = key;
                count.error = count.count;
                least
            }
        };
        let count = &mut self.entries[place].1;
        self.order.remove(&(count.count, place));
        count.count += 1;
        self.order.insert((count.count, place));
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, Count)> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(count: u64) -> Count {
        Count { count, error: 0 }
    }

    #[test]
    fn exact_while_there_is_room() {
        let mut ranking = Ranking::new(3);
        for key in ["a", "b", "a", "c", "a", "b"] {
            ranking.add(key);
        }
        let all: Vec<_> = ranking.iter().copied().collect();
        assert_eq!(all, [("a", exact(3)), ("b", exact(2)), ("c", exact(1))]);
    }

    /// What occurs often stays, and each count is between what it is and what it says.
    #[test]
    fn bounds_hold_when_there_is_none() {
        let mut ranking = Ranking::new(20);
        let mut truth: HashMap<u64, u64> = HashMap::new();
        let mut state = 1_u64;
        for round in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let key = if round % 3 == 0 {
                round % 4
            } else {
                100 + (state >> 40)
            };
            *truth.entry(key).or_default() += 1;
            ranking.add(key);
        }
        assert_eq!(
            (
                ranking.entries.len(),
                ranking.places.len(),
                ranking.order.len()
            ),
            (20, 20, 20)
        );
        let total: u64 = ranking.iter().map(|(_, count)| count.count).sum();
        assert_eq!(total, 20_000);
        for (key, count) in ranking.iter() {
            let truth = truth[key];
            assert!(count.count - count.error <= truth && truth <= count.count);
            assert!(count.error <= 20_000 / 20);
        }
        // A twelfth of all each: more than a twentieth is there whatever comes beside it.
        for key in [0, 1, 2, 3] {
            assert!(ranking.places.contains_key(&key));
        }
    }
}
