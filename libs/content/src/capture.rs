//! Walks a directory and makes trees of it, while it may change. Nothing is followed, nothing blocks, and everything is
//! opened relative to the root that was opened first. Memory holds the entries, and of the data one piece for each thread.

mod file;
mod stamps;
mod walk;
mod xattrs;

use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::ContentError;
use crate::path_text::to_text;
use crate::repository::{Repository, Stored, Writer};
use crate::snapshot::{MAX_LISTED, Omitted};
use crate::tree::{Meta, Totals};

pub use stamps::Stamps;
pub(crate) use xattrs::kept as kept_xattr;

/// Which ids of the node are which in the container: `first..first + count` become `0..count`.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    /// The id of the node that is root inside.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// What an id outside of the range becomes: nobody.
const NOBODY: u32 = 65_534;

impl IdRange {
    /// Ids as they are.
    pub const ALL: Self = Self { first: 0, count: u32::MAX };

    /// The id inside; [`NOBODY`] and `false` when it has none.
    fn inside(self, id: u32) -> (u32, bool) {
        match id.checked_sub(self.first) {
            Some(inside) if inside < self.count => (inside, true),
            _ => (NOBODY, false),
        }
    }

    /// The id of the node; `None` when it has none.
    pub fn outside(self, id: u32) -> Option<u32> {
        if id < self.count { self.first.checked_add(id) } else { None }
    }
}

/// What is known from the save before: its tree, and the stamps that files had then.
#[derive(Debug)]
pub struct Before<'a> {
    /// The root tree.
    pub root: Digest,
    /// Inode numbers and change times.
    pub stamps: &'a Stamps,
}

/// What to capture, and how.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The directory.
    pub root: PathBuf,
    /// Ids inside the container.
    pub ids: IdRange,
    /// How many threads read.
    pub threads: usize,
    /// The save before, if unchanged files need not be read.
    pub before: Option<Before<'a>>,
}

/// What became of a directory. All of its chunks and trees are durable.
#[derive(Debug)]
pub struct Captured {
    /// Digest of the root tree.
    pub tree: Digest,
    /// Attributes of the root itself.
    pub root: Meta,
    /// What is below it.
    pub totals: Totals,
    /// Files that were read, and their bytes.
    pub read: (u64, u64),
    /// What was written.
    pub stored: Stored,
    /// What was not kept, and what kept changing.
    pub notes: Notes,
    /// The stamps for the next save.
    pub stamps: Stamps,
}

/// What a person must be told of a capture.
#[derive(Debug, Default)]
pub struct Notes {
    /// The first of what was not kept.
    pub omitted: Vec<Omitted>,
    /// All of it.
    pub omitted_count: u64,
    /// The first of what changed in each reading.
    pub fuzzy: Vec<String>,
    /// All of it.
    pub fuzzy_count: u64,
}

impl Notes {
    fn omit(&mut self, path: &[u8], why: &str) {
        self.omitted_count += 1;
        if self.omitted.len() < MAX_LISTED {
            self.omitted.push(Omitted { path: to_text(path), why: why.to_owned() });
        }
    }

    fn fuzzy(&mut self, path: &[u8]) {
        self.fuzzy_count += 1;
        if self.fuzzy.len() < MAX_LISTED {
            self.fuzzy.push(to_text(path));
        }
    }
}

/// Captures a directory: its chunks, then its trees, are in the store when this returns.
pub fn capture(repository: &Repository, plan: &Plan<'_>) -> Result<Captured, ContentError> {
    let chunks = Writer::new(repository, crate::index::Kind::Chunks);
    let walked = walk::walk(repository, plan, &chunks)?;
    let data = chunks.finish()?;
    walk::encode(repository, walked, data)
}
