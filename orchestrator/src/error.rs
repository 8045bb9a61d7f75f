//! What can go wrong for who asks something of the orchestrator.

use api::v1::ErrorDetail;
use domain::class::{Class, Classify};
use domain::name::NameError;
use domain::source::SourceError;

use crate::store::StoreError;

/// Why a request about a workspace was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The name is ill-formed, unknown, or not the only one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The source cannot be meant.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The name belongs to another workspace.
    #[error("the name {name:?} is taken")]
    NameTaken {
        /// The name.
        name: String,
        /// One that is free.
        suggestion: String,
    },
    /// The request id was used with other arguments.
    #[error("the request id {0:?} was used for something else")]
    RequestReused(String),
    /// A field of a request is wrong.
    #[error("{field} is not usable: {why}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
        /// What would be right.
        hint: &'static str,
    },
    /// An uploaded source is not here.
    #[error("no source with the digest {0:?} was uploaded")]
    NoSuchSource(String),
    /// What was uploaded is no Git bundle.
    #[error("the upload is not a Git bundle")]
    NotABundle,
    /// The upload is larger than allowed.
    #[error("the upload is larger than {limit}")]
    SourceTooLarge {
        /// The bound, for people.
        limit: String,
    },
    /// It does not run, so nothing can be run in it.
    #[error("the workspace {name:?} is {phase}")]
    NotRunning {
        /// The workspace.
        name: String,
        /// Where it is.
        phase: domain::phase::Phase,
    },
    /// It is on its way up or runs.
    #[error("the workspace {name:?} is {phase} already")]
    AlreadyStarted {
        /// The workspace.
        name: String,
        /// Where it is.
        phase: domain::phase::Phase,
    },
    /// It is on its way down.
    #[error("the workspace {name:?} is still {phase}")]
    StillStopping {
        /// The workspace.
        name: String,
        /// Where it is.
        phase: domain::phase::Phase,
    },
    /// It has stopped.
    #[error("the workspace {name:?} is stopped already")]
    AlreadyStopped {
        /// The workspace.
        name: String,
    },
    /// The node is not connected, or broke off.
    #[error("the node {node:?} is away")]
    NodeAway {
        /// Which node.
        node: String,
    },
    /// The node was asked for a tunnel and did not dial in time.
    #[error("the node {node:?} did not answer within {seconds} s")]
    TunnelDeadline {
        /// Which node.
        node: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The other end of a tunnel refused, or a program inside did.
    #[error("{}", .0.message)]
    Remote(ErrorDetail),
    /// A wire to a node broke.
    #[error("{what}")]
    Broken {
        /// What was being done.
        what: &'static str,
        /// Why it broke.
        source: std::io::Error,
    },
    /// A node or an edge broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The upload could not be kept.
    #[error("{step} an uploaded source")]
    SourceFile {
        /// What was being done.
        step: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl Classify for WorkspaceError {
    fn class(&self) -> Class {
        match self {
            Self::Name(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::NameTaken { .. } | Self::RequestReused(_) => Class::AlreadyExists,
            Self::Invalid { .. } | Self::NotABundle | Self::Protocol(_) => Class::InvalidArgument,
            Self::NoSuchSource(_) => Class::NotFound,
            Self::SourceTooLarge { .. } => Class::ResourceExhausted,
            Self::NotRunning { .. } | Self::AlreadyStarted { .. } | Self::StillStopping { .. } | Self::AlreadyStopped { .. } => {
                Class::FailedPrecondition
            }
            Self::NodeAway { .. } | Self::Broken { .. } => Class::Unavailable,
            Self::TunnelDeadline { .. } => Class::DeadlineExceeded,
            Self::Remote(detail) => Class::parse(&detail.class).unwrap_or(Class::Internal),
            Self::SourceFile { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Class::ResourceExhausted,
                _ => Class::Internal,
            },
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Name(error) => error.reason(),
            Self::Source(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::NameTaken { .. } => "NameTaken",
            Self::RequestReused(_) => "RequestIdReused",
            Self::Invalid { .. } => "InvalidRequest",
            Self::NoSuchSource(_) => "SourceNotUploaded",
            Self::NotABundle => "NotABundle",
            Self::SourceTooLarge { .. } => "SourceTooLarge",
            Self::NotRunning { .. } => "NotRunning",
            Self::AlreadyStarted { .. } => "AlreadyStarted",
            Self::StillStopping { .. } => "StillStopping",
            Self::AlreadyStopped { .. } => "AlreadyStopped",
            Self::NodeAway { .. } => "NodeAway",
            Self::TunnelDeadline { .. } => "TunnelDeadline",
            Self::Remote(_) => "Remote",
            Self::Broken { .. } => "ConnectionBroken",
            Self::Protocol(_) => "ProtocolViolation",
            Self::SourceFile { .. } => "SourceNotKept",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Name(error) => return error.hint(),
            Self::Source(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::NameTaken { suggestion, .. } => {
                format!("use another name, such as `--name {suggestion}`, or delete the old one")
            }
            Self::RequestReused(_) => "make a new request id for each new request".into(),
            Self::Invalid { hint, .. } => (*hint).into(),
            Self::NoSuchSource(_) => "upload it first; `crannog start DIRECTORY` does both".into(),
            Self::NotABundle => "send the output of `git bundle create`".into(),
            Self::SourceTooLarge { .. } => {
                "push the repository to a Git host and give its URL, or raise `max_source_size`".into()
            }
            Self::NotRunning { name, phase } if phase.has_ended() => format!("start it with `crannog start {name}`"),
            Self::NotRunning { name, .. } => format!("wait until it runs; `crannog show {name}` tells how far it is"),
            Self::AlreadyStarted { name, .. } => format!("`crannog shell {name}` opens a terminal in it"),
            Self::StillStopping { name, .. } => {
                format!("wait until `crannog show {name}` says that it has stopped, then start it")
            }
            Self::AlreadyStopped { name } => format!("start it with `crannog start {name}`"),
            Self::NodeAway { .. } | Self::TunnelDeadline { .. } => {
                "see whether ws-daemon runs on it; it is connected again by itself".into()
            }
            Self::Remote(detail) if detail.hint.is_empty() => return None,
            Self::Remote(detail) => detail.hint.clone(),
            Self::Broken { .. } => "try again".into(),
            Self::Protocol(_) => "use programs of the same version on both sides".into(),
            Self::SourceFile { .. } => "look at the free space of the data directory".into(),
        })
    }
}

impl WorkspaceError {
    /// The detail to show in a condition; what came from afar keeps its own words.
    pub fn detail(&self) -> ErrorDetail {
        match self {
            Self::Remote(detail) => detail.clone(),
            _ => daemon_kit::status::detail_of(&self.to_status()),
        }
    }

    /// The status that a client gets.
    pub fn to_status(&self) -> tonic::Status {
        match self {
            Self::Remote(detail) => daemon_kit::status::from_detail(detail),
            _ => daemon_kit::status::to_status(self),
        }
    }
}

impl From<WorkspaceError> for tonic::Status {
    fn from(error: WorkspaceError) -> Self {
        error.to_status()
    }
}
