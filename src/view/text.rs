//! Text that fits: cut to a width, in units that are short.

use std::fmt::Display;

use ratatui::style::Style;
use ratatui::text::Span;

use crate::model::text::Span as Duration;
use crate::model::text::{Bitrate, Bytes, Visible};

/// Stands where something was cut off.
const CUT: &str = "…";

/// Columns of a terminal that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, cut to at most this number of columns.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = width(character.encode_utf8(&mut [0; 4]));
        if used + wide > room {
            break;
        }
        used += wide;
        kept.push(character);
    }
    kept.push_str(CUT);
    kept
}

/// The same, with its end: `…e-2026.pcapng`.
pub(super) fn cut_start(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let (mut from, mut used) = (text.len(), 0);
    for (at, character) in text.char_indices().rev() {
        used += width(character.encode_utf8(&mut [0; 4]));
        if used > room {
            break;
        }
        from = at;
    }
    format!("{CUT}{}", &text[from..])
}

/// A name from outside, safe to show.
pub(super) fn visible(name: &str) -> String {
    Visible(name).to_string()
}

/// Bits per second: `9.8 Mbit/s`, or `9.8M` where there is little room.
pub(super) fn rate(bytes: f32, short: bool) -> String {
    let rate = Bitrate(bytes);
    if short {
        rate.short()
    } else {
        rate.to_string()
    }
}

/// Bytes: `1.2 kB`, or `1.2kB`.
pub(super) fn bytes(bytes: u64, short: bool) -> String {
    let bytes = Bytes(bytes);
    if short {
        bytes.short()
    } else {
        bytes.to_string()
    }
}

/// A duration, or nothing to be said.
pub(super) fn span(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| Duration(ns).to_string())
}

/// A rate without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates, and a rate is not negative"
)]
pub(super) fn whole(rate: f32) -> u64 {
    rate.round() as u64
}

/// A part of a cell or of a line.
pub(super) fn part(text: impl Display, style: Style) -> Span<'static> {
    Span::styled(text.to_string(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_columns_not_by_bytes() {
        assert_eq!(cut("resolver", 8), "resolver");
        assert_eq!(cut("resolver", 7), "resolv…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("süd", 1), "…");
        assert_eq!(cut("süd", 0), "");
    }

    #[test]
    fn short_units() {
        assert_eq!(rate(1_225_000.0, false), "9.8 Mbit/s");
        assert_eq!(rate(1_225_000.0, true), "9.8M");
        assert_eq!(rate(0.0, true), "0");
        assert_eq!(bytes(1249, true), "1.2kB");
        assert_eq!(span(None), "-");
        assert_eq!(span(Some(11_812_345)), "11.8ms");
    }
}
