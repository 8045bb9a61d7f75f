//! Names of images as people write them, read as Docker does: `nginx`, `gitpod/workspace-full:latest`,
//! `localhost:5000/team/tool@sha256:…`. Grammar: distribution `reference/regexp.go`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Longest whole repository name, registry included; Docker's own limit.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an image reference: {problem}")]
pub struct NotAReference {
    text: String,
    problem: &'static str,
}

impl Reference {
    /// The registry as named: "docker.io", "localhost:5000".
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Where its API is served: docker.io lives elsewhere.
    pub fn endpoint(&self) -> &str {
        match self.registry.as_str() {
            DEFAULT_REGISTRY => "registry-1.docker.io",
            other => other,
        }
    }

    /// The repository in the registry: "library/nginx".
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` when only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when it is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest, else the tag.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        parse(text).map_err(|problem| NotAReference { text: text.chars().take(160).collect(), problem })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| "what follows the @ is not a digest")?)),
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("a tag is a letter, digit or _ followed by up to 127 letters, digits, dots, dashes or _");
    }
    let (registry, repository) = split_registry(name)?;
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err("the name is longer than 255 characters");
    }
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some("latest".to_owned()),
    };
    Ok(Reference { registry, repository, tag, digest })
}

/// The tag follows the last colon, unless a slash comes after it: then it was a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_registry(name: &str) -> Result<(String, String), &'static str> {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_registry_like(first) => (first.to_ascii_lowercase(), rest.to_owned()),
        _ => (DEFAULT_REGISTRY.to_owned(), name.to_owned()),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
    if !is_registry(&registry) {
        return Err("the registry is not HOST or HOST:PORT");
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the repository must be in lower case");
    }
    if !repository.split('/').all(is_component) {
        return Err("the repository is lower-case letters and digits, joined by single dots, dashes, _ or /");
    }
    let is_official = registry == DEFAULT_REGISTRY && !repository.contains('/');
    let repository = if is_official { format!("library/{repository}") } else { repository };
    Ok((registry, repository))
}

/// As in Docker: the first part is a registry when it has a dot or a port, is "localhost", or has capitals.
fn is_registry_like(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port),
            None => return false,
        },
        None => text.split_once(':').map_or((text, ""), |(host, _)| (host, &text[host.len()..])),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label) && is_port(port)
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => text.is_empty(),
    }
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// `alphanumeric [separator alphanumeric]*`; separators: `.`, `_`, `__`, any number of `-`.
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let separators = bytes.split(|byte| is_word(*byte)).filter(|run| !run.is_empty());
    let is_separator = |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
    is_word(*first) && is_word(*last) && separators.into_iter().all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn full(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("ERROR {error}"), |reference| reference.to_string())
    }

    #[test]
    fn short_names_are_completed_as_docker_does() {
        assert_eq!(full("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(full("nginx:1.27"), "docker.io/library/nginx:1.27");
        assert_eq!(full("gitpod/workspace-full"), "docker.io/gitpod/workspace-full:latest");
        assert_eq!(full("index.docker.io/nginx"), "docker.io/library/nginx:latest");
        assert_eq!(full("localhost/tool"), "localhost/tool:latest");
        assert_eq!(full("127.0.0.1:5000/a/b/c:v1"), "127.0.0.1:5000/a/b/c:v1");
        assert_eq!(full("[::1]:5000/tool"), "[::1]:5000/tool:latest");
        assert_eq!(full("registry.example.com/a__b/c---d"), "registry.example.com/a__b/c---d:latest");
    }

    #[test]
    fn a_digest_pins_and_a_tag_beside_it_is_kept() {
        assert_eq!(full(&format!("nginx@sha256:{HEX}")), format!("docker.io/library/nginx@sha256:{HEX}"));
        let both: Reference = format!("nginx:1@sha256:{HEX}").parse().expect("both");
        assert_eq!((both.tag(), both.selector()), (Some("1"), format!("sha256:{HEX}")));
    }

    #[test]
    fn docker_hub_is_served_elsewhere() {
        let reference: Reference = "nginx".parse().expect("reference");
        assert_eq!((reference.registry(), reference.endpoint()), ("docker.io", "registry-1.docker.io"));
    }

    #[test]
    fn what_docker_refuses_is_refused_with_a_reason() {
        let long = "a".repeat(256);
        for text in [
            "",
            " ",
            "Nginx",
            "nginx:",
            "nginx:-v",
            ":tag",
            "/x",
            "x//y",
            "x/",
            "a..b",
            "-a",
            "a-",
            "a_-b",
            "localhost:99999/x",
            "localhost:0/x",
            "localhost:/x",
            "ex_ample.com/x",
            "nginx@",
            "nginx@sha256:12",
            "http://registry.example.com/x",
            "user@registry.example.com/x",
            "registry.example.com/../x",
            "x\ny",
            "x y",
            "[::1/x",
            "é/x",
            "nginx?x=1",
            "nginx#x",
            "registry.example.com:5000",
            &long,
        ] {
            let said = full(text);
            // "HOST:PORT" alone is a repository with a tag to Docker as well: it has a dot, so a valid name.
            if text == "registry.example.com:5000" {
                assert_eq!(said, "docker.io/library/registry.example.com:5000");
            } else {
                assert!(said.starts_with("ERROR"), "{text:?} was read as {said}");
            }
        }
    }
}
