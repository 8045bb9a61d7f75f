//! A store and what its packs hold: finds objects by digest and checks every byte before it is seen.

mod reader;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::digest::Digest;
use crate::error::ContentError;
use crate::head::{self, Head};
use crate::index::{BlobRecord, FrameRecord, Index, Kind, TRAILER, Trailer};
use crate::snapshot::Snapshot;
use crate::store::{Listed, Store};

pub use reader::Reader;
pub use writer::{Stored, Writer};

/// Where a blob is.
#[derive(Debug, Clone, Copy)]
pub struct Location {
    /// Name of the pack.
    pub pack: Digest,
    /// Number of the frame in it.
    pub number: u32,
    /// The frame.
    pub frame: FrameRecord,
    /// Where in the plain frame.
    pub blob: BlobRecord,
}

/// An open store with the indexes of its packs in memory.
pub struct Repository {
    pub(crate) store: Arc<dyn Store>,
    blobs: RwLock<HashMap<(Kind, Digest), Location>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").finish_non_exhaustive()
    }
}

impl Repository {
    /// Reads the indexes of all packs; one that is damaged is an error.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ContentError> {
        let (repository, damaged) = Self::open_damaged(store)?;
        damaged.into_iter().next().map_or(Ok(repository), |(_, error)| Err(error))
    }

    /// As [`Repository::open`], but packs whose index is damaged are left out and listed.
    pub fn open_damaged(store: Arc<dyn Store>) -> Result<(Self, Vec<(String, ContentError)>), ContentError> {
        let repository = Self { store, blobs: RwLock::default() };
        let mut damaged = Vec::new();
        for listed in repository.store.list("packs")? {
            match load_index(&*repository.store, &listed) {
                Ok((pack, index)) => repository.add(pack, &index),
                Err(error) => damaged.push((listed.key, error)),
            }
        }
        Ok((repository, damaged))
    }

    /// Where a blob is, if it is in the store.
    pub fn find(&self, kind: Kind, digest: Digest) -> Option<Location> {
        self.blobs.read().unwrap_or_else(PoisonError::into_inner).get(&(kind, digest)).copied()
    }

    /// A reader; each thread has its own, since it keeps the frames it opened last.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// How many blobs of a kind there are, and their plain bytes.
    pub fn count(&self, kind: Kind) -> (u64, u64) {
        let blobs = self.blobs.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = blobs.iter().filter(|((blob, _), _)| *blob == kind);
        of_kind.fold((0, 0), |(count, bytes), (_, at)| (count + 1, bytes + u64::from(at.blob.length)))
    }

    /// The snapshot of that digest.
    pub fn snapshot(&self, digest: Digest) -> Result<Snapshot, ContentError> {
        let key = digest.key("snapshots");
        let bytes = self.store.get(&key)?.ok_or(ContentError::Missing { object: "snapshot", digest })?;
        Snapshot::decode(digest, &bytes).map_err(ContentError::format(key))
    }

    /// The head of that name and its bytes, if there is one.
    pub fn head(&self, name: &str) -> Result<Option<(Head, Vec<u8>)>, ContentError> {
        if !head::good_name(name) {
            let why = "letters, digits, `.`, `_` and `-`, at most 128, not beginning with a dot";
            return Err(ContentError::Invalid { what: "head", value: name.to_owned(), why });
        }
        let key = format!("heads/{name}");
        let Some(bytes) = self.store.get(&key)? else { return Ok(None) };
        Ok(Some((Head::decode(name, &bytes).map_err(ContentError::format(key))?, bytes)))
    }

    /// What a person named: a digest, the beginning of one (8 letters or more), or a head.
    pub fn resolve(&self, name: &str) -> Result<Digest, ContentError> {
        if let Some(digest) = Digest::parse(name) {
            return Ok(digest);
        }
        if head::good_name(name)
            && let Some((head, _)) = self.head(name)?
        {
            return Ok(head.snapshot);
        }
        let mut found = self.snapshots()?.into_iter().filter(|digest| name.len() >= 8 && digest.to_string().starts_with(name));
        match (found.next(), found.next()) {
            (Some(digest), None) => Ok(digest),
            _ => Err(ContentError::NotFound { what: "snapshot", name: name.to_owned() }),
        }
    }

    /// The digests of all snapshots, as their keys say.
    pub fn snapshots(&self) -> Result<Vec<Digest>, ContentError> {
        Ok(self.store.list("snapshots")?.iter().filter_map(|listed| digest_of_key(&listed.key)).collect())
    }

    /// The names of all heads.
    pub fn heads(&self) -> Result<Vec<String>, ContentError> {
        Ok(self.store.list("heads")?.iter().filter_map(|l| l.key.strip_prefix("heads/").map(str::to_owned)).collect())
    }

    fn add(&self, pack: Digest, index: &Index) {
        let mut blobs = self.blobs.write().unwrap_or_else(PoisonError::into_inner);
        for blob in &index.blobs {
            let at = Location { pack, number: blob.frame, frame: index.frames[blob.frame as usize], blob: *blob };
            blobs.entry((index.kind, blob.digest)).or_insert(at);
        }
    }
}

/// The digest at the end of a key.
pub(crate) fn digest_of_key(key: &str) -> Option<Digest> {
    key.rsplit('/').next().and_then(Digest::parse)
}

/// Reads and checks the index of a pack.
pub(crate) fn load_index(store: &dyn Store, listed: &Listed) -> Result<(Digest, Index), ContentError> {
    let refuse = |why| ContentError::format(&listed.key)(crate::FormatError::Malformed { object: "pack", why });
    let name = digest_of_key(&listed.key).filter(|name| name.key("packs") == listed.key);
    let name = name.ok_or_else(|| refuse("its key is not that of a pack"))?;
    let start = listed.size.checked_sub(TRAILER as u64).ok_or_else(|| refuse("it is shorter than a trailer"))?;
    let trailer = store.get_range(&listed.key, start..listed.size)?;
    let trailer = Trailer::decode(&trailer, listed.size).map_err(ContentError::format(&listed.key))?;
    let tail = store.get_range(&listed.key, trailer.index_offset..listed.size)?;
    let index = Index::decode(name, &tail, listed.size).map_err(ContentError::format(&listed.key))?;
    Ok((name, index))
}
