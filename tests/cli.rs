//! The command line from outside: what is refused and how, what is listed, what does not fit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::bpffs::Bpffs;
use common::cgroup::ControlGroup;
use common::netns::{Netns, Pair};
use common::run::Udptrack;
use common::traffic::Talk;
use common::{Ip, TempDir, at_once};
use serde_json::Value;

fn udptrack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udptrack"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_has_examples_and_every_flag() {
    let output = udptrack(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let help = text(&output.stdout);
    for flag in [
        "-i, --iface",
        "--hook",
        "--xdp-mode",
        "--no-egress",
        "-f, --filter",
        "-4",
        "-6",
        "-N, --netns",
        "-D, --list-interfaces",
        "-o, --output",
        "-j, --json",
        "-n, --numeric",
        "-e, --events",
        "--sort",
        "--top",
        "--by",
        "--status",
        "--process",
        "-q, --quiet",
        "-v, --verbose",
        "-d, --delay",
        "--duration",
        "-c, --count",
        "--once",
        "--check",
        "--max-connections",
        "--max-ips",
        "--no-maps",
        "--no-drops",
        "--per-interface",
        "--udp-timeout",
        "--stream-timeout",
        "-h, --help",
        "-V, --version",
    ] {
        assert!(help.contains(flag), "{flag} is not in:\n{help}");
    }
    let examples: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Examples:")
        .filter_map(|line| line.trim().strip_prefix("sudo udptrack "))
        .collect();
    assert!(examples.len() >= 3, "{help}");
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(
        "Exit status: 0 success, 1 failure, 2 wrong usage; with --check: 3 there was a row, 4 there was an alert."
    ));
}

/// Each example is taken by the program itself: none is refused as wrong usage.
#[test]
#[ignore = "root"]
fn examples_of_the_help_work() {
    let help = udptrack(&["--help"]);
    let help = text(&help.stdout);
    let lines = help.lines().map(str::trim);
    let examples: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("sudo udptrack "))
        .collect();
    assert!(examples.len() > 5, "{examples:?}");
    at_once(examples, assert_works);
}

fn assert_works(example: &str) {
    let netns = Netns::new("examples");
    let folder = TempDir::new("examples");
    let written = folder.path().join("dns.pcapng");
    let written = written.to_str().unwrap();
    let is_capture = example.starts_with("-r ");
    let words = example.split("   ").next().unwrap();
    let words = words.split(['>', '|']).next().unwrap();
    let mut arguments: Vec<_> = words
        .split_whitespace()
        .map(|word| match word {
            "eth0" => "lo",
            "10s" => "1ms",
            "dns.pcapng" if is_capture => {
                concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/captures/dns.port-53.pcap"
                )
            }
            "dns.pcapng" => written,
            once if once.starts_with("--once") && !is_capture => "--once=100ms",
            "blue" => netns.name(),
            other => other,
        })
        .collect();
    // One of its own: an example with --keep leaves its tables there.
    let bpffs = Bpffs::new();
    let run = |arguments: &[&str]| {
        let mut command = bpffs.command_in(&netns, env!("CARGO_BIN_EXE_udptrack"));
        Udptrack::spawn_command(command.args(arguments), usize::MAX).wait()
    };
    // It takes what another run tracks; tests/list.rs has one beside it.
    if arguments[0] == "list" {
        let refused = run(&arguments);
        assert_ne!(refused.code, Some(2), "{refused:?}");
        return;
    }
    // It tracks no interface.
    if arguments[0] == "sockets" {
        let finished = run(&[&arguments[..], &["--once=100ms"]].concat()).success();
        assert_eq!(finished.stdout, ["No UDP sockets now."]);
        return;
    }
    if !arguments.contains(&"-i") && !is_capture {
        arguments.extend(["-i", "lo"]);
    }
    if !arguments
        .iter()
        .any(|word| word.starts_with("--once") || *word == "--duration")
    {
        arguments.extend(["--duration", "1ms"]);
    }
    let finished = run(&arguments).success();
    assert!(
        finished.stderr.contains("seen") || example.contains("-q") || example.starts_with("check"),
        "{finished:?}"
    );
}

#[test]
fn version_is_that_of_the_package() {
    for flag in ["-V", "--version"] {
        let output = udptrack(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        let version = concat!("udptrack ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(text(&output.stdout), version);
    }
}

/// Status 2, the flag and the range on standard error, nothing on standard output.
#[test]
fn what_is_out_of_range_is_refused() {
    for (arguments, said) in [
        (vec!["--max-connections", "0"], "from 1 to 16777216"),
        (vec!["--max-connections", "16777217"], "from 1 to 16777216"),
        (vec!["--max-connections", "many"], "--max-connections"),
        (vec!["--max-ips", "0"], "from 1 to 16777216"),
        (vec!["--max-ips", "4294967296"], "from 1 to 16777216"),
        (vec!["--delay", "99ms"], "100ms and 1h"),
        (vec!["-d", "3601"], "100ms and 1h"),
        (vec!["--udp-timeout", "999ms"], "1s and 1day"),
        (vec!["--stream-timeout", "25h"], "1s and 1day"),
        (vec!["--duration", "0"], "1ms and"),
        (vec!["--count", "0"], "--count"),
        (vec!["--hook", "tx"], "auto, xdp, tc"),
        (vec!["-o", "xml"], "trace, table, json, csv"),
        (
            vec!["-o", "table", "--sort", "size"],
            "one of rate, orig-rate,",
        ),
        (
            vec!["-o", "table", "--sort", "latency"],
            "do you mean response?",
        ),
        (vec!["-o", "table", "--top", "0"], "--top"),
        (vec!["--by", "port"], "--by needs -o table"),
        (
            vec!["--status", "lost"],
            "UNREPLIED, REPLIED, ASSURED, UNREACH",
        ),
        (vec!["-e", "new", "--process", "dig"], "use -e end"),
        (
            vec!["unanswered", "-j", "-e", "end"],
            "--events needs records",
        ),
        (vec!["answered"], "answered"),
        (vec!["-e", "new,old"], "new, data, end"),
        (vec!["--hook", "tc", "--xdp-mode", "native"], "--xdp-mode"),
        (vec!["-q", "-v"], "--quiet"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["-i"], "--iface"),
    ] {
        // What is not refused must not track: there is no such interface.
        let output = udptrack(&[&["--iface", "nosuch0"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "");
        let message = text(&output.stderr);
        assert!(
            message.starts_with("udptrack: "),
            "{arguments:?}: {message}"
        );
        assert!(message.contains(said), "{arguments:?}: {message}");
    }
}

/// In the same words and with the same status, before either needs a right.
#[test]
fn a_check_refuses_what_a_run_refuses() {
    let directory = TempDir::new("refused");
    let file = |name: &str, text: &str| {
        let path = directory.file(name, text);
        format!("--config {}", path.display())
    };
    let files = [
        file("key.toml", "timout = 3"),
        file("time.toml", "udp-timeout = \"soon\""),
        file("filter.toml", "filter = \"port http53\""),
        file("rule.toml", "alert = \"new > many\""),
        file("both.toml", "output = \"table\"\nevents = \"new\""),
    ];
    let lines = [
        "port 53 and host",
        "-4 -6",
        "--alert new>many",
        "--alert udp-flod",
        "--exec /bin/true",
        "-o conntrack",
        "-o table -e new",
        "-o trace --sort rate",
        "-j -e end --by server",
        "-o trace --resolve",
        "-o trace -e new --status REPLIED",
        "--once -o trace",
        "--once 5s",
        "-o table --output-file /nonexistent/x",
        "--check",
        "--hook tc --xdp-mode native",
        "--ipfix collector",
        "--ipfix-biflow",
        "--metrics-top 3",
        "--name a.b",
        "--max-connections 0",
        "--config /nonexistent",
        "-q -v",
        "--no-such-flag",
        "-N /nonexistent/netns",
    ];
    for line in lines.into_iter().chain(files.iter().map(String::as_str)) {
        let refused = |command: &[&str]| {
            let flags = line.split_whitespace();
            let arguments: Vec<&str> = command.iter().copied().chain(flags).collect();
            let output = udptrack(&arguments);
            let first = text(&output.stderr).lines().next().map(str::to_owned);
            (output.status.code(), text(&output.stdout).to_owned(), first)
        };
        let run = refused(&[]);
        let status = if line.starts_with("-N") { 1 } else { 2 };
        assert_eq!((run.0, &*run.1), (Some(status), ""), "{line}: {run:?}");
        assert_eq!(refused(&["check"]), run, "{line}");
    }
}

/// The message names what was expected, a caret stands below the column, and nothing was attached: no rights are needed.
#[test]
fn a_wrong_filter_is_shown_where_it_is_wrong() {
    let many: Vec<String> = (1..=200).map(|port| port.to_string()).collect();
    let many = format!("port {}", many.join(" or "));
    for (arguments, said) in [
        (
            vec!["port", "53", "and", "host"],
            "wrong filter: expected an address after `host`\n  port 53 and host\n                  ^\n",
        ),
        (
            vec!["-f", "port 53 and hots 10.0.0.1"],
            "wrong filter: unknown word `hots`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, not or (\n  \
             port 53 and hots 10.0.0.1\n              ^\n",
        ),
        (
            vec!["-i", "lo", "hots", "10.0.0.1"],
            "wrong filter: unknown word `hots`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, not or (\n  \
             hots 10.0.0.1\n  ^\n",
        ),
        (
            vec!["-f", "lst"],
            "wrong filter: unknown word `lst`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, not or (\n  \
             lst\n  ^\n",
        ),
        (
            vec!["-i", "lo", "lst", "port", "53"],
            "unknown word \"lst\": do you mean the command `list`? Commands: unanswered, check, list, sockets, drops, dns, detach, completions, man, \
             help\n",
        ),
        (
            vec!["host", "www.example.org"],
            "wrong filter: expected an address after `host`, found `www.example.org`: udptrack does not look up names, write an address\n  host www.example.org\n       ^\n",
        ),
        (
            vec!["-f", "ip\n\u{1b}[2J"],
            "wrong filter: expected `and` or `or`, found `\\u{1b}[2J`\n  ip\\n\\u{1b}[2J\n      ^\n",
        ),
        (
            vec!["-4", "port 53 and status replied"],
            "wrong filter: `status` does not work in a filter that runs in the kernel: use --status\n  port 53 and status \
             replied\n              ^\n",
        ),
        (
            vec!["-f", &many],
            "the filter is too large: it takes 400 tests in the kernel, and 256 fit. ",
        ),
    ] {
        let output = udptrack(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "");
        let message = text(&output.stderr).strip_prefix("udptrack: ").unwrap();
        if said.ends_with('^') || said.ends_with('\n') {
            assert_eq!(message, said, "{arguments:?}");
        } else {
            assert!(message.starts_with(said), "{arguments:?}: {message}");
        }
    }
    for arguments in [["-f", "ip", "port"], ["-4", "-6", "ip"]] {
        assert_eq!(udptrack(&arguments).status.code(), Some(2));
    }
}

#[test]
#[ignore = "root"]
fn an_unknown_interface_is_told_what_exists() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    for arguments in [vec!["-i", "eth7"], vec!["-i", iface, "-i", "eth7"]] {
        let finished = Udptrack::spawn(&pair.a, &arguments).wait().failure(1);
        assert_eq!(finished.stdout, Vec::<String>::new());
        assert_eq!(
            finished.stderr,
            format!("udptrack: there is no interface named \"eth7\". Interfaces: lo, {iface}")
        );
    }
}

#[test]
#[ignore = "root"]
fn without_a_name_it_takes_the_default_route() {
    let pair = Pair::new();
    let iface = pair.a.iface();
    let finished = Udptrack::spawn(&pair.a, &[]).wait().failure(1);
    assert_eq!(
        finished.stderr,
        format!(
            "udptrack: there is no default route, so udptrack does not know which interface to track. Name one with -i: lo, {iface}, or any"
        )
    );
    for (ip, gateway) in [
        (Ip::V6, pair.b.ip(Ip::V6).to_string()),
        (Ip::V4, pair.b.ip(Ip::V4).to_string()),
    ] {
        pair.a.ip_batch(&format!("route add default via {gateway}"));
        let udptrack = Udptrack::start(&pair.a, &["-j"]);
        let mut talk = Talk::new(
            pair.a.udp(pair.a.addr(ip, 45_000)),
            pair.b.udp(pair.b.addr(ip, 4000)),
        );
        talk.turn();
        let finished = udptrack.stop().success();
        assert_eq!(finished.connections(), [talk.entry()].into());
    }
}

/// One error, which says the way out; not a word of the libraries below.
#[test]
#[ignore = "root"]
fn without_rights_it_says_what_is_missing() {
    let pair = Pair::new();
    let directory = TempDir::new("rights");
    let program = directory.copy(env!("CARGO_BIN_EXE_udptrack"), "udptrack");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let output = pair
            .a
            .command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(arguments)
            .output()
            .expect("setpriv (package util-linux) runs");
        let code = output.status.code();
        let text = |bytes: &[u8]| text(bytes).to_owned();
        (code, text(&output.stdout), text(&output.stderr))
    };
    for hook in ["auto", "xdp", "tc"] {
        let (code, stdout, stderr) = as_nobody(&["-i", pair.a.iface(), "--hook", hook]);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("udptrack: "), "{stderr}");
        for word in ["not permitted", "root", "cap_bpf", "cap_net_admin"] {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    }
    // Looking needs no rights.
    let (code, stdout, _) = as_nobody(&["-D"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
}

/// A full disk is an error that says what could not be written; the books are told all the same.
#[test]
#[ignore = "root"]
fn a_full_disk_is_told() {
    let netns = Netns::new("full");
    for arguments in [
        vec!["-D"],
        vec!["-i", "lo", "-o", "csv"],
        vec!["-i", "lo", "-j", "--duration", "1ms"],
    ] {
        let output = netns
            .command(env!("CARGO_BIN_EXE_udptrack"))
            .args(&arguments)
            .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let message = text(&output.stderr).lines().last().unwrap();
        assert_eq!(
            message,
            "udptrack: cannot write to standard output: No space left on device (os error 28)"
        );
    }
}

/// Every connection, also one that has been silent for a while; the status says what was found.
#[test]
#[ignore = "root"]
fn once_shows_what_is_there_and_its_status_says_whether_it_is() {
    const CASES: [(&[&str], i32); 8] = [
        (&["--once=3s", "-j"], 0),
        (&["--once=3s", "-j", "--check"], 3),
        (&["--once=3s", "-o", "table", "--check"], 3),
        (&["unanswered", "--once=3s", "--check"], 3),
        (&["--once=3s", "-o", "csv", "--by", "server", "--check"], 3),
        (&["--once=3s", "-o", "csv", "--check", "port", "9"], 0),
        (
            &[
                "--once=4s",
                "--check",
                "--alert",
                "new > 0 by responder over 2s",
            ],
            4,
        ),
        (&["--once=3s", "--check", "--alert", "new > 99"], 0),
    ];
    at_once(CASES, |(arguments, status)| {
        let pair = Pair::new();
        let mut talk = Talk::new(
            pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
            pair.b.udp(pair.b.addr(Ip::V4, 4000)),
        );
        let run = [&["-i", pair.a.iface(), "-n"], arguments].concat();
        let udptrack = Udptrack::start(&pair.a, &run);
        talk.ask(100);
        let finished = udptrack.wait();
        assert_eq!(finished.code, Some(status), "{arguments:?}: {finished:?}");
        assert!(!finished.stderr.contains("BALANCE"), "{finished:?}");
        if arguments.contains(&"-j") {
            let records = finished.records();
            assert_eq!(records.len(), 2, "{finished:?}");
            assert_eq!(records[0]["udptrack"]["event"], "update");
            assert_eq!(records[0]["flow"]["pkts_toserver"], 1);
            assert_eq!(records[1]["event_type"], "stats");
        }
        if arguments.contains(&"csv") {
            let rows = usize::from(status == 3);
            assert_eq!(finished.stdout.len(), 1 + rows, "{finished:?}");
        }
    });
}

/// On a terminal of 80 columns the least important columns are left out; numbers are whole.
#[test]
#[ignore = "root"]
fn a_table_fits_the_terminal() {
    let pair = Pair::new();
    let command = format!(
        "stty cols 80 rows 24 && exec {} -q -n -o table -i {} -d 3s -c 1",
        env!("CARGO_BIN_EXE_udptrack"),
        pair.a.iface()
    );
    let child = pair
        .a
        .command("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (package bsdutils) runs");
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
    );
    // From before the hooks are on until the table comes: some are counted. Only the client sends: else the first packet
    // that is counted may be an answer.
    while !child_has_ended(&child) {
        talk.ask(100);
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = text(&output.stdout);
    let lines: Vec<_> = shown.lines().take(2).map(str::trim_end).collect();
    assert!(
        lines[0].starts_with("STATUS")
            && lines[0].contains("RESPONSE")
            && !lines[0].contains("PKTS"),
        "{shown}"
    );
    let [client, server] = [&talk.client, &talk.server].map(|end| end.local_addr().unwrap());
    // In the first seconds nobody saw who began.
    assert!(
        lines[1].contains(&format!("{client}  {server}?  ")),
        "{shown}"
    );
    assert!(lines.iter().all(|line| line.len() <= 80), "{shown}");
}

fn child_has_ended(child: &Child) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    state.rsplit(") ").next().unwrap().starts_with('Z')
}

#[test]
#[ignore = "root"]
fn interfaces_are_listed_with_their_addresses() {
    let pair = Pair::new();
    let port = &pair.a.ports[0];
    pair.a.ip_batch(&format!("link set {} down", port.iface));
    let finished = Udptrack::spawn(&pair.a, &["-D"]).wait().success();
    let lines: Vec<Vec<&str>> = finished
        .stdout
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["lo", "up", "127.0.0.1", "::1"]);
    // The kernel takes IPv6 addresses away from an interface that goes down.
    assert_eq!(lines[1], [&*port.iface, "down", &port.v4.to_string()]);
    assert_eq!(lines.len(), 2);
    assert_eq!(finished.stderr, "");
}

/// The tables are asked for only if they fit: a machine is not to be pushed to its limits by a number. This one says that it has
/// one gigabyte left.
#[test]
#[ignore = "root"]
fn tables_that_do_not_fit_are_refused() {
    let netns = Netns::new("memory");
    let directory = TempDir::new("memory");
    let meminfo = directory.file(
        "meminfo",
        "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n",
    );
    let mut command = netns.command("unshare");
    command
        .args(["--mount", "--propagation", "private", "--", "sh", "-c"])
        .arg("mount --bind \"$0\" /proc/meminfo && exec \"$@\"")
        .arg(meminfo)
        .args([env!("CARGO_BIN_EXE_udptrack"), "-i", "lo"])
        .args(["--max-connections", "16777216", "--max-ips", "16777216"]);
    let finished = Udptrack::spawn_command(&mut command, usize::MAX)
        .wait()
        .failure(1);
    let messages = finished.messages();
    assert_eq!(messages.len(), 1, "{finished:#?}");
    assert!(
        messages[0].starts_with("tables for 16,777,216 connections and 16,777,216 addresses need "),
        "{messages:?}"
    );
    assert!(
        messages[0].ends_with(
            " of udptrack's own when they are full; this machine has only 1.0 GB left. Choose a smaller --max-connections or --max-ips"
        ),
        "{messages:?}"
    );
}

/// The machine has the memory, but the control group that the program runs in may not use it: `check` says it in the words of a run.
#[test]
#[ignore = "root"]
fn tables_beyond_a_control_group_are_refused() {
    let netns = Netns::new("group");
    let Some(group) = ControlGroup::new("memory") else {
        return;
    };
    group.limit_memory(64 << 20);
    let inside = |arguments: &[&str]| {
        let mut command = netns.command("sh");
        command
            .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
            .arg(group.path())
            .arg(env!("CARGO_BIN_EXE_udptrack"))
            .args(arguments)
            .args(["-i", "lo", "--max-connections", "1000000"]);
        command.output().expect("sh runs")
    };
    let refused = inside(&["-j", "--duration", "1ms"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(text(&refused.stdout), "");
    let message = text(&refused.stderr);
    assert_eq!(message.lines().count(), 1, "{message}");
    // What is left of the group depends on the moment.
    let (needed, left) = message.trim().split_once(" has ").unwrap();
    let (_, way_out) = left.split_once(" left. ").unwrap();
    let needed = needed.strip_prefix("udptrack: ").unwrap();
    assert!(
        needed.starts_with("tables for 1,000,000 connections and 16,384 addresses need "),
        "{message}"
    );
    let of = format!("; the control group {}", group.path().display());
    assert!(needed.ends_with(&of), "{message}");
    assert_eq!(
        way_out,
        "Choose a smaller --max-connections or --max-ips, or raise its limit (MemoryMax= and MemoryHigh= in a unit)"
    );
    let checked = inside(&["check", "-j"]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = report["machine"]["findings"].as_array().unwrap();
    let problems: Vec<_> = findings
        .iter()
        .filter(|it| it["mark"] == "problem")
        .collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0]["subject"], "memory");
    let text = problems[0]["text"].as_str().unwrap();
    assert!(
        text.starts_with(needed) && text.ends_with(way_out),
        "{text}"
    );
}
