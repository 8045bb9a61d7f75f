//! The commands of `crannog-content`. Results go to standard output, as text or as JSON; all else to standard error.

mod look;
mod save;
mod stats;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::capture::IdRange;
use crate::error::ContentError;
use crate::repository::Repository;
use crate::store::{LocalStore, Store};

/// Keeps trees of files by their content: a save costs the change, a restore is exact or an error.
#[derive(Debug, Parser)]
#[command(name = "crannog-content", version)]
pub struct Arguments {
    /// Where the objects are: file:///directory
    #[arg(long, env = "CRANNOG_STORE", global = true, default_value = "")]
    store: String,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON value
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Save a directory as a new snapshot
    Save(save::Arguments),
    /// Restore a snapshot, or some paths of it, into a new directory
    Restore(look::RestoreArguments),
    /// List a directory of a snapshot
    Ls {
        /// A head, a digest, or its first 8 letters or more
        snapshot: String,
        /// `\xNN` stands for a byte
        #[arg(default_value = "")]
        path: String,
    },
    /// Print a file of a snapshot
    Cat {
        /// A head, a digest, or its first 8 letters or more
        snapshot: String,
        /// `\xNN` stands for a byte
        path: String,
        /// The first byte to print
        #[arg(long, default_value_t = 0)]
        offset: u64,
        /// How many bytes to print
        #[arg(long, default_value_t = u64::MAX)]
        length: u64,
    },
    /// List what differs between two snapshots
    Diff {
        /// A head, a digest, or its first 8 letters or more
        first: String,
        /// A head, a digest, or its first 8 letters or more
        second: String,
    },
    /// Prove that everything can be restored, or name what cannot
    Check {
        /// Read every stored byte, not only the structure
        #[arg(long)]
        read_data: bool,
    },
    /// Show heads, snapshots and sizes
    Stats,
}

/// Runs a command; gives the exit code.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<u8, ContentError> {
    let json = arguments.output == Output::Json;
    let path = store_path(&arguments.store)?;
    match &arguments.command {
        Command::Save(save) => return save::run(save, &path, json, out).map(|()| 0),
        Command::Check { read_data } => return stats::check(&existing(&path)?, *read_data, json, out),
        _ => {}
    }
    let repository = Repository::open(existing(&path)?)?;
    match &arguments.command {
        Command::Restore(restore) => look::restore(&repository, restore, json, out),
        Command::Ls { snapshot, path } => look::ls(&repository, snapshot, path, json, out),
        Command::Cat { snapshot, path, offset, length } => look::cat(&repository, snapshot, path, (*offset, *length), out),
        Command::Diff { first, second } => look::diff(&repository, first, second, json, out),
        Command::Stats | Command::Save(_) | Command::Check { .. } => stats::stats(&repository, json, out),
    }?;
    Ok(0)
}

fn store_path(url: &str) -> Result<PathBuf, ContentError> {
    match url.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => {
            let why = "give --store file:///an/absolute/directory";
            Err(ContentError::Invalid { what: "store", value: url.to_owned(), why })
        }
    }
}

fn existing(path: &Path) -> Result<Arc<dyn Store>, ContentError> {
    let missing = || ContentError::NotFound { what: "store", name: path.display().to_string() };
    Ok(Arc::new(LocalStore::open(path)?.ok_or_else(missing)?))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn id_range(text: &str) -> Result<IdRange, String> {
    let parsed = text.split_once(':').and_then(|(first, count)| Some((first.parse().ok()?, count.parse().ok()?)));
    let (first, count) = parsed.ok_or("FIRST:COUNT is expected, such as 100000:65536")?;
    Ok(IdRange { first, count })
}

/// Prints a value as one line of JSON.
fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), ContentError> {
    let text = serde_json::to_string(value).map_err(|error| printing()(error.into()))?;
    writeln!(out, "{text}").map_err(printing())
}

fn printing() -> impl FnOnce(std::io::Error) -> ContentError {
    ContentError::file("print to", "standard output")
}
