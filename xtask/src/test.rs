//! `cargo xtask test`: all tests, with the real components they need. CI runs exactly this.

use std::process::ExitCode;
use std::time::Instant;

use crate::build::{self, Profile};
use crate::{setup, tidy};

/// `cargo xtask test`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only this package
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// Given to the test programs: a part of tests' names, or their flags
    #[arg(last = true)]
    filter: Vec<String>,
}

/// Runs them.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    setup::install(setup::RUN)?;
    setup::install(setup::TEST)?;
    let built = build::programs(Profile::Dev)?;
    eprintln!("supervisor: {} bytes", build::size(&built.supervisor)?);
    report_corpus();
    let mut command = build::cargo();
    command.args(["test", "--no-fail-fast"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command.env("CRANNOG_BIN", &built.crannog).env("CRANNOG_SUPERVISOR", &built.supervisor);
    if !setup::is_root() {
        let runner = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", std::env::consts::ARCH.to_uppercase());
        eprintln!("tests run by sudo: they make namespaces, mounts and network rules");
        command.env(runner, "sudo --preserve-env --");
    }
    command.arg("--").args(&options.filter);
    setup::run(&mut command)?;
    let code = if options.package.is_none() && options.filter.is_empty() { tidy::run()? } else { ExitCode::SUCCESS };
    eprintln!("cargo xtask test took {} s", began.elapsed().as_secs());
    Ok(code)
}

/// The corpus of real files lies beside the repository where the founders work; it is used where it is.
fn report_corpus() {
    let corpus = setup::root().join("../shared/corpus");
    let mut count = 0;
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => count += 1,
                Err(_) => {}
            }
        }
    }
    eprintln!("corpus: {}", if count == 0 { "not here".into() } else { format!("{count} files") });
}
