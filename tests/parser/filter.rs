//! Filters in the kernel: what they want of random frames, who may open a connection, and what the books say.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use udptrack::bpf::{Entry, Settings};
use udptrack::filter::{Filter, MAX_TESTS, Subject, Vocabulary};
use udptrack::model::services::Services;
use udptrack::model::{Books, Counts, EventKind, Processes, Sample, Skip, Vlans};

use crate::common::expressions::expression;
use crate::common::frames;
use crate::common::random::{FrameGenerator, Rng};
use crate::common::reference::Reference;
use crate::expiry::request;
use crate::rig::{
    EGRESS, ETHERNET_BYTES, INGRESS, Pinned, Rig, XDP, address, counts, settings, shown, udp, vlans,
};

fn filter(text: &str) -> Filter {
    let services = Services::default();
    let vocabulary = Vocabulary {
        services: &services,
        user_space: false,
    };
    Filter::parse(text, vocabulary).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn rig(text: &str) -> Rig {
    Rig::with(&Settings {
        filter: filter(text).compile().unwrap(),
        ..settings(1 << 12)
    })
}

fn wants(filter: &Filter, vlans: Vlans, source: SocketAddr, destination: SocketAddr) -> bool {
    filter.wants_subject(&Subject {
        vlans,
        originator: source,
        responder: destination,
        status: None,
        spoken: None,
        processes: Processes::default(),
    })
}

/// What a filter makes of frames, in user space: connections that were opened, and the sums of the books.
struct Expected {
    filter: Filter,
    reference: Reference,
    open: HashSet<(Vlans, SocketAddr, SocketAddr)>,
    tracked: Counts,
    filtered: Counts,
}

impl Expected {
    /// Whether the frame is counted; `None` when it is not UDP.
    fn frame(&mut self, frame: &[u8]) -> Option<bool> {
        let udp = self.reference.frame(frame).ok()?;
        let (low, high) = (
            udp.source.min(udp.destination),
            udp.source.max(udp.destination),
        );
        let key = (vlans(udp.vlans), low, high);
        let counted = if wants(&self.filter, key.0, udp.source, udp.destination) {
            self.open.insert(key);
            true
        } else {
            self.open.contains(&key)
        };
        let sum = if counted {
            &mut self.tracked
        } else {
            &mut self.filtered
        };
        *sum += counts(1, frame.len());
        Some(counted)
    }

    /// Runs a frame through the kernel and here, and compares.
    fn check(&mut self, rig: &mut Rig, entry: Entry, frame: &[u8], text: &str) {
        match (self.frame(frame), rig.run(entry, frame)) {
            (None, Err(skip)) => {
                assert_ne!(skip, Skip::Filtered, "{text}: {}", shown(entry, frame));
            }
            (Some(false), Err(Skip::Filtered)) | (Some(true), Ok(_)) => {}
            (expected, outcome) => {
                panic!(
                    "{text}: {}: {outcome:?}, not {expected:?}",
                    shown(entry, frame)
                )
            }
        }
    }

    /// The table has what was opened, by whom the filter wanted, and the books agree.
    fn assert_table(&self, rig: &Rig, text: &str) {
        let samples = rig.scan();
        assert_eq!(samples.len(), self.open.len(), "{text}");
        for sample in &samples {
            let (from, to) = (sample.originator, sample.responder);
            let opened = wants(&self.filter, sample.vlans, from, to);
            assert!(opened, "{text}: {sample:?}");
        }
        let total: Counts = samples.iter().map(Sample::total).sum();
        let books: Books = [INGRESS, EGRESS]
            .map(|entry| rig.books(entry))
            .into_iter()
            .sum();
        assert_eq!(total, self.tracked, "{text}");
        assert_eq!(books.tracked, self.tracked, "{text}");
        let filtered = books.skipped_for(Skip::Filtered);
        assert_eq!(filtered, self.filtered, "{text}");
    }
}

/// Random expressions, random frames, all programs, in any order; each frame ends where user space says.
#[test]
#[ignore = "root"]
fn random_filters_on_random_frames() {
    const FILTERS: usize = 30;
    const FRAMES: usize = 4000;
    let mut rng = Rng::from_environment();
    let (mut tracked, mut filtered, mut directed) = (0, 0, 0);
    for round in 0..FILTERS {
        let text = expression(&mut rng, [1, 2, 3, 6, 12][round % 5]);
        let mut rig = rig(&text);
        let mut expected = Expected {
            filter: filter(&text),
            reference: Reference::default(),
            open: HashSet::new(),
            tracked: Counts::default(),
            filtered: Counts::default(),
        };
        let mut generator = FrameGenerator::new(Rng::new(rng.next()));
        for _ in 0..FRAMES {
            let frame = generator.frame();
            // TC's test runs refuse frames that end in their fixed headers, XDP's those that end in Ethernet's.
            let entry = if frame.len() < 80 {
                XDP
            } else {
                rng.pick(&[XDP, INGRESS, EGRESS])
            };
            if frame.len() >= ETHERNET_BYTES {
                expected.check(&mut rig, entry, &frame, &text);
            }
        }
        expected.assert_table(&rig, &text);
        tracked += expected.tracked.packets;
        filtered += expected.filtered.packets;
        directed += usize::from(expected.filter.is_directed());
    }
    println!("{tracked} tracked, {filtered} filtered, {directed} of {FILTERS} with src or dst");
    assert!(tracked > 0 && filtered > 0 && directed > 0);
}

fn ends() -> [(SocketAddr, SocketAddr); 2] {
    [
        (address("10.88.0.1:40000"), address("10.88.0.2:53")),
        (address("[fd88::1]:40000"), address("[fd88::2]:53")),
    ]
}

/// The answers to a wanted packet are counted, from the first on; nothing is before it or to another.
#[test]
#[ignore = "root"]
fn a_direction_says_who_opens() {
    for entry in [XDP, INGRESS, EGRESS] {
        for text in [
            "dst port 53",
            "src net 10.88.0.1/32 or fd88::1/128",
            "src portrange 1000-65535 and not src port 53",
        ] {
            let mut rig = rig(text);
            for (a, b) in ends() {
                let (ask, answer) = (udp(a, b), udp(b, a));
                for _ in 0..3 {
                    assert_eq!(rig.run(entry, &answer), Err(Skip::Filtered), "{text}");
                }
                let (id, packet) = rig.run(entry, &ask).unwrap();
                assert_eq!((packet.source, packet.destination), (a, b));
                for frame in [&answer, &ask, &answer, &answer] {
                    assert_eq!(rig.run(entry, frame).unwrap().0, id, "{text}");
                }
                let sample = rig.find(a, b);
                assert_eq!((sample.originator, sample.responder), (a, b));
                assert_eq!(sample.orig, counts(2, 2 * ask.len()));
                assert_eq!(sample.reply, counts(3, 3 * answer.len()));
                // Another connection of the same ends.
                let other = SocketAddr::new(a.ip(), 53);
                assert_eq!(
                    rig.run(entry, &udp(b, other)).is_err(),
                    text != "dst port 53",
                    "{text}"
                );
            }
            let books = rig.books(entry);
            assert!(books.balance());
            assert!(books.skipped_for(Skip::Filtered).packets >= 6);
        }
    }
}

/// Where there are as many connections as there is room for, some lie in their second sets: answers find them there, too.
#[test]
#[ignore = "root"]
fn answers_join_wherever_their_connection_lies() {
    // One block of sets, and the fullest that it is promised to be.
    const CLIENTS: u16 = 2900;
    let mut rig = Rig::with(&Settings {
        filter: filter("dst port 53").compile().unwrap(),
        new_events: false,
        data_events: false,
        ..settings(CLIENTS.into())
    });
    let mut ask = Counts::default();
    let mut answer = Counts::default();
    for round in 0..3 {
        for client in 0..CLIENTS {
            let (a, b) = (
                SocketAddr::new("10.88.0.1".parse().unwrap(), 1000 + client),
                address("10.88.0.2:53"),
            );
            let (one, other) = (udp(a, b), udp(b, a));
            rig.tracker.run_frame(XDP, &other, 1).unwrap();
            if round > 0 {
                answer += counts(1, other.len());
            }
            rig.tracker.run_frame(EGRESS, &one, 1).unwrap();
            ask += counts(1, one.len());
        }
    }
    let samples = rig.scan();
    assert_eq!(samples.len(), usize::from(CLIENTS));
    let sums = |of: fn(&Sample) -> Counts| samples.iter().map(of).sum::<Counts>();
    assert_eq!(sums(|sample| sample.orig), ask);
    assert_eq!(sums(|sample| sample.reply), answer);
    let books = rig.books(INGRESS);
    assert_eq!(
        books.skipped_for(Skip::Filtered).packets,
        u64::from(CLIENTS)
    );
    assert_eq!(books.skipped_total(), books.skipped_for(Skip::Filtered));
    assert_eq!(rig.books(EGRESS).skipped_total(), Counts::default());
}

/// Fragments have their head's verdict, with it or without it; ICMP errors about what is filtered change nothing.
#[test]
#[ignore = "root"]
fn fragments_and_errors_of_what_is_filtered() {
    for (a, b) in ends() {
        let mut rig = rig("port 53");
        let other = SocketAddr::new(b.ip(), 54);
        for (number, (to, verdict)) in [(b, None), (other, Some(Skip::Filtered))]
            .into_iter()
            .enumerate()
        {
            let whole = frames::udp(a, to, &[7; 400]);
            let parts = frames::fragments(&whole, 100 + u32::try_from(number).unwrap(), 64);
            assert_eq!(
                rig.run(XDP, &parts[1]).unwrap_err(),
                Skip::FragmentWithoutHead
            );
            for part in &parts {
                assert_eq!(rig.run(XDP, part).err(), verdict);
            }
            let error = frames::icmp_unreachable(to.ip(), a.ip(), &whole);
            assert_eq!(rig.run(XDP, &error).unwrap_err(), Skip::NotUdp);
        }
        let samples = rig.scan();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].status.word(), "UNREACH");
    }
}

/// The connection that has ended is opened again by a wanted packet only.
#[test]
#[ignore = "root"]
fn after_the_end_only_a_wanted_packet_opens() {
    let (a, b) = ends()[0];
    let mut rig = rig("src host 10.88.0.1");
    rig.run(XDP, &udp(a, b)).unwrap();
    rig.run(XDP, &udp(b, a)).unwrap();
    let sample = rig.find(a, b);
    assert_eq!(sample.total().packets, 2);
    assert_eq!(rig.tracker.expire(&[request(&sample)]).unwrap().len(), 1);
    assert_eq!(rig.run(XDP, &udp(b, a)), Err(Skip::Filtered));
    let (_, packet) = rig.run(XDP, &udp(a, b)).unwrap();
    assert_eq!(packet.kind, EventKind::New);
    rig.run(XDP, &udp(b, a)).unwrap();
}

/// What found no room was not opened, so its answer is filtered.
#[test]
#[ignore = "root"]
fn a_full_table_and_a_direction() {
    let mut rig = Rig::with(&Settings {
        filter: filter("dst port 53").compile().unwrap(),
        ..settings(1)
    });
    let client = |port| SocketAddr::new("10.88.0.1".parse().unwrap(), port);
    let server = address("10.88.0.2:53");
    // Many more than it has places.
    let (placed, refused): (Vec<u16>, Vec<u16>) =
        (1000..1200).partition(|port| match rig.run(XDP, &udp(client(*port), server)) {
            Ok(_) => true,
            Err(skip) => {
                assert_eq!(skip, Skip::TableFull);
                false
            }
        });
    assert!(!placed.is_empty() && !refused.is_empty());
    for port in refused {
        assert_eq!(
            rig.run(XDP, &udp(server, client(port))),
            Err(Skip::Filtered)
        );
        assert_eq!(
            rig.run(XDP, &udp(client(port), server)),
            Err(Skip::TableFull)
        );
    }
    for port in placed {
        rig.run(XDP, &udp(server, client(port))).unwrap();
    }
}

/// The largest filter that is taken loads, and its last test decides.
#[test]
#[ignore = "root"]
fn the_largest_filter_runs_to_its_end() {
    let list: Vec<String> = (1..=MAX_TESTS / 2)
        .map(|port| (2 * port).to_string())
        .collect();
    let mut rig = rig(&format!("port {}", list.join(" or ")));
    for entry in [XDP, INGRESS, EGRESS] {
        for (a, b) in ends() {
            for port in [2, 128, 256] {
                rig.run(entry, &udp(a, SocketAddr::new(b.ip(), port)))
                    .unwrap();
            }
            for port in [1, 3, 257, 258] {
                let frame = udp(a, SocketAddr::new(b.ip(), port));
                for _ in 0..2 {
                    assert_eq!(rig.run(entry, &frame), Err(Skip::Filtered));
                }
            }
        }
    }
    let alternating: Vec<String> = (0..42)
        .map(|n| {
            format!(
                "src port {n} and dst net 10.88.0.{}/32 or not host fd88::{n}",
                n % 4
            )
        })
        .collect();
    let text = alternating.join(" and ");
    drop(Rig::with(&Settings {
        filter: filter(&text).compile().unwrap(),
        ..settings(16)
    }));
}

/// Both directions on two CPUs at once, from the first packet on: nobody but the client ever opens, each packet is in a
/// connection or in the books, and what was asked is all there.
#[test]
#[ignore = "root"]
fn two_cpus_and_a_direction() {
    const CLIENTS: u16 = 4000;
    let rig = Rig::with(&Settings {
        filter: filter("dst port 53").compile().unwrap(),
        new_events: false,
        data_events: false,
        ..settings(1 << 13)
    });
    let client = |number| SocketAddr::new("fd88::1".parse().unwrap(), 1000 + number);
    let server = address("[fd88::2]:53");
    let frames = |asks: bool| -> Vec<Vec<u8>> {
        (0..CLIENTS)
            .flat_map(|number| [number, number.saturating_sub(1), number])
            .map(|number| {
                if asks {
                    udp(client(number), server)
                } else {
                    udp(server, client(number))
                }
            })
            .collect()
    };
    let bytes = udp(client(0), server).len();
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for (cpu, asks) in [(0, true), (1, false)] {
            let runner = rig.tracker.runner(INGRESS).unwrap();
            let (frames, start) = (frames(asks), &start);
            scope.spawn(move || {
                let _pinned = Pinned::to(cpu);
                start.wait();
                for frame in frames {
                    runner.run_frame(&frame, 1).unwrap();
                }
            });
        }
    });
    let samples = rig.scan();
    assert_eq!(samples.len(), usize::from(CLIENTS));
    assert!(samples.iter().all(|sample| sample.responder == server));
    let asked: Counts = samples.iter().map(|sample| sample.orig).sum();
    let answered: Counts = samples.iter().map(|sample| sample.reply).sum();
    let all = usize::from(3 * CLIENTS);
    assert_eq!(asked, counts(all as u64, all * bytes));
    let books = rig.books(INGRESS);
    assert!(books.balance());
    assert_eq!(books.tracked, asked + answered);
    assert_eq!(books.seen, counts(2 * all as u64, 2 * all * bytes));
    assert_eq!(books.skipped_total(), books.skipped_for(Skip::Filtered));
    println!("{} of {all} answers joined", answered.packets);
}
