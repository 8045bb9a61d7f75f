//! Streams of states and events. A slow client holds up nobody: it is told the last state when it reads again, and
//! events are read from the store as it goes.

use api::v1::{Event, RouteUpdate, Workspace, route_update};
use futures::{StreamExt as _, stream};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::workspaces::Feed;
use crate::error::WorkspaceError;
use crate::routes::Routes;
use crate::store::Store;
use crate::workspaces::hub::Watcher;

/// How many events are read at a time.
const PAGE: u32 = 256;

/// Ends a stream that has no end of its own when the process ends.
pub fn until_the_end<T: Send + 'static>(feed: Feed<T>, ending: &CancellationToken) -> Feed<T> {
    Box::pin(feed.take_until(ending.clone().cancelled_owned()))
}

/// The state at once, then every change.
pub fn states(watcher: Watcher) -> Feed<Workspace> {
    let changes = stream::unfold(watcher, |mut watcher| async move {
        let changed = watcher.next().await?;
        Some((stream::iter(changed), watcher))
    });
    Box::pin(changes.flatten().map(|workspace| Ok(Workspace::clone(&workspace))))
}

/// What an edge stream remembers.
struct Table {
    watcher: Watcher,
    routes: Arc<Routes>,
    sent: HashMap<String, api::v1::Route>,
    synced: bool,
}

/// The whole table, `synced`, then changes.
pub fn routes(watcher: Watcher, routes: Arc<Routes>) -> Feed<RouteUpdate> {
    let table = Table { watcher, routes, sent: HashMap::new(), synced: false };
    let updates = stream::unfold(table, |mut table| async move {
        let changed = table.watcher.next().await?;
        let mut updates: Vec<_> = changed.iter().filter_map(|workspace| table.update(workspace)).collect();
        if !std::mem::replace(&mut table.synced, true) {
            updates.push(route_update::Update::Synced(true));
        }
        Some((stream::iter(updates), table))
    });
    Box::pin(updates.flatten().map(|update| Ok(RouteUpdate { update: Some(update) })))
}

impl Table {
    fn update(&mut self, workspace: &Workspace) -> Option<route_update::Update> {
        if workspace.deleted {
            self.routes.forget(&workspace.id);
            return self.sent.remove(&workspace.id).map(|_| route_update::Update::Removed(workspace.id.clone()));
        }
        let route = self.routes.route(workspace);
        if self.sent.get(&workspace.id) == Some(&route) {
            return None;
        }
        self.sent.insert(workspace.id.clone(), route.clone());
        Some(route_update::Update::Route(route))
    }
}

/// What an event stream remembers.
struct Reader {
    store: Store,
    changes: watch::Receiver<u64>,
    id: String,
    after: u64,
    follow: bool,
}

/// Events after a number, in order; with `follow`, for ever.
pub fn events(store: Store, changes: watch::Receiver<u64>, id: String, after: u64, follow: bool) -> Feed<Event> {
    let reader = Reader { store, changes, id, after, follow };
    let pages = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.page().await {
            Ok(Some(events)) => Some((stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>()), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((stream::iter(vec![Err(error.into())]), None)),
        }
    });
    Box::pin(pages.flatten())
}

impl Reader {
    /// The next events; `None` at the end.
    async fn page(&mut self) -> Result<Option<Vec<Event>>, WorkspaceError> {
        loop {
            self.changes.mark_unchanged();
            let events = self.store.events(&self.id, self.after, PAGE).await?;
            if let Some(last) = events.last() {
                self.after = last.number;
                return Ok(Some(events));
            }
            if !self.follow || self.changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
