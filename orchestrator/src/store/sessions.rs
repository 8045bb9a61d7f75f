//! One-time codes and sessions of browsers, by the hash of their token.

use sqlx::Row as _;

use super::{Store, StoreError, failed};

/// Who a code or session lets in, where, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The workspace it is good for.
    pub workspace_id: String,
    /// Whose it is.
    pub owner: String,
    /// Milliseconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Keeps a code.
    pub async fn add_code(&self, hash: &str, row: &SessionRow) -> Result<(), StoreError> {
        let statement = sqlx::query("INSERT INTO codes (hash, workspace_id, owner, expires_ms) VALUES (?, ?, ?, ?)");
        let statement = statement.bind(hash).bind(&row.workspace_id).bind(&row.owner).bind(row.expires);
        statement.execute(&self.durable).await.map_err(failed("keep a code"))?;
        Ok(())
    }

    /// Takes a code out, so that it is good once even for two who ask at the same moment.
    pub async fn take_code(&self, hash: &str) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query("DELETE FROM codes WHERE hash = ? RETURNING workspace_id, owner, expires_ms")
            .bind(hash)
            .fetch_optional(&self.durable)
            .await
            .map_err(failed("take a code"))?;
        Ok(row.map(|row| SessionRow { workspace_id: row.get(0), owner: row.get(1), expires: row.get(2) }))
    }

    /// Keeps a session.
    pub async fn add_session(&self, hash: &str, row: &SessionRow) -> Result<(), StoreError> {
        let statement = sqlx::query("INSERT INTO sessions (hash, workspace_id, owner, expires_ms) VALUES (?, ?, ?, ?)");
        let statement = statement.bind(hash).bind(&row.workspace_id).bind(&row.owner).bind(row.expires);
        statement.execute(&self.durable).await.map_err(failed("keep a session"))?;
        Ok(())
    }

    /// Finds a session.
    pub async fn session(&self, hash: &str) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query("SELECT workspace_id, owner, expires_ms FROM sessions WHERE hash = ?")
            .bind(hash)
            .fetch_optional(&self.durable)
            .await
            .map_err(failed("look up a session"))?;
        Ok(row.map(|row| SessionRow { workspace_id: row.get(0), owner: row.get(1), expires: row.get(2) }))
    }

    /// Takes away codes and sessions that are over, or of a workspace that is gone.
    pub async fn end_sessions(&self, now: i64) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM codes WHERE expires_ms <= ? OR workspace_id IN (SELECT id FROM workspaces WHERE deleted)",
            "DELETE FROM sessions WHERE expires_ms <= ? OR workspace_id IN (SELECT id FROM workspaces WHERE deleted)",
        ] {
            sqlx::query(statement).bind(now).execute(&self.durable).await.map_err(failed("end sessions"))?;
        }
        Ok(())
    }
}
