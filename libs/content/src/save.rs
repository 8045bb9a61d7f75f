//! A save: capture, then the snapshot, then the head. What it reports was read back from the store.

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::capture::{Before, Captured, IdRange, Plan, Stamps, capture};
use crate::digest::Digest;
use crate::error::ContentError;
use crate::head::Head;
use crate::path_text::to_text;
use crate::repository::Repository;
use crate::snapshot::{self, Omitted, Root, Snapshot};

/// What to save, and as what.
#[derive(Debug)]
pub struct Save {
    /// The directory.
    pub root: PathBuf,
    /// Ids inside the container.
    pub ids: IdRange,
    /// How many threads read.
    pub threads: usize,
    /// The head to move, if any. Its snapshot becomes the parent.
    pub head: Option<String>,
    /// What the snapshot promises.
    pub kind: snapshot::Kind,
    /// Whether an empty or very much smaller tree may replace a full one.
    pub allow_shrink: bool,
    /// Where the stamps of files are kept between saves; without it every file is read.
    pub cache: Option<PathBuf>,
    /// The image that the tree is of.
    pub image: Option<String>,
}

/// What a save did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receipt {
    /// The snapshot.
    pub snapshot: Digest,
    /// Its root tree: a hash of everything in it.
    pub tree: Digest,
    /// Entries below the root.
    pub entries: u64,
    /// Sizes of all files.
    pub bytes: u64,
    /// Files that were read, because nothing proved them unchanged.
    pub changed: u64,
    /// Bytes that were added to the store.
    pub stored: u64,
    /// Everything named here was read back from the store and compared.
    pub verified: bool,
    /// How long it took.
    pub seconds: f64,
    /// The head that was moved, and its generation.
    pub head: Option<(String, u64)>,
    /// What was not kept: the first of them, and how many.
    pub omitted: Vec<Omitted>,
    /// How many of those there are.
    pub omitted_count: u64,
    /// Files that changed in each reading: the first of them.
    pub fuzzy: Vec<String>,
    /// How many of those there are.
    pub fuzzy_count: u64,
}

/// Saves a directory. On an error the head and all older snapshots are as they were.
pub fn save(repository: &Repository, save: &Save) -> Result<Receipt, ContentError> {
    let started = Instant::now();
    let old = save.head.as_deref().map(|name| repository.head(name)).transpose()?.flatten();
    let parent = old.as_ref().map(|(head, _)| repository.snapshot(head.snapshot).map(|s| (head.snapshot, s))).transpose()?;
    let stamps = match (&save.cache, &parent) {
        (Some(path), Some((digest, _))) => Stamps::load(path, *digest),
        _ => None,
    };
    let before = stamps.as_ref().zip(parent.as_ref());
    let before = before.map(|(stamps, (_, parent))| Before { root: parent.root.tree, stamps });
    let captured = capture(repository, &Plan { root: save.root.clone(), ids: save.ids, threads: save.threads, before })?;
    if let (Some((_, parent)), false, Some(name)) = (&parent, save.allow_shrink, &save.head) {
        refuse_shrinking(name, parent, &captured)?;
    }
    let snapshot = describe(save, parent.as_ref().map(|(digest, _)| *digest), &captured);
    let bytes = snapshot.encode();
    let digest = Digest::of(&bytes);
    repository.put_verified("snapshot", &digest.key("snapshots"), digest, &bytes)?;
    let head = save.head.as_deref().map(|name| move_head(repository, name, old, digest)).transpose()?;
    if let Some(cache) = &save.cache {
        captured.stamps.save(cache, digest)?;
    }
    Ok(Receipt {
        snapshot: digest,
        tree: captured.tree,
        entries: snapshot.entries,
        bytes: snapshot.bytes,
        changed: captured.read.0,
        stored: captured.stored.bytes + bytes.len() as u64,
        verified: true,
        seconds: started.elapsed().as_secs_f64(),
        head: head.map(|head| (head.name, head.generation)),
        omitted: snapshot.omitted,
        omitted_count: snapshot.omitted_count,
        fuzzy: snapshot.fuzzy,
        fuzzy_count: snapshot.fuzzy_count,
    })
}

fn describe(save: &Save, parent: Option<Digest>, captured: &Captured) -> Snapshot {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Snapshot {
        bytes: captured.totals.bytes,
        created,
        creator: concat!("crannog-content ", env!("CARGO_PKG_VERSION")).to_owned(),
        entries: captured.totals.entries,
        files: captured.totals.files,
        fuzzy: captured.notes.fuzzy.clone(),
        fuzzy_count: captured.notes.fuzzy_count,
        image: save.image.clone(),
        kind: save.kind,
        omitted: captured.notes.omitted.clone(),
        omitted_count: captured.notes.omitted_count,
        parent,
        root: Root::new(captured.tree, &captured.root),
        version: snapshot::VERSION,
    }
}

/// An empty directory, because a mount is missing, must not become what the next start begins with.
fn refuse_shrinking(name: &str, parent: &Snapshot, captured: &Captured) -> Result<(), ContentError> {
    let shrunk = |old: u64, new: u64| new < old.div_ceil(10);
    if shrunk(parent.entries, captured.totals.entries) || shrunk(parent.bytes, captured.totals.bytes) {
        let (old, new) = (parent.entries, captured.totals.entries);
        return Err(ContentError::Shrunk { name: to_text(name.as_bytes()), old, new });
    }
    Ok(())
}

fn move_head(repository: &Repository, name: &str, old: Option<(Head, Vec<u8>)>, snapshot: Digest) -> Result<Head, ContentError> {
    let head = Head::following(name, old.as_ref().map(|(head, _)| head), snapshot);
    let expected = old.as_ref().map(|(_, bytes)| bytes.as_slice());
    let moved = repository.store.compare_and_set(&format!("heads/{name}"), expected, &head.encode())?;
    let read = repository.head(name)?.map(|(read, _)| read);
    if moved && read.as_ref() == Some(&head) { Ok(head) } else { Err(ContentError::HeadMoved { name: name.to_owned() }) }
}
