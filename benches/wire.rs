//! End to end: frames cross a veth link as fast as one CPU sends them, with nothing on the receiver's end, with udptrack, and
//! with other tools. The receiver works in the sender's softirq, so what a tool costs a packet, the sender has less of.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use libbpf_rs::Link;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::common::finished::Finished;
use crate::common::generator::{Generator, Pattern};
use crate::common::netns::Pair;
use crate::common::process::Process;
use crate::common::random::Rng;
use crate::common::run::Udptrack;
use crate::common::{Ip, SOON, TempDir, installed, wait_for};
use crate::dropping::Dropping;
use crate::gates::{Bar, Gate};
use crate::measure::{Series, Spread, cpus, pin};
use crate::path::Extent;
use crate::programs::{Programs, Sizes};
use crate::report::progress;

/// Where packets go to.
const PORT: u16 = 5001;

/// What is on the receiver's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Nothing,
    /// An XDP program that does nothing.
    Empty,
    Udptrack,
    /// Without XDP.
    UdptrackTc,
    /// The algorithm that the project began with, at XDP.
    Seed,
    Tcpdump,
    Conntrack,
    Softflowd,
    /// These three drop what they have counted.
    EmptyDropping,
    UdptrackDropping,
    SeedDropping,
}

const TOOLS: [Tool; 11] = [
    Tool::Nothing,
    Tool::Empty,
    Tool::Udptrack,
    Tool::UdptrackTc,
    Tool::Seed,
    Tool::Tcpdump,
    Tool::Conntrack,
    Tool::Softflowd,
    Tool::EmptyDropping,
    Tool::UdptrackDropping,
    Tool::SeedDropping,
];

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "an empty XDP program",
            Self::Udptrack => "**udptrack** (XDP)",
            Self::UdptrackTc => "**udptrack** (--hook tc)",
            Self::Seed => "the first algorithm, at XDP",
            Self::Tcpdump => "tcpdump -w /dev/null udp",
            Self::Conntrack => "netfilter conntrack",
            Self::Softflowd => "softflowd",
            Self::EmptyDropping => "dropping: an empty XDP program",
            Self::UdptrackDropping => "dropping: **udptrack**'s XDP program",
            Self::SeedDropping => "dropping: the first algorithm, at XDP",
        }
    }

    /// What its rate is compared with.
    pub fn base(self) -> Self {
        match self {
            Self::EmptyDropping | Self::UdptrackDropping | Self::SeedDropping => {
                Self::EmptyDropping
            }
            _ => Self::Nothing,
        }
    }

    /// Of the reference programs, the one that it is.
    fn program(self) -> Option<&'static str> {
        Some(match self {
            Self::Empty => "empty_xdp",
            Self::Seed => "seed_xdp",
            Self::EmptyDropping => "empty_drop",
            Self::SeedDropping => "seed_drop",
            _ => return None,
        })
    }

    /// Whether it is on this machine.
    fn is_here(self) -> bool {
        let program = match self {
            Self::Tcpdump => "tcpdump",
            Self::Conntrack => "nft",
            Self::Softflowd => "softflowd",
            _ => return true,
        };
        installed(program).is_some()
    }
}

/// What came of one tool.
pub struct Row {
    pub tool: Tool,
    /// Packets a second, one number for each round.
    pub rate: Series,
    /// Of a core, the part that the tool's own process took meanwhile; in per cent.
    pub processor: Series,
}

/// What came of all.
pub struct Wire {
    pub rows: Vec<Row>,
    /// By how many packets udptrack's books differ from what was sent.
    pub difference: u64,
    pub left_out: Vec<Tool>,
}

impl Wire {
    /// Of the rate with that tool, in each round.
    pub fn ratio(&self, tool: Tool, to: Tool) -> Option<Spread> {
        let of = |tool| self.rows.iter().find(|row| row.tool == tool);
        let pairs = of(tool)?.rate.0.iter().zip(&of(to)?.rate.0);
        Some((&Series(pairs.map(|(above, below)| above / below).collect())).into())
    }

    pub fn gates(&self) -> Vec<Gate> {
        let mut gates = Vec::new();
        let from_empty = "packets a second, to an empty program";
        let from_seed = "packets a second, to the first algorithm";
        for (who, to, where_, what, bar) in [
            (Tool::Udptrack, Tool::Empty, "on the wire", from_empty, 0.9),
            (
                Tool::UdptrackDropping,
                Tool::EmptyDropping,
                "on the wire, dropping",
                from_empty,
                0.9,
            ),
            (
                Tool::UdptrackDropping,
                Tool::SeedDropping,
                "on the wire, dropping",
                from_seed,
                1.8,
            ),
        ] {
            if let Some(spread) = self.ratio(who, to) {
                let what = format!("{where_}: {what}");
                gates.push(Gate::new("G15", what, Bar::AtLeast(bar), spread));
            }
        }
        gates
    }
}

/// Measures all of them.
pub fn run(extent: Extent, random: &mut Rng) -> Result<Wire> {
    let (rounds, frames) = match extent {
        Extent::Full => (5, 1_500_000),
        Extent::Smoke => (1, 20_000),
    };
    let (here, left_out): (Vec<_>, Vec<_>) = TOOLS.into_iter().partition(|tool| tool.is_here());
    let mut wire = Wire {
        rows: here
            .iter()
            .map(|&tool| Row {
                tool,
                rate: Series::default(),
                processor: Series::default(),
            })
            .collect(),
        difference: 0,
        left_out,
    };
    let mut order: Vec<usize> = (0..wire.rows.len()).collect();
    for round in 1..=rounds {
        progress(&format!("on the wire, round {round} of {rounds}"));
        crate::measure::shuffle(&mut order, random);
        for &index in &order {
            let row = &mut wire.rows[index];
            let once =
                once(row.tool, frames).with_context(|| format!("with {}", row.tool.name()))?;
            row.rate.0.push(once.rate);
            row.processor.0.push(once.processor);
            wire.difference += once.difference;
        }
    }
    Ok(wire)
}

struct Once {
    rate: f64,
    processor: f64,
    difference: u64,
}

/// Something that is on the receiver's end while packets come.
enum On {
    Nothing,
    Program(#[allow(dead_code)] Link), // holds it there
    Udptrack(Udptrack),
    Dropping(Box<Dropping>),
    Process(Process),
    Softflowd(Process, #[allow(dead_code)] TempDir), // of its control socket
}

fn once(tool: Tool, frames: u64) -> Result<Once> {
    let pair = Pair::new();
    let receiver = &pair.b;
    let iface = receiver.iface();
    // What takes frames from XDP senders while no XDP program is there; the same for all.
    Process::run(receiver.command("ethtool").args(["-K", iface, "gro", "on"]));
    let _socket = prepare(&pair, tool)?;
    let on = start(&pair, tool)?;
    let to = receiver.addr(Ip::V4, PORT);
    let mut generator = Generator::new(&pair.a, pair.a.iface(), to, Pattern::ONE, 18)
        .addressed()
        // In one system call: each costs some 40 ms.
        .paced(u32::try_from(frames)?, Duration::ZERO);
    send(&mut generator, frames / 10)?;
    let before = processor_of(&on)?;
    let seconds = send(&mut generator, frames)?.as_secs_f64();
    let used = processor_of(&on)?.saturating_sub(before).as_secs_f64();
    let difference = match on {
        On::Udptrack(udptrack) => {
            difference(udptrack.stop(), generator.sent(), generator.frame_bytes())
        }
        On::Dropping(dropping) => {
            dropping.difference(generator.sent(), generator.sent() * generator.frame_bytes())?
        }
        On::Nothing | On::Program(_) | On::Process(_) | On::Softflowd(..) => 0,
    };
    if tool == Tool::Conntrack {
        ensure!(
            Process::run(receiver.command("conntrack").args(["-L", "-p", "udp"]))
                .stdout
                .contains(&format!("dport={PORT}")),
            "conntrack has not seen the connection"
        );
    }
    Ok(Once {
        rate: frames as f64 / seconds,
        processor: 100.0 * used / seconds,
        difference,
    })
}

/// Sends from one CPU: on a thread of its own, as what a pinned thread starts is pinned, too.
fn send(generator: &mut Generator, frames: u64) -> Result<Duration> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            pin(cpus() - 1)?;
            let began = Instant::now();
            generator.run(frames);
            Ok(began.elapsed())
        });
        sender
            .join()
            .map_err(|_| anyhow!("the sender has panicked"))?
    })
}

/// Packets go to a socket that has no room and that nobody reads, whatever is measured. conntrack is on where a rule asks for it.
fn prepare(pair: &Pair, tool: Tool) -> Result<UdpSocket> {
    if tool == Tool::Conntrack {
        let rules = "table inet bench {
            chain track {
                type filter hook prerouting priority 0
                ct state new accept
            }
        }";
        Process::run(pair.b.command("nft").arg(rules));
    }
    let socket = pair.b.udp(pair.b.addr(Ip::V4, PORT));
    setsockopt(&socket, RcvBuf, &0)?;
    Ok(socket)
}

fn start(pair: &Pair, tool: Tool) -> Result<On> {
    let receiver = &pair.b;
    let iface = receiver.iface();
    Ok(match tool {
        Tool::Nothing | Tool::Conntrack => On::Nothing,
        Tool::Empty | Tool::Seed | Tool::EmptyDropping | Tool::SeedDropping => {
            let programs = Programs::load(Sizes {
                connections: 8192,
                addresses: 1024,
            })?;
            let name = tool.program().context("it is a reference program")?;
            let link = receiver.enter(|| -> Result<Link> {
                programs.attach(name, i32::try_from(if_nametoindex(iface)?)?)
            })?;
            On::Program(link)
        }
        Tool::Udptrack => On::Udptrack(Udptrack::start(receiver, &["-i", iface, "-j"])),
        Tool::UdptrackTc => On::Udptrack(Udptrack::start(
            receiver,
            &["-i", iface, "-j", "--hook", "tc"],
        )),
        Tool::UdptrackDropping => On::Dropping(Box::new(Dropping::start(receiver)?)),
        Tool::Tcpdump => {
            let mut command = receiver.command("tcpdump");
            let tcpdump = Process::start(command.args(["-i", iface, "-w", "/dev/null", "udp"]));
            wait_for("tcpdump", SOON, || {
                tcpdump.stderr().contains("listening").then_some(())
            });
            On::Process(tcpdump)
        }
        Tool::Softflowd => {
            let program = installed("softflowd").context("softflowd is not installed")?;
            let mut command = receiver.command(program);
            // In the foreground, to nobody.
            let directory = TempDir::new("softflowd");
            let socket = directory.path().join("control");
            command.args(["-d", "-i", iface, "-n", "127.0.0.1:9", "-c"]);
            let softflowd = Process::start(command.arg(&socket).arg("udp"));
            wait_for("softflowd", SOON, || {
                std::fs::exists(&socket).ok()?.then_some(())
            });
            On::Softflowd(softflowd, directory)
        }
    })
}

/// Packets that were sent and are not tracked, or the other way round.
fn difference(finished: Finished, sent: u64, frame_bytes: u64) -> u64 {
    let stats = finished.success().assert_books();
    let tracked = stats.tracked;
    tracked.packets.abs_diff(sent) + tracked.bytes.abs_diff(sent * frame_bytes)
}

/// How long the tool's process has run.
fn processor_of(on: &On) -> Result<Duration> {
    let pid = match on {
        On::Udptrack(udptrack) => udptrack.pid(),
        On::Process(process) | On::Softflowd(process, _) => process.pid(),
        On::Nothing | On::Program(_) | On::Dropping(_) => return Ok(Duration::ZERO),
    };
    crate::report::processor_time(pid)
}
