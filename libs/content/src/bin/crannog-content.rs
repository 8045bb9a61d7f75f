//! `crannog-content`: saves, looks into, restores and checks trees in a store.

use std::process::ExitCode;

use clap::Parser;
use content::command::{Arguments, run};
use domain::class::Classify;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments, &mut std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                eprintln!("  because: {source}");
                cause = source.source();
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(error.class().exit_code())
        }
    }
}
