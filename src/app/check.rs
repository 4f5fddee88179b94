//! `udptrack check`: whether a run with these flags would work.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Result, bail};

use crate::check::{Planned, Report, examine, write_text};
use crate::cli::Color;
use crate::console::{Stdout, ignore_closed_pipe};
use crate::netns;
use crate::plan::{Plan, colors};
use crate::run;

/// Writes the findings. Fails if a run would fail.
pub(super) fn check(plan: &Plan, json: bool) -> Result<()> {
    let netns = plan.netns.as_deref();
    netns::enter(netns)?;
    let report = examine(Planned {
        netns,
        interfaces: &plan.interfaces,
        request: plan.request,
        settings: plan.settings(&[]),
        name: plan.pins.name.as_deref(),
        needs_pins: plan.keeps() || plan.pins.name.is_some(),
        keeps: plan.keeps(),
        exports: run::try_out(plan),
    });
    ignore_closed_pipe(write(plan.color, json, &report))?;
    if !report.works {
        bail!(
            "a run with these flags will not work: {}",
            report.problems().join(", ")
        );
    }
    Ok(())
}

fn write(color: Color, json: bool, report: &Report) -> Result<()> {
    let mut out = Stdout::lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        let no_color = std::env::var_os("NO_COLOR");
        let has_colors = colors(color, no_color.as_deref());
        let is_asked_for = color == Color::Always;
        write_text(
            &mut out,
            report,
            has_colors && (is_asked_for || io::stdout().is_terminal()),
        )?;
    }
    out.flush()?;
    Ok(())
}
