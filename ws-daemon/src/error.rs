//! What can go wrong on a node. Each variant says what was being done and to what, and keeps its source.

use domain::class::{Class, Classify};

/// A failure of something asked of a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A step failed in a way that the person who asked can act on.
    #[error("{message}")]
    Refused {
        /// Its class.
        class: Class,
        /// Stable CamelCase word.
        reason: &'static str,
        /// What happened, for people.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// A system call or a program failed; our own fault or the machine's.
    #[error("{doing}")]
    Io {
        /// "mount the root of 3f…".
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else that failed inside.
    #[error("{doing}")]
    Inside {
        /// What was being done, to what.
        doing: String,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
}

impl NodeError {
    /// A refusal with a hint.
    pub fn refused(class: Class, reason: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self::Refused { class, reason, message: message.into(), hint }
    }

    /// An I/O error with what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl Classify for NodeError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Io { source, .. } => match source.raw_os_error() {
                Some(libc_enospc) if libc_enospc == nix::errno::Errno::ENOSPC as i32 => Class::ResourceExhausted,
                Some(edquot) if edquot == nix::errno::Errno::EDQUOT as i32 => Class::ResourceExhausted,
                _ => Class::Internal,
            },
            Self::Inside { .. } => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Refused { reason, .. } => reason,
            Self::Io { .. } if self.class() == Class::ResourceExhausted => "DiskFull",
            _ => "Internal",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => hint.clone(),
            Self::Io { .. } if self.class() == Class::ResourceExhausted => {
                Some("free some space on the node's data directory, or delete workspaces that are no longer needed".into())
            }
            _ => None,
        }
    }
}
