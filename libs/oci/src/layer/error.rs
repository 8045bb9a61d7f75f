//! Why a layer was not applied.

use domain::class::{Class, Classify};

use crate::archive::ArchiveError;
use crate::digest::Digest;

/// What was wrong with a layer, or with writing it.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A member asks for something that no image may have.
    #[error("the layer's member {path:?} is refused: {problem}")]
    Refused {
        /// Its name, made printable and cut short.
        path: String,
        /// Why.
        problem: &'static str,
    },
    /// A bound is passed.
    #[error("the image has more than {limit} {what}")]
    TooLarge {
        /// "bytes in one file".
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// An owner that does not exist in a container.
    #[error("the layer's member {path:?} is owned by id {id}; a workspace has ids 0 to 65535")]
    Owner {
        /// Its name.
        path: String,
        /// The uid or gid.
        id: u64,
    },
    /// The archive is not one.
    #[error("the layer is no good archive")]
    Archive(#[source] ArchiveError),
    /// Packed in a way that we do not unpack.
    #[error("the layer is packed with {format}, which is not used for images")]
    Packing {
        /// "xz".
        format: &'static str,
    },
    /// The unpacked bytes are not those that the image's configuration names.
    #[error("the unpacked layer is {found}, but the image says {wanted}")]
    DiffId {
        /// What the configuration says.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// The finished root file system cannot be used safely.
    #[error("the image's /{directory} is not a directory")]
    RootfsUnsafe {
        /// "proc".
        directory: &'static str,
    },
    /// Asked to stop.
    #[error("applying the layer was stopped")]
    Stopped,
    /// A system call failed.
    #[error("{doing}")]
    Io {
        /// "write usr/bin/x".
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl LayerError {
    /// A refusal of the member `path`.
    pub(crate) fn refused(path: &[u8], problem: &'static str) -> Self {
        Self::Refused { path: printable(path), problem }
    }

    /// A failed call that concerned the member `path`. What the tree itself makes impossible is the image's fault.
    pub(crate) fn io(doing: &'static str, path: &[u8]) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = printable(path);
        move |source| match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOTDIR) => Self::Refused { path, problem: "something on the way is not a directory" },
            Some(rustix::io::Errno::LOOP) => Self::Refused { path, problem: "links on the way go round in circles" },
            Some(rustix::io::Errno::XDEV) => Self::Refused { path, problem: "it would leave the root file system" },
            Some(rustix::io::Errno::NAMETOOLONG) => Self::Refused { path, problem: "its path is too long" },
            Some(rustix::io::Errno::MLINK) => Self::Refused { path, problem: "it has more names than a file may have" },
            _ => Self::Io { doing: format!("{doing} {path}"), source },
        }
    }
}

impl From<ArchiveError> for LayerError {
    fn from(error: ArchiveError) -> Self {
        match error {
            // A bound that was hit inside the decoder travels through io::Error.
            ArchiveError::Read { offset, source } => match source.downcast::<Self>() {
                Ok(own) => own,
                Err(source) => Self::Archive(ArchiveError::Read { offset, source }),
            },
            other => Self::Archive(other),
        }
    }
}

/// Whether an error means that no space is left.
pub(crate) fn is_disk_full(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::NOSPC | Errno::DQUOT)) || error.kind() == std::io::ErrorKind::StorageFull
}

/// A member's name for people: lossy, at most 120 characters; `Debug` escapes what a terminal would act on.
fn printable(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(480)]).chars().take(120).collect()
}

impl Classify for LayerError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Owner { .. } | Self::Archive(_) => Class::InvalidArgument,
            Self::Packing { .. } | Self::RootfsUnsafe { .. } => Class::InvalidArgument,
            Self::DiffId { .. } => Class::DataLoss,
            Self::Stopped => Class::Aborted,
            Self::Io { source, .. } if is_disk_full(source) => Class::ResourceExhausted,
            Self::Io { .. } => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "LayerUnsafe",
            Self::TooLarge { .. } => "ImageTooLarge",
            Self::Owner { .. } => "OwnerOutOfRange",
            Self::Archive(_) | Self::Packing { .. } => "LayerMalformed",
            Self::DiffId { .. } => "DigestMismatch",
            Self::RootfsUnsafe { .. } => "RootfsUnsafe",
            Self::Stopped => "Aborted",
            Self::Io { source, .. } if is_disk_full(source) => "DiskFull",
            Self::Io { .. } => "Internal",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Refused { .. } | Self::Archive(_) | Self::RootfsUnsafe { .. } => {
                "the image is malformed, or made to do harm: rebuild it, name another, or use `--image host`"
            }
            Self::TooLarge { .. } => "name a smaller image, or use `--image host`",
            Self::Owner { .. } => "rebuild the image with owners in that range (`COPY --chown`), or use `--image host`",
            Self::Packing { .. } => "push the image again with gzip or zstd layers",
            Self::DiffId { .. } => "push the image again; what the registry has does not fit together",
            Self::Io { source, .. } if is_disk_full(source) => {
                "free some space on the node's data directory, or delete workspaces that are no longer needed"
            }
            Self::Stopped | Self::Io { .. } => return None,
        };
        Some(text.to_owned())
    }
}
