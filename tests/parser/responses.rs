//! Response times: what opens a wait, what ends it, and that both ends' CPUs agree.

use std::net::SocketAddr;
use std::slice;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use udptrack::model::{RESPONSE_BUCKETS, Response, Sample};

use crate::expiry::request;
use crate::rig::{EGRESS, INGRESS, Pinned, Rig, XDP, address, settings, udp};
use crate::times::{assert_took, now_ns, timed, took};

fn families() -> [[SocketAddr; 2]; 2] {
    [
        ["10.88.0.1:4000", "10.88.0.2:53"].map(address),
        ["[fd88::1]:4000", "[fd88::2]:53"].map(address),
    ]
}

/// The bucket that a time belongs to.
fn bucket(ns: u64) -> usize {
    (0..RESPONSE_BUCKETS)
        .find(|bucket| Response::bucket_end_ns(*bucket).is_none_or(|end| ns < end))
        .unwrap()
}

#[test]
#[ignore = "root"]
fn from_the_first_unanswered_packet_to_the_next_one_back() {
    for [client, server] in families() {
        let mut rig = Rig::new(16);
        let (ask, answer) = (udp(client, server), udp(server, client));
        // Copies of a packet ask once; two packets back answer once.
        let asked = timed(|| rig.run_copies(XDP, &ask, 3));
        let waiting = rig.find(client, server);
        assert_eq!(waiting.response.waiting_since_ns, Some(waiting.first_ns));
        assert_eq!(
            (waiting.response.asked(), waiting.response.answered),
            (1, 0)
        );
        thread::sleep(Duration::from_millis(3));
        let answered = timed(|| {
            for _ in 0..2 {
                rig.run(EGRESS, &answer).unwrap();
            }
        });
        let slow = took(&asked, &answered);
        let first = rig.find(client, server);
        assert_took(&first.response, slice::from_ref(&slow));
        let took_ns = first.response.sum_ns;
        assert_eq!(Some(took_ns), first.first_reply_after_ns());
        assert_eq!((first.response.asked(), first.response.answered), (1, 1));
        assert_eq!(first.response.waiting_since_ns, None);
        let mut histogram = [0; RESPONSE_BUCKETS];
        histogram[bucket(took_ns)] = 1;
        assert_eq!(first.response.histogram, histogram);

        // A second request, answered at once, and a third that is not.
        let asked = timed(|| rig.run(XDP, &ask).unwrap());
        let answered = timed(|| rig.run(INGRESS, &answer).unwrap());
        let third = timed(|| rig.run(EGRESS, &ask).unwrap());
        let second = rig.find(client, server).response;
        assert_took(&second, &[slow, took(&asked, &answered)]);
        let fast_ns = second.sum_ns - took_ns;
        histogram[bucket(fast_ns)] += 1;
        assert_eq!(
            (second.min_ns, second.max_ns),
            (fast_ns.min(took_ns), fast_ns.max(took_ns))
        );
        assert_eq!(second.histogram, histogram);
        assert_eq!(second.mean_ns(), Some(u64::midpoint(fast_ns, took_ns)));
        assert_eq!((second.asked(), second.waiting), (3, 1));
        assert!(third.contains(&second.waiting_since_ns.unwrap()));
        // At its end a connection says the same.
        let sample = rig.find(client, server);
        let ended = rig.tracker.expire(&[request(&sample)]).unwrap();
        let lost = Response {
            lost: 1,
            waiting: 0,
            waiting_since_ns: None,
            ..second
        };
        assert_eq!(ended[0].0.response, lost);
    }
}

#[test]
#[ignore = "root"]
fn packets_in_one_direction_answer_nothing() {
    let mut rig = Rig::new(16);
    let [client, server] = ["10.88.0.1:4000", "10.88.0.2:9"].map(address);
    for _ in 0..1000 {
        rig.run(XDP, &udp(client, server)).unwrap();
    }
    // After ten packets it is no request any more that waits.
    let sample = rig.find(client, server);
    let response = sample.response;
    assert_eq!((response.answered, response.waiting), (0, 0));
    assert!((1..=10).contains(&response.lost), "{response:?}");
    assert_eq!((sample.orig_ttl, sample.reply_ttl), (Some(64), None));
}

#[test]
#[ignore = "root"]
fn request_and_answer_pass_on_different_cpus() {
    const ROUNDS: u64 = 5000;
    for [client, server] in families() {
        let rig = Rig::new(16);
        let [asks, answers] = [XDP, EGRESS].map(|entry| rig.tracker.runner(entry).unwrap());
        let turn = Barrier::new(2);
        let start = now_ns();
        thread::scope(|scope| {
            for (cpu, runner, frame) in [
                (0, asks, udp(client, server)),
                (1, answers, udp(server, client)),
            ] {
                let turn = &turn;
                scope.spawn(move || {
                    let _pinned = Pinned::to(cpu);
                    for round in 0..2 * ROUNDS {
                        if round % 2 == cpu as u64 {
                            runner.run_frame(&frame, 1).unwrap();
                        }
                        turn.wait();
                    }
                });
            }
        });
        let elapsed = now_ns() - start;
        let sample = rig.find(client, server);
        let response = sample.response;
        assert_eq!((response.answered, response.waiting), (ROUNDS, 0));
        assert_eq!(response.asked(), sample.orig.packets);
        let counted: u64 = response.histogram.iter().copied().map(u64::from).sum();
        assert_eq!(counted, ROUNDS);
        assert!(response.sum_ns < elapsed);
        assert!(response.min_ns > 0 && response.min_ns <= response.max_ns);
        assert!(response.max_ns < response.sum_ns);
    }
}

/// Both ends send all the time on both CPUs: every packet of the originator opens a wait or finds one, every packet of the
/// responder ends one or finds none.
#[test]
#[ignore = "root"]
fn two_cpus_at_once_count_no_answer_twice() {
    const PACKETS: u64 = 50_000;
    let mut rig = Rig::new(16);
    let [client, server] = families()[0];
    rig.run(XDP, &udp(client, server)).unwrap();
    thread::scope(|scope| {
        for cpu in [0, 1] {
            let runner = rig.tracker.runner(INGRESS).unwrap();
            scope.spawn(move || {
                let _pinned = Pinned::to(cpu);
                for packet in 0..PACKETS {
                    let frame = if packet % 2 == 0 {
                        udp(server, client)
                    } else {
                        udp(client, server)
                    };
                    runner.run_frame(&frame, 1).unwrap();
                }
            });
        }
    });
    let sample = rig.find(client, server);
    let response = sample.response;
    assert_eq!(sample.orig.packets, PACKETS + 1);
    assert_eq!(sample.reply.packets, PACKETS);
    assert!(response.answered > 0 && response.answered <= PACKETS);
    let counted: u64 = response.histogram.iter().copied().map(u64::from).sum();
    assert_eq!(counted, response.answered);
    assert!(response.asked() <= sample.orig.packets);
}

/// More connections than there are places, one after the other: each has its own times, none an earlier one's.
#[test]
#[ignore = "root"]
fn places_go_from_connection_to_connection() {
    const ROOM: u32 = 32;
    let mut rig = Rig::with(&udptrack::bpf::Settings {
        new_events: false,
        data_events: false,
        ..settings(ROOM)
    });
    let server = address("10.88.0.2:53");
    let runner = rig.tracker.runner(XDP).unwrap();
    for round in 0..20_u16 {
        let clients = (0..ROOM).map(|number| {
            address(&format!(
                "10.88.0.1:{}",
                1000 + u32::from(round) * ROOM + number
            ))
        });
        for (number, client) in clients.enumerate() {
            runner.run_frame(&udp(client, server), 1).unwrap();
            if number % 2 == 0 {
                runner.run_frame(&udp(server, client), 1).unwrap();
            }
        }
        let samples = rig.scan();
        assert_eq!(samples.len(), ROOM as usize);
        for sample in &samples {
            expect_half(sample);
        }
        let ended = rig
            .tracker
            .expire(&samples.iter().map(request).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(ended.len(), ROOM as usize);
        for (sample, _) in &ended {
            expect_half(sample);
        }
    }
}

/// Clients of an even port were answered.
fn expect_half(sample: &Sample) {
    let answered = sample.originator.port().is_multiple_of(2);
    let response = sample.response;
    assert_eq!(response.answered, u64::from(answered), "{sample:?}");
    assert_eq!(
        response.waiting + response.lost,
        u64::from(!answered),
        "{sample:?}"
    );
    assert_eq!(response.sum_ns, sample.first_reply_after_ns().unwrap_or(0));
}

#[test]
#[ignore = "root"]
fn nobody_asked_for_them() {
    let mut rig = Rig::with(&udptrack::bpf::Settings {
        response_times: false,
        ..settings(16)
    });
    let [client, server] = families()[0];
    rig.run(XDP, &udp(client, server)).unwrap();
    rig.run(XDP, &udp(server, client)).unwrap();
    assert_eq!(rig.find(client, server).response, Response::default());
}
