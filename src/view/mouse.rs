//! The mouse: what is where on the screen, and what a click does.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::keys::Action;
use super::rows::Rows;
use super::state::{Effect, Pane, State};
use super::tab::Tab;
use crate::listing::Key;

/// Rows that one notch of the wheel goes.
const NOTCH: usize = 3;

/// What can be clicked on in the latest frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub tabs: Vec<(Rect, Tab)>,
    pub titles: Vec<(Rect, Key)>,
    pub rows: Rect,
}

/// Does what the mouse asks for.
pub(super) fn apply(
    event: MouseEvent,
    targets: &Targets,
    state: &mut State,
    rows: &Rows,
) -> Effect {
    match event.kind {
        MouseEventKind::ScrollUp => scroll(Action::Up, state, rows),
        MouseEventKind::ScrollDown => scroll(Action::Down, state, rows),
        MouseEventKind::Down(MouseButton::Left) => {
            let at = Position::new(event.column, event.row);
            click(at, targets, state, rows)
        }
        _ => Effect::Draw,
    }
}

fn scroll(action: Action, state: &mut State, rows: &Rows) -> Effect {
    for _ in 0..NOTCH {
        state.apply(action, rows);
    }
    Effect::Draw
}

fn click(at: Position, targets: &Targets, state: &mut State, rows: &Rows) -> Effect {
    if let Some((_, tab)) = targets.tabs.iter().find(|(area, _)| area.contains(at)) {
        return state.open_tab(*tab);
    }
    if state.pane != Pane::Table {
        return Effect::Draw;
    }
    if let Some((_, key)) = targets.titles.iter().find(|(area, _)| area.contains(at)) {
        return state.sort_by_title(*key);
    }
    if targets.rows.contains(at) {
        let row = state.offset + usize::from(at.y - targets.rows.y);
        if row < rows.keys().len() {
            // The selected row opens, any other is selected.
            if row == state.cursor {
                return state.apply(Action::Enter, rows);
            }
            state.select(row, rows);
        }
    }
    Effect::Draw
}
