//! One snapshot of all that a capture has: the connections that are live at its end, and those that ended before.

use crate::console::say;
use crate::model::text::Grouped;
use crate::model::{Place, Sample, Table, Timeouts};

/// The most ended connections that are kept: some 400 MiB.
const MOST: usize = 1 << 20;

/// Those that have ended.
#[derive(Default)]
pub(super) struct Whole {
    ended: Vec<Sample>,
    left_out: u64,
}

impl Whole {
    /// One more.
    pub fn add(&mut self, sample: &Sample) {
        if self.ended.len() < MOST {
            self.ended.push(*sample);
        } else {
            self.left_out += 1;
        }
    }

    /// All of them, each at a place of its own: several may have had the same.
    pub fn table(&self, live: &Table, now_ns: u64) -> Table {
        if self.left_out > 0 {
            say(format_args!(
                "the snapshot leaves out {} connections that ended: there are too many",
                Grouped(self.left_out)
            ));
        }
        let live_ones = live.iter().map(|connection| connection.sample);
        let all = self.ended.iter().copied().chain(live_ones);
        let placed = (0..).zip(all).map(|(place, sample)| Sample {
            place: Place(place),
            ..sample
        });
        let samples: Vec<Sample> = placed.collect();
        Table::of(&samples, live.capacity(), Timeouts::default(), now_ns)
    }
}
