//! Refuses flags that contradict each other, with the way out.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::arguments::{Arguments, Command, command};
use super::captures;
use super::choices::{Kind, OutputKind};
use super::reading;
use crate::model::{HookChoice, SortKey, XdpMode};

/// Refuses what contradicts itself, with the way out, and returns which output it is.
pub(super) fn check(arguments: &Arguments, terminal: bool) -> Result<OutputKind, String> {
    let output = check_output(arguments, terminal)?;
    captures::check(arguments, output, terminal)?;
    Ok(output)
}

fn check_output(arguments: &Arguments, terminal: bool) -> Result<OutputKind, String> {
    if arguments.hook == HookChoice::Tc && arguments.xdp_mode != XdpMode::Auto {
        return Err("--xdp-mode needs --hook xdp or --hook auto".to_owned());
    }
    reading::check(arguments)?;
    // A check judges the run that these flags would begin.
    let is_check = matches!(arguments.command, Some(Command::Check(_)));
    let output = match (&arguments.command, arguments.output) {
        _ if arguments.json => OutputKind::Json,
        (_, Some(output)) => output,
        (
            Some(
                Command::Unanswered(_)
                | Command::List(_)
                | Command::Sockets
                | Command::Drops(_)
                | Command::Dns(_),
            ),
            None,
        ) => OutputKind::Table,
        _ if arguments.once.is_some() => OutputKind::Table,
        _ if captures::is_all(arguments) => OutputKind::Trace,
        _ if terminal && arguments.output_file.is_none() => OutputKind::Live,
        _ => OutputKind::Trace,
    };
    if matches!(arguments.command, Some(Command::List(_))) {
        return check_list(arguments, output);
    }
    if matches!(arguments.command, Some(Command::Sockets)) {
        return check_sockets(output);
    }
    if matches!(arguments.command, Some(Command::Drops(_))) {
        check_drops(arguments, output)?;
    }
    if matches!(arguments.command, Some(Command::Dns(_))) {
        check_dns(arguments, output)?;
    }
    for (kind, word) in [(Kind::Dns, "dns"), (Kind::Quic, "quic")] {
        if arguments.events.contains(&kind) && output != OutputKind::Json {
            return Err(format!(
                "-e {word} needs -o json: other outputs cannot show the content of messages"
            ));
        }
        if arguments.events.contains(&kind) && arguments.no_payload {
            return Err(format!("-e {word} needs payloads: leave out --no-payload"));
        }
    }
    check_status(arguments)?;
    if let Some(time) = arguments.time_without_equals() {
        return Err(format!("--once needs a = before its time: --once={time}"));
    }
    if output == OutputKind::Conntrack {
        return Err(
            "-o conntrack lists the connections of another run: use udptrack list".to_owned(),
        );
    }
    if arguments.once.is_some() && matches!(output, OutputKind::Live | OutputKind::Trace) {
        return Err("--once writes one snapshot, so it needs -o table, json or csv".to_owned());
    }
    if arguments.output_file.is_some() && matches!(output, OutputKind::Live | OutputKind::Table) {
        return Err("--output-file needs -o trace, json or csv".to_owned());
    }
    // The terminal of a check need not be that of the run.
    if output == OutputKind::Live && !terminal && !is_check {
        return Err(
            "-o live needs a terminal on standard output. Use -o table to get text".to_owned(),
        );
    }
    if output == OutputKind::Table {
        if !arguments.events.is_empty() {
            return Err(
                "--events needs a trace, JSON or CSV: a table shows connections, not events"
                    .to_owned(),
            );
        }
        return Ok(output);
    }
    if output == OutputKind::Live && !has_own_rows(arguments) {
        return Ok(output);
    }
    check_groups(arguments, output)?;
    if arguments.resolve && output == OutputKind::Trace {
        return Err("--resolve needs a table, JSON or CSV: a trace shows only numbers".to_owned());
    }
    check_choice(arguments, output)?;
    Ok(output)
}

/// Whether its rows are not connections.
fn has_own_rows(arguments: &Arguments) -> bool {
    matches!(
        arguments.command,
        Some(Command::Unanswered(_) | Command::Drops(_) | Command::Dns(_))
    )
}

/// Groups are as they are at a snapshot: they have no events.
fn check_groups(arguments: &Arguments, output: OutputKind) -> Result<(), String> {
    let has_own_rows = has_own_rows(arguments);
    let has_records = matches!(output, OutputKind::Json | OutputKind::Csv);
    if has_own_rows && !has_records {
        return Err(
            "unanswered shows a row for each server, so it needs -o table, json or csv".to_owned(),
        );
    }
    if has_records && (has_own_rows || arguments.rows.by.is_some()) {
        if arguments.events.is_empty() {
            return Ok(());
        }
        return Err(
            "--events needs records of connections: leave out --by, or --events".to_owned(),
        );
    }
    match arguments.rows.only_for_tables() {
        Some(_) if arguments.once.is_some() => Ok(()),
        Some(flag) => Err(format!(
            "{flag} needs -o table, the live view, or --by: a trace, JSON and CSV write each event when it happens"
        )),
        None => Ok(()),
    }
}

/// What `--check` judges must be there.
fn check_status(arguments: &Arguments) -> Result<(), String> {
    let has_end = arguments.once.is_some() || has_own_rows(arguments);
    if arguments.check && !has_end && !arguments.act.has_rules() {
        return Err("--check needs --once, unanswered, drops, dns, list or --alert".to_owned());
    }
    Ok(())
}

/// A list has connections as they are now.
fn check_list(arguments: &Arguments, output: OutputKind) -> Result<OutputKind, String> {
    let sort = arguments.rows.sort;
    if sort.is_some_and(|sort| sort.key == SortKey::Dropped) {
        return Err(
            "udptrack list does not know what this machine dropped: use udptrack drops, or --sort lost-here in the run itself".to_owned(),
        );
    }
    match output {
        OutputKind::Live | OutputKind::Trace => Err(
            "list shows connections as they are now, so it needs -o table, json, csv or conntrack"
                .to_owned(),
        ),
        _ => Ok(output),
    }
}

/// Sockets have no packets.
fn check_sockets(output: OutputKind) -> Result<OutputKind, String> {
    match output {
        OutputKind::Table | OutputKind::Json | OutputKind::Csv => Ok(output),
        _ => {
            Err("sockets shows sockets, not packets, so it needs -o table, json or csv".to_owned())
        }
    }
}

/// Losses have rows of their own.
fn check_drops(arguments: &Arguments, output: OutputKind) -> Result<(), String> {
    let has_rows = matches!(
        output,
        OutputKind::Table | OutputKind::Json | OutputKind::Csv
    );
    if !has_rows {
        return Err(
            "drops shows a row for each reason, process and server, so it needs -o table, json or csv".to_owned(),
        );
    }
    if arguments.no_drops {
        return Err(
            "udptrack drops needs the counts that --no-drops switches off: leave out --no-drops"
                .to_owned(),
        );
    }
    let rows = &arguments.rows;
    let without_meaning = [
        ("--by", rows.by.is_some()),
        ("--sort", rows.sort.is_some()),
        ("--status", rows.status.is_some()),
    ];
    match without_meaning.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(format!(
            "{flag} does not work with udptrack drops: it has a row for each reason, process and server, most datagrams first"
        )),
        None => Ok(()),
    }
}

/// Servers and names have rows of their own.
fn check_dns(arguments: &Arguments, output: OutputKind) -> Result<(), String> {
    match output {
        OutputKind::Table | OutputKind::Json | OutputKind::Csv => {}
        _ => {
            return Err(
                "dns shows rows for servers and names, so it needs -o table, json or csv"
                    .to_owned(),
            );
        }
    }
    if arguments.no_payload {
        return Err("udptrack dns needs payloads: leave out --no-payload".to_owned());
    }
    if arguments.rows.by.is_some() {
        return Err(
            "--by does not work with udptrack dns: it has rows for servers, names and programs"
                .to_owned(),
        );
    }
    Ok(())
}

/// The flags that mean something to a subcommand, if those are not all.
pub(super) fn with_meaning(subcommand: &str) -> Option<&'static [&'static str]> {
    const LIST: &[&str] = &[
        "name",
        "output",
        "json",
        "numeric",
        "processes",
        "color",
        "quiet",
        "verbose",
        "filter",
        "ipv4",
        "ipv6",
        "sort",
        "top",
        "by",
        "one_way_ports",
        "status",
        "process",
        "check",
        "words",
    ];
    const SOCKETS: &[&str] = &[
        "netns", "output", "json", "numeric", "quiet", "verbose", "delay", "duration", "count",
        "once", "top", "process", "check",
    ];
    const DETACH: &[&str] = &["name", "quiet", "verbose"];
    match subcommand {
        "list" => Some(LIST),
        "sockets" => Some(SOCKETS),
        "detach" => Some(DETACH),
        "completions" | "man" => Some(&[]),
        _ => None,
    }
}

/// A flag that means nothing to a subcommand, if one was given.
pub(super) fn without_meaning(matches: &ArgMatches) -> Option<String> {
    let (subcommand, matches) = matches.subcommand()?;
    let known = with_meaning(subcommand)?;
    let given =
        |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    // Groups of flags have an id, too.
    let is_flag = |id: &&clap::Id| {
        command()
            .get_arguments()
            .any(|argument| argument.get_id() == *id)
    };
    let wrong = matches
        .ids()
        .filter(given)
        .filter(is_flag)
        .find(|id| !known.contains(&id.as_str()))?;
    let flag = wrong.as_str().replace('_', "-");
    let instead = match &*flag {
        "iface" | "netns" if subcommand == "list" => {
            ": it reads another run. Choose the run with --name"
        }
        "iface" if subcommand == "sockets" => ": a socket receives datagrams from all interfaces",
        _ => "",
    };
    Some(format!(
        "--{flag} does not work with udptrack {subcommand}{instead}"
    ))
}

/// Status and process are known of a connection, not of its packets.
fn check_choice(arguments: &Arguments, output: OutputKind) -> Result<(), String> {
    let Some(flag) = arguments.rows.choosing() else {
        return Ok(());
    };
    let single_packets = |kind: &Kind| match kind {
        Kind::New => true,
        Kind::Data => output == OutputKind::Trace,
        Kind::End | Kind::Dns | Kind::Quic => false,
    };
    if !arguments.events.iter().any(single_packets) {
        return Ok(());
    }
    let instead = if output == OutputKind::Trace {
        "-e end"
    } else {
        "-e data,end"
    };
    Err(format!(
        "{flag} cannot choose single packets, only connections: use {instead}"
    ))
}
