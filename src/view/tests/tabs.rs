//! The tabs: how one gets from one to the other, and what each keeps.

use ratatui::crossterm::event::KeyCode;

use super::super::state::Pane;
use super::super::tab::Tab;
use super::*;
use crate::listing::{Key, State as Condition};
use crate::model::Field;
use crate::output::{Output as _, Style, TextTable};

#[test]
fn number_keys_and_tab_go_from_one_to_the_other() {
    let mut bench = Bench::new(80, 24, few());
    assert_eq!(bench.model.state.tab, Tab::Servers);
    for (tab, number) in Tab::ALL.into_iter().zip('1'..) {
        let _ = bench.press(KeyCode::Char(number));
        assert_eq!(bench.model.state.tab, tab);
    }
    for tab in Tab::ALL {
        let _ = bench.press(KeyCode::Tab);
        assert_eq!(bench.model.state.tab, tab);
    }
    for tab in Tab::ALL.into_iter().rev().skip(1) {
        let _ = bench.press(KeyCode::BackTab);
        assert_eq!(bench.model.state.tab, tab);
    }
}

#[test]
fn the_top_line_names_them_all_wherever_they_fit() {
    let mut bench = Bench::new(80, 24, few());
    for (width, wanted) in [
        (
            98,
            " udptrack 1 Servers  2 Connections  3 Processes  4 Hosts  5 Interfaces  6 Ended  7 Sockets  8 DNS",
        ),
        (
            89,
            " 1 Servers  2 Connections  3 Processes  4 Hosts  5 Interfaces  6 Ended  7 Sockets  8 DNS",
        ),
        (
            84,
            " udptrack 1 Servers  2 Conns  3 Procs  4 Hosts  5 Ifaces  6 Ended  7 Sockets  8 DNS",
        ),
        (
            80,
            " 1 Servers  2 Conns  3 Procs  4 Hosts  5 Ifaces  6 Ended  7 Sockets  8 DNS",
        ),
        (60, " 1 Servers  2 3 4 5 6 7 8"),
    ] {
        bench.resize(width, 24);
        assert_eq!(bench.lines()[0], wanted);
    }
}

#[test]
fn each_keeps_its_order_and_its_row() {
    let mut bench = Bench::new(80, 24, few());
    bench.keys("2jj>4j1");
    assert_eq!(
        (bench.model.state.cursor, bench.model.state.query.sort),
        (0, Key::Rate)
    );
    bench.keys("4");
    assert_eq!(bench.model.state.cursor, 1);
    bench.keys("2");
    assert_eq!(bench.model.state.query.sort, Key::Status);
}

#[test]
fn each_has_its_own_footer_and_words() {
    let mut seen: Vec<String> = Vec::new();
    for number in '1'..='8' {
        let mut bench = Bench::new(200, 60, few());
        let _ = bench.press(KeyCode::Char(number));
        let footer = bench.lines()[59].clone();
        bench.keys("?");
        for (word, text) in bench.model.state.tab.about().words {
            assert!(
                bench.shows(word) && bench.shows(text),
                "{word}: {:?}",
                bench.lines()
            );
        }
        if number != '6' {
            assert!(!seen.contains(&footer), "{footer}");
        }
        seen.push(footer);
    }
}

#[test]
fn a_tab_closes_what_is_open() {
    for keys in ["?", "s", "b", "2\n"] {
        let mut bench = Bench::new(80, 24, few());
        bench.keys(keys.trim_end());
        if keys.ends_with('\n') {
            let _ = bench.press(KeyCode::Enter);
        }
        bench.keys("4");
        assert_eq!(
            (bench.model.state.tab, &bench.model.state.pane),
            (Tab::Hosts, &Pane::Table)
        );
    }
}

#[test]
fn enter_goes_from_a_group_to_its_connections_and_esc_back() {
    for (tab, number, rows) in [
        (Tab::Servers, '1', 1),
        (Tab::Processes, '3', 1),
        (Tab::Hosts, '4', 5),
    ] {
        let mut bench = Bench::new(80, 24, few());
        let _ = bench.press(KeyCode::Char(number));
        bench.keys("s");
        let _ = bench.press(KeyCode::Esc);
        let row = bench.model.rows.keys()[0];
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.model.state.tab, Tab::Connections);
        assert_eq!(bench.order().len(), rows, "{:?}", bench.lines());
        assert!(bench.shows("  of "), "{:?}", bench.lines());
        let _ = bench.press(KeyCode::Enter);
        assert!(bench.shows("DETAILS"));
        let _ = bench.press(KeyCode::Esc);
        let _ = bench.press(KeyCode::Esc);
        assert_eq!(bench.model.state.tab, tab);
        assert_eq!(bench.model.state.selected, Some(row));
        // Another tab leaves it for good.
        let _ = bench.press(KeyCode::Enter);
        bench.keys("42");
        assert!(bench.model.state.inside.is_empty());
    }
}

#[test]
fn d_has_the_worst_servers_first() {
    let mut bench = Bench::new(120, 24, few());
    let states = |bench: &Bench| -> Vec<Condition> {
        let count = bench.model.rows.keys().len();
        (0..count)
            .map(|row| bench.model.rows.group(row).unwrap().state)
            .collect()
    };
    bench.keys("d");
    assert!(bench.shows("sorted by state: worst first"));
    let worst = states(&bench);
    assert!(worst.is_sorted(), "{worst:?}");
    assert_ne!(worst[0], Condition::Ok);
    bench.keys("d");
    assert_eq!(bench.model.state.query.sort, Key::Rate);
}

#[test]
fn the_command_line_says_what_is_first() {
    let first = |by: Option<Field>, sort: Key| {
        let query = Query {
            by,
            sort,
            ..Query::default()
        };
        let state = super::super::state::State::new(query, true, Services::default());
        (state.tab, state.query.by, state.query.sort)
    };
    assert_eq!(
        first(None, Key::Rate),
        (Tab::Servers, Some(Field::Server), Key::Rate)
    );
    assert_eq!(
        first(Some(Field::Port), Key::Lost),
        (Tab::Servers, Some(Field::Port), Key::Lost)
    );
    assert_eq!(
        first(Some(Field::Process), Key::Rate),
        (Tab::Processes, Some(Field::Process), Key::Rate)
    );
    assert_eq!(
        first(Some(Field::Host), Key::Bytes),
        (Tab::Hosts, Some(Field::Host), Key::Bytes)
    );
    assert_eq!(first(Some(Field::Interface), Key::Rate).0, Tab::Interfaces);
    assert_eq!(first(None, Key::Idle), (Tab::Connections, None, Key::Idle));
    assert_eq!(
        first(None, Key::Lost),
        (Tab::Servers, Some(Field::Server), Key::Lost)
    );
}

#[test]
fn the_scroll_bar_and_the_position_say_where_one_is() {
    let mut bench = Bench::new(80, 24, many());
    bench.keys("2");
    assert!(bench.shows("1-16 of 206"), "{:?}", bench.lines());
    let bar = |bench: &Bench| -> Vec<usize> {
        let thumb = |line: &usize| bench.lines()[*line].ends_with('█');
        (6..22).filter(thumb).collect()
    };
    assert_eq!(bar(&bench), [6]);
    bench.keys("G");
    assert!(bench.shows("191-206 of 206"), "{:?}", bench.lines());
    assert_eq!(bar(&bench), [21]);
    let mut bench = Bench::new(80, 24, few());
    bench.keys("2");
    assert!(bench.shows("1-6 of 6"));
    assert!(bar(&bench).is_empty());
    bench.keys("/nothing");
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.shows("0 of 0"));
}

#[test]
fn what_waits_is_yellow_before_it_is_red() {
    use ratatui::style::Color;
    let color = |wait_ns: u64, mean_ns: Option<u64>| {
        let mut one = sample(40_003, "192.0.2.99:123", Status::Unreplied, 1, 0);
        if let Some(mean) = mean_ns {
            one = answered(one, &[mean]);
            one.status = Status::Assured;
        }
        let one = waiting(one, START + 10 * SECOND - wait_ns);
        let mut bench = Bench::with(240, 24, vec![one], true);
        bench.keys("2");
        let line = &bench.lines()[5];
        let title = line[..line.find("WAITING").unwrap()].chars().count();
        bench.buffer()[(u16::try_from(title + 6).unwrap(), 6)].fg
    };
    assert_eq!(color(999 * MS, None), Color::Yellow);
    assert_eq!(color(SECOND, None), Color::Red);
    assert_eq!(color(79 * MS, Some(10 * MS)), Color::Yellow);
    assert_eq!(color(80 * MS, Some(10 * MS)), Color::Red);
    assert_eq!(color(SECOND, Some(900 * MS)), Color::Red);
}

/// `--by`: what has ended is in the groups of the live view, and in those of a table, with the same numbers.
#[test]
fn groups_have_what_has_ended_as_those_of_a_table_have() {
    let to = |port| sample(port, "192.0.2.9:7000", Status::Replied, 4, 1);
    let mut bench = Bench::new(120, 24, vec![to(41_000), to(41_001), to(41_002)]);
    let query = Query {
        by: Some(Field::Server),
        ..Query::default()
    };
    let style = Style {
        query,
        ..Style::default()
    };
    let mut out = Vec::new();
    let mut text = TextTable::new(&mut out, style);
    let mut viewed = Vec::new();
    for _ in 0..3 {
        let group = bench.model.rows.group(0).unwrap();
        let columns = [
            group.connections,
            group.received.packets,
            group.sent.packets,
        ];
        viewed.push((bench.table.len(), columns.map(|count| count.to_string())));
        let report = report(bench.table.len());
        text.snapshot(&bench.table, &report, &bench.facts).unwrap();
        let gone = bench.samples[0];
        bench.end(&gone, EndReason::Idle);
        text.end(&gone, EndReason::Idle, &bench.facts).unwrap();
        bench.tick(START + 11 * SECOND);
    }
    let all = ["3", "12", "3"].map(str::to_owned);
    assert_eq!(viewed, [3, 2, 1].map(|live| (live, all.clone())));
    let text = String::from_utf8(out).unwrap();
    let headers = text.lines().filter(|line| line.contains(" SERVER "));
    let rows = text
        .lines()
        .filter(|line| line.contains(" 192.0.2.9:7000 "));
    let cell = |header: &str, row: &str, title: &str| {
        let end = header.find(title).unwrap() + title.len();
        row[..end].split(' ').next_back().unwrap().to_owned()
    };
    let tabled: Vec<_> = headers
        .zip(rows)
        .map(|(header, row)| ["CONNS", "IN PKTS", "OUT PKTS"].map(|title| cell(header, row, title)))
        .collect();
    assert_eq!(tabled, [all.clone(), all.clone(), all]);
}
