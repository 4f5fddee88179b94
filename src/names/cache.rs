//! A map that never grows beyond its room. No I/O, no clock.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// When it is full, a new key takes the place of one that nobody asked for lately: each is passed over
/// once after it was used (the CLOCK algorithm).
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Every key once, oldest first.
    order: VecDeque<K>,
    room: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Since its place in the order was last looked at. A cell, as who asks has no other right than to look.
    used: Cell<bool>,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub fn new(room: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            room: room.max(1),
        }
    }

    pub fn get(&self, key: K) -> Option<&V> {
        let entry = self.entries.get(&key)?;
        entry.used.set(true);
        Some(&entry.value)
    }

    /// The same for who only keeps house: that is no use.
    pub fn peek(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|entry| &entry.value)
    }

    /// The same, to be changed.
    pub fn peek_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key).map(|entry| &mut entry.value)
    }

    /// The last value wins.
    pub fn insert(&mut self, key: K, value: V) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.value = value;
            entry.used.set(true);
            return;
        }
        if self.entries.len() >= self.room {
            self.drop_one();
        }
        self.order.push_back(key);
        let used = Cell::new(false);
        self.entries.insert(key, Entry { value, used });
    }

    /// Ends after one round at most: by then nothing is marked as used.
    fn drop_one(&mut self) {
        while let Some(key) = self.order.pop_front() {
            match self.entries.get(&key) {
                Some(entry) if entry.used.replace(false) => self.order.push_back(key),
                _ => {
                    self.entries.remove(&key);
                    return;
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn the_last_value_wins() {
        let mut cache = Cache::new(2);
        cache.insert(ip(1), "one");
        cache.insert(ip(1), "uno");
        assert_eq!((cache.get(ip(1)), cache.len()), (Some(&"uno"), 1));
        assert_eq!(cache.order.len(), 1);
    }

    #[test]
    fn what_was_used_stays_longest() {
        let mut cache = Cache::new(3);
        for number in 1..=3 {
            cache.insert(ip(number), number);
        }
        assert_eq!(cache.get(ip(1)), Some(&1));
        assert_eq!(cache.peek(ip(2)), Some(&2));
        cache.insert(ip(4), 4);
        let left: Vec<_> = (1..=4).filter(|n| cache.peek(ip(*n)).is_some()).collect();
        assert_eq!(left, [1, 3, 4]);
    }

    #[test]
    fn never_holds_more_than_its_room() {
        let mut cache = Cache::new(100);
        for number in 0..10_000 {
            cache.insert(ip(number), number);
            cache.get(ip(number / 2));
            assert!(cache.len() <= 100);
            assert_eq!(cache.len(), cache.order.len());
        }
        // Also when all are in use.
        for number in 9_000..10_000 {
            cache.get(ip(number));
        }
        cache.insert(ip(77_777), 0);
        assert_eq!((cache.len(), cache.order.len()), (100, 100));
        assert_eq!(cache.peek(ip(77_777)), Some(&0));
    }
}
