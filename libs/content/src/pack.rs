//! A pack in the making: frames one after another, closed by their index. `docs/formats/frame-and-pack.md`.

use crate::digest::Digest;
use crate::frame::{self, Frame};
use crate::index::{BlobRecord, FrameRecord, Index, Kind};

/// A pack with at least this many bytes is closed. It is held in memory until it is durable.
pub const TARGET: usize = 16 << 20;
/// What the index of a pack of small files takes, about.
const INDEX_ROOM: usize = 1 << 20;

/// A finished pack.
#[derive(Debug)]
pub struct Pack {
    /// Its name.
    pub digest: Digest,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub index: Index,
}

/// Gathers frames.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    index: Index,
}

impl Builder {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        Self { bytes: Vec::new(), index: Index { kind, frames: Vec::new(), blobs: Vec::new() } }
    }

    /// Adds a frame; gives back the pack when it became full. No blob may be given twice.
    pub fn push(&mut self, frame: &Frame) -> Option<Pack> {
        if self.bytes.is_empty() {
            // At once, for a vector that doubles would take twice the memory of a pack.
            self.bytes.reserve_exact(TARGET + frame::MAX_CHUNKS + INDEX_ROOM);
        }
        let number = self.index.frames.len() as u32;
        self.index.frames.push(FrameRecord {
            digest: frame.digest,
            offset: self.bytes.len() as u64,
            stored: frame.stored.len() as u32,
            plain: frame.plain,
            encoding: frame.encoding,
        });
        self.index.blobs.extend(frame.parts.iter().map(|part| BlobRecord {
            digest: part.digest,
            frame: number,
            offset: part.offset,
            length: part.length,
        }));
        self.bytes.extend_from_slice(&frame.stored);
        if self.bytes.len() >= TARGET { self.finish() } else { None }
    }

    /// The pack of what was gathered, if anything was.
    pub fn finish(&mut self) -> Option<Pack> {
        if self.index.frames.is_empty() {
            return None;
        }
        let done = std::mem::replace(self, Self::new(self.index.kind));
        let (mut bytes, mut index) = (done.bytes, done.index);
        index.blobs.sort_unstable_by_key(|blob| blob.digest);
        let tail = index.encode();
        bytes.extend_from_slice(&tail);
        Some(Pack { digest: Digest::of(&tail), bytes, index })
    }
}
