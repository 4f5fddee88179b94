//! What little a run may get of the processors: it stands still, has a quota, or may use one of them only. The kernel's half counts all
//! the same, and the other half tells all of it, late.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::cgroup::ControlGroup;
use crate::common::generator::{
    Generator, Link, Pattern, Running, is_possible, queue_by_processor,
};
use crate::common::netns::{Pair, processors};
use crate::common::witness::Count;
use crate::common::{Ip, SOON, both_families_at_once, wait_for};
use crate::load::{SHORT_LIVED, Traffic, two_processors};
use crate::tally::{Tallied, Told};

both_families_at_once!(a_pause_of_its_process);

const PAYLOAD: usize = 30;

/// Some connections go on all the time, some end just before, one group begins and one pauses meanwhile. Whatever was silent for long
/// enough while nobody looked ends when somebody does; each is told once, with all its packets.
fn a_pause_of_its_process(ip: Ip) {
    const GROUP: u64 = 300;
    const TIMEOUT: Duration = Duration::from_secs(2);
    if !is_possible() {
        return;
    }
    let pair = Pair::new();
    queue_by_processor(&pair);
    let timeouts = [
        "--udp-timeout",
        "2s",
        "--stream-timeout",
        "2s",
        "--no-egress",
    ];
    let udptrack = Tallied::start(&pair.b, &timeouts);
    let to = pair.b.addr(ip, 4000);
    let link = Link::new(&pair.a, pair.a.iface());
    let before = link.arrived();
    let group = |number: u64| {
        let pattern = Pattern::Sources {
            first: number * 1000,
            count: GROUP,
        };
        Generator::new(&pair.a, pair.a.iface(), to, pattern, PAYLOAD)
    };
    let busy = two_processors().map(|processor| {
        let generator = group(0).paced(u32::try_from(GROUP).unwrap(), Duration::from_millis(50));
        generator.start(processor)
    });
    let [
        mut of_before,
        mut of_meanwhile,
        mut with_a_gap,
        mut of_after,
    ] = [1, 2, 3, 4].map(group);
    for running in &busy {
        running.wait_for_more(GROUP);
    }
    let once_each = |generator: &mut Generator| generator.send_all(GROUP);
    once_each(&mut of_before);
    udptrack.udptrack.signal(Signal::SIGSTOP);
    once_each(&mut with_a_gap);
    once_each(&mut of_meanwhile);
    thread::sleep(TIMEOUT + Duration::from_secs(1));
    // Its timeout is over, but nobody has ended it: it goes on.
    once_each(&mut with_a_gap);
    thread::sleep(TIMEOUT);
    udptrack.udptrack.signal(Signal::SIGCONT);
    once_each(&mut of_after);
    udptrack.wait_for_reason("IDLE", 2 * GROUP);
    let busy = busy.map(Running::stop);
    let groups = [&of_before, &of_meanwhile, &with_a_gap, &of_after];
    let sent = busy.iter().chain(groups).map(|generator| Count {
        packets: generator.sent(),
        bytes: generator.sent() * generator.frame_bytes(),
    });
    let sent: Count = sent.sum();
    wait_for("all frames", SOON, || {
        (link.arrived() - before == sent.packets).then_some(())
    });
    let (finished, tally) = udptrack.stop();
    let stats = tally.assert_books(&finished);
    assert_eq!((stats.seen, stats.skipped), (sent, [].into()));
    let mut expected: HashMap<_, u64> = HashMap::new();
    for generator in busy.iter().chain(groups) {
        for number in 0..GROUP {
            let rest = u64::from(number < generator.sent() % GROUP);
            *expected.entry((generator.source(number), to)).or_default() +=
                generator.sent() / GROUP + rest;
        }
    }
    assert_eq!(tally.told.len(), expected.len());
    for (ends, packets) in expected {
        let mut told = Told {
            records: 1,
            ..Told::default()
        };
        told.volume.toserver = Count {
            packets,
            bytes: packets * of_before.frame_bytes(),
        };
        assert_eq!(tally.told[&ends], told, "{ends:?}");
    }
}

/// It gets a twentieth of a processor.
#[test]
#[ignore = "root"]
fn a_quota() {
    let Some(group) = ControlGroup::new("cpu").filter(|_| is_possible()) else {
        return;
    };
    let pair = Pair::new();
    queue_by_processor(&pair);
    let udptrack = Tallied::start(&pair.b, &SHORT_LIVED);
    group.add(udptrack.udptrack.pid());
    group.limit_time(5);
    let traffic = short_lived(&pair);
    udptrack.wait_for_more_than(SOURCES);
    wait_for("that it has to wait", SOON, || {
        (group.throttled() > 0).then_some(())
    });
    let sent = traffic.stop();
    assert_eq!(sent.by_source.len() as u64, SOURCES);
    let (finished, tally) = udptrack.stop();
    sent.assert_told(&finished, &tally);
    eprintln!(
        "{} records, throttled {} times",
        tally.records,
        group.throttled()
    );
}

/// First it may use every processor, then the first one only, then the last one only.
#[test]
#[ignore = "root"]
fn fewer_processors_while_it_runs() {
    let all = processors();
    let Some(group) = ControlGroup::new("cpuset").filter(|_| is_possible()) else {
        return;
    };
    let list = |processors: &[usize]| {
        let numbers: Vec<_> = processors.iter().map(usize::to_string).collect();
        numbers.join(",")
    };
    let pair = Pair::new();
    queue_by_processor(&pair);
    let udptrack = Tallied::start(&pair.b, &SHORT_LIVED);
    group.set_processors(&list(&all));
    group.add(udptrack.udptrack.pid());
    let traffic = short_lived(&pair);
    thread::sleep(Duration::from_millis(1500));
    for processor in two_processors() {
        group.set_processors(&list(&[processor]));
        thread::sleep(Duration::from_millis(1500));
    }
    udptrack.wait_for_more_than(SOURCES);
    let sent = traffic.stop();
    assert_eq!(sent.by_source.len() as u64, SOURCES);
    let (finished, tally) = udptrack.stop();
    sent.assert_told(&finished, &tally);
    assert_eq!(finished.messages().len(), 1, "{:?}", finished.messages());
}

/// Those of [`short_lived`]: where more ends are told, some have begun anew.
const SOURCES: u64 = 400;

/// Connections from both processors, of which some end and begin anew all the time.
fn short_lived(pair: &Pair) -> Traffic {
    let mut traffic = Traffic::new(pair, Ip::V4);
    let milliseconds = Duration::from_millis;
    for (index, processor) in two_processors().into_iter().enumerate() {
        let own = 100_000 * (index as u64 + 1);
        for (sources, pace) in [
            ((0, 200), (64, milliseconds(20))),
            ((1000, 100), (100, milliseconds(1300))),
            ((own, 50), (50, milliseconds(1100))),
        ] {
            traffic.start(pair, processor, sources, pace);
        }
    }
    traffic
}
