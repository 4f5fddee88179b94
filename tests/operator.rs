//! What an operator asks, on a link with services of all kinds: who serves whom, which server is dead, which loses, which is slow, and what
//! needs no answer. Each answer is known here, and is asserted as it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "operator/scene.rs"]
mod scene;

use std::thread;
use std::time::Duration;

use common::Ip;
use common::netns::Pair;
use common::run::Udptrack;
use scene::{Work, client, serve, socket};

/// Ten starts beside traffic that is there: whoever is seen first, client and server are told right.
#[test]
#[ignore = "root"]
fn roles_of_what_was_there_before() {
    let pair = Pair::new();
    let mut work = Work::new();
    // A download from a server that nobody knows here: it sends nearly all packets.
    let server = socket(&pair.b, 443);
    let downloads = client(&pair.a, pair.b.addr(Ip::V4, 443));
    let peer = downloads.local_addr().unwrap();
    work.go_on(move |_| {
        server.send_to(&[0x40; 1200], peer).unwrap();
        thread::sleep(Duration::from_millis(1));
    });
    work.go_on(move |_| {
        downloads.send(&[0x40; 40]).unwrap();
        thread::sleep(Duration::from_millis(20));
    });
    // One that is slow: most of the time its answer is the next packet.
    let slow = serve(&mut work, &pair.b, 4000, Duration::from_millis(50), |_| {
        false
    });
    let asks = client(&pair.a, slow);
    asks.set_read_timeout(None).unwrap();
    let asker = asks.local_addr().unwrap();
    work.go_on(move |_| {
        asks.send(b"request").unwrap();
        // As the server still holds one, the last of them comes when all is over.
        asks.set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let _ = asks.recv(&mut [0; 64]);
        thread::sleep(Duration::from_millis(5));
    });
    // Our own server at a high port, asked from a low one.
    let own = serve(&mut work, &pair.a, 9000, Duration::from_millis(5), |_| {
        false
    });
    let low = socket(&pair.b, 500);
    work.go_on(move |_| {
        low.send_to(b"request", own).unwrap();
        let _ = low.recv(&mut [0; 64]);
    });
    for _ in 0..10 {
        let udptrack = Udptrack::start(
            &pair.a,
            &["-i", pair.a.iface(), "-j", "--duration", "1500ms"],
        );
        let finished = udptrack.wait().success();
        finished.assert_books();
        let mut ends: Vec<_> = finished
            .flows()
            .iter()
            .map(|flow| (flow.src, flow.dst))
            .collect();
        ends.sort_unstable();
        let mut expected = vec![
            (peer, pair.b.addr(Ip::V4, 443)),
            (asker, slow),
            (pair.b.addr(Ip::V4, 500), own),
        ];
        expected.sort_unstable();
        assert_eq!(ends, expected);
    }
}
