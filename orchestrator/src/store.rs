//! What survives a restart: SQLite. Verbs are durable (fsync) before they act; what nodes report is written without
//! waiting for the disk, because a node says it again.

mod events;
mod ledger;
mod sessions;
mod workspaces;

use std::path::Path;
use std::time::Duration;

use domain::class::{Class, Classify};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use events::NewEvent;
pub use ledger::KnownNode;
pub use sessions::SessionRow;
pub use workspaces::{Durability, RequestKey};

/// The store failed; never a client's fault.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("{step} in the store")]
    Database {
        /// What was being done.
        step: &'static str,
        /// Why not.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("bring the store's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A stored row cannot be read.
    #[error("read {what} of {id} from the store")]
    Corrupt {
        /// Which column.
        what: &'static str,
        /// Whose.
        id: String,
    },
}

impl Classify for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Database { source, .. } if is_full(source) => Class::ResourceExhausted,
            Self::Database { .. } | Self::Migrate(_) => Class::Internal,
            Self::Corrupt { .. } => Class::DataLoss,
        }
    }

    fn hint(&self) -> Option<String> {
        match self.class() {
            Class::ResourceExhausted => Some("free space where the data directory is".into()),
            _ => None,
        }
    }
}

/// SQLITE_FULL is 13.
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code().map(|code| code == "13")).unwrap_or(false)
}

/// Names the step of an error of sqlx.
fn failed(step: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { step, source }
}

/// The store. Cloning shares it.
#[derive(Clone)]
pub struct Store {
    durable: SqlitePool,
    quick: SqlitePool,
}

impl Store {
    /// Opens (or makes) the file and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        let durable = pool(options.clone().synchronous(SqliteSynchronous::Full)).await?;
        sqlx::migrate!().run(&durable).await.map_err(StoreError::Migrate)?;
        let quick = pool(options.synchronous(SqliteSynchronous::Normal)).await?;
        Ok(Self { durable, quick })
    }

    /// Ends all use of the file.
    pub async fn close(&self) {
        self.quick.close().await;
        self.durable.close().await;
    }
}

/// One connection each: SQLite has one writer at a time, and a queue of ours is fairer than its busy loop.
async fn pool(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed("open the file"))
}
