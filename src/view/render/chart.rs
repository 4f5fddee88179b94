//! Rates over time, with axes: the last minute and the last ten, both directions on one scale.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::picture::{History, Point};
use super::super::text::{part, rate};
use super::Scene;

const SECOND: u64 = 1_000_000_000;
/// Columns of a chart, at most; each is a second, or ten.
const COLUMNS: usize = 60;
/// Lines of one direction.
const LINES: usize = 3;
/// What the axis at the left takes: ` 99.9M ┤`.
const AXIS: usize = 8;
const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The seconds of the chart, and the text below it, from left to right.
const SPANS: [(u64, [&str; 3]); 2] = [
    (60, ["60 s ago", "30 s", "now"]),
    (600, ["10 min ago", "5 min", "now"]),
];

/// The charts of a connection, in a place of this width.
pub(super) fn charts(history: &History, width: usize, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let columns = width.saturating_sub(AXIS + 1).min(COLUMNS);
    if columns < 20 {
        return Vec::new();
    }
    let now_ns = scene.picture.now_ns;
    let mut lines = Vec::new();
    for (seconds, labels) in SPANS {
        let slices = slices(history, now_ns, seconds, columns);
        let most = slices.iter().map(|(orig, reply)| orig.max(reply)).max();
        let most = most.copied().unwrap_or(0);
        for (name, style, is_orig) in [
            ("orig", scene.theme.orig(), true),
            ("reply", scene.theme.reply(), false),
        ] {
            let values: Vec<u64> = slices
                .iter()
                .map(|(orig, reply)| if is_orig { *orig } else { *reply })
                .collect();
            lines.extend(bars(name, &values, most, style, scene));
        }
        lines.push(axis(columns, labels, scene));
    }
    lines
}

/// The fastest point of each part of the time, oldest first.
fn slices(history: &History, now_ns: u64, seconds: u64, columns: usize) -> Vec<(u64, u64)> {
    let span_ns = seconds * SECOND;
    let mut slices = vec![(0, 0); columns];
    for Point { at_ns, orig, reply } in history.points() {
        let age_ns = now_ns.saturating_sub(*at_ns);
        if age_ns >= span_ns {
            continue;
        }
        let back = u128::from(age_ns) * columns as u128 / u128::from(span_ns);
        let column = columns - 1 - usize::try_from(back).unwrap_or(0).min(columns - 1);
        let slice = &mut slices[column];
        *slice = (slice.0.max(*orig), slice.1.max(*reply));
    }
    slices
}

fn bars(
    name: &str,
    values: &[u64],
    most: u64,
    style: Style,
    scene: &Scene<'_>,
) -> Vec<Line<'static>> {
    let steps = (STEPS.len() - 1) * LINES;
    let heights: Vec<usize> = values
        .iter()
        .map(|value| {
            let height = (u128::from(*value) * steps as u128).div_ceil(u128::from(most.max(1)));
            usize::try_from(height).unwrap_or(steps).min(steps)
        })
        .collect();
    (0..LINES)
        .map(|line| {
            let below = (LINES - 1 - line) * (STEPS.len() - 1);
            let label = match line {
                0 => peak(most, true),
                line if line == LINES - 1 => "0".to_owned(),
                _ => name.to_owned(),
            };
            let bar: String = heights
                .iter()
                .map(|height| STEPS[height.saturating_sub(below).min(STEPS.len() - 1)])
                .collect();
            Line::from(vec![
                part(format!(" {label:>5} ┤"), scene.theme.faint()),
                part(bar, style),
            ])
        })
        .collect()
}

fn axis(columns: usize, [left, middle, right]: [&str; 3], scene: &Scene<'_>) -> Line<'static> {
    let half = columns / 2;
    let text = format!(
        "{:AXIS$}{left:<half$}{middle:<rest$}{right}",
        "",
        rest = columns.saturating_sub(half + right.len()),
    );
    Line::from(Span::styled(text, scene.theme.faint()))
}

/// A rate of whole bytes per second.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with three digits"
)]
pub(super) fn peak(bytes: u64, short: bool) -> String {
    rate(bytes as f32, short)
}
