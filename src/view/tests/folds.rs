//! Exchanges that are over are one row.

use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::model::DnsCounts;

/// Twelve queries of dig, long over, and one of somebody unknown.
fn queries() -> Vec<Sample> {
    let mut samples: Vec<Sample> = (0..12)
        .map(|index| {
            let one = sample(41_000 + index, "192.168.1.1:53", Status::Replied, 1, 1);
            over(answered(one, &[u64::from(index + 1) * MS]))
        })
        .collect();
    samples.push(over(sample(
        42_000,
        "192.168.1.1:53",
        Status::Replied,
        1,
        1,
    )));
    samples
}

fn over(mut sample: Sample) -> Sample {
    sample.last_ns = START + 2 * SECOND;
    sample
}

fn bench(width: u16) -> Bench {
    let mut bench = Bench::new(width, 24, queries());
    let owners = (0..12).map(|index| (41_000 + index, owner(500 + u32::from(index), "dig")));
    bench.facts.owners.extend(owners);
    bench.keys("2");
    bench
}

#[test]
fn of_one_program_and_one_server() {
    let mut bench = bench(120);
    assert!(bench.shows("2 rows"), "{:?}", bench.lines());
    assert!(bench.shows("dig x12"), "{:?}", bench.lines());
    // 1 to 12 ms; the median, as the histogram has it.
    assert!(bench.shows("6.3ms"), "{:?}", bench.lines());
    assert!(bench.shows("192.168.1.100:42000"), "{:?}", bench.lines());
    let _ = bench.press(KeyCode::Enter);
    assert!(
        bench.shows("12 rows  of exchanges with 192.168.1.1:53"),
        "{:?}",
        bench.lines()
    );
    assert_eq!(bench.order().len(), 12);
    assert!(bench.shows("dig/500"), "{:?}", bench.lines());
    let _ = bench.press(KeyCode::Esc);
    assert!(bench.shows("2 rows"), "{:?}", bench.lines());
    assert_eq!(bench.model.state.cursor, 0);
}

#[test]
fn not_while_they_go_on_wait_or_have_more_packets() {
    for (change, rows) in [
        ((|_| {}) as fn(&mut Sample), 2),
        (|one| one.last_ns = START + 9 * SECOND, 3),
        (|one| one.orig.packets = 3, 3),
        (|one| one.reply.packets = 3, 3),
        (|one| one.status = Status::Assured, 3),
        (|one| *one = waiting(*one, START), 3),
        // As far as it came, it is a row of its own kind.
        (|one| one.status = Status::Unreplied, 3),
    ] {
        let mut bench = bench(120);
        change(&mut bench.samples[4]);
        bench.tick(START + 11 * SECOND);
        assert_eq!(bench.model.rows.keys().len(), rows, "{:?}", bench.lines());
    }
}

#[test]
fn the_count_stays_where_it_is_narrow() {
    for width in [60, 80] {
        let bench = bench(width);
        assert!(bench.shows("x12"), "{:?}", bench.lines());
    }
}

#[test]
fn clients_with_several_addresses_are_counted() {
    let mut bench = bench(120);
    bench.samples[4].originator = "192.168.1.101:41004".parse().unwrap();
    bench.tick(START + 11 * SECOND);
    assert!(bench.shows("several"), "{:?}", bench.lines());
}

#[test]
fn their_packets_and_bytes_are_all_there() {
    let mut bench = bench(160);
    let rows = &bench.model.rows;
    let total: u64 = rows
        .keys()
        .iter()
        .map(|key| match key {
            RowKey::Fold(fold) => rows.fold(*fold).unwrap().connection.sample.total().bytes,
            RowKey::Connection(_, _, place) => {
                bench.table.get(*place).unwrap().sample.total().bytes
            }
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(total, 13 * 200);
    for (number, one) in (0..).zip(&mut bench.samples[..12]) {
        let fails = u64::from(number < 3);
        one.dns = Some(DnsCounts {
            queries: 1,
            rcodes: [1 - fails, 0, fails, 0, 0, 0, 0],
            ..DnsCounts::default()
        });
        one.dropped.add(
            DropClass::SocketBuffer,
            Counts {
                packets: 2,
                bytes: 200,
            },
        );
    }
    bench.tick(START + 11 * SECOND);
    let mut folds = bench.model.rows.keys().iter().filter_map(|key| match key {
        RowKey::Fold(fold) => bench.model.rows.fold(*fold),
        _ => None,
    });
    let folded = folds.next().unwrap().connection.sample;
    let dns = folded.dns.unwrap();
    assert_eq!((dns.queries, dns.answers(), dns.errors()), (12, 12, 3));
    assert_eq!(folded.dropped.total().packets, 24);
    drop(folds);
    bench.keys("/zz");
    let _ = bench.press(KeyCode::Enter);
    assert!(bench.model.rows.keys().is_empty(), "{:?}", bench.lines());
}

#[test]
fn clients_of_a_server_here_have_no_port() {
    let mut bench = Bench::new(80, 24, queries());
    bench.facts.servers.push((53, owner(9, "dnsmasq")));
    bench.keys("2");
    // All thirteen come from one address that nobody knows the process of.
    assert!(bench.shows("1 row "), "{:?}", bench.lines());
    assert!(bench.shows("192.168.1.100 "), "{:?}", bench.lines());
    assert!(!bench.shows("192.168.1.100:4"), "{:?}", bench.lines());
}
