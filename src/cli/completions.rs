//! Completions for shells. A script of a few lines asks the program itself, at each Tab, what may stand there: so what is
//! offered is what this version takes, on this machine, at this moment.

use clap::{Arg, Command, ValueEnum as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};

use super::choices::Shell;
use super::help::meaningful;
use crate::model::SortKey;

/// The variable by which a script says that it asks, and for which shell.
const VARIABLE: &str = "UDPTRACK_COMPLETE";
const NAME: &str = "udptrack";
/// The words of a filter that can stand where it begins, or goes on.
const FILTER: [&str; 12] = [
    "host",
    "net",
    "port",
    "portrange",
    "src",
    "dst",
    "ip",
    "ip6",
    "vlan",
    "not",
    "and",
    "or",
];

/// Behind the script of bash: to bash the = of `--sort=rate` is a word of its own. And what is not known is no file's name.
const BASH: &str = r#"
_udptrack() {
    local at=$COMP_CWORD
    [[ ${COMP_WORDS[at]} == "=" ]] || at=$((at - 1))
    if ((at > 1)) && [[ ${COMP_WORDS[at]} == "=" ]]; then
        local flag="${COMP_WORDS[at - 1]}="
        local -a COMP_WORDS=("${COMP_WORDS[@]:0:at - 1}" "$flag$2")
        local COMP_CWORD=$((at - 1))
        _clap_complete_udptrack "$1" "$flag$2"
        COMPREPLY=("${COMPREPLY[@]#"$flag"}")
    else
        _clap_complete_udptrack "$@"
    fi
}
complete -r udptrack
complete -o nospace -o nosort -F _udptrack udptrack 2>/dev/null || complete -o nospace -F _udptrack udptrack
"#;
/// Behind that of zsh: where it was found by its name, nothing else would answer the first Tab.
const ZSH: &str = r#"
if [[ $funcstack[1] == _udptrack ]]; then _clap_dynamic_completer_udptrack "$@"; fi
"#;

/// What is there just now, for flags whose values are names of it.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Names of interfaces.
    pub interfaces: fn() -> Vec<String>,
    /// Names of network namespaces.
    pub namespaces: fn() -> Vec<String>,
    /// Names of runs that can be listed.
    pub runs: fn() -> Vec<String>,
    /// Names of rules of alerts.
    pub rules: fn() -> Vec<String>,
}

/// A script that teaches a shell to ask.
pub fn completions(shell: Shell) -> std::io::Result<Vec<u8>> {
    let (shell, more): (&dyn EnvCompleter, _) = match shell {
        Shell::Bash => (&Bash, BASH),
        Shell::Zsh => (&Zsh, ZSH),
        Shell::Fish => (&Fish, ""),
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    script.extend(more.bytes());
    Ok(script)
}

/// If it is a shell that calls, answers it and ends the process.
pub fn answer_shell(live: Live) {
    CompleteEnv::with_factory(|| offering(live))
        .var(VARIABLE)
        .shells(Shells(&[&Bash, &Zsh, &Fish]))
        .complete();
}

/// The command line, with what can stand behind each flag.
fn offering(live: Live) -> Command {
    let values = move |argument: Arg| {
        let candidates = match argument.get_id().as_str() {
            "iface" => named(move || [(live.interfaces)(), vec!["any".to_owned()]].concat()),
            "netns" => named(live.namespaces),
            "name" => named(live.runs),
            "alert" => named(live.rules),
            "sort" => ArgValueCandidates::new(sort_keys),
            "words" => named(|| FILTER.map(str::to_owned).to_vec()),
            _ => return argument,
        };
        argument.add(candidates)
    };
    meaningful()
        .mut_args(values)
        .mut_subcommands(move |subcommand| subcommand.mut_args(values))
}

/// Names, as far as a shell takes them for nothing but names: it does not quote what it completes.
fn named(names: impl Fn() -> Vec<String> + Send + Sync + 'static) -> ArgValueCandidates {
    let is_plain = |name: &String| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:@+".contains(c);
        name.chars().all(fits) && !name.starts_with('-')
    };
    ArgValueCandidates::new(move || {
        let names = names().into_iter().filter(is_plain);
        names.map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

fn sort_keys() -> Vec<CompletionCandidate> {
    let values = SortKey::value_variants()
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value);
    values
        .map(|value| CompletionCandidate::new(value.get_name()).help(value.get_help().cloned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap_complete::engine::complete;

    use super::super::arguments::own_command;
    use super::*;

    const LIVE: Live = Live {
        interfaces: || {
            vec![
                "eth0".to_owned(),
                "$(reboot)".to_owned(),
                "e\x07".to_owned(),
            ]
        },
        namespaces: || vec!["blue".to_owned(), "-x".to_owned()],
        runs: || vec!["eth0-2".to_owned()],
        rules: || vec!["udp-flood".to_owned()],
    };

    /// What is offered for the last word.
    fn offered(line: &str) -> Vec<String> {
        let words: Vec<_> = line.split(' ').map(Into::into).collect();
        let last = words.len() - 1;
        let candidates = complete(&mut offering(LIVE), words, last, None).unwrap();
        let texts = candidates.iter().map(CompletionCandidate::get_value);
        texts
            .map(|text| text.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn live_values_are_offered_before_and_behind_a_command() {
        for command in ["", "unanswered ", "check "] {
            let behind = |words: &str| offered(&format!("udptrack {command}{words}"));
            assert_eq!(behind("-i "), ["eth0", "any"]);
            assert_eq!(behind("-i eth0,"), ["eth0,eth0", "eth0,any"]);
            assert_eq!(behind("--interface=e"), [""; 0]);
            assert_eq!(behind("--iface=e"), ["--iface=eth0"]);
            assert_eq!(behind("-N "), ["blue"]);
            assert_eq!(behind("--name "), ["eth0-2"]);
            assert_eq!(behind("--alert "), ["udp-flood"]);
            assert_eq!(behind("--sort re"), ["reply-rate", "response", "responder"]);
            assert_eq!(behind("port 53 an"), ["and"]);
        }
        assert_eq!(offered("udptrack list --name "), ["eth0-2"]);
        assert!(offered("udptrack --by ").contains(&"process".to_owned()));
    }

    #[test]
    fn commands_come_first_and_flags_last() {
        let all = offered("udptrack ");
        assert_eq!(all[..2], ["unanswered", "check"]);
        for argument in own_command().get_arguments() {
            if let Some(long) = argument.get_long() {
                assert!(all.contains(&format!("--{long}")), "{long}");
            }
        }
        let shells = offered("udptrack completions ");
        assert_eq!(shells, ["bash", "zsh", "fish", "--help"]);
        assert!(!offered("udptrack list --").contains(&"--iface".to_owned()));
    }

    #[test]
    fn no_file_is_offered_but_where_one_is_meant() {
        let flags = own_command();
        let takes_values = flags
            .get_arguments()
            .filter(|argument| argument.get_action().takes_values());
        for long in takes_values.filter_map(Arg::get_long) {
            let files = offered(&format!("udptrack --{long} /proc/se"));
            let expected = match long {
                // One of an executable, too, and a folder leads there.
                "config" | "exec" | "output-file" | "read" | "write" | "record-on-alert" => {
                    vec!["/proc/self/".to_owned()]
                }
                _ => Vec::new(),
            };
            assert_eq!(files, expected, "{long}");
        }
    }
}
