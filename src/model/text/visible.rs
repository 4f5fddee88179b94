//! Names from outside, made safe for a terminal.

use std::fmt::{self, Write};

/// Shows a string with everything escaped that could steer a terminal or disguise the text.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if steers(character) {
                write!(f, "{}", character.escape_default())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// Control characters, and the invisible ones that reorder or hide text (Unicode's bidirectional and zero-width marks).
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay() {
        assert_eq!(Visible("eth0.100@if7").to_string(), "eth0.100@if7");
        assert_eq!(Visible("süd").to_string(), "süd");
    }

    #[test]
    fn escapes_what_steers_a_terminal() {
        assert_eq!(Visible("e\x1b[31m0").to_string(), r"e\u{1b}[31m0");
        assert_eq!(Visible("a\nb\tc\x7f").to_string(), r"a\nb\tc\u{7f}");
        assert_eq!(Visible("\u{9b}2J").to_string(), r"\u{9b}2J");
        assert_eq!(Visible("a\u{202e}b").to_string(), r"a\u{202e}b");
    }
}
