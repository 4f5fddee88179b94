//! Suggestions for unknown words.

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
