//! The present state of every workspace, and who watches it.
//!
//! A watcher is told the last state of what changed since it looked last: changes in between are merged, so a slow one
//! costs nothing and holds nobody up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use api::v1::Workspace;
use domain::name::{self, NameError};
use tokio::sync::watch;

/// Snapshots, by id and by the order of their last change.
#[derive(Default)]
struct Snapshots {
    by_id: HashMap<String, (u64, Arc<Workspace>)>,
    by_change: BTreeMap<u64, String>,
    changes: u64,
}

/// Where states are published.
pub struct Hub {
    snapshots: RwLock<Snapshots>,
    changes: watch::Sender<u64>,
}

/// Sees every last state, in the order of change.
pub struct Watcher {
    hub: Arc<Hub>,
    seen: Option<u64>,
    changes: watch::Receiver<u64>,
    only: Option<String>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { snapshots: RwLock::default(), changes: watch::channel(0).0 }
    }
}

impl Hub {
    /// Makes a state the present one.
    pub fn publish(&self, workspace: Workspace) {
        let mut snapshots = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        snapshots.changes += 1;
        let change = snapshots.changes;
        let id = workspace.id.clone();
        if let Some((old, _)) = snapshots.by_id.insert(id.clone(), (change, Arc::new(workspace))) {
            snapshots.by_change.remove(&old);
        }
        snapshots.by_change.insert(change, id);
        // While the lock is held, so that the number never goes back.
        self.changes.send_replace(change);
    }

    /// One workspace.
    pub fn get(&self, id: &str) -> Option<Arc<Workspace>> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        snapshots.by_id.get(id).map(|(_, workspace)| workspace.clone())
    }

    /// All, oldest first.
    pub fn all(&self) -> Vec<Arc<Workspace>> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = snapshots.by_id.values().map(|(_, workspace)| workspace.clone()).collect();
        all.sort_by(|a, b| (a.created_unix_ms, &a.id).cmp(&(b.created_unix_ms, &b.id)));
        all
    }

    /// The one that a person means: a name, an id, or a unique prefix of one. Deleted ones are not meant.
    pub fn find(&self, text: &str) -> Result<Arc<Workspace>, NameError> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        let present = snapshots.by_id.values().map(|(_, workspace)| workspace).filter(|workspace| !workspace.deleted);
        let id = name::resolve(text, present.map(|workspace| (workspace.id.as_str(), workspace.name.as_str())))?;
        let found = snapshots.by_id.get(id).map(|(_, workspace)| workspace.clone());
        found.ok_or_else(|| NameError::Unknown(text.to_owned()))
    }

    /// Whether a workspace that is not deleted has this name.
    pub fn is_taken(&self, name: &str) -> bool {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        snapshots.by_id.values().any(|(_, workspace)| !workspace.deleted && workspace.name == name)
    }

    /// Watches all, or one by its id. The first answer is everything that is there.
    pub fn watch(self: &Arc<Self>, only: Option<String>) -> Watcher {
        Watcher { hub: self.clone(), seen: None, changes: self.changes.subscribe(), only }
    }
}

impl Watcher {
    /// Waits for changes and gives the last state of each workspace that changed. The very first answer comes at once
    /// and may be empty. `None` when the hub is gone.
    pub async fn next(&mut self) -> Option<Vec<Arc<Workspace>>> {
        loop {
            let is_first = self.seen.is_none();
            let changed = self.collect();
            if is_first || !changed.is_empty() {
                return Some(changed);
            }
            self.changes.changed().await.ok()?;
        }
    }

    fn collect(&mut self) -> Vec<Arc<Workspace>> {
        self.changes.mark_unchanged();
        let snapshots = self.hub.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        let ids = snapshots.by_change.range(self.seen.unwrap_or(0) + 1..).map(|(_, id)| id);
        let ids = ids.filter(|id| self.only.as_ref().is_none_or(|only| only == *id));
        let changed = ids.filter_map(|id| snapshots.by_id.get(id)).map(|(_, workspace)| workspace.clone()).collect();
        self.seen = Some(snapshots.changes);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: &str, revision: u64) -> Workspace {
        Workspace { id: id.into(), name: format!("name-{id}"), revision, ..Default::default() }
    }

    fn seen(changed: &[Arc<Workspace>]) -> Vec<(String, u64)> {
        changed.iter().map(|workspace| (workspace.id.clone(), workspace.revision)).collect()
    }

    #[tokio::test]
    async fn a_slow_watcher_sees_the_last_state_of_each_and_only_that() {
        let hub = Arc::new(Hub::default());
        hub.publish(state("a", 1));
        let mut watcher = hub.watch(None);
        assert_eq!(seen(&watcher.next().await.expect("first")), [("a".into(), 1)]);
        for revision in 2..100 {
            hub.publish(state("a", revision));
            hub.publish(state("b", revision));
        }
        assert_eq!(seen(&watcher.next().await.expect("second")), [("a".into(), 99), ("b".into(), 99)]);
    }

    #[tokio::test]
    async fn the_first_answer_comes_at_once_even_when_nothing_is_there() {
        let hub = Arc::new(Hub::default());
        let mut watcher = hub.watch(None);
        assert!(watcher.next().await.expect("first").is_empty());
        let (next, ()) = tokio::join!(watcher.next(), async { hub.publish(state("a", 1)) });
        assert_eq!(seen(&next.expect("second")), [("a".into(), 1)]);
    }

    #[tokio::test]
    async fn who_watches_one_sees_only_that() {
        let hub = Arc::new(Hub::default());
        let mut watcher = hub.watch(Some("b".into()));
        watcher.next().await.expect("first");
        hub.publish(state("a", 1));
        hub.publish(state("b", 1));
        assert_eq!(seen(&watcher.next().await.expect("second")), [("b".into(), 1)]);
    }
}
