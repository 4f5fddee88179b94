//! Flags of captures that are read, in place of interfaces.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::arguments::{Arguments, Command};
use crate::model::{Field, HookChoice, SortKey, XdpMode};

/// The slowest and the fastest, as many times as it was.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;
/// What `--once` has without a time.
const ONCE: Duration = Duration::from_secs(1);

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Captures")]
pub(super) struct ReadFlags {
    /// Read packets from a capture; `-` is standard input
    ///
    /// It replaces the interface. Formats are pcap and pcapng, also packed with gzip or zstd. Repeat it for several captures: their packets
    /// come in the order of their times. All times are those of the capture, and --once shows the whole capture. It needs the rights of a
    /// run, but no interface.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) read: Vec<PathBuf>,

    /// Play the capture N times as fast as it was recorded: 0.001 to 1000 [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = speed)]
    pub(super) speed: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.trim_end_matches('x').parse();
    speed
        .ok()
        .filter(|speed| SPEEDS.contains(speed))
        .ok_or_else(|| "write it as a number between 0.001 and 1000".to_owned())
}

/// Refuses flags that do not work with a capture, with the reason.
pub(super) fn check(arguments: &Arguments) -> Result<(), String> {
    let flags = &arguments.reading;
    if flags.read.is_empty() {
        return match flags.speed {
            Some(_) => {
                Err("--speed needs -r: it is the speed at which a capture is played".to_owned())
            }
            None => Ok(()),
        };
    }
    let command = match &arguments.command {
        Some(Command::Drops(_)) => {
            Some(("drops", "a capture does not have what a machine dropped"))
        }
        Some(Command::Check(_)) => Some(("check", "it checks a run on interfaces")),
        _ => None,
    };
    if let Some((command, why)) = command {
        return Err(format!("-r does not work with udptrack {command}: {why}"));
    }
    if flags
        .read
        .iter()
        .filter(|path| path.as_os_str() == "-")
        .count()
        > 1
    {
        return Err("-r - reads standard input, so you can give it only once".to_owned());
    }
    if arguments.once.is_some_and(|once| once != ONCE) {
        return Err(
            "with -r, --once shows the whole capture, so it takes no time. -o table -d TIME shows the capture after each TIME"
                .to_owned(),
        );
    }
    let rows = &arguments.rows;
    let by_process = rows.by == Some(Field::Process)
        || rows.sort.is_some_and(|sort| sort.key == SortKey::Process);
    let (interface, hook, process, pin) = (
        "the packets come from the capture",
        "a capture needs no hook",
        "a capture does not have the processes of its packets",
        "a capture pins nothing in the kernel",
    );
    let without_meaning = [
        (!arguments.iface.is_empty(), "--iface", interface),
        (arguments.netns.is_some(), "--netns", interface),
        (arguments.hook != HookChoice::Auto, "--hook", hook),
        (arguments.xdp_mode != XdpMode::Auto, "--xdp-mode", hook),
        (arguments.no_egress, "--no-egress", hook),
        (arguments.processes, "--processes", process),
        (rows.has_process(), "--process", process),
        (by_process, "--by process or --sort process", process),
        (arguments.pins.keep, "--keep", pin),
        (arguments.pins.name.is_some(), "--name", pin),
    ];
    match without_meaning.iter().find(|(is_given, ..)| *is_given) {
        Some((_, flag, why)) => Err(format!("{flag} does not work with -r: {why}")),
        None => Ok(()),
    }
}
