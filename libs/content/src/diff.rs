//! What differs between two trees. Equal digests are skipped, so the cost is the difference.

use serde::Serialize;

use crate::digest::Digest;
use crate::error::ContentError;
use crate::long_path::join;
use crate::path_text::to_text;
use crate::repository::Reader;
use crate::tree::{Entry, Node, Tree};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The path as text.
    pub path: String,
    /// What happened to it on the way from the first tree to the second.
    pub change: What,
}

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Only in the second; so is everything below it, which is not listed.
    Added,
    /// Only in the first; so is everything below it, which is not listed.
    Removed,
    /// Another kind, other bytes or another target.
    Content,
    /// Only its attributes differ.
    Attributes,
}

/// Lists what differs, by path in each directory, the upper directories first.
pub fn diff(reader: &mut Reader<'_>, first: Digest, second: Digest) -> Result<Vec<Change>, ContentError> {
    let (mut changes, mut left) = (Vec::new(), vec![(Vec::new(), first, second)]);
    while let Some((path, first, second)) = left.pop() {
        if first == second {
            continue;
        }
        for (old, new) in pairs(&reader.tree(first)?, &reader.tree(second)?) {
            let Some(entry) = new.as_ref().or(old.as_ref()) else { continue };
            let path = join(&path, &entry.name);
            let change = match (&old, &new) {
                (None, _) => Some(What::Added),
                (_, None) => Some(What::Removed),
                (Some(old), Some(new)) => compare(old, new),
            };
            changes.extend(change.map(|change| Change { path: to_text(&path), change }));
            if let (Some(Entry { node: Node::Dir(old), .. }), Some(Entry { node: Node::Dir(new), .. })) = (&old, &new) {
                left.push((path, old.digest, new.digest));
            }
        }
    }
    Ok(changes)
}

fn compare(old: &Entry, new: &Entry) -> Option<What> {
    let same = match (&old.node, &new.node) {
        (Node::Dir(_), Node::Dir(_)) => true,
        (Node::File(old), Node::File(new)) => (old.size, old.digest, &old.holes) == (new.size, new.digest, &new.holes),
        (old, new) => old == new,
    };
    let links = match (&old.node, &new.node) {
        (Node::File(old), Node::File(new)) => old.link_group == new.link_group,
        _ => true,
    };
    match (same, old.meta == new.meta && links) {
        (false, _) => Some(What::Content),
        (true, false) => Some(What::Attributes),
        (true, true) => None,
    }
}

/// Entries of both by name, in order.
fn pairs(first: &Tree, second: &Tree) -> Vec<(Option<Entry>, Option<Entry>)> {
    let mut pairs: Vec<_> = first.entries.iter().map(|old| (Some(old.clone()), second.get(&old.name).cloned())).collect();
    pairs.extend(second.entries.iter().filter(|new| first.get(&new.name).is_none()).map(|new| (None, Some(new.clone()))));
    pairs
}
