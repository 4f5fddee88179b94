//! The names of a DNS server: those that fail most, and those that clients ask for most.

use std::net::SocketAddr;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::super::text::{cut, part, visible};
use super::details::show;
use super::{Scene, nth, put};
use crate::dns::{NameRow, kind_name};
use crate::output::{name_text, read_in_words, refused_in_words, times};

/// How many names of each kind: nobody scrolls further.
const ROWS: usize = 100;
/// From this width on what fails stands beside what is asked.
const WIDE: u16 = 150;
/// How much of a name is shown, and the width beside it: how it fails, how often, its type, a program.
const LONGEST_NAME: usize = 60;
const BESIDE: usize = 46;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, server: SocketAddr, scene: &mut Scene<'_>) {
    let title = nth(area, 0);
    buffer.set_style(title, scene.theme.bar());
    let text = format!(" NAMES THAT {server} IS ASKED FOR");
    put(buffer, title, vec![part(text, scene.theme.bar())]);
    let area = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let names = &scene.picture.names;
    let half = area.width / 2;
    let is_wide = area.width >= WIDE;
    let room = if is_wide { half } else { area.width };
    let mut left = lines("FAILS", &names.failed(Some(server)), room, scene);
    let mut right = lines("ASKED", &names.asked(Some(server)), room, scene);
    if !is_wide {
        left.append(&mut right);
    }
    left.push(Line::default());
    left.extend(notes(scene));
    let beside = Rect {
        x: area.x + half,
        width: area.width - half,
        ..area
    };
    let columns = if is_wide {
        vec![
            (
                Rect {
                    width: half,
                    ..area
                },
                left,
            ),
            (beside, right),
        ]
    } else {
        vec![(area, left)]
    };
    show(buffer, &columns, title, scene);
}

fn lines(title: &str, rows: &[NameRow], room: u16, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let longest = usize::from(room)
        .saturating_sub(BESIDE)
        .clamp(10, LONGEST_NAME);
    let head = format!(
        " {title:<9} {:>8}  {:<6} {:<longest$}  PROCESS",
        "TIMES", "TYPE", "NAME"
    );
    let mut lines = vec![Line::from(part(head, theme.strong()))];
    for row in rows.iter().take(ROWS) {
        let (result, style): (_, Style) = match row.failure {
            Some(failure) => (failure.word(), theme.bad()),
            None => ("".into(), theme.plain()),
        };
        let program = row.program.map(|name| visible(name.name()));
        lines.push(Line::from(vec![
            part(format!(" {:<9} ", cut(&result, 9)), style),
            part(format!("{:>8}  ", times(row.count)), theme.plain()),
            part(format!("{:<6} ", kind_name(row.kind)), theme.faint()),
            part(
                format!("{:<longest$}  ", name_text(&row.name, longest)),
                theme.name(),
            ),
            part(program.unwrap_or_default(), theme.plain()),
        ]));
    }
    if rows.is_empty() {
        lines.push(Line::from(part(" none so far", theme.faint())));
    }
    lines
}

/// What names are of.
fn notes(scene: &Scene<'_>) -> impl Iterator<Item = Line<'static>> {
    let tally = scene.picture.names.tally();
    let read = match scene.picture.report.dns_unread() {
        None if !scene.settings.names => "names are off (-n)".to_owned(),
        None => "this kernel does not let udptrack read names".to_owned(),
        Some(_) => read_in_words(tally, &scene.picture.report),
    };
    let style = scene.theme.faint();
    let notes = [Some(read), refused_in_words(tally)];
    notes
        .into_iter()
        .flatten()
        .map(move |note| Line::from(part(format!(" of all servers: {note}"), style)))
}
