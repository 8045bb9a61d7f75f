//! Why an image is not on this node.

use std::path::Path;

use domain::class::{Class, Classify};

use crate::config::ConfigError;
use crate::layer::{LayerError, is_disk_full};
use crate::registry::RegistryError;

/// A failure to make an image ready.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(RegistryError),
    /// Its configuration is refused.
    #[error(transparent)]
    Config(ConfigError),
    /// A layer is refused, or could not be written.
    #[error("layer {number} of {image} cannot be used")]
    Layer {
        /// The reference.
        image: String,
        /// Counted from 1, the lowest.
        number: usize,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Its layers make no root file system that can be used.
    #[error("the layers make no root file system that can be used")]
    Root(#[source] LayerError),
    /// Manifest and configuration do not fit together.
    #[error("the image {image} has {layers} layers, but its configuration describes {described}")]
    LayerCount {
        /// The reference.
        image: String,
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        described: usize,
    },
    /// More must be fetched than there is space for.
    #[error("the image {image} needs {needed} bytes to fetch, and {available} are free")]
    NoSpace {
        /// The reference.
        image: String,
        /// Packed size of the layers.
        needed: u64,
        /// Free on the store's file system.
        available: u64,
    },
    /// A system call failed.
    #[error("{doing}")]
    Io {
        /// "rename …".
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the pull panicked, or the runtime is going down.
    #[error("run a part of the pull")]
    Task(#[source] tokio::task::JoinError),
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let doing = format!("{doing} {}", path.display());
        move |source| Self::Io { doing, source }
    }
}

impl Classify for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Registry(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::Layer { source, .. } | Self::Root(source) => source.class(),
            Self::LayerCount { .. } => Class::InvalidArgument,
            Self::NoSpace { .. } => Class::ResourceExhausted,
            Self::Io { source, .. } if is_disk_full(source) => Class::ResourceExhausted,
            Self::Io { .. } | Self::Task(_) => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Config(error) => error.reason(),
            Self::Layer { source, .. } | Self::Root(source) => source.reason(),
            Self::LayerCount { .. } => "ManifestMalformed",
            Self::NoSpace { .. } => "DiskFull",
            Self::Io { source, .. } if is_disk_full(source) => "DiskFull",
            Self::Io { .. } | Self::Task(_) => "Internal",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Layer { source, .. } | Self::Root(source) => source.hint(),
            Self::LayerCount { .. } => Some("build and push the image again, name another, or use `--image host`".to_owned()),
            _ if self.class() == Class::ResourceExhausted => {
                Some("free some space on the node's data directory, or delete workspaces that are no longer needed".to_owned())
            }
            Self::NoSpace { .. } | Self::Io { .. } | Self::Task(_) => None,
        }
    }
}
