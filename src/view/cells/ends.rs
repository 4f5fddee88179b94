//! The two ends of a connection. Where there is little room, the one on this machine gives way: first its port, then its address.
//! The other one is never cut.

use std::net::{IpAddr, SocketAddr};

use ratatui::text::Span;

use super::super::text::{cut, part, visible, width};
use super::{Kind, Maker, one};
use crate::model::{Connection, Role};

impl Maker<'_> {
    /// Both ends, in columns of these widths that stand beside each other with a gap between them. Without a column for the originator
    /// the responder has all of the room.
    pub fn ends(
        &self,
        connection: &Connection,
        kind: Kind<'_>,
        originator: Option<(usize, usize)>,
        responder: usize,
    ) -> Vec<Span<'static>> {
        let sample = &connection.sample;
        let guessed = sample.role == Role::Guessed;
        let is_responder_here = self.is_responder_here(connection, kind);
        let Some((first, gap)) = originator else {
            if !is_responder_here {
                return self.far(sample.responder, guessed, responder);
            }
            // The one end that there is room for is the other one.
            let port = format!(":{} < ", sample.responder.port());
            let rest = responder.saturating_sub(port.len());
            let mut parts = one(port, self.theme.plain());
            parts.extend(self.far(sample.originator, guessed, rest));
            return parts;
        };
        if is_responder_here {
            let mut parts = match kind {
                // Each of them has another port.
                Kind::Folded(_) => self.near_originator(sample.originator, kind, first),
                _ => self.far(sample.originator, false, first),
            };
            let used = total(&parts).max(first) + gap;
            pad(&mut parts, used);
            let room = (first + gap + responder).saturating_sub(used);
            parts.extend(self.near_responder(sample.responder, guessed, room));
            return parts;
        }
        let last = self.far(sample.responder, guessed, responder);
        let room = (first + gap + responder).saturating_sub(total(&last).max(responder) + gap);
        let mut parts = self.near_originator(sample.originator, kind, room);
        pad(&mut parts, room + gap);
        parts.extend(last);
        parts
    }

    fn is_responder_here(&self, connection: &Connection, kind: Kind<'_>) -> bool {
        let processes = match kind {
            Kind::Ended(ended) => ended.processes(),
            _ => self.facts.processes(&connection.sample),
        };
        processes.responder.is_some() && processes.originator.is_none()
    }

    /// An end of a connection, cut: for where it must fit. The port stays; the service goes first.
    pub fn end(&self, end: SocketAddr, service: bool, room: usize) -> Vec<Span<'static>> {
        let (host, style) = self.host_or_address(end.ip());
        let port = format!(":{}", end.port());
        let mut parts = vec![
            part(cut(&host, room.saturating_sub(port.len())), style),
            part(cut(&port, room), self.theme.plain()),
        ];
        if service {
            self.add_service(&mut parts, end.port(), room);
        }
        parts
    }

    /// An end that is never cut: its name if that fits, else its address, however long.
    pub fn far(&self, end: SocketAddr, guessed: bool, room: usize) -> Vec<Span<'static>> {
        let mark = if guessed { "?" } else { "" };
        let port = format!(":{}{mark}", end.port());
        let named = self.host(end.ip());
        let named = named.filter(|name| width(name) + port.len() <= room);
        let mut parts = match named {
            Some(name) => one(name, self.theme.name()),
            None => one(bracketed(end.ip()), self.theme.plain()),
        };
        parts.push(part(port, self.theme.plain()));
        self.add_service(&mut parts, end.port(), room);
        parts
    }

    /// An originator here: its port says little.
    fn near_originator(&self, end: SocketAddr, kind: Kind<'_>, room: usize) -> Vec<Span<'static>> {
        let (host, style) = self.host_or_address(end.ip());
        let more = match kind {
            Kind::Folded(folded) if folded.many_clients => {
                return one(cut("several", room), self.theme.plain());
            }
            Kind::Folded(_) => String::new(),
            _ => format!(":{}", end.port()),
        };
        if !more.is_empty() && width(&host) + more.len() <= room {
            return vec![part(host, style), part(more, self.theme.plain())];
        }
        // Without the brackets of an address with a port.
        let alone = self.host(end.ip()).unwrap_or_else(|| end.ip().to_string());
        one(cut(&alone, room), style)
    }

    /// A responder here: its port is what it is known by.
    fn near_responder(&self, end: SocketAddr, guessed: bool, room: usize) -> Vec<Span<'static>> {
        let mark = if guessed { "?" } else { "" };
        let port = format!(":{}{mark}", end.port());
        let (host, style) = self.host_or_address(end.ip());
        let mut parts = if width(&host) + port.len() <= room {
            vec![part(host, style), part(port, self.theme.plain())]
        } else {
            one(cut(&port, room), self.theme.plain())
        };
        self.add_service(&mut parts, end.port(), room);
        parts
    }

    fn host_or_address(&self, address: IpAddr) -> (String, ratatui::style::Style) {
        match self.host(address) {
            Some(name) => (name, self.theme.name()),
            None => (bracketed(address), self.theme.plain()),
        }
    }

    pub fn host(&self, address: IpAddr) -> Option<String> {
        let name = self.names.then(|| self.facts.host_name(address))??;
        Some(visible(name))
    }

    pub fn add_service(&self, parts: &mut Vec<Span<'static>>, port: u16, room: usize) {
        if let Some(service) = self.names.then(|| self.facts.service(port)).flatten() {
            let service = visible(service);
            if total(parts) + 1 + width(&service) <= room {
                parts.push(part(format!(" {service}"), self.theme.faint()));
            }
        }
    }
}

/// As it stands before a port.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn total(parts: &[Span<'_>]) -> usize {
    parts.iter().map(Span::width).sum()
}

fn pad(parts: &mut Vec<Span<'static>>, to: usize) {
    let missing = to.saturating_sub(total(parts));
    parts.push(Span::raw(" ".repeat(missing)));
}
