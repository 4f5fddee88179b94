//! The command line: clap structs to a validated [`Config`]. Of other rooms it knows the model alone.

mod alerts;
mod arguments;
mod captures;
mod choices;
mod completions;
mod contradictions;
mod export;
mod file;
mod filter;
mod help;
mod manual;
mod meant;
mod number;
mod pins;
mod reading;
mod rows;
mod size;
mod time;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches as _};

pub use alerts::AlertFlags;
use arguments::{Arguments, Command, command};
pub use captures::CaptureFlags;
use choices::Kind;
pub use choices::{Color, OutputKind, Shell, Theme};
pub use completions::{Live, answer_shell, completions};
use contradictions::{check, without_meaning};
pub use export::{Export, IpfixFlags};
pub(crate) use file::first_line;
pub use manual::manual;
pub use meant::{command_meant, input_meant};
pub use pins::Pins;
pub use rows::{Rows, Sort};

use crate::model::{Family, HookChoice, Kinds, XdpMode};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// List the interfaces.
    ListInterfaces {
        /// Of this network namespace.
        netns: Option<String>,
    },
    /// Write a shell's completions.
    Completions(Shell),
    /// Write the manual page.
    Manual,
    /// Track.
    Run(Box<Config>),
    /// Say whether a run with these flags will work, and how.
    Check {
        /// Of that run.
        config: Box<Config>,
        /// As one JSON object.
        json: bool,
    },
    /// List what another process tracks.
    List(Box<Config>),
    /// Show UDP sockets.
    Sockets(Box<Config>),
    /// End the tracking of this name that was kept, or the only one there is.
    Detach {
        /// Of which.
        name: Option<String>,
        /// No summary.
        quiet: bool,
    },
}

/// What the user asked for, complete and in range.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub struct Config {
    /// The network namespace of the interfaces; none means that of the caller.
    pub netns: Option<String>,
    /// Captures that are read in place of interfaces; `-` is standard input.
    pub read: Vec<PathBuf>,
    /// `--speed`.
    pub speed: Option<f64>,
    /// Names of interfaces; none means that of the default route, `any` means all.
    pub interfaces: Vec<String>,
    /// Where received packets are seen.
    pub hook: HookChoice,
    /// Which XDP.
    pub xdp_mode: XdpMode,
    /// Whether sent packets are seen.
    pub egress: bool,
    /// Which connections are wanted, as it was written.
    pub filter: Option<String>,
    /// Only those of one family.
    pub family: Option<Family>,
    /// What is written.
    pub output: OutputKind,
    /// Where to, in place of standard output.
    pub output_file: Option<PathBuf>,
    /// Whether there are colours.
    pub color: Color,
    /// `--theme`, if one was given.
    pub theme: Option<Theme>,
    /// Which events are written.
    pub events: Kinds,
    /// Which connections are shown, in which order.
    pub rows: Rows,
    /// What was dropped here is shown, in place of connections.
    pub losses: bool,
    /// Servers and names of DNS are shown, in place of connections.
    pub dns: bool,
    /// No names of hosts and services.
    pub numeric: bool,
    /// Whose sockets the ends are.
    pub processes: bool,
    /// Ask the resolvers for names that no DNS answer has shown.
    pub resolve: bool,
    /// Time between snapshots.
    pub delay: Duration,
    /// How long the run lasts at most.
    pub duration: Option<Duration>,
    /// End after this number of events or snapshots.
    pub count: Option<u64>,
    /// One snapshot, which has every connection, after `delay`.
    pub once: bool,
    /// The exit status says whether a row was shown, or an alert raised.
    pub check: bool,
    /// Nothing on standard error but warnings and errors.
    pub quiet: bool,
    /// More on standard error.
    pub verbose: bool,
    /// Room for connections.
    pub max_connections: u32,
    /// Room for addresses.
    pub max_ips: u32,
    /// Publish the maps that others read.
    pub maps: bool,
    /// Count what the kernel drops behind the hooks.
    pub drops: bool,
    /// Read payload.
    pub payload: bool,
    /// The interface is a part of a connection.
    pub per_interface: bool,
    /// What raises an alert, and what is run then.
    pub alerts: AlertFlags,
    /// What is written of frames.
    pub captures: CaptureFlags,
    /// To which other systems connections are sent.
    pub export: Export,
    /// How others find the run.
    pub pins: Pins,
    /// The configuration files that some flags came from, the weakest first.
    pub files: Vec<PathBuf>,
    /// All flags as they were written, to tell what changed in the file.
    pub flags: Flags,
    /// Idle time after which an unreplied or replied connection ends.
    pub udp_timeout: Duration,
    /// The same for an assured one.
    pub stream_timeout: Duration,
}

/// Parses the command line. `terminal` says whether standard output is one. The error prints itself and knows its exit status: 2 for
/// wrong usage, 0 for --help.
pub fn parse<I>(arguments: I, terminal: bool) -> Result<Task, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let (matches, flags) = matches(arguments)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    let wrong = |message| refusal(&matches, message);
    if let Some(message) = without_meaning(&matches) {
        return Err(wrong(message));
    }
    if let Some(task) = without_run(&arguments) {
        return Ok(task);
    }
    let [is_check, is_list, is_sockets] = [
        matches!(arguments.command, Some(Command::Check(_))),
        matches!(arguments.command, Some(Command::List(_))),
        matches!(arguments.command, Some(Command::Sockets)),
    ];
    let output = check(&arguments, terminal).map_err(wrong)?;
    let family = arguments.filter.family().map_err(wrong)?;
    let filter = arguments.filter.text(&arguments.words()).map_err(wrong)?;
    let unanswered = matches!(arguments.command, Some(Command::Unanswered(_)));
    let losses = matches!(arguments.command, Some(Command::Drops(_)));
    let dns = matches!(arguments.command, Some(Command::Dns(_)));
    let is_grouped = unanswered || losses || dns || arguments.rows.by.is_some();
    let kinds = if arguments.once.is_some() || captures::is_all(&arguments) {
        Kinds::default()
    } else {
        events(
            output,
            &arguments.events,
            arguments.rows.choosing().is_some(),
            is_grouped,
        )
    };
    if arguments.list_interfaces {
        return Ok(Task::ListInterfaces {
            netns: arguments.netns,
        });
    }
    let is_replay = !arguments.reading.read.is_empty();
    let processes = wants_processes(&arguments, output, losses || dns);
    let config = Box::new(Config {
        netns: arguments.netns,
        interfaces: arguments.iface,
        speed: arguments.reading.speed,
        hook: arguments.hook,
        xdp_mode: arguments.xdp_mode,
        egress: !arguments.no_egress,
        filter,
        family,
        output,
        output_file: arguments.output_file,
        color: arguments.color,
        theme: arguments.theme,
        events: kinds,
        processes,
        drops: !arguments.no_drops && arguments.reading.read.is_empty(),
        read: arguments.reading.read,
        rows: arguments.rows.rows(unanswered),
        losses,
        dns,
        numeric: arguments.numeric,
        resolve: arguments.resolve,
        delay: arguments.once.unwrap_or(arguments.delay),
        duration: arguments.duration,
        count: arguments.once.map_or(arguments.count, |_| Some(1)),
        once: arguments.once.is_some(),
        check: arguments.check,
        quiet: arguments.quiet,
        verbose: arguments.verbose,
        max_connections: arguments.max_connections,
        max_ips: arguments.max_ips,
        maps: !arguments.no_maps,
        payload: !arguments.no_payload,
        per_interface: arguments.per_interface,
        udp_timeout: arguments.udp_timeout,
        stream_timeout: arguments.stream_timeout,
        alerts: arguments.act.alerts().map_err(wrong)?,
        captures: arguments.captures.captures(is_replay).map_err(wrong)?,
        export: arguments.export.export().map_err(wrong)?,
        pins: arguments.pins.pins(),
        files: arguments.file.config,
        flags,
    });
    Ok(if is_sockets {
        Task::Sockets(config)
    } else if is_list {
        Task::List(config)
    } else if is_check {
        let json = output == OutputKind::Json;
        Task::Check { config, json }
    } else {
        Task::Run(config)
    })
}

/// What has nothing to do with a run.
fn without_run(arguments: &Arguments) -> Option<Task> {
    Some(match &arguments.command {
        Some(Command::Detach) => Task::Detach {
            name: arguments.pins.name.clone(),
            quiet: arguments.quiet,
        },
        Some(Command::Completions { shell }) => Task::Completions(*shell),
        Some(Command::Man) => Task::Manual,
        _ => return None,
    })
}

/// Whether it must be known whose a connection is. A capture does not say it.
fn wants_processes(arguments: &Arguments, output: OutputKind, has_own_rows: bool) -> bool {
    let is_wanted = arguments.processes || arguments.rows.want_processes() || has_own_rows;
    arguments.reading.read.is_empty() && (is_wanted || output == OutputKind::Live)
}

/// What is wrong, with the usage of the subcommand that was given.
fn refusal(matches: &ArgMatches, message: String) -> clap::Error {
    let kind = ErrorKind::ArgumentConflict;
    let mut command = command();
    command.build();
    let given = matches.subcommand_name().unwrap_or_default();
    match command.find_subcommand_mut(given) {
        Some(subcommand) => subcommand.error(kind, message),
        None => command.error(kind, message),
    }
}

/// Flags by name, with their values as they were written.
pub type Flags = BTreeMap<String, Vec<OsString>>;

/// What clap makes of the command line and of the configuration files that it names.
fn matches<I>(arguments: I) -> Result<(ArgMatches, Flags), clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let read = |arguments: &[OsString]| match command().try_get_matches_from(arguments) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            help::command().try_get_matches_from(arguments)
        }
        other => other.map_err(meant::with_flag_meant),
    };
    let mut matches = read(&arguments)?;
    let files: Option<Vec<PathBuf>> = matches
        .get_many("config")
        .map(|files| files.cloned().collect());
    for path in files.into_iter().flatten().rev() {
        let flags = file::flags(&path, &matches)
            .map_err(|message| command().error(ErrorKind::ValueValidation, message))?;
        arguments.splice(1..1, flags);
        matches = command().try_get_matches_from(&arguments)?;
    }
    let flags = command()
        .get_arguments()
        .filter_map(|argument| {
            let values = matches.get_raw(argument.get_id().as_str())?;
            Some((
                argument.get_id().as_str().replace('_', "-"),
                values.map(OsString::from).collect(),
            ))
        })
        .collect();
    Ok((matches, flags))
}

/// The kinds asked for, or those that the output has by itself.
fn events(output: OutputKind, asked: &[Kind], chosen: bool, is_grouped: bool) -> Kinds {
    use Kind::{Data, End, New};
    let kinds = match output {
        OutputKind::Json | OutputKind::Csv if is_grouped => &[Data],
        _ if !asked.is_empty() => asked,
        OutputKind::Trace if !chosen => &[New, Data, End],
        OutputKind::Live => &[New, End],
        OutputKind::Trace | OutputKind::Json | OutputKind::Csv => &[End][..],
        OutputKind::Table | OutputKind::Conntrack => &[],
    };
    all(kinds)
}

fn all(kinds: &[Kind]) -> Kinds {
    Kinds {
        dns: kinds.contains(&Kind::Dns),
        new: kinds.contains(&Kind::New),
        data: kinds.contains(&Kind::Data),
        end: kinds.contains(&Kind::End),
        quic: kinds.contains(&Kind::Quic),
    }
}

#[cfg(test)]
mod tests;
