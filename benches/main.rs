//! `make bench`: what udptrack costs, beside programs that do less, in ratios of one run.
//!
//! Under `cargo bench` it measures and writes docs/performance.md; under `cargo test -- --ignored` it does each thing once, to
//! see that it works and that no packet is lost on the way. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "a measurement that cannot go on fails; its numbers are rounded for people"
)]

mod captures;
mod churn;
#[path = "../tests/common/mod.rs"]
mod common;
mod dropping;
mod drops;
mod gates;
mod measure;
mod path;
mod programs;
mod report;
mod running;
mod user;
mod wire;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use common::random::Rng;
use path::Extent;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let extent = if has("--bench") {
        Extent::Full
    } else if has("--ignored") {
        Extent::Smoke
    } else {
        // Under plain `cargo test`, which runs what needs no root.
        return ExitCode::SUCCESS;
    };
    let only: Vec<&str> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .map(String::as_str)
        .collect();
    match run(extent, &only) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All of it, or what has one of these words in its name; only all of it is written down.
fn run(extent: Extent, only: &[&str]) -> Result<()> {
    if extent == Extent::Full {
        come_first();
    }
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|word| name.contains(word));
    let mut random = Rng::new(1);
    let mut failures = Failures::default();
    let cases = path::cases();
    let wanted = cases
        .iter()
        .filter(|case| is_wanted(case.name) && (extent == Extent::Full || case.is_small()));
    let outcomes = wanted
        .filter_map(|case| failures.pass(case.name, || path::run(case, extent, &mut random)))
        .collect();
    let part = |name| is_wanted(name).then_some(name);
    let wire = part("wire").and_then(|name| failures.pass(name, || wire::run(extent, &mut random)));
    let drops =
        part("drops").and_then(|name| failures.pass(name, || drops::run(extent, &mut random)));
    let rated = part("churn").and_then(|name| failures.pass(name, || churn::run(extent)));
    let user = part("user").and_then(|name| failures.pass(name, || user::run(extent)));
    // Last: from then on the clock of this process is a capture's.
    let captures = part("captures").and_then(|name| failures.pass(name, || captures::run(extent)));
    let report = report::Report {
        outcomes,
        wire,
        drops,
        captures,
        rated: rated.unwrap_or_default(),
        user,
    };
    println!("{report}");
    let difference = report.difference();
    ensure!(
        difference == 0,
        "the books are off by {difference} packets or bytes"
    );
    ensure!(failures.0.is_empty(), "failed: {}", failures.0.join(", "));
    if extent == Extent::Full && only.is_empty() {
        report.write("docs/performance.md")?;
    }
    Ok(())
}

/// What is measured here, and all that it is measured beside, goes before other work on this machine. Where that is not to be had,
/// numbers are less steady.
fn come_first() {
    let own = std::process::id().to_string();
    let renice = Command::new("renice")
        .args(["-n", "-10", "-p", &own])
        .output();
    if !renice.is_ok_and(|renice| renice.status.success()) {
        report::progress("beside other work, as renice does not do it");
    }
}

/// Which parts could not be measured: the others are all the same.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    /// What a part comes to, if it can be measured. The test ground panics where it waits in vain.
    fn pass<T>(&mut self, name: &str, measure: impl FnOnce() -> Result<T>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(measure)) {
            Ok(Ok(it)) => return Some(it),
            Ok(Err(error)) => eprintln!("bench: {name}: {error:#}"),
            Err(_) => eprintln!("bench: {name}: see above"),
        }
        self.0.push(name.to_owned());
        None
    }
}
