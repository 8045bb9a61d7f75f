//! After the walk: hard links get their groups, and trees are encoded from the deepest up.

use std::collections::HashMap;

use super::super::{Captured, Stamps};
use super::Walked;
use crate::digest::Digest;
use crate::error::ContentError;
use crate::frame;
use crate::index::Kind;
use crate::long_path::join;
use crate::repository::{Repository, Stored, Writer};
use crate::tree::{File, Node, Subtree, Totals, Tree, link_group};

/// Encodes and stores the trees of a walk whose chunks are durable.
pub(in super::super) fn encode(repository: &Repository, walked: Walked, data: Stored) -> Result<Captured, ContentError> {
    let writer = Writer::new(repository, Kind::Trees);
    let mut frames = frame::Builder::new().map_err(ContentError::store("compress", "trees"))?;
    let groups = groups(walked.links);
    let mut stamps = Stamps::default();
    let mut done: Vec<Subtree> = vec![Subtree { digest: Digest([0; 32]), totals: Totals::default() }; walked.dirs.len()];
    for (number, mut dir) in walked.dirs.into_iter().enumerate().rev() {
        for entry in &mut dir.entries {
            match &mut entry.node {
                Node::Dir(below) => {
                    if let Some(child) = dir.children.get(&entry.name) {
                        *below = done[*child];
                    }
                }
                Node::File(file) => {
                    if let Some(linked) = groups.get(&join(&dir.path, &entry.name)) {
                        *file = linked.clone();
                    }
                }
                Node::Symlink(_) | Node::Fifo => {}
            }
        }
        stamps.add(dir.path, dir.stamps, walked.started);
        let tree = Tree { entries: dir.entries };
        done[number] = Subtree { digest: store(&writer, &mut frames, &tree)?, totals: tree.totals() };
    }
    frames.finish().map_or(Ok(()), |frame| writer.push(&frame))?;
    let trees = writer.finish()?;
    let stored = Stored { objects: data.objects + trees.objects, bytes: data.bytes + trees.bytes };
    let Subtree { digest: tree, totals } = done[0];
    Ok(Captured { tree, root: walked.root, totals, read: walked.read, stored, notes: walked.notes, stamps })
}

/// For each path of a file with several names inside the tree, the file they all are.
fn groups(links: HashMap<super::Identity, super::Linked>) -> HashMap<Vec<u8>, File> {
    let mut groups = HashMap::new();
    for (_, mut linked) in links {
        linked.paths.sort_unstable();
        linked.paths.dedup();
        if let (Some(file), [first, _, ..]) = (linked.file, linked.paths.as_slice()) {
            let file = File { link_group: link_group(first), ..file };
            groups.extend(linked.paths.into_iter().map(|path| (path, file.clone())));
        }
    }
    groups
}

fn store(writer: &Writer<'_>, frames: &mut frame::Builder, tree: &Tree) -> Result<Digest, ContentError> {
    let bytes = tree.encode();
    let digest = Digest::of(&bytes);
    if bytes.len() > frame::MAX {
        let why = "its tree object would be longer than 1 GiB";
        return Err(ContentError::Invalid { what: "directory", value: digest.to_string(), why });
    }
    if writer.claim(digest)
        && let Some(frame) = frames.push(digest, &bytes)
    {
        writer.push(&frame)?;
    }
    Ok(digest)
}
