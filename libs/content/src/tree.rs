//! One directory, encoded so that it has exactly one form. `docs/formats/tree.md`.

mod decode;
mod encode;

use crate::digest::Digest;

/// The longest name in bytes.
pub const MAX_NAME: usize = 255;
/// The longest text of a symbolic link in bytes.
pub const MAX_TARGET: usize = 4095;
/// How many directories may lie within one another.
pub const MAX_DEPTH: usize = 4096;
/// How many entries a directory may have.
pub const MAX_ENTRIES: usize = 1 << 24;
/// How many extended attributes an entry may have.
pub const MAX_XATTRS: usize = 4096;
/// The longest value of an extended attribute in bytes.
pub const MAX_XATTR_VALUE: usize = 64 << 10;

/// What a directory holds, ascending by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Raw bytes, without `/`.
    pub name: Vec<u8>,
    /// What all kinds have.
    pub meta: Meta,
    /// What only some have.
    pub node: Node,
}

/// Attributes that every kind of entry has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, with set-id and sticky; below 0o10000.
    pub mode: u32,
    /// Owner inside the container.
    pub uid: u32,
    /// Group inside the container.
    pub gid: u32,
    /// Seconds since 1970, before it negative.
    pub mtime_s: i64,
    /// Nanoseconds below a second.
    pub mtime_ns: u32,
    /// Names and values, ascending by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File(File),
    /// A directory.
    Dir(Subtree),
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
}

/// The bytes of a regular file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Names of one file share a number; 0 is a file of one name.
    pub link_group: u64,
    /// Bytes, holes included.
    pub size: u64,
    /// Offset and length of what reads as zeros and takes no space; ascending, not touching.
    pub holes: Vec<(u64, u64)>,
    /// BLAKE3 of the bytes outside holes; of no bytes when there are none.
    pub digest: Option<Digest>,
    /// The chunks that those bytes are made of.
    pub chunks: Vec<Chunk>,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub length: u32,
}

/// A directory within a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    /// Digest of its tree object.
    pub digest: Digest,
    /// What is below it.
    pub totals: Totals,
}

/// How much lies below a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// All entries, of every kind.
    pub entries: u64,
    /// Names of regular files.
    pub files: u64,
    /// Their sizes; a file of two names counts twice.
    pub bytes: u64,
}

impl File {
    /// How many bytes lie outside holes.
    pub fn data_length(&self) -> u64 {
        self.size - self.holes.iter().map(|hole| hole.1).sum::<u64>()
    }

    /// Offset and length of the stretches outside holes, in order.
    pub fn data_ranges(&self) -> Vec<(u64, u64)> {
        let (mut at, mut ranges) = (0, Vec::new());
        for (start, length) in self.holes.iter().copied().chain([(self.size, 0)]) {
            if start > at {
                ranges.push((at, start - at));
            }
            at = start + length;
        }
        ranges
    }
}

impl Totals {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Tree {
    /// What is below this directory, from its entries alone.
    pub fn totals(&self) -> Totals {
        self.entries.iter().fold(Totals::default(), |sum, entry| {
            let own = Totals { entries: 1, ..Totals::default() };
            sum.plus(own).plus(match &entry.node {
                Node::File(file) => Totals { files: 1, bytes: file.size, entries: 0 },
                Node::Dir(below) => below.totals,
                Node::Symlink(_) | Node::Fifo => Totals::default(),
            })
        })
    }

    /// The entry of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok().map(|at| &self.entries[at])
    }
}

/// The number of a group of hard links, from the first of its paths in the order of bytes.
pub fn link_group(first_path: &[u8]) -> u64 {
    let digest = Digest::of(first_path).0;
    let number = digest[..8].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    (number & (u64::MAX >> 1)) | 1
}
