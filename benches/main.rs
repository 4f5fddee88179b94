//! `make bench`: what udptrack costs, beside programs that do less, in ratios of one run.
//!
//! Under `cargo bench` it measures and writes docs/performance.md; under `cargo test -- --ignored` it does each thing once, to
//! see that it works and that no packet is lost on the way. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp
)]

mod churn;
#[path = "../tests/common/mod.rs"]
mod common;
mod dropping;
mod gates;
mod measure;
mod path;
mod programs;
mod report;
mod running;
mod user;
mod wire;

use std::env;
use std::process::ExitCode;

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
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|word| name.contains(word));
    let mut random = Rng::new(1);
    let outcomes = path::cases()
        .iter()
        .filter(|case| is_wanted(case.name) && (extent == Extent::Full || case.is_small()))
        .map(|case| path::run(case, extent, &mut random))
        .collect::<Result<Vec<_>>>()?;
    let wire = is_wanted("wire")
        .then(|| wire::run(extent, &mut random))
        .transpose()?;
    let rated = is_wanted("churn").then(|| churn::run(extent)).transpose()?;
    let user = is_wanted("user").then(|| user::run(extent)).transpose()?;
    let report = report::Report {
        outcomes,
        wire,
        rated: rated.unwrap_or_default(),
        user,
    };
    println!("{report}");
    let difference = report.difference();
    ensure!(
        difference == 0,
        "the books are off by {difference} packets or bytes"
    );
    if extent == Extent::Full && only.is_empty() {
        report.write("docs/performance.md")?;
    }
    Ok(())
}
