//! What the user has chosen: which rows, in which order, which of them is selected, and what is open. Pure: it changes by
//! actions, and knows neither terminal nor table.

use super::filter::Filter;
use super::keys::Action;
use super::rows::{RowKey, Rows};
use crate::connection::Window;
use crate::listing::{Field, Key, Query, Shared};
use crate::services::Services;

/// What keys go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Table,
    Help,
    /// Choosing what to sort by; the place in [`SORT_MENU`].
    Sort(usize),
    /// Choosing what to group by; the place in [`GROUP_MENU`].
    Group(usize),
    /// Typing a filter; what it was before.
    Filter(String),
    /// All about one connection.
    Details(RowKey),
}

/// What the caller has to do after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Draw again.
    Draw,
    /// Choose and sort the rows again, then draw.
    Rows,
    /// Stand still, or go on, then as [`Effect::Rows`].
    Pause,
    Quit,
    Suspend,
    /// Draw everything again, whatever the screen shows.
    Redraw,
}

/// A group that was entered: only its connections are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    pub field: Field,
    pub shared: Shared,
}

/// A line of a menu, and what it chooses.
pub(super) type Menu<T> = &'static [(&'static str, T)];

/// What rows of connections can be sorted by, in the order of the columns.
pub(super) const SORT_MENU: Menu<Key> = &[
    ("rate of both directions", Key::Rate),
    ("status", Key::Status),
    ("originator", Key::Originator),
    ("responder", Key::Responder),
    ("originator's rate", Key::OrigRate),
    ("responder's rate", Key::ReplyRate),
    ("response time", Key::Response),
    ("oldest request that waits", Key::Wait),
    ("process", Key::Process),
    ("age", Key::Age),
    ("idle time", Key::Idle),
    ("bytes", Key::Bytes),
    ("packets", Key::Packets),
    ("first reply", Key::FirstReply),
];

/// The same of groups.
pub(super) const GROUP_SORT_MENU: Menu<Key> = &[
    ("rate of both directions", Key::Rate),
    ("name", Key::Responder),
    ("connections", Key::Connections),
    ("lost requests", Key::Lost),
    ("originators' rate", Key::OrigRate),
    ("responders' rate", Key::ReplyRate),
    ("response time", Key::Response),
    ("oldest request that waits", Key::Wait),
    ("bytes", Key::Bytes),
    ("packets", Key::Packets),
    ("age", Key::Age),
];

/// What rows can be grouped by.
pub(super) const GROUP_MENU: Menu<Option<Field>> = &[
    ("no groups", None),
    ("process", Some(Field::Process)),
    ("server", Some(Field::Server)),
    ("originator: one client", Some(Field::Originator)),
    ("port: one service", Some(Field::Port)),
    ("subnet of the responder", Some(Field::Subnet)),
];

/// Longer filters than this are not typed.
const FILTER_LENGTH: usize = 500;

/// All that the user has chosen.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // they are switches
pub(super) struct State {
    pub query: Query,
    pub filter: Filter,
    pub inside: Option<Inside>,
    pub pane: Pane,
    pub paused: bool,
    pub frozen: bool,
    pub ended: bool,
    pub names: bool,
    pub trace: bool,
    /// The row that stays selected wherever it goes; `None` selects the first, whichever that is.
    pub selected: Option<RowKey>,
    /// Where the selected row is.
    pub cursor: usize,
    /// The first row on the screen.
    pub offset: usize,
    /// How far the help page or the details are scrolled.
    pub scroll: usize,
    /// Rows that the screen has room for.
    pub page: usize,
    services: Services,
}

impl State {
    pub fn new(query: Query, names: bool, services: Services) -> Self {
        Self {
            query,
            filter: Filter::default(),
            inside: None,
            pane: Pane::Table,
            paused: false,
            frozen: false,
            ended: false,
            names,
            trace: false,
            selected: None,
            cursor: 0,
            offset: 0,
            scroll: 0,
            page: 1,
            services,
        }
    }

    /// Whether letters are text now.
    pub fn is_typing(&self) -> bool {
        matches!(self.pane, Pane::Filter(_))
    }

    /// Does what a key asks for.
    pub fn apply(&mut self, action: Action, rows: &Rows) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Leave if self.pane == Pane::Table => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            _ => {}
        }
        match &self.pane {
            Pane::Table => self.in_table(action, rows),
            Pane::Filter(_) => self.in_filter(action, rows),
            Pane::Help | Pane::Details(_) => self.in_page(action),
            Pane::Sort(place) => {
                let (place, menu) = (*place, self.sort_menu());
                self.in_menu(action, place, menu.len(), Pane::Sort)
            }
            Pane::Group(place) => {
                let place = *place;
                self.in_menu(action, place, GROUP_MENU.len(), Pane::Group)
            }
        }
    }

    fn in_table(&mut self, action: Action, rows: &Rows) -> Effect {
        match action {
            Action::Back => self.back(),
            Action::Enter => self.enter(rows),
            Action::Help => self.open(Pane::Help),
            Action::Filter => self.open(Pane::Filter(self.filter.text().to_owned())),
            Action::SortMenu => {
                let place = self.sort_place().unwrap_or(0);
                self.open(Pane::Sort(place))
            }
            Action::GroupMenu => {
                let chosen = |(_, field): &(&str, Option<Field>)| *field == self.query.by;
                let place = GROUP_MENU.iter().position(chosen).unwrap_or(0);
                self.open(Pane::Group(place))
            }
            Action::SortNext => self.sort_beside(1),
            Action::SortPrevious => self.sort_beside(-1),
            Action::Reverse => {
                self.query.reverse = !self.query.reverse;
                self.reorder()
            }
            Action::Window => {
                self.query.window = match self.query.window {
                    Window::Short => Window::Medium,
                    Window::Medium => Window::Long,
                    Window::Long => Window::Short,
                };
                Effect::Rows
            }
            Action::Unanswered => {
                self.query.unanswered = !self.query.unanswered;
                Effect::Rows
            }
            Action::Ended => {
                self.ended = !self.ended;
                Effect::Rows
            }
            Action::Names => toggle(&mut self.names),
            Action::Trace => toggle(&mut self.trace),
            Action::Pause => {
                self.paused = !self.paused;
                Effect::Pause
            }
            Action::Freeze => {
                self.frozen = !self.frozen;
                Effect::Rows
            }
            _ => self.walk(action, rows),
        }
    }

    fn open(&mut self, pane: Pane) -> Effect {
        self.pane = pane;
        self.scroll = 0;
        Effect::Draw
    }

    fn back(&mut self) -> Effect {
        if let Some(inside) = self.inside.take() {
            self.query.by = Some(inside.field);
            self.selected = Some(RowKey::Group(inside.shared));
            self.fit_sort();
        } else if self.filter.is_empty() {
            self.query.unanswered = false;
        } else {
            self.filter = Filter::default();
        }
        Effect::Rows
    }

    fn enter(&mut self, rows: &Rows) -> Effect {
        let Some(key) = rows.keys().get(self.cursor).copied() else {
            return Effect::Draw;
        };
        self.selected = Some(key);
        let RowKey::Group(shared) = key else {
            return self.open(Pane::Details(key));
        };
        if let Some(field) = self.query.by {
            self.inside = Some(Inside { field, shared });
            self.query.by = None;
            self.first();
            self.fit_sort();
        }
        Effect::Rows
    }

    fn in_filter(&mut self, action: Action, rows: &Rows) -> Effect {
        let Pane::Filter(before) = &self.pane else {
            return Effect::Draw;
        };
        let mut text = self.filter.text().to_owned();
        match action {
            Action::Enter => return self.open(Pane::Table),
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

    fn in_page(&mut self, action: Action) -> Effect {
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

    fn in_menu(
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

    fn choose(&mut self) -> Effect {
        match std::mem::replace(&mut self.pane, Pane::Table) {
            Pane::Sort(place) => {
                if let Some((_, key)) = self.sort_menu().get(place) {
                    self.sort_by(*key);
                }
                self.reorder()
            }
            Pane::Group(place) => {
                self.query.by = GROUP_MENU.get(place).and_then(|(_, field)| *field);
                self.inside = None;
                self.first();
                self.fit_sort();
                self.reorder()
            }
            _ => Effect::Draw,
        }
    }

    /// What the rows that are shown now can be sorted by.
    pub fn sort_menu(&self) -> Menu<Key> {
        if self.query.by.is_some() {
            GROUP_SORT_MENU
        } else {
            SORT_MENU
        }
    }

    fn sort_place(&self) -> Option<usize> {
        self.sort_menu()
            .iter()
            .position(|(_, key)| *key == self.query.sort)
    }

    fn sort_by(&mut self, key: Key) {
        if self.query.sort != key {
            self.query.sort = key;
            self.query.reverse = false;
        }
    }

    fn sort_beside(&mut self, step: isize) -> Effect {
        let menu = self.sort_menu();
        let place = self.sort_place().unwrap_or(0);
        let next = match step {
            1 if place + 1 == menu.len() => 0,
            -1 if place == 0 => menu.len() - 1,
            step => place.saturating_add_signed(step),
        };
        if let Some((_, key)) = menu.get(next) {
            self.sort_by(*key);
        }
        self.reorder()
    }

    /// Groups and connections are not sorted by all the same.
    fn fit_sort(&mut self) {
        if self.sort_place().is_none() {
            self.sort_by(Key::default());
        }
        self.frozen = false;
    }

    /// A new order is wanted now, also by whoever had frozen the one before.
    fn reorder(&mut self) -> Effect {
        self.frozen = false;
        Effect::Rows
    }

    fn first(&mut self) {
        self.cursor = 0;
        self.offset = 0;
        self.selected = None;
    }

    fn walk(&mut self, action: Action, rows: &Rows) -> Effect {
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

    /// Scrolls so that the selected row is on a screen of so many rows.
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

fn toggle(switch: &mut bool) -> Effect {
    *switch = !*switch;
    Effect::Draw
}
