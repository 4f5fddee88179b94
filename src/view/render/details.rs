//! All that is known of one connection.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline, Widget as _};

use super::super::picture::{EndedConnection, History};
use super::super::rows::RowKey;
use super::super::text::{part, rate, span, visible};
use super::table::live;
use super::{Scene, nth, put};
use crate::connection::{
    Connection, Counts, Gap, Owner, Processes, RESPONSE_BUCKETS, Response, Sample, Window,
};
use crate::output::{CommunityId, Grouped};

/// From this width on the response times and the chart stand beside the rest.
const WIDE: u16 = 130;
/// Lines of the chart of one direction.
const CHART: u16 = 3;
/// The longest bar of the histogram.
const BAR: usize = 30;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, key: RowKey, scene: &mut Scene<'_>) {
    let ended = scene.picture.find_ended(key);
    let found = live(key, scene.table)
        .map(|connection| (connection, None))
        .or_else(|| ended.map(|ended| (ended.connection, Some(ended))));
    let title = nth(area, 0);
    buffer.set_style(title, scene.theme.bar());
    put(
        buffer,
        title,
        vec![part(" DETAILS  Esc: back", scene.theme.bar())],
    );
    let area = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let Some((connection, ended)) = found else {
        let text = " This connection ended too long ago: nothing is kept of it any more.";
        put(buffer, nth(area, 1), vec![part(text, scene.theme.faint())]);
        return;
    };
    let history = scene.picture.history(key);
    let about = about(&connection, ended, scene);
    let response = response(&connection.sample.response, ended.is_some(), scene);
    let (left, right) = if area.width >= WIDE {
        let half = area.width / 2;
        (
            Rect {
                width: half,
                ..area
            },
            Some(Rect {
                x: area.x + half,
                width: area.width - half,
                ..area
            }),
        )
    } else {
        (area, None)
    };
    let mut lines = about;
    if let Some(right) = right {
        draw_charts(buffer, right, history, scene);
        let below = Rect {
            y: right.y + 2 * (CHART + 1),
            height: right.height.saturating_sub(2 * (CHART + 1)),
            ..right
        };
        Paragraph::new(response).render(below, buffer);
    } else {
        lines.push(spark_line(
            "orig",
            history.map(|one| &one.orig),
            left.width,
            scene,
        ));
        lines.push(spark_line(
            "reply",
            history.map(|one| &one.reply),
            left.width,
            scene,
        ));
        lines.extend(response);
    }
    let most = lines.len().saturating_sub(usize::from(left.height));
    scene.state.scroll = scene.state.scroll.min(most);
    scene.state.page = usize::from(left.height);
    let scroll = u16::try_from(scene.state.scroll).unwrap_or(0);
    Paragraph::new(lines)
        .scroll((scroll, 0))
        .render(left, buffer);
}

fn about(
    connection: &Connection,
    ended: Option<&EndedConnection>,
    scene: &Scene<'_>,
) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let sample = &connection.sample;
    let maker = scene.maker(true);
    let room = usize::MAX;
    let mut ends = vec![part(' ', theme.plain())];
    ends.extend(maker.end(sample.originator, false, room));
    ends.push(part(" -> ", theme.faint()));
    ends.extend(maker.end(sample.responder, true, room));
    let mut status = vec![
        part(" status     ", theme.faint()),
        part(sample.status, theme.status(sample.status)),
    ];
    if let Some(ended) = ended {
        status.push(part(format!(", ended: {}", ended.reason), theme.warning()));
    }
    let mut lines = vec![Line::from(ends), Line::from(status)];
    lines.extend(directions(connection, ended.is_some(), scene));
    lines.extend(times(sample, ended.is_some(), scene));
    let processes = ended.map_or_else(|| scene.facts.processes(sample), EndedConnection::processes);
    lines.extend(origin(sample, processes, scene));
    lines
}

/// Name, counts, rates in all windows, gaps, TTL.
type Direction = (&'static str, Counts, [f32; 3], Gap, Option<u8>);

fn directions(connection: &Connection, ended: bool, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let sample = &connection.sample;
    let mut lines = vec![Line::from(part(
        format!(
            " {:<6}{:>13}{:>17}{:>8}{:>8}{:>8}{:>9}{:>5}",
            "", "packets", "bytes", "2 s", "10 s", "40 s", "gap", "TTL"
        ),
        theme.faint(),
    ))];
    let rates = |of: &dyn Fn(Window) -> f32| Window::ALL.map(of);
    let directions: [Direction; 2] = [
        (
            "orig",
            sample.orig,
            rates(&|window| connection.rates.orig(window).bytes),
            connection.gaps.orig,
            sample.orig_ttl,
        ),
        (
            "reply",
            sample.reply,
            rates(&|window| connection.rates.reply(window).bytes),
            connection.gaps.reply,
            sample.reply_ttl,
        ),
    ];
    for (name, counts, rates, gap, ttl) in directions {
        let [short, medium, long] = rates.map(|bytes| {
            if ended {
                "-".to_owned()
            } else {
                rate(bytes, true)
            }
        });
        lines.push(Line::from(vec![
            part(format!(" {name:<6}"), theme.faint()),
            part(
                format!(
                    "{:>13}{:>17}{short:>8}{medium:>8}{long:>8}{:>9}{:>5}",
                    Grouped(counts.packets),
                    Grouped(counts.bytes),
                    span(gap.longest_ns()),
                    ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string()),
                ),
                theme.plain(),
            ),
        ]));
    }
    lines
}

fn field(name: &str, text: impl std::fmt::Display, scene: &Scene<'_>) -> Line<'static> {
    Line::from(vec![
        part(format!(" {name:<11}"), scene.theme.faint()),
        part(text, scene.theme.plain()),
    ])
}

fn times(sample: &Sample, ended: bool, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let now_ns = scene.picture.now_ns;
    let until = if ended { sample.last_ns } else { now_ns };
    let age = span(Some(until.saturating_sub(sample.first_ns)));
    let idle = span(Some(now_ns.saturating_sub(sample.last_ns)));
    let mut lines = vec![
        field(
            "first",
            format!("{}  age {age}", scene.clock.stamp(sample.first_ns)),
            scene,
        ),
        field(
            "latest",
            format!("{}  {idle} ago", scene.clock.stamp(sample.last_ns)),
            scene,
        ),
    ];
    if let Some(after) = sample.first_reply_after_ns() {
        lines.push(field(
            "answered",
            format!("first reply after {}", span(Some(after))),
            scene,
        ));
    }
    lines
}

fn origin(sample: &Sample, processes: Processes<'_>, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let vlans: Vec<String> = sample.vlans.iter().map(|id| id.to_string()).collect();
    let vlan = if vlans.is_empty() {
        String::new()
    } else {
        format!("  VLAN {}", vlans.join(" in "))
    };
    let interface = visible(&scene.facts.interface(sample.ifindex));
    let community = CommunityId::new(sample.originator, sample.responder);
    let mut lines = vec![
        field("interface", format!("{interface}{vlan}"), scene),
        field("id", format!("{}  community {community}", sample.id), scene),
    ];
    match (processes.originator, processes.responder) {
        (None, None) if processes.forwarded => {
            lines.push(field("process", "none here: forwarded", scene));
        }
        (None, None) => lines.push(field("process", "not known", scene)),
        (originator, responder) => {
            for (end, owner) in [("originator", originator), ("responder", responder)] {
                if let Some(owner) = owner {
                    lines.extend(process(end, owner, scene));
                }
            }
        }
    }
    lines
}

fn process(end: &str, owner: &Owner, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut place = String::new();
    if let Some(container) = &owner.container {
        place = format!("container {}  ", visible(container));
    }
    if !owner.cgroup.is_empty() {
        place.push_str(&visible(&owner.cgroup));
    }
    let mut lines = vec![Line::from(vec![
        part(format!(" {end:<11}"), theme.faint()),
        part(visible(&owner.command), theme.name()),
        part(
            format!(
                "  pid {}  user {} ({})",
                owner.pid,
                visible(&owner.user),
                owner.uid
            ),
            theme.plain(),
        ),
    ])];
    if !place.is_empty() {
        lines.push(field("", place, scene));
    }
    lines
}

fn response(response: &Response, ended: bool, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut first = vec![
        part(" response   ", theme.faint()),
        part(
            format!(
                "asked {}  answered {}",
                Grouped(response.asked()),
                Grouped(response.answered)
            ),
            theme.plain(),
        ),
    ];
    if let Some(mean) = response.mean_ns() {
        first.push(part(
            format!(
                "  min {}  mean {}  max {}",
                span(Some(response.min_ns)),
                span(Some(mean)),
                span(Some(response.max_ns))
            ),
            theme.strong(),
        ));
    }
    if let (Some(wait), false) = (response.wait_ns(scene.picture.now_ns), ended) {
        first.push(part(
            format!("  waiting for {}", span(Some(wait))),
            theme.bad(),
        ));
    }
    let mut lines = vec![Line::from(first)];
    lines.extend(histogram(response, scene));
    lines
}

/// A bar for each bucket between the first and the last that has something in it.
fn histogram(response: &Response, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let buckets = &response.histogram;
    let filled = |bucket: &usize| buckets[*bucket] > 0;
    let (Some(first), Some(last)) = (
        (0..RESPONSE_BUCKETS).find(filled),
        (0..RESPONSE_BUCKETS).rfind(filled),
    ) else {
        return Vec::new();
    };
    let most = buckets.iter().copied().max().unwrap_or(1).max(1);
    (first..=last)
        .map(|bucket| {
            let count = buckets[bucket];
            let begin = match bucket {
                0 => span(Some(0)),
                bucket => span(Response::bucket_end_ns(bucket - 1)),
            };
            let end =
                Response::bucket_end_ns(bucket).map_or_else(String::new, |end| span(Some(end)));
            let length = (u64::from(count) * BAR as u64).div_ceil(u64::from(most));
            let length = usize::try_from(length).unwrap_or(BAR).min(BAR);
            Line::from(vec![
                part(format!(" {begin:>7} .. {end:<7} "), scene.theme.faint()),
                part("█".repeat(length), scene.theme.name()),
                Span::raw(format!(" {}", Grouped(u64::from(count)))),
            ])
        })
        .collect()
}

type Values = std::collections::VecDeque<u64>;

/// A direction's rate over time in one line.
fn spark_line(name: &str, values: Option<&Values>, width: u16, scene: &Scene<'_>) -> Line<'static> {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let room = usize::from(width).saturating_sub(26);
    let values: Vec<u64> = values.map_or_else(Vec::new, |values| {
        values.iter().rev().take(room).rev().copied().collect()
    });
    let most = values.iter().copied().max().unwrap_or(0);
    let bars: String = values
        .iter()
        .map(|value| {
            let step = (u128::from(*value) * 8).div_ceil(u128::from(most.max(1)));
            match usize::try_from(step).unwrap_or(8).min(8) {
                0 => ' ',
                step => STEPS[step - 1],
            }
        })
        .collect();
    let style = if name == "orig" {
        scene.theme.orig()
    } else {
        scene.theme.reply()
    };
    Line::from(vec![
        part(
            format!(" {:<11}", format!("{name} rate")),
            scene.theme.faint(),
        ),
        part(bars, style),
        part(format!(" most {}", peak(most)), scene.theme.faint()),
    ])
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a rate is shown with three digits"
)]
fn peak(bytes: u64) -> String {
    rate(bytes as f32, false)
}

fn draw_charts(buffer: &mut Buffer, area: Rect, history: Option<&History>, scene: &Scene<'_>) {
    let directions = [
        ("orig", history.map(|one| &one.orig), scene.theme.orig()),
        ("reply", history.map(|one| &one.reply), scene.theme.reply()),
    ];
    let mut y = area.y;
    for (name, values, style) in directions {
        let most = values
            .and_then(|values| values.iter().copied().max())
            .unwrap_or(0);
        let title = Rect {
            y,
            height: 1,
            ..area
        }
        .intersection(area);
        put(
            buffer,
            title,
            vec![part(
                format!(" {name} rate, most {}", peak(most)),
                scene.theme.faint(),
            )],
        );
        let chart = Rect {
            x: area.x + 1,
            y: y + 1,
            width: area.width.saturating_sub(2),
            height: CHART,
        }
        .intersection(area);
        let latest = values.into_iter().flatten().rev().copied();
        Sparkline::default()
            .data(latest.take(usize::from(chart.width)).collect::<Vec<_>>())
            .direction(RenderDirection::RightToLeft)
            .style(style)
            .render(chart, buffer);
        y += CHART + 1;
    }
}
