//! The command line: clap structs to a validated [`Config`]. Knows no other room.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, ValueEnum};

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
    /// What is written to standard output.
    pub output: OutputKind,
    /// Which events are written.
    pub events: Vec<EventKind>,
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
    /// A line per event
    Trace,
    /// All connections, every --delay
    Table,
    /// JSON lines like Suricata's EVE
    Json,
}

/// `--events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventKind {
    /// The first packet of a connection
    New,
    /// Each later packet (in JSON: what each connection did since the last --delay)
    Data,
    /// The end of a connection
    End,
}

const EXAMPLES: &str = "\
Examples:
  sudo udptrack -i eth0                    a line for each packet, and for each end of a connection
  sudo udptrack -i eth0 -e new,end         only first packets and ends
  sudo udptrack -i eth0 -o table -d 2s     who talks to whom, every two seconds
  sudo udptrack -i any -j >flows.json      a JSON record for each connection that ended
  sudo udptrack -j -q --duration 10s       ten seconds of the default interface

Ctrl-C ends a run; the books (seen = tracked + skipped) then go to standard error.
Exit status: 0 fine, 1 it failed, 2 wrong usage.";

/// Shows every UDP connection that crosses an interface: who talks to whom, how much, whether anyone answers.
#[derive(Debug, Parser)]
#[command(name = "udptrack", version, after_help = EXAMPLES, max_term_width = 100)]
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

    /// What to write to standard output
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "trace",
        help_heading = "Output"
    )]
    output: OutputKind,

    /// The same as -o json
    #[arg(short, long, conflicts_with = "output", help_heading = "Output")]
    json: bool,

    /// Events to write, separated by commas [default: all in a trace, end in JSON]
    #[arg(
        short,
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    events: Vec<EventKind>,

    /// Nothing on standard error but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,

    /// More on standard error
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Output")]
    verbose: bool,

    /// Time between snapshots (table, and JSON with -e data): 100ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = delay, help_heading = "Run")]
    delay: Duration,

    /// End after so long: 1ms to 10000days
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Run")]
    duration: Option<Duration>,

    /// End after so many events (trace, JSON) or snapshots (table, and JSON with -e data)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    count: Option<u64>,

    /// Room for so many connections: 1 to 67108864
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 26), help_heading = "Table")]
    max_connections: u32,

    /// Room for so many addresses of each family: 1 to 16777216
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 24), help_heading = "Table")]
    max_ips: u32,

    /// End a connection that is idle for so long: 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout, help_heading = "Table")]
    udp_timeout: Duration,

    /// The same for one that was answered and lasted over two seconds: 1s to 1day
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = timeout, help_heading = "Table")]
    stream_timeout: Duration,
}

/// Parses the command line. The error prints itself and knows its exit status: 2 for wrong usage, 0 for --help.
pub fn parse<I>(arguments: I) -> Result<Config, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let arguments = Arguments::try_parse_from(arguments)?;
    let output = if arguments.json {
        OutputKind::Json
    } else {
        arguments.output
    };
    let wrong =
        |message: &str| Err(Arguments::command().error(ErrorKind::ArgumentConflict, message));
    if arguments.hook == Hook::Tc && arguments.xdp_mode != XdpMode::Auto {
        return wrong("--xdp-mode needs --hook xdp or --hook auto");
    }
    if output == OutputKind::Table && !arguments.events.is_empty() {
        return wrong("--events needs a trace or JSON: a table shows connections, not events");
    }
    Ok(Config {
        list_interfaces: arguments.list_interfaces,
        interfaces: arguments.iface,
        hook: arguments.hook,
        xdp_mode: arguments.xdp_mode,
        egress: !arguments.no_egress,
        output,
        events: events(output, arguments.events),
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

/// The kinds asked for, or those that the output has by itself.
fn events(output: OutputKind, asked: Vec<EventKind>) -> Vec<EventKind> {
    match output {
        _ if !asked.is_empty() => asked,
        OutputKind::Trace => vec![EventKind::New, EventKind::Data, EventKind::End],
        OutputKind::Json => vec![EventKind::End],
        OutputKind::Table => Vec::new(),
    }
}

/// A time such as `30s`, `1m 30s`, `500ms`; a bare number is seconds.
fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 30s, 500ms or 2m"))
}

fn time_between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = time(text)?;
    if time < least || time > most {
        return Err(format!(
            "not between {} and {}",
            humantime::format_duration(least),
            humantime::format_duration(most)
        ));
    }
    Ok(time)
}

const HOUR: Duration = Duration::from_secs(3600);

fn delay(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(100), HOUR)
}

fn duration(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(1), HOUR * 24 * 10_000)
}

fn timeout(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_secs(1), HOUR * 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(line: &str) -> Config {
        parse(line.split_whitespace()).unwrap()
    }

    fn refusal(line: &str) -> String {
        let error = parse(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn interfaces_by_repetition_and_commas() {
        assert_eq!(
            config("udptrack -i a,b --interface c").interfaces,
            ["a", "b", "c"]
        );
        assert!(config("udptrack").interfaces.is_empty());
    }

    #[test]
    fn defaults_are_those_of_netfilter() {
        let config = config("udptrack");
        assert_eq!(config.udp_timeout, Duration::from_secs(30));
        assert_eq!(config.stream_timeout, Duration::from_secs(120));
        assert_eq!(config.max_connections, 8192);
        assert_eq!(config.max_ips, 1024);
    }

    #[test]
    fn events_default_to_what_the_output_shows() {
        use EventKind::{Data, End, New};
        assert_eq!(config("udptrack").events, [New, Data, End]);
        assert_eq!(config("udptrack -j").events, [End]);
        assert_eq!(config("udptrack -o table").events, []);
        assert_eq!(config("udptrack -j -e new,data").events, [New, Data]);
    }

    #[test]
    fn bare_numbers_are_seconds() {
        assert_eq!(config("udptrack -d 0.5").delay, Duration::from_millis(500));
        assert_eq!(
            config("udptrack -d 500ms").delay,
            Duration::from_millis(500)
        );
    }

    #[test]
    fn out_of_range_names_the_range() {
        assert!(refusal("udptrack --max-connections 0").contains("1..=67108864"));
        assert!(refusal("udptrack --max-ips 16777217").contains("1..=16777216"));
        assert!(refusal("udptrack -d 1ms").contains("100ms and 1h"));
        assert!(refusal("udptrack --udp-timeout 0").contains("1s and 1day"));
        assert!(refusal("udptrack --udp-timeout soon").contains("30s"));
        assert!(refusal("udptrack --duration 0").contains("1ms and"));
        assert!(refusal("udptrack -c 0").contains("1.."));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(refusal("udptrack --hook tc --xdp-mode native").contains("--xdp-mode"));
        assert!(refusal("udptrack -o table -e new").contains("--events"));
        assert!(refusal("udptrack -q -v").contains("--verbose"));
        assert!(refusal("udptrack -j -o table").contains("--output"));
    }
}
