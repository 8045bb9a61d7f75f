//! `crannog`: arguments, then one command.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The container runtime is this binary run again, and must not have threads.
    ws_daemon::runtime::reexec();
    let arguments = cli::args::Arguments::parse();
    cli::run(arguments)
}
