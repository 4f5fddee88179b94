//! End to end: frames cross a veth link as fast as one CPU sends them, with nothing on the receiver's end, with udptrack, and
//! with other tools. The receiver works in the sender's softirq, so what a tool costs a packet, the sender has less of. Rates
//! are by the kernel's clock while that CPU is at it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::Link;
use nix::net::if_::if_nametoindex;

use crate::common::generator::{Generator, Pattern};
use crate::common::netns::Pair;
use crate::common::process::Process;
use crate::common::random::Rng;
use crate::common::{Ip, SOON, TempDir, installed, wait_for};
use crate::dropping::Dropping;
use crate::gates::{Bar, Gate, exact};
use crate::measure::{Series, Spread, send};
use crate::path::Extent;
use crate::programs::{Programs, Sizes};
use crate::report::{processor_time, progress};
use crate::running::Running;

/// Where packets go to.
const PORT: u16 = 5001;
/// Places in tables where all connections find room, and where few do.
const ROOM: u32 = 1 << 21;
const SMALL: u32 = 8192;
/// So many fill a small table, and netfilter's, whose limit a network namespace cannot change.
const FILLING: u64 = 300_000;
/// The processor of a tool's own process: not the one that sends.
const BESIDE: &str = "0";

/// What comes over the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Packets of one connection.
    Established,
    /// The same; programs drop what they have counted.
    Dropped,
    /// Each packet is a new connection.
    New,
    /// The same, while the table is full.
    NewInFull,
}

/// What is on the receiver's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Nothing,
    /// An XDP program that does nothing.
    Empty,
    Udptrack,
    /// Without XDP.
    UdptrackTc,
    /// One lookup and count in an LRU hash, at XDP.
    Lru,
    /// The algorithm that the project began with, at XDP.
    Seed,
    Conntrack,
    Tcpdump,
    Softflowd,
}

type Scene = (Traffic, Tool);

const SCENES: [(Traffic, &[Tool]); 4] = {
    use Tool::{Conntrack, Empty, Lru, Nothing, Seed, Softflowd, Tcpdump, Udptrack, UdptrackTc};
    [
        (
            Traffic::New,
            &[
                Nothing, Empty, Udptrack, Lru, Seed, Conntrack, Tcpdump, Softflowd,
            ],
        ),
        (
            Traffic::NewInFull,
            &[Udptrack, Lru, Seed, Conntrack, Softflowd],
        ),
        (
            Traffic::Established,
            &[
                Nothing, Empty, Udptrack, UdptrackTc, Seed, Conntrack, Tcpdump, Softflowd,
            ],
        ),
        (Traffic::Dropped, &[Empty, Udptrack, Seed]),
    ]
};

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "an empty XDP program",
            Self::Udptrack => "**udptrack**",
            Self::UdptrackTc => "**udptrack** --hook tc",
            Self::Lru => "one LRU hash, at XDP",
            Self::Seed => "the first algorithm, at XDP",
            Self::Conntrack => "netfilter conntrack",
            Self::Tcpdump => "tcpdump -w /dev/null udp",
            Self::Softflowd => "softflowd",
        }
    }

    /// Whether it is on this machine.
    fn is_here(self) -> bool {
        let program = match self {
            Self::Tcpdump => "tcpdump",
            Self::Conntrack => "conntrack",
            Self::Softflowd => "softflowd",
            _ => return true,
        };
        installed(program).is_some()
    }
}

impl Traffic {
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "one connection",
            Self::Dropped => "one connection, and programs drop what they have counted",
            Self::New => "each packet a new connection, tables with room",
            Self::NewInFull => "each packet a new connection, tables full",
        }
    }

    /// The traffic whose empty program it is compared with.
    fn base(self) -> Self {
        match self {
            Self::NewInFull => Self::New,
            traffic => traffic,
        }
    }

    fn pattern(self) -> Pattern {
        match self {
            Self::Established | Self::Dropped => Pattern::ONE,
            Self::New | Self::NewInFull => Pattern::sources(ROOM.into()),
        }
    }

    /// Room in the table.
    fn room(self) -> u32 {
        match self {
            Self::New => ROOM,
            _ => SMALL,
        }
    }
}

/// What came of one tool.
pub struct Row {
    pub traffic: Traffic,
    pub tool: Tool,
    /// Packets a second, one number for each round.
    pub rate: Series,
    /// Of a core, the part that the tool's own process took meanwhile; in per cent.
    pub processor: Series,
}

/// What came of all.
pub struct Wire {
    pub rows: Vec<Row>,
    /// By how many packets and bytes udptrack's books differ from what was sent.
    pub difference: u64,
    pub left_out: Vec<Tool>,
}

impl Wire {
    pub fn row(&self, (traffic, tool): Scene) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| (row.traffic, row.tool) == (traffic, tool))
    }

    /// Of the rate with that tool, in each round.
    pub fn ratio(&self, of: Scene, to: Scene) -> Option<Spread> {
        let pairs = self.row(of)?.rate.0.iter().zip(&self.row(to)?.rate.0);
        Some((&Series(pairs.map(|(above, below)| above / below).collect())).into())
    }

    /// The same to an empty program.
    pub fn of_empty(&self, (traffic, tool): Scene) -> Option<Spread> {
        self.ratio((traffic, tool), (traffic.base(), Tool::Empty))
    }

    pub fn gates(&self) -> Vec<Gate> {
        use Traffic::{Dropped, New};
        let mut gates = Vec::new();
        for (traffic, to, what, least) in [
            (
                New,
                Tool::Empty,
                "wire, each packet new, table with room: packets/s, to an empty XDP program",
                0.85,
            ),
            (
                New,
                Tool::Conntrack,
                "wire, each packet new, table with room: packets/s, to netfilter conntrack",
                1.1,
            ),
            (
                Dropped,
                Tool::Empty,
                "wire, one connection, dropping: packets/s, to an empty program",
                0.90,
            ),
        ] {
            if let Some(ratio) = self.ratio((traffic, Tool::Udptrack), (traffic, to)) {
                gates.push(Gate::new(what, Bar::AtLeast(least), ratio));
            }
        }
        let what = "wire, all of it: packets and bytes by which the books are off";
        let difference = exact(self.difference as f64);
        gates.push(Gate::new(what, Bar::Exactly(0.0), difference));
        gates
    }
}

/// How much is sent.
#[derive(Clone, Copy)]
struct Effort {
    rounds: u32,
    /// So often as many frames as find room in all tables, netfilter's too.
    pieces: u32,
    frames: u64,
    filling: u64,
}

/// Measures all of them.
pub fn run(extent: Extent, random: &mut Rng) -> Result<Wire> {
    let effort = match extent {
        Extent::Full => Effort {
            rounds: 5,
            pieces: 5,
            frames: 200_000,
            filling: FILLING,
        },
        Extent::Smoke => Effort {
            rounds: 1,
            pieces: 1,
            frames: 20_000,
            filling: 10_000,
        },
    };
    let all = SCENES
        .iter()
        .flat_map(|&(traffic, tools)| tools.iter().map(move |&tool| (traffic, tool)));
    // Where nothing is measured, each tool is tried once, and each kind of program.
    let all = all.filter(|(traffic, _)| {
        extent == Extent::Full || matches!(traffic, Traffic::New | Traffic::Dropped)
    });
    let (here, missing): (Vec<Scene>, Vec<Scene>) = all.partition(|(_, tool)| tool.is_here());
    let mut left_out: Vec<Tool> = missing.into_iter().map(|(_, tool)| tool).collect();
    left_out.dedup();
    let row = |&(traffic, tool): &Scene| Row {
        traffic,
        tool,
        rate: Series::default(),
        processor: Series::default(),
    };
    let mut wire = Wire {
        rows: here.iter().map(row).collect(),
        difference: 0,
        left_out,
    };
    let mut order: Vec<usize> = (0..wire.rows.len()).collect();
    for round in 1..=effort.rounds {
        progress(&format!("on the wire, round {round} of {}", effort.rounds));
        crate::measure::shuffle(&mut order, random);
        for &index in &order {
            let row = &mut wire.rows[index];
            let once = once((row.traffic, row.tool), effort)
                .with_context(|| format!("{}, with {}", row.traffic.name(), row.tool.name()))?;
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
    Program(#[expect(dead_code, reason = "holds it there")] Link),
    Udptrack(Running),
    Dropping(Box<Dropping>),
    Process(Process),
    Softflowd(
        Process,
        #[expect(dead_code, reason = "has its control socket")] TempDir,
    ),
}

fn once((traffic, tool): Scene, effort: Effort) -> Result<Once> {
    let pair = Pair::new();
    let receiver = &pair.b;
    let iface = receiver.iface();
    // What takes frames from XDP senders while no XDP program is there; the same for all.
    Process::run(receiver.command("ethtool").args(["-K", iface, "gro", "on"]));
    receive(&pair, tool);
    let on = start(&pair, (traffic, tool))?;
    let to = receiver.addr(Ip::V4, PORT);
    let mut generator =
        Generator::new(&pair.a, pair.a.iface(), to, traffic.pattern(), 18).addressed();
    let filling = match traffic {
        Traffic::NewInFull => effort.filling,
        _ => effort.frames / 4,
    };
    send(&mut generator, filling)?;
    let (before, began) = (processor_of(&on)?, Instant::now());
    let mut seconds = 0.0;
    for _ in 0..effort.pieces {
        if (traffic, tool) == (Traffic::New, Tool::Conntrack) {
            Process::run(receiver.command("conntrack").arg("-F"));
        }
        seconds += effort.frames as f64 / send(&mut generator, effort.frames)?;
    }
    let used = processor_of(&on)?.saturating_sub(before).as_secs_f64();
    let processor = 100.0 * used / began.elapsed().as_secs_f64();
    if tool == Tool::Conntrack {
        let counted = Process::run(receiver.command("conntrack").arg("-C")).stdout;
        let wanted = if traffic == Traffic::New {
            effort.frames
        } else {
            1
        };
        ensure!(
            counted.trim().parse::<u64>()? >= wanted,
            "conntrack has {counted} entries"
        );
    }
    Ok(Once {
        rate: effort.frames as f64 * f64::from(effort.pieces) / seconds,
        processor,
        difference: difference(on, &generator)?,
    })
}

/// What arrives is dropped, whatever is measured, by a rule that comes after all that connection tracking does: a packet that is
/// dropped before leaves no entry there. That is on where a rule asks for it.
fn receive(pair: &Pair, tool: Tool) {
    let mut rules = String::from(
        "table inet receiver {
            chain last {
                type filter hook input priority 2147483647
                meta l4proto udp drop
            }
        }\n",
    );
    if tool == Tool::Conntrack {
        rules += "table inet bench {
            chain track {
                type filter hook prerouting priority 0
                ct state new accept
            }
        }\n";
    }
    Process::run(pair.b.command("nft").arg(rules));
}

fn start(pair: &Pair, (traffic, tool): Scene) -> Result<On> {
    let receiver = &pair.b;
    let iface = receiver.iface();
    let room = traffic.room().to_string();
    let beside = |program: &str| {
        let mut command = receiver.command("taskset");
        command.args(["-c", BESIDE, program]);
        command
    };
    let udptrack = |arguments: &[&str]| {
        let arguments = [&["-j", "--no-drops", "--max-connections", &room], arguments].concat();
        On::Udptrack(Running::start(receiver, Some(BESIDE), &arguments, |_| {}))
    };
    Ok(match (tool, traffic) {
        (Tool::Nothing | Tool::Conntrack, _) => On::Nothing,
        (Tool::Udptrack, Traffic::Dropped) => On::Dropping(Box::new(Dropping::start(receiver)?)),
        (Tool::Udptrack, _) => udptrack(&["--hook", "xdp"]),
        (Tool::UdptrackTc, _) => udptrack(&["--hook", "tc"]),
        (Tool::Empty, Traffic::Dropped) => program(pair, traffic, "empty_drop")?,
        (Tool::Seed, Traffic::Dropped) => program(pair, traffic, "seed_drop")?,
        (Tool::Empty, _) => program(pair, traffic, "empty_xdp")?,
        (Tool::Lru, _) => program(pair, traffic, "lru_xdp")?,
        (Tool::Seed, _) => program(pair, traffic, "seed_xdp")?,
        (Tool::Tcpdump, _) => {
            let mut command = beside("tcpdump");
            let tcpdump = Process::start(command.args(["-i", iface, "-w", "/dev/null", "udp"]));
            wait_for("tcpdump", SOON, || {
                tcpdump.stderr().contains("listening").then_some(())
            });
            On::Process(tcpdump)
        }
        (Tool::Softflowd, _) => {
            let program = installed("softflowd").context("softflowd is not installed")?;
            let directory = TempDir::new("softflowd");
            start_softflowd(beside(&program.to_string_lossy()), iface, &room, directory)
        }
    })
}

/// In the foreground, with records to nobody.
fn start_softflowd(mut command: Command, iface: &str, room: &str, directory: TempDir) -> On {
    let socket = directory.path().join("control");
    command.args(["-d", "-i", iface, "-m", room, "-n", "127.0.0.1:9", "-c"]);
    let softflowd = Process::start(command.arg(&socket).arg("udp"));
    wait_for("softflowd", SOON, || {
        std::fs::exists(&socket).ok()?.then_some(())
    });
    On::Softflowd(softflowd, directory)
}

/// One of the reference programs.
fn program(pair: &Pair, traffic: Traffic, name: &str) -> Result<On> {
    let programs = Programs::load(Sizes {
        connections: traffic.room(),
        addresses: SMALL,
    })?;
    let iface = pair.b.iface();
    let link = pair.b.enter(|| -> Result<Link> {
        programs.attach(name, i32::try_from(if_nametoindex(iface)?)?)
    })?;
    Ok(On::Program(link))
}

/// Packets and bytes that were sent and are neither tracked nor refused for want of room, or the other way round.
fn difference(on: On, generator: &Generator) -> Result<u64> {
    let (sent, bytes) = (generator.sent(), generator.frame_bytes());
    Ok(match on {
        On::Udptrack(udptrack) => {
            let books = udptrack.books();
            sent.abs_diff(books.tracked + books.table_full)
                + books.tracked_bytes.abs_diff(books.tracked * bytes)
        }
        On::Dropping(dropping) => dropping.difference(sent, sent * bytes)?,
        On::Nothing | On::Program(_) | On::Process(_) | On::Softflowd(..) => 0,
    })
}

/// How long the tool's process has run.
fn processor_of(on: &On) -> Result<Duration> {
    let pid = match on {
        On::Udptrack(udptrack) => udptrack.pid(),
        On::Process(process) | On::Softflowd(process, _) => process.pid(),
        On::Nothing | On::Program(_) | On::Dropping(_) => return Ok(Duration::ZERO),
    };
    processor_time(pid)
}
