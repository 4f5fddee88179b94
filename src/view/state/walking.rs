//! Which row is selected, and which of them are on the screen.

use super::super::keys::Action;
use super::super::rows::Rows;
use super::{Effect, State};

impl State {
    pub(super) fn first(&mut self) {
        self.cursor = 0;
        self.offset = 0;
        self.selected = None;
    }

    pub(super) fn walk(&mut self, action: Action, rows: &Rows) -> Effect {
        let last = rows.keys().len().saturating_sub(1);
        let page = self.page.max(1);
        self.cursor = match action {
            Action::Up => self.cursor.saturating_sub(1),
            Action::Down => self.cursor.saturating_add(1).min(last),
            Action::PageUp => self.cursor.saturating_sub(page),
            Action::PageDown => self.cursor.saturating_add(page).min(last),
            Action::Last => last,
            Action::First => {
                self.first();
                return Effect::Draw;
            }
            _ => return Effect::Draw,
        };
        self.selected = rows.keys().get(self.cursor).copied();
        Effect::Draw
    }

    /// Keeps the selection on its row after the rows have changed; one that is gone leaves it where it was.
    pub fn follow(&mut self, rows: &Rows) {
        let place = self
            .selected
            .and_then(|selected| rows.keys().iter().position(|key| *key == selected));
        match place {
            Some(place) => self.cursor = place,
            None if self.selected.is_some() => {
                self.cursor = self.cursor.min(rows.keys().len().saturating_sub(1));
                self.selected = rows.keys().get(self.cursor).copied();
            }
            None => self.cursor = 0,
        }
    }

    /// Selects a row.
    pub fn select(&mut self, row: usize, rows: &Rows) {
        self.cursor = row;
        self.selected = rows.keys().get(row).copied();
    }

    /// Scrolls so that the selected row is on a screen with this number of rows.
    pub fn scroll_to_cursor(&mut self, page: usize, rows: usize) {
        self.page = page;
        let room = page.max(1);
        self.offset = self
            .offset
            .min(self.cursor)
            .max((self.cursor + 1).saturating_sub(room))
            .min(
                rows.saturating_sub(room)
                    .max(self.cursor.saturating_sub(room - 1)),
            );
    }
}
