//! The live view of a capture.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::TempDir;
use crate::common::frames;
use crate::common::tmux::Tmux;
use crate::file::{Capture, ETHERNET, SECOND};
use crate::runs::{MILLISECOND, address, udptrack, write};

const SMALL: (u16, u16) = (80, 24);

fn capture() -> Capture {
    let mut capture = Capture::on("eth0", ETHERNET);
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    for turn in 0..200 {
        capture.frame(
            turn * 20 * MILLISECOND,
            &frames::udp(client, server, b"ask"),
        );
        let at = turn * 20 * MILLISECOND + MILLISECOND;
        capture.frame(at, &frames::udp(server, client, b"answer"));
    }
    // Whoever else talks an hour later.
    let late = frames::udp(address("192.0.2.1:40001"), address("192.0.2.9:9001"), b"x");
    capture.frame(3600 * SECOND, &late);
    capture
}

/// All is read at once; the view shows the end of the capture until it is left.
#[test]
#[ignore = "root"]
fn the_view_stays_at_the_end_of_the_capture() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "talk.pcapng", &capture());
    let tmux = Tmux::start(&udptrack(&["-r", &file, "-n"]), SMALL);
    let screen = tmux.wait("the end of the capture", |screen| {
        screen.contains("401 frames, all read") && screen.contains("192.0.2.9:9001")
    });
    assert!(screen.contains("talk.pcapng"), "{screen}");
    tmux.keys(&["q"]);
    let screen = tmux.wait_for_end(0);
    assert!(screen.contains("401 packets"), "{screen}");
}

/// A capture on standard input leaves the keys to the terminal, whose pipe has ended long before.
#[test]
#[ignore = "root"]
fn keys_are_the_terminals_where_standard_input_is_a_capture() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "talk.pcapng", &capture());
    let program = udptrack(&[]).get_program().display().to_string();
    for line in [
        format!("cat '{file}' | '{program}' -r - -n"),
        format!("'{program}' -r - -n <'{file}'"),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        let tmux = Tmux::start(&command, SMALL);
        tmux.wait("the end of the capture", |screen| {
            screen.contains("401 frames, all read") && screen.contains("192.0.2.9:9001")
        });
        tmux.keys(&["/", "9001"]);
        tmux.wait("one row", |screen| !screen.contains("192.0.2.9:9000"));
        tmux.keys(&["Enter", "q"]);
        let screen = tmux.wait_for_end(0);
        assert!(screen.contains("401 packets"), "{line}: {screen}");
    }
}

/// In its own time the first seconds are shown, and the hour behind them is not waited for.
#[test]
#[ignore = "root"]
fn the_view_plays_a_capture() {
    let folder = TempDir::new("replay");
    let file = write(&folder, "talk.pcapng", &capture());
    let tmux = Tmux::start(&udptrack(&["-r", &file, "-n", "--speed", "1"]), SMALL);
    tmux.wait("all of the first connection", |screen| {
        screen.contains("192.0.2.9:9000") && screen.contains("400 frames at 1x")
    });
    tmux.signal(Signal::SIGINT);
    tmux.wait_for_end(0);
}
