//! What references meant when they were last asked for, so that a workspace starts while the registry is away.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ImageStore, StoreError, StoredImage, blocking};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::Resolved;

#[derive(Serialize, Deserialize)]
struct Tag {
    reference: String,
    /// The image.
    digest: Digest,
    /// What the registry has under the reference: the image, or the index that it is in.
    named: Digest,
}

/// What a reference meant the last time.
pub(super) struct Known {
    /// The image, which is on this node.
    pub image: StoredImage,
    /// The digest that the registry had under the reference.
    pub named: Digest,
}

impl ImageStore {
    /// The image that a reference meant the last time, if it is still here. A file that cannot be read means nothing.
    pub(super) async fn known(&self, reference: &Reference) -> Result<Option<Known>, StoreError> {
        let (store, path, text) = (self.clone(), self.tag(reference), reference.to_string());
        blocking(move || {
            let tag = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Tag>(&bytes).ok());
            let Some(tag) = tag.filter(|tag| tag.reference == text) else {
                return Ok(None);
            };
            let image = store.find_now(&tag.digest)?;
            Ok(image.map(|image| Known { image, named: tag.named }))
        })
        .await
    }

    /// Notes what a reference means now.
    pub(super) async fn remember(&self, reference: &Reference, resolved: &Resolved) -> Result<(), StoreError> {
        let path = self.tag(reference);
        let (digest, named) = (resolved.digest.clone(), resolved.named.clone());
        let tag = Tag { reference: reference.to_string(), digest, named };
        blocking(move || {
            let text = serde_json::to_vec(&tag).unwrap_or_default();
            write_whole(&path, &text).map_err(StoreError::io("write", &path))
        })
        .await
    }

    /// Removes notes about images that are gone.
    pub(super) fn forget_gone_tags(&self) -> Result<(), StoreError> {
        let directory = self.0.root.join("tags");
        for entry in std::fs::read_dir(&directory).map_err(StoreError::io("list", &directory))?.flatten() {
            let tag = std::fs::read(entry.path()).ok().and_then(|bytes| serde_json::from_slice::<Tag>(&bytes).ok());
            if !tag.is_some_and(|tag| self.image(&tag.digest).exists()) {
                // One that another process writes anew at this moment is written again with the next pull.
                drop(std::fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    fn tag(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes());
        self.0.root.join("tags").join(format!("{}.json", name.hex()))
    }
}

/// Replaces a file: it has the old text or the new, also after a power loss.
fn write_whole(path: &std::path::Path, text: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}
