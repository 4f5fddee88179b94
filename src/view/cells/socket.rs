//! Cells of a socket: its receive buffer, and what was dropped there.

use ratatui::style::Style;
use ratatui::text::Span;

use super::super::text::{cut, visible, whole};
use super::{Maker, one};
use crate::listing::Column;
use crate::model::text::Grouped;
use crate::sockets::Row;

impl Maker<'_> {
    /// A cell of a socket, in at most `room` columns.
    pub fn socket(&self, column: Column, row: &Row, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        let state = &row.state;
        let reading = &state.reading;
        let number = |number: u64, style: Style| match number {
            0 => one("0", theme.faint()),
            number => one(Grouped(number), style),
        };
        match column {
            Column::Process => {
                let style = if state.drop_rate > 0.0 {
                    theme.bad()
                } else {
                    theme.name()
                };
                match row.owner.as_deref() {
                    Some(owner) => {
                        let text = format!("{}/{}", visible(owner.program()), owner.pid);
                        one(cut(&text, room), style)
                    }
                    None => one("-", theme.faint()),
                }
            }
            Column::Address => one(cut(&reading.socket.local.to_string(), room), theme.strong()),
            Column::Peer => match reading.socket.peer {
                Some(peer) => one(cut(&peer.to_string(), room), theme.plain()),
                None => one("-", theme.faint()),
            },
            Column::Buffer => one(Grouped(reading.receive_buffer.into()), theme.plain()),
            Column::Fill => percent(reading.fill_percent(), theme.plain(), theme.faint()),
            Column::FillMost => {
                let style = if state.was_full {
                    theme.warning()
                } else {
                    theme.plain()
                };
                percent(state.most_percent(), style, theme.faint())
            }
            // What is not none is never shown as 0.
            Column::DropRate if state.drop_rate > 0.0 => {
                one(Grouped(whole(state.drop_rate).max(1)), theme.bad())
            }
            Column::DropRate => one("0", theme.faint()),
            Column::NewDrops => number(state.drops_seen, theme.bad()),
            Column::Drops => number(reading.drops.into(), theme.plain()),
            Column::Advice => {
                let text = row.advice.map(|advice| advice.text(&visible(row.who())));
                one(cut(&text.unwrap_or_default(), room), theme.plain())
            }
            _ => Vec::new(),
        }
    }
}

fn percent(percent: u32, style: Style, none: Style) -> Vec<Span<'static>> {
    let style = if percent == 0 { none } else { style };
    one(format!("{percent}%"), style)
}
