//! Completions for shells, made from the command line itself.

use clap::Command;
use clap_complete::aot;

use super::arguments::own_command;
use super::choices::Shell;

/// A script that teaches a shell the commands, flags and words.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut offered(), "udptrack", &mut script);
    script
}

/// What can be completed. Not the words of a filter: they are no file names, and in zsh would hide the commands.
fn offered() -> Command {
    let own = own_command();
    let flags = own
        .get_arguments()
        .filter(|argument| !argument.is_positional() && !argument.is_hide_set());
    Command::new("udptrack")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(flags.cloned().map(|flag| flag.global(true)))
        .subcommands(own.get_subcommands().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_every_flag_and_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell)).unwrap();
            for argument in own_command().get_arguments() {
                if let Some(long) = argument.get_long() {
                    assert!(script.contains(long), "{shell:?} {long}");
                }
            }
            for command in own_command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?} {command}");
            }
        }
    }
}
