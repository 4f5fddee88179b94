//! What is tracked and how, how full the table is, what comes and goes; and the line that says what the rows are.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;
use ratatui::widgets::{RenderDirection, Sparkline, Widget as _};

use super::super::state::{GROUP_MENU, Pane};
use super::super::text::{bytes, cut, part, rate, span, visible, width};
use super::{Scene, nth, put, put_right};
use crate::connection::{Counts, Rate};
use crate::output::Grouped;

/// Columns of the bar that shows how full the table is.
const GAUGE: u16 = 20;
/// From this width on the traffic has a sparkline, and its totals are exact.
const WIDE: u16 = 110;

/// Lines of the header: its bar, the table's, and one for each direction that is seen.
pub(super) fn height(scene: &Scene<'_>) -> u16 {
    2 + if scene.settings.egress { 2 } else { 1 }
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    draw_bar(buffer, nth(area, 0), scene);
    draw_table_line(buffer, nth(area, 1), scene);
    let totals = &scene.picture.totals;
    let window = scene.state.query.window;
    let lines = [
        (
            "received",
            totals.rates.orig(window),
            totals.ingress,
            &totals.history.orig,
        ),
        (
            "sent",
            totals.rates.reply(window),
            totals.egress,
            &totals.history.reply,
        ),
    ];
    for (index, (name, rate, counts, history)) in lines.into_iter().enumerate() {
        let area = nth(area, 2 + index);
        if area.height == 0 {
            continue;
        }
        let used = draw_direction(buffer, area, scene, name, rate, counts);
        draw_history(
            buffer,
            area,
            used,
            history.iter().copied(),
            scene,
            index == 0,
        );
    }
}

fn draw_bar(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let bar = scene.theme.bar();
    buffer.set_style(area, bar);
    let mut parts = vec![part(" udptrack ", bar.patch(scene.theme.strong()))];
    for (name, hooks) in &scene.settings.interfaces {
        parts.push(part(
            format!(" {}", visible(name)),
            bar.patch(scene.theme.strong()),
        ));
        parts.push(part(format!(" {hooks} "), bar));
    }
    if let Some(only) = &scene.settings.only {
        parts.push(part(
            format!(" only {} ", cut(&visible(only), 40)),
            bar.patch(scene.theme.strong()),
        ));
    }
    let used = parts.iter().map(Span::width).sum();
    put(buffer, area, parts);
    let picture = scene.picture;
    let up = span(Some(picture.now_ns.saturating_sub(picture.started_ns)));
    let mut right = Vec::new();
    if scene.state.paused {
        right.push(part(" PAUSED ", scene.theme.strong().patch(bar)));
    }
    right.push(part(format!(" up {up} "), bar));
    if scene.state.paused {
        // Whatever is there, this must be seen.
        right.truncate(1);
        let line = ratatui::text::Line::from(right).right_aligned();
        line.render(area, buffer);
    } else {
        put_right(buffer, area, used, right);
    }
}

fn draw_table_line(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    let (report, totals) = (&scene.picture.report, &scene.picture.totals);
    let fill = scene.table.fill();
    let style = match fill {
        ..0.6 => theme.reply(),
        0.6..0.8 => theme.warning(),
        _ => theme.bad(),
    };
    let births = totals.births.orig(scene.state.query.window).packets;
    let mut parts = vec![
        part(" connections ", theme.faint()),
        part(Grouped(report.connections_live), theme.strong()),
        part(
            format!(" of {} ", Grouped(report.connections_max)),
            theme.faint(),
        ),
    ];
    if area.width >= 60 {
        parts.extend(gauge(fill, scene));
    }
    parts.push(part(format!(" {:.1} %", fill * 100.0), style));
    parts.push(part("  new ", theme.faint()));
    parts.push(part(format!("{births:.1}/s"), theme.plain()));
    if scene.rows.unanswered > 0 {
        parts.push(part("  unanswered ", theme.faint()));
        parts.push(part(Grouped(scene.rows.unanswered as u64), theme.warning()));
    }
    if area.width >= WIDE {
        parts.push(part("  ended ", theme.faint()));
        parts.push(part(Grouped(report.connections_ended), theme.plain()));
    }
    put(buffer, area, parts);
}

fn gauge(fill: f64, scene: &Scene<'_>) -> Vec<Span<'static>> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the gauge's width"
    )]
    let bars = (fill * f64::from(GAUGE)).ceil() as usize;
    let bars = bars.min(usize::from(GAUGE));
    let style = if fill < 0.6 {
        scene.theme.reply()
    } else if fill < 0.8 {
        scene.theme.warning()
    } else {
        scene.theme.bad()
    };
    vec![
        part("█".repeat(bars), style),
        part("░".repeat(usize::from(GAUGE) - bars), scene.theme.faint()),
    ]
}

fn draw_direction(
    buffer: &mut Buffer,
    area: Rect,
    scene: &Scene<'_>,
    name: &str,
    speed: Rate,
    counts: Counts,
) -> usize {
    let theme = scene.theme;
    let total = if area.width >= WIDE {
        format!(
            "  {} packets, {} bytes",
            Grouped(counts.packets),
            Grouped(counts.bytes)
        )
    } else {
        format!(
            "  {} pkts, {}",
            Grouped(counts.packets),
            bytes(counts.bytes, false)
        )
    };
    let parts = vec![
        part(format!(" {name:<8} "), theme.faint()),
        part(format!("{:>11}", rate(speed.bytes, false)), theme.strong()),
        part(
            format!("{:>12} pkt/s", Grouped(whole(speed.packets)).to_string()),
            theme.plain(),
        ),
        part("  in all", theme.faint()),
        part(total, theme.plain()),
    ];
    let used = parts.iter().map(Span::width).sum();
    put(buffer, area, parts);
    used
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates, and a rate is not negative"
)]
fn whole(rate: f32) -> u64 {
    rate.round() as u64
}

fn draw_history(
    buffer: &mut Buffer,
    area: Rect,
    used: usize,
    values: impl DoubleEndedIterator<Item = u64>,
    scene: &Scene<'_>,
    received: bool,
) {
    if area.width < WIDE {
        return;
    }
    let used = u16::try_from(used).unwrap_or(u16::MAX).saturating_add(3);
    let width = area.width.saturating_sub(used).min(60);
    if width < 10 {
        return;
    }
    let style = if received {
        scene.theme.orig()
    } else {
        scene.theme.reply()
    };
    let latest: Vec<u64> = values.rev().take(usize::from(width)).collect();
    Sparkline::default()
        .data(latest)
        .direction(RenderDirection::RightToLeft)
        .style(style)
        .render(
            Rect {
                x: area.right() - width - 1,
                width,
                ..area
            },
            buffer,
        );
}

/// What the rows are: how many, of what, in which order. While a filter is typed, that.
pub(super) fn draw_list_line(
    buffer: &mut Buffer,
    area: Rect,
    scene: &Scene<'_>,
) -> Option<Position> {
    if area.height == 0 {
        return None;
    }
    let (state, theme) = (&*scene.state, scene.theme);
    if matches!(state.pane, Pane::Filter(_)) {
        return Some(draw_filter(buffer, area, scene));
    }
    let rows = scene.rows.keys().len();
    let mut parts = vec![part(' ', theme.plain())];
    let by = state.query.by;
    if by.is_some() {
        let name = GROUP_MENU.iter().find(|(_, field)| *field == by);
        let name = name.map_or("", |(name, _)| name.split(':').next().unwrap_or(name));
        parts.push(part(
            format!(
                "{} {} by {name}",
                Grouped(rows as u64),
                if rows == 1 { "group" } else { "groups" }
            ),
            theme.strong(),
        ));
    } else {
        parts.push(part(
            format!("{} shown", Grouped(rows as u64)),
            theme.strong(),
        ));
    }
    if let Some(inside) = &state.inside {
        parts.push(part("  of ", theme.faint()));
        parts.push(part(cut(&visible(&inside.shared.text()), 40), theme.name()));
    }
    if !state.filter.is_empty() {
        parts.push(part("  filter ", theme.faint()));
        parts.push(part(
            cut(&visible(state.filter.text()), 40),
            theme.warning(),
        ));
        parts.push(part(
            format!(" hides {}", Grouped(scene.rows.hidden as u64)),
            theme.faint(),
        ));
    }
    if state.query.unanswered {
        parts.push(part("  only unanswered", theme.warning()));
    }
    if state.ended && by.is_none() {
        parts.push(part("  with ended", theme.warning()));
    }
    if state.frozen {
        parts.push(part("  order kept", theme.warning()));
    }
    let used = parts.iter().map(Span::width).sum();
    put(buffer, area, parts);
    let menu = state.sort_menu();
    let sort = menu.iter().find(|(_, key)| *key == state.query.sort);
    let seconds = state.query.window.seconds();
    let right = vec![
        part("sorted by ", theme.faint()),
        part(sort.map_or("", |(name, _)| name), theme.plain()),
        part(
            if state.query.reverse {
                ", reversed"
            } else {
                ""
            },
            theme.plain(),
        ),
        part(format!("  bit/s over {seconds} s "), theme.faint()),
    ];
    put_right(buffer, area, used, right);
    None
}

fn draw_filter(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) -> Position {
    let (filter, theme) = (&scene.state.filter, scene.theme);
    let text = visible(filter.text());
    let room = usize::from(area.width).saturating_sub(12);
    // The end is what is being typed.
    let skip = width(&text).saturating_sub(room);
    let shown: String = text.chars().skip(skip).collect();
    let label = " filter: ";
    let x = label.len() + width(&shown);
    let parts = vec![part(label, theme.key()), part(shown, theme.strong())];
    put(buffer, area, parts);
    let found = Grouped(scene.rows.keys().len() as u64);
    let hint = match filter.fault() {
        // A text that finds nothing may have been meant as an expression.
        Some(fault) if scene.rows.keys().is_empty() => {
            format!("nothing found; {} ", visible(fault))
        }
        Some(_) => format!("{found} found as text "),
        None => format!("{found} found "),
    };
    let hint = cut(&hint, usize::from(area.width).saturating_sub(x + 3));
    put_right(buffer, area, x + 1, vec![part(hint, theme.faint())]);
    let x = u16::try_from(x).unwrap_or(u16::MAX);
    Position {
        x: area.x.saturating_add(x).min(area.right().saturating_sub(1)),
        y: area.y,
    }
}
