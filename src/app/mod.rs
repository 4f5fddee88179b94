//! Dispatches the task that the command line asks for: a run, or a shorter task. Only this room may use all rooms.

mod check;
mod detach;
mod list;

use std::io::Write as _;

use anyhow::Result;

pub use crate::console::say;
pub use crate::plan::WrongUsage;
pub use crate::run::Outcome;

use crate::alert::NAMED;
use crate::bpf;
use crate::cli::{self, Task};
use crate::console::{Stdout, ignore_closed_pipe};
use crate::interface;
use crate::model::text::Visible;
use crate::netns;
use crate::plan::{ListPlan, Plan};
use crate::run;

/// Answers a shell that asks for completions, and ends the process; otherwise does nothing.
pub fn answer_shell() {
    cli::answer_shell(cli::Live {
        interfaces: || {
            let interfaces = interface::list().unwrap_or_default();
            interfaces.into_iter().map(|found| found.name).collect()
        },
        namespaces: netns::names,
        runs: || {
            let runs = bpf::instances().unwrap_or_default();
            runs.into_iter().map(|found| found.name).collect()
        },
        rules: || NAMED.map(|(name, _)| name.to_owned()).into(),
    });
}

/// Does what the command line asked for, to its end.
pub fn run(task: &Task) -> Result<Outcome> {
    bpf::raise_limit()?;
    match task {
        Task::Run(config) => return run::track(Plan::of(config)?),
        Task::List(config) => return list::list(&ListPlan::of(config)?),
        Task::Sockets(config) => return run::sockets(config),
        Task::ListInterfaces { netns } => {
            netns::enter(netns.as_deref())?;
            ignore_closed_pipe(list_interfaces())
        }
        Task::Completions(shell) => ignore_closed_pipe(write(&cli::completions(*shell)?)),
        Task::Manual => ignore_closed_pipe(write(&cli::manual()?)),
        Task::Check { config, json } => check::check(&Plan::of(config)?, *json),
        Task::Detach { name, quiet } => detach::detach(name.as_deref(), *quiet),
    }?;
    Ok(Outcome::Fine)
}

fn write(text: &[u8]) -> Result<()> {
    let mut out = Stdout::lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

fn list_interfaces() -> Result<()> {
    let mut out = Stdout::lock();
    for interface in interface::list()? {
        let state = if interface.up { "up" } else { "down" };
        let name = Visible(&interface.name).to_string();
        writeln!(
            out,
            "{name:<16} {state:<5} {}",
            interface.addresses.join(" ")
        )?;
    }
    Ok(())
}
