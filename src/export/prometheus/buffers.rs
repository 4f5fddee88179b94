//! The fullest receive buffers of the last minute, as gauges: a scrape each minute would miss a buffer that is full for a second.
//! Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use super::series::Series;
use crate::model::text::Visible;
use crate::model::{Buffer, Tick};

/// How long a look counts.
const LASTS_NS: u64 = 60_000_000_000;
/// Nobody holds the kernel's own sockets, and of some it is not known.
const UNKNOWN: &str = "unknown";

/// A process and where it receives. Several sockets of both are one.
pub(super) type Key = (String, SocketAddr);

/// What looks have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    /// When, and those buffers that were among the fullest, or have series.
    looks: VecDeque<(u64, Vec<(Key, f64)>)>,
    series: Series<Key>,
}

impl Buffers {
    /// Takes in a look, if the tick has one. `top` buffers may have series because they are the fullest.
    pub fn tick(&mut self, tick: &Tick<'_>, top: usize) {
        let since_ns = tick.now_ns.saturating_sub(LASTS_NS);
        while self
            .looks
            .front()
            .is_some_and(|(at_ns, _)| *at_ns < since_ns)
        {
            self.looks.pop_front();
        }
        let Some(buffers) = tick.buffers else {
            return;
        };
        let used = buffers.iter().filter(|buffer| buffer.fill > 0.0);
        let mut fullest = fullest(used.map(|buffer| (key(buffer), buffer.fill)));
        // A socket that is among the fullest of a minute was so at the look at which it was that full.
        let mut place = 0;
        fullest.retain(|(key, _)| {
            place += 1;
            place <= top || self.series.has(key)
        });
        self.looks.push_back((tick.now_ns, fullest));
    }

    /// How full each was at most that has series, in the last minute before the latest look.
    pub fn all(&mut self, now_ns: u64, top: usize) -> Vec<(Key, f64)> {
        let looks = self.looks.iter();
        let fullest = fullest(looks.flat_map(|(_, fills)| fills.iter().cloned()));
        #[expect(clippy::cast_possible_truncation, reason = "only compared")]
        let first: Vec<(Key, f32)> = fullest
            .iter()
            .take(top)
            .map(|(key, fill)| (key.clone(), *fill as f32))
            .collect();
        self.series.take(now_ns, top, &first);
        let mut shown: Vec<(Key, f64)> = fullest
            .into_iter()
            .filter(|(key, _)| self.series.has(key))
            .collect();
        let known: HashSet<&Key> = shown.iter().map(|(key, _)| key).collect();
        let mut empty: Vec<(Key, f64)> = self
            .series
            .all()
            .filter(|key| !known.contains(key))
            .map(|key| (key.clone(), 0.0))
            .collect();
        empty.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        shown.extend(empty);
        shown
    }
}

/// Names that look alike are one, as in all series.
fn key(buffer: &Buffer) -> Key {
    let owner = buffer.owner.as_deref();
    let name = owner.map_or_else(
        || UNKNOWN.to_owned(),
        |owner| Visible(owner.program()).to_string(),
    );
    (name, buffer.local)
}

/// Each with the most that it has, the fullest first.
fn fullest(fills: impl Iterator<Item = (Key, f64)>) -> Vec<(Key, f64)> {
    let mut most: HashMap<Key, f64> = HashMap::new();
    for (key, fill) in fills {
        let known = most.entry(key).or_default();
        *known = known.max(fill);
    }
    let mut fullest: Vec<(Key, f64)> = most.into_iter().collect();
    fullest.sort_unstable_by(|(one, first), (other, second)| {
        second.total_cmp(first).then_with(|| one.cmp(other))
    });
    fullest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facts, Ifindex, Report, Table, Timeouts};

    const SECOND: u64 = 1_000_000_000;

    struct Nothing;

    impl Facts for Nothing {
        fn interface(&self, _: Ifindex) -> String {
            String::new()
        }
    }

    /// Looks at sockets of nobody, by their ports.
    fn look(buffers: &mut Buffers, seconds: u64, fills: &[(u16, f64)]) {
        let fills = fills.iter().map(|(port, fill)| Buffer {
            local: ([0, 0, 0, 0], *port).into(),
            owner: None,
            fill: *fill,
        });
        let fills: Vec<Buffer> = fills.collect();
        let (table, report) = (Table::new(1, Timeouts::default()), Report::default());
        let tick = Tick {
            buffers: Some(&fills),
            ..Tick::new(seconds * SECOND, &table, &report, &Nothing)
        };
        buffers.tick(&tick, 2);
    }

    fn all(buffers: &mut Buffers, seconds: u64) -> Vec<(u16, f64)> {
        let all = buffers.all(seconds * SECOND, 2).into_iter();
        all.map(|((name, local), fill)| {
            assert_eq!(name, UNKNOWN);
            (local.port(), fill)
        })
        .collect()
    }

    #[test]
    fn a_buffer_that_was_full_is_so_for_a_minute_and_keeps_its_series() {
        let mut buffers = Buffers::default();
        look(&mut buffers, 1, &[(1, 0.0), (2, 0.5), (3, 0.25)]);
        look(&mut buffers, 2, &[(1, 1.0), (2, 0.25), (3, 0.25)]);
        look(&mut buffers, 3, &[(1, 0.0), (2, 0.25), (3, 0.0)]);
        assert_eq!(all(&mut buffers, 3), [(1, 1.0), (2, 0.5)]);
        look(&mut buffers, 62, &[(1, 0.0), (2, 0.0)]);
        assert_eq!(all(&mut buffers, 62), [(1, 1.0), (2, 0.25)]);
        look(&mut buffers, 64, &[(1, 0.0), (2, 0.0)]);
        assert_eq!(all(&mut buffers, 64), [(1, 0.0), (2, 0.0)]);
    }

    #[test]
    fn however_many_fill_there_are_only_so_many_series() {
        let mut buffers = Buffers::default();
        for second in 1..100 {
            let port = u16::try_from(second).unwrap();
            look(&mut buffers, second, &[(port, 0.5), (1000 + port, 0.5)]);
            assert!(all(&mut buffers, second).len() <= 4);
        }
        // Two sockets at one address are as full as the fuller one.
        let mut buffers = Buffers::default();
        look(&mut buffers, 1, &[(1, 0.25), (1, 0.5), (1, 0.0)]);
        assert_eq!(all(&mut buffers, 1), [(1, 0.5)]);
    }
}
