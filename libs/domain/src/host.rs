//! The host name by which a browser asks for a port: `PORT-NAME.SUFFIX`, with the edge's own port behind it or not.
//!
//! The grammar is strict, because what is let through decides whose server gets the request: no sign, no leading zero,
//! no upper case, no trailing dot, no user before an `@`. Browsers write hosts in exactly this form.

use std::fmt;

use crate::class::{Class, Classify};
use crate::name;

/// A port of a workspace, as a host name says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortHost {
    /// The port inside.
    pub port: u16,
    /// The workspace.
    pub name: String,
    /// What the edge is known under: "localhost", "ws.example.org".
    pub suffix: String,
    /// The edge's own port, where it is not the scheme's.
    pub edge_port: Option<u16>,
}

/// Why a host name means no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is not below the suffix.
    #[error("{host:?} is not below {suffix:?}")]
    Foreign {
        /// The host, as sent.
        host: String,
        /// What the edge serves.
        suffix: String,
    },
    /// It is below the suffix, but not `PORT-NAME`.
    #[error("{0:?} does not name a port of a workspace")]
    Malformed(String),
}

impl Classify for HostError {
    fn class(&self) -> Class {
        Class::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "HostForeign",
            Self::Malformed(_) => "HostMalformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("ask for http://PORT-NAME.localhost, as `crannog url NAME PORT` prints it".into())
    }
}

impl PortHost {
    /// Reads a `Host` header (or `:authority`) at an edge that serves `suffix`.
    pub fn parse(host: &str, suffix: &str) -> Result<Self, HostError> {
        let malformed = || HostError::Malformed(shown(host));
        let (name, edge_port) = match host.split_once(':') {
            None => (host, None),
            Some((name, port)) => (name, Some(name::parse_port(port).map_err(|_| malformed())?)),
        };
        let label = name
            .strip_suffix(suffix)
            .and_then(|rest| rest.strip_suffix('.'))
            .ok_or_else(|| HostError::Foreign { host: shown(host), suffix: suffix.to_owned() })?;
        let (port, workspace) = label.split_once('-').ok_or_else(malformed)?;
        let port = name::parse_port(port).map_err(|_| malformed())?;
        name::check(workspace).map_err(|_| malformed())?;
        Ok(Self { port, name: workspace.to_owned(), suffix: suffix.to_owned(), edge_port })
    }
}

impl fmt::Display for PortHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.port, self.name, self.suffix)?;
        self.edge_port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A hostile host may be of any length; an error message is not.
fn shown(host: &str) -> String {
    host.chars().take(100).collect()
}
