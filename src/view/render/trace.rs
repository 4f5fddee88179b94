//! The last events, as trace lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::super::picture::Line;
use super::super::text::{part, visible};
use super::{Scene, nth, put};
use crate::model::{Event, Facts};
use crate::output::{Kinds, Output as _, Trace};

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    let title = nth(area, 0);
    buffer.set_style(title, theme.bar());
    put(buffer, title, vec![part(" TRACE", theme.bar())]);
    let room = usize::from(area.height) - 1;
    let lines = &scene.picture.lines;
    let mut texts: Vec<(String, bool)> = Vec::new();
    // A super-packet makes several lines: the last ones count.
    for line in lines.iter().rev() {
        if texts.len() >= room {
            break;
        }
        match line {
            Line::Message(text) => texts.push((visible(text), true)),
            line => {
                let text = trace_line(line, scene.facts);
                let newest_first = text.lines().rev();
                texts.extend(newest_first.map(|line| (line.to_owned(), false)));
            }
        }
    }
    texts.truncate(room);
    for (index, (text, is_message)) in texts.into_iter().rev().enumerate() {
        let style = if is_message {
            theme.warning()
        } else {
            theme.plain()
        };
        put(
            buffer,
            nth(area, index + 1),
            vec![part(format!(" {text}"), style)],
        );
    }
}

/// The very line of a trace.
fn trace_line(line: &Line, facts: &dyn Facts) -> String {
    let kinds = Kinds {
        new: true,
        data: true,
        end: true,
        quic: false,
        dns: false,
    };
    let mut text = Vec::new();
    let mut trace = Trace::new(&mut text, kinds);
    // Writing to a vector cannot fail.
    let _ = match line {
        Line::Event(event) => trace.event(&short(event), facts),
        Line::End(sample, reason) => trace.end(sample, *reason, facts),
        Line::Message(_) => Ok(()),
    };
    String::from_utf8_lossy(&text).into_owned()
}

/// An event of as many packets as a screen can show.
fn short(event: &Event) -> Event {
    let mut event = *event;
    event.counts.packets = event.counts.packets.min(100);
    event
}
