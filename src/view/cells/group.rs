//! What a group shares: a server, a program, a host.

use ratatui::text::Span;

use super::super::text::{cut, part, visible, width};
use super::{Maker, one};
use crate::model::{Role, Shared};

impl Maker<'_> {
    pub(super) fn shared(&self, shared: Shared, role: Role, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        let text = || visible(&shared.text());
        match shared {
            Shared::End(end) => self.far(end, role == Role::Guessed, room),
            Shared::Address(address) => {
                let name = self.host(address);
                match name.filter(|name| width(name) <= room) {
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
            Shared::Spoken(None) | Shared::Unknown => one(cut("unknown", room), theme.faint()),
            Shared::Spoken(Some(_)) | Shared::Forwarded | Shared::Interface(_) => {
                one(cut(&text(), room), theme.plain())
            }
            Shared::Subnet(..) => one(text(), theme.plain()),
        }
    }
}
