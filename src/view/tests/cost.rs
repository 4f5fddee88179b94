//! What a tick costs with a full table.

use std::time::{Duration, Instant};

use super::*;

const CONNECTIONS: u32 = 100_000;

fn samples(round: u64) -> Vec<Sample> {
    (0..CONNECTIONS)
        .map(|index| {
            let mut one = sample(1, "192.0.2.53:53", Status::Replied, 1, 1);
            // Ids are spread as those of the kernel are.
            one.id = ConnectionId(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            one.originator = format!(
                "10.{}.{}.{}:4000",
                index >> 16,
                index >> 8 & 255,
                index & 255
            )
            .parse()
            .unwrap();
            if index % 10 == 0 {
                one.orig = counts(1 + round * u64::from(index), 100 * round * u64::from(index));
            }
            one
        })
        .collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints what a tick is made of; what it costs in the end is measured on the whole program.
/// `cargo test --release --lib view::tests::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn a_tick_with_100_000_connections() {
    let mut bench = Bench::new(160, 50, Vec::new());
    bench.table = Table::new(131_072, Timeouts::default());
    let rounds: Vec<_> = (1..8).map(samples).collect();
    let (mut applied, mut expired, mut chosen, mut drawn) = (vec![], vec![], vec![], vec![]);
    for (round, samples) in (1..).zip(rounds) {
        let now_ns = START + 10 * SECOND + round * SECOND;
        let start = Instant::now();
        bench.table.apply(samples, now_ns);
        applied.push(start.elapsed());
        let start = Instant::now();
        assert!(bench.table.expired(now_ns).is_empty());
        expired.push(start.elapsed());
        let report = report(bench.table.len());
        let start = Instant::now();
        bench.model.tick(&bench.table, &report, &bench.facts);
        chosen.push(start.elapsed());
        let start = Instant::now();
        bench.draw();
        drawn.push(start.elapsed());
    }
    println!(
        "of {CONNECTIONS} connections: apply {:?}, expired {:?}, choose and sort {:?}, draw {:?}",
        median(applied),
        median(expired),
        median(chosen),
        median(drawn)
    );
    for keys in ["1", "2", "3", "4", "5", "6", "7", "2/192", "2uo"] {
        bench.keys(keys);
        let start = Instant::now();
        bench.model.choose(&bench.table, &bench.facts, None);
        println!("after {keys:?}: choose and sort {:?}", start.elapsed());
        let _ = bench.press(KeyCode::Esc);
    }
}
