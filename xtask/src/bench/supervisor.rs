//! PID 1: how big it is, what it holds when idle, and how long it adds to a process, beside tini.

use std::process::{Command, Stdio};

use super::{Side, compare, quiet};
use crate::build::{self, Built};

/// Prints the supervisor's size beside tini's, and the time of `supervisor --version` beside `tini --version`: exec, link,
/// run and exit of either program.
pub fn run(built: &Built) -> anyhow::Result<()> {
    println!("supervisor: {} bytes, static", build::size(&built.supervisor)?);
    let tini = crate::setup::find("tini").unwrap_or_else(|| "tini".into());
    println!("tini:       {} bytes, reaps and forwards signals only", build::size(&tini)?);
    let ours = || quiet(Command::new(&built.supervisor).arg("--version").stdin(Stdio::null()));
    let theirs = || quiet(Command::new(&tini).arg("--version").stdin(Stdio::null()));
    compare(
        "supervisor",
        "exec to exit of --version",
        &Side { label: "supervisor --version", run: &ours },
        &Side { label: "tini --version", run: &theirs },
    )
}
