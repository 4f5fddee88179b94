//! The details of a connection.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget as _};

use super::super::picture::EndedConnection;
use super::super::rows::RowKey;
use super::super::text::{cut, part, rate, span, visible};
use super::chart::charts;
use super::table::live;
use super::{Scene, nth, put};
use crate::listing::{Group, Known, is_answers_only, is_late};
use crate::model::text::Grouped;
use crate::model::{
    Connection, Counts, Gap, Owner, Processes, QuicFacts, RESPONSE_BUCKETS, Response, Role,
    RoundTrip, Sample, TrafficClass, Window,
};
use crate::output::CommunityId;

/// From this width on the response times and the chart stand beside the rest.
const WIDE: u16 = 130;
/// How much of a command line is shown.
const COMMAND_LINE: usize = 300;
/// The longest bar of the histogram.
const BAR: usize = 30;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, key: RowKey, scene: &mut Scene<'_>) {
    let ended = scene.picture.find_ended(key);
    let found = live(key, scene.table)
        .map(|connection| (connection, None))
        .or_else(|| ended.map(|ended| (ended.connection, Some(ended))));
    let title = nth(area, 0);
    buffer.set_style(title, scene.theme.bar());
    put(buffer, title, vec![part(" DETAILS", scene.theme.bar())]);
    let area = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let Some((connection, ended)) = found else {
        let text = " This connection ended too long ago: udptrack no longer has its details.";
        put(buffer, nth(area, 1), vec![part(text, scene.theme.faint())]);
        return;
    };
    let wide = area.width >= WIDE;
    let half = area.width / if wide { 2 } else { 1 };
    let width = usize::from(half);
    let mut lines = about(&connection, ended, scene);
    let mut beside = response(&connection.sample, ended.is_some(), scene);
    if let Some(history) = scene.picture.history(key) {
        beside.extend(charts(history, width, scene));
    }
    let left = Rect {
        width: half,
        ..area
    };
    if wide {
        let right = Rect {
            x: area.x + half,
            width: area.width - half,
            ..area
        };
        show(buffer, &[(left, lines), (right, beside)], title, scene);
    } else {
        lines.extend(beside);
        show(buffer, &[(left, lines)], title, scene);
    }
}

/// Columns of lines, scrolled together; the title says whether there are more.
pub(super) fn show(
    buffer: &mut Buffer,
    columns: &[(Rect, Vec<Line<'static>>)],
    title: Rect,
    scene: &mut Scene<'_>,
) {
    let height = columns
        .first()
        .map_or(0, |(area, _)| usize::from(area.height));
    let length = columns.iter().map(|(_, lines)| lines.len()).max();
    let most = length.unwrap_or(0).saturating_sub(height);
    scene.state.scroll = scene.state.scroll.min(most);
    scene.state.page = height;
    let scroll = u16::try_from(scene.state.scroll).unwrap_or(0);
    for (area, lines) in columns {
        Paragraph::new(lines.clone())
            .scroll((scroll, 0))
            .render(*area, buffer);
    }
    if scene.state.scroll < most {
        let more = most - scene.state.scroll;
        let text = format!("{more} more below ↓ ");
        super::put_right(buffer, title, 10, vec![part(text, scene.theme.bar())]);
    }
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
    if sample.role == Role::Guessed {
        ends.push(part("  ? roles guessed", theme.faint()));
    }
    if is_answers_only(sample) {
        ends.push(part("  only answers are seen", theme.warning()));
    }
    let mut status = vec![
        part(" status     ", theme.faint()),
        part(sample.status, theme.status(sample.status)),
    ];
    if let Some(end) = sample.unreachable_end() {
        status.push(part(format!(", not reached: {end}"), theme.bad()));
    }
    if let Some(ended) = ended {
        status.push(part(format!(", ended: {}", ended.reason), theme.warning()));
    }
    let mut lines = vec![Line::from(ends), Line::from(status)];
    lines.extend(directions(connection, ended.is_some(), scene));
    lines.extend(times(sample, ended.is_some(), scene));
    let known = ended.map_or_else(|| Known::of(sample, scene.facts), EndedConnection::known);
    lines.extend(protocol(sample, known.quic, scene));
    lines.extend(origin(sample, known.processes, scene));
    lines
}

/// What is spoken, and which server the client asks for.
fn protocol(
    sample: &Sample,
    quic: Option<&QuicFacts>,
    scene: &Scene<'_>,
) -> impl Iterator<Item = Line<'static>> {
    let spoken = sample.spoken().map(|spoken| {
        let why = if spoken.is_guess {
            format!("{}, guessed by the port", spoken.protocol)
        } else {
            spoken.to_string()
        };
        let inside = quic.and_then(|quic| quic.offered.first());
        let inside = inside.map_or_else(String::new, |inside| format!(" with {inside} inside"));
        field("protocol", visible(&format!("{why}{inside}")), scene)
    });
    let round_trip = sample
        .round_trip
        .map(|round_trip| field("round trip", round_trip_in_words(round_trip), scene));
    let name = quic.and_then(|quic| quic.server_name.as_deref());
    let name = name.map(|name| field("asks for", visible(name), scene));
    let continues = quic.and_then(|quic| quic.may_continue);
    let continues = continues.map(|other| {
        let text = format!("{other}: it began with an id of that connection");
        field("may go on", text, scene)
    });
    let lines = spoken.into_iter().chain(name).chain(continues);
    lines.chain(round_trip)
}

/// How long it takes, and on which side of here.
fn round_trip_in_words(round_trip: RoundTrip) -> String {
    let time = |ns: u32| span(Some(ns.into()));
    let whole = time(round_trip.median_ns);
    let parts = round_trip.parts.map_or_else(String::new, |parts| {
        format!(
            ": {} to the originator, {} to the responder",
            time(parts.originator_ns),
            time(parts.responder_ns)
        )
    });
    format!("{whole}{parts}  min {}", time(round_trip.min_ns))
}

/// Name, counts, rates in all windows, gaps, TTL, traffic class.
type Direction = (
    &'static str,
    Counts,
    [f32; 3],
    Gap,
    Option<u8>,
    Option<TrafficClass>,
);

fn directions(connection: &Connection, ended: bool, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let sample = &connection.sample;
    let mut lines = vec![Line::from(part(
        format!(
            " {:<6}{:>13}{:>17}{:>7}{:>7}{:>7}{:>9}{:>5}{:>6}",
            "", "packets", "bytes", "2 s", "10 s", "40 s", "gap", "TTL", "DSCP"
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
            sample.orig_class,
        ),
        (
            "reply",
            sample.reply,
            rates(&|window| connection.rates.reply(window).bytes),
            connection.gaps.reply,
            sample.reply_ttl,
            sample.reply_class,
        ),
    ];
    for (name, counts, rates, gap, ttl, class) in directions {
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
                    "{:>13}{:>17}{short:>7}{medium:>7}{long:>7}{:>9}{:>5}{:>6}",
                    Grouped(counts.packets),
                    Grouped(counts.bytes),
                    span(gap.longest_ns()),
                    known(ttl),
                    known(class),
                ),
                theme.plain(),
            ),
        ]));
    }
    lines
}

/// What is known of packets that were seen.
fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
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
    if let Some(dropped) = sample.dropped.in_words() {
        let style = scene.theme.bad();
        lines.push(Line::from(vec![
            part(format!(" {:<11}", "dropped"), scene.theme.faint()),
            part(dropped, style),
        ]));
    }
    if let Some(dns) = sample.dns {
        lines.push(field("dns", dns.in_words(), scene));
    }
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
        part(visible(owner.program()), theme.name()),
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
    if let Some(line) = (scene.settings.command_line)(owner) {
        lines.push(field("", cut(&visible(&line), COMMAND_LINE), scene));
    }
    // The root of all control groups says nothing.
    if !place.is_empty() && place != "/" {
        lines.push(field("", place, scene));
    }
    lines
}

fn response(sample: &Sample, ended: bool, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let response = &sample.response;
    // By the same rule as in the table. What is one-way was asked nothing, and of a stream nothing is known to be lost.
    let requests = Group::alone(sample, &scene.state.query.one_way_ports);
    let Some(asked) = requests.asked() else {
        return vec![field("response", "one-way: no answer is expected", scene)];
    };
    let lost = requests
        .lost()
        .map_or_else(|| "-".to_owned(), |lost| Grouped(lost).to_string());
    let counts = format!(
        "asked {}  answered {}  lost {lost}  retries {}",
        Grouped(asked),
        Grouped(response.answered),
        Grouped(response.retries)
    );
    let mut first = vec![
        part(" response   ", theme.faint()),
        part(counts, theme.plain()),
    ];
    if let (Some(wait), false) = (response.wait_ns(scene.picture.now_ns), ended) {
        first.push(part(
            format!("  waiting {}", span(Some(wait))),
            scene.maker(true).waiting(is_late(response, wait)),
        ));
    }
    let mut lines = vec![Line::from(first)];
    if let Some(mean) = response.mean_ns() {
        let bound = if response.is_bound {
            "  lower bounds: several requests were open"
        } else {
            ""
        };
        let times = format!(
            "min {}  median {}  mean {}  P95 {}  max {}{bound}",
            span(Some(response.min_ns)),
            span(response.percentile_ns(50)),
            span(Some(mean)),
            span(response.percentile_ns(95)),
            span(Some(response.max_ns))
        );
        lines.push(Line::from(vec![
            part(" time       ", theme.faint()),
            part(times, theme.strong()),
        ]));
    }
    lines.extend(histogram(response, scene));
    lines
}

/// A bar for each bucket between the first and the last that has something in it; one line for several that have nothing.
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
    let mut lines = Vec::new();
    let mut bucket = first;
    while bucket <= last {
        let count = buckets[bucket];
        // Where there is nothing, up to where there is something again.
        let until = if count > 0 {
            bucket
        } else {
            (bucket..=last).find(filled).unwrap_or(last) - 1
        };
        let begin = match bucket {
            0 => span(Some(0)),
            bucket => span(Response::bucket_end_ns(bucket - 1)),
        };
        let end = Response::bucket_end_ns(until).map_or_else(String::new, |end| span(Some(end)));
        let range = part(format!(" {begin:>7} .. {end:<7} "), scene.theme.faint());
        lines.push(if count == 0 {
            Line::from(vec![range, part("none", scene.theme.faint())])
        } else {
            let length = (u64::from(count) * BAR as u64).div_ceil(u64::from(most));
            let length = usize::try_from(length).unwrap_or(BAR).min(BAR);
            Line::from(vec![
                range,
                part("█".repeat(length), scene.theme.name()),
                Span::raw(format!(" {}", Grouped(u64::from(count)))),
            ])
        });
        bucket = until + 1;
    }
    lines
}
