//! Looking into a snapshot without restoring it: any entry by its path, any range of any file.

use std::io::Write;

use crate::digest::Digest;
use crate::error::ContentError;
use crate::path_text::to_text;
use crate::repository::Reader;
use crate::snapshot::Snapshot;
use crate::tree::{Entry, File, Node, Subtree, Tree};

/// Finds the entry at a path (raw bytes, `/` between names). The root is a directory without a name.
pub fn find(reader: &mut Reader<'_>, snapshot: &Snapshot, path: &[u8]) -> Result<Entry, ContentError> {
    let meta = snapshot.root.meta().map_err(ContentError::format("snapshot"))?;
    let root = Node::Dir(Subtree { digest: snapshot.root.tree, totals: snapshot.totals() });
    let mut entry = Entry { name: Vec::new(), meta, node: root };
    for name in path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        let missing = || ContentError::NotFound { what: "path", name: to_text(path) };
        let Node::Dir(below) = entry.node else { return Err(missing()) };
        entry = reader.tree(below.digest)?.get(name).ok_or_else(missing)?.clone();
    }
    Ok(entry)
}

/// The tree of a directory; a path of anything else is refused.
pub fn directory(reader: &mut Reader<'_>, entry: &Entry) -> Result<Tree, ContentError> {
    match &entry.node {
        Node::Dir(below) => reader.tree(below.digest),
        _ => Err(ContentError::Invalid { what: "path", value: to_text(&entry.name), why: "it is not a directory" }),
    }
}

/// Calls `piece` with each stretch of data within `offset..offset + length` of a file, in order, with its offset. What
/// no piece covers is zeros. Only the chunks that are needed are read.
pub fn data<E: From<ContentError>>(
    reader: &mut Reader<'_>,
    file: &File,
    offset: u64,
    length: u64,
    mut piece: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let end = offset.saturating_add(length).min(file.size);
    let mut ranges = file.data_ranges().into_iter();
    let mut range = ranges.next().unwrap_or((file.size, 0));
    for chunk in &file.chunks {
        // A chunk may lie across several stretches, and a stretch across several chunks.
        let (mut parts, mut used) = (Vec::new(), 0);
        while used < u64::from(chunk.length) {
            while range.1 == 0 {
                range = ranges.next().unwrap_or((range.0, u64::MAX));
            }
            let take = range.1.min(u64::from(chunk.length) - used);
            let (from, to) = (range.0.max(offset), (range.0 + take).min(end));
            if from < to {
                parts.push((from, (used + from - range.0) as usize, (to - from) as usize));
            }
            range = (range.0 + take, range.1 - take);
            used += take;
        }
        if parts.is_empty() {
            continue;
        }
        reader.chunk(chunk.digest, |bytes| {
            parts.iter().try_for_each(|(at, from, count)| piece(*at, &bytes[*from..from + count]))
        })??;
    }
    Ok(())
}

/// Writes a range of a file, holes as zeros; less than `length` when the file ends before.
pub fn copy(reader: &mut Reader<'_>, file: &File, offset: u64, length: u64, out: &mut dyn Write) -> Result<(), ContentError> {
    let mut at = offset;
    let mut failed = |at: u64, bytes: &[u8], zeros: u64| {
        let zeros = std::io::copy(&mut std::io::Read::take(std::io::repeat(0), zeros), out);
        zeros.and_then(|_| out.write_all(bytes)).map_err(ContentError::file("write byte", at.to_string()))
    };
    data(reader, file, offset, length, |start, bytes| {
        failed(start, bytes, start - at)?;
        at = start + bytes.len() as u64;
        Ok::<_, ContentError>(())
    })?;
    let end = offset.saturating_add(length).min(file.size);
    failed(at, &[], end.saturating_sub(at))
}

/// Whether these are the bytes of the whole file: its chunks are, and in this order they make its digest.
pub(crate) fn check_whole(file: &File, whole: &blake3::Hasher, name: &[u8]) -> Result<(), ContentError> {
    match file.digest {
        Some(expected) if file.chunks.len() > 1 && Digest(*whole.finalize().as_bytes()) != expected => {
            Err(ContentError::format(to_text(name))(crate::FormatError::Altered { object: "file", expected }))
        }
        _ => Ok(()),
    }
}
