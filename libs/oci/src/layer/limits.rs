//! How much an image may ask for. Counted after decoding, so that a bomb is measured by what it becomes.

use super::LayerError;
use crate::archive::Entry;

/// Bounds for one image, all layers together unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members.
    pub entries: u64,
    /// Bytes of all names and link targets; bounds what is kept in memory.
    pub name_bytes: u64,
    /// Bytes of one path; Linux's own limit.
    pub path: usize,
    /// Directories within each other.
    pub depth: usize,
    /// Bytes of one file, holes included.
    pub file_bytes: u64,
    /// Bytes unpacked.
    pub image_bytes: u64,
    /// Unpacked bytes for each packed one, beyond the first 64 MiB. gzip cannot pass 1032.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            name_bytes: 256 << 20,
            path: 4096,
            depth: 256,
            file_bytes: 32 << 30,
            image_bytes: 128 << 30,
            ratio: 1_100,
        }
    }
}

/// What is left of the bounds while the layers of one image are applied.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    entries: u64,
    name_bytes: u64,
    bytes: u64,
}

impl Budget {
    /// A fresh one for an image.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: 0, name_bytes: 0, bytes: 0 }
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts a member; its data is counted as it is written.
    pub(crate) fn take_entry(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let limits = self.limits;
        self.entries += 1;
        self.name_bytes += (entry.path.len() + entry.link.len()) as u64;
        within(self.entries, limits.entries, "members")?;
        within(self.name_bytes, limits.name_bytes, "bytes of names")?;
        within(entry.size, limits.file_bytes, "bytes in one file")
    }

    /// Counts bytes that are about to be written.
    pub(crate) fn take_bytes(&mut self, bytes: usize) -> Result<(), LayerError> {
        self.bytes += bytes as u64;
        within(self.bytes, self.limits.image_bytes, "bytes unpacked")
    }
}

pub(crate) fn within(value: u64, limit: u64, what: &'static str) -> Result<(), LayerError> {
    match value <= limit {
        true => Ok(()),
        false => Err(LayerError::TooLarge { what, limit }),
    }
}
