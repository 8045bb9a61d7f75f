//! A node with a store of images, and images made for it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use domain::class::{Class, Classify};
use oci::registry::{Client, Options};
use oci::store::{ImageStore, Progress, StoreError, StoreOptions, StoredImage};
use testkit::images::{Image, Layer, Packing};
use testkit::registry::ScriptedRegistry;

pub struct Node {
    pub directory: tempfile::TempDir,
    pub store: ImageStore,
    pub words: Arc<Mutex<Vec<String>>>,
}

impl Node {
    pub fn new() -> Result<Self> {
        Self::with(|_| {}, |_| {})
    }

    pub fn with(registry: impl FnOnce(&mut Options), store: impl FnOnce(&mut StoreOptions)) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let store = open(directory.path(), registry, store)?;
        Ok(Self { directory, store, words: Arc::default() })
    }

    pub async fn pull(&self, reference: &str) -> Result<StoredImage, StoreError> {
        let words = self.words.clone();
        let progress: Progress = Arc::new(move |_, _, word| words.lock().expect("words").push(word.to_owned()));
        self.store.pull(&reference.parse().expect("a reference"), &progress).await
    }

    pub async fn refused(&self, reference: &str) -> Result<(Class, &'static str, String)> {
        let error = self.pull(reference).await.err().context("it was pulled")?;
        Ok((error.class(), error.reason(), error.hint().unwrap_or_default()))
    }

    /// Everything of images (whole, half, locks) and of blobs that lies in the store.
    pub fn left(&self, part: &str) -> Vec<String> {
        let listed = std::fs::read_dir(self.directory.path().join(part)).expect("list").flatten();
        let mut names: Vec<_> = listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

pub fn open(path: &Path, registry: impl FnOnce(&mut Options), store: impl FnOnce(&mut StoreOptions)) -> Result<ImageStore> {
    let mut options = Options {
        docker_config: None,
        retry_pause: Duration::from_millis(1),
        read_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    registry(&mut options);
    let mut limits = StoreOptions::default();
    store(&mut limits);
    Ok(ImageStore::open(path, Client::new(options)?, limits)?)
}

/// Owners are those of whoever runs the test, so that it needs no root.
pub fn layer() -> Layer {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Layer::new().owned_by(uid.into(), gid.into())
}

/// Bytes that do not pack well.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn image() -> Image {
    Image::builder()
        .layer(layer().dir("etc", 0o755).file("etc/os-release", 0o644, "ID=test\n").file("bin/tool", 0o4755, noise(300_000)))
        .blob(
            layer()
                .file("etc/motd", 0o644, "hello")
                .symlink("usr/bin", "../bin")
                .whiteout("etc", "os-release")
                .pack(Packing::Zstd),
        )
        .blob(layer().hard_link("bin/other", "bin/tool").pack(Packing::Plain))
        .config("Env", serde_json::json!(["PATH=/bin", "LANG=C"]))
        .config("User", serde_json::json!("1000"))
        .config("WorkingDir", serde_json::json!("/workspace"))
        .build()
}

pub fn served() -> Result<(ScriptedRegistry, Image, String)> {
    let registry = ScriptedRegistry::start()?;
    let image = image();
    registry.add("team/tool", "v1", &image);
    let reference = registry.reference("team/tool:v1");
    Ok((registry, image, reference))
}

pub fn read(image: &StoredImage, path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(image.rootfs.join(path))?)
}
