//! `udptrack list`: the connections of another run, or of tracking that `--keep` left.

use std::io::BufWriter;

use anyhow::{Result, bail};

use super::Outcome;
use crate::bpf::{self, KnownHook, Pinned, Reader, State};
use crate::clock::monotonic_ns;
use crate::console::{Stdout, ignore_closed_pipe};
use crate::model::text::{Grouped, Visible};
use crate::model::{DroppedWithoutRoom, Report, Sample, Table};
use crate::output::Output;
use crate::plan::ListPlan;
use crate::run::{Interfaces, Knowledge, Talks, Whose, hook_books, names, output};

/// Shows the connections of a tracking as they are now. That nothing fits is a failure, but for `--check`, which asks for that.
pub(super) fn list(plan: &ListPlan) -> Result<Outcome> {
    let pinned = choose(plan.name.as_deref(), bpf::instances()?)?;
    let reader = Reader::open(&pinned)?;
    // Only now: they are asked for when the connections are known.
    let mut knowledge = Knowledge {
        interfaces: Interfaces::of(reader.hooks().to_vec()),
        processes: if plan.processes {
            Whose::start(monotonic_ns()?)
        } else {
            Whose::default()
        },
        names: names(&plan.shown),
        talks: Talks::default(),
    };
    let mut samples = reader.scan()?;
    let now_ns = monotonic_ns()?;
    let table =
        |samples: &[Sample]| Table::of(samples, reader.capacity(), reader.timeouts(), now_ns);
    knowledge.processes.observe(&table(&samples), now_ns, true);
    let report = report(&reader, &samples, &knowledge)?;
    samples.retain(|sample| {
        plan.choice.wants(sample, &knowledge) && plan.shown.query.wants_sample(sample, &knowledge)
    });
    if samples.is_empty() && report.connections_live > 0 && !plan.check {
        bail!(
            "nothing fits \"{}\" ({})",
            Visible(&plan.words),
            connections(report.connections_live)
        );
    }
    let table = table(&samples);
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    let mut output = output(&plan.shown, Some(reader.timeouts()), out)?;
    ignore_closed_pipe(write(output.as_mut(), &table, &report, &knowledge))?;
    Ok(if plan.check && !samples.is_empty() {
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

const NO_RUN: &str = "Start one, such as `udptrack -i eth0`, and list it from another terminal. A run that cannot be listed says why when it \
                      starts with -v";

/// The one that is meant.
pub(super) fn choose(name: Option<&str>, mut instances: Vec<Pinned>) -> Result<Pinned> {
    let named = |pinned: &Pinned| name.is_none_or(|name| pinned.name == name);
    let all: Vec<String> = instances.iter().map(described).collect();
    instances.retain(named);
    match (instances.len(), name) {
        (1, _) => Ok(instances.remove(0)),
        (_, None) if !all.is_empty() => {
            bail!(
                "there are several runs, {}: choose one with --name",
                all.join(", ")
            )
        }
        (_, Some(name)) if !all.is_empty() => {
            bail!("there is no run named {name}. Runs: {}", all.join(", "))
        }
        (_, Some(name)) => bail!("there is no run named {name}, nor any other. {NO_RUN}"),
        _ => bail!("there is no run to list. {NO_RUN}"),
    }
}

pub(super) fn described(pinned: &Pinned) -> String {
    match pinned.state {
        State::Running if pinned.is_starting() => format!("{} (starting)", pinned.name),
        State::Running => match pinned.process {
            Some(process) => format!("{} (process {process})", pinned.name),
            None => format!("{} (tracking)", pinned.name),
        },
        State::Hidden => format!("{} (of another user)", pinned.name),
        State::Left | State::Dead => format!("{} (left by --keep)", pinned.name),
    }
}

fn report(reader: &Reader, samples: &[Sample], knowledge: &Knowledge) -> Result<Report> {
    let books = |hook: &KnownHook| Ok((reader.books(hook)?, Vec::new()));
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
        knows_drops: false,
        dropped_without_room: DroppedWithoutRoom::default(),
        unread: None,
        captured: None,
    })
}
