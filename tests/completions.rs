//! What bash, zsh and fish offer, asked in these shells themselves: names of what is there now, and no names of files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::bpffs::{Bpffs, UDPTRACK};
use common::netns::Pair;
use common::run::Udptrack;
use common::{SOON, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_udptrack");

/// A shell, and what makes it write what it offers for the last of some words, one a line.
struct Shell {
    program: &'static str,
    arguments: &'static [&'static str],
}

/// It is called with the words as bash has them: an = is one of its own.
const BASH: Shell = Shell {
    program: "bash",
    arguments: &[
        "-c",
        r#"
source <(udptrack completions bash)
[[ "$(complete -p udptrack)" == *" -F _udptrack udptrack" ]] || exit
COMP_WORDS=() COMP_CWORD=-1
for word; do
    while [[ $word == -*=* ]]; do
        COMP_WORDS+=("${word%%=*}" "=") COMP_CWORD=$((COMP_CWORD + 2)) word=${word#*=}
    done
    [[ -z $word && ${COMP_WORDS[-1]} == "=" ]] || COMP_WORDS+=("$word") COMP_CWORD=$((COMP_CWORD + 1))
done
_udptrack udptrack "$word"
printf '%s\n' "${COMPREPLY[@]}"
"#,
        "bash",
    ],
};

/// As at the first Tab, where the file was found by its name.
const ZSH: Shell = Shell {
    program: "zsh",
    arguments: &[
        "-f",
        "-c",
        r#"
compdef() { }
_describe() { print -l -- "${(@P)3}"; }
functions[_udptrack]="$(udptrack completions zsh)"
words=("$@") CURRENT=$#
_udptrack
"#,
        "zsh",
    ],
};

const FISH: Shell = Shell {
    program: "fish",
    arguments: &[
        "--no-config",
        "-c",
        r#"udptrack completions fish | source; complete -C "$argv""#,
    ],
};

impl Shell {
    /// What it offers for the last word, in order and without what it says of it.
    fn offered(&self, command: &dyn Fn(&str) -> Command, words: &str) -> Vec<String> {
        let folder = Path::new(PROGRAM).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = command(self.program)
            .env("PATH", format!("{}:{path}", folder.display()))
            .args(self.arguments)
            .args(words.split(' '))
            .output()
            .expect("the shell runs (packages zsh, fish)");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text(&output.stderr), "", "{} {words}", self.program);
        let flag = words.rsplit(' ').next().unwrap().split_once('=');
        let mut values: Vec<String> = text(&output.stdout)
            .lines()
            .filter_map(|line| line.split(['\t', ':']).next())
            .map(|value| match flag {
                Some((flag, _)) => value.trim_start_matches(&format!("{flag}=")),
                None => value,
            })
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        values.sort();
        values
    }
}

/// bash is everywhere, and so is lo.
#[test]
fn bash_offers_what_is_there() {
    let offered = |words: &str| BASH.offered(&|program| Command::new(program), words);
    let interfaces = offered("udptrack -i ");
    for name in ["lo", "any"] {
        assert!(interfaces.iter().any(|offered| offered == name));
    }
    assert_eq!(offered("udptrack lis"), ["list"]);
    let keys = ["reply-rate", "responder", "response"];
    assert_eq!(offered("udptrack list --sort re"), keys);
    assert_eq!(offered("udptrack list --sort=re"), keys);
    assert!(offered("udptrack --by=").contains(&"process".to_owned()));
    for flag in [
        "-i", "-N", "--sort", "--by", "--name", "--alert", "--filter",
    ] {
        assert_eq!(offered(&format!("udptrack {flag} /pr")), [""; 0]);
    }
}

#[test]
#[ignore = "root"]
fn every_shell_offers_interfaces_namespaces_and_runs() {
    let (bpffs, pair) = (Bpffs::new(), Pair::new());
    let iface = pair.a.iface();
    let mut command = bpffs.command_in(&pair.a, PROGRAM);
    let run = Udptrack::spawn_command(command.args(["-i", iface, "-j"]), usize::MAX);
    let run = run.until_tracking(1);
    let instance = format!("{UDPTRACK}/{iface}/instance");
    wait_for("the pins", SOON, || {
        let there = bpffs.command("test").args(["-e", &instance]).status();
        there.unwrap().success().then_some(())
    });
    for shell in [BASH, ZSH, FISH] {
        let offered =
            |words: &str| shell.offered(&|program| bpffs.command_in(&pair.a, program), words);
        assert_eq!(offered("udptrack -i "), ["any", "lo", iface]);
        assert_eq!(offered("udptrack unanswered --iface=v"), [iface]);
        assert_eq!(offered("udptrack list --name "), [iface]);
        let namespaces = offered("udptrack -N ");
        assert!(namespaces.iter().any(|name| name == pair.a.name()));
        let keys = ["reply-rate", "responder", "response"];
        assert_eq!(offered("udptrack --sort re"), keys);
        assert!(offered("udptrack --by ").contains(&"process".to_owned()));
        // Before a command, behind one, and in place of one.
        let outputs = ["conntrack", "csv", "json", "live", "table", "trace"];
        for command in ["", "check ", "unanswered ", "list "] {
            assert_eq!(offered(&format!("udptrack {command}-o ")), outputs);
        }
        assert_eq!(offered("udptrack -i lo -o c"), ["conntrack", "csv"]);
        assert_eq!(offered("udptrack --hook "), ["auto", "tc", "xdp"]);
        let rules = ["amplification", "port-scan", "udp-flood"];
        assert_eq!(offered("udptrack --alert "), rules);
        let shells = offered("udptrack completions ");
        assert_eq!(shells, ["--help", "bash", "fish", "zsh"]);
        assert_eq!(offered("udptrack detach --name "), [iface]);
        assert_eq!(offered("udptrack --config /proc/versio"), ["/proc/version"]);
        assert_eq!(offered("udptrack -i /pr"), [""; 0]);
        assert_eq!(offered("udptrack unan"), ["unanswered"]);
    }
    let _ = run.stop().success();
}
