//! What each key does.

use ratatui::crossterm::event::KeyCode::{self, Char, F};

use super::super::state::{GROUP_MENU, GROUP_SORT_MENU, Pane, SORT_MENU};
use super::*;
use crate::connection::Window;
use crate::listing::{Field, Key};

fn bench() -> Bench {
    Bench::new(80, 24, few())
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
    for open in ["?", "s", "b", "/"] {
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
    for open in ["?", "s", "b"] {
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
        assert!(bench.shows("filter as you type"), "{key:?}");
        assert!(!bench.shows("an ICMP error"), "{key:?}");
        let _ = bench.press(KeyCode::End);
        assert!(bench.shows("an ICMP error"), "{key:?}");
        let _ = bench.press(key);
        assert!(!bench.shows("an ICMP error"), "{key:?}");
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
        assert_eq!(bench.order(), [0_u16; 0]);
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
    let mut bench = Bench::new(120, 24, few());
    bench.keys("/host");
    assert!(bench.shows("nothing found; "), "{:?}", bench.lines());
    assert!(bench.shows("(column 5)"), "{:?}", bench.lines());
    bench.keys(" 8.8.8.8");
    assert!(bench.shows("1 found"), "{:?}", bench.lines());
    bench.keys("x");
    assert!(bench.shows("nothing found; "), "{:?}", bench.lines());
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
    for (place, (_, key)) in SORT_MENU.iter().enumerate() {
        for open in [Char('s'), F(6)] {
            let mut bench = bench();
            let _ = bench.press(open);
            for _ in 0..place {
                let _ = bench.press(KeyCode::Down);
            }
            let _ = bench.press(KeyCode::Enter);
            assert_eq!(bench.model.state.query.sort, *key);
            assert_eq!(bench.order().len(), 6);
            assert!(bench.shows("▼") || bench.shows("▲"), "{key:?} has a column");
        }
    }
}

#[test]
fn menus_go_round() {
    let mut bench = bench();
    bench.keys("s");
    let _ = bench.press(KeyCode::Up);
    assert_eq!(bench.model.state.pane, Pane::Sort(SORT_MENU.len() - 1));
    let _ = bench.press(KeyCode::Down);
    assert_eq!(bench.model.state.pane, Pane::Sort(0));
    let _ = bench.press(KeyCode::End);
    assert_eq!(bench.model.state.pane, Pane::Sort(SORT_MENU.len() - 1));
}

#[test]
fn angle_brackets_go_from_column_to_column_and_round() {
    let mut bench = bench();
    for (_, key) in SORT_MENU.iter().skip(1) {
        bench.keys(">");
        assert_eq!(bench.model.state.query.sort, *key);
    }
    bench.keys(">");
    assert_eq!(bench.model.state.query.sort, Key::Rate);
    bench.keys("<");
    assert_eq!(
        bench.model.state.query.sort,
        SORT_MENU[SORT_MENU.len() - 1].1
    );
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
fn every_group_has_its_rows_and_enter_goes_into_one() {
    for (place, (_, field)) in GROUP_MENU.iter().enumerate().skip(1) {
        let mut bench = bench();
        bench.keys("b");
        for _ in 0..place {
            let _ = bench.press(KeyCode::Down);
        }
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.model.state.query.by, *field);
        let groups = bench.model.rows.keys().len();
        let wanted = match field {
            Some(Field::Originator) => 2,
            Some(Field::Server | Field::Process | Field::Port) => 6,
            Some(Field::Subnet) => 4,
            _ => unreachable!(),
        };
        assert_eq!(groups, wanted, "{field:?}");
        let members = bench.model.rows.group(0).unwrap().connections;
        let group = bench.model.rows.keys()[0];
        let _ = bench.press(KeyCode::Enter);
        assert_eq!(bench.model.state.query.by, None);
        assert_eq!(bench.order().len() as u64, members, "{field:?}");
        let _ = bench.press(KeyCode::Esc);
        assert_eq!(bench.model.state.query.by, *field);
        assert_eq!(bench.model.state.selected, Some(group));
        for (_, key) in GROUP_SORT_MENU.iter().skip(1) {
            bench.keys(">");
            assert_eq!(bench.model.state.query.sort, *key);
            assert_eq!(bench.model.rows.keys().len(), wanted);
        }
    }
}

#[test]
fn what_cannot_sort_groups_is_not_kept_for_them() {
    let mut bench = bench();
    bench.keys("s");
    let _ = bench.press(KeyCode::End);
    let _ = bench.press(KeyCode::Enter);
    assert_eq!(bench.model.state.query.sort, Key::FirstReply);
    bench.keys("bj");
    let _ = bench.press(KeyCode::Enter);
    assert_eq!(bench.model.state.query.sort, Key::Rate);
}

#[test]
fn p_and_space_hold_the_picture_while_counting_goes_on() {
    for key in [Char('p'), Char(' ')] {
        let mut bench = Bench::new(160, 50, few());
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
fn u_leaves_what_nobody_answered() {
    let mut bench = bench();
    bench.keys("u");
    let mut order = bench.order();
    order.sort_unstable();
    assert_eq!(order, [40_003, 40_004]);
    bench.keys("u");
    assert_eq!(bench.order().len(), 6);
}

#[test]
fn e_shows_ended_connections_with_their_reason() {
    let mut bench = bench();
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench
        .model
        .live
        .end(&gone, EndReason::Evicted, Processes::default());
    bench.keys("e");
    assert_eq!(bench.order().len(), 7);
    assert!(bench.shows("EVICTED"));
    bench.keys("/40077");
    let _ = bench.press(KeyCode::Enter);
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.shows("ended: EVICTED"));
    let _ = bench.press(KeyCode::Esc);
    bench.keys("e");
    assert_eq!(bench.order().len(), 0);
}

#[test]
fn a_connection_that_ends_while_one_looks_at_it_says_so() {
    let mut bench = bench();
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.shows("DETAILS"));
    let sample = bench.samples.remove(0);
    bench.table.end(&sample, EndReason::Idle);
    bench
        .model
        .live
        .end(&sample, EndReason::Idle, bench.facts.processes(&sample));
    bench.tick(START + 11 * SECOND);
    assert!(bench.shows("ended: IDLE"), "{:?}", bench.lines());
    assert!(bench.shows("iperf3  pid 4321"), "{:?}", bench.lines());
    for _ in 0..1000 {
        bench
            .model
            .live
            .end(&few()[3], EndReason::Idle, Processes::default());
    }
    bench.tick(START + 12 * SECOND);
    assert!(bench.shows("ended too long ago"));
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
    let mut bench = Bench::new(160, 50, few());
    assert!(bench.shows("dns.google:53 domain"));
    bench.keys("n");
    assert!(bench.shows("8.8.8.8:53  "));
    assert!(!bench.shows("dns.google") && !bench.shows("domain"));
}

#[test]
fn t_opens_the_trace_pane() {
    let mut bench = bench();
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench
        .model
        .live
        .end(&gone, EndReason::Idle, Processes::default());
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
    bench.keys("I");
    assert_eq!(bench.order()[bench.model.state.cursor], second);
    assert_eq!(bench.model.state.cursor, 4);
    bench.keys("s");
    let _ = bench.press(KeyCode::Down);
    let _ = bench.press(KeyCode::Enter);
    assert_eq!(bench.order()[bench.model.state.cursor], second);
    // The first row is the first row, whichever it is.
    bench.keys("g");
    bench.keys("I");
    assert_eq!(bench.model.state.cursor, 0);
}

#[test]
fn walking_scrolls_and_stops_at_both_ends() {
    let mut bench = Bench::new(80, 24, many());
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
    bench.keys("e");
    let mut again = bench.samples[1];
    bench
        .model
        .live
        .end(&again, EndReason::Idle, Processes::default());
    bench.table.end(&again, EndReason::Idle);
    again.first_ns += 5 * SECOND;
    bench.samples[1] = again;
    bench.tick(START + 11 * SECOND);
    let both = bench.order().into_iter().filter(|port| *port == 40_002);
    assert_eq!(both.count(), 2);
    assert!(bench.shows("IDLE") && bench.shows("REPLIED"));
}

#[test]
fn enter_on_nothing_does_nothing() {
    let mut bench = Bench::new(80, 24, Vec::new());
    for key in [KeyCode::Enter, KeyCode::Down, KeyCode::End, KeyCode::PageUp] {
        assert_eq!(bench.press(key), Some(Effect::Draw));
    }
    assert_eq!(bench.model.state.pane, Pane::Table);
}
