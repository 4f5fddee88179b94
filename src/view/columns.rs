//! The columns of the table: which of them there is room for, how wide each is, and where it stands.

use std::collections::HashMap;

use ratatui::layout::Rect;

use crate::listing::Key;

/// A column of connections or of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Status,
    Interface,
    Originator,
    Responder,
    /// What a group shares.
    Group,
    Connections,
    Lost,
    OrigRate,
    ReplyRate,
    Response,
    Wait,
    Retries,
    Process,
    Age,
    Idle,
    Bytes,
    Packets,
    FirstReply,
}

use Column::{
    Age, Bytes, Connections, FirstReply, Group, Idle, Interface, Lost, OrigRate, Originator,
    Packets, Process, ReplyRate, Responder, Response, Retries, Status, Wait,
};

/// Columns of connections as they stand, from left to right.
const CONNECTION_ORDER: &[Column] = &[
    Status, Interface, Originator, Responder, OrigRate, ReplyRate, Response, Wait, Process, Age,
    Idle, Bytes, Packets, FirstReply,
];
/// The same, what is needed most first: those at the end go first where there is little room.
const CONNECTION_NEED: &[Column] = &[
    Responder, OrigRate, Status, Response, Originator, Process, ReplyRate, Interface, Age, Bytes,
    Packets, FirstReply, Wait, Idle,
];
const GROUP_ORDER: &[Column] = &[
    Group,
    Connections,
    Lost,
    OrigRate,
    ReplyRate,
    Response,
    Wait,
    Retries,
    Bytes,
    Packets,
    Age,
];
const GROUP_NEED: &[Column] = &[
    Group,
    OrigRate,
    Lost,
    Connections,
    Response,
    ReplyRate,
    Wait,
    Retries,
    Bytes,
    Packets,
    Age,
];

/// What rates and bytes take in long units: `99.9 Mbit/s`, `99.9 GB`.
const LONG_RATE: usize = 11;
const LONG_BYTES: usize = 9;

impl Column {
    /// All columns of a table.
    pub fn all(groups: bool) -> impl Iterator<Item = Self> {
        let order = if groups {
            GROUP_ORDER
        } else {
            CONNECTION_ORDER
        };
        order.iter().copied()
    }

    /// The title, long and short.
    pub fn title(self, long: bool) -> &'static str {
        match self {
            Status => "STATUS",
            Interface => "IFACE",
            Originator => "ORIGINATOR",
            Responder => "RESPONDER",
            Group => "GROUP",
            Connections if long => "CONNECTIONS",
            Connections => "CONNS",
            Lost => "LOST",
            OrigRate if long => "ORIG RATE",
            OrigRate => "ORIG",
            ReplyRate if long => "REPLY RATE",
            ReplyRate => "REPLY",
            Response => "RESPONSE",
            Wait => "WAITS",
            Retries => "RETRIES",
            Process => "PROCESS",
            Age => "AGE",
            Idle => "IDLE",
            Bytes => "BYTES",
            Packets => "PACKETS",
            FirstReply => "1ST REPLY",
        }
    }

    /// Numbers stand at the right.
    pub fn is_number(self) -> bool {
        !matches!(
            self,
            Status | Interface | Originator | Responder | Group | Process
        )
    }

    /// Whether rows are sorted by what it shows.
    pub fn is_sorted_by(self, key: Key) -> bool {
        match key {
            Key::Status => self == Status,
            Key::Originator => self == Originator,
            Key::Responder => matches!(self, Responder | Group),
            Key::Rate => matches!(self, OrigRate | ReplyRate),
            Key::OrigRate => self == OrigRate,
            Key::ReplyRate => self == ReplyRate,
            Key::Packets => self == Packets,
            Key::Bytes => self == Bytes,
            Key::FirstReply => self == FirstReply,
            Key::Response => self == Response,
            Key::Wait => self == Wait,
            Key::Age => self == Age,
            Key::Idle => self == Idle,
            Key::Process => self == Process,
            Key::Connections => self == Connections,
            Key::Lost | Key::State => self == Lost,
            Key::Asked | Key::P95 | Key::Clients => false,
        }
    }

    /// Whether its width follows what is in it.
    pub fn is_elastic(self) -> bool {
        let (least, most) = self.widths();
        least < most && !matches!(self, OrigRate | ReplyRate)
    }

    /// The narrowest that still says something, and the widest that it gets; equal where it cannot be cut.
    fn widths(self) -> (usize, usize) {
        match self {
            Status | FirstReply => (9, 9),
            Interface => (5, 15),
            Originator => (12, 60),
            Responder => (12, 70),
            Group => (14, 60),
            Process => (9, 30),
            Connections | Lost | OrigRate | ReplyRate => (6, 11),
            Response => (8, 8),
            Wait | Age | Idle => (6, 6),
            Retries => (7, 11),
            Bytes | Packets => (7, 14),
        }
    }

    /// What it takes in long units; nothing where there is one unit only.
    fn long_width(self) -> usize {
        match self {
            OrigRate | ReplyRate | Connections => LONG_RATE,
            Bytes => LONG_BYTES,
            _ => 0,
        }
    }

    /// Up to here it is rather made wider than that one more column is shown.
    fn comfort(self, wide: bool) -> usize {
        match self {
            OrigRate | ReplyRate if wide => LONG_RATE,
            Bytes if wide => LONG_BYTES,
            Originator => 21,
            Responder | Group => 28,
            Process => 18,
            other => other.widths().0,
        }
    }
}

/// How wide the cells are that a table has shown so far, so that columns do not jump from tick to tick.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths {
    widest: HashMap<Column, usize>,
}

impl Widths {
    pub fn note(&mut self, column: Column, width: usize) {
        let widest = self.widest.entry(column).or_default();
        *widest = width.max(*widest);
    }

    /// Forgets them: other rows, or another screen.
    pub fn clear(&mut self) {
        self.widest.clear();
    }

    /// What the column's content takes, within its limits.
    fn content(&self, column: Column) -> usize {
        let (least, most) = column.widths();
        if !column.is_elastic() {
            return least;
        }
        let title = column.title(false).len() + usize::from(column.is_number());
        let widest = self.widest.get(&column).copied().unwrap_or(0);
        widest.max(title).clamp(least.min(title), most)
    }
}

/// A column and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub column: Column,
    pub x: u16,
    pub width: u16,
}

/// The columns that fit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub columns: Vec<Placed>,
    /// Whether numbers are in long units.
    pub long: bool,
}

/// What a table is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub groups: bool,
    pub interfaces: bool,
    pub sort: Key,
}

/// Chooses columns for a screen of this width.
pub(super) fn layout(area: Rect, wanted: Wanted, widths: &Widths) -> Layout {
    let room = usize::from(area.width);
    let gap: u16 = if room >= 120 { 2 } else { 1 };
    let (order, need) = if wanted.groups {
        (GROUP_ORDER, GROUP_NEED)
    } else {
        (CONNECTION_ORDER, CONNECTION_NEED)
    };
    let chosen = choose(room, usize::from(gap), need, wanted, widths);
    let least: usize = chosen.iter().map(|(_, width)| width).sum();
    let mut spare = room.saturating_sub(least + usize::from(gap) * chosen.len().saturating_sub(1));
    let mut columns: Vec<(Column, usize)> = order
        .iter()
        .filter_map(|column| chosen.iter().find(|(one, _)| one == column))
        .copied()
        .collect();
    // Who it is comes before where it goes; then the two ends in turns, so that neither is cut for the other.
    let steps = [
        (Process, 12),
        (Responder, 16),
        (Originator, 16),
        (Responder, 22),
        (Originator, 21),
    ];
    for (column, wanted) in steps {
        grow(&mut columns, &mut spare, |one| {
            if one == column {
                wanted.min(widths.content(one))
            } else {
                0
            }
        });
    }
    grow(&mut columns, &mut spare, |column| {
        column.comfort(false).min(widths.content(column))
    });
    // Long units only if all of them fit.
    let longer: usize = columns
        .iter()
        .map(|(column, width)| column.long_width().saturating_sub(*width))
        .sum();
    let long = longer <= spare;
    if long {
        grow(&mut columns, &mut spare, Column::long_width);
    }
    grow(&mut columns, &mut spare, |column| widths.content(column));
    let mut x = area.x;
    let columns = columns
        .into_iter()
        .map(|(column, width)| {
            let width = u16::try_from(width).unwrap_or(area.width);
            let placed = Placed { column, x, width };
            x = x.saturating_add(width).saturating_add(gap);
            placed
        })
        .collect();
    Layout { columns, long }
}

/// Gives columns the width they want, from left to right, as long as there is room to spare.
fn grow(columns: &mut [(Column, usize)], spare: &mut usize, wanted: impl Fn(Column) -> usize) {
    for (column, width) in columns {
        let more = wanted(*column).saturating_sub(*width).min(*spare);
        *width += more;
        *spare -= more;
    }
}

/// The columns that fit with their least width. The one that is sorted by comes right after the most needed ones.
fn choose(
    room: usize,
    gap: usize,
    need: &[Column],
    wanted: Wanted,
    widths: &Widths,
) -> Vec<(Column, usize)> {
    /// So many are kept before the one that is sorted by.
    const FIRST: usize = 2;
    let sorted = need
        .iter()
        .filter(|column| column.is_sorted_by(wanted.sort));
    let (first, rest) = need.split_at(FIRST);
    let by_need = first.iter().chain(sorted).chain(rest);
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    let mut used = 0;
    let mut comfort = 0;
    for column in by_need {
        let known = chosen.iter().any(|(one, _)| one == column);
        if known || (*column == Interface && !wanted.interfaces) {
            continue;
        }
        let (least, _) = column.widths();
        let content = widths.content(*column);
        let width = least.min(content);
        let separator = if chosen.is_empty() { 0 } else { gap };
        // The essential ones are shown though others must be cut for them, further ones only where nothing must be cut.
        let essential = is_essential(*column, wanted.groups) || column.is_sorted_by(wanted.sort);
        let needed = if essential {
            used + width
        } else {
            comfort + width
        };
        if needed + separator <= room {
            used += separator + width;
            comfort += separator + width.max(column.comfort(gap > 1).min(content.max(LONG_RATE)));
            chosen.push((*column, width));
        }
    }
    chosen
}

fn is_essential(column: Column, groups: bool) -> bool {
    match column {
        Status | Originator | Responder | OrigRate | ReplyRate | Response | Process => true,
        Group | Lost | Connections | Wait => groups,
        _ => false,
    }
}
