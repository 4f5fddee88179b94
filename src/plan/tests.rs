use super::*;
use crate::cli::{Task, parse};

/// The plan of this command line, or its first line of what is wrong.
fn plan(line: &str) -> Result<Plan, String> {
    plan_on(false, line)
}

/// The same, with a terminal or not.
fn plan_on(is_terminal: bool, line: &str) -> Result<Plan, String> {
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    match parse(line.split_whitespace(), is_terminal) {
        Ok(Task::Run(config) | Task::Check { config, .. }) => {
            Plan::of(&config).map_err(|wrong| first(wrong.to_string()))
        }
        Ok(other) => panic!("{line}: {other:?}"),
        Err(error) => Err(crate::cli::first_line(&error)),
    }
}

/// What is wrong with filters, alerts and combinations, as a user reads it.
#[test]
fn errors_that_the_command_line_cannot_see() {
    let lines = [
        "port|53|and|host",
        "port|http53",
        "host|example.org",
        "host|10.0.0.0/8",
        "net|10.0.0.1/8",
        "portrange|53",
        "tcp|port|53",
        "hots|10.0.0.1",
        "(|port|53",
        "proto|dns",
        "--alert|losst > 5%",
        "--alert|lost > 5ms",
        "--alert|lost > 5% by colour",
        "--alert|fill > 80% by server",
        "--alert|buffer > 80% by host",
        "--alert|new > 3 over 1s",
        "--no-drops|--alert|drops > 0",
        "-r|a|--alert|buffer > 80%",
        "-w|%m/a|-G|60",
    ];
    let said = lines.map(|words| {
        // An argument ends at each `|`.
        let line = std::iter::once("udptrack").chain(words.split('|'));
        let Ok(Task::Run(config)) = parse(line, false) else {
            panic!("{words}");
        };
        let wrong = Plan::of(&config).expect_err("it is wrong");
        format!("$ udptrack {}\n{wrong}\n", words.replace('|', " "))
    });
    insta::assert_snapshot!("errors", said.join("\n"));
}

#[test]
fn a_check_refuses_what_a_run_refuses_in_the_same_words() {
    for flags in [
        "port http53",
        "-f host",
        "-4 -6",
        "-f ip ip6",
        "--alert new>many",
        "--alert udp-flod",
        "--no-drops --alert drops>0",
        "--exec /bin/true",
        "-o conntrack",
        "-o table -e new",
        "-o trace --sort rate",
        "-j --top 3",
        "-j -e end --by server",
        "-o trace --resolve",
        "-o trace -e new --status REPLIED",
        "--once -o trace",
        "--once 5s",
        "--once=10ms",
        "-o table --output-file /nonexistent/x",
        "--check",
        "--hook tc --xdp-mode native",
        "--ipfix collector",
        "--ipfix-biflow",
        "--metrics-top 3",
        "--metrics localhost:1",
        "--max-connections 0",
        "--udp-timeout soon",
        "--name a.b",
        "--pin-mode 0666",
        "--config /nonexistent",
        "-q -v",
        "--no-such-flag",
    ] {
        let run = plan(&format!("udptrack {flags}"));
        let check = plan(&format!("udptrack check {flags}"));
        let run = run.map(|_| ()).expect_err(flags);
        assert_eq!(check.map(|_| ()), Err(run), "{flags}");
    }
}

#[test]
fn what_can_change_is_taken_and_nothing_else() {
    let mut before = plan("udptrack -i a -j --delay 2s --alert udp-flood").unwrap();
    let after = plan("udptrack -i b -j --delay 3s -q").unwrap();
    let changes = before.changes(&after);
    assert_eq!(changes.taken, ["alert", "delay", "quiet"]);
    assert_eq!(changes.left, ["iface"]);
    before.take_from(after);
    assert_eq!(before.interfaces, ["a"]);
    assert_eq!(before.delay, Duration::from_secs(3));
    assert!(before.quiet && before.rules.is_empty());
}

/// -n is about names that are looked up; names in packets are hidden by --no-payload.
#[test]
fn what_is_said_is_read_also_where_numbers_have_no_names() {
    for (flags, payloads, has_dns, counts_dns) in [
        ("-o live", bpf::Payloads::All, true, true),
        ("-o live -n", bpf::Payloads::All, true, true),
        ("-o table -n", bpf::Payloads::All, false, true),
        ("-o trace -n", bpf::Payloads::Off, false, false),
        ("-o live --no-payload", bpf::Payloads::Off, true, false),
    ] {
        let plan = plan_on(true, &format!("udptrack {flags}")).unwrap();
        let told = (plan.payloads(), plan.shown.has_dns(), plan.counts_dns());
        assert_eq!(told, (payloads, has_dns, counts_dns), "{flags}");
    }
}

/// What is shown says nothing of what metrics and alerts want to know.
#[test]
fn response_times_are_measured_if_an_output_needs_them() {
    for (flags, are_measured) in [
        ("-o trace -e new", false),
        ("-o trace -e new --metrics 127.0.0.1:9435", true),
        ("-o trace -e new --alert response>1s", true),
        ("-o trace", true),
        ("-o table", true),
    ] {
        let plan = plan(&format!("udptrack {flags}")).unwrap();
        assert_eq!(plan.needs_response_times(), are_measured, "{flags}");
    }
}

#[test]
fn captures_go_to_a_file_or_to_a_pipe() {
    let captures = |line: &str| plan(line).unwrap().captures.unwrap();
    let one = captures("udptrack -w a.pcapng");
    assert_eq!(
        (one.snaplen, one.name()),
        (Some(128), "a.pcapng".to_owned())
    );
    assert_eq!(captures("udptrack -w a --snaplen 262144").snaplen, None);
    let Some(WriteTo::File { rotation, .. }) = captures("udptrack -w a%S -C 2 -G 1m -W 3").to
    else {
        panic!("that is a file");
    };
    let expected = (Some(2_000_000), Some(60), Some(3));
    assert_eq!((rotation.bytes, rotation.seconds, rotation.files), expected);
    // Nothing else is written to the pipe.
    let pipe = plan("udptrack -w -").unwrap();
    assert_eq!(
        pipe.captures.as_ref().and_then(|it| it.to.clone()),
        Some(WriteTo::Stdout)
    );
    assert!(!pipe.shown.has_packets() && !pipe.shown.kinds.end);
    assert!(plan("udptrack -w - -j --output-file a.json").is_ok());
    assert_eq!(plan("udptrack").unwrap().frames(), None);
    let record = captures("udptrack --record 64MB --record-on-alert /x --alert udp-flood");
    assert_eq!(record.to, None);
    let record = record.record.unwrap();
    assert_eq!((record.bytes, record.on_alert), (64_000_000, true));
    assert_eq!(plan("udptrack -w a --snaplen 0").unwrap().frames(), Some(0));
}

#[test]
fn a_capture_of_a_capture_has_all_of_it_and_shows_nothing_by_itself() {
    for terminal in [false, true] {
        let made = plan_on(terminal, "udptrack -r a -w b port 53").unwrap();
        assert!(made.shown.is_nothing());
        assert_eq!(made.captures.as_ref().unwrap().snaplen, None);
        let shown = plan_on(terminal, "udptrack -r a -w b -o trace").unwrap();
        assert!(!shown.shown.is_nothing());
    }
    let cut = plan("udptrack -r a -w b --snaplen 64").unwrap();
    assert_eq!(cut.captures.unwrap().snaplen, Some(64));
    let live = plan_on(true, "udptrack -r a -w b -o live").unwrap();
    assert!(live.shown.is_live());
    let kept = plan("udptrack -r a --record 1MB").unwrap();
    assert!(!kept.shown.is_nothing() && kept.captures.unwrap().record.is_some());
}

#[test]
fn a_file_or_an_interface_is_no_word_of_a_filter() {
    let said = |line: &str| {
        let config = parse(line.split_whitespace(), false).unwrap();
        let (Task::Run(config) | Task::List(config)) = config else {
            panic!("{config:?}")
        };
        Plan::of(&config).map(|_| ()).unwrap_err().to_string()
    };
    for line in [
        "udptrack a.pcap",
        "udptrack dns a.pcapng",
        "udptrack -r a.pcap b.pcap c.pcap",
        "udptrack port 53 and Cargo.toml",
    ] {
        let said = said(line);
        let tip = said.lines().last();
        let expected = "is a file meant? -r FILE, once for each";
        assert_eq!(tip, Some(expected), "{line}: {said}");
    }
    let lo = said("udptrack lo");
    assert_eq!(lo.lines().last(), Some("is the interface meant? -i lo"));
    let other = said("udptrack port 53 and 54 foo");
    assert!(!other.contains("meant"), "{other}");
}

#[test]
fn captures_that_cannot_be_are_refused() {
    for (flags, part) in [
        ("--snaplen 64", "--snaplen needs -w"),
        ("--record-after 5s", "needs --record"),
        ("--record 1MB --record-on-alert .", "needs --alert"),
        ("--record 1MB --keep", "Leave out one of them"),
        ("--record 10", "not between"),
        ("-C 5", "-C needs -w"),
        ("-w a -W 5", "-W needs -C or -G"),
        ("-w - -C 5", "-w - is standard output"),
        ("-w - -j", "cannot both go to standard output"),
        ("-w - --once", "cannot both go to standard output"),
        ("-w a --keep", "Leave out one of them"),
        ("-w %m/a -G 60", "not of its folder"),
        ("-w a%! -G 60", "-w a%!"),
        ("-w a -G 500ms", "whole seconds"),
        ("-w a -C x", "write a size"),
        ("-w a --snaplen 262145", "0 to 262144"),
    ] {
        let refused = plan(&format!("udptrack {flags}")).unwrap_err();
        assert!(refused.contains(part), "{flags}: {refused}");
    }
    let terminal = plan_on(true, "udptrack -w -").unwrap_err();
    assert!(
        terminal.contains("binary capture to the terminal"),
        "{terminal}"
    );
}
