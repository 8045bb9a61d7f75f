//! What the edge knows of workspaces: the last table that the orchestrator sent, kept while it is away. Streams that were
//! let in hold a token of their route; a route that changes in a way that would have kept them out cancels it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::v1::{self, Phase, Visibility};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One workspace as the edge knows it. Immutable; a change makes a new one.
#[derive(Debug)]
pub struct Route {
    /// Of the workspace.
    pub workspace_id: String,
    /// In hosts.
    pub name: String,
    /// Empty when it does not run.
    pub instance_id: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Which node runs it.
    pub node: String,
    /// `dial.sock` of that node, when it is on this machine; else empty.
    pub dial_socket: String,
    /// The start, step by step.
    pub timeline: Vec<v1::Step>,
    /// Why it does not run.
    pub message: String,
    generation: u64,
    public: HashMap<u16, CancellationToken>,
    instance: CancellationToken,
    used: Arc<AtomicBool>,
}

impl Route {
    /// The token of everybody's access to a public port; `None` for a private one.
    pub fn public(&self, port: u16) -> Option<&CancellationToken> {
        self.public.get(&port)
    }

    /// The token of anything into this instance.
    pub fn instance(&self) -> &CancellationToken {
        &self.instance
    }

    /// Whether an instance is there to take requests. One whose node is not heard of at the moment may well be.
    pub fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Unknown) && !self.instance_id.is_empty()
    }

    /// Whether it will soon be there.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Preparing | Phase::Starting)
    }

    /// Shared by all that use this workspace: set it when something passes.
    pub fn used(&self) -> &Arc<AtomicBool> {
        &self.used
    }

    fn new(update: v1::Route, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.instance_id == update.instance_id);
        let public = |port: &v1::PortStatus| (port.visibility() == Visibility::Public).then_some(port.port);
        let ports = update.ports.iter().filter_map(public).filter_map(|port| u16::try_from(port).ok());
        let token = |port: u16| same.and_then(|same| same.public.get(&port)).cloned().unwrap_or_default();
        // An orchestrator that has just begun does not know its nodes yet; the way to an instance does not change.
        let kept = same.filter(|_| update.dial_socket.is_empty()).map(|same| same.dial_socket.clone());
        let dial_socket = kept.unwrap_or(update.dial_socket);
        Self {
            phase: update.phase.try_into().unwrap_or_default(),
            public: ports.map(|port| (port, token(port))).collect(),
            instance: same.map(|same| same.instance.clone()).unwrap_or_default(),
            used: before.map(|before| before.used.clone()).unwrap_or_default(),
            workspace_id: update.workspace_id,
            name: update.name,
            instance_id: update.instance_id,
            node: update.node,
            dial_socket,
            timeline: update.timeline,
            message: update.message,
            generation: update.generation,
        }
    }

    /// Cuts what was let in under this route and would not be let in under `now`.
    fn superseded_by(&self, now: Option<&Self>) {
        let still = now.filter(|now| now.instance_id == self.instance_id);
        if still.is_none() {
            self.instance.cancel();
        }
        for (port, token) in &self.public {
            if still.is_none_or(|still| !still.public.contains_key(port)) {
                token.cancel();
            }
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Arc<Route>>,
    by_name: HashMap<String, Arc<Route>>,
    by_instance: HashMap<String, Arc<Route>>,
    synced: bool,
}

/// The table, shared by all requests.
#[derive(Debug)]
pub struct Routes {
    table: RwLock<Table>,
    changed: watch::Sender<u64>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { table: RwLock::default(), changed: watch::Sender::new(0) }
    }
}

impl Routes {
    /// The workspace of a name.
    pub fn named(&self, name: &str) -> Option<Arc<Route>> {
        self.table.read().by_name.get(name).cloned()
    }

    /// The workspace that an instance belongs to.
    pub fn of_instance(&self, instance_id: &str) -> Option<Arc<Route>> {
        self.table.read().by_instance.get(instance_id).cloned()
    }

    /// Whether a whole table has ever come.
    pub fn is_synced(&self) -> bool {
        self.table.read().synced
    }

    /// How many workspaces are known.
    pub fn len(&self) -> usize {
        self.table.read().by_id.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Ids of workspaces used since the last call.
    pub fn take_used(&self) -> Vec<String> {
        let table = self.table.read();
        let used = table.by_id.values().filter(|route| route.used.swap(false, Ordering::Relaxed));
        used.map(|route| route.workspace_id.clone()).collect()
    }

    fn put(&self, update: v1::Route, trusted: bool) {
        let mut table = self.table.write();
        let before = table.by_id.get(&update.workspace_id).cloned();
        if !trusted && before.as_ref().is_some_and(|before| before.generation > update.generation) {
            return;
        }
        let now = Arc::new(Route::new(update, before.as_deref()));
        if let Some(before) = &before {
            table.forget_names(before);
            before.superseded_by(Some(&now));
        }
        table.by_name.insert(now.name.clone(), now.clone());
        if !now.instance_id.is_empty() {
            table.by_instance.insert(now.instance_id.clone(), now.clone());
        }
        table.by_id.insert(now.workspace_id.clone(), now);
        drop(table);
        self.changed.send_modify(|revision| *revision += 1);
    }

    fn remove(&self, workspace_id: &str) {
        let mut table = self.table.write();
        if let Some(route) = table.by_id.remove(workspace_id) {
            table.forget_names(&route);
            route.superseded_by(None);
        }
        drop(table);
        self.changed.send_modify(|revision| *revision += 1);
    }
}

impl Table {
    /// A name or instance may have gone on to another workspace already; only an entry of this route is taken away.
    fn forget_names(&mut self, route: &Arc<Route>) {
        if self.by_name.get(&route.name).is_some_and(|other| other.workspace_id == route.workspace_id) {
            self.by_name.remove(&route.name);
        }
        self.by_instance.remove(&route.instance_id);
    }
}

/// One stream of updates. What a new stream tells before `synced` replaces what was known: an orchestrator that was
/// restored from a backup may count generations anew, and what it no longer names is gone.
pub struct Feed<'a> {
    routes: &'a Routes,
    seen: Option<std::collections::HashSet<String>>,
}

impl<'a> Feed<'a> {
    /// Begins a stream.
    pub fn new(routes: &'a Routes) -> Self {
        Self { routes, seen: Some(std::collections::HashSet::new()) }
    }

    /// Takes one update in.
    pub fn take(&mut self, update: v1::RouteUpdate) {
        use v1::route_update::Update;
        match update.update {
            Some(Update::Route(route)) => {
                let first = self.seen.as_mut().is_some_and(|seen| seen.insert(route.workspace_id.clone()));
                self.routes.put(route, first);
            }
            Some(Update::Removed(id)) => self.routes.remove(&id),
            Some(Update::Synced(_)) => self.synced(),
            None => {}
        }
    }

    fn synced(&mut self) {
        let Some(seen) = self.seen.take() else { return };
        let known: Vec<String> = self.routes.table.read().by_id.keys().cloned().collect();
        for gone in known.iter().filter(|id| !seen.contains(*id)) {
            self.routes.remove(gone);
        }
        self.routes.table.write().synced = true;
        self.routes.changed.send_modify(|revision| *revision += 1);
    }
}

#[cfg(test)]
mod tests;
