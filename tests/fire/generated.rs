//! The generator itself, against the witness: sources, checksums, sizes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::common::frames;
use crate::common::generator::{Generator, Pattern, is_possible};
use crate::common::netns::Pair;
use crate::common::run::Udptrack;
use crate::common::witness::Witness;
use crate::common::{Ip, both_families};

both_families!(as_it_says);

fn as_it_says(ip: Ip) {
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    let udptrack = Udptrack::start(&pair.b, &["-i", pair.b.iface(), "-j", "--hook", "xdp"]);
    for (pattern, payload) in [
        (Pattern::ONE, 0),
        (
            Pattern::Sources {
                first: 32_760,
                count: 100,
            },
            33,
        ),
        (Pattern::Flood { first: 1 << 40 }, 1472 - 20),
    ] {
        let to: SocketAddr = pair.b.addr(ip, 4000);
        let witness = Witness::start(&pair.b, pair.b.iface());
        let mut generator = Generator::new(&pair.a, pair.a.iface(), to, pattern, payload);
        generator.run(300);
        let frames = witness.frames();
        assert_eq!(frames.len(), 300);
        for (number, frame) in frames.iter().enumerate() {
            let expected = frames::udp(generator.source(number as u64), to, &vec![0; payload]);
            let mut frame = frame.clone();
            frame[..12].copy_from_slice(&expected[..12]);
            if ip == Ip::V4 {
                frame[40..42].copy_from_slice(&expected[40..42]);
            }
            assert_eq!(frame, expected);
        }
    }
    let stats = udptrack.stop().success().assert_books();
    assert_eq!(stats.tracked.packets, 900);
    let sources: BTreeSet<_> = (0..100_000)
        .map(|n| Pattern::Flood { first: 7 }.source(ip, n))
        .collect();
    assert_eq!(sources.len(), 100_000);
}
