//! Layers, member by member.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use tar::{EntryType, Header};

use super::{Blob, digest};

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// A layer being built. Well-formed always; malformed ones are made by hand where they are needed.
pub struct Layer {
    builder: tar::Builder<Vec<u8>>,
    owner: (u64, u64),
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer {
    /// An empty layer, whose members belong to root.
    pub fn new() -> Self {
        Self { builder: tar::Builder::new(Vec::new()), owner: (0, 0) }
    }

    /// Whom the members that follow belong to.
    pub fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// A directory.
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.member(path, EntryType::Directory, mode, "", &[])
    }

    /// A file.
    pub fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.member(path, EntryType::Regular, mode, "", content.as_ref())
    }

    /// A symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.member(path, EntryType::Symlink, 0o777, target, &[])
    }

    /// Another name of a file.
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.member(path, EntryType::Link, 0o644, target, &[])
    }

    /// A whiteout of `name` in `directory`.
    pub fn whiteout(self, directory: &str, name: &str) -> Self {
        self.file(&format!("{directory}/.wh.{name}"), 0o644, "")
    }

    /// Makes a directory opaque.
    pub fn opaque(self, directory: &str) -> Self {
        self.file(&format!("{directory}/.wh..wh..opq"), 0o644, "")
    }

    /// Packs what was built.
    pub fn pack(self, packing: Packing) -> Blob {
        let plain = self.builder.into_inner().expect("writing to memory does not fail");
        pack(plain, packing)
    }

    fn member(mut self, path: &str, kind: EntryType, mode: u32, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        let written = match target {
            "" => self.builder.append_data(&mut header, path, content),
            target => self.builder.append_link(&mut header, path, target),
        };
        written.expect("a name that fits in an archive");
        self
    }
}

/// Packs tar bytes, whatever is in them.
pub fn pack(plain: Vec<u8>, packing: Packing) -> Blob {
    let diff_id = digest(&plain);
    let (suffix, bytes) = match packing {
        Packing::Plain => ("", plain),
        Packing::Gzip => ("+gzip", gzip(&plain)),
        Packing::Zstd => ("+zstd", zstd::encode_all(plain.as_slice(), 3).expect("packing in memory does not fail")),
    };
    let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    Blob { media_type, digest: digest(&bytes), diff_id, bytes: Bytes::from(bytes) }
}

/// A layer with all that is in a directory, owned by root.
pub fn from_directory(directory: &Path, packing: Packing) -> anyhow::Result<Blob> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.mode(tar::HeaderMode::Deterministic);
    builder.append_dir_all("", directory).with_context(|| format!("pack {}", directory.display()))?;
    Ok(pack(builder.into_inner().context("end the archive")?, packing))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("packing in memory does not fail")
}
