//! The instances of this node: an actor for each, found again after a restart, and nothing kept that nobody knows.

mod actor;
pub mod bounds;
pub(crate) mod conditions;
pub(crate) mod create;
mod environment;
mod lower;
mod merge;
mod message;
mod prepare;
mod recovery;
pub(crate) mod timeline;
mod watchers;
mod wire;
pub(crate) mod work;

use std::collections::HashMap;
use std::sync::Arc;

use api::v1::{InstanceSpec, InstanceStatus, Phase, RemoveInstance, SetInstancePort, StopInstance};
use domain::class::Class;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::NodeError;
use crate::store::{InstanceRecord, StopRequest};
use crate::world::{WorkspaceLock, World, now_ms};
use actor::{Actor, Handle};
pub(crate) use message::Prepared;
use message::{Answer, Message};
pub(crate) use recovery::THROW_AWAY;

/// All instances of a node. Cheap to clone.
#[derive(Clone)]
pub struct Instances {
    world: World,
    actors: Arc<Mutex<HashMap<String, Handle>>>,
    tasks: TaskTracker,
    halt: CancellationToken,
    /// Whether those of the life before were found: nothing is asked for before that.
    recovered: watch::Sender<bool>,
}

impl Instances {
    /// None yet; [`Self::recover`] finds those that are there.
    pub fn new(world: World) -> Self {
        let (tasks, halt, recovered) = (TaskTracker::new(), CancellationToken::new(), watch::Sender::new(false));
        Self { world, actors: Arc::default(), tasks, halt, recovered }
    }

    /// Makes an instance, or takes a newer generation of its spec. Answers when it is stored.
    pub async fn apply(&self, spec: InstanceSpec) -> Result<(), NodeError> {
        check(&spec)?;
        self.wait_for_recovery().await;
        if let Some(known) = self.handle(&spec.id) {
            return ask(&known, |answer| Message::Apply(Box::new(spec), answer)).await;
        }
        let (answer, stored) = oneshot::channel();
        self.begin(InstanceRecord::new(spec, now_ms()), None, Some(answer));
        stored.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Stops an instance. Bears repeating: what failed is tried again.
    pub async fn stop(&self, request: StopInstance) -> Result<(), NodeError> {
        self.wait_for_recovery().await;
        let known = self.handle(&request.id).ok_or_else(|| unknown(&request.id))?;
        let stop =
            StopRequest { reason: bounds::text(&request.reason), grace_ms: request.grace_ms, conclusion: request.conclusion };
        ask(&known, |answer| Message::Stop(stop, answer)).await
    }

    /// Removes an instance, stopping it first; with `forget` also what its workspace keeps. What is not here is told to
    /// be gone: an orchestrator that asks twice gets the same answer.
    pub async fn remove(&self, request: RemoveInstance) -> Result<(), NodeError> {
        self.wait_for_recovery().await;
        if let Some(known) = self.handle(&request.id) {
            let asked = ask(&known, |answer| Message::Remove(request.forget, answer)).await;
            // An actor that ends while the daemon does not has just seen its instance go.
            if asked.is_ok() || self.halt.is_cancelled() {
                return asked;
            }
        }
        if request.forget && domain::name::is_id(&request.workspace_id) {
            let _lock = self.world.locks.lock(&request.workspace_id).await;
            self.world.content.forget(&request.workspace_id).await?;
            self.collect_images();
        }
        self.world.reports.publish(gone(request));
        Ok(())
    }

    /// Tells an instance how a port is to be shown.
    pub async fn set_port(&self, request: SetInstancePort) -> Result<(), NodeError> {
        let known = self.handle(&request.id).ok_or_else(|| unknown(&request.id))?;
        let port = u16::try_from(request.port).ok().filter(|port| *port > 0).ok_or_else(|| {
            NodeError::refused(Class::InvalidArgument, "PortMalformed", format!("{} is not a port", request.port), "")
        })?;
        known.send(Message::SetPort(port, request.visibility())).await.map_err(|_| ending())
    }

    /// Tells that something cannot be done for an instance that is not here.
    pub fn refuse(&self, id: String, workspace_id: String, error: &NodeError) {
        if self.handle(&id).is_some() {
            return;
        }
        let mut status = gone(RemoveInstance { id, workspace_id, forget: false });
        status.phase = Phase::Stopped.into();
        status.conclusion = api::v1::Conclusion::Failed.into();
        status.conclusion_reason = error.to_string();
        conditions::set_failed(&mut status.conditions, "Ready", error);
        self.world.reports.publish(status);
    }

    /// How an instance is.
    pub fn status(&self, id: &str) -> Option<InstanceStatus> {
        self.handle(id)?;
        self.world.reports.get(id)
    }

    /// Refuses what has no container to speak with.
    pub fn require_container(&self, id: &str) -> Result<(), NodeError> {
        let status = self.status(id).ok_or_else(|| unknown(id))?;
        if matches!(status.phase(), Phase::Starting | Phase::Running | Phase::Stopping) {
            return Ok(());
        }
        let name = status.phase().as_str_name().trim_start_matches("PHASE_").to_lowercase();
        Err(NodeError::refused(Class::FailedPrecondition, "NotRunning", format!("the instance is {name}"), "start the workspace"))
    }

    /// The world they act on.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Stops driving them, and waits until nobody does. Their containers live on.
    pub async fn halt(&self) {
        self.halt.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.actors.lock().clear();
    }

    /// Who asks earlier waits: to recover is to delete what nobody knows yet.
    async fn wait_for_recovery(&self) {
        let _ = self.recovered.subscribe().wait_for(|is_recovered| *is_recovered).await;
    }

    /// Removes images that nobody uses, in the background.
    fn collect_images(&self) {
        let (world, halt) = (self.world.clone(), self.halt.clone());
        self.tasks.spawn(async move { halt.run_until_cancelled(lower::collect(&world)).await });
    }

    fn handle(&self, id: &str) -> Option<Handle> {
        self.actors.lock().get(id).cloned()
    }

    fn begin(&self, record: InstanceRecord, lock: Option<WorkspaceLock>, answer: Option<Answer>) {
        let id = record.spec.id.clone();
        let (actor, handle) = Actor::new(self.world.clone(), record, lock, self.halt.clone());
        self.actors.lock().insert(id.clone(), handle);
        let instances = self.clone();
        self.tasks.spawn(async move {
            let has_forgotten = actor.live(answer).await;
            instances.actors.lock().remove(&id);
            instances.world.reports.forget(&id);
            if has_forgotten {
                instances.collect_images();
            }
        });
    }
}

async fn ask(actor: &Handle, message: impl FnOnce(Answer) -> Message) -> Result<(), NodeError> {
    let (answer, answered) = oneshot::channel();
    actor.send(message(answer)).await.map_err(|_| ending())?;
    answered.await.unwrap_or_else(|_| Err(ending()))
}

/// Ids become paths and names of kernel objects: nothing else is let through.
fn check(spec: &InstanceSpec) -> Result<(), NodeError> {
    let is_good = domain::name::is_id(&spec.id) && domain::name::is_id(&spec.workspace_id) && !spec.image.is_empty();
    if is_good && domain::name::check(&spec.workspace_name).is_ok() {
        return Ok(());
    }
    Err(NodeError::refused(
        Class::InvalidArgument,
        "SpecMalformed",
        "the spec of an instance needs two ids, a name and an image",
        "",
    ))
}

fn gone(request: RemoveInstance) -> InstanceStatus {
    InstanceStatus {
        id: request.id,
        workspace_id: request.workspace_id,
        phase: Phase::Removed.into(),
        sequence: now_ms().unsigned_abs(),
        ..InstanceStatus::default()
    }
}

fn unknown(id: &str) -> NodeError {
    NodeError::refused(Class::NotFound, "NoSuchInstance", format!("no instance {} on this node", bounds::text(id)), "")
}

fn ending() -> NodeError {
    NodeError::refused(Class::Unavailable, "NodeEnding", "the node is ending", "try again")
}
