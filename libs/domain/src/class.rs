//! The dozen classes of error that every crate sorts its errors into, and the exit code of each.

use std::fmt;

/// What kind of failure an error is; decides the gRPC code, the HTTP status and the exit code of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The request itself is wrong: a name, a URL, a configuration.
    InvalidArgument,
    /// What was named does not exist: host, repository, branch, image, workspace.
    NotFound,
    /// The name or port is taken.
    AlreadyExists,
    /// No credentials, or none that are accepted.
    Unauthenticated,
    /// Known, but not allowed.
    PermissionDenied,
    /// It cannot be done in the present state: stop of a stopped one, exec in one that does not run.
    FailedPrecondition,
    /// Somebody else got there first; try again.
    Aborted,
    /// Disk, memory, ports or ranges are used up.
    ResourceExhausted,
    /// The other side does not answer: registry, Git host, server, node.
    Unavailable,
    /// It took longer than its deadline.
    DeadlineExceeded,
    /// This machine or this version cannot do it.
    Unimplemented,
    /// Stored or received bytes are not what they must be.
    DataLoss,
    /// Our own fault.
    Internal,
}

impl Class {
    /// Every class, in the order of the manual's page.
    pub const ALL: [Self; 13] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Unimplemented,
        Self::DataLoss,
        Self::Internal,
    ];

    /// The name on the wire and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid-argument",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission-denied",
            Self::FailedPrecondition => "failed-precondition",
            Self::Aborted => "aborted",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Unimplemented => "unimplemented",
            Self::DataLoss => "data-loss",
            Self::Internal => "internal",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    /// The exit code of the CLI. 1 is kept for a command that ran inside and failed, 2 for usage (clap's own).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArgument => 2,
            Self::NotFound => 3,
            Self::AlreadyExists => 4,
            Self::Unauthenticated => 5,
            Self::PermissionDenied => 6,
            Self::FailedPrecondition => 7,
            Self::Aborted => 8,
            Self::ResourceExhausted => 9,
            Self::Unavailable => 10,
            Self::DeadlineExceeded => 11,
            Self::Unimplemented => 12,
            Self::DataLoss => 13,
            Self::Internal => 14,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that says what a person should do next.
pub trait Classify: std::error::Error {
    /// Which class it is of.
    fn class(&self) -> Class;
    /// A stable CamelCase word for programs, "BranchNotFound".
    fn reason(&self) -> &'static str {
        match self.class() {
            Class::InvalidArgument => "InvalidArgument",
            Class::NotFound => "NotFound",
            Class::AlreadyExists => "AlreadyExists",
            Class::Unauthenticated => "Unauthenticated",
            Class::PermissionDenied => "PermissionDenied",
            Class::FailedPrecondition => "FailedPrecondition",
            Class::Aborted => "Aborted",
            Class::ResourceExhausted => "ResourceExhausted",
            Class::Unavailable => "Unavailable",
            Class::DeadlineExceeded => "DeadlineExceeded",
            Class::Unimplemented => "Unimplemented",
            Class::DataLoss => "DataLoss",
            Class::Internal => "Internal",
        }
    }
    /// What to do next; `None` where nothing helps.
    fn hint(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_name_and_exit_code() {
        for class in Class::ALL {
            assert_eq!(Class::parse(class.as_str()), Some(class));
            assert_eq!(Class::ALL.iter().filter(|c| c.exit_code() == class.exit_code()).count(), 1);
        }
    }
}
