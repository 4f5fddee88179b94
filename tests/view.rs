//! The live view on a real terminal: keys, sizes, colours, and the terminal as it was found, whatever ends the view.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::kernel::assert_bare;
use common::netns::Pair;
use common::process::Process;
use common::tmux::Tmux;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, at_once, wait_for};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;
use udptrack::view::{Background, Opening, Settings, View};

const SMALL: (u16, u16) = (80, 24);
/// Set for the part of a test that runs on the terminal.
const CHILD: &str = "UDPTRACK_TEST_ON_THE_TERMINAL";

fn udptrack(pair: &Pair, arguments: &[&str]) -> Command {
    let mut command = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
    command
        .args(["-i", pair.a.iface()])
        .args(arguments)
        .env_remove("NO_COLOR");
    command
}

/// A client that asks and hears five times, one that asks three times in vain, and one that sends fifty large packets.
fn talk(pair: &Pair) -> [Talk; 3] {
    let talk = |client, server| {
        Talk::new(
            pair.a.udp(pair.a.addr(Ip::V4, client)),
            pair.b.udp(pair.b.addr(Ip::V4, server)),
        )
    };
    let mut talks = [talk(10_001, 5353), talk(10_002, 123), talk(10_003, 9000)];
    (0..5).for_each(|_| talks[0].turn());
    (0..3).for_each(|_| talks[1].ask(48));
    (0..50).for_each(|_| talks[2].ask(1000));
    talks
}

/// Waits until whoever is seen first is the originator: of the first two seconds' connections the beginning may not have been seen.
fn wait_until_beginnings_are_seen(tmux: &Tmux) {
    tmux.wait("the first three seconds", |screen| {
        let up = screen
            .lines()
            .nth(1)
            .and_then(|line| line.split("up ").nth(1));
        let seconds = up.and_then(|up| up.trim_end().strip_suffix('s')?.parse().ok());
        seconds.is_some_and(|seconds: f64| seconds >= 3.0)
    });
}

/// The line below the titles of the columns.
fn first_row(screen: &str) -> &str {
    let is_titles = |line: &&str| line.starts_with("STAT");
    let mut lines = screen.lines().skip_while(|line| !is_titles(line));
    lines.nth(1).unwrap_or_else(|| panic!("{screen}"))
}

const TRACKED: &str = "seen 63 = tracked 63 + skipped 0";

#[test]
#[ignore = "root"]
fn keys_choose_what_is_shown_and_the_numbers_are_exact() {
    let pair = Pair::new();
    let tmux = Tmux::start(&udptrack(&pair, &[]), SMALL);
    tmux.wait_for(&["No UDP connections now."]);
    wait_until_beginnings_are_seen(&tmux);
    let mut talks = talk(&pair);
    tmux.wait_for(&[
        TRACKED,
        "connections 3 of 65,536",
        "3 servers",
        ":9000",
        "1-3 of 3",
    ]);
    tmux.keys(&["2"]);
    let screen = tmux.wait_for(&["3 rows", ":9000", "REPLIED"]);
    // The fastest is the first.
    let first = first_row(&screen);
    assert!(first.starts_with("UNREPLIED 10.88."), "{screen}");
    assert!(first.contains(":9000"), "{screen}");

    tmux.keys(&["s"]);
    tmux.wait_for(&["┌ sort by"]);
    tmux.keys(&["Down", "Enter"]);
    tmux.wait_for(&["sorted by status", "STATUS▲"]);
    tmux.keys(&["I"]);
    let screen = tmux.wait_for(&["sorted by status, reversed", "STATUS▼"]);
    assert!(first_row(&screen).starts_with("REPLIED"), "{screen}");

    tmux.keys(&["/", "1", "0", "0", "0", "2"]);
    tmux.wait("the row that has it", |screen| {
        let is_said = screen.contains("filter: 10002") && screen.contains("1 found");
        is_said && screen.contains(":123") && !screen.contains(":9000")
    });
    tmux.keys(&["Enter"]);
    tmux.wait_for(&["1 row ", "filter 10002 hides 2"]);
    tmux.keys(&["Enter"]);
    let screen = tmux.wait_for(&["DETAILS", "asked 1  answered 0"]);
    let orig: Vec<&str> = screen
        .lines()
        .find(|line| line.starts_with(" orig "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(orig[..3], ["orig", "3", "270"], "{screen}");
    tmux.keys(&["Escape"]);
    tmux.wait_for(&["1 row "]);
    tmux.keys(&["Escape"]);
    tmux.wait_for(&["3 rows"]);

    // The one that is asked in vain is dead once its requests are lost, and then the first.
    tmux.keys(&["1", "d"]);
    let screen = tmux.wait_for(&["3 servers", "sorted by state: worst first", "1 DEAD"]);
    let first = first_row(&screen);
    assert!(
        first.starts_with("DEAD ") && first.contains(":123"),
        "{screen}"
    );
    tmux.keys(&["Enter"]);
    tmux.wait_for(&["1 row  of 10.88."]);
    tmux.keys(&["Escape"]);
    tmux.wait_for(&["3 servers"]);
    tmux.keys(&["b", "Down", "Enter"]);
    tmux.wait_for(&["3 servers by port"]);
    tmux.keys(&["4"]);
    tmux.wait_for(&["2 hosts", "IN BYTES"]);
    tmux.keys(&["5"]);
    let row = |screen: &str, direction: &str| {
        let rows = screen.lines().map(|line| line.split_whitespace());
        let mut rows = rows.map(|row| row.map(str::to_owned).collect::<Vec<_>>());
        rows.find(|row| row.len() > 5 && row[0] == pair.a.iface() && row[1] == direction)
    };
    let screen = tmux.wait("the books of both hooks", |screen| {
        let is_there = |direction| row(screen, direction).is_some();
        screen.contains("2 hooks") && is_there("in") && is_there("out")
    });
    let tracked = |direction: &str| row(&screen, direction).unwrap()[5].clone();
    assert_eq!(
        (tracked("in"), tracked("out")),
        ("5".into(), "58".into()),
        "{screen}"
    );
    tmux.keys(&["6"]);
    tmux.wait_for(&["0 ended connections"]);

    tmux.keys(&["p"]);
    tmux.wait_for(&["PAUSED"]);
    (0..10).for_each(|_| talks[2].ask(1000));
    let screen = tmux.screen();
    assert!(screen.contains(TRACKED), "{screen}");
    tmux.keys(&["p"]);
    tmux.wait_for(&["seen 73 = tracked 73 + skipped 0"]);

    tmux.keys(&["q"]);
    let screen = tmux.wait_for_end(0);
    assert!(screen.contains("seen     73 packets"), "{screen}");
    assert!(
        screen.contains("connections: 3 new, 0 ended, 3 live"),
        "{screen}"
    );
}

#[test]
#[ignore = "root"]
fn signals_and_control_c_give_the_terminal_back() {
    let pair = Pair::new();
    for end in [
        Some(Signal::SIGTERM),
        Some(Signal::SIGINT),
        Some(Signal::SIGHUP),
        None,
    ] {
        let tmux = Tmux::start(&udptrack(&pair, &[]), SMALL);
        tmux.wait_for(&["No UDP connections now."]);
        match end {
            Some(signal) => tmux.signal(signal),
            None => tmux.keys(&["C-c"]),
        }
        let screen = tmux.wait_for_end(0);
        assert!(screen.contains("connections: 0 new"), "{end:?}\n{screen}");
    }
}

/// Its window was closed, or its connection lost: nobody is left to press `q`.
#[test]
#[ignore = "root"]
fn a_terminal_that_is_gone_ends_the_run() {
    let pair = Pair::new();
    let tmux = Tmux::start(&udptrack(&pair, &[]), SMALL);
    tmux.wait_for(&["No UDP connections now."]);
    let program = format!("/proc/{}/exe", tmux.pid());
    assert!(std::fs::read_link(&program).is_ok());
    drop(tmux);
    wait_for("the end of udptrack", SOON, || {
        std::fs::read_link(&program).is_err().then_some(())
    });
}

/// On a terminal that knows no size (0x0) and answers no question, as a serial line.
fn on_a_silent_terminal(pair: &Pair, locale: &str, flags: &[&str]) -> (PtyMaster, Child) {
    let how = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(how).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master).unwrap())
        .unwrap();
    let there = || Stdio::from(terminal.try_clone().unwrap());
    let child = pair
        .a
        .command("setsid")
        .args(["--ctty", env!("CARGO_BIN_EXE_udptrack")])
        .args(["-i", pair.a.iface()])
        .args(flags)
        .env("TERM", "xterm")
        .env("LC_ALL", locale)
        .stdin(there())
        .stdout(there())
        .stderr(there())
        .spawn()
        .unwrap();
    (master, child)
}

/// All that comes to the terminal, until this is there.
fn shown_until(master: &mut PtyMaster, wanted: &str) -> String {
    let mut shown = String::new();
    while !shown.contains(wanted) {
        let mut buffer = [0; 4096];
        let read = master.read(&mut buffer).unwrap();
        shown += &String::from_utf8_lossy(&buffer[..read]);
    }
    shown
}

/// In the C locale all is drawn with ASCII, in others it is not.
#[test]
#[ignore = "root"]
fn the_c_locale_is_drawn_with_ascii() {
    let pair = Pair::new();
    let _sink = pair.b.udp(pair.b.addr(Ip::V4, 7000));
    let client = pair.a.udp(pair.a.addr(Ip::V4, 45_000));
    for (locale, is_ascii) in [("C", true), ("C.UTF-8", false)] {
        let (mut master, mut child) = on_a_silent_terminal(&pair, locale, &["-n"]);
        let mut shown = shown_until(&mut master, "connections");
        client.send_to(b"x", pair.b.addr(Ip::V4, 7000)).unwrap();
        // The keys, in a frame.
        master.write_all(b"?").unwrap();
        shown += &shown_until(&mut master, "Esc");
        assert_eq!(shown.is_ascii(), is_ascii, "{shown}");
        master.write_all(b"\x03").unwrap();
        let status = wait_for("the end", SOON, || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{shown}");
    }
}

/// A hang-up is an end in order, whatever is shown on the terminal and with a file that SIGHUP would read again: status 0, hooks
/// off, and the last records sent.
#[test]
#[ignore = "root"]
fn a_terminal_that_hangs_up_loses_nothing() {
    const CONNECTIONS: u16 = 50;
    let mut pair = Pair::new();
    let link = pair.add_link();
    let collector = SocketAddr::new(pair.b.ports[link].ip(Ip::V4), 4739);
    let collector = pair.b.udp(collector);
    collector
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let sink = pair.b.udp(pair.b.addr(Ip::V4, 7000));
    let folder = TempDir::new("config");
    let config = folder.file("config", "");
    let config = config.display().to_string();
    for flags in [&[][..], &["--config", &config], &["-o", "trace"]] {
        let to = collector.local_addr().unwrap().to_string();
        let all = [&["--ipfix", &to][..], flags].concat();
        let (mut master, mut child) = on_a_silent_terminal(&pair, "C.UTF-8", &all);
        // The view, not what is shown while programs are verified; or the line that says what there is room for.
        let shown = shown_until(&mut master, "connections");
        for port in 20_000..20_000 + CONNECTIONS {
            let socket = pair.a.udp(pair.a.addr(Ip::V4, port));
            socket.send_to(b"x", sink.local_addr().unwrap()).unwrap();
        }
        drop(master);
        let status = wait_for("the end", SOON, || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{flags:?}: {status} {shown}");
        assert_bare(&pair.a, pair.a.iface());
        let ends = [pair.a.addr(Ip::V4, 0), sink.local_addr().unwrap()];
        let ends = ends.map(|end| match end.ip() {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(_) => unreachable!(),
        });
        let (mut records, mut message) = (0, vec![0; 65_536]);
        while let Ok(length) = collector.recv(&mut message) {
            let fit = message[..length].windows(8);
            records += fit.filter(|bytes| *bytes == ends.concat()).count();
        }
        assert_eq!(records, usize::from(CONNECTIONS), "{flags:?}");
    }
}

/// Ctrl-S, a window that nobody reads: all but the frames goes on. They come again when the terminal does, and a signal ends the
/// run meanwhile.
#[test]
#[ignore = "root"]
fn a_terminal_that_stands_still_holds_up_nothing() {
    const LISTEN: &str = "10.88.0.1:9435";
    const CONNECTIONS: u16 = 40;
    let pair = Pair::new();
    let sink = pair.b.udp(pair.b.addr(Ip::V4, 7000));
    let clients: Vec<_> = (20_000..20_000 + CONNECTIONS)
        .map(|port| pair.a.udp(pair.a.addr(Ip::V4, port)))
        .collect();
    let mut sent: usize = 0;
    // Each time others send most.
    let mut talk = || {
        for (client, n) in clients.iter().zip(sent..) {
            let times = 1 + n % 7;
            for _ in 0..times {
                client.send_to(b"x", sink.local_addr().unwrap()).unwrap();
            }
            sent += times;
        }
        sent
    };
    let flags = ["-n", "-d", "100ms", "--metrics", LISTEN];
    let tmux = Tmux::start(&udptrack(&pair, &flags), (200, 60));
    tmux.wait_for(&["No UDP connections now."]);
    tmux.keys(&["2"]);
    let assert_right = |count: usize| {
        let tracked = format!("= tracked {count} pkts");
        tmux.wait("the right screen", |screen| {
            let rows = screen
                .lines()
                .filter(|row| row.starts_with("UNREPLIED"))
                .count();
            rows == clients.len() && screen.replace(',', "").contains(&tracked)
        });
    };
    let count = talk();
    assert_right(count);
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(format!("/proc/{}/fd/1", tmux.pid()))
        .unwrap();
    let mut fill = || {
        tmux.stop(Signal::SIGSTOP);
        wait_for("a terminal that takes nothing", SOON, || {
            talk();
            let mut descriptors = [PollFd::new(terminal.as_fd(), PollFlags::POLLOUT)];
            let ready = poll(&mut descriptors, PollTimeout::ZERO).unwrap();
            (ready == 0).then_some(())
        });
        talk()
    };

    let count = fill();
    wait_for("metrics that are right", SOON, || {
        let mut command = pair.a.command("curl");
        command.args(["-sf", "--max-time", "5"]);
        let page = Process::run(command.arg(format!("http://{LISTEN}/metrics"))).stdout;
        let lines = page
            .lines()
            .filter(|line| line.starts_with("udptrack_tracked_packets_total{"));
        let all = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        (all.sum::<u64>() == count as u64).then_some(())
    });
    tmux.stop(Signal::SIGCONT);
    assert_right(count);

    fill();
    let program = format!("/proc/{}/exe", tmux.pid());
    tmux.signal(Signal::SIGTERM);
    wait_for("the end of udptrack", SOON, || {
        std::fs::read_link(&program).is_err().then_some(())
    });
    assert_bare(&pair.a, pair.a.iface());
    tmux.stop(Signal::SIGCONT);
    let screen = tmux.wait_for_end(0);
    assert!(screen.contains("connections: 40 new"), "{screen}");
}

#[test]
#[ignore = "root"]
fn a_run_of_some_snapshots_gives_the_terminal_back() {
    let pair = Pair::new();
    let tmux = Tmux::start(&udptrack(&pair, &["-c", "2", "-d", "200ms"]), SMALL);
    assert!(tmux.wait_for_end(0).contains("connections: 0 new"));
}

/// The view is opened on the terminal by this very test, which then panics.
#[test]
#[ignore = "root"]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(CHILD).is_some() {
        let opening = Opening::begin(Background::Dark).unwrap();
        let settings = Settings {
            interfaces: Vec::new(),
            egress: false,
            progress: None,
            services: udptrack::model::services::Services::default(),
            only: None,
            query: udptrack::listing::Query::default(),
            names: true,
            command_line: |_| None,
            folder: std::env::temp_dir(),
        };
        let view = View::open(opening, settings);
        assert!(view.is_ok(), "{:?}", view.err());
        panic!("provoked on the terminal");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "a_panic_gives_the_terminal_back_before_it_is_told",
        ])
        .args(["--ignored", "--nocapture"])
        .env(CHILD, "1");
    let tmux = Tmux::start(&command, (100, 60));
    let screen = tmux.wait_for_end(101);
    assert!(screen.contains("provoked on the terminal"), "{screen}");
}

#[test]
#[ignore = "root"]
fn control_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let pair = Pair::new();
    let tmux = Tmux::shell(SMALL);
    let command = udptrack(&pair, &[]);
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    tmux.keys(&[&words.join(" "), "Enter"]);
    tmux.wait_for(&["No UDP connections now."]);
    tmux.keys(&["C-z"]);
    tmux.wait_for(&["Stopped"]);
    tmux.assert_restored();
    let talks = talk(&pair);
    tmux.keys(&["fg", "Enter"]);
    tmux.wait_for(&[TRACKED, "3 servers"]);
    tmux.keys(&["q"]);
    tmux.wait_for(&["connections: 3 new, 0 ended, 3 live"]);
    tmux.assert_restored();
    drop(talks);
}

#[test]
#[ignore = "root"]
fn the_view_follows_the_size_of_the_terminal() {
    let pair = Pair::new();
    let tmux = Tmux::start(&udptrack(&pair, &[]), SMALL);
    tmux.wait_for(&["No UDP connections now."]);
    wait_until_beginnings_are_seen(&tmux);
    let talks = talk(&pair);
    tmux.keys(&["2"]);
    tmux.wait_for(&[TRACKED, ":9000"]);
    tmux.resize(20, 5);
    tmux.wait("a small view", |screen| {
        screen.starts_with("RESPONDER") && screen.contains(":9000") && !screen.contains("seen")
    });
    tmux.keys(&["Enter"]);
    tmux.wait_for(&["DETAILS"]);
    tmux.keys(&["Escape"]);
    tmux.resize(180, 50);
    tmux.wait_for(&["REPLY BYTES", "REPLY RATE", "seen 63 pkts"]);
    tmux.resize(80, 24);
    tmux.wait_for(&[TRACKED]);
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
    drop(talks);
}

/// The parameters of all codes that set how text looks.
fn looks(screen: &str) -> Vec<u32> {
    screen
        .split("\x1b[")
        .skip(1)
        .filter_map(|code| code.split_once('m'))
        .flat_map(|(numbers, _)| numbers.split(';'))
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[test]
#[ignore = "root"]
fn colours_are_left_out_when_the_user_says_so() {
    let is_color = |look: &u32| matches!(look, 30..=38 | 40..=48 | 90..=107);
    let cases: [(&[&str], Option<&str>, bool); 7] = [
        (&[], None, true),
        (&[], Some("1"), false),
        (&[], Some(""), true),
        (&["--color", "always"], Some("1"), true),
        (&["--color", "never"], None, false),
        (&["--theme", "plain"], None, false),
        (&["--theme", "light"], None, true),
    ];
    at_once(cases, |(arguments, no_color, colored)| {
        let pair = Pair::new();
        let mut command = udptrack(&pair, arguments);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let tmux = Tmux::start(&command, SMALL);
        tmux.wait_for(&["No UDP connections now."]);
        tmux.keys(&["?"]);
        tmux.wait_for(&["an ICMP error came back"]);
        let looks = looks(&tmux.colored_screen());
        assert_eq!(
            looks.iter().any(is_color),
            colored,
            "{arguments:?} {no_color:?} {looks:?}"
        );
        // Bold or reverse is there either way.
        assert!(looks.contains(&1), "{looks:?}");
        tmux.keys(&["C-c"]);
        tmux.wait_for_end(0);
    });
}

#[test]
#[ignore = "root"]
fn messages_stand_in_the_view_and_go_to_standard_error_at_the_end() {
    let mut pair = Pair::new();
    let second = pair.add_link();
    let name = pair.a.ports[second].iface.clone();
    let mut command = udptrack(&pair, &[]);
    command.args(["-i", &name]);
    let tmux = Tmux::start(&command, SMALL);
    tmux.wait_for(&["No UDP connections now."]);
    pair.a.ip_batch(&format!("link del {name}"));
    let message = format!("{name} is gone; still tracking {}", pair.a.iface());
    let screen = tmux.wait_for(&[&message]);
    // It has a line of its own, and nothing else was written over the view.
    assert!(
        screen.contains(&format!("\n {message}\n seen ")),
        "{screen}"
    );
    assert!(screen.starts_with(" 1 Servers "), "{screen}");
    tmux.keys(&["q"]);
    let screen = tmux.wait_for_end(0);
    assert!(screen.contains(&format!("udptrack: {message}")), "{screen}");
}

#[test]
#[ignore = "root"]
fn something_is_shown_while_the_programs_are_verified() {
    let pair = Pair::new();
    let tmux = Tmux::start(&udptrack(&pair, &[]), SMALL);
    let screen = tmux.wait_for(&["verifying programs… "]);
    assert!(screen.starts_with(" 1 Servers "), "{screen}");
    // A key that comes too early does nothing, Ctrl-C ends the program.
    tmux.keys(&["2", "C-c"]);
    let screen = tmux.wait_for_end(0);
    assert!(!screen.contains("verifying"), "{screen}");
}

#[test]
#[ignore = "root"]
fn what_fails_at_the_start_is_told_on_a_terminal_as_it_was_found() {
    let pair = Pair::new();
    let name = format!("view-{}", std::process::id());
    let first = Tmux::start(&udptrack(&pair, &["--name", &name]), SMALL);
    first.wait_for(&["No UDP connections now."]);
    let second = Tmux::start(&udptrack(&pair, &["--name", &name]), SMALL);
    let screen = second.wait_for_end(1);
    assert!(
        screen.contains(&name) && !screen.contains("1 Servers"),
        "{screen}"
    );
    first.keys(&["q"]);
    first.wait_for_end(0);
}

/// Such as a serial line, or `script` without one: it knows no size, and tells nobody where the cursor is.
#[test]
#[ignore = "root"]
fn a_terminal_that_answers_nothing_has_a_view() {
    let pair = Pair::new();
    let words: Vec<String> = std::iter::once(env!("CARGO_BIN_EXE_udptrack"))
        .chain(["-i", pair.a.iface(), "--duration", "1s"])
        .map(str::to_owned)
        .collect();
    let mut command = pair.a.command("script");
    command
        .args(["-q", "-e", "-c", &words.join(" "), "/dev/null"])
        .env("TERM", "vt100")
        .stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("No UDP connections now."), "{text}");
    assert!(!text.contains("cannot use the terminal"), "{text}");
}

#[test]
#[ignore = "root"]
fn a_screen_is_written_where_the_fence_lets_it_and_a_row_is_copied() {
    let pair = Pair::new();
    let folder = common::TempDir::new("screens");
    let mut command = udptrack(&pair, &[]);
    command.env("TMPDIR", folder.path());
    let tmux = Tmux::start(&command, (120, 24));
    tmux.wait_for(&["No UDP connections now."]);
    wait_until_beginnings_are_seen(&tmux);
    let talks = talk(&pair);
    // The books are read after the table: the rows may be those of a moment before.
    tmux.wait_for(&[TRACKED, "3 servers", ":9000"]);
    tmux.keys(&["S"]);
    let wanted = format!("the screen was written to {}", folder.path().display());
    tmux.wait_for(&[&wanted]);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    assert!(text.contains(TRACKED) && text.contains(":9000"), "{text}");
    tmux.keys(&["y"]);
    tmux.wait_for(&["copied: host 10.88.", "and port 9000"]);
    tmux.keys(&["m"]);
    tmux.wait_for(&["  mouse"]);
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
    drop(talks);
}
