//! Which ports, protocols and processes have series of their own, so that a scrape does not always add new ones. Pure.

use std::collections::HashMap;
use std::hash::Hash;

/// How long one of the busiest keeps its series.
const KEPT_NS: u64 = 600_000_000_000;
/// If all places are taken, a new one must be this many times as busy as another one ever was.
const MUCH_BUSIER: f32 = 2.0;

/// Those that have series: at most twice as many as may be the busiest.
#[derive(Clone, Debug)]
pub(super) struct Series<K>(HashMap<K, Busy>);

#[derive(Clone, Copy, Debug)]
struct Busy {
    /// When it was last among the busiest, in nanoseconds of `CLOCK_MONOTONIC`.
    at_ns: u64,
    /// The most bytes per second that it had then.
    most: f32,
}

impl<K> Default for Series<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash + Ord> Series<K> {
    /// Takes in who is busiest now, in this order, with bytes per second: at most `top`.
    pub fn take(&mut self, now_ns: u64, top: usize, busiest: &[(K, f32)]) {
        self.0
            .retain(|_, busy| now_ns.saturating_sub(busy.at_ns) <= KEPT_NS);
        let room = 2 * top;
        for (key, rate) in busiest {
            if !self.0.contains_key(key) && self.0.len() >= room && !self.make_room(*rate) {
                continue;
            }
            let busy = self.0.entry(key.clone()).or_insert(Busy {
                at_ns: now_ns,
                most: *rate,
            });
            busy.at_ns = now_ns;
            busy.most = busy.most.max(*rate);
        }
    }

    /// For one that is so busy: the least busy one goes, if it never was nearly so.
    fn make_room(&mut self, rate: f32) -> bool {
        let least = self.0.iter().min_by(|(one, first), (other, second)| {
            first
                .most
                .total_cmp(&second.most)
                .then_with(|| one.cmp(other))
        });
        let Some((key, busy)) = least.map(|(key, busy)| (key.clone(), *busy)) else {
            return true;
        };
        let goes = rate > MUCH_BUSIER * busy.most;
        if goes {
            self.0.remove(&key);
        }
        goes
    }

    /// Whether it has series.
    pub fn has(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// All that have.
    pub fn all(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn all(series: &Series<u16>) -> Vec<u16> {
        let mut all: Vec<u16> = series.all().copied().collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn random_ports_make_no_series_without_end() {
        let mut series = Series::default();
        for scrape in 0..40_u16 {
            // Two new ones each time, none busier than the ones before.
            series.take(
                u64::from(scrape) * MINUTE / 4,
                2,
                &[(2 * scrape, 10.0), (2 * scrape + 1, 10.0)],
            );
        }
        assert_eq!(all(&series), [0, 1, 2, 3]);
        series.take(21 * MINUTE, 2, &[(500, 10.0), (501, 10.0)]);
        assert_eq!(all(&series), [500, 501]);
    }

    #[test]
    fn one_that_is_busy_again_stays() {
        let mut series = Series::default();
        series.take(0, 1, &[(53, 10.0)]);
        series.take(9 * MINUTE, 1, &[(443, 10.0)]);
        series.take(18 * MINUTE, 1, &[(53, 10.0)]);
        assert_eq!(all(&series), [53, 443]);
    }

    #[test]
    fn one_that_is_much_busier_gets_a_place() {
        let mut series = Series::default();
        series.take(0, 1, &[(1, 10.0)]);
        series.take(1, 1, &[(2, 11.0)]);
        series.take(2, 1, &[(3, 20.0)]);
        assert_eq!(all(&series), [1, 2]);
        series.take(3, 1, &[(3, 21.0)]);
        assert_eq!(all(&series), [2, 3]);
    }
}
