//! What stands in a cell.

use std::net::SocketAddr;

use ratatui::style::Style;
use ratatui::text::Span;

use super::columns::Column;
use super::picture::EndedConnection;
use super::text::{bytes, cut, part, rate, span, visible, width};
use super::theme::Theme;
use crate::connection::{Connection, Facts, Response, Status, Window};
use crate::listing::{Group, Shared};
use crate::output::Grouped;

/// What cells are made with.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub facts: &'a dyn Facts,
    pub theme: Theme,
    pub now_ns: u64,
    pub window: Window,
    pub names: bool,
    /// Long units.
    pub long: bool,
}

impl Maker<'_> {
    /// A cell of a connection, in at most `room` columns.
    pub fn connection(
        &self,
        column: Column,
        connection: &Connection,
        ended: Option<&EndedConnection>,
        room: usize,
    ) -> Vec<Span<'static>> {
        let theme = self.theme;
        let sample = &connection.sample;
        match column {
            Column::Status => match ended {
                Some(ended) => one(ended.reason, theme.faint()),
                None => one(sample.status, theme.status(sample.status)),
            },
            Column::Interface => one(
                cut(&visible(&self.facts.interface(sample.ifindex)), room),
                theme.plain(),
            ),
            Column::Originator => self.end(sample.originator, false, room),
            Column::Responder => self.end(sample.responder, true, room),
            Column::OrigRate | Column::ReplyRate if ended.is_some() => one("-", theme.faint()),
            Column::OrigRate => self.rate(connection.rates.orig(self.window).bytes),
            Column::ReplyRate => self.rate(connection.rates.reply(self.window).bytes),
            Column::Packets => one(Grouped(sample.total().packets), theme.plain()),
            Column::Bytes => one(bytes(sample.total().bytes, !self.long), theme.plain()),
            Column::FirstReply => one(span(sample.first_reply_after_ns()), theme.plain()),
            Column::Response => {
                let silent = matches!(sample.status, Status::Unreplied | Status::Unreach);
                self.response(&sample.response, silent && ended.is_none())
            }
            Column::Wait => self.wait(&sample.response, ended.is_some()),
            Column::Age => {
                let until = ended.map_or(self.now_ns, |_| sample.last_ns);
                one(
                    span(Some(until.saturating_sub(sample.first_ns))),
                    theme.plain(),
                )
            }
            Column::Idle => one(
                span(Some(self.now_ns.saturating_sub(sample.last_ns))),
                theme.plain(),
            ),
            Column::Process => {
                let processes =
                    ended.map_or_else(|| self.facts.processes(sample), EndedConnection::processes);
                match processes.main() {
                    Some(owner) => one(
                        process(&visible(&owner.command), owner.pid, room),
                        theme.name(),
                    ),
                    None if processes.forwarded => one(cut("forwarded", room), theme.faint()),
                    None => one("-", theme.faint()),
                }
            }
            _ => Vec::new(),
        }
    }

    /// A cell of a group.
    pub fn group(&self, column: Column, group: &Group, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        match column {
            Column::Group => self.label(group, room),
            Column::Connections => one(Grouped(group.connections), theme.plain()),
            Column::Lost => match group.lost() {
                None => one("-", theme.faint()),
                Some(0) => one("0", theme.faint()),
                Some(lost) => one(Grouped(lost), theme.warning()),
            },
            Column::OrigRate => self.rate(group.received_rate(self.window).bytes),
            Column::ReplyRate => self.rate(group.sent_rate(self.window).bytes),
            Column::Packets => one(Grouped(group.total().packets), theme.plain()),
            Column::Bytes => one(bytes(group.total().bytes, !self.long), theme.plain()),
            Column::Response => {
                let silent = group.response.answered == 0 && group.sent.packets == 0;
                self.response(&group.response, silent)
            }
            Column::Wait => self.wait(&group.response, false),
            Column::Retries => one(
                Grouped(group.response.retries),
                if group.response.retries > 0 {
                    theme.plain()
                } else {
                    theme.faint()
                },
            ),
            Column::Age => one(
                span(Some(self.now_ns.saturating_sub(group.first_ns))),
                theme.plain(),
            ),
            _ => Vec::new(),
        }
    }

    fn label(&self, group: &Group, room: usize) -> Vec<Span<'static>> {
        match group.shared {
            Shared::End(end) => self.end(end, true, room),
            Shared::Address(address) => {
                let name = self.host(address);
                one(
                    cut(&name.unwrap_or_else(|| address.to_string()), room),
                    self.theme.plain(),
                )
            }
            Shared::Port(port) => {
                let mut parts = one(port, self.theme.plain());
                self.add_service(&mut parts, port, room);
                parts
            }
            Shared::Program(program) => one(cut(&visible(program.name()), room), self.theme.name()),
            Shared::Unknown => one(cut("unknown", room), self.theme.faint()),
            Shared::Forwarded | Shared::Subnet(..) | Shared::Interface(_) => {
                let text = group.shared.text();
                one(cut(&visible(&text), room), self.theme.plain())
            }
        }
    }

    /// An end of a connection. The port stays, whatever is cut; the service goes first.
    pub fn end(&self, end: SocketAddr, service: bool, room: usize) -> Vec<Span<'static>> {
        let whole = end.to_string();
        let port = format!(":{}", end.port());
        let address = whole.strip_suffix(&port).unwrap_or(&whole);
        let name = self.host(end.ip());
        let style = if name.is_some() {
            self.theme.name()
        } else {
            self.theme.plain()
        };
        let address = name.unwrap_or_else(|| address.to_owned());
        let mut parts = vec![
            part(cut(&address, room.saturating_sub(port.len())), style),
            part(cut(&port, room), self.theme.plain()),
        ];
        if service {
            self.add_service(&mut parts, end.port(), room);
        }
        parts
    }

    fn host(&self, address: std::net::IpAddr) -> Option<String> {
        let name = self.names.then(|| self.facts.host_name(address))??;
        Some(visible(name))
    }

    fn add_service(&self, parts: &mut Vec<Span<'static>>, port: u16, room: usize) {
        let used: usize = parts.iter().map(Span::width).sum();
        if let Some(service) = self.names.then(|| self.facts.service(port)).flatten() {
            let service = visible(service);
            if used + 1 + width(&service) <= room {
                parts.push(part(format!(" {service}"), self.theme.faint()));
            }
        }
    }

    fn rate(&self, bytes: f32) -> Vec<Span<'static>> {
        let text = rate(bytes, !self.long);
        let style = if text.starts_with('0') && !text.contains('.') {
            self.theme.faint()
        } else {
            self.theme.plain()
        };
        one(text, style)
    }

    /// The average; of what nobody has ever answered, how long the oldest request has waited: it takes longer than that.
    fn response(&self, response: &Response, silent: bool) -> Vec<Span<'static>> {
        match (response.mean_ns(), response.wait_ns(self.now_ns)) {
            (Some(mean), _) => one(span(Some(mean)), self.theme.plain()),
            (None, Some(wait)) if silent => one(format!(">{}", span(Some(wait))), self.theme.bad()),
            _ => one("-", self.theme.faint()),
        }
    }

    fn wait(&self, response: &Response, ended: bool) -> Vec<Span<'static>> {
        match response.wait_ns(self.now_ns) {
            Some(wait) if !ended => one(span(Some(wait)), self.theme.warning()),
            _ => one("-", self.theme.faint()),
        }
    }
}

/// A process by name and id; where there is too little room by its name.
fn process(name: &str, pid: u32, room: usize) -> String {
    let whole = format!("{name}/{pid}");
    if width(&whole) <= room {
        whole
    } else {
        cut(name, room)
    }
}

fn one(text: impl std::fmt::Display, style: Style) -> Vec<Span<'static>> {
    vec![part(text, style)]
}
