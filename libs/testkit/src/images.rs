//! Images made on the spot: layers built from Rust or from a directory, small ones with a busybox in them, and pushing
//! them to any registry.

mod busybox;
mod layer;
mod push;

use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use busybox::{Busybox, busybox, find_busybox};
pub use layer::{Layer, Packing, from_directory, pack};
pub use push::push;

/// The digest of bytes, as registries write it.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A layer as it lies in a registry.
#[derive(Debug, Clone)]
pub struct Blob {
    /// OCI media type.
    pub media_type: String,
    /// Packed bytes.
    pub bytes: Bytes,
    /// Digest of the packed bytes.
    pub digest: String,
    /// Digest of the unpacked bytes.
    pub diff_id: String,
}

/// A whole image: manifest, configuration, layers.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Bytes,
    /// Its media type.
    pub manifest_type: String,
    /// The configuration's bytes.
    pub config: Bytes,
    /// Layers, lowest first.
    pub layers: Vec<Blob>,
    /// "linux", architecture, variant.
    pub platform: (String, String, String),
}

/// Says what an image is to be.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    layers: Vec<Blob>,
    config: Value,
    platform: (String, String, String),
    is_docker: bool,
    manifest: Value,
}

impl Image {
    /// A new image for this machine, without layers.
    pub fn builder() -> ImageBuilder {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = ("linux".to_owned(), architecture.to_owned(), String::new());
        ImageBuilder { layers: Vec::new(), config: json!({}), platform, is_docker: false, manifest: json!({}) }
    }

    /// Digest of the manifest: the name of the image.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

impl ImageBuilder {
    /// Adds a layer on top, packed by gzip.
    pub fn layer(self, layer: Layer) -> Self {
        self.blob(layer.pack(Packing::Gzip))
    }

    /// Adds a packed layer on top.
    pub fn blob(mut self, blob: Blob) -> Self {
        self.layers.push(blob);
        self
    }

    /// Sets a key of the configuration's `config`: "Env", "User", "WorkingDir", "Volumes".
    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// For which machine it is.
    pub fn platform(mut self, os: &str, architecture: &str, variant: &str) -> Self {
        self.platform = (os.to_owned(), architecture.to_owned(), variant.to_owned());
        self
    }

    /// Docker's media types instead of OCI's.
    pub fn docker(mut self) -> Self {
        self.is_docker = true;
        self
    }

    /// Replaces a key of the manifest: for manifests that lie.
    pub fn manifest(mut self, key: &str, value: Value) -> Self {
        self.manifest[key] = value;
        self
    }

    /// Puts it together.
    pub fn build(self) -> Image {
        let (os, architecture, variant) = &self.platform;
        let diff_ids: Vec<&String> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "os": os, "architecture": architecture, "variant": variant, "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = Bytes::from(config.to_string());
        let (manifest_type, config_type, layer_type) = match self.is_docker {
            true => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                Some("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            ),
            false => ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json", None),
        };
        let describe = |blob: &Blob| json!({ "mediaType": layer_type.unwrap_or(&blob.media_type), "digest": blob.digest, "size": blob.bytes.len() });
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": { "mediaType": config_type, "digest": digest(&config), "size": config.len() },
            "layers": self.layers.iter().map(describe).collect::<Vec<_>>(),
        });
        for (key, value) in self.manifest.as_object().into_iter().flatten() {
            manifest[key] = value.clone();
        }
        let manifest = Bytes::from(manifest.to_string());
        Image { manifest, manifest_type: manifest_type.to_owned(), config, layers: self.layers, platform: self.platform }
    }
}

/// An index over images for several platforms, as bytes.
pub fn index(images: &[Image]) -> anyhow::Result<Bytes> {
    let describe = |image: &Image| {
        let (os, architecture, variant) = &image.platform;
        let mut platform = json!({ "os": os, "architecture": architecture });
        if !variant.is_empty() {
            platform["variant"] = json!(variant);
        }
        json!({ "mediaType": image.manifest_type, "digest": image.digest(), "size": image.manifest.len(), "platform": platform })
    };
    let manifests: Vec<Value> = images.iter().map(describe).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests });
    serde_json::to_vec(&index).map(Bytes::from).context("write the index")
}

/// Media type of an index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
