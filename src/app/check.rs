//! `udptrack check`: what a run with these flags would come to.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Result, bail};

use crate::check::{Report, Wanted, examine, write_text};
use crate::cli::{self, Config};
use crate::console::{Stdout, ignore_closed_pipe};
use crate::netns;
use crate::plan::{self, color, request, rules, settings};
use crate::run;

/// Says what was found. Fails where a run would.
pub(super) fn check(config: &Config, json: bool) -> Result<()> {
    let filter = plan::program(config)?;
    rules(config)?;
    netns::enter(config.netns.as_deref())?;
    let report = examine(Wanted {
        netns: config.netns.as_deref(),
        interfaces: &config.interfaces,
        request: request(config),
        settings: settings(config, filter, &[]),
        name: config.pins.name.as_deref(),
        needs_pins: config.pins.keep || config.pins.name.is_some(),
        keeps: config.pins.keep,
        exports: run::try_out(config),
    });
    ignore_closed_pipe(write(config, json, &report))?;
    if !report.works {
        bail!(
            "a run with these flags would not work: {}",
            report.problems().join(", ")
        );
    }
    Ok(())
}

fn write(config: &Config, json: bool, report: &Report) -> Result<()> {
    let mut out = Stdout::lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        let no_color = std::env::var_os("NO_COLOR");
        let colors = color(config.color, no_color.as_deref());
        let is_asked_for = config.color == cli::Color::Always;
        write_text(
            &mut out,
            report,
            colors && (is_asked_for || io::stdout().is_terminal()),
        )?;
    }
    out.flush()?;
    Ok(())
}
