//! Which key does what: one table for the reader's hands and for the help page.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::tab::Tab;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ends the program, whatever is open.
    Quit,
    /// Closes what is open, as in a pager; with nothing open ends the program.
    Leave,
    Suspend,
    /// Closes what is open; with nothing open takes the filters off, one by one. Never ends the program.
    Back,
    Enter,
    Help,
    Filter,
    SortMenu,
    SortPrevious,
    SortNext,
    Reverse,
    GroupMenu,
    /// Opens the tab with this number.
    Tab(char),
    NextTab,
    PreviousTab,
    Window,
    Worst,
    Unanswered,
    Names,
    Mouse,
    Copy,
    Save,
    Record,
    Trace,
    Pause,
    Freeze,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Redraw,
    /// A character of the filter.
    Type(char),
    Erase,
    EraseWord,
    EraseAll,
}

/// Keys that do the same, as the help page has them.
#[derive(Debug)]
pub(super) struct Binding {
    keys: &'static [KeyCode],
    action: Action,
    /// The keys in words.
    pub shown: &'static str,
    /// What they do.
    pub text: &'static str,
}

macro_rules! bindings {
    ($([$($key:expr),*] $action:ident $shown:literal $text:literal;)*) => {
        &[$(Binding { keys: &[$($key),*], action: Action::$action, shown: $shown, text: $text }),*]
    };
}

use KeyCode::{Char, F};

/// Every key but those of the tabs, as the help page lists them. The habits are those of htop, iftop and bottom.
pub(super) const BINDINGS: &[Binding] = bindings! {
    [KeyCode::Tab] NextTab "Tab" "next tab";
    [KeyCode::BackTab] PreviousTab "BackTab" "tab before (Shift-Tab)";
    [KeyCode::Enter] Enter "Enter" "open a row: its connections, its details";
    [KeyCode::Esc] Back "Esc" "back: close what is open, then filters off";
    [Char('/'), Char('f'), F(4)] Filter "/ f F4" "filter as you type: words of -f, or any text";
    [Char('s'), F(6)] SortMenu "s F6" "sort by";
    [Char('<')] SortPrevious "<" "sort by the column to the left";
    [Char('>')] SortNext ">" "sort by the column to the right";
    [Char('I'), Char('r')] Reverse "I r" "reverse the order";
    [Char('d')] Worst "d" "servers: worst first";
    [Char('b')] GroupMenu "b" "servers: by port, by subnet";
    [Char('u')] Unanswered "u" "only rows without an answer";
    [Char('w')] Window "w" "rates over 2, 10, 40 seconds";
    [Char('n')] Names "n" "names of hosts and services on, off";
    [Char('t')] Trace "t" "trace pane on, off";
    [Char('p'), Char(' ')] Pause "p Space" "pause; counting continues";
    [Char('o')] Freeze "o" "freeze the order of the rows";
    [KeyCode::Up, Char('k')] Up "Up k" "one row up";
    [KeyCode::Down, Char('j')] Down "Down j" "one row down";
    [KeyCode::PageUp] PageUp "PgUp" "one page up";
    [KeyCode::PageDown] PageDown "PgDn" "one page down";
    [KeyCode::Home, Char('g')] First "Home g" "first row, and stay there";
    [KeyCode::End, Char('G')] Last "End G" "last row";
    [Char('y')] Copy "y" "copy the row as a filter";
    [Char('S')] Save "S" "write the screen to a file";
    [Char('R')] Record "R" "save the frames that --record keeps";
    [Char('m')] Mouse "m" "mouse on, off: wheel, tabs, titles, rows";
    [Char('?'), Char('h'), F(1)] Help "? h F1" "this page";
    [Char('q')] Leave "q" "close what is open, or quit";
    [F(10)] Quit "F10" "quit (Ctrl-C, too)";
};

impl Binding {
    /// The key that the footer names for an action.
    pub fn first_key(action: Action) -> &'static str {
        let binding = BINDINGS.iter().find(|binding| binding.action == action);
        let shown = binding.map_or("", |binding| binding.shown);
        shown.split(' ').next().unwrap_or(shown)
    }
}

/// What a key press asks for, `None` for keys that do nothing.
pub(super) fn action(key: KeyEvent, typing: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return with_control(key.code, typing);
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    if typing {
        return match key.code {
            Char(character) => Some(Action::Type(character)),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Enter => Some(Action::Enter),
            KeyCode::Esc => Some(Action::Back),
            KeyCode::Up => Some(Action::Up),
            KeyCode::Down => Some(Action::Down),
            KeyCode::PageUp => Some(Action::PageUp),
            KeyCode::PageDown => Some(Action::PageDown),
            F(10) => Some(Action::Quit),
            _ => None,
        };
    }
    if let Char(number) = key.code
        && Tab::numbered(number).is_some()
    {
        return Some(Action::Tab(number));
    }
    BINDINGS
        .iter()
        .find(|binding| binding.keys.contains(&key.code))
        .map(|binding| binding.action)
}

fn with_control(code: KeyCode, typing: bool) -> Option<Action> {
    match code {
        Char('c') => Some(Action::Quit),
        Char('z') => Some(Action::Suspend),
        Char('l') => Some(Action::Redraw),
        Char('u') if typing => Some(Action::EraseAll),
        Char('w') if typing => Some(Action::EraseWord),
        Char('h') if typing => Some(Action::Erase),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers, typing: bool) -> Option<Action> {
        action(KeyEvent::new(code, modifiers), typing)
    }

    /// The page is the section KEYS of the manual, too.
    #[test]
    fn each_key_is_in_the_page_of_the_live_view() {
        let page = include_str!("../../docs/live-view.md");
        let (_, keys) = page.split_once("\n## Keys\n").unwrap();
        let (keys, _) = keys.split_once("\n## ").unwrap();
        let words: Vec<&str> = keys
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .flat_map(|cell| cell.split([' ', ',', '`']))
            .collect();
        for binding in BINDINGS {
            for key in binding.shown.split(' ') {
                // Some have another name, or a sign for all of them.
                let key = match key {
                    "BackTab" => "Shift-Tab",
                    "Up" | "Down" => "arrows",
                    key => key,
                };
                assert!(words.contains(&key), "{key}: {}", binding.text);
            }
        }
    }

    #[test]
    fn each_key_does_one_thing() {
        let mut keys: Vec<KeyCode> = BINDINGS
            .iter()
            .flat_map(|binding| binding.keys)
            .copied()
            .collect();
        let all = keys.len();
        keys.sort_by_key(|key| format!("{key:?}"));
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn the_help_page_names_every_key() {
        for binding in BINDINGS {
            for key in binding.keys {
                let name = match key {
                    Char(' ') => "Space".to_owned(),
                    Char(character) => character.to_string(),
                    F(number) => format!("F{number}"),
                    KeyCode::PageUp => "PgUp".to_owned(),
                    KeyCode::PageDown => "PgDn".to_owned(),
                    other => format!("{other:?}"),
                };
                let named = binding.shown.split(' ').any(|word| word == name);
                assert!(named, "{key:?} is not in {:?}", binding.shown);
            }
            assert_eq!(
                binding.shown.split(' ').count(),
                binding.keys.len(),
                "{binding:?}"
            );
        }
    }

    #[test]
    fn keys_as_hands_know_them() {
        let plain = |code| press(code, KeyModifiers::NONE, false);
        for (code, action) in [
            (Char('q'), Action::Leave),
            (F(1), Action::Help),
            (Char('?'), Action::Help),
            (Char('/'), Action::Filter),
            (Char('j'), Action::Down),
            (Char('k'), Action::Up),
            (KeyCode::Esc, Action::Back),
            (Char(' '), Action::Pause),
            (Char('x'), Action::Back),
        ] {
            let wanted = (code != Char('x')).then_some(action);
            assert_eq!(plain(code), wanted, "{code:?}");
        }
        // Terminals send an upper-case letter with or without the modifier.
        assert_eq!(
            press(Char('G'), KeyModifiers::SHIFT, false),
            Some(Action::Last)
        );
    }

    #[test]
    fn letters_are_letters_while_one_types() {
        for character in ['q', 'j', '/', ' ', '?'] {
            assert_eq!(
                press(Char(character), KeyModifiers::NONE, true),
                Some(Action::Type(character))
            );
        }
        let control = |character, typing| press(Char(character), KeyModifiers::CONTROL, typing);
        assert_eq!(control('c', true), Some(Action::Quit));
        assert_eq!(control('c', false), Some(Action::Quit));
        assert_eq!(control('z', false), Some(Action::Suspend));
        assert_eq!(control('u', true), Some(Action::EraseAll));
        assert_eq!(control('w', true), Some(Action::EraseWord));
        assert_eq!(control('u', false), None);
        assert_eq!(press(Char('q'), KeyModifiers::ALT, false), None);
    }

    #[test]
    fn a_key_that_goes_up_is_no_press() {
        let key = KeyEvent::new_with_kind(Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(key, false), None);
    }
}
