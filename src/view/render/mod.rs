//! State, table and facts to a frame. Only what is on the screen is turned into text.

mod chart;
mod details;
mod dns;
mod footer;
mod header;
mod hook;
mod popup;
mod socket;
mod table;
mod trace;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use super::mouse::Targets;
use super::picture::Picture;
use super::rows::{RowKey, Rows};
use super::state::{Pane, State};
use super::theme::Theme;
use super::{Settings, cells};

use crate::listing::Values;
use crate::model::{Facts, Shared, Table};
use crate::output::Clock;
pub(super) use header::draw_tabs;
pub(super) use table::live;

/// Below this height the header is the line of tabs alone, and the footer one line, too.
const FULL_HEIGHT: u16 = 18;
/// Below this height there is neither.
const SMALL_HEIGHT: u16 = 8;

/// What a frame is drawn from.
pub(super) struct Scene<'a> {
    pub settings: &'a Settings,
    pub state: &'a mut State,
    pub rows: &'a Rows,
    pub targets: &'a mut Targets,
    pub table: &'a Table,
    pub picture: &'a Picture,
    pub facts: &'a dyn Facts,
    pub clock: &'a Clock,
    pub theme: Theme,
}

/// Where things stand.
struct Areas {
    header: Rect,
    list: Rect,
    rows: Rect,
    trace: Rect,
    message: Rect,
    footer: Rect,
}

pub(super) fn draw(frame: &mut Frame<'_>, scene: &mut Scene<'_>) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    *scene.targets = Targets::default();
    let areas = areas(area, scene);
    let buffer = frame.buffer_mut();
    header::draw(buffer, areas.header, scene);
    if let Pane::Details(key) = scene.state.pane {
        let mut area = areas.rows;
        area.y = areas.list.y;
        area.height += areas.list.height;
        Clear.render(area, buffer);
        match key {
            RowKey::Hook(place) => hook::draw(buffer, area, place, scene),
            RowKey::Socket(socket) => socket::draw(buffer, area, socket, scene),
            RowKey::Group(Shared::End(server)) => dns::draw(buffer, area, server, scene),
            key => details::draw(buffer, area, key, scene),
        }
    } else {
        table::draw(buffer, areas.rows, scene);
    }
    // The position that it shows is known when the rows are drawn.
    let in_details = matches!(scene.state.pane, Pane::Details(_));
    let cursor = if in_details {
        None
    } else {
        header::draw_list_line(buffer, areas.list, scene)
    };
    trace::draw(buffer, areas.trace, scene);
    footer::draw_message(buffer, areas.message, scene);
    footer::draw(buffer, areas.footer, scene);
    popup::draw(buffer, area, scene);
    if let Some(position) = cursor {
        frame.set_cursor_position(position);
    }
}

fn areas(area: Rect, scene: &Scene<'_>) -> Areas {
    let (header, list, footer) = match area.height {
        FULL_HEIGHT.. => (header::height(scene), 1, 2),
        SMALL_HEIGHT.. => (1, 1, 1),
        // What is typed must be seen.
        _ => (0, u16::from(scene.state.is_typing()), 0),
    };
    let picture = scene.picture;
    let message =
        (picture.recent_message().is_some() || picture.dropped.is_some()) && !scene.state.trace;
    let left = area.height.saturating_sub(header + list + footer + 1);
    let trace = if scene.state.trace && area.height >= SMALL_HEIGHT {
        (left / 3).max(2)
    } else {
        0
    };
    let [header, list, rows, trace, message, footer] = Layout::vertical([
        Constraint::Length(header),
        Constraint::Length(list),
        Constraint::Min(1),
        Constraint::Length(trace),
        Constraint::Length(u16::from(message && footer > 0)),
        Constraint::Length(footer),
    ])
    .areas(area);
    Areas {
        header,
        list,
        rows,
        trace,
        message,
        footer,
    }
}

impl Scene<'_> {
    fn maker(&self, long: bool) -> cells::Maker<'_> {
        cells::Maker {
            facts: self.facts,
            theme: self.theme,
            clock: self.clock,
            names: self.state.names,
            long,
        }
    }

    fn values(&self) -> Values<'_> {
        Values {
            facts: self.facts,
            window: self.state.query.window,
            now_ns: self.picture.now_ns,
        }
    }
}

/// One line of parts at the top of an area, cut at its right edge.
fn put(buffer: &mut Buffer, area: Rect, parts: Vec<Span<'static>>) {
    if area.height > 0 {
        Line::from(parts).render(Rect { height: 1, ..area }, buffer);
    }
}

/// The same at the right, if there is room beside `used` columns.
fn put_right(buffer: &mut Buffer, area: Rect, used: usize, parts: Vec<Span<'static>>) -> bool {
    let line = Line::from(parts);
    let fits = area.height > 0 && used + line.width() < usize::from(area.width);
    if fits {
        line.right_aligned()
            .render(Rect { height: 1, ..area }, buffer);
    }
    fits
}

/// The n-th line of an area.
fn nth(area: Rect, line: usize) -> Rect {
    let line = u16::try_from(line).unwrap_or(u16::MAX);
    let y = area.y.saturating_add(line);
    Rect {
        y: y.min(area.bottom()),
        height: u16::from(y < area.bottom()),
        ..area
    }
}
