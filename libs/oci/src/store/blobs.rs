//! Layers on their way from the registry to the root file system. A blob has its final name only when its digest was
//! right, and is hashed again when a later pull finds it.

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{ALGORITHMS, ImageStore, StoreError, blocking, lock};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::registry::Repository;

impl ImageStore {
    /// Fetches a blob, or what is missing of it; the file is at its first byte. `received` is told of new bytes.
    pub(super) async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<File, StoreError> {
        let whole = self.blob_path(&descriptor.digest, "");
        let part = self.blob_path(&descriptor.digest, ".partial");
        let locked = lock::acquire(&part).await.map_err(StoreError::io("lock", &part))?;
        if let Some(file) = kept(&whole, &descriptor.digest).await? {
            // Ours is empty, or left from before: the whole one is here.
            drop(std::fs::remove_file(&part));
            return Ok(file);
        }
        let mut file = tokio::fs::File::from_std(locked);
        repository.blob(descriptor, &mut file, received).await.map_err(StoreError::Registry)?;
        let mut file = file.into_std().await;
        std::fs::rename(&part, &whole).map_err(StoreError::io("rename", &part))?;
        file.rewind().map_err(StoreError::io("read", &whole))?;
        Ok(file)
    }

    /// Removes blobs. Whoever reads one has it open, and is not disturbed.
    pub(super) fn remove_blobs(&self, blobs: &[Descriptor], with_partial: bool) {
        for blob in blobs {
            drop(std::fs::remove_file(self.blob_path(&blob.digest, "")));
            if with_partial {
                drop(std::fs::remove_file(self.blob_path(&blob.digest, ".partial")));
            }
        }
    }

    /// Removes blobs that nobody touched for longer than the grace; returns bytes freed.
    pub(super) fn collect_blobs(&self) -> Result<u64, StoreError> {
        let mut freed = 0;
        for algorithm in ALGORITHMS {
            let directory = self.0.root.join("blobs").join(algorithm.as_str());
            for entry in std::fs::read_dir(&directory).map_err(StoreError::io("list", &directory))?.flatten() {
                freed += self.collect_blob(&entry.path()).map_err(StoreError::io("remove", &entry.path()))?;
            }
        }
        Ok(freed)
    }

    fn collect_blob(&self, path: &Path) -> io::Result<u64> {
        let Ok(metadata) = std::fs::metadata(path) else {
            return Ok(0);
        };
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        let is_partial = path.extension().is_some();
        if age < self.0.options.grace || is_partial && lock::attempt(path)?.is_none() {
            return Ok(0);
        }
        std::fs::remove_file(path)?;
        Ok(metadata.len())
    }

    fn blob_path(&self, digest: &Digest, suffix: &str) -> PathBuf {
        self.0.root.join("blobs").join(digest.algorithm().as_str()).join(format!("{}{suffix}", digest.hex()))
    }
}

/// A blob from an earlier pull, if its bytes are still right; one whose are not is removed.
async fn kept(path: &Path, digest: &Digest) -> Result<Option<File>, StoreError> {
    let (path, digest) = (path.to_owned(), digest.clone());
    blocking(move || {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let found = Digest::of_reader(digest.algorithm(), &mut file).map_err(StoreError::io("read", &path))?;
        if found != digest {
            tracing::warn!(path = %path.display(), "a layer changed on disk and is fetched again");
            drop(std::fs::remove_file(&path));
            return Ok(None);
        }
        file.rewind().map_err(StoreError::io("read", &path))?;
        Ok(Some(file))
    })
    .await
}
