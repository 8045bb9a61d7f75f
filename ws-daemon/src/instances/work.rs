//! Carries out the actions of one move, in order. Each bears repeating, and ends in what the actor is told.

use std::sync::Arc;
use std::time::Duration;

use api::v1::{InstanceSpec, ShutdownRequest};
use domain::phase::{Action, Event};
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio_util::sync::CancellationToken;

use super::actor::Handle;
use super::message::{Message, Prepared};
use super::timeline::Timeline;
use super::watchers::{self, Watchers};
use super::{conditions, create, prepare};
use crate::backoff::Backoff;
use crate::content_layer::{blocking, discard};
use crate::descriptors::watched;
use crate::error::NodeError;
use crate::ports::Running;
use crate::store::StopRequest;
use crate::supervisor;
use crate::world::{WorkspaceLock, World};

const SIGKILL: i32 = 9;
/// From the supervisor's answer that it has drained to its own end.
const LAST_BREATH: Duration = Duration::from_secs(5);
/// What the rest of a log may take to be read after the container has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What one list of actions works with.
pub(super) struct Work {
    pub world: World,
    pub spec: InstanceSpec,
    pub stop: Option<StopRequest>,
    pub actor: Handle,
    pub timeline: Timeline,
    pub cancel: CancellationToken,
    pub prepared: Option<Prepared>,
    pub lock: Arc<Mutex<Option<WorkspaceLock>>>,
    pub watchers: Option<Watchers>,
}

impl Work {
    pub async fn run(mut self, actions: &'static [Action]) {
        // In `Starting`, found after a restart, what to create from is prepared again first.
        let resumes = matches!(actions, [Action::PrepareImage, .., Action::CreateContainer, _]);
        let creates = actions.contains(&Action::CreateContainer);
        for action in actions {
            let goes_on = match action {
                Action::Admit => self.tell(Event::Admitted).await,
                Action::PrepareImage => self.prepare(creates).await,
                Action::PrepareContent | Action::PrepareNetwork | Action::CancelPreparation => true,
                Action::CreateContainer if resumes => self.clear().await && self.create().await,
                Action::CreateContainer => self.create().await,
                Action::WatchSupervisor if creates => true,
                Action::WatchSupervisor => self.find().await,
                Action::Drain => self.drain().await,
                Action::Kill => self.kill().await,
                Action::KeepContent => self.keep().await,
                Action::ReleaseSandbox => self.release(actions.len() == 1).await,
                Action::ForgetContent => self.forget().await,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn tell(&self, event: Event) -> bool {
        self.send(Message::Happened(event, None)).await
    }

    async fn send(&self, message: Message) -> bool {
        self.actor.send(message).await.is_ok()
    }

    async fn prepare(&mut self, creates: bool) -> bool {
        let lock = self.lock.lock().take();
        match prepare::prepare(&self.world, &self.spec, &self.timeline, &self.cancel, lock).await {
            Ok((prepared, lock)) => {
                *self.lock.lock() = Some(lock);
                if creates {
                    self.prepared = Some(prepared);
                    return true;
                }
                self.send(Message::Prepared(Box::new(prepared))).await
            }
            Err(condition) => {
                let event = if creates { Event::StartFailed } else { Event::PreparationFailed };
                self.send(Message::Happened(event, Some(condition))).await;
                false
            }
        }
    }

    /// The life before may have died in the midst of a start, and its helper may still be at it: two must not start the
    /// same container.
    async fn clear(&self) -> bool {
        let clear = || async {
            match self.world.sandboxes.find(&self.spec.id).await? {
                Some(_) => Ok(()),
                None => self.world.sandboxes.remove(&self.spec.id).await,
            }
        };
        self.insist("clear away a half-made container", clear).await.is_some()
    }

    async fn create(&mut self) -> bool {
        let Some(prepared) = self.prepared.take() else { return self.tell(Event::StartFailed).await };
        match create::create(&self.world, &self.spec, &prepared, &self.timeline).await {
            Ok(running) => self.send(Message::Started(running)).await,
            Err(error) => {
                tracing::warn!(id = self.spec.id, error = daemon_kit::status::chain(&error), "create the container");
                let condition = conditions::failed("SandboxReady", &error);
                self.send(Message::Happened(Event::StartFailed, Some(condition))).await;
                false
            }
        }
    }

    /// Finds the container that must be running.
    async fn find(&self) -> bool {
        match self.insist("find the container", || self.world.sandboxes.find(&self.spec.id)).await {
            Some(Some(running)) => self.send(Message::Started(running)).await,
            Some(None) => self.tell(Event::ContainerExited).await,
            None => false,
        }
    }

    /// Asks the supervisor to end everything, and waits as long as the grace says.
    async fn drain(&self) -> bool {
        let grace = self.grace();
        match self.world.sandboxes.find(&self.spec.id).await {
            Ok(None) => return self.tell(Event::ContainerExited).await,
            Ok(Some(running)) => {
                if self.shut_down(grace).await && ends_within(running, LAST_BREATH).await {
                    return self.tell(Event::ContainerExited).await;
                }
            }
            Err(error) => tracing::warn!(id = self.spec.id, %error, "find the container to drain"),
        }
        self.tell(Event::GraceExpired).await
    }

    fn grace(&self) -> Duration {
        let asked = self.stop.as_ref().map_or(0, |stop| stop.grace_ms);
        let of_spec = self.spec.lifecycle.map_or(0, |lifecycle| lifecycle.stop_grace_ms);
        match (asked, of_spec) {
            (0, 0) => self.world.limits.stop_grace,
            (0, ms) | (ms, _) => Duration::from_millis(ms),
        }
    }

    async fn shut_down(&self, grace: Duration) -> bool {
        let reason = self.stop.as_ref().map(|stop| stop.reason.clone()).unwrap_or_default();
        let socket = self.world.layout.supervisor_socket(&self.spec.id);
        let ask = async {
            let mut client = supervisor::connect(&socket).await?;
            let request = ShutdownRequest { grace_ms: grace.as_millis() as u64, reason };
            client.shutdown(request).await.map_err(|status| supervisor::refused(&status))
        };
        match tokio::time::timeout(grace + Duration::from_secs(3), ask).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::info!(id = self.spec.id, %error, "ask the supervisor to shut down");
                false
            }
            Err(_) => false,
        }
    }

    /// Kills until PID 1 is seen to be gone.
    async fn kill(&self) -> bool {
        let mut backoff = Backoff::new(self.world.limits.retry, self.world.limits.retry * 64);
        loop {
            match self.kill_once().await {
                Ok(true) => return self.tell(Event::ContainerExited).await,
                Ok(false) => {
                    let error = NodeError::refused(
                        domain::class::Class::Internal,
                        "StuckProcesses",
                        "processes of the workspace do not end although they were killed",
                        "they wait for a device or a file system; its content is kept until they end",
                    );
                    self.send(Message::Condition(conditions::failed("SandboxReady", &error))).await;
                }
                Err(error) => {
                    tracing::warn!(id = self.spec.id, error = daemon_kit::status::chain(&error), "kill the container");
                    self.send(Message::Condition(conditions::failed("SandboxReady", &error))).await;
                }
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn kill_once(&self) -> Result<bool, NodeError> {
        let Some(running) = self.world.sandboxes.find(&self.spec.id).await? else { return Ok(true) };
        self.world.sandboxes.kill(&self.spec.id, SIGKILL).await?;
        Ok(ends_within(running, LAST_BREATH).await)
    }

    /// Reads the logs to their end, then keeps what was written; tries again for as long as nobody wants otherwise.
    async fn keep(&mut self) -> bool {
        if let Some(watchers) = &mut self.watchers {
            let _ = tokio::time::timeout(LAST_WORDS, &mut watchers.logs).await;
        }
        self.watchers = None;
        let mut backoff = Backoff::new(self.world.limits.retry * 4, self.world.limits.retry * 256);
        loop {
            match self.world.content.keep(&self.spec.workspace_id).await {
                Ok(()) => {
                    self.measure();
                    return self.tell(Event::ContentKept).await;
                }
                Err(error) => {
                    tracing::error!(id = self.spec.id, error = daemon_kit::status::chain(&error), "keep the content");
                    let condition = conditions::failed("ContentKept", &error);
                    self.send(Message::Happened(Event::KeepFailed, Some(condition))).await;
                }
            }
            if self.cancel.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                return false;
            }
        }
    }

    /// Tells what the workspace holds now; nobody waits for it.
    fn measure(&self) {
        let (world, id, actor) = (self.world.clone(), self.spec.workspace_id.clone(), self.actor.clone());
        tokio::spawn(async move { watchers::measure(&world, &id, &actor).await });
    }

    /// Takes everything away that was made for the instance, then lets go of the workspace.
    async fn release(&mut self, is_all: bool) -> bool {
        self.watchers = None;
        let id = &self.spec.id;
        let removed = self.insist("remove the container", || self.world.sandboxes.remove(id)).await.is_some()
            && self.insist("remove the network", || self.world.networks.remove(id)).await.is_some();
        let (directory, trash) = (self.world.layout.instance(id), self.world.layout.trash());
        let gone = removed
            && self
                .insist("remove the instance's directory", || {
                    let (directory, trash) = (directory.clone(), trash.clone());
                    blocking("remove the instance's directory", move || discard(&directory, &trash))
                })
                .await
                .is_some();
        self.lock.lock().take();
        gone && (!is_all || self.send(Message::Released).await)
    }

    /// Deletes what the workspace keeps, once nobody else has it.
    async fn forget(&self) -> bool {
        let workspace = &self.spec.workspace_id;
        let _lock = self.world.locks.lock(workspace).await;
        let forgotten = self.insist("forget the workspace", || self.world.content.forget(workspace)).await;
        forgotten.is_some() && self.tell(Event::ContentForgotten).await
    }

    /// Tries until it works; `None` when the work was told to end.
    async fn insist<T, F: Future<Output = Result<T, NodeError>>>(&self, doing: &str, call: impl Fn() -> F) -> Option<T> {
        let mut backoff = Backoff::new(self.world.limits.retry, self.world.limits.retry * 64);
        loop {
            match call().await {
                Ok(value) => return Some(value),
                Err(error) => {
                    tracing::warn!(id = self.spec.id, error = daemon_kit::status::chain(&error), "{doing}");
                }
            }
            self.cancel.run_until_cancelled(tokio::time::sleep(backoff.wait())).await?;
        }
    }
}

/// Whether PID 1 ends within a time.
pub async fn ends_within(running: Running, limit: Duration) -> bool {
    let Ok(end) = watched(running.pidfd, Interest::READABLE) else { return false };
    tokio::time::timeout(limit, end.readable()).await.is_ok()
}
