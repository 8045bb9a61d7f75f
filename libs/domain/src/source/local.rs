//! Whether a text means something on the client's machine or something that the server fetches. The client looks, this
//! decides.

use super::{Source, SourceError, parse};

/// What the client found at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
}

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classified {
    /// A directory on the client's machine; its repository is to be bundled.
    Directory,
    /// A file on the client's machine, to be taken for a bundle.
    Bundle,
    /// The server fetches it.
    Remote(Source),
}

/// Sorts what a person typed. What exists locally is meant locally, as with `git clone`; what looks like a path and is
/// not there is said to be missing rather than looked for on the network.
pub fn classify(text: &str, found: Option<PathKind>) -> Result<Classified, SourceError> {
    let looks_like_path = ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start)) || text == "." || text == "..";
    match found {
        Some(PathKind::Directory) => Ok(Classified::Directory),
        Some(PathKind::File) => Ok(Classified::Bundle),
        None if looks_like_path || text.ends_with(".bundle") && !text.contains("://") => {
            Err(SourceError::NoSuchPath(text.chars().take(200).collect()))
        }
        None => match parse(text) {
            // A bare word is more likely a directory that is not there than a URL without anything of a URL.
            Err(SourceError::NotAUrl(_)) if !text.contains(':') => Err(SourceError::NoSuchPath(text.chars().take(200).collect())),
            other => other.map(Classified::Remote),
        },
    }
}
