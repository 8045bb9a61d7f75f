//! What can go wrong at the edge, by what was being done. `refusal` turns it into what a visitor sees.

use std::io;

use domain::class::{Class, Classify};

/// No socket into an instance was to be had.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// The port is closed.
    #[error("nothing listens on port {port} of the workspace")]
    Refused {
        /// Which one.
        port: u16,
    },
    /// The node says that the instance does not run (any more).
    #[error("the node says that the instance does not run: {0}")]
    NotRunning(String),
    /// The node answered with another error.
    #[error("the node could not connect to port {port}: {message}")]
    Node {
        /// Which one.
        port: u16,
        /// The node's words.
        message: String,
    },
    /// The server inside takes no connection.
    #[error("port {port} took no connection in time: {message}")]
    TooSlow {
        /// Which one.
        port: u16,
        /// The node's words.
        message: String,
    },
    /// The node did not answer in time.
    #[error("the node took longer than {0:?} to connect")]
    TimedOut(std::time::Duration),
    /// The node cannot be asked.
    #[error("ask the node at its dial socket")]
    Socket(#[source] io::Error),
    /// No dialler reaches that node.
    #[error("node {0:?} is not on this machine, and this edge has no way to it")]
    Elsewhere(String),
}

impl Classify for DialFailure {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::Node { .. } | Self::Socket(_) => Class::Unavailable,
            Self::NotRunning(_) => Class::FailedPrecondition,
            Self::TimedOut(_) | Self::TooSlow { .. } => Class::DeadlineExceeded,
            Self::Elsewhere(_) => Class::Unimplemented,
        }
    }
}

/// The orchestrator could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It does not answer.
    #[error("ask the orchestrator to {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The edge's own token cannot be read.
    #[error("read the edge's token from {path}")]
    Token {
        /// Of the file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A token that cannot be a header.
    #[error("the edge's token in {0} is not one line of printable characters")]
    BadToken(String),
}

/// The edge cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Listen {
        /// As configured.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Not an address.
    #[error("{address:?} is not an address of an orchestrator")]
    Orchestrator {
        /// As configured.
        address: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
    /// Not a host suffix.
    #[error("{0:?} cannot follow \"PORT-NAME.\" in a host name")]
    Suffix(String),
}

impl Classify for EdgeError {
    fn class(&self) -> Class {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Class::AlreadyExists,
            Self::Listen { .. } => Class::Unavailable,
            Self::Orchestrator { .. } | Self::Suffix(_) => Class::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Listen { .. } => "choose another address with --edge, or `listen` in the configuration".to_owned(),
            Self::Orchestrator { .. } => "write it as http://HOST:PORT".to_owned(),
            Self::Suffix(_) => "use a lower-case DNS name, \"localhost\" or \"ws.example.org\"".to_owned(),
        })
    }
}
