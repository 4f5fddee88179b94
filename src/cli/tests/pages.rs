//! Pages and errors to the letter, so that a change of words is seen where it is looked over: `INSTA_UPDATE=always cargo test
//! --lib pages` writes them anew.

use std::fmt::Write as _;

use clap::Command;

use super::super::help::meaningful;
use super::page;
use crate::cli::parse;

#[test]
fn a_short_help_fits_on_a_screen() {
    let pages = [
        ("short_help", "udptrack -h"),
        ("short_help_of_list", "udptrack list -h"),
        ("short_help_of_detach", "udptrack detach -h"),
    ];
    for (name, line) in pages {
        let page = page(line);
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{page}");
        insta::assert_snapshot!(name, page);
    }
    assert_eq!(page("udptrack unanswered -h -i eth0").lines().count(), 16);
}

/// Whatever the width of the terminal on which the tests run.
fn long_help(command: &Command) -> String {
    let command = command.clone().term_width(100);
    command.clone().render_long_help().to_string()
}

#[test]
fn a_long_help() {
    let all = meaningful();
    insta::assert_snapshot!("long_help", long_help(&all));
    // `check`, `drops` and `unanswered` take what a run takes.
    for command in ["list", "detach", "sockets", "completions", "man"] {
        let command = all.find_subcommand(command).unwrap();
        let name = format!("long_help_of_{}", command.get_name());
        insta::assert_snapshot!(name, long_help(command));
    }
}

/// Lines that are refused, as people get them wrong.
const WRONG: [&str; 48] = [
    "udptrack --xyz",
    "udptrack -i",
    "udptrack --hook nic",
    "udptrack --hook tc --xdp-mode native",
    "udptrack -4 -6",
    "udptrack port 53 -f host=10.0.0.1",
    "udptrack --once 5s",
    "udptrack --once --duration 5s",
    "udptrack -o live",
    "udptrack -o pcap",
    "udptrack -j -o table",
    "udptrack -o table -e new",
    "udptrack -o table --sort size",
    "udptrack -o table --sort --rate",
    "udptrack -o table --top 0",
    "udptrack -o table --status gone",
    "udptrack -o table --by vlan",
    "udptrack --color red",
    "udptrack -q -v",
    "udptrack --resolve",
    "udptrack -j -n --resolve",
    "udptrack --check -j",
    "udptrack --max-connections 0",
    "udptrack -d 1ms",
    "udptrack --duration 0",
    "udptrack -c 0",
    "udptrack --udp-timeout soon",
    "udptrack --one-way-ports syslog",
    "udptrack --keep --name a/b",
    "udptrack --exec /bin/true",
    "udptrack --metrics here",
    "udptrack --ipfix collector",
    "udptrack --config /none/udptrack.toml",
    "udptrack detach --check",
    "udptrack list -i eth0",
    "udptrack sockets -o live",
    "udptrack unanswered -e new",
    "udptrack --speed 2",
    "udptrack -r a -i eth0",
    "udptrack -r a --hook tc",
    "udptrack -r a -p",
    "udptrack -r a --keep",
    "udptrack -r a --once=5s",
    "udptrack -r - -r -",
    "udptrack -r a --speed 0",
    "udptrack drops -r a",
    "udptrack check -r a",
    "udptrack list -r a",
];

#[test]
fn what_is_refused() {
    let mut said = String::new();
    for line in WRONG {
        let error = parse(line.split_whitespace(), false).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        let _ = write!(said, "$ {line}\n{error}\n");
    }
    insta::assert_snapshot!("refused", said.replace("\nerror: ", "\nudptrack: "));
}
