//! Uploaded Git bundles, kept under their SHA-256: written beside, synced, then renamed into place.

use std::collections::HashSet;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use daemon_kit::units::ByteSize;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::error::WorkspaceError;
use crate::store::Store;

/// Bundles of both versions begin so.
const SIGNATURES: [&[u8]; 2] = [b"# v2 git bundle\n", b"# v3 git bundle\n"];

/// How much is read at a time for a node.
const PIECE: usize = 256 * 1024;

/// Nobody's source is kept for so long: its workspace may be about to be created.
const KEPT_UNUSED_MS: i64 = 60 * 60 * 1000;

/// The directory of sources.
#[derive(Clone)]
pub struct Sources {
    directory: PathBuf,
    store: Store,
    limit: ByteSize,
}

/// An upload that is going on. Dropped before its end, it leaves nothing.
pub struct Upload {
    file: tempfile::NamedTempFile,
    output: File,
    hash: Sha256,
    start: Vec<u8>,
    size: u64,
    limit: ByteSize,
}

/// A finished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// "sha256:…".
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Whether it was here before.
    pub known: bool,
}

fn failed(step: &'static str) -> impl Fn(std::io::Error) -> WorkspaceError {
    move |source| WorkspaceError::SourceFile { step, source }
}

impl Sources {
    /// Opens the directory; uploads that a stopped process left go.
    pub fn open(directory: &Path, store: Store, limit: ByteSize) -> Result<Self, WorkspaceError> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make the directory for"))?;
        for entry in std::fs::read_dir(directory).map_err(failed("look for"))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".upload") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { directory: directory.into(), store, limit })
    }

    /// Begins an upload.
    pub fn upload(&self) -> Result<Upload, WorkspaceError> {
        let file = tempfile::Builder::new().prefix(".upload").tempfile_in(&self.directory).map_err(failed("begin to write"))?;
        let output = File::from_std(file.reopen().map_err(failed("begin to write"))?);
        Ok(Upload { file, output, hash: Sha256::new(), start: Vec::new(), size: 0, limit: self.limit })
    }

    /// Keeps a finished upload.
    pub async fn keep(&self, upload: Upload, now: i64) -> Result<Uploaded, WorkspaceError> {
        let Upload { file, mut output, hash, start, size, .. } = upload;
        if !SIGNATURES.iter().any(|signature| start.starts_with(signature)) {
            return Err(WorkspaceError::NotABundle);
        }
        let hex = hex::encode(hash.finalize());
        let digest = format!("sha256:{hex}");
        let known = self.store.source(&digest).await?.is_some();
        if !known {
            output.flush().await.map_err(failed("write"))?;
            output.sync_all().await.map_err(failed("write"))?;
            file.persist(self.directory.join(hex)).map_err(|error| failed("put in place")(error.error))?;
            let directory = File::open(&self.directory).await.map_err(failed("put in place"))?;
            directory.sync_all().await.map_err(failed("put in place"))?;
        }
        self.store.add_source(&digest, size, now).await?;
        Ok(Uploaded { digest, size, known })
    }

    /// Opens a source for reading from an offset; gives its size as well.
    pub async fn read(&self, digest: &str, offset: u64) -> Result<(SourceReader, u64), WorkspaceError> {
        let unknown = || WorkspaceError::NoSuchSource(digest.to_owned());
        let size = self.store.source(digest).await?.ok_or_else(unknown)?;
        let hex = digest.strip_prefix("sha256:").ok_or_else(unknown)?;
        let mut file = File::open(self.directory.join(hex)).await.map_err(failed("open"))?;
        file.seek(SeekFrom::Start(offset.min(size))).await.map_err(failed("read"))?;
        Ok((SourceReader(file), size))
    }

    /// Removes what no workspace names any more; returns how many went.
    pub async fn collect(&self, used: &HashSet<String>, now: i64) -> Result<usize, WorkspaceError> {
        let mut removed = 0;
        for digest in self.store.sources_before(now - KEPT_UNUSED_MS).await? {
            if used.contains(&digest) {
                continue;
            }
            self.store.remove_source(&digest).await?;
            let file = self.directory.join(digest.trim_start_matches("sha256:"));
            match tokio::fs::remove_file(&file).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed("remove")(error)),
                _ => removed += 1,
            }
        }
        Ok(removed)
    }
}

impl Upload {
    /// Takes a piece.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), WorkspaceError> {
        self.size += piece.len() as u64;
        if self.size > self.limit.bytes() {
            return Err(WorkspaceError::SourceTooLarge { limit: self.limit.to_string() });
        }
        let missing = SIGNATURES[0].len().saturating_sub(self.start.len());
        self.start.extend_from_slice(&piece[..missing.min(piece.len())]);
        self.hash.update(piece);
        self.output.write_all(piece).await.map_err(failed("write"))
    }
}

/// A source that is being read.
pub struct SourceReader(File);

impl SourceReader {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WorkspaceError> {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let count = self.0.read_buf(&mut piece).await.map_err(failed("read"))?;
        Ok((count > 0).then(|| piece.freeze()))
    }
}
