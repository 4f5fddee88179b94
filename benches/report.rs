//! What was measured, as Markdown: for the terminal, and for docs/performance.md.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::gates::Gate;
use crate::measure::{Spread, Who};
use crate::path::Outcome;

/// Says what is being measured now.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// The machine, for whoever compares.
pub fn machine() -> String {
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
    format!(
        "{}, {} CPUs, {gigabytes:.0} GiB, Linux {}; {clang}",
        field("/proc/cpuinfo", "model name"),
        crate::measure::cpus(),
        release.trim(),
    )
}

pub fn paths(outcomes: &[Outcome]) -> String {
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

pub fn gates(gates: &[Gate]) -> String {
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
pub fn spread(spread: Spread) -> String {
    let digits = if spread.median >= 100.0 { 0 } else { 3 };
    if spread.low == spread.high {
        return format!("{:.0}", spread.median);
    }
    format!(
        "{:.digits$} ({:.digits$}–{:.digits$})",
        spread.median, spread.low, spread.high
    )
}
