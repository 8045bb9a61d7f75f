//! What happened, in order, for people and audit. Only ever appended to.

use api::v1::Event;
use sqlx::{Row as _, SqliteConnection};

use super::{Store, StoreError, failed};

/// An event before it has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Milliseconds since 1970.
    pub time: i64,
    /// Whose; empty for the system's own.
    pub workspace_id: String,
    /// Its name then.
    pub workspace_name: String,
    /// "workspace.created", "instance.phase"…
    pub kind: &'static str,
    /// For people.
    pub message: String,
    /// Who did it: an owner, "node NAME", "orchestrator".
    pub actor: String,
}

pub(super) async fn insert(connection: &mut SqliteConnection, event: &NewEvent) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (time_ms, workspace_id, workspace_name, kind, message, actor) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(event.time)
        .bind(&event.workspace_id)
        .bind(&event.workspace_name)
        .bind(event.kind)
        .bind(&event.message)
        .bind(&event.actor)
        .execute(connection)
        .await
        .map_err(failed("write an event"))?;
    Ok(())
}

impl Store {
    /// Appends an event that belongs to no change of a workspace.
    pub async fn append(&self, event: &NewEvent) -> Result<(), StoreError> {
        let mut connection = self.durable.acquire().await.map_err(failed("append an event"))?;
        insert(&mut connection, event).await
    }

    /// Up to `limit` events after a number; of one workspace, or of all when the id is empty.
    pub async fn events(&self, workspace_id: &str, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, time_ms, workspace_id, workspace_name, kind, message, actor FROM events \
             WHERE number > ? AND (? = '' OR workspace_id = ?) ORDER BY number LIMIT ?",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(workspace_id)
        .bind(workspace_id)
        .bind(limit)
        .fetch_all(&self.quick)
        .await
        .map_err(failed("read events"))?;
        let event = |row: &sqlx::sqlite::SqliteRow| Event {
            number: row.get::<i64, _>(0) as u64,
            time_unix_ms: row.get(1),
            workspace_id: row.get(2),
            workspace_name: row.get(3),
            kind: row.get(4),
            message: row.get(5),
            actor: row.get(6),
        };
        Ok(rows.iter().map(event).collect())
    }
}
