//! Images of this node: `host`, which is the machine's own root and always there, and what registries have, kept by
//! `oci::store` under DATA/node/images.

mod refusal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::config::ImageConfig;
use oci::credentials::DockerConfig;
use oci::reference::Reference;
use oci::registry::{Client, Options};
use oci::store::{ImageStore, StoreOptions, StoredImage};

use crate::error::NodeError;
use crate::ports::{ImageSettings, Images, PreparedImage, Progress};
use refusal::{bad_reference, registry_refused, store_refused};

/// The name of the image that is the machine itself.
pub const HOST: &str = "host";

/// The images that instances of this node are made from.
#[derive(Debug, Clone)]
pub struct NodeImages {
    store: ImageStore,
}

impl NodeImages {
    /// Opens the store in `directory`. `insecure` are registries ("host:port") that are spoken to in plain HTTP although
    /// they are not on loopback. Credentials are those of the user who runs this, or who ran `sudo`.
    pub fn open(directory: &Path, insecure: &[String]) -> Result<Self, NodeError> {
        let options = Options { insecure: insecure.to_vec(), docker_config: docker_config(), ..Options::default() };
        Self::with(directory, options, StoreOptions::default())
    }

    /// As [`Self::open`], with everything said.
    pub fn with(directory: &Path, registry: Options, store: StoreOptions) -> Result<Self, NodeError> {
        let client = Client::new(registry).map_err(registry_refused)?;
        let store = ImageStore::open(directory, client, store).map_err(store_refused)?;
        Ok(Self { store })
    }
}

#[tonic::async_trait]
impl Images for NodeImages {
    async fn prepare(&self, reference: &str, progress: Progress) -> Result<PreparedImage, NodeError> {
        if reference == HOST {
            return Ok(host());
        }
        let parsed: Reference = reference.parse().map_err(bad_reference)?;
        let told = Arc::clone(&progress);
        let image = self.store.pull(&parsed, &told).await.map_err(store_refused)?;
        progress(image.bytes, image.bytes, &summary(&image));
        Ok(prepared(reference, image))
    }

    async fn collect(&self, used: &[String]) -> Result<u64, NodeError> {
        self.store.collect(used).await.map_err(store_refused)
    }
}

fn host() -> PreparedImage {
    PreparedImage {
        reference: HOST.to_owned(),
        digest: String::new(),
        root: PathBuf::from("/"),
        config: ImageSettings::default(),
        hit: true,
        bytes: 0,
    }
}

fn prepared(reference: &str, image: StoredImage) -> PreparedImage {
    PreparedImage {
        reference: reference.to_owned(),
        digest: image.digest.to_string(),
        root: image.rootfs,
        config: settings(image.config),
        hit: image.hit,
        bytes: image.bytes,
    }
}

fn settings(config: ImageConfig) -> ImageSettings {
    ImageSettings { env: config.env, user: config.user, working_directory: config.working_directory }
}

/// The last word of the step, for the timeline.
fn summary(image: &StoredImage) -> String {
    match (&image.stale, image.hit) {
        (Some(_), _) => format!("the registry is away: {} from the last time", image.digest.short()),
        (None, true) => format!("{} is on this node", image.digest.short()),
        (None, false) => format!("{} pulled", image.digest.short()),
    }
}

/// The Docker configuration of whoever runs this. Under `sudo`, HOME is root's: the one of the user who typed it counts
/// when root has none.
fn docker_config() -> Option<PathBuf> {
    let own = DockerConfig::default_path();
    if own.as_ref().is_some_and(|path| path.is_file()) {
        return own;
    }
    let uid = std::env::var("SUDO_UID").ok()?.parse().ok()?;
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten()?;
    Some(user.dir.join(".docker/config.json")).filter(|path| path.is_file()).or(own)
}
