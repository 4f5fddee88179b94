//! What is wrong with a command line, and the messages for it.

use std::fmt;

use crate::alert::Rule;
use crate::model::text::Visible;

/// The command line is wrong in a way that its parser cannot see. The program ends with status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongUsage(String);

impl WrongUsage {
    /// With what to say of it.
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// A capture has packets, and nothing else that a rule could be about.
pub(super) fn refuse_for_captures(rules: &[Rule]) -> Result<(), WrongUsage> {
    let refuse = |what: &str| {
        let message = format!(
            "an alert on {what} does not work with -r: a capture does not have this information"
        );
        Err(WrongUsage::new(message))
    };
    if rules.iter().any(|rule| rule.measure.is_of_sockets()) {
        return refuse("sockets");
    }
    if rules.iter().any(Rule::asks_for_processes) {
        return refuse("processes");
    }
    Ok(())
}

/// The text, and a caret below the place. A long one is shown around it.
pub(super) fn pointed(text: &str, column: usize) -> String {
    const BEFORE: usize = 60;
    const BEHIND: usize = 30;
    let start = column.saturating_sub(BEFORE);
    let before: String = text.chars().skip(start).take(column - start).collect();
    let behind: String = text.chars().skip(column).take(BEHIND).collect();
    let cut = |cut: bool| if cut { "..." } else { "" };
    let left = format!("{}{}", cut(start > 0), Visible(&before));
    let more = text.chars().nth(column + BEHIND).is_some();
    let caret = left.chars().count();
    format!(
        "  {left}{}{}\n  {:caret$}^",
        Visible(&behind),
        cut(more),
        ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_place() {
        assert_eq!(
            pointed("port 53 and host", 16),
            "  port 53 and host\n                  ^"
        );
        assert_eq!(pointed("hots", 0), "  hots\n  ^");
        assert_eq!(
            pointed("a\tb\u{1b}c d", 6),
            "  a\\tb\\u{1b}c d\n              ^"
        );
        assert_eq!(pointed("süd ö", 4), "  süd ö\n      ^");
    }

    #[test]
    fn a_long_text_is_shown_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(1000), "b".repeat(1000));
        let shown = pointed(&text, 1000);
        let expected = format!(
            "  ...{}HERE{}...\n{}^",
            "a".repeat(60),
            "b".repeat(26),
            " ".repeat(65)
        );
        assert_eq!(shown, expected);
    }
}
