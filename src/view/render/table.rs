//! The rows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::super::cells::Kind;
use super::super::columns::{Layout, Placed, layout};
use super::super::fold::Folded;
use super::super::picture::{EndedConnection, Hook};
use super::super::rows::RowKey;
use super::super::tab::Tab;
use super::super::text::{cut, part};
use super::{Scene, nth, put};
use crate::listing::{Column, Group, Known, Row};
use crate::model::{Connection, Direction, Table};
use crate::sockets;

/// What a row on the screen is made from.
enum Shown<'a> {
    Connection(Box<Connection>),
    Ended(&'a EndedConnection),
    Folded(&'a Folded),
    Group(&'a Group),
    Hook(&'a Hook),
    Socket(&'a sockets::Row),
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    // The last column is the scroll bar's.
    let bar = Rect {
        x: area.right().saturating_sub(1),
        width: 1.min(area.width),
        ..area
    };
    let area = Rect {
        width: area.width.saturating_sub(1),
        ..area
    };
    let room = usize::from(area.height.saturating_sub(1));
    let count = scene.rows.keys().len();
    scene.state.scroll_to_cursor(room, count);
    let interfaces = scene.settings.interfaces.len() > 1;
    let columns = layout(area, scene.state.tab, interfaces, scene.state.query.sort);
    draw_titles(buffer, area, &columns, scene);
    scene.targets.rows = Rect {
        y: area.y.saturating_add(1),
        height: area.height.saturating_sub(1),
        ..area
    };
    if count == 0 {
        draw_nothing(buffer, nth(area, 2), scene);
    }
    let places = scene.state.offset..(scene.state.offset + room).min(count);
    for (line, place) in places.enumerate() {
        let area = nth(area, line + 1);
        if let Some(row) = find(place, scene) {
            draw_row(buffer, area, &columns, &row, scene);
        }
        if place == scene.state.cursor {
            buffer.set_style(area, scene.theme.selected());
        }
    }
    draw_scroll_bar(buffer, bar, room, count, scene);
}

fn find<'a>(place: usize, scene: &'a Scene<'_>) -> Option<Shown<'a>> {
    let key = *scene.rows.keys().get(place)?;
    match key {
        RowKey::Group(_) => scene.rows.group(place).map(Shown::Group),
        RowKey::Fold(fold) => scene.rows.fold(fold).map(Shown::Folded),
        RowKey::Hook(hook) => scene.picture.hooks.get(hook).map(Shown::Hook),
        RowKey::Socket(socket) => scene.picture.socket(socket).map(Shown::Socket),
        RowKey::Connection(..) if scene.state.tab == Tab::Ended => {
            scene.picture.find_ended(key).map(Shown::Ended)
        }
        RowKey::Connection(..) => live(key, scene.table)
            .map(|connection| Shown::Connection(Box::new(connection)))
            .or_else(|| scene.picture.find_ended(key).map(Shown::Ended)),
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

/// A part of a row, and where it begins.
struct Piece {
    column: Column,
    x: u16,
    width: u16,
    parts: Vec<Span<'static>>,
}

/// An end that is never cut may reach into the columns beside it: they give way.
fn draw_row(buffer: &mut Buffer, row: Rect, layout: &Layout, shown: &Shown<'_>, scene: &Scene<'_>) {
    let mut pieces = pieces(row, layout, shown, scene);
    pieces.sort_by_key(|piece| !matches!(piece.column, Column::Responder | Column::Group));
    let taken = pieces.first().map(|piece| (piece.x, piece.x + piece.width));
    for (place, piece) in pieces.into_iter().enumerate() {
        let (begin, end) = taken.unwrap_or_default();
        // One blank at least between two of them.
        if place > 0 && piece.x <= end && piece.x + piece.width >= begin {
            continue;
        }
        let area = Rect {
            x: piece.x,
            width: piece.width.min(row.right().saturating_sub(piece.x)),
            ..row
        };
        Line::from(piece.parts).render(area, buffer);
    }
}

/// The cells of a row; both ends of a connection are one piece where they stand beside each other.
fn pieces(row: Rect, layout: &Layout, shown: &Shown<'_>, scene: &Scene<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let row_of = row_of(shown, scene);
    let mut columns = layout.columns.iter().peekable();
    while let Some(placed) = columns.next() {
        let mut placed = *placed;
        let parts = if placed.column == Column::Originator
            && let Some(responder) = columns.next_if(|next| next.column == Column::Responder)
        {
            let gap = responder.x - placed.x - placed.width;
            let widths = (usize::from(placed.width), usize::from(gap));
            placed.column = Column::Responder;
            placed.width = responder.x + responder.width - placed.x;
            ends(shown, Some(widths), usize::from(responder.width), scene)
        } else if placed.column == Column::Responder {
            ends(shown, None, usize::from(placed.width), scene)
        } else {
            cell(placed, row_of.as_ref(), shown, layout.long, scene)
        };
        let width: usize = parts.iter().map(Span::width).sum();
        let width = u16::try_from(width).unwrap_or(u16::MAX).min(row.width);
        let x = if placed.column.is_number() {
            (placed.x + placed.width).saturating_sub(width)
        } else {
            placed.x
        };
        pieces.push(Piece {
            column: placed.column,
            // What is too long for all that is at its right begins earlier.
            x: x.min(row.right().saturating_sub(width)).max(row.x),
            width,
            parts,
        });
    }
    pieces
}

fn ends(
    shown: &Shown<'_>,
    originator: Option<(usize, usize)>,
    responder: usize,
    scene: &Scene<'_>,
) -> Vec<Span<'static>> {
    let maker = scene.maker(false);
    let Some((connection, kind)) = kind(shown) else {
        return Vec::new();
    };
    maker.ends(connection, kind, originator, responder)
}

fn kind<'a>(shown: &'a Shown<'a>) -> Option<(&'a Connection, Kind<'a>)> {
    match shown {
        Shown::Connection(connection) => Some((connection, Kind::Live)),
        Shown::Ended(ended) => Some((&ended.connection, Kind::Ended(ended))),
        Shown::Folded(folded) => Some((&folded.connection, Kind::Folded(folded))),
        Shown::Group(_) | Shown::Hook(_) | Shown::Socket(_) => None,
    }
}

/// What values are read from; a socket has cells of its own.
fn row_of<'a>(shown: &'a Shown<'a>, scene: &'a Scene<'_>) -> Option<Row<'a>> {
    let ports = &scene.state.query.one_way_ports;
    let live = |connection: &'a Connection| {
        let known = Known::of(&connection.sample, scene.facts);
        Row::of(connection, None, known, ports)
    };
    Some(match shown {
        Shown::Connection(connection) => live(connection),
        Shown::Folded(folded) => live(&folded.connection),
        Shown::Ended(ended) => {
            let reason = Some(ended.reason);
            Row::of(&ended.connection, reason, ended.known(), ports)
        }
        Shown::Group(group) => Row::Group(group),
        Shown::Hook(hook) => Row::Hook {
            interface: &hook.interface,
            direction: hook.direction,
            books: &hook.books,
            rates: &hook.rates,
        },
        Shown::Socket(_) => return None,
    })
}

fn cell(
    placed: Placed,
    row: Option<&Row<'_>>,
    shown: &Shown<'_>,
    long: bool,
    scene: &Scene<'_>,
) -> Vec<Span<'static>> {
    let room = usize::from(placed.width);
    let folded = match shown {
        Shown::Folded(folded) => Some(*folded),
        // By which program is known to the view alone.
        Shown::Hook(hook) if placed.column == Column::Hook => {
            return vec![part(cut(&program(hook, scene), room), scene.theme.plain())];
        }
        Shown::Socket(row) => return scene.maker(long).socket(placed.column, row, room),
        _ => None,
    };
    row.map_or_else(Vec::new, |row| {
        let value = scene.values().value(placed.column, row);
        scene.maker(long).cell(&value, folded, room)
    })
}

/// By which program a hook sees the packets, in words.
pub(super) fn program(hook: &Hook, scene: &Scene<'_>) -> String {
    let interfaces = &scene.settings.interfaces;
    let interface = interfaces.iter().find(|one| one.name == hook.interface);
    let words = interface.and_then(|interface| match hook.direction {
        Direction::Ingress => Some(&interface.ingress),
        Direction::Egress => interface.egress.as_ref(),
    });
    words.cloned().unwrap_or_default()
}

fn draw_titles(buffer: &mut Buffer, area: Rect, columns: &Layout, scene: &mut Scene<'_>) {
    let area = nth(area, 0);
    if area.height == 0 {
        return;
    }
    let (theme, tab) = (scene.theme, scene.state.tab);
    let query = &scene.state.query;
    buffer.set_style(area, theme.bar());
    for placed in &columns.columns {
        let is_sorted = placed.column.is_sorted_by(query.sort) && !tab.about().sorts.is_empty();
        // The latest moment first is the shortest idle time first.
        let is_moment = placed.column == Column::When;
        let down = (query.sort.is_descending() != query.reverse) != is_moment;
        let mark = match (is_sorted, down) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        let style = if is_sorted {
            theme.sorted()
        } else {
            theme.bar()
        };
        let room = usize::from(placed.width);
        let title = cut(
            placed.column.title(scene.state.field(), !columns.long),
            room.saturating_sub(mark.chars().count()),
        );
        let cell = Rect {
            x: placed.x,
            width: placed.width,
            ..area
        };
        let line = Line::from(vec![part(format!("{title}{mark}"), style)]);
        if placed.column.is_number() {
            line.right_aligned().render(cell, buffer);
        } else {
            line.render(cell, buffer);
        }
        if let Some(key) = tab.key(placed.column) {
            scene.targets.titles.push((cell, key));
        }
    }
}

/// Where the rows on the screen are among all.
fn draw_scroll_bar(buffer: &mut Buffer, bar: Rect, room: usize, count: usize, scene: &Scene<'_>) {
    buffer.set_style(nth(bar, 0), scene.theme.bar());
    if count <= room || room == 0 || bar.width == 0 {
        return;
    }
    let thumb = (room * room / count).max(1);
    let most = count - room;
    let first = (scene.state.offset * (room - thumb)).div_ceil(most);
    for line in 0..room {
        let is_thumb = (first..first + thumb).contains(&line);
        let text = if is_thumb { "█" } else { "│" };
        put(
            buffer,
            nth(bar, line + 1),
            vec![part(text, scene.theme.faint())],
        );
    }
}

fn draw_nothing(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let text = if scene.rows.hidden > 0 {
        " Nothing fits the filter. Esc removes it."
    } else if scene.state.tab == Tab::Sockets {
        " No UDP sockets that can be read."
    } else if scene.state.query.unanswered && scene.state.tab != Tab::Ended {
        " No row without an answer. u shows all rows again."
    } else if scene.state.tab == Tab::Dns {
        " No DNS so far. udptrack does not see DNS over TCP, TLS (DoT) and HTTPS (DoH)."
    } else if scene.state.tab == Tab::Ended {
        " No connection has ended yet."
    } else {
        " No UDP connections now."
    };
    put(buffer, area, vec![part(text, scene.theme.faint())]);
}
