//! Lines: which output writes them.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};

use crate::cli::OutputKind;
use crate::model::Timeouts;
use crate::output::{
    Choice, Clock, Conntrack, CsvRows, DnsRecords, DnsTable, JsonLines, LossRecords, LossTable,
    Output, Records, Style, TextTable, Trace,
};
use crate::plan::{Shown, Subject};

/// What is written to `out`; of a list, the timeouts that its connections have.
pub(crate) fn output(
    shown: &Shown,
    list: Option<Timeouts>,
    out: impl Write + 'static,
) -> Result<Box<dyn Output>> {
    match shown.subject {
        Subject::Losses => return losses(shown, out),
        Subject::Dns => return dns(shown, out),
        Subject::Connections => {}
    }
    let query = &shown.query;
    let choice = || Choice {
        listed: list.is_some() || shown.once,
        ..choice(shown)
    };
    Ok(match shown.output {
        OutputKind::Trace | OutputKind::Live => {
            Box::new(Trace::new(out, shown.kinds).with(query.one_way_ports.clone()))
        }
        OutputKind::Table => Box::new(TextTable::new(out, style(shown))),
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

/// What was dropped, in place of connections.
fn losses(shown: &Shown, out: impl Write + 'static) -> Result<Box<dyn Output>> {
    let query = &shown.query;
    Ok(match shown.output {
        OutputKind::Json => Box::new(LossRecords::json(out, clock()?, query)),
        OutputKind::Csv => Box::new(LossRecords::csv(out, clock()?, query)?),
        _ => Box::new(LossTable::new(out, style(shown))),
    })
}

/// Servers and names of DNS, in place of connections.
fn dns(shown: &Shown, out: impl Write + 'static) -> Result<Box<dyn Output>> {
    Ok(match shown.output {
        OutputKind::Json => Box::new(DnsRecords::json(out, clock()?, choice(shown))),
        OutputKind::Csv => Box::new(DnsRecords::csv(out, clock()?, choice(shown))?),
        _ => {
            let is_drawn_again = !shown.once && io::stdout().is_terminal();
            let size = is_drawn_again.then_some(terminal_size as fn() -> _);
            Box::new(DnsTable::new(out, style(shown), size))
        }
    })
}

fn choice(shown: &Shown) -> Choice {
    Choice {
        kinds: shown.kinds,
        query: shown.query.clone(),
        numeric: shown.numeric,
        listed: false,
    }
}

fn clock() -> Result<Clock> {
    Clock::new().context("cannot read the clock")
}

fn style(shown: &Shown) -> Style {
    Style {
        query: shown.query.clone(),
        numeric: shown.numeric,
        width: io::stdout().is_terminal().then_some(terminal_width),
    }
}

fn terminal_width() -> Option<usize> {
    terminal_size().map(|(width, _)| width)
}

/// Columns and lines of the terminal that is standard output.
pub(in crate::run) fn terminal_size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some((usize::from(width.0), usize::from(height.0)))
}
