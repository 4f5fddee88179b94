//! Whole screens, as text. `INSTA_UPDATE=always cargo test view` writes them anew; look at the difference before it is
//! committed.

use insta::assert_snapshot;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use super::*;

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 50);

fn bench((width, height): (u16, u16), samples: Vec<Sample>) -> Bench {
    Bench::new(width, height, samples)
}

/// The same state on both screens.
macro_rules! both {
    ($name:ident, $samples:expr, $prepare:expr) => {
        #[test]
        fn $name() {
            for (size, suffix) in [(SMALL, "80x24"), (LARGE, "160x50")] {
                let mut bench = bench(size, $samples);
                let prepare: fn(&mut Bench) = $prepare;
                prepare(&mut bench);
                let name = format!("{}_{suffix}", stringify!($name));
                assert_snapshot!(name, bench.lines().join("\n"));
            }
        }
    };
}

both!(empty, Vec::new(), |_| {});
both!(few_rows, few(), |_| {});
both!(full, many(), |_| {});
both!(filtered, many(), |bench| {
    bench.keys("/DIG");
    let _ = bench.press(KeyCode::Enter);
});
both!(typing, many(), |bench| bench.keys("/192.0.2"));
both!(grouped_by_process, few(), |bench| {
    bench.keys("bj");
    let _ = bench.press(KeyCode::Enter);
});
both!(grouped_by_responder, many(), |bench| {
    bench.keys("bjj");
    let _ = bench.press(KeyCode::Enter);
});
both!(paused, few(), |bench| {
    bench.keys("p");
    bench.samples[1].orig.packets += 1_000_000;
    bench.tick(START + 20 * SECOND);
});
both!(details, few(), |bench| {
    bench.tick(START + 11 * SECOND);
    bench.samples[1].orig = counts(15, 1500);
    bench.samples[1].reply = counts(14, 2800);
    bench.tick(START + 12 * SECOND);
    bench.samples[1].orig = counts(20, 2000);
    bench.tick(START + 13 * SECOND);
    bench.keys("/dig");
    let _ = bench.press(KeyCode::Enter);
    let _ = bench.press(KeyCode::Enter);
});
both!(help, few(), |bench| bench.keys("?"));
both!(sort_menu, few(), |bench| bench.keys("s"));
both!(lost, few(), |bench| {
    let mut report = report(6);
    report.hooks[0].books.skipped[Skip::TableFull as usize] = counts(12, 1200);
    report.hooks[0].books.seen += counts(12, 1200);
    report.events_lost = 3;
    bench.tick_with(&report);
});
both!(ended_and_trace, few(), |bench| {
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench
        .model
        .live
        .end(&gone, EndReason::Idle, Processes::default());
    bench
        .model
        .live
        .message("eth1 is gone; tracking goes on with eth0".to_owned(), START);
    bench.keys("et");
});

#[test]
fn what_fits_on_20x5() {
    let mut bench = bench(SMALL, many());
    bench.resize(20, 5);
    assert_snapshot!(bench.lines().join("\n"));
    bench.resize(SMALL.0, SMALL.1);
    assert!(bench.shows("seen 1,002,321 = tracked 1,002,087 + skipped 234"));
}

/// Every pane on every size: nothing panics, nothing is written beside the screen.
#[test]
fn no_size_is_too_small() {
    let panes: [&[KeyCode]; 8] = [
        &[],
        &[KeyCode::Char('/'), KeyCode::Char('x')],
        &[KeyCode::Char('?')],
        &[KeyCode::Char('s')],
        &[KeyCode::Char('b')],
        &[KeyCode::Char('b'), KeyCode::Down, KeyCode::Enter],
        &[KeyCode::Char('t'), KeyCode::Char('e')],
        &[KeyCode::Enter],
    ];
    for keys in panes {
        let mut bench = bench(SMALL, many());
        for key in keys {
            let _ = bench.press(*key);
        }
        for (width, height) in [0, 1, 2, 3, 5, 8, 12, 20, 33, 40, 69]
            .into_iter()
            .flat_map(|width| [0, 1, 2, 3, 5, 7, 8, 9, 17, 18].map(|height| (width, height)))
            .chain([(300, 100), (79, 23), (500, 3), (5, 200)])
        {
            bench.resize(width, height);
            let _ = bench.press(KeyCode::PageDown);
            let _ = bench.press(KeyCode::Up);
        }
    }
}

#[test]
fn names_from_outside_steer_no_terminal() {
    let mut bench = bench((200, 50), few());
    assert!(bench.shows(r"evil\u{1b}]0;owned\u{7}/666"));
    assert!(bench.shows(r"evil\u{1b}[2J.example"));
    for row in 0..6 {
        let _ = bench.press(KeyCode::Home);
        for _ in 0..row {
            let _ = bench.press(KeyCode::Down);
        }
        let _ = bench.press(KeyCode::Enter);
        assert!(bench.shows("DETAILS"));
        let control = |cell: &ratatui::buffer::Cell| cell.symbol().chars().any(char::is_control);
        assert!(!bench.buffer().content().iter().any(control));
        let _ = bench.press(KeyCode::Esc);
    }
    bench.keys("/\u{202e}x");
    assert!(bench.shows(r"filter: \u{202e}x"));
}

#[test]
fn losses_are_red_and_say_lost() {
    let mut bench = Bench::with(80, 24, few(), true);
    let books = |bench: &Bench| {
        let y = 22;
        let cell = &bench.buffer()[(5, y)];
        (bench.lines()[usize::from(y)].clone(), cell.fg)
    };
    let (text, color) = books(&bench);
    assert!(text.starts_with(" seen "), "{text}");
    assert_ne!(color, Color::Red);
    let with_12_skipped = |reason: Skip| {
        let mut report = report(6);
        report.hooks[0].books.skipped[reason as usize] += counts(12, 1200);
        report.hooks[0].books.seen += counts(12, 1200);
        report
    };
    for reason in Skip::ALL {
        bench.tick_with(&with_12_skipped(reason));
        let (text, color) = books(&bench);
        if reason == Skip::TableFull {
            assert!(text.starts_with(" LOST table-full 12; seen"), "{text}");
            assert_eq!(color, Color::Red);
        } else {
            // Not for the table, whether it has room or not.
            assert!(text.starts_with(" seen "), "{reason:?}: {text}");
            assert_ne!(color, Color::Red, "{reason:?}");
        }
    }
    let mut addresses = report(6);
    addresses.addresses_without_entry = counts(12, 1200);
    bench.tick_with(&addresses);
    let (text, color) = books(&bench);
    assert!(
        text.starts_with(" LOST addresses without room 12; seen"),
        "{text}"
    );
    assert_eq!(color, Color::Red);
    let mut report = report(6);
    report.hooks[0].books.seen += counts(1, 60);
    bench.tick_with(&report);
    let (text, color) = books(&bench);
    assert!(text.contains(" != "), "{text}");
    assert_eq!(color, Color::Red);
}

#[test]
fn without_colour_the_selected_row_is_reversed() {
    let mut bench = Bench::with(80, 24, few(), false);
    for keys in ["", "?", "s", "t", "\n"] {
        bench.keys(keys);
        let plain =
            |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
        assert!(bench.buffer().content().iter().all(plain), "{keys:?}");
        let _ = bench.press(KeyCode::Esc);
    }
    let reversed: Vec<bool> = (0..24)
        .map(|y| {
            bench.buffer()[(12, y)]
                .modifier
                .contains(Modifier::REVERSED)
        })
        .collect();
    // The bar, the titles, the first row, the title of the trace pane.
    let lines: Vec<usize> = (0..24).filter(|y| reversed[*y]).collect();
    assert_eq!(lines[..3], [0, 5, 6]);
}
