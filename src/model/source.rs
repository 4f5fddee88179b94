//! Where connections lie that a [`super::Table`] tells of.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use super::dropped::Dropped;
use super::key::{ConnectionId, Place};
use super::record::Sample;

/// Places with connections in them, that can be read one by one at any time.
pub trait Source: fmt::Debug {
    /// The connection there as it is now; `None` where there is none.
    fn sample(&self, place: Place) -> Option<Sample>;

    /// Places of connections of which the kernel has dropped something behind the hooks, in no particular order; there may be none any
    /// more.
    fn places_with_drops(&self) -> Vec<Place>;
}

/// Samples that were taken before: each gets a place of its own.
#[derive(Debug, Default)]
pub struct Samples {
    samples: RefCell<Vec<Option<Sample>>>,
    places: RefCell<HashMap<ConnectionId, Place>>,
}

impl Samples {
    /// Keeps a sample in place of the one before of the same connection.
    pub fn put(&self, sample: &Sample) -> Place {
        let mut samples = self.samples.borrow_mut();
        let next = Place(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        let place = *self.places.borrow_mut().entry(sample.id).or_insert(next);
        let placed = Sample { place, ..*sample };
        if place == next {
            samples.push(Some(placed));
        } else if let Some(known) = samples.get_mut(place.index()) {
            *known = Some(placed);
        }
        place
    }

    /// Keeps a sample at the place that it has.
    pub(super) fn keep(&self, sample: &Sample) {
        let mut samples = self.samples.borrow_mut();
        let index = sample.place.index();
        if samples.len() <= index {
            samples.resize(index + 1, None);
        }
        samples[index] = Some(*sample);
    }
}

impl Source for Samples {
    fn sample(&self, place: Place) -> Option<Sample> {
        self.samples.borrow().get(place.index()).copied().flatten()
    }

    fn places_with_drops(&self) -> Vec<Place> {
        let samples = self.samples.borrow();
        let dropped = samples.iter().flatten();
        let dropped = dropped.filter(|sample| sample.dropped != Dropped::default());
        dropped.map(|sample| sample.place).collect()
    }
}
