//! The tabs, how full the table is, what comes and goes; and the line that says what the rows are.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;
use ratatui::widgets::{RenderDirection, Sparkline, Widget as _};

use super::super::state::{GROUP_MENU, Pane};
use super::super::tab::Tab;
use super::super::text::{bytes, cut, cut_start, part, rate, span, visible, whole, width};
use super::super::theme::Theme;
use super::{Scene, nth, put, put_right};
use crate::listing::State;
use crate::model::text::Grouped;
use crate::model::{Counts, Rate};

/// Columns of the bar that shows how full the table is.
const GAUGE: u16 = 20;
/// From this width on the traffic has a sparkline, and its totals are exact.
const WIDE: u16 = 110;
/// The longest sparkline.
const SPARKLINE: u16 = 60;

/// Lines of the header: the tabs, the table's, and one for each direction that is seen.
pub(super) fn height(scene: &Scene<'_>) -> u16 {
    2 + if scene.settings.egress { 2 } else { 1 }
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    if area.height == 0 {
        return;
    }
    scene.targets.tabs = draw_tabs(buffer, nth(area, 0), scene.state.tab, scene.theme);
    if scene.state.paused {
        // Whatever is there, this must be seen.
        let text = part(" PAUSED ", scene.theme.open_tab());
        let line = ratatui::text::Line::from(text).right_aligned();
        line.render(nth(area, 0), buffer);
    }
    draw_table_line(buffer, nth(area, 1), scene);
    let totals = &scene.picture.totals;
    let window = scene.state.query.window;
    let points = totals.history.points();
    let most = points.iter().map(|point| point.orig.max(point.reply)).max();
    let directions = [
        (
            "received",
            totals.rates.orig(window),
            totals.ingress,
            points.iter().map(|point| point.orig).collect::<Vec<_>>(),
        ),
        (
            "sent",
            totals.rates.reply(window),
            totals.egress,
            points.iter().map(|point| point.reply).collect(),
        ),
    ];
    for (index, (name, rate, counts, history)) in directions.into_iter().enumerate() {
        let area = nth(area, 2 + index);
        if area.height > 0 {
            let used = draw_direction(buffer, area, scene, name, rate, counts);
            let most = most.unwrap_or(0);
            draw_history(buffer, area, used, &history, most, scene);
        }
    }
}

/// The line of tabs, and where each of them is.
pub(in super::super) fn draw_tabs(
    buffer: &mut Buffer,
    area: Rect,
    open: Tab,
    theme: Theme,
) -> Vec<(Rect, Tab)> {
    let area = nth(area, 0);
    if area.height == 0 {
        return Vec::new();
    }
    buffer.set_style(area, theme.bar());
    let name = |tab: Tab, short: bool| {
        let about = tab.about();
        let name = if short { about.short } else { about.name };
        format!(" {} {name} ", tab as usize + 1)
    };
    let length = |short: bool| -> usize { Tab::ALL.map(|tab| name(tab, short).len()).iter().sum() };
    let room = usize::from(area.width);
    let title = " udptrack";
    let short = length(false) > room;
    let mut x = area.x;
    if length(short) + title.len() <= room {
        buffer.set_string(x, area.y, title, theme.bar().patch(theme.strong()));
        x += u16::try_from(title.len()).unwrap_or(0);
    }
    let mut places = Vec::new();
    for tab in Tab::ALL {
        // Where there is no room for all of them, the numbers of the others.
        let text = if length(true) > room && tab != open {
            format!(" {}", tab as usize + 1)
        } else {
            name(tab, short)
        };
        let width = u16::try_from(text.len()).unwrap_or(0);
        let width = width.min(area.right().saturating_sub(x));
        let place = Rect { x, width, ..area };
        let style = if tab == open {
            theme.open_tab()
        } else {
            theme.bar()
        };
        put(buffer, place, vec![part(text, style)]);
        places.push((place, tab));
        x += width;
    }
    places
}

fn draw_table_line(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    let (picture, totals) = (scene.picture, &scene.picture.totals);
    let report = &picture.report;
    let fill = scene.table.fill();
    let style = match fill {
        ..0.6 => theme.plain(),
        0.6..0.8 => theme.warning(),
        _ => theme.bad(),
    };
    let mut parts = vec![
        part(" connections ", theme.faint()),
        part(Grouped(report.connections_live), theme.strong()),
    ];
    let troubled = troubled(scene);
    // What goes wrong comes first where there is no room for all, then which capture it is.
    let room = usize::from(area.width).saturating_sub(name_room(scene));
    let has_room = |parts: &[Span<'_>], more: usize| {
        parts
            .iter()
            .chain(&troubled)
            .map(Span::width)
            .sum::<usize>()
            + more
            <= room
    };
    let share = format!("{:.1} %", fill * 100.0);
    let most = format!(" of {} ", Grouped(report.connections_max));
    if has_room(&parts, most.len() + share.len()) {
        parts.push(part(most, theme.faint()));
        if area.width >= WIDE {
            parts.extend(gauge(fill, style, scene));
        }
        parts.push(part(share, style));
    }
    let births = totals.births.orig(scene.state.query.window).packets;
    let new = format!("  new {births:.1}/s");
    if has_room(&parts, new.len()) {
        parts.push(part("  new ", theme.faint()));
        parts.push(part(format!("{births:.1}/s"), theme.plain()));
    }
    if area.width >= WIDE {
        parts.push(part("  ended ", theme.faint()));
        parts.push(part(Grouped(report.connections_ended), theme.plain()));
    }
    parts.extend(troubled);
    let used = parts.iter().map(Span::width).sum();
    put(buffer, area, parts);
    draw_where(buffer, area, used, scene);
}

/// Columns that the name of a capture has at least.
fn name_room(scene: &Scene<'_>) -> usize {
    const LEAST: usize = 16;
    let settings = scene.settings;
    match (&settings.progress, settings.interfaces.first()) {
        // With what stands before and behind it.
        (Some(_), Some(capture)) => width(&visible(&capture.name)).min(LEAST) + 3,
        _ => 0,
    }
}

/// Where that is seen, and for how long; of a capture, its name and how far reading is. Where there is no room for both, it is named.
fn draw_where(buffer: &mut Buffer, area: Rect, used: usize, scene: &Scene<'_>) {
    let (theme, picture) = (scene.theme, scene.picture);
    let names: Vec<String> = scene
        .settings
        .interfaces
        .iter()
        .map(|interface| visible(&interface.name))
        .collect();
    let names = names.join(" ");
    let mut put_both = |name: String, beside: String| {
        let right = vec![part(name, theme.strong()), part(beside, theme.faint())];
        put_right(buffer, area, used, right)
    };
    let Some(progress) = &scene.settings.progress else {
        let up = span(Some(picture.now_ns.saturating_sub(picture.started_ns)));
        let up = format!("  up {up} ");
        if !put_both(names, up.clone()) {
            put_both(String::new(), up);
        }
        return;
    };
    let first = progress.split(", ").next().unwrap_or_default();
    if !put_both(names.clone(), format!("  {progress} "))
        && !put_both(names.clone(), format!("  {first} "))
    {
        // Before it are two columns at least, behind it one.
        let room = usize::from(area.width).saturating_sub(used + 3);
        put_both(cut_start(&names, room), " ".to_owned());
    }
}

/// How many servers are in each state that is not well: `servers: 1 DEAD, 2 DROPS`.
fn troubled(scene: &Scene<'_>) -> Vec<Span<'static>> {
    let states = [
        State::Dead,
        State::Refused,
        State::Dropping,
        State::Lossy,
        State::Slow,
    ];
    let mut parts = Vec::new();
    for state in states {
        let count = scene.picture.servers.count(state);
        if count > 0 {
            let before = if parts.is_empty() {
                "  servers: "
            } else {
                ", "
            };
            parts.push(part(before, scene.theme.faint()));
            let text = format!("{count} {}", state.word());
            parts.push(part(text, scene.theme.state(state)));
        }
    }
    parts
}

fn gauge(fill: f64, style: ratatui::style::Style, scene: &Scene<'_>) -> Vec<Span<'static>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the gauge's width"
    )]
    let bars = (fill * f64::from(GAUGE)).ceil() as usize;
    let bars = bars.min(usize::from(GAUGE));
    vec![
        part("█".repeat(bars), style),
        part("░".repeat(usize::from(GAUGE) - bars), scene.theme.faint()),
        part(' ', style),
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

/// The latest seconds, with the maximum that the height stands for: one for both directions.
fn draw_history(
    buffer: &mut Buffer,
    area: Rect,
    used: usize,
    values: &[u64],
    most: u64,
    scene: &Scene<'_>,
) {
    let scale = format!(" max {}", super::chart::peak(most, false));
    // Room for the longest there is, so that nothing jumps.
    let label = u16::try_from(" max 99.9 Mbit/s ".len()).unwrap_or(0);
    let used = u16::try_from(used).unwrap_or(u16::MAX);
    let room = area.width.saturating_sub(used.saturating_add(2 + label));
    if area.width < WIDE || room < 10 {
        return;
    }
    let width = room.min(SPARKLINE);
    let x = area.right() - width - label;
    let latest: Vec<u64> = values
        .iter()
        .rev()
        .take(usize::from(width))
        .copied()
        .collect();
    Sparkline::default()
        .data(latest)
        .max(most.max(1))
        .direction(RenderDirection::RightToLeft)
        .style(scene.theme.name())
        .render(Rect { x, width, ..area }, buffer);
    let scale_area = Rect {
        x: x + width,
        width: label,
        ..area
    };
    put(buffer, scale_area, vec![part(scale, scene.theme.faint())]);
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
    let about = state.tab.about();
    let (one, several) = about.rows;
    let mut parts = vec![
        part(' ', theme.plain()),
        part(
            format!(
                "{} {}",
                Grouped(rows as u64),
                if rows == 1 { one } else { several }
            ),
            theme.strong(),
        ),
    ];
    parts.extend(choices(scene));
    let used = parts.iter().map(Span::width).sum();
    put(buffer, area, parts);
    let position = position(scene);
    let mut right = sorting(scene);
    right.push(part(format!("  {position} "), theme.strong()));
    if !put_right(buffer, area, used, right) {
        put_right(
            buffer,
            area,
            used,
            vec![part(format!("{position} "), theme.strong())],
        );
    }
    None
}

/// What leaves rows out, or orders them in another way.
fn choices(scene: &Scene<'_>) -> Vec<Span<'static>> {
    let (state, theme) = (&*scene.state, scene.theme);
    let mut parts = Vec::new();
    if state.tab == Tab::Servers && state.field() != Tab::Servers.about().field {
        let by = GROUP_MENU
            .iter()
            .find(|(_, field)| Some(*field) == state.field())
            .map_or("", |(name, _)| name.split(':').next().unwrap_or(name));
        parts.push(part(format!(" by {by}"), theme.strong()));
    }
    for inside in &state.inside {
        parts.push(part("  of ", theme.faint()));
        parts.push(part(cut(&visible(&inside.scope.text()), 50), theme.name()));
    }
    if let Some(only) = &scene.settings.only {
        parts.push(part("  tracked ", theme.faint()));
        parts.push(part(cut(&visible(only), 30), theme.plain()));
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
    if state.query.unanswered && !matches!(state.tab, Tab::Ended | Tab::Interfaces | Tab::Sockets) {
        parts.push(part("  only without an answer", theme.warning()));
    }
    if state.frozen {
        parts.push(part("  order kept", theme.warning()));
    }
    if state.mouse {
        parts.push(part("  mouse", theme.faint()));
    }
    parts
}

fn sorting(scene: &Scene<'_>) -> Vec<Span<'static>> {
    let (state, theme) = (&*scene.state, scene.theme);
    let about = state.tab.about();
    let mut parts = Vec::new();
    if let Some((name, _)) = about.sorts.iter().find(|(_, key)| *key == state.query.sort) {
        parts.push(part("sorted by ", theme.faint()));
        parts.push(part(*name, theme.plain()));
        if state.query.reverse != state.tab.is_reversed(state.query.sort) {
            parts.push(part(", reversed", theme.plain()));
        }
    }
    // What has ended and what is open has no rate in bits.
    if !matches!(state.tab, Tab::Ended | Tab::Sockets | Tab::Dns) {
        let seconds = state.query.window.seconds();
        parts.push(part(format!("  bit/s over {seconds} s"), theme.faint()));
    }
    parts
}

/// Which rows are on the screen, of how many.
fn position(scene: &Scene<'_>) -> String {
    let (state, rows) = (&*scene.state, scene.rows.keys().len());
    if rows == 0 {
        return "0 of 0".to_owned();
    }
    let last = (state.offset + state.page).min(rows);
    let number = |number: usize| Grouped(number as u64);
    format!(
        "{}-{} of {}",
        number(state.offset + 1),
        number(last),
        number(rows)
    )
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
        Some(fault) if scene.state.keeps_rows => {
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
