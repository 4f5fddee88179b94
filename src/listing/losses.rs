//! What was dropped on this machine since a run began, by class, program and server.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Query;
use crate::model::{Counts, DropClass, Dropped, Facts, NewDrops, Report, Sample, Table};

/// Rows of their own: addresses that strangers make up must not fill the memory. What comes beyond is in rows of no program and no server.
const MOST_ROWS: usize = 16_384;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    class: DropClass,
    program: Option<String>,
    server: Option<SocketAddr>,
}

/// What was dropped of one server's connections, by reason.
#[derive(Clone, Debug, PartialEq)]
pub struct LossRow {
    /// Why.
    pub class: DropClass,
    /// Whose they were, where that is known. Hostile input.
    pub program: Option<String>,
    /// The responder; none of what belongs to no connection in the table.
    pub server: Option<SocketAddr>,
    /// Since the run began.
    pub counts: Counts,
    /// Datagrams a second since the rows before.
    pub per_second: f32,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct LossRows {
    new: NewDrops,
    process: Option<String>,
    top: Option<usize>,
    counts: HashMap<Key, Counts>,
    /// Datagrams as they were when rows were last made.
    shown: HashMap<Key, u64>,
    shown_ns: Option<u64>,
}

impl LossRows {
    /// Of the processes that a query wants, as many rows as it wants.
    #[must_use]
    pub fn of(query: &Query) -> Self {
        Self {
            process: query.process.clone(),
            top: query.top,
            ..Self::default()
        }
    }

    /// A connection has ended.
    pub fn end(&mut self, sample: &Sample, facts: &dyn Facts) {
        let dropped = self.new.ended(sample);
        self.count(sample, &dropped, facts);
    }

    fn count(&mut self, sample: &Sample, dropped: &Dropped, facts: &dyn Facts) {
        let owner = facts.processes(sample).losing(sample);
        if let Some(wanted) = &self.process
            && !owner.is_some_and(|owner| owner.is(wanted))
        {
            return;
        }
        for (class, counts) in dropped.classes() {
            let mut key = Key {
                class,
                program: owner.map(|owner| owner.program().to_owned()),
                server: Some(sample.responder),
            };
            if self.counts.len() >= MOST_ROWS && !self.counts.contains_key(&key) {
                (key.program, key.server) = (None, None);
            }
            *self.counts.entry(key).or_default() += counts;
        }
    }

    /// The rows as they are now, those that lost most first.
    pub fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> Vec<LossRow> {
        for (sample, dropped) in self.new.live(table) {
            self.count(&sample, &dropped, facts);
        }
        let mut counts = self.counts.clone();
        if self.process.is_none() {
            for dropped in report.dropped() {
                if dropped.apart != Counts::default() {
                    let key = Key {
                        class: dropped.class,
                        program: None,
                        server: None,
                    };
                    *counts.entry(key).or_default() += dropped.apart;
                }
            }
        }
        let now_ns = table.scanned_ns();
        let since_ns = self.shown_ns.or(table.began_ns()).unwrap_or(now_ns);
        let elapsed = Duration::from_nanos(now_ns.saturating_sub(since_ns));
        let shown = std::mem::take(&mut self.shown);
        let mut rows: Vec<(Key, Counts, u64)> = Vec::with_capacity(counts.len());
        for (key, counts) in counts {
            let before = shown.get(&key).copied().unwrap_or(0);
            self.shown.insert(key.clone(), counts.packets);
            rows.push((key, counts, counts.packets.saturating_sub(before)));
        }
        self.shown_ns = Some(now_ns);
        rows.sort_by(|(one, first, _), (other, second, _)| {
            (Reverse(first.packets), one).cmp(&(Reverse(second.packets), other))
        });
        rows.truncate(self.top.unwrap_or(usize::MAX));
        let row = |(key, counts, new): (Key, Counts, u64)| LossRow {
            class: key.class,
            program: key.program,
            server: key.server,
            counts,
            per_second: per_second(new, elapsed),
        };
        rows.into_iter().map(row).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(datagrams: u64, elapsed: Duration) -> f32 {
    datagrams as f32 / elapsed.as_secs_f32().max(1e-3)
}
