//! What each key does.

use ratatui::crossterm::event::KeyCode::{self, Char, F};

use super::super::state::{GROUP_MENU, Pane};
use super::super::tab::Tab;
use super::*;
use crate::listing::Key;
use crate::model::Field;
use crate::model::Window;

fn sorts() -> &'static [(&'static str, Key)] {
    Tab::Connections.about().sorts
}

/// The tab of connections.
fn on(width: u16, height: u16, samples: Vec<Sample>) -> Bench {
    let mut bench = Bench::new(width, height, samples);
    bench.keys("2");
    bench
}

fn bench() -> Bench {
    on(80, 24, few())
}

#[test]
fn q_and_f10_quit_from_the_table() {
    assert_eq!(bench().press(Char('q')), Some(Effect::Quit));
    assert_eq!(bench().press(F(10)), Some(Effect::Quit));
}

#[test]
fn control_c_quits_from_everywhere() {
    for keys in ["", "?", "s", "b", "/x"] {
        let mut bench = bench();
        bench.keys(keys);
        let key = KeyEvent::new(Char('c'), KeyModifiers::CONTROL);
        assert_eq!(
            bench.model.press(key, &bench.table),
            Some(Effect::Quit),
            "{keys}"
        );
    }
}

#[test]
fn esc_closes_and_takes_filters_off_but_never_quits() {
    for open in ["?", "s", "1b", "/"] {
        let mut bench = bench();
        bench.keys(open);
        assert_ne!(bench.model.state.pane, Pane::Table, "{open}");
        assert_ne!(bench.press(KeyCode::Esc), Some(Effect::Quit));
        assert_eq!(bench.model.state.pane, Pane::Table, "{open}");
    }
    let mut bench = bench();
    bench.keys("u/dig\n");
    let _ = bench.press(KeyCode::Enter);
    let _ = bench.press(KeyCode::Esc);
    assert!(bench.model.state.filter.is_empty());
    assert!(bench.model.state.query.unanswered);
    let _ = bench.press(KeyCode::Esc);
    assert!(!bench.model.state.query.unanswered);
    assert_ne!(bench.press(KeyCode::Esc), Some(Effect::Quit));
}

#[test]
fn q_closes_what_is_open() {
    for open in ["?", "s", "1b"] {
        let mut bench = bench();
        bench.keys(open);
        assert_ne!(bench.press(Char('q')), Some(Effect::Quit), "{open}");
        assert_eq!(bench.model.state.pane, Pane::Table, "{open}");
    }
}

#[test]
fn three_keys_open_help_and_it_scrolls() {
    for key in [Char('?'), Char('h'), F(1)] {
        let mut bench = bench();
        let _ = bench.press(key);
        // The words of what one sees come first.
        assert!(bench.shows("an ICMP error"), "{key:?}");
        assert!(!bench.shows("one page down"), "{key:?}");
        let _ = bench.press(KeyCode::End);
        assert!(bench.shows("one page down"), "{key:?}");
        let _ = bench.press(key);
        assert!(!bench.shows("one page down"), "{key:?}");
    }
}

#[test]
fn three_keys_begin_a_filter_and_rows_follow_each_letter() {
    for key in [Char('/'), Char('f'), F(4)] {
        let mut bench = bench();
        let _ = bench.press(key);
        assert!(bench.model.state.is_typing(), "{key:?}");
        bench.keys("ntp");
        assert_eq!(bench.order(), [40_003]);
        let _ = bench.press(KeyCode::Backspace);
        bench.keys("q");
        // What finds nothing is no reason for an empty table while one types.
        assert_eq!(bench.order(), [40_003]);
        // What was there before comes back.
        let _ = bench.press(KeyCode::Esc);
        assert_eq!(bench.order().len(), 6);
    }
}

#[test]
fn a_filter_finds_what_a_row_can_show() {
    for (text, ports) in [
        ("IPERF", vec![40_001]),
        ("dns.google", vec![40_002]),
        ("unreach", vec![40_004]),
        ("port domain or status UNREACH", vec![40_002, 40_004]),
        (
            "dst net 192.0.2.0/24 and not port ntp",
            vec![40_001, 40_004],
        ),
        ("process iperf3", vec![40_001]),
        ("process iperf", vec![]),
        ("2001:db8", vec![40_005]),
        ("forwarded", vec![40_000]),
        ("eth1", vec![40_000]),
        ("https", vec![40_005]),
        ("/801", vec![40_003]),
    ] {
        let mut bench = bench();
        bench.keys("/");
        bench.keys(text);
        assert_eq!(bench.order(), ports, "{text}");
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.order(), ports, "{text}");
        let hidden = 6 - ports.len();
        assert!(
            bench.shows(&format!("filter {text} hides {hidden}")),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_expression_and_no_text_either_says_why() {
    let mut bench = on(120, 24, few());
    bench.keys("/host");
    assert!(bench.shows("nothing found; "), "{:?}", bench.lines());
    assert!(bench.shows("(column 5)"), "{:?}", bench.lines());
    bench.keys(" 8.8.8.8");
    assert!(bench.shows("1 found"), "{:?}", bench.lines());
    bench.keys("x");
    assert!(bench.shows("nothing found; "), "{:?}", bench.lines());
}

#[test]
fn half_of_a_filter_keeps_the_rows_of_the_whole_one_before() {
    let mut bench = bench();
    for text in ["/port ntp", " ", "or", " ", "port"] {
        bench.keys(text);
        assert_eq!(bench.order(), [40_003], "{text}");
    }
    assert!(bench.shows("nothing found; "), "{:?}", bench.lines());
    bench.tick(START + 11 * SECOND);
    assert_eq!(bench.order(), [40_003]);
    bench.keys(" domain");
    assert_eq!(bench.order(), [40_002, 40_003]);
    // A whole one that finds nothing is what was asked for, and so is what Enter ends.
    bench.keys(" and port 1");
    assert_eq!(bench.order(), [0_u16; 0]);
    for _ in 0.." port 1".len() {
        let _ = bench.press(KeyCode::Backspace);
    }
    let _ = bench.press(KeyCode::Enter);
    assert_eq!(bench.order(), [0_u16; 0]);
}

#[test]
fn words_and_lines_of_a_filter_are_erased() {
    let control = |bench: &mut Bench, letter| {
        let key = KeyEvent::new(Char(letter), KeyModifiers::CONTROL);
        let _ = bench.model.press(key, &bench.table);
    };
    let mut bench = bench();
    bench.keys("/port 53 and");
    control(&mut bench, 'w');
    assert_eq!(bench.model.state.filter.text(), "port 53 ");
    control(&mut bench, 'w');
    assert_eq!(bench.model.state.filter.text(), "port ");
    control(&mut bench, 'u');
    assert_eq!(bench.model.state.filter.text(), "");
    control(&mut bench, 'h');
    assert_eq!(bench.model.state.filter.text(), "");
}

#[test]
fn a_filter_does_not_grow_without_end() {
    let mut bench = bench();
    bench.keys("/");
    for _ in 0..2000 {
        let key = KeyEvent::new(Char('x'), KeyModifiers::NONE);
        let _ = bench.model.press(key, &bench.table);
    }
    assert_eq!(bench.model.state.filter.text().len(), 500);
}

#[test]
fn every_line_of_the_sort_menu_sorts() {
    for (place, (_, key)) in sorts().iter().enumerate() {
        for open in [Char('s'), F(6)] {
            let mut bench = bench();
            let _ = bench.press(open);
            for _ in 0..place {
                let _ = bench.press(KeyCode::Down);
            }
            let _ = bench.press(KeyCode::Enter);
            assert_eq!(bench.model.state.query.sort, *key);
            assert_eq!(bench.order().len(), 6);
            let name = format!("sorted by {}", sorts()[place].0);
            assert!(bench.shows(&name), "{key:?}");
        }
    }
}

#[test]
fn menus_go_round() {
    let mut bench = bench();
    bench.keys("s");
    let _ = bench.press(KeyCode::Up);
    assert_eq!(bench.model.state.pane, Pane::Sort(sorts().len() - 1));
    let _ = bench.press(KeyCode::Down);
    assert_eq!(bench.model.state.pane, Pane::Sort(0));
    let _ = bench.press(KeyCode::End);
    assert_eq!(bench.model.state.pane, Pane::Sort(sorts().len() - 1));
}

#[test]
fn angle_brackets_go_from_column_to_column_and_round() {
    let mut bench = bench();
    for (_, key) in sorts().iter().skip(1) {
        bench.keys(">");
        assert_eq!(bench.model.state.query.sort, *key);
    }
    bench.keys(">");
    assert_eq!(bench.model.state.query.sort, Key::Rate);
    bench.keys("<");
    assert_eq!(bench.model.state.query.sort, sorts()[sorts().len() - 1].1);
}

#[test]
fn capital_i_and_r_reverse() {
    let mut bench = bench();
    let order = bench.order();
    assert_eq!(order[0], 40_001);
    for key in ["I", "r"] {
        bench.keys(key);
        let mut reversed = bench.order();
        reversed.reverse();
        assert_eq!(reversed, order);
        bench.keys(key);
        assert_eq!(bench.order(), order);
    }
    // Another column begins in its own direction.
    bench.keys("I>");
    assert!(!bench.model.state.query.reverse);
}

#[test]
fn servers_are_grouped_and_enter_goes_into_a_group() {
    for (place, (_, field)) in GROUP_MENU.iter().enumerate() {
        let mut bench = bench();
        bench.keys("1b");
        let _ = bench.press(KeyCode::Home);
        for _ in 0..place {
            let _ = bench.press(KeyCode::Down);
        }
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.model.state.query.by, Some(*field));
        let groups = bench.model.rows.keys().len();
        let wanted = match field {
            Field::Server | Field::Port => 6,
            Field::Subnet | Field::Proto => 4,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(groups, wanted, "{field:?}");
        let members = bench.model.rows.group(0).unwrap().connections;
        let group = bench.model.rows.keys()[0];
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.model.state.tab, Tab::Connections);
        assert_eq!(bench.order().len() as u64, members, "{field:?}");
        let _ = bench.press(KeyCode::Esc);
        assert_eq!(bench.model.state.tab, Tab::Servers);
        assert_eq!(bench.model.state.query.by, Some(*field));
        assert_eq!(bench.model.state.selected, Some(group));
    }
}

#[test]
fn every_tab_is_sorted_by_every_line_of_its_menu() {
    for (tab, number) in Tab::ALL.into_iter().zip('1'..) {
        let mut bench = bench();
        let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
        bench.end(&gone, EndReason::Idle);
        let _ = bench.press(Char(number));
        let rows = bench.model.rows.keys().len();
        for (name, key) in tab
            .about()
            .sorts
            .iter()
            .cycle()
            .skip(1)
            .take(tab.about().sorts.len())
        {
            bench.keys(">");
            assert_eq!(bench.model.state.query.sort, *key, "{tab:?}");
            assert_eq!(bench.model.rows.keys().len(), rows, "{tab:?} {name}");
        }
        bench.keys("<>Irso");
    }
}

#[test]
fn p_and_space_hold_the_picture_while_counting_goes_on() {
    for key in [Char('p'), Char(' ')] {
        let mut bench = on(160, 50, few());
        let _ = bench.press(key);
        let still = bench.lines();
        assert!(bench.shows("PAUSED"));
        bench.samples[0].orig.bytes += 1_000_000_000;
        bench.samples.truncate(1);
        bench.tick(START + 30 * SECOND);
        assert_eq!(bench.lines(), still);
        // One can still look around in it.
        bench.keys("/dig");
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.order(), [40_002]);
        let _ = bench.press(KeyCode::Esc);
        let _ = bench.press(key);
        assert!(!bench.shows("PAUSED"));
        assert!(bench.shows("1.1 GB"), "{:?}", bench.lines());
    }
}

#[test]
fn o_keeps_the_order_and_new_rows_come_last() {
    let mut bench = bench();
    let order = bench.order();
    bench.keys("o");
    let slow = bench.samples.len() - 1;
    bench.samples[slow].orig.bytes += 10_000_000_000;
    let mut newest = bench.samples[0];
    newest.id = ConnectionId(45_000 << 32);
    newest.orig.bytes *= 100;
    bench.samples.push(newest);
    bench.tick(START + 11 * SECOND);
    let mut wanted = order;
    wanted.push(45_000);
    assert_eq!(bench.order(), wanted);
    bench.keys("o");
    assert_ne!(bench.order(), wanted);
}

#[test]
fn u_leaves_what_has_no_answer() {
    let mut bench = bench();
    bench.keys("u");
    let mut order = bench.order();
    order.sort_unstable();
    assert_eq!(order, [40_003, 40_004]);
    bench.keys("u");
    assert_eq!(bench.order().len(), 6);
}

#[test]
fn ended_connections_are_in_their_tab_with_their_reason() {
    let mut bench = bench();
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench.end(&gone, EndReason::Evicted);
    assert_eq!(bench.order().len(), 6);
    bench.keys("6");
    assert_eq!(bench.order(), [40_077]);
    assert!(bench.shows("EVICTED REPLIED"), "{:?}", bench.lines());
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.shows("ended: EVICTED"));
    let _ = bench.press(KeyCode::Esc);
    bench.keys("/40078");
    let _ = bench.press(KeyCode::Enter);
    assert_eq!(bench.order().len(), 0);
}

#[test]
fn an_ended_connection_keeps_its_process_when_its_place_is_anothers() {
    let mut bench = on(120, 24, few());
    let gone = sample(40_002, "192.0.2.1:161", Status::Replied, 2, 2);
    bench.end(&gone, EndReason::Idle);
    // Nobody knows its process any more.
    bench.facts.owners.clear();
    bench.keys("6/dig");
    assert_eq!(bench.order(), [40_002]);
    assert!(bench.shows("dig/77"), "{:?}", bench.lines());
}

#[test]
fn a_connection_that_ends_while_one_looks_at_it_says_so() {
    let mut bench = bench();
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.shows("DETAILS"));
    let sample = bench.samples[0];
    bench.end(&sample, EndReason::Idle);
    bench.tick(START + 11 * SECOND);
    assert!(bench.shows("ended: IDLE"), "{:?}", bench.lines());
    assert!(bench.shows("iperf3  pid 4321"), "{:?}", bench.lines());
    let other = sample_of_another();
    for _ in 0..1000 {
        bench.end(&other, EndReason::Idle);
    }
    bench.tick(START + 12 * SECOND);
    assert!(bench.shows("ended too long ago"));
}

fn sample_of_another() -> Sample {
    sample(40_078, "192.0.2.1:161", Status::Replied, 2, 2)
}

#[test]
fn w_goes_through_the_windows() {
    let mut bench = bench();
    for (window, text) in [
        (Window::Medium, "bit/s over 10 s"),
        (Window::Long, "bit/s over 40 s"),
        (Window::Short, "bit/s over 2 s"),
    ] {
        bench.keys("w");
        assert_eq!(bench.model.state.query.window, window);
        assert!(bench.shows(text));
    }
}

#[test]
fn n_shows_numbers_instead_of_names() {
    let mut bench = on(160, 50, few());
    assert!(bench.shows("dns.google:53 domain"));
    bench.keys("n");
    assert!(bench.shows("8.8.8.8:53  "));
    assert!(!bench.shows("dns.google") && !bench.shows("domain"));
}

#[test]
fn t_opens_the_trace_pane() {
    let mut bench = bench();
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench.end(&gone, EndReason::Idle);
    bench.keys("t");
    assert!(bench.shows("UDP END: 192.168.1.100:40077 -> 192.0.2.1:161 (IDLE)"));
    bench.keys("t");
    assert!(!bench.shows("UDP END"));
}

#[test]
fn the_selection_stays_on_its_connection() {
    let mut bench = bench();
    let second = bench.order()[1];
    bench.keys("j");
    assert_eq!(bench.model.state.cursor, 1);
    bench.samples[0].orig.bytes += 1_000_000_000;
    bench.tick(START + 11 * SECOND);
    assert_eq!(bench.order()[bench.model.state.cursor], second);
    // What is first in another order is what one wants to see.
    for keys in ["I", ">", "<"] {
        bench.keys("G");
        assert_ne!(bench.model.state.cursor, 0);
        bench.keys(keys);
        assert_eq!(bench.model.state.cursor, 0, "{keys}");
    }
}

#[test]
fn walking_scrolls_and_stops_at_both_ends() {
    let mut bench = on(80, 24, many());
    let page = bench.model.state.page;
    assert_eq!(page, 16);
    let at = |bench: &Bench| (bench.model.state.cursor, bench.model.state.offset);
    for (key, wanted) in [
        (KeyCode::Up, (0, 0)),
        (KeyCode::Down, (1, 0)),
        (KeyCode::PageDown, (17, 2)),
        (Char('j'), (18, 3)),
        (Char('k'), (17, 3)),
        (KeyCode::PageUp, (1, 1)),
        (Char('G'), (205, 190)),
        (KeyCode::Down, (205, 190)),
        (KeyCode::End, (205, 190)),
        (KeyCode::Home, (0, 0)),
        (Char('g'), (0, 0)),
    ] {
        let _ = bench.press(key);
        assert_eq!(at(&bench), wanted, "{key:?}");
    }
}

#[test]
fn a_selected_row_that_goes_leaves_the_selection_where_it_was() {
    let mut bench = bench();
    bench.keys("G");
    let last = bench.model.state.cursor;
    let key = *bench.model.rows.keys().last().unwrap();
    let RowKey::Connection(id, _, place) = key else {
        panic!("{key:?}");
    };
    let sample = bench.table.get(place).unwrap().sample;
    bench.samples.retain(|sample| sample.id != id);
    bench.table.end(&sample, EndReason::Idle);
    bench.tick(START + 11 * SECOND);
    assert_eq!(bench.model.state.cursor, last - 1);
    assert!(bench.model.state.selected.is_some());
}

#[test]
fn another_connection_with_the_same_ends_is_another_row() {
    let mut bench = bench();
    let mut again = bench.samples[1];
    bench.end(&again, EndReason::Idle);
    again.first_ns += 5 * SECOND;
    bench.samples.push(again);
    bench.tick(START + 11 * SECOND);
    let first = |bench: &Bench| match bench.model.rows.keys().last() {
        Some(RowKey::Connection(_, first_ns, _)) => *first_ns,
        other => panic!("{other:?}"),
    };
    bench.keys("/40002");
    let live = first(&bench);
    let _ = bench.press(KeyCode::Enter);
    bench.keys("6");
    assert_eq!(bench.order(), [40_002]);
    assert_eq!(live, first(&bench) + 5 * SECOND);
}

#[test]
fn enter_on_nothing_does_nothing() {
    let mut bench = on(80, 24, Vec::new());
    for key in [KeyCode::Enter, KeyCode::Down, KeyCode::End, KeyCode::PageUp] {
        assert_eq!(bench.press(key), Some(Effect::Draw));
    }
    assert_eq!(bench.model.state.pane, Pane::Table);
}
