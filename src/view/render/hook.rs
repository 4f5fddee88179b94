//! The details of a hook: its books, reason by reason.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget as _};

use super::super::picture::Hook;
use super::super::text::{bytes, part, rate, visible, whole};
use super::table::program;
use super::{Scene, nth, put};
use crate::model::text::Grouped;
use crate::model::{Counts, Direction, Window};

pub(super) fn draw(buffer: &mut Buffer, area: Rect, place: usize, scene: &mut Scene<'_>) {
    let title = nth(area, 0);
    buffer.set_style(title, scene.theme.bar());
    put(buffer, title, vec![part(" DETAILS", scene.theme.bar())]);
    let area = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let Some(hook) = scene.picture.hooks.get(place) else {
        return;
    };
    let lines = lines(hook, scene);
    let most = lines.len().saturating_sub(usize::from(area.height));
    scene.state.scroll = scene.state.scroll.min(most);
    scene.state.page = usize::from(area.height);
    let scroll = u16::try_from(scene.state.scroll).unwrap_or(0);
    Paragraph::new(lines)
        .scroll((scroll, 0))
        .render(area, buffer);
}

fn lines(hook: &Hook, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let word = match hook.direction {
        Direction::Ingress => "received",
        Direction::Egress => "sent",
    };
    let mut lines = vec![Line::from(vec![
        part(format!(" {} ", visible(&hook.interface)), theme.strong()),
        part(
            format!("{word}, by {}", program(hook, scene)),
            theme.plain(),
        ),
    ])];
    for window in Window::ALL {
        let now = hook.rates.orig(window);
        lines.push(Line::from(vec![
            part(
                format!(" over {:>2} s    ", window.seconds()),
                theme.faint(),
            ),
            part(
                format!(
                    "{:>13}{:>13} pkt/s",
                    rate(now.bytes, false),
                    Grouped(whole(now.packets)).to_string()
                ),
                theme.plain(),
            ),
        ]));
    }
    lines.push(Line::from(part(
        format!(" {:<22}{:>17}{:>21}", "", "packets", "bytes"),
        theme.faint(),
    )));
    let books = &hook.books;
    let mut line = |name: &str, counts: Counts, style| {
        lines.push(Line::from(vec![
            part(format!(" {name:<22}"), theme.faint()),
            part(
                format!(
                    "{:>17}{:>21}",
                    Grouped(counts.packets).to_string(),
                    Grouped(counts.bytes).to_string()
                ),
                style,
            ),
            part(format!("  {}", bytes(counts.bytes, false)), theme.faint()),
        ]));
    };
    line("seen", books.seen, theme.strong());
    line("tracked", books.tracked, theme.plain());
    line("skipped", books.skipped_total(), theme.plain());
    for (reason, counts) in books.reasons() {
        line(&format!("  {}", reason.name()), counts, theme.plain());
    }
    lines
}
