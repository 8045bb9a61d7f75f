//! Why a registry did not give what was asked of it.

use domain::class::{Class, Classify};

use crate::digest::Digest;
use crate::manifest::ManifestError;

/// A failure of a registry, or of speaking to it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No HTTP client could be made.
    #[error("there are no means to speak to registries")]
    Client(#[source] reqwest::Error),
    /// No connection, or it broke off.
    #[error("the registry {host} cannot be reached")]
    Unreachable {
        /// "registry.example.com".
        host: String,
        /// Whether it was waited for in vain.
        is_timeout: bool,
        /// Why: the innermost cause, without what HTTP says around it.
        #[source]
        source: std::io::Error,
    },
    /// The host name means nothing.
    #[error("the registry {host} cannot be found")]
    Lookup {
        /// "registry.example.com".
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It fails, or is too busy.
    #[error("the registry {host} answers with status {status}")]
    Failing {
        /// Host.
        host: String,
        /// HTTP status.
        status: u16,
        /// How long it asks to wait, in seconds.
        retry_after: Option<u64>,
    },
    /// It has no such image.
    #[error("there is no image {image}")]
    NotFound {
        /// The reference.
        image: String,
    },
    /// It wants to know who asks, or does not like the answer.
    #[error("the registry wants credentials for {image}{}", if *.had_credentials { ", and refuses those it was shown" } else { "" })]
    Unauthenticated {
        /// The reference.
        image: String,
        /// What to give `docker login`.
        registry: String,
        /// Whether credentials were shown.
        had_credentials: bool,
        /// Why there were none, when the user seems to have some.
        credential_problem: Option<String>,
    },
    /// It knows who asks, and says no.
    #[error("the registry does not allow {image} to be pulled")]
    Forbidden403 {
        /// The reference.
        image: String,
        /// Registry.
        registry: String,
    },
    /// An answer outside the protocol.
    #[error("the registry's answer about {image} is refused: {problem}")]
    Refused {
        /// The reference.
        image: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An address that is not to be spoken to.
    #[error("{url} is not contacted: {problem}")]
    Forbidden {
        /// Where to; without what follows the host.
        url: String,
        /// Why.
        problem: &'static str,
    },
    /// The manifest is none.
    #[error("the manifest of {image} cannot be used")]
    Manifest {
        /// The reference.
        image: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Bytes that are not what their name says.
    #[error("the registry sent {found} where {image} has {wanted}")]
    Digest {
        /// The reference.
        image: String,
        /// What was asked for.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Nothing in the index runs here.
    #[error("{image} is not made for {wanted}")]
    NoPlatform {
        /// The reference.
        image: String,
        /// "linux/amd64".
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// A blob that is cut off again and again.
    #[error("the registry {host} breaks off a layer again and again")]
    Interrupted {
        /// Host.
        host: String,
    },
    /// What was received cannot be written.
    #[error("what the registry sent cannot be written")]
    Write(#[source] std::io::Error),
}

impl RegistryError {
    /// Whether trying again soon may help.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failing { .. } | Self::Interrupted { .. })
    }
}

impl Classify for RegistryError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { is_timeout: true, .. } => Class::DeadlineExceeded,
            Self::Unreachable { .. } | Self::Lookup { .. } | Self::Failing { .. } | Self::Interrupted { .. } => {
                Class::Unavailable
            }
            Self::NotFound { .. } | Self::NoPlatform { .. } => Class::NotFound,
            Self::Unauthenticated { .. } => Class::Unauthenticated,
            Self::Forbidden403 { .. } | Self::Forbidden { .. } => Class::PermissionDenied,
            Self::Refused { .. } | Self::Digest { .. } => Class::DataLoss,
            Self::Manifest { source: ManifestError::NotAnImage(_), .. } => Class::InvalidArgument,
            Self::Manifest { .. } => Class::DataLoss,
            Self::Write(source) if crate::layer::is_disk_full(source) => Class::ResourceExhausted,
            Self::Client(_) | Self::Write(_) => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Lookup { .. } | Self::Failing { .. } | Self::Interrupted { .. } => {
                "RegistryUnavailable"
            }
            Self::NotFound { .. } => "ImageNotFound",
            Self::NoPlatform { .. } => "NoMatchingPlatform",
            Self::Unauthenticated { .. } => "RegistryLoginNeeded",
            Self::Forbidden403 { .. } => "RegistryDenied",
            Self::Forbidden { .. } => "AddressForbidden",
            Self::Digest { .. } => "DigestMismatch",
            Self::Refused { .. } => "RegistryMalformed",
            Self::Manifest { source: ManifestError::NotAnImage(_), .. } => "NotAnImage",
            Self::Manifest { .. } => "ManifestMalformed",
            Self::Write(source) if crate::layer::is_disk_full(source) => "DiskFull",
            Self::Client(_) | Self::Write(_) => "Internal",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Client(_) => "install the package ca-certificates, so that registries can be recognised".to_owned(),
            Self::Lookup { host, .. } => {
                format!("check the spelling of {host} and the machine's name servers, or use `--image host`")
            }
            Self::Failing { status: 429, host, .. } => {
                format!("{host} limits how often it is asked: wait a while, or `docker login` for a higher limit")
            }
            Self::Unreachable { host, .. } | Self::Failing { host, .. } | Self::Interrupted { host, .. } => {
                format!("check that {host} can be reached from this machine and try again, or use `--image host`")
            }
            Self::NotFound { .. } => "check the spelling and the tag, or use `--image host`".to_owned(),
            Self::Unauthenticated { registry, credential_problem, .. } => login(registry, credential_problem.as_deref()),
            Self::Forbidden403 { registry, .. } => {
                format!("ask for access, `docker login {registry}` as somebody who has it, or use `--image host`")
            }
            Self::NoPlatform { offered, .. } if offered.is_empty() => "name another image, or use `--image host`".to_owned(),
            Self::NoPlatform { offered, .. } => format!("it is made for {offered}; name another image, or use `--image host`"),
            Self::Digest { .. } => {
                "try again; if it happens again, the registry or something before it changes content".to_owned()
            }
            Self::Refused { .. } | Self::Manifest { .. } => "name another image, or use `--image host`".to_owned(),
            Self::Forbidden { .. } => "name a registry that this node may speak to".to_owned(),
            Self::Write(source) if crate::layer::is_disk_full(source) => {
                "free some space on the node's data directory, or delete workspaces that are no longer needed".to_owned()
            }
            Self::Write(_) => return None,
        })
    }
}

/// Docker Hub answers as for a private image when there is none: the hint covers both.
fn login(registry: &str, problem: Option<&str>) -> String {
    let why = problem.map(|problem| format!(" (credentials were not found: {problem})")).unwrap_or_default();
    format!(
        "check the spelling; if the image is private, `docker login {registry}` on the node's machine{why}, or use `--image host`"
    )
}
