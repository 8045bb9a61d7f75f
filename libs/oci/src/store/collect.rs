//! Taking away images that nobody uses.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::pull::remove_directory;
use super::{ALGORITHMS, ImageStore, StoreError, blocking, lock};
use crate::digest::{Algorithm, Digest};

impl ImageStore {
    /// Removes images whose digest is not in `used`, what broken pulls left, and old layers; returns bytes freed. What
    /// was handed out within the grace stays: whoever asked for it may not be known as a user yet.
    pub async fn collect(&self, used: &[String]) -> Result<u64, StoreError> {
        let used: HashSet<Digest> = used.iter().filter_map(|digest| digest.parse().ok()).collect();
        let store = self.clone();
        blocking(move || store.collect_now(&used)).await
    }

    fn collect_now(&self, used: &HashSet<Digest>) -> Result<u64, StoreError> {
        let mut freed = self.collect_blobs()?;
        for algorithm in ALGORITHMS {
            let directory = self.0.root.join(algorithm.as_str());
            for entry in std::fs::read_dir(&directory).map_err(StoreError::io("list", &directory))?.flatten() {
                if let Some(digest) = digest_of(algorithm, &entry.file_name())
                    && !used.contains(&digest)
                    && !self.is_recent(&digest)
                {
                    freed += self.remove(&digest)?;
                }
            }
        }
        self.forget_gone_tags()?;
        Ok(freed)
    }

    /// Removes the image and what lies beside it, unless somebody makes it at this moment. It loses its name first: a
    /// half-removed image is never found.
    fn remove(&self, digest: &Digest) -> Result<u64, StoreError> {
        let lock_path = self.beside(digest, "lock");
        let Some(held) = lock::attempt(&lock_path).map_err(StoreError::io("lock", &lock_path))? else {
            return Ok(0);
        };
        let gone = self.beside(digest, "gone");
        remove_directory(&gone)?;
        let place = self.image(digest);
        let mut freed = 0;
        match std::fs::rename(&place, &gone) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.map_err(StoreError::io("rename", &place))?,
        }
        for path in [gone, self.beside(digest, "partial")] {
            freed += size(&path);
            remove_directory(&path)?;
        }
        drop(std::fs::remove_file(&lock_path));
        drop(held);
        Ok(freed)
    }

    fn is_recent(&self, digest: &Digest) -> bool {
        let mut recent = self.0.recent.lock();
        let now = Instant::now();
        recent.retain(|_, handed_out| now.duration_since(*handed_out) < self.0.options.grace);
        recent.contains_key(digest)
    }
}

/// The digest that a name in a store's directory belongs to, whatever its suffix.
fn digest_of(algorithm: Algorithm, name: &OsStr) -> Option<Digest> {
    let hex = name.to_str()?.split('.').next()?;
    format!("{}:{hex}", algorithm.as_str()).parse().ok()
}

/// Bytes that a tree holds on disk; what cannot be read counts nothing. Files with several names count once each, as
/// many as there are: it is a figure for people.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    let own = metadata.blocks() * 512;
    match metadata.is_dir() {
        true => own + std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum::<u64>(),
        false => own / metadata.nlink().max(1),
    }
}
