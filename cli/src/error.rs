//! What a person sees when something fails: one line of what happened, one of what to do next, and an exit code that
//! says which class of failure it was.

use domain::class::{Class, Classify};

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server refused or failed; it said why.
    #[error("{message}")]
    Server {
        /// Its class.
        class: Class,
        /// Stable CamelCase word.
        reason: String,
        /// What happened.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// Something on this side is not as the command needs it.
    #[error("{message}")]
    Here {
        /// Its class.
        class: Class,
        /// What happened.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// A file, a socket or a program on this side failed.
    #[error("{doing}: {source}")]
    Io {
        /// "read the bundle a.bundle".
        doing: String,
        /// Why.
        source: std::io::Error,
    },
    /// A command that ran inside ended with this status; nothing is printed, it has said itself what was wrong.
    #[error("exit status {0}")]
    Exit(u8),
}

impl CommandError {
    /// A failure on this side, with what to do next.
    pub fn here(class: Class, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self::Here { class, message: message.into(), hint }
    }

    /// An I/O failure on this side.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The exit code: the class's, or that of the command that ran inside.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exit(code) => *code,
            // What a shell ends with, and what scripts look for.
            Self::Server { reason, .. } if reason == "CommandNotFound" => 127,
            Self::Server { reason, .. } if reason == "CommandNotExecutable" => 126,
            other => other.class().exit_code(),
        }
    }

    /// Prints it to standard error, for people or as JSON.
    pub fn report(&self, json: bool) {
        if let Self::Exit(_) = self {
            return;
        }
        if json {
            let value = serde_json::json!({"error": {
                "class": self.class().as_str(), "message": self.to_string(), "hint": self.hint(), "exit_code": self.exit_code(),
            }});
            eprintln!("{value}");
            return;
        }
        eprintln!("crannog: {}", crate::text::printable(&self.to_string()));
        if let Some(hint) = self.hint() {
            eprintln!("  what to do: {}", crate::text::printable(&hint));
        }
    }
}

impl Classify for CommandError {
    fn class(&self) -> Class {
        match self {
            Self::Server { class, .. } | Self::Here { class, .. } => *class,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Class::NotFound,
                std::io::ErrorKind::PermissionDenied => Class::PermissionDenied,
                std::io::ErrorKind::AddrInUse => Class::AlreadyExists,
                std::io::ErrorKind::StorageFull => Class::ResourceExhausted,
                _ => Class::Internal,
            },
            Self::Exit(_) => Class::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Server { hint, .. } | Self::Here { hint, .. } => hint.clone(),
            Self::Io { .. } | Self::Exit(_) => None,
        }
    }
}

impl From<tonic::Status> for CommandError {
    fn from(status: tonic::Status) -> Self {
        let detail = daemon_kit::status::detail_of(&status);
        Self::Server {
            class: Class::parse(&detail.class).unwrap_or(Class::Internal),
            reason: detail.reason,
            message: detail.message,
            hint: Some(detail.hint).filter(|hint| !hint.is_empty()),
        }
    }
}
