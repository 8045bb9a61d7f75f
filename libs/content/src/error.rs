//! What can go wrong with stored content: the bytes are not what they must be, the store fails, or the tree does.

use std::io;
use std::path::PathBuf;

use domain::class::{Class, Classify};

use crate::digest::Digest;

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The encoding breaks a rule of `docs/formats/`.
    #[error("the {object} is malformed: {why}")]
    Malformed {
        /// Which kind of object.
        object: &'static str,
        /// Which rule.
        why: &'static str,
    },
    /// Written by a newer release.
    #[error("the {object} has version {found}, which this release does not know")]
    Version {
        /// Which kind of object.
        object: &'static str,
        /// Its version.
        found: u64,
    },
    /// The bytes are not those that the name stands for.
    #[error("the {object} {expected} does not have the bytes that its name stands for")]
    Altered {
        /// Which kind of object.
        object: &'static str,
        /// The digest it must have.
        expected: Digest,
    },
}

/// A failure of anything that the library does.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Stored bytes are refused.
    #[error("read {key}")]
    Format {
        /// The object's key in the store, or what it is.
        key: String,
        /// Why.
        source: FormatError,
    },
    /// The store could not do it.
    #[error("{action} {key} in the store")]
    Store {
        /// What was being done.
        action: &'static str,
        /// To which key.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// An object that another one names is not there.
    #[error("the store lacks {object} {digest}")]
    Missing {
        /// Which kind of object.
        object: &'static str,
        /// Its digest.
        digest: Digest,
    },
    /// A name that a person gave stands for nothing.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Under which name.
        name: String,
    },
    /// Somebody else moved the head.
    #[error("the head {name:?} was moved by somebody else meanwhile")]
    HeadMoved {
        /// Its name.
        name: String,
    },
    /// The new tree is empty or very much smaller than the one that the head stands for.
    #[error("{new} entries would replace {old} as the head {name:?}")]
    Shrunk {
        /// The head.
        name: String,
        /// Entries of the present snapshot.
        old: u64,
        /// Entries of the new one.
        new: u64,
    },
    /// A file or directory could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The place of a restore is taken.
    #[error("{} exists", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The request itself is wrong.
    #[error("{what} {value:?}: {why}")]
    Invalid {
        /// Which part of it.
        what: &'static str,
        /// What it was.
        value: String,
        /// Which rule it breaks.
        why: &'static str,
    },
}

impl ContentError {
    /// Puts the key beside a refusal.
    pub fn format(key: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        move |source| Self::Format { key: key.into(), source }
    }

    /// Puts the action and the path beside a failure of the file system.
    pub fn file<S: Into<io::Error>>(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(S) -> Self {
        move |source| Self::File { action, path: path.into(), source: source.into() }
    }

    /// Puts the action and the key beside a failure of the store.
    pub fn store<S: Into<io::Error>>(action: &'static str, key: impl Into<String>) -> impl FnOnce(S) -> Self {
        move |source| Self::Store { action, key: key.into(), source: source.into() }
    }
}

impl Classify for ContentError {
    fn class(&self) -> Class {
        match self {
            Self::Format { source: FormatError::Version { .. }, .. } => Class::Unimplemented,
            Self::Format { .. } | Self::Missing { .. } => Class::DataLoss,
            Self::Store { source, .. } => class_of(source, Class::Unavailable),
            Self::File { source, .. } => class_of(source, Class::FailedPrecondition),
            Self::NotFound { .. } => Class::NotFound,
            Self::HeadMoved { .. } => Class::Aborted,
            Self::Shrunk { .. } => Class::FailedPrecondition,
            Self::Exists { .. } => Class::AlreadyExists,
            Self::Invalid { .. } => Class::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Format { source: FormatError::Version { .. }, .. } => "use the release that wrote it, or a newer one",
            Self::Format { .. } | Self::Missing { .. } => "run `check` to see which paths of which snapshots are touched",
            Self::NotFound { what: "snapshot", .. } => "`stats` lists the heads and snapshots of the store",
            Self::HeadMoved { .. } => "save again: what was uploaded is not uploaded twice",
            Self::Shrunk { .. } => "is the right directory mounted? --allow-shrink saves it nevertheless",
            Self::Exists { .. } => "restore to a name that is free; nothing is overwritten",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn class_of(error: &io::Error, other: Class) -> Class {
    match error.kind() {
        io::ErrorKind::NotFound => Class::NotFound,
        io::ErrorKind::PermissionDenied => Class::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Class::ResourceExhausted,
        _ => other,
    }
}
