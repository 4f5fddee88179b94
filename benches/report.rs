//! What was measured, as Markdown: for the terminal, and for docs/performance.md.

use std::fmt::{self, Write as _};
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::gates::Gate;
use crate::measure::{Spread, Who};
use crate::path::Outcome;
use crate::user::User;
use crate::wire::Wire;

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

/// The machine, for whoever compares.
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
    pub user: Option<User>,
}

impl Report {
    /// By how many packets, bytes or lines anything is off.
    pub fn difference(&self) -> u64 {
        let paths: u64 = self.outcomes.iter().map(|outcome| outcome.difference).sum();
        let wire = self.wire.as_ref().map_or(0, |wire| wire.difference);
        let written = self.user.iter().flat_map(|user| &user.written);
        paths + wire + written.map(|written| written.difference).sum::<u64>()
    }

    pub fn write(&self, path: &str) -> Result<()> {
        fs::write(path, self.to_string()).with_context(|| format!("cannot write {path}"))
    }

    fn gates(&self) -> Vec<Gate> {
        let mut all = crate::gates::of_path(&self.outcomes);
        all.extend(self.wire.iter().flat_map(Wire::gates));
        all.extend(self.user.iter().flat_map(User::gates));
        all
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{BEGINNING}\n{}\n", machine())?;
        writeln!(f, "## Bars\n\n{GATES}\n{}", gates(&self.gates()))?;
        if !self.outcomes.is_empty() {
            writeln!(f, "## A packet\n\n{PATH}\n{}", paths(&self.outcomes))?;
        }
        if let Some(it) = &self.wire {
            writeln!(f, "## On the wire\n\n{WIRE}\n{}", wire(it))?;
        }
        if let Some(it) = &self.user {
            writeln!(f, "## User space\n\n{USER}\n{}", user(it))?;
        }
        Ok(())
    }
}

const BEGINNING: &str = "# Performance

Written by `make bench`, in one run on this machine; make your own. Other work may run beside it, so look at ratios, not at
nanoseconds: all that a ratio compares was measured in turn, in each round in another order. Where a number has brackets, it is
the median of the rounds and what nine of ten lie between (10th and 90th percentile).
";
const GATES: &str = "What udptrack holds itself to. Costs are above a program that does nothing. The bars G1 to G9 and G12 are those of a packet path that
counted and did no more, on a processor with twice the caches of the first two levels (48K, 1024K) that does more in a cycle: they are
kept as what to reach for. This one also measures response times, tells interfaces and VLANs apart and looks for DNS; what of that can be
switched off has rows of its own below, each beside the same without.
";
const PATH: &str = "Nanoseconds of the kernel's own clock (`BPF_PROG_TEST_RUN`), above a program that does nothing; that one stands in the first column, whole.
All get the same packets: a program changes the source of one frame and jumps to the one that is measured. LRU is one lookup and
count in an LRU hash, the first algorithm what the project began with, plain maps the three maps of udptrack counted in place. Those three
read no VLAN tags, IPv4 options, fragments or IPv6; udptrack does, and measures response times. Where connections are many times the
slots of a CPU's cache, a packet of one that has none is counted in the maps, under the connection's lock, and each map costs cold
memory: the connection and both addresses. A new one is entered in each of three maps where the LRU has one: two thirds of its time
are these insertions (`perf record -e cpu-clock`).
";
const WIRE: &str = "Frames of 60 bytes of one connection cross a veth link to a socket that nobody reads, sent by one CPU, which also does the receiver's work.
So what a tool costs each packet, the rate loses. A run passes each packet on; the last three rows are of programs that drop them, for what
remains where the receiver does nothing else.
";
const USER: &str = "Each connection is one packet of an address of its own. Memory of the kernel is what it says of the maps; own memory is what grows
when the connections are read and put into the table.
";

fn paths(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| case | empty | LRU | first algorithm | plain maps | **udptrack** | of LRU | of the first algorithm | of plain maps |\n\
         |---|---|---|---|---|---|---|---|---|\n",
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
                "| {name} | {empty:.1} | {} | {} | {} | **{}** | {} | {} | {} |",
                cost(Who::Lru),
                cost(Who::Seed),
                cost(Who::Plain),
                cost(who),
                ratio(Who::Lru),
                ratio(Who::Seed),
                ratio(Who::Plain),
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
    let mut text = String::from("| gate | what | bar | measured | |\n|---|---|---|---|---|\n");
    for gate in gates {
        let measured = match &gate.measured {
            Ok(measured) => spread(*measured),
            Err(reason) => reason.clone(),
        };
        let verdict = match &gate.measured {
            Err(_) => "not measured",
            Ok(_) if gate.passes() => "pass",
            Ok(_) => "**miss**",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {measured} | {verdict} |",
            gate.name, gate.what, gate.bar
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

fn user(user: &User) -> String {
    let mut text = String::from(
        "| connections | caches written back | maps read | into the table | all ended | kernel memory for each | own memory for each |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    for scale in &user.scales {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} B | {:.0} B |",
            scale.connections,
            ms(scale.sweep),
            ms(scale.scan),
            ms(scale.apply),
            ms(scale.expire),
            scale.kernel_bytes,
            scale.user_bytes,
        );
    }
    text.push_str("\n| idle run | % of a core |\n|---|---|\n");
    for idle in &user.idle {
        let _ = writeln!(text, "| {} | {:.2} |", idle.name, idle.processor);
    }
    text.push_str("\n| written | lines/s | lines | said to be lost |\n|---|---|---|---|\n");
    for written in &user.written {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} |",
            written.name, written.rate, written.lines, written.lost
        );
    }
    text
}

fn wire(wire: &Wire) -> String {
    let mut text = String::from(
        "| on the receiver's end | packets/s | of nothing, or of an empty program that drops | its process, % of a core |\n|---|---|---|---|\n",
    );
    for row in &wire.rows {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.1} |",
            row.tool.name(),
            row.rate.median(),
            wire.ratio(row.tool, row.tool.base())
                .map_or("-".to_owned(), spread),
            row.processor.median(),
        );
    }
    for tool in &wire.left_out {
        let _ = writeln!(text, "| {} | not on this machine | | |", tool.name());
    }
    text
}
