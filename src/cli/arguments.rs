//! The command line as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand, ValueHint};

use super::alerts::ActFlags;
use super::captures::WriteFlags;
use super::choices::{Color, Kind, OutputKind, Shell, Theme};
use super::export::ExportFlags;
use super::file::FileFlags;
use super::filter::{FilterFlags, Words};
use super::pins::PinFlags;
use super::reading::ReadFlags;
use super::rows::RowFlags;
use super::{number, time};
use crate::model::{HookChoice, XdpMode};

const EXAMPLES: &str = "\
Examples:
  sudo udptrack -i eth0                    the live view: ? shows its keys
  sudo udptrack -i eth0 port 53 or 123     only connections of these ports
  sudo udptrack unanswered --once=10s      which servers do not answer
  sudo udptrack list --top 10              another terminal: the ten fastest
  sudo udptrack -i eth0 -o trace           a line for each packet and each end of a connection
  sudo udptrack -i eth0 -o trace -e new,end   only first packets and ends
  sudo udptrack src net 10.0.0.0/8 and not port 53   requests of this net, without DNS
  sudo udptrack -i eth0 -o table -d 2s     who talks to whom, every two seconds
  sudo udptrack -o table --sort bytes --top 10   the ten with most bytes
  sudo udptrack -o table --by process      how much each process sends
  sudo udptrack unanswered -d 5s dst port 53   which DNS servers do not answer
  sudo udptrack --once=5s -j               a JSON record for each connection, after five seconds
  sudo udptrack unanswered --once=10s --check   for cron and Nagios: status 3 if a server does not answer
  sudo udptrack --status UNREPLIED -o trace   only ends of connections without an answer
  sudo udptrack -o csv >flows.csv          a CSV row for each connection that ended
  sudo udptrack -i any -j >flows.json      a JSON record for each connection that ended
  sudo udptrack sockets                    which socket drops datagrams, and which limit to raise
  sudo udptrack drops --once=10s           what this machine dropped, and why
  sudo udptrack dns --once=10s             DNS servers, how they answer, and which names fail
  sudo udptrack -r dns.pcapng              what is in a capture of tcpdump or Wireshark
  sudo udptrack -r dns.pcapng --by server --once   its servers, and how they answered
  tcpdump -U -w - udp | sudo udptrack -r - -j   while tcpdump captures
  sudo udptrack check -i eth0              will it work here, with which hooks?
  sudo udptrack -N blue -i eth0            an interface of another network namespace (ip netns)
  sudo udptrack -j -q --duration 10s       ten seconds of the default interface
  sudo udptrack list -o conntrack port 53   in the format of conntrack -L
  sudo udptrack -i eth0 -j --ipfix 192.0.2.9:4739   records to an IPFIX collector, too
  sudo udptrack -i eth0 -j --alert udp-flood --exec /usr/local/bin/page-me   run a program at a flood
  sudo udptrack -i eth0 --metrics 127.0.0.1:9435   for Prometheus to scrape
  sudo udptrack -w dns.pcapng port 53      write the frames, for Wireshark
  sudo udptrack -i eth0 --keep             tracking continues when udptrack ends; the same command resumes it

A filter chooses the connections to track, in tcpdump's words: host ADDRESS, net CIDR, port N, portrange A-B; src or \
dst before them (the end that sends the first packet, or the other end); ip, ip6, vlan [ID]; and, or, not, ( ). As in \
tcpdump, `and` and `or` have the same precedence, from left to right. Put ( ) and ! in quotes. Other packets count as \
filtered.

Ctrl-C ends a run. It writes a summary of its servers and the books (seen = tracked + skipped) to standard error.
Exit status: 0 success, 1 failure, 2 wrong usage; with --check: 3 there was a row, 4 there was an alert.";

/// Shows every UDP connection that crosses an interface, live.
///
/// See who talks to whom, how much and how fast, who does not answer, and which process it is.
#[derive(Debug, Parser)]
#[command(name = "udptrack", version, after_help = EXAMPLES, max_term_width = 100)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(super) struct Arguments {
    /// Interface to track; `any` for all
    ///
    /// Repeat it, or separate names by commas. The default is the interface of the default route. If an interface goes away and comes
    /// back, udptrack tracks it again. With `any`, it tracks new interfaces, too.
    #[arg(
        short,
        long = "iface",
        visible_alias = "interface",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Where"
    )]
    pub iface: Vec<String>,

    /// Hook for received packets
    #[arg(
        long,
        value_name = "HOOK",
        default_value = "auto",
        help_heading = "Where"
    )]
    pub hook: HookChoice,

    /// Mode of XDP
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        help_heading = "Where"
    )]
    pub xdp_mode: XdpMode,

    /// Do not track sent packets
    #[arg(long, help_heading = "Where")]
    pub no_egress: bool,

    /// Network namespace to track in: a name of `ip netns`, or a path such as /proc/PID/ns/net
    #[arg(short = 'N', long, value_name = "NAME", help_heading = "Where")]
    pub netns: Option<String>,

    /// List the interfaces and exit
    #[arg(short = 'D', long, help_heading = "Where")]
    pub list_interfaces: bool,

    #[command(flatten)]
    pub words: Words,

    #[command(flatten)]
    pub filter: FilterFlags,

    /// Format of the output: live, trace, table, json, csv
    ///
    /// The default is live on a terminal, otherwise trace.
    #[arg(short, long, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<OutputKind>,

    /// The same as -o json
    #[arg(short, long, conflicts_with = "output", help_heading = "Output")]
    pub json: bool,

    /// Append a trace, JSON or CSV to this file instead of writing to standard output
    ///
    /// SIGHUP opens it again, so logrotate can move it away. A new file has mode 0640 without the bits of the umask.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub output_file: Option<PathBuf>,

    /// Show numbers instead of names of hosts and services
    ///
    /// Names in the packets themselves stay: the server name of QUIC, names in DNS messages.
    #[arg(short, long, overrides_with = "numeric", help_heading = "Output")]
    pub numeric: bool,

    /// Ask the resolvers of /etc/resolv.conf for names that udptrack has not seen in a DNS answer
    #[arg(long, conflicts_with = "numeric", help_heading = "Output")]
    pub resolve: bool,

    /// Events to write, separated by commas [default: all in a trace, new and end in the live view's trace pane, end in JSON, CSV, and with --status or --process]
    #[arg(
        short,
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub events: Vec<Kind>,

    #[command(flatten)]
    pub rows: RowFlags,

    /// Show the processes at the ends of each connection
    ///
    /// For tables, JSON and CSV. The live view always shows them.
    #[arg(short, long, help_heading = "Output")]
    pub processes: bool,

    /// Colours in the live view
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub color: Color,

    /// Colours of the live view [default: those of the terminal if it tells them, otherwise dark]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub theme: Option<Theme>,

    /// Write only warnings and errors to standard error
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Write more to standard error
    #[arg(short, long, action = ArgAction::SetTrue, overrides_with = "verbose", help_heading = "Output")]
    pub verbose: bool,

    /// Time between snapshots (live view, table, and JSON or CSV with -e data): 100ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = time::delay, help_heading = "Run")]
    pub delay: Duration,

    /// Stop after TIME: 1ms to 10000days
    #[arg(long, value_name = "TIME", value_parser = time::duration, help_heading = "Run")]
    pub duration: Option<Duration>,

    /// Stop after N events (trace, JSON, CSV) or N snapshots (live view, table, and JSON or CSV with -e data)
    #[arg(short, long, value_name = "N", value_parser = number::within(1_u64..), help_heading = "Run")]
    pub count: Option<u64>,

    /// Write one snapshot after TIME (1s), and exit
    ///
    /// A table, or records of all connections in JSON or CSV. TIME is 100ms to 1h.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1s",
        value_parser = time::delay,
        conflicts_with_all = ["delay", "duration", "count", "events"],
        help_heading = "Run"
    )]
    pub once: Option<Duration>,

    /// Set the exit status: 3 for a row, 4 for an alert
    ///
    /// With --once, unanswered, drops, dns or list: 3 if there was a row. With sockets: 3 if a socket dropped datagrams. With --alert:
    /// 4 if there was an alert; then rows do not count.
    #[arg(long, help_heading = "Run")]
    pub check: bool,

    /// Make room for at least N connections: 1 to 16777216
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = number::within(1_u32..=1 << 24), help_heading = "Table")]
    pub max_connections: u32,

    /// Make room for N addresses of each family in `ip_stats` and `ip6_stats`: 1 to 16777216
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = number::within(1_u32..=1 << 24), help_heading = "Table")]
    pub max_ips: u32,

    /// Do not publish the maps `connection_track`, `connection_stats`, `ip_stats` and `ip6_stats`
    #[arg(long, help_heading = "Table")]
    pub no_maps: bool,

    /// Do not count packets that this machine drops after udptrack counted them
    #[arg(long, help_heading = "Table")]
    pub no_drops: bool,

    /// Do not read payloads: guess protocols only by ports
    ///
    /// Without this flag, udptrack reads DNS messages, and the first four datagrams of each connection in each direction. From them it
    /// learns protocols, how DNS servers answer, and all names. It does not store them.
    #[arg(long, help_heading = "Table")]
    pub no_payload: bool,

    /// Count connections with the same ends separately on each interface, for links with equal addresses
    #[arg(long, help_heading = "Table")]
    pub per_interface: bool,

    /// End a connection after TIME without a packet: 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::timeout, help_heading = "Table")]
    pub udp_timeout: Duration,

    /// The same for an ASSURED connection (both ends have sent, for over two seconds): 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = time::timeout, help_heading = "Table")]
    pub stream_timeout: Duration,

    #[command(flatten)]
    pub captures: WriteFlags,

    #[command(flatten)]
    pub reading: ReadFlags,

    #[command(flatten)]
    pub export: ExportFlags,

    #[command(flatten)]
    pub act: ActFlags,

    #[command(flatten)]
    pub pins: PinFlags,

    #[command(flatten)]
    pub file: FileFlags,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show servers that leave requests unanswered, worst first
    Unanswered(Words),
    /// Check whether a run would work here, and what it would not see
    ///
    /// It takes the flags of the run, and shows the hooks that it would use. It changes nothing.
    Check(Words),
    /// Show the connections of another run, or those that --keep left
    List(Words),
    /// Show which UDP sockets drop datagrams, why, and what to do
    ///
    /// It shows all bound sockets of a network namespace, first those that drop most. It tracks no interface. On a terminal, it draws
    /// the table every second.
    Sockets,
    /// Show what this machine dropped, why, and of which process
    ///
    /// It has a row for each reason, process and server, most datagrams first. It counts datagrams that arrived but reached no socket,
    /// and datagrams that a queue dropped before they left.
    Drops(Words),
    /// Show DNS servers, how they answer, and which names fail
    ///
    /// It shows servers with their queries and answers by code, then the names that fail most, and those that clients ask for most. On
    /// a terminal, it draws the tables every second. It does not see DNS over TCP, TLS and HTTPS.
    Dns(Words),
    /// End tracking that --keep left
    Detach,
    /// Write completions for bash, zsh or fish
    ///
    /// It goes to standard output: source <(udptrack completions bash)
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page
    ///
    /// It goes to standard output: udptrack man | man -l -
    Man,
}

impl Arguments {
    /// A time behind --once, that was meant for it: no filter begins with one.
    pub fn time_without_equals(&self) -> Option<&str> {
        let words = self.words();
        let first = words.iter().find_map(|words| words.first())?;
        (self.once.is_some() && time::delay(first).is_ok()).then_some(first)
    }

    /// Words of a filter, before a subcommand and after it.
    pub fn words(&self) -> Vec<&Words> {
        let behind = self.command.as_ref().and_then(|command| match command {
            Command::Unanswered(words)
            | Command::Check(words)
            | Command::List(words)
            | Command::Drops(words)
            | Command::Dns(words) => Some(words),
            Command::Sockets | Command::Detach | Command::Completions { .. } | Command::Man => None,
        });
        std::iter::once(&self.words).chain(behind).collect()
    }
}

/// What is written down above: a subcommand has its own arguments alone.
pub(super) fn own_command() -> clap::Command {
    Arguments::command()
}

/// A subcommand takes every flag, before it and after it.
pub(super) fn command() -> clap::Command {
    own_command().mut_args(|argument| {
        let everywhere = !argument.is_positional();
        argument.global(everywhere)
    })
}
