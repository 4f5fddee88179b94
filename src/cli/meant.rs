//! Suggestions for unknown words.

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::arguments::own_command;
use crate::model::text::closest;

/// So like must two words be, of 1 for the same.
const LIKE: f64 = 0.8;
/// What some look for under another name.
const OTHERS: [(&str, &str); 5] = [
    ("top", "the live view (udptrack without a command)"),
    ("version", "the flag --version"),
    ("ls", "the command `list`"),
    ("show", "the command `list`"),
    ("stop", "the command `detach`"),
];

/// What tcpdump's names of captures end with, and Wireshark's.
const CAPTURES: [&str; 6] = ["pcap", "pcapng", "cap", "dump", "gz", "zst"];
/// Flags of tcpdump that are called otherwise here.
const FLAGS: [(&str, &str); 1] = [("-s", "use --snaplen N to cut frames")];

/// A flag that is not known is no word of a filter, whatever clap says; tcpdump may have it.
pub(super) fn with_flag_meant(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    error.remove(ContextKind::Suggested);
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if let Some((_, meant)) = FLAGS.iter().find(|(flag, _)| flag == given) {
        let tip = clap::builder::StyledStr::from(*meant);
        let tips = ContextValue::StyledStrs(vec![tip]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// What to say where a word of the filter is none, but the name of a file or, as `is_interface` knows, of an interface.
#[must_use]
pub fn input_meant(word: &str, is_interface: impl Fn(&str) -> bool) -> Option<String> {
    let path = Path::new(word);
    let ending = path.extension().and_then(std::ffi::OsStr::to_str);
    if path.is_file() || ending.is_some_and(|ending| CAPTURES.contains(&ending)) {
        return Some("is a file meant? -r FILE, once for each".to_owned());
    }
    is_interface(word).then(|| format!("is the interface meant? -i {word}"))
}

/// What to say where the first word of the command line is like a command.
#[must_use]
pub fn command_meant(word: &str) -> Option<String> {
    let own = own_command();
    let commands = own.get_subcommands().map(clap::Command::get_name);
    let commands: Vec<&str> = commands.chain(["help"]).collect();
    let other = OTHERS.iter().find(|(other, _)| *other == word);
    let meant = match other {
        Some((_, meant)) => (*meant).to_owned(),
        None => format!("the command `{}`", closest(word, commands.iter(), LIKE)?),
    };
    Some(format!(
        "unknown word {word:?}: do you mean {meant}? Commands: {}",
        commands.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_interfaces_are_no_words_of_a_filter() {
        let meant = |word: &str| input_meant(word, |name| name == "eth0");
        let file = Some("is a file meant? -r FILE, once for each".to_owned());
        for word in ["a.pcap", "x/a.pcapng", "a.cap", "a.pcap.gz", "Cargo.toml"] {
            assert_eq!(meant(word), file, "{word}");
        }
        let interface = Some("is the interface meant? -i eth0".to_owned());
        assert_eq!(meant("eth0"), interface);
        for word in ["eth1", "src", "a.org", "", ".pcap", "10.0.0.1"] {
            assert_eq!(meant(word), None, "{word}");
        }
    }

    #[test]
    fn commands_that_are_close_are_suggested() {
        for (word, meant) in [
            ("lst", "do you mean the command `list`?"),
            ("list", "do you mean the command `list`?"),
            ("chek", "do you mean the command `check`?"),
            ("unaswered", "do you mean the command `unanswered`?"),
            ("answered", "do you mean the command `unanswered`?"),
            ("detatch", "do you mean the command `detach`?"),
            ("hlep", "do you mean the command `help`?"),
            (
                "top",
                "do you mean the live view (udptrack without a command)?",
            ),
            ("version", "do you mean the flag --version?"),
        ] {
            let said = command_meant(word).unwrap();
            let expected = format!(
                "unknown word {word:?}: {meant} Commands: unanswered, check, list, sockets, drops, dns, detach, completions, man, help"
            );
            assert_eq!(said, expected);
        }
        for word in [
            "hots",
            "prot",
            "53",
            "10.0.0.1",
            "mac",
            "tcp",
            "",
            "\u{1b}[2J",
        ] {
            assert_eq!(command_meant(word), None, "{word}");
        }
    }
}
