//! Manifests and indexes of images, OCI and Docker schema 2, and which manifest of an index fits this machine. Own types
//! instead of `oci-spec`'s: a document that could be read in two ways is refused (CVE-2021-41190), and `null` where a
//! list belongs, which registries do send, is an empty list.

use serde::{Deserialize, Deserializer};

use crate::digest::Digest;

/// Largest manifest or index; the distribution spec asks clients for 4 MiB at least.
pub const MAX_MANIFEST: usize = 4 << 20;
/// Most layers; overlayfs would take 500, Docker makes 127.
const MAX_LAYERS: usize = 512;

/// Media types of single-platform manifests.
pub const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Media types of lists of them.
pub const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const CONFIG_TYPES: [&str; 2] = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Why a document is no usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not of the form.
    #[error("it is no manifest")]
    Json(#[source] serde_json::Error),
    /// It says it is one thing and looks like another.
    #[error("the manifest is refused: {0}")]
    Refused(&'static str),
    /// Something that is no image to run: an old schema, an artifact.
    #[error("what the registry has is {0:?}, not an image that can be run")]
    NotAnImage(String),
}

/// Points at content: what it is, how long, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// In an index: what it runs on.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// A kind of machine, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// "linux".
    #[serde(default)]
    pub os: String,
    /// "amd64", "arm64".
    #[serde(default)]
    pub architecture: String,
    /// "v8"; empty for any.
    #[serde(default)]
    pub variant: String,
}

/// What is behind a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// The same image for several platforms.
    Index(Vec<Descriptor>),
}

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Vec<Descriptor>>,
}

/// `null` is present, but empty: a document with `"layers": null` still claims to have layers.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Descriptor>>, D::Error> {
    Ok(Some(Option::<Vec<Descriptor>>::deserialize(deserializer)?.unwrap_or_default()))
}

impl Document {
    /// Reads a manifest or index. `content_type` is what the registry called it; what the document calls itself must be
    /// the same.
    pub fn parse(content_type: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let called = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if called.contains("manifest.v1+prettyjws") || called == "application/vnd.docker.distribution.manifest.v1+json" {
            return Err(ManifestError::NotAnImage("a Docker schema 1 manifest".to_owned()));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if raw.schema_version != 2 {
            return Err(ManifestError::NotAnImage(format!("a manifest of schema version {}", raw.schema_version)));
        }
        let is_known = MANIFEST_TYPES.iter().chain(&INDEX_TYPES).any(|known| *known == called);
        if is_known && raw.media_type.as_deref().is_some_and(|own| own != called) {
            return Err(ManifestError::Refused("it is of another type than the registry says"));
        }
        let kind = raw.media_type.clone().unwrap_or(called);
        match (raw.config, raw.layers, raw.manifests) {
            (None, None, Some(manifests)) if !MANIFEST_TYPES.contains(&kind.as_str()) => Ok(Self::Index(manifests)),
            (Some(config), Some(layers), None) if !INDEX_TYPES.contains(&kind.as_str()) => manifest(config, layers),
            _ => Err(ManifestError::Refused("it must have either `manifests`, or `config` and `layers`, as its type says")),
        }
    }
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Result<Document, ManifestError> {
    if !CONFIG_TYPES.contains(&config.media_type.as_str()) {
        return Err(ManifestError::NotAnImage(config.media_type.chars().take(100).collect()));
    }
    if layers.len() > MAX_LAYERS {
        return Err(ManifestError::Refused("it has more than 512 layers"));
    }
    Ok(Document::Manifest(Manifest { config, layers }))
}

impl Platform {
    /// What this program runs on.
    pub fn here() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "riscv64" => ("riscv64", ""),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// How well an image for `offered` runs here: higher is better, `None` not at all.
    fn suits(&self, offered: &Self) -> Option<u8> {
        if offered.os != self.os || offered.architecture != self.architecture {
            return None;
        }
        match (offered.variant.as_str(), self.variant.as_str()) {
            (offered, own) if offered == own => Some(255),
            ("", _) => Some(200),
            // amd64's v2, v3, v4 need a newer processor than plain amd64 promises; arm runs what is older.
            (offered, own) => match (level(offered), level(own)) {
                (Some(offered), Some(own)) if offered <= own => Some(offered),
                (Some(1), None) => Some(100),
                _ => None,
            },
        }
    }

    /// The best entry of an index for this platform.
    pub fn choose<'a>(&self, index: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let suiting = index.iter().rev().filter_map(|entry| Some((self.suits(entry.platform.as_ref()?)?, entry)));
        suiting.max_by_key(|(score, _)| *score).map(|(_, entry)| entry)
    }
}

fn level(variant: &str) -> Option<u8> {
    variant.strip_prefix('v')?.parse().ok()
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(architecture: &str, variant: &str) -> Descriptor {
        let platform = Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.into() };
        let digest = Digest::of(format!("{architecture}/{variant}").as_bytes());
        Descriptor { media_type: MANIFEST_TYPES[0].into(), digest, size: 1, platform: Some(platform) }
    }

    fn chosen(own: (&str, &str), offered: &[(&str, &str)]) -> Option<String> {
        let own = Platform { os: "linux".into(), architecture: own.0.into(), variant: own.1.into() };
        let index: Vec<_> = offered.iter().map(|(architecture, variant)| entry(architecture, variant)).collect();
        own.choose(&index).map(|found| found.platform.as_ref().expect("platform").to_string())
    }

    #[test]
    fn the_manifest_for_this_machine_is_chosen() {
        assert_eq!(chosen(("amd64", ""), &[("arm64", "v8"), ("amd64", "")]), Some("linux/amd64".into()));
        assert_eq!(chosen(("arm", "v7"), &[("arm", "v5"), ("arm", "v6"), ("arm", "v8")]), Some("linux/arm/v6".into()));
        assert_eq!(chosen(("arm64", "v8"), &[("arm64", ""), ("arm", "v7")]), Some("linux/arm64".into()));
        assert_eq!(chosen(("amd64", ""), &[("amd64", "v3"), ("unknown", "")]), None);
    }

    #[test]
    fn a_document_that_can_be_read_in_two_ways_is_refused() {
        let descriptor = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{}","size":2}}"#, Digest::of(b"{}"));
        let (config, layer) = (descriptor(CONFIG_TYPES[0]), descriptor("application/vnd.oci.image.layer.v1.tar+gzip"));
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"manifests":[]}}"#);
        Document::parse(MANIFEST_TYPES[0], both.as_bytes()).expect_err("both");
        let null = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"manifests":null}}"#);
        Document::parse(MANIFEST_TYPES[0], null.as_bytes()).expect_err("null is there, too");
        let plain = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        assert!(matches!(Document::parse(MANIFEST_TYPES[0], plain.as_bytes()), Ok(Document::Manifest(_))));
        Document::parse(INDEX_TYPES[0], plain.as_bytes()).expect_err("called an index");
        let liar = format!(r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{layer}]}}"#, INDEX_TYPES[0]);
        Document::parse(MANIFEST_TYPES[0], liar.as_bytes()).expect_err("calls itself an index");
        Document::parse("application/json", liar.as_bytes()).expect_err("calls itself an index");
    }

    #[test]
    fn what_is_no_image_is_named() {
        let artifact = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
            Digest::of(b"{}")
        );
        let error = Document::parse(MANIFEST_TYPES[0], artifact.as_bytes()).expect_err("helm");
        assert!(error.to_string().contains("helm"), "{error}");
        Document::parse("text/html", b"<html>").expect_err("a web page");
    }
}
