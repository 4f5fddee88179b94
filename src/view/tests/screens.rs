//! Whole screens, as text. `INSTA_UPDATE=always cargo test view` writes them anew; look at the difference before it is
//! committed.

use insta::assert_snapshot;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::dns::{Message, Question, Seen};
use crate::model::{DnsCounts, DroppedFor, Parts, RoundTrip, UnreadPayloads};
use crate::sockets::fixture::snapshot;

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];
const SMALL: (u16, u16) = SIZES[1];

fn bench((width, height): (u16, u16), samples: Vec<Sample>) -> Bench {
    Bench::new(width, height, samples)
}

/// The same state on every screen.
macro_rules! screens {
    ($name:ident, $samples:expr, $prepare:expr) => {
        #[test]
        fn $name() {
            for (width, height) in SIZES {
                let mut bench = bench((width, height), $samples);
                let prepare: fn(&mut Bench) = $prepare;
                prepare(&mut bench);
                let name = format!("{}_{width}x{height}", stringify!($name));
                assert_snapshot!(name, bench.lines().join("\n"));
            }
        }
    };
}

/// Of a capture, its name is what is most wanted: how far reading is makes room for it, then its beginning.
#[test]
fn the_name_of_a_capture_stays() {
    let line = |width: u16, name: &str| {
        let mut bench = bench((width, 24), scene());
        bench.model.settings.interfaces[0].name = name.to_owned();
        let progress = "43 %, 1,234,567 frames, 410,000/s, 2 s left";
        bench.model.settings.progress = Some(progress.to_owned());
        bench.draw();
        bench.lines()[1].clone()
    };
    assert_snapshot!(
        [
            line(200, "case.pcapng"),
            line(100, "case.pcapng"),
            line(80, "case.pcapng"),
            line(80, "a-long-name-of-a-case-2026-11-29.pcapng"),
        ]
        .join("\n")
    );
}

/// What an operator meets: a server that answers, one that is slow, one that loses, one that is dead, one that is not there, syslog.
fn scene() -> Vec<Sample> {
    let mut samples = few();
    let mut lossy = answered(
        sample(41_001, "192.0.2.33:5683", Status::Assured, 100, 67),
        &[MS; 67],
    );
    lossy.response.lost = 33;
    let slow = answered(
        sample(41_002, "192.0.2.1:4000", Status::Assured, 188, 188),
        &[50 * MS; 188],
    );
    let mut dead = sample(40_003, "192.0.2.123:123", Status::Unreplied, 6, 0);
    dead.response.lost = 6;
    let syslog = (0..18).map(|index| {
        let mut one = sample(43_000 + index, "192.0.2.14:514", Status::Unreplied, 1, 0);
        one.last_ns = START + SECOND;
        one
    });
    let queries = (0..54).map(|index| {
        let one = sample(44_000 + index, "192.168.1.1:53", Status::Replied, 1, 1);
        let mut one = answered(one, &[u64::from(index + 50) * MS / 1000]);
        one.last_ns = START + 4 * SECOND;
        one
    });
    samples.extend([lossy, slow, dead]);
    samples.extend(syslog);
    samples.extend(queries);
    for (number, one) in (0..).zip(&mut samples) {
        one.id = ConnectionId(number << 32 | u64::from(one.originator.port()));
    }
    samples
}

/// The same, and a receiver without room for what is sent to it.
fn losing() -> Vec<Sample> {
    let mut samples = scene();
    let statsd = sample(40_001, "192.0.2.53:8125", Status::Unreplied, 200, 0);
    samples.push(statsd);
    if let Some(statsd) = samples.last_mut() {
        statsd.id = ConnectionId(8125);
        statsd.dropped.add(
            DropClass::SocketBuffer,
            Counts {
                packets: 57,
                bytes: 5_700,
            },
        );
    }
    samples
}

/// A resolver that fails now and then, one that answers everything, and a printer that is looked for.
fn resolvers() -> Vec<Sample> {
    let mut samples = scene();
    let with = |mut sample: Sample, queries, rcodes| {
        sample.dns = Some(DnsCounts {
            queries,
            rcodes,
            truncated: 2,
            unread: 0,
        });
        sample
    };
    samples[1] = with(samples[1], 1000, [900, 0, 4, 60, 0, 6, 0]);
    samples.push(with(
        sample(40_002, "192.0.2.153:53", Status::Replied, 7, 7),
        7,
        [7, 0, 0, 0, 0, 0, 0],
    ));
    samples.push(with(
        sample(5353, "224.0.0.251:5353", Status::Unreplied, 3, 0),
        3,
        [0; 7],
    ));
    for (number, one) in (0..).zip(&mut samples) {
        one.id = ConnectionId(number << 32 | u64::from(one.originator.port()));
    }
    samples
}

/// What the first of them was asked.
fn ask(bench: &mut Bench) {
    for (name, kind, code) in [
        ("www.example.org", 1, 0),
        ("missing.example.org", 28, 3),
        ("evil\u{1b}[2J.test", 65, 2),
    ] {
        for flags in [0x0100, 0x8180 | code] {
            let message = Message {
                id: 7,
                flags,
                questions: vec![Question {
                    name: name.into(),
                    kind,
                    class: 1,
                }],
                answers: Vec::new(),
                is_whole: true,
            };
            let seen = Seen {
                sample: &bench.samples[1],
                message: Some(&message),
                from_originator: !message.is_answer(),
                time_ns: START,
                interface: Ifindex(0),
                unread: 0,
            };
            bench.model.live.names.take(&seen, &bench.facts);
        }
    }
    bench.tick_with(&Report {
        unread: Some(UnreadPayloads {
            dns_over_budget: 2,
            ..UnreadPayloads::default()
        }),
        ..report(6)
    });
}

fn end_some(bench: &mut Bench) {
    for index in 0..3 {
        let mut gone = sample(40_002, "8.8.4.4:53", Status::Replied, 1, 1);
        gone.originator.set_port(45_000 + index);
        gone.id = ConnectionId(u64::from(index));
        gone.last_ns = START + u64::from(index) * SECOND;
        bench.end(&answered(gone, &[MS]), EndReason::Idle);
    }
    bench.end(
        &sample(40_004, "192.0.2.53:7777", Status::Unreach, 3, 0),
        EndReason::Unreach,
    );
}

screens!(empty, Vec::new(), |_| {});
screens!(servers, scene(), |_| {});
screens!(what_is_dropped_here, losing(), |bench| bench.keys("d"));
screens!(servers_worst_first, scene(), |bench| bench.keys("d"));
screens!(servers_by_port, scene(), |bench| {
    bench.keys("bj");
    let _ = bench.press(KeyCode::Enter);
});
screens!(connections, scene(), |bench| bench.keys("2"));
screens!(many_connections, many(), |bench| bench.keys("2G"));
screens!(processes, scene(), |bench| bench.keys("3"));
screens!(hosts, scene(), |bench| bench.keys("4"));
screens!(interfaces, scene(), |bench| bench.keys("5"));
screens!(ended, scene(), |bench| {
    end_some(bench);
    bench.keys("6");
});
screens!(sockets, scene(), |bench| {
    bench.model.live.sockets = Some(snapshot());
    bench.keys("7");
});
screens!(a_socket, scene(), |bench| {
    bench.model.live.sockets = Some(snapshot());
    bench.keys("7");
    let _ = bench.press(KeyCode::Enter);
});
screens!(dns, resolvers(), |bench| bench.keys("8"));
screens!(a_dns_server_that_fails, resolvers(), |_| {});
screens!(a_dns_servers_names, resolvers(), |bench| {
    ask(bench);
    bench.keys("8");
    let _ = bench.press(KeyCode::Enter);
});
screens!(a_servers_connections, scene(), |bench| {
    bench.keys("dj");
    let _ = bench.press(KeyCode::Enter);
});
screens!(filtered, many(), |bench| {
    bench.keys("2/DIG");
    let _ = bench.press(KeyCode::Enter);
});
screens!(typing, many(), |bench| bench.keys("2/192.0.2"));
screens!(paused, few(), |bench| {
    bench.keys("2p");
    bench.samples[1].orig.packets += 1_000_000;
    bench.tick(START + 20 * SECOND);
});
screens!(details, few(), |bench| {
    bench.keys("2");
    bench.tick(START + 11 * SECOND);
    bench.samples[1].orig = counts(15, 1500);
    bench.samples[1].reply = counts(14, 2800);
    bench.tick(START + 12 * SECOND);
    bench.samples[1].orig = counts(20, 2000);
    bench.samples[1].round_trip = Some(RoundTrip {
        median_ns: 12_300_000,
        min_ns: 11_800_000,
        parts: Some(Parts {
            originator_ns: 2_100_000,
            responder_ns: 10_200_000,
        }),
    });
    bench.tick(START + 13 * SECOND);
    bench.keys("/dig");
    let _ = bench.press(KeyCode::Enter);
    let _ = bench.press(KeyCode::Enter);
});
screens!(hook, few(), |bench| {
    bench.keys("5");
    let _ = bench.press(KeyCode::Enter);
});
screens!(help, few(), |bench| bench.keys("?"));
screens!(sort_menu, few(), |bench| bench.keys("s"));
screens!(lost, few(), |bench| {
    let mut report = report(6);
    report.hooks[0].books.skipped[Skip::TableFull as usize] = counts(12, 1200);
    report.hooks[0].books.seen += counts(12, 1200);
    report.events_lost = 3;
    bench.keys("5");
    bench.tick_with(&report);
});
screens!(trace, few(), |bench| {
    let gone = sample(40_077, "192.0.2.1:161", Status::Replied, 2, 2);
    bench.end(&gone, EndReason::Idle);
    bench
        .model
        .live
        .message("eth1 is gone; tracking goes on with eth0".to_owned(), START);
    bench.keys("t");
});

/// What stands there before there is anything to show.
#[test]
fn opening() {
    for (width, height) in SIZES.into_iter().chain([(1, 1), (0, 0), (20, 5)]) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme::new(Background::Plain);
        terminal
            .draw(|frame| super::super::opening::draw_frame(frame, theme, 1.23))
            .unwrap();
        if width == 80 {
            assert_snapshot!(terminal.backend().to_string());
        }
    }
}

/// The columns depend on the tab and on the width alone.
#[test]
fn columns_stay_where_they_are() {
    for (width, height) in SIZES {
        for number in '1'..='8' {
            let titles = |samples: Vec<Sample>| {
                let mut bench = bench((width, height), samples);
                let _ = bench.press(KeyCode::Char(number));
                let line = bench
                    .lines()
                    .into_iter()
                    .find(|line| line.contains('▼') || number == '5');
                line.map(|line| line.replace('▼', " "))
            };
            assert_eq!(titles(scene()), titles(Vec::new()), "{width} {number}");
            assert_eq!(titles(scene()), titles(many()), "{width} {number}");
        }
    }
}

/// Where the server is on this machine, its clients are the remote ends.
#[test]
fn clients_of_a_server_here_are_not_cut() {
    for width in 50..140 {
        let mut samples: Vec<Sample> = (0..3)
            .map(|index| sample(45_000 + index, "192.168.100.100:7", Status::Replied, 5, 5))
            .collect();
        samples[1].originator = "203.0.113.250:45001".parse().unwrap();
        let mut bench = bench((width, 24), samples);
        bench.facts.servers.push((7, owner(7, "echo")));
        bench.keys("2");
        for end in ["192.168.1.100:45000", "203.0.113.250:45001", ":7"] {
            assert!(
                bench.shows(end),
                "{width}: {end} is not on {:?}",
                bench.lines()
            );
        }
    }
}

/// However narrow it is, one can read whom a connection is with.
#[test]
fn the_remote_end_is_never_cut() {
    for width in 50..140 {
        let mut bench = bench((width, 40), scene());
        let address = "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:443";
        let ends = [
            address,
            "192.0.2.123:123",
            "192.168.1.1:53",
            "192.0.2.33:5683",
        ];
        for number in ['1', '2'] {
            let _ = bench.press(KeyCode::Char(number));
            bench.keys("n");
            for end in ends {
                assert!(
                    bench.shows(end),
                    "{width}: {end} is not on {:?}",
                    bench.lines()
                );
            }
            bench.keys("n");
        }
    }
}

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
    let panes: [&[KeyCode]; 12] = [
        &[],
        &[KeyCode::Char('2')],
        &[KeyCode::Char('3')],
        &[KeyCode::Char('5')],
        &[KeyCode::Char('6')],
        &[KeyCode::Char('/'), KeyCode::Char('x')],
        &[KeyCode::Char('?')],
        &[KeyCode::Char('s')],
        &[KeyCode::Char('b')],
        &[KeyCode::Char('t')],
        &[KeyCode::Char('2'), KeyCode::Enter],
        &[KeyCode::Char('5'), KeyCode::Enter],
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
    let mut bench = bench((260, 50), few());
    bench.keys("2");
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
fn reasons_stand_behind_what_was_skipped() {
    let mut report = report(6);
    report.hooks[0].books.skipped[Skip::NotUdp as usize] += counts(12, 1200);
    report.hooks[0].books.seen += counts(12, 1200);
    report.hooks[0].dropped.push(DroppedFor {
        reason: "socket_rcvbuff".into(),
        class: DropClass::SocketBuffer,
        counts: counts(57, 5700),
        apart: Counts::default(),
    });
    let mut bench = Bench::with(120, 24, few(), true);
    bench.tick_with(&report);
    let line = &bench.lines()[22];
    let (_, rest) = line.split_once(" + skipped ").unwrap();
    assert!(rest.contains("not-udp "), "{line}");
    let (_, behind) = rest.split_once(')').unwrap();
    assert_eq!(
        behind.trim_end(),
        "; dropped here 57 (socket buffer 57)",
        "{line}"
    );
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
    for keys in ["", "2", "5", "?", "s", "t", "\n"] {
        bench.keys(keys);
        let plain =
            |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
        assert!(bench.buffer().content().iter().all(plain), "{keys:?}");
        let _ = bench.press(KeyCode::Esc);
    }
    let reversed: Vec<bool> = (0..24)
        .map(|y| {
            bench.buffer()[(30, y)]
                .modifier
                .contains(Modifier::REVERSED)
        })
        .collect();
    // The first row; where it is the open tab that is reversed, no other is.
    let lines: Vec<usize> = (0..24).filter(|y| reversed[*y]).collect();
    assert_eq!(lines, [6]);
}

#[test]
fn what_u_hides_of_dns_is_said() {
    let mut bench = bench(SMALL, resolvers());
    bench.keys("8u");
    assert!(bench.shows("0 DNS servers"), "{:?}", bench.lines());
    assert!(bench.shows("u shows all rows again"), "{:?}", bench.lines());
}
