//! A registry over HTTP: manifests and blobs of one repository, with whatever it takes to be let in. Protocol: OCI
//! distribution spec 1.1. `oci-client` was read and not used: it follows redirects and realms wherever they lead, and
//! cannot go on with a blob that broke off; both are what this crate is for.

mod auth;
mod blob;
mod egress;
mod error;
mod exchange;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::credentials::{Credentials, DockerConfig};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, INDEX_TYPES, MANIFEST_TYPES, MAX_MANIFEST, Manifest, Platform};
use crate::reference::Reference;

use auth::Authorization;
use egress::Egress;
pub use error::RegistryError;

/// What a reference may lead to.
const ACCEPTED: [&str; 4] = [MANIFEST_TYPES[0], MANIFEST_TYPES[1], INDEX_TYPES[0], INDEX_TYPES[1]];

/// How to reach registries.
#[derive(Debug, Clone)]
pub struct Options {
    /// Registries ("registry.lan:5000") that are spoken to in plain HTTP; loopback addresses always are.
    pub insecure: Vec<String>,
    /// The user's Docker configuration; `None`: no credentials.
    pub docker_config: Option<PathBuf>,
    /// Whether registries on private networks may be used.
    pub allow_private: bool,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a connection may be silent.
    pub read_timeout: Duration,
    /// First pause before trying again; doubled each time.
    pub retry_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            docker_config: DockerConfig::default_path(),
            allow_private: true,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            retry_pause: Duration::from_millis(300),
        }
    }
}

/// Speaks to registries; one for the whole process.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<Options>,
    egress: Arc<Egress>,
}

impl Client {
    /// A client; reads the machine's certificates.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let egress = Egress::new(&options)?;
        Ok(Self { options: Arc::new(options), egress: Arc::new(egress) })
    }

    /// Opens the repository of a reference. Looks up the host and the credentials; sends nothing yet.
    pub async fn open(&self, reference: &Reference) -> Result<Repository, RegistryError> {
        let host = reference.endpoint();
        let base = self.base(host)?;
        let reach = self.egress.reach(&base).await?;
        let (credentials, credential_problem) = self.credentials(reference.registry()).await;
        Ok(Repository {
            client: self.clone(),
            reference: reference.clone(),
            base,
            reach,
            credentials,
            credential_problem,
            authorization: Authorization::default(),
        })
    }

    fn base(&self, host: &str) -> Result<Url, RegistryError> {
        let invalid = |_| RegistryError::Forbidden { url: host.to_owned(), problem: "it is not a valid host" };
        let https = Url::parse(&format!("https://{host}/")).map_err(invalid)?;
        let is_plain = egress::is_loopback(&https) || self.options.insecure.iter().any(|known| known == host);
        match is_plain {
            true => Url::parse(&format!("http://{host}/")).map_err(invalid),
            false => Ok(https),
        }
    }

    /// Public images need none, so a broken helper is told of only when the registry wants some.
    async fn credentials(&self, registry: &str) -> (Option<Credentials>, Option<String>) {
        let Some(path) = self.options.docker_config.clone() else {
            return (None, None);
        };
        let config = match DockerConfig::load(&path) {
            Ok(config) => config,
            Err(error) => return (None, Some(chain(&error))),
        };
        match config.credentials(registry).await {
            Ok(found) => (found, None),
            Err(error) => {
                tracing::warn!(registry, error = %chain(&error), "no credentials from the Docker configuration");
                (None, Some(chain(&error)))
            }
        }
    }
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Repository {
    client: Client,
    reference: Reference,
    base: Url,
    reach: egress::Reach,
    credentials: Option<Credentials>,
    credential_problem: Option<String>,
    authorization: Authorization,
}

/// A manifest with the digest that names it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the reference itself names: this manifest, or the index that it is in.
    pub named: Digest,
    /// Digest of the manifest for this platform.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
}

impl Repository {
    /// The reference it was opened for.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// What the registry says the reference means at this moment: the digest of a manifest or index. Believed only where
    /// a lie would mean that what we have is used. `None` where it does not say. Registries that count pulls do not
    /// count this question.
    pub async fn meaning(&self) -> Result<Option<Digest>, RegistryError> {
        let url = self.url("manifests", &self.reference.selector())?;
        let response = self.head(&url, &ACCEPTED).await?;
        let said = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(said.and_then(|said| said.parse().ok()))
    }

    /// Finds the manifest for a platform: through an index if there is one, each document checked against its digest.
    pub async fn resolve(&self, platform: &Platform) -> Result<Resolved, RegistryError> {
        let pinned = self.reference.digest();
        let (digest, document) = self.document(&self.reference.selector(), pinned).await?;
        let index = match document {
            Document::Manifest(manifest) => return Ok(Resolved { named: digest.clone(), digest, manifest }),
            Document::Index(index) => index,
        };
        let named = digest;
        let Some(chosen) = platform.choose(&index) else {
            return Err(self.no_platform(platform, &index));
        };
        match self.document(&chosen.digest.to_string(), Some(&chosen.digest)).await? {
            (digest, Document::Manifest(manifest)) => Ok(Resolved { named, digest, manifest }),
            (_, Document::Index(_)) => Err(self.refused("its index names another index")),
        }
    }

    /// Fetches small content whole, checked against its descriptor.
    pub async fn small_blob(&self, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>, RegistryError> {
        if descriptor.size > limit as u64 {
            return Err(self.refused("its configuration is too large"));
        }
        let url = self.url("blobs", &descriptor.digest.to_string())?;
        let bytes = self.get_whole(&url, &[], limit).await?.1;
        self.check(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    async fn document(&self, selector: &str, wanted: Option<&Digest>) -> Result<(Digest, Document), RegistryError> {
        let url = self.url("manifests", selector)?;
        let (content_type, bytes) = self.get_whole(&url, &ACCEPTED, MAX_MANIFEST).await?;
        let digest = match wanted {
            Some(wanted) => self.check(wanted, &bytes)?,
            None => Digest::of(&bytes),
        };
        let document = Document::parse(&content_type, &bytes);
        let document = document.map_err(|source| RegistryError::Manifest { image: self.reference.to_string(), source })?;
        Ok((digest, document))
    }

    fn check(&self, wanted: &Digest, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let mut hasher = crate::digest::Hasher::new(wanted.algorithm());
        hasher.update(bytes);
        match hasher.finish() {
            found if found == *wanted => Ok(found),
            found => Err(RegistryError::Digest { image: self.reference.to_string(), wanted: wanted.clone(), found }),
        }
    }

    fn url(&self, kind: &str, selector: &str) -> Result<Url, RegistryError> {
        let path = format!("v2/{}/{kind}/{selector}", self.reference.repository());
        self.base.join(&path).map_err(|_| self.refused("its name makes no URL"))
    }

    fn refused(&self, problem: &'static str) -> RegistryError {
        RegistryError::Refused { image: self.reference.to_string(), problem }
    }

    fn no_platform(&self, wanted: &Platform, index: &[Descriptor]) -> RegistryError {
        let mut offered: Vec<_> = index.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
        // BuildKit lists its attestations as images for "unknown/unknown".
        offered.retain(|platform| !platform.starts_with("unknown"));
        offered.truncate(20);
        RegistryError::NoPlatform { image: self.reference.to_string(), wanted: wanted.to_string(), offered: offered.join(", ") }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
