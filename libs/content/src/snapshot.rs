//! A snapshot: a root tree and how it came to be. `docs/formats/snapshot.md`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::FormatError;
use crate::tree::{Meta, Totals};

/// The version that is written.
pub const VERSION: u32 = 1;
/// How many names of what was not kept are listed; the rest is only counted.
pub const MAX_LISTED: usize = 1000;

/// The fields stand in the order of their names, which makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Sizes of all files.
    pub bytes: u64,
    /// Seconds since 1970; for people.
    pub created: u64,
    /// Program and version.
    pub creator: String,
    /// Entries below the root.
    pub entries: u64,
    /// Names of regular files.
    pub files: u64,
    /// Files that changed in each of three readings.
    pub fuzzy: Vec<String>,
    /// How many those are in all.
    pub fuzzy_count: u64,
    /// Digest of the image that the tree is of.
    pub image: Option<String>,
    /// Whether anything could change meanwhile.
    pub kind: Kind,
    /// What is there and was not kept.
    pub omitted: Vec<Omitted>,
    /// How many those are in all.
    pub omitted_count: u64,
    /// The snapshot it was made from.
    pub parent: Option<Digest>,
    /// The tree.
    pub root: Root,
    /// Always [`VERSION`].
    pub version: u32,
}

/// What a snapshot promises about the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing wrote meanwhile.
    Exact,
    /// Each file is some state that it had; nothing is promised across files.
    Running,
}

/// Something that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Omitted {
    /// Its path as text.
    pub path: String,
    /// Why not.
    pub why: String,
}

/// The root directory: its tree and its own attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    gid: u32,
    mode: u32,
    mtime_ns: u32,
    mtime_s: i64,
    /// Digest of the tree object.
    pub tree: Digest,
    uid: u32,
    xattrs: Vec<(String, String)>,
}

impl Root {
    /// From a tree and the attributes of the directory.
    pub fn new(tree: Digest, meta: &Meta) -> Self {
        let xattrs = meta.xattrs.iter().map(|(name, value)| (hex::encode(name), hex::encode(value))).collect();
        let Meta { mode, uid, gid, mtime_s, mtime_ns, .. } = *meta;
        Self { gid, mode, mtime_ns, mtime_s, tree, uid, xattrs }
    }

    /// The attributes of the directory.
    pub fn meta(&self) -> Result<Meta, FormatError> {
        let bytes = |text: &String| hex::decode(text).map_err(|_| refuse("an extended attribute is not hexadecimal"));
        let pair = |(name, value): &(String, String)| Ok((bytes(name)?, bytes(value)?));
        let xattrs = self.xattrs.iter().map(pair).collect::<Result<_, FormatError>>()?;
        let Self { mode, uid, gid, mtime_s, mtime_ns, .. } = *self;
        Ok(Meta { mode, uid, gid, mtime_s, mtime_ns, xattrs })
    }
}

impl Snapshot {
    /// What is below the root.
    pub fn totals(&self) -> Totals {
        Totals { entries: self.entries, files: self.files, bytes: self.bytes }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to become JSON: no maps, no floats.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes of the snapshot `name`.
    pub fn decode(name: Digest, bytes: &[u8]) -> Result<Self, FormatError> {
        if Digest::of(bytes) != name {
            return Err(FormatError::Altered { object: "snapshot", expected: name });
        }
        check_version("snapshot", bytes, VERSION)?;
        let snapshot: Self = serde_json::from_slice(bytes).map_err(|_| refuse("it is not JSON of this form"))?;
        snapshot.root.meta()?;
        if snapshot.encode() == bytes { Ok(snapshot) } else { Err(refuse("it is not in its canonical form")) }
    }
}

/// Refuses JSON of another version before anything else of it is looked at.
pub(crate) fn check_version(object: &'static str, bytes: &[u8], known: u32) -> Result<(), FormatError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let malformed = |_| FormatError::Malformed { object, why: "it has no version" };
    let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
    if version == u64::from(known) { Ok(()) } else { Err(FormatError::Version { object, found: version }) }
}

fn refuse(why: &'static str) -> FormatError {
    FormatError::Malformed { object: "snapshot", why }
}
