//! What was dropped of connections since somebody last asked.

use std::collections::HashMap;

use super::dropped::Dropped;
use super::key::Place;
use super::record::Sample;
use super::table::Table;

/// What is known of the losses of each connection that has any.
#[derive(Clone, Debug, Default)]
pub struct NewDrops(HashMap<Place, Dropped>);

impl NewDrops {
    /// Live connections that have lost something since the call before, with that.
    pub fn live(&mut self, table: &Table) -> Vec<(Sample, Dropped)> {
        let places = table.places_with_drops().into_iter();
        let samples = places.filter_map(|place| Some(table.get(place)?.sample));
        let new = samples.map(|sample| {
            let before = self.0.insert(sample.place, sample.dropped);
            let since = sample.dropped.since(&before.unwrap_or_default());
            (sample, since)
        });
        new.filter(|(_, since)| *since != Dropped::default())
            .collect()
    }

    /// The same of one that has ended: to be called before another one lies at its place.
    pub fn ended(&mut self, sample: &Sample) -> Dropped {
        let before = self.0.remove(&sample.place);
        sample.dropped.since(&before.unwrap_or_default())
    }
}
