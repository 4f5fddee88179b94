//! The packet path: what a packet costs in each case, in nanoseconds of the kernel's own clock (`BPF_PROG_TEST_RUN`).

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use udptrack::bpf::{Entry, Payloads, Settings};
use udptrack::filter::{Filter, Program, Vocabulary};
use udptrack::model::Direction;
use udptrack::model::services::Services;

use crate::common::frames;
use crate::common::random::Rng;
use crate::measure::{Effort, Events, Measured, Subject, Who, cpus, measure};
use crate::programs::{Hook, Programs, SEQUENCE, Sizes, Variation};
use crate::report::progress;

/// What the frame looks like. The addresses lie where programs.bpf.c changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Ipv4,
    Vlan,
    Ipv6,
    /// A DNS query, over IPv4.
    Dns,
    /// A short header of QUIC, over IPv4.
    Quic,
}

/// Of no protocol that is known by it.
const PORT: u16 = 5004;
/// For `www.example.org A`; `programs.bpf.c` varies what stands before it.
const QUERY: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01";

impl Frame {
    pub fn bytes(self) -> Vec<u8> {
        let (source, destination) = match self {
            Self::Ipv4 | Self::Vlan | Self::Dns | Self::Quic => ("10.0.0.1", "192.0.2.1"),
            Self::Ipv6 => ("2001:db8::1", "2001:db8::2"),
        };
        let (port, payload) = match self {
            Self::Dns => (53, QUERY),
            Self::Quic => (PORT, &[0x41; 18][..]),
            _ => (PORT, &[0; 18][..]),
        };
        let end = |ip: &str, port| SocketAddr::new(ip.parse().expect("it is an address"), port);
        let frame = frames::udp(end(source, 1024), end(destination, port), payload);
        match self {
            Self::Vlan => frames::tagged(&frame, &[(0x8100, 5)]),
            Self::Ipv4 | Self::Ipv6 | Self::Dns | Self::Quic => frame,
        }
    }

    /// Offsets of the source address's last four bytes and of the source port.
    fn places(self) -> (u32, u32) {
        match self {
            Self::Ipv4 | Self::Dns | Self::Quic => (26, 34),
            Self::Vlan => (30, 38),
            Self::Ipv6 => (34, 54),
        }
    }
}

/// In which order the connections' packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Each is as likely as any other.
    Uniform,
    /// The n-th connection sends 1/n as much as the first (Zipf).
    Skewed,
    /// Each packet is a new connection's.
    Fresh,
}

/// What is switched on beside plain counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    None,
    /// Two CPUs at once.
    TwoCpus,
    /// `-e data`, with somebody who reads.
    DataEvents,
    /// A filter that wants all of it.
    Filter,
    /// A filter that wants none of it.
    Refused,
    /// Without response times.
    NoResponses,
    /// Payloads of all that is new and of DNS, with somebody who reads.
    Payloads,
    /// Frames for a capture, as `-w` and `--record` take them, with somebody who reads.
    Frames,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    frame: Frame,
    entry: Entry,
    connections: u32,
    order: Order,
    /// `--max-connections`.
    room: u32,
    feature: Feature,
    /// Who is measured beside udptrack and the empty program.
    beside: &'static [Who],
}

/// What came of a case.
pub struct Outcome {
    pub name: &'static str,
    pub measured: Measured,
    /// By how many packets or bytes the books are off, over all that was measured: see [`Subject::difference`].
    pub difference: u64,
    /// Events that were read, and that were lost, where there were any; and how many came in a second.
    pub events: Option<Events>,
}

/// `--max-connections` by default, and where a table shall be small.
const DEFAULT_ROOM: u32 = 65_536;
const SMALL_ROOM: u32 = 8192;
/// Where new connections find room, of which they take three quarters.
const LARGE_ROOM: u32 = 1 << 20;
/// What `-w` keeps of a frame if nothing else is said, in bytes.
const SNAPLEN: u32 = 128;
const BOTH: &[Who] = &[Who::Lru, Who::Seed];
const LRU: &[Who] = &[Who::Lru];
const INGRESS: Entry = Entry::Tc(Direction::Ingress);
const EGRESS: Entry = Entry::Tc(Direction::Egress);

fn case(name: &'static str, connections: u32) -> Case {
    Case {
        name,
        frame: Frame::Ipv4,
        entry: Entry::Xdp,
        connections,
        order: Order::Uniform,
        room: connections.max(DEFAULT_ROOM),
        feature: Feature::None,
        beside: LRU,
    }
}

/// All of them. The gates and the beginning of the page name some: `gates.rs`, `report.rs`.
pub fn cases() -> Vec<Case> {
    let plain = |name, connections| Case {
        beside: BOTH,
        ..case(name, connections)
    };
    let of_ipv6 = |name, connections| Case {
        frame: Frame::Ipv6,
        beside: &[],
        ..case(name, connections)
    };
    let with = |name, feature| Case {
        feature,
        ..case(name, 1000)
    };
    vec![
        plain("1 connection", 1),
        plain("1,000 connections", 1000),
        plain("8,000", 8000),
        plain("64,000", 64_000),
        plain("1,000,000", 1_000_000),
        Case {
            order: Order::Skewed,
            ..plain("1,000,000 skewed", 1_000_000)
        },
        Case {
            order: Order::Fresh,
            room: LARGE_ROOM,
            ..plain("new connections", 1)
        },
        Case {
            order: Order::Fresh,
            room: SMALL_ROOM,
            ..plain("new connections, table full", 1)
        },
        Case {
            feature: Feature::TwoCpus,
            ..case("1 connection on two CPUs", 1)
        },
        Case {
            feature: Feature::TwoCpus,
            ..case("1,000 on two CPUs", 1000)
        },
        of_ipv6("IPv6, 1 connection", 1),
        of_ipv6("IPv6, 1,000", 1000),
        of_ipv6("IPv6, 1,000,000", 1_000_000),
        Case {
            frame: Frame::Vlan,
            beside: &[],
            ..case("VLAN, 1,000", 1000)
        },
        Case {
            entry: INGRESS,
            ..case("TC received, 1,000", 1000)
        },
        Case {
            entry: EGRESS,
            ..case("TC sent, 1,000", 1000)
        },
        with("1,000, no response times", Feature::NoResponses),
        with("1,000, an event each", Feature::DataEvents),
        with("1,000, a filter wants them", Feature::Filter),
        with("1,000, a filter refuses them", Feature::Refused),
        with("1,000, payloads read", Feature::Payloads),
        Case {
            order: Order::Fresh,
            room: LARGE_ROOM,
            ..with("new connections, payloads read", Feature::Payloads)
        },
        Case {
            frame: Frame::Dns,
            ..with("1,000 of DNS, payloads read", Feature::Payloads)
        },
        Case {
            frame: Frame::Quic,
            ..with("1,000 of QUIC, its spin bit looked at", Feature::Payloads)
        },
        with("1,000, frames copied for a capture", Feature::Frames),
    ]
}

/// How much is done: all of it, or as little as shows that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Full,
    Smoke,
}

impl Case {
    /// Whether it is done also where nothing is measured: the others show the same with fewer or more connections.
    pub fn is_small(&self) -> bool {
        self.connections == 1000 || self.room == SMALL_ROOM
    }

    /// Of the reference programs: twice the connections that there are, so that the LRU drops none of them, and no more, as
    /// what is small is near. Where connections are new, as much as udptrack has.
    fn sizes(&self) -> Sizes {
        Sizes {
            connections: match self.order {
                Order::Fresh => self.room,
                Order::Uniform | Order::Skewed => {
                    (2 * self.connections).next_power_of_two().max(SMALL_ROOM)
                }
            },
            addresses: addresses(self),
        }
    }
}

/// Measures one case.
pub fn run(case: &Case, extent: Extent, random: &mut Rng) -> Result<Outcome> {
    progress(case.name);
    let programs = Programs::load(case.sizes())?;
    let (address_at, port_at) = case.frame.places();
    programs.set_variation(Variation {
        address_at,
        port_at,
        fresh: case.order == Order::Fresh,
        one: case.connections == 1,
    })?;
    if case.connections > 1 {
        let length = match extent {
            Extent::Full => SEQUENCE,
            Extent::Smoke => 10_000,
        };
        programs.set_sequence(&sequence(case, length, random))?;
    }
    let hook = match case.entry {
        Entry::Xdp => Hook::Xdp,
        Entry::Tc(_) | Entry::TcIp(_) => Hook::Tc,
    };
    let mut subjects = vec![Subject::reference(&programs, Who::Empty, hook)?];
    for &who in case.beside {
        subjects.push(Subject::reference(&programs, who, hook)?);
    }
    subjects.push(Subject::udptrack(
        Who::Udptrack,
        case.entry,
        &settings(case, Feature::None)?,
    )?);
    if !matches!(case.feature, Feature::None | Feature::TwoCpus) {
        let changed = settings(case, case.feature)?;
        let changed = Subject::udptrack(Who::Changed, case.entry, &changed)?;
        subjects.push(changed.speaking_quic(case.frame == Frame::Quic));
    }
    let last = cpus() - 1;
    let on: Vec<usize> = match case.feature {
        Feature::TwoCpus => vec![0, last],
        _ => vec![last],
    };
    let frame = case.frame.bytes();
    let effort = effort(case, extent);
    let measured = measure(&programs, &mut subjects, &frame, &on, effort, random)?;
    let mut difference = 0;
    let mut events = None;
    for subject in &mut subjects {
        difference += subject
            .difference()
            .with_context(|| format!("cannot read the books after {}", case.name))?;
        events = events.or(subject.events()?);
    }
    Ok(Outcome {
        name: case.name,
        measured,
        difference,
        events,
    })
}

fn effort(case: &Case, extent: Extent) -> Effort {
    const ROUNDS: usize = 12;
    match extent {
        Extent::Smoke => Effort {
            rounds: 2,
            calls: 1,
            packets_per_call: 10_000,
            warm_up: 10_000,
        },
        // Every packet takes a place in the table.
        Extent::Full if case.order == Order::Fresh && case.room == LARGE_ROOM => Effort {
            rounds: ROUNDS,
            calls: 1,
            packets_per_call: case.room / 16,
            warm_up: 0,
        },
        Extent::Full => Effort {
            rounds: ROUNDS,
            calls: 4,
            packets_per_call: 200_000,
            warm_up: if case.connections > 8000 {
                SEQUENCE as u32
            } else {
                500_000
            },
        },
    }
}

/// Sixteen connections share one.
fn addresses(case: &Case) -> u32 {
    match case.order {
        Order::Fresh => case.room + 1,
        Order::Uniform | Order::Skewed => (case.connections / 16 + 2).max(1024),
    }
}

fn settings(case: &Case, feature: Feature) -> Result<Settings> {
    let expression = match feature {
        Feature::Filter => Some("dst port 5004 and net 10.0.0.0/8"),
        Feature::Refused => Some("not port 5004 and not host 10.1.2.3"),
        _ => None,
    };
    Ok(Settings {
        max_connections: case.room,
        max_ips: addresses(case),
        data_events: feature == Feature::DataEvents,
        response_times: feature != Feature::NoResponses,
        payloads: if feature == Feature::Payloads {
            Payloads::All
        } else {
            Payloads::Off
        },
        frames: (feature == Feature::Frames).then_some(SNAPLEN),
        filter: expression.map(compile).transpose()?.flatten(),
        ..Settings::default()
    })
}

fn compile(expression: &str) -> Result<Option<Program>> {
    let vocabulary = Vocabulary {
        services: &Services::default(),
        user_space: false,
    };
    Ok(Filter::parse(expression, vocabulary)?.compile()?)
}

fn sequence(case: &Case, length: usize, random: &mut Rng) -> Vec<u32> {
    let connections = case.connections as usize;
    if case.order == Order::Uniform {
        return (0..length)
            .map(|_| random.below(connections) as u32)
            .collect();
    }
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=connections)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    // So that the busy ones do not lie side by side: an odd factor and a modulus that it does not divide.
    let scattered = |rank: usize| (rank as u64 * 2_654_435_761 % connections as u64) as u32;
    (0..length)
        .map(|_| {
            let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            scattered(
                shares
                    .partition_point(|&share| share < at)
                    .min(connections - 1),
            )
        })
        .collect()
}
