//! What was measured, as Markdown: for the terminal, and for docs/performance.md.

use std::fmt::{self, Write as _};
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{Pid, SysconfVar, sysconf};
use udptrack::model::text::Grouped;

use crate::captures::Captures;
use crate::churn::Rated;
use crate::drops::Drops;
use crate::gates::Gate;
use crate::measure::{Spread, Who};
use crate::path::Outcome;
use crate::user::User;
use crate::wire::{Tool, Traffic, Wire};

/// Says what is being measured now.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// How long a process has run, in user space and for itself in the kernel.
pub fn processor_time(pid: Pid) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold blanks: the numbers come after it (proc(5); fields 14 and 15).
    let numbers = stat.rsplit_once(')').map_or("", |(_, numbers)| numbers);
    let ticks = numbers
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The machine, for comparisons.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let gigabytes = memory
        .split_whitespace()
        .next()
        .and_then(|kilobytes| kilobytes.parse::<f64>().ok())
        .map_or(0.0, |kilobytes| kilobytes / f64::from(1 << 20));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let clang = Command::new("clang").arg("--version").output();
    let clang = clang.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let clang = clang
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let cache = |level| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{level}/size");
        fs::read_to_string(path).map_or("?".to_owned(), |size| size.trim().to_owned())
    };
    format!(
        "{}, {} CPUs with caches of {}, {} and {}, {gigabytes:.0} GiB, Linux {}; {clang}",
        field("/proc/cpuinfo", "model name"),
        crate::measure::cpus(),
        cache(0),
        cache(2),
        cache(3),
        release.trim(),
    )
}

/// All that was measured.
pub struct Report {
    pub outcomes: Vec<Outcome>,
    pub wire: Option<Wire>,
    pub drops: Option<Drops>,
    pub captures: Option<Captures>,
    pub rated: Vec<Rated>,
    pub user: Option<User>,
}

impl Report {
    /// By how many packets, bytes or lines anything is off.
    pub fn difference(&self) -> u64 {
        let paths: u64 = self.outcomes.iter().map(|outcome| outcome.difference).sum();
        let wire = self.wire.as_ref().map_or(0, |wire| wire.difference);
        let captures = self.captures.as_ref().map_or(0, |it| it.difference);
        let written = self.user.iter().flat_map(|user| &user.written);
        paths + wire + captures + written.map(|written| written.difference).sum::<u64>()
    }

    pub fn write(&self, path: &str) -> Result<()> {
        fs::write(path, self.to_string()).with_context(|| format!("cannot write {path}"))
    }

    fn gates(&self) -> Vec<Gate> {
        let mut all = crate::gates::of_path(&self.outcomes);
        all.extend(self.wire.iter().flat_map(Wire::gates));
        all.extend(self.drops.iter().flat_map(Drops::gates));
        all.extend(self.captures.iter().flat_map(Captures::gates));
        all.extend(crate::churn::gates(&self.rated));
        all.extend(self.user.iter().flat_map(User::gates));
        all
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Performance\n")?;
        answers(f, self)?;
        writeln!(f, "{METHOD}\n{}\n", machine())?;
        if !self.outcomes.is_empty() {
            writeln!(f, "## A packet\n\n{PATH}\n{}", paths(&self.outcomes))?;
        }
        if let Some(it) = &self.wire {
            writeln!(f, "## On the wire\n\n{WIRE}\n{}", wire(it))?;
        }
        if let Some(it) = &self.drops {
            writeln!(f, "## A packet that is dropped\n\n{DROPS}\n{}", drops(it))?;
        }
        if let Some(it) = &self.captures {
            writeln!(f, "## A capture\n\n{CAPTURES}\n{}", captures(it))?;
        }
        if !self.rated.is_empty() {
            writeln!(f, "## At a rate\n\n{RATED}\n{}", rated(&self.rated))?;
        }
        if let Some(it) = &self.user {
            writeln!(f, "## User space\n\n{USER}\n{}", user(it))?;
        }
        writeln!(f, "## Goals\n\n{GATES}\n{}", gates(&self.gates()))?;
        Ok(())
    }
}

const PACKET: &str = "\
What does a packet cost, in nanoseconds? The table compares udptrack with the least work that any tracker must do (one
lookup and one count in an LRU hash of the kernel, with an entry for each connection), and with the algorithm that
this project began with.
";
const LINK: &str = "\
How many packets a second does a link still carry, if one processor both sends and receives them?
";
const PROCESS: &str = "\
How much of one core does the process of udptrack need, in per cent?
";
const METHOD: &str = "\
All numbers are from one run of `make bench` on the machine below. Measure on your own machine, too. Other work may
have run at the same time, so compare ratios, not nanoseconds: the parts of a ratio were measured in turn, in a new
order in each round. A number with brackets is the median of the rounds; nine of ten rounds are between the two
numbers in the brackets (10th and 90th percentile).
";
const GATES: &str = "\
The goals of udptrack, for a machine like this one. Costs are without those of a program that does nothing. A missed
goal is work to do; it does not make the run fail.
";
const PATH: &str = "\
Nanoseconds by the kernel's own clock (`BPF_PROG_TEST_RUN`), without the cost of a program that does nothing; that
cost is in the first column. All programs get the same packets: another program changes the source of a frame and then
jumps to the measured one. The LRU hash has room for twice the connections, so that it drops none; if all connections
are new, it has as much room as udptrack. The LRU hash and the first algorithm do not read VLAN tags, IPv4 options,
fragments or IPv6. udptrack does, and it also measures response times and finds the interface of each packet.
\"Skewed\": the n-th connection sends 1/n as much as the first.
";
const WIRE: &str = "\
Frames of 60 bytes cross a veth link as fast as one CPU sends them. The same CPU also does the work of the receiver,
so the cost of a tool for each packet lowers the rate (by the kernel's clock, while that CPU does nothing else). After
all that is measured, a rule of nftables drops the packets. Tables with room have 2,097,152 places, full tables 8,192.
The table of netfilter has 262,144, and a network namespace cannot change that; for the rows with room, it is emptied
before it is full. A tool with a process of its own has the other CPU for it. tcpdump and softflowd miss packets that
they have no time for; all others count every packet.
";
const DROPS: &str = "\
Frames of 60 bytes cross a veth link as fast as one CPU sends them. udptrack is at TC, and a rule of nftables drops
the frames. The table has the added cost of counting these drops, in nanoseconds, round by round.
";
const CAPTURES: &str = "\
Frames of 60 bytes, of 1,000 connections, come from a file that the kernel has in memory. They are only read, or read
and counted, in one second of one processor. Each frame is a test run of the program that counts it, and most of the
time is the kernel's own work for that.
`-r` and `-r -w` are the whole program: it shows connections as they end, or writes all frames to another capture.
";
const RATED: &str = "\
Connections of one packet each come in ten bursts a second, with `-j --max-connections 4194304`. The DNS server uses
sockets: each request comes from a port of its own and gets an answer, with `-j` alone. The records go to a pipe with
a reader, and there must be one for each connection. They show the longest silence before an end: it should be 30 s,
or less when the table fills up. The CPU time of the process is counted until the last end.
";
const USER: &str = "\
Sixteen connections share an address. Times are of one walk over all connections. The memory of the kernel is what it
reports for all maps, with the defaults of all other flags. Own memory is the memory of the process, without the
tables that it shares with the kernel.
";

/// What a user wants to know.
fn answers(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let packets = packets(&report.outcomes);
    if !packets.is_empty() {
        writeln!(
            f,
            "{PACKET}\n| a packet of | **udptrack** | one LRU hash | the first algorithm |\n|---|---|---|---|\n{packets}"
        )?;
    }
    if let Some(wire) = &report.wire {
        writeln!(
            f,
            "{LINK}\n| on the receiver's end | one connection | each packet a new one |\n|---|---|---|\n{}",
            links(wire)
        )?;
    }
    let processes = processes(report);
    if !processes.is_empty() {
        writeln!(f, "{PROCESS}\n| a run | % |\n|---|---|\n{processes}")?;
    }
    Ok(())
}

fn packets(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for (case, name) in [
        ("1 connection", "the only connection"),
        ("1,000 connections", "one of 1,000 connections"),
        ("1,000,000", "one of 1,000,000"),
        ("1,000,000 skewed", "one of 1,000,000, some of them busy"),
        ("new connections", "a new connection"),
        (
            "new connections, table full",
            "a new connection, while the table is full",
        ),
    ] {
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.name == case) else {
            continue;
        };
        let cost = |who| {
            let cost = outcome.measured.cost(who);
            cost.map_or("-".to_owned(), |cost| format!("{:.0}", cost.mean()))
        };
        let _ = writeln!(
            text,
            "| {name} | **{}** | {} | {} |",
            cost(Who::Udptrack),
            cost(Who::Lru),
            cost(Who::Seed)
        );
    }
    text
}

fn links(wire: &Wire) -> String {
    let mut text = String::new();
    for tool in [
        Tool::Nothing,
        Tool::Empty,
        Tool::Udptrack,
        Tool::Conntrack,
        Tool::Tcpdump,
        Tool::Softflowd,
        Tool::Seed,
    ] {
        let rate = |traffic| {
            let row = wire.row((traffic, tool));
            row.map_or("-".to_owned(), |row| {
                Grouped((row.rate.median() / 1e4).round() as u64 * 10_000).to_string()
            })
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            tool.name(),
            rate(Traffic::Established),
            rate(Traffic::New)
        );
    }
    text
}

fn processes(report: &Report) -> String {
    let mut text = String::new();
    if let Some(user) = &report.user {
        if let Some(idle) = user.idle.first() {
            let _ = writeln!(text, "| nothing happens | {:.2} |", idle.processor);
        }
        let _ = writeln!(
            text,
            "| nothing happens, with {} connections | {:.1} |",
            Grouped(user.holding.connections.into()),
            user.holding.processor
        );
    }
    for rated in &report.rated {
        let _ = writeln!(text, "| {} | {:.1} |", rated.name, 100.0 * rated.cores);
    }
    text
}

fn paths(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| case | empty | LRU | first algorithm | **udptrack** | of LRU | of the first algorithm |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let cost = |who| {
            let cost = outcome.measured.cost(who);
            cost.map_or("-".to_owned(), |cost| format!("{:.1}", cost.mean()))
        };
        let empty = outcome
            .measured
            .of(Who::Empty)
            .map_or(0.0, super::measure::Series::mean);
        let mut line = |name: &str, who| {
            let ratio = |to| {
                outcome
                    .measured
                    .ratio(who, to)
                    .map_or("-".to_owned(), spread)
            };
            let _ = writeln!(
                text,
                "| {name} | {empty:.1} | {} | {} | **{}** | {} | {} |",
                cost(Who::Lru),
                cost(Who::Seed),
                cost(who),
                ratio(Who::Lru),
                ratio(Who::Seed),
            );
        };
        if outcome.measured.of(Who::Changed).is_some() {
            line(outcome.name, Who::Changed);
            line("  beside it, without", Who::Udptrack);
        } else {
            line(outcome.name, Who::Udptrack);
        }
    }
    text
}

fn gates(gates: &[Gate]) -> String {
    let mut text = String::from("| what | goal | measured | |\n|---|---|---|---|\n");
    for gate in gates {
        let measured = match &gate.measured {
            Ok(measured) => spread(*measured),
            Err(reason) => reason.clone(),
        };
        let outcome = match &gate.measured {
            Err(_) => "not measured",
            Ok(_) if gate.passes() => "met",
            Ok(_) => "**missed**",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {measured} | {outcome} |",
            gate.what, gate.bar
        );
    }
    text
}

/// The median, and in brackets the 10th and the 90th percentile.
fn spread(spread: Spread) -> String {
    let digits = if spread.median >= 100.0 || spread.median.fract() == 0.0 {
        0
    } else {
        3
    };
    if spread.low == spread.high {
        return format!("{:.digits$}", spread.median);
    }
    format!(
        "{:.digits$} ({:.digits$}–{:.digits$})",
        spread.median, spread.low, spread.high
    )
}

fn drops(drops: &Drops) -> String {
    let mut text = String::from(
        "| dropped behind udptrack | ns, with --no-drops | ns more when it is counted | of what it takes without |\n|---|---|---|---|\n",
    );
    for (name, row) in drops.rows() {
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {} | {} |",
            row.without.median(),
            spread(row.more()),
            spread(row.ratio()),
        );
    }
    text
}

fn captures(captures: &Captures) -> String {
    let mut text = String::from(
        "| file | frames | read alone, frames/s | read and counted, frames/s | `-r`, frames/s | `-r -w`, frames/s |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in &captures.rows {
        let rate = |rate: f64| Grouped((rate / 1e4).round() as u64 * 10_000);
        let _ = writeln!(
            text,
            "| {} | {} | {} | **{}** | {} | {} |",
            row.name,
            Grouped(row.frames),
            rate(row.alone.median()),
            rate(row.counted.median()),
            rate(row.shown.median()),
            rate(row.written.median()),
        );
    }
    text
}

fn wire(wire: &Wire) -> String {
    let mut text = String::from(
        "| on the receiver's end | packets/s | of an empty program | its process, % of a core |\n|---|---|---|---|\n",
    );
    let mut traffic = None;
    for row in &wire.rows {
        if traffic.replace(row.traffic) != Some(row.traffic) {
            let _ = writeln!(text, "| *{}* | | | |", row.traffic.name());
        }
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.1} |",
            row.tool.name(),
            row.rate.median(),
            wire.of_empty((row.traffic, row.tool))
                .map_or("-".to_owned(), spread),
            row.processor.median(),
        );
    }
    for tool in &wire.left_out {
        let _ = writeln!(text, "| {} | not on this machine | | |", tool.name());
    }
    text
}

fn rated(all: &[Rated]) -> String {
    let mut text = String::from(
        "| | a second, as they came | for | packets | `table-full` | its process, cores | ended: idle, evicted | silent, at most | late, at most |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for rated in all {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let (silent, late) = match rated.late() {
            None => ("-".to_owned(), "-".to_owned()),
            Some(late) => (seconds(rated.ends.longest), seconds(late)),
        };
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} s | {} | {} | {:.3} | {}, {} | {silent} | {late} |",
            rated.name,
            rated.rate,
            rated.lasted.as_secs_f64(),
            Grouped(rated.books.seen),
            Grouped(rated.books.table_full),
            rated.cores,
            Grouped(rated.ends.idle),
            Grouped(rated.ends.evicted),
        );
    }
    text
}

fn user(user: &User) -> String {
    let mut text = String::from(
        "| a walk over | all are new | the same, --no-maps | each has counted | nothing has changed | all have ended | the same, --no-maps | own memory for each |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let ms = |time: Spread| format!("{:.1} ms", time.median * 1e3);
    for scale in &user.scales {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} B |",
            Grouped(scale.connections.into()),
            ms(scale.new),
            ms(scale.new_unpublished),
            ms(scale.changed),
            ms(scale.unchanged),
            ms(scale.ended),
            ms(scale.ended_unpublished),
            scale.own_bytes,
        );
    }
    text.push_str("\n| --max-connections | kernel memory | for each |\n|---|---|---|\n");
    for memory in &user.memory {
        let _ = writeln!(
            text,
            "| {} | {:.1} MB | {:.0} B |",
            Grouped(memory.connections.into()),
            memory.all as f64 / 1e6,
            memory.of_each(),
        );
    }
    let holding = &user.holding;
    let _ = writeln!(
        text,
        "\nA run that holds {} idle connections takes {:.1} % of a core and {:.0} MB for itself. With nothing to write, it ends {:.2} s \
         after SIGINT.",
        Grouped(holding.connections.into()),
        holding.processor,
        holding.own as f64 / 1e6,
        holding.stop.as_secs_f64(),
    );
    text.push_str("\n| --max-connections | from its start until it counts |\n|---|---|\n");
    for (connections, start) in &user.starts {
        let took = match start {
            Ok(time) => format!("{:.2} s", time.as_secs_f64()),
            Err(reason) => reason.clone(),
        };
        let _ = writeln!(text, "| {} | {took} |", Grouped((*connections).into()));
    }
    text.push_str("\n| idle run | % of a core |\n|---|---|\n");
    for idle in &user.idle {
        let _ = writeln!(text, "| {} | {:.2} |", idle.name, idle.processor);
    }
    text.push_str("\n| written | lines/s | lines | reported as lost |\n|---|---|---|---|\n");
    for written in &user.written {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} |",
            written.name, written.rate, written.lines, written.lost
        );
    }
    text
}
