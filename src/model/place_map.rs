//! What somebody knows of connections, kept where they lie in the table: no hashing, and nothing to look for.

use super::key::Place;

/// Places that get memory together: a set of the kernel's table.
const CHUNK: usize = 16;

/// A value for some places. Memory is taken only where there are any.
#[derive(Clone, Debug)]
pub struct PlaceMap<T> {
    chunks: Vec<Option<Box<[Option<T>; CHUNK]>>>,
    len: usize,
}

impl<T> Default for PlaceMap<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> PlaceMap<T> {
    /// The value at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&T> {
        self.chunks.get(place.index() / CHUNK)?.as_ref()?[place.index() % CHUNK].as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.chunks.get_mut(place.index() / CHUNK)?.as_mut()?[place.index() % CHUNK].as_mut()
    }

    /// Puts a value there; gives what was there.
    pub fn insert(&mut self, place: Place, value: T) -> Option<T> {
        let before = self.slot(place).replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes the value away.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let chunk = self.chunks.get_mut(place.index() / CHUNK)?.as_mut()?;
        let before = chunk[place.index() % CHUNK].take();
        self.len -= usize::from(before.is_some());
        before
    }

    /// The value there, or a new one.
    pub fn get_or_insert_with(&mut self, place: Place, value: impl FnOnce() -> T) -> &mut T {
        if self.get(place).is_none() {
            self.len += 1;
        }
        self.slot(place).get_or_insert_with(value)
    }

    /// All values with their places, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &T)> {
        let chunks = (0_u32..).step_by(CHUNK).zip(&self.chunks);
        chunks.flat_map(|(first, chunk)| {
            let values = (first..)
                .map(Place)
                .zip(chunk.iter().flat_map(|it| it.iter()));
            values.filter_map(|(place, value)| Some((place, value.as_ref()?)))
        })
    }

    /// How many places have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot(&mut self, place: Place) -> &mut Option<T> {
        let chunk = place.index() / CHUNK;
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let values =
            self.chunks[chunk].get_or_insert_with(|| Box::new(std::array::from_fn(|_| None)));
        &mut values[place.index() % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go() {
        let mut map = PlaceMap::default();
        assert_eq!(map.insert(Place(7), 'a'), None);
        assert_eq!(map.insert(Place(7), 'b'), Some('a'));
        assert_eq!(*map.get_or_insert_with(Place(3), || 'c'), 'c');
        assert_eq!((map.len(), map.get(Place(4))), (2, None));
        assert_eq!(map.insert(Place(99), 'd'), None);
        let all: Vec<_> = map.iter().collect();
        assert_eq!(all, [(Place(3), &'c'), (Place(7), &'b'), (Place(99), &'d')]);
        assert_eq!(map.remove(Place(99)), Some('d'));
        assert_eq!(map.remove(Place(7)), Some('b'));
        assert_eq!(map.remove(Place(7)), None);
        assert_eq!(map.remove(Place(1000)), None);
        assert_eq!((map.len(), map.is_empty()), (1, false));
    }
}
