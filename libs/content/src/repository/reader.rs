//! Reading blobs: the stored bytes are checked before they are opened, and the plain ones before they are given away.

use std::sync::Arc;

use super::{Location, Repository};
use crate::digest::Digest;
use crate::error::{ContentError, FormatError};
use crate::frame;
use crate::index::Kind;
use crate::tree::Tree;

/// How many opened frames a reader keeps: neighbours are read one after another.
const KEPT: usize = 3;

/// The pack, and the number of the frame in it.
type FrameName = (Digest, u32);

/// Reads blobs, one after another.
pub struct Reader<'r> {
    repository: &'r Repository,
    kept: Vec<(FrameName, Arc<Vec<u8>>)>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("kept", &self.kept.len()).finish()
    }
}

impl<'r> Reader<'r> {
    pub(super) fn new(repository: &'r Repository) -> Self {
        Self { repository, kept: Vec::new() }
    }

    /// Calls `seen` with the bytes of a chunk, which are those that its name stands for.
    pub fn chunk<T>(&mut self, digest: Digest, seen: impl FnOnce(&[u8]) -> T) -> Result<T, ContentError> {
        self.blob(Kind::Chunks, "chunk", digest, seen)
    }

    /// The tree of that digest.
    pub fn tree(&mut self, digest: Digest) -> Result<Tree, ContentError> {
        self.blob(Kind::Trees, "tree", digest, Tree::decode)?.map_err(ContentError::format(format!("tree {digest}")))
    }

    fn blob<T>(
        &mut self,
        kind: Kind,
        object: &'static str,
        digest: Digest,
        seen: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ContentError> {
        let at = self.repository.find(kind, digest).ok_or(ContentError::Missing { object, digest })?;
        let frame = self.frame(&at)?;
        let bytes = &frame[at.blob.offset as usize..][..at.blob.length as usize];
        if Digest::of(bytes) != digest {
            let key = at.pack.key("packs");
            return Err(ContentError::format(key)(FormatError::Altered { object, expected: digest }));
        }
        Ok(seen(bytes))
    }

    fn frame(&mut self, at: &Location) -> Result<Arc<Vec<u8>>, ContentError> {
        let name = (at.pack, at.number);
        if let Some((_, frame)) = self.kept.iter().find(|(kept, _)| *kept == name) {
            return Ok(frame.clone());
        }
        let frame = Arc::new(open_frame(self.repository, at)?);
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push((name, frame.clone()));
        Ok(frame)
    }
}

fn open_frame(repository: &Repository, at: &Location) -> Result<Vec<u8>, ContentError> {
    let (key, frame) = (at.pack.key("packs"), &at.frame);
    let stored = repository.store.get_range(&key, frame.offset..frame.offset + u64::from(frame.stored))?;
    if Digest::of(&stored) != frame.digest {
        return Err(ContentError::format(key)(FormatError::Altered { object: "frame", expected: frame.digest }));
    }
    frame::open(stored, frame.encoding, frame.plain).map_err(ContentError::format(key))
}
