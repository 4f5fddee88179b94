//! The books, and the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::super::keys::{Action, Binding};
use super::super::state::Pane;
use super::super::text::{bytes, cut, part, visible};
use super::{Scene, nth, put};
use crate::model::text::Grouped;
use crate::model::{Report, Skip};

/// What can be done while the details of a row are open.
const DETAILS: &[(Action, &str)] = &[
    (Action::Back, "back"),
    (Action::Down, "scroll down"),
    (Action::Up, "up"),
    (Action::Help, "help"),
    (Action::Names, "names"),
    (Action::Pause, "pause"),
    (Action::Copy, "copy as a filter"),
    (Action::Save, "save the screen"),
];

/// Skips that are packets of connections which should have been counted.
fn is_loss(reason: Skip) -> bool {
    matches!(reason, Skip::TableFull)
}

/// What was lost, in words; nothing is the rule.
fn losses(report: &Report) -> Vec<String> {
    let books = report.books();
    let mut losses: Vec<String> = books
        .reasons()
        .filter(|(reason, _)| is_loss(*reason))
        .map(|(reason, counts)| format!("{} {}", reason.name(), Grouped(counts.packets)))
        .collect();
    if report.events_lost > 0 {
        losses.push(format!("events {}", Grouped(report.events_lost)));
    }
    let frames = report.captured.map_or(0, |it| it.lost_in_all());
    if frames > 0 {
        losses.push(format!("frames {}", Grouped(frames)));
    }
    if report.addresses_without_entry.packets > 0 {
        losses.push(format!(
            "addresses without room {}",
            Grouped(report.addresses_without_entry.packets)
        ));
    }
    losses
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    put(buffer, nth(area, 0), books(area.width, scene));
    let theme = scene.theme;
    let mut keys = vec![part(' ', theme.plain())];
    let mut used = 1;
    let actions = match scene.state.pane {
        Pane::Details(_) => DETAILS,
        _ => scene.state.tab.about().keys,
    };
    for (action, text) in actions {
        let key = Binding::first_key(*action);
        let width = key.len() + text.len() + 3;
        if used + width > usize::from(area.width) + 2 {
            continue;
        }
        used += width;
        keys.push(part(key, theme.key()));
        keys.push(part(format!(" {text}  "), theme.faint()));
    }
    put(buffer, nth(area, 1), keys);
}

/// `seen = tracked + skipped`, in packets; in bytes, too, where there is room.
fn books(width: u16, scene: &Scene<'_>) -> Vec<Span<'static>> {
    let (theme, report) = (scene.theme, &scene.picture.report);
    let books = report.books();
    let losses = losses(report);
    let balance = books.balance();
    let skipped = books.skipped_total();
    let wide = width >= 140;
    let counts = |counts: crate::model::Counts| {
        if wide {
            format!(
                "{} pkts {}",
                Grouped(counts.packets),
                bytes(counts.bytes, false)
            )
        } else {
            Grouped(counts.packets).to_string()
        }
    };
    let style = if losses.is_empty() && balance {
        theme.plain()
    } else {
        theme.bad()
    };
    let mut parts = vec![part(' ', style)];
    if !losses.is_empty() {
        parts.push(part(format!("LOST {}; ", losses.join(", ")), style));
    }
    parts.push(part(
        format!(
            "seen {} {} tracked {} + skipped {}",
            counts(books.seen),
            if balance { "=" } else { "!=" },
            counts(books.tracked),
            counts(skipped),
        ),
        style,
    ));
    let dropped = report
        .dropped_in_words()
        .map(|words| part(format!("; {words}"), theme.bad()));
    let reasons: Vec<String> = books
        .reasons()
        .filter(|(reason, _)| !is_loss(*reason))
        .map(|(reason, counts)| format!("{} {}", reason.name(), Grouped(counts.packets)))
        .collect();
    if !reasons.is_empty() {
        let used: usize = parts.iter().chain(&dropped).map(Span::width).sum();
        let room = usize::from(width).saturating_sub(used + 1);
        parts.push(part(
            cut(&format!(" ({})", reasons.join(", ")), room),
            if losses.is_empty() {
                theme.faint()
            } else {
                style
            },
        ));
    }
    parts.extend(dropped);
    parts
}

pub(super) fn draw_message(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    let picture = scene.picture;
    let (text, style) = match (picture.recent_message(), &picture.dropped) {
        (Some(text), _) => (text, scene.theme.warning()),
        (None, Some(text)) => (&**text, scene.theme.bad()),
        (None, None) => return,
    };
    let text = cut(&visible(text), usize::from(area.width.saturating_sub(2)));
    put(buffer, area, vec![part(format!(" {text}"), style)]);
}
