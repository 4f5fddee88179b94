//! The rows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::super::columns::{Column, Layout, Placed, Wanted, layout};
use super::super::picture::EndedConnection;
use super::super::rows::RowKey;
use super::super::text::{cut, part};
use super::{Scene, nth, put};
use crate::connection::{Connection, Table};
use crate::listing::Group;

/// What a row on the screen is made from.
enum Shown<'a> {
    Connection(Box<Connection>, Option<&'a EndedConnection>),
    Group(&'a Group),
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    let room = usize::from(area.height.saturating_sub(1));
    let count = scene.rows.keys().len();
    scene.state.scroll_to_cursor(room, count);
    let places = scene.state.offset..(scene.state.offset + room).min(count);
    note_widths(places.clone(), scene);
    let wanted = Wanted {
        groups: scene.state.query.by.is_some(),
        interfaces: scene.settings.interfaces.len() > 1,
        sort: scene.state.query.sort,
    };
    let columns = layout(area, wanted, scene.widths);
    draw_titles(buffer, area, &columns, scene);
    if count == 0 {
        draw_nothing(buffer, nth(area, 2), scene);
    }
    for (line, place) in places.enumerate() {
        let area = nth(area, line + 1);
        if let Some(row) = find(place, scene) {
            let faint = matches!(row, Shown::Connection(_, Some(_)));
            for placed in &columns.columns {
                let cell = cell(*placed, &row, columns.long, scene);
                draw_cell(buffer, area, *placed, cell);
            }
            if faint {
                buffer.set_style(area, scene.theme.faint());
            }
        }
        if place == scene.state.cursor {
            buffer.set_style(area, scene.theme.selected());
        }
    }
}

fn find<'a>(place: usize, scene: &'a Scene<'_>) -> Option<Shown<'a>> {
    let key = *scene.rows.keys().get(place)?;
    match key {
        RowKey::Group(_) => scene.rows.group(place).map(Shown::Group),
        RowKey::Connection(..) => live(key, scene.table)
            .map(|connection| Shown::Connection(Box::new(connection), None))
            .or_else(|| {
                let ended = scene.picture.find_ended(key)?;
                Some(Shown::Connection(Box::new(ended.connection), Some(ended)))
            }),
    }
}

/// A connection that is still in the table.
pub(in super::super) fn live(key: RowKey, table: &Table) -> Option<Connection> {
    let RowKey::Connection(_, first_ns, place) = key else {
        return None;
    };
    table
        .get(place)
        .filter(|connection| connection.sample.first_ns == first_ns)
}

fn cell(placed: Placed, row: &Shown<'_>, long: bool, scene: &Scene<'_>) -> Vec<Span<'static>> {
    let maker = scene.maker(long);
    let room = usize::from(placed.width);
    match row {
        Shown::Connection(connection, ended) => {
            maker.connection(placed.column, connection, *ended, room)
        }
        Shown::Group(group) => maker.group(placed.column, group, room),
    }
}

fn draw_cell(buffer: &mut Buffer, row: Rect, placed: Placed, parts: Vec<Span<'static>>) {
    let area = Rect {
        x: placed.x,
        width: placed.width.min(row.right().saturating_sub(placed.x)),
        ..row
    };
    let line = Line::from(parts);
    if placed.column.is_number() {
        line.right_aligned().render(area, buffer);
    } else {
        line.render(area, buffer);
    }
}

fn note_widths(rows: std::ops::Range<usize>, scene: &mut Scene<'_>) {
    let mut found = Vec::new();
    for place in rows {
        let Some(row) = find(place, scene) else {
            continue;
        };
        for column in
            Column::all(scene.state.query.by.is_some()).filter(|column| column.is_elastic())
        {
            let placed = Placed {
                column,
                x: 0,
                width: u16::MAX,
            };
            let width: usize = cell(placed, &row, false, scene)
                .iter()
                .map(Span::width)
                .sum();
            found.push((column, width));
        }
    }
    for (column, width) in found {
        scene.widths.note(column, width);
    }
}

fn draw_titles(buffer: &mut Buffer, area: Rect, columns: &Layout, scene: &Scene<'_>) {
    let area = nth(area, 0);
    if area.height == 0 {
        return;
    }
    let (theme, query) = (scene.theme, &scene.state.query);
    buffer.set_style(area, theme.bar());
    for placed in &columns.columns {
        let sorted = placed.column.is_sorted_by(query.sort);
        let down = query.sort.is_descending() != query.reverse;
        let mark = match (sorted, down) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        let title = match placed.column {
            Column::Group => scene.group_title(),
            column => column.title(columns.long),
        };
        let style = if sorted { theme.sorted() } else { theme.bar() };
        let room = usize::from(placed.width);
        let title = format!(
            "{}{mark}",
            cut(title, room.saturating_sub(mark.chars().count()))
        );
        draw_cell(buffer, area, *placed, vec![part(title, style)]);
    }
}

impl Scene<'_> {
    fn group_title(&self) -> &'static str {
        use crate::listing::Field;
        match self.state.query.by {
            Some(Field::Originator) => "ORIGINATOR",
            Some(Field::Server) => "SERVER",
            Some(Field::Host) => "HOST",
            Some(Field::Interface) => "INTERFACE",
            Some(Field::Port) => "PORT",
            Some(Field::Process) => "PROCESS",
            Some(Field::Subnet) => "SUBNET",
            None => "GROUP",
        }
    }
}

fn draw_nothing(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let text = if scene.rows.hidden > 0 {
        " Nothing fits the filter. Esc takes it off."
    } else if scene.state.query.unanswered {
        " Nothing is unanswered. u shows the others again."
    } else {
        " No UDP connections now."
    };
    put(buffer, area, vec![part(text, scene.theme.faint())]);
}
