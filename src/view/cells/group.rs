//! Cells of a group: a server, a program, a host.

use ratatui::text::Span;

use super::super::columns::Column;
use super::super::text::{cut, part, span, visible};
use super::{Maker, one};
use crate::listing::{Group, State};
use crate::model::Role;
use crate::model::Shared;
use crate::model::text::Grouped;

impl Maker<'_> {
    /// A cell of a group, in at most `room` columns; what it shares is never cut where it is an address.
    pub fn group(&self, column: Column, group: &Group, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        match column {
            Column::Group => self.label(group, room),
            Column::State => one(group.state.word(), theme.state(group.state)),
            Column::Connections => one(Grouped(group.connections), theme.plain()),
            Column::Clients => {
                let more = if group.clients.is_more() { "+" } else { "" };
                one(
                    format!("{}{more}", Grouped(group.clients.count())),
                    theme.plain(),
                )
            }
            Column::Asked => match group.asked() {
                Some(asked) => one(Grouped(asked), theme.plain()),
                None => one("-", theme.faint()),
            },
            Column::Lost => match group.lost_per_mille() {
                None => one("-", theme.faint()),
                Some(0) => one("0%", theme.faint()),
                Some(share) => one(per_mille(share), theme.bad()),
            },
            Column::Response => self.percentile(group, 50),
            Column::P95 => self.percentile(group, 95),
            Column::Wait if group.state == State::OneWay => one("-", theme.faint()),
            Column::Wait => self.wait(&group.response),
            Column::InRate => self.rate(group.received_rate(self.window).bytes),
            Column::OutRate => self.rate(group.sent_rate(self.window).bytes),
            Column::InBytes => self.bytes(group.received),
            Column::OutBytes => self.bytes(group.sent),
            Column::InPackets => one(Grouped(group.received.packets), theme.plain()),
            Column::OutPackets => one(Grouped(group.sent.packets), theme.plain()),
            Column::Packets => one(Grouped(group.total().packets), theme.plain()),
            Column::Bytes => self.bytes(group.total()),
            Column::Age => self.span(self.now_ns.saturating_sub(group.first_ns)),
            Column::Process => {
                let text = group.processes.to_string();
                if text.is_empty() {
                    one("-", theme.faint())
                } else {
                    one(cut(&visible(&text), room), theme.name())
                }
            }
            _ => Vec::new(),
        }
    }

    fn percentile(&self, group: &Group, percent: u8) -> Vec<Span<'static>> {
        match group.percentile_ns(percent) {
            Some(ns) => one(
                self.bound(&group.response, span(Some(ns))),
                self.theme.plain(),
            ),
            None => one("-", self.theme.faint()),
        }
    }

    fn label(&self, group: &Group, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        let text = || visible(&group.shared.text());
        match group.shared {
            Shared::End(end) => self.far(end, group.role == Role::Guessed, room),
            Shared::Address(address) => {
                let name = self.host(address);
                match name.filter(|name| super::width(name) <= room) {
                    Some(name) => one(name, theme.name()),
                    None => one(address, theme.plain()),
                }
            }
            Shared::Port(port) => {
                let mut parts = vec![part(port, theme.plain())];
                self.add_service(&mut parts, port, room);
                parts
            }
            Shared::Program(_) => one(cut(&text(), room), theme.name()),
            Shared::Unknown => one(cut("unknown", room), theme.faint()),
            Shared::Forwarded | Shared::Interface(_) => one(cut(&text(), room), theme.plain()),
            Shared::Subnet(..) => one(text(), theme.plain()),
        }
    }
}

/// As percent: one digit after the point below ten.
fn per_mille(share: u64) -> String {
    if share < 100 {
        format!("{}.{}%", share / 10, share % 10)
    } else {
        format!("{}%", share / 10)
    }
}
