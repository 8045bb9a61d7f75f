//! `stats` and `check`: how a store is.

use std::io::Write;
use std::sync::Arc;

use domain::class::Class;
use serde::Serialize;

use super::{print_json, printing};
use crate::digest::Digest;
use crate::error::ContentError;
use crate::head::Head;
use crate::index::Kind;
use crate::repository::Repository;
use crate::store::Store;

#[derive(Serialize)]
struct Stats {
    heads: Vec<Head>,
    snapshots: Vec<Digest>,
    packs: u64,
    stored_bytes: u64,
    chunks: u64,
    chunk_bytes: u64,
    trees: u64,
    tree_bytes: u64,
}

pub(super) fn stats(repository: &Repository, json: bool, out: &mut dyn Write) -> Result<(), ContentError> {
    let heads = repository.heads()?.iter().map(|name| repository.head(name)).collect::<Result<Vec<_>, _>>()?;
    let packs = repository.store.list("packs")?;
    let ((chunks, chunk_bytes), (trees, tree_bytes)) = (repository.count(Kind::Chunks), repository.count(Kind::Trees));
    let stats = Stats {
        heads: heads.into_iter().flatten().map(|(head, _)| head).collect(),
        snapshots: repository.snapshots()?,
        packs: packs.len() as u64,
        stored_bytes: packs.iter().map(|pack| pack.size).sum(),
        chunks,
        chunk_bytes,
        trees,
        tree_bytes,
    };
    if json { print_json(out, &stats) } else { print(&stats, out).map_err(printing()) }
}

fn print(stats: &Stats, out: &mut dyn Write) -> std::io::Result<()> {
    for head in &stats.heads {
        writeln!(out, "head     {} {} generation {}", head.snapshot, head.name, head.generation)?;
    }
    for snapshot in &stats.snapshots {
        writeln!(out, "snapshot {snapshot}")?;
    }
    writeln!(out, "{} packs, {} bytes", stats.packs, stats.stored_bytes)?;
    writeln!(out, "{} chunks of {} bytes, {} trees of {} bytes", stats.chunks, stats.chunk_bytes, stats.trees, stats.tree_bytes)
}

pub(super) fn check(store: &Arc<dyn Store>, read_data: bool, json: bool, out: &mut dyn Write) -> Result<u8, ContentError> {
    let report = crate::check::check(store, read_data)?;
    if json {
        print_json(out, &report)?;
    } else {
        for problem in &report.problems {
            writeln!(out, "{}: {}", problem.object, problem.why).map_err(printing())?;
            for (snapshot, path) in &problem.paths {
                writeln!(out, "  touches {path} of {snapshot}").map_err(printing())?;
            }
        }
        let (heads, snapshots, trees, packs) = (report.heads, report.snapshots, report.trees, report.packs);
        let data = if read_data { format!("{} bytes read", report.bytes_read) } else { "no data read".to_owned() };
        writeln!(out, "{heads} heads, {snapshots} snapshots, {trees} trees, {packs} packs; {data}").map_err(printing())?;
    }
    Ok(if report.problems.is_empty() { 0 } else { Class::DataLoss.exit_code() })
}
