//! Trackings of other processes, and those that were kept: shown (`udptrack list`), ended (`udptrack detach`).

use std::io::BufWriter;

use anyhow::{Result, bail};

use super::Outcome;
use super::knowledge::{Interfaces, Knowledge, Whose};
use super::learning::names;
use super::process::say;
use super::report::hook_books;
use super::setup::{output, query};
use super::stderr::Stderr;
use super::stdout::{Stdout, ignore_closed_pipe};
use super::wanted;
use crate::bpf::{self, Claim, KnownHook, Pinned, Reader, State, Tracker};
use crate::cli::Config;
use crate::clock::monotonic_ns;
use crate::model::text::{Grouped, Visible};
use crate::model::{Report, Sample, Table, Timeouts};
use crate::output::{Kinds, Output, write_summary};

/// Shows the connections of a tracking as they are now. That nothing fits is a failure, but for `--check`, which asks for that.
pub(super) fn list(config: &Config) -> Result<Outcome> {
    let filter = wanted::choice(config)?;
    let pinned = choose(config.pins.name.as_deref(), bpf::instances()?)?;
    let reader = Reader::open(&pinned)?;
    // Only now: they are asked for when the connections are known.
    let wants_processes = config.processes || filter.asks_for_processes();
    let mut knowledge = Knowledge {
        interfaces: Interfaces::of(reader.hooks().to_vec()),
        processes: if wants_processes {
            Whose::start(monotonic_ns()?)
        } else {
            Whose::default()
        },
        names: names(config),
    };
    let mut samples = reader.scan()?;
    let now_ns = monotonic_ns()?;
    let table =
        |samples: &[Sample]| Table::of(samples, reader.capacity(), reader.timeouts(), now_ns);
    knowledge.processes.observe(&table(&samples), now_ns, true);
    let report = report(&reader, &samples, &knowledge)?;
    let query = query(config);
    samples.retain(|sample| {
        filter.wants(sample, &knowledge) && query.wants_sample(sample, &knowledge)
    });
    if samples.is_empty() && report.connections_live > 0 && !config.check {
        bail!(
            "nothing fits \"{}\" ({})",
            Visible(&wanted::choice_in_words(config)),
            connections(report.connections_live)
        );
    }
    let table = table(&samples);
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    let mut output = output(
        config,
        Kinds::default(),
        &query,
        Some(reader.timeouts()),
        out,
    )?;
    ignore_closed_pipe(write(output.as_mut(), &table, &report, &knowledge))?;
    Ok(if config.check && !samples.is_empty() {
        Outcome::Rows
    } else {
        Outcome::Fine
    })
}

fn write(
    output: &mut dyn Output,
    table: &Table,
    report: &Report,
    knowledge: &Knowledge,
) -> Result<()> {
    output.snapshot(table, report, knowledge)?;
    output.stats(report)?;
    output.flush()?;
    Ok(())
}

fn connections(count: u64) -> String {
    let word = if count == 1 {
        "connection"
    } else {
        "connections"
    };
    format!("{} {word}", Grouped(count))
}

/// The one that is meant.
fn choose(name: Option<&str>, mut instances: Vec<Pinned>) -> Result<Pinned> {
    let named = |pinned: &Pinned| name.is_none_or(|name| pinned.name == name);
    let all: Vec<String> = instances.iter().map(described).collect();
    instances.retain(named);
    match (instances.len(), name) {
        (1, _) => Ok(instances.remove(0)),
        (_, None) if !all.is_empty() => {
            bail!("there are {}: choose one with --name", all.join(", "))
        }
        (_, Some(name)) if !all.is_empty() => {
            bail!("no run is named {name}; there are {}", all.join(", "))
        }
        _ => bail!(
            "udptrack does not run here, or found no bpffs when it started (udptrack -v says why). Start it, then list"
        ),
    }
}

fn described(pinned: &Pinned) -> String {
    match pinned.state {
        State::Running if pinned.is_starting() => format!("{} (starting)", pinned.name),
        State::Running => match pinned.process {
            Some(process) => format!("{} (process {process})", pinned.name),
            None => format!("{} (tracking)", pinned.name),
        },
        State::Hidden => format!("{} (of another user)", pinned.name),
        State::Kept | State::Dead => format!("{} (kept)", pinned.name),
    }
}

fn report(reader: &Reader, samples: &[Sample], knowledge: &Knowledge) -> Result<Report> {
    let books = |hook: &KnownHook| reader.books(hook);
    let hooks = hook_books(&knowledge.interfaces.hooks, books)?;
    let (ended, ended_total) = reader.ended()?;
    let (events_lost, addresses_without_entry) = reader.losses()?;
    let live = samples.len() as u64;
    let live_total = samples.iter().map(Sample::total).sum();
    Ok(Report {
        hooks,
        connections_new: ended + live,
        connections_ended: ended,
        connections_live: live,
        connections_max: reader.capacity(),
        connections_total: ended_total + live_total,
        events_lost,
        addresses_without_entry,
        addresses: reader.addresses()?,
    })
}

/// Ends a tracking that was kept, and says what it came to. Without a name, it says first which one that is.
pub(super) fn detach(name: Option<&str>, quiet: bool) -> Result<()> {
    let (kept, others): (Vec<_>, Vec<_>) = bpf::instances()?
        .into_iter()
        .partition(|pinned| name.is_some() || pinned.state == State::Kept);
    if kept.is_empty() {
        let others: Vec<String> = others.iter().map(described).collect();
        let there_are = if others.is_empty() {
            String::new()
        } else {
            format!("; there are {}", others.join(", "))
        };
        bail!("no tracking was kept{there_are}");
    }
    let pinned = choose(name, kept)?;
    let mut claim = Claim::take_kept(&pinned.name)?;
    let (mut tracker, attachments) = Tracker::resume(&claim)?;
    // Its interfaces by the names that it knows: they may be of another network namespace.
    let hooks = tracker.hooks();
    if name.is_none() {
        let there = hooks.iter().filter(|hook| !hook.is_gone);
        let mut names: Vec<String> = there
            .map(|hook| Visible(&hook.interface).to_string())
            .collect();
        names.dedup();
        say(format_args!(
            "ending {}, which tracks {}",
            pinned.name,
            names.join(", ")
        ));
    }
    claim.release()?;
    bpf::detach(attachments)?;
    let (ended, counts) = tracker.ended()?;
    let mut table = tracker.table(Timeouts::default()).after(ended, counts);
    tracker.look(&mut table, monotonic_ns()?)?;
    if quiet {
        return Ok(());
    }
    say(format_args!("{} has ended", pinned.name));
    let hooks = hook_books(&hooks, |hook| tracker.books_of(hook))?;
    let (events_lost, addresses_without_entry) = tracker.losses()?;
    let report = Report {
        hooks,
        connections_new: table.connections_new(),
        connections_ended: table.connections_ended(),
        connections_live: table.len() as u64,
        connections_max: table.capacity(),
        connections_total: table.total(),
        events_lost,
        addresses_without_entry,
        addresses: tracker.addresses()?,
    };
    let _ = write_summary(BufWriter::new(Stderr::lock()), &report);
    Ok(())
}
