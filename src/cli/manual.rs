//! The manual page: commands, flags and examples as the command line itself has them, and what else there is to say.
//! No flag is named here but in prose.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::arguments::{command, own_command};

/// The section of the manual that is for administrators: most of what this program does needs rights.
const SECTION: &str = "8";
/// When words of this file were changed last.
const DATE: &str = "2026-11-28";

/// What it is, beyond the one line that the help text has.
const DESCRIPTION: &str = "\
udptrack counts in the kernel, by eBPF programs at XDP for what comes in and at TC for what goes out; no packet is copied \
to be counted. It keeps books: every frame that it saw is either counted to a connection or to a reason why not. \
On a terminal it shows a table that keeps itself up to date (? shows its keys), in a pipe it writes lines.";

/// A paragraph for itself, or a term and what it means.
type Entry = (&'static str, &'static str);

/// What a section says that no flag knows.
const SECTIONS: [(&str, &[Entry]); 8] = [
    (
        "EXIT STATUS",
        &[
            (
                "0",
                "It ended as it was told to: by a signal, --duration, --count, --once, or because whoever read its pipe left.",
            ),
            (
                "1",
                "It failed; standard error says why, and what would help. udptrack list also ends so where nothing fits the filter.",
            ),
            (
                "2",
                "Wrong usage: flags that contradict each other, a wrong filter, alert or configuration file.",
            ),
            ("3", "With --check, and without --alert: a row was shown."),
            (
                "4",
                "With --check and --alert: an alert was raised, be it over or not.",
            ),
        ],
    ),
    (
        "SIGNALS",
        &[
            (
                "SIGINT, SIGTERM",
                "End the run: everything is detached (but with --keep), connections that are still live are reported as STOPPED, and a summary goes to standard error (but with -q): the busiest, dead, lossy, refused and slowest server of the whole run, and the books.",
            ),
            (
                "SIGHUP",
                "Reads the files of --config again, and takes what can change without a gap; the rest is named. Without --config it ends the run, unless it was ignored at the start (nohup).",
            ),
            ("SIGUSR1", "Writes the summary so far to standard error."),
            (
                "SIGTSTP",
                "In the live view: the terminal is given back until SIGCONT.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "NO_COLOR",
                "Set and not empty, it switches the colours of the live view off, unless --color or --theme says otherwise.",
            ),
            (
                "COLORFGBG",
                "What some terminals say of their colours: it chooses the theme of the live view, unless --theme does.",
            ),
            (
                "TMPDIR",
                "The folder for temporary files, where the live view writes screens to. Without it, /tmp.",
            ),
            (
                "TERM",
                "With \"dumb\", standard output gets lines instead of the live view.",
            ),
            (
                "UDPTRACK_ALERT, _STATE, _MEASURE, _VALUE, _UNIT, _THRESHOLD, _BY, _GROUP, _MESSAGE",
                "What the program of --exec is told of an alert. _STATE is begin or end.",
            ),
            (
                "NOTIFY_SOCKET",
                "Where a service manager wants to be told that the run has begun (READY=1), how it goes (STATUS=) and that it ends (STOPPING=1); see sd_notify(3).",
            ),
            (
                "WATCHDOG_USEC, WATCHDOG_PID",
                "How often the service manager wants to hear that the run still goes on (WATCHDOG=1). It hears that twice as often, and only while connections are really read.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            (
                "/etc/udptrack/udptrack.toml",
                "What the services that a package installed take for --config.",
            ),
            (
                "/etc/udptrack/NAME.toml",
                "What is different for the service udptrack@NAME, which reads it after the other: an address of metrics, say.",
            ),
            (
                "/sys/fs/bpf/udptrack/NAME",
                "Where the tables of a run are pinned, for udptrack list, and with --keep what goes on without it.",
            ),
            ("/etc/services", "Names of ports."),
            ("/etc/passwd", "Names of users."),
            ("/etc/resolv.conf", "The resolvers that --resolve asks."),
            (
                "/sys/kernel/btf/vmlinux",
                "The kernel's own description of its types, without which nothing can be loaded.",
            ),
            (
                "/usr/lib/systemd/system/udptrack.service, udptrack@.service",
                "The units, where a package installed the program: one tracks the interface of the default route, the other one the interface after the @. Neither is on until it is enabled.",
            ),
        ],
    ),
    (
        "CAPABILITIES",
        &[(
            "",
            "Tracking needs cap_bpf, cap_net_admin and cap_perfmon, or root. Once it is attached it gives up all rights but the first two, and can no longer write files, execute anything or open TCP connections (Landlock, seccomp).",
        )],
    ),
    (
        "NOTES",
        &[
            (
                "",
                "The packet always goes on: nothing is dropped or changed, and without --keep nothing stays attached when the program ends, not even after SIGKILL (before Linux 6.6, filters of TC do stay then; the next run removes them).",
            ),
            ("", "It needs Linux 5.10 or later with BTF."),
        ],
    ),
    (
        "SEE ALSO",
        &[(
            "",
            "ss(8), tcpdump(8), conntrack(8), bpftool(8), systemd.exec(5)",
        )],
    ),
    ("LICENCE", &[("", env!("CARGO_PKG_LICENSE"))]),
];

/// The manual page, as troff reads it.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut all = command();
    all.build();
    let page = Man::new(all.clone().override_usage(usages(&all)))
        .title("UDPTRACK")
        .section(SECTION)
        .date(DATE)
        .manual("System Administration");
    let (examples, notes) = after_help(&all);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    let mut roff = Roff::default();
    for paragraph in std::iter::once(DESCRIPTION).chain(notes.iter().map(String::as_str)) {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff.to_writer(&mut text)?;
    commands(&mut text)?;
    let mut options = Vec::new();
    page.render_options_section(&mut options)?;
    text.extend(grouped(&options));
    let mut roff = Roff::default();
    roff.control("SH", ["EXAMPLES"]);
    for (line, meaning) in &examples {
        roff.control("TP", []);
        roff.text([bold(line)]);
        roff.text([roman(meaning)]);
    }
    for (title, entries) in SECTIONS {
        section(&mut roff, title, entries);
    }
    roff.to_writer(&mut text)?;
    Ok(tidy(&text))
}

/// One line of usage for the program and one for each of its commands.
fn usages(all: &Command) -> String {
    let usage = |command: &Command| {
        let usage = command.clone().render_usage().to_string();
        usage.trim_start_matches("Usage: ").to_owned()
    };
    let lines: Vec<String> = std::iter::once(usage(all))
        .chain(shown(all).map(usage))
        .collect();
    lines.join("\n")
}

fn shown(all: &Command) -> impl Iterator<Item = &Command> {
    all.get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// The examples of the help text, each with what it does, and the paragraphs after them but the one on the exit status,
/// which has a section of its own.
fn after_help(all: &Command) -> (Vec<(String, String)>, Vec<String>) {
    let text = all
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut paragraphs = text.split("\n\n");
    let examples = paragraphs.next().unwrap_or_default().lines();
    let examples = examples
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| {
            let (line, meaning) = line.split_once("  ").unwrap_or((line, ""));
            (line.to_owned(), meaning.trim().to_owned())
        });
    let notes = paragraphs.map(|paragraph| {
        let lines = paragraph.lines();
        let kept = lines.filter(|line| !line.starts_with("Exit status"));
        kept.collect::<Vec<_>>().join(" ")
    });
    (examples.collect(), notes.collect())
}

/// The commands, each with what it takes beside the options of all.
fn commands(text: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", ["COMMANDS"]);
    roff.to_writer(text)?;
    for command in shown(&own_command()) {
        let mut roff = Roff::default();
        roff.control("TP", []);
        roff.text([bold(command.get_name())]);
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string);
        roff.text([roman(about.unwrap_or_default())]);
        roff.to_writer(text)?;
        let own = command
            .clone()
            .disable_help_flag(true)
            .disable_version_flag(true);
        if own.get_arguments().next().is_none() {
            continue;
        }
        let mut options = Vec::new();
        Man::new(own).render_options_section(&mut options)?;
        let options = String::from_utf8_lossy(&options).into_owned();
        let body = options.lines().filter(|line| !line.starts_with(".SH"));
        text.extend(b".RS\n");
        text.extend(body.flat_map(|line| format!("{line}\n").into_bytes()));
        text.extend(b".RE\n");
    }
    Ok(())
}

/// The groups of options as subsections of one section.
fn grouped(options: &[u8]) -> Vec<u8> {
    let options = String::from_utf8_lossy(options);
    let lines = options.lines().map(|line| match line.strip_prefix(".SH ") {
        Some(group) if group != "OPTIONS" => format!(".SS {group}\n"),
        _ => format!("{line}\n"),
    });
    lines.flat_map(String::into_bytes).collect()
}

fn section(roff: &mut Roff, title: &str, entries: &[Entry]) {
    roff.control("SH", [title]);
    for (position, (term, meaning)) in entries.iter().enumerate() {
        if !term.is_empty() {
            roff.control("TP", []);
            roff.text([bold(*term)]);
        } else if position > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*meaning)]);
    }
}

/// Each part came with the same definitions before it, once is enough; and with two breaks around an empty line, where one
/// does.
fn tidy(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let preamble: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with(".TH"))
        .collect();
    let rest = text.lines().filter(|line| !preamble.contains(line));
    let lines: Vec<&str> = preamble.iter().copied().chain(rest).chain([""]).collect();
    lines
        .join("\n")
        .replace("\n.br\n\n.br\n", "\n.br\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        String::from_utf8(manual().unwrap())
            .unwrap()
            .replace('\\', "")
    }

    #[test]
    fn every_flag_command_and_example_is_in_the_page() {
        let page = page();
        let all = command();
        for argument in all
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            if let Some(long) = argument.get_long() {
                assert!(page.contains(&format!("--{long}")), "--{long}");
            }
        }
        for command in shown(&all) {
            let name = command.get_name();
            assert!(page.contains(&format!("fB{name}fR")), "{name}");
            assert!(page.contains(&format!("udptrackfR {name}")), "{name}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                assert!(
                    page.contains(&help.unwrap_or_default()),
                    "{name} {argument}"
                );
            }
        }
        let (examples, _) = after_help(&all);
        assert!(!examples.is_empty());
        for (line, meaning) in examples {
            assert!(page.contains(&line), "{line}");
            assert!(!meaning.is_empty() && page.contains(&meaning), "{line}");
        }
    }

    #[test]
    fn sections_stand_once_and_in_order() {
        let page = page();
        let titles: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|title| title.trim_matches('"'))
            .collect();
        let own = SECTIONS.iter().map(|(title, _)| *title);
        let first = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "COMMANDS",
            "OPTIONS",
            "EXAMPLES",
        ];
        assert_eq!(titles, first.into_iter().chain(own).collect::<Vec<_>>());
        assert_eq!(page.matches(".TH UDPTRACK 8").count(), 1);
        assert!(!page.contains("Exit status: "));
    }
}
