//! What was asked for, done: a run, or a shorter task. The only room that sees all rooms.

mod alerting;
mod calls;
mod check;
mod commands;
mod display;
mod exports;
mod fence;
mod knowledge;
mod learning;
mod links;
mod list;
mod process;
mod reload;
mod report;
mod roles;
mod run;
mod servers;
mod setup;
mod shared;
mod stderr;
mod stdout;
mod stop;
mod systemd;
mod tick;
mod wanted;
mod writer;

use std::io::Write as _;

use anyhow::{Context as _, Result};

use alerting::Alerting;
use links::Links;
use process::give_up_rights;
pub use process::say;
use run::Run;
use stdout::{Stdout, ignore_closed_pipe};
pub use wanted::WrongUsage;

use crate::alert::NAMED;
use crate::bpf;
use crate::cli::{self, Config, Task};
use crate::interface;
use crate::model::text::Visible;
use crate::netns;

/// What `--check` finds. Without it everything is fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to be told.
    Fine,
    /// A row was shown.
    Rows,
    /// An alert was raised.
    Alert,
}

/// Where a shell asks for completions, answers it and ends the process.
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
        Task::Run(config) => return track(config),
        Task::List(config) => return list::list(config),
        Task::ListInterfaces { netns } => {
            enter(netns.as_deref())?;
            ignore_closed_pipe(list_interfaces())
        }
        Task::Completions(shell) => ignore_closed_pipe(write(&cli::completions(*shell)?)),
        Task::Manual => ignore_closed_pipe(write(&cli::manual()?)),
        Task::Check { config, json } => check::check(config, *json),
        Task::Detach { name, quiet } => list::detach(name.as_deref(), *quiet),
    }?;
    Ok(Outcome::Fine)
}

fn track(config: &Config) -> Result<Outcome> {
    // Before anything else: a wrong filter is wrong usage, whatever the machine is like.
    let filter = wanted::program(config)?;
    let alerting = Alerting::new(config)?;
    enter(config.netns.as_deref())?;
    let links = Links::find(&config.interfaces)?;
    bpf::OpenFiles::of(&links.first, setup::request(config))?.suffice()?;
    calls::hold_signals()?;
    let (caller, calls) = calls::channel();
    let mut run = Run::start(config, links, filter, alerting)?;
    give_up_rights().context("cannot give up the rights that are no longer needed")?;
    run.links.hear(&caller)?;
    run.fence_off()?;
    run.serve_metrics(&caller)?;
    let reloads = !config.files.is_empty() || config.output_file.is_some();
    calls::forward_signals(caller, reloads, run.leaving())?;
    run.ask_resolvers()?;
    run.say_ready();
    let result = ignore_closed_pipe(run.until_stopped(&calls));
    // Also after an error: what was counted is worth more than a quick exit, and nothing may stay attached.
    let ended = ignore_closed_pipe(run.end());
    result.and(ended)?;
    Ok(run.outcome())
}

/// Everything from here on, threads and sockets among it, is in this network namespace.
fn enter(namespace: Option<&str>) -> Result<()> {
    namespace.map_or(Ok(()), netns::enter)
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
