//! `crannog`, the command line: [`args`] is what can be typed, [`commands`] has one file for each command, [`server`]
//! puts the daemons of one machine together. Every other command is a client of the API and nothing more.

pub mod args;
pub mod client;
pub mod commands;
pub mod error;
pub mod reference;
pub mod server;
pub mod source;
pub mod terminal;
pub mod text;
pub mod view;
pub mod waterfall;

use std::process::ExitCode;

/// Runs one command and turns its failure into words and an exit code.
pub fn run(arguments: args::Arguments) -> ExitCode {
    // Whoever starts us may have blocked signals for itself; blocked ones are inherited, and a server must hear SIGTERM.
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
    let json = commands::wants_json(&arguments.command);
    let outcome = match arguments.command {
        args::Command::Server(options) => server::run(&arguments.connection, &options),
        command => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let outcome = runtime.block_on(commands::run(&arguments.connection, command));
                // A read of standard input cannot be interrupted; the process ends without waiting for it.
                runtime.shutdown_background();
                outcome
            }
            Err(error) => Err(error::CommandError::io("start")(error)),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report(json);
            ExitCode::from(error.exit_code())
        }
    }
}
