//! Drawing for a terminal whose locale has no UTF-8: each character that is not ASCII becomes one that is.

use std::ffi::OsString;

/// Whether the locale says that the terminal takes ASCII alone. The first of these variables that is set decides (`locale(7)`); where
/// none is, a terminal of today is assumed.
pub(super) fn is_asked_for(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    })
}

/// What stands for a symbol, in as many columns as it has.
pub(super) fn substitute(symbol: &str, columns: usize) -> String {
    let Some(first) = symbol.chars().next() else {
        return String::new();
    };
    let ascii = match first {
        '─' | '━' | '╌' | '–' | '—' | '‒' | '═' => '-',
        '│' | '┃' | '║' | '╎' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => {
            '+'
        }
        '▁' | '▂' => '_',
        '▇' | '█' | '▉' | '▊' | '▋' => '#',
        '▅' | '▆' | '▌' | '▍' | '▎' | '▏' | '░' | '▒' | '▓' => ':',
        '↑' | '▲' | '▴' => '^',
        '↓' | '▼' | '▾' => 'v',
        '→' | '▶' | '▸' | '›' | '»' => '>',
        '←' | '◀' | '◂' | '‹' | '«' => '<',
        '▃' | '▄' | '·' | '•' | '…' => '.',
        '×' => 'x',
        'µ' | 'μ' => 'u',
        _ => '?',
    };
    ascii.to_string().repeat(columns.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let asked = |set: &[(&str, &str)]| {
            is_asked_for(|name| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        assert!(asked(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(asked(&[("LC_ALL", ""), ("LANG", "de_DE.ISO-8859-1")]));
        assert!(asked(&[("LC_CTYPE", "POSIX")]));
        assert!(!asked(&[("LC_ALL", "C.UTF-8"), ("LANG", "C")]));
        assert!(!asked(&[("LANG", "en_US.utf8")]));
        assert!(!asked(&[]));
    }

    #[test]
    fn what_is_drawn_has_its_columns() {
        assert_eq!(substitute("─", 1), "-");
        assert_eq!(substitute("▼", 1), "v");
        assert_eq!(substitute("漢", 2), "??");
        assert!(substitute("e\u{301}", 1).is_ascii());
    }
}
