//! Where a run shows what it finds: lines on standard output or in a file, or the live view on the terminal.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::process::HeldMessages;
use super::setup::output;
use super::stdout::is_stdout_closed;
use super::wanted;
use super::writer::{self, Target, Writer};
use crate::bpf::Attachment;
use crate::cli::{self, Config, OutputKind};
use crate::listing::Query;
use crate::model::services::{SERVICES, Services};
use crate::output::{Kinds, Output};
use crate::process::command_line;
use crate::view::{Background, InterfaceHooks, Opening, Settings, View};

/// Where a run shows what it finds.
pub(super) enum Display {
    /// Lines, and the way that they go.
    Lines(Box<dyn Output>, Writer),
    /// The live view on the terminal. It gives the terminal back before the messages that waited for that are written.
    Live(Box<View>, HeldMessages),
    /// The terminal is free again.
    Closed,
}

/// What is taken or opened before there is anything to show.
pub(super) enum Taken {
    /// For lines.
    Target(Target),
    /// The terminal for a live view. Given back before what was said meanwhile is written.
    Terminal(Opening, HeldMessages),
}

impl Taken {
    /// Whichever it will be.
    pub fn take(config: &Config) -> Result<Self> {
        if config.output != OutputKind::Live {
            return Ok(Self::Target(Target::open(config.output_file.as_deref())?));
        }
        let background = background(config, |name| std::env::var_os(name));
        let opening = Opening::begin(background).context(NO_TERMINAL)?;
        Ok(Self::Terminal(opening, HeldMessages::hold()))
    }
}

const NO_TERMINAL: &str = "cannot use the terminal; -o table writes text";

impl Display {
    pub fn new(
        config: &Config,
        kinds: Kinds,
        query: &Query,
        attachments: &[Attachment],
        taken: Taken,
    ) -> Result<Self> {
        let (opening, messages) = match taken {
            Taken::Terminal(opening, messages) => (opening, messages),
            Taken::Target(target) => {
                let (lines, writer) = writer::open(target, config.once);
                return Ok(Self::Lines(
                    output(config, kinds, query, None, lines)?,
                    writer,
                ));
            }
        };
        let settings = Settings {
            interfaces: interface_hooks(attachments),
            egress: attachments
                .iter()
                .any(|attachment| attachment.egress.is_some()),
            services: Services::read(Path::new(SERVICES)),
            only: wanted::in_words(config),
            query: query.clone(),
            names: !config.numeric,
            command_line,
            folder: std::env::temp_dir(),
        };
        let view = View::open(opening, settings).context(NO_TERMINAL)?;
        Ok(Self::Live(Box::new(view), messages))
    }

    /// Interfaces have come, gone or got other names.
    pub fn change_interfaces(&mut self, attachments: &[Attachment]) {
        if let Self::Live(view, _) = self {
            view.change_interfaces(interface_hooks(attachments));
        }
    }

    /// Where files are made: screens of a live view, or the file of lines when it was moved away.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Live(view, _) => Some(view.folder().to_owned()),
            Self::Lines(_, writer) => writer.folder(),
            Self::Closed => None,
        }
    }

    /// The way that lines go.
    pub fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Lines(_, writer) => Some(writer),
            _ => None,
        }
    }

    /// Whether nobody can read any more what it shows: found out before there is something to write.
    pub fn is_gone(&self) -> bool {
        self.writer().is_none_or(Writer::is_stdout) && is_stdout_closed()
    }

    /// As an output, whichever it is.
    pub fn output(&mut self) -> &mut dyn Output {
        match self {
            Self::Lines(output, _) => output.as_mut(),
            Self::Live(view, _) => view.as_mut(),
            Self::Closed => self,
        }
    }

    /// Nobody reads what it shows: nothing more is shown.
    pub fn close(&mut self) {
        *self = Self::Closed;
    }

    /// Gives the terminal back, if the live view has it. What was said meanwhile is written.
    pub fn close_view(&mut self) {
        if matches!(self, Self::Live(..)) {
            *self = Self::Closed;
        }
    }
}

fn interface_hooks(attachments: &[Attachment]) -> Vec<InterfaceHooks> {
    let hooks = attachments.iter().map(|attachment| InterfaceHooks {
        name: attachment.interface.name.clone(),
        ingress: attachment.ingress.to_string(),
        egress: attachment.egress.as_ref().map(ToString::to_string),
    });
    hooks.collect()
}

/// Shows nothing: what is left to be shown when the view is closed is the summary.
impl Output for Display {
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The flag decides, else `NO_COLOR` (no-color.org: set and not empty). The live view is always on a terminal.
pub(super) fn color(flag: cli::Color, no_color: Option<&OsStr>) -> bool {
    match flag {
        cli::Color::Always => true,
        cli::Color::Never => false,
        cli::Color::Auto => no_color.is_none_or(OsStr::is_empty),
    }
}

/// Flags decide, else `NO_COLOR`, else what the terminal says of its background in `COLORFGBG`, as rxvt and Konsole do: `0;15`.
fn background(config: &Config, variable: impl Fn(&str) -> Option<OsString>) -> Background {
    match (config.color, config.theme) {
        (cli::Color::Never, _) | (_, Some(cli::Theme::Plain)) => return Background::Plain,
        (_, Some(cli::Theme::Dark)) => return Background::Dark,
        (_, Some(cli::Theme::Light)) => return Background::Light,
        (flag, None) if !color(flag, variable("NO_COLOR").as_deref()) => return Background::Plain,
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
