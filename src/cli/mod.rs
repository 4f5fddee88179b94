//! The command line: clap structs to a validated [`Config`]. Knows no other room.

mod filter;
mod rows;
mod time;

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub use filter::Family;
use filter::{FilterFlags, Words};
use rows::RowFlags;
pub use rows::{GroupBy, Rows, Sort, SortKey, StatusWord};

/// What the user asked for, complete and in range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // they are flags
pub struct Config {
    /// Only list the interfaces.
    pub list_interfaces: bool,
    /// Names of interfaces; none means that of the default route, `any` means all.
    pub interfaces: Vec<String>,
    /// Where received packets are seen.
    pub hook: Hook,
    /// Which XDP.
    pub xdp_mode: XdpMode,
    /// Whether sent packets are seen.
    pub egress: bool,
    /// Which connections are wanted, as it was written.
    pub filter: Option<String>,
    /// Only those of one family.
    pub family: Option<Family>,
    /// What is written to standard output.
    pub output: OutputKind,
    /// Whether there are colours.
    pub color: Color,
    /// Which events are written.
    pub events: Vec<EventKind>,
    /// Which connections are shown, in which order.
    pub rows: Rows,
    /// No names of hosts and services.
    pub numeric: bool,
    /// Whose sockets the ends are.
    pub processes: bool,
    /// Ask the resolvers for names that no DNS answer has shown.
    pub resolve: bool,
    /// Time between snapshots.
    pub delay: Duration,
    /// End after so long.
    pub duration: Option<Duration>,
    /// End after so many events or snapshots.
    pub count: Option<u64>,
    /// Nothing on standard error but warnings and errors.
    pub quiet: bool,
    /// More on standard error.
    pub verbose: bool,
    /// Room for connections.
    pub max_connections: u32,
    /// Room for addresses.
    pub max_ips: u32,
    /// Idle time after which an unreplied or replied connection ends.
    pub udp_timeout: Duration,
    /// The same for an assured one.
    pub stream_timeout: Duration,
}

/// `--hook`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// Native XDP where the driver has it, else TC
    Auto,
    /// XDP only
    Xdp,
    /// TC only
    Tc,
}

/// `--xdp-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum XdpMode {
    /// Native; with --hook xdp generic where there is no native
    Auto,
    /// In the driver
    Native,
    /// After the driver; merged packets count as one
    Generic,
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// The table on the whole terminal, with keys
    Live,
    /// A line per event
    Trace,
    /// All connections, every --delay
    Table,
    /// JSON lines like Suricata's EVE
    Json,
    /// The same records, flat, header first
    Csv,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Unless the environment has `NO_COLOR`
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventKind {
    /// The first packet of a connection
    New,
    /// Each later packet (in JSON and CSV: what each connection did since the last --delay)
    Data,
    /// The end of a connection
    End,
}

const EXAMPLES: &str = "\
Examples:
  sudo udptrack -i eth0                    the live view: ? shows its keys
  sudo udptrack -i eth0 -o trace           a line for each packet, and for each end of a connection
  sudo udptrack -i eth0 -o trace -e new,end   only first packets and ends
  sudo udptrack -i eth0 port 53 or 123     only connections of these ports
  sudo udptrack src net 10.0.0.0/8 and not port 53   what this net asks for, without DNS
  sudo udptrack -i eth0 -o table -d 2s     who talks to whom, every two seconds
  sudo udptrack -o table --sort bytes --top 10   the ten that moved most
  sudo udptrack -o table --by process      which process sends how much
  sudo udptrack unanswered -d 5s dst port 53   which DNS servers leave requests unanswered
  sudo udptrack --status UNREPLIED -o trace   only ends of connections that nobody answered
  sudo udptrack -o csv >flows.csv          a CSV row for each connection that ended
  sudo udptrack -i any -j >flows.json      a JSON record for each connection that ended
  sudo udptrack -j -q --duration 10s       ten seconds of the default interface

A filter says which connections are wanted, in tcpdump's words: host ADDRESS, net CIDR, port N, portrange A-B, each
with src or dst before it (who sends the first packet, and to whom), ip, ip6, vlan [ID]; and, or, not, ( ). As in
tcpdump, `and` and `or` bind alike, from left to right. The shell wants quotes around ( ) and !. What is not wanted
is counted as filtered.

Ctrl-C ends a run; the books (seen = tracked + skipped) then go to standard error.
Exit status: 0 fine, 1 it failed, 2 wrong usage.";

/// Shows every UDP connection that crosses an interface: who talks to whom, how much, whether anyone answers.
#[derive(Debug, Parser)]
#[command(name = "udptrack", version, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
#[allow(clippy::struct_excessive_bools)] // they are flags
struct Arguments {
    /// Interface to track; repeat it or separate by commas, `any` for all [default: that of the default route]
    #[arg(
        short,
        long = "iface",
        visible_alias = "interface",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Where"
    )]
    iface: Vec<String>,

    /// Where to see received packets
    #[arg(
        long,
        value_name = "HOOK",
        default_value = "auto",
        help_heading = "Where"
    )]
    hook: Hook,

    /// Which XDP to use
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        help_heading = "Where"
    )]
    xdp_mode: XdpMode,

    /// Do not see sent packets
    #[arg(long, help_heading = "Where")]
    no_egress: bool,

    /// List the interfaces and end
    #[arg(short = 'D', long, help_heading = "Where")]
    list_interfaces: bool,

    #[command(flatten)]
    words: Words,

    #[command(flatten)]
    wanted: FilterFlags,

    /// What to write to standard output [default: live on a terminal, else trace]
    #[arg(short, long, value_name = "FORMAT", help_heading = "Output")]
    output: Option<OutputKind>,

    /// The same as -o json
    #[arg(short, long, conflicts_with = "output", help_heading = "Output")]
    json: bool,

    /// Numbers only: no names of hosts and services
    #[arg(short, long, help_heading = "Output")]
    numeric: bool,

    /// Ask the system's resolvers (/etc/resolv.conf) for names that no DNS answer has shown
    #[arg(long, conflicts_with = "numeric", help_heading = "Output")]
    resolve: bool,

    /// Events to write, separated by commas [default: all in a trace, new and end in the live view's trace pane, end in JSON, CSV, and with --status or --process]
    #[arg(
        short,
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    events: Vec<EventKind>,

    #[command(flatten)]
    rows: RowFlags,
    /// Say which processes own the ends of each connection (table, JSON, CSV; the live view always does)
    #[arg(short, long, help_heading = "Output")]
    processes: bool,

    /// Colours in the live view
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    color: Color,

    /// Nothing on standard error but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,

    /// More on standard error
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Output")]
    verbose: bool,

    /// Time between snapshots (live view, table, and JSON or CSV with -e data): 100ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = time::delay, help_heading = "Run")]
    delay: Duration,

    /// End after so long: 1ms to 10000days
    #[arg(long, value_name = "TIME", value_parser = time::duration, help_heading = "Run")]
    duration: Option<Duration>,

    /// End after so many events (trace, JSON, CSV) or snapshots (live view, table, and JSON or CSV with -e data)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    count: Option<u64>,

    /// Room for so many connections: 1 to 67108864
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 26), help_heading = "Table")]
    max_connections: u32,

    /// Room for so many addresses of each family: 1 to 16777216
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 24), help_heading = "Table")]
    max_ips: u32,

    /// End a connection that is idle for so long: 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::timeout, help_heading = "Table")]
    udp_timeout: Duration,

    /// The same for one that was answered and lasted over two seconds: 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = time::timeout, help_heading = "Table")]
    stream_timeout: Duration,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A table of servers that leave requests unanswered, worst first: asked, answered, ratio, retries, oldest wait
    Unanswered(Words),
}

/// Parses the command line. `terminal` says whether standard output is one. The error prints itself and knows its exit status: 2 for wrong usage, 0 for --help.
pub fn parse<I>(arguments: I, terminal: bool) -> Result<Config, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let arguments = Arguments::from_arg_matches(&command().try_get_matches_from(arguments)?)?;
    let wrong = |message| command().error(ErrorKind::ArgumentConflict, message);
    let output = check(&arguments, terminal).map_err(wrong)?;
    let family = arguments.wanted.family().map_err(wrong)?;
    let filter = arguments.wanted.text(&arguments.words()).map_err(wrong)?;
    let chosen = arguments.rows.choosing().is_some();
    let unanswered = matches!(arguments.command, Some(Command::Unanswered(_)));
    Ok(Config {
        list_interfaces: arguments.list_interfaces,
        interfaces: arguments.iface,
        hook: arguments.hook,
        xdp_mode: arguments.xdp_mode,
        egress: !arguments.no_egress,
        filter,
        family,
        output,
        color: arguments.color,
        events: events(output, arguments.events, chosen),
        processes: arguments.processes
            || arguments.rows.want_processes()
            || output == OutputKind::Live,
        rows: arguments.rows.rows(unanswered),
        numeric: arguments.numeric,
        resolve: arguments.resolve,
        delay: arguments.delay,
        duration: arguments.duration,
        count: arguments.count,
        quiet: arguments.quiet,
        verbose: arguments.verbose,
        max_connections: arguments.max_connections,
        max_ips: arguments.max_ips,
        udp_timeout: arguments.udp_timeout,
        stream_timeout: arguments.stream_timeout,
    })
}

impl Arguments {
    /// Words of a filter, before a subcommand and after it.
    fn words(&self) -> Vec<&Words> {
        let behind = self
            .command
            .as_ref()
            .map(|Command::Unanswered(words)| words);
        std::iter::once(&self.words).chain(behind).collect()
    }
}

/// A subcommand takes every flag, before it and after it.
fn command() -> clap::Command {
    Arguments::command().mut_args(|argument| {
        let everywhere = !argument.is_positional();
        argument.global(everywhere)
    })
}

/// Refuses what contradicts itself, with the way out, and returns which output it is.
fn check(arguments: &Arguments, terminal: bool) -> Result<OutputKind, String> {
    if arguments.hook == Hook::Tc && arguments.xdp_mode != XdpMode::Auto {
        return Err("--xdp-mode needs --hook xdp or --hook auto".to_owned());
    }
    let output = match (&arguments.command, arguments.output) {
        _ if arguments.json => OutputKind::Json,
        (_, Some(output)) => output,
        (Some(Command::Unanswered(_)), None) => OutputKind::Table,
        (None, None) if terminal => OutputKind::Live,
        (None, None) => OutputKind::Trace,
    };
    if output == OutputKind::Live && !terminal {
        return Err(
            "-o live needs a terminal on standard output; -o table writes what it shows as text"
                .to_owned(),
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
    if arguments.command.is_some() {
        return Err(
            "unanswered is a table; for records of connections that nobody answered leave it out and use \
             --status UNREPLIED"
                .to_owned(),
        );
    }
    if output == OutputKind::Live {
        return Ok(output);
    }
    if let Some(flag) = arguments.rows.only_for_tables() {
        return Err(format!(
            "{flag} needs -o table or the live view: a trace, JSON and CSV have a line for each event, as it comes"
        ));
    }
    if arguments.resolve && output == OutputKind::Trace {
        return Err("--resolve needs a table, JSON or CSV: a trace shows numbers alone".to_owned());
    }
    check_choice(arguments, output)?;
    Ok(output)
}

/// Status and process are known of a connection, not of its packets.
fn check_choice(arguments: &Arguments, output: OutputKind) -> Result<(), String> {
    let Some(flag) = arguments.rows.choosing() else {
        return Ok(());
    };
    let single_packets = |kind: &EventKind| match kind {
        EventKind::New => true,
        EventKind::Data => output == OutputKind::Trace,
        EventKind::End => false,
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
        "{flag} chooses connections by what became of them, not single packets: use {instead}"
    ))
}

/// The kinds asked for, or those that the output has by itself.
fn events(output: OutputKind, asked: Vec<EventKind>, chosen: bool) -> Vec<EventKind> {
    match output {
        _ if !asked.is_empty() => asked,
        OutputKind::Trace if !chosen => vec![EventKind::New, EventKind::Data, EventKind::End],
        OutputKind::Live => vec![EventKind::New, EventKind::End],
        OutputKind::Trace | OutputKind::Json | OutputKind::Csv => vec![EventKind::End],
        OutputKind::Table => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
