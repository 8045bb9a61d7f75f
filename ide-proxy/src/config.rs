//! Settings of the edge. `config/default.toml` is the reference page and complete alone; unknown keys are refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon_kit::units::HumanDuration;
use serde::{Deserialize, Serialize};

/// The built-in layer, with a line of why for each setting.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where browsers come in.
    pub listen: SocketAddr,
    /// What follows "PORT-NAME." in a Host.
    pub suffix: String,
    /// "http" or "https": how browsers see this edge.
    pub scheme: Scheme,
    /// The orchestrator's gRPC address, `http://HOST:PORT`.
    pub orchestrator: String,
    /// File of the edge's bearer token.
    pub token_file: PathBuf,
    /// Says which edge this is.
    pub edge_id: String,
    /// Admin address; empty for none.
    pub admin: String,
    /// What one client may take.
    pub limits: Limits,
    /// Connections into workspaces.
    pub upstream: Upstream,
    /// Requests to a workspace that is starting.
    pub start: Start,
    /// The cache of sessions.
    pub sessions: Sessions,
    /// The end.
    pub shutdown: Shutdown,
}

/// The scheme of our own origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS ends before this edge.
    Https,
}

impl Scheme {
    /// As in an Origin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What one client may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// From the first byte of a head to its last.
    pub head_timeout: HumanDuration,
    /// Without a request.
    pub idle_timeout: HumanDuration,
}

/// Connections into workspaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// To get a connected socket.
    pub dial_timeout: HumanDuration,
    /// To the head of an answer.
    pub answer_timeout: HumanDuration,
    /// Idle connections kept to one port.
    pub idle_connections: usize,
    /// How long they are kept.
    pub idle_timeout: HumanDuration,
}

/// Requests to a workspace that is starting.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// How long a request waits.
    pub wait: HumanDuration,
    /// How long a page in a browser waits.
    pub page_wait: HumanDuration,
}

/// The cache of sessions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// How long "good" is believed.
    pub good_for: HumanDuration,
    /// How long "bad" is believed.
    pub bad_for: HumanDuration,
    /// How long "good" is believed while the orchestrator is away.
    pub good_while_away: HumanDuration,
    /// Answers kept at once.
    pub kept: usize,
}

/// The end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long requests may take to finish.
    pub drain: HumanDuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(key: &str, value: &str) -> anyhow::Result<Config> {
        Ok(daemon_kit::config::load(DEFAULTS, None, "EDGE_TEST_UNUSED_", &[(key, value.to_owned())])?)
    }

    #[test]
    fn the_defaults_are_complete_alone() {
        let config = load("edge_id", "edge").expect("the defaults");
        assert!(config.listen.ip().is_loopback(), "plain HTTP is not shown to a network by default");
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        load("upstream.dail_timeout", "1s").expect_err("no such key");
    }
}
