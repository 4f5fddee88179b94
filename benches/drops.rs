//! What it costs that packets are dropped behind udptrack: frames cross a veth link as fast as one CPU sends them, and a rule of
//! netfilter drops them, with and without counting that. TCP segments are none of ours, but they come by as well.

use anyhow::{Context as _, Result, ensure};

use crate::common::Ip;
use crate::common::generator::{Generator, Pattern};
use crate::common::netns::Pair;
use crate::common::process::Process;
use crate::common::random::Rng;
use crate::gates::{Bar, Gate};
use crate::measure::{Series, Spread, send, shuffle};
use crate::path::Extent;
use crate::report::progress;
use crate::running::Running;

const PORT: u16 = 5001;
/// A TCP segment that is dropped may cost so many nanoseconds more: else nobody would leave it on.
const MOST_OF_TCP: f64 = 60.0;

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    Tcp,
    Udp,
}

/// Nanoseconds for each packet, all in, by round.
#[derive(Default)]
pub struct Row {
    pub without: Series,
    pub with: Series,
}

impl Row {
    /// What counting adds.
    pub fn more(&self) -> Spread {
        self.each(|with, without| with - without)
    }

    /// The same, in parts of what a packet takes without.
    pub fn ratio(&self) -> Spread {
        self.each(|with, without| with / without)
    }

    fn each(&self, compare: impl Fn(f64, f64) -> f64) -> Spread {
        let rounds = self.with.0.iter().zip(&self.without.0);
        (&Series(
            rounds
                .map(|(with, without)| compare(*with, *without))
                .collect(),
        ))
            .into()
    }
}

/// Both kinds of packets.
#[derive(Default)]
pub struct Drops {
    pub tcp: Row,
    pub udp: Row,
}

impl Drops {
    pub fn rows(&self) -> [(&'static str, &Row); 2] {
        [("a TCP segment", &self.tcp), ("a datagram", &self.udp)]
    }

    pub fn gates(&self) -> Vec<Gate> {
        let what = "a TCP segment that is dropped: nanoseconds above a run with --no-drops";
        vec![Gate::new(what, Bar::AtMost(MOST_OF_TCP), self.tcp.more())]
    }
}

/// Measures both.
pub fn run(extent: Extent, random: &mut Rng) -> Result<Drops> {
    let (rounds, frames) = match extent {
        Extent::Full => (7, 1 << 20),
        Extent::Smoke => (1, 20_000),
    };
    let mut drops = Drops::default();
    let scenes = [Packet::Tcp, Packet::Udp].map(|packet| [(packet, false), (packet, true)]);
    let scenes = scenes.concat();
    let mut order: Vec<usize> = (0..scenes.len()).collect();
    for round in 1..=rounds {
        progress(&format!("what is dropped, round {round} of {rounds}"));
        shuffle(&mut order, random);
        for &index in &order {
            let (packet, counts) = scenes[index];
            let nanoseconds = once(packet, counts, frames).context("what is dropped")?;
            let row = match packet {
                Packet::Tcp => &mut drops.tcp,
                Packet::Udp => &mut drops.udp,
            };
            let series = if counts {
                &mut row.with
            } else {
                &mut row.without
            };
            series.0.push(nanoseconds);
        }
    }
    Ok(drops)
}

fn once(packet: Packet, counts: bool, frames: u64) -> Result<f64> {
    let pair = Pair::new();
    let receiver = &pair.b;
    Process::run(
        receiver
            .command("ethtool")
            .args(["-K", receiver.iface(), "gro", "on"]),
    );
    let rule = "add table inet b; add chain inet b i { type filter hook input priority 0; }; \
                add rule inet b i meta l4proto { tcp, udp } counter drop";
    Process::run(receiver.command("nft").arg(rule));
    let flags: &[&str] = if counts {
        &["-j"]
    } else {
        &["-j", "--no-drops"]
    };
    let udptrack = Running::start(receiver, None, flags, |_| {});
    let to = receiver.addr(Ip::V4, PORT);
    let iface = pair.a.iface();
    let generator = match packet {
        Packet::Tcp => Generator::tcp(&pair.a, iface, to),
        Packet::Udp => Generator::new(&pair.a, iface, to, Pattern::ONE, 18),
    };
    let mut generator = generator.addressed();
    send(&mut generator, frames / 4)?;
    let rate = send(&mut generator, frames)?;
    let dropped = udptrack.books().dropped;
    let expected = match (packet, counts) {
        (Packet::Udp, true) => generator.sent(),
        _ => 0,
    };
    ensure!(
        dropped == expected,
        "{dropped} and not {expected} were dropped, it says"
    );
    Ok(1e9 / rate)
}
