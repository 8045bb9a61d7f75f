//! Brings a tree back, whole or in part: beside its place, verified, synced, and then renamed. A crash leaves only
//! something that is named `.partial`.

mod place;
mod write;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::capture::IdRange;
use crate::error::ContentError;
use crate::index::Kind;
use crate::long_path::join;
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::tree::{Entry, File, Meta, Node};

use place::Place;
use write::Writer;

/// How many files a thread takes at once: neighbours share frames and directories.
const BATCH: usize = 64;

/// What to restore, and where.
#[derive(Debug)]
pub struct Restore {
    /// The directory that will hold it; must not exist.
    pub dest: PathBuf,
    /// Paths to restore with what is below them; empty is all.
    pub paths: Vec<Vec<u8>>,
    /// Ids of the node.
    pub ids: IdRange,
    /// How many threads write.
    pub threads: usize,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Restored {
    /// Entries that were made.
    pub entries: u64,
    /// Sizes of the files.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A file to be written: its directory, and where its first chunk is.
struct Todo {
    dir: Vec<u8>,
    entry: Entry,
    file: File,
    order: (crate::Digest, u32, u32),
}

/// What the walk of the trees found.
#[derive(Default)]
struct Found {
    dirs: Vec<(Vec<u8>, Meta)>,
    files: Vec<Todo>,
    /// A further name of a file: directory, name, and the path of the first.
    links: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    entries: u64,
    bytes: u64,
}

/// Restores a snapshot. On an error nothing is left at the destination.
pub fn restore(repository: &Repository, snapshot: &Snapshot, restore: &Restore) -> Result<Restored, ContentError> {
    let started = std::time::Instant::now();
    let place = Place::make(&restore.dest)?;
    let done = fill(repository, snapshot, restore, &place).and_then(|found| place.publish().map(|()| found));
    match done {
        Ok(found) => Ok(Restored { entries: found.entries, bytes: found.bytes, seconds: started.elapsed().as_secs_f64() }),
        Err(error) => {
            place.discard();
            Err(error)
        }
    }
}

fn fill(repository: &Repository, snapshot: &Snapshot, restore: &Restore, place: &Place) -> Result<Found, ContentError> {
    let mut reader = repository.reader();
    for path in &restore.paths {
        crate::read::find(&mut reader, snapshot, path)?;
    }
    let mut writer = Writer::new(repository, place, restore.ids);
    let mut found = make_dirs(repository, snapshot, restore, &mut writer)?;
    found.files.sort_by_key(|todo| todo.order);
    write_files(repository, restore, place, &found.files)?;
    for (dir, name, first) in &found.links {
        writer.link(dir, name, first)?;
    }
    for (path, meta) in found.dirs.iter().rev() {
        writer.finish_dir(path, meta)?;
    }
    if restore.paths.is_empty() && (found.entries, found.bytes) != (snapshot.entries, snapshot.bytes) {
        let why = "its counts are not those of its tree";
        return Err(ContentError::format("snapshot")(crate::FormatError::Malformed { object: "snapshot", why }));
    }
    Ok(found)
}

/// Makes all directories and what has no data, and lists the files.
fn make_dirs(
    repository: &Repository,
    snapshot: &Snapshot,
    restore: &Restore,
    writer: &mut Writer<'_>,
) -> Result<Found, ContentError> {
    let mut reader = repository.reader();
    let root = snapshot.root.meta().map_err(ContentError::format("snapshot"))?;
    let mut found = Found { dirs: vec![(Vec::new(), root)], ..Found::default() };
    let mut groups: HashMap<u64, Vec<(Vec<u8>, File)>> = HashMap::new();
    let mut left = vec![(Vec::new(), snapshot.root.tree)];
    while let Some((dir, digest)) = left.pop() {
        for entry in reader.tree(digest)?.entries {
            let path = join(&dir, &entry.name);
            if !wanted(&restore.paths, &path) {
                continue;
            }
            found.entries += 1;
            match entry.node.clone() {
                Node::Dir(below) => {
                    writer.make_dir(&dir, &entry.name)?;
                    found.dirs.push((path.clone(), entry.meta));
                    left.push((path, below.digest));
                }
                Node::File(file) => {
                    found.bytes += file.size;
                    // Only names of the very same bytes are joined, whatever the number says.
                    let group = (file.link_group != 0).then(|| groups.entry(file.link_group).or_default());
                    match group.as_ref().and_then(|group| group.iter().find(|(_, first)| *first == file)) {
                        Some((first, _)) => found.links.push((dir.clone(), entry.name, first.clone())),
                        None => {
                            group.into_iter().for_each(|group| group.push((path.clone(), file.clone())));
                            let at = file.chunks.first().and_then(|chunk| repository.find(Kind::Chunks, chunk.digest));
                            let order = at.map_or((crate::Digest([0; 32]), 0, 0), |at| (at.pack, at.number, at.blob.offset));
                            found.files.push(Todo { dir: dir.clone(), entry, file, order });
                        }
                    }
                }
                Node::Symlink(target) => writer.symlink(&dir, &entry, &target)?,
                Node::Fifo => writer.fifo(&dir, &entry)?,
            }
        }
    }
    Ok(found)
}

/// Whether the path is, is below, or leads to one of those asked for.
fn wanted(paths: &[Vec<u8>], path: &[u8]) -> bool {
    let below = |a: &[u8], b: &[u8]| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    paths.is_empty() || paths.iter().any(|asked| asked.is_empty() || below(path, asked) || below(asked, path))
}

fn write_files(repository: &Repository, restore: &Restore, place: &Place, files: &[Todo]) -> Result<(), ContentError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut writer = Writer::new(repository, place, restore.ids);
        while let Some(batch) = files.chunks(BATCH).nth(next.fetch_add(1, Ordering::Relaxed)) {
            for todo in batch {
                let done = writer.file(&todo.dir, &todo.entry, &todo.file);
                // The others stop at their next batch.
                done.inspect_err(|_| next.store(files.len(), Ordering::Relaxed))?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..restore.threads.max(1)).map(|_| scope.spawn(work)).collect();
        // A thread that panicked has printed why; the restore is then not whole.
        let panicked = || ContentError::Invalid { what: "restore", value: String::new(), why: "a thread panicked" };
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
    })
}

/// The directory that was opened last, by its path.
type Opened = Option<(Vec<u8>, OwnedFd)>;
