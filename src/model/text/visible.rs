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

/// Control characters, those that reorder text, and all that are shown as nothing: separators of lines, marks of annotations, and what
/// Unicode lists as ignorable (`Default_Ignorable_Code_Point` of version 16), so that two names that look the same are the same.
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
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

    /// Tags, a filler that is a letter, variants of what stands before them.
    #[test]
    fn escapes_what_is_not_to_be_seen() {
        assert_eq!(
            Visible("a\u{e0062}\u{3164}\u{fe0f}\u{e0100}.test").to_string(),
            r"a\u{e0062}\u{3164}\u{fe0f}\u{e0100}.test"
        );
        for character in ["\u{34f}", "\u{115f}", "\u{17b5}", "\u{180e}", "\u{fffb}"] {
            assert_eq!(
                Visible(character).to_string(),
                character.escape_default().to_string()
            );
        }
    }
}
