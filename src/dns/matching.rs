//! Queries that wait for their answers: by connection and DNS id. Bounded: where too many wait, the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use crate::model::ConnectionId;

/// What joins a query and its answer.
pub(super) type Id = (ConnectionId, u16);

/// A query that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting<T> {
    /// What was asked.
    pub asked: T,
    /// By which side.
    pub from_originator: bool,
    /// When: nanoseconds of `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// Messages that had not been read by then.
    pub unread: u64,
    /// It was told that no answer came.
    pub is_told: bool,
}

/// All that wait.
#[derive(Clone, Debug)]
pub(super) struct Matching<T> {
    waiting: HashMap<Id, Waiting<T>>,
    /// Each of them once as it was asked, oldest first, and some that wait no more.
    order: VecDeque<(u64, Id)>,
    room: usize,
    forgotten: u64,
}

impl<T: PartialEq> Matching<T> {
    pub fn new(room: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            room: room.max(1),
            forgotten: 0,
        }
    }

    /// How many made room for others before it was known what became of them.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub fn get(&self, id: &Id) -> Option<&Waiting<T>> {
        self.waiting.get(id)
    }

    pub fn take(&mut self, id: &Id) -> Option<Waiting<T>> {
        self.waiting.remove(id)
    }

    /// One more waits; another of the same id waits no more, and is forgotten unless it is the same once more.
    pub fn insert(&mut self, id: Id, waiting: Waiting<T>) {
        while self.waiting.len() >= self.room && !self.waiting.contains_key(&id) {
            self.drop_oldest();
        }
        self.order.push_back((waiting.since_ns, id));
        let again = self.waiting.get(&id);
        let is_forgotten = again.is_some_and(|one| !one.is_told && one.asked != waiting.asked);
        self.forgotten += u64::from(is_forgotten);
        self.waiting.insert(id, waiting);
        if self.order.len() > 4 * self.room {
            let waiting = &self.waiting;
            self.order.retain(|(since_ns, id)| {
                waiting.get(id).is_some_and(|one| one.since_ns == *since_ns)
            });
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((since_ns, id)) = self.order.pop_front() {
            if self
                .waiting
                .get(&id)
                .is_some_and(|one| one.since_ns == since_ns)
            {
                let oldest = self.waiting.remove(&id);
                self.forgotten += u64::from(oldest.is_some_and(|one| !one.is_told));
                return;
            }
        }
        // Unreachable, as each that waits is in the order.
        self.waiting.clear();
    }

    /// Those that were asked before `told_ns` and were not told yet, each once; forgets those of before `forgotten_ns`.
    pub fn overdue(&mut self, told_ns: u64, forgotten_ns: u64) -> Vec<&Waiting<T>> {
        while let Some((since_ns, id)) = self.order.front().copied() {
            if since_ns >= forgotten_ns {
                break;
            }
            self.order.pop_front();
            if self
                .waiting
                .get(&id)
                .is_some_and(|one| one.since_ns == since_ns)
            {
                self.waiting.remove(&id);
            }
        }
        let mut overdue = Vec::new();
        for waiting in self.waiting.values_mut() {
            if waiting.since_ns < told_ns && !std::mem::replace(&mut waiting.is_told, true) {
                overdue.push(&*waiting);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(asked: u64, since_ns: u64) -> Waiting<u64> {
        Waiting {
            asked,
            from_originator: true,
            since_ns,
            unread: 0,
            is_told: false,
        }
    }

    fn id(number: u16) -> Id {
        (ConnectionId(1), number)
    }

    #[test]
    fn each_is_told_once_and_forgotten_later() {
        let mut matching = Matching::new(10);
        matching.insert(id(1), waiting(1, 100));
        matching.insert(id(2), waiting(2, 200));
        let told = |matching: &mut Matching<u64>, told_ns, forgotten_ns| -> Vec<u64> {
            let overdue = matching.overdue(told_ns, forgotten_ns);
            overdue.iter().map(|one| one.asked).collect()
        };
        assert_eq!(told(&mut matching, 150, 0), [1]);
        assert_eq!(told(&mut matching, 150, 0), [0; 0]);
        assert!(matching.get(&id(1)).unwrap().is_told);
        assert_eq!(told(&mut matching, 250, 150), [2]);
        assert!(matching.get(&id(1)).is_none());
        assert_eq!(matching.take(&id(2)).unwrap().asked, 2);
        assert!(matching.take(&id(2)).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_nothing_grows() {
        let mut matching = Matching::new(3);
        for number in 0..1000 {
            let again = number % 7;
            matching.insert(id(again), waiting(0, number.into()));
            assert!(matching.waiting.len() <= 3 && matching.order.len() <= 12);
        }
        assert_eq!(matching.forgotten(), 997);
        assert_eq!(matching.get(&id(999 % 7)).unwrap().since_ns, 999);
        assert_eq!(matching.get(&id(997 % 7)).unwrap().since_ns, 997);
        assert!(matching.get(&id(996 % 7)).is_none());
        // The same once more takes nothing away, another question does.
        matching.insert(id(999 % 7), waiting(0, 1000));
        assert_eq!(matching.forgotten(), 997);
        matching.insert(id(999 % 7), waiting(1, 1001));
        assert_eq!(matching.forgotten(), 998);
    }
}
