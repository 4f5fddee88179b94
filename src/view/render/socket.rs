//! The details of a socket, and what to do about it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget as _, Wrap};

use super::super::text::{part, span, visible};
use super::{Scene, nth, put};
use crate::model::text::Grouped;
use crate::sockets::{Row, State};

pub(super) fn draw(buffer: &mut Buffer, area: Rect, key: (u64, u64), scene: &Scene<'_>) {
    let title = nth(area, 0);
    buffer.set_style(title, scene.theme.bar());
    put(buffer, title, vec![part(" DETAILS", scene.theme.bar())]);
    let area = Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(1),
        height: area.height.saturating_sub(1),
    };
    let Some(row) = scene.picture.socket(key) else {
        let text = "This socket is closed.";
        put(buffer, nth(area, 1), vec![part(text, scene.theme.faint())]);
        return;
    };
    // Whatever the width, all of what to do can be read.
    Paragraph::new(lines(row, scene))
        .wrap(Wrap { trim: true })
        .render(area, buffer);
}

fn lines(row: &Row, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let state = &row.state;
    let reading = &state.reading;
    let socket = &reading.socket;
    let mut first = vec![part(socket.local, theme.strong())];
    if let Some(peer) = socket.peer {
        first.push(part(format!(" -> {peer}"), theme.plain()));
    }
    if let Some(index) = socket.device {
        let name = scene.facts.interface(index);
        first.push(part(format!(" on {}", visible(&name)), theme.plain()));
    }
    let mut lines = vec![Line::from(first)];
    let mut line = |name: &str, text: String, style| {
        lines.push(Line::from(vec![
            part(format!("{name:<12}"), theme.faint()),
            part(text, style),
        ]));
    };
    if let Some(owner) = row.owner.as_deref() {
        let text = format!(
            "{}/{}, user {}",
            visible(owner.program()),
            owner.pid,
            visible(&owner.user)
        );
        line("process", text, theme.name());
    }
    let whose = if reading.is_chosen {
        "set by the program"
    } else {
        "the default"
    };
    let text = format!("{} bytes, {whose}", Grouped(reading.receive_buffer.into()));
    line("buffer", text, theme.plain());
    let text = format!(
        "{} bytes in {} datagrams: {}% of the buffer",
        Grouped(reading.queued.into()),
        Grouped(reading.datagrams.into()),
        reading.fill_percent()
    );
    line("waiting", text, theme.plain());
    line("most", most(state), theme.plain());
    let text = format!(
        "{} since this view was opened, {} since the socket was opened",
        Grouped(state.drops_seen),
        Grouped(reading.drops.into())
    );
    let style = if state.drops_seen > 0 {
        theme.bad()
    } else {
        theme.plain()
    };
    line("dropped", text, style);
    if state.burst > 0 {
        let text = format!("{} datagrams", Grouped(state.burst));
        line("burst", text, theme.plain());
    }
    if state.stands_ns > 0 {
        line(
            "no read for",
            format!(" {}", span(Some(state.stands_ns))),
            theme.plain(),
        );
    }
    if let Some(advice) = row.advice {
        lines.push(Line::default());
        let text = advice.text(&visible(row.who()));
        lines.push(Line::from(part(text, theme.warning())));
    }
    lines
}

/// How full the buffer was at most.
fn most(state: &State) -> String {
    let seen = format!("{} bytes seen", Grouped(state.queued_most.into()));
    // A drop proves that it was full, whatever is seen.
    if state.was_full {
        format!("{seen}; full when it dropped")
    } else {
        format!("{seen}: {}% of the buffer", state.most_percent())
    }
}
