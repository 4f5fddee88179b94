//! The columns of a table: which of them there is room for, how wide each is, and where it stands. That depends on the tab and on the
//! width alone, never on what is shown: nothing jumps while one looks.

use ratatui::layout::Rect;

use super::tab::Tab;
use crate::listing::Column::{
    self, Address, Advice, Age, Answers, Asked, Buffer, Bytes, Clients, Code, Connections,
    Direction, DropRate, Dropped, Drops, Failed, Fill, FillMost, FirstReply, Group, Hook, Idle,
    InBytes, InPackets, InRate, InSkipped, Interface, Lasted, Lost, Max, Name, NewDrops, OrigBytes,
    OrigPackets, OrigRate, Originator, OutBytes, OutPackets, OutRate, OutSkipped, P95, PacketRate,
    Packets, Peer, Process, Proto, Queries, Rate, Reason, Refused, ReplyBytes, ReplyPackets,
    ReplyRate, Responder, Response, Retries, RoundTrip, Seen, Skipped, State, Status, Tracked,
    Truncated, Waiting, When,
};
use crate::listing::Key;

/// From this width on numbers have long units, and columns a wider gap: 120 with the scroll bar.
const LONG: usize = 119;

/// How wide a column is: at least, comfortably, and at most. Columns are added by their least width, then all that there are grow.
#[derive(Clone, Copy, Debug)]
struct Width {
    least: usize,
    comfort: usize,
    most: usize,
}

const fn fixed(width: usize) -> Width {
    Width {
        least: width,
        comfort: width,
        most: width,
    }
}

const fn elastic(least: usize, comfort: usize, most: usize) -> Width {
    Width {
        least,
        comfort,
        most,
    }
}

/// How wide a column is in a tab.
fn width(column: Column, tab: Tab) -> Width {
    match column {
        Lost => fixed(5),
        Failed => fixed(6),
        OrigRate | ReplyRate | InRate | OutRate | Rate | Connections | Age | Idle | Lasted => {
            fixed(6)
        }
        Clients | Bytes | Refused | Reason | DropRate | Code(0) => fixed(7),
        Queries | Answers | Code(_) => elastic(8, 8, 11),
        State | Response | P95 | Max | Retries | RoundTrip | Waiting | PacketRate | When => {
            fixed(8)
        }
        Status | InBytes | Dropped | Truncated => fixed(9),
        OrigBytes | OutBytes | InSkipped => fixed(10),
        ReplyBytes | OutSkipped => fixed(11),
        FirstReply => fixed(12),
        Direction => fixed(3),
        Interface if tab == Tab::Interfaces => elastic(8, 15, 15),
        Interface => elastic(5, 9, 15),
        // 255.255.255.255: where it is narrow, the port of a local originator goes.
        Originator => elastic(15, 21, 30),
        // With its port: it is never cut.
        Responder => elastic(21, 30, 60),
        Group => match tab {
            Tab::Servers | Tab::Dns => elastic(21, 30, 60),
            Tab::Hosts => elastic(15, 39, 60),
            _ => elastic(15, 20, 40),
        },
        Process => elastic(8, 16, 28),
        Proto => elastic(9, 10, 14),
        Name => elastic(15, 24, 60),
        Hook => elastic(10, 14, 30),
        Packets | Seen | Tracked | Skipped => elastic(7, 9, 14),
        InPackets => elastic(8, 9, 14),
        OutPackets => elastic(9, 9, 14),
        OrigPackets => elastic(10, 10, 14),
        ReplyPackets => elastic(11, 11, 14),
        Asked => elastic(6, 7, 11),
        Address | Peer => elastic(21, 26, 50),
        Buffer | NewDrops | Drops => elastic(9, 11, 13),
        Fill | FillMost => fixed(4),
        Advice => elastic(20, 60, 170),
    }
}

/// The least that it takes.
fn least(column: Column, tab: Tab, long: bool) -> usize {
    let least = width(column, tab).least;
    if long {
        least.max(long_width(column))
    } else {
        least
    }
}

/// What it takes in long units: `99.9 Mbit/s`, `99.9 GB`.
fn long_width(column: Column) -> usize {
    match column {
        OrigRate | ReplyRate | InRate | OutRate | Rate => 11,
        Interface | Bytes | InBytes | OutBytes => 9,
        _ => 0,
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

/// Chooses columns for a table of this width. Interfaces are named where there are several. What rows are sorted by is shown wherever there
/// is room for it beside what a row is known by.
pub(super) fn layout(area: Rect, tab: Tab, interfaces: bool, sort: Key) -> Layout {
    let room = usize::from(area.width);
    let long = room >= LONG;
    let gap = if long { 2 } else { 1 };
    let sheet = tab.about().sheet;
    let mut need = sheet.need.to_vec();
    need.retain(|column| *column != Interface || interfaces || tab == Tab::Interfaces);
    let mut chosen = choose(&need, room, tab, gap, long);
    let is_chosen = |column: &Column| chosen.iter().any(|(one, _)| one == column);
    let sorted = match tab.about().sorts {
        [] => Vec::new(),
        _ => sheet.sorted_by(sort),
    };
    if !sorted.iter().all(is_chosen) {
        need.retain(|column| !sorted.contains(column));
        need.splice(1..1, sorted);
        chosen = choose(&need, room, tab, gap, long);
    }
    let used: usize = chosen.iter().map(|(_, least)| least + gap).sum();
    let mut spare = (room + gap).saturating_sub(used);
    let mut columns: Vec<(Column, usize)> = sheet
        .order
        .iter()
        .filter_map(|column| chosen.iter().find(|(one, _)| one == column))
        .copied()
        .collect();
    for column in &need {
        grow(
            &mut columns,
            &mut spare,
            *column,
            width(*column, tab).comfort,
        );
    }
    for column in [Process].iter().chain(&need) {
        grow(&mut columns, &mut spare, *column, width(*column, tab).most);
    }
    Layout {
        columns: place(area, gap, columns),
        long,
    }
}

/// The columns that fit, with the least that they take.
fn choose(need: &[Column], room: usize, tab: Tab, gap: usize, long: bool) -> Vec<(Column, usize)> {
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    let (mut used, mut comfortable) = (0, 0);
    for (place, column) in need.iter().enumerate() {
        let separator = if chosen.is_empty() { 0 } else { gap };
        let mut least = least(*column, tab, long);
        if chosen.is_empty() {
            least = least.min(room);
        }
        let before = if place < tab.about().essential {
            used
        } else {
            comfortable
        };
        if before + separator + least > room {
            // What comes next is needed less, however little room it takes.
            break;
        }
        used += separator + least;
        comfortable += separator + least.max(width(*column, tab).comfort);
        chosen.push((*column, least));
    }
    chosen
}

fn place(area: Rect, gap: usize, columns: Vec<(Column, usize)>) -> Vec<Placed> {
    let narrow = |width: usize| u16::try_from(width).unwrap_or(area.width);
    let mut x = area.x;
    columns
        .into_iter()
        .map(|(column, width)| {
            let width = narrow(width);
            let placed = Placed { column, x, width };
            x = x.saturating_add(width).saturating_add(narrow(gap));
            placed
        })
        .collect()
}

/// Gives a column the width it wants, as far as there is room to spare.
fn grow(columns: &mut [(Column, usize)], spare: &mut usize, column: Column, wanted: usize) {
    if let Some((_, width)) = columns.iter_mut().find(|(one, _)| *one == column) {
        let more = wanted.saturating_sub(*width).min(*spare);
        *width += more;
        *spare -= more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_beside_each_other_and_inside() {
        for tab in Tab::ALL {
            for width in 0..300 {
                let area = Rect::new(3, 0, width, 10);
                let columns = layout(area, tab, true, Key::Rate).columns;
                let mut x = area.x;
                for placed in &columns {
                    assert!(placed.x >= x, "{tab:?} {width} {columns:?}");
                    x = placed.x + placed.width;
                }
                assert!(x <= area.right(), "{tab:?} {width} {columns:?}");
            }
        }
    }

    #[test]
    fn what_rows_are_sorted_by_is_among_the_columns() {
        for tab in Tab::ALL {
            for (_, key) in tab.about().sorts {
                let shown = layout(Rect::new(0, 0, 79, 10), tab, true, *key).columns;
                let sorted = tab.about().sheet.sorted_by(*key);
                for column in sorted {
                    let is_there = shown.iter().any(|placed| placed.column == column);
                    assert!(is_there, "{tab:?} {key:?} {column:?} {shown:?}");
                }
            }
        }
    }

    #[test]
    fn a_wider_table_has_no_column_less() {
        for tab in Tab::ALL {
            let mut before = 0;
            for width in 0..300 {
                let now = layout(Rect::new(0, 0, width, 10), tab, true, Key::Rate)
                    .columns
                    .len();
                assert!(
                    now >= before || usize::from(width) == LONG,
                    "{tab:?} {width}"
                );
                before = now;
            }
        }
    }
}
