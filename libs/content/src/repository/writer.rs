//! Writing blobs: what the store lacks goes into packs, and each pack is read back before anything may name it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Repository;
use crate::digest::Digest;
use crate::error::{ContentError, FormatError};
use crate::frame::Frame;
use crate::index::Kind;
use crate::pack::{self, Pack};

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes blobs of one kind, from many threads. What was given is durable when [`Writer::finish`] returned.
#[derive(Debug)]
pub struct Writer<'r> {
    repository: &'r Repository,
    kind: Kind,
    claimed: Mutex<HashSet<Digest>>,
    builder: Mutex<pack::Builder>,
    objects: AtomicU64,
    bytes: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'r> Writer<'r> {
    /// A writer of blobs of that kind.
    pub fn new(repository: &'r Repository, kind: Kind) -> Self {
        let builder = Mutex::new(pack::Builder::new(kind));
        Self { repository, kind, claimed: Mutex::default(), builder, objects: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Whether the caller must give this blob: it is not in the store and nobody else has promised it.
    pub fn claim(&self, digest: Digest) -> bool {
        self.repository.find(self.kind, digest).is_none() && locked(&self.claimed).insert(digest)
    }

    /// Adds a frame of claimed blobs. A pack that became full is stored by this thread while others go on.
    pub fn push(&self, frame: &Frame) -> Result<(), ContentError> {
        let full = locked(&self.builder).push(frame);
        full.map_or(Ok(()), |pack| self.store(&pack))
    }

    /// Stores what is left; then everything given is durable and was read back.
    pub fn finish(self) -> Result<Stored, ContentError> {
        let last = locked(&self.builder).finish();
        last.map_or(Ok(()), |pack| self.store(&pack))?;
        Ok(Stored { objects: self.objects.into_inner(), bytes: self.bytes.into_inner() })
    }

    fn store(&self, pack: &Pack) -> Result<(), ContentError> {
        self.repository.put_verified("pack", &pack.digest.key("packs"), pack.digest, &pack.bytes)?;
        self.repository.add(pack.digest, &pack.index);
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(pack.bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Repository {
    /// Stores an object under a name that follows from its bytes, and reads it back.
    pub(crate) fn put_verified(&self, object: &'static str, key: &str, digest: Digest, bytes: &[u8]) -> Result<(), ContentError> {
        self.store.put_if_absent(key, bytes)?;
        match self.store.get(key)? {
            Some(read) if read == bytes => Ok(()),
            Some(_) => Err(ContentError::format(key)(FormatError::Altered { object, expected: digest })),
            None => Err(ContentError::Missing { object, digest }),
        }
    }
}
