//! Writing a tree object.

use crate::varint::{put, put_bytes, put_signed};

use super::{Entry, File, Node, Tree};

pub(super) const MAGIC: &[u8; 8] = b"CRNGTREE";
pub(super) const VERSION: u8 = 1;

impl Tree {
    /// The canonical bytes. Entries must be in order and keep the rules, as those of a capture do.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.entries.len() * 72);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        put(&mut out, self.entries.len() as u64);
        for entry in &self.entries {
            put_entry(&mut out, entry);
        }
        out
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let meta = &entry.meta;
    put_bytes(out, &entry.name);
    out.push(match &entry.node {
        Node::File(_) => 1,
        Node::Dir(_) => 2,
        Node::Symlink(_) => 3,
        Node::Fifo => 4,
    });
    for number in [meta.mode, meta.uid, meta.gid] {
        put(out, number.into());
    }
    put_signed(out, meta.mtime_s);
    put(out, meta.mtime_ns.into());
    put(out, meta.xattrs.len() as u64);
    for (name, value) in &meta.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    match &entry.node {
        Node::File(file) => put_file(out, file),
        Node::Dir(below) => {
            out.extend_from_slice(&below.digest.0);
            for number in [below.totals.entries, below.totals.files, below.totals.bytes] {
                put(out, number);
            }
        }
        Node::Symlink(target) => put_bytes(out, target),
        Node::Fifo => {}
    }
}

fn put_file(out: &mut Vec<u8>, file: &File) {
    put(out, file.link_group);
    put(out, file.size);
    put(out, file.holes.len() as u64);
    let mut at = 0;
    for (start, length) in &file.holes {
        put(out, start - at);
        put(out, *length);
        at = start + length;
    }
    if let Some(digest) = file.digest {
        out.extend_from_slice(&digest.0);
        put(out, file.chunks.len() as u64);
        if let [_, _, ..] = file.chunks.as_slice() {
            for chunk in &file.chunks {
                out.extend_from_slice(&chunk.digest.0);
                put(out, chunk.length.into());
            }
        }
    }
}
