//! How a browser is let in to private ports: a one-time code in a link becomes a session, kept as a hash.

use std::time::Duration;

use api::v1::{CreatePortLinkResponse, Session, Visibility, Workspace};
use daemon_kit::secret::{Token, TokenHash};

use crate::error::WorkspaceError;
use crate::store::{SessionRow, Store};
use crate::workspaces::SharedWorkspaces;

/// How long a link is good.
const CODE_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Where an edge takes codes.
const LOGIN_PATH: &str = "/_crannog/login";

/// Makes and checks codes and sessions.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    workspaces: SharedWorkspaces,
    lifetime: Duration,
}

impl Sessions {
    /// With sessions that last so long.
    pub fn new(store: Store, workspaces: SharedWorkspaces, lifetime: Duration) -> Self {
        Self { store, workspaces, lifetime }
    }

    /// Makes a link that opens a port in a browser.
    pub async fn link(&self, workspace: &Workspace, port: u16) -> Result<CreatePortLinkResponse, WorkspaceError> {
        let plain_url = self.workspaces.settings().edge_template(&workspace.name).replace("{port}", &port.to_string());
        let code = Token::random_base64url();
        let expires = self.workspaces.clock().now() + as_millis(CODE_LIFETIME);
        let row = SessionRow { workspace_id: workspace.id.clone(), owner: workspace.owner.clone(), expires };
        self.store.add_code(&code.hash().to_hex(), &row).await?;
        let public = self.workspaces.visibility_of(&workspace.id, port.into()).await? == Visibility::Public;
        let url = format!("{}{LOGIN_PATH}?code={}", plain_url.trim_end_matches('/'), code.expose());
        Ok(CreatePortLinkResponse { url, plain_url, expires_unix_ms: expires, public })
    }

    /// Changes a code into a session. A code is used up even when it was for another workspace.
    pub async fn redeem(&self, code: &str, workspace_id: &str) -> Result<Session, WorkspaceError> {
        let now = self.workspaces.clock().now();
        let Some(row) = self.store.take_code(&TokenHash::of(code).to_hex()).await? else { return Ok(Session::default()) };
        if row.expires <= now || row.workspace_id != workspace_id || !self.exists(workspace_id) {
            return Ok(Session::default());
        }
        let token = Token::random_base64url();
        let session = SessionRow { expires: now + as_millis(self.lifetime), ..row };
        self.store.add_session(&token.hash().to_hex(), &session).await?;
        Ok(Session { token: token.expose().clone(), ..valid(&session) })
    }

    /// Whether a session is good for a workspace.
    pub async fn check(&self, token_hash: &str, workspace_id: &str) -> Result<Session, WorkspaceError> {
        let now = self.workspaces.clock().now();
        let row = self.store.session(token_hash).await?;
        let good = row.filter(|row| row.expires > now && row.workspace_id == workspace_id && self.exists(workspace_id));
        Ok(good.map(|row| valid(&row)).unwrap_or_default())
    }

    fn exists(&self, workspace_id: &str) -> bool {
        self.workspaces.hub().get(workspace_id).is_some_and(|workspace| !workspace.deleted)
    }
}

fn valid(row: &SessionRow) -> Session {
    Session { valid: true, token: String::new(), expires_unix_ms: row.expires, owner: row.owner.clone() }
}

fn as_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
