//! Cells of a hook: the books of one direction of an interface.

use ratatui::text::Span;

use super::super::columns::Column;
use super::super::picture::Hook;
use super::super::text::{cut, visible};
use super::{Maker, one};
use crate::model::text::Grouped;
use crate::model::{Direction, Skip};

impl Maker<'_> {
    /// A cell of a hook, in at most `room` columns; `program` is how it sees the packets, in words.
    pub fn hook(
        &self,
        column: Column,
        hook: &Hook,
        program: &str,
        room: usize,
    ) -> Vec<Span<'static>> {
        let theme = self.theme;
        let books = &hook.books;
        let packets = |packets: u64| one(Grouped(packets), theme.plain());
        match column {
            Column::Interface => one(cut(&visible(&hook.interface), room), theme.strong()),
            Column::Direction => {
                let word = match hook.direction {
                    Direction::Ingress => "in",
                    Direction::Egress => "out",
                };
                one(word, theme.plain())
            }
            Column::Hook => one(cut(program, room), theme.plain()),
            Column::Rate => self.rate(hook.rates.orig(self.window).bytes),
            Column::PacketRate => one(
                Grouped(super::super::text::whole(
                    hook.rates.orig(self.window).packets,
                )),
                theme.plain(),
            ),
            Column::Seen => packets(books.seen.packets),
            Column::Tracked => packets(books.tracked.packets),
            Column::Skipped => packets(books.skipped_total().packets),
            Column::Refused => match books.skipped_for(Skip::TableFull).packets {
                0 => one("0", theme.faint()),
                refused => one(Grouped(refused), theme.bad()),
            },
            Column::Bytes => self.bytes(books.tracked),
            _ => Vec::new(),
        }
    }
}
