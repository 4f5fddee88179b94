//! Menus and the help page, over the table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget as _};

use super::super::keys::BINDINGS;
use super::super::state::{GROUP_MENU, Pane};
use super::super::text::part;
use super::Scene;

/// What the words of every tab mean, after those of the one that is open.
const WORDS: &[(&str, &str)] = &[
    ("seen = …", "the books of all frames; red: some were lost"),
    ("filter", "an expression of -f, such as: port 53 and not"),
    ("", "host 10.0.0.1; any other text finds its rows"),
];

pub(super) fn draw(buffer: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    match scene.state.pane {
        Pane::Help => draw_help(buffer, area, scene),
        Pane::Sort(place) => {
            let names = scene.state.tab.about().sorts.iter().map(|(name, _)| *name);
            draw_menu(buffer, area, " sort by ", names.collect(), place, scene);
        }
        Pane::Group(place) => {
            let names = GROUP_MENU.iter().map(|(name, _)| *name);
            draw_menu(buffer, area, " group by ", names.collect(), place, scene);
        }
        Pane::Table | Pane::Filter(_) | Pane::Details(_) => {}
    }
}

/// A box in the middle, as large as asked for where there is room.
fn open(
    buffer: &mut Buffer,
    area: Rect,
    width: u16,
    height: u16,
    title: &'static str,
    scene: &Scene<'_>,
) -> Rect {
    let width = width.min(area.width);
    let height = height.min(area.height);
    let outer = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(outer, buffer);
    let block = Block::bordered()
        .title(title)
        .title_style(scene.theme.strong())
        .border_style(scene.theme.key());
    let inner = block.inner(outer);
    block.render(outer, buffer);
    inner
}

fn draw_menu(
    buffer: &mut Buffer,
    area: Rect,
    title: &'static str,
    names: Vec<&'static str>,
    place: usize,
    scene: &Scene<'_>,
) {
    let height = u16::try_from(names.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let inner = open(buffer, area, 34, height, title, scene);
    let room = usize::from(inner.height).max(1);
    let first = (place + 1).saturating_sub(room);
    for (line, name) in names.into_iter().enumerate().skip(first).take(room) {
        let row = super::nth(inner, line - first);
        super::put(
            buffer,
            row,
            vec![part(format!(" {name}"), scene.theme.plain())],
        );
        if line == place {
            buffer.set_style(row, scene.theme.selected());
        }
    }
}

fn draw_help(buffer: &mut Buffer, area: Rect, scene: &mut Scene<'_>) {
    let theme = scene.theme;
    let entry = |name: &str, text: &str| {
        Line::from(vec![
            part(format!(" {name:<10}"), theme.key()),
            Span::raw(text.to_owned()),
        ])
    };
    let keys: Vec<Line<'_>> = BINDINGS
        .iter()
        .map(|binding| entry(binding.shown, binding.text))
        .collect();
    let tabs = Line::from(vec![
        part(" 1 .. 8    ", theme.key()),
        Span::raw("the tabs of the top line"),
    ]);
    let keys: Vec<Line<'_>> = std::iter::once(tabs).chain(keys).collect();
    let about = scene.state.tab.about();
    let words = about.words.iter().chain(WORDS);
    let words: Vec<Line<'_>> = words.map(|(name, text)| entry(name, text)).collect();
    let beside = area.width >= 124;
    let (width, lines) = if beside {
        (124, keys.len().max(words.len()))
    } else {
        (66, keys.len() + 1 + words.len())
    };
    let height = u16::try_from(lines + 2).unwrap_or(u16::MAX);
    let inner = open(
        buffer,
        area,
        width,
        height,
        " help: up and down scroll, Esc closes ",
        scene,
    );
    let most = lines.saturating_sub(usize::from(inner.height));
    scene.state.scroll = scene.state.scroll.min(most);
    let scroll = (u16::try_from(scene.state.scroll).unwrap_or(0), 0);
    if beside {
        let half = inner.width / 2;
        let left = Rect {
            width: half,
            ..inner
        };
        let right = Rect {
            x: inner.x + half,
            width: inner.width - half,
            ..inner
        };
        Paragraph::new(keys).scroll(scroll).render(left, buffer);
        Paragraph::new(words).scroll(scroll).render(right, buffer);
    } else {
        // What one sees is asked for first.
        let mut all = words;
        all.push(Line::default());
        all.extend(keys);
        Paragraph::new(all).scroll(scroll).render(inner, buffer);
    }
}
