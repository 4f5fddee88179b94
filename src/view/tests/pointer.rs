//! The mouse, and what is taken from the view.

use ratatui::crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};

use super::super::keep;
use super::super::state::Pane;
use super::super::tab::Tab;
use super::*;
use crate::listing::Key;

impl Bench {
    fn mouse(&mut self, kind: MouseEventKind, column: u16, row: u16) -> Effect {
        let event = MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        let effect = self.model.point(event);
        if effect == Effect::Rows {
            self.model.choose(&self.table, &self.facts, None);
        }
        self.draw();
        effect
    }

    /// Where a text stands on the screen.
    fn find(&self, text: &str) -> (u16, u16) {
        for (row, line) in (0..).zip(self.lines()) {
            if let Some(at) = line.find(text) {
                return (u16::try_from(line[..at].chars().count()).unwrap(), row);
            }
        }
        panic!("{text} is not on {:?}", self.lines());
    }

    fn click(&mut self, text: &str) -> Effect {
        let (column, row) = self.find(text);
        self.mouse(MouseEventKind::Down(MouseButton::Left), column, row)
    }
}

#[test]
fn m_switches_it_on_and_says_so() {
    let mut bench = Bench::new(80, 24, few());
    assert_eq!(bench.press(KeyCode::Char('m')), Some(Effect::Mouse));
    assert!(bench.model.state.mouse);
    assert!(bench.shows("mouse"));
    assert_eq!(bench.press(KeyCode::Char('m')), Some(Effect::Mouse));
    assert!(!bench.model.state.mouse);
}

#[test]
fn a_click_opens_a_tab() {
    let mut bench = Bench::new(80, 24, few());
    for (name, tab) in [
        ("4 Hosts", Tab::Hosts),
        ("6 Ended", Tab::Ended),
        ("2 Conn", Tab::Connections),
    ] {
        bench.click(name);
        assert_eq!(bench.model.state.tab, tab);
    }
    // Also from a page that is open.
    let _ = bench.press(KeyCode::Enter);
    bench.click("1 Servers");
    assert_eq!(
        (bench.model.state.tab, &bench.model.state.pane),
        (Tab::Servers, &Pane::Table)
    );
}

#[test]
fn a_click_on_a_title_sorts_and_another_one_turns() {
    let mut bench = Bench::new(120, 24, few());
    bench.click("LOST");
    assert_eq!(bench.model.state.query.sort, Key::Lost);
    assert!(!bench.model.state.query.reverse);
    bench.click("LOST");
    assert!(bench.model.state.query.reverse);
    bench.click("SERVER");
    assert_eq!(bench.model.state.query.sort, Key::Responder);
}

#[test]
fn a_click_selects_a_row_and_another_one_opens_it() {
    let mut bench = Bench::new(80, 24, few());
    bench.keys("2");
    bench.click("dns.google");
    assert_eq!(bench.order()[bench.model.state.cursor], 40_002);
    bench.click("dns.google");
    assert!(bench.shows("DETAILS"));
    // Below the rows there is nothing.
    let _ = bench.press(KeyCode::Esc);
    bench.mouse(MouseEventKind::Down(MouseButton::Left), 5, 20);
    assert_eq!(bench.order()[bench.model.state.cursor], 40_002);
}

#[test]
fn the_wheel_walks() {
    let mut bench = Bench::new(80, 24, many());
    bench.keys("2");
    bench.mouse(MouseEventKind::ScrollDown, 5, 10);
    bench.mouse(MouseEventKind::ScrollDown, 5, 10);
    assert_eq!(bench.model.state.cursor, 6);
    bench.mouse(MouseEventKind::ScrollUp, 5, 10);
    assert_eq!(bench.model.state.cursor, 3);
    bench.keys("?");
    bench.mouse(MouseEventKind::ScrollDown, 5, 10);
    assert_eq!(bench.model.state.scroll, 3);
}

#[test]
fn y_says_a_row_as_a_filter_that_finds_it() {
    for (keys, wanted) in [
        ("1/8.8.8.8\n", "host 8.8.8.8 and port 53"),
        (
            "2/8.8.8.8\n",
            "host 192.168.1.100 and port 40002 and host 8.8.8.8 and port 53",
        ),
        ("3/iperf3\n", "process iperf3"),
        ("4/iperf3\n", "host 192.0.2.53"),
        ("1/8.8.8.8\nb\x1b[B", "port 53"),
        ("1/8.8.8.8\nb\x1b[B\x1b[B", "net 8.8.8.0/24"),
    ] {
        let mut bench = Bench::new(80, 24, few());
        let (first, menu) = keys.split_once('\n').unwrap();
        bench.keys(first);
        let _ = bench.press(KeyCode::Enter);
        if !menu.is_empty() {
            bench.keys("b");
            for _ in menu.matches("\x1b[B") {
                let _ = bench.press(KeyCode::Down);
            }
            let _ = bench.press(KeyCode::Enter);
        }
        assert_eq!(bench.press(KeyCode::Char('y')), Some(Effect::Copy));
        let filter = bench.model.filter_of_row(&bench.table);
        assert_eq!(filter.as_deref(), Some(wanted), "{keys:?}");
        let _ = bench.press(KeyCode::Esc);
        bench.keys("2/");
        let _ = bench.press(KeyCode::Backspace);
        bench.keys(wanted);
        assert!(!bench.order().is_empty(), "{wanted}: {:?}", bench.lines());
        assert_eq!(bench.model.state.filter.fault(), None);
    }
    let mut bench = Bench::new(80, 24, few());
    bench.keys("3/evil");
    assert_eq!(bench.model.filter_of_row(&bench.table), None);
    let _ = bench.press(KeyCode::Esc);
    bench.keys("5");
    assert_eq!(bench.model.filter_of_row(&bench.table), None);
}

#[test]
fn a_screen_is_written_to_a_new_file() {
    let mut bench = Bench::new(80, 24, few());
    let folder = std::env::temp_dir().join(format!("udptrack-keep-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    bench.model.settings.folder.clone_from(&folder);
    assert_eq!(bench.press(KeyCode::Char('S')), Some(Effect::Save));
    let text = keep::text_of(bench.buffer());
    assert_eq!(text.lines().collect::<Vec<_>>(), bench.lines());
    for name in [
        "udptrack-20260407T222620.txt",
        "udptrack-20260407T222620-1.txt",
    ] {
        let message = bench.model.write_screen(&text);
        let path = folder.join(name);
        assert_eq!(
            message,
            format!("the screen was written to {}", path.display())
        );
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let message = bench.model.write_screen(&text);
    assert!(
        message.starts_with("the screen cannot be written to "),
        "{message}"
    );
}
