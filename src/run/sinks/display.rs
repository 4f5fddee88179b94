//! Where a run shows what it finds: lines on standard output or in a file, or the live view on the terminal.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::lines::output;
use crate::bpf::Attachment;
use crate::console::{HeldMessages, is_stdout_closed};
use crate::model::services::{SERVICES, Services};
use crate::output::Output;
use crate::plan::{Plan, WAITING_LINES};
use crate::process::command_line;
use crate::run::writer::{self, Target, Writer};
use crate::view::{InterfaceHooks, Opening, Settings, View};

/// Where a run shows what it finds.
pub(in crate::run) enum Display {
    /// Lines, and the way that they go.
    Lines(Box<dyn Output>, Writer),
    /// The live view on the terminal. It gives the terminal back before the messages that waited for that are written.
    Live(Box<View>, HeldMessages),
    /// The terminal is free again.
    Closed,
}

/// What is taken or opened before there is anything to show.
pub(in crate::run) enum Taken {
    /// For lines.
    Target(Target),
    /// The terminal for a live view. Given back before what was said meanwhile is written.
    Terminal(Opening, HeldMessages),
}

impl Taken {
    /// Whichever it will be.
    pub fn take(plan: &Plan) -> Result<Self> {
        if !plan.shown.is_live() {
            return Ok(Self::Target(Target::open(plan.file.as_deref())?));
        }
        let opening = Opening::begin(plan.background).context(NO_TERMINAL)?;
        Ok(Self::Terminal(opening, HeldMessages::hold()))
    }
}

const NO_TERMINAL: &str = "cannot use the terminal; -o table writes text";

impl Display {
    pub fn new(plan: &Plan, attachments: &[Attachment], taken: Taken) -> Result<Self> {
        let (opening, messages) = match taken {
            Taken::Terminal(opening, messages) => (opening, messages),
            Taken::Target(target) => {
                let (lines, writer) = writer::open(target, WAITING_LINES, plan.shown.once);
                return Ok(Self::Lines(output(&plan.shown, None, lines)?, writer));
            }
        };
        let settings = Settings {
            interfaces: interface_hooks(attachments),
            egress: attachments
                .iter()
                .any(|attachment| attachment.egress.is_some()),
            services: Services::read(Path::new(SERVICES)),
            only: plan.only.clone(),
            query: plan.shown.query.clone(),
            names: !plan.shown.numeric,
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
