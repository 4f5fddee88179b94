//! Configuration files: TOML whose keys are the long flags. Each becomes the flag that it is named after, before those of
//! the command line and of later files, which go before it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args};
use toml::de::{DeTable, DeValue};

use super::arguments::command;
use crate::model::text::closest;

/// More than anybody writes by hand.
const LARGEST: u64 = 1 << 20;
/// Flags that mean nothing in a file.
const NO_KEYS: [&str; 5] = ["config", "help", "version", "list-interfaces", "words"];

/// The flag itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(super) struct FileFlags {
    /// Read flags from a TOML file, in which each long flag is a key (`iface = ["eth0"]`, `udp-timeout = "1m"`); flags on the
    /// command line override it. Repeat it: a later file overrides an earlier one. `--config=-FILE` reads a file only if it exists. SIGHUP reads the files again
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Vec<PathBuf>,
}

/// The flags that a file has and `given` has not, as arguments. `given` is the command line with what later files add to it.
/// A file whose path begins with `-` need not be there, as in units of systemd. Errors name file, line and key.
pub(super) fn flags(path: &Path, given: &ArgMatches) -> Result<Vec<OsString>, String> {
    let optional = path.as_os_str().as_bytes().strip_prefix(b"-");
    let path = optional.map_or(path, |path| Path::new(OsStr::from_bytes(path)));
    if optional.is_some() && matches!(path.try_exists(), Ok(false)) {
        return Ok(Vec::new());
    }
    let text = read(path)?;
    let place = |at: usize| format!("{}:{}", path.display(), line(&text, at));
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{}: {}", place(at), error.message())
    })?;
    let command = command();
    let mut flags = Vec::new();
    for (key, value) in table.get_ref() {
        let place = place(key.span().start);
        let name = key.get_ref().as_ref();
        let argument = find(&command, name).map_err(|message| format!("{place}: {message}"))?;
        let arguments = arguments(argument, name, value.get_ref())
            .map_err(|message| format!("{place}: {name}: {message}"))?;
        // Alone first: what is wrong with it is then known to be this line.
        let alone = [OsString::from("udptrack")]
            .into_iter()
            .chain(arguments.clone());
        command
            .clone()
            .try_get_matches_from(alone)
            .map_err(|error| format!("{place}: {}", first_line(&error)))?;
        if !is_overruled(&command, argument, given) {
            flags.extend(arguments);
        }
    }
    Ok(flags)
}

fn read(path: &Path) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(|error| wrong(&error))?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong(&"the file has more than a megabyte"));
    }
    Ok(text)
}

/// The number of the line that a byte is in.
fn line(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// The flag that a key names.
fn find<'a>(command: &'a clap::Command, name: &str) -> Result<&'a Arg, String> {
    let names = |argument: &Arg| {
        let mut names = argument.get_long_and_visible_aliases().unwrap_or_default();
        names.retain(|name| !NO_KEYS.contains(name));
        names
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let found = command
        .get_arguments()
        .find(|argument| names(argument).iter().any(|known| known == name));
    found.ok_or_else(|| {
        if NO_KEYS.contains(&name) {
            return format!("{name} does not work in a configuration file");
        }
        match closest(name, command.get_arguments().flat_map(names), 0.7) {
            Some(known) => format!("unknown key {name:?}. Do you mean {known}?"),
            None => format!("unknown key {name:?}. Keys are the long flags of udptrack --help"),
        }
    })
}

/// The arguments that a key and its value stand for.
fn arguments(argument: &Arg, name: &str, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    if !argument.get_action().takes_values() {
        return match value.as_bool() {
            Some(true) => Ok(vec![format!("--{name}").into()]),
            Some(false) => Ok(Vec::new()),
            None => Err("write true or false".to_owned()),
        };
    }
    let takes_many = matches!(argument.get_action(), ArgAction::Append);
    match value.as_array() {
        Some(values) if takes_many => values
            .iter()
            .map(|value| flag(name, value.get_ref()))
            .collect(),
        Some(_) => Err("write one value, not a list".to_owned()),
        None => Ok(vec![flag(name, value)?]),
    }
}

fn flag(name: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    let text = if let Some(text) = value.as_str() {
        text.to_owned()
    } else if let Some(integer) = value.as_integer() {
        integer.to_string()
    } else if let Some(float) = value.as_float() {
        float.to_string()
    } else {
        return Err(format!(
            "write a text or a number, not a {}",
            value.type_str()
        ));
    };
    Ok(format!("--{name}={text}").into())
}

/// Whether the command line has this flag, or one that cannot stand beside it.
fn is_overruled(command: &clap::Command, argument: &Arg, given: &ArgMatches) -> bool {
    let is_given = |id: &str| {
        let here = |matches: &ArgMatches| {
            matches.try_contains_id(id).is_ok()
                && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        here(given) || given.subcommand().is_some_and(|(_, matches)| here(matches))
    };
    let id = argument.get_id().as_str();
    let opposed = |other: &Arg| {
        let conflicts = |one: &Arg, other: &Arg| {
            command
                .get_arg_conflicts_with(one)
                .iter()
                .any(|conflict| conflict.get_id() == other.get_id())
        };
        conflicts(argument, other) || conflicts(other, argument)
    };
    is_given(id)
        || (id == "filter" && is_given("words"))
        || command
            .get_arguments()
            .any(|other| opposed(other) && is_given(other.get_id().as_str()))
}

/// What an error of clap says, without its usage.
pub(crate) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, OutputKind, Task, parse};
    use std::time::Duration;

    /// The command line with a file of this text.
    fn parsed(text: &str, line: &str) -> Result<Config, String> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "udptrack-config-{}-{}.toml",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let line = format!("udptrack --config {} {line}", path.display());
        let task = parse(line.split_whitespace(), false);
        std::fs::remove_file(&path).unwrap();
        match task {
            Ok(Task::Run(config)) => Ok(*config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2);
                let text = error.to_string();
                Err(text.replace(&path.display().to_string(), "FILE"))
            }
        }
    }

    fn refusal(text: &str) -> String {
        parsed(text, "").unwrap_err()
    }

    #[test]
    fn keys_are_flags() {
        let text = "# a comment\niface = [\"a\", \"b\"]\noutput = \"csv\"\nudp-timeout = \"1m\"\ndelay = 2.5\n\
                    max-connections = 65536\nno-egress = true\nquiet = false\nfilter = \"port 53\"\n";
        let config = parsed(text, "").unwrap();
        assert_eq!(config.interfaces, ["a", "b"]);
        assert_eq!(config.output, OutputKind::Csv);
        assert_eq!(config.udp_timeout, Duration::from_secs(60));
        assert_eq!(config.delay, Duration::from_millis(2500));
        assert_eq!(config.max_connections, 65536);
        assert!(!config.egress && !config.quiet);
        assert_eq!(config.filter.as_deref(), Some("port 53"));
        assert_eq!(config.files.len(), 1);
    }

    #[test]
    fn the_command_line_goes_before_it() {
        let text = "iface = [\"a\", \"b\"]\noutput = \"csv\"\nverbose = true\nfilter = \"port 53\"\ndelay = \"2s\"";
        let config = parsed(text, "-i c -j -q port 99").unwrap();
        assert_eq!(config.interfaces, ["c"]);
        assert_eq!(config.output, OutputKind::Json);
        assert!(config.quiet && !config.verbose);
        assert_eq!(config.filter.as_deref(), Some("port 99"));
        assert_eq!(config.delay, Duration::from_secs(2));
        let after = parsed(text, "unanswered -o table -d 5s").unwrap();
        assert_eq!(after.delay, Duration::from_secs(5));
        assert_eq!(after.output, OutputKind::Table);
    }

    #[test]
    fn a_later_file_goes_before_an_earlier_one_and_may_be_missing() {
        let folder = std::env::temp_dir();
        let file = |name: &str, text: &str| {
            let path = folder.join(format!("udptrack-{name}-{}.toml", std::process::id()));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let common = file(
            "common",
            "iface = [\"a\", \"b\"]\nmetrics = \"127.0.0.1:1\"\nverbose = true\ndelay = \"2s\"\nmax-ips = 7",
        );
        let own = file(
            "own",
            "metrics = \"127.0.0.1:2\"\nquiet = true\ndelay = \"3s\"",
        );
        let checked = |more: &[&str]| {
            let line = ["udptrack", "check", "--config", &common];
            match parse([&line, more].concat(), false) {
                Ok(Task::Check { config, .. }) => Ok(*config),
                Ok(_) => panic!("this is a check"),
                Err(error) => Err(error.to_string()),
            }
        };
        let required = format!("--config={own}");
        let optional = format!("--config=-{own}");
        let config = checked(&[&optional, "-i", "c"]).unwrap();
        assert_eq!(config.interfaces, ["c"]);
        assert_eq!(config.export.metrics.unwrap().port(), 2);
        assert!(config.quiet && !config.verbose);
        assert_eq!(config.delay, Duration::from_secs(3));
        assert_eq!((config.max_ips, config.files.len()), (7, 2));
        assert_eq!(checked(&[&required]).unwrap().interfaces, ["a", "b"]);

        std::fs::write(&own, "metrics = 3").unwrap();
        let error = checked(&[&optional]).unwrap_err();
        assert!(error.contains(&format!("{own}:1: ")), "{error}");
        std::fs::remove_file(&own).unwrap();
        let error = checked(&[&required]).unwrap_err();
        assert!(error.contains(&format!("cannot read {own}: ")), "{error}");
        let alone = checked(&[&optional]).unwrap();
        assert_eq!(alone.export.metrics.unwrap().port(), 1);
        std::fs::remove_file(&common).unwrap();
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, expected) in [
            (
                "\n\ntimout = 3",
                "FILE:3: unknown key \"timout\". Do you mean ",
            ),
            (
                "iface = \"a\"\nzzz = 3",
                "FILE:2: unknown key \"zzz\". Keys are",
            ),
            (
                "udp-timeout = \"soon\"",
                "FILE:1: invalid value 'soon' for '--udp-timeout",
            ),
            ("max-ips = -1", "FILE:1: invalid value '-1'"),
            ("quiet = \"yes\"", "FILE:1: quiet: write true or false"),
            ("delay = [1, 2]", "FILE:1: delay: write one value"),
            (
                "iface = [[\"a\"]]",
                "FILE:1: iface: write a text or a number, not a",
            ),
            (
                "[iface]\na = 1",
                "FILE:1: iface: write a text or a number, not a",
            ),
            (
                "config = \"x\"",
                "FILE:1: config does not work in a configuration file",
            ),
            ("help = true", "FILE:1: help does not work"),
            ("a = \n", "FILE:1: "),
            ("delay = 1\ndelay = 2", "FILE:2: "),
            ("\u{0}", "FILE:1: "),
            ("hook = \"tc\"\nxdp-mode = \"native\"", "--xdp-mode needs"),
        ] {
            let error = refusal(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read() {
        let missing = parse(["udptrack", "--config", "/nonexistent/x"], false).unwrap_err();
        assert!(missing.to_string().contains("cannot read /nonexistent/x"));
        let folder = parse(["udptrack", "--config", "/"], false).unwrap_err();
        assert!(folder.to_string().contains("cannot read /"));
        assert!(refusal(&"#".repeat((1 << 20) + 1)).contains("more than a megabyte"));
    }
}
