//! Uploaded sources, and nodes that were seen.

use sqlx::Row as _;

use super::{Store, StoreError, failed};

/// A node that was connected once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    /// Its id.
    pub id: String,
    /// The version it ran.
    pub version: String,
    /// Its machine's boot id.
    pub boot_id: String,
    /// When it was heard last, in milliseconds since 1970.
    pub last_seen: i64,
}

impl Store {
    /// Notes a source whose bytes are durable.
    pub async fn add_source(&self, digest: &str, size: u64, now: i64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO sources (digest, size, created_ms) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET created_ms = excluded.created_ms")
            .bind(digest)
            .bind(size as i64)
            .bind(now)
            .execute(&self.durable)
            .await
            .map_err(failed("note a source"))?;
        Ok(())
    }

    /// The size of a source, when it is here.
    pub async fn source(&self, digest: &str) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT size FROM sources WHERE digest = ?").bind(digest);
        let row = row.fetch_optional(&self.durable).await.map_err(failed("look up a source"))?;
        Ok(row.map(|row| row.get::<i64, _>(0) as u64))
    }

    /// Digests of the sources that were uploaded before a time.
    pub async fn sources_before(&self, time: i64) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT digest FROM sources WHERE created_ms < ?").bind(time);
        let rows = rows.fetch_all(&self.durable).await.map_err(failed("list sources"))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Forgets a source; its bytes go afterwards.
    pub async fn remove_source(&self, digest: &str) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM sources WHERE digest = ?").bind(digest);
        statement.execute(&self.durable).await.map_err(failed("forget a source"))?;
        Ok(())
    }

    /// Forgets answers to requests from before a time.
    pub async fn forget_requests(&self, before: i64) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM requests WHERE created_ms < ?").bind(before);
        statement.execute(&self.durable).await.map_err(failed("forget requests"))?;
        Ok(())
    }

    /// Notes that a node was heard.
    pub async fn saw_node(&self, node: &KnownNode) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO nodes (id, version, boot_id, last_seen_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET \
             version = excluded.version, boot_id = excluded.boot_id, last_seen_ms = excluded.last_seen_ms",
        )
        .bind(&node.id)
        .bind(&node.version)
        .bind(&node.boot_id)
        .bind(node.last_seen)
        .execute(&self.quick)
        .await
        .map_err(failed("note a node"))?;
        Ok(())
    }

    /// Every node that was ever connected.
    pub async fn nodes(&self) -> Result<Vec<KnownNode>, StoreError> {
        let rows = sqlx::query("SELECT id, version, boot_id, last_seen_ms FROM nodes ORDER BY id").fetch_all(&self.quick);
        let rows = rows.await.map_err(failed("list nodes"))?;
        let node = |row: &sqlx::sqlite::SqliteRow| KnownNode {
            id: row.get(0),
            version: row.get(1),
            boot_id: row.get(2),
            last_seen: row.get(3),
        };
        Ok(rows.iter().map(node).collect())
    }
}
