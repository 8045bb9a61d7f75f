//! What told a file apart when it was last read: inode number and change time, which no program can set. A cache only:
//! without it everything is read again.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::digest::Digest;
use crate::error::ContentError;
use crate::varint::{Reader, put, put_bytes, put_signed};

const MAGIC: &[u8] = b"CRNGSTMP\x01";
/// A file changed within this time of being read may change again with the same change time: the kernel's clock for
/// files is coarse. Such files are read again next time.
const RACY_NS: i128 = 1_000_000_000;

/// Inode number, and change time in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub inode: u64,
    /// Change time.
    pub changed_ns: i64,
}

/// The stamps of a tree, by directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    /// By path of the directory: names, ascending, and their stamps.
    dirs: HashMap<Vec<u8>, Vec<(Vec<u8>, Stamp)>>,
}

impl Stamps {
    /// The stamp that the file had.
    pub fn get(&self, dir: &[u8], name: &[u8]) -> Option<Stamp> {
        let names = self.dirs.get(dir)?;
        names.binary_search_by(|(other, _)| other.as_slice().cmp(name)).ok().map(|at| names[at].1)
    }

    /// Notes a directory; what changed too close to `now` is left out.
    pub(super) fn add(&mut self, dir: Vec<u8>, mut names: Vec<(Vec<u8>, Stamp)>, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        names.retain(|(_, stamp)| i128::from(stamp.changed_ns) + RACY_NS < now);
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if !names.is_empty() {
            self.dirs.insert(dir, names);
        }
    }

    /// Writes them beside, then under their name. `snapshot` is the save that they belong to.
    pub fn save(&self, path: &Path, snapshot: Digest) -> Result<(), ContentError> {
        let mut out = [MAGIC, &snapshot.0].concat();
        put(&mut out, self.dirs.len() as u64);
        for (dir, names) in &self.dirs {
            put_bytes(&mut out, dir);
            put(&mut out, names.len() as u64);
            for (name, stamp) in names {
                put_bytes(&mut out, name);
                put(&mut out, stamp.inode);
                put_signed(&mut out, stamp.changed_ns);
            }
        }
        let sum = Digest::of(&out);
        out.extend_from_slice(&sum.0);
        let unfinished = path.with_extension(format!("{}.partial", std::process::id()));
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::File::create(&unfinished)?.write_all(&out)?;
            fs::rename(&unfinished, path)
        };
        write().map_err(ContentError::file("write the cache", path))
    }

    /// Reads those of the save `snapshot`; `None` when there are none, or of another save, or damaged.
    pub fn load(path: &Path, snapshot: Digest) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Digest::of(body).0 != sum {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?.strip_prefix(&snapshot.0)?;
        Self::read(&mut Reader::new("cache", rest)).ok()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, crate::FormatError> {
        let mut dirs = HashMap::new();
        for _ in 0..reader.number(u64::MAX)? {
            let dir = reader.bytes(usize::MAX)?.to_vec();
            let mut names = Vec::new();
            for _ in 0..reader.number(u64::MAX)? {
                let name = reader.bytes(usize::MAX)?.to_vec();
                names.push((name, Stamp { inode: reader.number(u64::MAX)?, changed_ns: reader.signed()? }));
            }
            dirs.insert(dir, names);
        }
        Ok(Self { dirs })
    }
}
