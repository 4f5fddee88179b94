//! What the user has chosen: which tab, which rows, in which order, which of them is selected, and what is open. Pure: it changes by
//! actions, and knows neither terminal nor table.

mod inside;
mod panes;
mod sorting;
mod walking;

use super::filter::Filter;
use super::keys::Action;
use super::rows::{RowKey, Rows};
use super::tab::{Menu, Tab};
use crate::listing::{Key, Query};
use crate::model::Field;
use crate::model::Window;
use crate::model::services::Services;
pub(super) use inside::{Inside, Scope};

/// What keys go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Table,
    Help,
    /// Choosing what to sort by; the place in the tab's menu.
    Sort(usize),
    /// Choosing what servers are grouped by; the place in [`GROUP_MENU`].
    Group(usize),
    /// Typing a filter; what it was before.
    Filter(String),
    /// All about one row.
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
    /// Report the mouse, or no longer.
    Mouse,
    /// Copy the selected row as a filter.
    Copy,
    /// Write the screen to a file.
    Save,
    /// Save the frames that are in memory.
    Record,
}

/// What servers can be grouped by.
pub(super) const GROUP_MENU: Menu<Field> = &[
    ("server: address and port", Field::Server),
    ("port: one service", Field::Port),
    ("subnet", Field::Subnet),
    ("protocol", Field::Proto),
];

/// Where one is in a tab.
#[derive(Clone, Debug, Default)]
struct Parked {
    sort: Key,
    reverse: bool,
    selected: Option<RowKey>,
    cursor: usize,
    offset: usize,
}

/// All that the user has chosen.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub(super) struct State {
    pub tab: Tab,
    /// What is wanted of the tab that is open.
    pub query: Query,
    pub filter: Filter,
    /// The filter whose rows are shown while what is typed is no expression and finds nothing.
    pub good_filter: Filter,
    /// Whether they are.
    pub keeps_rows: bool,
    /// The rows that were entered, one in the other.
    pub inside: Vec<Inside>,
    pub pane: Pane,
    pub paused: bool,
    pub frozen: bool,
    pub names: bool,
    pub trace: bool,
    pub mouse: bool,
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
    /// What servers are grouped by.
    servers_by: Field,
    parked: [Parked; Tab::ALL.len()],
    services: Services,
}

impl State {
    pub fn new(query: Query, names: bool, services: Services) -> Self {
        let parked = Tab::ALL.map(|tab| {
            let about = tab.about();
            let own = about.sorts.first().map_or(Key::default(), |(_, key)| *key);
            // What the command line says holds wherever it can.
            let wanted = about.sorts.iter().any(|(_, key)| *key == query.sort);
            if wanted && query.sort != Key::default() {
                Parked {
                    sort: query.sort,
                    reverse: query.reverse,
                    ..Parked::default()
                }
            } else {
                Parked {
                    sort: own,
                    reverse: about.reverse,
                    ..Parked::default()
                }
            }
        });
        let servers_by = query
            .by
            .filter(|by| GROUP_MENU.iter().any(|(_, field)| field == by));
        let (tab, sort) = (first_tab(&query), query.sort);
        let mut state = Self {
            tab,
            query,
            filter: Filter::default(),
            good_filter: Filter::default(),
            keeps_rows: false,
            inside: Vec::new(),
            pane: Pane::Table,
            paused: false,
            frozen: false,
            names,
            trace: false,
            mouse: false,
            selected: None,
            cursor: 0,
            offset: 0,
            scroll: 0,
            page: 1,
            servers_by: servers_by.unwrap_or(Field::Server),
            parked,
            services,
        };
        state.query.sort = sort;
        state.unpark();
        state
    }

    /// Whether letters are text now.
    pub fn is_typing(&self) -> bool {
        matches!(self.pane, Pane::Filter(_))
    }

    /// What the rows of the tab are grouped by.
    pub fn field(&self) -> Option<Field> {
        match self.tab {
            Tab::Servers => Some(self.servers_by),
            tab => tab.about().field,
        }
    }

    /// Whether the rows are all servers that there are.
    pub fn shows_all_servers(&self) -> bool {
        self.tab == Tab::Servers && self.servers_by == Field::Server && self.filter.is_empty()
    }

    /// Whether the exchanges of one row are looked at, each for itself.
    pub fn is_inside_fold(&self) -> bool {
        let is_fold = |inside: &Inside| matches!(inside.scope, Scope::Fold(_));
        self.inside.iter().any(is_fold)
    }

    /// Opens a tab, where one was in it.
    pub fn open_tab(&mut self, tab: Tab) -> Effect {
        self.pane = Pane::Table;
        self.inside.clear();
        self.park();
        self.tab = tab;
        self.unpark();
        Effect::Rows
    }

    fn park(&mut self) {
        self.parked[self.tab as usize] = Parked {
            sort: self.query.sort,
            reverse: self.query.reverse,
            selected: self.selected,
            cursor: self.cursor,
            offset: self.offset,
        };
    }

    fn unpark(&mut self) {
        let parked = self.parked[self.tab as usize].clone();
        self.query.sort = parked.sort;
        self.query.reverse = parked.reverse;
        self.query.by = self.field();
        self.selected = parked.selected;
        self.cursor = parked.cursor;
        self.offset = parked.offset;
        self.frozen = false;
    }

    /// Does what a key asks for.
    pub fn apply(&mut self, action: Action, rows: &Rows) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Leave if self.pane == Pane::Table => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            Action::Copy => return Effect::Copy,
            Action::Save => return Effect::Save,
            Action::Record => return Effect::Record,
            Action::Mouse => {
                self.mouse = !self.mouse;
                return Effect::Mouse;
            }
            Action::Tab(number) => {
                return Tab::numbered(number).map_or(Effect::Draw, |tab| self.open_tab(tab));
            }
            Action::NextTab => return self.open_tab(self.tab.beside(1)),
            Action::PreviousTab => return self.open_tab(self.tab.beside(Tab::ALL.len() - 1)),
            _ => {}
        }
        match &self.pane {
            Pane::Table => self.in_table(action, rows),
            Pane::Filter(_) => self.in_filter(action, rows),
            Pane::Help | Pane::Details(_) => self.in_page(action),
            Pane::Sort(place) => {
                let (place, menu) = (*place, self.tab.about().sorts);
                self.in_menu(action, place, menu.len(), Pane::Sort)
            }
            Pane::Group(place) => {
                let place = *place;
                self.in_menu(action, place, GROUP_MENU.len(), Pane::Group)
            }
        }
    }

    fn in_table(&mut self, action: Action, rows: &Rows) -> Effect {
        let sorts = self.tab.about().sorts;
        match action {
            Action::Back => self.back(),
            Action::Enter => self.enter(rows),
            Action::Help => self.open(Pane::Help),
            Action::Filter => self.open(Pane::Filter(self.filter.text().to_owned())),
            Action::SortMenu if !sorts.is_empty() => {
                let place = self.sort_place().unwrap_or(0);
                self.open(Pane::Sort(place))
            }
            Action::GroupMenu if self.tab == Tab::Servers => {
                let chosen = |(_, field): &(&str, Field)| *field == self.servers_by;
                let place = GROUP_MENU.iter().position(chosen).unwrap_or(0);
                self.open(Pane::Group(place))
            }
            Action::SortNext => self.sort_beside(1),
            Action::SortPrevious => self.sort_beside(-1),
            Action::Reverse => {
                self.query.reverse = !self.query.reverse;
                self.reorder()
            }
            Action::Worst if self.tab == Tab::Servers => {
                let key = if self.query.sort == Key::State {
                    Key::Rate
                } else {
                    Key::State
                };
                self.sort_by(key);
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
        if let Some(inside) = self.inside.pop() {
            if inside.from != self.tab {
                let outer = std::mem::take(&mut self.inside);
                self.open_tab(inside.from);
                self.inside = outer;
            }
            self.selected = Some(inside.scope.row());
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
        let scope = match key {
            RowKey::Group(_) if self.tab == Tab::Dns => return self.open(Pane::Details(key)),
            RowKey::Connection(..) | RowKey::Hook(_) | RowKey::Socket(_) => {
                return self.open(Pane::Details(key));
            }
            RowKey::Fold(fold) => Scope::Fold(fold),
            RowKey::Group(shared) => match self.field() {
                Some(field) => Scope::Group(field, shared),
                None => return Effect::Draw,
            },
        };
        let inside = Inside {
            scope,
            from: self.tab,
        };
        if self.tab != Tab::Connections {
            self.open_tab(Tab::Connections);
        }
        self.inside.push(inside);
        self.first();
        Effect::Rows
    }
}

/// The tab that shows what the command line asks for.
fn first_tab(query: &Query) -> Tab {
    match query.by {
        Some(Field::Process) => Tab::Processes,
        Some(Field::Host | Field::Originator) => Tab::Hosts,
        Some(Field::Interface) => Tab::Interfaces,
        Some(_) => Tab::Servers,
        None if query.sort == Key::default() => Tab::Servers,
        None => {
            let sorts = |tab: &Tab| tab.about().sorts.iter().any(|(_, key)| *key == query.sort);
            let first = [Tab::Servers, Tab::Connections].into_iter().find(sorts);
            first.unwrap_or_default()
        }
    }
}

fn toggle(switch: &mut bool) -> Effect {
    *switch = !*switch;
    Effect::Draw
}
