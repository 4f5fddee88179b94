//! In which order the rows are.

use super::{Effect, State};
use crate::listing::Key;

impl State {
    pub(super) fn sort_place(&self) -> Option<usize> {
        self.tab
            .about()
            .sorts
            .iter()
            .position(|(_, key)| *key == self.query.sort)
    }

    pub(super) fn sort_by(&mut self, key: Key) {
        if self.query.sort != key {
            self.query.sort = key;
            self.query.reverse = self.tab.is_reversed(key);
        }
    }

    pub(super) fn sort_beside(&mut self, step: isize) -> Effect {
        let menu = self.tab.about().sorts;
        let place = self.sort_place().unwrap_or(0);
        let next = match step {
            1 if place + 1 == menu.len() => 0,
            -1 if place == 0 => menu.len().saturating_sub(1),
            step => place.saturating_add_signed(step),
        };
        if let Some((_, key)) = menu.get(next) {
            self.sort_by(*key);
        }
        self.reorder()
    }

    /// Sorts by what a title shows; when rows are sorted by it already, the other way round.
    pub fn sort_by_title(&mut self, key: Key) -> Effect {
        if self.query.sort == key {
            self.query.reverse = !self.query.reverse;
        } else {
            self.sort_by(key);
        }
        self.reorder()
    }

    /// The user wants a new order now, even if the old one was frozen, and wants to see its first rows.
    pub(super) fn reorder(&mut self) -> Effect {
        self.frozen = false;
        self.first();
        Effect::Rows
    }
}
