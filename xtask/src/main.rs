//! `cargo xtask`: everything one does with this repository. Each verb sets up what it needs and says what and why.

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod dist;
mod setup;
mod test;
mod tidy;
mod up;

/// Everything one does with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the main job: a server, and a workspace from a repository
    Up(up::Options),
    /// Run all tests, with the real components they need
    Test(test::Options),
    /// Measure against peers, side by side
    Bench(bench::Options),
    /// Check what compilers do not: the arrows between rooms, docs in step, nothing left out
    Tidy,
    /// Build what is shipped: one archive with crannog and its supervisor
    Dist,
}

fn main() -> std::process::ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Up(options) => up::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Tidy => tidy::run(),
        Verb::Dist => dist::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
