//! What keys do where something is open: a filter that is typed, a page, a menu.

use super::super::filter::Filter;
use super::super::keys::Action;
use super::super::rows::Rows;
use super::{Effect, GROUP_MENU, Pane, State, toggle};

/// Longer filters than this are not typed.
const FILTER_LENGTH: usize = 500;

impl State {
    pub(super) fn in_filter(&mut self, action: Action, rows: &Rows) -> Effect {
        let Pane::Filter(before) = &self.pane else {
            return Effect::Draw;
        };
        let mut text = self.filter.text().to_owned();
        match action {
            Action::Enter => {
                self.open(Pane::Table);
                return Effect::Rows;
            }
            Action::Back => {
                text.clone_from(before);
                self.pane = Pane::Table;
            }
            Action::Type(character) if text.len() < FILTER_LENGTH && !character.is_control() => {
                text.push(character);
            }
            Action::Erase => {
                text.pop();
            }
            Action::EraseWord => {
                let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                text.truncate(kept);
            }
            Action::EraseAll => text.clear(),
            _ => return self.walk(action, rows),
        }
        self.filter = Filter::new(&text, &self.services);
        Effect::Rows
    }

    pub(super) fn in_page(&mut self, action: Action) -> Effect {
        let page = self.page.max(2) - 1;
        match action {
            Action::Up => self.scroll = self.scroll.saturating_sub(1),
            Action::Down => self.scroll = self.scroll.saturating_add(1),
            Action::PageUp => self.scroll = self.scroll.saturating_sub(page),
            Action::PageDown => self.scroll = self.scroll.saturating_add(page),
            Action::First => self.scroll = 0,
            Action::Last => self.scroll = usize::MAX,
            Action::Back | Action::Enter | Action::Leave => self.pane = Pane::Table,
            Action::Help if self.pane == Pane::Help => self.pane = Pane::Table,
            Action::Help => return self.open(Pane::Help),
            // These make sense while one looks at one connection.
            Action::Names => return toggle(&mut self.names),
            Action::Pause => {
                self.paused = !self.paused;
                return Effect::Pause;
            }
            _ => {}
        }
        Effect::Draw
    }

    pub(super) fn in_menu(
        &mut self,
        action: Action,
        place: usize,
        length: usize,
        menu: fn(usize) -> Pane,
    ) -> Effect {
        let last = length - 1;
        match action {
            Action::Up => self.pane = menu(place.checked_sub(1).unwrap_or(last)),
            Action::Down => self.pane = menu(if place == last { 0 } else { place + 1 }),
            Action::First | Action::PageUp => self.pane = menu(0),
            Action::Last | Action::PageDown => self.pane = menu(last),
            Action::Back | Action::Leave | Action::SortMenu | Action::GroupMenu => {
                self.pane = Pane::Table;
            }
            Action::Enter => return self.choose(),
            _ => {}
        }
        Effect::Draw
    }

    pub(super) fn choose(&mut self) -> Effect {
        match std::mem::replace(&mut self.pane, Pane::Table) {
            Pane::Sort(place) => {
                if let Some((_, key)) = self.tab.about().sorts.get(place) {
                    self.sort_by(*key);
                }
                self.reorder()
            }
            Pane::Group(place) => {
                if let Some((_, field)) = GROUP_MENU.get(place) {
                    self.servers_by = *field;
                    self.query.by = Some(*field);
                }
                self.reorder()
            }
            _ => Effect::Draw,
        }
    }
}
