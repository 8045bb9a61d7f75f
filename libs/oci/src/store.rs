//! Images on this node: pulled, checked and unpacked once for each digest. An image is either whole or not there: it is
//! made beside its place and renamed.
//!
//! ```text
//! ROOT/ALGORITHM/HEX/{rootfs/,config.json}   an image
//! ROOT/ALGORITHM/HEX.partial/                one that is being unpacked, or was
//! ROOT/ALGORITHM/HEX.lock                    held by whoever does
//! ROOT/blobs/ALGORITHM/HEX[.partial]         layers on their way; they outlive an interrupted pull
//! ROOT/tags/HEX.json                         which digest a reference meant when it was last asked for
//! ```

mod blobs;
mod collect;
mod error;
mod lock;
mod pull;
mod tags;

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use domain::class::{Class, Classify};
use parking_lot::Mutex;

use crate::config::ImageConfig;
use crate::digest::{Algorithm, Digest};
use crate::layer::Limits;
use crate::manifest::Platform;
use crate::reference::Reference;
use crate::registry::{Client, RegistryError};
pub use error::StoreError;
use tags::Known;

/// Told how far a pull has come: bytes so far, bytes in all, and a word for people.
pub type Progress = Arc<dyn Fn(u64, u64, &str) + Send + Sync>;

/// What to pull, and how much of it.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which of an index's manifests is wanted.
    pub platform: Platform,
    /// Bounds for one image.
    pub limits: Limits,
    /// How long what nobody uses is kept all the same: an image that was just handed out, layers of an interrupted pull.
    pub grace: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { platform: Platform::here(), limits: Limits::default(), grace: Duration::from_secs(3600) }
    }
}

/// An image on this node.
#[derive(Debug, Clone)]
pub struct StoredImage {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its root directory, owners as in a container.
    pub rootfs: PathBuf,
    /// Its configuration.
    pub config: ImageConfig,
    /// Whether nothing had to be fetched.
    pub hit: bool,
    /// Bytes fetched.
    pub bytes: u64,
    /// Why the registry could not be asked, when a tag was taken for what it meant the last time.
    pub stale: Option<String>,
}

/// Keeps images in a directory of its own. Clones share it; other processes may, too.
#[derive(Debug, Clone)]
pub struct ImageStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    client: Client,
    options: StoreOptions,
    /// Pulls under way in this process.
    flights: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// Images handed out, and when.
    recent: Mutex<HashMap<Digest, Instant>>,
}

impl ImageStore {
    /// Opens the store in `root`, which is made, for its owner alone: setuid files and capabilities of strangers lie in it.
    pub fn open(root: &Path, client: Client, options: StoreOptions) -> Result<Self, StoreError> {
        for directory in ["sha256", "sha512", "blobs/sha256", "blobs/sha512", "tags"] {
            let path = root.join(directory);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(StoreError::io("make", &path))?;
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(root, private).map_err(StoreError::io("close", root))?;
        let (flights, recent) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { root: root.to_owned(), client, options, flights, recent })))
    }

    /// Makes an image ready: from disk if what the reference means is there, else from its registry. When the registry
    /// is away, a tag means what it meant the last time.
    pub async fn pull(&self, reference: &Reference, progress: &Progress) -> Result<StoredImage, StoreError> {
        // A digest says it all: what a workspace was made over starts without the registry, whatever name it was pulled by.
        if let Some(digest) = reference.digest()
            && let Some(image) = self.find(digest).await?
        {
            return Ok(self.hand_out(image));
        }
        let known = self.known(reference).await?;
        if let (Some(known), Some(_)) = (&known, reference.digest()) {
            return Ok(self.hand_out(known.image.clone()));
        }
        progress(0, 0, "asking the registry");
        let image = match (self.ask(reference, known.as_ref(), progress).await, known) {
            (Err(error), Some(known)) if is_away(&error) => {
                let why = crate::registry::chain(&error);
                tracing::warn!(%reference, digest = %known.image.digest, error = %why, "the registry is away; the image on disk is used");
                progress(0, 0, "the registry is away: using what this tag meant the last time");
                StoredImage { stale: Some(why), ..known.image }
            }
            (result, _) => result?,
        };
        Ok(self.hand_out(image))
    }

    /// Asks the registry what the reference means now, and pulls it if it is not here.
    async fn ask(&self, reference: &Reference, known: Option<&Known>, progress: &Progress) -> Result<StoredImage, StoreError> {
        let repository = Arc::new(self.0.client.open(reference).await.map_err(StoreError::Registry)?);
        if let Some(known) = known {
            match repository.meaning().await {
                Ok(named) if named.as_ref() == Some(&known.named) => return Ok(known.image.clone()),
                // Nobody waits for an absent registry several times over when there is an image to start from.
                Err(error @ RegistryError::Unreachable { .. }) => return Err(StoreError::Registry(error)),
                _ => {}
            }
        }
        let resolved = repository.resolve(&self.0.options.platform).await.map_err(StoreError::Registry)?;
        let image = match self.find(&resolved.digest).await? {
            Some(image) => image,
            None => self.fetch(&repository, &resolved, progress).await?,
        };
        self.remember(reference, &resolved).await?;
        Ok(image)
    }

    /// The image of a digest, if it is on this node.
    pub async fn find(&self, digest: &Digest) -> Result<Option<StoredImage>, StoreError> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || store.find_now(&digest)).await
    }

    fn find_now(&self, digest: &Digest) -> Result<Option<StoredImage>, StoreError> {
        let directory = self.image(digest);
        let path = directory.join("config.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let config = ImageConfig::parse(&bytes).map_err(StoreError::Config)?;
        let rootfs = directory.join("rootfs");
        Ok(Some(StoredImage { digest: digest.clone(), rootfs, config, hit: true, bytes: 0, stale: None }))
    }

    fn hand_out(&self, image: StoredImage) -> StoredImage {
        self.0.recent.lock().insert(image.digest.clone(), Instant::now());
        image
    }

    fn image(&self, digest: &Digest) -> PathBuf {
        self.0.root.join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn beside(&self, digest: &Digest, suffix: &str) -> PathBuf {
        self.0.root.join(digest.algorithm().as_str()).join(format!("{}.{suffix}", digest.hex()))
    }
}

fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Registry(_)) && matches!(error.class(), Class::Unavailable | Class::DeadlineExceeded)
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Task(error)))
}

/// The directories that images and blobs lie in.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
