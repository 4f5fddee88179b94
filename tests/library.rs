//! The library's examples, run as they stand, beside traffic that is known to the packet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;
#[expect(dead_code, reason = "its own main is not run")]
#[path = "../examples/ends.rs"]
mod ends;
#[expect(dead_code, reason = "its own main is not run")]
#[path = "../examples/top.rs"]
mod top;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use common::kernel::{assert_bare, is_tracked};
use common::netns::Pair;
use common::traffic::Talk;
use common::{Ip, SOON, wait_for};
use udptrack::Table;

/// What an example writes that goes on until `traffic` is over, and then for as long as `rest` says after a look.
fn written(
    pair: &Pair,
    example: impl Fn(&mut dyn FnMut(&Table) -> bool, &mut Vec<u8>) -> Result<(), Box<dyn Error>> + Sync,
    rest: impl Fn(&Table) -> bool + Sync,
    traffic: impl FnOnce(),
) -> String {
    let is_over = AtomicBool::new(false);
    let text = thread::scope(|scope| {
        let run = scope.spawn(|| {
            pair.a.enter(|| {
                let mut out = Vec::new();
                let mut looks = 0;
                // A test that has failed meanwhile is not to wait for ever.
                let latest = Instant::now() + 3 * SOON;
                let mut goes_on = |table: &Table| {
                    looks += u32::from(is_over.load(Ordering::Relaxed));
                    (looks < 2 || rest(table)) && Instant::now() < latest
                };
                let done = example(&mut goes_on, &mut out);
                done.map(|()| out).map_err(|error| error.to_string())
            })
        });
        wait_for("the hooks", SOON, || {
            is_tracked(&pair.a, pair.a.iface()).then_some(())
        });
        traffic();
        is_over.store(true, Ordering::Relaxed);
        run.join().unwrap().unwrap()
    });
    assert_bare(&pair.a, pair.a.iface());
    String::from_utf8(text).unwrap()
}

fn talk(pair: &Pair, port: u16) -> Talk {
    Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.udp(pair.b.addr(Ip::V4, port)),
    )
}

#[test]
#[ignore = "root"]
fn the_examples_say_what_is_true() {
    let pair = Pair::new();
    let text = written(
        &pair,
        |goes_on, out| top::run(pair.a.iface(), goes_on, out),
        |_| false,
        || {
            let mut talk = talk(&pair, 4000);
            talk.turn();
            talk.turn();
        },
    );
    let (ends, counts) = text.split_once(": ").unwrap();
    let from = pair.a.addr(Ip::V4, 45_000);
    assert_eq!(ends, format!("{from} -> {}", pair.b.addr(Ip::V4, 4000)));
    assert!(counts.starts_with("4 packets, "), "{text}");

    let text = written(
        &pair,
        |goes_on, out| ends::run(pair.a.iface(), "port 4001", goes_on, out),
        |table| !table.is_empty(),
        || {
            talk(&pair, 4001).turn();
            talk(&pair, 4002).turn();
        },
    );
    let to = pair.b.addr(Ip::V4, 4001);
    let expected = format!(
        "{from} -> {to} ended: IDLE\nseen 4 = tracked 2 + skipped 2; all connections had 2\n"
    );
    assert_eq!(text, expected);
}
