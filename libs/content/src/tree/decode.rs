//! Reading a tree object that a stranger may have written: whatever breaks a rule is refused.

use crate::chunker;
use crate::error::FormatError;
use crate::varint::Reader;

use super::encode::{MAGIC, VERSION};
use super::{
    Chunk, Entry, File, MAX_ENTRIES, MAX_NAME, MAX_TARGET, MAX_XATTR_VALUE, MAX_XATTRS, Meta, Node, Subtree, Totals, Tree,
};

/// An entry has at least this many bytes; so a count cannot make us reserve more than was sent.
const MIN_ENTRY: usize = 9;

impl Tree {
    /// Reads the canonical bytes; any other encoding is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("tree", bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(reader.refuse("it does not begin as a tree"));
        }
        let version = reader.byte()?;
        if version != VERSION {
            return Err(FormatError::Version { object: "tree", found: version.into() });
        }
        let count = reader.number(MAX_ENTRIES as u64)? as usize;
        let mut entries: Vec<Entry> = Vec::with_capacity(count.min(reader.left() / MIN_ENTRY));
        for _ in 0..count {
            let entry = read_entry(&mut reader)?;
            if entries.last().is_some_and(|last| last.name >= entry.name) {
                return Err(reader.refuse("its names are not in order"));
            }
            entries.push(entry);
        }
        reader.finish()?;
        Ok(Self { entries })
    }
}

/// Whether this can be the name of an entry.
pub(crate) fn good_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_NAME && !name.contains(&b'/') && !name.contains(&0)
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, FormatError> {
    let name = reader.bytes(MAX_NAME)?.to_vec();
    if !good_name(&name) {
        return Err(reader.refuse("a name that no file can have"));
    }
    let kind = reader.byte()?;
    let meta = read_meta(reader)?;
    let node = match kind {
        1 => Node::File(read_file(reader)?),
        2 => Node::Dir(Subtree { digest: reader.digest()?, totals: read_totals(reader)? }),
        3 => Node::Symlink(read_target(reader)?),
        4 => Node::Fifo,
        _ => return Err(reader.refuse("an unknown kind of entry")),
    };
    Ok(Entry { name, meta, node })
}

fn read_meta(reader: &mut Reader<'_>) -> Result<Meta, FormatError> {
    let id = u64::from(u32::MAX - 1);
    let mode = reader.number(0o7777)? as u32;
    let (uid, gid) = (reader.number(id)? as u32, reader.number(id)? as u32);
    let (mtime_s, mtime_ns) = (reader.signed()?, reader.number(999_999_999)? as u32);
    let count = reader.number(MAX_XATTRS as u64)?;
    let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for _ in 0..count {
        let (name, value) = (reader.bytes(MAX_NAME)?, reader.bytes(MAX_XATTR_VALUE)?);
        if name.is_empty() || name.contains(&0) || xattrs.last().is_some_and(|last| last.0.as_slice() >= name) {
            return Err(reader.refuse("its extended attributes break a rule"));
        }
        xattrs.push((name.to_vec(), value.to_vec()));
    }
    Ok(Meta { mode, uid, gid, mtime_s, mtime_ns, xattrs })
}

fn read_totals(reader: &mut Reader<'_>) -> Result<Totals, FormatError> {
    let (entries, files, bytes) = (reader.number(u64::MAX)?, reader.number(u64::MAX)?, reader.number(u64::MAX)?);
    Ok(Totals { entries, files, bytes })
}

fn read_target(reader: &mut Reader<'_>) -> Result<Vec<u8>, FormatError> {
    let target = reader.bytes(MAX_TARGET)?;
    if target.is_empty() || target.contains(&0) {
        return Err(reader.refuse("a symbolic link that cannot be"));
    }
    Ok(target.to_vec())
}

fn read_file(reader: &mut Reader<'_>) -> Result<File, FormatError> {
    let link_group = reader.number(i64::MAX as u64)?;
    if link_group != 0 && link_group & 1 == 0 {
        return Err(reader.refuse("a link group that no path has"));
    }
    let size = reader.number(i64::MAX as u64)?;
    let holes = read_holes(reader, size)?;
    let mut file = File { link_group, size, holes, ..File::default() };
    if file.data_length() > 0 {
        let digest = reader.digest()?;
        file.digest = Some(digest);
        file.chunks = read_chunks(reader, digest, file.data_length())?;
    }
    Ok(file)
}

fn read_holes(reader: &mut Reader<'_>, size: u64) -> Result<Vec<(u64, u64)>, FormatError> {
    let (count, mut at, mut holes) = (reader.number(size)?, 0, Vec::new());
    for _ in 0..count {
        let (gap, length) = (reader.number(size - at)?, reader.number(size)?);
        let start = at + gap;
        if length == 0 || length > size - start || (gap == 0 && !holes.is_empty()) {
            return Err(reader.refuse("its holes break a rule"));
        }
        holes.push((start, length));
        at = start + length;
    }
    Ok(holes)
}

fn read_chunks(reader: &mut Reader<'_>, whole: crate::Digest, data: u64) -> Result<Vec<Chunk>, FormatError> {
    let max = chunker::MAX as u64;
    let count = reader.number(data)?;
    if count == 1 {
        if data > max {
            return Err(reader.refuse("a chunk beyond its limit"));
        }
        return Ok(vec![Chunk { digest: whole, length: data as u32 }]);
    }
    let (mut left, mut chunks) = (data, Vec::new());
    for _ in 0..count {
        let (digest, length) = (reader.digest()?, reader.number(max.min(left))?);
        if length == 0 {
            return Err(reader.refuse("an empty chunk"));
        }
        left -= length;
        chunks.push(Chunk { digest, length: length as u32 });
    }
    if count == 0 || left != 0 {
        return Err(reader.refuse("its chunks do not make its size"));
    }
    Ok(chunks)
}
