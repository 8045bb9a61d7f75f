//! One pull: layers come side by side and are applied in order, beside the place where the image will be.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::class::{Class, Classify};
use sys::beneath;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{ImageStore, Progress, StoreError, StoredImage, blocking, lock};
use crate::config::{ImageConfig, MAX_CONFIG};
use crate::digest::Digest;
use crate::layer::{self, Budget};
use crate::manifest::{Descriptor, Manifest, Platform};
use crate::registry::{RegistryError, Repository, Resolved};

/// Layers that are fetched at the same time.
const SIDE_BY_SIDE: usize = 3;
/// How many new bytes make a new report.
const REPORT_EVERY: u64 = 256 * 1024;

/// What is held while an image is made; cloned into threads, so that a cancelled pull lets go only when they are done.
struct Hold {
    _flight: tokio::sync::OwnedMutexGuard<()>,
    _lock: File,
    lock_path: PathBuf,
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.lock_path));
    }
}

/// Tells threads to stop when the pull is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts received bytes and tells of them now and then.
struct Meter {
    done: AtomicU64,
    total: u64,
    progress: Progress,
}

impl Meter {
    fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        if before / REPORT_EVERY != (before + bytes) / REPORT_EVERY || before + bytes == self.total {
            self.tell("downloading");
        }
    }

    fn tell(&self, word: &str) {
        (self.progress)(self.done.load(Ordering::Relaxed), self.total, word);
    }
}

impl ImageStore {
    /// Pulls what is not here; whoever asks for the same meanwhile waits for this one.
    pub(super) async fn fetch(
        &self,
        repository: &Arc<Repository>,
        resolved: &Resolved,
        progress: &Progress,
    ) -> Result<StoredImage, StoreError> {
        let hold = Arc::new(self.hold(&resolved.digest).await?);
        if let Some(image) = self.find(&resolved.digest).await? {
            return Ok(image);
        }
        let layers = &resolved.manifest.layers;
        let total = layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        let meter = Arc::new(Meter { done: AtomicU64::new(0), total, progress: progress.clone() });
        let result = self.make(repository, resolved, &meter, &hold).await;
        let is_full = result.as_ref().is_err_and(|error| error.class() == Class::ResourceExhausted);
        if result.is_ok() || is_full {
            // A full disk is not kept full by us.
            self.remove_blobs(layers, is_full);
        }
        if result.is_err() {
            remove_partial(self.beside(&resolved.digest, "partial"), hold).await?;
        }
        result
    }

    async fn hold(&self, digest: &Digest) -> Result<Hold, StoreError> {
        let flight = {
            let mut flights = self.0.flights.lock();
            flights.retain(|_, flight| flight.strong_count() > 0);
            let known = flights.get(digest).and_then(std::sync::Weak::upgrade).unwrap_or_default();
            flights.insert(digest.clone(), Arc::downgrade(&known));
            known
        };
        let flight = flight.lock_owned().await;
        let lock_path = self.beside(digest, "lock");
        let lock = lock::acquire(&lock_path).await.map_err(StoreError::io("lock", &lock_path))?;
        Ok(Hold { _flight: flight, _lock: lock, lock_path })
    }

    async fn make(
        &self,
        repository: &Arc<Repository>,
        resolved: &Resolved,
        meter: &Arc<Meter>,
        hold: &Arc<Hold>,
    ) -> Result<StoredImage, StoreError> {
        let image = repository.reference().to_string();
        let bytes = repository.small_blob(&resolved.manifest.config, MAX_CONFIG).await.map_err(StoreError::Registry)?;
        let config = ImageConfig::parse(&bytes).map_err(StoreError::Config)?;
        check_fit(&image, &resolved.manifest, &config, &self.0.options.platform)?;
        self.check_space(&image, meter.total)?;

        let partial = self.beside(&resolved.digest, "partial");
        prepare(partial.clone(), bytes).await?;
        self.apply_all(repository, &resolved.manifest.layers, &config.diff_ids, &partial, meter, hold).await?;
        meter.tell("finishing");
        let place = self.image(&resolved.digest);
        publish(partial, place.clone(), hold.clone()).await?;
        let fetched = meter.done.load(Ordering::Relaxed);
        Ok(StoredImage {
            digest: resolved.digest.clone(),
            rootfs: place.join("rootfs"),
            config,
            hit: false,
            bytes: fetched,
            stale: None,
        })
    }

    async fn apply_all(
        &self,
        repository: &Arc<Repository>,
        layers: &[Descriptor],
        diff_ids: &[Digest],
        partial: &Path,
        meter: &Arc<Meter>,
        hold: &Arc<Hold>,
    ) -> Result<(), StoreError> {
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let arriving = self.start_downloads(repository, layers, meter);
        let mut budget = Budget::new(self.0.options.limits);
        for (index, (blob, diff_id)) in arriving.into_iter().zip(diff_ids).enumerate() {
            let blob = blob.await.map_err(StoreError::Task)??;
            meter.tell(&format!("unpacking layer {} of {}", index + 1, layers.len()));
            let (rootfs, diff_id, stopped) = (partial.join("rootfs"), diff_id.clone(), stop.0.clone());
            let (image, hold) = (repository.reference().to_string(), hold.clone());
            budget = blocking(move || {
                let _hold = hold;
                let applied = apply_one(&rootfs, blob, &diff_id, &mut budget, &stopped);
                let failed = |source| StoreError::Layer { image, number: index + 1, source };
                let applied = applied.map_err(failed)?;
                tracing::debug!(layer = index + 1, ?applied, "layer applied");
                Ok(budget)
            })
            .await?;
        }
        Ok(())
    }

    /// Tasks that end with the pull. They may be ahead of what is applied; on disk, not in memory.
    fn start_downloads(
        &self,
        repository: &Arc<Repository>,
        layers: &[Descriptor],
        meter: &Arc<Meter>,
    ) -> Vec<AbortOnDropHandle<Result<File, StoreError>>> {
        let slots = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let start = |layer: &Descriptor| {
            let (store, repository, slots, meter) = (self.clone(), repository.clone(), slots.clone(), meter.clone());
            let layer = layer.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                // Never closed, so there is always a slot in the end.
                let _slot = slots.acquire_owned().await;
                store.blob(&repository, &layer, &|bytes| meter.add(bytes)).await
            }))
        };
        layers.iter().map(start).collect()
    }

    /// Says at once what would fail after minutes. Unpacked, an image is larger still; how much, nobody says beforehand.
    fn check_space(&self, image: &str, needed: u64) -> Result<(), StoreError> {
        let stat = rustix::fs::statvfs(&self.0.root).map_err(std::io::Error::from);
        let stat = stat.map_err(StoreError::io("look at the space of", &self.0.root))?;
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        match needed <= available {
            true => Ok(()),
            false => Err(StoreError::NoSpace { image: image.to_owned(), needed, available }),
        }
    }
}

fn check_fit(image: &str, manifest: &Manifest, config: &ImageConfig, platform: &Platform) -> Result<(), StoreError> {
    if manifest.layers.len() != config.diff_ids.len() {
        let (layers, described) = (manifest.layers.len(), config.diff_ids.len());
        return Err(StoreError::LayerCount { image: image.to_owned(), layers, described });
    }
    // Without an index, this is the first that is heard of what it runs on. Empty: an old tool's, taken on trust.
    let is_other = |own: &str, wanted: &str| !own.is_empty() && own != wanted;
    if is_other(&config.os, &platform.os) || is_other(&config.architecture, &platform.architecture) {
        let offered = format!("{}/{}", config.os, config.architecture).chars().take(100).collect();
        let wanted = platform.to_string();
        return Err(StoreError::Registry(RegistryError::NoPlatform { image: image.to_owned(), wanted, offered }));
    }
    Ok(())
}

fn apply_one(
    rootfs: &Path,
    blob: File,
    diff_id: &Digest,
    budget: &mut Budget,
    stop: &AtomicBool,
) -> Result<layer::Applied, layer::LayerError> {
    let failed = |source| layer::LayerError::Io { doing: "open the new root".to_owned(), source };
    let root = beneath::open_own_dir(rootfs).map_err(failed)?;
    layer::apply(root.as_fd(), blob, diff_id, budget, stop)
}

/// An empty root beside the place of the image; what an earlier attempt left there goes first.
async fn prepare(partial: PathBuf, config: Vec<u8>) -> Result<(), StoreError> {
    blocking(move || {
        remove_directory(&partial)?;
        let rootfs = partial.join("rootfs");
        std::fs::create_dir_all(&rootfs).map_err(StoreError::io("make", &rootfs))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&rootfs, readable).map_err(StoreError::io("open up", &rootfs))?;
        let path = partial.join("config.json");
        std::fs::write(&path, config).map_err(StoreError::io("write", &path))
    })
    .await
}

/// Checks the finished root, makes it durable, and gives it its name.
async fn publish(partial: PathBuf, place: PathBuf, hold: Arc<Hold>) -> Result<(), StoreError> {
    blocking(move || {
        let _hold = hold;
        let rootfs = partial.join("rootfs");
        let root = beneath::open_own_dir(&rootfs).map_err(StoreError::io("open", &rootfs))?;
        layer::check_root(root.as_fd()).map_err(StoreError::Root)?;
        rustix::fs::syncfs(&root).map_err(|error| StoreError::io("make durable", &rootfs)(error.into()))?;
        std::fs::rename(&partial, &place).map_err(StoreError::io("rename", &partial))?;
        let parent = place.parent().unwrap_or(&place);
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        synced.map_err(StoreError::io("make durable", parent))
    })
    .await
}

async fn remove_partial(partial: PathBuf, hold: Arc<Hold>) -> Result<(), StoreError> {
    blocking(move || {
        let _hold = hold;
        remove_directory(&partial)
    })
    .await
}

/// Removes a directory of ours with all in it; links in it are not followed.
pub(super) fn remove_directory(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
