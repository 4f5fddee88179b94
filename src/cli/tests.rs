//! What is taken, what is refused and with which words.

use clap::ValueEnum as _;

use super::arguments::own_command;
use super::*;
use crate::model::{Field, Protocol, SortKey, Status};

mod pages;

fn config(line: &str) -> Config {
    tracking(parse(line.split_whitespace(), false).unwrap())
}

fn tracking(task: Task) -> Config {
    let Task::Run(config) = task else {
        panic!("{task:?}");
    };
    *config
}

fn refusal(line: &str) -> String {
    let error = parse(line.split_whitespace(), false).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string()
}

#[test]
fn what_fingers_know_of_tcpdump() {
    for line in [
        "udptrack -nn -vv",
        "udptrack -n -n -v -v",
        "udptrack -nnv -n --verbose",
    ] {
        let config = config(line);
        assert!(config.numeric && config.verbose, "{line}");
    }
    let snaplen = refusal("udptrack -s 64");
    assert!(
        snaplen.contains("tip: use --snaplen N to cut frames"),
        "{snaplen}"
    );
    for flag in ["-l", "-A", "-X", "-t", "-s0", "--no-such-flag"] {
        let said = refusal(&format!("udptrack {flag}"));
        assert!(said.contains("unexpected argument"), "{said}");
        assert!(!said.contains("-- -"), "{said}");
    }
}

#[test]
fn clap_finds_no_contradiction() {
    command().debug_assert();
}

/// What `-h`, `--help` or `help` writes.
fn page(line: &str) -> String {
    let error = parse(line.split_whitespace(), false).unwrap_err();
    assert_eq!(error.exit_code(), 0, "{line}");
    error.to_string()
}

#[test]
fn a_long_help_has_every_flag_that_means_something() {
    let long = page("udptrack --help");
    assert_eq!(long, page("udptrack help"));
    for argument in own_command().get_arguments() {
        if let Some(flag) = argument.get_long() {
            assert!(long.contains(&format!("--{flag}")), "{flag}");
        }
    }
    let list = page("udptrack help list");
    assert_eq!(list, page("udptrack list --help"));
    assert!(list.contains("--name") && !list.contains("--pin-mode"));
}

#[test]
fn a_time_that_is_no_filter_is_one_of_once() {
    assert!(refusal("udptrack --once 5s").contains("--once=5s"));
    assert!(refusal("udptrack unanswered --once 5").contains("--once=5"));
    assert_eq!(
        config("udptrack --once port 53").filter.as_deref(),
        Some("port 53")
    );
}

#[test]
fn interfaces_by_repetition_and_commas() {
    assert_eq!(
        config("udptrack -i a,b --interface c").interfaces,
        ["a", "b", "c"]
    );
    assert!(config("udptrack").interfaces.is_empty());
}

#[test]
fn filters_by_words_or_by_flag() {
    let words = config("udptrack port 53 -i a and not host 10.0.0.1");
    assert_eq!(
        words.filter.as_deref(),
        Some("port 53 and not host 10.0.0.1")
    );
    assert_eq!(words.interfaces, ["a"]);
    let flag = tracking(parse(["udptrack", "-6", "-f", "port 53 or (dst port 5)"], false).unwrap());
    assert_eq!(flag.filter.as_deref(), Some("port 53 or (dst port 5)"));
    assert_eq!(flag.family, Some(Family::V6));
    assert_eq!(config("udptrack -4").family, Some(Family::V4));
    let plain = config("udptrack");
    assert_eq!((plain.filter, plain.family), (None, None));
    for line in [
        "udptrack -f ip port 53",
        "udptrack -f ip unanswered port 53",
        "udptrack unanswered port 53 -f ip",
    ] {
        assert!(refusal(line).contains("the words `port 53`"), "{line}");
    }
    for line in ["udptrack -4 -6", "udptrack -4 unanswered -6"] {
        assert!(refusal(line).contains("-4 and -6"), "{line}");
    }
}

#[test]
fn defaults_are_those_of_netfilter() {
    let config = config("udptrack");
    assert_eq!(config.udp_timeout, Duration::from_secs(30));
    assert_eq!(config.stream_timeout, Duration::from_secs(120));
    assert_eq!(config.max_connections, 65_536);
    assert_eq!(config.max_ips, 16_384);
}

#[test]
fn events_default_to_what_the_output_shows() {
    use Kind::{Data, End, New};
    assert_eq!(config("udptrack").events, all(&[New, Data, End]));
    assert_eq!(config("udptrack -j").events, all(&[End]));
    assert_eq!(config("udptrack -o table").events, all(&[]));
    assert_eq!(config("udptrack -j -e new,data").events, all(&[New, Data]));
}

#[test]
fn bare_numbers_are_seconds() {
    assert_eq!(config("udptrack -d 0.5").delay, Duration::from_millis(500));
    assert_eq!(
        config("udptrack -d 500ms").delay,
        Duration::from_millis(500)
    );
}

#[test]
fn out_of_range_names_the_range() {
    assert!(refusal("udptrack --max-connections 0").contains("from 1 to 16777216"));
    assert!(refusal("udptrack --max-ips 16777217").contains("from 1 to 16777216"));
    assert!(refusal("udptrack -d 1ms").contains("100ms and 1h"));
    assert!(refusal("udptrack --udp-timeout 0").contains("1s and 1day"));
    assert!(refusal("udptrack --udp-timeout soon").contains("30s"));
    assert!(refusal("udptrack --duration 0").contains("1ms and"));
    assert!(refusal("udptrack -c 0").contains("1 or more"));
}

#[test]
fn once_is_one_snapshot_after_a_time() {
    for (line, output, delay) in [
        ("udptrack --once", OutputKind::Table, 1000),
        ("udptrack --once=5s -j", OutputKind::Json, 5000),
        ("udptrack -o csv --once=100ms", OutputKind::Csv, 100),
        ("udptrack unanswered --once=0.5", OutputKind::Table, 500),
    ] {
        let config = config(line);
        assert_eq!(config.output, output, "{line}");
        assert_eq!(config.delay, Duration::from_millis(delay), "{line}");
        assert_eq!((config.count, config.once), (Some(1), true), "{line}");
        assert_eq!(config.events, all(&[]), "{line}");
    }
    let on_terminal = tracking(parse(["udptrack", "--once"], true).unwrap());
    assert_eq!(on_terminal.output, OutputKind::Table);
    assert!(!config("udptrack").once);
    let sorted = config("udptrack --once -j --sort bytes --top 3 port 53").rows;
    assert_eq!(sorted.top, Some(3));
    for (line, said) in [
        ("udptrack --once -o trace", "-o table, json or csv"),
        ("udptrack --once -o live", "-o table, json or csv"),
        ("udptrack --once -o conntrack", "udptrack list"),
        ("udptrack --once -d 2s", "--delay"),
        ("udptrack --once -c 2", "--count"),
        ("udptrack --once --duration 2s", "--duration"),
        ("udptrack --once -j -e end", "--events"),
        ("udptrack --once=10ms", "100ms and 1h"),
        ("udptrack list --once", "--once does not work"),
        (
            "udptrack list --sort dropped",
            "does not know what this machine dropped",
        ),
    ] {
        assert!(refusal(line).contains(said), "{line}: {}", refusal(line));
    }
}

#[test]
fn a_status_says_what_was_found_where_there_is_an_end() {
    assert!(!config("udptrack --once").check);
    for line in [
        "udptrack --once --check",
        "udptrack unanswered --check -c 3",
        "udptrack -j --check --alert udp-flood",
    ] {
        assert!(config(line).check, "{line}");
    }
    let list = parse(["udptrack", "list", "--check"], false).unwrap();
    assert!(matches!(list, Task::List(config) if config.check));
    let said = refusal("udptrack --check -j");
    assert!(said.contains("needs --once, unanswered, drops, dns, list or --alert"));
    assert!(refusal("udptrack detach --check").contains("--check does not work"));
}

#[test]
fn a_terminal_gets_the_live_view() {
    let on_terminal = |line: &str| tracking(parse(line.split_whitespace(), true).unwrap());
    assert_eq!(on_terminal("udptrack").output, OutputKind::Live);
    assert!(on_terminal("udptrack").processes);
    assert_eq!(config("udptrack").output, OutputKind::Trace);
    assert_eq!(on_terminal("udptrack -o trace").output, OutputKind::Trace);
    assert_eq!(on_terminal("udptrack -j").output, OutputKind::Json);
    assert_eq!(on_terminal("udptrack unanswered").output, OutputKind::Table);
    assert_eq!(on_terminal("udptrack").events, all(&[Kind::New, Kind::End]));
    assert_eq!(on_terminal("udptrack -e data").events, all(&[Kind::Data]));
    let sorted = on_terminal("udptrack --by port --sort bytes --status REPLIED");
    assert_eq!(sorted.output, OutputKind::Live);
    assert_eq!(sorted.rows.by, Some(Field::Port));
    assert!(refusal("udptrack -o live").contains("needs a terminal"));
}

#[test]
fn what_belongs_to_an_export_needs_it() {
    for (flags, need) in [
        ("--ipfix-biflow", "--ipfix HOST:PORT"),
        ("--ipfix-domain 2", "--ipfix HOST:PORT"),
        ("--active-timeout 10s", "--ipfix HOST:PORT"),
        ("--metrics-top 3", "--metrics ADDRESS:PORT"),
    ] {
        let said = refusal(&format!("udptrack {flags}"));
        assert!(
            said.contains(&format!("need {need}")) || said.contains(&format!("needs {need}")),
            "{said}"
        );
    }
    config(
        "udptrack --ipfix 127.0.0.1:4739 --active-timeout 10s --metrics 127.0.0.1:9435 --metrics-top 3",
    );
}

#[test]
fn color_is_asked_for() {
    assert_eq!(config("udptrack").color, Color::Auto);
    assert_eq!(config("udptrack --color never").color, Color::Never);
    assert!(refusal("udptrack --color red").contains("auto, always, never"));
}

#[test]
fn contradictions_are_refused() {
    assert!(refusal("udptrack --hook tc --xdp-mode native").contains("--xdp-mode"));
    assert!(refusal("udptrack -o table -e new").contains("--events"));
    assert!(refusal("udptrack -q -v").contains("--verbose"));
    assert!(refusal("udptrack -j -o table").contains("--output"));
    assert!(refusal("udptrack --resolve").contains("table, JSON or CSV"));
    assert!(refusal("udptrack -j -n --resolve").contains("--numeric"));
    assert!(config("udptrack -j --resolve").resolve);
    for nothing in ["dns", "-j -e dns", "-j -e quic"] {
        let said = refusal(&format!("udptrack {nothing} --no-payload"));
        assert!(said.contains("leave out --no-payload"), "{said}");
    }
}

#[test]
fn sort_keys_go_the_way_that_suits_them_or_as_told() {
    let sorted = |word: &str| {
        let sort = config(&format!("udptrack -o table --sort {word}"))
            .rows
            .sort;
        let Sort { key, descending } = sort.unwrap();
        (key, descending)
    };
    assert_eq!(sorted("rate"), (SortKey::Rate, None));
    assert_eq!(sorted("-first-reply"), (SortKey::FirstReply, Some(true)));
    assert_eq!(sorted("+Bytes"), (SortKey::Bytes, Some(false)));
    assert_eq!(
        config("udptrack -o table --sort=-age").rows.sort,
        config("udptrack -o table --sort -age").rows.sort
    );
    for key in SortKey::value_variants() {
        let word = key.to_possible_value().unwrap().get_name().to_owned();
        assert_eq!(sorted(&word), (*key, None));
        assert!(
            refusal("udptrack -o table --sort size").contains(&word),
            "{word}"
        );
    }
    for (word, key) in [
        ("-Latency", "response"),
        ("size", "bytes"),
        ("losthere", "lost-here"),
        ("pakets", "packets"),
    ] {
        let said = refusal(&format!("udptrack -o table --sort {word}"));
        assert!(said.contains(&format!("do you mean {key}?")), "{said}");
    }
    assert!(!refusal("udptrack -o table --sort colour").contains("mean"));
    assert!(refusal("udptrack -o table --sort --rate").contains("with - or +"));
}

#[test]
fn rows_are_chosen_by_flags() {
    let rows = config(
        "udptrack -o table --status unreplied --process dig --proto DNS --by port --top 3 -n",
    )
    .rows;
    assert_eq!(
        rows,
        Rows {
            status: Some(Status::Unreplied),
            process: Some("dig".to_owned()),
            proto: Some(Protocol::Dns),
            by: Some(Field::Port),
            sort: None,
            top: Some(3),
            unanswered: false,
            one_way_ports: None,
        }
    );
    assert!(config("udptrack -n").numeric);
    assert_eq!(config("udptrack").rows, Rows::default());
    assert!(refusal("udptrack -o table --top 0").contains("--top"));
    assert!(
        refusal("udptrack -o table --status gone").contains("UNREPLIED, REPLIED, ASSURED, UNREACH")
    );
    assert!(
        refusal("udptrack -o table --by vlan")
            .contains("server, process, host, interface, port, subnet, proto, originator")
    );
}

#[test]
fn what_sorts_and_groups_needs_a_table() {
    let refused = |output: &str, flag, value| {
        let said = refusal(&format!("udptrack {output} {flag} {value}"));
        assert!(said.contains(&format!("{flag} needs -o table")), "{said}");
    };
    for (flag, value) in [("--sort", "rate"), ("--top", "5")] {
        for output in ["", "-j", "-o csv", "-o trace"] {
            refused(output, flag, value);
        }
    }
    for output in ["", "-o trace"] {
        refused(output, "--by", "port");
    }
}

#[test]
fn groups_are_records_too() {
    for output in ["-j", "-o csv"] {
        let grouped = config(&format!(
            "udptrack {output} --by server --sort state --top 3"
        ));
        assert_eq!(grouped.rows.by, Some(Field::Server));
        assert_eq!(grouped.rows.top, Some(3));
        assert_eq!(grouped.events, all(&[Kind::Data]));
        let unanswered = config(&format!("udptrack {output} unanswered"));
        assert!(unanswered.rows.unanswered);
        assert_eq!(unanswered.rows.by, Some(Field::Server));
        assert_eq!(unanswered.events, all(&[Kind::Data]));
        for rest in ["unanswered", "--by server"] {
            let said = refusal(&format!("udptrack {output} -e end {rest}"));
            assert!(said.contains("--events needs records"), "{said}");
        }
        let once = config(&format!("udptrack {output} --once --by process"));
        assert_eq!(once.events, all(&[]));
    }
    assert!(refusal("udptrack -o trace unanswered").contains("table, json or csv"));
    // Words of before.
    assert_eq!(
        config("udptrack -j --by responder").rows.by,
        Some(Field::Server)
    );
    assert_eq!(
        config("udptrack -o table --sort unanswered")
            .rows
            .sort
            .unwrap()
            .key,
        SortKey::State
    );
}

#[test]
fn ports_of_services_that_never_answer() {
    assert_eq!(config("udptrack").rows.one_way_ports, None);
    let given = config("udptrack --one-way-ports 514,5514").rows;
    assert_eq!(given.one_way_ports, Some(vec![514, 5514]));
    assert!(refusal("udptrack --one-way-ports syslog").contains("--one-way-ports"));
    let help = page("udptrack --help");
    let known = crate::model::services::ONE_WAY_PORTS.map(|port| port.to_string());
    assert!(help.contains(&known.join(",")), "{help}");
}

#[test]
fn status_and_process_choose_connections_not_packets() {
    use Kind::{Data, End};
    for flag in ["--status REPLIED", "--process dig"] {
        assert_eq!(config(&format!("udptrack {flag}")).events, all(&[End]));
        assert_eq!(
            config(&format!("udptrack -o csv {flag}")).events,
            all(&[End])
        );
        let events = config(&format!("udptrack -j -e data,end {flag}")).events;
        assert_eq!(events, all(&[Data, End]));
        assert!(refusal(&format!("udptrack -e new,end {flag}")).contains("use -e end"));
        assert!(refusal(&format!("udptrack -e data {flag}")).contains("use -e end"));
        assert!(refusal(&format!("udptrack -j -e new {flag}")).contains("use -e data,end"));
    }
}

#[test]
fn drops_is_a_table_of_its_own() {
    let drops = config("udptrack drops -i a port 53 --once=5s --top 3 --process named");
    assert!(drops.losses && drops.processes && drops.once);
    assert_eq!(drops.output, OutputKind::Table);
    assert_eq!(drops.filter.as_deref(), Some("port 53"));
    assert_eq!(drops.rows.top, Some(3));
    assert!(!config("udptrack").losses);
    assert!(refusal("udptrack drops --no-drops").contains("--no-drops"));
    for output in ["json", "csv"] {
        let records = config(&format!("udptrack drops -o {output}"));
        assert!(records.events.data && !records.events.end);
    }
    for output in ["live", "trace", "conntrack"] {
        let said = refusal(&format!("udptrack drops -o {output}"));
        assert!(said.contains("-o table, json or csv"), "{said}");
    }
    for flag in ["--by server", "--sort bytes", "--status ASSURED"] {
        let said = refusal(&format!("udptrack drops {flag}"));
        assert!(said.contains("does not work with udptrack drops"), "{said}");
    }
    assert!(refusal("udptrack drops -e new").contains("--events"));
}

#[test]
fn unanswered_is_a_table_of_servers_and_takes_every_flag_on_both_sides() {
    let plain = config("udptrack unanswered");
    assert_eq!(plain.output, OutputKind::Table);
    assert_eq!(plain.rows.by, Some(Field::Server));
    assert_eq!(plain.rows.sort.unwrap().key, SortKey::State);
    assert!(plain.rows.unanswered);
    let around =
        config("udptrack -i a,b -q unanswered -i c -d 2s -c 3 --by process --sort wait --top 5");
    assert!(around.quiet);
    assert_eq!(around.delay, Duration::from_secs(2));
    assert_eq!(around.count, Some(3));
    assert_eq!(around.rows.by, Some(Field::Process));
    assert_eq!(around.rows.sort.unwrap().key, SortKey::Wait);
    assert_eq!(around.rows.top, Some(5));
    assert_eq!(config("udptrack -i a unanswered").interfaces, ["a"]);
    assert_eq!(config("udptrack unanswered -i a").interfaces, ["a"]);
    assert_eq!(config("udptrack unanswered --max-ips 5").max_ips, 5);
    assert!(refusal("udptrack unanswered -e new").contains("--events"));
    assert_eq!(
        config("udptrack unanswered -i a dst port 53")
            .filter
            .as_deref(),
        Some("dst port 53")
    );
}

#[test]
fn a_list_takes_what_chooses_and_shows() {
    let listing = |line: &str| match parse(line.split_whitespace(), true).unwrap() {
        Task::List(config) => *config,
        other => panic!("{other:?}"),
    };
    let plain = listing("udptrack list");
    assert_eq!((plain.output, plain.events), (OutputKind::Table, all(&[])));
    let list = listing("udptrack list --name eth0 -o conntrack --sort bytes --top 3 -6 port 53");
    assert_eq!(list.output, OutputKind::Conntrack);
    assert_eq!(list.pins.name.as_deref(), Some("eth0"));
    assert_eq!(list.filter.as_deref(), Some("port 53"));
    assert_eq!(list.rows.top, Some(3));
    assert_eq!(
        listing("udptrack list -j --sort bytes").output,
        OutputKind::Json
    );
    for (line, word) in [
        ("udptrack list -o live", "as they are now"),
        ("udptrack list -o trace", "as they are now"),
        ("udptrack list --duration 3s", "--duration does not work"),
        ("udptrack list -i eth0", "--iface does not work"),
        ("udptrack list --keep", "--keep does not work"),
        ("udptrack detach -j", "--json does not work"),
        ("udptrack -o conntrack", "udptrack list"),
        ("udptrack --name a.b", "does not allow dots"),
        ("udptrack --pin-mode 0666", "others may only read"),
    ] {
        assert!(refusal(line).contains(word), "{line}: {}", refusal(line));
    }
}

#[test]
fn sockets_are_a_table_wherever_it_goes() {
    let sockets = |line: &str, terminal| {
        let task = parse(line.split_whitespace(), terminal).unwrap();
        let Task::Sockets(config) = task else {
            panic!("{task:?}");
        };
        *config
    };
    assert_eq!(sockets("udptrack sockets", true).output, OutputKind::Table);
    let config = sockets(
        "udptrack sockets --once=5s -N blue --process dig --top 3 -n",
        false,
    );
    assert_eq!((config.output, config.count), (OutputKind::Table, Some(1)));
    assert_eq!(config.netns.as_deref(), Some("blue"));
    assert_eq!(config.rows.process.as_deref(), Some("dig"));
    assert_eq!((config.rows.top, config.numeric), (Some(3), true));
    assert_eq!(config.delay, Duration::from_secs(5));
    assert_eq!(
        sockets("udptrack sockets -o csv", true).output,
        OutputKind::Csv
    );
    for (line, word) in [
        ("udptrack sockets -o live", "-o table, json or csv"),
        ("udptrack sockets -o trace", "-o table, json or csv"),
        ("udptrack sockets -i eth0", "datagrams from all interfaces"),
        ("udptrack sockets --sort bytes", "--sort does not work"),
        ("udptrack sockets --once 5s", "5s"),
    ] {
        assert!(refusal(line).contains(word), "{line}: {}", refusal(line));
    }
}

#[test]
fn detach_names_what_it_ends() {
    let task = parse(["udptrack", "detach", "--name", "eth0", "-q"], false).unwrap();
    let name = Some("eth0".to_owned());
    assert_eq!(task, Task::Detach { name, quiet: true });
}

#[test]
fn check_takes_the_flags_of_a_run() {
    let checked = |line: &str| {
        let task = parse(line.split_whitespace(), false).unwrap();
        let Task::Check { config, json } = task else {
            panic!("{task:?}");
        };
        (*config, json)
    };
    let (config, json) = checked("udptrack check -i a -N blue --hook xdp --no-egress port 53 -p");
    assert_eq!(
        (config.interfaces, config.hook),
        (vec!["a".to_owned()], HookChoice::Xdp)
    );
    assert_eq!(config.netns.as_deref(), Some("blue"));
    assert_eq!(config.filter.as_deref(), Some("port 53"));
    assert!(!config.egress && config.processes && !json);
    assert!(checked("udptrack -j check").1);
    assert!(checked("udptrack check -o json --keep").0.pins.keep);
    // What a run would show needs no terminal here.
    assert!(!checked("udptrack check -o live").1);
    assert!(refusal("udptrack check --hook tc --xdp-mode native").contains("--xdp-mode"));
}

#[test]
fn the_example_of_a_configuration_is_right_as_it_is_and_with_all_that_it_has_switched_off() {
    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/udptrack.toml");
    let with = |file: &str| {
        let Task::Run(config) = parse(["udptrack", "--config", file], false).unwrap() else {
            panic!("{file} is no run");
        };
        *config
    };
    assert_eq!(with(EXAMPLE).output, OutputKind::Json);
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let all: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        })
        .collect();
    let file = std::env::temp_dir().join(format!("udptrack-{}.toml", std::process::id()));
    std::fs::write(&file, all.join("\n")).unwrap();
    let config = with(file.to_str().unwrap());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(config.interfaces, ["eth0", "wg0"]);
    assert!(config.processes);
    assert_eq!(config.max_connections, 262_144);
}
