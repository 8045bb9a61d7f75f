//! The workspaces: every change goes through [`Workspaces::change`], one at a time for each workspace. It is stored
//! first, then shown, then the node is told.

mod create;
mod deadlines;
pub mod hub;
mod lifecycle;
pub mod record;
mod reports;
mod settings;
mod spec;
mod start;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use api::v1::{NodeEvent, Visibility, Workspace};
use domain::name::NameError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use lifecycle::check_port as checked_port;
pub use settings::Settings;

use crate::activity::Activity;
use crate::error::WorkspaceError;
use crate::nodes::SharedNodes;
use crate::ports::Clock;
use crate::store::{Durability, NewEvent, RequestKey, Store};
use crate::supervisors::Supervisors;
use hub::Hub;
use record::Record;

/// Shared by everything that asks something of a workspace.
pub type SharedWorkspaces = Arc<Workspaces>;

/// All workspaces.
pub struct Workspaces {
    store: Store,
    hub: Arc<Hub>,
    nodes: SharedNodes,
    supervisors: Arc<Supervisors>,
    clock: Arc<dyn Clock>,
    activity: Activity,
    settings: Settings,
    slots: Mutex<HashMap<String, Slot>>,
    /// Names and request ids are looked up and then taken: one at a time.
    turn: tokio::sync::Mutex<()>,
    /// Starts that are being resolved, by instance id.
    starting: Mutex<HashMap<String, tokio::task::AbortHandle>>,
    events: watch::Sender<u64>,
    ending: CancellationToken,
}

/// Where one workspace's record is; locked while it changes.
type Slot = Arc<tokio::sync::Mutex<Record>>;

/// What goes along with a change.
#[derive(Debug, Default)]
pub struct Draft {
    /// The time of the change.
    pub now: i64,
    events: Vec<(&'static str, String, String)>,
    request: Option<RequestKey>,
    durability: Option<Durability>,
    unchanged: bool,
}

impl Draft {
    /// Adds an event: kind, what happened in words, and who did it.
    pub fn event(&mut self, kind: &'static str, message: impl Into<String>, actor: &str) {
        self.events.push((kind, message.into(), actor.to_owned()));
    }

    /// Notes the client's request that is answered by the change.
    pub fn answers(&mut self, request: Option<RequestKey>) {
        self.request = request;
    }

    /// Nothing has changed: nothing is stored or shown.
    pub fn unchanged(&mut self) {
        self.unchanged = true;
    }

    /// A node says it again after a loss: no need to wait for the disk.
    pub fn repeatable(&mut self) {
        self.durability = Some(Durability::Process);
    }
}

impl Workspaces {
    /// Reads the store. Nothing acts before [`Workspaces::resume`].
    pub async fn load(
        store: Store,
        nodes: SharedNodes,
        supervisors: Arc<Supervisors>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<SharedWorkspaces, WorkspaceError> {
        let hub = Arc::new(Hub::default());
        let mut slots = HashMap::new();
        for record in store.load().await? {
            hub.publish(view::view(&record, &settings));
            slots.insert(record.id.clone(), Arc::new(tokio::sync::Mutex::new(record)));
        }
        Ok(Arc::new(Self {
            store,
            hub,
            nodes,
            supervisors,
            activity: Activity::new(clock.clone()),
            clock,
            settings,
            slots: Mutex::new(slots),
            turn: tokio::sync::Mutex::default(),
            starting: Mutex::default(),
            events: watch::channel(0).0,
            ending: CancellationToken::new(),
        }))
    }

    /// The present states.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Who was seen doing something.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Cancelled when the process ends: who watches is let go then.
    pub fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Tells when there may be new events.
    pub fn event_changes(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// The workspace that a person means.
    pub fn find(&self, text: &str) -> Result<Arc<Workspace>, WorkspaceError> {
        Ok(self.hub.find(text)?)
    }

    fn slot(&self, id: &str) -> Result<Slot, WorkspaceError> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(id).cloned().ok_or_else(|| NameError::Unknown(id.to_owned()).into())
    }

    fn all_slots(&self) -> Vec<Slot> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Changes a workspace: what `act` makes of it is stored, then shown, then its node is told. An error, of `act` or
    /// of the store, leaves it as it was.
    pub async fn change<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Record, &mut Draft) -> Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        let slot = self.slot(id)?;
        let mut current = slot.lock().await;
        let mut next = current.clone();
        let mut draft = Draft { now: self.clock.now(), ..Draft::default() };
        let answer = act(&mut next, &mut draft)?;
        if !draft.unchanged {
            next.revision += 1;
            self.commit(&next, draft).await?;
            *current = next;
            self.hub.publish(view::view(&current, &self.settings));
        }
        self.nodes.drive(&current);
        Ok(answer)
    }

    async fn commit(&self, record: &Record, draft: Draft) -> Result<(), WorkspaceError> {
        let durability = draft.durability.unwrap_or(Durability::Disk);
        let event = |(kind, message, actor): (&'static str, String, String)| NewEvent {
            time: draft.now,
            workspace_id: record.id.clone(),
            workspace_name: record.name.clone(),
            kind,
            message,
            actor,
        };
        let has_events = !draft.events.is_empty();
        let events: Vec<NewEvent> = draft.events.into_iter().map(event).collect();
        self.store.save(record, &events, draft.request.as_ref(), draft.now, durability).await?;
        if has_events {
            self.events.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Takes up what a stopped process left: starts that were being resolved go on.
    pub async fn resume(self: &Arc<Self>) {
        for slot in self.all_slots() {
            let record = slot.lock().await.clone();
            let instance = &record.instance;
            if instance.spec.is_none() && instance.desired == record::Desired::Running && !record.deleted {
                self.spawn_start(&record.id, &instance.id);
            }
        }
    }

    /// Waits for one's turn, when the request has an id: of two with the same id, the second finds the first answered.
    async fn turn(&self, request: Option<&RequestKey>) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if request.is_some() { Some(self.turn.lock().await) } else { None }
    }

    /// Looks up whether a request was answered before: with which workspace. `None` for a new one, or one without id.
    async fn answered(&self, request: Option<&RequestKey>) -> Result<Option<String>, WorkspaceError> {
        let Some(request) = request else { return Ok(None) };
        match self.store.answered(&request.id).await? {
            None => Ok(None),
            Some((method, arguments, id)) if method == request.method && arguments == request.arguments => Ok(Some(id)),
            Some(_) => Err(WorkspaceError::RequestReused(request.id.clone())),
        }
    }

    /// Who may reach a port.
    pub async fn visibility_of(&self, id: &str, port: u32) -> Result<Visibility, WorkspaceError> {
        Ok(self.slot(id)?.lock().await.visibility_of(port))
    }

    /// The id whose events are meant; empty for all. Deleted workspaces are found too: by id, or by the name of the last
    /// one that had it.
    pub fn id_for_events(&self, text: &str) -> Result<String, WorkspaceError> {
        if text.is_empty() {
            return Ok(String::new());
        }
        match self.hub.find(text) {
            Ok(found) => Ok(found.id.clone()),
            Err(error) => {
                let all = self.hub.all();
                let deleted = all.iter().rev().find(|workspace| workspace.id == text || workspace.name == text);
                deleted.map(|workspace| workspace.id.clone()).ok_or_else(|| error.into())
            }
        }
    }

    /// A node tells of something that happened to an instance.
    pub async fn note_node_event(&self, node: &str, event: NodeEvent) -> Result<(), WorkspaceError> {
        let of =
            self.hub.all().into_iter().find(|workspace| workspace.instance_id == event.instance_id && workspace.node == node);
        let workspace = of.map(|workspace| (workspace.id.clone(), workspace.name.clone())).unwrap_or_default();
        self.store.append(&crate::service::nodes::event_of(node, workspace, event, self.clock.now())).await?;
        self.events.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Digests of the uploaded sources that workspaces which are not deleted came from.
    pub fn used_sources(&self) -> HashSet<String> {
        let present = self.hub.all().into_iter().filter(|workspace| !workspace.deleted);
        let digests = present.filter_map(|workspace| workspace.source.as_ref().map(|source| source.bundle_digest.clone()));
        digests.filter(|digest| !digest.is_empty()).collect()
    }

    /// The state to answer with, deleted or not.
    fn state(&self, id: &str) -> Result<Workspace, WorkspaceError> {
        let found = self.hub.get(id).ok_or_else(|| NameError::Unknown(id.to_owned()))?;
        Ok(Workspace::clone(&found))
    }
}

/// Makes the key of a client's request: its id, and a hash of the rest. Without an id there is none.
pub fn request_key(id: &str, method: &'static str, arguments: &impl prost::Message) -> Option<RequestKey> {
    use sha2::Digest as _;
    let hash = hex::encode(sha2::Sha256::digest(arguments.encode_to_vec()));
    (!id.is_empty()).then(|| RequestKey { id: id.to_owned(), method, arguments: hash })
}
