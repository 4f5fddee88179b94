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

/// -n is about what is looked up for numbers; what is said on the wire is hidden by --no-payload.
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
