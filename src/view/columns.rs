//! The columns of a table: which of them there is room for, how wide each is, and where it stands. That depends on the tab and on the
//! width alone, never on what is shown: nothing jumps while one looks.

use ratatui::layout::Rect;

use super::tab::Tab;
use crate::listing::Key;

/// A column of some tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Status,
    Interface,
    Originator,
    Responder,
    /// What a group shares: a server, a program, a host.
    Group,
    /// What is the matter with a server.
    State,
    Clients,
    Connections,
    Asked,
    Lost,
    P95,
    /// From originator to responder, and back.
    OrigRate,
    ReplyRate,
    /// What a group receives and sends.
    InRate,
    OutRate,
    InBytes,
    OutBytes,
    InPackets,
    OutPackets,
    Response,
    Wait,
    Process,
    Age,
    Idle,
    Bytes,
    Packets,
    FirstReply,
    /// Why a connection ended, and when.
    Reason,
    When,
    /// Of an interface: in or out, by which hook, and its books.
    Direction,
    Hook,
    Rate,
    PacketRate,
    Seen,
    Tracked,
    Skipped,
    Refused,
}

use Column::{
    Age, Asked, Bytes, Clients, Connections, Direction, FirstReply, Group, Hook, Idle, InBytes,
    InPackets, InRate, Interface, Lost, OrigRate, Originator, OutBytes, OutPackets, OutRate, P95,
    PacketRate, Packets, Process, Rate, Reason, Refused, ReplyRate, Responder, Response, Seen,
    Skipped, State, Status, Tracked, Wait, When,
};

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

impl Column {
    /// The title; long units and long titles go together.
    pub fn title(self, tab: Tab, long: bool) -> &'static str {
        match self {
            Status => "STATUS",
            Interface => "IFACE",
            Originator => "ORIGINATOR",
            Responder => "RESPONDER",
            Group => tab.about().group,
            State => "STATE",
            Clients => "CLIENTS",
            Connections => "CONNS",
            Asked => "ASKED",
            Lost => "LOST",
            P95 => "P95",
            OrigRate if long => "ORIG RATE",
            OrigRate => "ORIG",
            ReplyRate if long => "REPLY RATE",
            ReplyRate => "REPLY",
            InRate if long => "IN RATE",
            InRate => "IN",
            OutRate if long => "OUT RATE",
            OutRate => "OUT",
            InBytes => "IN BYTES",
            OutBytes => "OUT BYTES",
            InPackets => "IN PKTS",
            OutPackets => "OUT PKTS",
            Response => "RESPONSE",
            Wait => "WAITING",
            Process => "PROCESS",
            Age if tab == Tab::Ended => "LASTED",
            Age => "AGE",
            Idle => "IDLE",
            Bytes => "BYTES",
            Packets => "PACKETS",
            FirstReply => "1ST REPLY",
            Reason => "ENDED",
            When => "AT",
            Direction => "",
            Hook => "HOOK",
            Rate => "RATE",
            PacketRate => "PKT/S",
            Seen => "SEEN",
            Tracked => "TRACKED",
            Skipped => "SKIPPED",
            Refused => "NO ROOM",
        }
    }

    /// Numbers stand at the right.
    pub fn is_number(self) -> bool {
        !matches!(
            self,
            Status
                | Interface
                | Originator
                | Responder
                | Group
                | Process
                | State
                | Reason
                | Direction
                | Hook
        )
    }

    /// What rows are sorted by when its title is clicked, and what sorts rows by what it shows.
    pub fn key(self, tab: Tab) -> Option<Key> {
        let key = match self {
            Status => Key::Status,
            Originator => Key::Originator,
            Responder | Group => Key::Responder,
            State => Key::State,
            Clients => Key::Clients,
            Asked => Key::Asked,
            Lost => Key::Lost,
            P95 => Key::P95,
            OrigRate | InRate => Key::OrigRate,
            ReplyRate | OutRate => Key::ReplyRate,
            Packets => Key::Packets,
            Bytes => Key::Bytes,
            FirstReply => Key::FirstReply,
            Response => Key::Response,
            Wait => Key::Wait,
            Age => Key::Age,
            Idle | When => Key::Idle,
            Process => Key::Process,
            Connections => Key::Connections,
            _ => return None,
        };
        tab.about()
            .sorts
            .iter()
            .any(|(_, known)| *known == key)
            .then_some(key)
    }

    /// Whether rows are sorted by what it shows.
    pub fn is_sorted_by(self, key: Key, tab: Tab) -> bool {
        match key {
            Key::Rate => matches!(self, OrigRate | ReplyRate | InRate | OutRate),
            key => self.key(tab) == Some(key),
        }
    }

    fn width(self, tab: Tab) -> Width {
        match self {
            Lost => fixed(5),
            OrigRate | ReplyRate | InRate | OutRate | Rate | Connections | Age | Idle => fixed(6),
            Clients | Bytes | Wait | Refused | Reason => fixed(7),
            State | Response | P95 | PacketRate | When => fixed(8),
            Status | FirstReply | InBytes | OutBytes => fixed(9),
            Direction => fixed(3),
            Interface if tab == Tab::Interfaces => elastic(8, 15, 15),
            Interface => elastic(5, 8, 15),
            // 255.255.255.255: where it is narrow, the port of a local originator goes.
            Originator => elastic(15, 21, 30),
            // With its port: it is never cut.
            Responder => elastic(21, 30, 60),
            Group => match tab {
                Tab::Servers => elastic(21, 30, 60),
                Tab::Hosts => elastic(15, 39, 60),
                _ => elastic(15, 20, 40),
            },
            Process => elastic(8, 16, 28),
            Hook => elastic(10, 14, 30),
            Packets | Seen | Tracked | Skipped => elastic(7, 9, 14),
            InPackets | OutPackets => elastic(8, 9, 14),
            Asked => elastic(6, 7, 11),
        }
    }

    /// The least that it takes.
    fn least(self, tab: Tab, long: bool) -> usize {
        let least = self.width(tab).least;
        if long {
            least.max(self.long_width())
        } else {
            least
        }
    }

    /// What it takes in long units: `99.9 Mbit/s`, `99.9 GB`.
    fn long_width(self) -> usize {
        match self {
            OrigRate | ReplyRate | InRate | OutRate | Rate => 11,
            Bytes | InBytes | OutBytes => 9,
            _ => 0,
        }
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

/// Chooses columns for a table of this width. Interfaces are named where there are several.
pub(super) fn layout(area: Rect, tab: Tab, interfaces: bool) -> Layout {
    let room = usize::from(area.width);
    let long = room >= LONG;
    let gap = if long { 2 } else { 1 };
    let about = tab.about();
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    let (mut used, mut comfortable) = (0, 0);
    for (place, column) in about.need.iter().enumerate() {
        if *column == Interface && !interfaces && tab != Tab::Interfaces {
            continue;
        }
        let separator = if chosen.is_empty() { 0 } else { gap };
        let mut least = column.least(tab, long);
        if chosen.is_empty() {
            least = least.min(room);
        }
        let before = if place < about.essential {
            used
        } else {
            comfortable
        };
        if before + separator + least > room {
            // What comes next is needed less, however little room it takes.
            break;
        }
        used += separator + least;
        comfortable += separator + least.max(column.width(tab).comfort);
        chosen.push((*column, least));
    }
    let mut columns: Vec<(Column, usize)> = about
        .order
        .iter()
        .filter_map(|column| chosen.iter().find(|(one, _)| one == column))
        .copied()
        .collect();
    let mut spare = room - used;
    for column in about.need {
        grow(&mut columns, &mut spare, *column, column.width(tab).comfort);
    }
    for column in [Process].iter().chain(about.need) {
        grow(&mut columns, &mut spare, *column, column.width(tab).most);
    }
    Layout {
        columns: place(area, gap, columns),
        long,
    }
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
                let columns = layout(area, tab, true).columns;
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
    fn a_wider_table_has_no_column_less() {
        for tab in Tab::ALL {
            let mut before = 0;
            for width in 0..300 {
                let now = layout(Rect::new(0, 0, width, 10), tab, true).columns.len();
                assert!(
                    now >= before || usize::from(width) == LONG,
                    "{tab:?} {width}"
                );
                before = now;
            }
        }
    }
}
