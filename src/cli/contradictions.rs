//! What contradicts itself is refused, with the way out.

use super::arguments::{Arguments, Command};
use super::choices::{EventKind, Hook, OutputKind, XdpMode};

/// Refuses what contradicts itself, with the way out, and returns which output it is.
pub(super) fn check(arguments: &Arguments, terminal: bool) -> Result<OutputKind, String> {
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
