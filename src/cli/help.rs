//! `-h` is a page that fits on a screen, `--help` has everything: both are made from the definition of the command line.

use clap::{Arg, Command};

use super::arguments;
use super::contradictions::with_meaning;

/// The flags that `-h` shows, in this order, where a subcommand has no fewer.
const FLAGS: [&str; 11] = [
    "iface",
    "read",
    "output",
    "by",
    "sort",
    "top",
    "processes",
    "numeric",
    "once",
    "duration",
    "alert",
];
/// How many of the examples it shows.
const EXAMPLES: usize = 4;

/// The command line, with a short page for `-h`.
pub(super) fn command() -> Command {
    with_pages(meaningful())
}

/// The command line, whose subcommands hide the flags that mean nothing to them.
pub(super) fn meaningful() -> Command {
    let mut all = arguments::command();
    all.build();
    all.mut_subcommands(|command| match with_meaning(command.get_name()) {
        None => command,
        Some(flags) => command.mut_args(|argument| {
            let has_meaning = is_always_there(&argument) || flags.contains(&id(&argument));
            argument.hide(!has_meaning)
        }),
    })
}

/// clap has one template for both pages, but what stands before them is each page's own.
fn with_pages(command: Command) -> Command {
    let long = command.clone().render_long_help();
    let short = brief(command.clone()).render_help();
    command
        .mut_subcommands(with_pages)
        .help_template("{before-help}")
        .before_help(short)
        .before_long_help(long)
}

/// One list of flags, a line each.
fn brief(command: Command) -> Command {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let examples = command.get_after_help().map(|text| {
        let text = text.to_string();
        let some: Vec<&str> = text.lines().take(1 + EXAMPLES).collect();
        some.join("\n")
    });
    let is_whole = with_meaning(command.get_name()).is_some();
    command
        .override_usage(usage)
        .mut_args(|argument| {
            if is_whole {
                return one_line(argument, "Options");
            }
            let place = FLAGS.iter().position(|flag| *flag == id(&argument));
            one_line(argument, "Options (--help has all)")
                .display_order(place.unwrap_or_default())
                .hide(place.is_none())
        })
        .after_help(examples.unwrap_or_default())
}

fn one_line(argument: Arg, heading: &'static str) -> Arg {
    argument
        .help_heading(heading)
        .hide_default_value(true)
        .hide_possible_values(true)
}

fn is_always_there(argument: &Arg) -> bool {
    argument.is_positional() || id(argument) == "help"
}

fn id(argument: &Arg) -> &str {
    argument.get_id().as_str()
}
