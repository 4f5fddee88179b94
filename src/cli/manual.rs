//! The manual page: commands, flags and examples from the definition of the command line, and pages of docs/.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use self::pages::Section;
use super::arguments::{command, own_command};

mod pages;

/// The section of the manual that is for administrators: most of what this program does needs rights.
const SECTION: &str = "8";
/// When words of this file were changed last.
const DATE: &str = "2026-11-28";

/// What it is, beyond the one line that the help text has.
const DESCRIPTION: &str = "\
udptrack counts UDP packets in the kernel, with eBPF programs: at XDP or TC for received packets, at TC for sent packets. It does not copy packets to count them. It keeps books: it counts every frame that it sees to a connection, or to a reason why not. On a terminal it shows tables and keeps them up to date (? shows the keys). In a pipe it writes lines.";

/// What no flag knows, from the pages of docs/.
const SECTIONS: [Section; 11] = [
    Section {
        title: "FILTERS",
        page: include_str!("../../docs/filters.md"),
        headings: &[],
    },
    Section {
        title: "KEYS",
        page: include_str!("../../docs/live-view.md"),
        headings: &["Keys"],
    },
    Section {
        title: "OUTPUT",
        page: OUTPUTS,
        headings: &["Trace", "Table", "Servers", "JSON", "The end of a run"],
    },
    Section {
        title: "DNS",
        page: include_str!("../../docs/dns.md"),
        headings: &[],
    },
    Section {
        title: "CAPTURES",
        page: include_str!("../../docs/captures.md"),
        headings: &[],
    },
    Section {
        title: "GLOSSARY",
        page: include_str!("../../docs/glossary.md"),
        headings: &[],
    },
    Section {
        title: "ALERTS",
        page: include_str!("../../docs/alerts.md"),
        headings: &[],
    },
    Section {
        title: "FILES",
        page: CONFIGURATION,
        headings: &["Files"],
    },
    Section {
        title: "ENVIRONMENT",
        page: CONFIGURATION,
        headings: &["Environment"],
    },
    Section {
        title: "SIGNALS",
        page: CONFIGURATION,
        headings: &["Signals"],
    },
    Section {
        title: "EXIT STATUS",
        page: OUTPUTS,
        headings: &["Exit status"],
    },
];
const OUTPUTS: &str = include_str!("../../docs/outputs.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// What stands last, in paragraphs.
const NOTES: [(&str, &[&str]); 4] = [
    (
        "CAPABILITIES",
        &[
            "Tracking needs cap_bpf, cap_net_admin and cap_perfmon, or root. After it has attached its programs, udptrack keeps only the first two. From then on, it cannot execute programs, open TCP connections, or write other files than those of its outputs (Landlock, seccomp).",
        ],
    ),
    (
        "NOTES",
        &[
            "udptrack never drops or changes a packet. Without --keep, nothing stays attached when it ends, not even after SIGKILL. There is one exception: before Linux 6.6, TC filters stay after SIGKILL, and the next run removes them.",
            "udptrack needs Linux 5.10 or later with BTF.",
        ],
    ),
    (
        "SEE ALSO",
        &["ss(8), tcpdump(8), conntrack(8), bpftool(8), systemd.exec(5)"],
    ),
    ("LICENCE", &[env!("CARGO_PKG_LICENSE")]),
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
    for section in &SECTIONS {
        section.write(&mut roff);
    }
    for (title, paragraphs) in NOTES {
        roff.control("SH", [title]);
        for (position, paragraph) in paragraphs.iter().enumerate() {
            if position > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(*paragraph)]);
        }
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

    /// What the manual has beside the texts of `--help` and of docs/, and all of its headings.
    #[test]
    fn what_the_page_says_itself() {
        let others = ["COMMANDS", "OPTIONS"];
        let page = page();
        let mut own = true;
        let lines = page.lines().filter(|line| {
            let title = line
                .strip_prefix(".SH ")
                .map(|title| title.trim_matches('"'));
            if let Some(title) = title {
                own = !others.contains(&title) && SECTIONS.iter().all(|one| one.title != title);
            }
            own || title.is_some()
        });
        insta::assert_snapshot!("manual", lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn each_heading_of_a_section_has_text() {
        for section in &SECTIONS {
            let mut whole = Roff::default();
            section.write(&mut whole);
            assert!(whole.render().lines().count() > 4, "{}", section.title);
            for heading in section.headings {
                let mut part = Roff::default();
                let headings = std::slice::from_ref(heading);
                Section {
                    headings,
                    ..*section
                }
                .write(&mut part);
                assert!(part.render().lines().count() > 4, "{heading}");
            }
        }
    }

    #[test]
    fn a_page_becomes_what_troff_reads() {
        let mut roff = Roff::default();
        let page = "# Title\n\nLost, as `the whole` **page** is.\n\n## One\n\nSee [alerts](alerts.md), [dns](dns.md#records), [other](other.md), `-x`.\n\n- first\n- second\n\nRun:\n\n    code  \\here\n\n\
                    | a | b | c |\n|---|---|---|\n| `t` | u |  |\n| `v` | | w |\n\n## Two\n\nNot this.\n";
        let section = Section {
            title: "ONE",
            page,
            headings: &["One"],
        };
        section.write(&mut roff);
        let text = roff.render();
        let (_, text) = text.split_once(".SH ONE\n").unwrap();
        assert_eq!(
            text,
            "See ALERTS, DNS, other, \\fB\\-x\\fR.\n.IP \\(bu 2\nfirst\n.IP \\(bu 2\nsecond\n.PP\nRun:\n.PP\n.RS 4\n.nf\ncode  \\\\here\n.fi\n.RE\n\
             .TP\n\\fBt\\fR\nb: u\n.br\n.TP\n\\fBv\\fR\nw\n"
        );
    }

    #[test]
    fn sections_stand_once_and_in_order() {
        let page = page();
        let titles: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|title| title.trim_matches('"'))
            .collect();
        let pages = SECTIONS.iter().map(|section| section.title);
        let own = pages.chain(NOTES.iter().map(|(title, _)| *title));
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
