//! Proves that everything in a store can be restored, or names what cannot, and the paths it touches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::digest::Digest;
use crate::error::{ContentError, FormatError};
use crate::long_path::join;
use crate::path_text::to_text;
use crate::repository::{Reader, Repository, load_index};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tree::{Node, Totals};

/// How many paths are named for each problem.
const MAX_PATHS: usize = 100;

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its key, or kind and digest.
    pub object: String,
    /// What is wrong.
    pub why: String,
    /// Snapshot and path of what cannot be restored because of it; the first hundred.
    pub paths: Vec<(Digest, String)>,
}

/// What was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Empty when all is well.
    pub problems: Vec<Problem>,
    /// Heads.
    pub heads: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Different directories in them.
    pub trees: u64,
    /// Packs.
    pub packs: u64,
    /// Stored bytes that were read and compared with their digests.
    pub bytes_read: u64,
}

struct Check<'r> {
    repository: &'r Repository,
    reader: Reader<'r>,
    problems: HashMap<String, Problem>,
    /// Trees without a problem anywhere below, and what is below.
    sound: HashMap<Digest, Totals>,
    /// Chunks in frames whose bytes are wrong, and the key of the pack.
    broken: HashMap<Digest, String>,
    trees: HashSet<Digest>,
}

/// Checks a store: all that is named is there and is what it should be; with `read_data` every stored byte as well.
pub fn check(store: &Arc<dyn Store>, read_data: bool) -> Result<Report, ContentError> {
    let mut report = Report::default();
    let (repository, damaged) = Repository::open_damaged(store.clone())?;
    let (problems, sound, broken) = Default::default();
    let reader = repository.reader();
    let mut check = Check { repository: &repository, reader, problems, sound, broken, trees: HashSet::new() };
    for (key, error) in damaged {
        check.problem(key, &error);
    }
    if read_data {
        report.bytes_read = check.read_packs()?;
    }
    report.packs = store.list("packs")?.len() as u64;
    report.heads = check.heads()?;
    for listed in store.list("snapshots")? {
        report.snapshots += 1;
        match crate::repository::digest_of_key(&listed.key) {
            Some(digest) if digest.key("snapshots") == listed.key => check.snapshot(digest),
            _ => check.note(listed.key, "it is not the key of a snapshot".to_owned()),
        }
    }
    report.trees = check.trees.len() as u64;
    report.problems = check.problems.into_values().collect();
    report.problems.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(report)
}

impl Check<'_> {
    fn note(&mut self, object: String, why: String) {
        let empty = || Problem { object: object.clone(), why, paths: Vec::new() };
        self.problems.entry(object.clone()).or_insert_with(empty);
    }

    fn problem(&mut self, object: String, error: &ContentError) {
        let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        self.note(object, cause);
    }

    fn touch(&mut self, object: String, why: &str, snapshot: Digest, path: &[u8]) {
        self.note(object.clone(), why.to_owned());
        if let Some(problem) = self.problems.get_mut(&object).filter(|problem| problem.paths.len() < MAX_PATHS) {
            problem.paths.push((snapshot, to_text(path)));
        }
    }

    fn heads(&mut self) -> Result<u64, ContentError> {
        let names = self.repository.heads()?;
        for name in &names {
            let head = self.repository.head(name).and_then(|head| {
                let digest = head.ok_or(ContentError::NotFound { what: "head", name: name.clone() })?.0.snapshot;
                self.repository.snapshot(digest)
            });
            if let Err(error) = head {
                self.problem(format!("heads/{name}"), &error);
            }
        }
        Ok(names.len() as u64)
    }

    /// Compares every stored byte of every pack with its digest.
    fn read_packs(&mut self) -> Result<u64, ContentError> {
        let (store, mut read) = (self.repository.store.clone(), 0);
        for listed in store.list("packs")? {
            // A damaged index was noted when the repository was opened.
            let Ok((_, index)) = load_index(&*store, &listed) else { continue };
            for (number, frame) in index.frames.iter().enumerate() {
                let stored = store.get_range(&listed.key, frame.offset..frame.offset + u64::from(frame.stored))?;
                read += stored.len() as u64;
                let opened = if Digest::of(&stored) == frame.digest {
                    crate::frame::open(stored, frame.encoding, frame.plain)
                } else {
                    Err(FormatError::Altered { object: "frame", expected: frame.digest })
                };
                let blobs = index.blobs.iter().filter(|blob| blob.frame as usize == number);
                for blob in blobs {
                    let bytes = opened.as_ref().map(|plain| &plain[blob.offset as usize..][..blob.length as usize]);
                    if bytes.map(Digest::of) != Ok(blob.digest) {
                        self.broken.insert(blob.digest, listed.key.clone());
                        self.note(listed.key.clone(), format!("the bytes of frame {number} are not what they must be"));
                    }
                }
            }
        }
        Ok(read)
    }

    fn snapshot(&mut self, digest: Digest) {
        let snapshot = match self.repository.snapshot(digest) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.problem(digest.key("snapshots"), &error),
        };
        let totals = self.walk(digest, &snapshot);
        if totals.is_some_and(|totals| totals != snapshot.totals()) {
            self.note(digest.key("snapshots"), "its counts are not those of its tree".to_owned());
        }
    }

    /// Walks what is not known to be sound. Gives the totals if everything below could be read.
    fn walk(&mut self, snapshot: Digest, of: &Snapshot) -> Option<Totals> {
        let root = of.root.tree;
        let mut left = vec![(Vec::new(), root, false)];
        // The directories whose parts were pushed, until all below them were seen.
        let mut bad = HashSet::new();
        while let Some((path, digest, seen)) = left.pop() {
            if self.sound.contains_key(&digest) {
                continue;
            }
            let tree = match self.reader.tree(digest) {
                Ok(tree) => tree,
                Err(error) => {
                    let (object, why) = self.blame(&error, "tree", digest);
                    self.touch(object, &why, snapshot, &path);
                    bad.insert(digest);
                    continue;
                }
            };
            if seen {
                let below = tree.entries.iter().filter_map(|entry| match &entry.node {
                    Node::Dir(below) => Some(*below),
                    _ => None,
                });
                if below.clone().any(|below| bad.contains(&below.digest)) || bad.contains(&digest) {
                    bad.insert(digest);
                } else if below.clone().any(|below| self.sound.get(&below.digest) != Some(&below.totals)) {
                    self.touch(format!("tree {digest}"), "its totals are not those of what is below", snapshot, &path);
                    bad.insert(digest);
                } else {
                    self.sound.insert(digest, tree.totals());
                }
                continue;
            }
            self.trees.insert(digest);
            left.push((path.clone(), digest, true));
            for entry in tree.entries {
                let path = join(&path, &entry.name);
                match entry.node {
                    Node::Dir(below) => left.push((path, below.digest, false)),
                    Node::File(file) => {
                        for chunk in &file.chunks {
                            if !self.chunk(snapshot, &path, chunk.digest, chunk.length) {
                                bad.insert(digest);
                            }
                        }
                    }
                    Node::Symlink(_) | Node::Fifo => {}
                }
            }
        }
        self.sound.get(&root).copied()
    }

    fn chunk(&mut self, snapshot: Digest, path: &[u8], digest: Digest, length: u32) -> bool {
        let (object, why) = match (self.repository.find(crate::index::Kind::Chunks, digest), self.broken.get(&digest)) {
            (_, Some(key)) => (key.clone(), "its bytes are not what they must be"),
            (None, _) => (format!("chunk {digest}"), "no sound pack has it"),
            (Some(at), None) if at.blob.length != length => (at.pack.key("packs"), "a chunk has another length"),
            (Some(_), None) => return true,
        };
        self.touch(object, why, snapshot, path);
        false
    }

    fn blame(&self, error: &ContentError, object: &str, digest: Digest) -> (String, String) {
        match error {
            ContentError::Format { key, source } => (key.clone(), source.to_string()),
            ContentError::Store { key, source, .. } => (key.clone(), source.to_string()),
            _ => (format!("{object} {digest}"), "no sound pack has it".to_owned()),
        }
    }
}
