//! Everything that the engine acts through, in one value: the ports, the store, and what was configured.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::logs::LogSpool;
use crate::ports::{Images, Networks, Sandboxes, Sources, WorkspaceContent};
use crate::reports::Reports;
use crate::store::Store;

/// The world of one node. Cheap to clone.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is documented at its type")]
pub struct World {
    pub images: Arc<dyn Images>,
    pub content: Arc<dyn WorkspaceContent>,
    pub networks: Arc<dyn Networks>,
    pub sandboxes: Arc<dyn Sandboxes>,
    pub sources: Arc<dyn Sources>,
    pub store: Store,
    pub ledger: Ledger,
    pub layout: Layout,
    pub reports: Arc<Reports>,
    pub logs: Arc<LogSpool>,
    pub locks: Arc<WorkspaceLocks>,
    pub limits: Limits,
}

/// Deadlines of steps.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in config/default.toml")]
pub struct Limits {
    pub image: Duration,
    pub content: Duration,
    pub network: Duration,
    pub sandbox: Duration,
    /// Until the supervisor has spoken for the first time.
    pub supervisor: Duration,
    pub start: Duration,
    pub stop_grace: Duration,
    pub usage_interval: Duration,
    pub disk_interval: Duration,
    /// Before the first repetition of what failed while cleaning up; doubles up to 64 times that.
    pub retry: Duration,
}

/// One lock for each workspace: what it keeps is in the hands of one instance at a time.
#[derive(Default)]
pub struct WorkspaceLocks(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

/// Held while an instance may write to what its workspace keeps.
pub type WorkspaceLock = OwnedMutexGuard<()>;

impl WorkspaceLocks {
    /// Waits until nobody else has the workspace.
    pub async fn lock(&self, workspace_id: &str) -> WorkspaceLock {
        self.of(workspace_id).lock_owned().await
    }

    /// The lock, if nobody has it.
    pub fn try_lock(&self, workspace_id: &str) -> Option<WorkspaceLock> {
        self.of(workspace_id).try_lock_owned().ok()
    }

    fn of(&self, workspace_id: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock();
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(workspace_id).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(workspace_id.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// Unix time in milliseconds.
pub fn now_ms() -> i64 {
    now_us() / 1_000
}

/// Unix time in microseconds.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64
}
