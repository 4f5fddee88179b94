//! Lines: which output writes them.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};

use crate::cli::OutputKind;
use crate::model::Timeouts;
use crate::output::{
    Choice, Clock, Conntrack, CsvRows, JsonLines, Output, Records, Style, TextTable, Trace,
};
use crate::plan::Shown;

/// What is written to `out`; of a list, the timeouts that its connections have.
pub(crate) fn output(
    shown: &Shown,
    list: Option<Timeouts>,
    out: impl Write + 'static,
) -> Result<Box<dyn Output>> {
    let clock = || Clock::new().context("cannot read the clock");
    let query = &shown.query;
    let choice = || Choice {
        kinds: shown.kinds,
        query: query.clone(),
        numeric: shown.numeric,
        listed: list.is_some() || shown.once,
    };
    Ok(match shown.output {
        OutputKind::Trace | OutputKind::Live => {
            Box::new(Trace::new(out, shown.kinds).with(query.one_way_ports.clone()))
        }
        OutputKind::Table => {
            let style = Style {
                query: query.clone(),
                numeric: shown.numeric,
                width: io::stdout().is_terminal().then_some(terminal_width),
            };
            Box::new(TextTable::new(out, style))
        }
        OutputKind::Json => Box::new(Records::new(JsonLines::new(out), clock()?, choice())),
        OutputKind::Csv => {
            let rows = match query.by {
                Some(_) => CsvRows::groups(out)?,
                None => CsvRows::new(out)?,
            };
            Box::new(Records::new(rows, clock()?, choice()))
        }
        OutputKind::Conntrack => {
            let timeouts = list.unwrap_or_default();
            Box::new(Conntrack::new(out, query.clone(), timeouts))
        }
    })
}

fn terminal_width() -> Option<usize> {
    terminal_size().map(|(width, _)| width)
}

/// Columns and lines of the terminal that is standard output.
pub(in crate::run) fn terminal_size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some((usize::from(width.0), usize::from(height.0)))
}
