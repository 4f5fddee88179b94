//! Where a run shows what it finds: lines on standard output, or the live view on the terminal.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::process::HeldMessages;
use super::setup::output;
use super::wanted;
use crate::bpf::Attachment;
use crate::cli::{self, Config, OutputKind};
use crate::listing::Query;
use crate::output::{Kinds, Output};
use crate::services::{SERVICES, Services};
use crate::view::{Settings, View};

/// Where a run shows what it finds.
pub(super) enum Display {
    /// Lines on standard output.
    Lines(Box<dyn Output>),
    /// The live view on the terminal. It gives the terminal back before the messages that waited for that are written.
    Live(Box<View>, HeldMessages),
    /// The terminal is free again.
    Closed,
}

impl Display {
    pub fn new(
        config: &Config,
        kinds: Kinds,
        query: &Query,
        attachments: &[Attachment],
    ) -> Result<Self> {
        if config.output != OutputKind::Live {
            return Ok(Self::Lines(output(config, kinds, query, None)?));
        }
        let interfaces = attachments.iter().map(|attachment| {
            let hooks = match attachment.egress {
                Some(egress) => format!("{} in, {egress} out", attachment.ingress),
                None => format!("{} in", attachment.ingress),
            };
            (attachment.interface.name.clone(), hooks)
        });
        let settings = Settings {
            interfaces: interfaces.collect(),
            egress: attachments
                .iter()
                .any(|attachment| attachment.egress.is_some()),
            services: Services::read(Path::new(SERVICES)),
            only: wanted::in_words(config),
            query: query.clone(),
            color: color(config.color, std::env::var_os("NO_COLOR").as_deref()),
            names: !config.numeric,
        };
        let view = View::open(settings).context("cannot use the terminal; -o table writes text")?;
        Ok(Self::Live(Box::new(view), HeldMessages::hold()))
    }

    /// As an output, whichever it is.
    pub fn output(&mut self) -> &mut dyn Output {
        match self {
            Self::Lines(output) => output.as_mut(),
            Self::Live(view, _) => view.as_mut(),
            Self::Closed => self,
        }
    }

    /// Gives the terminal back, if the live view has it. What was said meanwhile is written.
    pub fn close_view(&mut self) {
        if matches!(self, Self::Live(..)) {
            *self = Self::Closed;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_the_environment() {
        let set = Some(OsStr::new("1"));
        assert!(color(cli::Color::Auto, None));
        assert!(!color(cli::Color::Auto, set));
        assert!(color(cli::Color::Auto, Some(OsStr::new(""))));
        assert!(color(cli::Color::Always, set));
        assert!(!color(cli::Color::Never, None));
    }
}
