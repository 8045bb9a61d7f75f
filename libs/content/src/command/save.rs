//! `save`: a directory becomes a snapshot, and a receipt says what was done.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{id_range, print_json, printing, threads};
use crate::capture::IdRange;
use crate::digest::Digest;
use crate::error::ContentError;
use crate::repository::Repository;
use crate::save::{Receipt, Save, save};
use crate::snapshot::Kind;
use crate::store::{LocalStore, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to save
    dir: PathBuf,
    /// The head to move; its snapshot is what unchanged files are taken from
    #[arg(long, default_value = "main")]
    head: String,
    /// Programs may write meanwhile: say so in the snapshot
    #[arg(long)]
    running: bool,
    /// Ids of the node that are 0 and up in the snapshot: FIRST:COUNT
    #[arg(long, value_parser = id_range)]
    ids: Option<IdRange>,
    /// Let an empty or much smaller tree replace a full one
    #[arg(long)]
    allow_shrink: bool,
    /// Read every file, even those that cannot have changed
    #[arg(long)]
    no_cache: bool,
    /// Where the marks of unchanged files are kept
    #[arg(long, env = "CRANNOG_CONTENT_CACHE")]
    cache: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, path: &Path, json: bool, out: &mut dyn Write) -> Result<(), ContentError> {
    let root = arguments.dir.canonicalize().map_err(ContentError::file("find", &arguments.dir))?;
    let repository = Repository::open(open_or_make(path)?)?;
    let receipt = save(
        &repository,
        &Save {
            cache: if arguments.no_cache { None } else { cache(arguments, path, &root) },
            root,
            ids: arguments.ids.unwrap_or(IdRange::ALL),
            threads: threads(),
            head: Some(arguments.head.clone()),
            kind: if arguments.running { Kind::Running } else { Kind::Exact },
            allow_shrink: arguments.allow_shrink,
            image: None,
        },
    )?;
    if json { print_json(out, &receipt) } else { print(out, &receipt).map_err(printing()) }
}

fn open_or_make(path: &Path) -> Result<Arc<dyn Store>, ContentError> {
    if let Some(store) = LocalStore::open(path)? {
        return Ok(Arc::new(store));
    }
    let store = LocalStore::create(path)?;
    eprintln!("made a new store in {}", path.display());
    Ok(Arc::new(store))
}

/// One file for each pair of store and directory, in the place for caches.
fn cache(arguments: &Arguments, store: &Path, root: &Path) -> Option<PathBuf> {
    let name = Digest::of(&[store.as_os_str().as_encoded_bytes(), b"\0", root.as_os_str().as_encoded_bytes()].concat());
    let home = || {
        let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?.join("crannog/content"))
    };
    Some(arguments.cache.clone().or_else(home)?.join(name.to_string()))
}

fn print(out: &mut dyn Write, receipt: &Receipt) -> std::io::Result<()> {
    writeln!(out, "snapshot {}", receipt.snapshot)?;
    writeln!(out, "tree     {}", receipt.tree)?;
    if let Some((name, generation)) = &receipt.head {
        writeln!(out, "head     {name}, generation {generation}")?;
    }
    writeln!(out, "{} entries, {} bytes; {} files read", receipt.entries, receipt.bytes, receipt.changed)?;
    writeln!(out, "{} bytes stored and verified in {:.2} s", receipt.stored, receipt.seconds)?;
    for omitted in &receipt.omitted {
        writeln!(out, "not kept: {}: {}", omitted.path, omitted.why)?;
    }
    for path in &receipt.fuzzy {
        writeln!(out, "changed while it was read: {path}")?;
    }
    let unlisted = receipt.omitted_count + receipt.fuzzy_count - (receipt.omitted.len() + receipt.fuzzy.len()) as u64;
    if unlisted > 0 { writeln!(out, "and {unlisted} more") } else { Ok(()) }
}
