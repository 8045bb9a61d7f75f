//! `cargo xtask bench`: ours and a peer in turns on the same machine, and the ratio with its interval.
//!
//! Pairs, alternating who goes first; the median of the ratios of pairs; of 31 sorted ratios the 10th and the 22nd bound it
//! with about 97 % confidence. Absolute times are shown, but only ratios mean something on a shared machine.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::build::{self, Profile};
use crate::setup::{self, Need};

mod supervisor;
mod workspace;

/// `cargo xtask bench`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which: exec, restart, supervisor; all where not given
    name: Option<String>,
}

const PEERS: &[Need] = &[
    Need { program: "runc", package: "runc", why: "the peer for starting containers and commands in them" },
    Need { program: "tini", package: "tini", why: "the peer for PID 1" },
    Need { program: "busybox", package: "busybox-static", why: "the peer's container is made of it" },
];

const PAIRS: usize = 31;

/// Runs the benches asked for.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    setup::install(setup::RUN)?;
    setup::install(PEERS)?;
    let built = build::programs(Profile::Release)?;
    match options.name.as_deref() {
        None => {
            supervisor::run(&built)?;
            workspace::run(&built, None)?;
        }
        Some("supervisor") => supervisor::run(&built)?,
        Some(name @ ("exec" | "restart")) => workspace::run(&built, Some(name))?,
        Some(other) => bail!("there is no bench '{other}': exec, restart or supervisor"),
    }
    Ok(ExitCode::SUCCESS)
}

/// One side of a comparison: what it is called and what is run.
pub struct Side<'a> {
    /// Shown in the table.
    pub label: &'a str,
    /// One run; what is measured is its wall time.
    pub run: &'a dyn Fn() -> anyhow::Result<()>,
}

/// Measures pairs and prints the row: medians, ratio, interval.
pub fn compare(job: &str, note: &str, ours: &Side, peer: &Side) -> anyhow::Result<()> {
    (ours.run)().with_context(|| format!("{job}: {}", ours.label))?;
    (peer.run)().with_context(|| format!("{job}: {}", peer.label))?;
    let mut pairs = Vec::with_capacity(PAIRS);
    for turn in 0..PAIRS {
        let pair = if turn % 2 == 0 {
            let first = timed(ours)?;
            (first, timed(peer)?)
        } else {
            let first = timed(peer)?;
            (timed(ours)?, first)
        };
        pairs.push(pair);
    }
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, peer)| ours.as_secs_f64() / peer.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    println!("{job}  ({note})");
    println!("  {:>28} {:>9.2} ms", ours.label, median(pairs.iter().map(|pair| pair.0).collect()));
    println!("  {:>28} {:>9.2} ms", peer.label, median(pairs.iter().map(|pair| pair.1).collect()));
    let verdict = if ratios[PAIRS / 2] > 1.0 { "  behind" } else { "" };
    println!(
        "  {:>28} {:>8.2}x  [{:.2}, {:.2}]  (<1: ours is faster){verdict}",
        "ours/peer",
        ratios[PAIRS / 2],
        ratios[9],
        ratios[21]
    );
    Ok(())
}

fn timed(side: &Side) -> anyhow::Result<Duration> {
    let began = Instant::now();
    (side.run)()?;
    Ok(began.elapsed())
}

/// Runs a command silently to its end.
pub fn quiet(command: &mut Command) -> anyhow::Result<()> {
    setup::run(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}
