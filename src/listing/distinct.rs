//! How many different values there were: exact up to a limit, in bounded memory.

use std::collections::HashSet;
use std::hash::Hash;
use std::rc::Rc;

/// How many are counted exactly.
pub const MOST: usize = 4096;

/// Different values. Those of what has ended are kept apart, so that a copy of them costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct<T: Eq + Hash> {
    /// Most have one: it takes no memory of its own.
    first: Option<T>,
    kept: Option<Rc<HashSet<T>>>,
    now: HashSet<T>,
    is_more: bool,
}

impl<T: Eq + Hash> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            first: None,
            kept: None,
            now: HashSet::new(),
            is_more: false,
        }
    }
}

impl<T: Copy + Eq + Hash> Distinct<T> {
    /// Takes in a value that is there now.
    pub(super) fn add(&mut self, value: T) {
        if self.has_room_for(value, MOST) {
            self.now.insert(value);
        }
    }

    /// Takes in a value that is kept for later copies, while there are fewer than `most`.
    pub(super) fn keep(&mut self, value: T, most: usize) {
        if self.has_room_for(value, most) {
            Rc::make_mut(self.kept.get_or_insert_default()).insert(value);
        }
    }

    /// Whether it is a new one that must be put somewhere.
    fn has_room_for(&mut self, value: T, most: usize) -> bool {
        if self.first.is_none() {
            self.first = Some(value);
        }
        let is_known = self.first == Some(value)
            || self.now.contains(&value)
            || self.kept.as_ref().is_some_and(|kept| kept.contains(&value));
        let is_full = self.count() >= most as u64;
        self.is_more |= is_full && !is_known;
        !is_known && !is_full
    }

    /// How many there were, or the limit.
    #[must_use]
    pub fn count(&self) -> u64 {
        let kept = self.kept.as_ref().map_or(0, |kept| kept.len());
        (usize::from(self.first.is_some()) + kept + self.now.len()) as u64
    }

    /// Whether there were more than are counted.
    #[must_use]
    pub fn is_more(&self) -> bool {
        self.is_more
    }

    /// The values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let kept = self.kept.iter().flat_map(|kept| kept.iter());
        self.first.iter().chain(kept).chain(&self.now).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_wherever_it_is_kept() {
        let mut ended = Distinct::default();
        for value in [7, 8, 8, 7, 9] {
            ended.keep(value, MOST);
        }
        let mut all = ended.clone();
        for value in [7, 9, 10, 10] {
            all.add(value);
        }
        assert_eq!((ended.count(), all.count()), (3, 4));
        let mut values: Vec<_> = all.iter().collect();
        values.sort_unstable();
        assert_eq!(values, [7, 8, 9, 10]);
    }

    #[test]
    fn it_says_when_there_were_more() {
        let mut all = Distinct::default();
        for value in 0..MOST {
            all.keep(value, MOST);
        }
        all.add(5);
        assert_eq!((all.count(), all.is_more()), (MOST as u64, false));
        all.add(MOST);
        assert_eq!((all.count(), all.is_more()), (MOST as u64, true));
        let mut few = Distinct::default();
        (0..3).for_each(|value| few.keep(value, 2));
        assert_eq!((few.count(), few.is_more()), (2, true));
    }
}
