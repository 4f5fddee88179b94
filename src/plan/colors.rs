//! Colours: of the live view, and of text on a terminal.

use std::ffi::{OsStr, OsString};

use crate::cli::{self, Config};
use crate::view::Background;

/// The flag decides, else `NO_COLOR` (no-color.org: set and not empty). The live view is always on a terminal.
pub(crate) fn colors(flag: cli::Color, no_color: Option<&OsStr>) -> bool {
    match flag {
        cli::Color::Always => true,
        cli::Color::Never => false,
        cli::Color::Auto => no_color.is_none_or(OsStr::is_empty),
    }
}

/// Flags decide, else `NO_COLOR`, else what the terminal says of its background in `COLORFGBG`, as rxvt and Konsole do: `0;15`.
pub(super) fn background(
    config: &Config,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Background {
    match (config.color, config.theme) {
        (cli::Color::Never, _) | (_, Some(cli::Theme::Plain)) => return Background::Plain,
        (_, Some(cli::Theme::Dark)) => return Background::Dark,
        (_, Some(cli::Theme::Light)) => return Background::Light,
        (flag, None) if !colors(flag, variable("NO_COLOR").as_deref()) => return Background::Plain,
        (_, None) => {}
    }
    let colors = variable("COLORFGBG").and_then(|text| text.into_string().ok());
    match colors.as_deref().and_then(|text| text.rsplit(';').next()) {
        Some("7" | "15") => Background::Light,
        _ => Background::Dark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_environment() {
        let config = |words: &str| {
            let words = ["udptrack", "-i", "lo"]
                .into_iter()
                .chain(words.split_whitespace());
            match cli::parse(words.map(OsString::from), true).unwrap() {
                cli::Task::Run(config) => config,
                task => panic!("{task:?}"),
            }
        };
        for (words, no_color, ground, wanted) in [
            ("", None, None, Background::Dark),
            ("", Some("1"), None, Background::Plain),
            ("", Some(""), None, Background::Dark),
            ("", None, Some("0;15"), Background::Light),
            ("", None, Some("15;default;0"), Background::Dark),
            ("--color always", Some("1"), None, Background::Dark),
            ("--color never", None, Some("0;15"), Background::Plain),
            ("--theme light", Some("1"), None, Background::Light),
            ("--theme dark", None, Some("0;15"), Background::Dark),
            (
                "--theme plain --color always",
                None,
                None,
                Background::Plain,
            ),
            ("--theme light --color never", None, None, Background::Plain),
        ] {
            let variable = |name: &str| match name {
                "NO_COLOR" => no_color.map(OsString::from),
                _ => ground.map(OsString::from),
            };
            assert_eq!(
                background(&config(words), variable),
                wanted,
                "{words} {no_color:?}"
            );
        }
    }
}
