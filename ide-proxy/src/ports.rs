//! What the edge needs from the world: sockets into instances, and somebody who knows sessions. `app` fills these with
//! the real ones, tests with fakes.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::error::{AuthorityError, DialFailure};
use crate::routes::Route;

/// Gets a socket that is connected to a port of an instance. [`crate::dial::LocalDialer`] asks the node of this machine;
/// one that tunnels to another node fits the same hole.
#[tonic::async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Connects to `port` on the loopback of the instance that `route` names.
    async fn dial(&self, route: &Route, port: u16) -> Result<TcpStream, DialFailure>;
}

/// BLAKE3 of a session token: all that is kept of one, and all that is sent to check it.
pub type TokenHash = blake3::Hash;

/// Who may reach what: the orchestrator.
#[tonic::async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Whether a session is good for a workspace.
    async fn check(&self, workspace_id: &str, token: TokenHash) -> Result<bool, AuthorityError>;
    /// Changes a one-time code into a session; `None` when it was used, is too old or never was.
    async fn redeem(&self, workspace_id: &str, code: &str) -> Result<Option<NewSession>, AuthorityError>;
    /// Tells that these workspaces were used just now.
    async fn report_activity(&self, workspace_ids: Vec<String>) -> Result<(), AuthorityError>;
}

/// What a good code was changed into. Neither `Debug` nor `Display`: it must not get into a log.
pub struct NewSession {
    /// The value for the cookie.
    pub token: String,
    /// Until when it is good, in Unix milliseconds; 0: as long as the browser runs.
    pub expires_unix_ms: i64,
}

/// Shared by every request.
pub type SharedAuthority = Arc<dyn Authority>;
